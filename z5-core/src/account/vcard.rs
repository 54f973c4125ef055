//! vCards: 4.0 (RFC 6350), 3.0 (RFC 2426), and 2.1 as far as telephones still write it. A card is the list of its lines, kept as they
//! were written, so that what z5 does not know survives every round trip; what is shown and dialled is read from them on demand.
//!
//! Bounded: the size of a card, of a file and of a picture. It does not check that a value fits its property.

mod convert;
mod line;
mod list;
mod merge;
mod read;
mod view;
mod xml;

pub use line::{Line, Param};
pub(crate) use list::{Edit, XmlList};
pub use merge::{Merged, merge};
pub use read::{BadCard, Found, MAX_CARD_BYTES, MAX_FILE_BYTES, read};
pub use view::{NumberLabel, number_key};
pub(crate) use view::{fold, words};
pub use xml::{read_xml, write_xml};

/// A picture, sound or key larger than this is not kept in the local copy of a card; on the server it stays. (RFC 6350 section 6.2.4
/// has no limit.)
pub const MAX_INLINE_BYTES: usize = 48 * 1024;
/// Such a line is replaced by this mark while the card is kept here.
pub(super) const CUT: &str = "X-Z5-LEFT-ON-SERVER";

/// A vCard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Card {
    lines: Vec<Line>,
}

/// The versions that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// RFC 2426.
    V3,
    /// RFC 6350.
    V4,
}

impl Card {
    /// A card of version 4.0 with an identity, a name and numbers.
    pub fn new(uid: &str, name: &str, numbers: &[String]) -> Self {
        let mut card = Self::from_lines(vec![
            Line::new("VERSION", &[], "4.0"),
            Line::new("UID", &[], &format!("urn:uuid:{uid}")),
            Line::new("FN", &[], &line::escape(name)),
        ]);
        for number in numbers {
            card.add_number(number);
        }
        card
    }

    /// From lines without BEGIN and END.
    pub(crate) fn from_lines(lines: Vec<Line>) -> Self {
        Self { lines }
    }

    /// Reads exactly one card.
    ///
    /// # Errors
    /// Where it is bad, or that there is not exactly one.
    pub fn parse(text: &str) -> Result<Self, BadCard> {
        let mut found = read(text.as_bytes()).into_iter();
        match (found.next(), found.next()) {
            (Some(Ok(found)), None) => Ok(found.card),
            (Some(Err(bad)), _) | (_, Some(Err(bad))) => Err(bad),
            (Some(Ok(_)), Some(Ok(second))) => {
                Err(BadCard { line: second.line, why: "a second card; one is expected".to_owned() })
            }
            (None, _) => Err(BadCard { line: 1, why: "there is no card".to_owned() }),
        }
    }

    /// The lines between BEGIN and END.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub(crate) fn lines_mut(&mut self) -> &mut Vec<Line> {
        &mut self.lines
    }

    /// The lines of a property.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.is(name))
    }

    /// The first line of a property.
    pub fn first(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.is(name))
    }

    /// Replaces the first line of a property, or adds it.
    pub fn set(&mut self, line: Line) {
        match self.lines.iter_mut().find(|old| old.is(line.name())) {
            Some(old) => *old = line,
            None => self.lines.push(line),
        }
    }

    /// Adds a number or SIP address, as a property that fits it.
    pub fn add_number(&mut self, number: &str) {
        let scheme = number.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let line = match scheme.as_str() {
            "sip" | "sips" if number.contains(':') => Line::new("IMPP", &[], number),
            "tel" if number.contains(':') => Line::new("TEL", &[("VALUE", "uri")], number),
            // RFC 3966: only a global number is a tel URI without a context.
            _ if view::is_e164(number) => Line::new("TEL", &[("VALUE", "uri")], &format!("tel:{number}")),
            _ => Line::new("TEL", &[], &line::escape(number)),
        };
        self.lines.push(line);
    }

    /// The card with BEGIN and END, folded.
    pub fn to_text(&self) -> String {
        let mut out = String::from("BEGIN:VCARD\r\n");
        self.lines.iter().for_each(|line| line.write_to(&mut out));
        out.push_str("END:VCARD\r\n");
        out
    }

    /// Takes out what is too large to be kept here; true when something was. A card that was cut must be fetched whole before it
    /// is written back: merging then leaves alone on the server what was cut here.
    pub(crate) fn cut(&mut self) -> bool {
        let mut cut = false;
        for line in &mut self.lines {
            if line.as_str().len() > MAX_INLINE_BYTES {
                *line = Line::new(CUT, &[], line.name());
                cut = true;
            }
        }
        cut
    }

    /// Whether something was cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.first(CUT).is_some()
    }

    /// Without the marks of what was cut.
    pub(crate) fn without_marks(mut self) -> Self {
        self.lines.retain(|line| !line.is(CUT));
        self
    }
}

impl std::fmt::Display for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_text())
    }
}
