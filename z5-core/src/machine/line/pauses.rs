//! How long a lost connection is left alone before it is opened again (RFC 5626 section 4.5), and what of earlier failures counts.
//!
//! Pure functions of failures and a lot (`spread`): clients that lost their connections together must not come back together.

use std::time::Duration;

/// The first pause before a lost connection is opened again, doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// As long as for the other steps: after an outage of all, 100 000 clients must not come back within half a minute
/// (`machine::tests::outage`). A network that returns, an emergency call and the user end any pause at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Within which a client asks a server again that refuses connections, unless failures make even longer pauses. That port is closed: the network is there and the server is
/// not, for all its clients alike, and they must not come back together. (A network that is away says nothing; RFC 5626 section 4.5
/// would have 30 to 60 s in both cases.) Whoever is in a call or calls does not wait for it.
pub(crate) const RESTART: Duration = Duration::from_secs(64);

/// Doublings after which the pause is the longest.
pub(super) const MOST_DOUBLINGS: u32 = 11;
/// Failures before a registration that count at most, once it stands: a lost connection then costs a minute at the most.
const DEBT: u32 = 8;

/// How long a registration has to stand for one failure before it to be forgiven. A carrier that comes and goes within minutes is
/// away for all, again and again: each time its clients spread further, instead of coming back together (`machine::tests::outage`).
const FORGIVEN: Duration = Duration::from_secs(60);

/// The pause before a lost connection is opened again: between half of a bound and all of it, the bound doubling with each
/// failure (RFC 5626 section 4.5), so that clients stay apart.
pub(crate) fn pause(failures: u32, spread: u64) -> Duration {
    bound(failures).mul_f64(0.5 + (spread % 10_000) as f64 / 20_000.0)
}

/// The same where the server refuses connections: anything up to [`RESTART`], until the bound itself is longer.
pub(crate) fn pause_for_restart(failures: u32, spread: u64) -> Duration {
    match bound(failures) > RESTART {
        true => pause(failures, spread),
        false => RESTART.mul_f64((spread % 10_000) as f64 / 10_000.0),
    }
}

fn bound(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(MOST_DOUBLINGS)).min(LONGEST_PAUSE)
}

/// Failures that still count after a registration has stood for so long.
pub(crate) fn left_of(failures: u32, stood: Duration) -> u32 {
    let forgiven = stood.as_secs() / FORGIVEN.as_secs();
    failures.min(DEBT).saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
}

/// The pause after a loss: not shorter than what the server asks for. `refused` when its port is closed.
pub(super) fn pause_after(refused: bool, at_least: Duration, failures: u32, spread: u64) -> Duration {
    let pause = if refused { pause_for_restart } else { pause };
    pause(failures, spread).max(spread_wish(at_least, spread))
}

/// What the server asks for, and up to as much again, so that clients that were sent away together do not come back together.
pub(super) fn spread_wish(at_least: Duration, spread: u64) -> Duration {
    at_least.mul_f64(1.0 + (spread % 10_000) as f64 / 10_000.0)
}
