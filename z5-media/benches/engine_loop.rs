//! The whole packet loop: receive, unprotect, parse, reorder, protect, send; CPU time per packet of the thread that
//! does it, for several designs in one interleaved run.
//!
//! `cargo bench -p z5-media --bench engine_loop -- [calls] [seconds] [rounds]`
//!
//! A generator thread sends pre-sealed packets of every call at 50 per second; the loop under test echoes them to a
//! socket nobody reads. CPU time comes from /proc/thread-self/schedstat, so this program is for Linux.
#![cfg_attr(
    target_os = "linux",
    expect(
        clippy::expect_used,
        clippy::print_stdout,
        reason = "a benchmark prints its result and may stop at what cannot happen"
    )
)]

#[cfg(target_os = "linux")]
mod designs;

#[cfg(target_os = "linux")]
fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|a| a.parse::<u64>().ok());
    let calls = numbers.next().unwrap_or(1000) as usize;
    let seconds = numbers.next().unwrap_or(3);
    let rounds = numbers.next().unwrap_or(3) as usize;
    for size in [172, 1200] {
        println!(
            "{calls} calls x 50 packets/s, {size} B, AEAD_AES_128_GCM, {seconds} s, {rounds} interleaved rounds"
        );
        let mut results: Vec<Vec<f64>> = vec![Vec::new(); designs::ALL.len()];
        let mut missed = vec![0.0_f64; designs::ALL.len()];
        for _ in 0..rounds {
            for (n, (_, design)) in designs::ALL.iter().enumerate() {
                let (ns, share) = designs::measure(*design, calls, size, seconds);
                results[n].push(ns);
                missed[n] = missed[n].max(share);
            }
        }
        let median = |values: &[f64]| {
            let mut sorted = values.to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted[sorted.len() / 2]
        };
        let yardstick = median(&results[0]);
        for (((name, _), values), missed) in designs::ALL.iter().zip(&results).zip(&missed) {
            let ns = median(values);
            println!(
                "  {name:<58} {ns:>7.0} ns/packet  {:>5.0} calls/core  {:>5.2}x  missed at most {:.1} %",
                1e9 / (ns * 50.0),
                yardstick / ns,
                missed * 100.0
            );
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
