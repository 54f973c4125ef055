//! Forwarding (RFC 3261 section 16): challenge, record-route, routing to users and far ends, media through the relay.
//!
//! Transactions are kept by the two ends: the proxy is stateless about them (section 16.11), with the branch of a
//! forwarded request derived from the one it came with, so that CANCEL and ACK follow their INVITE. It is stateful about
//! calls. A user with several devices is called at all of them (`forks`); what is no call goes to the newest.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;
use z5_sip::wire::{Edit, Message, Method, Name, Transport};

use super::bindings::Binding;
use super::calls::{Call, Party};
use super::description::{self, Replacement};
use super::forks::{self, Fork, Goes};
use super::switch::Switch;
use super::{ConnectionId, FAR_ENDS};
use crate::account;
use crate::far_end;
use crate::fault::Fault;
use crate::relay::{Access, Described, Side};

/// Where a request goes.
enum Target {
    /// To registered contacts, one for each device, the newest last.
    User {
        devices: Vec<Binding>,
        newest: Binding,
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
        let (mut devices, mut mailbox, mut access) = (Vec::new(), None, None);
        let (connection, contact, user) = match self.locate(request) {
            Target::User { devices: all, newest, user } => {
                devices = all;
                (newest.connection, Some(newest.contact), Some(user))
            }
            Target::FarEnd => {
                // Left for the caller, whom it shows what a waiting message looks like.
                let user = request_user(request).unwrap_or_default();
                let is_videomail = far_end::Kind::of(&user) == Some(far_end::Kind::VideoMail);
                mailbox = caller.clone().filter(|_| is_videomail);
                access = far_end::impairment(&self.state.scripts, &user).map(Access::new);
                (FAR_ENDS, None, None)
            }
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
                    access,
                    invite: None,
                    established: false,
                    ended: None,
                    away: None,
                    spoiled: None,
                    mailbox,
                    forks: Vec::new(),
                },
            );
            self.look_later();
        }
        let body = self.relayed_body(request, call_id, Side::Caller);
        // Who asks for privacy of the identity is not named to the callee (RFC 3325 section 9.3).
        let asserted = identity.filter(|_| !request.lists_token(Name::Privacy, "id"));
        let invite = *method == Method::Invite;
        if !invite || devices.len() < 2 {
            self.pass_request(from, connection, request, contact.as_deref(), (asserted, body), None);
            return;
        }
        for (index, device) in devices.into_iter().enumerate() {
            let what = (asserted.clone(), body.clone());
            let to = device.connection;
            let passed = self.pass_request(from, to, request, Some(&device.contact), what, Some(index));
            if let (Some(invite), Some(call)) = (passed, self.calls.find(call_id)) {
                call.forks.push(Fork::new(device.connection, device.contact, invite));
            }
        }
    }

    fn forward_within(&mut self, from: ConnectionId, request: &Message, method: &Method, call_id: &str) {
        let now = self.state.clock.now();
        let Some(call) = self.calls.find(call_id) else { return };
        let side = call.sender(request);
        let established = call.established;
        let mut target = call.party(side.other()).clone();
        // Of several devices the one with this tag is meant, whether it has the call or answered too late for that.
        let tag = match side {
            Side::Caller => request.to().ok().and_then(|to| to.tag()),
            Side::Callee => request.from().ok().and_then(|from| from.tag()),
        };
        let mut too_late = false;
        if let Some((of, contact)) = call.fork_of(tag).map(|fork| (fork.connection, fork.contact.clone())) {
            too_late = established && !call.is_chosen(&contact);
            if side == Side::Caller && (too_late || !established) {
                (target.connection, target.user, target.contact) = (of, None, Some(contact));
            }
        }
        // A client that came back over a new connection is from now on there.
        if !too_late {
            call.party_mut(side).connection = from;
        }
        if !call.forks.is_empty() && !established {
            if *method == Method::Cancel {
                self.answer(from, request, 200, "");
                self.cancel_forks(call_id, None);
                return;
            }
            // Refusals were acknowledged when they came.
            if *method == Method::Ack {
                self.calls.remove(call_id);
                return;
            }
        }
        let mut message_for = None;
        if *method == Method::Bye && !too_late {
            message_for = call.message_left().map(|user| (user, call.caller.user.clone()));
            call.end(now);
        }
        if let Some((user, from)) = message_for {
            self.state.mail.leave(&user, from, Some(call_id));
            self.tell_of_mail();
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
        self.pass_request(from, connection, request, contact.as_deref(), (None, body), None);
        if *method == Method::Ack && self.calls.find(call_id).is_some_and(|call| call.ended.is_some()) {
            self.calls.remove(call_id);
        }
    }

    fn locate(&mut self, request: &Message) -> Target {
        let Some(user) = request_user(request) else { return Target::Unknown };
        let scripted = self.state.scripts.iter().any(|script| script.is_dialled_by(&user));
        // By its contact a far end is reached for a call that takes the place of another one only.
        let replacing = user == "far-end" && request.header(Name::Replaces).is_some();
        if scripted || replacing || far_end::Kind::of(&user).is_some() {
            return Target::FarEnd;
        }
        let Some((_, number)) = account::find(&self.state.accounts, &user) else { return Target::Unknown };
        let user = number.sip_user.clone();
        match self.bindings.newest(&user, self.state.clock.now()) {
            Some(newest) => {
                let devices = self.bindings.devices(&user, self.state.clock.now());
                Target::User { devices, newest, user }
            }
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
        device: Option<usize>,
    ) -> Option<Message> {
        let record_route = request.method() == Some(Method::Invite);
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
        let mark = forks::mark(device.unwrap_or(0));
        let branch = format!("z9hG4bK-{:016x}{mark}-{}", derived_branch(request, from), from.0);
        let (transport, sent_by) = (self.transport(to).as_str(), self.local(to));
        edit = edit.push_via(format!("SIP/2.0/{transport} {sent_by};branch={branch}"));
        match edit.build() {
            Ok(message) => {
                if record_route && let Some(call) = request.call_id().ok().and_then(|id| self.calls.find(id))
                {
                    call.invite.get_or_insert_with(|| message.clone());
                }
                self.send(to, message.clone());
                Some(message)
            }
            Err(error) => {
                tracing::debug!(%error, "a request could not be forwarded");
                self.answer(from, request, 400, "");
                None
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
        let (mut status, method) =
            (response.status().unwrap_or_default(), response.cseq().ok().map(|cseq| cseq.method));
        // An answer to a request of the proxy's own, such as CANCEL.
        if response.values(Name::Via).count() < 2 {
            return;
        }
        let now = self.state.clock.now();
        let instead;
        let mut response = response;
        if method == Some(Method::Invite) {
            match self.on_fork(&call_id, response, status, now) {
                Goes::On => {}
                Goes::Nowhere => return,
                Goes::Instead(best) => {
                    instead = best;
                    response = &instead;
                    status = response.status().unwrap_or_default();
                }
            }
        }
        let mut edit = Edit::new(response).pop_via();
        let mut body = None;
        if let Some(call) = self.calls.find(&call_id) {
            let side = call.sender(response).other();
            if method == Some(Method::Invite) && (200..300).contains(&status) {
                call.established = true;
            } else if method == Some(Method::Invite) && status >= 300 && !call.established {
                call.end(now);
            }
            body = self.relayed_body(response, &call_id, side);
            if method == Some(Method::Invite) && side == Side::Callee {
                body = self.spoiled(&call_id, response, status, body);
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
        let ended = self.calls.find(&call_id).is_some_and(|call| call.ended.is_some());
        if status >= 200 && method == Some(Method::Bye) && ended {
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
        if call.ended.is_some() {
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
                *slot = relay.open(call_id, index, &line.kind, call.access.as_ref());
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
