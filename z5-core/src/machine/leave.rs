//! Leaving, on request or with an error: calls end, the registration is taken back, one last event.

use std::time::{Duration, Instant};

use z5_sip::outbox::Outbox;
use z5_sip::ua;

use super::io::Effect;
use super::register::LineAccount;
use super::{Machine, State, Stopping};
use crate::clock::ms;
use crate::error::SessionError;
use crate::events::{EventKind, SessionState};

/// How long leaving may take: calls are ended and the registration is removed within a second, whatever the server does.
const LEAVING: Duration = Duration::from_millis(900);
/// Of that, how long calls are waited for.
const HANGING_UP: Duration = Duration::from_millis(400);

impl Machine {
    /// Leaves: ends the calls, removes the registration, closes.
    pub(super) fn stop(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let state = std::mem::replace(&mut self.state, State::Stopped);
        let account = match state {
            State::Stopping(stopping) => {
                self.state = State::Stopping(stopping);
                return;
            }
            State::Stopped => return,
            State::Ready(ready) => Some(ready.registered.account),
            State::Registering(step) => Some(step.account),
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Waiting(_) => None,
        };
        match account {
            Some(account) => self.leave(account, None, now, out),
            None => {
                self.line.close(out);
                self.end(None, now, out);
            }
        }
    }

    /// The registration is refused for good while the session stands: told, then left in order, so that the far ends of calls
    /// hear of it.
    pub(super) fn fail_standing(
        &mut self,
        error: SessionError,
        began: Instant,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        self.tell_failed(&error, began, now, out);
        match std::mem::replace(&mut self.state, State::Stopped) {
            State::Ready(ready) => self.leave(ready.registered.account, Some(error), now, out),
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Registering(_)
            | State::Waiting(_)
            | State::Stopping(_)
            | State::Stopped => {
                self.line.close(out);
                self.end(Some(error), now, out);
            }
        }
    }

    fn leave(
        &mut self,
        account: LineAccount,
        error: Option<SessionError>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        self.abandon_parked(out);
        self.tell(SessionState::Stopping, out);
        self.state = State::Stopping(Box::new(Stopping {
            account,
            unregistering: false,
            calls_until: now + HANGING_UP,
            until: now + LEAVING,
            error,
        }));
        let orders = self.calls.hang_up_all(now, out);
        self.order(orders, now, out);
        self.advance_stopping(now, out);
    }

    pub(super) fn advance_stopping(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let State::Stopping(stopping) = &mut self.state else { return };
        if self.line.ends().is_none() || now >= stopping.until {
            return self.finish(false, now, out);
        }
        if stopping.unregistering || (!self.calls.is_empty() && now < stopping.calls_until) {
            return;
        }
        stopping.unregistering = true;
        self.leave_mailbox(now, out);
        let events = self.line.agent(ua::Input::Command(ua::Command::Unregister), now, out);
        for event in events {
            self.on_agent_event(event, now, out);
        }
    }

    pub(super) fn finish(&mut self, confirmed: bool, now: Instant, out: &mut Outbox<Effect>) {
        out.push(Effect::Emit(EventKind::Unregistered { confirmed }));
        self.line.close(out);
        let error = match &mut self.state {
            State::Stopping(stopping) => stopping.error.take(),
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Registering(_)
            | State::Waiting(_)
            | State::Ready(_)
            | State::Stopped => None,
        };
        self.end(error, now, out);
    }

    pub(super) fn tell_failed(
        &self,
        error: &SessionError,
        began: Instant,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let step = error.step();
        let (number, took_ms) = (step.number(), ms(began, now));
        out.push(Effect::Emit(EventKind::StepFailed { step, number, took_ms, error: error.clone() }));
    }

    /// The session is over. Calls that still stand end with it, each with its figures, before the last event.
    pub(super) fn end(&mut self, error: Option<SessionError>, now: Instant, out: &mut Outbox<Effect>) {
        self.state = State::Stopped;
        self.abandon_parked(out);
        self.calls.abandon(now, out);
        self.closing = Some(error);
        self.close(out);
    }

    pub(super) fn close(&mut self, out: &mut Outbox<Effect>) {
        if !self.calls.is_empty() {
            return;
        }
        if let Some(error) = self.closing.take() {
            self.tell(SessionState::Stopped, out);
            out.push(Effect::Emit(EventKind::Stopped { error, fault: None }));
        }
    }
}
