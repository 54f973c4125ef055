//! The far end's offers within a dialog: in an INVITE (RFC 3261 section 14.2), an UPDATE (RFC 3311 section 5.2) or a PRACK
//! (RFC 3262 section 5).
//!
//! What this end can do already is answered at once. An offer of a new medium or of new keys is told to the application
//! ([`Event::Offered`]), which answers within [`ANSWER_WITHIN`]; after that it is answered with what this end can do.

use std::time::Duration;

use super::call::{Call, Ending, State};
use super::compose::{ALLOW, SDP};
use super::failure::CommandRefusal;
use super::incoming::{timed, warned};
use super::leg::Asked;
use super::outgoing::is_sdp;
use super::schedule::Sleeper;
use super::types::{CallKey, Event};
use super::{Turn, UserAgent};
use crate::dialog::{Acceptance, DialogId, SHORTEST, TimerAnswer};
use crate::sdp::{Capabilities, SessionDescription};
use crate::wire::{Message, Method, Name};

/// How long the application may take over [`Event::Offered`]. An UPDATE and a PRACK want their answer promptly
/// (RFC 3311 section 5.2), so this is time to open a port or draw a key, not to ask a person.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);

impl UserAgent {
    /// An INVITE or UPDATE of the far end within a dialog. An UPDATE without an offer only refreshes.
    pub(super) fn on_reinvite(&mut self, number: u64, request: &Message, turn: &mut Turn<'_>) {
        let Some((key, id)) = self.dialog_of(request) else {
            self.respond(number, 481, turn, |builder| builder);
            return;
        };
        let retry_after = (self.ident.number() % 11).to_string();
        let invite = request.method() == Some(Method::Invite);
        let verdict = match self.admit_to(key, &id, request) {
            true => self.crossing(key, &id, invite, is_sdp(request)),
            false => Some(500),
        };
        match verdict {
            None => {}
            Some(500) => {
                self.respond(number, 500, turn, |builder| builder.header(Name::RetryAfter, retry_after));
                return;
            }
            Some(status) => {
                self.respond(number, status, turn, |builder| builder);
                return;
            }
        }
        if TimerAnswer::to_request(request).is_err() {
            self.respond(number, 422, turn, |builder| builder.header(Name::MinSe, SHORTEST.to_string()));
            return;
        }
        if let Some(leg) = self.leg(key, &id) {
            leg.dialog.refresh_target(request);
        }
        self.take_offer(key, &id, number, request, turn);
    }

    /// What an INVITE or UPDATE is refused with because of what is under way already.
    pub(super) fn crossing(&self, key: CallKey, id: &DialogId, invite: bool, offers: bool) -> Option<u16> {
        let call = self.calls.get(&key)?;
        let leg = call.legs().find(|leg| leg.dialog.id() == id)?;
        match &call.state {
            State::Active(active) if matches!(active.ending, Ending::Bye { .. }) => return Some(481),
            // An INVITE of the far end before ours is answered crosses it; before its own is answered it is too early.
            State::Calling(_) if invite => return Some(491),
            State::Ringing(_) if invite => return Some(500),
            State::Active(_) | State::Calling(_) | State::Ringing(_) => {}
        }
        // Its last request is not answered yet: 500 with Retry-After.
        if leg.asked.is_some() && (invite || offers || leg.asked_by_update()) {
            return Some(500);
        }
        // An UPDATE without an offer crosses nothing.
        if !invite && !offers {
            return None;
        }
        if leg.offering.is_some() || leg.session.is_offering() {
            return Some(491);
        }
        // The offer of its INVITE is not answered yet.
        (leg.session.negotiated().is_none()).then_some(500)
    }

    /// Answers an INVITE, UPDATE or PRACK within a dialog, or asks the application to.
    pub(super) fn take_offer(
        &mut self,
        key: CallKey,
        id: &DialogId,
        number: u64,
        request: &Message,
        turn: &mut Turn<'_>,
    ) {
        let Some(leg) = self.leg(key, id) else { return };
        if !is_sdp(request) || !leg.session.asks_more(request.body()) {
            return self.answer_offer(key, id, number, request, None, turn);
        }
        let Ok(offer) = SessionDescription::parse(request.body()) else { return };
        let by = turn.now + ANSWER_WITHIN;
        leg.asked = Some(Asked { server: number, request: request.clone(), by });
        if let Some(server) = self.transactions.servers.get_mut(&number) {
            server.call = Some(key);
        }
        if request.method() == Some(Method::Invite) {
            self.respond(number, 100, turn, |builder| builder);
        }
        self.dirty.push(Sleeper::Call(key));
        turn.emit(Event::Offered { call: key, offered: offer.summary() });
    }

    /// The application answers an offer.
    pub(super) fn on_answer_offer(&mut self, key: CallKey, answer: Capabilities, turn: &mut Turn<'_>) {
        let Some((id, asked)) = self.take_asked(key, turn) else { return };
        self.answer_offer(key, &id, asked.server, &asked.request, Some(answer), turn);
    }

