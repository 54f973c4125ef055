//! As many whole calls between two user agents as are asked for, and how fast they went on the core: the exchange bench with a
//! number of rounds that is known, so that a profiler can count.
//!
//! `cargo run --release -p z5-sip --example calls -- 2000 challenged-sha-256`; the second argument is one of the ways of
//! `benches/pair/proxy.rs`, `open` without one. Instructions of one call are the difference of two runs under
//! `valgrind --tool=callgrind`, divided by the difference of their rounds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "without a call there is nothing to count")]
#![allow(missing_docs, unreachable_pub, reason = "shared with the bench and a test")]

#[path = "../benches/pair/mod.rs"]
mod pair;

use std::time::Duration;

/// Nanoseconds that this thread has been on a core (Linux).
fn on_core() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split(' ').next()?.parse().ok()
}

#[expect(clippy::print_stdout, reason = "it is there to tell a figure")]
fn main() {
    let rounds: u32 = std::env::args().nth(1).map_or(2000, |rounds| rounds.parse().unwrap());
    let asked = std::env::args().nth(2);
    let way = asked.as_deref().unwrap_or("open");
    let Some((_, chosen)) = pair::Way::ALL.into_iter().find(|(name, _)| *name == way) else {
        panic!("{way} is none of {}", pair::Way::ALL.map(|(name, _)| name).join(", "));
    };
    let mut pair = pair::Pair::new(chosen);
    let began = on_core();
    for _ in 0..rounds {
        let call = pair.establish();
        pair.hang_up(call);
        pair.pass(Duration::from_millis(10));
    }
    assert_eq!(pair.calls(), 0);
    assert!(pair.is_as_meant());
    if let (Some(began), Some(ended)) = (began, on_core()) {
        let seconds = Duration::from_nanos(ended - began).as_secs_f64();
        println!("{rounds} calls ({way}), {:.0} a second and core", f64::from(rounds) / seconds);
    }
}
