//! One message: the verdict on it, its start line, its fields, its faults and its body.

use std::time::Instant;

use serde::Serialize;

use super::headers::{self, HeaderLine, without_password};
use super::place::{self, Place};
use super::session::{self, SessionSeen};
use super::{Framing, Judgement, Options, UserAgentSays, Verdict, asked};
use crate::multipart::{self, BodyPart};
use crate::ua;
use crate::wire::{self, DropReason, Fault, FrameError, Message, Method, Name, StartLine, reason_phrase};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// What to do with it.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// Where it begins in the input, in bytes.
    pub offset: usize,
    /// The same as a line number, from one.
    pub line: usize,
    /// How long it is, in bytes; as far as it could be read.
    pub length: usize,
    /// The first line; `None` when there is no message.
    pub start: Option<StartSeen>,
    /// Every header field in its order.
    pub headers: Vec<HeaderLine>,
    /// Everything that is wrong, the fault behind the verdict first.
    pub faults: Vec<FaultAt>,
    /// What a registered user agent without calls does with a request that is well-formed.
    pub user_agent: Option<UserAgentSays>,
    /// The body; `None` without one.
    pub body: Option<Body>,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum StartSeen {
    /// A request.
    Request {
        /// Its method.
        method: String,
        /// Its Request-URI, without a password.
        uri: String,
        /// Its version.
        version: String,
    },
    /// A response.
    Response {
        /// Its status; 0 when what stands there is none.
        status: u16,
        /// Its phrase.
        phrase: String,
        /// Its version.
        version: String,
    },
}

/// Something wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultAt {
    /// The header field, where it is one.
    pub header: Option<String>,
    /// The place in the input, in bytes.
    pub offset: usize,
    /// The same as a line number, from one.
    pub line: usize,
    /// What.
    pub what: String,
}

/// A body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Body {
    /// Its media type as written, without parameters.
    pub media_type: Option<String>,
    /// Its length in bytes.
    pub length: usize,
    /// What it holds, when it has several parts that can be told apart (RFC 5621).
    pub parts: Vec<PartSeen>,
    /// What it says, when it is a session description or one of its parts is.
    pub session: Option<SessionSeen>,
}

/// One of several parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartSeen {
    /// Its media type, without parameters, in small letters.
    pub media_type: String,
    /// What a `cid:` URI names it by.
    pub content_id: Option<String>,
    /// Its length in bytes.
    pub length: usize,
}

/// Explains a message that begins `here`.
pub(super) fn explain(
    message: &Message,
    here: Place<'_>,
    framing: Framing,
    options: &Options,
    now: Instant,
) -> Explained {
    let headers = headers::explain(message, here.start, &mut here.lines());
    let verdict = ua::rules().validate(message);
    let body = body(message, options);
    let user_agent = match (&verdict, message.is_request() && message.method() != Some(Method::Ack)) {
        (wire::Verdict::Accept, true) => asked::ask(message, framing, now),
        (_, _) => None,
    };
    let session = body.as_ref().and_then(|body| body.session.as_ref());
    let mut judgement = judge(&verdict, user_agent.as_ref(), session);
    let bare = place::bare_line_feeds(message.as_bytes());
    if matches!(fault_of(&verdict), Some(Fault::Flaw(_))) && bare > 0 && !head_has_line_breaks(message) {
        let why = "every line ends in a bare LF, as in a text file, where SIP has CR LF; read it with --fix-newlines";
        judgement.reason = Some(why.to_owned());
    }
    let mut faults: Vec<FaultAt> =
        fault_of(&verdict).map(|fault| place_of(fault, message, here, &headers)).into_iter().collect();
    for field in &headers {
        for what in &field.faults {
            let known =
                |fault: &FaultAt| fault.header.as_deref() == Some(&field.name) && fault.what.ends_with(what);
            if !faults.iter().any(known) {
                faults.push(FaultAt {
                    header: Some(field.name.clone()),
                    offset: field.offset,
                    line: field.line,
                    what: what.clone(),
                });
            }
        }
    }
    // A refused request never gets as far as what a user agent would do with it.
    let user_agent = user_agent.filter(|_| judgement.verdict != Verdict::Refuse);
    Explained {
        judgement,
        offset: here.start,
        line: here.line,
        length: message.as_bytes().len(),
        start: Some(start_line(message)),
        headers,
        faults,
        user_agent,
        body,
    }
}

