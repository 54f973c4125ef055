//! Bodies of several parts (RFC 2046 section 5.1, RFC 5621): written as `multipart/mixed`, and read: mixed, related and
//! alternative. Parts are bytes; transfer encodings other than those that change nothing are refused, for SIP carries
//! binary (RFC 3261 section 7.4.2).

use bytes::Bytes;

use crate::ident::Ident;
use crate::wire::{BuildError, Message, Name, Params};

/// Parts of a body that is read; more are refused.
const PARTS: usize = 32;

/// How deep parts may hold parts.
const DEPTH: u32 = 3;

/// One part of a body.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct BodyPart {
    /// Content-Type, with parameters.
    pub content_type: String,
    /// Content-ID without angle brackets: what a `cid:` URI names.
    pub content_id: Option<String>,
    /// Content-Disposition, such as `by-reference;handling=optional`.
    pub disposition: Option<String>,
    /// The part itself.
    pub body: crate::ua::Body,
}

/// Why a body is not one of several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// The Content-Type names no boundary.
    #[error("there is no boundary")]
    NoBoundary,
    /// The closing delimiter is missing.
    #[error("the last part never closes")]
    Unclosed,
    /// More than 32 parts, or parts within parts within parts.
    #[error("there are too many parts")]
    TooMany,
    /// A header line of a part is none.
    #[error("a part's header is malformed")]
    BadHeader,
    /// A part is encoded in a way that SIP has no use for.
    #[error("a part has a transfer encoding")]
    Encoded,
}

impl BodyPart {
    /// A part that a `cid:` URI in the head refers to.
    #[must_use]
    pub fn referred(content_type: &str, content_id: &str, body: impl Into<crate::ua::Body>) -> Self {
        Self {
            content_type: content_type.to_owned(),
            content_id: Some(content_id.to_owned()),
            disposition: Some("by-reference;handling=optional".to_owned()),
            body: body.into(),
        }
    }

