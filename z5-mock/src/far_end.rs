//! The far ends: numbers of the carrier that answer calls in a documented way (docs/mock.md lists them).
//!
//! One task plays all of them as user agent servers (RFC 3261 section 13.3) behind the proxy, over a connection that only
//! exists in memory. Their media is real: UDP sockets, reached through the relay like anyone's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use z5_sip::ident::Ident;
use z5_sip::wire::{Message, Method, Name, RequestBuilder, ResponseBuilder, Transport};

use crate::clock;
use crate::fault::Fault;
use crate::relay::Ports;
use crate::sip::proxy::request_user;
use crate::sip::switch::{SERVER, address};
use crate::sip::{FAR_ENDS, Input};
use crate::state::State;

mod answer;
mod media;
mod rtp;
mod text;

/// Calls of far ends at a time; further ones are answered 486.
const MAX_CALLS: usize = 2048;
/// How long the announcement lasts.
const ANNOUNCEMENT: Duration = Duration::from_secs(3);
/// How long the slow far end rings.
const SLOW: Duration = Duration::from_secs(2);
/// How long the one that hangs up stays.
const HANG_UP_AFTER: Duration = Duration::from_secs(1);
/// What the announcement says.
pub(crate) const ANNOUNCEMENT_TEXT: &str = "Welcome to z5.";

/// The emergency number of the carrier's country.
const EMERGENCY_NUMBER: &str = "911";

/// What a far end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sends everything back.
    Echo,
    /// 486.
    Busy,
    /// 603.
    Decline,
    /// 180 until CANCEL.
    NoAnswer,
    /// 404.
    NotFound,
    /// 480.
    Unavailable,
    /// Tone and text, then BYE.
    Announcement,
    /// A tone until BYE.
    Tone,
    /// Answers and sends nothing.
    Silent,
    /// 302 to the echo.
    Redirect,
    /// 183 with media, then 200.
    EarlyMedia,
    /// Rings two seconds, then echoes.
    SlowAnswer,
    /// Echoes one second, then BYE.
    HangUp,
    /// 488.
    CodecRefusal,
    /// 911 and `urn:service:sos`: an echo.
    Emergency,
}

/// Every far end: its number's last three digits after +15555550, its name, what it does.
pub(crate) const FAR_ENDS_BY_NUMBER: [(&str, &str, Kind); 14] = [
    ("900", "echo", Kind::Echo),
    ("901", "busy", Kind::Busy),
    ("902", "decline", Kind::Decline),
    ("903", "noanswer", Kind::NoAnswer),
    ("904", "notfound", Kind::NotFound),
    ("905", "unavailable", Kind::Unavailable),
    ("906", "announcement", Kind::Announcement),
    ("907", "tone", Kind::Tone),
    ("908", "silent", Kind::Silent),
    ("909", "redirect", Kind::Redirect),
    ("910", "earlymedia", Kind::EarlyMedia),
    ("912", "slow", Kind::SlowAnswer),
    ("913", "hangup", Kind::HangUp),
    ("914", "codecrefusal", Kind::CodecRefusal),
];

impl Kind {
    /// The far end that a dialled user part means: E.164, digits, or name.
    pub fn of(user: &str) -> Option<Self> {
        if user == EMERGENCY_NUMBER || user == "urn:service:sos" || user.starts_with("urn:service:sos.") {
            return Some(Self::Emergency);
        }
        let digits = user.strip_prefix('+').unwrap_or(user);
        let last = digits.strip_prefix("15555550");
        let entry = FAR_ENDS_BY_NUMBER.iter().find(|(number, name, _)| last == Some(number) || user == *name);
        entry.map(|(_, _, kind)| *kind)
    }

    /// The number to dial.
    pub fn number(self) -> String {
        if self == Self::Emergency {
            return EMERGENCY_NUMBER.to_owned();
        }
        let entry = FAR_ENDS_BY_NUMBER.iter().find(|(_, _, kind)| *kind == self);
        entry.map_or_else(String::new, |(number, _, _)| format!("+15555550{number}"))
    }
}

/// What a far end will do later, unless the call ends first.
#[derive(Clone, Copy, Debug)]
enum Later {
    Answer,
    HangUp,
}

enum Wake {
    Message(Message),
    Later(String, Later),
}

struct Call {
    kind: Kind,
    tag: String,
    invite: Message,
    answered: bool,
    media: media::Lines,
}

/// Plays all far ends.
pub(crate) struct FarEnds {
    state: Arc<State>,
    switch: mpsc::Sender<Input>,
    ident: Ident,
    ports: Ports,
    calls: HashMap<String, Call>,
    timers: JoinSet<(String, Later)>,
}

