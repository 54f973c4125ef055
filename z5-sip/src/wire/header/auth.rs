//! The shared syntax of WWW-Authenticate, Proxy-Authenticate, Authorization and their kin: a scheme and a
//! comma-separated list of parameters (RFC 3261 section 25.1, RFC 7616 section 3.3).
//!
//! What a challenge means, and the answer to it, is in [`crate::auth`].

use std::borrow::Cow;
use std::fmt;

use super::HeaderError;
use crate::wire::chars;
use crate::wire::params::{quoted_len, unquoted};

/// A challenge or credentials as they stand in a message.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    /// The scheme as written; compare it without letter case.
    pub scheme: &'a str,
    /// Its parameters.
    pub params: AuthParams<'a>,
}

impl<'a> Challenge<'a> {
    /// From one header value.
    pub fn parse(value: &'a [u8]) -> Result<Self, HeaderError> {
        let value = chars::trim(value);
        let end = value.iter().position(|&b| !chars::is_token(b)).unwrap_or(value.len());
        if end == 0 {
            return Err(HeaderError::Empty);
        }
        if value.get(end).is_some_and(|&b| !chars::is_space(b)) {
            return Err(HeaderError::BadParams);
        }
        let scheme = chars::text(&value[..end]).ok_or(HeaderError::BadParams)?;
        Ok(Self { scheme, params: AuthParams(&value[end..]) })
    }

    /// True for the digest scheme.
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    /// A parameter without quotes and escapes.
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        self.params.get(name)
    }

    /// The realm.
    pub fn realm(&self) -> Option<Cow<'a, str>> {
        self.params.get("realm")
    }
}

/// `name=value` pairs separated by commas.
#[derive(Clone, Copy)]
pub struct AuthParams<'a>(&'a [u8]);

/// The names only: values answer challenges.
impl fmt::Debug for AuthParams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|param| param.name)).finish()
    }
}

/// One pair.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuthParam<'a> {
    /// The name as written; names compare without letter case.
    pub name: &'a str,
    /// The value as written, quotes kept.
    pub value: &'a [u8],
}

/// The name, and how long the value is.
impl fmt::Debug for AuthParam<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.value.len())
    }
}

impl<'a> AuthParams<'a> {
    /// Over a bare list, as Authentication-Info carries it.
    pub fn new(value: &'a [u8]) -> Self {
        Self(value)
    }

    /// Every pair in order; what is no pair is left out.
    pub fn iter(&self) -> impl Iterator<Item = AuthParam<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let end = pair_len(rest);
                let pair = &rest[..end];
                rest = rest.get(end + 1..).unwrap_or_default();
                if let Some(equals) = memchr::memchr(b'=', pair)
                    && let name = chars::trim(&pair[..equals])
                    && chars::all_token(name)
                    && let Some(name) = chars::text(name)
                {
                    return Some(AuthParam { name, value: chars::trim(&pair[equals + 1..]) });
                }
            }
            None
        })
    }

    /// The value of the first pair of this name, without quotes and escapes.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let param = self.iter().find(|param| param.name.eq_ignore_ascii_case(name))?;
        let inner = unquoted(param.value);
        if !inner.contains(&b'\\') {
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
}

/// Length of the first pair, up to its comma.
fn pair_len(list: &[u8]) -> usize {
    let mut at = 0;
    while let Some(skip) = memchr::memchr2(b',', b'"', list.get(at..).unwrap_or_default()) {
        at += skip;
        if list[at] == b',' {
            return at;
        }
        at += quoted_len(&list[at..]);
    }
    list.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_case_and_values_without_quotes() -> Result<(), HeaderError> {
        let challenge = Challenge::parse(
            b"digest REALM=\"a, \\\"b\\\"\" ,\r\n nonce=\"x=y\", Qop=\"auth,auth-int\",algorithm=SHA-256, stale=TRUE",
        )?;
        assert!(challenge.is_digest());
        assert_eq!(challenge.realm().as_deref(), Some("a, \"b\""));
        assert_eq!(challenge.param("nonce").as_deref(), Some("x=y"));
        assert_eq!(challenge.param("qop").as_deref(), Some("auth,auth-int"));
        assert_eq!(challenge.param("algorithm").as_deref(), Some("SHA-256"));
        assert_eq!(challenge.param("opaque"), None);
        Ok(())
    }

    #[test]
    fn hostile_input_yields_less_not_a_panic() -> Result<(), HeaderError> {
        let challenge = Challenge::parse(b"Digest ,,,=,a,b=,realm=\"open, nonce=\"")?;
        assert_eq!(challenge.param("b").as_deref(), Some(""));
        assert_eq!(challenge.param("nonce"), None);
        assert!(Challenge::parse(b"").is_err());
        assert!(Challenge::parse(b"=x").is_err());
        assert!(Challenge::parse(b"Digest=x").is_err());
        assert_eq!(Challenge::parse(b"NoOneKnows opaque-data=here")?.scheme, "NoOneKnows");
        Ok(())
    }
}
