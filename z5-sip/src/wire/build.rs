//! Writes requests and responses.
//!
//! Every value from a caller is checked: a CR, LF or NUL anywhere is a [`BuildError`], never stripped, so no
//! caller's text can open a header field of its own. Field order is the order of the calls; Content-Length
//! is always written, last. CANCEL and the ACK to a failure copy from the request they belong to.

mod address;
mod phrase;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use phrase::reason_phrase;
pub use request::RequestBuilder;
pub use response::ResponseBuilder;

use std::fmt;

use bytes::Bytes;

use super::chars;
use super::header::HeaderError;
use super::index::{Field, Index, Limits, ParseError, Start};
use super::message::Message;
use super::name::Name;

/// Why nothing was built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A value holds CR, LF or NUL, which would end its line.
    #[error("the value of {name} holds CR, LF or NUL")]
    UnsafeValue {
        /// Which header field or part.
        name: String,
    },
    /// A header name is no token.
    #[error("a header name is no token")]
    BadName,
    /// A method is no token.
    #[error("the method is no token")]
    BadMethod,
    /// A parameter's name or value has letters it may not have.
    #[error("the parameter {name} has letters it may not have")]
    BadParam {
        /// Which parameter.
        name: String,
    },
    /// A Request-URI or other URI with white space or brackets.
    #[error("the URI of {name} is malformed")]
    BadUri {
        /// Which header field or part.
        name: String,
    },
    /// A status that is not from 100 to 699.
    #[error("the status {0} is not from 100 to 699")]
    BadStatus(u16),
    /// The message to answer or edit is not of the right kind.
    #[error("a request was needed and a response was given, or the other way round")]
    WrongKind,
    /// The message to answer lacks a field that has to be copied, or it is malformed.
    #[error("{name} of the message at hand: {why}")]
    Source {
        /// Which header field.
        name: &'static str,
        /// What is wrong with it.
        why: HeaderError,
    },
    /// The result breaks a size limit.
    #[error("what was built is no message: {0}")]
    Unparsable(#[from] ParseError),
}

/// Header fields and body on their way into a message, and the index of what is written so far: nobody has to read again
/// what was just written. Keeps the first error for `build`.
#[derive(Clone)]
pub(crate) struct Draft {
    head: Vec<u8>,
    index: Box<Index>,
    body: Bytes,
    error: Option<BuildError>,
}

/// Lengths only: the bytes may hold credentials and keys.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Draft");
        shown.field("head", &self.head.len()).field("body", &self.body.len()).field("error", &self.error);
        shown.finish()
    }
}

impl Draft {
    /// A request line whose parts were checked.
    pub(crate) fn request(method: &[u8], uri: &[u8]) -> Self {
        let head = line(&[method, uri, VERSION]);
        let (method_end, uri_end) = (method.len(), method.len() + 1 + uri.len());
        let start = Start::Request {
            method_end: method_end as u32,
            uri: (method_end as u32 + 1, uri_end as u32),
            version: (uri_end as u32 + 1, (uri_end + 1 + VERSION.len()) as u32),
        };
        Self { head, index: Box::new(Index::new(start)), body: Bytes::new(), error: None }
    }

    /// A status line whose phrase was checked; the status has three digits, or the draft has failed.
    pub(crate) fn response(status: u16, reason: &[u8]) -> Self {
        let digits = [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + (digit % 10) as u8);
        let head = line(&[VERSION, &digits, reason]);
        let from = (VERSION.len() + 1 + digits.len() + 1) as u32;
        let reason = (from, from + reason.len() as u32);
        let start = Start::Response { version_end: VERSION.len() as u32, status, reason };
        Self { head, index: Box::new(Index::new(start)), body: Bytes::new(), error: None }
    }

    pub(crate) fn fail(&mut self, why: BuildError) {
        self.error.get_or_insert(why);
    }

    /// Whether nothing has failed: what a caller chose was checked.
    pub(crate) fn is_sound(&self) -> bool {
        self.error.is_none()
    }

    /// A header field with a value from a caller.
    pub(crate) fn header(&mut self, name: Name<'_>, value: &[u8]) {
        if let Err(why) = check_header(name, value) {
            return self.fail(why);
        }
        // The builder counts the body itself.
        if name == Name::ContentLength {
            return;
        }
        self.field(name, |head| head.extend_from_slice(value));
    }

    /// A header field made of parts that cannot hold a line break, or were checked.
    pub(crate) fn parts(&mut self, name: Name<'static>, parts: &[&str]) {
        self.field(name, |head| parts.iter().for_each(|part| head.extend_from_slice(part.as_bytes())));
    }

