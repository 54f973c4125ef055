//! CPU time per packet of several designs under the same traffic.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use z5_media::{EncodedMedia, StreamId};

use super::traffic::{RATE, Traffic, address, bind};
use super::{calls, cpu, floor, traffic, yardstick};

/// What a design that is a loop runs on.
pub(crate) struct Work {
    /// Bound: one socket per call, or one for all.
    pub(crate) sockets: Vec<UdpSocket>,
    /// Where packets come from and go to, when that is one address.
    pub(crate) far: SocketAddr,
    pub(crate) progress: Arc<Progress>,
}

/// What a loop tells and is told.
#[derive(Default)]
pub(crate) struct Progress {
    /// Bytes of an RTP packet.
    pub(crate) size: usize,
    /// Set by the loop when it could take packets: the clock starts then.
    pub(crate) ready: AtomicBool,
    /// Set when the generator has ended and the clock has stopped.
    pub(crate) stop: AtomicBool,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

impl Progress {
    /// So many packets were received and sent on.
    pub(crate) fn echoed(&self, packets: u64) {
        self.received.fetch_add(packets, Ordering::Relaxed);
        self.sent.fetch_add(packets, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy)]
enum Design {
    /// A loop of its own.
    Loop(fn(Work)),
    /// The engine with streams of pre-encoded media.
    Engine,
}

/// A design under a kind of traffic.
struct Row {
    name: &'static str,
    design: Design,
    /// Of ours: a socket per call, or one for all.
    shared: bool,
    /// Of the far end: an address per call, or one for all.
    one_far_end: bool,
}

/// The first is the yardstick. The far end's addresses make no difference to a socket per call.
const ROWS: [Row; 9] = [
    Row {
        name: "yardstick: tokio task per call, webrtc-srtp, rtp-rs",
        design: Design::Loop(yardstick::endpoint),
        shared: false,
        one_far_end: true,
    },
    Row {
        name: "the same, but it only sends on what comes",
        design: Design::Loop(yardstick::echo),
        shared: false,
        one_far_end: true,
    },
    Row { name: "z5, a socket per call", design: Design::Engine, shared: false, one_far_end: true },
    Row {
        name: "z5, shared socket, far ends at addresses of their own",
        design: Design::Engine,
        shared: true,
        one_far_end: false,
    },
    Row {
        name: "z5, shared socket, far ends at one address",
        design: Design::Engine,
        shared: true,
        one_far_end: true,
    },
    Row {
        name: "I/O alone, a socket per call",
        design: Design::Loop(floor::sockets),
        shared: false,
        one_far_end: true,
    },
    Row {
        name: "I/O alone, a socket per call, connected",
        design: Design::Loop(floor::connected),
        shared: false,
        one_far_end: true,
    },
    Row {
        name: "I/O alone, shared socket, addresses of their own",
        design: Design::Loop(floor::shared),
        shared: true,
        one_far_end: false,
    },
    Row {
        name: "I/O alone, shared socket, one address",
        design: Design::Loop(floor::shared),
        shared: true,
        one_far_end: true,
    },
];

/// Measures every row in every round, or those that are named by their numbers from 1 on; packets come each at its moment, or in a
/// burst each millisecond. The first row measured is what the others are compared with.
pub(crate) fn run(only: &[usize], count: usize, seconds: u64, rounds: usize, bursts: bool) {
    let numbered = ROWS.iter().enumerate().filter(|(n, _)| only.is_empty() || only.contains(&(n + 1)));
    let rows: Vec<&Row> = numbered.map(|(_, row)| row).collect();
    for size in [172, 1200] {
        println!(
            "{count} calls x {RATE} packets/s{}, {size} B, {}, {seconds} s, {rounds} interleaved rounds",
            if bursts { " in a burst each millisecond" } else { "" },
            traffic::SUITE.name()
        );
        let traffic = Traffic::seal(count, size, (seconds * RATE) as usize, bursts);
        let mut results: Vec<Vec<f64>> = vec![Vec::new(); rows.len()];
        let mut missed = vec![0.0_f64; rows.len()];
        for _ in 0..rounds {
            for (n, row) in rows.iter().enumerate() {
                let Some((ns, share)) = measure(row, &traffic, count, size) else {
                    println!(
                        "  {}: not measured, the engine did not answer within 5 s: the machine is too busy",
                        row.name
                    );
                    continue;
                };
                results[n].push(ns);
                missed[n] = missed[n].max(share);
            }
        }
        let yardstick = cpu::median(&results[0]);
        let measured = rows.iter().zip(&results).zip(&missed).filter(|((_, values), _)| !values.is_empty());
        for ((row, values), missed) in measured {
            let ns = cpu::median(values);
            let spread = values.iter().copied().fold(f64::INFINITY, f64::min)
                ..values.iter().copied().fold(0.0, f64::max);
            println!(
                "  {:<54} {ns:>6.0} ns/packet ({:.0} to {:.0})  {:>5.0} calls/core  {:>5.2}x  missed at most {:.1} %",
                row.name,
                spread.start,
                spread.end,
                1e9 / (ns * RATE as f64),
                yardstick / ns,
                missed * 100.0
            );
        }
    }
}

/// Nanoseconds of CPU for a packet received and one sent, and the share of packets missed; none when an engine is so far behind
/// that it does not answer.
fn measure(row: &Row, traffic: &Traffic, count: usize, size: usize) -> Option<(f64, f64)> {
    let sources: Vec<UdpSocket> = (0..if row.one_far_end { 1 } else { count }).map(|_| bind()).collect();
    let (cpu, received, sent) = match row.design {
        Design::Loop(run) => own_loop(run, row.shared, traffic, &sources, count, size),
        Design::Engine => engine(row.shared, traffic, &sources, count, size)?,
    };
    // Where the system lost some on the way in, the others would seem dearer than they are.
    Some((
        cpu.as_nanos() as f64 * 2.0 / (received + sent).max(1) as f64,
        1.0 - received as f64 / traffic.len() as f64,
    ))
}

/// CPU time of a loop from its being ready on, packets received and sent.
fn own_loop(
    run: fn(Work),
    shared: bool,
    traffic: &Traffic,
    sources: &[UdpSocket],
    count: usize,
    size: usize,
) -> (Duration, u64, u64) {
    let sockets: Vec<UdpSocket> = (0..if shared { 1 } else { count }).map(|_| bind()).collect();
    let targets: Vec<SocketAddr> = sockets.iter().map(address).collect();
    let progress = Arc::new(Progress { size, ..Progress::default() });
    let work = Work { sockets, far: address(&sources[0]), progress: Arc::clone(&progress) };
    let before = cpu::threads();
    let thread = std::thread::spawn(move || run(work));
    while !progress.ready.load(Ordering::Acquire) {
        cpu::pass(Duration::from_millis(1));
    }
    let threads: BTreeSet<u32> = cpu::threads().difference(&before).copied().collect();
    let began = cpu::of(&threads);
    traffic.generate(sources, &targets);
    let cpu = cpu::of(&threads) - began;
    progress.stop.store(true, Ordering::Relaxed);
    thread.join().expect("the design ran");
    (cpu, progress.received.load(Ordering::Relaxed), progress.sent.load(Ordering::Relaxed))
}

/// The same of the engine, which sends by itself at the generator's pace.
fn engine(
    shared: bool,
    traffic: &Traffic,
    sources: &[UdpSocket],
    count: usize,
    size: usize,
) -> Option<(Duration, u64, u64)> {
    let media = EncodedMedia::new([vec![0x55; size - z5_media::rtp::HEADER_LEN]]).expect("it fits");
    let before = cpu::threads();
    let engine = calls::engine();
    let threads: BTreeSet<u32> = cpu::threads().difference(&before).copied().collect();
    let port = shared.then(|| engine.share(calls::LOCAL, 0..=0).expect("a port"));
    let mut targets = Vec::new();
    let streams: Vec<StreamId> = (0..count)
        .map(|call| {
            let local = match &port {
                Some(port) => port.port(Some(call as u32)),
                None => engine.reserve(calls::LOCAL, 0..=0).expect("a port"),
            };
            targets.push(local.rtp_addr());
            let remote = address(&sources[call % sources.len()]);
            let mut config = calls::stream(calls::load(&media), remote, 1 << 20, Some(traffic::params()));
            config.rtcp_mux = true;
            engine.start_stream(local, config).expect("started")
        })
        .collect();
    // Every stream is at work before the clock starts. Asking takes a while, in which packets leave.
    let figures = || {
        let start = cpu::now();
        let mut sum = (0, 0);
        for stream in &streams {
            let stats = engine.stats(*stream)?;
            sum = (sum.0 + stats.packets_received, sum.1 + stats.packets_sent);
        }
        Some((sum, start + (cpu::now() - start) / 2))
    };
    let ((_, sent_before), asked) = figures()?;
    let (began, start) = (cpu::of(&threads), cpu::now());
    traffic.generate(sources, &targets);
    let (cpu, passed) = (cpu::of(&threads) - began, cpu::now() - start);
    let ((received, sent), asked_again) = figures()?;
    let per_second = (sent - sent_before) as f64 / (asked_again - asked).as_secs_f64();
    Some((cpu, received, (per_second * passed.as_secs_f64()) as u64))
}
