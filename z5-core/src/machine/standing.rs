//! Step 4 and after: the connection comes and goes, the user agent registers on it and tells of calls.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use z5_sip::outbox::Outbox;
use z5_sip::ua::{self, RegisterFailure};

use super::calls::{self, Incoming};
use super::io::{Asker, Effect};
use super::line::{Link, Loss, transport_name};
use super::resolve::{Progress, Resolved, Resolving};
use super::supervise::Remedy;
use super::{Machine, Ready, State, register};
use crate::call::{CallId, MessageId};
use crate::clock::ms;
use crate::config::RetryMode;
use crate::error::{AttemptOutcome, RegisterError, Step, millis};
use crate::events::{EventKind, SessionState, StepDetail};

/// How often names are looked up again while no server can be reached; most zones answer for a minute or more.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(30);

impl Machine {
    /// The connection stands: if the user agent is there, it registers on it.
    pub(super) fn on_line_up(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        match self.state {
            State::Registering(_) | State::Ready(_) => {
                if let State::Registering(step) = &mut self.state {
                    step.on_server(now);
                }
                let mut events = self.line.introduce(now, out);
                // What the server has said unasked may have ended it already.
                if self.line.is_up() {
                    let register = ua::Command::RegisterWay { reg_id: 1 };
                    events.extend(self.line.agent(ua::Input::Command(register), now, out));
                }
                self.on_agent(events, now, out);
            }
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Waiting(_)
            | State::Stopping(_)
            | State::Stopped => {}
        }
    }

    pub(super) fn on_line_failed(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        match &self.state {
            State::Registering(_) => {
                self.fail(register::unreachable(&self.line).into(), now, out);
            }
            State::Ready(_) => {
                self.look_again(now, out);
                self.on_line_lost(now, out);
            }
            // Opened early, not needed yet: step 4 tries again.
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Waiting(_)
            | State::Stopping(_)
            | State::Stopped => {}
        }
    }

    /// How the bits per second of a call are shared.
    fn shares(&mut self, now: Instant) -> calls::Shares {
        let media = &self.plan.media;
        let free = calls::Shares::new(None, &media.audio_codecs, true, media.video_bits_per_second());
        self.with_desk(now, |_, desk| calls::shares(desk)).unwrap_or(free)
    }

    pub(super) fn on_line_lost(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let (why, outcome) = match self.line.link() {
            Link::Lost { why, outcome } => (why.clone(), outcome.clone()),
            Link::Failed => (String::new(), AttemptOutcome::Reset),
            Link::None | Link::Connecting(_) | Link::Up { .. } => return,
        };
        match &mut self.state {
            State::Registering(_) => {
                let tried = self.line.tried().to_vec();
                let refused = outcome == AttemptOutcome::Refused;
                if self.line.move_on(outcome, now, out).is_none() {
                    let error = match refused {
                        true => register::unreachable(&self.line),
                        false => RegisterError::ConnectionLost { why, tried },
                    };
                    self.fail(error.into(), now, out);
                }
            }
            State::Ready(ready) => {
                // The registrar may reach us over another connection meanwhile.
                ready.online = self.line.is_covered();
                if !ready.online {
                    self.tell(SessionState::Registering, out);
                } else if !std::mem::replace(&mut ready.covered, true) {
                    out.push(Effect::Emit(EventKind::FlowLost { reg_id: 1, why }));
                }
                // One that takes connections and nothing else must not keep us from the others.
                if self.line.is_unproved()
                    && let Some(events) = self.line.move_on(outcome, now, out)
                {
                    return self.on_agent(events, now, out);
                }
                let spread = self.ident.number();
                self.line.connect_again_later(now, spread, Duration::ZERO, !self.calls.is_empty());
            }
            State::Stopping(_) => self.advance_stopping(now, out),
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Waiting(_)
            | State::Stopped => {}
        }
    }

    /// A connection is gone, the first or a spare one.
    pub(super) fn line_closed(
        &mut self,
        flow: ua::FlowId,
        why: ua::FlowDeath,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        if self.line.is_spare(flow) {
            let spread = self.ident.number();
            self.line.on_spare_closed(flow, &why.to_string(), Loss { now, spread }, out);
            // It may have been the last one that stood.
            let reached = self.line.is_up() || self.line.is_covered();
            if let State::Ready(ready) = &mut self.state
                && ready.online
                && !reached
            {
                ready.online = false;
                self.tell(SessionState::Registering, out);
            }
            return;
        }
        self.line.on_closed(flow, why, out);
    }

