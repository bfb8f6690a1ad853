#!/bin/bash
# A real OpenID provider: op.sh NAME [REDIRECT_URI …]; op.mjs says the rest.
# Takes the Node.js that `./test` put beside it where the machine's own is too old.
cd "$(dirname "$0")"
node=$(ls -d node_modules/node-linux-*/bin/node 2>/dev/null | tail -1)
exec "${node:-node}" op.mjs "$@"
