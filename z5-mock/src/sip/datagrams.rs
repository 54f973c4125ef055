//! SIP over UDP at one address as a machine (RFC 3261 section 18.2): each source is a connection of its own, made by its first datagram.
//!
//! The proxy keeps no transactions; what it answered is kept here by branch and method, so that a request that comes again
//! gets the same answer again. Requests that had none are passed on again: the far end's transaction absorbs them. What is
//! passed on as a datagram is repeated until something comes back (section 17.1): who sent it over TCP does not repeat it.
//!
//! It reads no clock and has no socket: datagrams and the switch's messages go in with the time, [`Effect`]s come out.
//! `socket` drives it at a real port, `sim` in simulated time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use z5_sip::stun;
use z5_sip::wire::Message;

use self::kept::{Answers, Waiting, key};
use super::{ConnectionId, Numbers};
use crate::fault::{Fault, Faults};
use crate::impairment::Conditions;
use crate::link::{Bottleneck, Fate, Link, UnderWay};
use crate::recorder::{Direction, Recorder, Service};

mod kept;
pub(crate) mod socket;
#[cfg(test)]
mod tests;

/// Sources that are remembered; the oldest is forgotten for a new one.
const MAX_SOURCES: usize = 1024;
/// What a datagram carries at most: 65 535 octets with both headers (RFC 768, RFC 791). The system sends no larger ones.
const MAX_PAYLOAD: usize = 65_507;

/// What is to be done, in this order.
#[derive(Debug)]
pub(crate) enum Effect {
    /// A new source: the switch is told, with an outlet whose messages go to [`Datagrams::say`] and whose end to
    /// [`Datagrams::forget`].
    Opened { id: ConnectionId, peer: SocketAddr },
    /// The switch is told.
    Message { id: ConnectionId, message: Message },
    /// The switch is told.
    Closed { id: ConnectionId },
    /// A datagram leaves.
    Send { peer: SocketAddr, bytes: Bytes },
}

/// The server at one address.
pub(crate) struct Datagrams {
    local: SocketAddr,
    faults: Faults,
    recorder: Recorder,
    numbers: Numbers,
    /// What comes and what goes; all clients of an address share the way.
    inward: Link,
    outward: Link,
    arriving: UnderWay<(SocketAddr, Bytes)>,
    leaving: UnderWay<(SocketAddr, Bytes)>,
    /// The oldest first.
    sources: BTreeMap<ConnectionId, Source>,
    ids: BTreeMap<SocketAddr, ConnectionId>,
}

struct Source {
    peer: SocketAddr,
    answers: Answers,
    waiting: Waiting,
}

impl Datagrams {
    pub(crate) fn new(
        local: SocketAddr,
        (faults, recorder): (Faults, Recorder),
        numbers: Numbers,
        conditions: Conditions,
        seed: u64,
    ) -> Self {
        let way = |number| Link::new(conditions.clone(), Bottleneck::default(), seed.wrapping_add(number));
        Self {
            local,
            faults,
            recorder,
            numbers,
            inward: way(0),
            outward: way(1),
            arriving: UnderWay::default(),
            leaving: UnderWay::default(),
            sources: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }

    /// A datagram has come to the port, behind the network as it is told to be.
    pub(crate) fn receive(&mut self, bytes: &[u8], peer: SocketAddr, now: Instant, out: &mut Vec<Effect>) {
        let copies = copies(&mut self.inward, bytes.len(), now);
        if copies == [None, None] {
            self.note(Direction::Received, peer, "[datagram lost]");
        }
        for at in copies.into_iter().flatten() {
            let bytes = Bytes::copy_from_slice(bytes);
            if at > now {
                // What finds no room is lost.
                self.arriving.push(at, (peer, bytes));
            } else {
                self.on_datagram(bytes, peer, now, out);
            }
        }
    }

    /// The switch sends to a source.
    pub(crate) fn say(&mut self, id: ConnectionId, bytes: &Bytes, now: Instant, out: &mut Vec<Effect>) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        if let Ok(message) = Message::parse_datagram(bytes.clone())
            && let Some(key) = key(&message)
        {
            match message.is_request() {
                true => source.waiting.keep(key, bytes.clone(), now),
                false => source.answers.keep(key, bytes.clone()),
            }
        }
        let peer = source.peer;
        self.transmit(peer, bytes, now, out);
    }

    /// The switch has given a source up.
    pub(crate) fn forget(&mut self, id: ConnectionId) {
        if let Some(source) = self.sources.remove(&id) {
            self.ids.remove(&source.peer);
        }
    }

    /// The port is closed: with it go the sources and what is under way.
    pub(crate) fn close(self, out: &mut Vec<Effect>) {
        out.extend(self.sources.into_keys().map(|id| Effect::Closed { id }));
    }

