//! The SIP messages of a session, for a report: redacted when they pass, so that no credential, token or key is ever kept.
//!
//! Bounded: a call that lasts for days keeps its beginning and its newest messages. DNS and HTTPS are not traced.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use z5_sip::wire::{Message, Reveal, StartLine, redact_but};

/// Messages kept from the beginning: the registration and the set-up of a call.
const FIRST: usize = 100;
/// The newest messages kept beside them.
const NEWEST: usize = 200;
/// Bytes of one message's redacted form; what is longer is cut.
const LONGEST: usize = 16 * 1024;

/// Where the messages of a session are noted. Shared between the session and the application.
#[derive(Debug, Default)]
pub struct SipTrace {
    people: bool,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    first: Vec<TracedMessage>,
    newest: VecDeque<TracedMessage>,
    left_out: u64,
}

/// What a trace has.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Traced {
    /// In the order in which they passed.
    pub messages: Vec<TracedMessage>,
    /// How many between the first and the newest were dropped.
    pub left_out: u64,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TracedMessage {
    /// Milliseconds since the session started.
    pub at_ms: f64,
    /// We sent it; else it came.
    pub sent: bool,
    /// `tcp`, `tls` or `udp`.
    pub transport: &'static str,
    /// Our address.
    pub local: SocketAddr,
    /// The server's.
    pub remote: SocketAddr,
    /// The method of a request, or of the request that a response answers.
    pub method: Option<String>,
    /// Of a response.
    pub status: Option<u16>,
    /// The number of CSeq.
    pub cseq: Option<u32>,
    /// Equal for messages of one Call-ID.
    pub dialog: String,
    /// Its size on the wire.
    pub bytes: usize,
    /// The redacted form.
    pub text: String,
}

impl SipTrace {
    /// A trace that shows no user, number or name.
    pub fn new() -> Self {
        Self::default()
    }

    /// A trace with users, numbers and display names.
    pub fn with_people() -> Self {
        Self { people: true, ..Self::default() }
    }

    /// What passed up to now.
    pub fn traced(&self) -> Traced {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = kept.first.iter().chain(&kept.newest).cloned().collect();
        Traced { messages, left_out: kept.left_out }
    }

    pub(crate) fn note(
        &self,
        message: &Message,
        (at_ms, sent): (f64, bool),
        transport: &'static str,
        (local, remote): (SocketAddr, SocketAddr),
    ) {
        let reveal = if self.people { Reveal::People } else { Reveal::Nothing };
        let mut text = redact_but(message, reveal);
        if text.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            text.push_str("\n(the rest is left out)\n");
        }
        let view = message.view();
        let status = match view.start() {
            StartLine::Response { status, .. } => Some(status),
            StartLine::Request { .. } => None,
        };
        let cseq = view.cseq().ok();
        // The redacted form of Call-ID is a mark that tells calls apart and says nothing else.
        let dialog = text.lines().find_map(|line| line.strip_prefix("Call-ID: ")).unwrap_or_default();
        let noted = TracedMessage {
            at_ms,
            sent,
            transport,
            local,
            remote,
            method: cseq.as_ref().map(|cseq| cseq.method.as_str().to_owned()),
            status,
            cseq: cseq.map(|cseq| cseq.number),
            dialog: dialog.to_owned(),
            bytes: message.as_bytes().len(),
            text,
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.first.len() < FIRST {
            kept.first.push(noted);
            return;
        }
        if kept.newest.len() == NEWEST {
            kept.newest.pop_front();
            kept.left_out += 1;
        }
        kept.newest.push_back(noted);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn note(trace: &SipTrace, number: u32, more: &str) {
        let text = format!(
            "OPTIONS sip:bob@b.test SIP/2.0\r\nCall-ID: call-{number}\r\nCSeq: {number} OPTIONS\r\n{more}Content-Length: 0\r\n\r\n"
        );
        let message = Message::parse_datagram(Bytes::from(text)).unwrap();
        let ends = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        trace.note(&message, (f64::from(number), true), "udp", ends);
    }

    #[test]
    fn a_long_session_keeps_its_beginning_and_its_end() {
        let trace = SipTrace::new();
        let all = (FIRST + NEWEST + 7) as u32;
        (0..all).for_each(|number| note(&trace, number, ""));
        let traced = trace.traced();
        assert_eq!(traced.messages.len(), FIRST + NEWEST);
        assert_eq!(traced.left_out, 7);
        assert_eq!(traced.messages[FIRST - 1].cseq, Some(FIRST as u32 - 1));
        assert_eq!(traced.messages[FIRST].cseq, Some(FIRST as u32 + 7));
        assert_eq!(traced.messages.last().unwrap().cseq, Some(all - 1));
        assert_ne!(traced.messages[0].dialog, traced.messages[1].dialog);
    }

    #[test]
    fn people_are_shown_where_that_was_asked_for_and_secrets_never() {
        let secret = "From: <sip:+15555550102@b.test>;tag=a\r\nAuthorization: Digest username=\"u\", response=\"deadbeef\"\r\n";
        for (trace, shown) in [(SipTrace::new(), false), (SipTrace::with_people(), true)] {
            note(&trace, 1, secret);
            let text = &trace.traced().messages[0].text;
            assert_eq!(text.contains("5555550102"), shown, "{text}");
            assert!(!text.contains("deadbeef"), "{text}");
        }
    }

    #[test]
    fn an_enormous_message_is_cut() {
        let trace = SipTrace::new();
        note(&trace, 1, &format!("User-Agent: {}\r\n", "ä".repeat(LONGEST / 6)).repeat(5));
        let message = &trace.traced().messages[0];
        assert!(message.text.len() < LONGEST + 40 && message.text.ends_with("left out)\n"));
        assert!(message.bytes > LONGEST);
    }
}
