//! What the session remembers from one run to the next: who it is, what it was given, the calls that were.
//!
//! Before step 1 the store is asked once, and waited for at most [`PATIENCE`]; after that the session goes on without it, and writes
//! nothing. Every record is handed over whole and forgotten: reading, writing and their failures are the driver's and the store's.
//!
//! The history follows what is told of calls, so that it cannot say something else than the events did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use z5_sip::outbox::{Deadline, Outbox};

use super::io::{Command, Effect};
use super::kept::Given;
use super::{Machine, State};
use crate::account::book::Book;
use crate::call::CallId;
use crate::error::{StoreError, millis};
use crate::events::EventKind;
use crate::store::{ANSWERED, CallRecord, Direction, History, Instance, Kept, KeptContacts, Recalled};

/// How long the store may keep a start waiting; a disk answers in milliseconds, one that has to wake up in a second or two.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is remembered.
#[derive(Default)]
pub(super) struct Memory {
    standing: Standing,
    history: Arc<History>,
    shown: Arc<[CallRecord]>,
    /// Calls that are not over, and whether anything was told of them: until then they may come to nothing.
    begun: BTreeMap<CallId, (CallRecord, bool)>,
    /// Whom a call wants us to call in its place.
    referred: BTreeMap<CallId, String>,
    /// What servers gave before.
    pub(super) kept: Given,
}

#[derive(Default)]
enum Standing {
    /// There is no store, or none that can be used.
    #[default]
    None,
    /// It was asked.
    Asked { since: Instant },
    /// Records can be kept.
    Held,
}

impl Memory {
    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        match self.standing {
            Standing::Asked { since } => Some(Deadline::new(since + PATIENCE, "the store")),
            Standing::None | Standing::Held => None,
        }
    }

    /// The calls that were, oldest first.
    pub(super) fn calls(&self) -> Arc<[CallRecord]> {
        Arc::clone(&self.shown)
    }

    pub(super) fn keep(&self, record: Kept, out: &mut Outbox<Effect>) {
        if matches!(self.standing, Standing::Held) {
            out.push(Effect::Keep(record));
        }
    }

    fn begin(&mut self, call: CallId, direction: Direction, remote: &str, name: Option<String>, unix_s: u64) {
        let record = CallRecord {
            started_unix_s: unix_s,
            direction,
            remote: remote.to_owned(),
            display_name: name,
            duration_ms: None,
            outcome: String::new(),
            by: None,
        };
        self.begun.insert(call, (record, false));
    }

    /// What a command asks for is known before anything is told of it.
    pub(super) fn on_command(&mut self, command: &Command, unix_s: u64) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others begin no call")]
        match command {
            Command::Call { call, target, .. } => {
                self.begin(*call, Direction::Outgoing, target, None, unix_s)
            }
            Command::AcceptTransfer { call, new, .. } => {
                if let Some(target) = self.referred.remove(call) {
                    self.begin(*new, Direction::Outgoing, &target, None, unix_s);
                }
            }
            _ => {}
        }
    }

    /// What is told of a call. True when one is over.
    fn on_event(&mut self, event: &EventKind, unix_s: u64) -> bool {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others are not about how calls begin and end"
        )]
        let (call, ended) = match event {
            EventKind::Incoming { call, from, display_name, .. } => {
                self.begin(*call, Direction::Incoming, from, display_name.clone(), unix_s);
                return false;
            }
            EventKind::TransferRequested { call, target, .. } => {
                self.referred.insert(*call, target.clone());
                return false;
            }
            EventKind::CallEnded { call, by, report, .. } => {
                let duration = Some(report.duration_ms.max(0.0).round() as u64);
                (call, (duration, ANSWERED, *by))
            }
            EventKind::CallFailed { call, by, error, .. } => (call, (None, error.code(), *by)),
            EventKind::CallState { call, .. } => {
                if let Some((_, told)) = self.begun.get_mut(call) {
                    *told = true;
                }
                return false;
            }
            // The command that should have begun it was refused.
            EventKind::CommandRefused { call, .. } => {
                self.begun.retain(|begun, (_, told)| begun != call || *told);
                return false;
            }
            _ => return false,
        };
        self.referred.remove(call);
        let Some((mut record, _)) = self.begun.remove(call) else { return false };
        let (duration_ms, outcome, by) = ended;
        (record.duration_ms, record.outcome, record.by) = (duration_ms, outcome.to_owned(), Some(by));
        Arc::make_mut(&mut self.history).add(record);
        self.shown = self.history.calls.as_slice().into();
        true
    }
}

