//! What the engine costs, with its yardsticks in the same run. For Linux, where the system tells CPU time per thread.
//!
//! `cargo bench -p z5-media --bench engine_loop -- [packets|bursts|growth|memory|latency|all] [calls] [seconds] [rounds]`
//!
//! - `packets`: CPU time per packet (receive, unprotect, parse, count, and seal, send another), AEAD_AES_128_GCM, beside a
//!   tokio task per call with webrtc-srtp and rtp-rs, and beside socket I/O alone; several designs, rounds interleaved.
//!   The packets of each call come at its own moments. `packets-1,3,6`: these rows alone.
//! - `bursts`, not among `all`: the same, but what comes within a millisecond comes at once.
//! - `growth`: CPU time per G.711 call with codec at 1, 16, 256 and 2000 calls, and pre-encoded; `growth-16`: at 16 alone.
//! - `memory`: bytes per G.711 call beyond the first.
//! - `latency`: from the socket to the callback, quiet and beside a busy runtime, beside a tokio task.
#![cfg_attr(
    target_os = "linux",
    expect(
        clippy::expect_used,
        clippy::print_stdout,
        reason = "a benchmark prints its result and may stop at what cannot happen"
    )
)]

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod cpu;
#[cfg(target_os = "linux")]
mod floor;
#[cfg(target_os = "linux")]
mod growth;
#[cfg(target_os = "linux")]
mod latency;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod packets;
#[cfg(target_os = "linux")]
mod traffic;
#[cfg(target_os = "linux")]
mod yardstick;

#[cfg(target_os = "linux")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let mut numbers = arguments.iter().filter_map(|a| a.parse::<u64>().ok());
    let calls = numbers.next().unwrap_or(1000) as usize;
    let seconds = numbers.next().unwrap_or(3);
    let rounds = numbers.next().unwrap_or(3) as usize;
    let what = arguments.iter().find(|a| a.parse::<u64>().is_err()).map_or("packets", String::as_str);
    let wanted = |name| what == name || what == "all";
    if let Some(kind) = what.strip_prefix(memory::ONE) {
        return memory::one(kind);
    }
    // Memory first: what the others leave behind would be counted.
    if wanted("memory") {
        memory::run();
    }
    if wanted("packets") {
        packets::run(&[], calls, seconds, rounds, false);
    }
    if let Some(rows) = what.strip_prefix("packets-") {
        let only: Vec<usize> = rows.split(',').map(|row| row.parse().expect("a row's number")).collect();
        packets::run(&only, calls, seconds, rounds, false);
    }
    if what == "bursts" {
        packets::run(&[], calls, seconds, rounds, true);
    }
    if wanted("growth") {
        growth::run(None, seconds, rounds);
    }
    if let Some(count) = what.strip_prefix("growth-") {
        growth::run(Some(count.parse().expect("a number of calls")), seconds, rounds);
    }
    if wanted("latency") {
        latency::run(seconds);
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
