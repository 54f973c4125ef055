//! Address books as data: vCards (RFC 6350) with ETags, and a revision for every change (RFC 6578).
//!
//! The cards are kept as the client wrote them; the mock does not read inside them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The address books of a carrier by SIP user name; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AddressBooks {
    books: Arc<Mutex<BTreeMap<String, Book>>>,
}

#[derive(Clone, Debug, Default)]
struct Book {
    revision: u64,
    cards: BTreeMap<String, Card>,
    /// The list of xCards, a book of its own.
    list: List,
}

#[derive(Clone, Debug, Default)]
struct List {
    revision: u64,
    text: String,
}

#[derive(Clone, Debug)]
struct Card {
    revision: u64,
    /// `None`: deleted at that revision.
    vcard: Option<String>,
}

/// A card as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) revision: u64,
    pub(super) file: String,
    pub(super) etag: String,
    /// `None`: deleted since the token.
    pub(super) vcard: Option<String>,
}

/// What a conditional request demands of the stored card (RFC 9110 section 13.1).
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: bool,
}

/// A change that the condition forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PreconditionFailed;

impl AddressBooks {
    /// Adds or replaces a card; `file` is its resource name, such as `echo.vcf`.
    pub fn put(&self, sip_user: &str, file: &str, vcard: &str) {
        self.with(sip_user, |book| book.store(file, Some(vcard.to_owned())));
    }

    /// Deletes a card.
    pub fn remove(&self, sip_user: &str, file: &str) {
        self.with(sip_user, |book| {
            if book.live(file).is_some() {
                book.store(file, None);
            }
        });
    }

    /// How many cards an address book has.
    pub fn len(&self, sip_user: &str) -> usize {
        self.with(sip_user, |book| book.cards.values().filter(|card| card.vcard.is_some()).count())
    }

    /// Whether an address book has no card.
    pub fn is_empty(&self, sip_user: &str) -> bool {
        self.len(sip_user) == 0
    }

    /// The text of a card.
    pub fn get(&self, sip_user: &str, file: &str) -> Option<String> {
        self.card(sip_user, file).and_then(|card| card.vcard)
    }

    /// Stores a list of xCards, in place of the one that is there.
    pub fn put_list(&self, sip_user: &str, document: &str) {
        self.with(sip_user, |book| book.store_list(document.to_owned()));
    }

    /// The list of xCards as it is stored.
    pub fn list(&self, sip_user: &str) -> String {
        self.listed(sip_user).1
    }

    /// The names of all cards.
    pub fn files(&self, sip_user: &str) -> Vec<String> {
        self.all(sip_user).1.into_iter().map(|card| card.file).collect()
    }

    pub(super) fn all(&self, sip_user: &str) -> (u64, Vec<Listed>) {
        self.with(sip_user, |book| {
            (book.revision, book.since(0).into_iter().filter(|card| card.vcard.is_some()).collect())
        })
    }

    /// Changes after a revision; `None` when that revision was never given out.
    pub(super) fn since(&self, sip_user: &str, revision: u64) -> Option<(u64, Vec<Listed>)> {
        self.with(sip_user, |book| (revision <= book.revision).then(|| (book.revision, book.since(revision))))
    }

    pub(super) fn card(&self, sip_user: &str, file: &str) -> Option<Listed> {
        self.with(sip_user, |book| {
            book.cards.get(file).filter(|card| card.vcard.is_some()).map(|card| listed(file, card))
        })
    }

    /// Stores (`Some`) or deletes (`None`) a card; whether it existed, and its new ETag.
    pub(super) fn change(
        &self,
        sip_user: &str,
        file: &str,
        condition: &Condition,
        vcard: Option<String>,
    ) -> Result<(bool, String), PreconditionFailed> {
        self.with(sip_user, |book| {
            let existing = book.live(file).map(|card| etag(card.revision));
            let matches = condition
                .if_match
                .as_ref()
                .is_none_or(|wanted| existing.as_ref().is_some_and(|etag| wanted == "*" || wanted == etag));
            if !matches || (condition.if_none_match && existing.is_some()) {
                return Err(PreconditionFailed);
            }
            book.store(file, vcard);
            Ok((existing.is_some(), etag(book.revision)))
        })
    }

