//! Another network, a machine that slept, a clock that was set: noticed by looking about once a second, or told by the application.
//!
//! What hangs on the old network is given up at once, whatever its deadlines say, and made anew: names, HTTPS requests under way, the
//! SIP connection. Calls keep their media meanwhile. Servers that were away count as not yet tried.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use z5_sip::outbox::Outbox;

use super::io::{Effect, Look, Route};
use super::supervise::Onward;
use super::{Machine, State};
use crate::error::Step;
use crate::events::{EventKind, NetworkCause};

/// How far two clocks may drift apart between two looks before that counts as set, in seconds; both are read to a second.
const CLOCK_STEP_S: i64 = 5;
/// Looks are a second apart: after such a gap this process, or the machine, was stopped.
const GAP: Duration = Duration::from_secs(10);

/// What was seen at the last look.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Seen {
    at: Option<Instant>,
    route: Route,
}

impl Machine {
    /// What the clocks and routes say now.
    pub(super) fn on_look(&mut self, look: Look, now: Instant, out: &mut Outbox<Effect>) {
        if matches!(self.state, State::Stopped) {
            return;
        }
        let before = std::mem::replace(&mut self.seen, Seen { at: Some(now), route: look.route });
        let expected = i64::try_from(self.wall.unix_s(now)).unwrap_or(i64::MAX);
        let by_s = i64::try_from(look.wall.unix_s(now)).unwrap_or(i64::MAX).saturating_sub(expected);
        let set = by_s.abs() >= CLOCK_STEP_S;
        if set {
            self.wall = look.wall;
            out.push(Effect::Emit(EventKind::ClockChanged { by_s }));
            self.plan_licence(now);
        }
        let gap = before.at.is_some_and(|at| now.saturating_duration_since(at) >= GAP);
        // Between a connection and the first look the network may have changed too.
        let known = match before.route {
            Route::Unknown => self.line.home().map_or(Route::Unknown, Route::From),
            Route::None | Route::From(_) => before.route,
        };
        let moved = match (known, look.route) {
            (Route::Unknown, _) | (_, Route::Unknown | Route::None) => false,
            (Route::None, Route::From(_)) => true,
            (Route::From(old), Route::From(new)) => old != new,
        };
        match (gap || (set && by_s > 0), moved) {
            (true, _) => self.on_network_changed(NetworkCause::Wake, now, out),
            (false, true) => self.on_network_changed(NetworkCause::Route, now, out),
            (false, false) => {}
        }
    }

    /// A server of ours, to ask the system how it would reach it.
    pub(crate) fn look_towards(&self) -> Option<SocketAddr> {
        self.line.first_target().or_else(|| self.plan.nameservers.first().copied())
    }

    /// The network is another one, or back.
    pub(super) fn on_network_changed(&mut self, cause: NetworkCause, now: Instant, out: &mut Outbox<Effect>) {
        let step = match &self.state {
            State::Idle | State::Stopping(_) | State::Stopped => return,
            State::Resolving(_) => Some(Step::Resolve),
            State::SigningIn(step) if step.is_choosing() => return,
            State::SigningIn(_) => Some(Step::SignIn),
            State::Provisioning(_) | State::Syncing(_) => Some(Step::Provision),
            State::Waiting(waiting) => Some(waiting.step),
            State::Registering(_) | State::Ready(_) => None,
        };
        out.push(Effect::Emit(EventKind::NetworkChanged { cause }));
        self.backoff.reset();
        self.upkeep.interrupt(now);
        self.warm.forget();
        out.push(Effect::EndHttps);
        match step {
            // From the names on, then where it was.
            Some(step) => {
                let account = self.onward.take();
                self.onward = match account {
                    Some(onward) => Some(onward),
                    None => Some(Onward { step, account: None }),
                };
                self.line.close(out);
                self.walk_names(now, out);
            }
            None => {
                if let State::Registering(step) = &mut self.state {
                    step.renew(&self.plan, now);
                }
                let events = self.line.begin_anew(now, out);
                self.on_agent(events, now, out);
                if let State::Ready(ready) = &mut self.state {
                    ready.online = false;
                    self.tell(crate::events::SessionState::Registering, out);
                    self.look_again_now(now, out);
                    self.upkeep.hurry(now);
                    self.keep_up(now, out);
                }
            }
        }
    }

    /// The user does not want to wait.
    pub(super) fn retry_now(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        self.backoff.reset();
        match &self.state {
            State::Waiting(_) => self.resume(now, out),
            State::Ready(_) => {
                self.line.hurry(out);
                self.upkeep.hurry(now);
                self.keep_up(now, out);
            }
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Registering(_)
            | State::Stopping(_)
            | State::Stopped => {}
        }
    }
}
