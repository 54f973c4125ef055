//! Shared sockets: one RTP and RTCP pair per packet thread that carries any number of streams, for load generation.
//!
//! The carrier expects a port per stream; who drives it with thousands of calls saves sockets and wake-ups here. Streams
//! are told apart by the far end's address and SSRC (see the demultiplexer). A far end is not learned from elsewhere than
//! the address it announced.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use socket2::SockRef;

use super::error::PortError;
use super::ports::{self, LocalPort};
use crate::stats::DropReason;

/// Bytes a shared socket's queue is asked to hold: some ten milliseconds of thousands of calls.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Likewise for sending.
const SEND_BUFFER: usize = 2 << 20;

/// Datagrams that no stream claimed, counted where they were dropped.
#[derive(Debug, Default)]
pub(super) struct SharedDrops([AtomicU64; DropReason::ALL.len()]);

impl SharedDrops {
    pub(super) fn count(&self, reason: DropReason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The place of a shared socket pair: its packet thread, and the number it has there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SharedPlace {
    pub(super) shard: usize,
    pub(super) index: usize,
}

#[derive(Debug)]
struct End {
    place: SharedPlace,
    rtp: SocketAddr,
    rtcp: SocketAddr,
    drops: Arc<SharedDrops>,
}

/// Socket pairs, one per packet thread, that many streams share. They live as long as their engine.
#[derive(Debug)]
pub struct SharedPort {
    ends: Vec<End>,
    next: AtomicUsize,
}

impl SharedPort {
    /// A port for one more stream; the packet threads take turns. Where more than one stream has its far end at the same
    /// address, each must say which SSRC it will receive.
    #[must_use]
    pub fn port(&self, remote_ssrc: Option<u32>) -> LocalPort {
        let end = &self.ends[self.next.fetch_add(1, Ordering::Relaxed) % self.ends.len()];
        LocalPort::shared(end.place, end.rtp, end.rtcp, remote_ssrc)
    }

    /// Datagrams that belonged to no stream, by reason; those of a stream are among its own figures.
    #[must_use]
    pub fn dropped(&self) -> BTreeMap<DropReason, u64> {
        let of = |reason: DropReason| {
            self.ends.iter().map(|end| end.drops.0[reason as usize].load(Ordering::Relaxed)).sum::<u64>()
        };
        DropReason::ALL
            .into_iter()
            .map(|reason| (reason, of(reason)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// A bound pair on its way to its packet thread.
pub(super) struct SharedSockets {
    pub(super) rtp: std::net::UdpSocket,
    pub(super) rtcp: std::net::UdpSocket,
    pub(super) drops: Arc<SharedDrops>,
}

/// Binds a pair for each of `shards` packet threads, to have number `index` there.
pub(super) fn open(
    bind: IpAddr,
    ports: &RangeInclusive<u16>,
    shards: usize,
    index: usize,
    start: u64,
) -> Result<(SharedPort, Vec<SharedSockets>), PortError> {
    let (mut ends, mut sockets) = (Vec::new(), Vec::new());
    for shard in 0..shards.max(1) {
        let pair = ports::bind_pair(bind, ports.clone(), start.wrapping_add(shard as u64))?;
        for socket in [&pair.rtp, &pair.rtcp] {
            // The system grants what it permits; a small queue costs packets, not correctness.
            let _ = SockRef::from(socket).set_recv_buffer_size(RECEIVE_BUFFER);
            let _ = SockRef::from(socket).set_send_buffer_size(SEND_BUFFER);
        }
        let drops = Arc::new(SharedDrops::default());
        let place = SharedPlace { shard, index };
        ends.push(End { place, rtp: pair.rtp_addr, rtcp: pair.rtcp_addr, drops: Arc::clone(&drops) });
        sockets.push(SharedSockets { rtp: pair.rtp, rtcp: pair.rtcp, drops });
    }
    Ok((SharedPort { ends, next: AtomicUsize::new(0) }, sockets))
}
