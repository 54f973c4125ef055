//! One pass over a message: where the start line, each header field and the body stand.
//!
//! Spans only; nothing is copied or allocated (up to 24 header fields). The pass is tolerant: whatever still
//! has the shape of a SIP message gets an index and its first fault is noted in [`Index::flaw`], so that
//! [`validate`](super::validate()) can answer it. Only what has no such shape is a [`ParseError`].

use std::ops::Range;

use smallvec::SmallVec;

use super::chars;
use super::name::{self, Name};

/// Sizes beyond which a message is refused; each has its own [`ParseError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest line of the head, folds counted one by one, in bytes.
    pub line: usize,
    /// Start line and all header fields, in bytes.
    pub head: usize,
    /// How many header fields.
    pub headers: usize,
    /// Body, in bytes.
    pub body: usize,
}

impl Default for Limits {
    /// 8 KiB a line, 64 KiB of head, 256 fields, 256 KiB of body.
    fn default() -> Self {
        Self { line: 8 * 1024, head: 64 * 1024, headers: 256, body: 256 * 1024 }
    }
}

impl Limits {
    /// For messages of our own.
    pub(crate) const NONE: Self =
        Self { line: usize::MAX, head: usize::MAX, headers: usize::MAX, body: usize::MAX };
}

/// Why bytes are no SIP message at all, or one too large to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Nothing but line breaks.
    #[error("there is no message")]
    Empty,
    /// The first line is neither a request line nor a status line.
    #[error("the first line is neither a request line nor a status line")]
    NotSip,
    /// The header fields never end with an empty line.
    #[error("the header fields never end with an empty line")]
    NoEmptyLine,
    /// A line over [`Limits::line`].
    #[error("a line is longer than {limit} bytes")]
    LineTooLong {
        /// The limit it broke.
        limit: usize,
    },
    /// A head over [`Limits::head`].
    #[error("start line and header fields are longer than {limit} bytes")]
    HeadTooLong {
        /// The limit it broke.
        limit: usize,
    },
    /// More fields than [`Limits::headers`].
    #[error("there are more than {limit} header fields")]
    TooManyHeaders {
        /// The limit it broke.
        limit: usize,
    },
    /// A body over [`Limits::body`].
    #[error("the body is longer than {limit} bytes")]
    BodyTooLong {
        /// The limit it broke.
        limit: usize,
    },
}

/// The first fault of structure in a message that could be indexed all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// White space in or around the start line's parts, or a bad method or version.
    #[error("the start line is malformed")]
    StartLine,
    /// The status code is not a number from 100 to 699.
    #[error("the status code is not a number from 100 to 699")]
    StatusCode,
    /// The message ends behind a header field, without the empty line.
    #[error("the empty line after the header fields is missing")]
    NoEmptyLine,
    /// A line of the head without a header name and colon.
    #[error("a header line has no name and colon")]
    HeaderLine,
    /// A line of the head that ends in a bare LF, or a CR inside a line.
    #[error("a line does not end in CR LF")]
    LineEnd,
    /// Content-Length is no number.
    #[error("the Content-Length is no number")]
    ContentLength,
    /// Content-Length stands there more than once.
    #[error("there is more than one Content-Length")]
    SecondContentLength,
    /// Fewer bytes of body than Content-Length says.
    #[error("the body is shorter than its Content-Length")]
    BodyTooShort,
}

/// One header field: the ids and spans of its name and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name_start: u32,
    pub(crate) name_len: u16,
    pub(crate) id: u8,
    /// White space before and after the value is not part of it; folds inside are.
    pub(crate) value_start: u32,
    pub(crate) value_end: u32,
}

impl Field {
    pub(crate) fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let start = self.name_start as usize;
        bytes.get(start..start + usize::from(self.name_len)).unwrap_or_default()
    }

    pub(crate) fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.value_start as usize..self.value_end as usize).unwrap_or_default()
    }
}

/// The spans of a start line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Method up to, URI from and to, version from and to.
    Request { method_end: u32, uri: (u32, u32), version: (u32, u32) },
    /// A status of 0 stands for one out of range, with a flaw.
    Response { version_end: u32, status: u16, reason: (u32, u32) },
}

/// Where everything stands in one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub(crate) start: Start,
    pub(crate) fields: SmallVec<[Field; 24]>,
    /// First byte of the empty line.
    pub(crate) head_end: u32,
    pub(crate) body: (u32, u32),
    content_length: ContentLength,
    flaw: Option<Flaw>,
}

/// What the message says about the length of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentLength {
    /// Nothing.
    Absent,
    /// This many bytes.
    Is(u32),
    /// Something that is no number.
    Malformed,
    /// Several things.
    Repeated,
}

impl Index {
    /// Of a message that is only a start line so far.
    pub(crate) fn new(start: Start) -> Self {
        Self {
            start,
            fields: SmallVec::new(),
            head_end: 0,
            body: (0, 0),
            content_length: ContentLength::Absent,
            flaw: None,
        }
    }