    /// The application refuses an offer; what flowed before flows on.
    pub(super) fn on_refuse_offer(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some((_, asked)) = self.take_asked(key, turn) else { return };
        self.respond(asked.server, 488, turn, |builder| builder);
        self.advance_ringing(key, turn);
    }

    /// The application did not answer in time: what this end can do already has to do.
    pub(super) fn on_asked_deadline(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let due: Vec<_> = call
            .legs_mut()
            .filter_map(|leg| {
                let asked = leg.asked.take_if(|asked| asked.by <= turn.now)?;
                Some((leg.dialog.id().clone(), asked))
            })
            .collect();
        for (id, asked) in due {
            self.answer_offer(key, &id, asked.server, &asked.request, None, turn);
        }
    }

    fn take_asked(&mut self, key: CallKey, turn: &mut Turn<'_>) -> Option<(DialogId, Asked)> {
        let why = match self.calls.get_mut(&key) {
            None => CommandRefusal::UnknownCall,
            Some(call) => {
                let found = call
                    .legs_mut()
                    .find_map(|leg| leg.asked.take().map(|asked| (leg.dialog.id().clone(), asked)));
                self.dirty.push(Sleeper::Call(key));
                match found {
                    Some(found) => return Some(found),
                    None => CommandRefusal::WrongState,
                }
            }
        };
        turn.emit(Event::CommandRefused { call: Some(key), why });
        None
    }

    /// The far end took an INVITE back that waits for the application.
    pub(super) fn on_asked_cancelled(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let asked: Vec<Asked> = call.legs_mut().filter_map(|leg| leg.asked.take()).collect();
        for asked in asked {
            self.respond(asked.server, 487, turn, |builder| builder);
        }
        self.dirty.push(Sleeper::Call(key));
    }

    /// Answers an INVITE, UPDATE or PRACK with what this end can do: `capabilities` from now on, when they are given.
    fn answer_offer(
        &mut self,
        key: CallKey,
        id: &DialogId,
        number: u64,
        request: &Message,
        capabilities: Option<Capabilities>,
        turn: &mut Turn<'_>,
    ) {
        let method = request.method();
        let invite = method == Some(Method::Invite);
        let contact = self.calls.get(&key).and_then(|call| self.call_contact(call)).unwrap_or_default();
        let timer = TimerAnswer::to_request(request).ok().flatten();
        let (now, supported) = (turn.now, self.supported());
        let Some(leg) = self.leg(key, id) else { return };
        let before = leg.session.negotiated().map(|negotiated| negotiated.media.clone());
        let could = leg.session.capabilities().clone();
        let outcome = match (is_sdp(request), invite) {
            (true, _) => {
                if let Some(capabilities) = capabilities {
                    leg.session.set_capabilities(capabilities);
                }
                leg.session.answer(request.body()).map(|(body, negotiated)| {
                    (Some(body), Some(negotiated).filter(|new| before.as_ref() != Some(&new.media)))
                })
            }
            (false, true) => {
                let flowing = leg.session.flowing();
                Ok((Some(leg.session.offer(flowing)), None))
            }
            (false, false) => Ok((None, None)),
        };
        match outcome {
            Ok((body, negotiated)) => {
                // A request that says nothing of a timer takes it away (RFC 4028 section 7.4).
                if let Some(active) = self.active(key).filter(|_| method != Some(Method::Prack)) {
                    active.timer = timer.as_ref().map(|timer| timer.timer(now));
                    active.keep_min_se(request);
                }
                let response = self.respond(number, 200, turn, |builder| {
                    let builder = builder.record_route(request).header(Name::Contact, contact);
                    let builder = timed(
                        builder.header(Name::Allow, ALLOW).header(Name::Supported, supported),
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
                    turn.emit(Event::Renegotiated { call: key, negotiated, by_us: false });
                }
            }
            Err(failure) => {
                leg.session.set_capabilities(could);
                self.respond(number, 488, turn, |builder| warned(builder, 304, &failure.to_string()));
            }
        }
        self.advance_ringing(key, turn);
    }

    /// The value of our Contact within a call.
    pub(super) fn call_contact(&self, call: &Call) -> Option<String> {
        let hidden = call.legs().next().is_some_and(|leg| leg.dialog.is_private());
        self.contact_value(self.flow_of(call)?, hidden)
    }

    fn await_ack(&mut self, key: CallKey, response: Option<&Message>, request: &Message, turn: &Turn<'_>) {
        let timers = self.config.timers;
        if let (Some(active), Some(response), Ok(cseq)) = (self.active(key), response, request.cseq()) {
            active.acceptance = Some(Acceptance::new(response.clone(), cseq.number, timers, turn.now));
        }
        self.dirty.push(Sleeper::Call(key));
    }
}
