//! The session as a machine: five steps, then calls. It has no socket, task, clock or randomness.
//!
//! The contract with its driver:
//! - every fact goes in through [`Machine::handle`] with the time at which it is handled;
//! - every wish lands in the outbox, in the order in which it must be done; all `Write`s of one turn for one flow are one write;
//! - when nothing happens, [`Machine::handle`] with `Input::Deadline` is due at [`Machine::next_deadline`];
//! - after `Effect::Emit(Stopped)` the machine wants nothing more.
//!
//! A step is reached only with the proof of the one before: `Resolved`, `SignedIn`, `Licensed` and `Registered` can be made
//! only by their own step and are consumed by the next.

mod call_media;
mod calls;
mod context;
mod dial;
mod exchange;
pub(crate) mod io;
mod json;
mod line;
pub(crate) mod plan;
mod provision;
mod register;
mod resolve;
mod sign_in;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use z5_sip::ident::Ident;
use z5_sip::outbox::{Deadline, Outbox};
use z5_sip::ua::{self, RegisterFailure};

use crate::account::contacts::Contact;
use crate::call::CallId;
use crate::clock::WallAnchor;
use crate::config::Profile;
use crate::error::{ProvisionError, RegisterError, ResolveError, SessionError, SignInError, Step};
use crate::events::{CallState, EventKind, SessionState, StepDetail, StepTimings};
use calls::{Calls, Desk, Incoming};
use context::Context;
use io::{Command, Effect, Input};
use line::{Line, Link};
use plan::Plan;
use provision::Provisioning;
use register::{LineAccount, Registered, Registering};
use resolve::{Resolved, Resolving};
use sign_in::SigningIn;

/// How long leaving may take: calls are ended and the registration is removed within a second, whatever the server does.
const LEAVING: Duration = Duration::from_millis(900);
/// Of that, how long calls are waited for.
const HANGING_UP: Duration = Duration::from_millis(400);

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
    contacts: Arc<[Contact]>,
    number: Option<String>,
    /// Over, except for the figures of calls that ended with it; with the session's error.
    closing: Option<Option<SessionError>>,
}

enum State {
    Idle,
    Resolving(Resolving),
    SigningIn(Box<SigningIn>),
    Provisioning(Box<Provisioning>),
    Registering(Box<Registering>),
    Ready(Box<Ready>),
    Stopping(Stopping),
    Stopped,
}

struct Ready {
    registered: Registered,
    /// False while a lost connection is being replaced.
    online: bool,
}

struct Stopping {
    account: Option<LineAccount>,
    unregistering: bool,
    calls_until: Instant,
    until: Instant,
}

