# Short names for what CONTRIBUTING.md describes. `just --list` shows them.

# five steps and a two-way call against the embedded mock carrier
demo:
    cargo run --release -p z5-cli -- demo

# the README's test command
test:
    cargo test --workspace

# what must be clean before a commit
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# licences, bans and sources of the dependency tree
deny:
    cargo deny check bans licenses sources

# real SIP servers and clients on loopback (Debian packages)
interop:
    tests/interop/install.sh
    tests/interop/run.sh

# every figure of the media engine, about a quarter of an hour; wants an idle machine
bench-media:
    cargo bench -p z5-media --bench engine_loop -- all 1000 3 5
    cargo bench -p z5-media --bench packet

# everything that must pass
ci:
    .ci/run
