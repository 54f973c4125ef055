//! The far ends: numbers of the carrier that answer calls in a documented way (docs/mock.md lists them).
//!
//! One task plays all of them as user agent servers (RFC 3261 section 13.3) behind the proxy, over a connection that only
//! exists in memory. Their media is reached through the relay like anyone's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use z5_sip::ident::Ident;
use z5_sip::wire::{Message, Method, Name, ResponseBuilder};

use crate::clock;
use crate::fault::Fault;
use crate::imagined::Imagined;
use crate::impairment::{Burst, Impairment};
use crate::relay::Ports;
use crate::sip::proxy::request_user;
use crate::sip::switch::{SERVER, address};
use crate::sip::{FAR_ENDS, Input};
use crate::state::State;

mod answer;
mod feedback;
mod film;
mod kind;
mod location;
mod media;
mod offer;
mod placed;
mod recording;
mod rtp;
pub(crate) mod script;
mod text;
mod transfer;
mod within;

pub use kind::Kind;

/// What far ends take within a call (RFC 3261 section 20.5).
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, MESSAGE, PRACK, REFER, NOTIFY";
/// Calls of far ends at a time; further ones are answered 486.
const MAX_CALLS: usize = 2048;
/// Ports in a simulation.
const IMAGINED_PORTS: RangeInclusive<u16> = 40_000..=49_999;
/// How long the announcement lasts.
const ANNOUNCEMENT: Duration = Duration::from_secs(3);
/// How long the slow far end rings.
const SLOW: Duration = Duration::from_secs(2);
/// How long the one that hangs up stays.
const HANG_UP_AFTER: Duration = Duration::from_secs(1);
/// When a far end changes a running call, and how long it holds.
const CHANGE_AFTER: Duration = Duration::from_secs(1);
/// What the announcement says.
pub(crate) const ANNOUNCEMENT_TEXT: &str = "Welcome to z5.";
/// How long the queue of the relay service is, and what is said in it and after it.
const QUEUE: Duration = Duration::from_secs(2);
const QUEUE_TEXT: &str = "You are number 1 in the queue. Please hold.";
const INTERPRETER_TEXT: &str = "Interpreter 42 is here. Go ahead.";
/// What the video mail greets with.
const VIDEO_MAIL_TEXT: &str = "Nobody is here. Leave a message and hang up.";

/// What a far end will do later, unless the call ends first.
#[derive(Clone, Copy, Debug)]
enum Later {
    Answer,
    HangUp,
    Reinvite,
    Hold,
    Resume,
    /// An interpreter takes the call out of the queue.
    Interpreter,
    /// The caller is asked to call the echo.
    Transfer,
    /// A call that was placed has rung long enough.
    GiveUp,
    /// A scripted far end goes on with this step.
    Script(usize),
    /// Its 2xx to the request of this number has no ACK after so long, the last pause included.
    Unacknowledged {
        cseq: u32,
        waited: Duration,
        pause: Duration,
    },
}

enum Wake {
    Message(Message),
    Later(String, Later),
}

struct Call {
    kind: Kind,
    /// Which of the scripts of the carrier it plays.
    script: Option<usize>,
    /// What that types.
    typing: text::Typing,
    tag: String,
    invite: Message,
    /// The caller's last request with an offer.
    offer: Message,
    answered: bool,
    media: media::Lines,
    /// Our last description.
    description: String,
    /// The number of our last request.
    cseq: u32,
    /// Our re-INVITE that has no final answer yet.
    reinvite: Option<Message>,
    /// Our 2xx to an INVITE of this number, until its ACK is here.
    unacknowledged: Option<(u32, Message)>,
    /// Of a call that the far end placed itself.
    placed: Option<placed::Placed>,
    transfer: transfer::Transfer,
}

/// What a far end's own network does to its media, for the one that is dialled so; none where it has a good one.
pub(crate) fn impairment(scripts: &[script::Script], user: &str) -> Option<Impairment> {
    if let Some(script) = scripts.iter().find(|script| script.is_dialled_by(user)) {
        return script.impairment.clone();
    }
    (Kind::of(user) == Some(Kind::Lossy)).then(|| Impairment {
        loss: 0.05,
        burst: Some(Burst::of(0.02, 4.0)),
        jitter: Duration::from_millis(20),
        ..Impairment::default()
    })
}

