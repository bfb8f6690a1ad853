-- Appends change no row. As long as anybody keeps an old snapshot, as `pg_dump` does, a row has a version for each change,
-- and whoever reads it reads through all of them: the row that was append lock and head in one made each append slower
-- than the one before. Now the lock is a row that is never changed, and where an append ends is a row of its own.

create table log_end (
  position bigint primary key    -- of the last event of an append; the greatest is the head
);
insert into log_end (position) select position from log_head where position > 0;
create trigger log_end_is_append_only before update or delete or truncate on log_end
  for each statement execute function refuse_change();

alter table log_head rename to append_lock;
alter table append_lock drop column position;

create view log_head as select coalesce(max(position), 0) as position from log_end;

-- Takes the append lock until the transaction ends and tells the head.
create or replace function log_lock() returns bigint language plpgsql security definer set search_path from current as $f$
declare
  head bigint;
begin
  perform from append_lock where one for update;
  select position into head from log_end order by position desc limit 1;
  return coalesce(head, 0);
end $f$;

-- As it was, but for where the head comes from.
create or replace function log_append(
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
  perform from append_lock where one for update;
  select position into head from log_end order by position desc limit 1;   -- twice as fast as max()
  head := coalesce(head, 0);
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
    if cardinality(event_command) > 0 then
      insert into log_end (position) values (head + cardinality(event_command));
    end if;
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
  insert into log_end (position) select head + max(o) from unnest(offsets) as o having max(o) > 0;
  return head || stands;
end $f$;

do $do$ begin
  execute format('alter function log_lock() set search_path = %I, pg_temp', current_schema());
  execute format('alter function log_append set search_path = %I, pg_temp', current_schema());
end $do$;
