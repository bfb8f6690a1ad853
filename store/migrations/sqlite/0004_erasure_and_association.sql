-- Erasure: the key of an erased person is destroyed in the append of the events that tell of it, with everything in the
-- working state that leads to the person.

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

