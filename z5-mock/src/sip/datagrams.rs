//! SIP over UDP (RFC 3261 section 18.2): each source is a connection of its own, made by its first datagram.
//!
//! The proxy keeps no transactions; what it answered is kept here by branch and method, so that a request that comes again
//! gets the same answer again. Requests that had none are passed on again: the far end's transaction absorbs them. What is
//! passed on as a datagram is repeated until something comes back (section 17.1): who sent it over TCP does not repeat it.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use z5_sip::stun;
use z5_sip::wire::{Message, Transport};

use super::{ConnectionId, Door, Input, OUTBOUND_MESSAGES};
use crate::clock;
use crate::fault::{Fault, Faults};
use crate::link::{Bottleneck, Fate, Link, UnderWay};
use crate::recorder::{Direction, Recorder, Service};

/// Sources that are remembered; the oldest is forgotten for a new one.
const MAX_SOURCES: usize = 1024;
/// Answers kept for each source.
const ANSWERS: usize = 256;
const DATAGRAM: usize = 65_535;
/// How often a port that was refused is tried again.
const REBIND_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// A client's transaction as seen from here.
type Key = (String, String);

/// The last answer to each of a source's requests.
#[derive(Default)]
struct Answers {
    by_request: HashMap<Key, Bytes>,
    order: VecDeque<Key>,
}

impl Answers {
    fn keep(&mut self, key: Key, answer: Bytes) {
        if self.by_request.insert(key.clone(), answer).is_none() {
            self.order.push_back(key);
            if self.order.len() > ANSWERS
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_request.remove(&oldest);
            }
        }
    }
}

/// T1 and T2 (RFC 3261 section 17.1.1.1): the first pause before a request is repeated, and the longest.
const FIRST_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);
const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_secs(4);
/// How often one is repeated: about 64 x T1 in all.
const REPEATS: u32 = 10;

/// Requests that were sent to a source and have no answer yet.
#[derive(Default)]
struct Waiting {
    by_request: HashMap<Key, Repeat>,
}

struct Repeat {
    bytes: Bytes,
    at: tokio::time::Instant,
    times: u32,
}

impl Repeat {
    fn pause(times: u32) -> std::time::Duration {
        FIRST_PAUSE.saturating_mul(1 << times.min(3)).min(LONGEST_PAUSE)
    }
}

impl Waiting {
    /// A request went out; an ACK has no answer.
    fn keep(&mut self, key: Key, bytes: Bytes, now: tokio::time::Instant) {
        if key.1 != "ACK" && self.by_request.len() < ANSWERS {
            let at = now + Repeat::pause(0);
            self.by_request.insert(key, Repeat { bytes, at, times: 0 });
        }
    }

    fn next(&self) -> Option<tokio::time::Instant> {
        self.by_request.values().map(|repeat| repeat.at).min()
    }

    /// What is to be sent again now.
    fn due(&mut self, now: tokio::time::Instant) -> Vec<Bytes> {
        self.by_request.retain(|_, repeat| repeat.at > now || repeat.times < REPEATS);
        let due = self.by_request.values_mut().filter(|repeat| repeat.at <= now);
        due.map(|repeat| {
            repeat.times += 1;
            repeat.at = now + Repeat::pause(repeat.times);
            repeat.bytes.clone()
        })
        .collect()
    }
}

struct Source {
    id: ConnectionId,
    answers: Arc<Mutex<Answers>>,
    waiting: Arc<Mutex<Waiting>>,
}

impl Source {
    fn answer(&self, key: &Key) -> Option<Bytes> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).by_request.get(key).cloned()
    }
}

/// The socket of one address behind the network as it is told to be.
struct Wire {
    socket: UdpSocket,
    faults: Faults,
    recorder: Recorder,
    /// What comes and what goes; all clients of an address share the way.
    ways: Mutex<[Link; 2]>,
    /// What is late on its way out.
    leaving: Mutex<UnderWay<(SocketAddr, Bytes)>>,
    /// There is one more.
    more: Notify,
}

impl Wire {
    fn new(door: &Door, socket: UdpSocket) -> Self {
        let way = |number| {
            Link::new(door.conditions.clone(), Bottleneck::default(), door.seed.wrapping_add(number))
        };
        Self {
            socket,
            faults: door.faults.clone(),
            recorder: door.recorder.clone(),
            ways: Mutex::new([way(0), way(1)]),
            leaving: Mutex::default(),
            more: Notify::new(),
        }
    }

    /// When each copy of a datagram arrives: `None` is now. Nothing where it is lost.
    fn fate(&self, way: usize, bytes: usize) -> impl Iterator<Item = Option<Instant>> + use<> {
        let now = clock::now().into_std();
        let fate = self.ways.lock().unwrap_or_else(PoisonError::into_inner)[way].fate(bytes, now);
        let copies = match fate {
            Fate::Lost => [None, None],
            Fate::Delivered { first, second } => [Some(first), second],
        };
        copies.into_iter().flatten().map(move |late| (!late.is_zero()).then(|| now + late))
    }