/// What a late joiner is shown.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) state: SessionState,
    pub(crate) number: Option<String>,
    pub(crate) calls: Vec<(CallId, CallState, bool)>,
    pub(crate) timings: StepTimings,
    pub(crate) contacts: Arc<[Contact]>,
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
            contacts: Arc::new([]),
            number: None,
            closing: None,
        }
    }

    /// Takes one fact.
    pub(crate) fn handle(&mut self, input: Input<'_>, now: Instant, out: &mut Outbox<Effect>) {
        match input {
            Input::Start => self.start(now, out),
            Input::Looked { id, outcome } => {
                if let State::Resolving(step) = &mut self.state {
                    let progress = step.on_looked(id, outcome, now, out);
                    self.after_resolve(progress, now, out);
                }
            }
            Input::Https { id, outcome } => self.on_https(id, outcome, now, out),
            Input::Connected { flow, local, remote } => {
                if self.line.on_connected(flow, local, remote) {
                    self.on_line_up(now, out);
                } else {
                    out.push(Effect::Close { flow });
                }
            }
            Input::ConnectFailed { flow, attempts } => {
                if self.line.on_connect_failed(flow, attempts) {
                    self.on_line_failed(now, out);
                }
            }
            Input::Received { flow, bytes } => {
                let events = self.line.agent(ua::Input::Received { flow, bytes }, now, out);
                self.on_agent(events, now, out);
            }
            Input::Closed { flow, why } => {
                self.line.on_closed(flow, why.to_string());
                let events = self.line.bury(flow, why, now, out);
                self.on_agent(events, now, out);
                self.on_line_lost(now, out);
            }
            Input::MediaReady { call, outcome } => {
                let orders =
                    self.with_desk(now, |calls, desk| calls.on_media_ready(call, outcome, desk, out));
                self.order(orders.unwrap_or_default(), now, out);
            }
            Input::MediaStarted { call, outcome } => {
                let orders = self.calls.on_media_started(call, outcome, now, out);
                self.order(orders, now, out);
            }
            Input::Media { call, kind, fact } => self.calls.on_media(call, kind, fact, now, out),
            Input::MediaStopped { call, figures } => {
                self.calls.on_media_stopped(call, *figures, now, out);
                self.advance_stopping(now, out);
                self.close(out);
            }
            Input::Command(command) => self.on_command(command, now, out),
            Input::Deadline => self.on_deadline(now, out),
        }
    }

    /// When `Input::Deadline` is due, and why.
    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        let step = match &self.state {
            State::Idle | State::Stopped => return None,
            State::Resolving(step) => step.next_deadline(),
            State::SigningIn(step) => step.next_deadline(),
            State::Provisioning(step) => step.next_deadline(),
            State::Registering(step) => Some(step.next_deadline()),
            State::Ready(_) => None,
            State::Stopping(stopping) if stopping.unregistering => {
                Some(Deadline::new(stopping.until, "leaving: the registration"))
            }
            State::Stopping(stopping) => Some(Deadline::new(stopping.calls_until, "leaving: the calls")),
        };
        let line = Deadline::earlier(self.line.next_deadline(), self.calls.next_deadline());
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
            contacts: Arc::clone(&self.contacts),
        }
    }

    fn start(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        if !matches!(self.state, State::Idle) {
            return;
        }
        self.begin_step(Step::Resolve, SessionState::Resolving, now, out);
        let bad = self.plan.names.iter().find(|(_, name)| name.is_empty());
        if let Some((_, name)) = bad {
            let error = ResolveError::InvalidName { name: name.clone() };
            return self.fail(error.into(), now, out);
        }
        let mut step = Resolving::begin(&self.plan, now, out);
        // Names that need no question may be all there is.
        let progress = step.on_deadline(now, out);
        self.state = State::Resolving(step);
        self.after_resolve(progress, now, out);
    }

    fn after_resolve(
        &mut self,
        progress: resolve::Progress<Resolved>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let resolved = match progress {
            resolve::Progress::Going => return,
            resolve::Progress::Done(Err(error)) => return self.fail(error.into(), now, out),
            resolve::Progress::Done(Ok(resolved)) => resolved,
        };
        let detail = StepDetail::Resolved { names: resolved.names().to_vec() };
        self.timings.resolve_ms = Some(self.end_step(Step::Resolve, detail, now, out));
        // The connection of step 4 needs no proof; opened now, it stands when it is needed.
        self.line.open(register::early_targets(&resolved, &self.plan), out);
        match (self.plan.profile, &self.plan.zdial) {
            (Profile::Generic, _) | (Profile::Z5, None) => {
                match LineAccount::generic(&resolved, &self.plan) {
                    Some(account) => self.begin_register(account, now, out),
                    None => self.fail(SignInError::NoNumbers.into(), now, out),
                }
            }
            (Profile::Z5, Some(_)) => {
                self.begin_step(Step::SignIn, SessionState::SigningIn, now, out);
                let (plan, mut context) =
                    Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
                if let Some(zdial) = &plan.zdial {
                    let step = SigningIn::begin(resolved, zdial, &mut context, out);
                    self.state = State::SigningIn(Box::new(step));
                }
            }
        }
    }

    fn context<'a>(
        plan: &'a Plan,
        ids: &'a mut u64,
        ident: &'a mut Ident,
        wall: WallAnchor,
        now: Instant,
    ) -> (&'a Plan, Context<'a>) {
        (plan, Context { plan, ids, ident, now, wall })
    }

    fn on_https(
        &mut self,
        id: io::RequestId,
        outcome: Result<io::HttpsReply, io::HttpsFailure>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let (plan, mut context) =
            Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
        match &mut self.state {
            State::SigningIn(step) => {
                let progress = step.on_https(id, outcome, &mut context, out);
                self.after_sign_in(progress, now, out);
            }
            State::Provisioning(step) => {
                let Some(mcs) = &plan.mcs else { return };
                let progress = step.on_https(id, outcome, mcs, &mut context, out);
                self.after_provision(progress, now, out);
            }
            State::Idle
            | State::Resolving(_)
            | State::Registering(_)
            | State::Ready(_)
            | State::Stopping(_)
            | State::Stopped => {}
        }
    }

    fn after_sign_in(&mut self, progress: sign_in::Progress, now: Instant, out: &mut Outbox<Effect>) {
        let signed_in = match progress {
            sign_in::Progress::Going => return self.tell(SessionState::SigningIn, out),
            sign_in::Progress::Choose => return self.tell(SessionState::ChoosingNumber, out),
            sign_in::Progress::Done(done) => match *done {
                Err(error) => return self.fail(error.into(), now, out),
                Ok(signed_in) => signed_in,
            },
        };
        let account = &signed_in.account;
        let detail = StepDetail::SignedIn {
            offered: signed_in.offered.clone(),
            chosen: account.number.clone(),
            display_name: account.display_name.clone(),
            domain: account.domain.clone(),
            group: account.group.clone(),
            rtp_ports: crate::policy::LocalRtpPorts {
                client: self.plan.media.ports,
                group: account.rtp_ports,
            },
            authentication: signed_in.authentication,
        };
        self.number = Some(account.number.clone());
        self.timings.sign_in_ms = Some(self.end_step(Step::SignIn, detail, now, out));
        self.begin_step(Step::Provision, SessionState::Provisioning, now, out);
        let (plan, mut context) =
            Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
        let begun = match &plan.mcs {
            Some(mcs) => Provisioning::begin(signed_in, mcs, &mut context, out),
            None => {
                let detail = "no licence issuer is configured".to_owned();
                Err(ProvisionError::LicenceMissing { status: 0, detail })
            }
        };
        match begun {
            Ok(step) => self.state = State::Provisioning(Box::new(step)),
            Err(error) => self.fail(error.into(), now, out),
        }
    }

    fn after_provision(&mut self, progress: provision::Progress, now: Instant, out: &mut Outbox<Effect>) {
        let licensed = match progress {
            provision::Progress::Going => return,
            provision::Progress::Done(done) => match *done {
                Err(error) => return self.fail(error.into(), now, out),
                Ok(licensed) => licensed,
            },
        };
        let detail = StepDetail::Provisioned {
            licence: licensed.licence.report(self.wall.unix_s(now)),
            contacts: licensed.contacts.len(),
        };
        self.contacts = licensed.contacts.clone().into();
        self.timings.provision_ms = Some(self.end_step(Step::Provision, detail, now, out));
        let account = LineAccount::licensed(licensed, &self.plan);
        self.begin_register(account, now, out);
    }

    fn begin_register(&mut self, account: LineAccount, now: Instant, out: &mut Outbox<Effect>) {
        self.begin_step(Step::Register, SessionState::Registering, now, out);
        let seed = self.ident.number();
        match account.agent(&self.plan) {
            Err(error) => return self.fail(error.into(), now, out),
            Ok(config) => self.line.install(config, Ident::from_seed(seed)),
        }
        self.line.open(account.targets.clone(), out);
        self.state = State::Registering(Box::new(Registering::begin(account, &self.plan, now)));
        if self.line.ends().is_some() {
            self.on_line_up(now, out);
        }
    }

    /// The connection stands: if the user agent is there, it registers on it.
    fn on_line_up(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        match &self.state {
            State::Registering(_) | State::Ready(_) => {
                let mut events = self.line.introduce(now, out);
                events.extend(self.line.agent(ua::Input::Command(ua::Command::Register), now, out));
                self.on_agent(events, now, out);
            }
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Stopping(_)
            | State::Stopped => {}
        }
    }

    fn on_line_failed(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        match &self.state {
            State::Registering(_) => {
                let attempts = match self.line.link() {
                    Link::Failed(attempts) => attempts.clone(),
                    Link::None | Link::Connecting(_) | Link::Up { .. } | Link::Lost(_) => Vec::new(),
                };
                self.fail(register::unreachable(attempts).into(), now, out);
            }
            State::Ready(_) => self.on_line_lost(now, out),
            // Opened early, not needed yet: step 4 tries again.
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Stopping(_)
            | State::Stopped => {}
        }
    }

    fn on_line_lost(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let why = match self.line.link() {
            Link::Lost(why) => why.clone(),
            Link::Failed(_) => String::new(),
            Link::None | Link::Connecting(_) | Link::Up { .. } => return,
        };
        match &mut self.state {
            State::Registering(_) => self.fail(RegisterError::ConnectionLost { why }.into(), now, out),
            State::Ready(ready) => {
                ready.online = false;
                let spread = self.ident.number();
                self.line.connect_again_later(now, spread);
                self.tell(SessionState::Registering, out);
            }
            State::Stopping(_) => self.advance_stopping(now, out),
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Stopped => {}
        }
    }

    /// What the user agent tells.
    fn on_agent(&mut self, events: Vec<ua::Event>, now: Instant, out: &mut Outbox<Effect>) {
        for event in events {
            self.on_agent_event(event, now, out);
        }
        self.advance_stopping(now, out);
    }

    fn on_agent_event(&mut self, event: ua::Event, now: Instant, out: &mut Outbox<Effect>) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a non-exhaustive type; what is not listed needs nothing here"
        )]
        match event {
            ua::Event::Registered { granted, refresh_in, .. } => {
                self.on_registered(granted, refresh_in, now, out)
            }
            ua::Event::RegistrationFailed(failure) => self.on_registration_failed(failure, now, out),
            ua::Event::Unregistered => {
                if matches!(self.state, State::Stopping(_)) {
                    self.finish(true, now, out);
                }
            }
            ua::Event::Incoming { call, from, display_name, offered, .. } => {
                let id = CallId(self.call_ids.fetch_add(1, Ordering::Relaxed));
                let incoming = Incoming { key: call, from, display_name, offered };
                let orders = self.with_desk(now, |calls, desk| calls.on_incoming(id, incoming, desk, out));
                self.order(orders.unwrap_or_default(), now, out);
            }
            ua::Event::Progress { call, status, reason, .. } => {
                self.calls.on_progress(call, status, reason, now, out)
            }
            ua::Event::Established { call, negotiated } => {
                let orders = self.calls.on_established(call, &negotiated, now, out);
                self.order(orders, now, out);
            }
            ua::Event::Ended { call, by, reason } => {
                let cause = reason.map(|reason| reason.to_string());
                self.calls.on_ended(call, calls::side(by), cause, out);
            }
            ua::Event::Failed { call, failure } => self.calls.on_failed(call, failure, now, out),
            ua::Event::FlowDead { flow, why } => {
                self.line.on_closed(flow, why.to_string());
                self.on_line_lost(now, out);
            }
            // Answered or retried by the user agent itself; nothing for the session to do.
            _ => {}
        }
    }

    fn on_registered(
        &mut self,
        granted: Duration,
        refresh_in: Duration,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let state = std::mem::replace(&mut self.state, State::Stopped);
        match state {
            State::Registering(step) => {
                let registered = step.done();
                let unspecified = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
                let (local, server) = self.line.ends().unwrap_or((unspecified, unspecified));
                let address = registered.account.address.clone();
                let detail = StepDetail::Registered {
                    address: address.clone(),
                    local,
                    server,
                    granted_s: granted.as_secs(),
                    refresh_s: refresh_in.as_secs(),
                };
                self.line.healthy();
                self.timings.register_ms = Some(self.end_step(Step::Register, detail, now, out));
                self.timings.ready_ms = Some(ms(self.started, now));
                self.state = State::Ready(Box::new(Ready { registered, online: true }));
                self.tell(SessionState::Ready, out);
                out.push(Effect::Emit(EventKind::Ready { address, timings: self.timings }));
            }
            State::Ready(mut ready) => {
                let back = !ready.online;
                ready.online = true;
                self.line.healthy();
                self.state = State::Ready(ready);
                if back {
                    self.tell(SessionState::Ready, out);
                }
                out.push(Effect::Emit(EventKind::Refreshed { granted_s: granted.as_secs() }));
            }
            other @ (State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Stopping(_)
            | State::Stopped) => self.state = other,
        }
    }

    fn on_registration_failed(&mut self, failure: RegisterFailure, now: Instant, out: &mut Outbox<Effect>) {
        match &mut self.state {
            State::Registering(step) => {
                let error = step.error(failure, self.line.link(), now);
                self.fail(error.into(), now, out);
            }
            State::Ready(ready) => {
                let passing = matches!(
                    failure,
                    RegisterFailure::NoFlow
                        | RegisterFailure::ConnectionLost
                        | RegisterFailure::TimedOut { .. }
                        | RegisterFailure::Unavailable { .. }
                );
                if passing {
                    ready.online = false;
                    let spread = self.ident.number();
                    self.line.close(out);
                    self.line.connect_again_later(now, spread);
                    self.tell(SessionState::Registering, out);
                } else {
                    let error = register::register_error(failure, self.line.link(), 0);
                    self.fail(error.into(), now, out);
                }
            }
            State::Stopping(_) => self.finish(false, now, out),
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Stopped => {}
        }
    }

    fn on_command(&mut self, command: Command, now: Instant, out: &mut Outbox<Effect>) {
        match command {
            Command::Stop => self.stop(now, out),
            Command::ChooseNumber { number } => {
                let (_, mut context) =
                    Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
                if let State::SigningIn(step) = &mut self.state {
                    let progress = step.on_choice(&number, &mut context, out);
                    self.after_sign_in(progress, now, out);
                }
            }
            Command::Call { call, target, audio, text } => {
                let done =
                    self.when_ready(now, |calls, desk| calls.dial(call, &target, (audio, text), desk, out));
                if done.is_none() {
                    let error = crate::error::CallError::NotReady { state: self.told.name() };
                    let timings = crate::events::CallTimings::default();
                    let by = crate::call::Side::Local;
                    out.push(Effect::StopMedia { call });
                    out.push(Effect::Emit(EventKind::CallFailed { call, by, error, timings }));
                }
            }
            Command::Answer { call, audio, text } => {
                let done = self.with_desk(now, |calls, desk| calls.answer(call, (audio, text), desk, out));
                if done.is_none() {
                    self.refuse(call, out);
                }
            }
            Command::Reject { call } => {
                let orders = self.calls.reject(call, out);
                self.order(orders, now, out);
            }
            Command::Hangup { call } => {
                let orders = self.calls.hang_up(call, now, out);
                self.order(orders, now, out);
            }
            Command::SendText { call, text } => self.calls.send_text(call, text, out),
        }
    }

    fn refuse(&self, call: CallId, out: &mut Outbox<Effect>) {
        let error = crate::error::CallError::NotReady { state: self.told.name() };
        out.push(Effect::StopMedia { call });
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
            | State::Registering(_)
            | State::Stopping(_)
            | State::Stopped => None,
        }
    }

    /// Runs something that needs the account.
    fn with_desk<T>(&mut self, now: Instant, action: impl FnOnce(&mut Calls, &Desk<'_>) -> T) -> Option<T> {
        let account = match &self.state {
            State::Ready(ready) => &ready.registered.account,
            State::Stopping(stopping) => stopping.account.as_ref()?,
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Registering(_)
            | State::Stopped => return None,
        };
        let local = self.line.ends().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |(local, _)| local.ip());
        let desk = Desk { plan: &self.plan, account, wall: self.wall, local, now };
        Some(action(&mut self.calls, &desk))
    }

    /// Gives orders to the user agent, and takes what comes of them.
    fn order(&mut self, orders: calls::Orders, now: Instant, out: &mut Outbox<Effect>) {
        for order in orders {
            let events = self.line.agent(ua::Input::Command(order), now, out);
            self.on_agent(events, now, out);
        }
    }

    fn on_deadline(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        match &mut self.state {
            State::Idle | State::Stopped | State::Ready(_) => {}
            State::Resolving(step) => {
                let progress = step.on_deadline(now, out);
                self.after_resolve(progress, now, out);
            }
            State::SigningIn(step) => match step.on_deadline(now) {
                sign_in::Progress::Going | sign_in::Progress::Choose => {}
                done @ sign_in::Progress::Done(_) => self.after_sign_in(done, now, out),
            },
            State::Provisioning(step) => {
                let progress = step.on_deadline(now);
                self.after_provision(progress, now, out);
            }
            State::Registering(step) => {
                if let Some(error) = step.on_deadline(now, self.line.link()) {
                    return self.fail(error.into(), now, out);
                }
            }
            State::Stopping(_) => self.advance_stopping(now, out),
        }
        let orders = self.calls.on_deadline(now, out);
        self.order(orders, now, out);
        self.line.on_deadline(now, out);
        let events = self.line.agent(ua::Input::Deadline, now, out);
        self.on_agent(events, now, out);
    }

    /// Leaves: ends the calls, removes the registration, closes.
    fn stop(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let state = std::mem::replace(&mut self.state, State::Stopped);
        let account = match state {
            State::Stopping(stopping) => {
                self.state = State::Stopping(stopping);
                return;
            }
            State::Stopped => return,
            State::Ready(ready) => Some(ready.registered.account),
            State::Registering(step) => Some(step.account),
            State::Idle | State::Resolving(_) | State::SigningIn(_) | State::Provisioning(_) => None,
        };
        if account.is_none() {
            self.line.close(out);
            return self.end(None, now, out);
        }
        self.tell(SessionState::Stopping, out);
        self.state = State::Stopping(Stopping {
            account,
            unregistering: false,
            calls_until: now + HANGING_UP,
            until: now + LEAVING,
        });
        let orders = self.calls.hang_up_all(now, out);
        self.order(orders, now, out);
        self.advance_stopping(now, out);
    }

    fn advance_stopping(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let State::Stopping(stopping) = &mut self.state else { return };
        if self.line.ends().is_none() || now >= stopping.until {
            return self.finish(false, now, out);
        }
        if stopping.unregistering || (!self.calls.is_empty() && now < stopping.calls_until) {
            return;
        }
        stopping.unregistering = true;
        let events = self.line.agent(ua::Input::Command(ua::Command::Unregister), now, out);
        for event in events {
            self.on_agent_event(event, now, out);
        }
    }

    fn finish(&mut self, confirmed: bool, now: Instant, out: &mut Outbox<Effect>) {
        out.push(Effect::Emit(EventKind::Unregistered { confirmed }));
        self.line.close(out);
        self.end(None, now, out);
    }

    fn fail(&mut self, error: SessionError, now: Instant, out: &mut Outbox<Effect>) {
        let step = error.step();
        let took_ms = ms(self.step_began, now);
        let failed = EventKind::StepFailed { step, number: step.number(), took_ms, error: error.clone() };
        out.push(Effect::Emit(failed));
        self.line.close(out);
        self.end(Some(error), now, out);
    }

    /// The session is over. Calls that still stand end with it, each with its figures, before the last event.
    fn end(&mut self, error: Option<SessionError>, now: Instant, out: &mut Outbox<Effect>) {
        self.state = State::Stopped;
        self.calls.abandon(now, out);
        self.closing = Some(error);
        self.close(out);
    }

    fn close(&mut self, out: &mut Outbox<Effect>) {
        if !self.calls.is_empty() {
            return;
        }
        if let Some(error) = self.closing.take() {
            self.tell(SessionState::Stopped, out);
            out.push(Effect::Emit(EventKind::Stopped { error, fault: None }));
        }
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

/// Milliseconds between two instants with microsecond resolution.
fn ms(from: Instant, to: Instant) -> f64 {
    (to.saturating_duration_since(from).as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests;