    /// One of several bindings is gone while another one holds.
    fn on_binding_lost(
        &mut self,
        reg_id: u32,
        failure: RegisterFailure,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        if !matches!(self.state, State::Ready(_)) {
            return;
        }
        // What passes by itself is tried again, as when no other binding holds; what does not is not.
        let wait = match failure {
            RegisterFailure::Unavailable { retry_after, .. } => Some(retry_after.unwrap_or_default()),
            RegisterFailure::NoFlow | RegisterFailure::ConnectionLost | RegisterFailure::TimedOut { .. } => {
                Some(Duration::ZERO)
            }
            RegisterFailure::NoUsableChallenge { .. }
            | RegisterFailure::CredentialsRefused { .. }
            | RegisterFailure::Forbidden { .. }
            | RegisterFailure::UnknownAccount { .. }
            | RegisterFailure::IntervalTooBrief { .. }
            | RegisterFailure::BadReply { .. }
            | RegisterFailure::Unbuildable { .. }
            | RegisterFailure::Redirected { .. }
            | RegisterFailure::Refused { .. } => None,
        };
        let spread = self.ident.number();
        let events = match (reg_id, wait) {
            (1, None) => return self.on_registration_failed(failure, now, out),
            (1, Some(wait)) => {
                // The loss of the connection may have seen to it already.
                let events = self.line.give_up(now, out);
                self.line.connect_again_later(now, spread, wait, !self.calls.is_empty());
                events
            }
            (_, wait) => {
                let why = failure.to_string();
                self.line.on_spare_refused(reg_id, &why, Loss { now, spread }, wait, out)
            }
        };
        self.on_agent(events, now, out);
    }

    /// No server can be reached where the names were: perhaps they are elsewhere by now. What is found counts from the next round
    /// of attempts on.
    pub(super) fn look_again(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let State::Ready(ready) = &self.state else { return };
        if ready.renewing.is_none() && now >= ready.resolved_at + LOOK_AGAIN {
            self.look_again_now(now, out);
        }
    }

    /// The same however recently the names were looked up: those of another network may be others.
    pub(super) fn look_again_now(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let State::Ready(ready) = &mut self.state else { return };
        if ready.renewing.take().is_some() {
            out.push(Effect::EndLookups(Asker::Names));
        }
        ready.resolved_at = now;
        let mut step = Resolving::begin(&self.plan, self.ident.number(), now, out);
        // Names that need no question may be all there is.
        let progress = step.on_deadline(now, out);
        ready.renewing = Some(Box::new(step));
        self.after_renewal(progress);
    }

    /// What became of looking again. A failure changes nothing: the servers are tried where they were.
    pub(super) fn after_renewal(&mut self, progress: Progress<Resolved>) {
        let Progress::Done(done) = progress else { return };
        let State::Ready(ready) = &mut self.state else { return };
        ready.renewing = None;
        let Ok(resolved) = done else { return };
        let account = &mut ready.registered.account;
        if !account.targets_in(&resolved, &self.plan).is_empty() {
            account.move_to(Arc::new(resolved), &self.plan);
            self.line.retarget(account.targets.clone());
            self.proofs.signed_in = account.signed_in.clone().or(self.proofs.signed_in.take());
        }
    }

    /// The server that was reached does not answer, and there is another one.
    pub(super) fn on_silent_server(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let State::Registering(step) = &self.state else { return };
        if step.is_server_silent(now, &self.line) {
            let after_ms = millis(register::SERVER_PATIENCE);
            self.line.move_on(AttemptOutcome::TimedOut { after_ms }, now, out);
        }
    }

    /// Calls follow the address at which we are reached now; that of a spare connection is not ours for long.
    pub(super) fn follow_address(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        if matches!(self.state, State::Ready(_)) && self.line.is_up() {
            let orders = self.with_desk(now, |calls, desk| calls.follow_address(desk, out));
            self.order(orders.unwrap_or_default(), now, out);
        }
    }

