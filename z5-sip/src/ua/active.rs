//! A call that stands: its requests in both directions until a BYE (RFC 3261 sections 14 and 15).

use std::time::Duration;

use super::call::{Active, Call, Ending, State};
use super::compose::{ALLOW, SDP, SUPPORTED};
use super::failure::{CallFailure, CommandRefusal};
use super::incoming::{timed, warned};
use super::outgoing::is_sdp;
use super::requests::reason;
use super::schedule::Sleeper;
use super::transactions::Owner;
use super::types::{CallKey, Event, Reason, Side};
use super::{Turn, UserAgent};
use crate::dialog::{Acceptance, DialogId, Due, SHORTEST, SessionTimer, TimerAnswer, TimerDue};
use crate::flow::FlowId;
use crate::sdp::Capabilities;
use crate::wire::{Message, Method, Name};

impl UserAgent {
    pub(super) fn on_hangup(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        match self.calls.get(&key).map(|call| &call.state) {
            None => {
                let why = CommandRefusal::UnknownCall;
                turn.emit(Event::CommandRefused { call: Some(key), why });
            }
            Some(State::Calling(_)) => self.cancel_calling(key, turn),
            Some(State::Ringing(_)) => self.on_reject(key, 603, turn),
            Some(State::Active(active)) => match (&active.ending, &active.acceptance) {
                (Ending::No, Some(_)) if !active.caller => self.set_ending(key, Ending::AfterAck),
                (Ending::No, _) => self.send_bye(key, Side::Local, None, turn),
                (Ending::AfterAck | Ending::Bye { .. }, _) => {}
            },
        }
    }

    /// Changes what flows in a call that stands, as hold and resume do: a re-INVITE (RFC 3261 section 14.1).
    pub(super) fn on_renegotiate(&mut self, key: CallKey, offer: Capabilities, turn: &mut Turn<'_>) {
        let why = match self.calls.get(&key).map(|call| &call.state) {
            None => CommandRefusal::UnknownCall,
            Some(State::Active(active)) if active.may_offer() => {
                return self.send_reinvite(key, offer, false, turn);
            }
            Some(State::Active(_) | State::Calling(_) | State::Ringing(_)) => CommandRefusal::WrongState,
        };
        turn.emit(Event::CommandRefused { call: Some(key), why });
    }

    /// Sends an INVITE within the call; one that only refreshes it is not told to the application.
    fn send_reinvite(&mut self, key: CallKey, offer: Capabilities, refreshing: bool, turn: &mut Turn<'_>) {
        let Some(flow) = self.calls.get(&key).and_then(|call| self.flow_of(call)) else {
            return turn.emit(Event::RenegotiationFailed { call: key, failure: CallFailure::NoFlow });
        };
        let Some(active) = self.active(key) else { return };
        active.retry = None;
        active.refreshing = refreshing;
        let body = active.session.offer(offer);
        let outline = active.dialog.next(Method::Invite);
        let value = active.timer.map(|timer| timer.value());
        let mut outline = self.with_abilities(outline, flow);
        if let Some(value) = value {
            outline = outline.with(Name::SessionExpires, value);
        }
        outline.body = Some((SDP.into(), body.into()));
        let started = self.start_client(outline, flow, Owner::Reinvite(key), turn);
        let Some(active) = self.active(key) else { return };
        match started {
            Ok(number) => active.reinvite = Some(number),
            Err(error) => {
                active.session.withdraw();
                turn.emit(Event::RenegotiationFailed { call: key, failure: error.into() });
            }
        }
        self.dirty.push(Sleeper::Call(key));
    }

    /// The re-INVITE went out again, with credentials.
    pub(super) fn set_reinvite(&mut self, key: CallKey, number: u64) {
        if let Some(active) = self.active(key) {
            active.reinvite = Some(number);
        }
    }

    /// The next CSeq of a call's dialog, when a request in it is sent again with credentials.
    pub(super) fn next_cseq(&mut self, key: CallKey) -> Option<u32> {
        self.active(key).map(|active| active.dialog.next(Method::Options).cseq)
    }