    /// The media type without parameters, in small letters.
    #[must_use]
    pub fn media_type(&self) -> String {
        self.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Whether someone who does not understand the part may pass over it: it says so, or something in the head refers
    /// to it (RFC 5621 sections 4 and 9; RFC 3261 section 20.11 for the default).
    #[must_use]
    pub fn may_be_passed_over(&self) -> bool {
        let handling = self.disposition.as_deref().map(str::to_ascii_lowercase).unwrap_or_default();
        if handling.contains("handling=required") {
            return false;
        }
        handling.contains("handling=optional")
            || handling.starts_with("by-reference")
            || self.content_id.is_some()
    }
}

/// Writes parts as one `multipart/mixed` body: the Content-Type with its boundary, and the bytes.
///
/// # Errors
/// A value that cannot stand in a header.
pub fn write(parts: &[BodyPart], ident: &mut Ident) -> Result<(String, Bytes), BuildError> {
    let mut boundary = ident.tag();
    while parts.iter().any(|part| memchr::memmem::find(part.body.as_bytes(), boundary.as_bytes()).is_some()) {
        boundary = ident.tag();
    }
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        let content_id = part.content_id.as_ref().map(|id| format!("<{id}>"));
        let lines = [
            ("Content-Type", Some(&part.content_type)),
            ("Content-ID", content_id.as_ref()),
            ("Content-Disposition", part.disposition.as_ref()),
        ];
        for (name, value) in lines {
            let Some(value) = value else { continue };
            if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                return Err(BuildError::UnsafeValue { name: name.to_owned() });
            }
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(part.body.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((format!("multipart/mixed;boundary={boundary}"), out.into()))
}

/// Whether a message's body says to have parts.
#[must_use]
pub fn is_multipart(message: &Message) -> bool {
    let group = |kind: &str| kind.get(..10).is_some_and(|group| group.eq_ignore_ascii_case("multipart/"));
    message.content_type().is_some_and(group)
}

/// The parts of a message's body in their order, those within others in the place of the outer one. Of a
/// `multipart/alternative` all are given; the last that is understood is the best (RFC 2046 section 5.1.4).
///
/// # Errors
/// [`MultipartError`]
pub fn read(message: &Message) -> Result<Vec<BodyPart>, MultipartError> {
    let content_type = message.text(Name::ContentType).unwrap_or_default();
    let mut parts = Vec::new();
    split(&content_type, message.body(), 0, &mut parts)?;
    Ok(parts)
}

fn split(
    content_type: &str,
    body: &[u8],
    depth: u32,
    parts: &mut Vec<BodyPart>,
) -> Result<(), MultipartError> {
    if depth >= DEPTH {
        return Err(MultipartError::TooMany);
    }
    let start = content_type.find(';').unwrap_or(content_type.len());
    let boundary = Params::new(&content_type.as_bytes()[start..]).get("boundary").unwrap_or_default();
    if boundary.is_empty() || boundary.len() > 70 {
        return Err(MultipartError::NoBoundary);
    }
    let delimiter = format!("--{boundary}");
    let mut open: Option<usize> = None;
    let mut at = 0;
    while at <= body.len() {
        let end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |end| at + end + 1);
        let line = body[at..end].trim_ascii_end();
        let rest = line.strip_prefix(delimiter.as_bytes());
        if let Some(rest) = rest.filter(|rest| rest.is_empty() || *rest == b"--") {
            if let Some(from) = open {
                // The line break in front of a delimiter belongs to it.
                let part = &body[from..at.max(from)];
                let part = part.strip_suffix(b"\n").unwrap_or(part);
                one(part.strip_suffix(b"\r").unwrap_or(part), depth, parts)?;
            }
            if rest == b"--" {
                return Ok(());
            }
            open = Some(end);
        }
        if end == body.len() {
            break;
        }
        at = end;
    }
    Err(MultipartError::Unclosed)
}

fn one(bytes: &[u8], depth: u32, parts: &mut Vec<BodyPart>) -> Result<(), MultipartError> {
    if parts.len() >= PARTS {
        return Err(MultipartError::TooMany);
    }
    let mut part = BodyPart { content_type: "text/plain".to_owned(), ..BodyPart::default() };
    let mut fields: Vec<String> = Vec::new();
    let mut at = 0;
    loop {
        let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |end| at + end + 1);
        let line = bytes[at..end].trim_ascii_end();
        at = end;
        if line.is_empty() {
            break;
        }
        let line = std::str::from_utf8(line).map_err(|_| MultipartError::BadHeader)?;
        match (line.starts_with([' ', '\t']), fields.last_mut()) {
            (true, Some(last)) => *last = format!("{last} {}", line.trim()),
            (true, None) => return Err(MultipartError::BadHeader),
            (false, _) => fields.push(line.to_owned()),
        }
        if at == bytes.len() {
            break;
        }
    }
    for field in &fields {
        let (name, value) = field.split_once(':').ok_or(MultipartError::BadHeader)?;
        let value = value.trim().to_owned();
        match name.trim().to_ascii_lowercase().as_str() {
            "content-type" | "c" => part.content_type = value,
            "content-id" => part.content_id = Some(value.trim_matches(['<', '>']).to_owned()),
            "content-disposition" => part.disposition = Some(value),
            "content-transfer-encoding" | "content-encoding" | "e"
                if !["binary", "8bit", "7bit", "identity"]
                    .iter()
                    .any(|plain| value.eq_ignore_ascii_case(plain)) =>
            {
                return Err(MultipartError::Encoded);
            }
            _ => {}
        }
    }
    let body = &bytes[at..];
    if part.media_type().starts_with("multipart/") {
        return split(&part.content_type, body, depth + 1, parts);
    }
    part.body = crate::ua::Body(Bytes::copy_from_slice(body));
    parts.push(part);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Method, RequestBuilder};

    fn message(content_type: &str, body: &[u8]) -> Message {
        let builder = RequestBuilder::new(Method::Message, "sip:a@h").cseq(1).call_id("c");
        builder.body(content_type, Bytes::copy_from_slice(body)).build().unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut ident = Ident::from_seed(1);
        let parts = vec![
            BodyPart {
                content_type: "application/sdp".to_owned(),
                body: "v=0\r\n".into(),
                ..BodyPart::default()
            },
            BodyPart::referred("application/pidf+xml", "loc@example.com", "<presence/>"),
            BodyPart {
                content_type: "x/y".to_owned(),
                body: vec![0, 10, 13, 255].into(),
                ..BodyPart::default()
            },
            BodyPart { content_type: "x/empty".to_owned(), ..BodyPart::default() },
        ];
        let (content_type, body) = write(&parts, &mut ident).unwrap();
        let message = message(&content_type, &body);
        assert!(is_multipart(&message));
        assert_eq!(read(&message).unwrap(), parts);
        assert!(!parts[0].may_be_passed_over() && parts[1].may_be_passed_over());
    }

    #[test]
    fn preamble_folds_nesting_and_bare_line_feeds_are_read() {
        let body = b"to be passed over\r\n--b one\r\n--b\r\nContent-Type: text/plain;\r\n charset=UTF-8\r\n\r\nfirst\r\n\
            --b\r\nContent-Type: multipart/alternative; boundary=\"i:n\"\r\n\r\n--i:n\r\n\r\nplain\r\n--i:n\n\
            content-type: text/html\n\n<b>\n--i:n--\r\n--b--\r\nafter";
        let parts = read(&message("Multipart/Mixed; boundary=b", body)).unwrap();
        let kinds: Vec<String> = parts.iter().map(BodyPart::media_type).collect();
        assert_eq!(kinds, ["text/plain", "text/plain", "text/html"]);
        assert_eq!(parts[0].content_type, "text/plain; charset=UTF-8");
        assert_eq!(parts[2].body.as_bytes(), b"<b>");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let read = |kind: &str, body: &[u8]| read(&message(kind, body)).map(|parts| parts.len());
        assert_eq!(read("multipart/mixed", b"--b--"), Err(MultipartError::NoBoundary));
        assert_eq!(read("multipart/mixed;boundary=b", b""), Err(MultipartError::Unclosed));
        assert_eq!(
            read("multipart/mixed;boundary=b", b"--b\r\n\r\nx\r\n--b\r\n"),
            Err(MultipartError::Unclosed)
        );
        assert_eq!(read("multipart/mixed;boundary=b", b"--b--"), Ok(0));
        assert_eq!(
            read("multipart/mixed;boundary=b", b"--b\r\nno colon\r\n\r\nx\r\n--b--"),
            Err(MultipartError::BadHeader)
        );
        let encoded = b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--b--";
        assert_eq!(read("multipart/mixed;boundary=b", encoded), Err(MultipartError::Encoded));
        let many = "--b\r\n\r\nx\r\n".repeat(40) + "--b--";
        assert_eq!(read("multipart/mixed;boundary=b", many.as_bytes()), Err(MultipartError::TooMany));
        let deep = b"--b\r\nContent-Type: multipart/x;boundary=b\r\n\r\n--b\r\nContent-Type: multipart/x;boundary=b\r\n\r\n--b--";
        assert!(read("multipart/mixed;boundary=b", deep).is_err());
    }

    #[test]
    fn a_part_cannot_break_out_of_its_header() {
        let part = BodyPart { content_type: "a/b\r\nX: y".to_owned(), ..BodyPart::default() };
        assert!(write(&[part], &mut Ident::from_seed(2)).is_err());
    }
}
