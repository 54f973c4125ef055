//! A document of xCards (RFC 6351 section 3) as it is: its cards, where each stands, and the same document with some of them
//! changed, taken out or added. Whatever is not changed stays as it was, to the byte: cards that z5 cannot read, comments, pictures.
//!
//! Documents in another encoding than UTF-8 are not read.

use std::collections::BTreeMap;
use std::ops::Range;

use roxmltree::{Document, Node};

use super::xml::{NAMESPACE, card_of, write_card};
use super::{BadCard, Card, Found, MAX_FILE_BYTES};

/// A document and what is in it.
#[derive(Debug)]
pub(crate) struct XmlList {
    text: String,
    cards: Vec<Placed>,
    /// The whole root element.
    root: Range<usize>,
    /// An element without a prefix is of the vCard namespace within the root.
    unprefixed: bool,
}

/// A card and its place.
#[derive(Debug)]
struct Placed {
    range: Range<usize>,
    line: usize,
    card: Result<Card, BadCard>,
}

/// What becomes of a card of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    Replace(Card),
    Remove,
}

impl XmlList {
    /// Reads a document; a bad card in it costs no other.
    ///
    /// # Errors
    /// What is wrong with the document, and in which line.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BadCard> {
        let whole = |line: usize, why: String| BadCard { line, why };
        if bytes.len() > MAX_FILE_BYTES {
            let why = format!("the file has {} bytes; {MAX_FILE_BYTES} are the limit", bytes.len());
            return Err(whole(1, why));
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.trim_start_matches('\u{feff}'),
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                return Err(whole(line, "the file is not UTF-8".to_owned()));
            }
        };
        if let Some(other) = encoding(text).filter(|name| !name.eq_ignore_ascii_case("utf-8")) {
            return Err(whole(1, format!("it says that its encoding is {other}; UTF-8 is expected")));
        }
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(error) => return Err(whole(error.pos().row as usize, format!("it is not XML: {error}"))),
        };
        let root = document.root_element();
        if !root.has_tag_name((NAMESPACE, "vcards")) {
            let why =
                format!("the root is `{}`; `vcards` of {NAMESPACE} is expected", root.tag_name().name());
            return Err(whole(1, why));
        }
        // Counted on from card to card: who looks it up for each reads the document as often as it has cards.
        let (mut line, mut counted) = (1, 0);
        let placed = |node: Node<'_, '_>| {
            let range = node.range();
            line += text.as_bytes()[counted..range.start].iter().filter(|byte| **byte == b'\n').count();
            counted = range.start;
            Placed { range, line, card: card_of(&node) }
        };
        let cards = root.children().filter(|node| node.has_tag_name((NAMESPACE, "vcard")));
        Ok(Self {
            cards: cards.map(placed).collect(),
            root: root.range(),
            unprefixed: root.default_namespace() == Some(NAMESPACE),
            text: text.to_owned(),
        })
    }

    /// A list without a card.
    pub(crate) fn empty() -> Self {
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
        let root = format!("<vcards xmlns=\"{NAMESPACE}\">\n</vcards>");
        let range = head.len()..head.len() + root.len();
        Self { text: format!("{head}{root}\n"), cards: Vec::new(), root: range, unprefixed: true }
    }

    /// Every card, in the order of the document.
    pub(crate) fn cards(&self) -> impl Iterator<Item = Result<&Card, &BadCard>> {
        self.cards.iter().map(|placed| placed.card.as_ref())
    }

    /// The card at a place of [`Self::cards`], if it can be read.
    pub(crate) fn card(&self, index: usize) -> Option<&Card> {
        self.cards.get(index).and_then(|placed| placed.card.as_ref().ok())
    }

    /// Every card with its line.
    pub(super) fn into_found(self) -> Vec<Result<Found, BadCard>> {
        let found = |placed: Placed| placed.card.map(|card| Found { line: placed.line, card });
        self.cards.into_iter().map(found).collect()
    }

    /// The document with cards changed, by their place in [`Self::cards`], and added at the end.
    pub(crate) fn edited(&self, edits: &BTreeMap<usize, Edit>, added: &[Card]) -> String {
        let size: usize = added.iter().map(|card| card.lines().len() * 64).sum();
        let mut out = String::with_capacity(self.text.len() + size);
        let mut at = 0;
        for (index, placed) in self.cards.iter().enumerate() {
            let Some(edit) = edits.get(&index) else { continue };
            out.push_str(&self.text[at..placed.range.start]);
            at = placed.range.end;
            match edit {
                Edit::Replace(card) => write_card(card, !self.unprefixed, &mut out),
                // Its line goes with it.
                Edit::Remove => at += usize::from(self.text[at..].starts_with('\n')),
            }
        }
        let root = &self.text[self.root.clone()];
        // No "<" stands in an attribute: the last one with a slash begins the end tag, if there is one.
        let end = root.rfind("</").map(|end| self.root.start + end);
        let before = end.unwrap_or(self.root.end - "/>".len());
        out.push_str(&self.text[at..before]);
        if end.is_none() {
            out.push('>');
        }
        for card in added {
            write_card(card, !self.unprefixed, &mut out);
            out.push('\n');
        }
        match end {
            Some(end) => out.push_str(&self.text[end..]),
            None => {
                let name = root[1..].split([' ', '\t', '\r', '\n', '/', '>']).next().unwrap_or("vcards");
                out.push_str(&format!("</{name}>{}", &self.text[self.root.end..]));
            }
        }
        out
    }
}