/// Bytes that are no message.
pub(super) fn unreadable(here: Place<'_>, why: &str) -> Explained {
    Explained {
        judgement: Judgement::drop(why),
        offset: here.start,
        line: here.line,
        length: here.input.len().saturating_sub(here.start),
        start: None,
        headers: Vec::new(),
        faults: Vec::new(),
        user_agent: None,
        body: None,
    }
}

/// A message after which a stream cannot go on. Of a request whose head can be read a user agent still says what was
/// wrong; then it closes the connection.
pub(super) fn unframed(
    here: Place<'_>,
    error: FrameError,
    refused: Option<&Message>,
    options: &Options,
) -> Explained {
    let Some(head) = refused else { return unreadable(here, &error.to_string()) };
    let headers = headers::explain(head, here.start, &mut here.lines());
    let answered = head.is_request() && head.method() != Some(Method::Ack);
    let judgement = match error.status().filter(|_| answered) {
        Some(status) => {
            let reason = format!("{error}; the connection is closed after the answer");
            Judgement::refuse(status, reason_phrase(status), reason)
        }
        None => Judgement::drop(format!("{error}; the connection is closed")),
    };
    let length = headers.iter().rev().find(|field| field.name == "Content-Length");
    let (offset, line) = length.map_or((here.start, here.line), |field| (field.offset, field.line));
    Explained {
        judgement,
        offset: here.start,
        line: here.line,
        length: here.input.len().saturating_sub(here.start),
        start: Some(start_line(head)),
        faults: vec![FaultAt {
            header: length.map(|field| field.name.clone()),
            offset,
            line,
            what: error.to_string(),
        }],
        headers,
        user_agent: None,
        body: body(head, options),
    }
}

/// The verdict: the rules first, then what a user agent finds, then what the offer comes to.
fn judge(
    verdict: &wire::Verdict,
    user_agent: Option<&UserAgentSays>,
    session: Option<&SessionSeen>,
) -> Judgement {
    match verdict {
        wire::Verdict::Drop { why } => Judgement::drop(why.to_string()),
        wire::Verdict::Refuse { status, fault, .. } => {
            Judgement::refuse(*status, reason_phrase(*status), fault.to_string())
        }
        wire::Verdict::Accept => {
            let bad_session =
                session.filter(|seen| seen.as_offer && seen.judgement.verdict == Verdict::Refuse);
            let refused = user_agent.filter(|says| !says.for_want_of_context);
            match (refused.and_then(|says| says.status).filter(|status| *status >= 300), bad_session) {
                // The description's own words say more than a status.
                (Some(status), Some(seen)) if seen.judgement.status == Some(status) => seen.judgement.clone(),
                (Some(status), _) => Judgement::refuse(
                    status,
                    reason_phrase(status),
                    "as a user agent answers it; see RFC 3261 section 21",
                ),
                (None, Some(seen)) if user_agent.is_some_and(|says| says.rings) => seen.judgement.clone(),
                (None, _) => Judgement::accept(),
            }
        }
    }
}

fn fault_of(verdict: &wire::Verdict) -> Option<&Fault> {
    match verdict {
        wire::Verdict::Accept | wire::Verdict::Drop { why: DropReason::NotForUs } => None,
        wire::Verdict::Refuse { fault, .. } => Some(fault),
        wire::Verdict::Drop { why: DropReason::Response(fault) | DropReason::Ack(fault) } => Some(fault),
    }
}

