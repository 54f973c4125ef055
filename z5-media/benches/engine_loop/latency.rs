//! From the socket to the callback: a packet of text each, quiet and beside a control runtime that has bursts of work.
//!
//! The yardstick is a tokio task on that same runtime. With the machine's cores busy otherwise this shows the scheduler.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use z5_media::rtp::{HEADER_LEN, Header};
use z5_media::{Engine, EngineConfig, StreamEvent, StreamKind, TextConfig, TextPayloadTypes};

use super::traffic::{address, bind};
use super::{calls, cpu};

/// Time between packets; not a divisor of the bursts' period.
const PACE: Duration = Duration::from_micros(3700);
/// A burst of work on the control runtime, and the pause after it.
const BURST: Duration = Duration::from_micros(800);
const PAUSE: Duration = Duration::from_millis(4);

type Moments = Arc<Mutex<Vec<Instant>>>;

/// Measures both, quiet and noisy.
pub(crate) fn run(seconds: u64) {
    let packets = (Duration::from_secs(seconds.max(5)).as_nanos() / PACE.as_nanos()) as usize;
    println!("latency from socket to callback, {packets} packets each, {PACE:?} apart");
    for noisy in [false, true] {
        for (name, realtime) in
            [("tokio task", None), ("z5", Some(false)), ("z5, SCHED_FIFO where permitted", Some(true))]
        {
            let mut waits = match realtime {
                None => tokio_task(packets, noisy),
                Some(realtime) => engine(packets, noisy, realtime),
            };
            waits.sort_unstable();
            let at =
                |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_nanos() as f64 / 1000.0;
            println!(
                "  {:<34} {:<14} p50 {:>7.0} us  p99 {:>7.0} us  p99.9 {:>7.0} us  ({} of {packets} heard)",
                name,
                if noisy { "busy runtime" } else { "quiet" },
                at(0.5),
                at(0.99),
                at(0.999),
                waits.len()
            );
        }
    }
}

/// Sends numbered packets and says when; `heard` holds when each was called back.
fn waits(packets: usize, to: SocketAddr, heard: &Moments) -> Vec<Duration> {
    let socket = bind();
    let mut wire = [b'x'; HEADER_LEN + 1];
    let mut sent = Vec::with_capacity(packets);
    let start = cpu::now();
    for n in 0..packets {
        cpu::pass((start + PACE * n as u32).saturating_duration_since(cpu::now()));
        let header =
            Header { payload_type: 98, marker: false, sequence: n as u16, timestamp: n as u32 * 4, ssrc: 5 };
        header.write(wire.first_chunk_mut().expect("long enough"));
        sent.push(cpu::now());
        socket.send_to(&wire, to).expect("sent");
    }
    cpu::pass(Duration::from_millis(100));
    let heard = heard.lock().expect("nobody panicked");
    // Nothing is lost on an idle loopback interface; if something was, the pairs would not fit and nothing is said.
    if heard.len() != sent.len() {
        println!("  {} of {} packets were heard: not comparable", heard.len(), sent.len());
    }
    heard.iter().zip(&sent).map(|(heard, sent)| heard.saturating_duration_since(*sent)).collect()
}

/// Work in bursts, as signalling of other calls is.
async fn bursts(stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let end = cpu::now() + BURST;
        while cpu::now() < end {
            std::hint::spin_loop();
        }
        let _ = tokio::time::timeout(PAUSE, std::future::pending::<()>()).await;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn engine(packets: usize, noisy: bool, realtime: bool) -> Vec<Duration> {
    let heard: Moments = Arc::new(Mutex::new(Vec::with_capacity(packets)));
    let moments = Arc::clone(&heard);
    let mut setup = EngineConfig::new(move |event| {
        // Two packets that come close may be told together: a character each.
        if let StreamEvent::Text { text, .. } = event {
            let now = cpu::now();
            moments.lock().expect("nobody panicked").extend(text.chars().map(|_| now));
        }
    });
    setup.realtime = realtime;
    let engine = Engine::start(setup).expect("threads");
    let port = engine.reserve(calls::LOCAL, 0..=0).expect("a port");
    let to = port.rtp_addr();
    let types = TextPayloadTypes { t140: 98, red: None };
    let text = StreamKind::Text(TextConfig { send: types, receive: types, characters_per_second: 30 });
    engine.start_stream(port, calls::stream(text, address(&bind()), 1, None)).expect("started");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let control = noisy.then(|| std::thread::spawn(move || runtime().block_on(bursts(stopped))));
    let waits = waits(packets, to, &heard);
    stop.store(true, Ordering::Relaxed);
    if let Some(control) = control {
        control.join().expect("the runtime ended");
    }
    waits
}

fn tokio_task(packets: usize, noisy: bool) -> Vec<Duration> {
    let heard: Moments = Arc::new(Mutex::new(Vec::with_capacity(packets)));
    let moments = Arc::clone(&heard);
    let socket = bind();
    let to = address(&socket);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let control = std::thread::spawn(move || {
        runtime().block_on(async move {
            let socket = tokio::net::UdpSocket::from_std(socket).expect("registered");
            if noisy {
                tokio::spawn(bursts(Arc::clone(&stopped)));
            }
            let mut buffer = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                let next =
                    tokio::time::timeout(Duration::from_millis(50), socket.recv_from(&mut buffer)).await;
                if let Ok(Ok((len, _))) = next
                    && z5_media::rtp::Packet::parse(&buffer[..len]).is_ok()
                {
                    let now = cpu::now();
                    moments.lock().expect("nobody panicked").push(now);
                }
            }
        });
    });
    let waits = waits(packets, to, &heard);
    stop.store(true, Ordering::Relaxed);
    control.join().expect("the runtime ended");
    waits
}
