#!/usr/bin/env bash
# Builds the fuzz targets with the counters that guide libFuzzer, and runs each for a while from its committed corpus.
# usage: tests/fuzz.sh [SECONDS [TARGET...]]     60 seconds and every target, unless said; 0 seconds: the corpora once
#
# The stable compiler does: the counters are a pass of LLVM that rustc is asked for by a stable flag. ADDRESS=1 adds the address
# sanitizer, which is worth it where `unsafe` was touched; it is no stable flag, so rustc is told to pass for a nightly one.
# What is found that breaks a target stays in fuzz/artifacts/TARGET (mend the cause, then put it into fuzz/corpus/TARGET), other
# inputs that reach new code in fuzz/target/found/TARGET, where the next run begins.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
[[ $seconds =~ ^[0-9]+$ ]] || { sed -n '3p' "${BASH_SOURCE[0]}" >&2; exit 2; }
shift || true
all=(fuzz/fuzz_targets/*.rs)
all=("${all[@]##*/}")
all=("${all[@]%.rs}")
targets=("${@:-${all[@]}}")

features=() bins=()
for target in "${targets[@]}"; do
  [ -f "fuzz/fuzz_targets/$target.rs" ] || { echo "no target $target; there are: ${all[*]}" >&2; exit 2; }
  bins+=(--bin "$target")
  # these two need all of z5-core
  case $target in explain | config) features=(--features session) ;; esac
done

# what rustc is asked for is asked for the targets alone, not for build scripts: hence --target
host=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares -Cforce-frame-pointers=yes"
folder=fuzz/target
if [ -n "${ADDRESS:-}" ]; then
  export RUSTC_BOOTSTRAP=1
  flags+=" -Zsanitizer=address"
  folder=fuzz/target/address
fi
# the same versions as everywhere else
cp Cargo.lock fuzz/Cargo.lock
RUSTFLAGS=$(tr -s '\n ' ' ' <<<"$flags") cargo build --manifest-path fuzz/Cargo.toml --release --target "$host" \
  --target-dir "$folder" --no-default-features "${features[@]}" "${bins[@]}"

broken=()
for target in "${targets[@]}"; do
  found=fuzz/target/found/$target artifacts=fuzz/artifacts/$target
  mkdir -p "$found" "$artifacts"
  bounds=(-max_total_time="$seconds")
  [ "$seconds" -gt 0 ] || bounds=(-runs=0)
  log=$artifacts/log
  if "$folder/$host/release/$target" "${bounds[@]}" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="$artifacts/" "$found" "fuzz/corpus/$target" >"$log" 2>&1; then
    counters=$(sed -n 's/^INFO: Loaded 1 modules.*(\([0-9]*\) inline.*/\1/p' "$log")
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    reached=$(grep -o 'cov: [0-9]*' "$log" | tail -1)
    # a build without counters finds nothing, and looks like one that found nothing
    [ "${counters:-0}" -gt 0 ] || { echo "$target was built without counters" >&2; exit 1; }
    echo "$target: ${runs:-0} inputs, ${reached:-cov: 0} of $counters, none breaks it"
  else
    broken+=("$target")
    tail -30 "$log" >&2
    echo "$target: broken, see $artifacts" >&2
  fi
done
[ ${#broken[@]} -eq 0 ]
