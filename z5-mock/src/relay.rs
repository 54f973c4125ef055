//! The media relay (step 5): every media line of a call goes through two pairs of ports of the carrier.
//!
//! Each side is sent to where its description says until its first packet arrives; that packet's source is learned and
//! then held, unless the described address itself speaks, and packets from elsewhere are dropped and counted. Payload is never looked at, so SRTP passes end to end.
//! Nothing is ever sent to an address that is not loopback.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::fault::Faults;
use crate::imagined::{Bound, Imagined};
use crate::impairment::{Conditions, Impairment};
use crate::link::{Bottleneck, Link, UnderWay};

mod path;
mod ports;
mod tricks;

pub use path::{PathStats, RelayStats};
pub(crate) use ports::Ports;

/// Ports in a simulation.
const IMAGINED_PORTS: RangeInclusive<u16> = 50_000..=59_999;
/// Sets the chances of a far end's own network apart from those of the carrier's.
const ACCESS: u64 = 0xacce_5500_0000_0000;
/// Streams whose figures are kept after their end.
const MAX_STATS: usize = 256;

/// One of the two in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Caller,
    Callee,
}

impl Side {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Caller => 0,
            Self::Callee => 1,
        }
    }
}

/// The network of a far end that is bad by itself, both ways; all media lines of its call share the bottleneck.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    conditions: Conditions,
    ways: [Bottleneck; 2],
}

impl Access {
    pub(crate) fn new(impairment: Impairment) -> Self {
        Self { conditions: Conditions::new(impairment), ways: Default::default() }
    }
}

/// Where a side says it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    rtp: SocketAddr,
    rtcp: SocketAddr,
}

impl Described {
    pub(crate) fn new(address: IpAddr, rtp_port: u16, rtcp_port: u16) -> Self {
        Self { rtp: SocketAddr::new(address, rtp_port), rtcp: SocketAddr::new(address, rtcp_port) }
    }
}

/// Figures of every stream, running ones and the last that ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct RelayFigures(Arc<Mutex<VecDeque<Arc<Mutex<RelayStats>>>>>);

impl RelayFigures {
    pub(crate) fn all(&self) -> Vec<RelayStats> {
        let figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        figures.iter().map(|stats| stats.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    fn add(&self, stats: Arc<Mutex<RelayStats>>) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if figures.len() == MAX_STATS {
            figures.pop_front();
        }
        figures.push_back(stats);
    }
}

pub(crate) struct Relay {
    ports: Ports,
    faults: Faults,
    impairment: Conditions,
    figures: RelayFigures,
    seed: u64,
    opened: u64,
    clock: Clock,
    /// Of each call by direction: what all its media lines share.
    bottlenecks: HashMap<String, [Bottleneck; 2]>,
}

impl Relay {
    pub(crate) fn new(
        address: IpAddr,
        range: RangeInclusive<u16>,
        faults: Faults,
        impairment: Conditions,
        figures: RelayFigures,
        seed: u64,
    ) -> Self {
        Self {
            ports: Ports::new(address, range),
            faults,
            impairment,
            figures,
            seed,
            opened: 0,
            bottlenecks: HashMap::new(),
            clock: Clock::System,
        }
    }

    /// Without sockets, in simulated time.
    pub(crate) fn imagined(
        address: IpAddr,
        ports: Imagined,
        faults: Faults,
        impairment: Conditions,
        figures: RelayFigures,
        seed: u64,
        clock: Clock,
    ) -> Self {
        let ports = Ports::imagined(address, IMAGINED_PORTS, ports);
        Self { ports, faults, impairment, figures, seed, opened: 0, bottlenecks: HashMap::new(), clock }
    }

    pub(crate) const fn address(&self) -> IpAddr {
        self.ports.address
    }

