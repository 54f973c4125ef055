//! Reading a file of cards: each card by itself, so that a bad one costs no other. Unfolds (RFC 6350 section 3.2), and turns what only
//! vCard 2.1 has, quoted-printable values and charsets, into UTF-8.

use std::borrow::Cow;

use super::line::shorten;
use super::{Card, Line};

/// The largest card that is read.
pub const MAX_CARD_BYTES: usize = 2 * 1024 * 1024;
/// The largest file that is read.
pub const MAX_FILE_BYTES: usize = 64 * 1024 * 1024;

/// A card and where its BEGIN stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// From 1.
    pub line: usize,
    /// The card.
    pub card: Card,
}

/// A card that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadCard {
    /// From 1.
    pub line: usize,
    /// In words.
    pub why: String,
}

/// Reads every card.
pub fn read(bytes: &[u8]) -> Vec<Result<Found, BadCard>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.len() > MAX_FILE_BYTES {
        let why = format!("the file has {} bytes; {MAX_FILE_BYTES} are the limit", bytes.len());
        return vec![Err(BadCard { line: 1, why })];
    }
    let mut reader = Reader { found: Vec::new(), open: None, skipping: false };
    for (number, text) in Logical::new(bytes) {
        reader.take(number, &text);
    }
    if let Some(open) = reader.open.take() {
        reader.bad(open.begins, "the card that begins here has no END:VCARD".to_owned());
    }
    reader.found
}

struct Reader {
    found: Vec<Result<Found, BadCard>>,
    open: Option<Open>,
    /// What stands outside cards was told.
    skipping: bool,
}

struct Open {
    begins: usize,
    bytes: usize,
    lines: Vec<Line>,
    /// The first thing that is wrong.
    bad: Option<BadCard>,
}

impl Reader {
    fn bad(&mut self, line: usize, why: String) {
        self.found.push(Err(BadCard { line, why }));
    }

    fn take(&mut self, number: usize, text: &Result<Cow<'_, str>, String>) {
        let written = text.as_ref().map_or("", |text| text.trim());
        let begins = written.eq_ignore_ascii_case("BEGIN:VCARD");
        let Some(open) = &mut self.open else {
            if begins {
                self.skipping = false;
                self.open = Some(Open { begins: number, bytes: 0, lines: Vec::new(), bad: None });
            } else if text.is_err() || !written.is_empty() {
                if !self.skipping {
                    let readable = text.is_ok() && !written.chars().any(char::is_control);
                    let seen = match readable {
                        true => format!("`{}`", shorten(written)),
                        false => "something that is no text".to_owned(),
                    };
                    self.bad(number, format!("{seen} stands where BEGIN:VCARD belongs"));
                }
                self.skipping = true;
            }
            return;
        };
        if begins {
            let line = open.begins;
            self.open = Some(Open { begins: number, bytes: 0, lines: Vec::new(), bad: None });
            return self.bad(line, "the card that begins here has no END:VCARD".to_owned());
        }
        if written.eq_ignore_ascii_case("END:VCARD") {
            let outcome = self.open.take().map(Open::close);
            return self.found.extend(outcome);
        }
        if let Err(why) = open.line(text) {
            open.bad.get_or_insert(BadCard { line: number, why });
        }
    }
}

impl Open {
    fn line(&mut self, text: &Result<Cow<'_, str>, String>) -> Result<(), String> {
        let text = text.as_ref().map_err(Clone::clone)?;
        if text.trim().is_empty() || self.bad.is_some() {
            return Ok(());
        }
        self.bytes += text.len();
        if self.bytes > MAX_CARD_BYTES {
            return Err(format!("the card is larger than {MAX_CARD_BYTES} bytes"));
        }
        self.lines.push(plain(Line::parse(text.trim_end_matches('\r'))?)?);
        Ok(())
    }

    fn close(self) -> Result<Found, BadCard> {
        if let Some(bad) = self.bad {
            return Err(bad);
        }
        let line = self.begins;
        let bad = |why: String| Err(BadCard { line, why });
        let mut card = Card::from_lines(self.lines);
        match card.first("VERSION").map(|line| line.value().trim().to_owned()).as_deref() {
            Some("4.0" | "3.0") => {}
            Some("2.1") => card.set(Line::new("VERSION", &[], "3.0")),
            Some(other) => {
                return bad(format!("version `{}`; 2.1, 3.0 and 4.0 are known", shorten(other)));
            }
            None => return bad("the card that begins here has no VERSION".to_owned()),
        }
        if card.all("FN").all(|line| line.text().trim().is_empty()) {
            // vCard 2.1 has no FN by duty; its N is as good.
            let Some(name) = card.structured_name() else {
                return bad(
                    "the card that begins here has neither a name (FN) nor parts of one (N)".to_owned()
                );
            };
            card.lines_mut().retain(|line| !line.is("FN"));
            card.lines_mut().push(Line::new("FN", &[], &super::line::escape(&name)));
        }
        Ok(Found { line, card })
    }
}

