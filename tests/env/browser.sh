#!/bin/bash
# A WebDriver for headless Chromium: browser.sh
# Prints `ready URL` and lives until its input closes; profiles live and die with it.
. "$(dirname "$0")/lib.sh"

TMPDIR=$home HOME=$home setsid chromedriver --port=0 </dev/null >"$home/log" 2>&1 &
server=$!
while is_running "$server"; do
  port=$(sed -n 's/.*started successfully on port \([0-9]*\).*/\1/p' "$home/log")
  if [ -n "$port" ]; then
    echo "ready http://127.0.0.1:$port"
    serve_until_input_ends
    exit 0
  fi
  sleep 0.05
done
cat "$home/log" >&2
exit 1
