#!/bin/bash
# A throwaway PostgreSQL cluster with the settings it ships with: pg.sh
# Prints `ready URL` (the superuser's) and lives until its input closes.
. "$(dirname "$0")/lib.sh"
stop_signal=QUIT # at once: nothing in it is kept

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
[ -n "$bin" ] || bin=$(dirname "$(command -v initdb)")
as_owner=()
if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root
  owner=$(id -un postgres 2>/dev/null || echo nobody)
  as_owner=(setpriv "--reuid=$owner" "--regid=$(id -g "$owner")" --clear-groups)
  chown "$owner" "$home"
fi
cd "$home"
"${as_owner[@]}" "$bin/initdb" -D "$home/data" -A trust -U postgres --no-sync --no-instructions -E UTF8 --locale=C.UTF-8 >"$home/initdb.log" 2>&1 ||
  { cat "$home/initdb.log" >&2; exit 1; }

for try in $(seq 10); do
  port=$(some_port)
  setsid "${as_owner[@]}" "$bin/postgres" -D "$home/data" -h 127.0.0.1 -p "$port" -k "$home" -c max_connections=300 </dev/null >"$home/log" 2>&1 &
  server=$!
  while is_running "$server"; do
    if "$bin/pg_isready" -q -h "$home" -p "$port"; then
      echo "ready postgres://postgres@127.0.0.1:$port/postgres"
      serve_until_input_ends
      exit 0
    fi
    sleep 0.05
  done
  server=
done
cat "$home/log" >&2
exit 1