    pub(super) fn on_reinvite_final(
        &mut self,
        key: CallKey,
        number: u64,
        response: &Message,
        turn: &mut Turn<'_>,
    ) {
        let status = response.status().unwrap_or_default();
        if (200..300).contains(&status) {
            return self.on_reinvite_accepted(key, number, response, turn);
        }
        let Some(active) = self.active(key).filter(|active| active.reinvite == Some(number)) else { return };
        active.reinvite = None;
        match status {
            // The far end has forgotten the call (RFC 3261 section 12.2.1.2).
            408 | 481 => self.finish(key, Side::Network, None, turn),
            491 => self.put_off_reinvite(key, turn),
            _ => {
                active.session.withdraw();
                let failure = CallFailure::from_response(response);
                // Whether a refresh gets through is the session timer's matter.
                if !active.refreshing {
                    turn.emit(Event::RenegotiationFailed { call: key, failure });
                }
            }
        }
    }

    /// Both ends offered at once: each waits a time of its own, the one that owns the Call-ID the longer one
    /// (RFC 3261 section 14.1).
    fn put_off_reinvite(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let step = self.ident.number() % 200;
        let now = turn.now;
        let Some(active) = self.active(key) else { return };
        let wait = if active.caller { 2100 + step % 190 * 10 } else { step * 10 };
        let offer = active.session.withdraw();
        active.retry = offer.map(|offer| (now + Duration::from_millis(wait), offer));
        self.dirty.push(Sleeper::Call(key));
    }

    fn on_reinvite_accepted(&mut self, key: CallKey, number: u64, response: &Message, turn: &mut Turn<'_>) {
        let Some(client) = self.transactions.clients.get(&number) else { return };
        let (flow, invite) = (client.flow, client.request().clone());
        if let Some((_, ack)) = client.acks.first() {
            let ack = ack.clone();
            return self.send(flow, &ack, turn);
        }
        let Some(active) = self.active(key).filter(|active| active.reinvite == Some(number)) else { return };
        active.reinvite = None;
        active.dialog.refresh_target(response);
        active.timer = SessionTimer::from_response(response, turn.now);
        let before = active.session.negotiated().map(|negotiated| negotiated.media.clone());
        let quiet = active.refreshing;
        let outcome = match is_sdp(response) {
            true => active.session.accept(response.body()).map_err(CallFailure::Negotiation),
            false => {
                active.session.withdraw();
                Err(CallFailure::NoAnswerDescription)
            }
        };
        let (dialog, wants_end) = (active.dialog.clone(), active.ending == Ending::AfterAck);
        self.acknowledge(number, &dialog, &invite, flow, turn);
        self.dirty.push(Sleeper::Call(key));
        match outcome {
            Ok(negotiated) if quiet && before.as_ref() == Some(&negotiated.media) => {}
            Ok(negotiated) => turn.emit(Event::Renegotiated { call: key, negotiated }),
            Err(failure) => turn.emit(Event::RenegotiationFailed { call: key, failure }),
        }
        if wants_end {
            self.send_bye(key, Side::Local, None, turn);
        }
    }

    /// The re-INVITE came to nothing; the session stays as it was (RFC 3261 section 14.1).
    pub(super) fn on_reinvite_failed(
        &mut self,
        key: CallKey,
        number: u64,
        failure: CallFailure,
        turn: &mut Turn<'_>,
    ) {
        let Some(active) = self.active(key).filter(|active| active.reinvite == Some(number)) else { return };
        active.reinvite = None;
        active.session.withdraw();
        if !active.refreshing {
            turn.emit(Event::RenegotiationFailed { call: key, failure });
        }
    }

    /// The re-INVITE was never answered: the far end is not there any more.
    pub(super) fn on_reinvite_lost(&mut self, key: CallKey, number: u64, turn: &mut Turn<'_>) {
        if self.active(key).is_some_and(|active| active.reinvite == Some(number)) {
            self.send_bye(key, Side::Network, None, turn);
        }
    }