    fn received(&self, bytes: usize, peer: SocketAddr) -> impl Iterator<Item = Option<Instant>> + use<> {
        let copies = self.fate(0, bytes);
        let mut copies = copies.peekable();
        if copies.peek().is_none() {
            self.recorder.record(Service::Sip, Direction::Received, peer, "[datagram lost]".to_owned());
        }
        copies
    }

    /// Sends what a fault may lose.
    fn transmit(&self, peer: SocketAddr, bytes: &Bytes) {
        if self.faults.strikes(Fault::DatagramLost) {
            self.recorder.record(Service::Sip, Direction::Sent, peer, "[datagram lost]".to_owned());
        } else {
            self.send(peer, bytes);
        }
    }

    fn send(&self, peer: SocketAddr, bytes: &Bytes) {
        let mut copies = self.fate(1, bytes.len()).peekable();
        if copies.peek().is_none() {
            self.recorder.record(Service::Sip, Direction::Sent, peer, "[datagram lost]".to_owned());
        }
        for at in copies {
            match at {
                // Loss is what UDP does.
                None => drop(self.socket.try_send_to(bytes, peer)),
                Some(at) => {
                    let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
                    leaving.push(at, (peer, bytes.clone()));
                    self.more.notify_one();
                }
            }
        }
    }

    /// Ready when something that was late is to leave.
    async fn next_departure(&self) {
        loop {
            let next = self.leaving.lock().unwrap_or_else(PoisonError::into_inner).next_deadline();
            tokio::select! {
                () = until(next) => return,
                () = self.more.notified() => {}
            }
        }
    }

    fn depart(&self) {
        let now = clock::now().into_std();
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((peer, bytes)) = leaving.due(now) {
            drop(self.socket.try_send_to(&bytes, peer));
        }
    }
}

/// For ever where there is no time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Serves one address until dropped.
pub(crate) async fn serve(door: Arc<Door>, mut socket: UdpSocket, here: IpAddr) {
    let Ok(local) = socket.local_addr() else { return };
    let mut changes = door.faults.subscribe();
    loop {
        if !door.faults.is_armed_at(Fault::Refuse(Service::Sip), here) {
            let mut sources = Sources {
                door: &door,
                local,
                wire: Arc::new(Wire::new(&door, socket)),
                known: HashMap::new(),
                writers: JoinSet::new(),
            };
            sources.run(&mut changes, here).await;
            let ids: Vec<ConnectionId> = sources.known.values().map(|source| source.id).collect();
            drop(sources);
            for id in ids {
                // The switch may be gone already; then nobody needs to know.
                let _ = door.switch.send(Input::Closed { id }).await;
            }
        } else {
            drop(socket);
        }
        // The port is closed now: datagrams to it are refused by the system.
        while door.faults.is_armed_at(Fault::Refuse(Service::Sip), here) {
            if changes.changed().await.is_err() {
                return;
            }
        }
        socket = loop {
            match UdpSocket::bind(local).await {
                Ok(socket) => break socket,
                Err(_) => clock::after(REBIND_PAUSE).await,
            }
        };
    }
}

struct Sources<'a> {
    door: &'a Door,
    local: SocketAddr,
    wire: Arc<Wire>,
    known: HashMap<SocketAddr, Source>,
    writers: JoinSet<SocketAddr>,
}

