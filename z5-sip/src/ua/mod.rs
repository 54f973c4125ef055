//! The user agent: one account, its connection, its binding and its calls, composed of the machines of this crate.
//!
//! It owns no socket and no clock. A driver opens connections, hands in bytes and the time, and does what the outbox
//! says. The whole contract is this loop:
//!
//! ```
//! # use std::time::Instant;
//! use z5_sip::auth::Credentials;
//! use z5_sip::ident::Ident;
//! use z5_sip::outbox::Outbox;
//! use z5_sip::ua::{Command, Effect, FlowId, Input, Transport, UaConfig, UserAgent};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[expect(clippy::disallowed_methods, reason = "an example has no other clock")]
//! # let now = Instant::now();
//! let mut config = UaConfig::new("sip:alice@example.com".parse()?, "sip:example.com".parse()?);
//! config.credentials = vec![Credentials::new("alice", "secret")];
//! let mut agent = UserAgent::new(config, Ident::from_seed(1));
//! let mut out = Outbox::new();
//!
//! // The driver has connected:
//! let flow = FlowId(1);
//! let (local, remote) = ("127.0.0.1:40000".parse()?, "127.0.0.1:5060".parse()?);
//! agent.handle(Input::FlowUp { flow, transport: Transport::Tcp, local, remote, reg_id: 1 }, now, &mut out);
//! agent.handle(Input::Command(Command::Register), now, &mut out);
//!
//! // After every turn: all that is to be sent on a flow goes out in one write.
//! let mut write = Vec::new();
//! for effect in out.drain() {
//!     match effect {
//!         Effect::Send { bytes, .. } => write.extend_from_slice(&bytes),
//!         Effect::CloseFlow { .. } => { /* close the socket */ }
//!         Effect::OpenStream { .. } => { /* on UDP only: connect over TCP to the same server, beside it */ }
//!         Effect::Event(_) => { /* tell the application */ }
//!     }
//! }
//! assert!(write.starts_with(b"REGISTER sip:example.com SIP/2.0\r\n"));
//!
//! // Then wait for bytes (`Input::Received`), the end of the connection (`Input::FlowDown`), a command, or until
//! // `agent.next_deadline()`, and hand in `Input::Deadline`.
//! assert!(agent.next_deadline().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! What is to be known of it:
//! - The newest flow carries new requests. A call outlives its flow: its next request takes the newest one.
//! - A call ends with exactly one of [`Event::Failed`], or [`Event::Established`] and later [`Event::Ended`].
//! - Requests that open something are taken only on the flow whose binding stands; all others are refused.
//! - An ACK and the request that follows it are written in one turn, so that they leave in one segment.

mod active;
mod adrift;
mod apart;
mod body;
mod call;
mod command;
mod compose;
mod config;
mod doorstep;
mod early;
mod event;
mod extras;
mod failure;
mod fetching;
mod incoming;
mod info;
mod leg;
mod listening;
mod messaging;
mod offers;
mod options;
mod outgoing;
mod redirecting;
mod referral;
mod registering;
mod reliable;
mod remembered;
mod renegotiate;
mod replaces;
mod request_failure;
mod requests;
mod responses;
mod schedule;
mod stream;
mod subscribing;
mod transactions;
mod transfer;
mod types;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

pub use crate::flow::{FlowDeath, FlowEnd, FlowId, StunUse};
pub use crate::multipart::BodyPart;
pub use crate::wire::Transport;
pub use body::Body;
pub use config::{ReliableProvisionals, UaConfig};
pub use extras::{CallInfo, Location};
pub use failure::{CallFailure, CommandRefusal, RegisterFailure};
pub(crate) use failure::{targets, warning_text};
pub use info::Info;
pub use offers::ANSWER_WITHIN;
pub use options::{CallOptions, Privacy};
pub use referral::DECIDE_WITHIN;
pub use request_failure::RequestFailure;
pub use types::{
    Binding, CallKey, Command, Effect, Event, Input, MessageKey, Package, ProbeKey, Reason, Side,
    SubscriptionEnd, SubscriptionKey, TransferTarget,
};

