//! The address book as a whole: every card with what the server is known to have of it, and the changes that the server does not
//! have yet. Plain data: it reads no clock, file or socket. `machine::book` carries it to a server and
//! back, card by card (CardDAV) or as a whole (`bulk`); the store keeps it.
//!
//! A card is clean (as on the server), new, changed, or removed here. Clean ones follow the server. What was changed here and there is
//! merged field by field ([`merge`]); what was changed on one side and removed on the other comes back: nothing is lost by itself.

mod apply;
mod bulk;
pub(crate) mod dav;
mod href;
pub(crate) mod principal;
mod stored;

pub(crate) use apply::{Applied, Unsent, What};
pub use apply::{ContactMerged, MergeKind};
pub(crate) use bulk::{LIST_MARK, Rewrite};
pub(crate) use href::{encode, key_of};

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::contacts::{Contact, Indexed, Query};
use super::vcard::{Card, Line, merge};
use crate::error::BookError;

/// Cards that are kept; what a server has beyond is counted and left there.
pub const MAX_CONTACTS: usize = 50_000;
/// Bytes of all cards that are kept.
pub const MAX_BOOK_BYTES: usize = 64 * 1024 * 1024;

/// The address book of one number. Cheap to clone: cards are shared.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Book {
    /// The collection on the server: host and path; empty before the first sync.
    home: String,
    /// Where the last complete sync ended (RFC 6578 section 3.1).
    token: Option<String>,
    /// By path on the server; what is not there yet has a name without a slash.
    entries: BTreeMap<Arc<str>, Arc<Entry>>,
    /// Cards of the server that cannot be read, with their ETags.
    malformed: BTreeMap<Arc<str>, Option<Arc<str>>>,
    /// Cards of the server beyond the bounds.
    left_out: usize,
    bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    state: State,
    /// What the server said of the version that `base` or a clean `text` is.
    etag: Option<Box<str>>,
    text: Box<str>,
    /// What the server had when it was changed here.
    base: Option<Box<str>>,
    /// The server does not take the change; with its status.
    refused: Option<u16>,
    indexed: Indexed,
}

/// How a card stands to the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Clean,
    New,
    Changed,
    Removed,
}

impl Entry {
    fn new(file: &str, state: State, card: &Card) -> Self {
        Self {
            state,
            etag: None,
            text: card.to_text().into_boxed_str(),
            base: None,
            refused: None,
            indexed: Indexed::new(file, card, state != State::Clean),
        }
    }

    /// What is kept was readable when it was taken.
    fn card(&self) -> Card {
        Card::parse(&self.text).unwrap_or_default()
    }

    fn base_card(&self) -> Card {
        self.base.as_deref().and_then(|text| Card::parse(text).ok()).unwrap_or_default()
    }

    fn size(&self) -> usize {
        self.text.len() + self.base.as_ref().map_or(0, |base| base.len())
    }
}

/// How a card was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It is new.
    Added,
    /// The contact was there, with other contents: both are kept.
    Merged,
    /// The contact was there like this.
    Same,
}

impl Book {
    /// How many contacts there are.
    pub fn len(&self) -> usize {
        self.visible().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.visible().next().is_none()
    }

    /// Cards on the server that cannot be read or are beyond the bounds; they stay there, untouched.
    pub fn unread(&self) -> usize {
        self.malformed.len() + self.left_out
    }

    /// Changes that the server does not have.
    pub fn unsent(&self) -> usize {
        self.entries.values().filter(|entry| entry.state != State::Clean).count()
    }

    /// Every contact by name.
    pub fn contacts(&self) -> Vec<Contact> {
        let mut contacts: Vec<Contact> =
            self.visible().map(|(_, entry)| entry.indexed.contact.clone()).collect();
        contacts.sort_by_cached_key(|contact| (super::vcard::fold(&contact.name), contact.id.clone()));
        contacts
    }

