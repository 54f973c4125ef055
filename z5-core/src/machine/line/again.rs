//! When a lost connection is opened again: what counts as a failure, what a failed round says about the server, and who ends a pause.

use std::time::{Duration, Instant};

use z5_sip::outbox::Outbox;

use super::pauses::{MOST_DOUBLINGS, left_of, pause_after, spread_wish};
use super::{Line, Link, transport_name};
use crate::error::{Attempt, AttemptOutcome};
use crate::machine::io::Effect;

impl Line {
    /// A pause ends now, and the next ones are short.
    pub(crate) fn hurry(&mut self, out: &mut Outbox<Effect>) {
        self.awaited |= self.standing_since.is_none();
        if self.again.is_some() {
            self.forget_failures();
            self.begin_round(out);
        }
    }

    /// The same for a call, which is no reason to ask a server before it wants to be asked.
    pub(crate) fn hurry_for_a_call(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        if self.not_before.is_none_or(|at| at <= now) {
            self.hurry(out);
        }
    }

    pub(super) const fn forget_failures(&mut self) {
        self.failures = 0;
        self.failures_before = 0;
        self.failures_apart = None;
        self.not_before = None;
    }

    /// Plans the next attempt; `spread` is a random number that keeps clients apart. It is not made before
    /// `at_least` (a Retry-After). While a pause runs already, or a connection is being made, the same loss is not counted again.
    /// `in_call`: a call stands, which needs its signalling.
    pub(crate) fn connect_again_later(
        &mut self,
        now: Instant,
        spread: u64,
        at_least: Duration,
        in_call: bool,
    ) {
        if at_least > Duration::ZERO {
            self.not_before = self.not_before.max(Some(now + at_least));
        }
        if let Some(again) = &mut self.again {
            *again = (*again).max(now + spread_wish(at_least, spread));
            return;
        }
        if matches!(self.link, Link::Connecting(_) | Link::Up { .. }) {
            return;
        }
        if let Some(since) = self.standing_since.take() {
            let failures = self.failures_apart.take().unwrap_or(self.failures);
            self.failures = left_of(failures, now.saturating_duration_since(since));
            self.failures_before = self.failures;
        }
        let refused = self.is_refused() && !in_call && !self.awaited;
        if refused {
            self.failures_apart = Some(self.failures_before);
        }
        self.again = Some(now + pause_after(refused, at_least, self.failures, spread));
        self.failures = (self.failures + 1).min(MOST_DOUBLINGS);
    }

    /// Whether the round that has just come to nothing says that the server's port is closed: that of the server that was reached
    /// last, or all of them. One closed port among others may always have been closed.
    fn is_refused(&self) -> bool {
        let closed = |attempt: &Attempt| attempt.outcome == AttemptOutcome::Refused;
        let is_server = |attempt: &&Attempt| {
            self.server.is_some_and(|(transport, address)| {
                attempt.address == address && attempt.transport == Some(transport_name(transport))
            })
        };
        let refused = || match self.tried.iter().find(is_server) {
            Some(attempt) => closed(attempt),
            None => !self.tried.is_empty() && self.tried.iter().all(closed),
        };
        match &self.link {
            Link::Failed => refused(),
            // What failed before a server was reached that has served since says nothing any more.
            Link::Lost { outcome, .. } => *outcome == AttemptOutcome::Refused || !self.served && refused(),
            Link::None | Link::Connecting(_) | Link::Up { .. } => false,
        }
    }
}