    /// The list and its ETag.
    pub(super) fn listed(&self, sip_user: &str) -> (String, String) {
        self.with(sip_user, |book| (list_etag(&book.list), book.list.text.clone()))
    }

    /// Stores a list; its new ETag.
    pub(super) fn store_list(
        &self,
        sip_user: &str,
        condition: &Condition,
        document: String,
    ) -> Result<String, PreconditionFailed> {
        self.with(sip_user, |book| {
            let etag = list_etag(&book.list);
            let matches = condition.if_match.as_ref().is_none_or(|wanted| wanted == "*" || *wanted == etag);
            if !matches || condition.if_none_match {
                return Err(PreconditionFailed);
            }
            book.store_list(document);
            Ok(list_etag(&book.list))
        })
    }

    fn with<T>(&self, sip_user: &str, act: impl FnOnce(&mut Book) -> T) -> T {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        act(books.entry(sip_user.to_owned()).or_default())
    }
}

impl Book {
    fn live(&self, file: &str) -> Option<&Card> {
        self.cards.get(file).filter(|card| card.vcard.is_some())
    }

    fn store(&mut self, file: &str, vcard: Option<String>) {
        self.revision += 1;
        self.cards.insert(file.to_owned(), Card { revision: self.revision, vcard });
    }

    fn store_list(&mut self, document: String) {
        self.list = List { revision: self.list.revision + 1, text: document };
    }

    /// In the order in which they were changed, so that a part of it is a state that once was.
    fn since(&self, revision: u64) -> Vec<Listed> {
        let changed = self.cards.iter().filter(|(_, card)| card.revision > revision);
        let mut changed: Vec<Listed> = changed.map(|(file, card)| listed(file, card)).collect();
        changed.sort_by_key(|card| card.revision);
        changed
    }
}

fn listed(file: &str, card: &Card) -> Listed {
    Listed {
        revision: card.revision,
        file: file.to_owned(),
        etag: etag(card.revision),
        vcard: card.vcard.clone(),
    }
}

fn list_etag(list: &List) -> String {
    format!("\"l{}\"", list.revision)
}

fn etag(revision: u64) -> String {
    format!("\"r{revision}\"")
}

/// A vCard 4.0 with a name and a telephone number.
pub fn vcard(uid: &str, name: &str, number: &str) -> String {
    format!(
        "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:urn:uuid:{uid}\r\nFN:{name}\r\nTEL;VALUE=uri;TYPE=\"video,voice\":tel:{number}\r\nEND:VCARD\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_since_a_revision_are_listed_once_and_deletions_too() {
        let books = AddressBooks::default();
        books.put("1", "a.vcf", "A");
        books.put("1", "b.vcf", "B");
        let (revision, all) = books.all("1");
        assert_eq!((revision, all.len()), (2, 2));
        books.remove("1", "a.vcf");
        books.remove("1", "a.vcf");
        let (revision, changes) = books.since("1", revision).unwrap();
        assert_eq!(revision, 3);
        let removed =
            Listed { revision: 3, file: "a.vcf".to_owned(), etag: "\"r3\"".to_owned(), vcard: None };
        assert_eq!(changes, [removed]);
        assert_eq!(books.since("1", 4), None);
        assert_eq!(books.len("1"), 1);
    }

    #[test]
    fn conditions_guard_a_change() {
        let books = AddressBooks::default();
        let create = Condition { if_none_match: true, ..Condition::default() };
        assert_eq!(
            books.change("1", "a.vcf", &create, Some("A".to_owned())),
            Ok((false, "\"r1\"".to_owned()))
        );
        assert_eq!(books.change("1", "a.vcf", &create, Some("B".to_owned())), Err(PreconditionFailed));
        let stale = Condition { if_match: Some("\"r0\"".to_owned()), ..Condition::default() };
        assert_eq!(books.change("1", "a.vcf", &stale, None), Err(PreconditionFailed));
        let right = Condition { if_match: Some("\"r1\"".to_owned()), ..Condition::default() };
        assert_eq!(books.change("1", "a.vcf", &right, None), Ok((true, "\"r2\"".to_owned())));
    }
}
