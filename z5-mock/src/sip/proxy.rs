//! Forwarding (RFC 3261 section 16): challenge, record-route, routing to users and far ends, media through the relay.
//!
//! Transactions are kept by the two ends: the proxy is stateless about them (section 16.11), with the branch of a
//! forwarded request derived from the one it came with, so that CANCEL and ACK follow their INVITE. It is stateful about
//! calls. A user with several contacts is reached at the newest one; there is no forking.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;
use z5_sip::wire::{Edit, Message, Method, Name, Transport};

use super::calls::{Call, Party};
use super::description::{self, Replacement};
use super::switch::Switch;
use super::{ConnectionId, FAR_ENDS};
use crate::account;
use crate::far_end;
use crate::fault::Fault;
use crate::relay::{Described, Side};

/// Where a request goes.
enum Target {
    /// To a registered contact.
    User {
        connection: ConnectionId,
        contact: String,
        user: String,
    },
    FarEnd,
    /// The number is ours, nobody is registered.
    Absent,
    Unknown,
}

impl Switch {
    pub(super) fn forward(&mut self, from: ConnectionId, request: &Message) {
        let Ok(call_id) = request.call_id().map(str::to_owned) else { return };
        let Some(method) = request.method() else { return };
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        if self.calls.find(&call_id).is_some()
            && (in_dialog || matches!(method, Method::Ack | Method::Cancel))
        {
            self.forward_within(from, request, &method, &call_id);
            return;
        }
        if method == Method::Ack {
            // It belongs to a refusal of the proxy's own.
        } else if in_dialog || method == Method::Cancel {
            self.answer(from, request, 481, "");
        } else if method == Method::Options && request_user(request).is_none() {
            self.answer(from, request, 200, "");
        } else {
            self.forward_first(from, request, &method, &call_id);
        }
    }

    /// The first request of a call, or one that stands alone.
    fn forward_first(&mut self, from: ConnectionId, request: &Message, method: &Method, call_id: &str) {
        let (mut caller, mut identity) = (None, None);
        if from != FAR_ENDS {
            let Some(user) = self.authenticate(from, request, true) else { return };
            let number = account::find(&self.state.accounts, &user).map(|(_, number)| number);
            caller = number.map(|number| number.sip_user.clone());
            let domain = self.state.names.domain();
            identity = number.map(|number| format!("<sip:{}@{domain};user=phone>", number.e164));
        }
        if self.trouble(from, request, method, false) {
            return;
        }
        let (connection, contact, user) = match self.locate(request) {
            Target::User { connection, contact, user } => (connection, Some(contact), Some(user)),
            Target::FarEnd => (FAR_ENDS, None, None),
            Target::Absent => return self.answer(from, request, 480, ""),
            Target::Unknown => return self.answer(from, request, 404, ""),
        };
        if *method == Method::Invite {
            let caller_tag = request.from().ok().and_then(|from| from.tag()).unwrap_or_default().to_owned();
            self.calls.insert(
                call_id,
                Call {
                    caller_tag,
                    caller: Party { connection: from, user: caller, contact: None },
                    callee: Party { connection, user, contact: contact.clone() },
                    streams: Vec::new(),
                    invite: None,
                    established: false,
                    ending: false,
                },
            );
        }
        let body = self.relayed_body(request, call_id, Side::Caller);
        // Who asks for privacy of the identity is not named to the callee (RFC 3325 section 9.3).
        let asserted = identity.filter(|_| !request.lists_token(Name::Privacy, "id"));
        let invite = *method == Method::Invite;
        self.pass_request(from, connection, request, contact.as_deref(), (asserted, body), invite);
    }

