//! `;name=value` parameters, of URIs and of headers.

use std::fmt;

use super::chars;

/// A list of parameters as it stands in a message. Finding one costs a walk; nothing is copied.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Params<'a>(pub(crate) &'a [u8]);

/// The length only: values may name someone.
impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Params({} bytes)", self.0.len())
    }
}

/// One parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// Its name, as written; names compare without letter case.
    pub name: &'a [u8],
    /// Its value without surrounding white space, quotes kept; `None` for a name alone.
    pub value: Option<&'a [u8]>,
}

/// The name, and how long the value is.
impl fmt::Debug for Param<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.value.map(<[u8]>::len);
        write!(f, "{} ({length:?} bytes)", String::from_utf8_lossy(self.name))
    }
}

impl<'a> Param<'a> {
    /// The value as text without its quotes (escapes kept); `None` without a value or when not UTF-8.
    pub fn text(&self) -> Option<&'a str> {
        self.value.and_then(|value| chars::text(unquoted(value)))
    }

    /// True for a token name and a value of a shape the grammar knows (`gen-value`).
    pub fn is_well_formed(&self) -> bool {
        chars::all_token(self.name)
            && match self.value {
                None => true,
                Some([b'"', inner @ .., b'"']) => !ends_in_escape(inner),
                Some([]) => false,
                Some(value) => {
                    !value.iter().any(|&b| chars::is_space(b) || matches!(b, b'"' | b';' | b',' | b'='))
                }
            }
    }
}

impl<'a> Params<'a> {
    /// A list that begins with its first `;`, or nothing.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes as they stand, the first `;` included.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// True for no parameters.
    pub fn is_empty(&self) -> bool {
        chars::trim(self.0).is_empty()
    }

    /// Each parameter in order; empty ones (`;;`) come as empty names.
    pub fn iter(&self) -> ParamIter<'a> {
        ParamIter { rest: chars::trim_start(self.0) }
    }

    /// The first parameter of this name.
    pub fn find(&self, name: &str) -> Option<Param<'a>> {
        self.iter().find(|param| param.name.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// True when the parameter stands there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The value as text, without quotes; `None` when absent, without a value, or not UTF-8.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.find(name).and_then(|param| param.text())
    }

    /// True when every parameter has a token for a name and a value of a known shape.
    pub fn is_well_formed(&self) -> bool {
        self.iter().all(|param| param.is_well_formed())
    }
}

/// See [`Params::iter`].
#[derive(Clone)]
pub struct ParamIter<'a> {
    rest: &'a [u8],
}

impl fmt::Debug for ParamIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParamIter({} bytes)", self.rest.len())
    }
}

impl<'a> Iterator for ParamIter<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        // What does not open with `;` is a fault of whoever cut the list; show it as a parameter.
        let list = match self.rest {
            [] => return None,
            [b';', rest @ ..] => rest,
            rest => rest,
        };
        let (mut equals, mut at) = (None, 0);
        while let Some(skip) = memchr::memchr3(b';', b'=', b'"', &list[at..]) {
            at += skip;
            match list[at] {
                b';' => break,
                b'=' => {
                    equals.get_or_insert(at);
                    at += 1;
                }
                _ => at += quoted_len(&list[at..]),
            }
        }
        let at = if list.get(at) == Some(&b';') { at } else { list.len() };
        self.rest = &list[at..];
        let (name, value) = match equals {
            Some(equals) => (&list[..equals], Some(chars::trim(&list[equals + 1..at]))),
            None => (&list[..at], None),
        };
        Some(Param { name: chars::trim(name), value })
    }
}

/// Length of the quoted string that opens `bytes`, quotes included; all of it when it never closes.
pub(crate) fn quoted_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    loop {
        match memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
            None => return bytes.len(),
            Some(skip) if bytes[at + skip] == b'"' => return at + skip + 1,
            Some(skip) => at += skip + 2,
        }
    }
}

/// Without the quotes around it; escapes stay.
pub(crate) fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// True when the last byte is escaped, so that the quote behind it closes nothing.
pub(crate) fn ends_in_escape(inner: &[u8]) -> bool {
    inner.iter().rev().take_while(|&&b| b == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_case_values_without_quotes() {
        let params = Params::new(b" ; tag =\r\n 98asjd8;LR;x=\"a;b\\\"c\" ; q = 0.33");
        assert_eq!(params.get("Tag"), Some("98asjd8"));
        assert!(params.has("lr"));
        assert_eq!(params.get("lr"), None);
        assert_eq!(params.get("x"), Some("a;b\\\"c"));
        assert_eq!(params.get("q"), Some("0.33"));
        assert_eq!(params.iter().count(), 4);
        assert!(params.is_well_formed());
    }

    #[test]
    fn faults_are_seen_not_hidden() {
        assert!(!Params::new(b";;,;,,").is_well_formed());
        assert!(!Params::new(b";a=").is_well_formed());
        assert!(!Params::new(b";a=\"b").is_well_formed());
        assert!(!Params::new(b";a=\"b\\\"").is_well_formed());
        assert!(!Params::new(b";a b=c").is_well_formed());
        assert!(Params::new(b"").is_well_formed());
        assert!(Params::new(b";received=2001:db8::9").is_well_formed());
    }

    #[test]
    fn a_quoted_string_ends_at_its_own_quote() {
        assert_eq!(quoted_len(b"\"ab\"c"), 4);
        assert_eq!(quoted_len(b"\"a\\\"b\"c"), 6);
        assert_eq!(quoted_len(b"\"a\\"), 3);
        assert_eq!(quoted_len(b"\""), 1);
    }
}