use self::call::Call;
use self::messaging::Outgoing;
use self::schedule::{Schedule, Sleeper};
use self::transactions::Transactions;
use crate::auth::Authenticator;
use crate::dialog::DialogId;
use crate::flow::{self, Flow, Habits, Stun};
use crate::ident::Ident;
use crate::outbox::{Deadline, Outbox};
use crate::stun;
use crate::transaction::{ClientInput, ServerInput};
use crate::wire::{Frame, Message, Rules, redact};

/// A sans-IO user agent; see the module's documentation for how to run it.
pub struct UserAgent {
    config: UaConfig,
    ident: Ident,
    authenticator: Authenticator,
    flows: BTreeMap<FlowId, Flow>,
    /// By UDP flow: the TCP connection for what is larger than a datagram may be.
    streams: BTreeMap<FlowId, stream::Stream>,
    /// The newest flow that is up.
    current: Option<FlowId>,
    /// Our binding of each `reg-id`.
    bindings: BTreeMap<u32, registering::Binding>,
    /// Registrations in a row that were refused for their credentials.
    refused: u32,
    /// Ask for outbound (RFC 5626) with `reg-id`; off after a 439.
    outbound: bool,
    /// The value of Supported.
    supported: String,
    /// What requests may require of us and carry: exactly what this user agent does.
    rules: Rules,
    transactions: Transactions,
    calls: BTreeMap<CallKey, Call>,
    dialogs: HashMap<DialogId, CallKey>,
    subscriptions: BTreeMap<SubscriptionKey, subscribing::Subscribed>,
    /// Calls in which an offer was refused because another one was open.
    wants_offer: BTreeSet<CallKey>,
    /// Requests of calls that wait for a flow.
    adrift: Vec<adrift::Adrift>,
    /// Dialogs that are over, the newest last.
    ended: VecDeque<DialogId>,
    /// Transfers that we asked for, by the call they were asked in.
    transfers: BTreeMap<CallKey, transfer::Transfer>,
    /// Transfers that we are asked for, by the call they are asked in.
    requested: BTreeMap<CallKey, referral::Requested>,
    /// The reports on calls that we made for someone, by that call.
    referrals: BTreeMap<CallKey, referral::Referral>,
    /// Where calls that were sent elsewhere may still go.
    redirects: BTreeMap<CallKey, redirecting::Redirects>,
    /// Requests that came before the binding they came by was known to stand.
    doorstep: Vec<doorstep::Guest>,
    /// The other parts of the message that is looked at.
    parts: Vec<BodyPart>,
    /// What was refused or dropped, and how often.
    drops: BTreeMap<&'static str, u64>,
    /// What we answered with 400 to 699, and how often.
    refusals: BTreeMap<u16, u64>,
    incoming: u64,
    schedule: Schedule,
    /// Machines whose deadline may have changed in this turn.
    dirty: Vec<Sleeper>,
}

/// What a user agent of this crate judges messages by: its schemes, and the extensions that may be required of it.
#[must_use]
pub fn rules() -> Rules {
    Rules::user_agent()
}

/// Credentials are good for the domain of the account, and for what its registrar calls itself.
fn authenticator(config: &UaConfig) -> Authenticator {
    let authenticator = Authenticator::new(config.credentials.clone());
    match config.registrar.host() {
        Some(domain) => authenticator.at_home(domain.to_string()),
        None => authenticator,
    }
}

/// What every step of one turn shares.
struct Turn<'a> {
    now: Instant,
    out: &'a mut Outbox<Effect>,
    /// What became of calls of ours, as a status: for whoever asked for them.
    outcomes: Vec<(CallKey, u16)>,
}

impl Turn<'_> {
    fn emit(&mut self, event: Event) {
        if let Event::Progress { call, status, .. } = &event {
            self.outcomes.push((*call, *status));
        } else if let Event::Established { call, .. } = &event {
            self.outcomes.push((*call, 200));
        } else if let Event::Failed { call, failure } = &event {
            self.outcomes.push((*call, failure.reported()));
        }
        self.out.push(Effect::Event(event));
    }
}

