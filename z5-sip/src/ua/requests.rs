//! Requests from outside: what is refused before anyone looks at it, and who gets the rest (RFC 3261 section 8.2).

use super::compose::{ACCEPT, ALLOW};
use super::subscribing::ALLOW_EVENTS;
use super::transfer::is_refer_event;
use super::types::{CallKey, Event, Reason};
use super::{Turn, UserAgent};
use crate::dialog::DialogId;
use crate::flow::{Flow, FlowId};
use crate::transaction::{MergeKey, ServerInput, ServerKey};
use crate::wire::{Fault, FrameError, Message, Method, Name, Params, ResponseBuilder, Verdict, media_types};

impl UserAgent {
    pub(super) fn on_request(&mut self, flow: FlowId, request: Message, turn: &mut Turn<'_>) {
        let verdict = self.rules.validate(&request);
        if let Verdict::Drop { .. } = verdict {
            return turn.emit(Event::Unexpected { flow, what: "a malformed ACK" });
        }
        let Some(key) = ServerKey::of(&request) else {
            return self.refuse_stateless(flow, &request, &verdict, turn);
        };
        let known = self.transactions.server_of(&key);
        if request.method() == Some(Method::Ack) {
            let own = known.filter(|number| {
                self.transactions.servers.get(number).is_some_and(super::transactions::Server::takes_ack)
            });
            return match own {
                Some(number) => self.turn_server(number, ServerInput::Ack, turn),
                None => self.on_ack(flow, &request, turn),
            };
        }
        if let Some(number) = known {
            return self.turn_server(number, ServerInput::Repeated, turn);
        }
        let merge = MergeKey::of(&request);
        let merged = merge.as_ref().is_some_and(|merge| self.transactions.is_merged(merge, turn.now));
        let method = request.method();
        let number = self.start_server(key, merge, request.clone(), flow, turn.now);
        let allowed =
            method.as_ref().is_some_and(|method| ALLOW.split(", ").any(|name| name == method.as_str()));
        if let Verdict::Refuse { status, fault, .. } = verdict {
            // The method is looked at before extensions and bodies (RFC 3261 section 8.2).
            let late = matches!(fault, Fault::Extensions(_) | Fault::MediaType | Fault::NotAcceptable);
            if late && !allowed {
                self.respond(number, 405, turn, |builder| builder.header(Name::Allow, ALLOW));
                return;
            }
            turn.emit(Event::Unexpected { flow, what: what(&fault) });
            let accept = request.method().map(|method| media_types(&method).join(", ")).unwrap_or_default();
            self.respond(number, status, turn, |builder| explained(builder, &fault, &accept));
            return;
        }
        if merged {
            self.respond(number, 482, turn, |builder| builder);
            return;
        }
        let inside = request.to_tag().is_some();
        match method {
            // CANCEL and what belongs to a dialog come by what stands already.
            Some(Method::Cancel) => self.on_cancel(number, &request, turn),
            Some(_) if inside || self.is_welcome(flow, turn) => self.serve(flow, number, request, turn),
            Some(_) if self.let_wait(flow, number, &request, turn) => {}
            Some(_) | None => self.turn_away(flow, number, turn),
        }
    }

    /// Nobody may open something with us over a flow that no binding leads to.
    pub(super) fn turn_away(&mut self, flow: FlowId, number: u64, turn: &mut Turn<'_>) {
        turn.emit(Event::Unexpected { flow, what: "a request on a flow without a binding" });
        self.respond(number, 403, turn, |builder| builder);
    }

    /// A request that may be made of us.
    pub(super) fn serve(&mut self, flow: FlowId, number: u64, request: Message, turn: &mut Turn<'_>) {
        let inside = request.to_tag().is_some();
        match request.method() {
            Some(Method::Invite | Method::Update) if inside => self.on_reinvite(number, &request, turn),
            Some(Method::Invite) => self.on_incoming(flow, number, request, turn),
            Some(Method::Prack) => self.on_prack(number, &request, turn),
            Some(Method::Refer) => self.on_refer(number, &request, inside, turn),
            Some(Method::Info) => self.on_info(number, &request, turn),
            Some(Method::Notify) if is_refer_event(&request) => self.on_refer_notify(number, &request, turn),
            Some(Method::Bye) => self.on_bye(number, &request, turn),
            // An UPDATE has no meaning outside a dialog.
            Some(Method::Update) => {
                self.respond(number, 481, turn, |builder| builder);
            }
            Some(Method::Message) => self.on_message_request(number, &request, inside, turn),
            Some(Method::Notify) => self.on_notify(number, &request, inside, turn),
            Some(Method::Subscribe) => self.on_subscribe_request(number, &request, inside, turn),
            Some(Method::Options) => self.on_options(number, &request, inside, turn),
            Some(_) | None => {
                self.respond(number, 405, turn, |builder| builder.header(Name::Allow, ALLOW));
            }
        }
    }

    /// Only a flow that a binding of ours leads to may open something with us.
    pub(super) fn is_welcome(&self, flow: FlowId, turn: &Turn<'_>) -> bool {
        let flow = self.principal(flow);
        self.bindings.values().any(|binding| binding.leads_to(flow) && binding.is_bound(turn.now))
    }

    fn on_options(&mut self, number: u64, request: &Message, inside: bool, turn: &mut Turn<'_>) {
        if inside && !self.admit(request) {
            // Out of order in a dialog of ours (RFC 3261 section 12.2.2), or of no dialog.
            let status = if self.dialog_of(request).is_some() { 500 } else { 481 };
            self.respond(number, status, turn, |builder| builder);
            return;
        }
        let supported = self.supported();
        self.respond(number, 200, turn, |builder| {
            builder
                .header(Name::Allow, ALLOW)
                .header(Name::Accept, ACCEPT)
                .header(Name::AcceptEncoding, "identity")
                .header(Name::Supported, supported)
                .header(Name::AllowEvents, ALLOW_EVENTS)
        });
    }

