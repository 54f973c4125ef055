//! CPU time per packet of several designs under the same traffic.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use z5_media::{EncodedMedia, StreamId};

use super::traffic::{RATE, address, bind, generate, seal};
use super::{calls, cpu, floor, traffic, yardstick};

/// What a design that is a loop runs on: its bound sockets and when to stop.
pub(crate) struct Work {
    /// One socket per call, or one for all.
    pub(crate) sockets: Vec<UdpSocket>,
    /// Where echoes go.
    pub(crate) sink: SocketAddr,
    /// Where packets come from, when that is one address.
    pub(crate) source: SocketAddr,
    /// Set when the generator has ended.
    pub(crate) stop: Arc<AtomicBool>,
    /// Packets echoed.
    pub(crate) packets: Arc<AtomicU64>,
}

#[derive(Clone, Copy)]
enum Design {
    /// A loop that echoes.
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
const ROWS: [Row; 8] = [
    Row {
        name: "yardstick: tokio task per call, webrtc-srtp, rtp-rs",
        design: Design::Loop(yardstick::run),
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

/// Measures every row in every round.
pub(crate) fn run(count: usize, seconds: u64, rounds: usize) {
    for size in [172, 1200] {
        println!(
            "{count} calls x {RATE} packets/s, {size} B, {}, {seconds} s, {rounds} interleaved rounds",
            traffic::SUITE.name()
        );
        let wires = seal(count, size, (seconds * RATE) as usize);
        let mut results: Vec<Vec<f64>> = vec![Vec::new(); ROWS.len()];
        let mut missed = vec![0.0_f64; ROWS.len()];
        for _ in 0..rounds {
            for (n, row) in ROWS.iter().enumerate() {
                let (ns, share) = measure(row, &wires, count, size);
                results[n].push(ns);
                missed[n] = missed[n].max(share);
            }
        }
        let yardstick = cpu::median(&results[0]);
        for ((row, values), missed) in ROWS.iter().zip(&results).zip(&missed) {
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

/// Nanoseconds of CPU per packet, and the share of packets missed.
fn measure(row: &Row, wires: &[Vec<u8>], count: usize, size: usize) -> (f64, f64) {
    let sources: Vec<UdpSocket> = (0..if row.one_far_end { 1 } else { count }).map(|_| bind()).collect();
    let (cpu, done) = match row.design {
        Design::Loop(run) => echo(run, row.shared, wires, &sources, count),
        Design::Engine => engine(row.shared, wires, &sources, count, size),
    };
    (cpu / done as f64, 1.0 - done as f64 / wires.len() as f64)
}

fn echo(run: fn(Work), shared: bool, wires: &[Vec<u8>], sources: &[UdpSocket], count: usize) -> (f64, u64) {
    let sockets: Vec<UdpSocket> = (0..if shared { 1 } else { count }).map(|_| bind()).collect();
    let targets: Vec<SocketAddr> = sockets.iter().map(address).collect();
    let sink = bind();
    let (stop, packets) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let work = Work {
        sockets,
        sink: address(&sink),
        source: address(&sources[0]),
        stop: Arc::clone(&stop),
        packets: Arc::clone(&packets),
    };
    let thread = std::thread::spawn(move || {
        let before = cpu::this_thread();
        run(work);
        cpu::this_thread() - before
    });
    generate(wires, sources, &targets, count);
    stop.store(true, Ordering::Relaxed);
    let cpu = thread.join().expect("the design ran");
    (cpu.as_nanos() as f64, packets.load(Ordering::Relaxed))
}

/// The engine sends by itself at the generator's pace; a packet received and one sent count as one.
fn engine(shared: bool, wires: &[Vec<u8>], sources: &[UdpSocket], count: usize, size: usize) -> (f64, u64) {
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
    // Every stream is at work before the clock starts.
    let received = |stream: &StreamId| engine.stats(*stream).expect("running");
    let sent_before: u64 = streams.iter().map(|stream| received(stream).packets_sent).sum();
    let began = cpu::of(&threads);
    generate(wires, sources, &targets, count);
    let cpu = cpu::of(&threads) - began;
    let (mut taken, mut sent) = (0, 0);
    for stream in &streams {
        let stats = received(stream);
        taken += stats.packets_received;
        sent += stats.packets_sent;
    }
    let sent = sent - sent_before;
    // Where the system lost some on the way in, the others would seem dearer than they are.
    (cpu.as_nanos() as f64 * 2.0 * taken as f64 / (taken + sent).max(1) as f64, taken)
}
