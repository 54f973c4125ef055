//! Header fields taken apart: what each value means, without the secrets in it.

use serde::Serialize;

use super::place::Lines;
use crate::wire::{
    AuthParams, CSeq, Challenge, Contact, HeaderError, Message, Name, NameAddr, Params, RAck, Values, Via,
};

/// One header field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeaderLine {
    /// Its name, in the long form where it is known.
    pub name: String,
    /// Where it begins in the input, in bytes.
    pub offset: usize,
    /// The same as a line number, from one.
    pub line: usize,
    /// The value as text on one line, without secrets.
    pub value: String,
    /// What it means, one item a list element; empty for fields that are only text.
    pub typed: Vec<Typed>,
    /// What is wrong with it, one item a list element that is.
    pub faults: Vec<String>,
}

/// The meaning of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Typed {
    /// Via.
    Via {
        /// As written.
        transport: String,
        /// The sender, as written.
        sent_by: String,
        /// The transaction's mark.
        branch: Option<String>,
        /// Where it really came from.
        received: Option<String>,
        /// The port it really came from, or an empty text for the wish to be told.
        rport: Option<String>,
    },
    /// An address.
    Address {
        /// The name shown with it.
        display_name: Option<String>,
        /// The URI, without a password.
        uri: String,
        /// The tag.
        tag: Option<String>,
        /// Every other parameter.
        params: Vec<String>,
    },
    /// `*` in a Contact.
    Star,
    /// CSeq.
    Cseq {
        /// The number.
        number: u32,
        /// The method it counts.
        method: String,
    },
    /// RAck (RFC 3262).
    Rack {
        /// The RSeq of the provisional response.
        rseq: u32,
        /// The CSeq of the request it answered.
        cseq: u32,
        /// Its method.
        method: String,
    },
    /// A plain number: hops, seconds, bytes.
    Number(u32),
    /// Session-Expires (RFC 4028).
    SessionExpires {
        /// The interval in seconds.
        seconds: u32,
        /// `uac` or `uas`.
        refresher: Option<String>,
    },
    /// Replaces (RFC 3891) and Join.
    Dialog {
        /// The dialog's Call-ID.
        call_id: String,
        /// Its tag at the receiver.
        to_tag: Option<String>,
        /// Its tag at the far end.
        from_tag: Option<String>,
        /// Only a call that is not answered yet.
        early_only: bool,
    },
    /// A challenge, or an answer to one.
    Credentials {
        /// The scheme.
        scheme: String,
        /// Parameters; those that prove something show `***`.
        params: Vec<(String, String)>,
    },
    /// A token with parameters: Event, Reason, Content-Type, Subscription-State, Retry-After.
    Token {
        /// The token.
        token: String,
        /// Its parameters.
        params: Vec<String>,
    },
}

/// Fields whose elements are addresses.
const ADDRESSES: &[Name<'static>] = &[
    Name::From,
    Name::To,
    Name::Route,
    Name::RecordRoute,
    Name::Path,
    Name::ServiceRoute,
    Name::ReferTo,
    Name::ReferredBy,
    Name::ReplyTo,
    Name::PAssertedIdentity,
    Name::PPreferredIdentity,
    Name::PAssociatedUri,
    Name::Diversion,
    Name::HistoryInfo,
    Name::Geolocation,
    Name::CallInfo,
    Name::AlertInfo,
];

/// Fields that are one number.
const NUMBERS: &[Name<'static>] = &[
    Name::MaxForwards,
    Name::Expires,
    Name::MinExpires,
    Name::RSeq,
    Name::ContentLength,
    Name::MinSe,
    Name::FlowTimer,
];

/// Fields that are a list of tokens, each with parameters or without.
const TOKENS: &[Name<'static>] = &[
    Name::Supported,
    Name::Require,
    Name::ProxyRequire,
    Name::Unsupported,
    Name::Allow,
    Name::AllowEvents,
    Name::Accept,
    Name::AcceptEncoding,
    Name::AcceptLanguage,
    Name::ContentType,
    Name::ContentDisposition,
    Name::ContentEncoding,
    Name::Event,
    Name::SubscriptionState,
    Name::Reason,
    Name::Privacy,
    Name::RetryAfter,
    Name::ReferSub,
    Name::RecvInfo,
    Name::InfoPackage,
];

