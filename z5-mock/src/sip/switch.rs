//! The heart of the MCS's SIP side: one task that owns connections, bindings and calls, and dispatches messages.
//!
//! REGISTER is in `registrar`, everything that is forwarded in `proxy`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use z5_sip::auth::digest::{Algorithm, Qop};
use z5_sip::auth::{Check, Verifier};
use z5_sip::ident::Ident;
use z5_sip::wire::{Address, Message, Method, Name, ResponseBuilder, Rules, Transport, Uri, Verdict};

use super::bindings::Bindings;
use super::calls::Calls;
use super::mwi::Mailboxes;
use super::{ConnectionId, FAR_ENDS, Input};
use crate::account;
use crate::clock;
use crate::recorder::{Direction, Service};
use crate::relay::Relay;
use crate::state::State;

/// How long registrations may and must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegistrationLimits {
    pub(crate) granted_expires: Duration,
    pub(crate) min_expires: Duration,
}

struct Connection {
    transport: Transport,
    peer: SocketAddr,
    local: SocketAddr,
    outlet: mpsc::Sender<Bytes>,
}

pub(crate) struct Switch {
    pub(super) state: Arc<State>,
    pub(super) limits: RegistrationLimits,
    /// None in a simulation: media is negotiated past the carrier.
    pub(super) relay: Option<Relay>,
    pub(super) bindings: Bindings,
    pub(super) calls: Calls,
    pub(super) ident: Ident,
    pub(super) mailboxes: Mailboxes,
    connections: HashMap<ConnectionId, Connection>,
    /// When abandoned calls are looked for.
    pub(super) looks_at: Option<Instant>,
    far_ends: mpsc::UnboundedSender<Message>,
    registrar_digest: Verifier,
    proxy_digest: Verifier,
}

impl Switch {
    pub(crate) fn new(
        state: Arc<State>,
        limits: RegistrationLimits,
        relay: Option<Relay>,
        far_ends: mpsc::UnboundedSender<Message>,
    ) -> Self {
        let verifier = || {
            Verifier::new(state.names.domain())
                .algorithms(&[Algorithm::Sha256, Algorithm::Md5])
                .qop(&[Qop::Auth])
        };
        Self {
            registrar_digest: verifier(),
            proxy_digest: verifier().proxy(),
            ident: Ident::from_seed(state.dice.number()),
            state,
            limits,
            relay,
            far_ends,
            bindings: Bindings::default(),
            calls: Calls::default(),
            mailboxes: Mailboxes::default(),
            connections: HashMap::new(),
            looks_at: None,
        }
    }

