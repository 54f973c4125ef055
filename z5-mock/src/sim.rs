//! The carrier inside simulated time: the same servers without sockets, tasks or a clock.
//!
//! Names, HTTPS requests and SIP bytes go in with the time, what the carrier answers comes out; [`Sim::next_deadline`] says when it wants to
//! be woken. One seed and the same inputs give the same answers. Media goes in and comes out as datagrams: relay and far ends play at
//! ports without sockets. Certificates are not made; a fault of a certificate is told as such.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use bytes::Bytes;
use tokio::sync::mpsc;
use tower_service::Service as _;
use z5_sip::wire::{Frame, Framer, Limits, Message, Transport};

use crate::builder::Builder;
use crate::carrier::StartError;
use crate::client_config::ClientConfig;
use crate::clock::Clock;
use crate::dns::Zone;
use crate::far_end::FarEnds;
use crate::fault::{ArmedId, CertificateFault, Fault, Faults, Order};
use crate::http::{self, Here};
use crate::imagined::Imagined;
use crate::impairment::{Conditions, Impairment};
use crate::recorder::{Direction, Recorder, Service};
use crate::relay::{Relay, RelayFigures, RelayStats};
use crate::sip::switch::Switch;
use crate::sip::{ConnectionId, FAR_ENDS, Input, OUTBOUND_MESSAGES};
use crate::state::State;
use crate::{mcs, zdial};

pub use crate::dns::{Answered, NameRecord, RecordKind};

/// The largest body that is handed out.
const MAX_BODY: usize = 128 * 1024 * 1024;
/// Bytes of an answer that is cut off.
const CUT_AFTER: usize = 60;

/// A carrier that is driven by hand.
pub struct Sim {
    state: Arc<State>,
    zone: Zone,
    zdial: Router,
    mcs: Router,
    switch: Switch,
    far_ends: FarEnds,
    for_far_ends: mpsc::UnboundedReceiver<Message>,
    connections: BTreeMap<u64, Connection>,
    last_connection: u64,
    /// What is to be armed and ended, and when.
    orders: Vec<(Instant, Order, Option<ArmedId>)>,
    media: Imagined,
    impairment: Conditions,
    figures: RelayFigures,
    out: Vec<Said>,
}

struct Connection {
    framer: Framer,
    outlet: mpsc::Receiver<Bytes>,
    here: IpAddr,
    peer: SocketAddr,
    /// Nothing is ever said.
    dumb: bool,
    /// Bytes until the end, where it is cut off.
    left: Option<usize>,
    /// Messages until nothing more is said, where it is forgotten.
    answers: Option<usize>,
}

/// A request over HTTPS, as it would stand on the wire.
#[derive(Clone, Debug)]
pub struct HttpsRequest {
    /// Which of the carrier's addresses, and which port.
    pub server: SocketAddr,
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Bytes,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum HttpsOutcome {
    /// An answer.
    Reply {
        /// HTTP status.
        status: u16,
        /// Its headers.
        headers: HeaderMap,
        /// Its body.
        body: Bytes,
    },
    /// The port is closed, or nobody is at this address and port.
    Refused,
    /// The connection is reset, or ends in the middle.
    Broken,
    /// What comes is no TLS.
    NoTls,
    /// A certificate that must not be accepted.
    Certificate(CertificateFault),
    /// Nothing ever comes.
    Silent,
}

/// What becomes of a connection for SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It stands, under this number.
    Stands(u64),
    /// The port is closed, or nobody is there.
    Refused,
    /// A certificate that must not be accepted.
    Certificate(CertificateFault),
}

/// What the carrier does on a connection for SIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It sends.
    Bytes(u64, Bytes),
    /// It ends the connection.
    Closed(u64),
}

