//! Judges a message: accept it, answer it with a status, or drop it (RFC 3261 sections 8.1.3, 8.2 and 16.3;
//! the cases of RFC 4475 and RFC 5118).
//!
//! Stateless: dialogs, transactions, credentials and whether a method is wanted are judged above.

mod date;
#[cfg(test)]
mod tests;

use super::chars;
use super::header::{HeaderError, NameAddr, Values, Via};
use super::index::Flaw;
use super::message::{Message, MessageRef};
use super::method::Method;
use super::name::{self, Name};
use super::uri::{Scheme, UriError};

/// What to do with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on with it.
    Accept,
    /// A request to be answered with this status. With [`Fault::Extensions`] the answer carries Unsupported,
    /// with [`Fault::MediaType`] Accept.
    Refuse {
        /// The status.
        status: u16,
        /// A phrase that says what is wrong.
        reason: &'static str,
        /// What is wrong, exactly.
        fault: Fault,
    },
    /// A response that is no use, or an ACK, which is never answered.
    Drop {
        /// Why.
        why: DropReason,
    },
}

/// Why a message is dropped without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DropReason {
    /// A response with a fault.
    #[error("a malformed response: {0}")]
    Response(Fault),
    /// An ACK with a fault.
    #[error("a malformed ACK: {0}")]
    Ack(Fault),
    /// A response that was meant for someone else: it has more than one Via (RFC 3261 section 8.1.3.3).
    #[error("a response with more than one Via was meant for someone else")]
    NotForUs,
}

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its structure.
    #[error("{0}")]
    Flaw(Flaw),
    /// Not SIP/2.0.
    #[error("the version is not SIP/2.0")]
    Version,
    /// A mandatory header field is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field that may stand there once stands there more often.
    #[error("{0} stands there more than once")]
    Repeated(&'static str),
    /// A field is malformed.
    #[error("{name}: {why}")]
    Header {
        /// The field.
        name: &'static str,
        /// What is wrong with it.
        why: HeaderError,
    },
    /// The Date is no date in GMT.
    #[error("Date is no date in GMT")]
    Date,
    /// The Request-URI is malformed.
    #[error("the Request-URI: {0}")]
    RequestUri(UriError),
    /// The Request-URI has headers behind a question mark (RFC 3261 section 19.1.1).
    #[error("the Request-URI has headers")]
    RequestUriHeaders,
    /// The Request-URI has a scheme this element does not handle.
    #[error("the Request-URI's scheme is not supported")]
    Scheme,
    /// The method of CSeq is not the request's.
    #[error("the method of CSeq is not the request's")]
    CSeqMethod,
    /// Max-Forwards has run out at a proxy.
    #[error("Max-Forwards has run out")]
    Hops,
    /// Required extensions that are not supported.
    #[error("extensions are required that are not supported: {}", .0.join(", "))]
    Extensions(Vec<String>),
    /// A body of a media type or encoding that is not supported.
    #[error("the body's media type or encoding is not supported")]
    MediaType,
    /// Accept leaves no description of a session that could be answered with.
    #[error("Accept leaves no session description to answer with")]
    NotAcceptable,
}

/// Who judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The last or first element of the way.
    UserAgent,
    /// An element on the way: looks at Proxy-Require and Max-Forwards, never at the body.
    Proxy,
}

/// What the judging element supports.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Who judges.
    pub role: Role,
    /// Schemes of a Request-URI.
    pub schemes: Vec<Scheme>,
    /// Option tags of Require or Proxy-Require.
    pub extensions: Vec<&'static str>,
}

impl Rules {
    /// What this crate's user agent supports.
    pub fn user_agent() -> Self {
        Self {
            role: Role::UserAgent,
            schemes: vec![Scheme::Sip, Scheme::Sips, Scheme::Tel, Scheme::Urn],
            // Must say what the user agent says in Supported.
            extensions: vec!["timer", "path", "outbound", "100rel", "replaces", "norefersub"],
        }
    }

