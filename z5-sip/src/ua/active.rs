//! A call that stands: its requests in both directions until a BYE (RFC 3261 sections 14 and 15).

use super::call::{Active, Call, Ending, State};
use super::failure::{CallFailure, CommandRefusal};
use super::leg::Leg;
use super::outgoing::is_sdp;
use super::requests::reason;
use super::schedule::Sleeper;
use super::transactions::Owner;
use super::types::{CallKey, Event, Reason, Side};
use super::{Turn, UserAgent};
use crate::dialog::{DialogId, Due, TimerDue};
use crate::flow::FlowId;
use crate::wire::{Message, Method};

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

    /// An ACK that is no transaction's: the one of our 2xx, or a stray.
    pub(super) fn on_ack(&mut self, flow: FlowId, ack: &Message, turn: &mut Turn<'_>) {
        let key = self.call_of(ack);
        let cseq = ack.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let waited_for = |active: &&mut Active| {
            active.acceptance.as_ref().is_some_and(|acceptance| acceptance.is_acknowledged_by(cseq))
        };
        let Some((key, active)) = key.and_then(|key| Some((key, self.active(key).filter(waited_for)?)))
        else {
            // A repeated ACK is nothing special, even after the call; one for no call is worth a word.
            let over = DialogId::of_request(ack).is_some_and(|id| self.ended.contains(&id));
            if key.is_none() && !over {
                turn.emit(Event::Unexpected { flow, what: "an ACK for nothing" });
            }
            return;
        };
        active.acceptance = None;
        self.dirty.push(Sleeper::Call(key));
        let Some(active) = self.active(key) else { return };
        let (wants_end, answer_due) = (active.ending == Ending::AfterAck, active.leg.session.is_offering());
        if answer_due && active.leg.offering.is_none() {
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
            true => active.leg.session.accept(ack.body()).map_err(CallFailure::Negotiation),
            false => {
                active.leg.session.withdraw();
                Err(CallFailure::NoAnswerDescription)
            }
        };
        let first = !std::mem::replace(&mut active.established, true);
        match (outcome, first) {
            (Ok(negotiated), true) => turn.emit(Event::Established { call: key, negotiated }),
            (Ok(negotiated), false) => turn.emit(Event::Renegotiated { call: key, negotiated, by_us: false }),
            (Err(failure), true) => {
                active.established = false;
                self.send_bye(key, Side::Local, Some(failure), turn);
            }
            (Err(failure), false) => turn.emit(Event::RenegotiationFailed { call: key, failure }),
        }
    }

    pub(super) fn on_bye(&mut self, number: u64, request: &Message, turn: &mut Turn<'_>) {
        let early = |call: &Call| matches!(call.state, State::Calling(_));
        let known = self.dialog_of(request).filter(|(key, _)| !self.calls.get(key).is_some_and(early));
        // Who was called has no BYE before its answer (RFC 3261 section 15).
        let Some((key, id)) = known else {
            self.respond(number, 481, turn, |builder| builder);
            return;
        };
        if !self.admit_to(key, &id, request) {
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

    /// The call and the dialog that a request belongs to.
    pub(super) fn dialog_of(&self, request: &Message) -> Option<(CallKey, DialogId)> {
        let id = DialogId::of_request(request)?;
        self.dialogs.get(&id).map(|key| (*key, id))
    }

    /// One dialog of a call.
    pub(super) fn leg(&mut self, key: CallKey, id: &DialogId) -> Option<&mut Leg> {
        self.calls.get_mut(&key)?.legs_mut().find(|leg| leg.dialog.id() == id)
    }

    /// Notes the order of a request in a dialog; false when there is no such dialog or it comes out of order.
    pub(super) fn admit(&mut self, request: &Message) -> bool {
        self.dialog_of(request).is_some_and(|(key, id)| self.admit_to(key, &id, request))
    }

    /// The same where the dialog is known already.
    pub(super) fn admit_to(&mut self, key: CallKey, id: &DialogId, request: &Message) -> bool {
        let Ok(cseq) = request.cseq() else { return false };
        self.leg(key, id).is_some_and(|leg| leg.dialog.admit(cseq.number).is_ok())
    }

    /// The next CSeq of the dialog that a request of ours went out in, when it is sent again with credentials.
    pub(super) fn next_cseq(&mut self, request: &Message) -> Option<u32> {
        let id = DialogId::of_sent(request)?;
        let key = self.dialogs.get(&id).copied()?;
        self.leg(key, &id).map(|leg| leg.dialog.next(Method::Options).cseq)
    }

    pub(super) fn on_call_deadline(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        self.on_asked_deadline(key, turn);
        self.on_retry_deadline(key, turn);
        match self.calls.get(&key).map(|call| &call.state) {
            Some(State::Calling(_)) => self.on_cancel_deadline(key, turn),
            Some(State::Ringing(_)) => {
                self.on_provisional_deadline(key, turn);
                self.on_ring_timeout(key, turn);
            }
            Some(State::Active(_)) => self.on_active_deadline(key, turn),
            None => {}
        }
    }

    fn on_active_deadline(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some(active) = self.active(key) else { return };
        let due =
            active.acceptance.as_mut().map_or(Due::Nothing, |acceptance| acceptance.on_deadline(turn.now));
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
        match timer {
            TimerDue::Nothing => {}
            TimerDue::Refresh => self.refresh_session(key, turn),
            TimerDue::Expired => self.send_bye(key, Side::Network, None, turn),
        }
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
        active.leg.retry = None;
        let (outline, dialog) = (active.leg.dialog.next(Method::Bye), active.leg.dialog.id().clone());
        self.dirty.push(Sleeper::Call(key));
        let outline = self.signed(outline);
        let sent = match flow {
            Some(flow) => self.start_client(outline, flow, Owner::Bye(key), turn).is_ok(),
            None => {
                self.keep(Owner::Stray, outline, dialog, turn);
                false
            }
        };
        if !sent {
            self.on_bye_done(key, turn);
        }
    }

    /// The far end knows the call no more, or a proxy could not reach it (408, 481): a BYE ends what it may still hold
    /// (RFC 3261 section 12.2.1.2).
    pub(super) fn end_lost(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        match self.active(key).map(|active| &active.ending) {
            Some(Ending::No) => self.send_bye(key, Side::Network, None, turn),
            Some(Ending::AfterAck) => self.send_bye(key, Side::Local, None, turn),
            // Its BYE is on its way.
            Some(Ending::Bye { .. }) | None => {}
        }
    }

    /// Our BYE is answered, or never will be: either way the call is over.
    pub(super) fn on_bye_done(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        self.finish(key, Side::Local, None, turn);
    }

    /// Forgets an established call and tells the application, once.
    pub(super) fn finish(&mut self, key: CallKey, by: Side, reason: Option<Reason>, turn: &mut Turn<'_>) {
        let Some(active) = self.active(key) else { return };
        let established = active.established;
        // Who began to end it counts, even when both did.
        let (by, failure) = match std::mem::replace(&mut active.ending, Ending::No) {
            Ending::No => (by, None),
            Ending::AfterAck => (Side::Local, None),
            Ending::Bye { by, failure } => (by, failure),
        };
        if let Some(call) = self.calls.remove(&key) {
            for leg in call.legs() {
                self.forget_leg(leg, turn);
                self.outlive_call(key, &leg.dialog, turn);
            }
        }
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