    /// An INVITE or UPDATE of the far end within a call: answered at once with what this end can do (RFC 3261
    /// section 14.2, RFC 3311 section 5.2). An UPDATE without an offer only refreshes.
    pub(super) fn on_reinvite(&mut self, number: u64, request: &Message, turn: &mut Turn<'_>) {
        let Some(key) = self.call_of(request) else {
            self.respond(number, 481, turn, |builder| builder);
            return;
        };
        let retry_after = (self.ident.number() % 11).to_string();
        if !self.admit(request) || self.active(key).is_none() {
            // Out of order, or before the first INVITE has its final response.
            self.respond(number, 500, turn, |builder| builder.header(Name::RetryAfter, retry_after));
            return;
        }
        let contact = self.calls.get(&key).and_then(|call| self.call_contact(call)).unwrap_or_default();
        let Some(active) = self.active(key) else { return };
        if matches!(active.ending, Ending::Bye { .. }) {
            self.respond(number, 481, turn, |builder| builder);
            return;
        }
        // an UPDATE without an offer crosses nothing (RFC 3311 section 5.2)
        let invite = request.method() == Some(Method::Invite);
        let crosses = active.reinvite.is_some() || active.session.is_offering();
        if crosses && (invite || is_sdp(request)) {
            self.respond(number, 491, turn, |builder| builder);
            return;
        }
        let Ok(timer) = TimerAnswer::to_request(request) else {
            self.respond(number, 422, turn, |builder| builder.header(Name::MinSe, SHORTEST.to_string()));
            return;
        };
        active.dialog.refresh_target(request);
        let before = active.session.negotiated().map(|negotiated| negotiated.media.clone());
        let outcome = match (is_sdp(request), invite) {
            (true, _) => active.session.answer(request.body()).map(|(body, negotiated)| {
                (Some(body), Some(negotiated).filter(|new| before.as_ref() != Some(&new.media)))
            }),
            (false, true) => {
                let capabilities = active.session.capabilities().clone();
                Ok((Some(active.session.offer(capabilities)), None))
            }
            (false, false) => Ok((None, None)),
        };
        match outcome {
            Ok((body, negotiated)) => {
                // A request that says nothing of a timer takes it away (RFC 4028 section 7.4).
                active.timer = timer.as_ref().map(|timer| timer.timer(turn.now));
                let response = self.respond(number, 200, turn, |builder| {
                    let builder = builder.record_route(request).header(Name::Contact, contact);
                    let builder = timed(
                        builder.header(Name::Allow, ALLOW).header(Name::Supported, SUPPORTED),
                        timer.as_ref(),
                    );
                    match body {
                        Some(body) => builder.body(SDP, body),
                        None => builder,
                    }
                });
                if invite {
                    self.await_ack(key, response.as_ref(), request, turn);
                }
                self.dirty.push(Sleeper::Call(key));
                if let Some(negotiated) = negotiated {
                    turn.emit(Event::Renegotiated { call: key, negotiated });
                }
            }
            Err(failure) => {
                self.respond(number, 488, turn, |builder| warned(builder, 304, &failure.to_string()));
            }
        }
    }

    /// The value of our Contact in a call that stands.
    fn call_contact(&self, call: &Call) -> Option<String> {
        let hidden = matches!(&call.state, State::Active(active) if active.dialog.is_private());
        self.contact_value(call.flow, hidden)
    }

    fn await_ack(&mut self, key: CallKey, response: Option<&Message>, request: &Message, turn: &Turn<'_>) {
        let timers = self.config.timers;
        if let (Some(active), Some(response), Ok(cseq)) = (self.active(key), response, request.cseq()) {
            active.acceptance = Some(Acceptance::new(response.clone(), cseq.number, timers, turn.now));
        }
        self.dirty.push(Sleeper::Call(key));
    }

    /// An ACK that is no transaction's: the one of our 2xx, or a stray.
    pub(super) fn on_ack(&mut self, flow: FlowId, ack: &Message, turn: &mut Turn<'_>) {
        let key = self.call_of(ack);
        let cseq = ack.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let waited_for = |active: &&mut Active| {
            active.acceptance.as_ref().is_some_and(|acceptance| acceptance.is_acknowledged_by(cseq))
        };
        let Some((key, active)) = key.and_then(|key| Some((key, self.active(key).filter(waited_for)?)))
        else {
            // A repeated ACK is nothing special; one for no call is worth a word.
            if key.is_none() {
                turn.emit(Event::Unexpected { flow, what: "an ACK for nothing" });
            }
            return;
        };
        active.acceptance = None;
        self.dirty.push(Sleeper::Call(key));
        let Some(active) = self.active(key) else { return };
        let (wants_end, answer_due) = (active.ending == Ending::AfterAck, active.session.is_offering());
        if answer_due && active.reinvite.is_none() {
            self.on_answer_in_ack(key, ack, turn);
        }
        if wants_end {
            self.send_bye(key, Side::Local, None, turn);
        }
    }

