//! The address book as one document on the server: an xCard list (RFC 9248 section 7.2). Its cards have no paths and no tags of their own;
//! they are known by their UID, and one without by what is in it. The list that goes back is the one that came, with our changes in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::{Applied, Book, Entry, State, Unsent, What};
use crate::account::vcard::{Card, Edit, Line, XmlList, merge, read_xml, write_xml};
use crate::entropy::uuid_of;

/// Ends the path of a list, and begins the name of a card in it.
pub(crate) const LIST_MARK: char = '#';

/// The list as it is to be, and the changes in it.
#[derive(Debug)]
pub(crate) struct Rewrite {
    pub(crate) document: String,
    pub(crate) changes: Vec<Unsent>,
}

impl Book {
    /// What is not on the server yet, in the form in which a list gives it back: when the answer to a change is lost, it is known again.
    pub(crate) fn speak_xml(&mut self) {
        for file in self.to_send() {
            let Some(entry) = self.entries.get(file.as_str()).filter(|entry| entry.state != State::Removed)
            else {
                continue;
            };
            let card = entry.card();
            let written = write_xml([&card]);
            if let Some(Ok(found)) = read_xml(written.as_bytes()).pop()
                && found.card != card
            {
                let new = Entry { text: found.card.to_text().into(), ..Entry::clone(entry) };
                self.take(&file);
                self.insert(&file, new);
            }
        }
    }

    /// News: the server has this list, and nothing else. Gives the name of each of its cards, and what the news did.
    pub(crate) fn server_has_list(&mut self, home: &str, list: &XmlList) -> (Vec<String>, Vec<Applied>) {
        self.begin_full();
        let files = self.names_of(home, list);
        let mut applied = Vec::with_capacity(files.len());
        for (file, card) in files.iter().zip(list.cards()) {
            applied.push(match card {
                Ok(card) => self.server_has_card(file, None, identified(card)),
                Err(_) => self.server_has_nonsense(file, None),
            });
        }
        let seen: BTreeSet<String> = files.iter().cloned().collect();
        applied.extend(self.end_full(&seen));
        (files, applied)
    }

    /// What each card of a list is called here: as the card with its UID that is here, the n-th of several as the n-th.
    fn names_of(&self, home: &str, list: &XmlList) -> Vec<String> {
        let mut known: HashMap<&str, Vec<&Arc<str>>> = HashMap::new();
        for (file, entry) in &self.entries {
            known.entry(&entry.indexed.contact.id).or_default().push(file);
        }
        let mut seen: HashMap<String, usize> = HashMap::new();
        let name = |(index, card): (usize, Result<&Card, _>)| {
            let Ok(card) = card else { return format!("{home}unreadable-{index}") };
            let id = card.uid().unwrap_or_else(|| identity_of(card));
            let turn = seen.entry(id.clone()).or_default();
            *turn += 1;
            match known.get(id.as_str()).and_then(|files| files.get(*turn - 1)) {
                Some(file) => file.to_string(),
                None if *turn == 1 => format!("{home}{}", name_of(&id)),
                None => format!("{home}{}~{turn}", name_of(&id)),
            }
        };
        list.cards().enumerate().map(name).collect()
    }

    /// The list with our changes in it, but for those that the server does not take; `files` are the names of its cards.
    pub(crate) fn rewrite(&self, list: &XmlList, files: &[String]) -> Rewrite {
        let places: HashMap<&str, usize> =
            files.iter().enumerate().map(|(at, file)| (file.as_str(), at)).collect();
        let (mut edits, mut added, mut changes) = (BTreeMap::new(), Vec::new(), Vec::new());
        for unsent in self.to_send().iter().filter_map(|file| self.unsent_of(file)) {
            let place = places.get(unsent.file.as_str()).copied();
            let text = match &unsent.what {
                What::Delete => {
                    edits.extend(place.map(|place| (place, Edit::Remove)));
                    changes.push(unsent);
                    continue;
                }
                What::Put(text) => Card::parse(text).ok(),
                What::PutOntoWhole => {
                    place.and_then(|place| list.card(place)).and_then(|whole| self.onto(&unsent.file, whole))
                }
            };
            // What is kept can be read, and what is cut is in the list.
            let Some(card) = text else { continue };
            match place {
                Some(place) => drop(edits.insert(place, Edit::Replace(card))),
                None => added.push(card),
            }
            changes.push(unsent);
        }
        Rewrite { document: list.edited(&edits, &added), changes }
    }

    /// A card of which a part is on the server only, put together with that.
    pub(super) fn onto(&self, file: &str, whole: &Card) -> Option<Card> {
        let entry = self.entries.get(file)?;
        Some(merge(&entry.base_card(), &entry.card(), whole).card.without_marks())
    }
}

