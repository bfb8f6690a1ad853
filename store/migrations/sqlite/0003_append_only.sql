-- `insert or replace` deletes without a word to the triggers on deletion. Rows come in above the head only, which moves
-- after them.

create trigger event_is_never_replaced before insert on event
  when new.position <= (select position from log_head) begin select raise(abort, 'the log is append-only'); end;
create trigger event_tag_is_never_replaced before insert on event_tag
  when new.position <= (select position from log_head) begin select raise(abort, 'the log is append-only'); end;
