//! An incoming call until someone takes it or turns it down (RFC 3261 section 13.3).

use std::collections::VecDeque;

use super::call::{Active, Call, Reliability, Ringing, State};
use super::compose::{ACCEPT, ALLOW};
use super::extras::{asserted, call_info};
use super::failure::{CallFailure, CommandRefusal};
use super::leg::Leg;
use super::outgoing::is_sdp;
use super::schedule::Sleeper;
use super::types::{CallKey, Event, Reason, Side};
use super::{Turn, UserAgent};
use crate::dialog::{Acceptance, Dialog, Provisional, SHORTEST, Session, TimerAnswer};
use crate::flow::FlowId;
use crate::sdp::{Capabilities, NegotiationFailure, SessionDescription};
use crate::wire::{Message, Name, ResponseBuilder, Uri};

impl UserAgent {
    pub(super) fn on_incoming(&mut self, flow: FlowId, number: u64, request: Message, turn: &mut Turn<'_>) {
        let offer = match offer(&request) {
            Ok(offer) => offer,
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
        let replaces = match self.replaced(&request) {
            Ok(replaces) => replaces,
            Err(status) => {
                self.respond(number, status, turn, |builder| builder);
                return;
            }
        };
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
        let reliability = self.reliability(&request);
        let required = reliability == Reliability::Required && request.lists_token(Name::Require, "100rel");
        let event = Event::Incoming {
            call: key,
            ring_with_offer: required && offer.is_none(),
            from: from.uri.to_uri(),
            to: to.uri.to_uri(),
            display_name,
            offered: offer.as_ref().map(|offer| offer.summary()).unwrap_or_default(),
            replaces,
            asserted: asserted(&request),
            call_info: call_info(&request),
            parts: std::mem::take(&mut self.parts),
        };
        // The caller's own patience may be the shorter one (RFC 3261 section 13.3.1).
        let expires =
            request.expires().ok().flatten().map(|seconds| std::time::Duration::from_secs(seconds.into()));
        let patience =
            expires.map_or(self.config.ring_timeout, |expires| expires.min(self.config.ring_timeout));
        self.respond(number, 100, turn, |builder| builder);
        self.dialogs.insert(dialog.id().clone(), key);
        let nothing = Capabilities { address: std::net::Ipv4Addr::UNSPECIFIED.into(), media: Vec::new() };
        let session = Session::new(self.ident.number(), nothing);
        let leg = Leg::new(dialog, session, request.lists_token(Name::Allow, "UPDATE"));
        // RFC 3262 section 3: the first number is anywhere below 2^31, with room to count.
        let rseq = u32::try_from(self.ident.number() % (1 << 30)).unwrap_or_default();
        let ringing = Ringing {
            server: number,
            reliability,
            request,
            offer,
            leg,
            until: turn.now + patience,
            rseq,
            unacknowledged: None,
            waiting: VecDeque::new(),
            accepting: None,
            previewed: None,
            replaces,
        };
        // What came over the stream beside a UDP flow stands and falls with its datagrams.
        let flow = self.principal(flow);
        self.calls.insert(key, Call { flow, state: State::Ringing(ringing) });
        self.dirty.push(Sleeper::Call(key));
        turn.emit(event);
    }

    pub(super) fn on_accept(&mut self, key: CallKey, capabilities: Capabilities, turn: &mut Turn<'_>) {
        if self.ringing(key, turn).is_none() {
            return;
        }
        let supported = self.supported();
        let Some(ringing) = self.ringing_mut(key) else { return };
        // A 2xx waits for the PRACK of a response with a session description (RFC 3262 section 3), and for our answer to
        // an offer.
        let described = ringing.unacknowledged.as_ref().is_some_and(Provisional::is_described);
        if described || ringing.leg.asked.is_some() {
            ringing.accepting = Some(capabilities);
            return;
        }
        let (number, request) = (ringing.server, ringing.request.clone());
        let session = &mut ringing.leg.session;
        let (body, negotiated) = match (session.negotiated().cloned(), &ringing.offer) {
            // What a provisional response said is the answer; the 2xx repeats it when that one may have been lost.
            (Some(negotiated), _) => (ringing.previewed.clone(), Some(negotiated)),
            (None, Some(offer)) => {
                session.set_capabilities(capabilities);
                match session.answer_to(offer) {
                    Ok((body, negotiated)) => (Some(body), Some(negotiated)),
                    Err(failure) => return self.refuse_offer(key, number, failure, turn),
                }
            }
            // No offer came, so ours is in the 2xx and the answer in the ACK (RFC 3261 section 13.2.1).
            (None, None) => {
                session.set_capabilities(capabilities.clone());
                (Some(session.offer(capabilities)), None)
            }
        };
        let Some(flow) = self.calls.get(&key).map(|call| call.flow) else { return };
        let contact = self.contact_value(flow, false).unwrap_or_default();
        let timer = TimerAnswer::to_request(&request).ok().flatten();
        let answer = self.answer(&request, body);
        let response = self.respond(number, 200, turn, |builder| {
            let builder = builder.record_route(&request).header(Name::Contact, contact);
            let builder = builder.header(Name::Allow, ALLOW).header(Name::Supported, supported);
            answer.dress(timed(builder, timer.as_ref()))
        });
        let (Some(response), Ok(cseq)) = (response, request.cseq()) else {
            let failure = CallFailure::Unbuildable { why: "the 2xx cannot be written".to_owned() };
            return self.fail_ringing(key, failure, turn);
        };
        let Some(Call { state: State::Ringing(ringing), .. }) = self.calls.remove(&key) else { return };
        let mut active = Active::new(ringing.leg, false);
        active.acceptance = Some(Acceptance::new(response, cseq.number, self.config.timers, turn.now));
        active.unacknowledged = ringing.unacknowledged;
        active.established = negotiated.is_some();
        active.timer = timer.map(|timer| timer.timer(turn.now));
        active.keep_min_se(&request);
        self.calls.insert(key, Call { flow, state: State::Active(active) });
        self.dirty.push(Sleeper::Call(key));
        if let Some(negotiated) = negotiated {
            turn.emit(Event::Established { call: key, negotiated });
        }
        if let Some(replaced) = ringing.replaces.filter(|replaced| self.calls.contains_key(replaced)) {
            self.on_hangup(replaced, turn);
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

    /// Somebody else may take it: a Contact says who (RFC 3261 section 21.3.3).
    pub(super) fn on_redirect(&mut self, key: CallKey, to: &Uri, turn: &mut Turn<'_>) {
        const MOVED_TEMPORARILY: u16 = 302;
        let Some((_, ringing)) = self.ringing(key, turn) else { return };
        let number = ringing.server;
        let contact = format!("<{}>", to.as_str());
        self.respond(number, MOVED_TEMPORARILY, turn, |builder| builder.header(Name::Contact, contact));
        self.fail_ringing(key, CallFailure::Rejected { status: MOVED_TEMPORARILY }, turn);
    }

    /// The caller took it back.
    pub(super) fn on_cancelled(&mut self, key: CallKey, reason: Option<Reason>, turn: &mut Turn<'_>) {
        let Some(Call { state: State::Ringing(ringing), .. }) = self.calls.get(&key) else {
            return self.on_asked_cancelled(key, turn);
        };
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
        let Some(key) = call else { return };
        self.fail_ringing(key, CallFailure::ConnectionLost, turn);
        for leg in self.calls.get_mut(&key).into_iter().flat_map(Call::legs_mut) {
            leg.asked = None;
        }
    }

    pub(super) fn fail_ringing(&mut self, key: CallKey, failure: CallFailure, turn: &mut Turn<'_>) {
        if self.ringing_mut(key).is_none() {
            return;
        }
        if let Some(call) = self.calls.remove(&key) {
            call.legs().for_each(|leg| self.forget_leg(leg, turn));
        }
        self.dirty.push(Sleeper::Call(key));
        turn.emit(Event::Failed { call: key, failure });
    }

    pub(super) fn refuse_offer(
        &mut self,
        key: CallKey,
        number: u64,
        failure: NegotiationFailure,
        turn: &mut Turn<'_>,
    ) {
        self.respond(number, 488, turn, |builder| warned(builder, 304, &failure.to_string()));
        self.fail_ringing(key, CallFailure::Negotiation(failure), turn);
    }

    /// The call while it rings; tells the application when it does not.
    pub(super) fn ringing(&self, key: CallKey, turn: &mut Turn<'_>) -> Option<(FlowId, &Ringing)> {
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

/// What an INVITE offers, if anything.
fn offer(request: &Message) -> Result<Option<Box<SessionDescription>>, Unreadable> {
    if request.body().is_empty() {
        return Ok(None);
    }
    if !is_sdp(request) {
        return Err(Unreadable::MediaType);
    }
    SessionDescription::parse(request.body())
        .map(|offer| Some(Box::new(offer)))
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
