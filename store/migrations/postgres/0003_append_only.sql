-- The functions run with the owner's rights: a temporary table of the caller's must not stand in for one that they mean.
-- Unless it is named, `pg_temp` is searched first.

do $do$ begin
  execute format('alter function log_lock() set search_path = %I, pg_temp', current_schema());
  execute format('alter function log_append set search_path = %I, pg_temp', current_schema());
end $do$;
