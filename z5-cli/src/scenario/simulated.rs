//! The mock carrier and the media of everybody in simulated time, as sessions reach them: names, HTTPS, SIP and datagrams, without
//! threads and sockets. One runtime with a paused clock holds all of it ([`z5_core::simulation`]).

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use z5_core::clock::{self, WallAnchor};
use z5_core::media::engine::simulated;
use z5_core::simulation::{ConnectAnswer, Hear, Heard, Simulation};
use z5_mock::sim::{Datagram, Said, Sim};

mod network;

/// What the calendar says when a simulation begins: 2027-01-15 08:00 UTC, whenever it is run.
pub(super) const BEGINS: Duration = Duration::from_secs(1_800_000_000);
/// How long names and HTTPS take there and back, and what the carrier says of SIP.
const ROUND_TRIP: Duration = Duration::from_millis(2);
/// How long what a client says of SIP takes: the way to the proxy and on, as long as media take by the relay, so that neither overtakes
/// the other.
const SIP_THERE: Duration = Duration::from_millis(2);
/// How long a datagram takes between a client and the relay, or the relay and a far end.
const HOP: Duration = Duration::from_millis(1);
/// Ports of clients' connections for SIP.
const FIRST_CLIENT_PORT: u16 = 30_000;

/// The world; sessions, steps and the task that lets time pass share it.
pub(super) struct Simulated {
    carrier: Mutex<Carrier>,
    media: simulated::Network,
    changed: Arc<Notify>,
    wall: WallAnchor,
    seed: u64,
    sessions: AtomicU64,
}

struct Carrier {
    sim: Sim,
    /// The clients' ends, by number.
    ends: BTreeMap<u64, End>,
    last_end: u64,
    /// Who listens on which connection.
    hears: BTreeMap<u64, Hear>,
    /// The clients' ports for datagrams.
    sockets: BTreeMap<SocketAddr, Socket>,
    /// Datagrams on their way, in the order they arrive.
    flying: BTreeMap<(Instant, u64), Datagram>,
    flown: u64,
    /// SIP on its way to the carrier: from where, and its bytes or its end.
    said: VecDeque<(Instant, End, Option<Vec<u8>>)>,
    client_port: u16,
}

/// A client's socket for datagrams, which takes those of one server.
struct Socket {
    server: SocketAddr,
    hear: Hear,
}

/// A client's end for SIP.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Of a connection, with its number at the carrier.
    Stream(u64),
    /// A socket for datagrams to and from one server.
    Socket { local: SocketAddr, server: SocketAddr },
}

impl Simulated {
    /// Sets the carrier up. What is random in the sessions comes from `seed`.
    pub(super) fn new(builder: z5_mock::Builder, seed: u64) -> Result<Arc<Self>, z5_mock::StartError> {
        let now = clock::now();
        let sim = Sim::new(builder, now, BEGINS.as_secs())?;
        let changed = Arc::<Notify>::default();
        let tell = Arc::clone(&changed);
        let media = simulated::Network::new(clock::now, BEGINS, move || tell.notify_one());
        let carrier = Carrier {
            sim,
            ends: BTreeMap::new(),
            last_end: 0,
            hears: BTreeMap::new(),
            sockets: BTreeMap::new(),
            flying: BTreeMap::new(),
            flown: 0,
            said: VecDeque::new(),
            client_port: FIRST_CLIENT_PORT,
        };
        Ok(Arc::new(Self {
            carrier: Mutex::new(carrier),
            media,
            changed,
            wall: WallAnchor { at: now, unix_s: BEGINS.as_secs() },
            seed,
            sessions: AtomicU64::new(0),
        }))
    }

    /// What the next session is started with.
    pub(super) fn simulation(self: &Arc<Self>) -> Simulation {
        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
        Simulation {
            network: Arc::<Self>::clone(self),
            media: self.media.clone(),
            round_trip: ROUND_TRIP,
            wall: self.wall,
            seed: self.seed.wrapping_mul(1_000_003).wrapping_add(number),
        }
    }

    /// Does something with the carrier, and passes on what it says.
    pub(super) fn with<T>(&self, what: impl FnOnce(&mut Sim, Instant) -> T) -> T {
        let mut carrier = self.carrier();
        let done = what(&mut carrier.sim, clock::now());
        carrier.pass_on();
        drop(carrier);
        self.changed.notify_one();
        done
    }