    /// The writer of a message has written its fields, Content-Length last: the empty line stands at `head_end`.
    pub(crate) fn close(&mut self, head_end: usize, body: usize) -> Result<(), ParseError> {
        // Spans are 32 bits wide.
        let limit = u32::MAX as usize / 2;
        if head_end > limit {
            return Err(ParseError::HeadTooLong { limit });
        } else if body > limit {
            return Err(ParseError::BodyTooLong { limit });
        }
        self.head_end = head_end as u32;
        self.body = (head_end as u32 + 2, head_end as u32 + 2 + body as u32);
        self.content_length = ContentLength::Is(body as u32);
        Ok(())
    }

    /// Indexes a whole message as a datagram carries it: the body is what Content-Length says or, without
    /// one, the rest. Bytes behind the body are not part of the message.
    pub(crate) fn datagram(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        let mut index = Self::head(bytes, limits)?;
        let start = index.body.0 as usize;
        let rest = bytes.len().saturating_sub(start);
        let length = match index.content_length {
            ContentLength::Is(length) if length as usize > rest => {
                index.note(Flaw::BodyTooShort);
                rest
            }
            ContentLength::Is(length) => length as usize,
            ContentLength::Absent | ContentLength::Malformed | ContentLength::Repeated => rest,
        };
        // Spans are 32 bits wide.
        if length > limits.body.min(u32::MAX as usize / 2) {
            return Err(ParseError::BodyTooLong { limit: limits.body });
        }
        index.body = (start as u32, (start + length) as u32);
        Ok(index)
    }

    /// Indexes the head, which ends with an empty line; the body is left empty.
    pub(crate) fn head(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        // Spans are 32 bits wide.
        let limit = limits.head.min(u32::MAX as usize / 2);
        let head = &bytes[..bytes.len().min(limit)];
        let too_long =
            if bytes.len() > limit { ParseError::HeadTooLong { limit } } else { ParseError::NoEmptyLine };

        let (mut index, line) = Self::first_line(head, limits)?.ok_or(too_long)?;
        index.check_line(&line);

        let mut at = line.next;
        loop {
            match head.get(at..) {
                Some([b'\r', b'\n', ..]) => break,
                Some([]) if bytes.len() == at => {
                    index.note(Flaw::NoEmptyLine);
                    break;
                }
                Some([]) | None => return Err(too_long),
                Some(_) => {}
            }
            at = index.field(head, at, limits)?.ok_or(too_long)?;
        }
        index.head_end = at as u32;
        let body = bytes.len().min(at + 2) as u32;
        index.body = (body, body);
        Ok(index)
    }

    /// Indexes the first line, once its end has come; [`Self::head`] refuses what this refuses.
    fn first_line(head: &[u8], limits: &Limits) -> Result<Option<(Self, Line)>, ParseError> {
        let Some(line) = line_end(head, 0) else { return Ok(None) };
        if line.end > limits.line {
            return Err(ParseError::LineTooLong { limit: limits.line });
        }
        let mut index = Self::new(Start::Response { version_end: 0, status: 0, reason: (0, 0) });
        index.start_line(&head[..line.end])?;
        Ok(Some((index, line)))
    }

    /// Whether the first line begins a SIP message; true as well while its end has not come.
    pub(crate) fn may_begin(head: &[u8], limits: &Limits) -> Result<(), ParseError> {
        Self::first_line(head, limits).map(drop)
    }

    /// Indexes one field; returns where the next one begins, `None` when its last line does not end.
    fn field(&mut self, head: &[u8], at: usize, limits: &Limits) -> Result<Option<usize>, ParseError> {
        let mut name_end = at;
        while name_end < head.len() && chars::is_token(head[name_end]) {
            name_end += 1;
        }
        let Some(mut line) = line_end(head, name_end) else { return Ok(None) };
        let mut line_start = at;
        loop {
            if line.end - line_start > limits.line {
                return Err(ParseError::LineTooLong { limit: limits.line });
            }
            self.check_line(&line);
            match head.get(line.next) {
                Some(b' ' | b'\t') => {
                    line_start = line.next;
                    let Some(next) = line_end(head, line.next) else { return Ok(None) };
                    line = next;
                }
                Some(_) | None => break,
            }
        }

        let mut colon = name_end;
        while colon < line.end && matches!(head[colon], b' ' | b'\t') {
            colon += 1;
        }
        if name_end == at || colon >= line.end || head[colon] != b':' || name_end - at > usize::from(u16::MAX)
        {
            self.note(Flaw::HeaderLine);
            return Ok(Some(line.next));
        }
        if self.fields.len() == limits.headers {
            return Err(ParseError::TooManyHeaders { limit: limits.headers });
        }
        let (mut start, mut end) = (colon + 1, line.end);
        while start < end && chars::is_space(head[start]) {
            start += 1;
        }
        while end > start && chars::is_space(head[end - 1]) {
            end -= 1;
        }
        let id = name::id_of(&head[at..name_end]);
        if id == Name::ContentLength.id() {
            self.content_length(&head[start..end]);
        }
        self.fields.push(Field {
            name_start: at as u32,
            name_len: (name_end - at) as u16,
            id,
            value_start: start as u32,
            value_end: end as u32,
        });
        Ok(Some(line.next))
    }

