//! The session as a machine: five steps, then calls. It has no socket, task, clock or randomness.
//!
//! The contract with its driver:
//! - every fact goes in through [`Machine::handle`] with the time at which it is handled;
//! - every wish lands in the outbox, in the order in which it must be done; all `Write`s of one turn for one flow are one write;
//! - when nothing happens, [`Machine::handle`] with `Input::Deadline` is due at [`Machine::next_deadline`];
//! - after `Effect::Emit(Stopped)` the machine wants nothing more.
//!
//! A step is reached only with the proof of the one before: `Resolved`, `SignedIn`, `Licensed` and `Registered` can be made
//! only by their own step. Proofs are kept: what fails is tried again from where it failed (`supervise`), and is renewed while the
//! session stands (`upkeep`).

pub(crate) mod book;
pub(crate) mod call_media;
mod calls;
mod contacts;
mod context;
mod dial;
mod emergency;
mod exchange;
pub(crate) mod io;
mod json;
mod kept;
mod leave;
mod line;
mod mcs;
mod memory;
pub(crate) mod plan;
mod post;
mod provision;
mod register;
mod resolve;
mod sign_in;
mod standing;
mod supervise;
mod upkeep;
mod wake;
mod walk;
mod warm;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use z5_sip::ident::Ident;
use z5_sip::outbox::{Deadline, Outbox};
use z5_sip::ua;

use crate::account::book::Book;
use crate::call::CallId;
use crate::clock::{WallAnchor, ms};
use crate::error::{SessionError, Step};
use crate::events::{CallState, EventKind, NetworkCause, SessionState, StepDetail, StepTimings};
use crate::store::CallRecord;
use book::BookSync;
pub(crate) use book::{configured_uri, is_host};
use calls::{Calls, Desk};
pub(crate) use dial::check_target;
use emergency::Parked;
use io::{Command, Effect, Input};
use line::Line;
pub(crate) use line::transport_name;
use memory::Memory;
use plan::Plan;
use provision::Provisioning;
use register::{LineAccount, Registered, Registering};
use resolve::Resolving;
use sign_in::SigningIn;
use supervise::{Backoff, Onward, Waiting};
use upkeep::Upkeep;
use wake::Seen;
use walk::Proofs;
use warm::Warm;

/// The session.
pub(crate) struct Machine {
    plan: Plan,
    wall: WallAnchor,
    ident: Ident,
    state: State,
    told: SessionState,
    line: Line,
    calls: Calls,
    call_ids: Arc<AtomicU64>,
    request_ids: u64,
    started: Instant,
    step_began: Instant,
    timings: StepTimings,
    book: Arc<Book>,
    /// The server was asked for the address book once, at least.
    book_is_there: bool,
    number: Option<String>,
    proofs: Proofs,
    /// Where to go on after the names are known again.
    onward: Option<Onward>,
    backoff: Backoff,
    /// How often in a row credentials that ZDial gave were refused.
    rejections: u32,
    upkeep: Upkeep,
    warm: Warm,
    seen: Seen,
    parked: Parked,
    memory: Memory,
    /// Over, except for the figures of calls that ended with it; with the session's error.
    closing: Option<Option<SessionError>>,
}

enum State {
    Idle,
    Resolving(Box<Resolving>),
    SigningIn(Box<SigningIn>),
    Provisioning(Box<Provisioning>),
    /// The address book alone ([`Goal::Contacts`]).
    Syncing(Box<BookSync>),
    Registering(Box<Registering>),
    /// Between two attempts.
    Waiting(Box<Waiting>),
    Ready(Box<Ready>),
    Stopping(Box<Stopping>),
    Stopped,
}

struct Ready {
    registered: Registered,
    /// False while a lost connection is being replaced.
    online: bool,
    /// The first connection is being replaced while another one keeps us reachable.
    covered: bool,
    /// When the names were looked up last.
    resolved_at: Instant,
    /// The names being looked up anew, because no server can be reached where they were.
    renewing: Option<Box<Resolving>>,
}

