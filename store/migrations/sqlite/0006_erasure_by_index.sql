-- Erasure holds the append lock: what leads to a person is found by an index, however many visitors and identities there are.

create index identity_look_up_by_identity on identity_look_up (identity);

alter table flow add column identity text;   -- who is signed in inside it
update flow set identity = json_extract(state, '$.person.identity');
create index flow_by_identity on flow (identity);
