#!/usr/bin/env bash
# usage: tests/interop/run.sh [JOURNEY...]
# Runs z5 against real servers and clients on 127.0.0.1 (install.sh first). Builds the release program unless Z5 names one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ -z "${Z5:-}" ]; then
  (cd "$root" && cargo build --release -p z5-cli)
  Z5=${CARGO_TARGET_DIR:-$root/target}/release/z5
fi
export Z5
exec python3 "$here/run.py" "$@"
