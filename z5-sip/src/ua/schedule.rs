//! Who wants to be woken when: one queue over all machines of a user agent.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::types::{CallKey, SubscriptionKey};
use crate::flow::FlowId;
use crate::outbox::Deadline;

/// A machine that has deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Sleeper {
    Flow(FlowId),
    /// By `reg-id`.
    Registration(u32),
    Client(u64),
    Server(u64),
    Call(CallKey),
    Subscription(SubscriptionKey),
    /// A transfer within the call: ours, or one that we are asked for.
    Transfer(CallKey),
    /// The reports on a call that we made for someone.
    Referral(CallKey),
}

/// The queue. Equal moments come in the order of [`Sleeper`], so that a run can be replayed.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    queue: BTreeSet<(Instant, Sleeper)>,
    wanted: HashMap<Sleeper, Deadline>,
}

impl Schedule {
    /// Replaces what a machine wants.
    pub(super) fn set(&mut self, sleeper: Sleeper, deadline: Option<Deadline>) {
        let before = match deadline {
            Some(deadline) => self.wanted.insert(sleeper, deadline),
            None => self.wanted.remove(&sleeper),
        };
        if before.map(|before| before.at) == deadline.map(|deadline| deadline.at) {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before.at, sleeper));
        }
        if let Some(deadline) = deadline {
            self.queue.insert((deadline.at, sleeper));
        }
    }

    /// The earliest of all.
    pub(super) fn next(&self) -> Option<Deadline> {
        let (_, sleeper) = self.queue.first()?;
        self.wanted.get(sleeper).copied()
    }

    /// Everyone whose time has come.
    pub(super) fn due(&self, now: Instant) -> Vec<Sleeper> {
        self.queue.iter().take_while(|(at, _)| *at <= now).map(|(_, sleeper)| *sleeper).collect()
    }
}
