//! CPU time per call as calls become more. The far ends are streams of a second engine, whose threads do not count.

use std::collections::BTreeSet;
use std::time::Duration;

use z5_media::StreamKind;

use super::traffic::RATE;
use super::{calls, cpu};

/// Numbers of calls.
const CALLS: [usize; 4] = [1, 16, 256, 2000];

/// What a number of calls costs.
struct Cost {
    /// Milliseconds of CPU per second and call.
    ms: f64,
    /// How often a second both threads went to sleep.
    sleeps: f64,
}

/// Measures calls with codec on sockets of their own, and pre-encoded ones on their own and on shared ones; only so many calls
/// where that is said.
pub(crate) fn run(only: Option<usize>, seconds: u64, rounds: usize) {
    println!("CPU per G.711 call in the clear, {seconds} s, {rounds} interleaved rounds");
    let counts = only.map_or(CALLS.to_vec(), |only| vec![only]);
    let media = calls::tone();
    let names = ["with codec, own sockets", "pre-encoded, own sockets", "pre-encoded, shared socket"];
    let mut results = (0..names.len())
        .map(|_| counts.iter().map(|_| Vec::new()).collect())
        .collect::<Vec<Vec<Vec<Cost>>>>();
    for _ in 0..rounds {
        for (n, count) in counts.iter().copied().enumerate() {
            for (kind, results) in results.iter_mut().enumerate() {
                let make = || if kind == 0 { calls::g711() } else { calls::load(&media) };
                match measure(make, kind == 2, count, seconds) {
                    Some(cost) => results[n].push(cost),
                    None => println!(
                        "  {count} calls, {}: not measured, the engine did not answer within 5 s: the machine is too busy",
                        names[kind]
                    ),
                }
            }
        }
    }
    for (name, results) in names.iter().zip(&results) {
        let median =
            |costs: &[Cost], of: fn(&Cost) -> f64| cpu::median(&costs.iter().map(of).collect::<Vec<_>>());
        print!("  {name:<28}");
        // All CPU time over calls, both as logarithms.
        let mut points = Vec::new();
        for (count, costs) in counts.iter().zip(results) {
            if costs.is_empty() {
                print!(" {count:>5}: not measured");
                continue;
            }
            let (ms, sleeps) = (median(costs, |cost| cost.ms), median(costs, |cost| cost.sleeps));
            print!(" {count:>5}: {ms:.3} ms/s, {sleeps:.0} sleeps/s");
            points.push(((*count as f64).ln(), (*count as f64 * ms).ln()));
        }
        // Its slope: 1 is linear.
        if only.is_some() || points.len() < counts.len() {
            println!();
            continue;
        }
        println!("   exponent {:.2}, from 16 on {:.2}", slope(&points), slope(&points[1..]));
    }
}

/// The slope of a line through points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) =
        (points.iter().map(|p| p.0).sum::<f64>() / count, points.iter().map(|p| p.1).sum::<f64>() / count);
    let covariance: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    covariance / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

/// What it costs; none when the engine is so far behind that it does not answer.
fn measure(make: impl Fn() -> StreamKind, shared: bool, count: usize, seconds: u64) -> Option<Cost> {
    let far = calls::engine();
    let before = cpu::threads();
    let near = calls::engine();
    let threads: BTreeSet<u32> = cpu::threads().difference(&before).copied().collect();
    let far_port = far.share(calls::LOCAL, 0..=0).expect("a port");
    let near_port = shared.then(|| near.share(calls::LOCAL, 0..=0).expect("a port"));
    let media = calls::tone();
    let mut streams = Vec::new();
    for call in 0..count as u32 {
        let (here, there) = (1 + call, (1 << 20) + call);
        let place = far_port.port(Some(here));
        let local = match &near_port {
            Some(port) => port.port(Some(there)),
            None => near.reserve(calls::LOCAL, 0..=0).expect("a port"),
        };
        let towards = calls::stream(calls::load(&media), local.rtp_addr(), there, None);
        let config = calls::stream(make(), place.rtp_addr(), here, None);
        far.start_stream(place, towards).expect("started");
        streams.push(near.start_stream(local, config).expect("started"));
    }
    // The playout has begun and the tables have their size.
    cpu::pass(Duration::from_millis(500));
    // What was counted so far, and the middle of the time that asking took.
    let packets = || {
        let start = cpu::now();
        let mut sum = (0, 0);
        for stream in &streams {
            let stats = near.stats(*stream)?;
            sum = (sum.0 + stats.packets_sent, sum.1 + stats.packets_received);
        }
        Some((sum, start + (cpu::now() - start) / 2))
    };
    let (before, asked) = packets()?;
    let (began, slept, start) = (cpu::of(&threads), cpu::sleeps(&threads), cpu::now());
    cpu::pass(Duration::from_secs(seconds));
    let (cpu, sleeps) = (cpu::of(&threads) - began, cpu::sleeps(&threads) - slept);
    let passed = cpu::now() - start;
    let (after, asked_again) = packets()?;
    // A machine that is too busy sends less, which must not pass for cheapness.
    let wanted = count as f64 * RATE as f64 * (asked_again - asked).as_secs_f64();
    for (what, share) in
        [("sent", (after.0 - before.0) as f64 / wanted), ("received", (after.1 - before.1) as f64 / wanted)]
    {
        if share < 0.95 {
            println!(
                "  {count} calls {what} only {:.0} % of their packets: the machine is too busy",
                share * 100.0
            );
        }
    }
    let passed = passed.as_secs_f64();
    Some(Cost { ms: cpu.as_secs_f64() * 1000.0 / passed / count as f64, sleeps: sleeps as f64 / passed })
}
