//! Our own offers within a dialog: by INVITE in a call that stands (RFC 3261 section 14.1), by UPDATE in an early dialog
//! (RFC 3311 section 5.1); and refreshes, which say where we are and that we are still there.

use std::time::Duration;

use super::call::{Ending, State};
use super::compose::SDP;
use super::failure::{CallFailure, CommandRefusal};
use super::outgoing::is_sdp;
use super::schedule::Sleeper;
use super::transactions::Owner;
use super::types::{CallKey, Event, Side};
use super::{Turn, UserAgent};
use crate::dialog::{DialogId, SessionTimer};
use crate::flow::FlowId;
use crate::request::Outline;
use crate::sdp::Capabilities;
use crate::wire::{Message, Method, Name};

/// How often in a row one offer of ours is put off before it is given up.
const PUT_OFF_AT_MOST: u32 = 8;

/// The longest a far end may make an offer wait with Retry-After (RFC 3311 section 5.2: 0 to 10 s).
const LONGEST_RETRY_AFTER: u32 = 10;

/// How soon we look again whether an offer that was put off may go out, when another one is under way.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl UserAgent {
    /// Changes what flows in a call, as hold and resume do.
    pub(super) fn on_renegotiate(&mut self, key: CallKey, offer: Capabilities, turn: &mut Turn<'_>) {
        let why = match self.calls.get(&key).map(|call| &call.state) {
            None => CommandRefusal::UnknownCall,
            Some(State::Active(active)) if active.may_offer() => {
                return self.send_reinvite(key, offer, false, turn);
            }
            Some(state @ (State::Calling(_) | State::Ringing(_))) => match state.updatable() {
                Some(id) => return self.send_update(key, &id, Some(offer), turn),
                None if self.hold_offer(key, &offer) => return,
                None => CommandRefusal::WrongState,
            },
            Some(State::Active(active)) if active.stands() => {
                self.wants_offer.insert(key);
                CommandRefusal::OfferOpen
            }
            Some(State::Active(_)) => CommandRefusal::WrongState,
        };
        turn.emit(Event::CommandRefused { call: Some(key), why });
    }

    /// After every turn: who was told that another offer is open hears when none is any more.
    pub(super) fn tell_who_may_offer(&mut self, turn: &mut Turn<'_>) {
        let calls = &self.calls;
        self.wants_offer.retain(|key| match calls.get(key).map(|call| &call.state) {
            Some(State::Active(active)) if active.may_offer() => {
                turn.emit(Event::MayOffer { call: *key });
                false
            }
            Some(State::Active(active)) => active.stands(),
            Some(State::Calling(_) | State::Ringing(_)) | None => false,
        });
    }

    /// Keeps an offer for the next PRACK of an early dialog whose far end takes no UPDATE. False where there is none.
    fn hold_offer(&mut self, key: CallKey, offer: &Capabilities) -> bool {
        let Some(State::Calling(calling)) = self.calls.get_mut(&key).map(|call| &mut call.state) else {
            return false;
        };
        let Some(fork) = calling.forks.iter_mut().find(|fork| fork.leg.may_hold()) else { return false };
        fork.leg.held = Some(offer.clone());
        true
    }

    /// Sends an INVITE within the call; one that only refreshes it is not told to the application.
    pub(super) fn send_reinvite(
        &mut self,
        key: CallKey,
        offer: Capabilities,
        refreshing: bool,
        turn: &mut Turn<'_>,
    ) {
        let Some(flow) = self.calls.get(&key).and_then(|call| self.flow_of(call)) else {
            if refreshing {
                return self.put_off_refresh(key, None, turn);
            }
            return turn.emit(Event::RenegotiationFailed { call: key, failure: CallFailure::NoFlow });
        };
        let Some(active) = self.active(key) else { return };
        active.leg.retry = None;
        active.leg.refreshing = refreshing;
        let body = active.leg.session.offer(offer);
        let outline = active.leg.dialog.next(Method::Invite);
        let outline = self.with_abilities(outline, flow);
        let mut outline = self.with_timer(key, outline);
        outline.body = Some((SDP.into(), body.into()));
        let started = self.start_client(outline, flow, Owner::Reinvite(key), turn);
        let Some(active) = self.active(key) else { return };
        match started {
            Ok(number) => active.leg.offering = Some(number),
            Err(error) => {
                active.leg.session.withdraw();
                match refreshing {
                    true => self.put_off_refresh(key, None, turn),
                    false => turn.emit(Event::RenegotiationFailed { call: key, failure: error.into() }),
                }
            }
        }
        self.dirty.push(Sleeper::Call(key));
    }

    /// A request within the call with what it says of the session timer.
    fn with_timer(&mut self, key: CallKey, outline: Outline) -> Outline {
        let Some((timer, min_se)) = self.active(key).and_then(|active| Some((active.timer?, active.min_se)))
        else {
            return outline;
        };
        let outline = outline.with(Name::SessionExpires, timer.value(min_se));
        match min_se {
            0 => outline,
            _ => outline.with(Name::MinSe, min_se.to_string()),
        }
    }

    /// Sends an UPDATE, with an offer or without one.
    fn send_update(&mut self, key: CallKey, id: &DialogId, offer: Option<Capabilities>, turn: &mut Turn<'_>) {
        let offering = offer.is_some();
        let Some(flow) = self.calls.get(&key).and_then(|call| self.flow_of(call)) else {
            return match offering {
                true => turn.emit(Event::RenegotiationFailed { call: key, failure: CallFailure::NoFlow }),
                false => self.put_off_refresh(key, None, turn),
            };
        };
        let Some(leg) = self.leg(key, id) else { return };
        leg.retry = None;
        leg.refreshing = !offering;
        let body = offer.map(|offer| leg.session.offer(offer));
        let mut outline = leg.dialog.next(Method::Update);
        outline.body = body.map(|body| (SDP.into(), body.into()));
        let outline = self.with_abilities(outline, flow);
        let outline = self.with_timer(key, outline);
        let started = self.start_client(outline, flow, Owner::Update(key), turn);
        match (started, self.leg(key, id).filter(|_| offering)) {
            (Ok(number), Some(leg)) => leg.offering = Some(number),
            (Err(error), Some(leg)) => {
                leg.session.withdraw();
                turn.emit(Event::RenegotiationFailed { call: key, failure: error.into() });
            }
            (Ok(_), None) => {}
            (Err(_), None) => self.put_off_refresh(key, None, turn),
        }
        self.dirty.push(Sleeper::Call(key));
    }

    /// A request of ours that carried an offer went out again, with credentials.
    pub(super) fn follow_offer(&mut self, key: CallKey, before: u64, now: u64) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        for leg in call.legs_mut().filter(|leg| leg.offering == Some(before)) {
            leg.offering = Some(now);
        }
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
        let Some(active) = self.active(key).filter(|active| active.leg.offering == Some(number)) else {
            return;
        };
        active.leg.offering = None;
        // The far end has forgotten the call (RFC 3261 section 12.2.1.2).
        if matches!(status, 408 | 481) {
            return self.end_lost(key, turn);
        }
        let id = active.leg.dialog.id().clone();
        self.on_offer_refused(key, &id, response, turn);
    }

    /// An INVITE or UPDATE with an offer was refused: it is put off when both ends offered at once, else given up; the
    /// session stays as it was.
    fn on_offer_refused(&mut self, key: CallKey, id: &DialogId, response: &Message, turn: &mut Turn<'_>) {
        let wait = self.wait_after(key, response);
        let Some(leg) = self.leg(key, id) else { return };
        let offer = leg.session.withdraw();
        match (wait, offer) {
            (Some(wait), Some(offer)) if leg.put_off < PUT_OFF_AT_MOST => {
                leg.put_off += 1;
                leg.retry = Some((turn.now + wait, offer));
                self.dirty.push(Sleeper::Call(key));
            }
            (_, _) => {
                leg.put_off = 0;
                if leg.refreshing {
                    return self.put_off_refresh(key, asked_wait(response), turn);
                }
                let failure = CallFailure::from_response(response);
                turn.emit(Event::RenegotiationFailed { call: key, failure });
            }
        }
    }

    /// An UPDATE that only refreshes was refused.
    fn on_refresh_refused(&mut self, key: CallKey, id: &DialogId, response: &Message, turn: &mut Turn<'_>) {
        let wait = self.wait_after(key, response);
        let Some(leg) = self.leg(key, id) else { return };
        let wait = wait.filter(|_| leg.put_off < PUT_OFF_AT_MOST);
        leg.put_off = if wait.is_some() { leg.put_off + 1 } else { 0 };
        self.put_off_refresh(key, wait.or_else(|| asked_wait(response)), turn);
    }

    /// A refresh did not get through: another one within the interval, after this time or one of the timer's choice.
    fn put_off_refresh(&mut self, key: CallKey, wait: Option<Duration>, turn: &mut Turn<'_>) {
        if let Some(timer) = self.active(key).and_then(|active| active.timer.as_mut()) {
            timer.put_off(wait, turn.now);
            self.dirty.push(Sleeper::Call(key));
        }
    }

    /// How long a request waits that was refused for a while; `None` when it was refused for good.
    fn wait_after(&mut self, key: CallKey, response: &Message) -> Option<Duration> {
        let caller = self.calls.get(&key).is_some_and(|call| call.is_caller());
        let step = self.ident.number() % 200;
        let after = response.retry_after().ok().flatten().filter(|&seconds| seconds <= LONGEST_RETRY_AFTER);
        match (response.status().unwrap_or_default(), after) {
            // Each end waits a time of its own, the one that owns the Call-ID the longer one (RFC 3261 section 14.1).
            (491, _) if caller => Some(Duration::from_millis(2100 + step % 190 * 10)),
            (491, _) => Some(Duration::from_millis(step * 10)),
            (500, Some(seconds)) => Some(Duration::from_secs(u64::from(seconds))),
            // With the interval that the far end can bear (RFC 4028 section 7.3), if it is longer than what we asked for.
            (422, _) => {
                let active = self.active(key)?;
                let asked = active.timer?.seconds().max(u64::from(active.min_se));
                active.keep_min_se(response);
                (u64::from(active.min_se) > asked).then_some(Duration::ZERO)
            }
            (_, _) => None,
        }
    }

    fn on_reinvite_accepted(&mut self, key: CallKey, number: u64, response: &Message, turn: &mut Turn<'_>) {
        let Some(client) = self.transactions.clients.get(&number) else { return };
        let (flow, invite) = (client.flow, client.request().clone());
        if let Some((_, ack)) = client.acks.first() {
            let ack = ack.clone();
            return self.send(flow, &ack, turn);
        }
        let Some(active) = self.active(key).filter(|active| active.leg.offering == Some(number)) else {
            return self.acknowledge_late(number, response, turn);
        };
        active.timer = SessionTimer::from_response(response, turn.now);
        let wants_end = active.ending == Ending::AfterAck;
        let leg = &mut active.leg;
        leg.offering = None;
        leg.put_off = 0;
        leg.dialog.refresh_target(response);
        let before = leg.session.negotiated().map(|negotiated| negotiated.media.clone());
        let quiet = leg.refreshing;
        let outcome = match is_sdp(response) {
            true => leg.session.accept(response.body()).map_err(CallFailure::Negotiation),
            false => {
                leg.session.withdraw();
                Err(CallFailure::NoAnswerDescription)
            }
        };
        let dialog = leg.dialog.clone();
        self.acknowledge(number, &dialog, &invite, flow, None, turn);
        self.dirty.push(Sleeper::Call(key));
        match outcome {
            Ok(negotiated) if quiet && before.as_ref() == Some(&negotiated.media) => {}
            Ok(negotiated) => turn.emit(Event::Renegotiated { call: key, negotiated, by_us: !quiet }),
            Err(failure) => turn.emit(Event::RenegotiationFailed { call: key, failure }),
        }
        if wants_end {
            self.send_bye(key, Side::Local, None, turn);
        }
    }

    /// A request of ours with an offer came to nothing; the session stays as it was (RFC 3261 section 14.1).
    pub(super) fn on_offer_failed(
        &mut self,
        key: CallKey,
        number: u64,
        failure: CallFailure,
        turn: &mut Turn<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let Some(leg) = call.legs_mut().find(|leg| leg.offering == Some(number)) else {
            // An UPDATE that only refreshes.
            return self.put_off_refresh(key, None, turn);
        };
        leg.offering = None;
        leg.put_off = 0;
        leg.session.withdraw();
        match leg.refreshing {
            true => self.put_off_refresh(key, None, turn),
            false => turn.emit(Event::RenegotiationFailed { call: key, failure }),
        }
    }

    /// The re-INVITE was never answered: the far end is not there any more.
    pub(super) fn on_reinvite_lost(&mut self, key: CallKey, number: u64, turn: &mut Turn<'_>) {
        if self.active(key).is_some_and(|active| active.leg.offering == Some(number)) {
            self.end_lost(key, turn);
        }
    }

    /// Our UPDATE is answered.
    pub(super) fn on_update_final(
        &mut self,
        key: CallKey,
        number: u64,
        response: &Message,
        turn: &mut Turn<'_>,
    ) {
        let Some(id) = DialogId::of_response(response) else { return };
        let status = response.status().unwrap_or_default();
        let stands = self.active(key).is_some();
        let Some(leg) = self.leg(key, &id) else { return };
        let offered = leg.offering == Some(number);
        if offered {
            leg.offering = None;
        }
        match status {
            200..300 => {
                leg.dialog.refresh_target(response);
                leg.put_off = 0;
                if offered {
                    let outcome = match is_sdp(response) {
                        true => leg.session.accept(response.body()).map_err(CallFailure::Negotiation),
                        false => {
                            leg.session.withdraw();
                            Err(CallFailure::NoAnswerDescription)
                        }
                    };
                    turn.emit(match outcome {
                        Ok(negotiated) => Event::Renegotiated { call: key, negotiated, by_us: true },
                        Err(failure) => Event::RenegotiationFailed { call: key, failure },
                    });
                } else if let Some(active) = self.active(key) {
                    active.timer = SessionTimer::from_response(response, turn.now);
                }
            }
            408 | 481 if stands => self.end_lost(key, turn),
            // It does not take UPDATE after all: an INVITE will do.
            405 | 501 => {
                leg.updatable = false;
                let offer = if offered { leg.session.withdraw() } else { None };
                match (stands, offer) {
                    (true, Some(offer)) => self.send_reinvite(key, offer, false, turn),
                    (true, None) => self.refresh(key, turn),
                    (false, Some(_)) => {
                        let failure = CallFailure::from_response(response);
                        turn.emit(Event::RenegotiationFailed { call: key, failure });
                    }
                    (false, None) => {}
                }
            }
            _ if offered => self.on_offer_refused(key, &id, response, turn),
            _ => self.on_refresh_refused(key, &id, response, turn),
        }
        self.dirty.push(Sleeper::Call(key));
    }

    /// Offers that were put off and whose time has come.
    pub(super) fn on_retry_deadline(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let due: Vec<_> = call
            .legs_mut()
            .filter_map(|leg| {
                let (_, offer) = leg.retry.take_if(|(at, _)| *at <= turn.now)?;
                Some((leg.dialog.id().clone(), leg.refreshing, offer))
            })
            .collect();
        for (id, refreshing, offer) in due {
            match self.calls.get(&key).map(|call| &call.state) {
                Some(State::Active(active)) if active.may_offer() => {
                    self.send_reinvite(key, offer, refreshing, turn);
                }
                Some(State::Active(active)) if active.ending != Ending::No && refreshing => {}
                Some(State::Active(active)) if active.ending != Ending::No => {
                    let failure = CallFailure::Cancelled { by: Side::Local, reason: None };
                    turn.emit(Event::RenegotiationFailed { call: key, failure });
                }
                Some(state) if state.takes_update(&id) => self.send_update(key, &id, Some(offer), turn),
                // An offer of the far end waits for its answer, or one of ours in a 2xx or a PRACK.
                Some(_) => {
                    if let Some(leg) = self.leg(key, &id) {
                        leg.retry = Some((turn.now + LOOK_AGAIN, offer));
                        self.dirty.push(Sleeper::Call(key));
                    }
                }
                None => {}
            }
        }
    }

    /// Keeps the call from running out (RFC 4028 section 7.4).
    pub(super) fn refresh_session(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some(timer) = self.active(key).and_then(|active| active.timer.as_mut()) else { return };
        timer.on_refreshing(turn.now);
        self.refresh(key, turn);
    }

    /// Tells the far end where we are now: by an UPDATE where it takes one, else by an INVITE that offers the same again.
    fn refresh(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some(active) = self.active(key) else { return };
        if active.leg.updatable {
            let id = active.leg.dialog.id().clone();
            self.send_update(key, &id, None, turn);
        } else if active.may_offer() {
            let capabilities = active.leg.session.flowing();
            self.send_reinvite(key, capabilities, true, turn);
        } else {
            // Another offer is under way.
            self.put_off_refresh(key, None, turn);
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
                for leg in call.legs_mut() {
                    if let (true, Some((at, _))) = (std::mem::take(&mut leg.adrift), &mut leg.retry) {
                        *at = turn.now;
                    }
                }
            }
            self.dirty.push(Sleeper::Call(key));
            if self.active(key).is_some_and(|active| active.ending == Ending::No) {
                self.refresh(key, turn);
            }
        }
        self.pick_up(to, turn);
    }
}

/// What a refusal asks us to wait (RFC 3261 section 20.33).
fn asked_wait(response: &Message) -> Option<Duration> {
    let seconds = response.retry_after().ok().flatten()?;
    Some(Duration::from_secs(u64::from(seconds)))
}
