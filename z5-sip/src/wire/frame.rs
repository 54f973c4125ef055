//! Cuts a byte stream into messages, pings and pongs (RFC 3261 section 18.3, RFC 5626 section 3.5.1).
//!
//! Content-Length must stand there exactly once: a stream whose framing is in doubt cannot be trusted any
//! further, so every fault ends it; the head of the message at fault is handed out, so that its sender can be told why.
//! What can be no SIP message any more, whatever follows, ends it at once: the rest of its head is not waited for.
//! Datagrams do not come here; see [`Message::parse_datagram`].

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::{Buf, BytesMut};

use super::index::{self, ContentLength, Index, Limits, ParseError};
use super::message::Message;

/// What a stream yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A whole message.
    Message(Message),
    /// CR LF CR LF from the side that opened the connection: answer with one CR LF.
    Ping,
    /// CR LF from the side that accepted it: the flow is alive.
    Pong,
}

/// Why a stream cannot go on. The connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The head is no SIP message or breaks a limit.
    #[error("{0}")]
    Message(#[from] ParseError),
    /// A head without Content-Length.
    #[error("a message on a stream has no Content-Length")]
    NoContentLength,
    /// Two of them.
    #[error("a message on a stream has more than one Content-Length")]
    SecondContentLength,
    /// One that is no number.
    #[error("a message on a stream has a Content-Length that is no number")]
    BadContentLength,
}

/// How many bytes wait, never which: they may hold credentials and keys.
impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Framer");
        shown.field("side", &self.side).field("buffered", &self.buffer.len()).field("dead", &self.dead);
        shown.finish_non_exhaustive()
    }
}

impl FrameError {
    /// What a request with this fault is answered before the connection is closed (RFC 3261 sections 18.3, 21.4.11 and
    /// 21.5.7); `None` when there is no request to answer.
    #[must_use]
    pub fn status(self) -> Option<u16> {
        match self {
            Self::NoContentLength | Self::SecondContentLength | Self::BadContentLength => Some(400),
            Self::Message(ParseError::BodyTooLong { .. }) => Some(413),
            Self::Message(
                ParseError::LineTooLong { .. }
                | ParseError::HeadTooLong { .. }
                | ParseError::TooManyHeaders { .. },
            ) => Some(513),
            Self::Message(ParseError::Empty | ParseError::NotSip | ParseError::NoEmptyLine) => None,
        }
    }
}

/// Which end of the connection this is; it decides what a lone CR LF means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Opener,
    Acceptor,
}

/// How far the first line of a message was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FirstLine {
    /// Its first word, a method or a version, is on its way.
    Word,
    /// That is there.
    Rest,
    /// The whole line is one of SIP.
    Judged,
}

/// Collects bytes and gives out frames.
pub struct Framer {
    limits: Limits,
    side: Side,
    buffer: BytesMut,
    /// How far the search for the end of the head has come; never searched twice.
    searched: usize,
    /// Where the line that is not whole yet begins, as far as was searched.
    open_line: usize,
    /// What is known of the first line.
    first: FirstLine,
    /// Bytes that the searches looked at, to show that none is looked at again and again.
    #[cfg(test)]
    looked_at: usize,
    /// The head of the message whose body is still on its way, and the whole length.
    pending: Option<(Index, usize)>,
    dead: bool,
    refused: Option<Message>,
}

impl Framer {
    /// For the side that opened the connection: every CR LF between messages is a pong.
    pub fn new(limits: Limits) -> Self {
        Self::on(Side::Opener, limits)
    }

    /// For the side that accepted it: CR LF CR LF is a ping; a lone CR LF before a message is skipped
    /// (RFC 3261 section 7.5).
    pub fn accepting(limits: Limits) -> Self {
        Self::on(Side::Acceptor, limits)
    }

    fn on(side: Side, limits: Limits) -> Self {
        Self {
            limits,
            side,
            buffer: BytesMut::new(),
            searched: 0,
            open_line: 0,
            first: FirstLine::Word,
            #[cfg(test)]
            looked_at: 0,
            pending: None,
            dead: false,
            refused: None,
        }
    }

    /// Adds bytes in the order in which they came. Call [`Self::next`] until it gives `None`.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.dead {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next frame; `None` when more bytes are needed, and for ever after an error.
    #[expect(clippy::should_implement_trait, reason = "it is not fused: more frames come after more bytes")]
    pub fn next(&mut self) -> Option<Result<Frame, FrameError>> {
        if self.dead {
            return None;
        }
        let frame = self.step();
        if let Err(why) = frame {
            self.dead = true;
            self.refused = why.status().and_then(|_| self.readable_head());
            self.buffer = BytesMut::new();
            self.pending = None;
            return Some(Err(why));
        }
        frame.transpose()
    }

    /// After an error: the message at fault without its body, as far as its head could be read. A head that is too long
    /// is cut behind a whole line.
    pub fn refused(&self) -> Option<&Message> {
        self.refused.as_ref()
    }

