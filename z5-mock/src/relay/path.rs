//! One component (RTP or RTCP) of a relayed media line: two sockets, what arrives at one leaves by the other.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::tricks::Tricks;
use super::{Destinations, Side};
use crate::clock;
use crate::fault::{Fault, Faults};
use crate::link::{Fate, Link, UnderWay};

/// The largest datagram that is relayed.
const MAX_DATAGRAM: usize = 2048;

/// What one side of a stream sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathStats {
    /// RTP packets that arrived.
    pub rtp_packets: u64,
    /// Their bytes.
    pub rtp_bytes: u64,
    /// RTCP packets that arrived.
    pub rtcp_packets: u64,
    /// Packets of both kinds sent on, copies included.
    pub forwarded: u64,
    /// Dropped: they came from an address other than the one learned.
    pub foreign: u64,
    /// Dropped on purpose, by a fault or an impairment.
    pub lost: u64,
    /// Dropped: the other side is not known, or not on loopback.
    pub nowhere: u64,
}

/// One relayed media line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayStats {
    /// The call.
    pub call_id: String,
    /// Which media line of its description.
    pub index: usize,
    /// `audio`, `text`, `video`.
    pub kind: String,
    /// What the caller sent.
    pub from_caller: PathStats,
    /// What the callee sent.
    pub from_callee: PathStats,
}

pub(super) struct Path {
    pub(super) rtcp: bool,
    pub(super) sockets: [UdpSocket; 2],
    pub(super) destinations: Arc<Mutex<Destinations>>,
    pub(super) stats: Arc<Mutex<RelayStats>>,
    pub(super) faults: Faults,
    /// By the side that sends.
    pub(super) links: [Link; 2],
    pub(super) tricks: Tricks,
}

struct Late {
    to: Side,
    packet: Vec<u8>,
}

impl Path {
    pub(super) async fn run(mut self) {
        // Until a new socket is known to take packets, `try_send_to` refuses them; the first one must not be lost by that: of text
        // it may be the only one for 15 s.
        for socket in &self.sockets {
            if socket.writable().await.is_err() {
                return;
            }
        }
        let mut buffers = [[0; MAX_DATAGRAM]; 2];
        let mut under_way = UnderWay::default();
        loop {
            let due = under_way.next_deadline().map(Instant::from_std);
            let [caller, callee] = &mut buffers;
            let (from, received) = tokio::select! {
                received = self.sockets[0].recv_from(caller) => (Side::Caller, received),
                received = self.sockets[1].recv_from(callee) => (Side::Callee, received),
                () = tokio::time::sleep_until(due.unwrap_or_else(clock::now)), if due.is_some() => {
                    while let Some(Late { to, packet }) = under_way.due(clock::now().into_std()) {
                        self.deliver(to, &packet);
                    }
                    continue;
                }
            };
            // An error is an ICMP message about a side that left (Windows tells it here).
            let Ok((length, source)) = received else { continue };
            let packet = &buffers[from.index()][..length];
            if !self.take(from, source, length) {
                continue;
            }
            let now = clock::now().into_std();
            let Fate::Delivered { first, second } = self.links[from.index()].fate(length, now) else {
                self.count(from, |stats| stats.lost += 1);
                continue;
            };
            for pause in [Some(first), second].into_iter().flatten() {
                if pause == Duration::ZERO {
                    self.deliver(from.other(), packet);
                } else if !under_way.push(now + pause, Late { to: from.other(), packet: packet.to_vec() }) {
                    self.count(from, |stats| stats.lost += 1);
                }
            }
        }
    }

    /// Counts a packet, learns its source, and says whether it goes on.
    fn take(&self, from: Side, source: SocketAddr, length: usize) -> bool {
        let rtcp = self.rtcp;
        self.count(from, |stats| {
            if rtcp {
                stats.rtcp_packets += 1;
            } else {
                stats.rtp_packets += 1;
                stats.rtp_bytes += length as u64;
            }
        });
        let mut destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        let sides = if rtcp { &mut destinations.rtcp } else { &mut destinations.rtp };
        let own = sides[from.index()].takes(source);
        destinations.last_packet = Some(clock::now());
        drop(destinations);
        if !own {
            self.count(from, |stats| stats.foreign += 1);
            return false;
        }
        let one_way = from == Side::Callee && self.faults.strikes(Fault::OneWayMedia);
        if one_way || self.faults.strikes(Fault::NoMedia) {
            self.count(from, |stats| stats.lost += 1);
            return false;
        }
        true
    }

    fn deliver(&mut self, to: Side, packet: &[u8]) {
        let destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        let sides = if self.rtcp { &destinations.rtcp } else { &destinations.rtp };
        let destination = sides[to.index()].learned.or(sides[to.index()].described);
        drop(destinations);
        let destination = destination.filter(|address| address.ip().is_loopback());
        let socket = &self.sockets[to.index()];
        let sent = match (destination, to) {
            (Some(address), Side::Caller) if !self.rtcp => {
                self.tricks.send(&self.faults, socket, packet.to_vec(), address)
            }
            (Some(address), _) => socket.try_send_to(packet, address).is_ok(),
            (None, _) => false,
        };
        self.count(to.other(), |stats| if sent { stats.forwarded += 1 } else { stats.nowhere += 1 });
    }

    fn count(&self, from: Side, change: impl FnOnce(&mut PathStats)) {
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        match from {
            Side::Caller => change(&mut stats.from_caller),
            Side::Callee => change(&mut stats.from_callee),
        }
    }
}
