//! An emergency call that is made while the session is not registered: it is kept, everything that waits is done at once, and the call
//! goes out as soon as there is a registration, with or without a licence (RFC 9248 section 9.2.2).

use std::time::{Duration, Instant};

use z5_sip::outbox::{Deadline, Outbox};

use super::calls::Extras;
use super::io::{Effect, Wanted};
use super::{Machine, State, dial};
use crate::call::{CallId, Side};
use crate::config::{Profile, RetryMode};
use crate::error::CallError;
use crate::events::{CallState, CallTimings, EventKind};

/// How long such a call waits for a registration. Somebody who hears nothing for longer must be told, to try another way.
const PATIENCE: Duration = Duration::from_secs(30);
/// Emergency calls that wait at a time; more come only from a program that has gone wrong.
const MOST: usize = 4;

/// Calls that wait.
#[derive(Debug, Default)]
pub(super) struct Parked(Vec<Call>);

#[derive(Debug)]
struct Call {
    call: CallId,
    target: String,
    wanted: Wanted,
    extras: Extras,
    until: Instant,
}

impl Parked {
    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        let at = self.0.iter().map(|call| call.until).min()?;
        Some(Deadline::new(at, "an emergency call waits for a registration"))
    }
}

impl Machine {
    /// True when the call is kept.
    pub(super) fn park(
        &mut self,
        call: CallId,
        (target, wanted, extras): (&str, Wanted, &Extras),
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> bool {
        let waits = match &self.state {
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Registering(_)
            | State::Waiting(_) => true,
            State::Ready(ready) => !ready.online,
            State::Stopping(_) | State::Stopped => false,
        };
        let carrier = self.plan.profile == Profile::Z5;
        // The domain plays no part in what makes a call one for help.
        let emergency = || dial::target(target, "invalid", carrier).is_ok_and(|target| target.emergency);
        if !waits || self.parked.0.len() >= MOST || !emergency() {
            return false;
        }
        let until = now + PATIENCE;
        let extras = extras.clone();
        self.parked.0.push(Call { call, target: target.to_owned(), wanted, extras, until });
        out.push(Effect::Emit(EventKind::CallState { call, state: CallState::Dialling }));
        if self.plan.retry.mode == RetryMode::Supervised {
            self.retry_now(now, out);
        }
        true
    }

    /// There is a registration: calls that waited go out.
    pub(super) fn call_parked(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        for parked in std::mem::take(&mut self.parked.0) {
            let Call { call, target, wanted, extras, .. } = parked;
            let dialled = self.with_desk(now, |calls, desk| {
                calls.dial(call, &target, wanted, extras, desk, out);
            });
            if dialled.is_none() {
                self.refuse_parked(call, out);
            }
        }
    }

    /// The user gives up a call that waits; true when there was one.
    pub(super) fn unpark(&mut self, call: CallId, out: &mut Outbox<Effect>) -> bool {
        let Some(index) = self.parked.0.iter().position(|parked| parked.call == call) else { return false };
        self.parked.0.remove(index);
        Self::fail_parked(call, CallError::Cancelled, out);
        true
    }

    pub(super) fn on_parked_deadline(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let (over, left) = std::mem::take(&mut self.parked.0).into_iter().partition(|call| call.until <= now);
        self.parked.0 = left;
        let over: Vec<Call> = over;
        for parked in over {
            self.refuse_parked(parked.call, out);
        }
    }

    /// The session is over, or leaves.
    pub(super) fn abandon_parked(&mut self, out: &mut Outbox<Effect>) {
        for parked in std::mem::take(&mut self.parked.0) {
            self.refuse_parked(parked.call, out);
        }
    }

    fn refuse_parked(&self, call: CallId, out: &mut Outbox<Effect>) {
        Self::fail_parked(call, CallError::NotReady { state: self.told.name() }, out);
    }

    fn fail_parked(call: CallId, error: CallError, out: &mut Outbox<Effect>) {
        out.push(Effect::ForgetWish { call });
        let (by, timings) = (Side::Local, CallTimings::default());
        out.push(Effect::Emit(EventKind::CallFailed { call, by, error, timings }));
    }
}
