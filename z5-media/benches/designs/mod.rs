//! The designs compared, and the traffic they are measured with.

mod echo;
mod sessions;
mod shared;
mod sockets;
mod tokio_tasks;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use z5_media::batch::Batch;

/// What a design runs on: its bound sockets and when to stop.
pub(crate) struct Work {
    /// One socket per call, or one for all.
    pub(crate) sockets: Vec<UdpSocket>,
    /// Where echoes go.
    pub(crate) sink: SocketAddr,
    /// Calls.
    pub(crate) calls: usize,
    /// Set when the generator has ended.
    pub(crate) stop: Arc<AtomicBool>,
    /// Packets echoed.
    pub(crate) packets: Arc<AtomicU64>,
}

/// A design: how many sockets it wants for so many calls, and its loop.
#[derive(Clone, Copy)]
pub(crate) struct Design {
    shared: bool,
    run: fn(Work),
}

/// Every design; the first is the yardstick.
pub(crate) const ALL: [(&str, Design); 6] = [
    ("tokio task per call, webrtc-srtp, rtp-rs", Design { shared: false, run: tokio_tasks::run }),
    ("epoll thread, socket per call, in place, blocking", Design { shared: false, run: sockets::blocking }),
    ("epoll thread, socket per call, in place, 1 ms tick", Design { shared: false, run: sockets::ticking }),
    ("shared socket, batches of 64, in place, 1 ms tick", Design { shared: true, run: shared::run }),
    ("bare I/O: socket per call, 1 ms tick", Design { shared: false, run: echo::sockets }),
    ("bare I/O: shared socket, batches of 64, 1 ms tick", Design { shared: true, run: echo::shared }),
];

/// Packets per call and second.
const RATE: u64 = 50;

/// CPU time of this thread so far.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells CPU time there");
    Duration::from_nanos(text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number"))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// Runs one design under load; returns nanoseconds of CPU per packet, and the share of packets it missed.
pub(crate) fn measure(design: Design, calls: usize, size: usize, seconds: u64) -> (f64, f64) {
    let count = if design.shared { 1 } else { calls };
    let sockets: Vec<UdpSocket> = (0..count).map(|_| bind()).collect();
    let targets: Vec<SocketAddr> = sockets.iter().map(|s| s.local_addr().expect("bound")).collect();
    let sink = bind();
    let (stop, packets) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let work = Work {
        sockets,
        sink: sink.local_addr().expect("bound"),
        calls,
        stop: Arc::clone(&stop),
        packets: Arc::clone(&packets),
    };
    let wires = sessions::seal(calls, size, (seconds * RATE) as usize);
    let thread = std::thread::spawn(move || {
        let before = thread_cpu();
        (design.run)(work);
        thread_cpu() - before
    });
    generate(&wires, &targets, calls);
    stop.store(true, Ordering::Relaxed);
    let cpu = thread.join().expect("the design ran");
    let done = packets.load(Ordering::Relaxed);
    (cpu.as_nanos() as f64 / done as f64, 1.0 - done as f64 / wires.len() as f64)
}

fn bind() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_nonblocking(true).expect("non-blocking");
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
    socket
}

/// Sends the packets, spread evenly over each 20 ms.
fn generate(wires: &[Vec<u8>], targets: &[SocketAddr], calls: usize) {
    let socket = bind();
    let mut batch = Batch::new(64);
    let start = now();
    for (n, wire) in wires.iter().enumerate() {
        let (round, call) = (n / calls, n % calls);
        let slot = batch.free_slot().expect("sent when full");
        slot[..wire.len()].copy_from_slice(wire);
        batch.commit(wire.len(), targets[call % targets.len()]);
        // Twenty bursts per round: a millisecond's share each.
        if (call + 1) % calls.div_ceil(20) == 0 || call + 1 == calls || batch.is_full() {
            batch.send(&socket);
            let due = start
                + Duration::from_nanos(
                    (round * 20_000_000) as u64 + (20_000_000 * (call + 1) as u64 / calls as u64),
                );
            let wait = due.saturating_duration_since(now());
            if wait > Duration::from_micros(100) {
                std::thread::park_timeout(wait);
            }
        }
    }
    std::thread::park_timeout(Duration::from_millis(50));
}
