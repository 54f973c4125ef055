//! What servers gave in an earlier run, and when it is used again: the configuration of the number and the licence.
//!
//! In a supervised session only; who wants the first error gets it. Two uses:
//! - at a start, to spare round trips, while the configuration is within its lifetime and the licence before its refresh;
//! - when ZDial or the MCS is away: the configuration within its lifetime (RFC 9248 section 9.2.2), the licence until its end and the grace
//!   that is signed in it. Beyond its lifetime, without one, or when nothing can be dated because the clock was set back, the configuration
//!   serves emergency calls alone (the same section: they keep working when the lifetime is over).
//!
//! Whatever is refused while kept values are used is asked for afresh before the refusal is believed, and nothing kept is used again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use z5_sip::outbox::Outbox;

use super::Machine;
use super::io::Effect;
use super::provision::Licensed;
use super::resolve::Resolved;
use super::sign_in::SignedIn;
use super::supervise::Remedy;
use crate::clock::WallAnchor;
use crate::config::RetryMode;
use crate::error::{ProvisionError, SessionError, SignInError};
use crate::store::{Instance, Kept, KeptConfiguration, KeptLicence};

/// What is left of a lifetime is not worth beginning with when it is less: nothing is asked for more often than this.
const WORTH_IT: Duration = Duration::from_secs(60);
/// How far back a clock may be without counting as set back, in seconds: what network time corrects by itself.
const LEEWAY_S: u64 = 60;

/// What was given before.
#[derive(Default)]
pub(super) struct Given {
    configuration: Option<KeptConfiguration>,
    licence: Option<KeptLicence>,
    /// The latest time that was seen by an earlier run, going on from when this one began.
    seen: Option<WallAnchor>,
    /// Neither step has been walked yet.
    sign_in_unwalked: bool,
    licence_unwalked: bool,
}

impl Given {
    pub(super) fn recalled(
        instance: Option<&Instance>,
        configuration: Option<KeptConfiguration>,
        licence: Option<KeptLicence>,
        now: Instant,
    ) -> Self {
        let times = [
            instance.map(|kept| kept.seen_unix_s),
            configuration.as_ref().map(|kept| kept.fetched_unix_s),
            licence.as_ref().map(|kept| kept.fetched_unix_s),
        ];
        let seen = times.into_iter().flatten().max().map(|unix_s| WallAnchor { at: now, unix_s });
        Self { configuration, licence, seen, sign_in_unwalked: true, licence_unwalked: true }
    }
}

impl Machine {
    /// The time as far as it is known: this machine's clock, but not less than what was seen before and has passed since.
    pub(super) fn known_time(&self, now: Instant) -> WallAnchor {
        let seen_unix_s = self.memory.kept.seen.map_or(0, |seen| seen.unix_s(now));
        WallAnchor { at: now, unix_s: self.wall.unix_s(now).max(seen_unix_s) }
    }

    /// Whether the clock says what it should: not less than was seen before.
    fn is_clock_right(&self, now: Instant) -> bool {
        self.known_time(now).unix_s <= self.wall.unix_s(now).saturating_add(LEEWAY_S)
    }

    /// What is left of the lifetime of a kept configuration; none without one, or when nobody can know.
    fn left(&self, kept: &KeptConfiguration, signed_in: &SignedIn, now: Instant) -> Option<Duration> {
        let age = self.known_time(now).unix_s.saturating_sub(kept.fetched_unix_s);
        let left = signed_in.account.lifetime?.checked_sub(Duration::from_secs(age))?;
        (self.is_clock_right(now) && !left.is_zero()).then_some(left)
    }

    fn recall_sign_in(&self, resolved: &Arc<Resolved>, now: Instant) -> Option<(SignedIn, Option<Duration>)> {
        let kept = self.memory.kept.configuration.as_ref()?;
        let mut signed_in = SignedIn::recall(kept, Arc::clone(resolved), &self.plan)?;
        let left = self.left(kept, &signed_in, now);
        // It is renewed when what is left is over.
        signed_in.account.lifetime = left;
        Some((signed_in, left))
    }

    /// Step 2 without asking anybody.
    pub(super) fn spare_sign_in(&mut self, resolved: &Arc<Resolved>, now: Instant) -> Option<Arc<SignedIn>> {
        let first = std::mem::take(&mut self.memory.kept.sign_in_unwalked);
        if !first || self.plan.retry.mode != RetryMode::Supervised {
            return None;
        }
        let (signed_in, left) = self.recall_sign_in(resolved, now)?;
        left.filter(|left| *left > WORTH_IT).map(|_| Arc::new(signed_in))
    }

