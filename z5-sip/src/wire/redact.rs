//! The form of a message that may reach a log: no user, number, name, credential or key.
//!
//! An allow-list: what this file does not know how to show is shown as its length.

#[cfg(test)]
mod tests;

use std::fmt::Write;

use super::chars;
use super::header::{AuthParams, Challenge, Contact, NameAddr};
use super::message::{Message, MessageRef, StartLine};
use super::name::Name;
use super::uri::{Scheme, UriRef};

/// What a redacted form may show of people. Credentials, keys and the contents of bodies are shown by none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reveal {
    /// No user, number or name.
    #[default]
    Nothing,
    /// Users, numbers and display names: for the eyes of those who made the call.
    People,
}

/// The whole message, redacted, one header field a line.
pub fn redact(message: &Message) -> String {
    redact_but(message, Reveal::Nothing)
}

/// As [`redact`], and with what `reveal` names.
pub fn redact_but(message: &Message, reveal: Reveal) -> String {
    let message = message.view();
    let mut out = first_line(message, reveal);
    out.push('\n');
    for (name, value) in message.all_headers() {
        let shown = header(name, value, reveal);
        let name =
            if matches!(name, Name::Other(_)) { mask(name.as_str()) } else { name.as_str().to_owned() };
        let _ = writeln!(out, "{name}: {shown}");
    }
    let body = message.body();
    if !body.is_empty() {
        let media_type = mask(message.content_type().unwrap_or("?"));
        let _ = writeln!(out, "\n({} bytes of {media_type})", body.len());
        if media_type.eq_ignore_ascii_case("application/sdp") {
            for line in body.split(|&b| b == b'\n') {
                session_line(chars::trim(line), &mut out);
            }
        }
    }
    out
}

/// One line: start line, CSeq and the size of the body.
pub(crate) fn summary(message: MessageRef<'_>) -> String {
    let mut out = first_line(message, Reveal::Nothing);
    if let Ok(cseq) = message.cseq() {
        let _ = write!(out, " (CSeq {} {}", cseq.number, mask(cseq.method.as_str()));
        let _ = write!(out, ", body {})", message.body().len());
    }
    out
}

fn first_line(message: MessageRef<'_>, reveal: Reveal) -> String {
    match message.start() {
        StartLine::Request { method, uri, .. } => {
            format!("{} {} SIP/2.0", mask(method.as_str()), any_uri(uri, reveal))
        }
        StartLine::Response { status, .. } => {
            format!("SIP/2.0 {status} {}", text(&message.reason().unwrap_or_default(), reveal))
        }
    }
}

/// Free text, its numbers masked unless they may be seen.
fn text(text: &str, reveal: Reveal) -> String {
    match reveal {
        Reveal::Nothing => mask(text),
        Reveal::People => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
    }
}

/// Shown as they are: numbers, dates, hosts.
const PLAIN: &[Name<'static>] = &[
    Name::Via,
    Name::RAck,
    Name::CSeq,
    Name::MaxForwards,
    Name::Expires,
    Name::MinExpires,
    Name::SessionExpires,
    Name::MinSe,
    Name::RSeq,
    Name::RetryAfter,
    Name::ContentLength,
    Name::ContentType,
    Name::Date,
    Name::Timestamp,
    Name::FlowTimer,
];

/// Shown with whatever could be a telephone number masked.
const TEXT: &[Name<'static>] = &[
    Name::Accept,
    Name::AcceptEncoding,
    Name::AcceptLanguage,
    Name::Allow,
    Name::AllowEvents,
    Name::ContentDisposition,
    Name::ContentEncoding,
    Name::Event,
    Name::MimeVersion,
    Name::Priority,
    Name::Privacy,
    Name::ProxyRequire,
    Name::Reason,
    Name::ReferSub,
    Name::Require,
    Name::Server,
    Name::SubscriptionState,
    Name::Supported,
    Name::Unsupported,
    Name::UserAgent,
];

