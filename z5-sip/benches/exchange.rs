//! A whole call of two user agents in memory: INVITE, 100, 180, 200, ACK, BYE, 200, with offer and answer, over a
//! stream; straight, and past a proxy that asks for credentials (`pair/proxy.rs`). 10 ms pass with every call, so that about 3200 ended transactions wait for their last timer (RFC 6026) as
//! they would in a busy element. Measured is the time that the thread was on a core (Linux; elsewhere the time on the
//! wall), so that what else runs on the machine takes less part in it.
//!
//! `cargo bench -p z5-sip --bench exchange`

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot call has nothing to measure")]
#![allow(unreachable_pub, reason = "shared with tests/call_memory.rs")]

mod pair;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};

/// How long this thread has been on a core, else how long the bench has run.
fn on_core() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let on_core = told.and_then(|text| text.split(' ').next()?.parse().ok()).map(Duration::from_nanos);
    #[expect(clippy::disallowed_methods, reason = "a bench measures")]
    on_core.unwrap_or_else(|| BEGAN.get_or_init(Instant::now).elapsed())
}

fn exchange(c: &mut Criterion) {
    let mut group = c.benchmark_group("exchange");
    group.throughput(Throughput::Elements(1));
    // long samples: the kernel counts in ticks
    group.sampling_mode(SamplingMode::Flat).sample_size(20).measurement_time(Duration::from_secs(8));
    for (name, way) in pair::Way::ALL {
        let mut pair = pair::Pair::new(way);
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let began = on_core();
                for _ in 0..rounds {
                    let call = pair.establish();
                    pair.hang_up(call);
                    pair.pass(Duration::from_millis(10));
                }
                on_core().saturating_sub(began)
            });
        });
        assert_eq!(pair.calls(), 0);
        assert!(pair.is_as_meant());
    }
    group.finish();
}

criterion_group!(benches, exchange);
criterion_main!(benches);
