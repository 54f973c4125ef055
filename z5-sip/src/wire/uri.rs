//! URIs: sip and sips taken apart, tel, urn and all others kept whole (RFC 3261 section 19.1, RFC 3966).
//!
//! [`UriRef`] borrows from a message and copies nothing; [`Uri`] owns its text. Comparison is in
//! `uri/compare.rs`. Resolves nothing and does not normalise.

mod compare;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::chars;
use super::host::{Host, HostError};
use super::params::Params;

/// What kind of URI stands there; decided by the scheme, without letter case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// `urn:` (RFC 5031: `urn:service:sos`)
    Urn,
    /// Any other; see [`UriRef::scheme_text`].
    Other,
}

/// Why bytes are no URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Not UTF-8, or a control byte or white space inside.
    #[error("the URI has white space, a control byte or bytes that are not text")]
    UnexpectedByte,
    /// No `scheme:` at the front.
    #[error("the URI has no scheme")]
    NoScheme,
    /// The scheme has letters no scheme may have.
    #[error("the URI's scheme has a letter no scheme may have")]
    BadScheme,
    /// The user part is empty or has a byte no user part may have.
    #[error("the URI's user part is malformed")]
    BadUser,
    /// The host or port is wrong.
    #[error("the URI's host is malformed: {0}")]
    Host(#[from] HostError),
    /// A parameter is malformed.
    #[error("a URI parameter is malformed")]
    BadParams,
    /// Longer than 64 KiB.
    #[error("the URI is longer than 65535 bytes")]
    TooLong,
}

/// Offsets into the text of a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Parts {
    scheme: Scheme,
    /// End of the scheme, at its colon.
    colon: u16,
    /// Where the user ends: at `@`, or at the `:` of a password. Equal to `colon` without a user part.
    user_end: u16,
    /// First byte of the host; for opaque URIs the first byte after the colon.
    host: u16,
    host_end: u16,
    port: Option<u16>,
    /// Where the parameters begin, at their `;`.
    params: u16,
    /// Where the headers begin, at their `?`.
    headers: u16,
}

/// A URI inside a message.
#[derive(Clone, Copy)]
pub struct UriRef<'a> {
    text: &'a str,
    parts: Parts,
}

impl<'a> UriRef<'a> {
    /// Takes a URI apart. White space around it is not allowed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, UriError> {
        if bytes.len() > usize::from(u16::MAX) {
            return Err(UriError::TooLong);
        }
        if !chars::all_uri(bytes) {
            return Err(UriError::UnexpectedByte);
        }
        let text = chars::text(bytes).ok_or(UriError::UnexpectedByte)?;
        let colon = memchr::memchr(b':', bytes).ok_or(UriError::NoScheme)?;
        let parts = match scheme(&bytes[..colon])? {
            scheme @ (Scheme::Sip | Scheme::Sips) => sip_parts(bytes, colon, scheme)?,
            scheme @ (Scheme::Tel | Scheme::Urn | Scheme::Other) => opaque_parts(bytes, colon, scheme),
        };
        Ok(Self { text, parts })
    }

    /// The whole URI as written.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Which kind.
    pub fn scheme(&self) -> Scheme {
        self.parts.scheme
    }

    /// The scheme as written.
    pub fn scheme_text(&self) -> &'a str {
        self.cut(0, self.parts.colon)
    }

    /// The user part as written, escapes kept, password left out; for `tel:` the number.
    pub fn user(&self) -> Option<&'a str> {
        match self.parts.scheme {
            Scheme::Tel => Some(self.cut(self.parts.colon + 1, self.parts.params)),
            Scheme::Sip | Scheme::Sips | Scheme::Urn | Scheme::Other => (self.parts.user_end
                > self.parts.colon)
                .then(|| self.cut(self.parts.colon + 1, self.parts.user_end)),
        }
    }

    /// The user part with its escapes resolved; bytes that are no UTF-8 then become U+FFFD.
    pub fn user_unescaped(&self) -> Option<Cow<'a, str>> {
        self.user().map(unescape)
    }

    /// The password in the user part. Its use is deprecated (RFC 3261 section 19.1.1).
    pub fn password(&self) -> Option<&'a str> {
        let at = self.parts.host.saturating_sub(1);
        (self.user().is_some() && self.is_sip() && self.parts.user_end < at)
            .then(|| self.cut(self.parts.user_end + 1, at))
    }

    /// True for sip and sips.
    pub fn is_sip(&self) -> bool {
        matches!(self.parts.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The host; `None` for URIs that have none.
    pub fn host(&self) -> Option<Host<'a>> {
        if !self.is_sip() {
            return None;
        }
        Host::parse(self.cut(self.parts.host, self.parts.host_end).as_bytes()).ok()
    }

    /// The port, when one is written.
    pub fn port(&self) -> Option<u16> {
        self.parts.port
    }

    /// The parameters (sip, sips and tel).
    pub fn params(&self) -> Params<'a> {
        Params(self.cut(self.parts.params, self.parts.headers).as_bytes())
    }

    /// A parameter's value.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params().get(name)
    }

    /// True with an `lr` parameter, with or without a value (RFC 3261 section 19.1.1).
    pub fn is_loose_router(&self) -> bool {
        self.params().has("lr")
    }

    /// The headers behind `?`, escapes kept, without the `?`.
    pub fn headers(&self) -> Option<&'a str> {
        let end = self.text.len() as u16;
        (self.parts.headers < end).then(|| self.cut(self.parts.headers + 1, end))
    }

    /// A copy that owns its text.
    pub fn to_uri(&self) -> Uri {
        Uri { text: self.text.into(), parts: self.parts }
    }

    fn cut(&self, from: u16, to: u16) -> &'a str {
        self.text.get(usize::from(from)..usize::from(to)).unwrap_or_default()
    }
}

