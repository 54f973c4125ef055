//! SIP over UDP inside simulated time: at each of the carrier's addresses the machine that a socket drives otherwise.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;
use z5_sip::wire::Transport;

use super::{Datagram, Said, Sim};
use crate::fault::{Fault, Faults};
use crate::impairment::Conditions;
use crate::recorder::{Recorder, Service};
use crate::sip::datagrams::{Datagrams, Effect};
use crate::sip::{ConnectionId, Input, Numbers, OUTBOUND_MESSAGES};

/// The port at one address.
pub(super) struct Port {
    here: SocketAddr,
    machine: Datagrams,
    /// What the switch sends to each source.
    outlets: BTreeMap<ConnectionId, mpsc::Receiver<Bytes>>,
}

/// What the machines of all ports are made of.
pub(super) struct Ports {
    pub(super) given: (Faults, Recorder),
    pub(super) numbers: Numbers,
    pub(super) conditions: Conditions,
    pub(super) seed: u64,
    pub(super) by_address: BTreeMap<IpAddr, Port>,
}

impl Ports {
    pub(super) fn open(&mut self, here: SocketAddr) {
        let (given, numbers, conditions) =
            (self.given.clone(), self.numbers.clone(), self.conditions.clone());
        let machine = Datagrams::new(here, given, numbers, conditions, self.seed);
        self.by_address.insert(here.ip(), Port { here, machine, outlets: BTreeMap::new() });
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.by_address.values().filter_map(|port| port.machine.next_deadline()).min()
    }

    /// How many sources are remembered.
    pub(super) fn len(&self) -> usize {
        self.by_address.values().map(|port| port.machine.len()).sum()
    }

    fn refuses(&self, here: IpAddr) -> bool {
        self.given.0.is_armed_at(Fault::Refuse(Service::Sip), here)
    }
}

impl Port {
    /// Takes what the switch sends, and forgets the sources that it has given up; whether there was any of it.
    fn hear(&mut self, now: Instant, out: &mut Vec<Effect>) -> bool {
        let Self { machine, outlets, .. } = self;
        let mut moved = false;
        outlets.retain(|id, outlet| {
            loop {
                match outlet.try_recv() {
                    Ok(bytes) => machine.say(*id, &bytes, now, out),
                    Err(mpsc::error::TryRecvError::Empty) => return true,
                    Err(mpsc::error::TryRecvError::Disconnected) => {
                        machine.forget(*id);
                        return false;
                    }
                }
                moved = true;
            }
        });
        moved
    }
}

impl Sim {
    /// Whether the address is one for SIP.
    pub(super) fn is_sip(&self, address: SocketAddr) -> bool {
        self.ports.by_address.get(&address.ip()).is_some_and(|port| port.here == address)
    }

    /// A datagram comes to a port for SIP; `false` when that is closed.
    pub(super) fn sip_datagram(&mut self, datagram: &Datagram, now: Instant) -> bool {
        self.shut_ports();
        let here = datagram.to.ip();
        if self.ports.refuses(here) {
            return false;
        }
        let mut effects = Vec::new();
        if let Some(port) = self.ports.by_address.get_mut(&here) {
            port.machine.receive(&datagram.bytes, datagram.from, now, &mut effects);
        }
        self.perform(here, effects);
        self.settle();
        true
    }

    /// What was late and is due goes on, and what has no answer goes out again.
    pub(super) fn carry_datagrams(&mut self, now: Instant) {
        self.shut_ports();
        for here in self.addresses() {
            let mut effects = Vec::new();
            if let Some(port) = self.ports.by_address.get_mut(&here) {
                port.machine.on_deadline(now, &mut effects);
            }
            self.perform(here, effects);
        }
    }

    /// Takes what the switch sends to sources of datagrams; whether there was any of it.
    pub(super) fn settle_datagrams(&mut self, now: Instant) -> bool {
        let mut moved = false;
        for here in self.addresses() {
            let mut effects = Vec::new();
            if let Some(port) = self.ports.by_address.get_mut(&here) {
                moved |= port.hear(now, &mut effects);
            }
            self.perform(here, effects);
        }
        moved
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.ports.by_address.keys().copied().collect()
    }

    /// A port that is to refuse is closed, as a socket is: what it knew is gone when it opens again.
    fn shut_ports(&mut self) {
        for here in self.addresses() {
            let closes = |port: &&mut Port| !port.machine.is_idle();
            if !self.ports.refuses(here) {
                continue;
            }
            let Some(address) = self.ports.by_address.get_mut(&here).filter(closes).map(|port| port.here)
            else {
                continue;
            };
            let Some(closed) = self.ports.by_address.remove(&here) else { continue };
            self.ports.open(address);
            let mut effects = Vec::new();
            closed.machine.close(&mut effects);
            self.perform(here, effects);
        }
    }

    fn perform(&mut self, here: IpAddr, effects: Vec<Effect>) {
        let Some(local) = self.ports.by_address.get(&here).map(|port| port.here) else { return };
        for effect in effects {
            let input = match effect {
                Effect::Send { peer, bytes } => {
                    let datagram = Datagram { from: local, to: peer, bytes: bytes.to_vec() };
                    self.out.push(Said::Datagram(datagram));
                    continue;
                }
                Effect::Opened { id, peer } => {
                    let (outlet, outbound) = mpsc::channel(OUTBOUND_MESSAGES);
                    if let Some(port) = self.ports.by_address.get_mut(&here) {
                        port.outlets.insert(id, outbound);
                    }
                    Input::Opened { id, transport: Transport::Udp, peer, local, outlet }
                }
                Effect::Message { id, message } => Input::Message { id, message },
                Effect::Closed { id } => Input::Closed { id },
            };
            self.switch.handle(input);
        }
    }
}