/// Shown as addresses without user and display name.
const ADDRESSES: &[Name<'static>] = &[
    Name::From,
    Name::To,
    Name::ReferTo,
    Name::ReferredBy,
    Name::ReplyTo,
    Name::Contact,
    Name::Route,
    Name::RecordRoute,
    Name::Path,
    Name::ServiceRoute,
    Name::PAssertedIdentity,
    Name::PPreferredIdentity,
    Name::PAssociatedUri,
    Name::Diversion,
    Name::HistoryInfo,
    // by value (cid:) or by reference, and nothing of where it is
    Name::Geolocation,
];

/// Challenges and answers to them.
const CREDENTIALS: &[Name<'static>] =
    &[Name::WwwAuthenticate, Name::ProxyAuthenticate, Name::Authorization, Name::ProxyAuthorization];

fn header(name: Name<'_>, value: &[u8], reveal: Reveal) -> String {
    if PLAIN.contains(&name) {
        printable(value)
    } else if TEXT.contains(&name) {
        text(&printable(value), reveal)
    } else if ADDRESSES.contains(&name) {
        let each = super::header::Values::new(value).map(|value| contact(value, reveal));
        each.collect::<Vec<_>>().join(", ")
    } else if CREDENTIALS.contains(&name) {
        credentials(value)
    } else if matches!(name, Name::AuthenticationInfo | Name::ProxyAuthenticationInfo) {
        auth_params(AuthParams::new(value))
    } else if name == Name::CallId {
        format!("{:016x}", fingerprint(value))
    } else {
        format!("({} bytes)", value.len())
    }
}

/// A mark by which two equal values are known as equal, and nothing else.
fn fingerprint(value: &[u8]) -> u64 {
    value.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn contact(value: &[u8], reveal: Reveal) -> String {
    match Contact::parse(value) {
        Ok(Contact::Star) => "*".into(),
        Ok(Contact::Addr(_)) | Err(_) => address(value, reveal),
    }
}

fn address(value: &[u8], reveal: Reveal) -> String {
    let Ok(address) = NameAddr::parse(value) else { return format!("({} bytes)", value.len()) };
    let mut out = format!("<{}>", shown_uri(address.uri, reveal));
    if let Some(name) = address.display_name() {
        let name = if reveal == Reveal::People { text(&name, reveal) } else { "***".to_owned() };
        out.insert_str(0, &format!("\"{name}\" "));
    }
    for param in address.params.iter() {
        let known = ["tag", "expires", "q", "reg-id", "lr", "ob"];
        match (chars::text(param.name), param.text()) {
            (Some(name), Some(value)) if known.iter().any(|k| k.eq_ignore_ascii_case(name)) => {
                let _ = write!(out, ";{name}={}", mask(value));
            }
            (Some(name), _) => {
                let _ = write!(out, ";{}", mask(name));
            }
            (None, _) => {}
        }
    }
    out
}

fn any_uri(bytes: &[u8], reveal: Reveal) -> String {
    UriRef::parse(bytes).map_or_else(|_| format!("({} bytes)", bytes.len()), |uri| shown_uri(uri, reveal))
}

pub(super) fn uri(uri: UriRef<'_>) -> String {
    shown_uri(uri, Reveal::Nothing)
}

fn shown_uri(uri: UriRef<'_>, reveal: Reveal) -> String {
    match uri.scheme() {
        Scheme::Sip | Scheme::Sips => {
            let mut out = format!("{}:", uri.scheme_text());
            match uri.user() {
                // A password may stand behind it; the view ends before that.
                Some(user) if reveal == Reveal::People => {
                    let _ = write!(out, "{}@", printable(user.as_bytes()));
                }
                Some(_) => out.push_str("***@"),
                None => {}
            }
            if let Some(host) = uri.host() {
                let _ = write!(out, "{host}");
            }
            if let Some(port) = uri.port() {
                let _ = write!(out, ":{port}");
            }
            for param in uri.params().iter() {
                let name = chars::text(param.name).unwrap_or_default();
                let plain = ["transport", "user", "lr", "ob", "maddr"];
                match param.text().filter(|_| plain.iter().any(|k| k.eq_ignore_ascii_case(name))) {
                    Some(value) => {
                        let _ = write!(out, ";{name}={}", mask(value));
                    }
                    None => {
                        let _ = write!(out, ";{}", mask(name));
                    }
                }
            }
            out
        }
        // Emergency and other service names are no one's number.
        Scheme::Urn if uri.as_str().to_ascii_lowercase().starts_with("urn:service:") => {
            uri.as_str().to_owned()
        }
        Scheme::Tel if reveal == Reveal::People => printable(uri.as_str().as_bytes()),
        Scheme::Tel | Scheme::Urn | Scheme::Other => format!("{}:***", uri.scheme_text()),
    }
}

fn credentials(value: &[u8]) -> String {
    match Challenge::parse(value) {
        Ok(challenge) if challenge.is_digest() => format!("Digest {}", auth_params(challenge.params)),
        Ok(challenge) => format!("{} ***", mask(challenge.scheme)),
        Err(_) => format!("({} bytes)", value.len()),
    }
}

fn auth_params(params: AuthParams<'_>) -> String {
    let shown = ["realm", "algorithm", "qop", "stale", "nc", "charset", "userhash"];
    let each = params.iter().map(|param| {
        if shown.iter().any(|name| name.eq_ignore_ascii_case(param.name)) {
            format!("{}={}", param.name, printable(param.value))
        } else {
            format!("{}=***", mask(param.name))
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

/// Lines of a session description that name no one and hold no key.
fn session_line(line: &[u8], out: &mut String) {
    let attributes: [&[u8]; 16] = [
        b"rtpmap:",
        b"fmtp:",
        b"rtcp-fb:",
        b"rtcp-mux",
        b"rtcp:",
        b"sendrecv",
        b"sendonly",
        b"recvonly",
        b"inactive",
        b"mid:",
        b"group:",
        b"ptime:",
        b"maxptime:",
        b"setup:",
        b"extmap:",
        b"content:",
    ];
    match line {
        [b'v' | b'm' | b'c' | b't' | b'b', b'=', ..] => {
            let _ = writeln!(out, "{}", printable(line));
        }
        [b'a', b'=', rest @ ..] if attributes.iter().any(|name| rest.starts_with(name)) => {
            let _ = writeln!(out, "{}", printable(line));
        }
        // Tag and suite, never the key (RFC 4568 section 9.1).
        [b'a', b'=', rest @ ..] if rest.starts_with(b"crypto:") => {
            let mut words = rest[b"crypto:".len()..].split(|&b| b == b' ').filter(|word| !word.is_empty());
            let mut word = || mask(&printable(words.next().unwrap_or_default()));
            let (tag, suite) = (word(), word());
            let suite = if suite.contains(':') { "***" } else { &suite };
            let _ = writeln!(out, "a=crypto:{tag} {suite} ***");
        }
        [b'a', b'=', rest @ ..] => {
            let end = memchr::memchr(b':', rest).unwrap_or(rest.len());
            let _ = writeln!(out, "a={}:***", mask(&printable(&rest[..end])));
        }
        [letter, b'=', ..] if letter.is_ascii_lowercase() => {
            let _ = writeln!(out, "{}=***", char::from(*letter));
        }
        _ => {}
    }
}

/// As text on one line.
fn printable(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Free text of a peer: whatever might be a telephone number (five digits or more, with the marks people
/// write between them) becomes `***`.
fn mask(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    let flush = |run: &mut String, out: &mut String| {
        if run.chars().filter(char::is_ascii_digit).count() >= 5 {
            out.push_str("***");
        } else {
            out.push_str(run);
        }
        run.clear();
    };
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        let joins = !run.is_empty() && matches!(c, ' ' | '-' | '.' | '(' | ')' | '/');
        if c.is_ascii_digit() || c == '+' || joins {
            run.push(c);
        } else {
            flush(&mut run, &mut out);
            out.push(c);
        }
    }
    flush(&mut run, &mut out);
    out
}
