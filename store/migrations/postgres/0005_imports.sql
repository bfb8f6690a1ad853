-- Imports that were asked for over the API. The files stand here sealed, and only until the import ends.

create table import (
  id           text primary key,
  request_key  text unique,        -- of the one effect of a request
  request_body text,               -- hash of what was asked
  actor        text not null,
  scopes       text not null,      -- words with spaces between
  is_dry_run   bigint not null,
  status       text not null,      -- queued, running, done, failed
  code         text,               -- why it failed
  message      text,               -- the same for people
  holder       text,               -- the node that runs it
  alive_until  bigint,             -- when that node counts as dead
  rows_total   bigint not null,
  rows_done    bigint not null,
  created      bigint not null,
  completed    bigint not null,
  unchanged    bigint not null,
  refused      bigint not null,
  asked_at     bigint not null,
  ended_at     bigint,
  sealed       text,               -- both files under a key of their own
  wrapped      text                -- that key, sealed under a key of the configuration
);
create index import_by_status on import (status, asked_at);

create table import_row (
  import       text not null,
  number       bigint not null,    -- 1, 2, 3 … through both files
  file         text not null,
  line         bigint not null,
  outcome      text not null,
  code         text,
  message      text,
  account      text,
  professional text,
  primary key (import, number)
);
