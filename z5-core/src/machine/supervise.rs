//! What follows a failure of steps 1 to 4: the end, a fresh configuration, a session for emergency calls alone, or another attempt
//! after a pause.
//!
//! Full jitter: a pause is a lot between nothing and a bound that doubles with every failure in a row, up to `retry.longest_pause`.
//! What a server asks for (Retry-After, up to [`LONGEST_WISH`]) comes on top, so that clients that were sent away together do not
//! come back together. A refusal of who we are or of what we may do (401, 403) is never tried again by itself, with one exception:
//! credentials that came from ZDial and are refused elsewhere are fetched afresh once (RFC 9248 section 5.1).

use std::time::{Duration, Instant};

use z5_sip::outbox::Outbox;

use super::io::Effect;
use super::plan::RetryPlan;
use super::register::LineAccount;
use super::standing::LOOK_AGAIN;
use super::{Machine, State};
use crate::config::{Profile, RetryMode};
use crate::error::{ProvisionError, RegisterError, ResolveError, SessionError, SignInError, Step, millis};
use crate::events::{EventKind, SessionState};

/// The longest pause that a server can ask for.
pub(super) const LONGEST_WISH: Duration = Duration::from_secs(3600);
/// Doublings after which the bound is beyond every longest pause that makes sense.
const MOST_DOUBLINGS: u32 = 16;
/// How often credentials of ZDial may be refused in a row: after the first time they are fetched afresh.
const MOST_REJECTIONS: u32 = 2;

/// What can help after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The same again, later.
    Again,
    /// A fresh configuration from ZDial.
    Fresh,
    /// Nothing that happens by itself.
    Never,
}

/// Failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    last: Option<Step>,
}