    /// Runs until every sender is gone.
    pub(crate) async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let mail = Arc::clone(&self.state);
        loop {
            let at = self.next_deadline();
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => self.handle(input),
                    None => return,
                },
                () = mail.mail.changed() => self.tell_of_mail(),
                () = tokio::time::sleep_until(at.unwrap_or_else(clock::now)), if at.is_some() => self.on_deadline(),
            }
        }
    }

    /// Decides what follows from one thing; what is said goes to the outlets and to the far ends.
    pub(crate) fn handle(&mut self, input: Input) {
        match input {
            Input::Opened { id, transport, peer, local, outlet } => {
                self.connections.insert(id, Connection { transport, peer, local, outlet });
            }
            Input::Closed { id } => self.close(id),
            Input::Cut { here } => {
                let ends = |connection: &Connection| connection.local.ip() == here;
                let ids = self.connections.iter().filter(|(_, connection)| ends(connection));
                let ids: Vec<ConnectionId> = ids.map(|(id, _)| *id).collect();
                ids.into_iter().for_each(|id| self.close(id));
            }
            Input::Message { id, message } if message.is_request() => self.request(id, message),
            Input::Message { id, message } => self.response(id, &message),
        }
    }

    /// How many contacts and calls are remembered.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.bindings.len(), self.calls.len())
    }

    fn request(&mut self, from: ConnectionId, request: Message) {
        match Rules::proxy().validate(&request) {
            Verdict::Accept => {}
            Verdict::Refuse { status, reason, .. } => {
                self.answer(from, &request, status, reason);
                return;
            }
            Verdict::Drop { .. } => return,
        }
        if request.method() == Some(Method::Register) {
            self.register(from, &request);
        } else if !self.subscribe(from, &request) {
            self.forward(from, &request);
        }
    }

    /// The user whom the credentials prove; otherwise the request has been answered.
    pub(super) fn authenticate(
        &mut self,
        from: ConnectionId,
        request: &Message,
        proxy: bool,
    ) -> Option<String> {
        let now = self.state.clock.now().into_std();
        let accounts = &self.state.accounts;
        let password =
            |user: &str| account::find(accounts, user).map(|(_, number)| number.sip_password.clone());
        let verifier = if proxy { &mut self.proxy_digest } else { &mut self.registrar_digest };
        match verifier.check(request, password, now) {
            Check::Accepted { username } => return Some(username),
            Check::None | Check::Refused { .. } => self.challenge(from, request, proxy, false),
            Check::Stale => self.challenge(from, request, proxy, true),
            Check::Malformed => self.answer(from, request, 400, "Malformed Credentials"),
        }
        None
    }

    pub(super) fn challenge(&mut self, from: ConnectionId, request: &Message, proxy: bool, stale: bool) {
        let now = self.state.clock.now().into_std();
        let verifier = if proxy { &mut self.proxy_digest } else { &mut self.registrar_digest };
        let mut response = ResponseBuilder::to_request(request, verifier.status(), "");
        for (name, value) in verifier.challenge(stale, &mut self.ident, now) {
            response = response.header(name, value);
        }
        self.answer_with(from, request, response);
    }

    /// Answers a request on behalf of the carrier itself. An ACK is never answered.
    pub(super) fn answer(&mut self, to: ConnectionId, request: &Message, status: u16, reason: &str) {
        self.answer_with(to, request, ResponseBuilder::to_request(request, status, reason));
    }

    pub(super) fn answer_with(&mut self, to: ConnectionId, request: &Message, response: ResponseBuilder) {
        if request.method() == Some(Method::Ack) {
            return;
        }
        let response = response.to_tag(&self.ident.tag()).header(Name::Server, SERVER);
        match response.build() {
            Ok(message) => self.send(to, message),
            Err(error) => tracing::debug!(%error, "an answer could not be built"),
        }
    }

    pub(super) fn send(&mut self, to: ConnectionId, message: Message) {
        if to == FAR_ENDS {
            // The receiver lives as long as the carrier.
            let _ = self.far_ends.send(message);
            return;
        }
        let Some(connection) = self.connections.get(&to) else { return };
        let redacted = z5_sip::wire::redact(&message);
        self.state.recorder.record(Service::Sip, Direction::Sent, connection.peer, redacted);
        if connection.outlet.try_send(message.into_bytes()).is_err() {
            self.close(to);
        }
    }

    /// Forgets a connection; its task ends when it sees that nobody can send to it.
    pub(super) fn close(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
        self.bindings.closed(id);
    }

    pub(super) fn is_open(&self, id: ConnectionId) -> bool {
        id == FAR_ENDS || self.connections.contains_key(&id)
    }

    /// The carrier's own address on a connection.
    pub(super) fn local(&self, id: ConnectionId) -> SocketAddr {
        self.connections.get(&id).map_or(self.state.addresses.sip, |connection| connection.local)
    }

    /// What carries a connection; the far ends' is as good as TCP.
    pub(super) fn transport(&self, id: ConnectionId) -> Transport {
        self.connections.get(&id).map_or(Transport::Tcp, |connection| connection.transport)
    }

    /// Whether an address is one of the carrier's for SIP.
    pub(super) fn is_ours(&self, address: Option<IpAddr>, port: Option<u16>) -> bool {
        let place = address.is_some_and(|address| self.state.places.contains(&address));
        place && port.is_none_or(|port| self.is_our_port(port))
    }

    pub(super) fn is_our_port(&self, port: u16) -> bool {
        [self.state.addresses.sip.port(), self.state.addresses.sips.port()].contains(&port)
    }

    pub(super) fn peer(&self, id: ConnectionId) -> SocketAddr {
        self.connections.get(&id).map_or(self.state.addresses.sip, |connection| connection.peer)
    }
}

/// The `Server` header of the carrier's own answers.
pub(crate) const SERVER: &str = concat!("z5-mock/", env!("CARGO_PKG_VERSION"));

/// A URI of the carrier's own as an address; `None` only if the parts cannot form a URI.
pub(crate) fn address(uri: &str) -> Option<Address> {
    Uri::parse(uri).ok().map(|uri| Address::new(&uri))
}