    fn forward_within(&mut self, from: ConnectionId, request: &Message, method: &Method, call_id: &str) {
        let now = self.state.clock.now();
        let Some(call) = self.calls.find(call_id) else { return };
        let side = call.sender(request);
        // A client that came back over a new connection is from now on there.
        call.party_mut(side).connection = from;
        let target = call.party(side.other()).clone();
        let established = call.established;
        if *method == Method::Bye {
            call.ending = true;
            call.streams.clear();
        }
        let mut connection = target.connection;
        if !self.is_open(connection)
            && let Some(binding) = target.user.and_then(|user| self.bindings.newest(&user, now))
        {
            connection = binding.connection;
        }
        if !self.is_open(connection) {
            self.answer(from, request, 480, "");
            if *method == Method::Bye {
                self.calls.remove(call_id);
            }
            return;
        }
        if *method == Method::Ack && self.state.faults.strikes(Fault::LostAck) {
            return;
        }
        if self.trouble(from, request, method, true) {
            return;
        }
        let body = self.relayed_body(request, call_id, side);
        let of_first_invite = *method == Method::Cancel || (*method == Method::Ack && !established);
        let contact = target.contact.filter(|_| of_first_invite);
        let invite = *method == Method::Invite;
        self.pass_request(from, connection, request, contact.as_deref(), (None, body), invite);
        if *method == Method::Ack && self.calls.find(call_id).is_some_and(|call| call.ending) {
            self.calls.remove(call_id);
        }
    }

    fn locate(&mut self, request: &Message) -> Target {
        let Some(user) = request_user(request) else { return Target::Unknown };
        let scripted = self.state.scripts.iter().any(|script| script.is_dialled_by(&user));
        if scripted || far_end::Kind::of(&user).is_some() {
            return Target::FarEnd;
        }
        let Some((_, number)) = account::find(&self.state.accounts, &user) else { return Target::Unknown };
        let user = number.sip_user.clone();
        match self.bindings.newest(&user, self.state.clock.now()) {
            Some(binding) => Target::User { connection: binding.connection, contact: binding.contact, user },
            None => Target::Absent,
        }
    }

    fn pass_request(
        &mut self,
        from: ConnectionId,
        to: ConnectionId,
        request: &Message,
        contact: Option<&str>,
        (asserted, body): (Option<String>, Option<(Option<String>, Bytes)>),
        record_route: bool,
    ) {
        let sip = self.local(from);
        let mut edit = Edit::new(request).stamp_received(self.peer(from));
        if self.top_route_is_ours(request) {
            edit = edit.remove_first_value(Name::Route);
        }
        // Credentials for this proxy are nobody else's business, and who calls is its own to say (RFC 3325 section 5).
        edit = edit.remove(Name::ProxyAuthorization).remove(Name::PAssertedIdentity);
        if let Some(asserted) = asserted {
            edit = edit.set(Name::PAssertedIdentity, asserted);
        }
        let hops = request.max_forwards().ok().flatten().unwrap_or(70).saturating_sub(1);
        edit = edit.set(Name::MaxForwards, hops.to_string());
        if record_route {
            let transport = self.transport(from);
            let transport = match transport == Transport::Udp {
                true => String::new(),
                false => format!(";transport={}", transport.as_str().to_ascii_lowercase()),
            };
            edit = edit.insert_first(Name::RecordRoute, format!("<sip:{sip}{transport};lr>"));
        }
        if let Some(contact) = contact {
            edit = edit.request_uri(contact);
        }
        if let Some((content_type, body)) = body {
            edit = replaced(edit, content_type, body);
        }
        let branch = format!("z9hG4bK-{:016x}-{}", derived_branch(request, from), from.0);
        let (transport, sent_by) = (self.transport(to).as_str(), self.local(to));
        edit = edit.push_via(format!("SIP/2.0/{transport} {sent_by};branch={branch}"));
        match edit.build() {
            Ok(message) => {
                if record_route && let Some(call) = request.call_id().ok().and_then(|id| self.calls.find(id))
                {
                    call.invite.get_or_insert_with(|| message.clone());
                }
                self.send(to, message);
            }
            Err(error) => {
                tracing::debug!(%error, "a request could not be forwarded");
                self.answer(from, request, 400, "");
            }
        }
    }

