//! What a session sees of its own wires, for a report or a judgement: its SIP messages, redacted when they pass, so that no credential,
//! token or key is ever kept; and its connections for SIP with what their TLS handshakes came to.
//!
//! Bounded: a call that lasts for days keeps its beginning and its newest. DNS and HTTPS are not traced.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use z5_sip::wire::{Message, Name, Reveal, StartLine, redact_but};

use crate::preflight::CertificateFacts;

/// Messages (and connections) kept from the beginning: the registration and the set-up of a call.
const FIRST: usize = 100;
/// The newest kept beside them.
const NEWEST: usize = 200;
/// Bytes of one message's redacted form; what is longer is cut.
const LONGEST: usize = 16 * 1024;

/// What stands behind a location in a redacted message that is the one of the configuration.
pub const AS_CONFIGURED: &str = " (as configured)";

/// Where the wires of a session are noted. Shared between the session and the application.
#[derive(Debug, Default)]
pub struct SipTrace {
    people: bool,
    messages: Mutex<Kept<TracedMessage>>,
    connections: Mutex<Kept<TracedConnection>>,
}

/// The first and the newest of something.
#[derive(Debug)]
struct Kept<T> {
    first: Vec<T>,
    newest: VecDeque<T>,
    left_out: u64,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { first: Vec::new(), newest: VecDeque::new(), left_out: 0 }
    }
}

impl<T: Clone> Kept<T> {
    fn note(&mut self, one: T) {
        if self.first.len() < FIRST {
            self.first.push(one);
            return;
        }
        if self.newest.len() == NEWEST {
            self.newest.pop_front();
            self.left_out += 1;
        }
        self.newest.push_back(one);
    }

    fn all(&self) -> Vec<T> {
        self.first.iter().chain(&self.newest).cloned().collect()
    }
}

/// What a trace has.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Traced {
    /// In the order in which they passed.
    pub messages: Vec<TracedMessage>,
    /// How many between the first and the newest were dropped.
    pub left_out: u64,
    /// Those that opened, in their order.
    pub connections: Vec<TracedConnection>,
    /// How many between the first and the newest were dropped.
    pub connections_left_out: u64,
}

/// A connection of the session to a SIP server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TracedConnection {
    /// Milliseconds since the session started.
    pub at_ms: f64,
    /// `tcp`, `tls` or `udp`.
    pub transport: &'static str,
    /// The server's address.
    pub remote: SocketAddr,
    /// What the handshake came to; none without TLS, and in simulated time, where none is spoken.
    pub tls: Option<TlsFacts>,
}

/// What both ends of a TLS connection agreed on (RFC 8446, RFC 5246), as our end knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsFacts {
    /// `1.3` or `1.2`.
    pub version: Option<&'static str>,
    /// As the registry of IANA writes it, those of TLS 1.3 with `TLS13_` in front.
    pub suite: Option<&'static str>,
    /// Whom the certificate had to be for: the SIP domain, or the server.
    pub name: String,
    /// What the certificate says, which was believed.
    pub certificate: CertificateFacts,
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
    /// The form that shows no people, where `text` does.
    #[serde(skip)]
    pub masked: Option<String>,
}

impl TracedMessage {
    /// The form that shows no people, whatever the trace shows: what is judged by it holds with either.
    pub fn without_people(&self) -> &str {
        self.masked.as_deref().unwrap_or(&self.text)
    }
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
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        Traced {
            messages: messages.all(),
            left_out: messages.left_out,
            connections: connections.all(),
            connections_left_out: connections.left_out,
        }
    }

    pub(crate) fn note_connection(&self, connection: TracedConnection) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).note(connection);
    }

    /// `location`: what the configuration says about where we are.
    pub(crate) fn note(
        &self,
        message: &Message,
        (at_ms, sent): (f64, bool),
        transport: &'static str,
        (local, remote): (SocketAddr, SocketAddr),
        location: Option<&str>,
    ) {
        let masked = shown(message, Reveal::Nothing, location);
        let view = message.view();
        let status = match view.start() {
            StartLine::Response { status, .. } => Some(status),
            StartLine::Request { .. } => None,
        };
        let cseq = view.cseq().ok();
        // The redacted form of Call-ID is a mark that tells calls apart and says nothing else.
        let dialog = masked.lines().find_map(|line| line.strip_prefix("Call-ID: ")).unwrap_or_default();
        let dialog = dialog.to_owned();
        let (text, masked) = match self.people {
            true => (shown(message, Reveal::People, location), Some(masked)),
            false => (masked, None),
        };
        let noted = TracedMessage {
            at_ms,
            sent,
            transport,
            local,
            remote,
            method: cseq.as_ref().map(|cseq| cseq.method.as_str().to_owned()),
            status,
            cseq: cseq.map(|cseq| cseq.number),
            dialog,
            bytes: message.as_bytes().len(),
            text,
            masked,
        };
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).note(noted);
    }
}

/// The redacted form, cut where it is enormous.
fn shown(message: &Message, reveal: Reveal, location: Option<&str>) -> String {
    let mut text = redact_but(message, reveal);
    if let Some(location) = location {
        text = recognised(message, &text, location);
    }
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("\n(the rest is left out)\n");
    }
    text
}

/// The redacted form of a location says nothing of where it is; that it is the configured one can be said.
fn recognised(message: &Message, redacted: &str, location: &str) -> String {
    let configured = format!("<{location}>");
    let is_it = |value: &[u8]| String::from_utf8_lossy(value).trim() == configured;
    let all = message.view().all_headers().filter(|(name, _)| *name == Name::Geolocation);
    let mut values = all.map(|(_, value)| is_it(value));
    let mut out = String::with_capacity(redacted.len());
    for line in redacted.lines() {
        out.push_str(line);
        if line.starts_with("Geolocation: ") && values.next() == Some(true) {
            out.push_str(AS_CONFIGURED);
        }
        out.push('\n');
    }
    out
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
        trace.note(&message, (f64::from(number), true), "udp", ends, Some("https://l.test/me"));
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
            assert!(!trace.traced().messages[0].without_people().contains("5555550102"));
        }
    }

    #[test]
    fn a_location_is_told_as_the_configured_one_and_never_shown() {
        for (value, configured) in
            [("<https://l.test/me>", true), ("<https://l.test/you>", false), ("<cid:a@b.test>", false)]
        {
            let trace = SipTrace::with_people();
            note(&trace, 1, &format!("Geolocation: {value}\r\n"));
            let message = &trace.traced().messages[0];
            for text in [message.text.as_str(), message.without_people()] {
                assert_eq!(text.contains("(as configured)"), configured, "{text}");
                assert!(!text.contains("l.test/"), "{text}");
            }
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
