-- The log. Nothing here is ever updated or deleted but the head's position.

create table log_head (
  one      boolean primary key default true check (one),
  position bigint not null
) with (fillfactor = 10);
insert into log_head (position) values (0);

create table event (
  position bigint primary key,
  envelope text not null      -- the exact bytes of the event
);

create table event_tag (
  tag      bigint not null,   -- 60 bits of a subject, 4 bits of an event class
  position bigint not null,
  primary key (tag, position)
);

create table person_key (
  person  text primary key,
  wrapped text not null       -- sealed under a key of the configuration; its destruction is the erasure
);

create function refuse_change() returns trigger language plpgsql as $f$
begin
  raise exception 'the log is append-only';
end $f$;
create trigger event_is_append_only before update or delete or truncate on event
  for each statement execute function refuse_change();
create trigger event_tag_is_append_only before update or delete or truncate on event_tag
  for each statement execute function refuse_change();

-- Takes the append lock until the transaction ends and tells the head.
create function log_lock() returns bigint language sql security definer set search_path from current as $f$
  update log_head set position = position returning position
$f$;

-- Appends a batch of commands; each stands or falls by its own checks, and with the chain that it is part of.
--
-- The first statement takes the lock, so that every later one sees all that was committed before (READ COMMITTED, one
-- snapshot for each statement of a volatile function); the lock is held until the commit is visible. Therefore
-- positions have no gaps and appear in commit order.
--
-- Returns {head before} if every command stands, else {head before, 1 or 0 for each command}: 0 has fallen.
create function log_append(
  expected       bigint,                                           -- the head that the node knows
  command_chain  int[],                                            -- of each command: commands that build on each other share a number
  check_command  int[], check_tag bigint[], check_seen bigint[],   -- falls if the tag has an event after `seen`
  checks_always  int,                                              -- how many of the checks hold even if `expected` is right
  event_command  int[], event_envelope text[],
  tag_event      int[], tag_key bigint[],                          -- index rows of each event
  key_command    int[], key_person text[], key_wrapped text[]
) returns bigint[] language plpgsql security definer set search_path from current as $f$
declare
  head    bigint;
  asked   int;
  fallen  int[];       -- chains
  stands  bigint[];    -- of each command
  offsets bigint[];    -- of each event: its place among those that stand
begin
  update log_head set position = position + cardinality(event_command)
    returning position - cardinality(event_command) into head;
  asked := case when head = expected then checks_always else cardinality(check_tag) end;
  if asked > 0 then
    select array_agg(distinct command_chain[c.command]) into fallen
      from unnest(check_command[1:asked], check_tag[1:asked], check_seen[1:asked]) as c(command, tag, seen),
           lateral (select 1 from event_tag t where t.tag = c.tag and t.position > c.seen limit 1) as newer;
  end if;
  if fallen is null then
    insert into person_key (person, wrapped) select k.p, k.w from unnest(key_person, key_wrapped) as k(p, w);
    insert into event (position, envelope)
      select head + e.n, e.envelope from unnest(event_envelope) with ordinality as e(envelope, n);
    insert into event_tag (tag, position) select t.tag, head + t.event from unnest(tag_key, tag_event) as t(tag, event);
    return array[head];
  end if;
  select array_agg(case when c.chain = any (fallen) then 0 else 1 end order by c.n) into stands
    from unnest(command_chain) with ordinality as c(chain, n);
  select array_agg(o.place order by o.n) into offsets
    from (select e.n, case when stands[e.command] = 1 then sum(stands[e.command]) over (order by e.n) end as place
            from unnest(event_command) with ordinality as e(command, n)) as o;
  insert into person_key (person, wrapped)
    select k.p, k.w from unnest(key_command, key_person, key_wrapped) as k(command, p, w) where stands[k.command] = 1;
  insert into event (position, envelope)
    select head + offsets[e.n], e.envelope from unnest(event_envelope) with ordinality as e(envelope, n)
     where offsets[e.n] is not null;
  insert into event_tag (tag, position)
    select t.tag, head + offsets[t.event] from unnest(tag_key, tag_event) as t(tag, event)
     where offsets[t.event] is not null;
  update log_head
     set position = head + coalesce((select max(o) from unnest(offsets) as o), 0);
  return head || stands;
end $f$;