/// The head of a message.
fn head(message: &Message) -> &[u8] {
    let all = message.as_bytes();
    all.get(..all.len() - message.body().len()).unwrap_or(all)
}

fn head_has_line_breaks(message: &Message) -> bool {
    memchr::memmem::find(head(message), b"\r\n").is_some()
}

/// Where the fault behind a verdict stands.
fn place_of(fault: &Fault, message: &Message, here: Place<'_>, headers: &[HeaderLine]) -> FaultAt {
    let start = here.start;
    let named = |name: &str| headers.iter().find(|field| field.name == name);
    let second = |name: &str| headers.iter().filter(|field| field.name == name).nth(1);
    let (header, offset) = match fault {
        Fault::Flaw(flaw) => (None, start + place::of_flaw(head(message), *flaw)),
        Fault::Version | Fault::RequestUri(_) | Fault::RequestUriHeaders | Fault::Scheme => (None, start),
        // what is missing stands nowhere: the end of the head is where it would have been
        Fault::Missing(name) => (Some(*name), start + head(message).len()),
        Fault::Repeated(name) => (Some(*name), second(name).map_or(start, |field| field.offset)),
        Fault::Header { name, .. } => {
            let faulty = headers.iter().find(|field| field.name == *name && !field.faults.is_empty());
            (Some(*name), faulty.or_else(|| named(name)).map_or(start, |field| field.offset))
        }
        Fault::Date => (Some("Date"), named("Date").map_or(start, |field| field.offset)),
        Fault::CSeqMethod => (Some("CSeq"), named("CSeq").map_or(start, |field| field.offset)),
        Fault::Hops => (Some("Max-Forwards"), named("Max-Forwards").map_or(start, |field| field.offset)),
        Fault::Extensions(_) => (Some("Require"), named("Require").map_or(start, |field| field.offset)),
        Fault::MediaType => (Some("Content-Type"), named("Content-Type").map_or(start, |field| field.offset)),
        Fault::NotAcceptable => (Some("Accept"), named("Accept").map_or(start, |field| field.offset)),
    };
    FaultAt {
        header: header.map(str::to_owned),
        offset,
        line: here.lines().line_of(offset),
        what: fault.to_string(),
    }
}

fn start_line(message: &Message) -> StartSeen {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match message.start() {
        StartLine::Request { method, uri, version } => StartSeen::Request {
            method: method.as_str().to_owned(),
            uri: without_password(&text(uri)),
            version: text(version),
        },
        StartLine::Response { version, status, reason } => {
            StartSeen::Response { status, phrase: text(reason), version: text(version) }
        }
    }
}

fn body(message: &Message, options: &Options) -> Option<Body> {
    let bytes = message.body();
    if bytes.is_empty() {
        return None;
    }
    let media_type = message.content_type();
    let is_sdp = media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/sdp"));
    // RFC 3264 and RFC 3311: these requests carry offers; a PRACK may carry either (RFC 3262 section 5).
    let offers = matches!(message.method(), Some(Method::Invite | Method::Update));
    let plain =
        message.values(Name::ContentEncoding).all(|encoding| encoding.eq_ignore_ascii_case(b"identity"));
    let parts = match multipart::is_multipart(message) {
        true => multipart::read(message).unwrap_or_default(),
        false => Vec::new(),
    };
    let part = parts.iter().find(|part| part.media_type() == "application/sdp");
    let description = if is_sdp { Some(bytes) } else { part.map(|part| part.body.as_bytes()) };
    let seen = |part: &BodyPart| PartSeen {
        media_type: part.media_type(),
        content_id: part.content_id.clone(),
        length: part.body.as_bytes().len(),
    };
    Some(Body {
        media_type: media_type.map(str::to_owned),
        length: bytes.len(),
        parts: parts.iter().map(seen).collect(),
        session: description
            .filter(|_| plain)
            .map(|bytes| session::explain(bytes, &options.capabilities, offers)),
    })
}
