//! Packets sealed beforehand, and the generator that sends them.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use z5_media::batch::Batch;
use z5_media::rtp::Header;
use z5_media::srtp::Sender;
use z5_media::{SrtpParams, SrtpSuite};

use super::cpu::now;

/// The suite compared.
pub(crate) const SUITE: SrtpSuite = SrtpSuite::AeadAes128Gcm;
/// Packets per call and second.
pub(crate) const RATE: u64 = 50;
/// From one packet of a call to its next.
pub(crate) const PACKET_TIME: Duration = Duration::from_millis(1000 / RATE);

/// Keys of every call, the same both ways.
pub(crate) fn params() -> SrtpParams {
    let key: Vec<u8> = (0..SUITE.key_and_salt_len() as u8).collect();
    SrtpParams::new(SUITE, &key, &key).expect("the suite's own length")
}

/// What is sent.
pub(crate) struct Traffic {
    /// Each call's n-th packet after each other. A call's SSRC is its number.
    wires: Vec<Vec<u8>>,
    /// The calls in the order in which their packets leave, and when within each packet time. Calls know nothing of each other, so
    /// the moments are drawn at random, and no design meets its calls in the order of its memory.
    order: Vec<(Duration, usize)>,
}

impl Traffic {
    /// So many packets of so many calls. In bursts, what is due within a millisecond leaves together at its end.
    pub(crate) fn seal(calls: usize, size: usize, rounds: usize, bursts: bool) -> Self {
        let mut senders: Vec<Sender> = (0..calls).map(|_| params().contexts().expect("keys").0).collect();
        let mut wires = Vec::with_capacity(calls * rounds);
        for round in 0..rounds {
            for (call, sender) in senders.iter_mut().enumerate() {
                let mut wire = vec![0x55; size + SrtpSuite::MAX_OVERHEAD];
                let header = Header {
                    payload_type: 0,
                    marker: false,
                    sequence: round as u16,
                    timestamp: round as u32 * 160,
                    ssrc: call as u32,
                };
                header.write(wire.first_chunk_mut().expect("long enough"));
                let len = sender.protect_rtp(&mut wire, size).expect("room");
                wire.truncate(len);
                wires.push(wire);
            }
        }
        // Knuth's MMIX generator: the same moments in every run.
        let mut state = 1_u64;
        let mut order: Vec<(Duration, usize)> = (0..calls)
            .map(|call| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = PACKET_TIME.mul_f64((state >> 11) as f64 / (1_u64 << 53) as f64);
                let whole = Duration::from_millis(at.as_millis() as u64 + 1);
                (if bursts { whole } else { at }, call)
            })
            .collect();
        order.sort_unstable();
        Self { wires, order }
    }

    /// All packets there are.
    pub(crate) fn len(&self) -> usize {
        self.wires.len()
    }

    /// Sends the packets, each at its moment: call `n` from `sources[n % len]` to `targets[n % len]`. What comes back is read and
    /// thrown away, so that no design sends into a queue that is full. Busy in between: a thread that sleeps is late.
    pub(crate) fn generate(&self, sources: &[UdpSocket], targets: &[SocketAddr]) {
        let (mut batch, mut back) = (Batch::new(64), Batch::new(16));
        let (start, calls) = (now(), self.order.len());
        for (n, wires) in self.wires.chunks_exact(calls).enumerate() {
            for (place, (within, call)) in self.order.iter().enumerate() {
                let due = start + PACKET_TIME * n as u32 + *within;
                if now() < due {
                    batch.send(&sources[0]);
                    let _ = back.receive(&sources[place % sources.len()], 16);
                    while now() < due {
                        std::hint::spin_loop();
                    }
                }
                let (source, wire) = (&sources[call % sources.len()], &wires[*call]);
                batch.free_slot().expect("sent when full")[..wire.len()].copy_from_slice(wire);
                batch.commit(wire.len(), targets[call % targets.len()]);
                if sources.len() > 1 || batch.is_full() {
                    batch.send(source);
                }
            }
        }
        batch.send(&sources[0]);
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// A socket with room in its queue.
pub(crate) fn bind() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_nonblocking(true).expect("non-blocking");
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
    socket
}

/// Where a socket is.
pub(crate) fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("bound")
}