impl UserAgent {
    /// A user agent without a flow. It does nothing by itself.
    #[must_use]
    pub fn new(config: UaConfig, ident: Ident) -> Self {
        Self {
            authenticator: authenticator(&config),
            supported: compose::supported(&config).collect::<Vec<_>>().join(", "),
            rules: Rules { extensions: compose::supported(&config).collect(), ..rules() },
            config,
            ident,
            flows: BTreeMap::new(),
            streams: BTreeMap::new(),
            current: None,
            bindings: BTreeMap::new(),
            refused: 0,
            outbound: true,
            transactions: Transactions::default(),
            calls: BTreeMap::new(),
            dialogs: HashMap::new(),
            wants_offer: BTreeSet::new(),
            adrift: Vec::new(),
            ended: VecDeque::new(),
            transfers: BTreeMap::new(),
            requested: BTreeMap::new(),
            referrals: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            redirects: BTreeMap::new(),
            doorstep: Vec::new(),
            parts: Vec::new(),
            drops: BTreeMap::new(),
            refusals: BTreeMap::new(),
            incoming: 0,
            schedule: Schedule::default(),
            dirty: Vec::new(),
        }
    }

    /// One turn: takes an input and puts everything that follows from it into the outbox.
    pub fn handle(&mut self, input: Input<'_>, now: Instant, out: &mut Outbox<Effect>) {
        let before = out.len();
        let mut turn = Turn { now, out, outcomes: Vec::new() };
        let turn = &mut turn;
        match input {
            Input::FlowUp { flow, transport, local, remote, reg_id } => {
                let habits = self.habits();
                self.flows.insert(flow, Flow::new(transport, local, remote, habits, now));
                self.on_flow_up(flow, reg_id, turn.now);
                self.dirty.push(Sleeper::Flow(flow));
            }
            Input::StreamUp { flow, beside, local, remote } => {
                self.on_stream_up(flow, beside, (local, remote), turn);
            }
            Input::StreamFailed { beside } => self.on_stream_failed(beside, turn),
            Input::FlowDown { flow, why } => self.lose_flow(flow, FlowDeath::Down(why), turn),
            Input::Received { flow, bytes } => self.on_received(flow, bytes, turn),
            Input::Deadline => self.on_deadline(turn),
            Input::Command(command) => self.on_command(command, turn),
        }
        self.answer_doorstep(turn);
        self.tell_who_may_offer(turn);
        self.report_outcomes(turn);
        self.reschedule();
        for effect in turn.out.iter().skip(before) {
            if let Effect::Event(Event::Unexpected { what, .. }) = effect {
                *self.drops.entry(what).or_default() += 1;
            }
        }
    }