    /// Four ports for a media line; `None` when there are no ports left, and the line passes unrelayed. `access` is what the far end
    /// has in front of it.
    pub(crate) fn open(
        &mut self,
        call_id: &str,
        index: usize,
        kind: &str,
        access: Option<&Access>,
    ) -> Option<Stream> {
        let (places, facing) = match self.places() {
            Ok(places) => places,
            Err(error) => {
                tracing::warn!(%error, "the relay has no port for a media line");
                return None;
            }
        };
        let stats = Arc::new(Mutex::new(RelayStats {
            call_id: call_id.to_owned(),
            index,
            kind: kind.to_owned(),
            ..RelayStats::default()
        }));
        self.figures.add(Arc::clone(&stats));
        let destinations = Arc::new(Mutex::new(Destinations::default()));
        // Those of calls that are over have no line any more.
        self.bottlenecks.retain(|_, ways| ways.iter().any(Bottleneck::is_shared));
        let ways = self.bottlenecks.entry(call_id.to_owned()).or_default().clone();
        let (mut tasks, mut bound) = (JoinSet::new(), Vec::new());
        for (place, rtcp) in places.into_iter().zip([false, true]) {
            self.opened += 1;
            let path = path::Path {
                rtcp,
                destinations: Arc::clone(&destinations),
                stats: Arc::clone(&stats),
                faults: self.faults.clone(),
                links: [0, 1].map(|side| {
                    let seed = self.seed.wrapping_add(2 * self.opened + side as u64);
                    let network = Link::new(self.impairment.clone(), ways[side].clone(), seed);
                    let access = access.map(|Access { conditions, ways }| {
                        Link::new(conditions.clone(), ways[side].clone(), seed ^ ACCESS)
                    });
                    [network].into_iter().chain(access).collect()
                }),
                tricks: tricks::Tricks::default(),
                late: UnderWay::default(),
            };
            match place {
                Place::Sockets(sockets) => drop(tasks.spawn(path::Sockets::new(sockets).run(path))),
                Place::Imagined(facing, ports) => {
                    let player = path::Ports { path, facing, ports: ports.clone(), other: None };
                    bound.push(ports.bind(facing.to_vec(), Arc::new(Mutex::new(player))).ok()?);
                }
            }
        }
        Some(Stream { facing, opened: self.clock.now(), destinations, _tasks: tasks, _bound: bound })
    }

    /// Where RTP and RTCP of a line are relayed, and the RTP ports that face the two sides.
    fn places(&mut self) -> io::Result<([Place; 2], [u16; 2])> {
        if let Some(ports) = self.ports.simulation() {
            let none = || io::Error::from(io::ErrorKind::AddrInUse);
            let (caller, callee) = (self.ports.imagine(), self.ports.imagine());
            let (caller, callee) = (caller.ok_or_else(none)?, callee.ok_or_else(none)?);
            let place = |end: usize| Place::Imagined([caller[end], callee[end]], ports.clone());
            return Ok(([place(0), place(1)], [caller[0].port(), callee[0].port()]));
        }
        let (caller, callee) = (self.ports.pair()?, self.ports.pair()?);
        let facing = [caller.rtp_port, callee.rtp_port];
        let places = [[caller.rtp, callee.rtp], [caller.rtcp, callee.rtcp]].map(Place::Sockets);
        Ok((places, facing))
    }
}

/// Where one component of a line is relayed: what faces the caller and what faces the callee.
enum Place {
    Sockets([UdpSocket; 2]),
    Imagined([SocketAddr; 2], Imagined),
}

/// A relayed media line; dropping it closes its ports.
pub(crate) struct Stream {
    facing: [u16; 2],
    opened: Instant,
    destinations: Arc<Mutex<Destinations>>,
    _tasks: JoinSet<()>,
    _bound: Vec<Bound>,
}

impl Stream {
    /// When a packet came last, from whichever side; when it was opened, if none has come.
    pub(crate) fn last_packet(&self) -> Instant {
        let destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        destinations.last_packet.unwrap_or(self.opened)
    }

    /// Whether the caller has sent something.
    pub(crate) fn carried(&self) -> bool {
        let destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        destinations.rtp[Side::Caller.index()].learned.is_some()
    }

    /// The RTP port that this side sends to; RTCP is the next one.
    pub(crate) const fn facing(&self, side: Side) -> u16 {
        self.facing[side.index()]
    }

