//! An outgoing call until its final answer (RFC 3261 sections 9.1 and 13.2).

use std::sync::Arc;

use super::call::{Active, Call, Calling, Cancel, Fork, State};
use super::compose::SDP;
use super::config::ReliableProvisionals;
use super::failure::{CallFailure, CommandRefusal};
use super::leg::Leg;
use super::options::CallOptions;
use super::schedule::Sleeper;
use super::transactions::Owner;
use super::types::{CallKey, Event, Side};
use super::{Turn, UserAgent};
use crate::dialog::{Dialog, DialogId, Session, SessionTimer};
use crate::flow::FlowId;
use crate::request::Outline;
use crate::sdp::Capabilities;
use crate::transaction::ClientInput;
use crate::wire::{Message, Method, Name, RequestBuilder, Uri};

/// How often a call raises its session interval: each proxy on the way may have a bound of its own, but one that always
/// wants more would be asked for ever.
const RAISED_AT_MOST: u32 = 3;

/// The longest session interval that a 422 can make us ask for, in seconds: a day. RFC 4028 sets no bound; beyond this the
/// timer finds no dead call any more.
const LONGEST_INTERVAL: u32 = 86_400;

impl UserAgent {
    pub(super) fn on_invite_command(
        &mut self,
        key: CallKey,
        target: &Uri,
        offer: Capabilities,
        options: &CallOptions,
        turn: &mut Turn<'_>,
    ) {
        if key.is_incoming() || self.calls.contains_key(&key) || self.transfers.contains_key(&key) {
            return turn.emit(Event::CommandRefused { call: Some(key), why: CommandRefusal::KeyTaken });
        }
        let Some(flow) = self.current else {
            return turn.emit(Event::Failed { call: key, failure: CallFailure::NoFlow });
        };
        let offer = Arc::new(offer);
        let mut session = Session::new(self.ident.number(), offer.clone());
        let body = (!options.late_offer).then(|| session.offer(offer));
        let tag = self.ident.tag();
        let outline = match self.outside_dialog(Method::Invite, target, &tag, options.privacy) {
            Ok(outline) => outline,
            Err(why) => {
                let failure = CallFailure::Unbuildable { why: why.to_string() };
                return turn.emit(Event::Failed { call: key, failure });
            }
        };
        let mut outline = self.with_abilities(outline, flow);
        if let Some(interval) = self.session_interval() {
            outline = outline.with(Name::SessionExpires, interval.to_string());
        }
        if self.config.reliable_provisionals == ReliableProvisionals::Required {
            outline = outline.with(Name::Require, "100rel");
        }
        if let Some(replaces) = &options.replaces {
            outline = outline.with(Name::Replaces, replaces.clone()).with(Name::Require, "replaces");
        }
        if let Some(referred_by) = &options.referred_by {
            outline = outline.with(Name::ReferredBy, referred_by.clone());
        }
        outline.body = body.map(|body| (SDP.into(), body.into()));
        let outline = match self.with_extras(outline, options) {
            Ok(outline) => outline,
            Err(why) => {
                let failure = CallFailure::Unbuildable { why: why.to_string() };
                return turn.emit(Event::Failed { call: key, failure });
            }
        };
        match self.start_client(outline, flow, Owner::Invite(key), turn) {
            Ok(client) => {
                let cancel = Cancel::No;
                let calling =
                    Calling { client, session, cancel, raised: 0, forks: Vec::new(), unusable: None };
                self.calls.insert(key, Call { flow, state: State::Calling(calling) });
            }
            Err(error) => turn.emit(Event::Failed { call: key, failure: error.into() }),
        }
    }

    /// The INVITE again with credentials, unless the call was taken back meanwhile.
    pub(super) fn repeat_invite(
        &mut self,
        key: CallKey,
        number: u64,
        mut outline: Outline,
        turn: &mut Turn<'_>,
    ) {
        let Some(calling) = self.calling(key, number) else { return };
        if calling.cancel != Cancel::No {
            let failure = CallFailure::Cancelled { by: Side::Local, reason: None };
            return self.fail_calling(key, number, failure, turn);
        }
        // A final answer ends every early dialog.
        self.drop_forks(key, number, None, turn);
        outline.cseq += 1;
        // The flow of the first attempt: the far end's proxy knows it.
        let Some(flow) = self.transactions.clients.get(&number).map(|client| client.flow) else { return };
        match self.start_client(outline, flow, Owner::Invite(key), turn) {
            Ok(next) => {
                if let Some(calling) = self.calling(key, number) {
                    calling.client = next;
                }
            }
            Err(error) => self.fail_calling(key, number, error.into(), turn),
        }
    }