struct Stopping {
    account: LineAccount,
    unregistering: bool,
    calls_until: Instant,
    until: Instant,
    /// Why, when nobody asked for it.
    error: Option<SessionError>,
}

/// What a late joiner is shown.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) state: SessionState,
    pub(crate) number: Option<String>,
    pub(crate) calls: Vec<(CallId, CallState, bool)>,
    pub(crate) timings: StepTimings,
    pub(crate) book: Arc<Book>,
    pub(crate) history: Arc<[CallRecord]>,
}

impl Machine {
    pub(crate) fn new(
        plan: Plan,
        ident: Ident,
        wall: WallAnchor,
        call_ids: Arc<AtomicU64>,
        now: Instant,
    ) -> Self {
        Self {
            plan,
            wall,
            ident,
            state: State::Idle,
            told: SessionState::Idle,
            line: Line::new(),
            calls: Calls::default(),
            call_ids,
            request_ids: 0,
            started: now,
            step_began: now,
            timings: StepTimings::default(),
            book: Arc::default(),
            book_is_there: false,
            number: None,
            proofs: Proofs::default(),
            onward: None,
            backoff: Backoff::default(),
            rejections: 0,
            upkeep: Upkeep::default(),
            warm: Warm::default(),
            seen: Seen::default(),
            parked: Parked::default(),
            memory: Memory::default(),
            closing: None,
        }
    }

    /// Takes one fact.
    pub(crate) fn handle(&mut self, input: Input<'_>, now: Instant, out: &mut Outbox<Effect>) {
        let from = out.len();
        if let Input::Command(command) = &input {
            self.memory.on_command(command, self.wall.unix_s(now));
        }
        self.take(input, now, out);
        self.remember(from, now, out);
    }

    fn take(&mut self, input: Input<'_>, now: Instant, out: &mut Outbox<Effect>) {
        match input {
            Input::Start => self.start(now, out),
            Input::Looked { id, outcome } if id.of == io::Asker::Book => {
                self.on_book_looked(id, outcome, now, out);
            }
            Input::Looked { id, outcome } => {
                if let State::Resolving(step) = &mut self.state {
                    let progress = step.on_looked(id, outcome, now, out);
                    self.after_resolve(progress, now, out);
                } else if let State::Ready(ready) = &mut self.state
                    && let Some(step) = &mut ready.renewing
                {
                    let progress = step.on_looked(id, outcome, now, out);
                    self.after_renewal(progress);
                }
            }
            Input::Https { id, outcome } => self.on_https(id, outcome, now, out),
            Input::Connected { flow, transport, local, remote, tried } => {
                if self.line.is_stream(flow) {
                    let events = self.line.on_stream_up(flow, (local, remote), now, out);
                    self.on_agent(events, now, out);
                } else if self.line.is_spare(flow) && !matches!(self.state, State::Ready(_)) {
                    // Leaving: nothing new is registered.
                    self.line.close_spares(out);
                } else if self.line.is_spare(flow) {
                    let events = self.line.on_spare_connected(flow, transport, (local, remote), now, out);
                    self.on_agent(events, now, out);
                } else if self.line.on_connected(flow, transport, (local, remote), tried, out) {
                    self.on_line_up(now, out);
                } else {
                    out.push(Effect::Close { flow });
                }
            }
            Input::ConnectFailed { flow, attempts } => {
                if self.line.is_stream(flow) {
                    // RFC 3261 section 18.1.1: then everything goes over UDP.
                    let events = self.line.on_stream_failed(flow, now, out);
                    self.on_agent(events, now, out);
                } else if self.line.is_spare(flow) {
                    let spread = self.ident.number();
                    self.line.on_spare_failed(flow, attempts, line::Loss { now, spread }, out);
                } else if self.line.on_connect_failed(flow, attempts, out) {
                    self.on_line_failed(now, out);
                }
            }
            Input::Received { flow, bytes } => {
                let events = self.line.on_received(flow, bytes, now, out);
                self.on_agent(events, now, out);
            }
            Input::Closed { flow, why } => {
                self.line_closed(flow, ua::FlowDeath::Down(why), now, out);
                let events = self.line.bury(flow, why, now, out);
                self.on_agent(events, now, out);
                self.on_line_lost(now, out);
            }
            Input::MediaReady { call, outcome } => {
                let orders =
                    self.with_desk(now, |calls, desk| calls.on_media_ready(call, outcome, desk, out));
                self.order(orders.unwrap_or_default(), now, out);
                // A medium that came to nothing kept its call where it was.
                self.follow_address(now, out);
            }
            Input::MediaStarted { call, outcome } => {
                let orders = self.calls.on_media_started(call, outcome, now, out);
                self.order(orders, now, out);
            }
            Input::MediaMoved { call, outcome } => {
                let orders =
                    self.with_desk(now, |calls, desk| calls.on_media_moved(call, outcome, desk, out));
                self.order(orders.unwrap_or_default(), now, out);
            }
            Input::Media { call, kind, fact } => {
                let when_silent = self.plan.media.when_silent;
                let orders = self.calls.on_media(call, kind, fact, when_silent, now, out);
                self.order(orders, now, out);
            }
            Input::MediaStopped { call, figures } => {
                self.calls.on_media_stopped(call, *figures, now, out);
                self.advance_stopping(now, out);
                self.close(out);
            }
            Input::Recalled(recalled) => self.on_recalled(*recalled, now, out),
            Input::NotKept(error) => out.push(Effect::Emit(EventKind::StoreTrouble { error })),
            Input::Command(command) => self.on_command(command, now, out),
            Input::Look(look) => self.on_look(look, now, out),
            Input::Deadline => self.on_deadline(now, out),
        }
    }

