//! One party while a scenario runs: its session, and what it has told so far. Waits for states; decides nothing about steps. Its calls are
//! in `legs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot};
use z5_core::trace::Traced;
use z5_core::{
    CallId, Config, Event, EventKind, Events, Failure, RetryMode, Session, SipTrace, StartOptions,
};

use super::legs::Leg;
use super::model::{PartyPlan, Policy};
use super::outcome::Told;
use super::venue::Venue;
use super::yaml::Place;
use crate::capsule::{self, Recorder};
use crate::expect::Expectation;
use crate::report::Report;

/// Events that are kept for steps that have not asked for them yet.
const MAX_LOG: usize = 4096;

/// A party; steps and the session's reader share it.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) plan: PartyPlan,
    config: Config,
    state: Mutex<State>,
    changed: Notify,
    /// What it sees of its own wires, all sessions together.
    trace: Arc<SipTrace>,
}

/// One event, for `wait`.
#[derive(Debug)]
struct Logged {
    number: u64,
    name: &'static str,
    /// The call that it is about.
    call: Option<u64>,
    members: Value,
}

/// What is known about a party.
#[derive(Debug)]
pub(super) struct State {
    /// Of the session and of the call without a name.
    pub(super) report: Report,
    pub(super) session: Option<Session>,
    /// Asks the reader to say when it has read everything.
    reader: Option<mpsc::UnboundedSender<oneshot::Sender<()>>>,
    pub(super) ready: bool,
    /// The session has told its last event.
    pub(super) over: bool,
    /// Its calls, as the plan names them.
    pub(super) legs: Vec<Leg>,
    /// Calls that ring here, oldest first.
    pub(super) incoming: VecDeque<CallId>,
    /// What is done with calls that come in.
    pub(super) policy: Policy,
    /// Whether the far end may hand calls over.
    pub(super) follows: bool,
    /// Calls that were turned down, which is no failure.
    pub(super) refused: BTreeSet<CallId>,
    /// Everything that was refused or went wrong without ending a call.
    pub(super) troubles: Vec<Failure>,
    /// What calls promised and did not keep.
    pub(super) unmet: Vec<Expectation>,
    log: VecDeque<Logged>,
    count: u64,
    /// By leg and event: the last one that a step has waited for.
    found: BTreeMap<(usize, &'static str), u64>,
    /// When the scenario began.
    pub(super) began: Instant,
}

impl Party {
    /// With `recorder` a report is written of it.
    pub(super) fn new(
        plan: PartyPlan,
        config: Config,
        recorder: Option<Recorder>,
        began: Instant,
    ) -> Arc<Self> {
        let mut report = Report::new("run", began);
        if let Some(recorder) = recorder {
            report.record(recorder);
        }
        let state = State {
            report,
            session: None,
            reader: None,
            ready: false,
            over: false,
            legs: plan.legs.iter().map(|name| Leg::new(name)).collect(),
            incoming: VecDeque::new(),
            policy: Policy::Ring,
            follows: true,
            refused: BTreeSet::new(),
            troubles: Vec::new(),
            unmet: Vec::new(),
            log: VecDeque::new(),
            count: 0,
            found: BTreeMap::new(),
            began,
        };
        let trace = state.report.recorder().map_or_else(|| Arc::new(SipTrace::new()), Recorder::trace);
        Arc::new(Self { plan, config, state: Mutex::new(state), changed: Notify::new(), trace })
    }

