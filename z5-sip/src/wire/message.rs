//! A message: its bytes, untouched, and typed views of its parts on demand.
//!
//! [`Message`] owns its bytes and is cheap to clone. [`MessageRef`] borrows and has every accessor; with
//! [`Indexed`] the whole way from bytes to typed headers allocates nothing. Nothing is judged here: call
//! [`validate`](super::validate()) on what came from a peer before acting on it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::chars;
use super::header::{AuthParams, CSeq, Challenge, Contact, HeaderError, NameAddr, RAck, Values, Via};
use super::index::{Flaw, Index, Limits, ParseError, Start};
use super::method::Method;
use super::name::{self, Name};
use super::redact;
use super::uri::{UriError, UriRef};

/// The first line, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// `INVITE sip:bob@example.com SIP/2.0`
    Request {
        /// The method.
        method: Method,
        /// The Request-URI as written; see [`MessageRef::request_uri`].
        uri: &'a [u8],
        /// The version as written.
        version: &'a [u8],
    },
    /// `SIP/2.0 200 OK`
    Response {
        /// The version as written.
        version: &'a [u8],
        /// 100 to 699, or 0 when what stands there is no such number.
        status: u16,
        /// The phrase as written, may be empty and need not be UTF-8.
        reason: &'a [u8],
    },
}

/// The Request-URI and the phrase by their lengths: both may name someone.
impl fmt::Debug for StartLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { method, uri, .. } => write!(f, "Request({method}, {} bytes)", uri.len()),
            Self::Response { status, reason, .. } => write!(f, "Response({status}, {} bytes)", reason.len()),
        }
    }
}

/// A message that owns its bytes. Cloning shares them.
#[derive(Clone)]
pub struct Message {
    bytes: Bytes,
    index: Arc<Index>,
}

/// Bytes of a caller with their index: the way without allocation.
pub struct Indexed<'a> {
    bytes: &'a [u8],
    index: Index,
}

impl<'a> Indexed<'a> {
    /// Indexes one message as a datagram carries it; see [`Message::parse_datagram`].
    pub fn parse_datagram(bytes: &'a [u8], limits: &Limits) -> Result<Self, ParseError> {
        let bytes = &bytes[leading_breaks(bytes)..];
        if bytes.is_empty() {
            return Err(ParseError::Empty);
        }
        let index = Index::datagram(bytes, limits)?;
        let end = index.body_range().end;
        Ok(Self { bytes: &bytes[..end], index })
    }

    /// The view with all accessors.
    pub fn message(&self) -> MessageRef<'_> {
        MessageRef { bytes: self.bytes, index: &self.index }
    }
}

/// A view of a message, with every accessor.
#[derive(Clone, Copy)]
pub struct MessageRef<'a> {
    bytes: &'a [u8],
    index: &'a Index,
}

impl Message {
    /// One message as a datagram carries it: line breaks before it are skipped, without Content-Length the
    /// body is the rest, and bytes behind the body are dropped.
    pub fn parse_datagram(bytes: Bytes) -> Result<Self, ParseError> {
        Self::parse_datagram_within(bytes, &Limits::default())
    }

    /// The same with other size limits.
    pub fn parse_datagram_within(bytes: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        let start = leading_breaks(&bytes);
        if start == bytes.len() {
            return Err(ParseError::Empty);
        }
        let bytes = bytes.slice(start..);
        let index = Index::datagram(&bytes, limits)?;
        Ok(Self::new(bytes.slice(..index.body_range().end), index))
    }

    pub(crate) fn new(bytes: Bytes, index: Index) -> Self {
        Self { bytes, index: Arc::new(index) }
    }

    /// The view with all accessors, for functions that take any message.
    pub fn view(&self) -> MessageRef<'_> {
        MessageRef { bytes: &self.bytes, index: &self.index }
    }

    /// The bytes, shared.
    pub fn to_bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The bytes.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// How many bytes of line breaks stand before the message.
