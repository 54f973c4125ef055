//! One party while a scenario runs: its session, what it has told so far, its call. Waits for states; decides nothing about steps.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot};
use z5_core::{CallId, Config, Event, EventKind, Events, Failure, RetryMode, Session, StartOptions};

use super::model::{MediaPlan, PartyPlan};
use super::outcome::Told;
use super::venue::Venue;
use super::world;
use crate::capsule;
use crate::expect::Expectation;
use crate::report::Report;
use crate::script::Kept;

/// Events that are kept for steps that have not asked for them yet.
const MAX_LOG: usize = 4096;

/// A party; steps and the session's reader share it.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) plan: PartyPlan,
    config: Config,
    state: Mutex<State>,
    changed: Notify,
}

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Calling,
    Ringing,
    Established,
    Over,
}

/// The call that steps are about.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub(super) id: CallId,
    pub(super) stage: Stage,
    pub(super) media: MediaPlan,
    pub(super) kept: Kept,
}

/// One event, for `wait`.
#[derive(Debug)]
struct Logged {
    number: u64,
    name: &'static str,
    members: Value,
}

/// What is known about a party.
#[derive(Debug)]
pub(super) struct State {
    pub(super) report: Report,
    pub(super) session: Option<Session>,
    /// Asks the reader to say when it has read everything.
    reader: Option<mpsc::UnboundedSender<oneshot::Sender<()>>>,
    pub(super) ready: bool,
    /// The session has told its last event.
    pub(super) over: bool,
    pub(super) call: Option<Current>,
    /// The call that goes on when the one it was handed over to comes to nothing.
    left: Option<CallId>,
    /// Calls that ring here, oldest first.
    pub(super) incoming: VecDeque<CallId>,
    /// We hold the call.
    pub(super) held: bool,
    /// Keys of the far end in this call.
    pub(super) digits: String,
    /// Everything that was refused or went wrong without ending a call.
    pub(super) troubles: Vec<Failure>,
    /// What calls promised and did not keep.
    pub(super) unmet: Vec<Expectation>,
    log: VecDeque<Logged>,
    count: u64,
    /// By event: the last one that a step has waited for.
    found: BTreeMap<&'static str, u64>,
}

