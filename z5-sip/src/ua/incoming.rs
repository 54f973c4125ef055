//! An incoming call until someone takes it or turns it down (RFC 3261 section 13.3).

use super::call::{Active, Call, Ending, Ringing, State};
use super::compose::{ACCEPT, ALLOW, SDP, SUPPORTED};
use super::failure::{CallFailure, CommandRefusal};
use super::outgoing::is_sdp;
use super::schedule::Sleeper;
use super::types::{CallKey, Event, Reason, Side};
use super::{Turn, UserAgent};
use crate::dialog::{Acceptance, Dialog, SHORTEST, Session, TimerAnswer};
use crate::flow::FlowId;
use crate::sdp::{Capabilities, NegotiationFailure, OfferSummary, SessionDescription};
use crate::wire::{Message, Name, ResponseBuilder};

impl UserAgent {
    pub(super) fn on_incoming(&mut self, flow: FlowId, number: u64, request: Message, turn: &mut Turn<'_>) {
        let offered = match summary(&request) {
            Ok(offered) => offered,
            Err(Unreadable::MediaType) => {
                self.respond(number, 415, turn, |builder| builder.header(Name::Accept, ACCEPT));
                return;
            }
            Err(Unreadable::Description(why)) => {
                self.respond(number, 400, turn, |builder| warned(builder, 399, &why));
                return;
            }
        };
        if TimerAnswer::to_request(&request).is_err() {
            self.respond(number, 422, turn, |builder| builder.header(Name::MinSe, SHORTEST.to_string()));
            return;
        }
        let Some(server) = self.transactions.servers.get_mut(&number) else { return };
        let (Ok(from), Ok(to), Ok(dialog)) =
            (request.from(), request.to(), Dialog::from_request(&request, &server.tag))
        else {
            self.respond(number, 400, turn, |builder| builder);
            return;
        };
        self.incoming += 1;
        let key = CallKey(CallKey::INCOMING | self.incoming);
        server.call = Some(key);
        let display_name =
            from.display_name().map(std::borrow::Cow::into_owned).filter(|name| !name.is_empty());
        let event = Event::Incoming {
            call: key,
            from: from.uri.to_uri(),
            to: to.uri.to_uri(),
            display_name,
            offered,
        };
        // The caller's own patience may be the shorter one (RFC 3261 section 13.3.1).
        let expires =
            request.expires().ok().flatten().map(|seconds| std::time::Duration::from_secs(seconds.into()));
        let patience =
            expires.map_or(self.config.ring_timeout, |expires| expires.min(self.config.ring_timeout));
        self.respond(number, 100, turn, |builder| builder);
        self.dialogs.insert(dialog.id().clone(), key);
        let ringing = Ringing { server: number, request, dialog, until: turn.now + patience };
        self.calls.insert(key, Call { flow, state: State::Ringing(ringing) });
        self.dirty.push(Sleeper::Call(key));
        turn.emit(event);
    }

    pub(super) fn on_ring(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some((flow, ringing)) = self.ringing(key, turn) else { return };
        let (number, request) = (ringing.server, ringing.request.clone());
        let contact = self.contact_value(flow, false).unwrap_or_default();
        self.respond(number, 180, turn, |builder| {
            builder.record_route(&request).header(Name::Contact, contact).header(Name::Allow, ALLOW)
        });
    }

    pub(super) fn on_accept(&mut self, key: CallKey, capabilities: Capabilities, turn: &mut Turn<'_>) {
        let Some((flow, ringing)) = self.ringing(key, turn) else { return };
        let (number, request, dialog) = (ringing.server, ringing.request.clone(), ringing.dialog.clone());
        let mut session = Session::new(self.ident.number(), capabilities.clone());
        let (body, negotiated) = match is_sdp(&request) {
            true => match session.answer(request.body()) {
                Ok((body, negotiated)) => (body, Some(negotiated)),
                Err(failure) => return self.refuse_offer(key, number, failure, turn),
            },
            // No offer came, so ours is in the 2xx and the answer in the ACK (RFC 3261 section 13.2.1).
            false => (session.offer(capabilities), None),
        };
        let contact = self.contact_value(flow, false).unwrap_or_default();
        let timer = TimerAnswer::to_request(&request).ok().flatten();
        let response = self.respond(number, 200, turn, |builder| {
            let builder = builder.record_route(&request).header(Name::Contact, contact);
            timed(builder.header(Name::Allow, ALLOW).header(Name::Supported, SUPPORTED), timer.as_ref())
                .body(SDP, body)
        });
        let (Some(response), Ok(cseq)) = (response, request.cseq()) else {
            let failure = CallFailure::Unbuildable { why: "the 2xx cannot be written".to_owned() };
            return self.fail_ringing(key, failure, turn);
        };
        let state = State::Active(Active {
            dialog,
            session,
            acceptance: Some(Acceptance::new(response, cseq.number, self.config.timers, turn.now)),
            established: negotiated.is_some(),
            reinvite: None,
            retry: None,
            timer: timer.map(|timer| timer.timer(turn.now)),
            updatable: request.lists_token(Name::Allow, "UPDATE"),
            refreshing: false,
            caller: false,
            ending: Ending::No,
        });
        self.calls.insert(key, Call { flow, state });
        self.dirty.push(Sleeper::Call(key));
        if let Some(negotiated) = negotiated {
            turn.emit(Event::Established { call: key, negotiated });
        }
    }