fn scheme(bytes: &[u8]) -> Result<Scheme, UriError> {
    Ok(match bytes {
        [] => return Err(UriError::NoScheme),
        _ if bytes.eq_ignore_ascii_case(b"sip") => Scheme::Sip,
        _ if bytes.eq_ignore_ascii_case(b"sips") => Scheme::Sips,
        _ if bytes.eq_ignore_ascii_case(b"tel") => Scheme::Tel,
        _ if bytes.eq_ignore_ascii_case(b"urn") => Scheme::Urn,
        [first, rest @ ..] => {
            let tail = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
            if !first.is_ascii_alphabetic() || !rest.iter().all(tail) {
                return Err(UriError::BadScheme);
            }
            Scheme::Other
        }
    })
}

fn sip_parts(bytes: &[u8], colon: usize, scheme: Scheme) -> Result<Parts, UriError> {
    // The user part may hold `;`, `?` and `/` unescaped, so the `@` is found before anything else.
    let (user_end, host) = match memchr::memchr(b'@', &bytes[colon + 1..]) {
        None => (colon, colon + 1),
        Some(length) => {
            let at = colon + 1 + length;
            let user = &bytes[colon + 1..at];
            let end = memchr::memchr(b':', user).unwrap_or(user.len());
            if end == 0 || !chars::all_user(user) {
                return Err(UriError::BadUser);
            }
            (colon + 1 + end, at + 1)
        }
    };
    let rest = &bytes[host..];
    let stop = memchr::memchr2(b';', b'?', rest).unwrap_or(rest.len());
    let (name, port) = Host::split_port(&rest[..stop])?;
    Host::check(name)?;
    let host_end = host + name.len();
    let params = host + stop;
    let headers = memchr::memchr(b'?', &bytes[params..]).map_or(bytes.len(), |at| params + at);
    // Neither quotes nor white space stand in a URI, so its parameters end at the next `;`.
    let well_formed = |param: &[u8]| match param.iter().position(|&byte| byte == b'=') {
        None => !param.is_empty(),
        Some(equals) => equals > 0 && equals + 1 < param.len(),
    };
    if params < headers && !bytes[params + 1..headers].split(|&byte| byte == b';').all(well_formed) {
        return Err(UriError::BadParams);
    }
    Ok(Parts {
        scheme,
        colon: colon as u16,
        user_end: user_end as u16,
        host: host as u16,
        host_end: host_end as u16,
        port,
        params: params as u16,
        headers: headers as u16,
    })
}

fn opaque_parts(bytes: &[u8], colon: usize, scheme: Scheme) -> Parts {
    let end = bytes.len();
    let params = match scheme {
        Scheme::Tel => memchr::memchr(b';', bytes).unwrap_or(end),
        Scheme::Sip | Scheme::Sips | Scheme::Urn | Scheme::Other => end,
    };
    Parts {
        scheme,
        colon: colon as u16,
        user_end: colon as u16,
        host: colon as u16 + 1,
        host_end: params as u16,
        port: None,
        params: params as u16,
        headers: end as u16,
    }
}

/// Resolves `%HH`; a `%` without two hex digits stays as it is.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match escaped(&bytes[at..]) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// The byte of a `%HH` at the front.
pub(crate) fn escaped(bytes: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    match bytes {
        [b'%', high, low, ..] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    }
}

/// Without its user: what may stand in a log. Display shows it whole.
impl fmt::Debug for UriRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::redact::uri(*self))
    }
}

impl fmt::Display for UriRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// A URI that owns its text. Equality is that of RFC 3261 section 19.1.4, not of the letters.
#[derive(Clone)]
pub struct Uri {
    text: Box<str>,
    parts: Parts,
}

impl Uri {
    /// Takes a URI apart and keeps it.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        UriRef::parse(text.as_bytes()).map(|uri| uri.to_uri())
    }

    /// A view with all accessors.
    pub fn as_ref(&self) -> UriRef<'_> {
        UriRef { text: &self.text, parts: self.parts }
    }

    /// The whole URI as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// See [`UriRef::scheme`].
    pub fn scheme(&self) -> Scheme {
        self.parts.scheme
    }

    /// See [`UriRef::user`].
    pub fn user(&self) -> Option<&str> {
        self.as_ref().user()
    }

    /// See [`UriRef::host`].
    pub fn host(&self) -> Option<Host<'_>> {
        self.as_ref().host()
    }

    /// See [`UriRef::port`].
    pub fn port(&self) -> Option<u16> {
        self.parts.port
    }

    /// See [`UriRef::param`].
    pub fn param(&self, name: &str) -> Option<&str> {
        self.as_ref().param(name)
    }

    /// See [`UriRef::is_loose_router`].
    pub fn is_loose_router(&self) -> bool {
        self.as_ref().is_loose_router()
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text)
    }
}

/// Without its user: what may stand in a log. Display shows it whole.
impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}
