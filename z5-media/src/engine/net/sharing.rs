//! A shared socket pair on its packet thread: the table that tells its streams apart, and what waits to be sent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mio::net::UdpSocket;

use super::stream::NetStream;
use crate::batch::{Batch, MAX_BATCH, SLOT};
use crate::engine::demux::Demux;
use crate::engine::shared::{SharedDrops, SharedSockets};

/// A shared pair.
pub(super) struct Sharing {
    /// RTP and RTCP.
    pub(super) sockets: [UdpSocket; 2],
    pub(super) tables: [Demux; 2],
    pub(super) drops: Arc<SharedDrops>,
    /// Which of them are in the ready queue.
    pub(super) queued: [bool; 2],
    /// RTP that leaves together, and the slot of each datagram's stream.
    pub(super) outbox: Batch,
    senders: Vec<u32>,
}

impl Sharing {
    pub(super) fn new(sockets: SharedSockets) -> Self {
        // Where the system cannot coalesce, each datagram is a message of its own.
        Batch::coalesce(&sockets.rtp);
        Self {
            sockets: [UdpSocket::from_std(sockets.rtp), UdpSocket::from_std(sockets.rtcp)],
            tables: Default::default(),
            drops: sockets.drops,
            queued: [false; 2],
            outbox: Batch::new(MAX_BATCH),
            senders: Vec::with_capacity(MAX_BATCH),
        }
    }

    /// A free slot in the outbox, emptied if need be.
    pub(super) fn room(&mut self, streams: &mut [Option<Box<NetStream>>]) -> Option<&mut [u8; SLOT]> {
        if self.outbox.is_full() {
            self.flush(streams);
        }
        self.outbox.free_slot()
    }

    /// Closes the slot last given: a datagram of the stream in `slot`.
    pub(super) fn commit(&mut self, len: usize, to: SocketAddr, slot: usize) {
        self.outbox.commit(len, to);
        self.senders.push(slot as u32);
    }

    /// Sends what was gathered.
    pub(super) fn flush(&mut self, streams: &mut [Option<Box<NetStream>>]) {
        if self.outbox.is_empty() {
            return;
        }
        let senders = &self.senders;
        self.outbox.send_each(&self.sockets[0], |n| {
            if let Some(Some(stream)) = senders.get(n).and_then(|slot| streams.get_mut(*slot as usize)) {
                stream.send_errors += 1;
            }
        });
        self.senders.clear();
    }

    /// Sends one datagram at once: a report, or a packet that is sent again.
    pub(super) fn transmit(
        &mut self,
        stream: &mut NetStream,
        datagram: &[u8],
        to: SocketAddr,
        is_rtcp: bool,
        now: Instant,
    ) {
        let end = usize::from(is_rtcp && !stream.mux);
        stream.record_sent(to, end, datagram, now);
        if self.sockets[end].send_to(datagram, to).is_err() && !is_rtcp {
            stream.send_errors += 1;
        }
    }
}
