//! `name-addr` and `addr-spec` with parameters: From, To, Contact, Route, Record-Route and their kin
//! (RFC 3261 sections 20.10, 20.20, 20.34, 20.39).

use std::borrow::Cow;
use std::fmt;

use super::HeaderError;
use crate::wire::chars;
use crate::wire::params::{Params, quoted_len, unquoted};
use crate::wire::uri::UriRef;

/// A URI with an optional display name and header parameters.
#[derive(Clone, Copy)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes and escapes kept.
    pub display: Option<&'a [u8]>,
    /// The URI.
    pub uri: UriRef<'a>,
    /// The header's own parameters; without brackets every parameter is the header's (section 20.10).
    pub params: Params<'a>,
}

/// The URI redacted; of name and parameters the lengths.
impl fmt::Debug for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("NameAddr");
        shown.field("display", &self.display.map(<[u8]>::len)).field("uri", &self.uri);
        shown.field("params", &self.params).finish()
    }
}

impl<'a> NameAddr<'a> {
    /// From one header value or list element.
    pub fn parse(value: &'a [u8]) -> Result<Self, HeaderError> {
        let Cut { display, uri, params } = cut(value)?;
        Ok(Self { display, uri: UriRef::parse(uri)?, params })
    }

    /// The header's own parameters of one header value or list element, whatever its URI: for those who need no more.
    pub fn params_of(value: &'a [u8]) -> Result<Params<'a>, HeaderError> {
        cut(value).map(|cut| cut.params)
    }

    /// The display name without quotes and escapes; bytes that are no UTF-8 become U+FFFD.
    pub fn display_name(&self) -> Option<Cow<'a, str>> {
        let raw = self.display?;
        let inner = unquoted(raw);
        if inner.len() == raw.len() || !inner.contains(&b'\\') {
            return Some(String::from_utf8_lossy(inner));
        }
        let mut out = Vec::with_capacity(inner.len());
        let mut bytes = inner.iter();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'\\' => out.extend(bytes.next()),
                _ => out.push(byte),
            }
        }
        Some(Cow::Owned(String::from_utf8_lossy(&out).into_owned()))
    }

    /// The dialog tag of a From or To.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag")
    }

    /// `expires` of a Contact; `None` when absent or no 32-bit number.
    pub fn expires(&self) -> Option<u32> {
        let value = self.params.find("expires")?.value?;
        chars::decimal(value).and_then(|seconds| u32::try_from(seconds).ok())
    }

    /// `q` of a Contact in thousandths, 1000 when absent or malformed.
    pub fn q_thousandths(&self) -> u16 {
        let Some(q) = self.params.get("q") else { return 1000 };
        let (whole, fraction) = q.split_once('.').unwrap_or((q, ""));
        let mut thousandths = if whole == "1" { 1000 } else { 0 };
        if !matches!(whole, "0" | "1") || fraction.len() > 3 {
            return 1000;
        }
        for (digit, weight) in fraction.bytes().zip([100, 10, 1]) {
            if !digit.is_ascii_digit() {
                return 1000;
            }
            thousandths += u16::from(digit - b'0') * weight;
        }
        thousandths.min(1000)
    }
}

/// Where the three parts of a value stand.
struct Cut<'a> {
    display: Option<&'a [u8]>,
    uri: &'a [u8],
    params: Params<'a>,
}

fn cut(value: &[u8]) -> Result<Cut<'_>, HeaderError> {
    let value = chars::trim(value);
    match value.first() {
        None => Err(HeaderError::Empty),
        Some(b'"') => {
            let end = quoted_len(value);
            let behind = chars::trim_start(&value[end..]);
            match behind.first() {
                Some(b'<') => cut_at_angles(Some(&value[..end]), behind),
                Some(_) => Err(HeaderError::BadDisplayName),
                None => Err(HeaderError::UnterminatedQuote),
            }
        }
        Some(b'<') => cut_at_angles(None, value),
        Some(_) => {
            // Bytes beyond ASCII are no token, but senders of unquoted names in UTF-8 are many.
            let word = |b: u8| chars::is_token(b) || chars::is_space(b) || b >= 0x80;
            match value.iter().position(|&b| !word(b)) {
                Some(at) if value[at] == b'<' => {
                    cut_at_angles(Some(chars::trim_end(&value[..at])), &value[at..])
                }
                Some(at) if value[at] == b':' => cut_bare(value),
                Some(_) => Err(HeaderError::BadDisplayName),
                None => Err(HeaderError::Uri(super::UriError::NoScheme)),
            }
        }
    }
}

/// `<uri>;params`.
fn cut_at_angles<'a>(display: Option<&'a [u8]>, value: &'a [u8]) -> Result<Cut<'a>, HeaderError> {
    let close = memchr::memchr(b'>', value).ok_or(HeaderError::UnterminatedAngle)?;
    let params = chars::trim_start(&value[close + 1..]);
    match params.first() {
        None | Some(b';') => Ok(Cut { display, uri: &value[1..close], params: Params(params) }),
        Some(_) => {
            // A malformed URI is the more telling fault.
            UriRef::parse(&value[1..close])?;
            Err(HeaderError::TrailingBytes)
        }
    }
}