    /// Every contact whose name has words that begin with those of the text (case and diacritics are no matter), or one of whose
    /// numbers ends with its digits. By name.
    pub fn search(&self, text: &str) -> Vec<Contact> {
        let query = Query::new(text);
        let found = self.visible().filter(|(_, entry)| query.finds(&entry.indexed));
        let mut contacts: Vec<Contact> = found.map(|(_, entry)| entry.indexed.contact.clone()).collect();
        contacts.sort_by_cached_key(|contact| (super::vcard::fold(&contact.name), contact.id.clone()));
        contacts
    }

    /// The whole card of a contact.
    pub fn card(&self, id: &str) -> Option<Card> {
        self.by_id(id).map(|(_, entry)| entry.card().without_marks())
    }

    /// What a contact is called, also one that was removed here and not yet on the server.
    pub fn name_of(&self, id: &str) -> Option<&str> {
        let contacts = self.entries.values().map(|entry| &entry.indexed.contact);
        contacts.into_iter().find(|contact| contact.id == id).map(|contact| contact.name.as_str())
    }

    /// The names of contacts whose changes the server does not have, removed ones included.
    pub fn unsent_names(&self) -> Vec<&str> {
        let unsent = self.entries.values().filter(|entry| entry.state != State::Clean);
        unsent.map(|entry| entry.indexed.contact.name.as_str()).collect()
    }

    /// Every card, for an export; in the order of [`Self::contacts`].
    pub fn cards(&self) -> Vec<Card> {
        let mut all: Vec<&Entry> = self.visible().map(|(_, entry)| entry).collect();
        all.sort_by_cached_key(|entry| {
            (super::vcard::fold(&entry.indexed.contact.name), entry.indexed.contact.id.clone())
        });
        all.into_iter().map(|entry| entry.card().without_marks()).collect()
    }

    /// Adds a card; `uuid` becomes its file name, and its identity if it has none. Gives the contact's id.
    ///
    /// # Errors
    /// When it has no name, or there is no room.
    pub fn add(&mut self, mut card: Card, uuid: &str) -> Result<String, BookError> {
        if card.name().is_empty() {
            return Err(BookError::NoName);
        }
        if card.uid().is_none() {
            card.set(Line::new("UID", &[], &format!("urn:uuid:{uuid}")));
        }
        let file = format!("{uuid}.vcf");
        let entry = Entry::new(&file, State::New, &card);
        if !self.has_room(entry.size()) {
            return Err(BookError::Full);
        }
        let id = entry.indexed.contact.id.clone();
        self.insert(&file, entry);
        Ok(id)
    }

    /// Replaces the card of a contact. What is only on the server (a large picture) stays.
    ///
    /// # Errors
    /// When there is no such contact, or the card has no name.
    pub fn change(&mut self, id: &str, mut card: Card) -> Result<(), BookError> {
        if card.name().is_empty() {
            return Err(BookError::NoName);
        }
        let unknown = || BookError::Unknown { id: id.to_owned() };
        let file = self.by_id(id).map(|(file, _)| Arc::<str>::from(file)).ok_or_else(unknown)?;
        let mut entry = self.take(&file).ok_or_else(unknown)?;
        let old = entry.card();
        for kept in old.lines().iter().filter(|line| line.is(super::vcard::CUT)) {
            card.lines_mut().push(kept.clone());
        }
        if let (None, Some(uid)) = (card.uid(), old.first("UID")) {
            card.set(uid.clone());
        }
        if card != old {
            if entry.state == State::Clean {
                entry.base = Some(std::mem::take(&mut entry.text));
                entry.state = State::Changed;
            }
            entry.text = card.to_text().into_boxed_str();
            entry.refused = None;
            entry.indexed = Indexed::new(&file, &card, true);
        }
        self.insert(&file, entry);
        Ok(())
    }