/// Takes the encodings of vCard 2.1 away.
fn plain(line: Line) -> Result<Line, String> {
    let params = line.params();
    let quoted = |param: &super::Param<'_>| {
        (param.name.is_empty() || param.name.eq_ignore_ascii_case("ENCODING"))
            && param.values.iter().any(|value| value.eq_ignore_ascii_case("QUOTED-PRINTABLE"))
    };
    let charset = |param: &super::Param<'_>| param.name.eq_ignore_ascii_case("CHARSET");
    if !params.iter().any(|param| quoted(param) || charset(param)) {
        return Ok(line);
    }
    let mut value = line.value().to_owned();
    if params.iter().any(quoted) {
        let bytes = unquote_printable(&value);
        let name = line.param("CHARSET");
        let text = decode(&bytes, name.as_deref()).ok_or_else(|| {
            format!("the value of {} is not in a charset that is known (UTF-8, ISO-8859-1)", line.name())
        })?;
        // A structured value keeps its separators, a line end is written as vCard 3.0 does.
        value = text.replace("\r\n", "\\n").replace(['\n', '\r'], "\\n");
    }
    let rest: Vec<(String, Vec<String>)> = params
        .iter()
        .filter(|param| !quoted(param) && !charset(param))
        .map(|param| {
            let name = if param.name.is_empty() { "TYPE" } else { param.name };
            (name.to_owned(), param.values.iter().map(|value| value.clone().into_owned()).collect())
        })
        .collect();
    Line::parse(line.with(&rest, &value).as_str())
}

fn unquote_printable(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'=', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// UTF-8, or the 8-bit charset that was named.
fn decode<'a>(bytes: &'a [u8], charset: Option<&str>) -> Option<Cow<'a, str>> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(Cow::Borrowed(text));
    }
    let known = ["ISO-8859-1", "LATIN1", "WINDOWS-1252", "US-ASCII"];
    let named = charset.is_some_and(|name| known.iter().any(|known| name.eq_ignore_ascii_case(known)));
    named.then(|| Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()))
}

/// Logical lines with the number of their first physical one.
struct Logical<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Logical<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, number: 1 }
    }

    fn physical(&mut self) -> &'a [u8] {
        let (line, rest) = match self.rest.iter().position(|byte| *byte == b'\n') {
            Some(at) => (&self.rest[..at], &self.rest[at + 1..]),
            None => (self.rest, &self.rest[self.rest.len()..]),
        };
        self.rest = rest;
        self.number += 1;
        line.strip_suffix(b"\r").unwrap_or(line)
    }
}

impl<'a> Iterator for Logical<'a> {
    type Item = (usize, Result<Cow<'a, str>, String>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let number = self.number;
        let mut line = Cow::Borrowed(self.physical());
        loop {
            if let [b' ' | b'\t', ..] = self.rest {
                let more = self.physical();
                line.to_mut().extend_from_slice(&more[1..]);
            } else if line.ends_with(b"=") && !self.rest.is_empty() && is_quoted_printable(&line) {
                // A soft line break; the next line begins without a blank.
                line.to_mut().pop();
                let more = self.physical();
                line.to_mut().extend_from_slice(more);
            } else {
                break;
            }
        }
        let text = match line {
            Cow::Borrowed(bytes) => decode(bytes, charset_of(bytes).as_deref()),
            Cow::Owned(bytes) => {
                decode(&bytes, charset_of(&bytes).as_deref()).map(|text| Cow::Owned(text.into_owned()))
            }
        };
        Some((number, text.ok_or_else(|| "the line is not UTF-8".to_owned())))
    }
}

fn head(line: &[u8]) -> String {
    let end = line.iter().position(|byte| *byte == b':').unwrap_or(line.len().min(200));
    String::from_utf8_lossy(&line[..end]).to_ascii_uppercase()
}

fn is_quoted_printable(line: &[u8]) -> bool {
    head(line).contains("QUOTED-PRINTABLE")
}