impl Call {
    /// One that has come.
    fn new(kind: Kind, script: Option<usize>, tag: String, invite: &Message) -> Self {
        Self {
            kind,
            script,
            typing: text::Typing::default(),
            tag,
            invite: invite.clone(),
            offer: invite.clone(),
            answered: false,
            media: media::Lines::default(),
            description: String::new(),
            cseq: 0,
            reinvite: None,
            unacknowledged: None,
            placed: None,
            transfer: transfer::Transfer::default(),
        }
    }
}

/// Plays all far ends.
pub(crate) struct FarEnds {
    state: Arc<State>,
    ident: Ident,
    ports: Ports,
    calls: HashMap<String, Call>,
    timers: Timers,
}

/// What is to be done later.
enum Timers {
    /// In real time.
    Tasks(JoinSet<(String, Later)>),
    /// In a simulation, which asks for what is due.
    List(Vec<(Instant, String, Later)>),
}

impl FarEnds {
    pub(crate) fn new(state: Arc<State>, address: IpAddr) -> Self {
        Self::with(state, Ports::new(address, 0..=0), Timers::Tasks(JoinSet::new()))
    }

    /// Without sockets and tasks.
    pub(crate) fn imagined(state: Arc<State>, address: IpAddr, ports: Imagined) -> Self {
        Self::with(state, Ports::imagined(address, IMAGINED_PORTS, ports), Timers::List(Vec::new()))
    }

    fn with(state: Arc<State>, ports: Ports, timers: Timers) -> Self {
        Self { ident: Ident::from_seed(state.dice.number()), state, ports, calls: HashMap::new(), timers }
    }