    pub(super) fn on_invite_final(
        &mut self,
        key: CallKey,
        number: u64,
        response: &Message,
        turn: &mut Turn<'_>,
    ) {
        if (200..300).contains(&response.status().unwrap_or_default()) {
            return self.on_invite_accepted(key, number, response, turn);
        }
        if let Some(outline) = self.with_longer_interval(key, number, response) {
            return self.repeat_invite(key, number, outline, turn);
        }
        if self.follow(key, number, response, turn) {
            return;
        }
        let Some(calling) = self.calling(key, number) else { return };
        let failure = match calling.cancel {
            Cancel::No => CallFailure::from_response(response),
            Cancel::Wanted | Cancel::Sent(_) => CallFailure::Cancelled { by: Side::Local, reason: None },
        };
        self.fail_calling(key, number, failure, turn);
    }

    /// 422: the same INVITE with the session interval that the far end can bear (RFC 4028 section 7.3).
    fn with_longer_interval(&mut self, key: CallKey, number: u64, response: &Message) -> Option<Outline> {
        if response.status() != Some(422) {
            return None;
        }
        let shortest: u32 = response.header_token(Name::MinSe)?.parse().ok()?;
        if shortest > LONGEST_INTERVAL || self.calling(key, number)?.raised == RAISED_AT_MOST {
            return None;
        }
        let mut outline = self.transactions.clients.get(&number)?.outline.clone();
        let asked = outline.headers.iter_mut().find(|(name, _)| *name == Name::SessionExpires)?;
        if asked.1.parse().is_ok_and(|asked: u32| asked >= shortest) {
            return None;
        }
        asked.1 = shortest.to_string();
        outline.headers.retain(|(name, _)| *name != Name::MinSe);
        self.calling(key, number)?.raised += 1;
        Some(outline.with(Name::MinSe, shortest.to_string()))
    }

    /// Every 2xx: the first, its repetitions, and those of other forks.
    fn on_invite_accepted(&mut self, key: CallKey, number: u64, response: &Message, turn: &mut Turn<'_>) {
        let Some(client) = self.transactions.clients.get(&number) else { return };
        let flow = client.flow;
        let id = DialogId::of_response(response);
        if let Some((_, ack)) = client.acks.iter().find(|(known, _)| Some(known) == id.as_ref()) {
            let ack = ack.clone();
            return self.send(flow, &ack, turn);
        }
        let invite = client.request().clone();
        let Ok(dialog) = Dialog::from_response(&invite, response) else {
            turn.emit(Event::Unexpected { flow, what: "a 2xx that opens no dialog" });
            let failure = CallFailure::Unbuildable { why: "the 2xx opens no dialog".to_owned() };
            return self.fail_calling(key, number, failure, turn);
        };
        match self.calling(key, number).map(|calling| calling.cancel) {
            Some(Cancel::No) => {
                let fork = self.drop_forks(key, number, Some(dialog.id()), turn);
                self.establish(key, number, dialog, fork, response, turn);
            }
            Some(Cancel::Wanted | Cancel::Sent(_)) => {
                // The 200 overtook the CANCEL: what was taken back is ended (RFC 3261 section 9.1).
                self.acknowledge(number, &dialog, &invite, flow, None, turn);
                self.end_stray(dialog, flow, turn);
                let failure = CallFailure::Cancelled { by: Side::Local, reason: None };
                self.fail_calling(key, number, failure, turn);
            }
            // A second fork took the call that stands already, or has ended.
            None => {
                self.acknowledge(number, &dialog, &invite, flow, None, turn);
                self.end_stray(dialog, flow, turn);
            }
        }
    }

    /// Sends the ACK of a 2xx on the dialog's way, with the credentials of its INVITE and the answer to an offer that the
    /// 2xx made, and keeps it for repetitions.
    pub(super) fn acknowledge(
        &mut self,
        number: u64,
        dialog: &Dialog,
        invite: &Message,
        flow: FlowId,
        answer: Option<Vec<u8>>,
        turn: &mut Turn<'_>,
    ) {
        let Ok(cseq) = invite.cseq() else { return };
        let mut outline = dialog.ack(cseq.number);
        outline.body = answer.map(|answer| (SDP.into(), answer.into()));
        self.send_ack(number, dialog.id().clone(), outline, invite, flow, turn);
    }

