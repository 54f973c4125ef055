//! Provisional responses of ours to an incoming call: 180, 183 with early media, and their reliable delivery (RFC 3262).
//!
//! One reliable response at a time waits for its PRACK; what is to follow waits behind it, a 2xx too when the response
//! carries a session description. Without a PRACK for 64 x T1 the INVITE is refused.

use super::call::{Call, Reliability, Ringing, State, Waiting};
use super::compose::{ALLOW, SDP};
use super::config::ReliableProvisionals;
use super::failure::{CallFailure, CommandRefusal};
use super::incoming::warned;
use super::outgoing::is_sdp;
use super::schedule::Sleeper;
use super::types::{CallKey, Event};
use super::{Turn, UserAgent};
use crate::dialog::{Due, Provisional};
use crate::sdp::Capabilities;
use crate::transaction::ServerInput;
use crate::wire::{Message, Name};

impl UserAgent {
    /// Whether an INVITE lets our provisional responses be reliable.
    pub(super) fn reliability(&self, invite: &Message) -> Reliability {
        let supported = invite.lists_token(Name::Supported, "100rel");
        let required = invite.lists_token(Name::Require, "100rel");
        match self.config.reliable_provisionals {
            ReliableProvisionals::Off => Reliability::Off,
            _ if required => Reliability::Required,
            ReliableProvisionals::Required if supported => Reliability::Required,
            ReliableProvisionals::Supported if supported => Reliability::Possible,
            ReliableProvisionals::Supported | ReliableProvisionals::Required => Reliability::Off,
        }
    }

    /// The application lets it ring.
    pub(super) fn on_ring(&mut self, key: CallKey, offer: Option<Capabilities>, turn: &mut Turn<'_>) {
        if self.ringing(key, turn).is_none() {
            return;
        }
        let Some(ringing) = self.ringing_mut(key) else { return };
        // The first reliable response to an INVITE without an offer has to make one (RFC 3262 section 5). Where none is at
        // hand ringing goes unreliably, or waits for a 183 where the caller takes nothing unreliable.
        let offer_due = ringing.offer_due();
        let required = ringing.request.lists_token(Name::Require, "100rel");
        if let (Some(offer), true) = (offer, ringing.must_offer()) {
            ringing.waiting.retain(|waiting| !matches!(waiting, Waiting::Ring));
            let session = &mut ringing.leg.session;
            session.set_capabilities(offer.clone());
            let body = session.offer(offer);
            return self.send_provisional(key, 180, Some(body), true, turn);
        }
        match (ringing.reliability, &ringing.unacknowledged) {
            (Reliability::Required, None) if offer_due && !required => {
                self.send_provisional(key, 180, None, false, turn)
            }
            (Reliability::Required, waits_for_prack) if offer_due || waits_for_prack.is_some() => {
                if !ringing.waiting.iter().any(|waiting| matches!(waiting, Waiting::Ring)) {
                    ringing.waiting.push_back(Waiting::Ring);
                }
            }
            (Reliability::Required, _) => self.send_provisional(key, 180, None, true, turn),
            (Reliability::Off | Reliability::Possible, _) => {
                self.send_provisional(key, 180, None, false, turn)
            }
        }
    }

    /// The application has early media: 183 with the answer to the caller's offer, or with our offer when it made none.
    pub(super) fn on_progress(&mut self, key: CallKey, answer: Capabilities, turn: &mut Turn<'_>) {
        if self.ringing(key, turn).is_none() {
            return;
        }
        let Some(ringing) = self.ringing_mut(key) else { return };
        let begun = ringing.leg.session.negotiated().is_some()
            || ringing.leg.session.is_offering()
            || ringing.accepting.is_some()
            || ringing.waiting.iter().any(|waiting| matches!(waiting, Waiting::Progress(_)));
        if begun {
            let why = CommandRefusal::WrongState;
            return turn.emit(Event::CommandRefused { call: Some(key), why });
        }
        let reliable = ringing.reliability != Reliability::Off;
        if reliable && ringing.unacknowledged.is_some() {
            return ringing.waiting.push_back(Waiting::Progress(answer));
        }
        let number = ringing.server;
        let session = &mut ringing.leg.session;
        session.set_capabilities(answer.clone());
        let (body, negotiated) = match (&ringing.offer, reliable) {
            (Some(offer), _) => match session.answer_to(offer) {
                Ok((body, negotiated)) => (Some(body), Some(negotiated)),
                Err(failure) => return self.refuse_offer(key, number, failure, turn),
            },
            (None, true) => (Some(session.offer(answer)), None),
            // An offer cannot be in a response that may be lost (RFC 3261 section 13.2.1).
            (None, false) => (None, None),
        };
        if !reliable {
            ringing.previewed.clone_from(&body);
        }
        self.send_provisional(key, 183, body, reliable, turn);
        if let Some(negotiated) = negotiated {
            turn.emit(Event::EarlyMedia { call: key, negotiated });
        }
    }