    /// The answer to the offer that our 2xx made.
    fn on_answer_in_ack(&mut self, key: CallKey, ack: &Message, turn: &mut Turn<'_>) {
        let Some(active) = self.active(key) else { return };
        let outcome = match is_sdp(ack) {
            true => active.session.accept(ack.body()).map_err(CallFailure::Negotiation),
            false => {
                active.session.withdraw();
                Err(CallFailure::NoAnswerDescription)
            }
        };
        let first = !std::mem::replace(&mut active.established, true);
        match (outcome, first) {
            (Ok(negotiated), true) => turn.emit(Event::Established { call: key, negotiated }),
            (Ok(negotiated), false) => turn.emit(Event::Renegotiated { call: key, negotiated }),
            (Err(failure), true) => {
                active.established = false;
                self.send_bye(key, Side::Local, Some(failure), turn);
            }
            (Err(failure), false) => turn.emit(Event::RenegotiationFailed { call: key, failure }),
        }
    }

    pub(super) fn on_bye(&mut self, number: u64, request: &Message, turn: &mut Turn<'_>) {
        let Some(key) = self.call_of(request) else {
            self.respond(number, 481, turn, |builder| builder);
            return;
        };
        if !self.admit(request) {
            self.respond(number, 500, turn, |builder| builder);
            return;
        }
        self.respond(number, 200, turn, |builder| builder);
        let why = reason(request);
        match self.calls.get(&key).map(|call| &call.state) {
            // A caller may end an early dialog with BYE instead of CANCEL (RFC 3261 section 15).
            Some(State::Ringing(_)) => self.on_cancelled(key, why, turn),
            Some(State::Active(_)) => self.finish(key, Side::Remote, why, turn),
            Some(State::Calling(_)) | None => {}
        }
    }

    /// Notes the order of a request in a dialog; false when there is no such dialog or it comes out of order.
    pub(super) fn admit(&mut self, request: &Message) -> bool {
        let (Some(key), Ok(cseq)) = (self.call_of(request), request.cseq()) else { return false };
        let dialog = match self.calls.get_mut(&key).map(|call| &mut call.state) {
            Some(State::Active(active)) => &mut active.dialog,
            Some(State::Ringing(ringing)) => &mut ringing.dialog,
            Some(State::Calling(_)) | None => return false,
        };
        dialog.admit(cseq.number).is_ok()
    }

    pub(super) fn on_call_deadline(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        match self.calls.get(&key).map(|call| &call.state) {
            Some(State::Calling(_)) => self.on_cancel_deadline(key, turn),
            Some(State::Ringing(_)) => self.on_ring_timeout(key, turn),
            Some(State::Active(_)) => self.on_active_deadline(key, turn),
            None => {}
        }
    }

    fn on_active_deadline(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some(active) = self.active(key) else { return };
        let due =
            active.acceptance.as_mut().map_or(Due::Nothing, |acceptance| acceptance.on_deadline(turn.now));
        let retry = active.retry.take_if(|(at, _)| *at <= turn.now);
        let timer = active.timer.as_ref().map_or(TimerDue::Nothing, |timer| timer.due(turn.now));
        match due {
            Due::Nothing => {}
            Due::Repeat(response) => {
                if let Some(flow) = self.calls.get(&key).and_then(|call| self.flow_of(call)) {
                    self.send(flow, &response, turn);
                }
            }
            // The dialog stands for the callee, so it ends with a BYE (RFC 3261 section 13.3.1.4).
            Due::GiveUp => {
                active.acceptance = None;
                let failure = (!active.established).then_some(CallFailure::TimedOut { timer: "H" });
                let by = if active.ending == Ending::AfterAck { Side::Local } else { Side::Network };
                return self.send_bye(key, by, failure, turn);
            }
        }
        if let Some((_, offer)) = retry {
            self.send_reinvite(key, offer, false, turn);
        }
        match timer {
            TimerDue::Nothing => {}
            TimerDue::Refresh => self.refresh_session(key, turn),
            TimerDue::Expired => self.send_bye(key, Side::Network, None, turn),
        }
    }

    /// Keeps the call from running out (RFC 4028 section 7.4).
    fn refresh_session(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some(timer) = self.active(key).and_then(|active| active.timer.as_mut()) else { return };
        timer.on_refreshing(turn.now);
        self.refresh(key, turn);
    }

    /// Tells the far end where we are now: by an UPDATE where it takes one, else by an INVITE that offers the same again.
    fn refresh(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let flow = self.calls.get(&key).and_then(|call| self.flow_of(call));
        let Some(active) = self.active(key) else { return };
        if !active.updatable {
            if active.may_offer() {
                let capabilities = active.session.capabilities().clone();
                self.send_reinvite(key, capabilities, true, turn);
            }
            return;
        }
        let value = active.timer.map(|timer| timer.value());
        let outline = active.dialog.next(Method::Update);
        if let Some(flow) = flow {
            let mut outline = self.with_abilities(outline, flow);
            if let Some(value) = value {
                outline = outline.with(Name::SessionExpires, value);
            }
            // When it cannot go out, the session timer or the next request shows it.
            let _ = self.start_client(outline, flow, Owner::Update(key), turn);
        }
    }