impl FarEnds {
    pub(crate) fn new(state: Arc<State>, switch: mpsc::Sender<Input>, address: IpAddr) -> Self {
        Self {
            ident: Ident::from_seed(state.dice.number()),
            state,
            switch,
            ports: Ports::new(address, 0..=0),
            calls: HashMap::new(),
            timers: JoinSet::new(),
        }
    }

    pub(crate) async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        loop {
            let wake = tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => Wake::Message(message),
                    None => return,
                },
                Some(Ok((call_id, later))) = self.timers.join_next() => Wake::Later(call_id, later),
            };
            let out = match wake {
                Wake::Message(message) if message.is_request() => self.on_request(&message),
                // Answers to our BYE need nothing more: the call is gone already.
                Wake::Message(_) => Vec::new(),
                Wake::Later(call_id, later) => self.on_later(&call_id, later),
            };
            for message in out {
                if self.switch.send(Input::Message { id: FAR_ENDS, message }).await.is_err() {
                    return;
                }
            }
        }
    }

    fn on_request(&mut self, request: &Message) -> Vec<Message> {
        let (Some(method), Ok(call_id)) = (request.method(), request.call_id().map(str::to_owned)) else {
            return Vec::new();
        };
        let tag = self.calls.get(&call_id).map(|call| call.tag.clone());
        match (method, tag) {
            (Method::Ack, _) => Vec::new(),
            (Method::Invite, None) => self.on_invite(request, call_id),
            (Method::Invite | Method::Update, Some(tag)) => self.on_reinvite(request, &call_id, &tag),
            (Method::Cancel, Some(tag)) => self.on_cancel(request, &call_id, &tag),
            (Method::Bye, Some(tag)) => {
                self.calls.remove(&call_id);
                self.reply(request, 200, &tag).into_iter().collect()
            }
            (Method::Bye | Method::Cancel, None) => self.reply(request, 481, "").into_iter().collect(),
            (Method::Options | Method::Info | Method::Message | Method::Prack, tag) => {
                self.reply(request, 200, &tag.unwrap_or_default()).into_iter().collect()
            }
            (_, tag) => self.reply(request, 405, &tag.unwrap_or_default()).into_iter().collect(),
        }
    }

    fn on_invite(&mut self, request: &Message, call_id: String) -> Vec<Message> {
        let kind = request_user(request).and_then(|user| Kind::of(&user));
        let tag = self.ident.tag();
        let refuse = |status| self.reply(request, status, &tag).into_iter().collect();
        let Some(kind) = kind else { return refuse(404) };
        if self.calls.len() >= MAX_CALLS {
            return refuse(486);
        }
        let mut out: Vec<Message> = Vec::new();
        match kind {
            Kind::Busy => return refuse(486),
            Kind::Decline => return refuse(603),
            Kind::NotFound => return refuse(404),
            Kind::Unavailable => return refuse(480),
            Kind::CodecRefusal => return refuse(488),
            Kind::Redirect => {
                let contact =
                    format!("<sip:{}@{};user=phone>", Kind::Echo.number(), self.state.names.domain());
                let response =
                    ResponseBuilder::to_request(request, 302, "").to_tag(&tag).header(Name::Contact, contact);
                return response.build().into_iter().collect();
            }
            Kind::NoAnswer => out.extend(self.reply(request, 180, &tag)),
            Kind::SlowAnswer => {
                out.extend(self.reply(request, 180, &tag));
                self.later(&call_id, Later::Answer, SLOW);
            }
            Kind::EarlyMedia => self.later(&call_id, Later::Answer, SLOW),
            Kind::Echo | Kind::Announcement | Kind::Tone | Kind::Silent | Kind::HangUp | Kind::Emergency => {}
        }
        let call =
            Call { kind, tag, invite: request.clone(), answered: false, media: media::Lines::default() };
        self.calls.insert(call_id.clone(), call);
        if kind == Kind::EarlyMedia {
            out.extend(self.answer(&call_id, 183));
        } else if !matches!(kind, Kind::NoAnswer | Kind::SlowAnswer) {
            out.extend(self.answer(&call_id, 200));
        }
        out
    }

    /// 200 or 183 with the session description, media started; 488 if there is nothing to agree on.
    fn answer(&mut self, call_id: &str, status: u16) -> Option<Message> {
        let call = self.calls.get_mut(call_id)?;
        let request = call.invite.clone();
        let tag = call.tag.clone();
        let kind = call.kind;
        let answered = answer::answer(&request, kind, &mut call.media, &mut self.ports);
        let Some(answered) = answered else {
            self.calls.remove(call_id);
            return self.reply(&request, 488, &tag);
        };
        if status == 200 && !call.answered {
            call.answered = true;
            if kind == Kind::Announcement {
                self.later(call_id, Later::HangUp, ANNOUNCEMENT);
            } else if kind == Kind::HangUp {
                self.later(call_id, Later::HangUp, HANG_UP_AFTER);
            }
        }
        self.with_description(&request, status, &tag, answered)
    }

    fn with_description(
        &self,
        request: &Message,
        status: u16,
        tag: &str,
        description: String,
    ) -> Option<Message> {
        let contact = address(&format!("sip:far-end@{};transport=tcp", self.state.addresses.sip))?;
        let response = ResponseBuilder::to_request(request, status, "")
            .to_tag(tag)
            .record_route(request)
            .contact(&contact)
            .header(Name::Server, SERVER)
            .header(Name::Allow, "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, MESSAGE, PRACK")
            .body("application/sdp", description);
        built(response.build())
    }

    fn on_reinvite(&mut self, request: &Message, call_id: &str, tag: &str) -> Vec<Message> {
        let Some(call) = self.calls.get_mut(call_id) else { return Vec::new() };
        if request.body().is_empty() && request.method() == Some(Method::Update) {
            return self.reply(request, 200, tag).into_iter().collect();
        }
        let answered = answer::answer(request, call.kind, &mut call.media, &mut self.ports);
        let reply = match answered {
            Some(description) => self.with_description(request, 200, tag, description),
            None => self.reply(request, 488, tag),
        };
        reply.into_iter().collect()
    }

    fn on_cancel(&mut self, request: &Message, call_id: &str, tag: &str) -> Vec<Message> {
        let mut out: Vec<Message> = self.reply(request, 200, tag).into_iter().collect();
        if self.calls.get(call_id).is_some_and(|call| !call.answered)
            && let Some(call) = self.calls.remove(call_id)
        {
            out.extend(self.reply(&call.invite, 487, tag));
        }
        out
    }

    fn on_later(&mut self, call_id: &str, later: Later) -> Vec<Message> {
        match later {
            Later::Answer if self.calls.get(call_id).is_some_and(|call| !call.answered) => {
                self.answer(call_id, 200).into_iter().collect()
            }
            Later::Answer => Vec::new(),
            Later::HangUp => {
                let Some(call) = self.calls.remove(call_id) else { return Vec::new() };
                let bye = self.bye(&call, call_id);
                let copy = bye.clone().filter(|_| self.state.faults.strikes(Fault::DuplicateBye));
                bye.into_iter().chain(copy).collect()
            }
        }
    }

    /// A BYE of the called side: From and To exchanged, the route as it was recorded (RFC 3261 section 12.1.1).
    fn bye(&mut self, call: &Call, call_id: &str) -> Option<Message> {
        let invite = &call.invite;
        let target = invite.contact().ok()?.uri.as_str().to_owned();
        let sent_by = format!("far-end.{}", self.state.names.domain());
        let from = format!("{};tag={}", invite.text(Name::To)?, call.tag);
        let mut bye = RequestBuilder::new(Method::Bye, target)
            .via(Transport::Tcp, sent_by, &self.ident.branch())
            .max_forwards(70)
            .header(Name::From, from)
            .header(Name::To, invite.text(Name::From)?.as_bytes())
            .call_id(call_id)
            .cseq(1)
            .header(Name::UserAgent, SERVER);
        for route in invite.values(Name::RecordRoute) {
            bye = bye.header(Name::Route, route);
        }
        built(bye.build())
    }

    fn reply(&self, request: &Message, status: u16, tag: &str) -> Option<Message> {
        let mut response = ResponseBuilder::to_request(request, status, "").header(Name::Server, SERVER);
        if !tag.is_empty() {
            response = response.to_tag(tag);
        }
        if (101..300).contains(&status) && request.method() == Some(Method::Invite) {
            let contact = address(&format!("sip:far-end@{};transport=tcp", self.state.addresses.sip))?;
            response = response.record_route(request).contact(&contact);
        }
        built(response.build())
    }

    fn later(&mut self, call_id: &str, later: Later, pause: Duration) {
        let call_id = call_id.to_owned();
        self.timers.spawn(async move {
            clock::after(pause).await;
            (call_id, later)
        });
    }
}

fn built<E: std::fmt::Display>(message: Result<Message, E>) -> Option<Message> {
    message.inspect_err(|error| tracing::debug!(%error, "a far end's message could not be built")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_end_is_dialled_by_number_digits_or_name() {
        for (number, name, kind) in FAR_ENDS_BY_NUMBER {
            let number = format!("+15555550{number}");
            assert_eq!(Kind::of(&number), Some(kind));
            assert_eq!(Kind::of(&number[1..]), Some(kind));
            assert_eq!(Kind::of(name), Some(kind));
            assert_eq!(kind.number(), number);
        }
        assert_eq!(Kind::of("+15555550101"), None);
    }
}