    pub(super) fn on_reject(&mut self, key: CallKey, status: u16, turn: &mut Turn<'_>) {
        let Some((_, ringing)) = self.ringing(key, turn) else { return };
        let number = ringing.server;
        if !(300..700).contains(&status) {
            return turn.emit(Event::CommandRefused { call: Some(key), why: CommandRefusal::BadStatus });
        }
        self.respond(number, status, turn, |builder| builder);
        self.fail_ringing(key, CallFailure::Rejected { status }, turn);
    }

    /// The caller took it back.
    pub(super) fn on_cancelled(&mut self, key: CallKey, reason: Option<Reason>, turn: &mut Turn<'_>) {
        let Some(Call { state: State::Ringing(ringing), .. }) = self.calls.get(&key) else { return };
        let number = ringing.server;
        self.respond(number, 487, turn, |builder| builder);
        self.fail_ringing(key, CallFailure::Cancelled { by: Side::Remote, reason }, turn);
    }

    /// Nobody took it in time.
    pub(super) fn on_ring_timeout(&mut self, key: CallKey, turn: &mut Turn<'_>) {
        let Some(Call { state: State::Ringing(ringing), .. }) = self.calls.get(&key) else { return };
        if turn.now < ringing.until {
            return;
        }
        let number = ringing.server;
        self.respond(number, 480, turn, |builder| builder);
        self.fail_ringing(key, CallFailure::Rejected { status: 480 }, turn);
    }

    /// The flow of an INVITE that we have not answered is gone: nobody hears our answer.
    pub(super) fn on_server_flow_lost(&mut self, call: Option<CallKey>, turn: &mut Turn<'_>) {
        if let Some(key) = call {
            self.fail_ringing(key, CallFailure::ConnectionLost, turn);
        }
    }

    pub(super) fn fail_ringing(&mut self, key: CallKey, failure: CallFailure, turn: &mut Turn<'_>) {
        let Some(Call { state: State::Ringing(ringing), .. }) = self.calls.get(&key) else { return };
        self.dialogs.remove(ringing.dialog.id());
        self.calls.remove(&key);
        self.dirty.push(Sleeper::Call(key));
        turn.emit(Event::Failed { call: key, failure });
    }

    fn refuse_offer(&mut self, key: CallKey, number: u64, failure: NegotiationFailure, turn: &mut Turn<'_>) {
        self.respond(number, 488, turn, |builder| warned(builder, 304, &failure.to_string()));
        self.fail_ringing(key, CallFailure::Negotiation(failure), turn);
    }

    /// The call while it rings; tells the application when it does not.
    fn ringing(&self, key: CallKey, turn: &mut Turn<'_>) -> Option<(FlowId, &Ringing)> {
        let why = match self.calls.get(&key) {
            Some(Call { flow, state: State::Ringing(ringing) }) => return Some((*flow, ringing)),
            Some(_) => CommandRefusal::WrongState,
            None => CommandRefusal::UnknownCall,
        };
        turn.emit(Event::CommandRefused { call: Some(key), why });
        None
    }
}

enum Unreadable {
    MediaType,
    Description(String),
}

/// What an INVITE offers; empty when it offers nothing.
fn summary(request: &Message) -> Result<OfferSummary, Unreadable> {
    if request.body().is_empty() {
        return Ok(OfferSummary::default());
    }
    if !is_sdp(request) {
        return Err(Unreadable::MediaType);
    }
    SessionDescription::parse(request.body())
        .map(|offer| offer.summary())
        .map_err(|error| Unreadable::Description(error.to_string()))
}

/// A 2xx with what it says about the session timer.
pub(super) fn timed(builder: ResponseBuilder, timer: Option<&TimerAnswer>) -> ResponseBuilder {
    match timer {
        Some(timer) => builder
            .header(Name::SessionExpires, &timer.value)
            .header_opt(Name::Require, timer.required.then_some("timer")),
        None => builder,
    }
}

/// A Warning (RFC 3261 section 20.43): the text is ours, but parts of it may come from the far end.
pub(super) fn warned(builder: ResponseBuilder, code: u16, text: &str) -> ResponseBuilder {
    let plain: String = text
        .chars()
        .map(|letter| match letter {
            '"' | '\\' => '\'',
            letter if letter.is_control() => ' ',
            letter => letter,
        })
        .collect();
    builder.header(Name::Warning, format!("{code} z5 \"{plain}\""))
}
