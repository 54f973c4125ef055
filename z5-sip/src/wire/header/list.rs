//! Comma-separated lists, aware of quotes and angle brackets.

use std::fmt;

use crate::wire::chars;
use crate::wire::params::quoted_len;

/// The elements of a comma-separated header value, white space trimmed. Empty elements are left out, as the
/// list rule of RFC 3261 section 25.1 allows a reader to do.
#[derive(Clone)]
pub struct Values<'a> {
    rest: &'a [u8],
}

/// How much is left, not what.
impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Values({} bytes)", self.rest.len())
    }
}

impl<'a> Values<'a> {
    /// Over one header value.
    pub fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    /// What has not been walked over yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = element_len(self.rest);
            let element = chars::trim(&self.rest[..end]);
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

/// Length of the first element, up to its comma.
fn element_len(value: &[u8]) -> usize {
    let mut at = 0;
    while let Some(skip) = memchr::memchr3(b',', b'"', b'<', value.get(at..).unwrap_or_default()) {
        at += skip;
        match value[at] {
            b',' => return at,
            b'"' => at += quoted_len(&value[at..]),
            _ => at += memchr::memchr(b'>', &value[at..]).unwrap_or(value.len() - at),
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(value: &str) -> Vec<&str> {
        Values::new(value.as_bytes()).map(|v| chars::text(v).unwrap_or("?")).collect()
    }

    #[test]
    fn commas_in_quotes_and_angles_do_not_split() {
        assert_eq!(split("a, b ,c"), ["a", "b", "c"]);
        assert_eq!(split("\"a,\\\",b\" <sip:x,y@h>;p, c"), ["\"a,\\\",b\" <sip:x,y@h>;p", "c"]);
        assert_eq!(split(" ,, a ,"), ["a"]);
        assert_eq!(split("\"open, b"), ["\"open, b"]);
        assert_eq!(split("<open, b"), ["<open, b"]);
        assert_eq!(split("a,\r\n b"), ["a", "b"]);
        assert_eq!(split(""), [""; 0]);
    }
}