    /// A proxy or registrar that looks at no body.
    pub fn proxy() -> Self {
        Self { role: Role::Proxy, extensions: Vec::new(), ..Self::user_agent() }
    }

    /// Judges a message.
    pub fn validate(&self, message: &Message) -> Verdict {
        self.validate_ref(message.view())
    }

    /// Judges a borrowed message.
    pub fn validate_ref(&self, message: MessageRef<'_>) -> Verdict {
        let fault = match self.fault(message) {
            Ok(())
                if !message.is_request()
                    && self.role == Role::UserAgent
                    && message.values(Name::Via).nth(1).is_some() =>
            {
                return Verdict::Drop { why: DropReason::NotForUs };
            }
            Ok(()) => return Verdict::Accept,
            Err(fault) => fault,
        };
        match message.method() {
            None => Verdict::Drop { why: DropReason::Response(fault) },
            Some(Method::Ack) => Verdict::Drop { why: DropReason::Ack(fault) },
            Some(_) => {
                let (status, reason) = answer(&fault);
                Verdict::Refuse { status, reason, fault }
            }
        }
    }

    fn fault(&self, message: MessageRef<'_>) -> Result<(), Fault> {
        if !message.version().eq_ignore_ascii_case(b"SIP/2.0") {
            return Err(Fault::Version);
        }
        if let Some(flaw) = message.flaw() {
            return Err(Fault::Flaw(flaw));
        }
        headers(message)?;
        if message.is_request() { self.request(message) } else { Ok(()) }
    }

    fn request(&self, message: MessageRef<'_>) -> Result<(), Fault> {
        let method = message.method();
        let cseq = message.cseq().map_err(|why| Fault::Header { name: "CSeq", why })?;
        if method.as_ref() != Some(&cseq.method) {
            return Err(Fault::CSeqMethod);
        }
        if let Some(uri) = message.request_uri() {
            let uri = uri.map_err(Fault::RequestUri)?;
            if !self.schemes.contains(&uri.scheme()) {
                return Err(Fault::Scheme);
            }
            if uri.headers().is_some() {
                return Err(Fault::RequestUriHeaders);
            }
        }
        let required = match self.role {
            Role::UserAgent => Name::Require,
            Role::Proxy => Name::ProxyRequire,
        };
        // Section 8.2.2.3: Require in a CANCEL or ACK is ignored.
        if !matches!(method, Some(Method::Ack | Method::Cancel)) {
            let known =
                |tag: &[u8]| self.extensions.iter().any(|known| tag.eq_ignore_ascii_case(known.as_bytes()));
            let unknown = message.values(required).filter(|tag| !known(tag));
            let unknown: Vec<String> = unknown.map(|tag| String::from_utf8_lossy(tag).into_owned()).collect();
            if !unknown.is_empty() {
                return Err(Fault::Extensions(unknown));
            }
        }
        match self.role {
            Role::Proxy if message.max_forwards() == Ok(Some(0)) => Err(Fault::Hops),
            Role::Proxy => Ok(()),
            Role::UserAgent => Self::body(message, method),
        }
    }

    fn body(message: MessageRef<'_>, method: Option<Method>) -> Result<(), Fault> {
        let readable = method.as_ref().map(media_types).unwrap_or_default();
        if !message.body().is_empty() && !readable.is_empty() && !is_optional(message) {
            let media_type = message.content_type().unwrap_or_default();
            let plain = message.values(Name::ContentEncoding).all(|e| e.eq_ignore_ascii_case(b"identity"));
            if !plain || !readable.iter().any(|known| media_matches(known, media_type)) {
                return Err(Fault::MediaType);
            }
        }
        if method == Some(Method::Invite) && message.count(Name::Accept) > 0 {
            let takes_sdp = message.values(Name::Accept).any(|range| {
                let end = memchr::memchr(b';', range).unwrap_or(range.len());
                let range = chars::text(chars::trim(&range[..end])).unwrap_or_default();
                media_matches(range, "application/sdp")
            });
            if !takes_sdp {
                return Err(Fault::NotAcceptable);
            }
        }
        Ok(())
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::user_agent()
    }
}

