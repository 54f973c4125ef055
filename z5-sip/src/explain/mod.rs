//! What the wire layer sees in bytes, said so that a person can follow it: the verdict on each message, its header
//! fields taken apart, and what comes of its session description line by line.
//!
//! The verdict is that of [`crate::ua::rules`] (RFC 3261 sections 8.1.3, 8.2 and 18.3) and of the session description,
//! the same that a [`crate::ua::UserAgent`] acts on: one is asked for every request that passes, and what it answers is
//! told beside it. Passwords, keys and answers to challenges are never part of an explanation; names and numbers are.
//! Nothing here reads files or prints; `z5 explain` does.

mod asked;
mod headers;
mod message;
mod place;
mod session;
#[cfg(test)]
mod tests;

use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;

use crate::sdp::Capabilities;
use crate::wire::{Frame, Framer, Limits, Message};

use place::{Lines, Place};

pub use asked::UserAgentSays;
pub use headers::{HeaderLine, Typed};
pub use message::{Body, Explained, FaultAt, PartSeen, StartSeen};
pub use session::{Chosen, Handshake, Key, LineSeen, Refused, SessionSeen};

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// SIP messages.
    Sip,
    /// A session description alone.
    Sdp,
}

/// How messages are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// One message, as UDP carries it: what stands behind its body is no part of it.
    Datagram,
    /// One after the other, as TCP and TLS carry them: each has exactly one Content-Length.
    Stream,
}

/// How the bytes are to be read.
#[derive(Clone, Debug)]
pub struct Options {
    /// `None`: a session description begins with `v=`, all else is SIP.
    pub kind: Option<Kind>,
    /// `None`: a stream when a message follows the first one, else a datagram.
    pub framing: Option<Framing>,
    /// Read every bare LF as CR LF, as an editor may have left it.
    pub fix_newlines: bool,
    /// What offers are answered with.
    pub capabilities: Capabilities,
}

/// What to do with a message, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Go on with it.
    Accept,
    /// A request that is answered with an error status.
    Refuse,
    /// Not answered and not acted on.
    Drop,
}

/// A verdict with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// What to do.
    pub verdict: Verdict,
    /// With [`Verdict::Refuse`]: what a user agent answers.
    pub status: Option<u16>,
    /// With [`Verdict::Refuse`]: the phrase of the answer.
    pub phrase: Option<String>,
    /// What is wrong, in words.
    pub reason: Option<String>,
}

impl Judgement {
    pub(crate) fn accept() -> Self {
        Self { verdict: Verdict::Accept, status: None, phrase: None, reason: None }
    }

    pub(crate) fn refuse(status: u16, phrase: &str, reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Refuse,
            status: Some(status),
            phrase: Some(phrase.to_owned()),
            reason: Some(reason.into()),
        }
    }

    pub(crate) fn drop(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Drop, status: None, phrase: None, reason: Some(reason.into()) }
    }
}

/// Everything there is to say about some bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The worst of all messages; of several equally bad ones the first.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// What the bytes are.
    pub kind: Kind,
    /// How messages were told apart; `None` for a session description.
    pub framing: Option<Framing>,
    /// The messages in their order.
    pub messages: Vec<Explained>,
    /// A session description that stands alone.
    pub session: Option<SessionSeen>,
    /// Keep-alives between messages of a stream (RFC 5626 section 3.5.1).
    pub keep_alives: usize,
    /// What else there is to know about the bytes.
    pub notes: Vec<String>,
}

/// Explains bytes. `now` is any instant: a user agent without a past is asked at it.
#[must_use]
pub fn explain(input: &[u8], options: &Options, now: Instant) -> Explanation {
    let mut notes = Vec::new();
    let bytes = match place::bare_line_feeds(input) {
        0 => Bytes::copy_from_slice(input),
        count if options.fix_newlines => {
            notes.push(format!("{count} bare LF were read as CR LF"));
            Bytes::from(place::with_line_breaks(input))
        }
        _ => Bytes::copy_from_slice(input),
    };
    let kind = options.kind.unwrap_or_else(|| match bytes.trim_ascii_start() {
        [b'v', b'=', ..] => Kind::Sdp,
        _ => Kind::Sip,
    });
    match kind {
        Kind::Sdp => {
            let session = session::explain(&bytes, &options.capabilities, true);
            Explanation {
                judgement: session.judgement.clone(),
                kind,
                framing: None,
                messages: Vec::new(),
                session: Some(session),
                keep_alives: 0,
                notes,
            }
        }
        Kind::Sip => messages(bytes, options, notes, now),
    }
}