    fn send_provisional(
        &mut self,
        key: CallKey,
        status: u16,
        body: Option<Vec<u8>>,
        reliable: bool,
        turn: &mut Turn<'_>,
    ) {
        let Some(flow) = self.calls.get(&key).map(|call| call.flow) else { return };
        let contact = self.contact_value(flow, false).unwrap_or_default();
        let (timers, supported) = (self.config.timers, self.supported());
        let Some(ringing) = self.ringing_mut(key) else { return };
        let (number, request) = (ringing.server, ringing.request.clone());
        if reliable {
            ringing.rseq += 1;
        }
        let rseq = ringing.rseq;
        let response = self.respond(number, status, turn, |builder| {
            let builder =
                builder.record_route(&request).header(Name::Contact, contact).header(Name::Allow, ALLOW);
            let builder = match reliable {
                true => builder
                    .header(Name::Supported, supported)
                    .header(Name::Require, "100rel")
                    .header(Name::RSeq, rseq.to_string()),
                false => builder,
            };
            match body {
                Some(body) => builder.body(SDP, body),
                None => builder,
            }
        });
        if let (true, Some(response), Ok(cseq), Some(ringing)) =
            (reliable, response, request.cseq(), self.ringing_mut(key))
        {
            ringing.unacknowledged = Some(Provisional::new(response, rseq, cseq.number, timers, turn.now));
            self.dirty.push(Sleeper::Call(key));
        }
    }

    /// A PRACK (RFC 3262 section 3): 200 when it acknowledges what waits for it, else 481.
    pub(super) fn on_prack(&mut self, number: u64, prack: &Message, turn: &mut Turn<'_>) {
        if prack.header(Name::RAck).is_none() {
            self.respond(number, 400, turn, |builder| builder);
            return;
        }
        let Some((key, id)) = self.dialog_of(prack) else {
            self.respond(number, 481, turn, |builder| builder);
            return;
        };
        if !self.admit_to(key, &id, prack) {
            self.respond(number, 500, turn, |builder| builder.header(Name::RetryAfter, "1"));
            return;
        }
        let waits = match self.calls.get_mut(&key).map(|call| &mut call.state) {
            Some(State::Ringing(ringing)) => &mut ringing.unacknowledged,
            Some(State::Active(active)) => &mut active.unacknowledged,
            Some(State::Calling(_)) | None => &mut None,
        };
        let Some(acknowledged) = waits.take_if(|provisional| provisional.is_acknowledged_by(prack)) else {
            self.respond(number, 481, turn, |builder| builder);
            return;
        };
        self.dirty.push(Sleeper::Call(key));
        let crossed = is_sdp(prack).then(|| self.crossing(key, &id, false, true)).flatten();
        let Some(leg) = self.leg(key, &id) else { return };
        // An offer in a 2xx is answered in its ACK, whatever is acknowledged meanwhile.
        let answers = acknowledged.is_described() && leg.session.is_offering() && leg.offering.is_none();
        match crossed {
            _ if answers => {}
            // The response is acknowledged all the same: only the offer is refused.
            Some(status) => {
                let after = (status == 500).then_some("1");
                self.respond(number, status, turn, |builder| builder.header_opt(Name::RetryAfter, after));
                return self.advance_ringing(key, turn);
            }
            // An offer in a PRACK is answered in its 200.
            None => return self.take_offer(key, &id, number, prack, turn),
        }
        // Our provisional response made the offer, this is the answer (RFC 3262 section 5).
        let outcome = match is_sdp(prack) {
            true => leg.session.accept(prack.body()).map_err(CallFailure::Negotiation),
            false => {
                leg.session.withdraw();
                Err(CallFailure::NoAnswerDescription)
            }
        };
        match outcome {
            Ok(negotiated) => {
                self.respond(number, 200, turn, |builder| builder);
                turn.emit(Event::EarlyMedia { call: key, negotiated });
                self.advance_ringing(key, turn);
            }
            Err(failure) => {
                self.respond(number, 488, turn, |builder| warned(builder, 304, &failure.to_string()));
                if let Some(invite) = self.ringing_mut(key).map(|ringing| ringing.server) {
                    self.respond(invite, 488, turn, |builder| warned(builder, 304, &failure.to_string()));
                }
                self.fail_ringing(key, failure, turn);
            }
        }
    }

    /// What waited for a PRACK or for an answer goes on.
    pub(super) fn advance_ringing(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some(ringing) = self.ringing_mut(key) else { return };
        if ringing.unacknowledged.is_some() || ringing.leg.asked.is_some() {
            return;
        }
        if let Some(answer) = ringing.accepting.take() {
            return self.on_accept(key, answer, turn);
        }
        match ringing.waiting.pop_front() {
            Some(Waiting::Ring) => self.on_ring(key, None, turn),
            Some(Waiting::Progress(answer)) => self.on_progress(key, answer, turn),
            None => {}
        }
    }

    /// A reliable provisional response is due again, or was never acknowledged.
    pub(super) fn on_provisional_deadline(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let now = turn.now;
        let Some(ringing) = self.ringing_mut(key) else { return };
        let number = ringing.server;
        match ringing.unacknowledged.as_mut().map_or(Due::Nothing, |waits| waits.on_deadline(now)) {
            Due::Nothing => {}
            Due::Repeat(response) => self.turn_server(number, ServerInput::Respond(response), turn),
            // RFC 3262 section 3: the INVITE should be refused with a 5xx.
            Due::GiveUp => {
                self.respond(number, 504, turn, |builder| builder);
                self.fail_ringing(key, CallFailure::TimedOut { timer: "PRACK" }, turn);
            }
        }
    }

    pub(super) fn ringing_mut(&mut self, key: CallKey) -> Option<&mut Ringing> {
        match self.calls.get_mut(&key) {
            Some(Call { state: State::Ringing(ringing), .. }) => Some(ringing),
            Some(Call { state: State::Calling(_) | State::Active(_), .. }) | None => None,
        }
    }
}