pub(crate) fn leading_breaks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|&&b| matches!(b, b'\r' | b'\n')).count()
}

impl<'a> MessageRef<'a> {
    /// All bytes of the message.
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The spans behind this view.
    pub(crate) fn index(self) -> &'a Index {
        self.index
    }

    fn cut(self, (from, to): (u32, u32)) -> &'a [u8] {
        self.bytes.get(from as usize..to as usize).unwrap_or_default()
    }

    /// A copy that owns its bytes.
    pub fn to_message(self) -> Message {
        Message::new(Bytes::copy_from_slice(self.bytes), self.index.clone())
    }

    /// The first line.
    pub fn start(self) -> StartLine<'a> {
        match self.index.start {
            Start::Request { method_end, uri, version } => {
                let letters = self.cut((0, method_end));
                let other = || Method::Other(String::from_utf8_lossy(letters).into());
                StartLine::Request {
                    method: Method::from_bytes(letters).unwrap_or_else(other),
                    uri: self.cut(uri),
                    version: self.cut(version),
                }
            }
            Start::Response { version_end, status, reason } => {
                StartLine::Response { version: self.cut((0, version_end)), status, reason: self.cut(reason) }
            }
        }
    }

    /// True for a request.
    pub fn is_request(self) -> bool {
        matches!(self.index.start, Start::Request { .. })
    }

    /// The method of a request.
    pub fn method(self) -> Option<Method> {
        match self.start() {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    /// The status of a response; 0 when what stands there is no number from 100 to 699.
    pub fn status(self) -> Option<u16> {
        match self.index.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The phrase of a response; bytes that are no UTF-8 become U+FFFD.
    pub fn reason(self) -> Option<Cow<'a, str>> {
        match self.index.start {
            Start::Request { .. } => None,
            Start::Response { reason, .. } => Some(String::from_utf8_lossy(self.cut(reason))),
        }
    }

    /// The Request-URI; `None` for a response.
    pub fn request_uri(self) -> Option<Result<UriRef<'a>, UriError>> {
        match self.index.start {
            Start::Request { uri, .. } => Some(UriRef::parse(self.cut(uri))),
            Start::Response { .. } => None,
        }
    }

    /// The protocol version as written.
    pub fn version(self) -> &'a [u8] {
        match self.index.start {
            Start::Request { version, .. } => self.cut(version),
            Start::Response { version_end, .. } => self.cut((0, version_end)),
        }
    }

    /// The first fault of structure the index met.
    pub fn flaw(self) -> Option<Flaw> {
        self.index.flaw()
    }

    /// The body, cut by Content-Length.
    pub fn body(self) -> &'a [u8] {
        self.bytes.get(self.index.body_range()).unwrap_or_default()
    }

    /// The value of the first field of this name, trimmed; folds inside are kept, see [`Self::text`].
    pub fn header(self, name: Name<'_>) -> Option<&'a [u8]> {
        self.headers(name).next()
    }

    /// The value of every field of this name, one item a field (not a list element), as [`Self::header`].
    pub fn headers<'n>(self, name: Name<'n>) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        let (id, letters) = (name.id(), name.as_str());
        self.index.fields.iter().filter_map(move |field| {
            let same = field.id == id
                && (id != name::OTHER || field.name(self.bytes).eq_ignore_ascii_case(letters.as_bytes()));
            same.then(|| field.value(self.bytes))
        })
    }

    /// Every field in order: its name (known ones in their long form) and its value.
    pub fn all_headers(self) -> impl Iterator<Item = (Name<'a>, &'a [u8])> {
        self.index.fields.iter().map(move |field| {
            let letters = || Name::Other(chars::text(field.name(self.bytes)).unwrap_or_default());
            (name::known(field.id).unwrap_or_else(letters), field.value(self.bytes))
        })
    }

    /// How many fields of this name there are.
    pub fn count(self, name: Name<'_>) -> usize {
        self.headers(name).count()
    }

    /// The first field of this name as text: folds become one blank, bytes that are no UTF-8 become U+FFFD.
    pub fn text(self, name: Name<'_>) -> Option<Cow<'a, str>> {
        self.header(name).map(unfold)
    }

    /// The elements of all fields of this name, for names whose fields are comma-separated lists.
    pub fn values<'n>(self, name: Name<'n>) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.headers(name).flat_map(Values::new)
    }

    /// True when a comma-separated list of tokens (Supported, Require, Allow) has this one.
    pub fn lists_token(self, name: Name<'_>, token: &str) -> bool {
        self.values(name).any(|value| value.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The topmost Via.
    pub fn via(self) -> Result<Via<'a>, HeaderError> {
        self.values(Name::Via).next().ok_or(HeaderError::Missing).and_then(Via::parse)
    }

    /// The branch of the topmost Via, whatever else stands there: for those who look for the transaction of a message that
    /// was judged.
    pub fn branch(self) -> Option<&'a str> {
        let via = self.values(Name::Via).next()?;
        let params = memchr::memchr(b';', via)?;
        super::Params::new(&via[params..]).get("branch")
    }

    /// Every Via, topmost first.
    pub fn vias(self) -> impl Iterator<Item = Result<Via<'a>, HeaderError>> {
        self.values(Name::Via).map(Via::parse)
    }

    /// From.
    pub fn from(self) -> Result<NameAddr<'a>, HeaderError> {
        self.header(Name::From).ok_or(HeaderError::Missing).and_then(NameAddr::parse)
    }

    /// To.
    pub fn to(self) -> Result<NameAddr<'a>, HeaderError> {
        self.header(Name::To).ok_or(HeaderError::Missing).and_then(NameAddr::parse)
    }

    /// The tag of From, whatever the address: for those who look for the dialog of a message that was judged.
    pub fn from_tag(self) -> Option<&'a str> {
        NameAddr::params_of(self.header(Name::From)?).ok()?.get("tag")
    }

    /// The tag of To, as [`Self::from_tag`].
    pub fn to_tag(self) -> Option<&'a str> {
        NameAddr::params_of(self.header(Name::To)?).ok()?.get("tag")
    }

    /// CSeq.
    pub fn cseq(self) -> Result<CSeq, HeaderError> {
        self.header(Name::CSeq).ok_or(HeaderError::Missing).and_then(CSeq::parse)
    }

    /// Call-ID. Compares byte by byte.
    pub fn call_id(self) -> Result<&'a str, HeaderError> {
        let value = self.header(Name::CallId).ok_or(HeaderError::Missing)?;
        match chars::text(value) {
            Some("") => Err(HeaderError::Empty),
            Some(text) if !text.bytes().any(chars::is_space) => Ok(text),
            Some(_) | None => Err(HeaderError::TrailingBytes),
        }
    }

    /// Every Contact.
    pub fn contacts(self) -> impl Iterator<Item = Result<Contact<'a>, HeaderError>> {
        self.values(Name::Contact).map(Contact::parse)
    }

    /// The first Contact that is an address.
    pub fn contact(self) -> Result<NameAddr<'a>, HeaderError> {
        let first = self.contacts().next().ok_or(HeaderError::Missing)??;
        first.addr().ok_or(HeaderError::Missing)
    }

    /// Every Route, first hop first.
    pub fn routes(self) -> impl Iterator<Item = Result<NameAddr<'a>, HeaderError>> {
        self.addresses(Name::Route)
    }

    /// Every Record-Route, topmost first.
    pub fn record_routes(self) -> impl Iterator<Item = Result<NameAddr<'a>, HeaderError>> {
        self.addresses(Name::RecordRoute)
    }

    /// The addresses of any list header of addresses: Path, Service-Route, P-Asserted-Identity, ...
    pub fn addresses<'n>(
        self,
        name: Name<'n>,
    ) -> impl Iterator<Item = Result<NameAddr<'a>, HeaderError>> + use<'a, 'n> {
        self.values(name).map(NameAddr::parse)
    }

    /// Max-Forwards, 0 to 255.
    pub fn max_forwards(self) -> Result<Option<u8>, HeaderError> {
        let number = self.number(Name::MaxForwards)?;
        number.map(|n| u8::try_from(n).map_err(|_| HeaderError::BadNumber)).transpose()
    }

    /// Expires, in seconds.
    pub fn expires(self) -> Result<Option<u32>, HeaderError> {
        self.number(Name::Expires)
    }

    /// Min-Expires, in seconds (RFC 3261 section 20.23).
    pub fn min_expires(self) -> Result<Option<u32>, HeaderError> {
        self.number(Name::MinExpires)
    }

    /// Retry-After, in seconds; comment and parameters are left out.
    pub fn retry_after(self) -> Result<Option<u32>, HeaderError> {
        self.leading_number(Name::RetryAfter)
    }

    /// Session-Expires, in seconds (RFC 4028); its parameters with [`Self::header_params`].
    pub fn session_expires(self) -> Result<Option<u32>, HeaderError> {
        self.leading_number(Name::SessionExpires)
    }

    /// RSeq (RFC 3262).
    pub fn rseq(self) -> Result<Option<u32>, HeaderError> {
        self.number(Name::RSeq)
    }

    /// RAck (RFC 3262).
    pub fn rack(self) -> Result<RAck, HeaderError> {
        self.header(Name::RAck).ok_or(HeaderError::Missing).and_then(RAck::parse)
    }

    /// The parameters behind the first `;` of a field whose value is a token or number: Content-Type,
    /// Session-Expires, Event, Subscription-State, Replaces, Reason, ...
    pub fn header_params(self, name: Name<'_>) -> super::Params<'a> {
        let value = self.header(name).unwrap_or_default();
        let start = memchr::memchr(b';', value).unwrap_or(value.len());
        super::Params::new(&value[start..])
    }

    /// The value of a field without its parameters: `application/sdp` of a Content-Type.
    pub fn header_token(self, name: Name<'_>) -> Option<&'a str> {
        let value = self.header(name)?;
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        chars::text(chars::trim_end(&value[..end]))
    }

    /// The media type of the body, without parameters, as written.
    pub fn content_type(self) -> Option<&'a str> {
        self.header_token(Name::ContentType)
    }

    /// Every challenge: WWW-Authenticate, then Proxy-Authenticate; the flag tells the latter.
    pub fn challenges(self) -> impl Iterator<Item = (bool, Result<Challenge<'a>, HeaderError>)> {
        let server = self.headers(Name::WwwAuthenticate).map(|value| (false, Challenge::parse(value)));
        server.chain(self.headers(Name::ProxyAuthenticate).map(|value| (true, Challenge::parse(value))))
    }

    /// The parameters of Authentication-Info (RFC 7616 section 3.5).
    pub fn authentication_info(self) -> Option<AuthParams<'a>> {
        self.header(Name::AuthenticationInfo).map(AuthParams::new)
    }

    fn number(self, name: Name<'_>) -> Result<Option<u32>, HeaderError> {
        let Some(value) = self.header(name) else { return Ok(None) };
        let number = chars::decimal(value).and_then(|n| u32::try_from(n).ok());
        number.map(Some).ok_or(HeaderError::BadNumber)
    }

    fn leading_number(self, name: Name<'_>) -> Result<Option<u32>, HeaderError> {
        let Some(value) = self.header(name) else { return Ok(None) };
        let end = value.iter().position(|b| !b.is_ascii_digit()).unwrap_or(value.len());
        let ends_well = value.get(end).is_none_or(|&b| chars::is_space(b) || matches!(b, b';' | b'('));
        let number = chars::decimal(&value[..end]).and_then(|n| u32::try_from(n).ok());
        number.filter(|_| ends_well).map(Some).ok_or(HeaderError::BadNumber)
    }
}

macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        /// Every accessor of [`MessageRef`].
        impl Message {
            $(
                #[doc = concat!("See [`MessageRef::", stringify!($name), "`].")]
                pub fn $name(&self, $($arg: $type),*) -> $out {
                    self.view().$name($($arg),*)
                }
            )*
        }
    };
}

forward! {
    as_bytes() -> &[u8];
    start() -> StartLine<'_>;
    is_request() -> bool;
    method() -> Option<Method>;
    status() -> Option<u16>;
    reason() -> Option<Cow<'_, str>>;
    request_uri() -> Option<Result<UriRef<'_>, UriError>>;
    version() -> &[u8];
    flaw() -> Option<Flaw>;
    body() -> &[u8];
    header(name: Name<'_>) -> Option<&[u8]>;
    headers(name: Name<'_>) -> impl Iterator<Item = &[u8]> + Clone;
    all_headers() -> impl Iterator<Item = (Name<'_>, &[u8])>;
    count(name: Name<'_>) -> usize;
    text(name: Name<'_>) -> Option<Cow<'_, str>>;
    values(name: Name<'_>) -> impl Iterator<Item = &[u8]>;
    lists_token(name: Name<'_>, token: &str) -> bool;
    via() -> Result<Via<'_>, HeaderError>;
    branch() -> Option<&str>;
    vias() -> impl Iterator<Item = Result<Via<'_>, HeaderError>>;
    from() -> Result<NameAddr<'_>, HeaderError>;
    to() -> Result<NameAddr<'_>, HeaderError>;
    from_tag() -> Option<&str>;
    to_tag() -> Option<&str>;
    cseq() -> Result<CSeq, HeaderError>;
    call_id() -> Result<&str, HeaderError>;
    contacts() -> impl Iterator<Item = Result<Contact<'_>, HeaderError>>;
    contact() -> Result<NameAddr<'_>, HeaderError>;
    routes() -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>>;
    record_routes() -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>>;
    addresses(name: Name<'_>) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>>;
    max_forwards() -> Result<Option<u8>, HeaderError>;
    expires() -> Result<Option<u32>, HeaderError>;
    min_expires() -> Result<Option<u32>, HeaderError>;
    retry_after() -> Result<Option<u32>, HeaderError>;
    session_expires() -> Result<Option<u32>, HeaderError>;
    rseq() -> Result<Option<u32>, HeaderError>;
    rack() -> Result<RAck, HeaderError>;
    header_params(name: Name<'_>) -> super::Params<'_>;
    header_token(name: Name<'_>) -> Option<&str>;
    content_type() -> Option<&str>;
    challenges() -> impl Iterator<Item = (bool, Result<Challenge<'_>, HeaderError>)>;
    authentication_info() -> Option<AuthParams<'_>>;
}

/// Folds become one blank (RFC 3261 section 7.3.1).
fn unfold(value: &[u8]) -> Cow<'_, str> {
    let text = chars::text(value).map_or_else(|| String::from_utf8_lossy(value), Cow::Borrowed);
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for line in text.split(['\r', '\n']) {
        let line = line.trim_matches([' ', '\t']);
        if !line.is_empty() {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(line);
        }
    }
    Cow::Owned(out)
}

/// Redacted: what may stand in a log.
impl fmt::Debug for MessageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact::summary(*self))
    }
}

/// Redacted: what may stand in a log.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

/// Redacted: what may stand in a log.
impl fmt::Debug for Indexed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

impl PartialEq for Message {
    /// Byte by byte.
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Message {}

impl<'a> From<&'a Message> for MessageRef<'a> {
    fn from(message: &'a Message) -> Self {
        message.view()
    }
}