    fn start_line(&mut self, line: &[u8]) -> Result<(), ParseError> {
        let first = memchr::memchr(b' ', line).ok_or(ParseError::NotSip)?;
        if line[..first].iter().any(|byte| is_binary(*byte)) {
            return Err(ParseError::NotSip);
        }
        if is_version(&line[..first]) {
            return self.status_line(line, first);
        }
        let end = chars::trim_end(line).len();
        let last = memchr::memrchr(b' ', &line[..end]).ok_or(ParseError::NotSip)?;
        let version = &line[last + 1..end];
        if last <= first || !is_version(version) {
            return Err(ParseError::NotSip);
        }
        let uri = &line[first + 1..last];
        if end != line.len() || uri.iter().any(|&b| chars::is_space(b)) || !chars::all_token(&line[..first]) {
            self.note(Flaw::StartLine);
        }
        self.start = Start::Request {
            method_end: first as u32,
            uri: (first as u32 + 1, last as u32),
            version: (last as u32 + 1, end as u32),
        };
        Ok(())
    }

    fn status_line(&mut self, line: &[u8], version_end: usize) -> Result<(), ParseError> {
        let rest = &line[version_end + 1..];
        let digits = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
        if digits == 0 {
            return Err(ParseError::NotSip);
        }
        let status = chars::decimal(&rest[..digits]).and_then(|n| u16::try_from(n).ok());
        let status = status.filter(|status| digits == 3 && (100..700).contains(status));
        if status.is_none() {
            self.note(Flaw::StatusCode);
        }
        // A missing blank before an empty phrase is common and harmless.
        let reason = (version_end + 1 + digits + 1).min(line.len());
        self.start = Start::Response {
            version_end: version_end as u32,
            status: status.unwrap_or(0),
            reason: (reason as u32, line.len() as u32),
        };
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) {
        self.content_length = match self.content_length {
            ContentLength::Absent => match chars::decimal(value).and_then(|n| u32::try_from(n).ok()) {
                Some(length) => ContentLength::Is(length),
                None => {
                    self.note(Flaw::ContentLength);
                    ContentLength::Malformed
                }
            },
            ContentLength::Is(_) | ContentLength::Malformed | ContentLength::Repeated => {
                self.note(Flaw::SecondContentLength);
                ContentLength::Repeated
            }
        };
    }

    fn check_line(&mut self, line: &Line) {
        if !line.clean {
            self.note(Flaw::LineEnd);
        }
    }

    fn note(&mut self, flaw: Flaw) {
        self.flaw.get_or_insert(flaw);
    }

    /// Sets the body of a message framed from a stream.
    pub(crate) fn set_body_len(&mut self, length: usize) {
        self.body.1 = self.body.0 + length as u32;
    }

    /// The first fault of structure.
    pub fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    pub(crate) fn content_length_field(&self) -> ContentLength {
        self.content_length
    }

    /// Where the body stands.
    pub(crate) fn body_range(&self) -> Range<usize> {
        self.body.0 as usize..self.body.1 as usize
    }

    /// How many header fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// True without any header field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

/// `SIP/` digits `.` digits.
fn is_version(token: &[u8]) -> bool {
    match token {
        [b's' | b'S', b'i' | b'I', b'p' | b'P', b'/', rest @ ..] => {
            let dot = memchr::memchr(b'.', rest).unwrap_or(0);
            dot > 0
                && rest[..dot].iter().all(u8::is_ascii_digit)
                && rest.len() > dot + 1
                && rest[dot + 1..].iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

struct Line {
    /// First byte of the line break.
    end: usize,
    /// First byte of the next line.
    next: usize,
    /// It ends in CR LF and has no other CR.
    clean: bool,
}

/// A byte that no text has: where one stands in the first word of a message, something else than SIP is spoken. White space and line
/// ends are a flaw at most.
pub(crate) fn is_binary(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n')
}

/// The end of the line that `at` lies in. A bare LF ends a line too, so that what stands behind it is never
/// taken for a part of it by one reader and for a field of its own by another; it is a flaw all the same.
fn line_end(bytes: &[u8], mut at: usize) -> Option<Line> {
    let mut clean = true;
    loop {
        at += memchr::memchr2(b'\r', b'\n', bytes.get(at..)?)?;
        if bytes[at] == b'\n' {
            return Some(Line { end: at, next: at + 1, clean: false });
        }
        if bytes.get(at + 1) == Some(&b'\n') {
            return Some(Line { end: at, next: at + 2, clean });
        }
        clean = false;
        at += 1;
    }
}