    /// What a side's description says; a change makes the relay learn that side's address anew.
    pub(crate) fn describe(&self, side: Side, described: Described) {
        let mut guard = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        let destinations = &mut *guard;
        let sides = [&mut destinations.rtp[side.index()], &mut destinations.rtcp[side.index()]];
        for (destination, address) in sides.into_iter().zip([described.rtp, described.rtcp]) {
            if destination.described != Some(address) {
                *destination = Destination { described: Some(address), learned: None };
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Destination {
    described: Option<SocketAddr>,
    learned: Option<SocketAddr>,
}

impl Destination {
    /// Is a packet from this address the side's own? The first source is learned and then held, but the described address, when
    /// it speaks, goes before whatever was learned: on one host a port is soon somebody else's, whose last packets may still come.
    fn takes(&mut self, source: SocketAddr) -> bool {
        if self.described == Some(source) {
            self.learned = Some(source);
        }
        *self.learned.get_or_insert(source) == source
    }
}

/// By side, for each of the two components.
#[derive(Debug, Default)]
struct Destinations {
    rtp: [Destination; 2],
    rtcp: [Destination; 2],
    /// When a packet came last.
    last_packet: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::sim::Datagram;

    /// For what loopback carries at once; far more than a busy machine needs.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

    /// How many of a hundred packets over real sockets are lost, for a seed.
    async fn lost(seed: u64) -> u64 {
        let impairment = Conditions::new(Impairment { loss: 0.3, ..Impairment::default() });
        let figures = RelayFigures::default();
        let here = IpAddr::from([127, 0, 0, 1]);
        let mut relay = Relay::new(here, 0..=0, Faults::default(), impairment, figures.clone(), seed);
        let stream = relay.open("a call", 0, "audio", None).unwrap();
        let client = UdpSocket::bind((here, 0)).await.unwrap();
        for number in 0..100_u8 {
            client.send_to(&[number; 20], (here, stream.facing(Side::Caller))).await.unwrap();
            // One at a time: what the kernel drops is not what the seed decides.
            let counted = async {
                while figures.all()[0].from_caller.rtp_packets <= number.into() {
                    tokio::task::yield_now().await;
                }
            };
            let waited = tokio::time::timeout(PATIENCE, counted).await;
            assert!(waited.is_ok(), "packet {number} of 100 never reached the relay");
        }
        figures.all()[0].from_caller.lost
    }

    #[tokio::test]
    async fn what_is_lost_is_decided_by_the_seed() {
        let one = lost(9).await;
        assert_eq!(one, lost(9).await);
        assert!((15..45).contains(&one), "{one} of 100");
        let mut others = Vec::new();
        for seed in 10..14 {
            others.push(lost(seed).await);
        }
        assert!(others.iter().any(|other| *other != one), "{one}, {others:?}");
    }

    /// Without sockets, and at moments that the test chooses.
    #[test]
    fn in_simulated_time_what_is_late_leaves_when_it_is_due_and_a_line_that_ended_takes_nothing() {
        let pause = std::time::Duration::from_millis(30);
        let impairment = Conditions::new(Impairment { delay: pause, ..Impairment::default() });
        let (ports, figures) = (Imagined::default(), RelayFigures::default());
        let here = IpAddr::from([127, 0, 0, 1]);
        let mut relay = Relay::imagined(
            here,
            ports.clone(),
            Faults::default(),
            impairment,
            figures.clone(),
            1,
            Clock::System,
        );
        let stream = relay.open("a call", 0, "audio", None).unwrap();
        stream.describe(Side::Caller, Described::new(here, 10_000, 10_001));
        stream.describe(Side::Callee, Described::new(here, 20_000, 20_001));
        let at = |port| SocketAddr::new(here, port);
        let (caller, callee) = (stream.facing(Side::Caller), stream.facing(Side::Callee));
        let mut first = Datagram { from: at(10_000), to: at(caller), bytes: vec![0x80; 20] };
        let now = clock::now();
        assert!(ports.receive(&mut first, now) && ports.sent().is_empty());
        assert_eq!(ports.next_deadline(), Some(now + pause));
        ports.on_deadline(now + pause / 2);
        assert!(ports.sent().is_empty());
        ports.on_deadline(now + pause);
        let sent = Datagram { from: at(callee), to: at(20_000), bytes: vec![0x80; 20] };
        assert_eq!((ports.sent(), ports.next_deadline()), (vec![sent], None));
        let stats = figures.all();
        assert_eq!((stats[0].from_caller.rtp_packets, stats[0].from_caller.forwarded), (1, 1));
        drop(stream);
        assert!(!ports.receive(&mut first, now + pause));
    }

    #[test]
    fn the_first_source_is_held_until_the_described_one_speaks() {
        let [described, translated, stray] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut side = Destination { described: Some(described), learned: None };
        assert!(side.takes(translated) && !side.takes(stray) && side.takes(translated));
        assert!(side.takes(described) && !side.takes(translated) && !side.takes(stray));
        assert_eq!(side.learned, Some(described));
    }
}
