//! The tables of running transactions, and how a message of ours gets onto a flow.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::apart::Apart;
use super::schedule::Sleeper;
use super::stream::Fit;
use super::types::{CallKey, Effect, Event, Side};
use super::{Turn, UserAgent};
use crate::dialog::DialogId;
use crate::flow::FlowId;
use crate::outbox::{Deadline, Outbox};
use crate::request::{Hop, Outline};
use crate::transaction::{
    ClientEffect, ClientInput, ClientInvite, ClientKey, ClientNonInvite, MergeKey, ServerEffect, ServerInput,
    ServerInvite, ServerKey, ServerNonInvite,
};
use crate::wire::{BuildError, Message, Method, ResponseBuilder, redact};

/// Who waits for the answer to a request of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A REGISTER for the binding of this `reg-id`.
    Register(u32),
    /// The INVITE of an outgoing call.
    Invite(CallKey),
    /// An INVITE of ours within a call.
    Reinvite(CallKey),
    /// An UPDATE of ours, with an offer or to refresh.
    Update(CallKey),
    Bye(CallKey),
    Cancel,
    /// A request that belongs to no call's state.
    Apart(Apart),
    Refer(CallKey),
    /// A report on this call, which we made for someone.
    Notify(CallKey),
    Info(CallKey),
    /// The response that it acknowledges is repeated until it arrives; nobody waits for more.
    Prack,
    /// A PRACK with an offer of ours, which its 200 answers.
    OfferingPrack(CallKey),
    /// Nobody: the BYE of a fork that came too late.
    Stray,
}

/// Why a request of ours cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StartError {
    NoFlow,
    Build(BuildError),
    /// Larger than it may be as a datagram.
    TooLarge {
        bytes: usize,
    },
}

pub(super) struct Client {
    pub(super) flow: FlowId,
    pub(super) owner: Owner,
    pub(super) outline: Outline,
    /// The ACK of each 2xx that came, one per fork.
    pub(super) acks: Vec<(DialogId, Message)>,
    key: Arc<ClientKey>,
    machine: ClientMachine,
}

enum ClientMachine {
    Invite(ClientInvite),
    Other(ClientNonInvite),
    /// The request waits for the stream beside its flow (RFC 3261 section 18.1.1); nothing has gone out.
    Waiting {
        request: Message,
        over: bool,
    },
}

impl Client {
    pub(super) fn request(&self) -> &Message {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.request(),
            ClientMachine::Other(machine) => machine.request(),
            ClientMachine::Waiting { request, .. } => request,
        }
    }

    /// Whether nothing of it has gone out yet.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.machine, ClientMachine::Waiting { .. })
    }

    /// Whether a CANCEL may go out.
    pub(super) fn is_proceeding(&self) -> bool {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.is_proceeding(),
            ClientMachine::Other(_) | ClientMachine::Waiting { .. } => false,
        }
    }

    fn handle(&mut self, input: ClientInput, now: Instant, out: &mut Outbox<ClientEffect>) {
        match &mut self.machine {
            ClientMachine::Invite(machine) => machine.handle(input, now, out),
            ClientMachine::Other(machine) => machine.handle(input, now, out),
            ClientMachine::Waiting { over, .. } => match input {
                ClientInput::FlowLost => {
                    *over = true;
                    out.push(ClientEffect::FlowLost);
                }
                ClientInput::Abandon => *over = true,
                ClientInput::Response(_) | ClientInput::Deadline => {}
            },
        }
    }

    fn next_deadline(&self) -> Option<Deadline> {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.next_deadline(),
            ClientMachine::Other(machine) => machine.next_deadline(),
            ClientMachine::Waiting { .. } => None,
        }
    }

    fn is_terminated(&self) -> bool {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.is_terminated(),
            ClientMachine::Other(machine) => machine.is_terminated(),
            ClientMachine::Waiting { over, .. } => *over,
        }
    }
}

pub(super) struct Server {
    pub(super) flow: FlowId,
    /// The call that an INVITE belongs to.
    pub(super) call: Option<CallKey>,
    /// Our tag in its responses, when the request brought none.
    pub(super) tag: String,
    key: Arc<ServerKey>,
    /// Its entry among `merges`; a copy of another request has none.
    merge: Option<Arc<MergeKey>>,
    machine: ServerMachine,
}