fn messages(bytes: Bytes, options: &Options, mut notes: Vec<String>, now: Instant) -> Explanation {
    let framing = options.framing.unwrap_or_else(|| match follows(&bytes) {
        true => Framing::Stream,
        false => Framing::Datagram,
    });
    let (messages, keep_alives) = match framing {
        Framing::Datagram => (vec![datagram(&bytes, options, &mut notes, now)], 0),
        Framing::Stream => stream(&bytes, options, now),
    };
    let mut judgement = Judgement::drop("there is no message");
    for (at, message) in messages.iter().enumerate() {
        if at == 0 || message.judgement.verdict > judgement.verdict {
            judgement = message.judgement.clone();
        }
    }
    Explanation {
        judgement,
        kind: Kind::Sip,
        framing: Some(framing),
        messages,
        session: None,
        keep_alives,
        notes,
    }
}

/// Whether another message follows the first one, as on a stream.
fn follows(bytes: &Bytes) -> bool {
    let Ok(first) = Message::parse_datagram(bytes.clone()) else { return false };
    if first.header(crate::wire::Name::ContentLength).is_none() {
        return false;
    }
    let end = place::start_of(bytes) + first.as_bytes().len();
    bytes.get(end..).is_some_and(|rest| Message::parse_datagram(bytes.slice_ref(rest)).is_ok())
}

fn datagram(bytes: &Bytes, options: &Options, notes: &mut Vec<String>, now: Instant) -> Explained {
    let start = place::start_of(bytes);
    let here = Place { input: bytes, start, line: Lines::new(bytes).line_of(start) };
    match Message::parse_datagram(bytes.clone()) {
        Ok(message) => {
            let length = message.as_bytes().len();
            let behind = bytes.len() - start - length;
            if behind > 0 {
                notes.push(format!("{behind} bytes behind the message are no part of it"));
            }
            message::explain(&message, here, Framing::Datagram, options, now)
        }
        Err(error) => message::unreadable(here, &error.to_string()),
    }
}

fn stream(bytes: &Bytes, options: &Options, now: Instant) -> (Vec<Explained>, usize) {
    let mut framer = Framer::accepting(Limits::default());
    framer.push(bytes);
    let (mut messages, mut keep_alives, mut at) = (Vec::new(), 0, 0);
    let mut lines = Lines::new(bytes);
    while let Some(frame) = framer.next() {
        match frame {
            Ok(Frame::Message(message)) => {
                let start = bytes.len() - framer.buffered() - message.as_bytes().len();
                at = start + message.as_bytes().len();
                let here = Place { input: bytes, start, line: lines.line_of(start) };
                messages.push(message::explain(&message, here, Framing::Stream, options, now));
            }
            Ok(Frame::Ping | Frame::Pong) => {
                keep_alives += 1;
                at = bytes.len() - framer.buffered();
            }
            Err(error) => {
                let start = at + place::start_of(&bytes[at..]);
                let here = Place { input: bytes, start, line: lines.line_of(start) };
                messages.push(message::unframed(here, error, framer.refused(), options));
                return (messages, keep_alives);
            }
        }
    }
    // Line breaks that are left may be the first half of a keep-alive.
    let rest = bytes.len() - framer.buffered();
    if bytes[rest..].iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
        let why = "the stream ends before the message does: its end is still awaited";
        let start = rest + place::start_of(&bytes[rest..]);
        messages.push(message::unreadable(Place { input: bytes, start, line: lines.line_of(start) }, why));
    }
    (messages, keep_alives)
}