    /// When `Input::Deadline` is due, and why.
    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        let step = match &self.state {
            State::Idle => {
                return Deadline::earlier(self.memory.next_deadline(), self.parked.next_deadline());
            }
            State::Stopped => return None,
            State::Resolving(step) => step.next_deadline(),
            State::SigningIn(step) => step.next_deadline(),
            State::Provisioning(step) => step.next_deadline(),
            State::Syncing(sync) => Some(sync.next_deadline()),
            State::Registering(step) => Some(step.next_deadline(&self.line)),
            State::Waiting(waiting) => Some(Deadline::new(waiting.until, "a pause before the next attempt")),
            State::Ready(ready) => {
                let names = ready.renewing.as_ref().and_then(|step| step.next_deadline());
                Deadline::earlier(names, self.upkeep.next_deadline())
            }
            State::Stopping(stopping) if stopping.unregistering => {
                Some(Deadline::new(stopping.until, "leaving: the registration"))
            }
            State::Stopping(stopping) => Some(Deadline::new(stopping.calls_until, "leaving: the calls")),
        };
        let line = Deadline::earlier(self.line.next_deadline(), self.calls.next_deadline());
        let line = Deadline::earlier(line, self.parked.next_deadline());
        Deadline::earlier(step, line)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopped) && self.closing.is_none()
    }

    /// The present as a whole.
    pub(crate) fn view(&self) -> View {
        View {
            state: self.told,
            number: self.number.clone(),
            calls: self.calls.states().collect(),
            timings: self.timings,
            book: Arc::clone(&self.book),
            history: self.memory.calls(),
        }
    }

    fn on_command(&mut self, command: Command, now: Instant, out: &mut Outbox<Effect>) {
        match command {
            Command::Stop => self.stop(now, out),
            Command::ClearHistory => self.clear_history(out),
            Command::NetworkChanged => self.on_network_changed(NetworkCause::Told, now, out),
            Command::RetryNow => self.retry_now(now, out),
            Command::ChooseNumber { number } => {
                let (_, mut context) =
                    Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
                if let State::SigningIn(step) = &mut self.state {
                    let progress = step.on_choice(&number, &mut context, out);
                    self.after_sign_in(progress, now, out);
                }
            }
            Command::Call { call, target, wanted, anonymous, location } => {
                let extras = calls::Extras { anonymous, location };
                if self.park(call, (&target, wanted, &extras), now, out) {
                    return;
                }
                let done = self.when_ready(now, |calls, desk| {
                    calls.dial(call, &target, wanted, extras, desk, out);
                });
                if done.is_none() {
                    let error = crate::error::CallError::NotReady { state: self.told.name() };
                    let timings = crate::events::CallTimings::default();
                    let by = crate::call::Side::Local;
                    out.push(Effect::ForgetWish { call });
                    out.push(Effect::Emit(EventKind::CallFailed { call, by, error, timings }));
                    // Whoever calls is about to call again.
                    if self.plan.retry.mode == crate::config::RetryMode::Supervised
                        && matches!(self.state, State::Ready(_))
                    {
                        self.line.hurry_for_a_call(now, out);
                    }
                }
            }
            Command::Answer { call, wanted } => {
                let done = self.with_desk(now, |calls, desk| calls.answer(call, wanted, desk, out));
                if done.is_none() {
                    self.refuse(call, out);
                }
            }
            Command::Reject { call, how } => {
                let orders = self.with_desk(now, |calls, desk| calls.reject(call, &how, Some(desk), out));
                let orders = orders.unwrap_or_else(|| self.calls.reject(call, &how, None, out));
                self.order(orders, now, out);
            }
            Command::Hangup { call } => {
                if self.unpark(call, out) {
                    return;
                }
                let orders = self.calls.hang_up(call, now, out);
                self.order(orders, now, out);
            }
            Command::SendText { call, text } => self.calls.send_text(call, text, out),
            Command::Hold { call, hold } => {
                let orders = self.with_desk(now, |calls, desk| calls.hold(call, hold, desk, out));
                match orders {
                    Some(orders) => self.order(orders, now, out),
                    None => self.refuse(call, out),
                }
            }
            Command::Transfer { call, target } => {
                match self.with_desk(now, |calls, desk| calls.transfer(call, &target, desk, out)) {
                    Some(orders) => self.order(orders, now, out),
                    None => self.refuse(call, out),
                }
            }
            Command::Connect { call, other } => {
                let orders = self.calls.connect(call, other, out);
                self.order(orders, now, out);
            }
            Command::AcceptTransfer { call, new, wanted } => {
                let done = self.with_desk(now, |calls, desk| {
                    calls.accept_transfer(call, new, wanted, desk, out);
                });
                if done.is_none() {
                    self.refuse(new, out);
                }
            }
            Command::RejectTransfer { call } => {
                let orders = self.calls.reject_transfer(call, out);
                self.order(orders, now, out);
            }
            Command::Message { message, target, text } => self.send_message(message, &target, text, now, out),
            Command::Add { call, kind } => {
                if self.with_desk(now, |calls, desk| calls.add(call, kind, desk, out)).is_none() {
                    self.refuse(call, out);
                }
            }
            Command::Contacts { change } => self.change_contacts(change, now, out),
            Command::SyncContacts => self.sync_contacts(now, out),
            Command::Source { call, kind } => self.calls.switch_source(call, kind, out),
            Command::Mute { call, kind, muted } => self.calls.mute(call, kind, muted, out),
            Command::SendDigits { call, digits } => {
                let orders = self.calls.send_digits(call, &digits, out);
                self.order(orders, now, out);
            }
        }
    }

    fn refuse(&self, call: CallId, out: &mut Outbox<Effect>) {
        let error = crate::error::CallError::NotReady { state: self.told.name() };
        out.push(Effect::ForgetWish { call });
        out.push(Effect::Emit(EventKind::CommandRefused { call, error }));
    }

    /// Runs something that needs a registration which stands.
    fn when_ready<T>(&mut self, now: Instant, action: impl FnOnce(&mut Calls, &Desk<'_>) -> T) -> Option<T> {
        match &self.state {
            State::Ready(ready) if ready.online => self.with_desk(now, action),
            State::Ready(_)
            | State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Registering(_)
            | State::Waiting(_)
            | State::Stopping(_)
            | State::Stopped => None,
        }
    }

    /// Runs something that needs the account.
    fn with_desk<T>(&mut self, now: Instant, action: impl FnOnce(&mut Calls, &Desk<'_>) -> T) -> Option<T> {
        let account = match &self.state {
            State::Ready(ready) => &ready.registered.account,
            State::Stopping(stopping) => &stopping.account,
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Registering(_)
            | State::Waiting(_)
            | State::Stopped => return None,
        };
        let local = self.line.ends().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |(local, _)| local.ip());
        let grace = self.upkeep.grace();
        let desk = Desk { plan: &self.plan, account, wall: self.wall, grace, local, now };
        Some(action(&mut self.calls, &desk))
    }

    /// Gives orders to the user agent, and takes what comes of them.
    fn order(&mut self, orders: calls::Orders, now: Instant, out: &mut Outbox<Effect>) {
        for order in orders {
            let offer = if let ua::Command::Renegotiate { call, .. } = &order { Some(*call) } else { None };
            let mut events = self.line.agent(ua::Input::Command(order), now, out);
            let refused = |event: &ua::Event| {
                let why = ua::CommandRefusal::OfferOpen;
                matches!(event, ua::Event::CommandRefused { call, why: seen } if *call == offer && *seen == why)
            };
            if let Some(key) = offer.filter(|_| events.iter().any(refused)) {
                self.calls.on_offer_refused(key);
                events.retain(|event| !refused(event));
            }
            self.on_agent(events, now, out);
        }
    }

    fn on_deadline(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        match &mut self.state {
            State::Stopped => {}
            State::Idle => self.on_memory_deadline(now, out),
            State::Ready(ready) => {
                if let Some(step) = &mut ready.renewing {
                    let progress = step.on_deadline(now, out);
                    self.after_renewal(progress);
                }
                self.on_upkeep_deadline(now, out);
            }
            State::Waiting(waiting) => {
                if now >= waiting.until {
                    self.resume(now, out);
                }
            }
            State::Resolving(step) => {
                let progress = step.on_deadline(now, out);
                self.after_resolve(progress, now, out);
            }
            State::SigningIn(step) => match step.on_deadline(now) {
                sign_in::Progress::Going | sign_in::Progress::Choose => {}
                done @ sign_in::Progress::Done(_) => self.after_sign_in(done, now, out),
            },
            State::Provisioning(step) => {
                let (_, mut context) =
                    Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
                let progress = step.on_deadline(Arc::make_mut(&mut self.book), &mut context, out);
                self.after_provision(progress, now, out);
            }
            State::Syncing(sync) => {
                let (_, mut context) =
                    Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
                let book = Arc::make_mut(&mut self.book);
                if let book::Progress::Done(done) = sync.on_deadline(book, &mut context, out) {
                    self.synced(*done, now, out);
                }
            }
            State::Registering(step) => {
                if let Some(error) = step.on_deadline(now, &self.line) {
                    return self.fail(error.into(), now, out);
                }
                self.on_silent_server(now, out);
            }
            State::Stopping(_) => self.advance_stopping(now, out),
        }
        self.on_parked_deadline(now, out);
        let orders = self.calls.on_deadline(now, out);
        self.order(orders, now, out);
        self.line.on_deadline(now, out);
        let events = self.line.agent(ua::Input::Deadline, now, out);
        self.on_agent(events, now, out);
    }

    fn begin_step(&mut self, step: Step, state: SessionState, now: Instant, out: &mut Outbox<Effect>) {
        self.step_began = now;
        self.tell(state, out);
        out.push(Effect::Emit(EventKind::StepStarted { step, number: step.number() }));
    }

    fn end_step(&mut self, step: Step, detail: StepDetail, now: Instant, out: &mut Outbox<Effect>) -> f64 {
        let took_ms = ms(self.step_began, now);
        out.push(Effect::Emit(EventKind::StepDone { step, number: step.number(), took_ms, detail }));
        took_ms
    }

    fn tell(&mut self, state: SessionState, out: &mut Outbox<Effect>) {
        if self.told != state {
            self.told = state;
            out.push(Effect::Emit(EventKind::State { state }));
        }
    }
}

#[cfg(test)]
mod tests;
