-- The log. Nothing here is ever updated or deleted but the head's position.

create table log_head (
  one      integer primary key default 1 check (one = 1),
  position bigint not null
);
insert into log_head (position) values (0);

create table event (
  position integer primary key,
  envelope text not null      -- the exact bytes of the event
);

create table event_tag (
  tag      bigint not null,   -- 60 bits of a subject, 4 bits of an event class
  position bigint not null,
  primary key (tag, position)
) without rowid;

create table person_key (
  person  text primary key,
  wrapped text not null       -- sealed under a key of the configuration; its destruction is the erasure
) without rowid;

create trigger event_is_never_updated before update on event begin select raise(abort, 'the log is append-only'); end;
create trigger event_is_never_deleted before delete on event begin select raise(abort, 'the log is append-only'); end;
create trigger event_tag_is_never_updated before update on event_tag begin select raise(abort, 'the log is append-only'); end;
create trigger event_tag_is_never_deleted before delete on event_tag begin select raise(abort, 'the log is append-only'); end;
