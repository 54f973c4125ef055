//! Changes to a message on its way through a proxy; every byte that is not touched stays as it was
//! (RFC 3261 section 16.6).
//!
//! Not for building messages from nothing: see [`RequestBuilder`](super::RequestBuilder).

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;

use super::build::{BuildError, check_header};
use super::chars;
use super::header::{HeaderError, Values, Via};
use super::index::{Limits, Start};
use super::message::Message;
use super::name::{self, Name};
use super::uri::UriRef;

/// One line of the head, folds included.
#[derive(Clone)]
enum Line {
    /// A field of the original that is not touched.
    Kept(usize),
    /// A new or changed field.
    New { id: u8, name: String, value: Vec<u8> },
}

/// Collects changes; the first error comes out of `build`. Operations apply in the order of the calls.
#[derive(Clone)]
#[must_use]
pub struct Edit<'a> {
    message: &'a Message,
    lines: Vec<Line>,
    uri: Option<String>,
    body: Option<Vec<u8>>,
    error: Option<BuildError>,
}

/// The message redacted and the number of lines: a new line may hold credentials.
impl fmt::Debug for Edit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Edit");
        shown.field("message", &self.message).field("lines", &self.lines.len()).field("error", &self.error);
        shown.finish_non_exhaustive()
    }
}

impl<'a> Edit<'a> {
    /// Starts from a message.
    pub fn new(message: &'a Message) -> Self {
        let lines = (0..message.view().index().fields.len()).map(Line::Kept).collect();
        Self { message, lines, uri: None, body: None, error: None }
    }

    /// Puts a Via above all others. `value` is the whole header value.
    pub fn push_via(self, value: impl AsRef<[u8]>) -> Self {
        self.insert_first(Name::Via, value)
    }

    /// Takes the topmost Via away; others on the same line stay.
    pub fn pop_via(self) -> Self {
        self.remove_first_value(Name::Via)
    }

    /// Writes into the topmost Via where the request really came from: `received` when it differs from
    /// sent-by or the sender asked for `rport`, and the port into `rport` (RFC 3261 section 18.2.1,
    /// RFC 3581 section 4).
    pub fn stamp_received(mut self, from: SocketAddr) -> Self {
        let stamped = match self.first_value(Name::Via) {
            Some(value) => stamp(&value, from),
            None => Err(HeaderError::Missing),
        };
        match stamped {
            Ok(Some(value)) => self.replace_first_value(Name::Via, Some(value)),
            Ok(None) => {}
            Err(why) => self.fail(BuildError::Source { name: "Via", why }),
        }
        self
    }

    /// Replaces the Request-URI.
    pub fn request_uri(mut self, uri: impl fmt::Display) -> Self {
        let uri = uri.to_string();
        if !self.message.is_request() {
            self.fail(BuildError::WrongKind);
        } else if UriRef::parse(uri.as_bytes()).is_err() {
            self.fail(BuildError::BadUri { name: "the request line".into() });
        } else {
            self.uri = Some(uri);
        }
        self
    }

    /// Replaces the first field of this name where it stands and removes the others; adds it at the end
    /// when there is none.
    pub fn set(mut self, name: Name<'_>, value: impl AsRef<[u8]>) -> Self {
        let Some(line) = self.checked(name, value.as_ref()) else { return self };
        match self.position(name) {
            None => self.lines.push(line),
            Some(at) => {
                self.lines[at] = line;
                let mut i = at + 1;
                while i < self.lines.len() {
                    if self.is(i, name) {
                        self.lines.remove(i);
                    } else {
                        i += 1;
                    }
                }
            }
        }
        self
    }

    /// Adds a field above the first of its name; at the top of the head when there is none.
    pub fn insert_first(mut self, name: Name<'_>, value: impl AsRef<[u8]>) -> Self {
        if let Some(line) = self.checked(name, value.as_ref()) {
            let at = self.position(name).unwrap_or(0);
            self.lines.insert(at, line);
        }
        self
    }

    /// Adds a field at the end of the head.
    pub fn append(mut self, name: Name<'_>, value: impl AsRef<[u8]>) -> Self {
        if let Some(line) = self.checked(name, value.as_ref()) {
            self.lines.push(line);
        }
        self
    }

    /// Removes every field of this name.
    pub fn remove(mut self, name: Name<'_>) -> Self {
        while let Some(at) = self.position(name) {
            self.lines.remove(at);
        }
        self
    }

    /// Removes the first element of the first field of this name: the topmost Route, for instance.
    pub fn remove_first_value(mut self, name: Name<'_>) -> Self {
        self.replace_first_value(name, None);
        self
    }