/// The card with an identity.
fn identified(card: &Card) -> Card {
    let mut card = card.clone();
    if card.uid().is_none() {
        let uid = identity_of(&card);
        card.set(Line::new("UID", &[], &uid));
    }
    card
}

/// The identity of a card that has none: the same for the same contents.
fn identity_of(card: &Card) -> String {
    let digest = digest(&SHA256, card.to_text().as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    format!("urn:uuid:{}", uuid_of(bytes))
}

/// A UID as the name of a file: without what separates paths.
fn name_of(uid: &str) -> String {
    let mut out = String::with_capacity(uid.len());
    for byte in uid.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b':' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "/list#";

    fn list(cards: &[&str]) -> XmlList {
        let cards: Vec<Card> = cards
            .iter()
            .map(|lines| {
                Card::parse(&format!("BEGIN:VCARD\r\nVERSION:4.0\r\n{lines}\r\nEND:VCARD\r\n")).unwrap()
            })
            .collect();
        XmlList::read(write_xml(&cards).as_bytes()).unwrap()
    }

    fn names(list: &XmlList) -> Vec<String> {
        list.cards().map(|card| card.unwrap().name()).collect()
    }

    #[test]
    fn cards_are_known_again_by_their_identity_or_by_what_is_in_them() {
        let mut book = Book::default();
        book.settle("https://h", HOME);
        let first = list(&["UID:a/b#c\r\nFN:A", "FN:B", "FN:B", "UID:d\r\nFN:D", "UID:d\r\nFN:D two"]);
        let (files, applied) = book.server_has_list(HOME, &first);
        assert_eq!(files.iter().collect::<BTreeSet<_>>().len(), 5, "{files:?}");
        assert!(
            files.iter().all(|file| file[HOME.len()..].bytes().all(|byte| byte != b'/' && byte != b'#')),
            "{files:?}"
        );
        assert!(applied.iter().all(|applied| *applied == Applied::Added));
        let (again, applied) = book.server_has_list(HOME, &first);
        assert_eq!(again, files);
        assert!(applied.iter().all(|applied| *applied == Applied::Nothing), "{applied:?}");
        let (_, applied) =
            book.server_has_list(HOME, &list(&["UID:a/b#c\r\nFN:A new", "FN:B", "UID:d\r\nFN:D"]));
        let count = |what: &Applied| applied.iter().filter(|applied| *applied == what).count();
        assert_eq!((count(&Applied::Changed), count(&Applied::Removed), book.len()), (1, 2, 3));
    }

    #[test]
    fn our_changes_go_into_the_list_that_came() {
        let mut book = Book::default();
        book.settle("https://h", HOME);
        let came = list(&["UID:a\r\nFN:A\r\nX-ODD:1", "UID:b\r\nFN:B", "UID:c\r\nFN:C"]);
        book.server_has_list(HOME, &came);
        let mut card = book.card("a").unwrap();
        card.set(Line::new("FN", &[], "Ann"));
        book.change("a", card).unwrap();
        book.remove("b").unwrap();
        book.add(Card::new("e", "Eve", &["411".to_owned()]), "e").unwrap();
        book.settle("https://h", HOME);
        book.speak_xml();
        let (files, applied) = book.server_has_list(HOME, &came);
        assert!(applied.iter().all(|applied| *applied == Applied::Nothing), "{applied:?}");
        let rewrite = book.rewrite(&came, &files);
        let after = XmlList::read(rewrite.document.as_bytes()).unwrap();
        assert_eq!((names(&after), rewrite.changes.len()), (vec!["Ann".into(), "C".into(), "Eve".into()], 3));
        assert!(after.card(0).unwrap().to_text().contains("X-ODD:1"));
        for change in &rewrite.changes {
            book.sent(change, None);
        }
        assert_eq!((book.unsent(), book.len()), (0, 3));
        let (_, applied) = book.server_has_list(HOME, &after);
        assert!(applied.iter().all(|applied| *applied == Applied::Nothing), "{applied:?}");
    }

    #[test]
    fn what_reached_the_server_without_an_answer_is_known_again() {
        let mut book = Book::default();
        let text = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:e\r\nFN:Eve\r\nN:Eve;;;;\r\nitem1.TEL;TYPE=CELL,pref:+1 (555) 555-0100\r\n\
            item1.X-ABLabel:Mine\r\nPHOTO;ENCODING=b;TYPE=JPEG:QUJD\r\nEND:VCARD\r\n";
        book.add(Card::parse(text).unwrap(), "e").unwrap();
        book.settle("https://h", HOME);
        book.speak_xml();
        let (files, _) = book.server_has_list(HOME, &XmlList::empty());
        let rewrite = book.rewrite(&XmlList::empty(), &files);
        let (_, applied) = book.server_has_list(HOME, &XmlList::read(rewrite.document.as_bytes()).unwrap());
        assert_eq!((applied, book.unsent(), book.len()), (vec![Applied::Nothing], 0, 1));
    }
}