    /// No offer is open in a call any more: what waits for that is asked for.
    fn on_may_offer(&mut self, call: ua::CallKey, now: Instant, out: &mut Outbox<Effect>) {
        let orders = self.with_desk(now, |calls, desk| calls.on_may_offer(call, desk, out));
        self.order(orders.unwrap_or_default(), now, out);
    }

    /// What the user agent tells.
    pub(super) fn on_agent(&mut self, events: Vec<ua::Event>, now: Instant, out: &mut Outbox<Effect>) {
        for event in events {
            self.on_agent_event(event, now, out);
        }
        self.advance_stopping(now, out);
    }

    pub(super) fn on_agent_event(&mut self, event: ua::Event, now: Instant, out: &mut Outbox<Effect>) {
        // What came in one read with the registrar's goodbye: nothing is told after the last event.
        if self.is_stopped() {
            return;
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a non-exhaustive type; what is not listed needs nothing here"
        )]
        match event {
            ua::Event::Registered { reg_id: 2.., .. } if !matches!(self.state, State::Ready(_)) => {}
            ua::Event::Registered { reg_id: reg_id @ 2.., .. } => self.line.on_spare_registered(reg_id, out),
            ua::Event::Registered { granted, refresh_in, .. } => {
                self.on_registered(granted, refresh_in, now, out)
            }
            ua::Event::RegistrationFailed(failure) => self.on_registration_failed(failure, now, out),
            ua::Event::Unregistered => {
                if matches!(self.state, State::Stopping(_)) {
                    self.finish(true, now, out);
                }
            }
            ua::Event::Incoming {
                call,
                from,
                display_name,
                offered,
                ring_with_offer,
                replaces,
                asserted,
                call_info,
                parts,
                ..
            } => {
                let id = CallId(self.call_ids.fetch_add(1, Ordering::Relaxed));
                let about = calls::about(call_info, &parts);
                let incoming = Incoming {
                    key: call,
                    from,
                    display_name,
                    offered,
                    ring_with_offer,
                    replaces,
                    asserted,
                    about,
                };
                let ready = matches!(self.state, State::Ready(_));
                let orders = match ready {
                    true => self.with_desk(now, |calls, desk| calls.on_incoming(id, incoming, desk, out)),
                    false => None,
                };
                let status = calls::TEMPORARILY_UNAVAILABLE;
                let orders = orders.unwrap_or_else(|| vec![ua::Command::Reject { call, status }]);
                self.order(orders, now, out);
            }
            ua::Event::Progress { call, status, reason, .. } => {
                self.calls.on_progress(call, status, reason, now, out)
            }
            ua::Event::CallInfo { call, call_info, parts } => {
                self.calls.on_call_info(call, calls::about(call_info, &parts), out)
            }
            ua::Event::Established { call, negotiated } => {
                let shares = self.shares(now);
                let orders = self.calls.on_established(call, &negotiated, shares, now, out);
                self.order(orders, now, out);
                let orders = self.with_desk(now, |calls, desk| calls.close_left_over(call, desk));
                self.order(orders.unwrap_or_default(), now, out);
                self.follow_address(now, out);
            }
            ua::Event::Renegotiated { call, negotiated, by_us } => {
                let shares = self.shares(now);
                self.calls.on_renegotiated(call, (&negotiated, by_us), shares, out);
                self.follow_address(now, out);
            }
            ua::Event::RenegotiationFailed { call, failure } => {
                self.calls.on_renegotiation_failed(call, &failure, out);
                self.follow_address(now, out);
            }
            ua::Event::MayOffer { call } => self.on_may_offer(call, now, out),
            ua::Event::Offered { call, offered } => {
                let kinds = calls::kinds_of(&offered);
                let orders = self.with_desk(now, |calls, desk| calls.on_offered(call, &kinds, desk, out));
                self.order(orders.unwrap_or_else(|| vec![ua::Command::RefuseOffer { call }]), now, out);
            }
            ua::Event::TransferRequested { call, target, referred_by, .. } => {
                self.calls.on_transfer_requested(call, &target, referred_by, out)
            }
            ua::Event::TransferProgress { call, status, reason } => {
                self.calls.on_transfer_progress(call, status, reason, out)
            }
            ua::Event::Transferred { call } => self.calls.on_transferred(call, out),
            ua::Event::TransferFailed { call, failure } => {
                self.calls.on_transfer_failed(call, failure.to_string(), out)
            }
            ua::Event::Info { call, info } => {
                let orders = self.calls.on_info(call, &info, out);
                self.order(orders, now, out);
            }
            ua::Event::InfoFailed { call, status } => self.calls.on_info_failed(call, status),
            ua::Event::MessageReceived { from, call, content_type, body } => {
                let call = call.and_then(|key| self.calls.id_of(key));
                let from = from.as_str().to_owned();
                let text = String::from_utf8(body.0.to_vec()).unwrap_or_default();
                out.push(Effect::Emit(EventKind::Message { from, call, content_type, text }));
            }
            ua::Event::MessageDelivered { message, status } => {
                out.push(Effect::Emit(EventKind::MessageSent { message: MessageId(message.0), status }))
            }
            ua::Event::MessageFailed { message, failure } => Self::on_message_failed(message, &failure, out),
            ua::Event::MessageWaiting(summary) => Self::on_mail(&summary, out),
            ua::Event::SubscriptionEnded { why, .. } => Self::on_mailbox_lost(&why, out),
            ua::Event::Ended { call, by, reason } => {
                let cause = reason.map(|reason| reason.to_string());
                self.calls.on_ended(call, calls::side(by), cause, out);
            }
            ua::Event::Failed { call, failure } => self.calls.on_failed(call, failure, now, out),
            ua::Event::FlowDead { flow, why } => {
                self.line_closed(flow, why, now, out);
                self.on_line_lost(now, out);
            }
            ua::Event::BindingLost { reg_id, failure } => self.on_binding_lost(reg_id, failure, now, out),
            ua::Event::CommandRefused { call: Some(call), why } => {
                self.calls.on_command_refused(call, why, now, out)
            }
            // Nothing for the session to do: retried or answered by the user agent itself, never asked for here
            // (traces), or not about a call.
            ua::Event::CommandRefused { call: None, .. }
            | ua::Event::RegistrationDelayed { .. }
            | ua::Event::Unexpected { .. }
            | ua::Event::Trace { .. } => {}
            _ => {}
        }
    }

    pub(super) fn on_registered(
        &mut self,
        granted: Duration,
        refresh_in: Duration,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let state = std::mem::replace(&mut self.state, State::Stopped);
        match state {
            State::Registering(step) => {
                let registered = step.done();
                let unspecified = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
                let (local, server) = self.line.ends().unwrap_or((unspecified, unspecified));
                let address = registered.account.address.clone();
                let lack = registered.account.lack.clone();
                let detail = StepDetail::Registered {
                    address: address.clone(),
                    transport: self.line.transport().map_or("", transport_name),
                    local,
                    server,
                    tried: self.line.tried().to_vec(),
                    granted_s: granted.as_secs(),
                    refresh_s: refresh_in.as_secs(),
                };
                self.line.healthy(now);
                self.line.open_spares(now, out);
                self.timings.register_ms = Some(self.end_step(Step::Register, detail, now, out));
                self.timings.ready_ms = Some(ms(self.started, now));
                self.state = State::Ready(Box::new(Ready {
                    registered,
                    online: true,
                    covered: false,
                    resolved_at: now,
                    renewing: None,
                }));
                self.backoff.reset();
                match lack {
                    Some(error) => {
                        self.tell(SessionState::EmergencyOnly, out);
                        out.push(Effect::Emit(EventKind::EmergencyOnly { address, error }));
                    }
                    None => {
                        self.rejections = 0;
                        self.tell(SessionState::Ready, out);
                        out.push(Effect::Emit(EventKind::Ready { address, timings: self.timings }));
                    }
                }
                self.watch_mailbox(now, out);
                self.plan_upkeep(now);
                self.calls.on_registered();
                self.follow_address(now, out);
                self.call_parked(now, out);
                self.keep_up(now, out);
            }
            State::Ready(mut ready) => {
                ready.online = true;
                if std::mem::take(&mut ready.covered)
                    && let (Some(transport), Some((local, server))) =
                        (self.line.transport(), self.line.ends())
                {
                    let transport = transport_name(transport);
                    out.push(Effect::Emit(EventKind::FlowRegistered { reg_id: 1, transport, local, server }));
                }
                self.line.healthy(now);
                self.line.open_spares(now, out);
                let state = self.standing_state(&ready.registered.account);
                if state == SessionState::Ready {
                    self.rejections = 0;
                }
                self.state = State::Ready(ready);
                self.tell(state, out);
                out.push(Effect::Emit(EventKind::Refreshed { granted_s: granted.as_secs() }));
                self.calls.on_registered();
                self.follow_address(now, out);
                self.call_parked(now, out);
            }
            other @ (State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Waiting(_)
            | State::Stopping(_)
            | State::Stopped) => self.state = other,
        }
    }

    pub(super) fn on_registration_failed(
        &mut self,
        failure: RegisterFailure,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let began = self.line.registering_since().unwrap_or(now);
        self.line.registration_failed();
        match &mut self.state {
            State::Registering(step) => {
                if let Some(outcome) = register::passing(&failure, self.line.link())
                    && self.line.move_on(outcome, now, out).is_some()
                {
                    return;
                }
                let error = step.error(failure, &self.line, now);
                self.fail(error.into(), now, out);
            }
            State::Ready(ready) => {
                let passing = matches!(
                    failure,
                    RegisterFailure::NoFlow
                        | RegisterFailure::ConnectionLost
                        | RegisterFailure::TimedOut { .. }
                        | RegisterFailure::Unavailable { .. }
                );
                if passing {
                    ready.online = false;
                    if let Some(outcome) = register::passing(&failure, self.line.link())
                        && let Some(events) = self.line.move_on(outcome, now, out)
                    {
                        self.tell(SessionState::Registering, out);
                        return self.on_agent(events, now, out);
                    }
                    let spread = self.ident.number();
                    let wait = match failure {
                        RegisterFailure::Unavailable { retry_after, .. } => retry_after.unwrap_or_default(),
                        RegisterFailure::NoFlow
                        | RegisterFailure::ConnectionLost
                        | RegisterFailure::TimedOut { .. }
                        | RegisterFailure::NoUsableChallenge { .. }
                        | RegisterFailure::CredentialsRefused { .. }
                        | RegisterFailure::Forbidden { .. }
                        | RegisterFailure::UnknownAccount { .. }
                        | RegisterFailure::IntervalTooBrief { .. }
                        | RegisterFailure::BadReply { .. }
                        | RegisterFailure::Unbuildable { .. }
                        | RegisterFailure::Redirected { .. }
                        | RegisterFailure::Refused { .. } => Duration::ZERO,
                    };
                    let events = self.line.give_up(now, out);
                    self.line.connect_again_later(now, spread, wait, !self.calls.is_empty());
                    self.tell(SessionState::Registering, out);
                    self.on_agent(events, now, out);
                } else {
                    let after_ms = millis(now.saturating_duration_since(began));
                    let error = register::register_error(failure, &self.line, after_ms).into();
                    match self.remedy(&error) {
                        Remedy::Fresh => {
                            self.tell_failed(&error, began, now, out);
                            if let State::Ready(ready) = &mut self.state {
                                ready.online = false;
                            }
                            self.fetch_credentials(now, out);
                        }
                        // A registrar's own trouble passes: a session that stands does not end for it.
                        Remedy::Again if self.plan.retry.mode == RetryMode::Supervised => {
                            self.tell_failed(&error, began, now, out);
                            if let State::Ready(ready) = &mut self.state {
                                ready.online = false;
                            }
                            let spread = self.ident.number();
                            let events = self.line.give_up(now, out);
                            self.line.connect_again_later(
                                now,
                                spread,
                                Duration::ZERO,
                                !self.calls.is_empty(),
                            );
                            self.tell(SessionState::Registering, out);
                            self.on_agent(events, now, out);
                        }
                        Remedy::Again | Remedy::Never => self.fail_standing(error, began, now, out),
                    }
                }
            }
            State::Stopping(_) => self.finish(false, now, out),
            State::Idle
            | State::Resolving(_)
            | State::SigningIn(_)
            | State::Provisioning(_)
            | State::Syncing(_)
            | State::Waiting(_)
            | State::Stopped => {}
        }
    }
}
