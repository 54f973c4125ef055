//! When two URIs mean the same (RFC 3261 section 19.1.4; RFC 3966 section 4 for tel).
//!
//! The relation is symmetric but, as the RFC says itself, not transitive: a parameter that only one side
//! has is mostly ignored. So there is no `Eq` and no hash.

use super::{Scheme, UriRef, escaped};
use crate::wire::params::{Param, Params};

/// Parameters that must stand on both sides or on none.
const NEVER_IGNORED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

impl PartialEq for UriRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.scheme() != other.scheme() {
            return false;
        }
        match self.scheme() {
            Scheme::Sip | Scheme::Sips => {
                same_escaped(self.user(), other.user(), false)
                    && same_escaped(self.password(), other.password(), false)
                    && self.host() == other.host()
                    && self.port() == other.port()
                    && same_params(self.params(), other.params())
                    && same_headers(self.headers(), other.headers())
            }
            Scheme::Tel => {
                let (a, b) = (self.user().unwrap_or_default(), other.user().unwrap_or_default());
                digits(a).eq(digits(b))
                    && all_in(self.params(), other.params())
                    && all_in(other.params(), self.params())
            }
            Scheme::Urn => self.as_str().eq_ignore_ascii_case(other.as_str()),
            Scheme::Other => self.as_str() == other.as_str(),
        }
    }
}

/// A number without its visual separators (RFC 3966 section 3).
fn digits(number: &str) -> impl Iterator<Item = u8> + '_ {
    number.bytes().filter(|b| !matches!(b, b'-' | b'.' | b'(' | b')')).map(|b| b.to_ascii_lowercase())
}

fn same_params(a: Params<'_>, b: Params<'_>) -> bool {
    let both_or_none = NEVER_IGNORED.iter().all(|name| a.has(name) == b.has(name));
    both_or_none && a.iter().all(|param| shared_value_matches(param, b))
}

/// A parameter on both sides must have one value.
fn shared_value_matches(param: Param<'_>, others: Params<'_>) -> bool {
    let twin = others.iter().find(|other| same_letters(param.name, other.name, true));
    twin.is_none_or(|twin| same_value(param, twin))
}

fn same_value(a: Param<'_>, b: Param<'_>) -> bool {
    same_letters(a.value.unwrap_or_default(), b.value.unwrap_or_default(), true)
}

fn all_in(these: Params<'_>, those: Params<'_>) -> bool {
    these.iter().all(|a| those.iter().any(|b| same_letters(a.name, b.name, true) && same_value(a, b)))
}

/// Headers are never ignored, their order is.
fn same_headers(a: Option<&str>, b: Option<&str>) -> bool {
    let (a, b) = match (a, b) {
        (None, None) => return true,
        (Some(a), Some(b)) => (a, b),
        (None, Some(_)) | (Some(_), None) => return false,
    };
    let found = |one: &str, all: &str| all.split('&').any(|other| same_header(one, other));
    a.split('&').count() == b.split('&').count()
        && a.split('&').all(|one| found(one, b))
        && b.split('&').all(|one| found(one, a))
}

fn same_header(a: &str, b: &str) -> bool {
    let (a, b) = (a.split_once('=').unwrap_or((a, "")), b.split_once('=').unwrap_or((b, "")));
    same_letters(a.0.as_bytes(), b.0.as_bytes(), true) && same_letters(a.1.as_bytes(), b.1.as_bytes(), false)
}

fn same_escaped(a: Option<&str>, b: Option<&str>, fold_case: bool) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => same_letters(a.as_bytes(), b.as_bytes(), fold_case),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// `%61` equals `a`; but an escaped reserved byte does not equal the bare one, which may be a separator.
fn same_letters(a: &[u8], b: &[u8], fold_case: bool) -> bool {
    Letters { rest: a, fold_case }.eq(Letters { rest: b, fold_case })
}

struct Letters<'a> {
    rest: &'a [u8],
    fold_case: bool,
}

impl Iterator for Letters<'_> {
    /// The byte, and whether it is a reserved one that stood escaped.
    type Item = (u8, bool);

    fn next(&mut self) -> Option<(u8, bool)> {
        let first = *self.rest.first()?;
        let (byte, was_escaped) = match escaped(self.rest) {
            Some(byte) => {
                self.rest = &self.rest[3..];
                (byte, matches!(byte, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b','))
            }
            None => {
                self.rest = &self.rest[1..];
                (first, false)
            }
        };
        Some((if self.fold_case { byte.to_ascii_lowercase() } else { byte }, was_escaped))
    }
}