fn charset_of(line: &[u8]) -> Option<String> {
    let head = head(line);
    let (_, after) = head.split_once("CHARSET=")?;
    Some(after.split([';', ',']).next().unwrap_or(after).trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards(bytes: &[u8]) -> Vec<Card> {
        read(bytes).into_iter().filter_map(Result::ok).map(|found| found.card).collect()
    }

    fn bad(text: &str) -> Vec<String> {
        read(text.as_bytes()).into_iter().filter_map(Result::err).map(|bad| bad.to_string()).collect()
    }

    #[test]
    fn a_bad_card_costs_no_other_and_its_line_is_told() {
        let text = "BEGIN:VCARD\nVERSION:4.0\nFN:A\nEND:VCARD\n\
            BEGIN:VCARD\nVERSION:4.0\nFN:B\nno colon here\nEND:VCARD\n\
            BEGIN:VCARD\nVERSION:9.9\nFN:C\nEND:VCARD\n\
            BEGIN:VCARD\nVERSION:4.0\nEND:VCARD\nstray\nstray\n\
            BEGIN:VCARD\nVERSION:4.0\n\
            BEGIN:VCARD\nVERSION:3.0\nFN:D\nEND:VCARD\nBEGIN:VCARD\n";
        let names: Vec<_> = cards(text.as_bytes()).iter().map(Card::name).collect();
        assert_eq!(names, ["A", "D"]);
        let bad = bad(text);
        assert_eq!(bad.len(), 6, "{bad:#?}");
        for (seen, (line, words)) in bad.iter().zip([
            (8, "no colon"),
            (10, "version `9.9`"),
            (14, "neither a name"),
            (17, "`stray` stands where"),
            (19, "no END"),
            (25, "no END"),
        ]) {
            assert!(seen.starts_with(&format!("line {line}: ")) && seen.contains(words), "{seen}");
        }
    }

    #[test]
    fn what_is_not_known_survives_folded_or_not() {
        let text = "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:A\r\nX-Strange;Y=\"1;2\":a\\,b;c\r\n\
            item1.X-ABLabel:_$!<Other>!$_\r\nNOTE:long\r\n er\r\n\tst\r\nEND:VCARD\r\n";
        let card = &cards(text.as_bytes())[0];
        assert_eq!(card.first("NOTE").unwrap().value(), "longerst");
        let unfolded = text.replace("\r\n er\r\n\tst", "erst");
        assert_eq!(card.to_text(), unfolded);
        assert_eq!(&cards(card.to_text().as_bytes())[0], card);
    }

    #[test]
    fn what_telephones_write_in_2_1_becomes_utf_8() {
        let text = b"\xef\xbb\xbfBEGIN:VCARD\r\nVERSION:2.1\r\n\
            N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BC=\r\nller;J=C3=B6rg;;;\r\n\
            TEL;CELL;PREF:+15555550102\r\nNOTE;CHARSET=ISO-8859-1:caf\xe9\r\nEND:VCARD\r\n";
        let card = &cards(text)[0];
        assert_eq!(card.name(), "J\u{f6}rg M\u{fc}ller");
        assert_eq!(card.first("NOTE").unwrap().text(), "caf\u{e9}");
        assert_eq!(card.first("TEL").unwrap().preference(), 1);
        assert_eq!(card.first("VERSION").unwrap().value(), "3.0");
        let not_utf8 = read(b"BEGIN:VCARD\nVERSION:3.0\nFN:caf\xe9\nEND:VCARD\n");
        assert_eq!(not_utf8[0].as_ref().unwrap_err().to_string(), "line 3: the line is not UTF-8");
    }

    #[test]
    fn any_bytes_are_read_without_panic_and_written_cards_read_back() {
        let pieces: [&[u8]; 10] = [
            b"BEGIN:VCARD\n",
            b"END:VCARD\r\n",
            b"VERSION:4.0\n",
            b"FN:x\n",
            b" folded\n",
            b"a.b;c=\"d:e\n",
            b"NOTE;ENCODING=QUOTED-PRINTABLE:a=\n",
            b"\xff\xfe\n",
            b"=\n",
            b":;\\\n",
        ];
        let mut seed = 1_u64;
        for _ in 0..3000 {
            let mut text = Vec::new();
            for _ in 0..12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.extend_from_slice(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            for card in cards(&text) {
                assert_eq!(cards(card.to_text().as_bytes()), [card]);
            }
        }
    }
}