    /// Removes a contact; the server hears of it with the next sync.
    ///
    /// # Errors
    /// When there is no such contact.
    pub fn remove(&mut self, id: &str) -> Result<Contact, BookError> {
        let unknown = || BookError::Unknown { id: id.to_owned() };
        let file = self.by_id(id).map(|(file, _)| Arc::<str>::from(file)).ok_or_else(unknown)?;
        let mut entry = self.take(&file).ok_or_else(unknown)?;
        let contact = entry.indexed.contact.clone();
        // Perhaps it reached the server and only the answer was lost; then the next sync brings it back, and it is seen.
        if entry.state != State::New {
            entry.base.get_or_insert_with(|| entry.text.clone());
            (entry.state, entry.refused) = (State::Removed, None);
            self.insert(&file, entry);
        }
        Ok(contact)
    }

    /// Takes a card of a file: a new one, or one of a contact that is there (the same UID; without one,
    /// the same name and nothing that the contact does not have), whose contents are then both kept.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn import(&mut self, card: Card, uuid: &str) -> Result<(String, Imported), BookError> {
        let known = match card.uid() {
            Some(uid) => self.by_id(&uid).map(|_| uid),
            None => self.holding(&card),
        };
        let Some(id) = known else { return self.add(card, uuid).map(|id| (id, Imported::Added)) };
        let old = self.card(&id).unwrap_or_default();
        let both = merge(&Card::default(), &card.to_version(old.version()), &old).card;
        if both == old {
            return Ok((id, Imported::Same));
        }
        self.change(&id, both)?;
        Ok((id, Imported::Merged))
    }

    /// The contact of this name, whatever its case and accents, that has all of these numbers.
    pub fn having(&self, name: &str, numbers: &[String]) -> Option<Contact> {
        let name = super::vcard::fold(name.trim());
        let same =
            |one: &str, other: &str| match (super::vcard::number_key(one), super::vcard::number_key(other)) {
                (Some(one), Some(other)) => one == other,
                _ => one.eq_ignore_ascii_case(other),
            };
        let has = |contact: &Contact| {
            numbers.iter().all(|wanted| contact.numbers.iter().any(|own| same(&own.number, wanted.trim())))
        };
        let contacts = self.visible().map(|(_, entry)| &entry.indexed.contact);
        let mut alike = contacts.filter(|contact| super::vcard::fold(&contact.name) == name);
        alike.find(|contact| has(contact)).cloned()
    }

    fn visible(&self) -> impl Iterator<Item = (&str, &Entry)> {
        let all = self.entries.iter().map(|(file, entry)| (&**file, &**entry));
        all.filter(|(_, entry)| entry.state != State::Removed)
    }

    fn by_id(&self, id: &str) -> Option<(&str, &Entry)> {
        self.visible().find(|(_, entry)| entry.indexed.contact.id == id)
    }

    /// The contact of that name that has everything that a card says: what a card without an identity is told by, so that a
    /// file which is imported twice does not double the book.
    fn holding(&self, card: &Card) -> Option<String> {
        let name = card.name();
        let mut alike = self.visible().filter(|(_, entry)| entry.indexed.contact.name == name);
        let holds = |old: &Card| merge(&Card::default(), &card.to_version(old.version()), old).card == *old;
        alike.find(|(_, entry)| holds(&entry.card())).map(|(_, entry)| entry.indexed.contact.id.clone())
    }

    fn has_room(&self, size: usize) -> bool {
        self.entries.len() < MAX_CONTACTS && self.bytes + size <= MAX_BOOK_BYTES
    }

    fn insert(&mut self, file: &str, entry: Entry) {
        self.bytes += entry.size();
        if let Some(old) = self.entries.insert(file.into(), Arc::new(entry)) {
            self.bytes -= old.size();
        }
    }

    fn take(&mut self, file: &str) -> Option<Entry> {
        let entry = self.entries.remove(file)?;
        self.bytes -= entry.size();
        Some(Arc::unwrap_or_clone(entry))
    }
}

/// Nothing of what is in it: who writes it into a log means its size.
impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book")
            .field("contacts", &self.len())
            .field("unsent", &self.unsent())
            .field("unread", &self.unread())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
