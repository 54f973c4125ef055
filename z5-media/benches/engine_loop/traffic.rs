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

/// Keys of every call, the same both ways.
pub(crate) fn params() -> SrtpParams {
    let key: Vec<u8> = (0..SUITE.key_and_salt_len() as u8).collect();
    SrtpParams::new(SUITE, &key, &key).expect("the suite's own length")
}

/// Packets of all calls in the order they are sent: each call's n-th packet after each other. A call's SSRC is its number.
pub(crate) fn seal(calls: usize, size: usize, rounds: usize) -> Vec<Vec<u8>> {
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
    wires
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

/// Sends the packets, spread evenly over each 20 ms: call `n` from `sources[n % len]` to `targets[n % len]`.
pub(crate) fn generate(wires: &[Vec<u8>], sources: &[UdpSocket], targets: &[SocketAddr], calls: usize) {
    let mut batch = Batch::new(64);
    let start = now();
    for (n, wire) in wires.iter().enumerate() {
        let (round, call) = (n / calls, n % calls);
        let (source, target) = (&sources[call % sources.len()], targets[call % targets.len()]);
        let slot = batch.free_slot().expect("sent when full");
        slot[..wire.len()].copy_from_slice(wire);
        batch.commit(wire.len(), target);
        // Twenty bursts per round: a millisecond's share each.
        let burst_ends = (call + 1) % calls.div_ceil(20) == 0 || call + 1 == calls;
        if burst_ends || batch.is_full() || sources.len() > 1 {
            batch.send(source);
        }
        if burst_ends {
            let due = Duration::from_nanos(
                (round * 20_000_000) as u64 + (20_000_000 * (call + 1) as u64 / calls as u64),
            );
            let wait = (start + due).saturating_duration_since(now());
            if wait > Duration::from_micros(100) {
                std::thread::park_timeout(wait);
            }
        }
    }
    std::thread::park_timeout(Duration::from_millis(50));
}