/// Judges a message as this crate's user agent does; see [`Rules`] for other elements.
pub fn validate(message: &Message) -> Verdict {
    Rules::user_agent().validate(message)
}

/// The media types of the bodies that this crate's user agent reads in a request; none for a method whose body means
/// nothing to it, which is then passed over.
pub fn media_types(method: &Method) -> &'static [&'static str] {
    match method {
        Method::Invite | Method::Update | Method::Prack => &["application/sdp", "multipart/mixed"],
        Method::Message => &["text/plain", "multipart/mixed", "application/im-iscomposing+xml"],
        Method::Notify => &["application/simple-message-summary", "message/sipfrag"],
        Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Info
        | Method::Options
        | Method::Publish
        | Method::Refer
        | Method::Register
        | Method::Subscribe
        | Method::Other(_) => &[],
    }
}

/// Whether the sender says that the body may be passed over (RFC 3261 section 20.11).
fn is_optional(message: MessageRef<'_>) -> bool {
    let handling = message.header_params(Name::ContentDisposition).get("handling");
    handling.is_some_and(|handling| handling.eq_ignore_ascii_case("optional"))
}

/// `range` may be `*/*` or end in `/*`.
fn media_matches(range: &str, media_type: &str) -> bool {
    let same = |a: &str, b: &str| a.trim().eq_ignore_ascii_case(b.trim());
    match (range.split_once('/'), media_type.split_once('/')) {
        (Some(("*", "*")), Some(_)) => true,
        (Some((group, "*")), Some((other, _))) => same(group, other),
        (Some((group, kind)), Some((other, other_kind))) => same(group, other) && same(kind, other_kind),
        (None, _) | (_, None) => false,
    }
}