impl Machine {
    /// Asks the store, or begins with step 1 where there is none.
    pub(super) fn recall(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        if self.plan.store {
            self.memory.standing = Standing::Asked { since: now };
            out.push(Effect::Recall);
        } else {
            self.walk_names(now, out);
        }
    }

    /// What the store had.
    pub(super) fn on_recalled(&mut self, recalled: Recalled, now: Instant, out: &mut Outbox<Effect>) {
        // Later than it was waited for: the session has begun without.
        if !matches!((&self.state, &self.memory.standing), (State::Idle, Standing::Asked { .. })) {
            return;
        }
        self.memory.standing = Standing::None;
        let Recalled { place, instance, configuration, licence, contacts, history, troubles, unusable } =
            recalled;
        for error in troubles {
            out.push(Effect::Emit(EventKind::StoreTrouble { error }));
        }
        let others = instance.as_ref().is_some_and(|instance| instance.account != self.plan.account);
        if others {
            let error = StoreError::OtherAccount { place };
            out.push(Effect::Emit(EventKind::StoreTrouble { error }));
        }
        if !unusable && !others {
            self.memory.standing = Standing::Held;
            self.memory.shown = history.calls.as_slice().into();
            self.memory.history = Arc::new(history);
            if let Some(kept) = contacts {
                self.recall_book(kept.book, out);
            }
            self.memory.kept = Given::recalled(instance.as_ref(), configuration, licence, now);
            self.remember_instance(instance, now, out);
        }
        self.walk_names(now, out);
    }

    /// Who we are stays the same from now on.
    fn remember_instance(&mut self, kept: Option<Instance>, now: Instant, out: &mut Outbox<Effect>) {
        if let Some(kept) = kept.filter(|_| !self.plan.instance_named) {
            self.plan.instance_id = kept.instance_id;
        }
        self.keep_instance(now, out);
    }

    pub(super) fn keep_instance(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let instance = Instance {
            instance_id: self.plan.instance_id.clone(),
            account: self.plan.account.clone(),
            seen_unix_s: self.known_time(now).unix_s(now),
        };
        self.memory.keep(Kept::Instance(instance), out);
    }

    pub(super) fn on_memory_deadline(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let Standing::Asked { since } = self.memory.standing else { return };
        if now >= since + PATIENCE {
            self.memory.standing = Standing::None;
            let error = StoreError::TooSlow { after_ms: millis(PATIENCE) };
            out.push(Effect::Emit(EventKind::StoreTrouble { error }));
            self.walk_names(now, out);
        }
    }

    /// The address book is another one.
    pub(super) fn keep_book(&self, out: &mut Outbox<Effect>) {
        if matches!(self.memory.standing, Standing::Held) {
            let kept = KeptContacts { book: Book::clone(&self.book) };
            out.push(Effect::Keep(Kept::Contacts(Arc::new(kept))));
        }
    }

    /// Looks at what this turn told, from effect number `from` on.
    pub(super) fn remember(&mut self, from: usize, now: Instant, out: &mut Outbox<Effect>) {
        let unix_s = self.wall.unix_s(now);
        let (mut over, mut stopped) = (false, false);
        for effect in out.iter().skip(from) {
            if let Effect::Emit(event) = effect {
                over |= self.memory.on_event(event, unix_s);
                stopped |= matches!(event, EventKind::Stopped { .. });
            }
        }
        if over {
            self.memory.keep(Kept::History(Arc::clone(&self.memory.history)), out);
        }
        if stopped {
            self.keep_instance(now, out);
        }
    }

    /// The user wants the calls forgotten.
    pub(super) fn clear_history(&mut self, out: &mut Outbox<Effect>) {
        self.memory.history = Arc::default();
        self.memory.shown = Arc::default();
        self.memory.keep(Kept::History(Arc::default()), out);
    }
}
