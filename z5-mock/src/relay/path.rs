//! One component (RTP or RTCP) of a relayed media line: what arrives at one of its two ports leaves by the other. The logic is
//! apart from what carries it: a task at two sockets, or a simulation.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::tricks::Tricks;
use super::{Destinations, Side};
use crate::clock;
use crate::fault::{Fault, Faults};
use crate::imagined::{Imagined, Out, Player};
use crate::link::{self, Link, UnderWay};

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
    pub(super) destinations: Arc<Mutex<Destinations>>,
    pub(super) stats: Arc<Mutex<RelayStats>>,
    pub(super) faults: Faults,
    /// By the side that sends: that of the carrier's network, and that of the far end where it has one of its own.
    pub(super) links: [Vec<Link>; 2],
    pub(super) tricks: Tricks,
    /// Impaired packets under way.
    pub(super) late: UnderWay<Late>,
}

pub(super) struct Late {
    to: Side,
    packet: Vec<u8>,
}

/// Where packets leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// The one that faces this side.
    Facing(Side),
    /// Another one of the same address.
    Other,
}

/// Sends packets; `false` when one could not leave.
pub(super) trait Outlet {
    fn send(&mut self, from: Port, packet: &[u8], to: SocketAddr) -> bool;
}

impl Path {
    /// A packet has arrived at the port that faces `from`.
    pub(super) fn on_packet(
        &mut self,
        from: Side,
        source: SocketAddr,
        packet: &[u8],
        now: Instant,
        out: &mut impl Outlet,
    ) {
        if !self.take(from, source, packet.len(), now) {
            return;
        }
        let mut copies = link::pass(&mut self.links[from.index()], packet.len(), now.into_std()).peekable();
        if copies.peek().is_none() {
            self.count(from, |stats| stats.lost += 1);
        }
        for pause in copies {
            if pause == Duration::ZERO {
                self.deliver(from.other(), packet, out);
                continue;
            }
            let late = Late { to: from.other(), packet: packet.to_vec() };
            if !self.late.push((now + pause).into_std(), late) {
                self.count(from, |stats| stats.lost += 1);
            }
        }
    }

    /// When the next packet that is late is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.late.next_deadline().map(Instant::from_std)
    }

    /// Sends on what is due.
    pub(super) fn on_deadline(&mut self, now: Instant, out: &mut impl Outlet) {
        while let Some(Late { to, packet }) = self.late.due(now.into_std()) {
            self.deliver(to, &packet, out);
        }
    }

    /// Counts a packet, learns its source, and says whether it goes on.
    fn take(&self, from: Side, source: SocketAddr, length: usize, now: Instant) -> bool {
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
        destinations.last_packet = Some(now);
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

    fn deliver(&mut self, to: Side, packet: &[u8], out: &mut impl Outlet) {
        let destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        let sides = if self.rtcp { &destinations.rtcp } else { &destinations.rtp };
        let destination = sides[to.index()].learned.or(sides[to.index()].described);
        drop(destinations);
        let destination = destination.filter(|address| address.ip().is_loopback());
        let sent = match (destination, to) {
            (Some(address), Side::Caller) if !self.rtcp => {
                self.tricks.send(&self.faults, out, packet.to_vec(), address)
            }
            (Some(address), _) => out.send(Port::Facing(to), packet, address),
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

/// A path at two sockets.
pub(super) struct Sockets {
    pub(super) facing: [UdpSocket; 2],
    other: Option<std::net::UdpSocket>,
}

impl Sockets {
    pub(super) fn new(facing: [UdpSocket; 2]) -> Self {
        Self { facing, other: None }
    }

    /// A socket on another port of the same address; it does not block and is only sent from.
    fn other(&mut self) -> Option<&std::net::UdpSocket> {
        if self.other.is_none() {
            let address = self.facing[Side::Caller.index()].local_addr().ok()?.ip();
            let other = std::net::UdpSocket::bind(SocketAddr::new(address, 0)).ok()?;
            other.set_nonblocking(true).ok()?;
            self.other = Some(other);
        }
        self.other.as_ref()
    }

    /// Plays the path.
    pub(super) async fn run(mut self, mut path: Path) {
        // Until a new socket is known to take packets, `try_send_to` refuses them; the first one must not be lost by that: of text
        // it may be the only one for 15 s.
        for socket in &self.facing {
            if socket.writable().await.is_err() {
                return;
            }
        }
        let mut buffers = [[0; MAX_DATAGRAM]; 2];
        loop {
            let due = path.next_deadline();
            let [caller, callee] = &mut buffers;
            let (from, received) = tokio::select! {
                received = self.facing[0].recv_from(caller) => (Side::Caller, received),
                received = self.facing[1].recv_from(callee) => (Side::Callee, received),
                () = tokio::time::sleep_until(due.unwrap_or_else(clock::now)), if due.is_some() => {
                    path.on_deadline(clock::now(), &mut self);
                    continue;
                }
            };
            // An error is an ICMP message about a side that left (Windows tells it here).
            let Ok((length, source)) = received else { continue };
            path.on_packet(from, source, &buffers[from.index()][..length], clock::now(), &mut self);
        }
    }
}

impl Outlet for Sockets {
    fn send(&mut self, from: Port, packet: &[u8], to: SocketAddr) -> bool {
        match from {
            Port::Facing(side) => self.facing[side.index()].try_send_to(packet, to).is_ok(),
            Port::Other => self.other().is_some_and(|other| other.send_to(packet, to).is_ok()),
        }
    }
}

/// A path at two ports of a simulation.
pub(super) struct Ports {
    pub(super) path: Path,
    pub(super) facing: [SocketAddr; 2],
    pub(super) ports: Imagined,
    pub(super) other: Option<SocketAddr>,
}

struct Leaving<'a> {
    facing: [SocketAddr; 2],
    ports: &'a Imagined,
    other: &'a mut Option<SocketAddr>,
    out: &'a mut Out,
}

impl Outlet for Leaving<'_> {
    fn send(&mut self, from: Port, packet: &[u8], to: SocketAddr) -> bool {
        let facing = self.facing;
        let from = match from {
            Port::Facing(side) => facing[side.index()],
            Port::Other => *self.other.get_or_insert_with(|| self.ports.other(facing[0])),
        };
        self.out.send(from, packet, to);
        true
    }
}

impl Player for Ports {
    fn receive(
        &mut self,
        at: SocketAddr,
        packet: &mut [u8],
        source: SocketAddr,
        now: Instant,
        out: &mut Out,
    ) {
        let Self { path, facing, ports, other } = self;
        let from = if at == facing[0] { Side::Caller } else { Side::Callee };
        let mut leaving = Leaving { facing: *facing, ports, other, out };
        path.on_packet(from, source, packet, now, &mut leaving);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.path.next_deadline()
    }

    fn on_deadline(&mut self, now: Instant, out: &mut Out) {
        let Self { path, facing, ports, other } = self;
        path.on_deadline(now, &mut Leaving { facing: *facing, ports, other, out });
    }
}
