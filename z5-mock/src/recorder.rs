//! What crossed the wire, as text for people, tests and snapshots.
//!
//! Bounded: the oldest entries make room and are counted. Secrets (passwords, digest responses, keys, tokens) are
//! replaced before an entry is stored. Media packets are counted by the relay, not recorded here.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

mod stable;

/// Entries kept when the builder says nothing else.
pub const DEFAULT_CAPACITY: usize = 4096;

/// A server of the carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// The name server (step 1).
    Dns,
    /// The sign-in server (step 2).
    Zdial,
    /// The MCS over HTTPS: licence and address book (step 3).
    Mcs,
    /// The MCS over SIP (steps 4 and 5).
    Sip,
}

impl Service {
    /// Lower-case name, as in fault names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Zdial => "zdial",
            Self::Mcs => "mcs",
            Self::Sip => "sip",
        }
    }
}

/// Which way an entry went, seen from the carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client.
    Received,
    /// To a client.
    Sent,
}

/// One message or connection event.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The server it belongs to.
    pub service: Service,
    /// Which way it went.
    pub direction: Direction,
    /// The client's address.
    pub peer: SocketAddr,
    /// The redacted text.
    pub text: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = match self.direction {
            Direction::Received => "<-",
            Direction::Sent => "->",
        };
        write!(f, "{} {arrow} {}\n{}", self.service.name(), self.peer, self.text.trim_end())
    }
}

/// The carrier's record; cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    log: Arc<Mutex<Log>>,
}

#[derive(Debug)]
struct Log {
    entries: VecDeque<Entry>,
    capacity: usize,
    forgotten: u64,
}

impl Recorder {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { log: Arc::new(Mutex::new(Log { entries: VecDeque::new(), capacity, forgotten: 0 })) }
    }

    pub(crate) fn record(
        &self,
        service: Service,
        direction: Direction,
        peer: SocketAddr,
        text: impl Into<String>,
    ) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.capacity == 0 {
            return;
        }
        if log.entries.len() == log.capacity {
            log.entries.pop_front();
            log.forgotten += 1;
        }
        log.entries.push_back(Entry { service, direction, peer, text: text.into() });
    }

    /// Everything kept, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).entries.iter().cloned().collect()
    }

    /// How many entries had to make room.
    pub fn forgotten(&self) -> u64 {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).forgotten
    }

    /// The whole record as text.
    pub fn to_text(&self) -> String {
        self.entries().iter().map(|entry| format!("{entry}\n\n")).collect()
    }

    /// The same with what differs between two runs of one journey (ports, branches, tags, nonces and the like) replaced by names that
    /// stay the same: for snapshots.
    pub fn to_stable_text(&self) -> String {
        stable::Stable::default().text(&self.to_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_makes_room_and_is_counted() {
        let recorder = Recorder::new(2);
        let peer = SocketAddr::from(([127, 0, 0, 1], 5060));
        for text in ["one", "two", "three"] {
            recorder.record(Service::Sip, Direction::Received, peer, text);
        }
        let texts: Vec<_> = recorder.entries().into_iter().map(|entry| entry.text).collect();
        assert_eq!(texts, ["two", "three"]);
        assert_eq!(recorder.forgotten(), 1);
        assert!(recorder.to_text().starts_with("sip <- 127.0.0.1:5060\ntwo\n"));
    }
}