impl Sources<'_> {
    /// Returns when the port is to refuse.
    async fn run(&mut self, changes: &mut tokio::sync::watch::Receiver<u64>, here: IpAddr) {
        let mut buffer = vec![0; DATAGRAM];
        let mut late = UnderWay::default();
        // Until a new socket is known to take datagrams, it refuses them.
        if self.wire.socket.writable().await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() || self.door.faults.is_armed_at(Fault::Refuse(Service::Sip), here) {
                        return;
                    }
                }
                Some(ended) = self.writers.join_next() => {
                    if let Ok(peer) = ended {
                        self.known.remove(&peer);
                    }
                }
                received = self.wire.socket.recv_from(&mut buffer) => {
                    // An error is an ICMP message about a client that left.
                    let Ok((length, peer)) = received else { continue };
                    for at in self.wire.received(length, peer) {
                        match at {
                            Some(at) => {
                                // What finds no room is lost.
                                late.push(at, (peer, Bytes::copy_from_slice(&buffer[..length])));
                            }
                            None => self.on_datagram(&buffer[..length], peer).await,
                        }
                    }
                }
                () = until(late.next_deadline()) => {
                    while let Some((peer, bytes)) = late.due(clock::now().into_std()) {
                        self.on_datagram(&bytes, peer).await;
                    }
                }
                () = self.wire.next_departure() => self.wire.depart(),
            }
        }
    }

    async fn on_datagram(&mut self, bytes: &[u8], peer: SocketAddr) {
        let faults = &self.door.faults;
        if faults.at(self.local.ip()).strikes(Fault::BlackHole(Service::Sip))
            || faults.strikes(Fault::DatagramLost)
        {
            self.door.recorder.record(Service::Sip, Direction::Received, peer, "[datagram lost]".to_owned());
            return;
        }
        if stun::is_stun(bytes) {
            return self.on_stun(bytes, peer).await;
        }
        // A keep-alive or nonsense: nobody can answer it.
        let Ok(message) = Message::parse_datagram(Bytes::copy_from_slice(bytes)) else { return };
        let redacted = z5_sip::wire::redact(&message);
        self.door.recorder.record(Service::Sip, Direction::Received, peer, redacted);
        if !self.known.contains_key(&peer) {
            self.open(peer).await;
        }
        let Some(source) = self.known.get(&peer) else { return };
        if message.is_request()
            && let Some(key) = key(&message)
        {
            let answer = source.answer(&key);
            if let Some(answer) = answer {
                self.door.recorder.record(
                    Service::Sip,
                    Direction::Sent,
                    peer,
                    "[the same answer again]".to_owned(),
                );
                self.wire.transmit(peer, &answer);
                return;
            }
        }
        if !message.is_request()
            && let Some(key) = key(&message)
        {
            source.waiting.lock().unwrap_or_else(PoisonError::into_inner).by_request.remove(&key);
        }
        // The switch may be gone already; then nobody needs to know.
        let _ = self.door.switch.send(Input::Message { id: source.id, message }).await;
    }

    /// A keep-alive that wants to know where it came from (RFC 5626 section 4.4.2).
    async fn on_stun(&self, bytes: &[u8], peer: SocketAddr) {
        let faults = &self.door.faults;
        let record = |direction, text: String| self.door.recorder.record(Service::Sip, direction, peer, text);
        record(Direction::Received, "[STUN]".to_owned());
        if faults.strikes(Fault::NoPong) {
            return;
        }
        // Another address than before is what a NAT that has forgotten a binding looks like.
        let seen = match faults.strikes(Fault::AddressMoves) {
            true => SocketAddr::new(peer.ip(), peer.port() ^ 1),
            false => peer,
        };
        if let Some(answer) = stun::answer(bytes, seen) {
            record(Direction::Sent, format!("[STUN: {seen}]"));
            self.wire.send(peer, &Bytes::from(answer));
        }
    }

    async fn open(&mut self, peer: SocketAddr) {
        if self.known.len() >= MAX_SOURCES {
            let oldest = self
                .known
                .iter()
                .min_by_key(|(_, source)| source.id)
                .map(|(peer, source)| (*peer, source.id));
            if let Some((peer, id)) = oldest {
                self.known.remove(&peer);
                let _ = self.door.switch.send(Input::Closed { id }).await;
            }
        }
        let id = self.door.number();
        let (outlet, mut outbound) = mpsc::channel::<Bytes>(OUTBOUND_MESSAGES);
        let opened = Input::Opened { id, transport: Transport::Udp, peer, local: self.local, outlet };
        if self.door.switch.send(opened).await.is_err() {
            return;
        }
        let answers = Arc::new(Mutex::new(Answers::default()));
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let source = Source { id, answers: Arc::clone(&answers), waiting: Arc::clone(&waiting) };
        self.known.insert(peer, source);
        let wire = Arc::clone(&self.wire);
        self.writers.spawn(async move {
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                let again = async {
                    match next {
                        Some(at) => clock::after(at.saturating_duration_since(clock::now())).await,
                        None => std::future::pending().await,
                    }
                };
                let bytes = tokio::select! {
                    bytes = outbound.recv() => bytes,
                    () = again => {
                        let due = waiting.lock().unwrap_or_else(PoisonError::into_inner).due(clock::now());
                        for bytes in due {
                            wire.transmit(peer, &bytes);
                        }
                        continue;
                    }
                };
                let Some(bytes) = bytes else { break };
                if let Ok(message) = Message::parse_datagram(bytes.clone())
                    && let Some(key) = key(&message)
                {
                    match message.is_request() {
                        true => waiting.lock().unwrap_or_else(PoisonError::into_inner).keep(
                            key,
                            bytes.clone(),
                            clock::now(),
                        ),
                        false => {
                            answers.lock().unwrap_or_else(PoisonError::into_inner).keep(key, bytes.clone());
                        }
                    }
                }
                wire.transmit(peer, &bytes);
            }
            peer
        });
    }
}

/// The branch and method that a request and its answers share.
fn key(message: &Message) -> Option<Key> {
    let branch = message.via().ok()?.branch()?.to_owned();
    let method = message.cseq().ok()?.method;
    // An ACK is never answered, and has the branch of a refused INVITE.
    let method =
        if message.method().is_some_and(|method| method.as_str() == "ACK") { "ACK" } else { method.as_str() };
    Some((branch, method.to_owned()))
}