/// Fields that must be there.
const MANDATORY: [(Name<'static>, &str); 5] = [
    (Name::Via, "Via"),
    (Name::From, "From"),
    (Name::To, "To"),
    (Name::CallId, "Call-ID"),
    (Name::CSeq, "CSeq"),
];

/// Fields that may stand there once (RFC 3261 section 7.3.1).
const SINGLE: [(Name<'static>, &str); 18] = [
    (Name::From, "From"),
    (Name::To, "To"),
    (Name::CallId, "Call-ID"),
    (Name::CSeq, "CSeq"),
    (Name::MaxForwards, "Max-Forwards"),
    (Name::ContentType, "Content-Type"),
    (Name::ContentDisposition, "Content-Disposition"),
    (Name::Date, "Date"),
    (Name::Event, "Event"),
    (Name::Expires, "Expires"),
    (Name::MinExpires, "Min-Expires"),
    (Name::MinSe, "Min-SE"),
    (Name::RAck, "RAck"),
    (Name::ReferTo, "Refer-To"),
    (Name::Replaces, "Replaces"),
    (Name::RetryAfter, "Retry-After"),
    (Name::RSeq, "RSeq"),
    (Name::SessionExpires, "Session-Expires"),
];

fn headers(message: MessageRef<'_>) -> Result<(), Fault> {
    let header = |name, why| Fault::Header { name, why };
    let mut seen = [0_u8; 256];
    for field in &message.index().fields {
        let count = &mut seen[usize::from(field.id)];
        *count = count.saturating_add(1);
    }
    let count = |name: Name<'_>| seen[usize::from(name.id())];
    if let Some((_, label)) = MANDATORY.iter().find(|(name, _)| count(*name) == 0) {
        return Err(Fault::Missing(label));
    }
    if let Some((_, label)) = SINGLE.iter().find(|(name, _)| count(*name) > 1) {
        return Err(Fault::Repeated(label));
    }
    let mut vias = 0_usize;
    // Of a field that may stand there once there is one at most by now.
    for field in &message.index().fields {
        let (name, value) = (name::known(field.id), field.value(message.as_bytes()));
        let sound = match name {
            Some(Name::Via) => Values::new(value).try_for_each(|value| {
                vias += 1;
                via(value)
            }),
            Some(Name::From | Name::To | Name::ReferTo) => address(value).map(|_| ()),
            Some(Name::Route | Name::RecordRoute) => addresses(value),
            Some(Name::Contact) => contacts(value),
            Some(Name::CallId) => message.call_id().map(|_| ()),
            Some(Name::CSeq) => message.cseq().map(|_| ()),
            Some(Name::MaxForwards) => message.max_forwards().map(|_| ()),
            Some(Name::Expires) => message.expires().map(|_| ()),
            Some(Name::MinExpires) => message.min_expires().map(|_| ()),
            Some(Name::RetryAfter) => message.retry_after().map(|_| ()),
            Some(Name::SessionExpires) => message.session_expires().map(|_| ()),
            Some(Name::RSeq) => message.rseq().map(|_| ()),
            Some(Name::RAck) => message.rack().map(|_| ()),
            Some(_) | None => Ok(()),
        };
        sound.map_err(|why| header(name.map_or("", |name| name.as_str()), why))?;
    }
    if vias == 0 {
        return Err(header("Via", HeaderError::Empty));
    }
    if message.header(Name::Date).is_some_and(|value| !date::is_sip_date(value)) {
        return Err(Fault::Date);
    }
    Ok(())
}

fn addresses(value: &[u8]) -> Result<(), HeaderError> {
    Values::new(value).try_for_each(|value| address(value).map(|_| ()))
}

fn contacts(value: &[u8]) -> Result<(), HeaderError> {
    Values::new(value).filter(|value| *value != b"*").try_for_each(|value| {
        let contact = address(value)?;
        match contact.params.has("expires") && contact.expires().is_none() {
            true => Err(HeaderError::BadNumber),
            false => Ok(()),
        }
    })
}

fn via(value: &[u8]) -> Result<(), HeaderError> {
    let via = Via::parse(value)?;
    if via.params.is_well_formed() { Ok(()) } else { Err(HeaderError::BadParams) }
}

fn address(value: &[u8]) -> Result<NameAddr<'_>, HeaderError> {
    let address = NameAddr::parse(value)?;
    if address.params.is_well_formed() { Ok(address) } else { Err(HeaderError::BadParams) }
}

fn answer(fault: &Fault) -> (u16, &'static str) {
    match fault {
        Fault::Version => (505, "Version Not Supported"),
        Fault::Scheme => (416, "Unsupported URI Scheme"),
        Fault::Hops => (483, "Too Many Hops"),
        Fault::Extensions(_) => (420, "Bad Extension"),
        Fault::MediaType => (415, "Unsupported Media Type"),
        Fault::NotAcceptable => (406, "Not Acceptable"),
        Fault::Flaw(flaw) => (
            400,
            match flaw {
                Flaw::StartLine | Flaw::StatusCode => "Malformed Start Line",
                Flaw::HeaderLine => "Malformed Header Line",
                Flaw::LineEnd => "Malformed Line End",
                Flaw::NoEmptyLine => "Missing Empty Line",
                Flaw::ContentLength => "Malformed Content-Length",
                Flaw::SecondContentLength => "More Than One Content-Length",
                Flaw::BodyTooShort => "Body Shorter Than Content-Length",
            },
        ),
        Fault::Missing(_) => (400, "Missing Header Field"),
        Fault::Repeated(_) => (400, "Repeated Header Field"),
        Fault::Header { .. } | Fault::Date => (400, "Malformed Header Field"),
        Fault::RequestUri(_) | Fault::RequestUriHeaders => (400, "Malformed Request-URI"),
        Fault::CSeqMethod => (400, "CSeq Method Does Not Match"),
    }
}