    /// Step 3 without asking anybody; the address book is asked for later.
    pub(super) fn spare_licence(&mut self, signed_in: &Arc<SignedIn>, now: Instant) -> Option<Licensed> {
        let first = std::mem::take(&mut self.memory.kept.licence_unwalked);
        if !first || self.plan.retry.mode != RetryMode::Supervised {
            return None;
        }
        let licensed = self.recall_licence(signed_in, false, now)?;
        let refresh_at = licensed.licence.refresh_at(self.wall, now);
        (refresh_at > now + WORTH_IT).then_some(licensed)
    }

    fn recall_licence(&self, signed_in: &Arc<SignedIn>, grace: bool, now: Instant) -> Option<Licensed> {
        let kept = self.memory.kept.licence.as_ref().filter(|_| self.is_clock_right(now))?;
        Licensed::recall(kept, Arc::clone(signed_in), &self.plan, (self.known_time(now), now), grace)
    }

    /// A server is away: on with what was kept, if that is permitted. False when there is nothing.
    pub(super) fn fall_back(&mut self, error: &SessionError, now: Instant, out: &mut Outbox<Effect>) -> bool {
        match error {
            SessionError::SignIn(away) if is_zdial_away(away) => self.fall_back_to_account(error, now, out),
            SessionError::Provision(away) if is_mcs_away(away) => self.fall_back_to_licence(now, out),
            SessionError::SignIn(_)
            | SessionError::Provision(_)
            | SessionError::Resolve(_)
            | SessionError::Register(_) => false,
        }
    }

    fn fall_back_to_account(&mut self, error: &SessionError, now: Instant, out: &mut Outbox<Effect>) -> bool {
        let Some(resolved) = self.proofs.resolved.clone() else { return false };
        let Some((signed_in, left)) = self.recall_sign_in(&resolved, now) else { return false };
        let signed_in = Arc::new(signed_in);
        self.upkeep.lack_configuration(now);
        if left.is_some() {
            self.signed_in(signed_in, now, out);
        } else {
            self.number = Some(signed_in.account.number.clone());
            self.proofs.signed_in = Some(signed_in);
            self.register_unlicensed(error.clone(), Remedy::Never, now, out);
        }
        true
    }

    fn fall_back_to_licence(&mut self, now: Instant, out: &mut Outbox<Effect>) -> bool {
        let Some(signed_in) = self.proofs.signed_in.clone() else { return false };
        let Some(licensed) = self.recall_licence(&signed_in, true, now) else { return false };
        self.upkeep.lack_server();
        self.licensed(licensed, now, out);
        true
    }

    /// Nothing kept is used again. True when what we stand on is.
    pub(super) fn forget_kept(&mut self) -> bool {
        self.memory.kept.configuration = None;
        self.memory.kept.licence = None;
        self.stands_on_kept()
    }

    pub(super) fn stands_on_kept(&self) -> bool {
        self.proofs.signed_in.as_ref().is_some_and(|signed_in| signed_in.is_kept())
    }

    pub(super) fn keep_configuration(&self, signed_in: &SignedIn, now: Instant, out: &mut Outbox<Effect>) {
        let record = signed_in.record(self.wall.unix_s(now));
        self.memory.keep(Kept::Configuration(record), out);
    }

    pub(super) fn keep_licence(&mut self, licensed: &Licensed, now: Instant, out: &mut Outbox<Effect>) {
        // It came from its server and is valid now: the clock is right, whatever was seen before.
        self.memory.kept.seen = None;
        let record = KeptLicence {
            number: licensed.signed_in.account.number.clone(),
            token: licensed.token.clone(),
            policy: licensed.policy_text.clone(),
            fetched_unix_s: self.wall.unix_s(now),
        };
        self.memory.keep(Kept::Licence(record), out);
        self.keep_instance(now, out);
    }
}

/// It may be there later; what it says of us is not a reason.
fn is_zdial_away(error: &SignInError) -> bool {
    matches!(
        error,
        SignInError::Unreachable { .. }
            | SignInError::ConnectionLost { .. }
            | SignInError::TimedOut { .. }
            | SignInError::Unavailable { .. }
            | SignInError::RateLimited { .. }
    )
}

/// As for the renewal of a licence while a session stands.
pub(super) fn is_mcs_away(error: &ProvisionError) -> bool {
    matches!(
        error,
        ProvisionError::Unreachable { .. }
            | ProvisionError::ConnectionLost { .. }
            | ProvisionError::TimedOut { .. }
            | ProvisionError::Unavailable { .. }
            | ProvisionError::RateLimited { .. }
    )
}