    /// Nobody has come, nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.sources.is_empty() && self.next_deadline().is_none()
    }

    /// How many sources are remembered.
    pub(crate) fn len(&self) -> usize {
        self.sources.len()
    }

    /// When a late datagram arrives or leaves, or one is to be repeated.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let late = [self.arriving.next_deadline(), self.leaving.next_deadline()];
        let repeats = self.sources.values().filter_map(|source| source.waiting.next());
        late.into_iter().flatten().chain(repeats).min()
    }

    pub(crate) fn on_deadline(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while let Some((peer, bytes)) = self.leaving.due(now) {
            out.push(Effect::Send { peer, bytes });
        }
        while let Some((peer, bytes)) = self.arriving.due(now) {
            self.on_datagram(bytes, peer, now, out);
        }
        let due = |source: &mut Source| (source.peer, source.waiting.due(now));
        for (peer, again) in self.sources.values_mut().map(due).collect::<Vec<_>>() {
            again.iter().for_each(|bytes| self.transmit(peer, bytes, now, out));
        }
    }

    /// Sends what a fault may lose.
    fn transmit(&mut self, peer: SocketAddr, bytes: &Bytes, now: Instant, out: &mut Vec<Effect>) {
        if self.faults.strikes(Fault::DatagramLost) {
            self.note(Direction::Sent, peer, "[datagram lost]");
        } else {
            self.send(peer, bytes, now, out);
        }
    }

    fn send(&mut self, peer: SocketAddr, bytes: &Bytes, now: Instant, out: &mut Vec<Effect>) {
        if bytes.len() > MAX_PAYLOAD {
            return self.note(Direction::Sent, peer, "[too large for a datagram]");
        }
        let copies = copies(&mut self.outward, bytes.len(), now);
        if copies == [None, None] {
            self.note(Direction::Sent, peer, "[datagram lost]");
        }
        for at in copies.into_iter().flatten() {
            let bytes = bytes.clone();
            if at > now {
                self.leaving.push(at, (peer, bytes));
            } else {
                out.push(Effect::Send { peer, bytes });
            }
        }
    }

    fn on_datagram(&mut self, bytes: Bytes, peer: SocketAddr, now: Instant, out: &mut Vec<Effect>) {
        if self.faults.at(self.local.ip()).strikes(Fault::BlackHole(Service::Sip))
            || self.faults.strikes(Fault::DatagramLost)
        {
            return self.note(Direction::Received, peer, "[datagram lost]");
        }
        if stun::is_stun(&bytes) {
            return self.on_stun(&bytes, peer, now, out);
        }
        // A keep-alive or nonsense: nobody can answer it.
        let Ok(message) = Message::parse_datagram(bytes) else { return };
        self.note(Direction::Received, peer, z5_sip::wire::redact(&message));
        let id = match self.ids.get(&peer) {
            Some(id) => *id,
            None => self.open(peer, out),
        };
        if let (Some(source), Some(key)) = (self.sources.get_mut(&id), key(&message)) {
            if !message.is_request() {
                source.waiting.answered(&key);
            } else if let Some(answer) = source.answers.of(&key) {
                self.note(Direction::Sent, peer, "[the same answer again]");
                return self.transmit(peer, &answer, now, out);
            }
        }
        out.push(Effect::Message { id, message });
    }

    /// A keep-alive that wants to know where it came from (RFC 5626 section 4.4.2).
    fn on_stun(&mut self, bytes: &[u8], peer: SocketAddr, now: Instant, out: &mut Vec<Effect>) {
        self.note(Direction::Received, peer, "[STUN]");
        if self.faults.strikes(Fault::NoPong) {
            return;
        }
        // Another address than before is what a NAT that has forgotten a binding looks like.
        let seen = match self.faults.strikes(Fault::AddressMoves) {
            true => SocketAddr::new(peer.ip(), peer.port() ^ 1),
            false => peer,
        };
        if let Some(answer) = stun::answer(bytes, seen) {
            self.note(Direction::Sent, peer, format!("[STUN: {seen}]"));
            self.send(peer, &Bytes::from(answer), now, out);
        }
    }

    fn open(&mut self, peer: SocketAddr, out: &mut Vec<Effect>) -> ConnectionId {
        if self.sources.len() >= MAX_SOURCES
            && let Some((id, oldest)) = self.sources.pop_first()
        {
            self.ids.remove(&oldest.peer);
            out.push(Effect::Closed { id });
        }
        let id = self.numbers.next();
        let source = Source { peer, answers: Answers::default(), waiting: Waiting::default() };
        self.sources.insert(id, source);
        self.ids.insert(peer, id);
        out.push(Effect::Opened { id, peer });
        id
    }

    fn note(&self, direction: Direction, peer: SocketAddr, text: impl Into<String>) {
        self.recorder.record(Service::Sip, direction, peer, text);
    }
}

/// When each copy of a datagram arrives; none where it is lost.
fn copies(way: &mut Link, bytes: usize, now: Instant) -> [Option<Instant>; 2] {
    match way.fate(bytes, now) {
        Fate::Lost => [None, None],
        Fate::Delivered { first, second } => [Some(now + first), second.map(|late| now + late)],
    }
}