    pub(super) fn response(&mut self, _from: ConnectionId, response: &Message) {
        let Ok(via) = response.via() else { return };
        let ours = self.is_ours(via.host.ip(), via.port);
        let to = via.branch().and_then(|branch| branch.rsplit('-').next()).and_then(|id| id.parse().ok());
        let (true, Some(to), Ok(call_id)) =
            (ours, to.map(ConnectionId), response.call_id().map(str::to_owned))
        else {
            return;
        };
        let mut edit = Edit::new(response).pop_via();
        let (status, method) =
            (response.status().unwrap_or_default(), response.cseq().ok().map(|cseq| cseq.method));
        let mut body = None;
        if let Some(call) = self.calls.find(&call_id) {
            let side = call.sender(response).other();
            if method == Some(Method::Invite) && (200..300).contains(&status) {
                call.established = true;
            } else if method == Some(Method::Invite) && status >= 300 && !call.established {
                call.ending = true;
                call.streams.clear();
            }
            body = self.relayed_body(response, &call_id, side);
            if method == Some(Method::Invite) && side == Side::Callee {
                body = self.spoiled(response, status, body);
            }
        }
        if method == Some(Method::Invite) && status == 180 {
            self.take_elsewhere(&call_id);
        }
        if let Some((content_type, body)) = body {
            edit = replaced(edit, content_type, body);
        }
        match edit.build() {
            Ok(message) => self.send(to, message),
            Err(error) => tracing::debug!(%error, "a response could not be forwarded"),
        }
        if status >= 200 && method == Some(Method::Bye) {
            self.calls.remove(&call_id);
        }
    }

    /// The message's body with the relay's address and ports for the other side in its session description, if it has one;
    /// with its type when that changes.
    fn relayed_body(
        &mut self,
        message: &Message,
        call_id: &str,
        sender: Side,
    ) -> Option<(Option<String>, Bytes)> {
        let relay = self.relay.as_mut()?;
        let sdp = description::of(message)?;
        let text = std::str::from_utf8(&sdp).ok().filter(|text| !text.is_empty())?;
        let call = self.calls.find(call_id)?;
        if call.ending {
            return None;
        }
        let lines = description::media_lines(text);
        if call.streams.len() < lines.len() {
            call.streams.resize_with(lines.len(), || None);
        }
        let mut replacements = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            let slot = &mut call.streams[index];
            if line.port == 0 {
                replacements.push(None);
                continue;
            }
            if slot.is_none() {
                *slot = relay.open(call_id, index, &line.kind);
            }
            let Some(stream) = slot else {
                replacements.push(None);
                continue;
            };
            if let Some(address) = line.address {
                stream.describe(sender, Described::new(address, line.port, line.rtcp_port));
            }
            let facing = stream.facing(sender.other());
            replacements.push(Some(Replacement { port: facing, rtcp_port: facing + 1 }));
        }
        let rewritten = description::rewrite(text, relay.address(), &replacements);
        description::with(message, rewritten, &mut self.ident)
    }

    fn top_route_is_ours(&self, request: &Message) -> bool {
        let Some(Ok(route)) = request.routes().next() else { return false };
        let Some(host) = route.uri.host() else { return false };
        let named = self.state.names.all().iter().any(|name| host.to_string().eq_ignore_ascii_case(name));
        self.is_ours(host.ip(), route.uri.port())
            || (named && route.uri.port().is_none_or(|port| self.is_our_port(port)))
    }
}

fn replaced<'m>(edit: Edit<'m>, content_type: Option<String>, body: Bytes) -> Edit<'m> {
    match content_type {
        Some(content_type) => edit.set(Name::ContentType, content_type).body(body),
        None => edit.body(body),
    }
}

/// The user part of the Request-URI, unescaped; of a `tel` URI its number; a `urn` as it is.
pub(crate) fn request_user(request: &Message) -> Option<String> {
    let uri = request.request_uri()?.ok()?;
    if uri.scheme_text().eq_ignore_ascii_case("urn") {
        return Some(uri.as_str().to_ascii_lowercase());
    }
    if uri.scheme_text().eq_ignore_ascii_case("tel") {
        let number = uri.as_str().split_once(':')?.1.split(';').next()?;
        return Some(number.to_owned());
    }
    uri.user_unescaped().map(|user| user.split(';').next().unwrap_or_default().to_owned())
}

/// The same for an INVITE, its CANCEL and the ACK of its refusal (RFC 3261 section 16.11).
fn derived_branch(request: &Message, from: ConnectionId) -> u64 {
    let mut hasher = DefaultHasher::new();
    from.hash(&mut hasher);
    if let Ok(via) = request.via() {
        via.branch().unwrap_or_default().hash(&mut hasher);
        via.host.to_string().hash(&mut hasher);
        via.port.hash(&mut hasher);
    }
    hasher.finish()
}