/// `uri;params` without brackets: the URI ends at the first semicolon, and has no headers.
fn cut_bare(value: &[u8]) -> Result<Cut<'_>, HeaderError> {
    let end = memchr::memchr3(b';', b'?', b',', value).unwrap_or(value.len());
    if matches!(value.get(end), Some(b'?' | b',')) {
        return Err(HeaderError::NeedsAngleBrackets);
    }
    Ok(Cut { display: None, uri: chars::trim_end(&value[..end]), params: Params(&value[end..]) })
}

/// One element of a Contact header.
#[derive(Debug, Clone, Copy)]
pub enum Contact<'a> {
    /// `*`: all bindings, in a REGISTER that removes them.
    Star,
    /// An address.
    Addr(NameAddr<'a>),
}

impl<'a> Contact<'a> {
    /// From one list element.
    pub fn parse(value: &'a [u8]) -> Result<Self, HeaderError> {
        match chars::trim(value) {
            b"*" => Ok(Self::Star),
            value => NameAddr::parse(value).map(Self::Addr),
        }
    }

    /// The address, unless it is the star.
    pub fn addr(&self) -> Option<NameAddr<'a>> {
        match self {
            Self::Star => None,
            Self::Addr(addr) => Some(*addr),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::UriError;
    use super::*;

    fn parse(value: &str) -> Result<NameAddr<'_>, HeaderError> {
        NameAddr::parse(value.as_bytes())
    }

    #[test]
    fn every_shape_of_a_display_name() -> Result<(), HeaderError> {
        for (value, display) in [
            ("sip:a@h;tag=1", None),
            ("<sip:a@h>;tag=1", None),
            ("caller<sip:a@h>;tag=1", Some("caller")),
            ("J  Rosenberg \r\n <sip:a@h> ; tag = 1", Some("J  Rosenberg")),
            ("\"J Rosenberg \\\\\\\"\"   <sip:a@h>\r\n  ;\r\n  tag = 1", Some("J Rosenberg \\\"")),
            ("\"\"<sip:a@h>;tag=1", Some("")),
            ("\"a <b> ;c,\" <sip:a@h>;tag=1", Some("a <b> ;c,")),
            ("Zoë <sip:a@h>;tag=1", Some("Zoë")),
        ] {
            let addr = parse(value)?;
            assert_eq!(addr.display_name().as_deref(), display, "{value}");
            assert_eq!((addr.uri.as_str(), addr.tag()), ("sip:a@h", Some("1")), "{value}");
        }
        let latin1 = NameAddr::parse(b"\"Zo\xeb\" <sip:a@h>")?;
        assert_eq!(latin1.display_name().as_deref(), Some("Zo\u{fffd}"));
        assert_eq!(latin1.display, Some(&b"\"Zo\xeb\""[..]));
        Ok(())
    }

    #[test]
    fn parameters_belong_to_the_header_without_brackets() -> Result<(), HeaderError> {
        let bare = parse("sip:+19725552222@gw1.example.net;unknownparam")?;
        assert!(bare.params.has("unknownparam") && bare.uri.params().is_empty());
        let angled = parse("<sip:+19725552222@gw1.example.net;unknownparam>")?;
        assert!(angled.params.is_empty() && angled.uri.params().has("unknownparam"));
        Ok(())
    }

    #[test]
    fn faults() {
        for (value, why) in [
            ("", HeaderError::Empty),
            ("\"Mr. J. User <sip:j.user@example.com>", HeaderError::UnterminatedQuote),
            ("\"x\" sip:a@h", HeaderError::BadDisplayName),
            ("Bell, Alexander <sip:a@h>", HeaderError::BadDisplayName),
            ("\"W\" < sip:t@h >", HeaderError::Uri(UriError::UnexpectedByte)),
            ("sip:user@example.com?Route=%3Csip:x%3E", HeaderError::NeedsAngleBrackets),
            ("<sip:a@h", HeaderError::UnterminatedAngle),
            ("<sip:a@h> x", HeaderError::TrailingBytes),
            ("word", HeaderError::Uri(UriError::NoScheme)),
        ] {
            assert_eq!(parse(value).err(), Some(why), "{value}");
        }
    }

    #[test]
    fn contact_star_expires_and_q() -> Result<(), HeaderError> {
        assert!(matches!(Contact::parse(b" * ")?, Contact::Star));
        let contact = parse("<sip:a@h>;expires=3600;q=0.33")?;
        assert_eq!((contact.expires(), contact.q_thousandths()), (Some(3600), 330));
        assert_eq!(parse("<sip:a@h>;expires=280297596632815;q=2")?.expires(), None);
        for (q, thousandths) in [("1", 1000), ("0", 0), ("0.5", 500), ("1.000", 1000), ("0.1234", 1000)] {
            assert_eq!(parse(&format!("<sip:a@h>;q={q}"))?.q_thousandths(), thousandths);
        }
        Ok(())
    }
}
