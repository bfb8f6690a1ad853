-- Erasure holds the append lock: what leads to a person is found by an index, however many visitors and identities there are.

create index identity_look_up_by_identity on identity_look_up (identity);

alter table flow add column identity text;   -- who is signed in inside it
update flow set identity = state::json -> 'person' ->> 'identity';
create index flow_by_identity on flow (identity);

create or replace function erase_person() returns trigger language plpgsql as $f$
begin
  delete from person_key where person = new.person;
  insert into erased_person (number, person) select coalesce(max(number), 0) + 1, new.person from erased_person;
  delete from identity_look_up where identity = new.person;
  delete from session where identity = new.person;
  delete from flow where identity = new.person;
  delete from association_request where identity = new.person;
  return null;
end $f$;

do $do$ begin
  execute format('alter function erase_person() set search_path = %I, pg_temp', current_schema());
end $do$;
