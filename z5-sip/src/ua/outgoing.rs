//! An outgoing call until its final answer (RFC 3261 sections 9.1 and 13.2).

use super::call::{Active, Call, Calling, Cancel, Ending, State};
use super::compose::SDP;
use super::failure::{CallFailure, CommandRefusal};
use super::options::CallOptions;
use super::schedule::Sleeper;
use super::transactions::Owner;
use super::types::{CallKey, Event, Side};
use super::{Turn, UserAgent};
use crate::dialog::{Dialog, DialogId, Session, SessionTimer};
use crate::flow::FlowId;
use crate::request::Outline;
use crate::sdp::Capabilities;
use crate::wire::{Message, Method, Name, RequestBuilder, Uri};

impl UserAgent {
    pub(super) fn on_invite_command(
        &mut self,
        key: CallKey,
        target: &Uri,
        offer: Capabilities,
        options: &CallOptions,
        turn: &mut Turn<'_>,
    ) {
        if key.is_incoming() || self.calls.contains_key(&key) {
            return turn.emit(Event::CommandRefused { call: Some(key), why: CommandRefusal::KeyTaken });
        }
        let Some(flow) = self.current else {
            return turn.emit(Event::Failed { call: key, failure: CallFailure::NoFlow });
        };
        let mut session = Session::new(self.ident.number(), offer.clone());
        let body = session.offer(offer);
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
        outline.body = Some((SDP.into(), body.into()));
        match self.start_client(outline, flow, Owner::Invite(key), turn) {
            Ok(client) => {
                let state = State::Calling(Calling { client, session, cancel: Cancel::No });
                self.calls.insert(key, Call { flow, state });
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

    pub(super) fn on_provisional(
        &mut self,
        key: CallKey,
        number: u64,
        response: &Message,
        turn: &mut Turn<'_>,
    ) {
        let Some(calling) = self.calling(key, number) else { return };
        if calling.cancel == Cancel::Wanted {
            return self.send_cancel(key, turn);
        }
        let status = response.status().unwrap_or_default();
        if status == 100 || calling.cancel != Cancel::No {
            return;
        }
        // The session goes on from the offer: a final answer, or another fork's, may differ.
        let early_media =
            is_sdp(response).then(|| calling.session.clone().accept(response.body()).ok()).flatten();
        let reason = response.reason().unwrap_or_default().into_owned();
        turn.emit(Event::Progress { call: key, status, reason, early_media });
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
        if let Some(outline) = self.with_longer_interval(number, response) {
            return self.repeat_invite(key, number, outline, turn);
        }
        let Some(calling) = self.calling(key, number) else { return };
        let failure = match calling.cancel {
            Cancel::No => CallFailure::from_response(response),
            Cancel::Wanted | Cancel::Sent(_) => CallFailure::Cancelled { by: Side::Local, reason: None },
        };
        self.fail_calling(key, number, failure, turn);
    }

    /// 422: the same INVITE with the session interval that the far end can bear (RFC 4028 section 7.3).
    fn with_longer_interval(&self, number: u64, response: &Message) -> Option<Outline> {
        if response.status() != Some(422) {
            return None;
        }
        let shortest: u32 = response.header_token(Name::MinSe)?.parse().ok()?;
        let mut outline = self.transactions.clients.get(&number)?.outline.clone();
        let asked = outline.headers.iter_mut().find(|(name, _)| *name == Name::SessionExpires)?;
        // Only longer and longer, so this comes to an end.
        if asked.1.parse().is_ok_and(|asked: u32| asked >= shortest) {
            return None;
        }
        asked.1 = shortest.to_string();
        outline.headers.retain(|(name, _)| *name != Name::MinSe);
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
        self.acknowledge(number, &dialog, &invite, flow, turn);
        match self.calling(key, number).map(|calling| calling.cancel) {
            Some(Cancel::No) => self.establish(key, number, dialog, flow, response, turn),
            Some(Cancel::Wanted | Cancel::Sent(_)) => {
                // The 200 overtook the CANCEL: what was taken back is ended (RFC 3261 section 9.1).
                self.end_stray(dialog, flow, turn);
                let failure = CallFailure::Cancelled { by: Side::Local, reason: None };
                self.fail_calling(key, number, failure, turn);
            }
            // A second fork took the call that stands already, or has ended.
            None => self.end_stray(dialog, flow, turn),
        }
    }

    /// Sends the ACK of a 2xx on the dialog's way, with the credentials of its INVITE, and keeps it for repetitions.
    pub(super) fn acknowledge(
        &mut self,
        number: u64,
        dialog: &Dialog,
        invite: &Message,
        flow: FlowId,
        turn: &mut Turn<'_>,
    ) {
        let Ok(cseq) = invite.cseq() else { return };
        let mut outline = self.signed(dialog.ack(cseq.number));
        for name in [Name::Authorization, Name::ProxyAuthorization] {
            for value in invite.headers(name) {
                outline = outline.with(name, String::from_utf8_lossy(value));
            }
        }
        let Ok(ack) = self.write(&outline, flow) else { return };
        self.send(flow, &ack, turn);
        if let Some(client) = self.transactions.clients.get_mut(&number) {
            client.acks.push((dialog.id().clone(), ack));
        }
    }

    fn establish(
        &mut self,
        key: CallKey,
        number: u64,
        mut dialog: Dialog,
        flow: FlowId,
        response: &Message,
        turn: &mut Turn<'_>,
    ) {
        let Some(calling) = self.calling(key, number) else { return };
        let mut session = calling.session.clone();
        let outcome = match is_sdp(response) {
            true => session.accept(response.body()).map_err(CallFailure::Negotiation),
            false => Err(CallFailure::NoAnswerDescription),
        };
        match outcome {
            Ok(negotiated) => {
                self.dialogs.insert(dialog.id().clone(), key);
                let state = State::Active(Active {
                    dialog,
                    session,
                    acceptance: None,
                    established: true,
                    reinvite: None,
                    retry: None,
                    timer: SessionTimer::from_response(response, turn.now),
                    updatable: response.lists_token(Name::Allow, "UPDATE"),
                    refreshing: false,
                    caller: true,
                    ending: Ending::No,
                });
                self.calls.insert(key, Call { flow, state });
                self.dirty.push(Sleeper::Call(key));
                turn.emit(Event::Established { call: key, negotiated });
            }
            Err(failure) => {
                let reason = "SIP;cause=488;text=\"Not Acceptable Here\"";
                let bye = dialog.next(Method::Bye).with(Name::Reason, reason);
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
        if self.transactions.clients.get(&number).is_some_and(super::transactions::Client::is_proceeding) {
            self.send_cancel(key, turn);
        }
    }

    fn send_cancel(&mut self, key: CallKey, turn: &mut Turn<'_>) {
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
        let Some(calling) = self.calling(key, number) else { return };
        let failure = match (calling.cancel, failure) {
            (Cancel::No, failure) => failure,
            // Whatever came of it, it was we who took it back.
            (Cancel::Wanted | Cancel::Sent(_), _) => CallFailure::Cancelled { by: Side::Local, reason: None },
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
