//! Ports without sockets: where the relay and the far ends send and receive media in simulated time.
//!
//! What is played at a port is the same logic that a task plays at a socket; here a datagram is handed in with the time, and
//! what is sent is put down for whoever drives the simulation.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::sim::Datagram;

/// The first port that is used in place of a socket that the system would choose.
const OTHER_PORTS: u16 = 60_000;

/// Whoever plays at some ports.
pub(crate) trait Player: Send {
    /// A datagram has come to one of the ports.
    fn receive(&mut self, at: SocketAddr, packet: &mut [u8], source: SocketAddr, now: Instant, out: &mut Out);
    /// When something is due by itself.
    fn next_deadline(&self) -> Option<Instant>;
    /// Does what is due.
    fn on_deadline(&mut self, now: Instant, out: &mut Out);
}

/// What is sent.
#[derive(Default)]
pub(crate) struct Out(Vec<Datagram>);

impl Out {
    pub(crate) fn send(&mut self, from: SocketAddr, packet: &[u8], to: SocketAddr) {
        self.0.push(Datagram { from, to, bytes: packet.to_vec() });
    }
}

/// All ports of one simulation; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Imagined(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    players: BTreeMap<u64, Arc<Mutex<dyn Player>>>,
    ports: BTreeMap<SocketAddr, u64>,
    last_player: u64,
    last_other: u16,
    out: Out,
}

/// Ports that are bound; dropping it frees them.
pub(crate) struct Bound {
    ports: Imagined,
    player: u64,
    addresses: Vec<SocketAddr>,
}

impl Imagined {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_free(&self, address: SocketAddr) -> bool {
        !self.state().ports.contains_key(&address)
    }

    /// Somebody plays at these ports from now on.
    pub(crate) fn bind(
        &self,
        addresses: Vec<SocketAddr>,
        player: Arc<Mutex<dyn Player>>,
    ) -> io::Result<Bound> {
        let mut state = self.state();
        if addresses.iter().any(|address| state.ports.contains_key(address)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.last_player += 1;
        let number = state.last_player;
        state.players.insert(number, player);
        state.ports.extend(addresses.iter().map(|address| (*address, number)));
        drop(state);
        Ok(Bound { ports: self.clone(), player: number, addresses })
    }

    /// A port beside `beside` that nobody receives at.
    pub(crate) fn other(&self, beside: SocketAddr) -> SocketAddr {
        let mut state = self.state();
        state.last_other = (state.last_other + 1) % (u16::MAX - OTHER_PORTS);
        SocketAddr::new(beside.ip(), OTHER_PORTS + state.last_other)
    }

    /// A datagram arrives; `false` when nobody plays there.
    pub(crate) fn receive(&self, datagram: &mut Datagram, now: Instant) -> bool {
        let state = self.state();
        let number = state.ports.get(&datagram.to);
        let Some(player) = number.and_then(|number| state.players.get(number)).cloned() else { return false };
        drop(state);
        let mut out = Out::default();
        let Datagram { from, to, bytes } = datagram;
        player.lock().unwrap_or_else(PoisonError::into_inner).receive(*to, bytes, *from, now, &mut out);
        self.put_down(out);
        true
    }

    /// Somebody sends without being asked.
    pub(crate) fn put_down(&self, out: Out) {
        self.state().out.0.extend(out.0);
    }

    /// What was sent since this was asked last.
    pub(crate) fn sent(&self) -> Vec<Datagram> {
        std::mem::take(&mut self.state().out.0)
    }

    fn players(&self) -> Vec<Arc<Mutex<dyn Player>>> {
        self.state().players.values().cloned().collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let at = |player: &Arc<Mutex<dyn Player>>| {
            player.lock().unwrap_or_else(PoisonError::into_inner).next_deadline()
        };
        self.players().iter().filter_map(at).min()
    }

    pub(crate) fn on_deadline(&self, now: Instant) {
        for player in self.players() {
            let mut out = Out::default();
            player.lock().unwrap_or_else(PoisonError::into_inner).on_deadline(now, &mut out);
            self.put_down(out);
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let mut state = self.ports.state();
        for address in &self.addresses {
            state.ports.remove(address);
        }
        // Not while the ports are locked: it may free others.
        let gone = state.players.remove(&self.player);
        drop(state);
        drop(gone);
    }
}