    /// Replaces the body; Content-Length follows. Set Content-Type with [`Self::set`].
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let length = body.len().to_string();
        self.body = Some(body);
        self.set(Name::ContentLength, length)
    }

    /// The changed message.
    pub fn build(self) -> Result<Message, BuildError> {
        if let Some(why) = self.error {
            return Err(why);
        }
        let (view, bytes) = (self.message.view(), self.message.as_bytes());
        let index = view.index();
        let mut out = Vec::with_capacity(bytes.len() + 256);
        // A malformed line in front of the first field is kept with the start line.
        let first = index.fields.first().map_or(index.head_end, |field| field.name_start) as usize;
        match (&self.uri, index.start) {
            (Some(uri), Start::Request { uri: (from, to), .. }) => {
                out.extend_from_slice(&bytes[..from as usize]);
                out.extend_from_slice(uri.as_bytes());
                out.extend_from_slice(&bytes[to as usize..first]);
            }
            (_, Start::Request { .. } | Start::Response { .. }) => {
                out.extend_from_slice(&bytes[..first]);
            }
        }
        for line in &self.lines {
            match line {
                Line::Kept(i) => {
                    let from = index.fields[*i].name_start as usize;
                    let to = index.fields.get(i + 1).map_or(index.head_end, |next| next.name_start) as usize;
                    out.extend_from_slice(&bytes[from..to]);
                }
                Line::New { name, value, .. } => {
                    out.extend_from_slice(name.as_bytes());
                    out.extend_from_slice(b": ");
                    out.extend_from_slice(value);
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
        out.extend_from_slice(&bytes[index.head_end as usize..index.body_range().start]);
        out.extend_from_slice(self.body.as_deref().unwrap_or(view.body()));
        Ok(Message::parse_datagram_within(out.into(), &Limits::NONE)?)
    }

    fn fail(&mut self, why: BuildError) {
        self.error.get_or_insert(why);
    }

    fn checked(&mut self, name: Name<'_>, value: &[u8]) -> Option<Line> {
        match check_header(name, value) {
            Ok(()) => {
                Some(Line::New { id: name.id(), name: name.as_str().to_owned(), value: value.to_vec() })
            }
            Err(why) => {
                self.fail(why);
                None
            }
        }
    }

    fn position(&self, name: Name<'_>) -> Option<usize> {
        (0..self.lines.len()).find(|&i| self.is(i, name))
    }

    fn is(&self, line: usize, wanted: Name<'_>) -> bool {
        let (id, letters) = match &self.lines[line] {
            Line::Kept(i) => {
                let field = &self.message.view().index().fields[*i];
                (field.id, field.name(self.message.as_bytes()))
            }
            Line::New { id, name, .. } => (*id, name.as_bytes()),
        };
        id == wanted.id() && (id != name::OTHER || letters.eq_ignore_ascii_case(wanted.as_str().as_bytes()))
    }

    fn value(&self, line: usize) -> Vec<u8> {
        match &self.lines[line] {
            Line::Kept(i) => self.message.view().index().fields[*i].value(self.message.as_bytes()).to_vec(),
            Line::New { value, .. } => value.clone(),
        }
    }

    fn first_value(&self, name: Name<'_>) -> Option<Vec<u8>> {
        let value = self.value(self.position(name)?);
        Values::new(&value).next().map(<[u8]>::to_vec)
    }

    /// Changes or removes the first element of the first field; the rest of that field keeps its bytes.
    fn replace_first_value(&mut self, name: Name<'_>, replacement: Option<Vec<u8>>) {
        let Some(at) = self.position(name) else { return };
        let value = self.value(at);
        let mut values = Values::new(&value);
        values.next();
        let rest = chars::trim(values.rest());
        let value = match (replacement, rest.is_empty()) {
            (None, true) => {
                self.lines.remove(at);
                return;
            }
            (None, false) => rest.to_vec(),
            (Some(first), true) => first,
            (Some(mut first), false) => {
                first.extend_from_slice(b", ");
                first.extend_from_slice(rest);
                first
            }
        };
        self.lines[at] = Line::New { id: name.id(), name: name.as_str().to_owned(), value };
    }
}

/// The Via with `received` and `rport` filled in; `None` when it needs neither.
fn stamp(value: &[u8], from: SocketAddr) -> Result<Option<Vec<u8>>, HeaderError> {
    let via = Via::parse(value)?;
    let asked = via.params.has("rport");
    if !asked && via.host.ip() == Some(from.ip()) {
        return Ok(None);
    }
    let head = value.len() - via.params.as_bytes().len();
    let mut out = chars::trim_end(&value[..head]).to_vec();
    for param in via.params.iter() {
        if param.name.eq_ignore_ascii_case(b"received") || param.name.eq_ignore_ascii_case(b"rport") {
            continue;
        }
        out.push(b';');
        out.extend_from_slice(param.name);
        if let Some(value) = param.value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    out.extend_from_slice(format!(";received={}", from.ip()).as_bytes());
    if asked {
        out.extend_from_slice(format!(";rport={}", from.port()).as_bytes());
    }
    Ok(Some(out))
}