impl Party {
    pub(super) fn new(plan: PartyPlan, config: Config, began: Instant) -> Arc<Self> {
        let state = State {
            report: Report::new("run", began),
            session: None,
            reader: None,
            ready: false,
            over: false,
            call: None,
            left: None,
            incoming: VecDeque::new(),
            held: false,
            digits: String::new(),
            troubles: Vec::new(),
            unmet: Vec::new(),
            log: VecDeque::new(),
            count: 0,
            found: BTreeMap::new(),
        };
        Arc::new(Self { plan, config, state: Mutex::new(state), changed: Notify::new() })
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
        if let Some(recorder) = state.report.recorder() {
            options.trace = Some(recorder.trace());
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
        self.report.take(event);
        self.count += 1;
        if self.log.len() == MAX_LOG {
            self.log.pop_front();
        }
        let members = serde_json::to_value(event).unwrap_or_default();
        self.log.push_back(Logged { number: self.count, name: event.kind.name(), members });
        let current = self.call.as_ref().map(|call| call.id);
        let ours = |call: &CallId| current == Some(*call);
        // who it is about decides: events of other calls change nothing here
        match (&event.kind, self.left) {
            (EventKind::Ready { .. }, _) => self.ready = true,
            (EventKind::Stopped { .. }, _) => self.ready = false,
            (EventKind::Incoming { call, replaces: Some(old), .. }, _) if ours(old) => {
                // someone else takes the far end's place: the scenario goes on with them
                if let (Some(now), Some(session)) = (&mut self.call, &self.session) {
                    now.id = *call;
                    session.answer(*call, world::media(&now.media, now.kept.clone()).to_call_media());
                }
            }
            (EventKind::Incoming { call, .. }, _) => self.incoming.push_back(*call),
            (EventKind::TransferRequested { call, .. }, _) if ours(call) => {
                if let (Some(now), Some(session)) = (&mut self.call, &self.session) {
                    let media = world::media(&now.media, now.kept.clone()).to_call_media();
                    let new = session.accept_transfer(*call, media);
                    (self.left, now.id) = (Some(now.id), new);
                    self.report.attempt = Some(new);
                }
            }
            (EventKind::CallProgress { call, .. }, _) if ours(call) => self.stage(Stage::Ringing),
            (EventKind::CallEstablished { call, .. }, _) if ours(call) => {
                self.report.attempt = None;
                self.stage(Stage::Established);
            }
            (EventKind::CallHold { call, local, .. }, _) if ours(call) => self.held = *local,
            (EventKind::Digit { call, digit, .. }, _) if ours(call) => self.digits.push(*digit),
            (EventKind::Text { call, text, .. }, _) if ours(call) => {
                let received = &mut self.report.call.get_or_insert_default().text_received;
                received.get_or_insert_default().push_str(text);
            }
            (EventKind::CallEnded { call, .. }, Some(left)) if *call == left => {
                self.left = None;
                self.report.attempt = None;
            }
            (EventKind::CallFailed { call, .. }, Some(left)) if ours(call) => {
                if let Some(now) = &mut self.call {
                    now.id = left;
                }
                self.left = None;
            }
            (EventKind::CallEnded { call, .. } | EventKind::CallFailed { call, .. }, _) => {
                self.incoming.retain(|waiting| waiting != call);
                if ours(call) {
                    self.on_over();
                }
            }
            (
                EventKind::CommandRefused { error, .. }
                | EventKind::CallTrouble { error, .. }
                | EventKind::MessageFailed { error, .. },
                _,
            ) => self.troubles.push(error.failure()),
            _ => {}
        }
    }

    fn stage(&mut self, stage: Stage) {
        if let Some(now) = self.call.as_mut().filter(|now| now.stage < stage) {
            now.stage = stage;
        }
    }

    fn on_over(&mut self) {
        self.stage(Stage::Over);
        self.held = false;
        if self.call.as_ref().is_some_and(|now| !now.media.silent) {
            self.unmet.extend(self.report.usual_of_call().into_iter().filter(|kept| !kept.held));
        }
        // what was reserved for recordings and not written is taken away again
        for file in self.call.iter().flat_map(|now| now.kept.files()) {
            if std::fs::metadata(file).is_ok_and(|file| file.len() == 0) {
                drop(std::fs::remove_file(file));
            }
        }
    }

    /// A new call takes the place of the one before: what is waited for from here on is about it.
    pub(super) fn begin(&mut self, id: CallId, media: MediaPlan, kept: Kept) {
        self.report.next_call();
        (self.held, self.left) = (false, None);
        self.digits.clear();
        if kept.files().next().is_some() {
            let result = self.report.call.get_or_insert_default();
            result.recording.clone_from(&kept.recording);
            result.film.clone_from(&kept.film);
            result.snapshot.clone_from(&kept.snapshot);
        }
        self.call = Some(Current { id, stage: Stage::Calling, media, kept });
        let count = self.count;
        for logged in &self.log {
            if logged.members.get("call").is_some() {
                self.found.insert(logged.name, count);
            }
        }
    }

    /// The next event of that name for which `test` holds, behind the one that was found before.
    pub(super) fn find(&mut self, name: &'static str, test: impl Fn(&Value) -> bool) -> Option<Value> {
        let behind = self.found.get(name).copied().unwrap_or(0);
        let mut events = self.log.iter().filter(|logged| logged.name == name && logged.number > behind);
        let found = events.find(|logged| test(&logged.members))?;
        self.found.insert(name, found.number);
        Some(found.members.clone())
    }

    /// The call that stands or is being set up.
    pub(super) fn running(&self) -> Option<&Current> {
        self.call.as_ref().filter(|now| now.stage < Stage::Over)
    }

    /// Why there is nothing to wait for any more, as far as it is known.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.report.failure.clone()
    }
}