    fn carrier(&self) -> MutexGuard<'_, Carrier> {
        self.carrier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is due, again and again.
    pub(super) async fn live(self: Arc<Self>) {
        loop {
            let next = self.carrier().next_deadline().into_iter().chain(self.media.next_deadline()).min();
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = async {
                    match next {
                        Some(at) => tokio::time::sleep_until(at.into()).await,
                        None => std::future::pending().await,
                    }
                } => {}
            }
            self.turn();
        }
    }

    /// What has arrived goes in, what is due is done, what left is on its way.
    fn turn(&self) {
        let now = clock::now();
        let landed = self.carrier().landed(now);
        for Datagram { from, to, bytes } in landed {
            // One nobody has a port for is lost, as anywhere.
            if !self.media.deliver(simulated::Datagram { from, to, bytes: bytes.clone() }) {
                self.carrier().sim.datagram(Datagram { from, to, bytes }, now);
            }
        }
        self.media.turn();
        let mut carrier = self.carrier();
        carrier.hear(now);
        carrier.sim.on_deadline(now);
        carrier.pass_on();
        for simulated::Datagram { from, to, bytes } in self.media.sent() {
            carrier.fly(Datagram { from, to, bytes }, now);
        }
        for datagram in carrier.sim.datagrams() {
            carrier.fly(datagram, now);
        }
    }
}

impl Carrier {
    fn next_deadline(&self) -> Option<Instant> {
        let landing = self.flying.first_key_value().map(|((at, _), _)| *at);
        let heard = self.said.front().map(|(at, ..)| *at);
        landing.into_iter().chain(heard).chain(self.sim.next_deadline()).min()
    }

    fn fly(&mut self, datagram: Datagram, now: Instant) {
        self.flown += 1;
        self.flying.insert((now + HOP, self.flown), datagram);
    }

    /// What clients have said of SIP arrives, in the order in which it was said.
    fn hear(&mut self, now: Instant) {
        while self.said.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, end, bytes)) = self.said.pop_front() else { return };
            match (end, bytes) {
                (End::Stream(connection), Some(bytes)) => self.sim.received(connection, &bytes, now),
                (End::Stream(connection), None) => self.sim.closed(connection, now),
                (End::Socket { local, server }, Some(bytes)) => {
                    let came = self.sim.datagram(Datagram { from: local, to: server, bytes }, now);
                    if let (false, Some(socket)) = (came, self.sockets.get(&local)) {
                        (socket.hear)(Heard::Refused);
                    }
                }
                // Of a socket's end nobody is told.
                (End::Socket { .. }, None) => {}
            }
        }
    }

    /// A client says something of SIP, or ends its connection behind it.
    fn say(&mut self, end: End, bytes: Option<Vec<u8>>) {
        self.said.push_back((clock::now() + SIP_THERE, end, bytes));
    }

    /// A client's end.
    fn opened(&mut self, end: End, local: SocketAddr) -> ConnectAnswer {
        self.last_end += 1;
        self.ends.insert(self.last_end, end);
        ConnectAnswer::Stands { connection: self.last_end, local }
    }

    fn landed(&mut self, now: Instant) -> Vec<Datagram> {
        let flying = self.flying.split_off(&(now + Duration::from_nanos(1), 0));
        std::mem::replace(&mut self.flying, flying).into_values().collect()
    }

    /// Hands what the carrier says on its connections to whoever listens.
    fn pass_on(&mut self) {
        for said in self.sim.said() {
            match said {
                Said::Bytes(id, bytes) => {
                    if let Some(hear) = self.hears.get(&id) {
                        hear(Heard::Bytes(bytes));
                    }
                }
                Said::Closed(id) => {
                    if let Some(hear) = self.hears.remove(&id) {
                        hear(Heard::Closed);
                    }
                }
                // One to nobody is lost, as anywhere.
                Said::Datagram(Datagram { from, to, bytes }) => {
                    if let Some(socket) = self.sockets.get(&to).filter(|socket| socket.server == from) {
                        (socket.hear)(Heard::Bytes(bytes.into()));
                    }
                }
            }
        }
    }
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulated").field("seed", &self.seed).finish_non_exhaustive()
    }
}
