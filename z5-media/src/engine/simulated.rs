//! A network that exists in memory only, and whose time somebody lets pass: engines on it have no threads and no sockets, and
//! everything else of them is the engine that runs on a real one.
//!
//! Datagrams that engines send are [taken out](Network::sent), and put back where they arrive by [`Network::deliver`]: what
//! happens to them between, and how long it takes, is decided by whoever drives the network. Time goes on as the given clock
//! says; [`Network::next_deadline`] tells when something is due and [`Network::turn`] does it. One clock and the same datagrams
//! give the same figures.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::error::PortError;
use super::shard::ByHand;
use crate::clock::{Clock, WallAnchor};

/// Ports of engines where no range is asked for.
const ANY_PORT: RangeInclusive<u16> = 10_000..=29_999;
/// Datagrams that wait for a stream at a port that is bound already; more are lost, as in a full socket.
const MAX_WAITING: usize = 256;

/// A datagram that leaves a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The port it leaves.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// What it carries.
    pub bytes: Vec<u8>,
}

/// The network; cheap to clone.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    clock: Clock,
    anchor: WallAnchor,
    changed: Box<dyn Fn() + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ports: BTreeMap<SocketAddr, Port>,
    engines: Vec<Weak<ByHand>>,
    sent: VecDeque<Datagram>,
}

/// A bound port.
#[derive(Default)]
struct Port {
    /// The stream there: engine, slot, and RTP (0) or RTCP (1).
    stream: Option<(usize, usize, usize)>,
    waiting: VecDeque<(Vec<u8>, SocketAddr)>,
}

/// A bound pair of ports. Dropping it frees them.
pub(super) struct Pair {
    network: Network,
    pub(super) rtp: SocketAddr,
    pub(super) rtcp: SocketAddr,
}

impl Network {
    /// A network at the time of `clock`; at this moment it is `since_unix` after 1970-01-01 UTC. `changed` hears of every command
    /// to an engine: there may be something to carry then, or another deadline.
    pub fn new(
        clock: impl Fn() -> Instant + Send + Sync + 'static,
        since_unix: Duration,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let clock = Clock::Given(Arc::new(clock));
        let anchor = WallAnchor::new(clock.now(), since_unix);
        Self(Arc::new(Inner { clock, anchor, changed: Box::new(changed), state: Mutex::default() }))
    }

    /// When an engine has something to do by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.engines().iter().filter_map(|engine| engine.next_deadline()).min()
    }

    /// Lets every engine do what is due.
    pub fn turn(&self) {
        for engine in self.engines() {
            engine.turn();
        }
    }

    /// What engines have sent since this was asked last, in the order it left.
    #[must_use]
    pub fn sent(&self) -> Vec<Datagram> {
        self.state().sent.drain(..).collect()
    }

    /// A datagram arrives at an engine's port; `false` when none has it.
    pub fn deliver(&self, mut datagram: Datagram) -> bool {
        let mut state = self.state();
        let Some(port) = state.ports.get_mut(&datagram.to) else { return false };
        let Some((engine, slot, end)) = port.stream else {
            if port.waiting.len() < MAX_WAITING {
                port.waiting.push_back((datagram.bytes, datagram.from));
            }
            return true;
        };
        let engine = state.engines.get(engine).and_then(Weak::upgrade);
        // What it makes the engine send is put down here.
        drop(state);
        if let Some(engine) = engine {
            engine.receive((slot, end), &mut datagram.bytes, datagram.from);
        }
        true
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// An engine was told something.
    pub(super) fn changed(&self) {
        (self.0.changed)();
    }

    pub(crate) fn anchor(&self) -> WallAnchor {
        self.0.anchor
    }

    /// An engine comes to the network; its number there.
    pub(super) fn join(&self, engine: &Arc<ByHand>) -> usize {
        let mut state = self.state();
        state.engines.push(Arc::downgrade(engine));
        state.engines.len() - 1
    }

    /// Binds an even port and the odd one above it, the `start`-th free pair of the range or the next one; `0..=0` takes any.
    pub(super) fn reserve(
        &self,
        bind: IpAddr,
        ports: RangeInclusive<u16>,
        start: u64,
    ) -> Result<Pair, PortError> {
        let wanted = if ports == (0..=0) { ANY_PORT } else { ports.clone() };
        let first = u32::from((*wanted.start()).max(1)).next_multiple_of(2);
        let end = u32::from(*wanted.end());
        if first + 1 > end {
            return Err(PortError::NoPair { ports });
        }
        let pairs = (end - first).div_ceil(2);
        let offset = (start % u64::from(pairs)) as u32;
        let mut state = self.state();
        let free = (0..pairs).find_map(|step| {
            let port = u16::try_from(first + 2 * ((offset + step) % pairs)).ok()?;
            let (rtp, rtcp) = (SocketAddr::new(bind, port), SocketAddr::new(bind, port.checked_add(1)?));
            (!state.ports.contains_key(&rtp) && !state.ports.contains_key(&rtcp)).then_some((rtp, rtcp))
        });
        let Some((rtp, rtcp)) = free else { return Err(PortError::Exhausted { bind, ports, pairs }) };
        state.ports.insert(rtp, Port::default());
        state.ports.insert(rtcp, Port::default());
        Ok(Pair { network: self.clone(), rtp, rtcp })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn engines(&self) -> Vec<Arc<ByHand>> {
        self.state().engines.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Pair {
    /// Sends from the RTP (0) or RTCP (1) port.
    pub(super) fn send(&self, end: usize, bytes: &[u8], to: SocketAddr) {
        let from = if end == 1 { self.rtcp } else { self.rtp };
        self.network.state().sent.push_back(Datagram { from, to, bytes: bytes.to_vec() });
    }

    /// A stream takes the ports over; what has come before it, with the end it came to.
    pub(super) fn attach(&self, engine: usize, slot: usize) -> Vec<(usize, Vec<u8>, SocketAddr)> {
        let mut state = self.network.state();
        let mut waited = Vec::new();
        for (end, address) in [self.rtp, self.rtcp].into_iter().enumerate() {
            if let Some(port) = state.ports.get_mut(&address) {
                port.stream = Some((engine, slot, end));
                waited.extend(port.waiting.drain(..).map(|(bytes, from)| (end, bytes, from)));
            }
        }
        waited
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let mut state = self.network.state();
        state.ports.remove(&self.rtp);
        state.ports.remove(&self.rtcp);
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("rtp", &self.rtp).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