    /// A new flow is bound: calls whose flow is gone move to it, and the far end learns our new Contact, or its requests
    /// would go where nobody is (RFC 3261 section 12.2.1.1, target refresh).
    pub(super) fn move_calls(&mut self, to: FlowId, turn: &mut Turn<'_>) {
        let stranded = self.calls.iter().filter(|(_, call)| !self.flows.contains_key(&call.flow));
        let stranded: Vec<CallKey> = stranded.map(|(key, _)| *key).collect();
        for key in stranded {
            if let Some(call) = self.calls.get_mut(&key) {
                call.flow = to;
            }
            if self.active(key).is_some_and(|active| active.ending == Ending::No) {
                self.refresh(key, turn);
            }
        }
    }

    /// Our UPDATE is answered.
    pub(super) fn on_update_final(&mut self, key: CallKey, response: &Message, turn: &mut Turn<'_>) {
        let Some(active) = self.active(key) else { return };
        match response.status().unwrap_or_default() {
            200..300 => {
                active.dialog.refresh_target(response);
                active.timer = SessionTimer::from_response(response, turn.now);
            }
            408 | 481 => self.finish(key, Side::Network, None, turn),
            // It does not take UPDATE after all: an INVITE will do.
            405 | 501 => {
                active.updatable = false;
                if active.may_offer() {
                    let capabilities = active.session.capabilities().clone();
                    self.send_reinvite(key, capabilities, true, turn);
                }
            }
            _ => {}
        }
        self.dirty.push(Sleeper::Call(key));
    }

    /// Sends our BYE; the call is over when it is answered, or cannot be.
    pub(super) fn send_bye(
        &mut self,
        key: CallKey,
        by: Side,
        failure: Option<CallFailure>,
        turn: &mut Turn<'_>,
    ) {
        let flow = self.calls.get(&key).and_then(|call| self.flow_of(call));
        let Some(active) = self.active(key) else { return };
        active.ending = Ending::Bye { by, failure };
        active.acceptance = None;
        active.retry = None;
        let outline = active.dialog.next(Method::Bye);
        self.dirty.push(Sleeper::Call(key));
        let outline = self.signed(outline);
        let sent = flow.is_some_and(|flow| self.start_client(outline, flow, Owner::Bye(key), turn).is_ok());
        if !sent {
            self.on_bye_done(key, turn);
        }
    }

    /// Our BYE is answered, or never will be: either way the call is over.
    pub(super) fn on_bye_done(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        self.finish(key, Side::Local, None, turn);
    }

    /// Forgets an established call and tells the application, once.
    fn finish(&mut self, key: CallKey, by: Side, reason: Option<Reason>, turn: &mut Turn<'_>) {
        let Some(active) = self.active(key) else { return };
        let id: DialogId = active.dialog.id().clone();
        let established = active.established;
        // Who began to end it counts, even when both did.
        let (by, failure) = match std::mem::replace(&mut active.ending, Ending::No) {
            Ending::No => (by, None),
            Ending::AfterAck => (Side::Local, None),
            Ending::Bye { by, failure } => (by, failure),
        };
        self.dialogs.remove(&id);
        self.calls.remove(&key);
        self.dirty.push(Sleeper::Call(key));
        turn.emit(match (established, failure) {
            (true, _) => Event::Ended { call: key, by, reason },
            (false, Some(failure)) => Event::Failed { call: key, failure },
            (false, None) => Event::Failed { call: key, failure: CallFailure::Cancelled { by, reason } },
        });
    }

    fn set_ending(&mut self, key: CallKey, ending: Ending) {
        if let Some(active) = self.active(key) {
            active.ending = ending;
        }
    }

    pub(super) fn active(&mut self, key: CallKey) -> Option<&mut Active> {
        match self.calls.get_mut(&key) {
            Some(Call { state: State::Active(active), .. }) => Some(active),
            Some(Call { state: State::Calling(_) | State::Ringing(_), .. }) | None => None,
        }
    }
}

impl Active {
    /// Whether an offer of ours may go out now.
    fn may_offer(&self) -> bool {
        self.established
            && self.ending == Ending::No
            && self.reinvite.is_none()
            && self.retry.is_none()
            && !self.session.is_offering()
    }
}