    /// The same after the call is gone, dialog and all: the ACK goes the way of its INVITE, or the 2xx would be repeated for
    /// 32 s (RFC 3261 section 13.3.1.4).
    pub(super) fn acknowledge_late(&mut self, number: u64, response: &Message, turn: &mut Turn<'_>) {
        let Some(client) = self.transactions.clients.get(&number) else { return };
        let (flow, invite, mut outline) = (client.flow, client.request().clone(), client.outline.clone());
        let Some(id) = DialogId::of_response(response) else { return };
        outline.method = Method::Ack;
        outline.headers.retain(|(name, _)| *name == Name::Privacy);
        outline.body = None;
        self.send_ack(number, id, outline, &invite, flow, turn);
    }

    fn send_ack(
        &mut self,
        number: u64,
        id: DialogId,
        outline: Outline,
        invite: &Message,
        flow: FlowId,
        turn: &mut Turn<'_>,
    ) {
        let mut outline = self.signed(outline);
        for name in [Name::Authorization, Name::ProxyAuthorization] {
            for value in invite.headers(name) {
                outline = outline.with(name, String::from_utf8_lossy(value));
            }
        }
        let Ok(ack) = self.write(&outline, flow) else { return };
        self.send(flow, &ack, turn);
        if let Some(client) = self.transactions.clients.get_mut(&number) {
            client.acks.push((id, ack));
        }
    }

    /// The first 2xx: the call stands, in the early dialog of its fork where there was one.
    fn establish(
        &mut self,
        key: CallKey,
        number: u64,
        dialog: Dialog,
        fork: Option<Fork>,
        response: &Message,
        turn: &mut Turn<'_>,
    ) {
        let Some(client) = self.transactions.clients.get(&number) else { return };
        let (flow, invite) = (client.flow, client.request().clone());
        let Some(calling) = self.calling(key, number) else { return };
        let mut leg = match fork {
            Some(mut fork) => {
                fork.leg.dialog.confirm(dialog);
                fork.leg
            }
            None => Leg::new(dialog, calling.session.clone(), false),
        };
        leg.updatable |= response.lists_token(Name::Allow, "UPDATE");
        let mut answer = None;
        let outcome = match (leg.session.negotiated(), is_sdp(response)) {
            // A reliable provisional response has answered already: nothing in the 2xx can change that (RFC 6337
            // section 2.1).
            (Some(negotiated), _) => Ok(negotiated.clone()),
            (None, false) => Err(CallFailure::NoAnswerDescription),
            (None, true) if leg.session.is_offering() => {
                leg.session.accept(response.body()).map_err(CallFailure::Negotiation)
            }
            // Our INVITE had no offer: the 2xx has one, and its answer goes with the ACK.
            (None, true) => leg.session.answer(response.body()).map_err(CallFailure::Negotiation).map(
                |(body, negotiated)| {
                    answer = Some(body);
                    negotiated
                },
            ),
        };
        self.acknowledge(number, &leg.dialog, &invite, flow, answer, turn);
        match outcome {
            Ok(negotiated) => {
                self.dialogs.insert(leg.dialog.id().clone(), key);
                let held = leg.held.take();
                let mut active = Active::new(leg, true);
                active.timer = SessionTimer::from_response(response, turn.now);
                active.keep_min_se(&invite);
                // The stream that a large INVITE took is not the call's: it stands and falls with its datagrams.
                let flow = self.principal(flow);
                self.calls.insert(key, Call { flow, state: State::Active(active) });
                self.dirty.push(Sleeper::Call(key));
                self.tell_call_info(key, response, turn);
                turn.emit(Event::Established { call: key, negotiated });
                if let Some(offer) = held {
                    // No PRACK came to carry it.
                    self.send_reinvite(key, offer, false, turn);
                }
            }
            Err(failure) => {
                self.forget_leg(&leg, turn);
                let reason = "SIP;cause=488;text=\"Not Acceptable Here\"";
                let bye = leg.dialog.next(Method::Bye).with(Name::Reason, reason);
                let bye = self.signed(bye);
                let _ = self.start_client(bye, flow, Owner::Stray, turn);
                self.fail_calling(key, number, failure, turn);
            }
        }
    }

