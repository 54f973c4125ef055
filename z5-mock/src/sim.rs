//! The carrier inside simulated time: the same servers without sockets, tasks or a clock.
//!
//! Names, HTTPS requests and SIP bytes go in with the time, what the carrier answers comes out; [`Sim::next_deadline`] says when it wants to
//! be woken. One seed and the same inputs give the same answers. Media goes in and comes out as datagrams: relay and far ends play at
//! ports without sockets. Connections for SIP are late under an impairment as streams over sockets are, and datagrams with SIP, at the
//! carrier's own ports, are lost, doubled and late as others. Certificates are not made; a fault of a certificate is told as such.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::sync::mpsc;
use z5_sip::wire::Message;

use crate::builder::Builder;
use crate::carrier::StartError;
use crate::client_config::ClientConfig;
use crate::clock::Clock;
use crate::dns::Zone;
use crate::far_end::FarEnds;
use crate::fault::{ArmedId, Fault, Faults, Order};
use crate::imagined::Imagined;
use crate::impairment::{Conditions, Impairment};
use crate::mail::VideoMessage;
use crate::recorder::{Direction, Recorder, Service};
use crate::relay::{Relay, RelayFigures, RelayStats};
use crate::sip::switch::Switch;
use crate::sip::{FAR_ENDS, Input, Numbers};
use crate::state::State;
use crate::{account, mcs, zdial};

mod datagrams;
mod https;
mod sip;

pub use self::https::{HttpsOutcome, HttpsRequest};
pub use self::sip::{Opened, Said};
pub use crate::dns::{Answered, NameRecord, RecordKind};

/// A carrier that is driven by hand.
pub struct Sim {
    state: Arc<State>,
    zone: Zone,
    zdial: Router,
    mcs: Router,
    switch: Switch,
    far_ends: FarEnds,
    for_far_ends: mpsc::UnboundedReceiver<Message>,
    connections: BTreeMap<u64, sip::Connection>,
    ports: datagrams::Ports,
    /// What is to be armed and ended, and when.
    orders: Vec<(Instant, Order, Option<ArmedId>)>,
    media: Imagined,
    impairment: Conditions,
    sip_impairment: Conditions,
    seed: u64,
    figures: RelayFigures,
    out: Vec<Said>,
}

/// A datagram with media or SIP, on its way between two ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The port it leaves.
    pub from: SocketAddr,
    /// The port it goes to.
    pub to: SocketAddr,
    /// What it carries.
    pub bytes: Vec<u8>,
}

/// How large everything is that the carrier remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sizes {
    /// Connections for SIP, and sources of datagrams with it.
    pub connections: usize,
    /// Registered contacts.
    pub bindings: usize,
    /// Calls in the proxy.
    pub calls: usize,
    /// Calls of far ends.
    pub far_end_calls: usize,
}

impl Sim {
    /// A carrier whose clock stands at `now`, which is `unix_s` seconds after 1970-01-01 UTC.
    ///
    /// # Errors
    /// Keys that cannot be made; an order that cannot be.
    pub fn new(mut builder: Builder, now: Instant, unix_s: u64) -> Result<Self, StartError> {
        if builder.accounts.is_empty() {
            builder.accounts = account::default_accounts();
        }
        let (faults, later) = builder.armed_faults();
        let recorder = Recorder::new(builder.recorder_capacity);
        let place = builder.addresses.first().copied().unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let addresses = builder.fixed_addresses(place);
        let zone = Zone::new(
            &builder.names,
            &builder.extra_hosts,
            &builder.addresses,
            faults.clone(),
            recorder.clone(),
        )
        .with_sip(&builder.names, addresses.sip.port(), addresses.sips.port())
        .with_address_book(&builder.names, addresses.mcs.port());
        let limits = builder.limits();
        let (impairment, seed) = (Conditions::new(builder.impairment.clone()), builder.seed);
        let sip_impairment = Conditions::new(builder.sip_impairment.clone());
        let (media, figures) = (Imagined::default(), RelayFigures::default());
        let mut ports = datagrams::Ports {
            given: (faults.clone(), recorder.clone()),
            numbers: Numbers::default(),
            conditions: sip_impairment.clone(),
            seed,
            by_address: BTreeMap::new(),
        };
        builder.addresses.iter().for_each(|here| ports.open(SocketAddr::new(*here, addresses.sip.port())));
        let state =
            Arc::new(State::new(builder, addresses, None, faults, recorder, Clock::simulated(now, unix_s))?);
        let (to_far_ends, for_far_ends) = mpsc::unbounded_channel();
        let (faults, clock) = (state.faults.clone(), state.clock.clone());
        let relay =
            Relay::imagined(place, media.clone(), faults, impairment.clone(), figures.clone(), seed, clock);
        Ok(Self {
            zone,
            zdial: zdial::router(Arc::clone(&state)),
            mcs: mcs::router(Arc::clone(&state)),
            switch: Switch::new(Arc::clone(&state), limits, Some(relay), to_far_ends),
            far_ends: FarEnds::imagined(Arc::clone(&state), place, media.clone()),
            for_far_ends,
            connections: BTreeMap::new(),
            ports,
            orders: later
                .into_iter()
                .map(|(order, armed)| (now + order.first_pause(armed), order, armed))
                .collect(),
            media,
            impairment,
            sip_impairment,
            seed,
            figures,
            out: Vec::new(),
            state,
        })
    }

