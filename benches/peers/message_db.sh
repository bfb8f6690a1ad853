#!/bin/bash
# Installs message-db into a database, with its own installer: message_db.sh URL
# Fetches what package-lock.json says first, once, into target/message-db. The URL must be a superuser's.
set -euo pipefail
cd "$(dirname "$0")"
fetched=../../target/message-db
if ! cmp -s package-lock.json "$fetched/.installed"; then
  mkdir -p "$fetched"
  cp package.json package-lock.json "$fetched"
  npm ci --prefix "$fetched" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  cp package-lock.json "$fetched/.installed"
fi
# The installer takes the names that psql knows.
read -r PGHOST PGPORT PGUSER DATABASE_NAME < <(psql -qX "$1" <<<'\echo :HOST :PORT :USER :DBNAME')
export PGHOST PGPORT PGUSER DATABASE_NAME CREATE_DATABASE=off
bash "$fetched/node_modules/@eventide/message-db/database/install.sh" >/dev/null
