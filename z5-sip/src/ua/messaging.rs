//! MESSAGE in and out, within a call and outside any (RFC 3428), and what an OPTIONS of ours is told (RFC 3261
//! section 11). No delivery report of the far end's user is asked for: 200 or 202 is all that is known.

use std::borrow::Cow;

use super::apart::Apart;
use super::body::Body;
use super::call::State;
use super::compose::ACCEPT;
use super::options::Privacy;
use super::request_failure::RequestFailure;
use super::transactions::Owner;
use super::types::{CallKey, Event, MessageKey, ProbeKey};
use super::{Turn, UserAgent};
use crate::flow::FlowId;
use crate::multipart;
use crate::request::Outline;
use crate::wire::{Message, Method, Name, Uri, media_types};

/// A [`super::Command::Message`].
pub(super) struct Outgoing {
    pub(super) message: MessageKey,
    pub(super) call: Option<CallKey>,
    pub(super) target: Option<Uri>,
    pub(super) content_type: String,
    pub(super) body: Body,
}

impl UserAgent {
    pub(super) fn on_message_command(&mut self, outgoing: Outgoing, turn: &mut Turn<'_>) {
        let (message, call) = (outgoing.message, outgoing.call);
        if let Err(failure) = self.send_message(outgoing, turn) {
            self.on_apart_failed(Apart::Message { message, call }, failure, turn);
        }
    }

    fn send_message(&mut self, outgoing: Outgoing, turn: &mut Turn<'_>) -> Result<(), RequestFailure> {
        let Outgoing { message, call, target, content_type, body } = outgoing;
        let (mut outline, flow) = match (call, target) {
            (Some(call), _) => self.message_in_call(call)?,
            (None, Some(target)) => {
                let tag = self.ident.tag();
                let outline = self.outside_dialog(Method::Message, &target, &tag, Privacy::Off);
                let outline = outline.map_err(|why| RequestFailure::Unbuildable { why: why.to_string() })?;
                (outline, self.current.ok_or(RequestFailure::NoFlow)?)
            }
            (None, None) => return Err(RequestFailure::NoTarget),
        };
        // No Contact: a MESSAGE opens no dialog (RFC 3428 section 4).
        outline.body = Some((Cow::Owned(content_type), body.0));
        let outline = self.signed(outline);
        let owner = Owner::Apart(Apart::Message { message, call });
        self.start_client(outline, flow, owner, turn)?;
        Ok(())
    }

    /// A MESSAGE on the way of a call that stands, whichever end made it.
    fn message_in_call(&mut self, key: CallKey) -> Result<(Outline, FlowId), RequestFailure> {
        let call = self.calls.get(&key).ok_or(RequestFailure::NoCall)?;
        let flow = self.flow_of(call).ok_or(RequestFailure::NoFlow)?;
        match self.calls.get_mut(&key).map(|call| &mut call.state) {
            Some(State::Active(active)) => Ok((active.leg.dialog.next(Method::Message), flow)),
            Some(State::Calling(_) | State::Ringing(_)) | None => Err(RequestFailure::NoCall),
        }
    }

    /// A MESSAGE of the far end; its media type was looked at before.
    pub(super) fn on_message_request(
        &mut self,
        number: u64,
        request: &Message,
        inside: bool,
        turn: &mut Turn<'_>,
    ) {
        let call = self.call_of(request);
        if multipart::is_multipart(request) {
            let accept = media_types(&Method::Message).join(", ");
            self.respond(number, 415, turn, |builder| builder.header(Name::Accept, accept));
            return;
        }
        if inside && !self.admit(request) {
            let status = if call.is_some() { 500 } else { 481 };
            self.respond(number, status, turn, |builder| builder);
            return;
        }
        let Ok(from) = request.from() else { return };
        let event = Event::MessageReceived {
            from: from.uri.to_uri(),
            call: call.filter(|_| inside),
            content_type: request.content_type().unwrap_or("text/plain").to_owned(),
            body: Body(bytes::Bytes::copy_from_slice(request.body())),
        };
        self.respond(number, 200, turn, |builder| builder);
        turn.emit(event);
    }

    pub(super) fn on_probe_command(&mut self, probe: ProbeKey, target: &Uri, turn: &mut Turn<'_>) {
        if let Err(failure) = self.send_probe(probe, target, turn) {
            self.on_apart_failed(Apart::Probe(probe), failure, turn);
        }
    }

    fn send_probe(
        &mut self,
        probe: ProbeKey,
        target: &Uri,
        turn: &mut Turn<'_>,
    ) -> Result<(), RequestFailure> {
        let flow = self.current.ok_or(RequestFailure::NoFlow)?;
        let tag = self.ident.tag();
        let outline = self.outside_dialog(Method::Options, target, &tag, Privacy::Off);
        let outline = outline.map_err(|why| RequestFailure::Unbuildable { why: why.to_string() })?;
        let outline = self.with_abilities(outline, flow).with(Name::Accept, ACCEPT);
        self.start_client(outline, flow, Owner::Apart(Apart::Probe(probe)), turn)?;
        Ok(())
    }

    /// Any final answer tells that someone is there (RFC 3261 section 11.2: as an INVITE would be answered).
    pub(super) fn on_probe_final(probe: ProbeKey, response: &Message, turn: &mut Turn<'_>) {
        let list = |name: Name<'_>| {
            response.values(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
        };
        turn.emit(Event::Probed {
            probe,
            status: response.status().unwrap_or_default(),
            allow: list(Name::Allow),
            supported: list(Name::Supported),
            accept: list(Name::Accept),
        });
    }
}