const CREDENTIALS: &[Name<'static>] =
    &[Name::WwwAuthenticate, Name::ProxyAuthenticate, Name::Authorization, Name::ProxyAuthorization];

const AUTHENTICATION_INFO: &[Name<'static>] = &[Name::AuthenticationInfo, Name::ProxyAuthenticationInfo];

/// Every field of a message that begins at `start` of the input.
pub(super) fn explain(message: &Message, start: usize, lines: &mut Lines<'_>) -> Vec<HeaderLine> {
    let view = message.view();
    let fields = view.index().fields.iter().zip(view.all_headers());
    fields
        .map(|(field, (name, value))| {
            let offset = start + field.name_start as usize;
            let (typed, faults) = taken_apart(name, value);
            HeaderLine {
                name: name.as_str().to_owned(),
                offset,
                line: lines.line_of(offset),
                value: shown(name, value),
                typed,
                faults,
            }
        })
        .collect()
}

fn taken_apart(name: Name<'_>, value: &[u8]) -> (Vec<Typed>, Vec<String>) {
    let elements = || Values::new(value);
    let results: Vec<Result<Typed, HeaderError>> = if name == Name::Via {
        elements().map(via).collect()
    } else if name == Name::Contact {
        elements().map(contact).collect()
    } else if matches!(name, Name::From | Name::To) {
        vec![NameAddr::parse(value).and_then(address)]
    } else if ADDRESSES.contains(&name) {
        elements().map(|value| NameAddr::parse(value).and_then(address)).collect()
    } else if NUMBERS.contains(&name) {
        vec![number(value).map(Typed::Number)]
    } else if name == Name::CSeq {
        let cseq = |cseq: CSeq| Typed::Cseq { number: cseq.number, method: cseq.method.as_str().to_owned() };
        vec![CSeq::parse(value).map(cseq)]
    } else if name == Name::RAck {
        let rack = |rack: RAck| Typed::Rack {
            rseq: rack.rseq,
            cseq: rack.cseq.number,
            method: rack.cseq.method.as_str().to_owned(),
        };
        vec![RAck::parse(value).map(rack)]
    } else if name == Name::SessionExpires {
        vec![session_expires(value)]
    } else if matches!(name, Name::Replaces | Name::Join) {
        vec![dialog(value)]
    } else if CREDENTIALS.contains(&name) {
        vec![Challenge::parse(value).map(|challenge| Typed::Credentials {
            scheme: challenge.scheme.to_owned(),
            params: auth_params(challenge),
        })]
    } else if AUTHENTICATION_INFO.contains(&name) {
        vec![Ok(Typed::Credentials {
            scheme: "Digest".to_owned(),
            params: shown_params(AuthParams::new(value)),
        })]
    } else if TOKENS.contains(&name) {
        elements().map(|value| Ok(token(value))).collect()
    } else {
        Vec::new()
    };
    let mut typed = Vec::new();
    let mut faults = Vec::new();
    for result in results {
        match result {
            Ok(value) => typed.push(value),
            Err(why) => faults.push(why.to_string()),
        }
    }
    (typed, faults)
}

fn text(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    // a fold is one blank; what else no line can show is shown as a blank too
    let mut out = String::with_capacity(text.len());
    for word in text.split(['\r', '\n']) {
        let word = word.trim_matches([' ', '\t']);
        if !word.is_empty() {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(word);
        }
    }
    out
}

/// The value for showing.
fn shown(name: Name<'_>, value: &[u8]) -> String {
    if CREDENTIALS.contains(&name) {
        return match Challenge::parse(value) {
            Ok(challenge) => format!("{} {}", challenge.scheme, joined(&auth_params(challenge))),
            Err(_) => format!("({} bytes)", value.len()),
        };
    }
    if AUTHENTICATION_INFO.contains(&name) {
        return joined(&shown_params(AuthParams::new(value)));
    }
    if matches!(name, Name::Identity) || matches!(name, Name::Other(other) if is_secret_field(other)) {
        return format!("({} bytes)", value.len());
    }
    without_password(&text(value))
}

/// Fields of no standard of which it is known that they carry proofs.
fn is_secret_field(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["authorization", "authenticate", "password", "token", "secret", "cookie", "api-key", "apikey"]
        .iter()
        .any(|word| name.contains(word))
}

fn joined(params: &[(String, String)]) -> String {
    params.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

/// Digest shows what no one can use; of every other scheme only the name is shown.
fn auth_params(challenge: Challenge<'_>) -> Vec<(String, String)> {
    if challenge.is_digest() { shown_params(challenge.params) } else { Vec::new() }
}

/// What proves something, or helps to guess it, is left out.
fn shown_params(params: AuthParams<'_>) -> Vec<(String, String)> {
    const SHOWN: [&str; 10] =
        ["realm", "algorithm", "qop", "stale", "nc", "charset", "userhash", "uri", "domain", "username"];
    let each = params.iter().map(|param| {
        let known = SHOWN.iter().any(|name| name.eq_ignore_ascii_case(param.name));
        let value = if known { without_password(&text(param.value)) } else { "***".to_owned() };
        (param.name.to_owned(), value)
    });
    each.collect()
}

/// `sip:user:password@host` as `sip:user:***@host` (RFC 3261 section 19.1.1), wherever it stands in a text.
pub(super) fn without_password(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = find_scheme(rest) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        // a user part ends at the first `@`; nothing that ends a URI may stand before it
        let end = from.find(['<', '>', '"', ' ', '?']).unwrap_or(from.len());
        let user = from[..end].find('@').unwrap_or(0);
        match from[..user].find(':') {
            Some(colon) => {
                out.push_str(&from[..=colon]);
                out.push_str("***");
            }
            None => out.push_str(&from[..user]),
        }
        rest = &from[user..];
    }
    out.push_str(rest);
    out
}

/// Where the part behind the next `sip:` or `sips:` begins.
fn find_scheme(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    let next = |scheme: &str| lower.find(scheme).map(|at| at + scheme.len());
    match (next("sip:"), next("sips:")) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn params(params: Params<'_>) -> impl Iterator<Item = String> {
    params.iter().map(|param| match param.value {
        Some(value) => without_password(&format!("{}={}", text(param.name), text(value))),
        None => text(param.name),
    })
}

fn via(value: &[u8]) -> Result<Typed, HeaderError> {
    let via = Via::parse(value)?;
    if !via.params.is_well_formed() {
        return Err(HeaderError::BadParams);
    }
    let port = via.port.map(|port| format!(":{port}")).unwrap_or_default();
    Ok(Typed::Via {
        transport: via.transport.to_owned(),
        sent_by: format!("{}{port}", via.host),
        branch: via.branch().map(str::to_owned),
        received: via.received().map(|host| host.to_string()),
        rport: via.rport().map(|port| port.map(|port| port.to_string()).unwrap_or_default()),
    })
}

fn contact(value: &[u8]) -> Result<Typed, HeaderError> {
    match Contact::parse(value)? {
        Contact::Star => Ok(Typed::Star),
        Contact::Addr(contact) => address(contact),
    }
}

fn address(address: NameAddr<'_>) -> Result<Typed, HeaderError> {
    if !address.params.is_well_formed() {
        return Err(HeaderError::BadParams);
    }
    let tag = address.tag();
    let display_name = address.display_name().filter(|name| !name.is_empty());
    Ok(Typed::Address {
        display_name: display_name.map(std::borrow::Cow::into_owned),
        uri: without_password(address.uri.as_str()),
        tag: tag.map(str::to_owned),
        params: params(address.params).filter(|param| tag.is_none() || !param.starts_with("tag=")).collect(),
    })
}

fn number(value: &[u8]) -> Result<u32, HeaderError> {
    let digits = value.trim_ascii();
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or(HeaderError::BadNumber)
}

/// What stands before the first `;`, and its parameters.
fn cut(value: &[u8]) -> (&[u8], Params<'_>) {
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    (value[..end].trim_ascii(), Params::new(&value[end..]))
}

fn session_expires(value: &[u8]) -> Result<Typed, HeaderError> {
    let (seconds, params) = cut(value);
    Ok(Typed::SessionExpires {
        seconds: number(seconds)?,
        refresher: params.get("refresher").map(str::to_owned),
    })
}

fn dialog(value: &[u8]) -> Result<Typed, HeaderError> {
    let (call_id, params) = cut(value);
    if call_id.is_empty() {
        return Err(HeaderError::Empty);
    }
    Ok(Typed::Dialog {
        call_id: text(call_id),
        to_tag: params.get("to-tag").map(str::to_owned),
        from_tag: params.get("from-tag").map(str::to_owned),
        early_only: params.has("early-only"),
    })
}

fn token(value: &[u8]) -> Typed {
    let (name, rest) = cut(value);
    Typed::Token { token: text(name), params: params(rest).collect() }
}