    /// The configuration of a client for one of the accounts. Its ports are those that the carrier answers at.
    pub fn client_config(&self, username: &str) -> Option<ClientConfig> {
        ClientConfig::of(&self.state, username)
    }

    /// The same of profile `generic`, over TCP: steps 2 and 3 are skipped.
    pub fn generic_config(&self, username: &str) -> Option<ClientConfig> {
        ClientConfig::generic(&self.state, username, "tcp")
    }

    /// Where SIP is answered over TCP and UDP.
    pub fn sip_addr(&self) -> SocketAddr {
        self.state.addresses.sip
    }

    /// The faults, to arm and disarm.
    pub fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// The address books, as another device sees them.
    pub fn address_books(&self) -> &crate::AddressBooks {
        &self.state.address_books
    }

    /// What crossed the wire.
    pub fn recorder(&self) -> &Recorder {
        &self.state.recorder
    }

    /// Impairs relayed media otherwise, from the next packet on.
    pub fn impair(&self, impairment: Impairment) {
        self.impairment.set(impairment);
    }

    /// Impairs SIP otherwise, from the next datagram or bytes on, on connections that stand too; of those it is delay, jitter and rate, as
    /// over TCP.
    pub fn impair_sip(&self, impairment: Impairment) {
        self.sip_impairment.set(impairment);
    }

    /// Figures of relayed media lines: those running and the last that ended.
    pub fn relay_stats(&self) -> Vec<RelayStats> {
        self.figures.all()
    }

    /// A datagram arrives at a port of the carrier, for SIP or media; `false` when nobody is there.
    pub fn datagram(&mut self, mut datagram: Datagram, now: Instant) -> bool {
        self.at(now);
        if self.is_sip(datagram.to) {
            return self.sip_datagram(&datagram, now);
        }
        self.media.receive(&mut datagram, now.into())
    }

    /// What relay and far ends have sent since this was asked last. Some goes to other ports of the carrier: a far end's
    /// media passes the relay like anyone's.
    pub fn datagrams(&mut self) -> Vec<Datagram> {
        self.media.sent()
    }

    /// What is in the mailbox of a number, the oldest message first.
    pub fn video_messages(&self, number: &str) -> Vec<VideoMessage> {
        let found = account::find(&self.state.accounts, number);
        found.map(|(_, number)| self.state.mail.all(&number.sip_user)).unwrap_or_default()
    }

    /// How much it remembers.
    pub fn sizes(&self) -> Sizes {
        let (bindings, calls) = self.switch.sizes();
        let connections = self.connections.len() + self.ports.len();
        Sizes { connections, bindings, calls, far_end_calls: self.far_ends.calls() }
    }

    /// A question to the name server at one of the addresses.
    pub fn name(
        &mut self,
        server: IpAddr,
        name: &str,
        kind: RecordKind,
        udp: bool,
        now: Instant,
    ) -> Answered {
        self.at(now);
        if self.state.faults.is_armed_at(Fault::Refuse(Service::Dns), server) {
            return Answered::Closed;
        }
        let question = format!("{name} {kind:?}");
        let peer = SocketAddr::new(server, 0);
        self.state.recorder.record(Service::Dns, Direction::Received, peer, question);
        let answered = self.zone.at(server).ask(name, kind, udp);
        let words = if let Answered::Records(records, _) = &answered {
            format!("{name} {kind:?}: {} records", records.len())
        } else {
            format!("{name} {kind:?}: {answered:?}")
        };
        self.state.recorder.record(Service::Dns, Direction::Sent, peer, words);
        answered
    }

    /// When it wants to be woken.
    pub fn next_deadline(&self) -> Option<Instant> {
        let orders = self.orders.iter().map(|(at, ..)| *at).min();
        let switch = self.switch.next_deadline().map(tokio::time::Instant::into_std);
        let media = self.media.next_deadline().map(tokio::time::Instant::into_std);
        let late = self.connections.values().flat_map(|connection| {
            [connection.inward.next_deadline(), connection.outward.next_deadline()].into_iter().flatten()
        });
        let orders = orders.into_iter().chain(late).chain(self.ports.next_deadline());
        orders.chain(self.far_ends.next_deadline()).chain(switch).chain(media).min()
    }

    /// Does what is due.
    pub fn on_deadline(&mut self, now: Instant) {
        self.at(now);
        for (at, order, armed) in std::mem::take(&mut self.orders) {
            if at > now {
                self.orders.push((at, order, armed));
                continue;
            }
            match armed {
                Some(armed) => self.state.faults.end(armed),
                None => {
                    let armed = self.state.faults.arm_order(&order);
                    if let Some(lasting) = order.lasting {
                        self.orders.push((now + lasting, order, Some(armed)));
                    }
                }
            }
        }
        for message in self.far_ends.due(now) {
            self.switch.handle(Input::Message { id: FAR_ENDS, message });
        }
        self.media.on_deadline(now.into());
        self.switch.on_deadline();
        self.carry(now);
        self.carry_datagrams(now);
        self.settle();
    }

    fn at(&self, now: Instant) {
        self.state.clock.set(now);
    }
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim").field("sizes", &self.sizes()).finish_non_exhaustive()
    }
}

impl Order {
    /// How long until something is to be done about it: it is armed, or, where it is, ended.
    fn first_pause(&self, armed: Option<ArmedId>) -> Duration {
        match armed {
            Some(_) => self.lasting.unwrap_or_default(),
            None => self.after,
        }
    }
}