    /// The head in the buffer, whatever its size, up to twice the limit.
    fn readable_head(&self) -> Option<Message> {
        let most = self.buffer.len().min(self.limits.head.saturating_mul(2));
        let bytes = &self.buffer[..most];
        let end = match memchr::memmem::find(bytes, b"\r\n\r\n") {
            Some(at) => at + 2,
            None => memchr::memrchr(b'\n', bytes)? + 1,
        };
        let mut head = bytes[..end].to_vec();
        head.extend_from_slice(b"\r\n");
        let any = Limits { line: head.len(), head: head.len(), headers: head.len(), body: 0 };
        let index = Index::head(&head, &any).ok()?;
        Some(Message::new(head.into(), index))
    }

    /// Bytes that wait for the rest of their frame.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    fn step(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.pending.is_none() {
            if let Some(frame) = self.keep_alive() {
                return Ok(Some(frame));
            }
            self.head()?;
        }
        match self.pending.take_if(|(_, length)| *length <= self.buffer.len()) {
            None => Ok(None),
            Some((index, length)) => {
                self.searched = 0;
                self.open_line = 0;
                self.first = FirstLine::Word;
                Ok(Some(Frame::Message(Message::new(self.buffer.split_to(length).freeze(), index))))
            }
        }
    }

    /// Takes line breaks between messages.
    fn keep_alive(&mut self) -> Option<Frame> {
        if self.searched > 0 {
            return None;
        }
        match (self.side, &self.buffer[..]) {
            (Side::Opener, [b'\r', b'\n', ..]) => {
                self.buffer.advance(2);
                Some(Frame::Pong)
            }
            (Side::Acceptor, [b'\r', b'\n', b'\r', b'\n', ..]) => {
                self.buffer.advance(4);
                Some(Frame::Ping)
            }
            (Side::Acceptor, [b'\r', b'\n', third, ..]) if *third != b'\r' => {
                self.buffer.advance(2);
                None
            }
            (Side::Acceptor, [b'\r', b'\n', b'\r', fourth, ..]) if *fourth != b'\n' => {
                self.buffer.advance(2);
                None
            }
            (Side::Opener | Side::Acceptor, _) => None,
        }
    }

    /// Looks for the end of the head and indexes it.
    fn head(&mut self) -> Result<(), FrameError> {
        // Line breaks still undecided are no head.
        if matches!(&self.buffer[..], [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r']) {
            return Ok(());
        }
        let seen = self.searched;
        let Some(end) = self.head_end() else {
            self.early_first_line(seen)?;
            if self.buffer.len() >= self.limits.head {
                return Err(ParseError::HeadTooLong { limit: self.limits.head }.into());
            }
            return self.early_line_limit();
        };
        let mut index = Index::head(&self.buffer[..end], &self.limits)?;
        let length = match index.content_length_field() {
            ContentLength::Is(length) => length as usize,
            ContentLength::Absent => return Err(FrameError::NoContentLength),
            ContentLength::Repeated => return Err(FrameError::SecondContentLength),
            ContentLength::Malformed => return Err(FrameError::BadContentLength),
        };
        if length > self.limits.body {
            return Err(ParseError::BodyTooLong { limit: self.limits.body }.into());
        }
        index.set_body_len(length);
        self.pending = Some((index, end + length));
        Ok(())
    }

    /// One past the empty line.
    fn head_end(&mut self) -> Option<usize> {
        // The break may straddle two pushes.
        let from = self.searched.saturating_sub(3);
        let fresh = &self.buffer[from..];
        let found = memchr::memmem::find(fresh, b"\r\n\r\n");
        if let Some(lf) = memchr::memrchr(b'\n', fresh) {
            self.open_line = from + lf + 1;
        }
        #[cfg(test)]
        {
            self.looked_at += fresh.len();
        }
        self.searched = self.buffer.len();
        found.map(|at| from + at + 4)
    }

    /// What can begin no message need not be waited for any longer; `seen` bytes were judged before.
    fn early_first_line(&mut self, seen: usize) -> Result<(), FrameError> {
        if self.first == FirstLine::Word {
            let fresh = &self.buffer[seen..];
            let end = fresh.iter().position(|byte| matches!(byte, b' ' | b'\n'));
            if fresh[..end.unwrap_or(fresh.len())].iter().any(|byte| index::is_binary(*byte)) {
                return Err(ParseError::NotSip.into());
            }
            if end.is_some() {
                self.first = FirstLine::Rest;
            }
        }
        // A line has ended behind the beginning of the message: the first one has.
        if self.first == FirstLine::Rest && self.open_line > 0 {
            Index::may_begin(&self.buffer, &self.limits)?;
            self.first = FirstLine::Judged;
        }
        Ok(())
    }

    /// A line that is too long already need not be waited for.
    fn early_line_limit(&self) -> Result<(), FrameError> {
        if self.buffer.len().saturating_sub(self.open_line) > self.limits.line {
            return Err(ParseError::LineTooLong { limit: self.limits.line }.into());
        }
        Ok(())
    }
}
