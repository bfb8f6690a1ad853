-- Erasure: a key that arrives empty destroys the one that is there, in the append of the events that tell of it, with
-- everything in the working state that leads to the person.

create table erased_person (
  number bigint primary key,   -- 1, 2, 3 …, given under the append lock; other nodes follow it to forget keys in memory
  person text not null
);

-- What people typed on the association page; handled within seconds, swept after a day.
create table association_request (
  id           text primary key,
  identity     text not null,
  address_hash text not null,   -- HMAC of the address, for the limits
  address      text,            -- sealed under a key of the configuration; none once handled
  created_at   bigint not null,
  claimed_at   bigint not null default 0,
  denied       bigint not null default 0
);
create index association_request_by_address on association_request (address_hash, created_at);
create index association_request_by_identity on association_request (identity, created_at);

alter table session add column profile text;   -- the profile that the browser acts as

create function erase_person() returns trigger language plpgsql as $f$
begin
  delete from person_key where person = new.person;
  insert into erased_person (number, person) select coalesce(max(number), 0) + 1, new.person from erased_person;
  delete from identity_look_up where identity = new.person;
  delete from session where identity = new.person;
  delete from flow where state like '%' || new.person || '%';
  delete from association_request where identity = new.person;
  return null;
end $f$;
create trigger an_empty_key_erases before insert on person_key
  for each row when (new.wrapped = '') execute function erase_person();

do $do$ begin
  execute format('alter function erase_person() set search_path = %I, pg_temp', current_schema());
end $do$;

-- Only the service's role appends; without one, only the owner.
revoke all on function log_lock(), log_append, erase_person() from public;
