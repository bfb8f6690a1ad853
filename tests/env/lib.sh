# What the servers of the tests share. Each script starts one server in a private directory, prints one line that begins
# with `ready`, and takes everything down again when its standard input closes: whoever started it holds the other end,
# so that no death of a test, not even `kill -9`, leaves a server behind.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"
trap '' INT HUP # the end of the input is the one signal to stop

home=$(mktemp -d "${TMPDIR:-/tmp}/vinculum-XXXXXX")
chmod 711 "$home" # servers that drop their rights must be able to pass
server=

# descendants PID: the processes below it, the deepest first.
descendants() {
  local child
  for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
    descendants "$child"
    echo "$child"
  done
}

is_running() {
  local state
  state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) && [ "${state%% *}" != Z ]
}

# stop_server SIGNAL: SIGNAL to the group that the server leads, five seconds for it and all below it, KILL to the rest.
stop_server() {
  local pids pid try left=
  pids="$(descendants "$server") $server"
  kill -s "$1" -- "-$server" 2>/dev/null || true
  for try in $(seq 100); do
    left=
    for pid in $pids; do if is_running "$pid"; then left="$left $pid"; fi; done
    [ -n "$left" ] || break
    sleep 0.05
  done
  for pid in $left "-$server"; do kill -s KILL -- "$pid" 2>/dev/null || true; done
}

clean_up() {
  trap '' TERM
  if [ -n "$server" ]; then stop_server "${stop_signal:-TERM}"; fi
  for try in $(seq 20); do
    if rm -rf "$home" 2>/dev/null; then break; fi # something killed was still writing
    sleep 0.1
  done
}
trap clean_up EXIT
trap 'exit 143' TERM
trap 'exit 141' PIPE

# Ports below the range that the kernel gives to clients, so that only servers compete for them.
some_port() { echo $((20000 + (RANDOM * 32768 + RANDOM) % 12000)); }

# A server is started by `setsid`, so that it leads a group of its own, and its id is kept in `server`.
# serve_until_input_ends: returns when the input closes or the server dies.
serve_until_input_ends() {
  exec 3<&0
  cat <&3 >/dev/null &
  local reader=$!
  wait -n "$server" "$reader" || true
  kill "$reader" 2>/dev/null || true
}