    /// Plays them in real time.
    pub(crate) async fn run(
        mut self,
        mut messages: mpsc::UnboundedReceiver<Message>,
        switch: mpsc::Sender<Input>,
    ) {
        loop {
            let wake = tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => Wake::Message(message),
                    None => return,
                },
                Some((call_id, later)) = self.timers.next() => Wake::Later(call_id, later),
            };
            let out = match wake {
                Wake::Message(message) => self.handle(&message),
                Wake::Later(call_id, later) => self.on_later(&call_id, later),
            };
            for message in out {
                if switch.send(Input::Message { id: FAR_ENDS, message }).await.is_err() {
                    return;
                }
            }
        }
    }

    /// What far ends say to one message.
    pub(crate) fn handle(&mut self, message: &Message) -> Vec<Message> {
        match message.is_request() {
            true => self.on_request(message),
            false => self.on_response(message),
        }
    }

    /// In a simulation: when something is due.
    pub(crate) fn next_deadline(&self) -> Option<std::time::Instant> {
        match &self.timers {
            Timers::Tasks(_) => None,
            Timers::List(list) => list.iter().map(|(at, ..)| at.into_std()).min(),
        }
    }

    /// In a simulation: what far ends say by themselves at this time.
    pub(crate) fn due(&mut self, now: std::time::Instant) -> Vec<Message> {
        let Timers::List(list) = &mut self.timers else { return Vec::new() };
        let (mut due, later): (Vec<_>, Vec<_>) =
            std::mem::take(list).into_iter().partition(|(at, ..)| at.into_std() <= now);
        *list = later;
        due.sort_by_key(|(at, ..)| *at);
        due.into_iter().flat_map(|(_, call_id, later)| self.on_later(&call_id, later)).collect()
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.len()
    }

    fn on_request(&mut self, request: &Message) -> Vec<Message> {
        let (Some(method), Some(call_id)) = (request.method(), self.key(request)) else { return Vec::new() };
        let tag = self.calls.get(&call_id).map(|call| call.tag.clone());
        match (method, tag) {
            (Method::Ack, _) => {
                self.on_ack(request, &call_id);
                Vec::new()
            }
            (Method::Invite, None) => self.on_invite(request, call_id),
            (Method::Invite | Method::Update, Some(tag)) => self.on_reinvite(request, &call_id, &tag),
            (Method::Cancel, Some(tag)) => self.on_cancel(request, &call_id, &tag),
            (Method::Bye, Some(tag)) => {
                self.calls.remove(&call_id);
                self.state.mail.forget(&call_id);
                self.reply(request, 200, &tag).into_iter().collect()
            }
            (Method::Refer, Some(tag)) => self.on_refer(request, &call_id, &tag),
            (Method::Refer, None) => self.reply(request, 603, "").into_iter().collect(),
            (Method::Notify, Some(tag)) => self.on_notify(request, &call_id, &tag),
            (Method::Bye | Method::Cancel | Method::Notify, None) => {
                self.reply(request, 481, "").into_iter().collect()
            }
            (Method::Info, Some(tag)) => {
                if let Some(call) = self.calls.get(&call_id)
                    && request.body().windows(19).any(|window| window == b"picture_fast_update")
                {
                    call.media.give_picture();
                }
                self.reply(request, 200, &tag).into_iter().collect()
            }
            (Method::Options | Method::Info | Method::Message | Method::Prack, tag) => {
                self.reply(request, 200, &tag.unwrap_or_default()).into_iter().collect()
            }
            (_, tag) => self.reply(request, 405, &tag.unwrap_or_default()).into_iter().collect(),
        }
    }

    fn on_invite(&mut self, request: &Message, call_id: String) -> Vec<Message> {
        let replaced = match self.replaced(request) {
            Ok(replaced) => replaced,
            Err(status) => {
                let tag = self.ident.tag();
                return self.reply(request, status, &tag).into_iter().collect();
            }
        };
        if let Some(old) = replaced {
            return self.on_replacing(request, &call_id, &old);
        }
        let user = request_user(request).unwrap_or_default();
        let script = self.state.scripts.iter().position(|script| script.is_dialled_by(&user));
        if let Some(index) = script.filter(|_| self.calls.len() < MAX_CALLS) {
            return self.on_scripted(request, &call_id, index);
        }
        let kind = Kind::of(&user);
        let never_rings = kind.is_some() && self.state.faults.strikes(Fault::NeverRings);
        let nobody = kind.is_some() && self.state.faults.strikes(Fault::NobodyAnswers);
        let kind = kind.map(|kind| if never_rings || nobody { Kind::NoAnswer } else { kind });
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
            Kind::NoAnswer if never_rings => out.extend(self.reply(request, 100, "")),
            Kind::NoAnswer => out.extend(self.reply(request, 180, &tag)),
            Kind::SlowAnswer => {
                out.extend(self.reply(request, 180, &tag));
                self.later(&call_id, Later::Answer, SLOW);
            }
            Kind::EarlyMedia => self.later(&call_id, Later::Answer, SLOW),
            Kind::Echo | Kind::Announcement | Kind::Tone | Kind::Silent | Kind::Lossy | Kind::Transfer => {}
            Kind::HangUp | Kind::Emergency | Kind::Reinvite | Kind::Hold => {}
            Kind::Vrs | Kind::Interpreter | Kind::VideoMail => {}
        }
        self.calls.insert(call_id.clone(), Call::new(kind, None, tag, request));
        if kind == Kind::EarlyMedia {
            out.extend(self.answer(&call_id, 183));
        } else if !matches!(kind, Kind::NoAnswer | Kind::SlowAnswer) {
            out.extend(self.answer(&call_id, 200));
        }
        out
    }

    /// A call that takes the place of another: answered as that was, which is over then (RFC 3891 section 3).
    fn on_replacing(&mut self, request: &Message, call_id: &str, old: &str) -> Vec<Message> {
        let Some((kind, script)) = self.calls.get(old).map(|call| (call.kind, call.script)) else {
            return Vec::new();
        };
        let mut call = Call::new(kind, script, self.ident.tag(), request);
        // What comes later in the life of a far end came, or comes, in the call before.
        call.answered = true;
        self.calls.insert(call_id.to_owned(), call);
        let mut out: Vec<Message> = self.answer(call_id, 200).into_iter().collect();
        if self.calls.contains_key(call_id) {
            out.extend(self.on_later(old, Later::HangUp));
        }
        out
    }

    /// 200 or 183 with the session description, media started; 488 if there is nothing to agree on.
    fn answer(&mut self, call_id: &str, status: u16) -> Option<Message> {
        let call = self.calls.get_mut(call_id)?;
        let request = call.invite.clone();
        let tag = call.tag.clone();
        let kind = call.kind;
        let script = call.script.and_then(|index| self.state.scripts.get(index));
        let mut says = answer::says(&request, kind, script.map(|script| (script, &call.typing)));
        says.recording = (kind == Kind::VideoMail).then(|| self.state.mail.record(call_id));
        let now = self.state.clock.now();
        let answered = answer::answer(&request, kind, &says, &mut call.media, &mut self.ports, now);
        let Some(answered) = answered else {
            self.calls.remove(call_id);
            return self.reply(&request, 488, &tag);
        };
        call.description.clone_from(&answered);
        let scripted = call.script.is_some();
        if status == 200 && !std::mem::replace(&mut call.answered, true) && !scripted {
            let later = [
                (Kind::Announcement, Later::HangUp, ANNOUNCEMENT),
                (Kind::HangUp, Later::HangUp, HANG_UP_AFTER),
                (Kind::Reinvite, Later::Reinvite, CHANGE_AFTER),
                (Kind::Hold, Later::Hold, CHANGE_AFTER),
                (Kind::Vrs, Later::Interpreter, QUEUE),
                (Kind::Transfer, Later::Transfer, CHANGE_AFTER),
            ];
            if let Some((_, later, pause)) = later.into_iter().find(|(which, ..)| *which == kind) {
                self.later(call_id, later, pause);
            }
        }
        let response = self.with_description(&request, status, &tag, answered);
        self.await_ack(call_id, &request, response.as_ref());
        response
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
            .header(Name::Allow, ALLOW)
            .header(Name::Supported, "replaces, norefersub")
            .body("application/sdp", description);
        built(response.build())
    }

    fn on_reinvite(&mut self, request: &Message, call_id: &str, tag: &str) -> Vec<Message> {
        let Some(call) = self.calls.get_mut(call_id) else { return Vec::new() };
        if request.body().is_empty() && request.method() == Some(Method::Update) {
            return self.reply(request, 200, tag).into_iter().collect();
        }
        let script = call.script.and_then(|index| self.state.scripts.get(index));
        let mut says = answer::says(request, call.kind, script.map(|script| (script, &call.typing)));
        says.recording = (call.kind == Kind::VideoMail).then(|| self.state.mail.record(call_id));
        let now = self.state.clock.now();
        let answered = answer::answer(request, call.kind, &says, &mut call.media, &mut self.ports, now);
        if let Some(description) = &answered {
            call.description.clone_from(description);
            call.offer = request.clone();
        }
        let reply = match answered {
            Some(description) => self.with_description(request, 200, tag, description),
            None => self.reply(request, 488, tag),
        };
        self.await_ack(call_id, request, reply.as_ref());
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

    fn reply(&self, request: &Message, status: u16, tag: &str) -> Option<Message> {
        let mut response = ResponseBuilder::to_request(request, status, "").header(Name::Server, SERVER);
        if !tag.is_empty() {
            response = response.to_tag(tag);
        }
        if status == 405 {
            response = response.header(Name::Allow, ALLOW);
        }
        if (101..300).contains(&status) && request.method() == Some(Method::Invite) {
            let contact = address(&format!("sip:far-end@{};transport=tcp", self.state.addresses.sip))?;
            response = response.record_route(request).contact(&contact);
        }
        built(response.build())
    }

    fn later(&mut self, call_id: &str, later: Later, pause: Duration) {
        let call_id = call_id.to_owned();
        match &mut self.timers {
            Timers::Tasks(tasks) => {
                tasks.spawn(async move {
                    clock::after(pause).await;
                    (call_id, later)
                });
            }
            Timers::List(list) => list.push((self.state.clock.now() + pause, call_id, later)),
        }
    }
}

impl Timers {
    /// The next that is due in real time; none while nothing waits.
    async fn next(&mut self) -> Option<(String, Later)> {
        match self {
            Self::Tasks(tasks) => tasks.join_next().await?.ok(),
            Self::List(_) => None,
        }
    }
}

fn built<E: std::fmt::Display>(message: Result<Message, E>) -> Option<Message> {
    message.inspect_err(|error| tracing::debug!(%error, "a far end's message could not be built")).ok()
}