enum ServerMachine {
    Invite(ServerInvite),
    Other(ServerNonInvite),
}

impl Server {
    pub(super) fn request(&self) -> &Message {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.request(),
            ServerMachine::Other(machine) => machine.request(),
        }
    }

    /// Whether an ACK with its key is its own: the one of a 2xx is the dialog's.
    pub(super) fn takes_ack(&self) -> bool {
        match &self.machine {
            ServerMachine::Invite(machine) => matches!(machine.state(), "completed" | "confirmed"),
            ServerMachine::Other(_) => false,
        }
    }

    /// Whether a CANCEL still has an effect.
    pub(super) fn is_unanswered_invite(&self) -> bool {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.is_proceeding(),
            ServerMachine::Other(_) => false,
        }
    }

    fn handle(&mut self, input: ServerInput, now: Instant, out: &mut Outbox<ServerEffect>) {
        match &mut self.machine {
            ServerMachine::Invite(machine) => machine.handle(input, now, out),
            ServerMachine::Other(machine) => machine.handle(input, now, out),
        }
    }

    fn next_deadline(&self) -> Option<Deadline> {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.next_deadline(),
            ServerMachine::Other(machine) => machine.next_deadline(),
        }
    }

    fn is_terminated(&self) -> bool {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.is_terminated(),
            ServerMachine::Other(machine) => machine.is_terminated(),
        }
    }
}

/// How many requests that are answered are known to be copies when they come again.
const MERGES_KEPT: usize = 256;

/// All transactions, by number in the order in which they began, and by key.
#[derive(Default)]
pub(super) struct Transactions {
    next: u64,
    pub(super) clients: BTreeMap<u64, Client>,
    client_keys: HashMap<Arc<ClientKey>, u64>,
    pub(super) servers: BTreeMap<u64, Server>,
    server_keys: HashMap<Arc<ServerKey>, u64>,
    merges: HashMap<Arc<MergeKey>, u64>,
    /// Entries of `merges` whose transaction is over, and until when they are kept: a copy that took a longer way is one as long
    /// as over UDP, whatever carries it.
    outlived: VecDeque<(Instant, Arc<MergeKey>)>,
    /// Empty; taken for a turn and given back for the room that it has.
    client_effects: Outbox<ClientEffect>,
    server_effects: Outbox<ServerEffect>,
}

impl Transactions {
    /// How many there are, with what is kept to know copies of requests.
    pub(super) fn len(&self) -> usize {
        self.clients.len() + self.servers.len() + self.merges.len()
    }

    pub(super) fn client_of(&self, response: &Message) -> Option<u64> {
        self.client_keys.get(&ClientKey::of(response)?).copied()
    }

    pub(super) fn server_of(&self, key: &ServerKey) -> Option<u64> {
        self.server_keys.get(key).copied()
    }