    /// What it saw of its own wires up to now.
    pub(super) fn traced(&self) -> Traced {
        self.trace.traced()
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    /// What is known now. A step that panicked would have left it whole: every change is one event.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the session.
    pub(super) fn start(
        self: &Arc<Self>,
        venue: &Venue,
        scenario: &str,
        tell: mpsc::UnboundedSender<Told>,
    ) -> Result<(), Failure> {
        let mut options =
            StartOptions { seed: self.plan.seed, retry: RetryMode::Once, ..StartOptions::default() };
        let mut state = self.state();
        options.trace = Some(Arc::clone(&self.trace));
        if state.report.recorder().is_some() {
            options.figures_every = Some(capsule::EVERY);
        }
        state.report.session_starts();
        drop(state);
        let (session, events) = venue
            .session(self.config.clone(), options)
            .map_err(|error| crate::failure::usage(error.code(), error.to_string()))?;
        let (reader, requests) = mpsc::unbounded_channel();
        let mut state = self.state();
        state.session = Some(session);
        state.reader = Some(reader);
        state.over = false;
        drop(state);
        tokio::spawn(Arc::clone(self).read(events, requests, scenario.to_owned(), tell));
        Ok(())
    }

    /// Reads events until the last one.
    async fn read(
        self: Arc<Self>,
        mut events: Events,
        mut requests: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
        scenario: String,
        tell: mpsc::UnboundedSender<Told>,
    ) {
        loop {
            let event = tokio::select! {
                // who asks whether everything was read gets the answer behind all events
                biased;
                event = events.next() => event,
                Some(done) = requests.recv() => {
                    let _ = done.send(());
                    continue;
                }
            };
            let Some(event) = event else { break };
            let party = self.plan.name.clone();
            let told = Told::Event { scenario: scenario.clone(), party, event: Box::new(event.clone()) };
            // before the step that waits for it is told; a scenario that is over listens no more
            drop(tell.send(told));
            self.state().take(&event);
            self.changed.notify_waiters();
        }
        let mut state = self.state();
        state.over = true;
        state.ready = false;
        state.reader = None;
        drop(state);
        self.changed.notify_waiters();
    }

    /// Everything that the session was told is taken or refused, and its events are read.
    pub(super) async fn settled(&self) {
        let (settled, reader) = {
            let state = self.state();
            (state.session.as_ref().map(Session::settled), state.reader.clone())
        };
        if let Some(settled) = settled {
            settled.await;
        }
        if let Some(reader) = reader {
            let (done, read) = oneshot::channel();
            // a reader that is gone has read everything
            if reader.send(done).is_ok() {
                drop(read.await);
            }
        }
    }

    /// Waits until `check` finds what it looks for.
    pub(super) async fn until<T>(&self, mut check: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // from here on no change is missed
            changed.as_mut().enable();
            if let Some(found) = check(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }
}

impl State {
    fn take(&mut self, event: &Event) {
        self.report.note(event);
        let members = serde_json::to_value(event).unwrap_or_default();
        let call = members.get("call").and_then(Value::as_u64);
        self.count += 1;
        if self.log.len() == MAX_LOG {
            self.log.pop_front();
        }
        self.log.push_back(Logged { number: self.count, name: event.kind.name(), call, members });
        if let EventKind::Ready { .. } = event.kind {
            self.ready = true;
        } else if let EventKind::Stopped { .. } = event.kind {
            self.ready = false;
        } else if let EventKind::CommandRefused { error, .. }
        | EventKind::CallTrouble { error, .. }
        | EventKind::MessageFailed { error, .. } = &event.kind
        {
            self.troubles.push(error.failure());
        } else if let EventKind::ContactNotChanged { error } = &event.kind {
            self.troubles.push(error.failure());
        } else if let EventKind::CallFailed { call, .. } = &event.kind
            && self.refused.remove(call)
        {
            // who turns a call down knows how it ends
            return;
        }
        match call {
            Some(call) => {
                // what belongs to no call of ours is told in the first
                let leg = self.leg_of(call).unwrap_or(0);
                self.report_of(leg).learn(event);
                self.on_call(call, event);
            }
            None => (0..self.legs.len()).for_each(|leg| self.report_of(leg).learn(event)),
        }
    }

    /// What was measured of a call.
    pub(super) fn report_of(&mut self, leg: usize) -> &mut Report {
        match self.legs.get_mut(leg).and_then(|leg| leg.report.as_mut()) {
            Some(report) => report,
            None => &mut self.report,
        }
    }

    /// The next event of that name for which `test` holds, behind the one that was found before. Those of other calls of the party are not
    /// looked at.
    pub(super) fn find(
        &mut self,
        leg: usize,
        name: &'static str,
        test: impl Fn(&Value) -> bool,
    ) -> Option<Value> {
        let behind = self.found.get(&(leg, name)).copied().unwrap_or(0);
        let ours = |call: u64| self.leg_of(call).is_none_or(|of| of == leg);
        let mut events = self.log.iter().filter(|logged| logged.name == name && logged.number > behind);
        let found = events.find(|logged| logged.call.is_none_or(ours) && test(&logged.members))?;
        let (number, members, of_a_call) = (found.number, found.members.clone(), found.call.is_some());
        self.found.insert((leg, name), number);
        if of_a_call {
            self.see(leg);
        }
        Some(members)
    }

    /// A call of this leg begins anew: events of calls up to now are not found any more.
    pub(super) fn forget_calls(&mut self, leg: usize) {
        for logged in self.log.iter().filter(|logged| logged.call.is_some()) {
            self.found.insert((leg, logged.name), self.count);
        }
    }

    /// Events of that name up to now are not found any more.
    pub(super) fn forget(&mut self, leg: usize, name: &'static str) {
        self.found.insert((leg, name), self.count);
    }

    /// Why there is nothing to wait for any more, as far as it is known.
    pub(super) fn failure(&mut self, leg: usize) -> Option<Failure> {
        let failure = self.report_of(leg).failure.clone()?;
        Some(self.placed(leg, failure).1)
    }

    /// The failure of this leg that nobody expected, with the place of its call.
    pub(super) fn unwanted_of(&mut self, leg: usize) -> Option<(Option<Place>, Failure)> {
        let failure = self.report_of(leg).unwanted_failure().cloned()?;
        Some(self.placed(leg, failure))
    }

    /// Failures that nobody expected, each once.
    pub(super) fn unwanted(&mut self) -> Vec<(Option<Place>, Failure)> {
        let mut all: Vec<(Option<Place>, Failure)> = Vec::new();
        for leg in 0..self.legs.len() {
            if let Some((at, failure)) = self.unwanted_of(leg)
                && all.iter().all(|(_, known)| known.code != failure.code)
            {
                all.push((at, failure));
            }
        }
        all
    }
}
