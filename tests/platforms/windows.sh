#!/usr/bin/env bash
# usage: tests/platforms/windows.sh build|run [CARGO ARGUMENTS]
# z5 for Windows (x86_64-pc-windows-gnu), made on Linux: `build` makes z5.exe; `run` also has wine run it: the version, the demo,
# and two calls whose address book and history a store keeps. docs/platforms.md says what must be installed and what it shows.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=x86_64-pc-windows-gnu

fail() {
  echo "error: $*" >&2
  exit 1
}

need() { # PROGRAM DEBIAN-PACKAGE
  command -v "$1" >/dev/null || fail "no $1; on Debian: apt-get install $2"
}

# The compiler has the standard library of Windows (rustup target add), or the source of its own: then the library is made first,
# which a stable compiler does only when it is told to behave like a nightly one.
std_of_windows() {
  local libraries
  libraries=$(rustc --print sysroot)/lib/rustlib
  std=()
  [ -d "$libraries/$target/lib" ] && return
  [ -f "$libraries/src/rust/library/Cargo.lock" ] ||
    fail "this compiler cannot make programs for Windows: 'rustup target add $target'; with Debian's, 'apt-get install rust-src'"
  export RUSTC_BOOTSTRAP=1
  std=(-Zbuild-std=std,panic_unwind)
}

# Wine's folder is our own, so that nobody's programs meet these. OpenH264 is C++: its libraries come from the compiler.
wine_here() {
  need wine wine
  mkdir -p "${CARGO_TARGET_DIR:-target}/wine"
  WINEPREFIX=$(realpath "${CARGO_TARGET_DIR:-target}/wine")
  WINEPATH=$(for library in libstdc++-6.dll libwinpthread-1.dll; do
    dirname "$(realpath "$(x86_64-w64-mingw32-g++ -print-file-name="$library")")"
  done | sed 's,^,Z:,; s,/,\\,g' | paste -sd';')
  export WINEPREFIX WINEPATH WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml= XDG_RUNTIME_DIR=/tmp
}

# The carrier in one process, a client with the usual store in others.
calls() {
  # of the whole script: the trap reads them at its end
  carrier='' folder=''
  folder=$(mktemp -d)
  # also when a call fails
  trap 'kill "$carrier" 2>/dev/null || true; rm -rf "$folder"' EXIT
  wine "$z5" mock --write-config "$folder/z5.toml" --duration 90s >"$folder/mock.txt" &
  carrier=$!
  for _ in $(seq 120); do
    [ -s "$folder/z5.toml" ] && break
    sleep 0.5
  done
  for _ in 1 2; do
    wine "$z5" --config "$folder/z5.toml" call echo --text hi --duration 2s --plain
  done
  wine "$z5" --config "$folder/z5.toml" contacts list
  wine "$z5" --config "$folder/z5.toml" history | tee "$folder/history.txt"
  [ "$(grep -c echo "$folder/history.txt")" -ge 2 ] || fail "the store did not keep both calls"
  wait "$carrier"
}

action=${1:-}
case "$action" in
  build | run) shift ;;
  *)
    echo "usage: tests/platforms/windows.sh build|run [CARGO ARGUMENTS]" >&2
    exit 2
    ;;
esac
need x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64-posix
need x86_64-w64-mingw32-g++ g++-mingw-w64-x86-64-posix
need nasm nasm
need cmake cmake
std_of_windows
cargo build --package z5-cli --target "$target" "${std[@]}" "$@"
z5=${CARGO_TARGET_DIR:-target}/$target/debug/z5.exe
if [ "$action" = run ]; then
  wine_here
  wine "$z5" --version
  wine "$z5" demo
  calls
  echo "z5.exe runs under $(wine --version)"
fi
