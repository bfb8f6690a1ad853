-- Working state: what is neither log nor view. Texts and bigints only, so that one SQL text serves both engines.

create table identity_look_up (
  subject  text primary key,   -- HMAC of issuer and subject
  identity text not null
);

create table api_key (
  id          text primary key,
  name        text not null,
  scopes      text not null,   -- words with spaces between
  secret_hash text not null,
  created_at  bigint not null,
  revoked_at  bigint
);

create table session (
  id_hash      text primary key,
  identity     text not null,
  csrf         text not null,
  signed_in_at bigint not null,
  created_at   bigint not null,
  seen_at      bigint not null
);
create index session_by_identity on session (identity);

create table flow (
  id_hash    text primary key,
  state      text not null,    -- JSON; what one browser is in the middle of
  expires_at bigint not null
);
create index flow_by_expiry on flow (expires_at);

create table lease (
  name       text primary key,
  holder     text not null,
  expires_at bigint not null
);
