//! Where in the bytes something stands: line numbers, and the place of a fault of structure.

use crate::wire::Flaw;

/// The first byte that is no line break: where a message begins.
pub(super) fn start_of(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// LF without a CR before it, outside of nothing: a body counts too.
pub(super) fn bare_line_feeds(bytes: &[u8]) -> usize {
    let pairs = bytes.windows(2).filter(|pair| pair == b"\r\n").count();
    bytes.iter().filter(|&&byte| byte == b'\n').count() - pairs
}

/// Every bare LF as CR LF.
pub(super) fn with_line_breaks(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    let mut before = 0;
    for &byte in bytes {
        if byte == b'\n' && before != b'\r' {
            out.push(b'\r');
        }
        out.push(byte);
        before = byte;
    }
    out
}

/// Where a message begins.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// All the bytes.
    pub(super) input: &'a [u8],
    /// The message's first byte.
    pub(super) start: usize,
    /// Its line, from one.
    pub(super) line: usize,
}

impl<'a> Place<'a> {
    /// Line numbers from here on.
    pub(super) fn lines(self) -> Lines<'a> {
        Lines { bytes: self.input, at: self.start, line: self.line }
    }
}

/// Line numbers of rising offsets: every byte is looked at once.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, line: 1 }
    }

    /// The line of an offset, from one. Offsets may not fall.
    pub(super) fn line_of(&mut self, offset: usize) -> usize {
        let passed = self.bytes.get(self.at..offset).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', passed).count();
        self.at = self.at.max(offset);
        self.line
    }
}

/// Where a fault of structure stands in a head, as an offset into it.
pub(super) fn of_flaw(head: &[u8], flaw: Flaw) -> usize {
    let mut at = 0;
    let mut lengths = 0;
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        let text = line.trim_ascii_end();
        let folded = line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        let name = text.split(|&byte| byte == b':').next().unwrap_or_default().trim_ascii();
        let is_length = name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"l");
        let here = match flaw {
            Flaw::StartLine | Flaw::StatusCode => true,
            Flaw::NoEmptyLine => false,
            Flaw::LineEnd => !line.ends_with(b"\r\n") || line[..line.len() - 2].contains(&b'\r'),
            Flaw::HeaderLine => {
                at > 0 && !folded && (text.len() == name.len() || name.is_empty()) && !text.is_empty()
            }
            Flaw::ContentLength | Flaw::BodyTooShort => is_length,
            Flaw::SecondContentLength => {
                lengths += usize::from(is_length);
                lengths == 2
            }
        };
        if here {
            return at;
        }
        at += line.len();
    }
    at
}