    /// A header field that opens with a number; the rest is as for [`Self::parts`].
    pub(crate) fn number(&mut self, name: Name<'static>, number: u64, parts: &[&str]) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut left = number;
        while at == digits.len() || left > 0 {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        self.field(name, |head| {
            head.extend_from_slice(&digits[at..]);
            parts.iter().for_each(|part| head.extend_from_slice(part.as_bytes()));
        });
    }

    /// A field copied from a message: its folds are legal and become blanks. A NUL may stand in a quoted
    /// string of the original; the copy is as good as that.
    pub(crate) fn copied(&mut self, name: Name<'_>, value: &[u8]) {
        self.field(name, |head| {
            let from = head.len();
            head.extend_from_slice(value);
            if memchr::memchr2(b'\r', b'\n', value).is_some() {
                let breaks = head[from..].iter_mut().filter(|byte| matches!(byte, b'\r' | b'\n'));
                breaks.for_each(|byte| *byte = b' ');
            }
        });
    }

    /// One field; `write` adds its value, which has no line break.
    fn field(&mut self, name: Name<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        let (text, name_start) = (name.as_str().as_bytes(), self.head.len());
        self.head.extend_from_slice(text);
        self.head.extend_from_slice(b": ");
        let from = self.head.len();
        write(&mut self.head);
        let to = self.head.len();
        let value = chars::trim_start(&self.head[from..]);
        let (value_start, value_end) = (to - value.len(), to - value.len() + chars::trim_end(value).len());
        self.head.extend_from_slice(b"\r\n");
        self.index.fields.push(Field {
            name_start: name_start as u32,
            name_len: text.len() as u16,
            id: name.id(),
            value_start: value_start as u32,
            value_end: value_end as u32,
        });
    }

    /// How many fields are written.
    pub(crate) fn len(&self) -> usize {
        self.index.fields.len()
    }

    /// Adds to the end of the value of a field that is written already.
    pub(crate) fn extend(&mut self, field: usize, more: &[&[u8]]) {
        let Some(from) = self.index.fields.get(field).map(|field| field.value_end) else { return };
        let (mut at, end) = (from as usize, self.head.len());
        let length: usize = more.iter().map(|part| part.len()).sum();
        self.head.resize(end + length, 0);
        self.head.copy_within(at..end, at + length);
        for part in more {
            self.head[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        self.index.fields[field].value_end += length as u32;
        for behind in &mut self.index.fields[field + 1..] {
            for span in [&mut behind.name_start, &mut behind.value_start, &mut behind.value_end] {
                *span += length as u32;
            }
        }
    }

    pub(crate) fn body(&mut self, content_type: &str, body: Bytes) {
        self.header(Name::ContentType, content_type.as_bytes());
        self.body = body;
    }

    /// A body whose Content-Type, if any, is among the headers.
    #[cfg(feature = "rsip")]
    pub(crate) fn raw_body(&mut self, body: Bytes) {
        self.body = body;
    }

    pub(crate) fn build(mut self) -> Result<Message, BuildError> {
        if let Some(why) = self.error {
            return Err(why);
        }
        let length = self.body.len();
        self.head.reserve("Content-Length: 4294967295\r\n\r\n".len() + length);
        self.number(Name::ContentLength, length as u64, &[]);
        let head_end = self.head.len();
        self.head.extend_from_slice(b"\r\n");
        self.head.extend_from_slice(&self.body);
        let mut index = self.index;
        index.close(head_end, length)?;
        debug_assert_eq!(Index::datagram(&self.head, &Limits::NONE).as_ref(), Ok(&*index));
        Ok(Message::new(self.head.into(), *index))
    }
}

const VERSION: &[u8] = b"SIP/2.0";

/// Room for the head of most messages.
const HEAD: usize = 1024;

/// A start line, with room for what follows it.
fn line(parts: &[&[u8]; 3]) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD);
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            head.push(b' ');
        }
        head.extend_from_slice(part);
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// That a caller's field cannot break out of its line.
pub(crate) fn check_header(name: Name<'_>, value: &[u8]) -> Result<(), BuildError> {
    // Spans of names are 16 bits wide.
    if let Name::Other(letters) = name
        && (!chars::all_token(letters.as_bytes()) || letters.len() > usize::from(u16::MAX))
    {
        return Err(BuildError::BadName);
    }
    check_value(name.as_str(), value)
}

/// That a caller's value holds no CR, LF or NUL.
pub(crate) fn check_value(name: &str, value: &[u8]) -> Result<(), BuildError> {
    if chars::is_safe(value) { Ok(()) } else { Err(BuildError::UnsafeValue { name: name.to_owned() }) }
}