/// What the XML declaration says, if it says anything.
fn encoding(text: &str) -> Option<&str> {
    let declaration = text.strip_prefix("<?xml")?.split("?>").next()?;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    value[1..].split(quote).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(uid: &str, name: &str) -> Card {
        Card::parse(&format!("BEGIN:VCARD\r\nVERSION:4.0\r\nUID:{uid}\r\nFN:{name}\r\nEND:VCARD\r\n"))
            .unwrap()
    }

    fn names(text: &str) -> Vec<String> {
        let list = XmlList::read(text.as_bytes()).unwrap();
        list.cards().map(|card| card.map_or_else(|bad| bad.to_string(), Card::name)).collect()
    }

    #[test]
    fn what_is_not_changed_stays_as_it_was_to_the_byte() {
        let text = format!(
            "\u{feff}<?xml version='1.0' encoding='utf-8'?>\n<!-- kept --><v:vcards xmlns:v='{NAMESPACE}' xmlns:x=\"urn:x\">\n\
             <v:vcard ><v:fn><v:text>A</v:text></v:fn><x:y  a='1'/></v:vcard><!-- and -->\n\
             <v:vcard><v:tel/></v:vcard> <v:vcard><v:fn><v:text>C</v:text></v:fn></v:vcard>\n\
             <v:vcard><v:fn><v:text>D</v:text></v:fn></v:vcard></v:vcards><!-- end -->"
        );
        let list = XmlList::read(text.as_bytes()).unwrap();
        assert_eq!(list.cards().filter(Result::is_ok).count(), 3);
        assert_eq!(list.edited(&BTreeMap::new(), &[]), text.trim_start_matches('\u{feff}'));
        let edits = BTreeMap::from([(2, Edit::Replace(card("c", "See"))), (3, Edit::Remove)]);
        let edited = list.edited(&edits, &[card("e", "Eve")]);
        let (before, after) =
            text.trim_start_matches('\u{feff}').split_once("<v:vcard><v:fn><v:text>C").unwrap();
        assert!(edited.starts_with(before) && edited.ends_with("</v:vcards><!-- end -->"), "{edited}");
        assert!(!edited.contains("<v:text>D") && after.contains("<v:text>D"));
        assert_eq!(names(&edited), ["A", "line 4: tel has no value", "See", "Eve"]);
    }

    #[test]
    fn an_empty_list_can_be_added_to_however_it_is_written() {
        for text in [
            format!("<vcards xmlns=\"{NAMESPACE}\"/>"),
            format!("<vcards xmlns=\"{NAMESPACE}\" ></vcards >"),
            format!("<v:vcards\n xmlns:v=\"{NAMESPACE}\" />\n"),
            XmlList::empty().edited(&BTreeMap::new(), &[]),
        ] {
            let list = XmlList::read(text.as_bytes()).unwrap();
            let edited = list.edited(&BTreeMap::new(), &[card("a", "Ann"), card("b", "Bob & Co")]);
            assert_eq!(names(&edited), ["Ann", "Bob & Co"], "{edited}");
        }
    }

    /// Any edits of any list: what was not named stays where it was, what was added is at the end, and the document can be read.
    #[test]
    fn edits_change_what_they_name_and_nothing_else() {
        let mut lot = 7_u64;
        let mut below = |bound: usize| {
            lot = lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (lot >> 33) as usize % bound
        };
        for _ in 0..200 {
            let pieces = [
                "",
                "\n",
                "<!-- </vcard> -->",
                "<x:a xmlns:x=\"urn:x\">&lt;/vcards&gt;</x:a>",
                "<?p </vcards> ?>",
            ];
            let count = below(6);
            let mut text = format!("<vcards xmlns=\"{NAMESPACE}\" a='/'>");
            for n in 0..count {
                text.push_str(pieces[below(pieces.len())]);
                text.push_str(&format!("<vcard><fn><text>{n}</text></fn></vcard>"));
            }
            text.push_str(&format!("{}</vcards>\n", pieces[below(pieces.len())]));
            let list = XmlList::read(text.as_bytes()).unwrap();
            let (mut edits, mut expected) = (BTreeMap::new(), Vec::new());
            for n in 0..count {
                match below(3) {
                    0 => drop(edits.insert(n, Edit::Remove)),
                    1 => {
                        edits.insert(n, Edit::Replace(card("u", "changed")));
                        expected.push("changed".to_owned());
                    }
                    _ => expected.push(n.to_string()),
                }
            }
            let added: Vec<Card> = (0..below(3)).map(|_| card("v", "added")).collect();
            expected.extend(added.iter().map(Card::name));
            let edited = list.edited(&edits, &added);
            assert_eq!(names(&edited), expected, "{text} -> {edited}");
            for piece in &pieces[2..] {
                assert_eq!(edited.matches(piece).count(), text.matches(piece).count(), "{text} -> {edited}");
            }
        }
    }

    #[test]
    fn another_encoding_is_told() {
        for said in ["encoding=\"ISO-8859-1\"", "encoding = 'utf-16'"] {
            let text = format!("<?xml version=\"1.0\" {said}?><vcards xmlns=\"{NAMESPACE}\"/>");
            assert!(XmlList::read(text.as_bytes()).unwrap_err().why.contains("UTF-8 is expected"));
        }
    }
}
