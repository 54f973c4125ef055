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
use super::index::{Limits, ParseError};
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

/// Header fields and body on their way into a message; keeps the first error for `build`.
#[derive(Clone)]
pub(crate) struct Draft {
    head: Vec<u8>,
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
    pub(crate) fn new() -> Self {
        Self { head: Vec::with_capacity(1024), body: Bytes::new(), error: None }
    }

    pub(crate) fn fail(&mut self, why: BuildError) {
        self.error.get_or_insert(why);
    }

    /// A start line whose parts were checked.
    pub(crate) fn line(&mut self, parts: &[&[u8]]) {
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                self.head.push(b' ');
            }
            self.head.extend_from_slice(part);
        }
        self.head.extend_from_slice(b"\r\n");
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
        self.head.extend_from_slice(name.as_str().as_bytes());
        self.head.extend_from_slice(b": ");
        self.head.extend_from_slice(value);
        self.head.extend_from_slice(b"\r\n");
    }

    /// A field copied from a message: its folds are legal and become blanks. A NUL may stand in a quoted
    /// string of the original; the copy is as good as that.
    pub(crate) fn copied(&mut self, name: Name<'_>, value: &[u8]) {
        self.insert(self.head.len(), name, value);
    }

    /// As [`Self::copied`], in front of what was written from `at` on.
    pub(crate) fn insert(&mut self, at: usize, name: Name<'_>, value: &[u8]) {
        let mut field = Vec::with_capacity(name.as_str().len() + value.len() + 4);
        field.extend_from_slice(name.as_str().as_bytes());
        field.extend_from_slice(b": ");
        field.extend(value.iter().map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }));
        field.extend_from_slice(b"\r\n");
        self.head.splice(at..at, field);
    }

    /// How much of the head is written.
    pub(crate) fn len(&self) -> usize {
        self.head.len()
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
        self.head.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.body.len()).as_bytes());
        self.head.extend_from_slice(&self.body);
        let unlimited = Limits { line: usize::MAX, head: usize::MAX, headers: usize::MAX, body: usize::MAX };
        Ok(Message::parse_datagram_within(self.head.into(), &unlimited)?)
    }
}

/// That a caller's field cannot break out of its line.
pub(crate) fn check_header(name: Name<'_>, value: &[u8]) -> Result<(), BuildError> {
    if !chars::all_token(name.as_str().as_bytes()) {
        return Err(BuildError::BadName);
    }
    check_value(name.as_str(), value)
}

/// That a caller's value holds no CR, LF or NUL.
pub(crate) fn check_value(name: &str, value: &[u8]) -> Result<(), BuildError> {
    if chars::is_safe(value) { Ok(()) } else { Err(BuildError::UnsafeValue { name: name.to_owned() }) }
}