impl Backoff {
    /// Counts a failure of this step; gives the number of the next attempt and how long it is waited for. `lot` is random.
    pub(crate) fn next(
        &mut self,
        step: Step,
        at_least: Option<Duration>,
        plan: RetryPlan,
        lot: u64,
    ) -> (u32, Duration) {
        // One that fails later than the last did has come further: that was no failure in vain.
        if self.last.is_some_and(|last| last < step) {
            self.failures = 0;
        }
        self.last = Some(step);
        self.failures = self.failures.saturating_add(1);
        let doublings = (self.failures - 1).min(MOST_DOUBLINGS);
        let bound = plan.first_pause.saturating_mul(1 << doublings).min(plan.longest_pause);
        let wish = at_least.unwrap_or_default().min(LONGEST_WISH);
        (self.failures + 1, wish + share(bound, lot))
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// A part of `whole` that a lot decides.
fn share(whole: Duration, lot: u64) -> Duration {
    whole.mul_f64((lot % 10_000) as f64 / 10_000.0)
}

/// Between two attempts.
pub(super) struct Waiting {
    pub(super) until: Instant,
    pub(super) step: Step,
}

/// Where to go on after names were looked up anew.
pub(super) struct Onward {
    pub(super) step: Step,
    /// Who is to be registered, when that is the step.
    pub(super) account: Option<LineAccount>,
}

impl Machine {
    /// A step failed.
    pub(super) fn fail(&mut self, error: SessionError, now: Instant, out: &mut Outbox<Effect>) {
        self.tell_failed(&error, self.step_began, now, out);
        let account = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Registering(step) => Some(step.account),
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Waiting(_)
            | State::Ready(_)
            | State::Stopping(_)
            | State::Stopped => None,
        };
        if self.plan.retry.mode == RetryMode::Once {
            return self.give_up(error, now, out);
        }
        let remedy = self.remedy(&error);
        if remedy == Remedy::Again && self.fall_back(&error, now, out) {
            return;
        }
        match (remedy, error.step()) {
            // Who is signed in can call for help, whatever becomes of the licence.
            (Remedy::Again | Remedy::Never, Step::Provision) if self.proofs.signed_in.is_some() => {
                self.register_unlicensed(error, remedy, now, out);
            }
            // The server may be elsewhere by now: ZDial is asked first.
            (Remedy::Again, Step::Register) if self.stands_on_kept() => {
                self.onward = None;
                self.wait(Step::SignIn, error, now, out);
            }
            (Remedy::Again, step) => {
                if let Some(account) = account {
                    self.onward = Some(Onward { step: Step::Register, account: Some(account) });
                }
                self.wait(step, error, now, out);
            }
            (Remedy::Fresh, _) => {
                self.onward = None;
                self.line.retire(out);
                self.state = State::Waiting(Box::new(Waiting { until: now, step: Step::SignIn }));
                self.resume(now, out);
            }
            (Remedy::Never, _) => self.give_up(error, now, out),
        }
    }

    fn give_up(&mut self, error: SessionError, now: Instant, out: &mut Outbox<Effect>) {
        self.line.close(out);
        self.end(Some(error), now, out);
    }

    /// What can help, counting how often credentials of ZDial were refused.
    pub(super) fn remedy(&mut self, error: &SessionError) -> Remedy {
        let remedy = remedy(error);
        // Who was refused is who we were: that is asked afresh before it is believed.
        if remedy == Remedy::Never && error.step() > Step::SignIn && self.forget_kept() {
            return Remedy::Fresh;
        }
        if remedy != Remedy::Fresh {
            return remedy;
        }
        self.forget_kept();
        self.rejections = self.rejections.saturating_add(1);
        match self.plan.profile == Profile::Z5 && self.rejections < MOST_REJECTIONS {
            true => Remedy::Fresh,
            false => Remedy::Never,
        }
    }

    /// Waits before `step` is tried again.
    fn wait(&mut self, step: Step, error: SessionError, now: Instant, out: &mut Outbox<Effect>) {
        let lot = self.ident.number();
        let wish = error.retry_after_s().map(Duration::from_secs);
        let (attempt, pause) = self.backoff.next(step, wish, self.plan.retry, lot);
        // A connection that nobody needs for minutes is a burden to its server.
        self.line.retire(out);
        self.state = State::Waiting(Box::new(Waiting { until: now + pause, step }));
        self.tell(SessionState::Waiting, out);
        let (number, in_ms) = (step.number(), millis(pause));
        out.push(Effect::Emit(EventKind::Retrying { step, number, attempt, in_ms, error }));
    }

    /// The pause is over: the step again, with the proofs that are still good.
    pub(super) fn resume(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let State::Waiting(waiting) = &self.state else { return };
        let step = waiting.step;
        let stale = now >= self.proofs.resolved_at.map_or(now, |at| at + LOOK_AGAIN);
        match step {
            Step::Resolve => self.walk_names(now, out),
            _ if stale => {
                let account = self.onward.take().and_then(|onward| onward.account);
                self.onward = Some(Onward { step, account });
                self.walk_names(now, out);
            }
            Step::SignIn | Step::Provision | Step::Register | Step::Call => {
                let account = self.onward.take().and_then(|onward| onward.account);
                self.go_on(Onward { step, account }, now, out);
            }
        }
    }

    /// From this step on, as far as the proofs before it are held.
    pub(super) fn go_on(&mut self, onward: Onward, now: Instant, out: &mut Outbox<Effect>) {
        match (onward.step, onward.account) {
            (Step::Register | Step::Call, Some(account)) => self.begin_register(account, now, out),
            (Step::Provision, _) if self.proofs.signed_in.is_some() => self.begin_provision(now, out),
            (Step::Resolve | Step::SignIn | Step::Provision | Step::Register | Step::Call, _) => {
                self.begin_sign_in(now, out);
            }
        }
    }

    /// Step 3 failed: registered all the same, for emergency calls.
    pub(super) fn register_unlicensed(
        &mut self,
        error: SessionError,
        remedy: Remedy,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let Some(signed_in) = self.proofs.signed_in.clone() else { return };
        self.upkeep.lack_licence(remedy == Remedy::Again, now);
        let account = LineAccount::unlicensed(signed_in, error, &self.plan);
        self.begin_register(account, now, out);
    }
}

/// What can help after this failure.
pub(crate) fn remedy(error: &SessionError) -> Remedy {
    match error {
        SessionError::Resolve(error) => resolve(error),
        SessionError::SignIn(error) => sign_in(error),
        SessionError::Provision(error) => provision(error),
        SessionError::Register(error) => register(error),
    }
}

/// A name that does not exist may be a mistake in the configuration, or a network that answers for others until someone has
/// agreed to its terms: it is asked again. What cannot be asked at all stays as it is.
fn resolve(error: &ResolveError) -> Remedy {
    match error {
        ResolveError::InvalidName { .. } | ResolveError::NoNameservers { .. } => Remedy::Never,
        ResolveError::NameNotFound { .. }
        | ResolveError::NoRecords { .. }
        | ResolveError::NoSipService { .. }
        | ResolveError::ServerFailed { .. }
        | ResolveError::Refused { .. }
        | ResolveError::TimedOut { .. }
        | ResolveError::Blocked { .. } => Remedy::Again,
    }
}

/// What the user or the carrier must settle is not asked again: it would lock an account, or take a number from another device.
fn sign_in(error: &SignInError) -> Remedy {
    match error {
        SignInError::Unreachable { .. }
        | SignInError::Tls { .. }
        | SignInError::ConnectionLost { .. }
        | SignInError::RateLimited { .. }
        | SignInError::Unavailable { .. }
        | SignInError::TimedOut { .. }
        | SignInError::BadReply { .. } => Remedy::Again,
        SignInError::Refused { status, .. } if !is_refusal_of_us(*status) => Remedy::Again,
        SignInError::Refused { .. }
        | SignInError::BadCredentials { .. }
        | SignInError::NoUsableChallenge { .. }
        | SignInError::AccountLocked { .. }
        | SignInError::NumberRequired { .. }
        | SignInError::UnknownNumber { .. }
        | SignInError::NumberInUse { .. }
        | SignInError::NoSecureProxy { .. }
        | SignInError::NoNumbers => Remedy::Never,
    }
}

/// A licence that is not good may be followed by one that is.
fn provision(error: &ProvisionError) -> Remedy {
    match error {
        ProvisionError::BadCredentials { .. } => Remedy::Fresh,
        ProvisionError::NoUsableChallenge { .. } | ProvisionError::LicenceDenied { .. } => Remedy::Never,
        ProvisionError::Refused { status, .. } if is_refusal_of_us(*status) => Remedy::Never,
        ProvisionError::Refused { .. }
        | ProvisionError::Unreachable { .. }
        | ProvisionError::Tls { .. }
        | ProvisionError::ConnectionLost { .. }
        | ProvisionError::LicenceMissing { .. }
        | ProvisionError::SeatsUsed { .. }
        | ProvisionError::LicenceExpired { .. }
        | ProvisionError::LicenceNotYetValid { .. }
        | ProvisionError::LicenceWrongDevice
        | ProvisionError::LicenceWrongNumber
        | ProvisionError::LicenceWrongIssuer { .. }
        | ProvisionError::LicenceWrongAudience { .. }
        | ProvisionError::LicenceBadSignature { .. }
        | ProvisionError::LicenceUnknownKey { .. }
        | ProvisionError::LicenceBadDocument { .. }
        | ProvisionError::RateLimited { .. }
        | ProvisionError::Unavailable { .. }
        | ProvisionError::BadReply { .. }
        | ProvisionError::ForeignServer { .. }
        | ProvisionError::NotOffered { .. }
        | ProvisionError::Unresolved { .. }
        | ProvisionError::TimedOut { .. } => Remedy::Again,
    }
}

/// A registrar that refuses us or our request would do so again; its own troubles pass.
fn register(error: &RegisterError) -> Remedy {
    match error {
        RegisterError::CredentialsRefused { .. } => Remedy::Fresh,
        RegisterError::Forbidden { .. }
        | RegisterError::UnknownUser { .. }
        | RegisterError::NoUsableChallenge { .. } => Remedy::Never,
        RegisterError::Refused { status, .. } if !(500..600).contains(status) => Remedy::Never,
        RegisterError::Refused { .. }
        | RegisterError::Unreachable { .. }
        | RegisterError::Tls { .. }
        | RegisterError::ConnectionLost { .. }
        | RegisterError::TimedOut { .. }
        | RegisterError::Unavailable { .. }
        | RegisterError::BadAnswer { .. } => Remedy::Again,
    }
}

/// HTTP: who we are, or what we may do.
const fn is_refusal_of_us(status: u16) -> bool {
    matches!(status, 401 | 403)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: RetryPlan = RetryPlan {
        mode: RetryMode::Supervised,
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(300),
    };

    #[test]
    fn pauses_double_to_their_cap_and_a_lot_decides_within() {
        let mut backoff = Backoff::default();
        let longest = |backoff: &mut Backoff| backoff.next(Step::SignIn, None, PLAN, 9_999).1;
        let bounds: Vec<u64> = (0..12).map(|_| longest(&mut backoff).as_secs_f64().round() as u64).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(backoff.next(Step::SignIn, None, PLAN, 0), (14, Duration::ZERO));
        backoff.reset();
        assert_eq!(backoff.next(Step::SignIn, None, PLAN, 5_000), (2, Duration::from_millis(500)));
    }

    #[test]
    fn a_failure_further_on_counts_from_the_beginning_and_one_before_does_not() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.next(Step::Provision, None, PLAN, 0);
        }
        assert_eq!(backoff.next(Step::Resolve, None, PLAN, 0).0, 7);
        assert_eq!(backoff.next(Step::Provision, None, PLAN, 0).0, 2);
    }

    #[test]
    fn what_a_server_asks_for_is_waited_for_up_to_an_hour() {
        let mut backoff = Backoff::default();
        let mut pause = |wish, lot| backoff.next(Step::SignIn, Some(Duration::from_secs(wish)), PLAN, lot).1;
        assert_eq!(pause(120, 0), Duration::from_secs(120));
        assert_eq!(pause(120, 5_000), Duration::from_secs(121), "clients come back one by one");
        assert_eq!(pause(86_400, 0), LONGEST_WISH);
    }
}
