//! A whole call of two user agents in memory: INVITE, 100, 180, 200, ACK, BYE, 200, with offer and answer, over a
//! stream. 10 ms pass with every call, so that about 3200 ended transactions wait for their last timer (RFC 6026) as
//! they would in a busy element.
//!
//! `cargo bench -p z5-sip --bench exchange`

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot call has nothing to measure")]
#![allow(unreachable_pub, reason = "shared with tests/call_memory.rs")]

mod pair;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn exchange(c: &mut Criterion) {
    let mut pair = pair::Pair::new();
    let mut group = c.benchmark_group("exchange");
    group.throughput(Throughput::Elements(1));
    group.bench_function("INVITE to BYE", |b| {
        b.iter(|| {
            let call = pair.establish();
            pair.hang_up(call);
            pair.pass(Duration::from_millis(10));
        });
    });
    group.finish();
    assert_eq!(pair.calls(), 0);
}

criterion_group!(benches, exchange);
criterion_main!(benches);