    /// A request that came before on another way (RFC 3261 section 8.2.2.2).
    pub(super) fn is_merged(&mut self, merge: &MergeKey, now: Instant) -> bool {
        while self.outlived.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_merge();
        }
        self.merges.contains_key(merge)
    }

    fn forget_merge(&mut self) {
        if let Some((_, merge)) = self.outlived.pop_front() {
            self.merges.remove(&merge);
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn remove_client(&mut self, number: u64) {
        if let Some(client) = self.clients.remove(&number) {
            self.client_keys.remove(&client.key);
        }
    }

    fn remove_server(&mut self, number: u64, merged_until: Instant) {
        if let Some(server) = self.servers.remove(&number) {
            self.server_keys.remove(&server.key);
            if let Some(merge) = server.merge {
                self.outlived.push_back((merged_until, merge));
            }
        }
        if self.outlived.len() > MERGES_KEPT {
            self.forget_merge();
        }
    }
}

impl UserAgent {
    /// Writes a message onto a flow, if it is still there.
    pub(super) fn send(&mut self, flow: FlowId, message: &Message, turn: &mut Turn<'_>) {
        let Some(connection) = self.flows.get_mut(&flow) else { return };
        connection.on_written(turn.now);
        self.dirty.push(Sleeper::Flow(flow));
        if self.config.trace {
            let text = redact(message);
            turn.out.push(Effect::Event(Event::Trace { flow, from: Side::Local, text }));
        }
        turn.out.push(Effect::Send { flow, bytes: message.to_bytes() });
    }

    /// Writes an outline for a flow, under a new branch.
    pub(super) fn write(&mut self, outline: &Outline, flow: FlowId) -> Result<Message, StartError> {
        let Some(connection) = self.flows.get(&flow) else { return Err(StartError::NoFlow) };
        // An ACK has those of its INVITE (RFC 3261 section 22.1), a CANCEL cannot be challenged.
        let credentials = match matches!(outline.method, Method::Ack | Method::Cancel) {
            true => Vec::new(),
            false => {
                let method = &outline.method;
                let body = outline.body.as_ref().map_or(&[][..], |(_, body)| body);
                self.authenticator.authorize(method, &outline.uri, body, &mut self.ident)
            }
        };
        let branch = self.ident.branch();
        let hop = Hop { transport: connection.transport(), sent_by: connection.sent_by(), branch: &branch };
        outline.write(hop, &credentials).map_err(StartError::Build)
    }

    /// Starts a client transaction and returns its number.
    pub(super) fn start_client(
        &mut self,
        outline: Outline,
        flow: FlowId,
        owner: Owner,
        turn: &mut Turn<'_>,
    ) -> Result<u64, StartError> {
        let flow = self.principal(flow);
        match self.write_fitting(&outline, flow)? {
            Fit::Goes(message, flow) if self.is_too_large(owner, &message, flow) => {
                Err(StartError::TooLarge { bytes: message.as_bytes().len() })
            }
            Fit::Goes(message, flow) => self.start_client_with(message, outline, flow, owner, turn),
            Fit::Waits(request) => {
                let key = client_key(&request)?;
                let number = self.transactions.number();
                let machine = ClientMachine::Waiting { request, over: false };
                let client = Client { flow, owner, outline, acks: Vec::new(), key, machine };
                self.transactions.clients.insert(number, client);
                self.want_stream(flow, turn);
                Ok(number)
            }
        }
    }

    /// The same with a message that is already written, as a CANCEL is.
    pub(super) fn start_client_with(
        &mut self,
        message: Message,
        outline: Outline,
        flow: FlowId,
        owner: Owner,
        turn: &mut Turn<'_>,
    ) -> Result<u64, StartError> {
        client_key(&message)?;
        if !self.flows.contains_key(&flow) {
            return Err(StartError::NoFlow);
        }
        let number = self.transactions.number();
        self.begin_client(number, message, outline, flow, owner, turn);
        Ok(number)
    }

    /// The machine of a client transaction begins, its request goes out.
    pub(super) fn begin_client(
        &mut self,
        number: u64,
        message: Message,
        outline: Outline,
        flow: FlowId,
        owner: Owner,
        turn: &mut Turn<'_>,
    ) {
        let reliable = self.flows.get(&flow).is_some_and(|flow| flow.transport().is_reliable());
        let Ok(key) = client_key(&message) else { return };
        let timers = self.config.timers;
        let mut effects = std::mem::take(&mut self.transactions.client_effects);
        let machine = match outline.method == Method::Invite {
            true => {
                ClientMachine::Invite(ClientInvite::new(message, reliable, timers, turn.now, &mut effects))
            }
            false => {
                ClientMachine::Other(ClientNonInvite::new(message, reliable, timers, turn.now, &mut effects))
            }
        };
        self.transactions.client_keys.insert(key.clone(), number);
        let client = Client { flow, owner, outline, acks: Vec::new(), key, machine };
        self.transactions.clients.insert(number, client);
        self.carry_out_client(number, effects, turn);
    }

    /// One turn of a client transaction.
    pub(super) fn turn_client(&mut self, number: u64, input: ClientInput, turn: &mut Turn<'_>) {
        let Some(client) = self.transactions.clients.get_mut(&number) else { return };
        let mut effects = std::mem::take(&mut self.transactions.client_effects);
        client.handle(input, turn.now, &mut effects);
        self.carry_out_client(number, effects, turn);
    }

    fn carry_out_client(&mut self, number: u64, mut effects: Outbox<ClientEffect>, turn: &mut Turn<'_>) {
        self.dirty.push(Sleeper::Client(number));
        while let Some(effect) = effects.pop() {
            let Some(client) = self.transactions.clients.get(&number) else { return };
            let (flow, owner) = (client.flow, client.owner);
            match effect {
                ClientEffect::Send(message) => self.send(flow, &message, turn),
                ClientEffect::Response(response) => self.on_client_response(number, &response, turn),
                ClientEffect::TimedOut(timer) => self.on_client_timeout(number, owner, timer, turn),
                ClientEffect::FlowLost => self.on_client_flow_lost(number, owner, turn),
            }
        }
        self.transactions.client_effects = effects;
        if self.transactions.clients.get(&number).is_some_and(Client::is_terminated) {
            self.transactions.remove_client(number);
        }
    }

    /// Starts a server transaction for a request that matched none.
    pub(super) fn start_server(
        &mut self,
        key: ServerKey,
        merge: Option<MergeKey>,
        request: Message,
        flow: FlowId,
        now: Instant,
    ) -> u64 {
        let reliable = self.flows.get(&flow).is_some_and(|flow| flow.transport().is_reliable());
        let timers = self.config.timers;
        // A copy leaves the entry with the first one and does not take it along when it ends.
        let merge = merge.filter(|merge| !self.transactions.is_merged(merge, now)).map(Arc::new);
        let key = Arc::new(key);
        let machine = match request.method() == Some(Method::Invite) {
            true => ServerMachine::Invite(ServerInvite::new(request, reliable, timers)),
            false => ServerMachine::Other(ServerNonInvite::new(request, reliable, timers)),
        };
        let number = self.transactions.number();
        self.transactions.server_keys.insert(key.clone(), number);
        if let Some(merge) = &merge {
            self.transactions.merges.insert(merge.clone(), number);
        }
        let tag = self.ident.tag();
        self.transactions.servers.insert(number, Server { flow, call: None, tag, key, merge, machine });
        number
    }

    /// One turn of a server transaction.
    pub(super) fn turn_server(&mut self, number: u64, input: ServerInput, turn: &mut Turn<'_>) {
        let Some(server) = self.transactions.servers.get_mut(&number) else { return };
        let mut effects = std::mem::take(&mut self.transactions.server_effects);
        server.handle(input, turn.now, &mut effects);
        let (flow, call) = (server.flow, server.call);
        if server.is_terminated() {
            self.transactions.remove_server(number, turn.now + self.config.timers.long());
        }
        self.dirty.push(Sleeper::Server(number));
        while let Some(effect) = effects.pop() {
            match effect {
                ServerEffect::Send(message) => self.send(flow, &message, turn),
                // A refusal without an ACK changes nothing for us: the call is over anyway.
                ServerEffect::NotAcknowledged => {}
                ServerEffect::FlowLost => self.on_server_flow_lost(call, turn),
            }
        }
        self.transactions.server_effects = effects;
    }

    /// Answers a request through its transaction. `dress` adds what this answer has beside the usual.
    pub(super) fn respond(
        &mut self,
        number: u64,
        status: u16,
        turn: &mut Turn<'_>,
        dress: impl FnOnce(ResponseBuilder) -> ResponseBuilder,
    ) -> Option<Message> {
        let server = self.transactions.servers.get(&number)?;
        let mut builder = self.served(ResponseBuilder::to_request(server.request(), status, ""));
        if status > 100 {
            builder = builder.to_tag(&server.tag);
        }
        if status >= 400 {
            *self.refusals.entry(status).or_default() += 1;
        }
        // What validated can be answered; anything else was never given a transaction.
        let response = dress(builder).build().ok()?;
        self.turn_server(number, ServerInput::Respond(response.clone()), turn);
        Some(response)
    }

    /// What a transaction wants next; for the schedule.
    pub(super) fn client_deadline(&self, number: u64) -> Option<Deadline> {
        self.transactions.clients.get(&number).and_then(Client::next_deadline)
    }

    /// What a transaction wants next; for the schedule.
    pub(super) fn server_deadline(&self, number: u64) -> Option<Deadline> {
        self.transactions.servers.get(&number).and_then(Server::next_deadline)
    }
}

/// What responses to a request of ours are known by.
fn client_key(request: &Message) -> Result<Arc<ClientKey>, StartError> {
    let missing = BuildError::Source { name: "Via", why: crate::wire::HeaderError::Missing };
    ClientKey::of(request).map(Arc::new).ok_or(StartError::Build(missing))
}
