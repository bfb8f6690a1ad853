-- What a request with an Idempotency-Key chose by a filter, so that its repeat means the same.

create table choice (
  request_key  text primary key,
  request_body text,            -- hash of what was asked
  invitations  text not null    -- their ids, with spaces between
);