    /// Ends a dialog that no call wants.
    fn end_stray(&mut self, mut dialog: Dialog, flow: FlowId, turn: &mut Turn<'_>) {
        let bye = self.signed(dialog.next(Method::Bye));
        // Nobody waits for it: when it cannot go out there is nobody to tell.
        let _ = self.start_client(bye, flow, Owner::Stray, turn);
    }

    /// The application takes an outgoing call back.
    pub(super) fn cancel_calling(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some(Call { state: State::Calling(calling), .. }) = self.calls.get_mut(&key) else { return };
        if calling.cancel != Cancel::No {
            return;
        }
        calling.cancel = Cancel::Wanted;
        let number = calling.client;
        let Some(client) = self.transactions.clients.get(&number) else { return };
        if client.is_proceeding() {
            self.send_cancel(key, turn);
        } else if client.is_waiting() {
            // Nothing has gone out: nothing will.
            let failure = CallFailure::Cancelled { by: Side::Local, reason: None };
            self.fail_calling(key, number, failure, turn);
            self.turn_client(number, ClientInput::Abandon, turn);
        }
    }

    pub(super) fn send_cancel(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let until = turn.now + self.config.timers.long();
        let Some(Call { state: State::Calling(calling), .. }) = self.calls.get_mut(&key) else { return };
        calling.cancel = Cancel::Sent(until);
        let number = calling.client;
        self.dirty.push(Sleeper::Call(key));
        let Some(client) = self.transactions.clients.get(&number) else { return };
        let (flow, mut outline) = (client.flow, client.outline.clone());
        let agent = &self.config.user_agent;
        let cancel = RequestBuilder::cancel(client.request())
            .and_then(|cancel| cancel.header(Name::UserAgent, agent).build());
        let Ok(cancel) = cancel else { return };
        outline.method = Method::Cancel;
        outline.body = None;
        // It lives as long as its INVITE; how that ends is what counts.
        let _ = self.start_client_with(cancel, outline, flow, Owner::Cancel, turn);
    }

    /// The cancelled INVITE got no final response within 64 x T1: it is over (RFC 3261 section 9.1).
    pub(super) fn on_cancel_deadline(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some(Call { state: State::Calling(calling), .. }) = self.calls.get(&key) else { return };
        let number = calling.client;
        if matches!(calling.cancel, Cancel::Sent(until) if turn.now >= until) {
            let failure = CallFailure::Cancelled { by: Side::Local, reason: None };
            self.fail_calling(key, number, failure, turn);
            self.turn_client(number, ClientInput::Abandon, turn);
        }
    }

    /// Ends an outgoing call that never stood.
    pub(super) fn fail_calling(
        &mut self,
        key: CallKey,
        number: u64,
        failure: CallFailure,
        turn: &mut Turn<'_>,
    ) {
        self.drop_forks(key, number, None, turn);
        let Some(calling) = self.calling(key, number) else { return };
        let failure = match (calling.cancel, calling.unusable.take()) {
            (Cancel::No, _) => failure,
            (Cancel::Wanted | Cancel::Sent(_), Some(unusable)) => unusable,
            // Whatever came of it, it was we who took it back.
            (Cancel::Wanted | Cancel::Sent(_), None) => {
                CallFailure::Cancelled { by: Side::Local, reason: None }
            }
        };
        self.calls.remove(&key);
        self.dirty.push(Sleeper::Call(key));
        turn.emit(Event::Failed { call: key, failure });
    }

    /// The call while this transaction is the one of its INVITE.
    pub(super) fn calling(&mut self, key: CallKey, number: u64) -> Option<&mut Calling> {
        match self.calls.get_mut(&key).map(|call| &mut call.state) {
            Some(State::Calling(calling)) if calling.client == number => Some(calling),
            Some(State::Calling(_) | State::Ringing(_) | State::Active(_)) | None => None,
        }
    }
}

/// Whether a message carries a session description.
pub(super) fn is_sdp(message: &Message) -> bool {
    !message.body().is_empty()
        && message.content_type().is_some_and(|media_type| media_type.eq_ignore_ascii_case(SDP))
}