    /// What was refused or dropped since the beginning, and how often: the reasons of [`Event::Unexpected`].
    pub fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.drops.iter().map(|(what, count)| (*what, *count))
    }

    /// The requests that were answered with 400 to 699 since the beginning, by status, the user's own refusals included.
    pub fn refusals(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.refusals.iter().map(|(status, count)| (*status, *count))
    }

    /// When to come back with [`Input::Deadline`], and why.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.schedule.next()
    }

    /// Whether the registrar holds our binding on a flow that is up.
    #[must_use]
    pub fn is_registered(&self, now: Instant) -> bool {
        self.bindings.values().any(|binding| binding.is_bound(now))
    }

    /// Calls in any state.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    fn on_command(&mut self, command: Command, turn: &mut Turn<'_>) {
        match command {
            Command::Register => self.on_register(turn),
            Command::RegisterWay { reg_id } => self.on_register_way(reg_id, turn),
            Command::FetchBindings => self.on_fetch_bindings(turn),
            Command::Credentials(credentials) => self.authenticator.replace_credentials(credentials),
            Command::Unregister => self.on_unregister(turn),
            Command::Invite { call, target, offer, options } => {
                self.on_invite_command(call, &target, offer, &options, turn);
            }
            Command::Ring { call, offer } => self.on_ring(call, offer, turn),
            Command::Progress { call, answer } => self.on_progress(call, answer, turn),
            Command::Accept { call, answer } => self.on_accept(call, answer, turn),
            Command::Reject { call, status } => self.on_reject(call, status, turn),
            Command::Redirect { call, to } => self.on_redirect(call, &to, turn),
            Command::Renegotiate { call, offer } => self.on_renegotiate(call, offer, turn),
            Command::AnswerOffer { call, answer } => self.on_answer_offer(call, answer, turn),
            Command::RefuseOffer { call } => self.on_refuse_offer(call, turn),
            Command::Transfer { call, to } => self.on_transfer(call, &to, turn),
            Command::AcceptTransfer { call, new_call, offer } => {
                self.on_accept_transfer(call, new_call, offer, turn);
            }
            Command::RejectTransfer { call, status } => self.on_reject_transfer(call, status, turn),
            Command::SendInfo { call, info } => self.on_send_info(call, &info, turn),
            Command::Hangup { call } => self.on_hangup(call, turn),
            Command::Message { message, call, target, content_type, body } => {
                self.on_message_command(Outgoing { message, call, target, content_type, body }, turn);
            }
            Command::Probe { probe, target } => self.on_probe_command(probe, &target, turn),
            Command::Subscribe { subscription, target, package, expires } => {
                self.on_subscribe(subscription, target, package, expires, turn);
            }
            Command::Unsubscribe { subscription } => self.on_unsubscribe(subscription, turn),
        }
    }

    fn on_received(&mut self, flow: FlowId, bytes: &[u8], turn: &mut Turn<'_>) {
        let Some(connection) = self.flows.get_mut(&flow) else { return };
        connection.on_bytes(bytes);
        self.dirty.push(Sleeper::Flow(flow));
        if !connection.transport().is_reliable() {
            if stun::is_stun(bytes) {
                return match connection.on_stun(bytes) {
                    Stun::Alive => {}
                    Stun::Unasked => {
                        turn.emit(Event::Unexpected { flow, what: "STUN that nobody asked for" })
                    }
                    Stun::Moved => self.close_flow(flow, FlowDeath::AddressChanged, turn),
                };
            }
            match Flow::datagram(bytes) {
                Some(message) => self.on_message(flow, message, turn),
                None if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) => {}
                None => turn.emit(Event::Unexpected { flow, what: "a datagram that is no SIP message" }),
            }
            return;
        }
        // A message may end the flow, so it is looked up again for each.
        while let Some(frame) = self.flows.get_mut(&flow).and_then(|flow| flow.next_frame(turn.now)) {
            match frame {
                Ok(Frame::Message(message)) => self.on_message(flow, message, turn),
                // We opened the connection: pinging is ours (RFC 5626 section 4.4.1).
                Ok(Frame::Ping | Frame::Pong) => {}
                Err(error) => {
                    self.refuse_unframed(flow, error, turn);
                    let why = FlowDeath::Framing(error);
                    turn.out.push(Effect::CloseFlow { flow, why });
                    self.lose_flow(flow, why, turn);
                }
            }
        }
    }

    fn on_message(&mut self, flow: FlowId, message: Message, turn: &mut Turn<'_>) {
        if self.config.trace {
            turn.emit(Event::Trace { flow, from: Side::Remote, text: redact(&message) });
        }
        let message = self.unfold(message);
        if message.is_request() {
            self.on_request(flow, message, turn);
        } else {
            self.on_response(flow, message, turn);
        }
    }

    fn on_deadline(&mut self, turn: &mut Turn<'_>) {
        for sleeper in self.schedule.due(turn.now) {
            // Even a machine that did nothing is asked again, or it would stay due for ever.
            self.dirty.push(sleeper);
            match sleeper {
                Sleeper::Flow(flow) => self.on_flow_deadline(flow, turn),
                Sleeper::Registration(reg_id) => self.on_registration_deadline(reg_id, turn),
                Sleeper::Client(number) => self.turn_client(number, ClientInput::Deadline, turn),
                Sleeper::Server(number) => self.turn_server(number, ServerInput::Deadline, turn),
                Sleeper::Call(call) => self.on_call_deadline(call, turn),
                Sleeper::Subscription(key) => self.on_subscription_deadline(key, turn),
                Sleeper::Transfer(call) => {
                    self.on_transfer_deadline(call, turn);
                    self.on_requested_deadline(call, turn);
                }
                Sleeper::Referral(call) => self.on_referral_deadline(call, turn),
            }
        }
    }

    fn on_flow_deadline(&mut self, flow: FlowId, turn: &mut Turn<'_>) {
        let Some(connection) = self.flows.get_mut(&flow) else { return };
        match connection.on_deadline(turn.now, &mut self.ident) {
            flow::Due::Nothing => {}
            flow::Due::Ask(request) => {
                turn.out.push(Effect::Send { flow, bytes: bytes::Bytes::copy_from_slice(&request) });
            }
            flow::Due::Ping => {
                turn.out.push(Effect::Send { flow, bytes: bytes::Bytes::from_static(flow::PING) });
            }
            flow::Due::Dead(why) => self.close_flow(flow, why, turn),
        }
    }

    /// Gives a flow up by ourselves.
    fn close_flow(&mut self, flow: FlowId, why: FlowDeath, turn: &mut Turn<'_>) {
        turn.out.push(Effect::CloseFlow { flow, why });
        self.lose_flow(flow, why, turn);
    }

    /// A flow is gone: everything that waits on it is told.
    fn lose_flow(&mut self, flow: FlowId, why: FlowDeath, turn: &mut Turn<'_>) {
        if self.flows.remove(&flow).is_none() {
            return;
        }
        self.dirty.push(Sleeper::Flow(flow));
        let beside = self.losing_stream(flow);
        self.choose_current(flow, turn.now);
        turn.emit(Event::FlowDead { flow, why });
        let on_it = |of: FlowId| of == flow;
        let clients = self.transactions.clients.iter().filter(|(_, client)| on_it(client.flow));
        let clients: Vec<u64> = clients.map(|(number, _)| *number).collect();
        let servers = self.transactions.servers.iter().filter(|(_, server)| on_it(server.flow));
        let servers: Vec<u64> = servers.map(|(number, _)| *number).collect();
        for number in clients {
            self.turn_client(number, ClientInput::FlowLost, turn);
        }
        for number in servers {
            self.turn_server(number, ServerInput::FlowLost, turn);
        }
        if let Some(stream) = beside {
            self.close_flow(stream, FlowDeath::Down(FlowEnd::Local), turn);
        }
        self.forget_stream(flow);
        self.on_bound_flow_lost(flow, turn);
    }

    /// The flow for a request of a call: its own while that is up, else the newest.
    fn flow_of(&self, call: &Call) -> Option<FlowId> {
        self.flows.contains_key(&call.flow).then_some(call.flow).or(self.current)
    }

    /// How a new flow is kept alive.
    fn habits(&mut self) -> Option<Habits> {
        let interval = self.config.keep_alive.map(|interval| self.jittered(interval))?;
        Some(Habits { interval, required: self.config.pong_required, stun: self.config.stun })
    }

    /// 80 to 100 percent of an interval (RFC 5626 section 4.4.1).
    fn jittered(&mut self, interval: Duration) -> Duration {
        let fifth = interval / 5;
        let part = self.ident.number() % 1000;
        interval - Duration::from_nanos(u64::try_from(fifth.as_nanos()).unwrap_or_default() / 1000 * part)
    }

    fn reschedule(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        for &sleeper in &dirty {
            let deadline = match sleeper {
                Sleeper::Flow(flow) => self.flows.get(&flow).and_then(Flow::next_deadline),
                Sleeper::Registration(reg_id) => self.registration_deadline(reg_id),
                Sleeper::Client(number) => self.client_deadline(number),
                Sleeper::Server(number) => self.server_deadline(number),
                Sleeper::Call(call) => self.calls.get(&call).and_then(Call::next_deadline),
                Sleeper::Subscription(key) => self.subscription_deadline(key),
                Sleeper::Transfer(call) => Deadline::earlier(
                    self.transfers.get(&call).and_then(transfer::Transfer::next_deadline),
                    self.requested.get(&call).map(referral::Requested::next_deadline),
                ),
                Sleeper::Referral(call) => {
                    self.referrals.get(&call).and_then(referral::Referral::next_deadline)
                }
            };
            self.schedule.set(sleeper, deadline);
        }
        self.dirty = dirty;
        self.dirty.clear();
    }
}