/// A datagram with media, on its way between two ports.
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
    /// Connections for SIP.
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
            builder.accounts = crate::account::default_accounts();
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
        .with_sip(&builder.names, addresses.sip.port(), addresses.sips.port());
        let limits = builder.limits();
        let (impairment, seed) = (Conditions::new(builder.impairment.clone()), builder.seed);
        let (media, figures) = (Imagined::default(), RelayFigures::default());
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
            last_connection: 0,
            orders: later
                .into_iter()
                .map(|(order, armed)| (now + order.first_pause(armed), order, armed))
                .collect(),
            media,
            impairment,
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

    /// Where SIP is answered over TCP.
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

    /// Figures of relayed media lines: those running and the last that ended.
    pub fn relay_stats(&self) -> Vec<RelayStats> {
        self.figures.all()
    }

    /// A datagram arrives at a port of the carrier; `false` when nobody is there.
    pub fn datagram(&mut self, mut datagram: Datagram, now: Instant) -> bool {
        self.at(now);
        self.media.receive(&mut datagram, now.into())
    }

    /// What relay and far ends have sent since this was asked last. Some goes to other ports of the carrier: a far end's
    /// media passes the relay like anyone's.
    pub fn datagrams(&mut self) -> Vec<Datagram> {
        self.media.sent()
    }

    /// How much it remembers.
    pub fn sizes(&self) -> Sizes {
        let (bindings, calls) = self.switch.sizes();
        Sizes { connections: self.connections.len(), bindings, calls, far_end_calls: self.far_ends.calls() }
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

    /// A request to the sign-in server or to the MCS, whichever is at its port.
    pub fn https(&mut self, request: HttpsRequest, now: Instant) -> HttpsOutcome {
        self.at(now);
        let addresses = self.state.addresses;
        let (service, router) = match request.server.port() {
            port if port == addresses.zdial.port() => (Service::Zdial, &self.zdial),
            port if port == addresses.mcs.port() => (Service::Mcs, &self.mcs),
            _ => return HttpsOutcome::Refused,
        };
        let here = request.server.ip();
        if !self.state.places.contains(&here) {
            return HttpsOutcome::Refused;
        }
        let faults = self.state.faults.at(here);
        if self.state.faults.is_armed_at(Fault::Refuse(service), here) {
            return HttpsOutcome::Refused;
        }
        if faults.strikes(Fault::Reset(service)) {
            return HttpsOutcome::Broken;
        }
        let silent = [Fault::BlackHole(service), Fault::Slow(service), Fault::HalfOpen(service)];
        if silent.into_iter().any(|fault| faults.strikes(fault)) {
            return HttpsOutcome::Silent;
        }
        if faults.strikes(Fault::Garbage(service)) {
            return HttpsOutcome::NoTls;
        }
        let certificate = faults.strike(|fault| {
            if let Fault::Certificate(at, kind) = *fault { (at == service).then_some(kind) } else { None }
        });
        if let Some(certificate) = certificate {
            return HttpsOutcome::Certificate(certificate);
        }
        let cut = faults.strikes(Fault::Cut(service)) || faults.strikes(Fault::ResetMidway(service));
        let answered = answer(router.clone(), request, here, |direction, text| {
            // Whoever asks over HTTPS has no address here.
            self.state.recorder.record(service, direction, SocketAddr::new(here, 0), text);
        });
        match answered {
            Some(_) if cut => HttpsOutcome::Broken,
            Some((status, headers, body)) => HttpsOutcome::Reply { status, headers, body },
            None => HttpsOutcome::Broken,
        }
    }

    /// A connection for SIP from a client.
    pub fn connect(&mut self, server: SocketAddr, tls: bool, client: SocketAddr, now: Instant) -> Opened {
        self.at(now);
        let addresses = self.state.addresses;
        let port = if tls { addresses.sips.port() } else { addresses.sip.port() };
        let here = server.ip();
        let faults = self.state.faults.at(here);
        if server.port() != port
            || !self.state.places.contains(&here)
            || self.state.faults.is_armed_at(Fault::Refuse(Service::Sip), here)
        {
            return Opened::Refused;
        }
        let certificate = faults.strike(|fault| {
            if let Fault::Certificate(Service::Sip, kind) = *fault { tls.then_some(kind) } else { None }
        });
        if let Some(certificate) = certificate {
            return Opened::Certificate(certificate);
        }
        let reset =
            faults.strikes(Fault::Reset(Service::Sip)) || faults.strikes(Fault::Garbage(Service::Sip));
        let dumb =
            faults.strikes(Fault::BlackHole(Service::Sip)) || faults.strikes(Fault::Slow(Service::Sip));
        let cut = [Fault::Cut(Service::Sip), Fault::ResetMidway(Service::Sip)];
        let left = cut.into_iter().any(|fault| faults.strikes(fault)).then_some(CUT_AFTER);
        let answers = faults.strikes(Fault::HalfOpen(Service::Sip)).then_some(1);
        self.last_connection += 1;
        let id = self.last_connection;
        if reset {
            self.out.push(Said::Closed(id));
            return Opened::Stands(id);
        }
        let (outlet, outbound) = mpsc::channel(OUTBOUND_MESSAGES);
        let transport = if tls { Transport::Tls } else { Transport::Tcp };
        let opened = format!("[connection over {}]", transport.as_str());
        self.state.recorder.record(Service::Sip, Direction::Received, client, opened);
        let framer = Framer::accepting(Limits::default());
        self.connections
            .insert(id, Connection { framer, outlet: outbound, here, peer: client, dumb, left, answers });
        let id = ConnectionId(id);
        self.switch.handle(Input::Opened { id, transport, peer: client, local: server, outlet });
        Opened::Stands(id.0)
    }

    /// Bytes that a client sends on a connection.
    pub fn received(&mut self, id: u64, bytes: &[u8], now: Instant) {
        self.at(now);
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.dumb) else {
            return;
        };
        connection.framer.push(bytes);
        let mut messages = Vec::new();
        let mut broken = false;
        while let Some(frame) = connection.framer.next() {
            match frame {
                Ok(Frame::Message(message)) => {
                    let redacted = z5_sip::wire::redact(&message);
                    self.state.recorder.record(Service::Sip, Direction::Received, connection.peer, redacted);
                    messages.push(message);
                }
                Ok(Frame::Ping) if self.state.faults.strikes(Fault::NoPong) => {}
                Ok(Frame::Ping) if connection.answers == Some(0) => {}
                Ok(Frame::Ping) => self.out.push(Said::Bytes(id, Bytes::from_static(b"\r\n"))),
                Ok(Frame::Pong) => {}
                Err(_) => broken = true,
            }
        }
        for message in messages {
            self.switch.handle(Input::Message { id: ConnectionId(id), message });
        }
        if broken {
            self.end(id);
        }
        self.settle();
    }

    /// A client ends a connection.
    pub fn closed(&mut self, id: u64, now: Instant) {
        self.at(now);
        self.end(id);
        self.out.retain(|said| !matches!(said, Said::Bytes(of, _) | Said::Closed(of) if *of == id));
        self.settle();
    }

    /// Ends every connection for SIP at an address, as a server that is switched off does.
    pub fn cut_sip(&mut self, here: IpAddr, now: Instant) {
        self.at(now);
        let ids: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.here == here)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.end(id);
            self.out.push(Said::Closed(id));
        }
        self.settle();
    }

    /// What the carrier has said since it was asked last.
    pub fn said(&mut self) -> Vec<Said> {
        self.settle();
        std::mem::take(&mut self.out)
    }

    /// When it wants to be woken.
    pub fn next_deadline(&self) -> Option<Instant> {
        let orders = self.orders.iter().map(|(at, ..)| *at).min();
        let switch = self.switch.next_deadline().map(tokio::time::Instant::into_std);
        let media = self.media.next_deadline().map(tokio::time::Instant::into_std);
        orders.into_iter().chain(self.far_ends.next_deadline()).chain(switch).chain(media).min()
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
        self.settle();
    }

    fn at(&self, now: Instant) {
        self.state.clock.set(now);
    }

    fn end(&mut self, id: u64) {
        if self.connections.remove(&id).is_some() {
            self.switch.handle(Input::Closed { id: ConnectionId(id) });
        }
    }

    /// Carries what is between switch and far ends, and collects what goes to clients, until nothing moves.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            while let Ok(message) = self.for_far_ends.try_recv() {
                moved = true;
                for message in self.far_ends.handle(&message) {
                    self.switch.handle(Input::Message { id: FAR_ENDS, message });
                }
            }
            let mut ended = Vec::new();
            for (id, connection) in &mut self.connections {
                loop {
                    match connection.outlet.try_recv() {
                        Ok(bytes) if connection.dumb || connection.answers == Some(0) => drop(bytes),
                        Ok(mut bytes) => {
                            moved = true;
                            if let Some(answers) = &mut connection.answers {
                                *answers -= 1;
                            }
                            if let Some(left) = &mut connection.left {
                                bytes.truncate(*left);
                                *left -= bytes.len();
                            }
                            if !bytes.is_empty() {
                                self.out.push(Said::Bytes(*id, bytes));
                            }
                            if connection.left == Some(0) {
                                ended.push(*id);
                                break;
                            }
                        }
                        Err(mpsc::error::TryRecvError::Empty) => break,
                        // The switch has given it up.
                        Err(mpsc::error::TryRecvError::Disconnected) => {
                            ended.push(*id);
                            break;
                        }
                    }
                }
            }
            for id in ended {
                moved = true;
                self.end(id);
                self.out.push(Said::Closed(id));
            }
            if !moved {
                return;
            }
        }
    }
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim").field("sizes", &self.sizes()).finish_non_exhaustive()
    }
}

/// What the service says; none when the request cannot be one, or the answer is not there at once, as all answers of this carrier are.
fn answer(
    mut router: Router,
    request: HttpsRequest,
    here: IpAddr,
    record: impl Fn(Direction, String),
) -> Option<(u16, HeaderMap, Bytes)> {
    let mut built = Request::builder().method(request.method.as_str()).uri(request.target.as_str());
    let headers = built.headers_mut()?;
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_str(value).ok()?);
    }
    let mut built = built.body(Body::from(request.body)).ok()?;
    built.extensions_mut().insert(Here(here));
    record(Direction::Received, http::request_text(&built));
    let response = at_once(router.call(built))?.ok()?;
    record(Direction::Sent, http::response_text(&response));
    let (parts, body) = response.into_parts();
    let body = at_once(axum::body::to_bytes(body, MAX_BODY))?.ok()?;
    Some((parts.status.as_u16(), parts.headers, body))
}

/// The outcome of a future that waits for nobody.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
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