    /// A CANCEL has a transaction of its own, and answers have the tag of the INVITE's (RFC 3261 section 9.2).
    fn on_cancel(&mut self, number: u64, cancel: &Message, turn: &mut Turn<'_>) {
        let target = ServerKey::cancelled_by(cancel).and_then(|key| self.transactions.server_of(&key));
        let found = target.and_then(|target| Some((target, self.transactions.servers.get(&target)?)));
        let Some((target, invite)) = found else {
            self.respond(number, 481, turn, |builder| builder);
            return;
        };
        let (tag, call, unanswered) = (invite.tag.clone(), invite.call, invite.is_unanswered_invite());
        if let Some(server) = self.transactions.servers.get_mut(&number) {
            server.tag = tag;
        }
        self.respond(number, 200, turn, |builder| builder);
        match (call, unanswered) {
            (Some(call), true) => self.on_cancelled(call, reason(cancel), turn),
            (None, true) => self.leave_doorstep(target, turn),
            (_, false) => {}
        }
    }

    /// The call that a request inside a dialog belongs to, whatever its CSeq.
    pub(super) fn call_of(&self, request: &Message) -> Option<CallKey> {
        self.dialogs.get(&DialogId::of_request(request)?).copied()
    }

    /// A request after which its stream cannot be read on: its sender is told why, if the head says where (RFC 3261
    /// section 18.3). No transaction follows: the connection is closed behind the answer.
    pub(super) fn refuse_unframed(&mut self, flow: FlowId, error: FrameError, turn: &mut Turn<'_>) {
        let Some(head) = self.flows.get(&flow).and_then(Flow::refused).cloned() else { return };
        let Some(status) = error.status() else { return };
        let needed = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];
        let answerable = head.is_request() && needed.iter().all(|name| head.header(*name).is_some());
        if !answerable || head.method() == Some(Method::Ack) {
            return;
        }
        let tag = self.ident.tag();
        let response = self.served(ResponseBuilder::to_request(&head, status, "")).to_tag(&tag).build();
        if let Ok(response) = response {
            self.send(flow, &response, turn);
        }
    }

    /// A request without what a transaction needs: one answer, if it can be written at all.
    fn refuse_stateless(&mut self, flow: FlowId, request: &Message, verdict: &Verdict, turn: &mut Turn<'_>) {
        turn.emit(Event::Unexpected { flow, what: "a request that has no transaction" });
        let status = match verdict {
            Verdict::Refuse { status, .. } => *status,
            Verdict::Accept | Verdict::Drop { .. } => 400,
        };
        let tag = self.ident.tag();
        let response = self.served(ResponseBuilder::to_request(request, status, "")).to_tag(&tag).build();
        if let Ok(response) = response
            && request.method() != Some(Method::Ack)
        {
            self.send(flow, &response, turn);
        }
    }
}

/// What is wrong with a refused request, in a few words without content.
fn what(fault: &Fault) -> &'static str {
    match fault {
        Fault::Flaw(_) => "a request that is malformed",
        Fault::Version => "a request of another version",
        Fault::Missing(_) => "a request without a mandatory header field",
        Fault::Repeated(_) => "a request with a header field more than once",
        Fault::Header { .. } | Fault::Date => "a request with a malformed header field",
        Fault::RequestUri(_) | Fault::RequestUriHeaders => "a request with a malformed Request-URI",
        Fault::Scheme => "a request to a scheme that is not supported",
        Fault::CSeqMethod => "a request whose CSeq names another method",
        Fault::Hops => "a request that has no hops left",
        Fault::Extensions(_) => "a request that requires an unknown extension",
        Fault::MediaType => "a request with a body that cannot be read",
        Fault::NotAcceptable => "a request whose answer could not be read",
    }
}

/// What an answer to a refused request says beside its status.
fn explained(builder: ResponseBuilder, fault: &Fault, accept: &str) -> ResponseBuilder {
    match fault {
        Fault::Extensions(tags) => builder.header(Name::Unsupported, tags.join(", ")),
        Fault::MediaType => builder.header(Name::Accept, accept),
        Fault::Flaw(_)
        | Fault::Version
        | Fault::Missing(_)
        | Fault::Repeated(_)
        | Fault::Header { .. }
        | Fault::Date
        | Fault::RequestUri(_)
        | Fault::RequestUriHeaders
        | Fault::Scheme
        | Fault::CSeqMethod
        | Fault::Hops
        | Fault::NotAcceptable => builder,
    }
}

/// The reason that a Reason header gives in SIP's own numbering, else the first one (RFC 3326).
pub(super) fn reason(message: &Message) -> Option<Reason> {
    let mut reasons: Vec<Reason> = message.values(Name::Reason).take(8).map(one_reason).collect();
    if reasons.is_empty() {
        return None;
    }
    let sip = reasons.iter().position(|reason| reason.protocol.eq_ignore_ascii_case("SIP"));
    Some(reasons.swap_remove(sip.unwrap_or(0)))
}

fn one_reason(value: &[u8]) -> Reason {
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    let params = Params::new(&value[end..]);
    Reason {
        protocol: String::from_utf8_lossy(&value[..end]).trim().to_owned(),
        cause: params.get("cause").and_then(|cause| cause.parse().ok()),
        text: params.find("text").and_then(|param| param.text().map(unquoted)),
    }
}

fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        out.push(if letter == '\\' { letters.next().unwrap_or('\\') } else { letter });
    }
    out
}
