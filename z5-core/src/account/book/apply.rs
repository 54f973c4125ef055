//! What the server says meets what is here: news of cards, the end of a full sync, and what became of changes that were sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::{Book, Entry, Indexed, LIST_MARK, State};
use crate::account::vcard::{Card, MAX_CARD_BYTES, merge};

/// How changes of two sides came together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MergeKind {
    /// Both sides changed it.
    Changed,
    /// Removed on the server and changed here: it is made again there.
    Recreated,
    /// Removed here and changed on the server: it is back.
    Restored,
}

/// A contact that was changed on both sides. Nothing is lost by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContactMerged {
    /// The contact.
    pub id: String,
    /// How.
    pub kind: MergeKind,
    /// Properties that both sides changed differently: ours stand, and theirs beside them.
    pub conflicts: Vec<String>,
}

/// What news of a card did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Applied {
    Nothing,
    Added,
    Changed,
    Removed,
    Merged(ContactMerged),
    /// It cannot be read.
    Malformed,
    /// There is no room for it.
    LeftOut,
}

/// A change to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsent {
    pub(crate) file: String,
    pub(crate) etag: Option<String>,
    /// The card here at the time it is sent.
    pub(super) ours: Box<str>,
    pub(crate) what: What,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Put(String),
    /// A part of it is on the server only: it is fetched and merged first.
    PutOntoWhole,
    Delete,
}

impl Book {
    /// The collection that is synced. Another one than before: what was clean belongs to the old one and goes, what is not yet
    /// anywhere goes to the new one.
    pub(crate) fn settle(&mut self, host: &str, path: &str) {
        let home = format!("{host}{path}");
        let moved = !self.home.is_empty() && self.home != home;
        if moved {
            self.token = None;
            self.malformed.clear();
            self.left_out = 0;
        }
        self.home = home;
        let files: Vec<Arc<str>> = self.entries.keys().cloned().collect();
        for file in files {
            if !moved && file.starts_with('/') {
                continue;
            }
            let Some(mut entry) = self.take(&file) else { continue };
            match entry.state {
                State::Clean | State::Removed => continue,
                State::New | State::Changed => {
                    (entry.state, entry.base, entry.etag) = (State::New, None, None);
                    let name = file.rsplit(['/', LIST_MARK]).next().unwrap_or(&file);
                    self.insert(&format!("{path}{name}"), entry);
                }
            }
        }
    }

    /// The collection that was synced last, if it is at this host.
    pub(crate) fn collection_at(&self, host: &str) -> Option<&str> {
        self.home.strip_prefix(host).filter(|path| path.starts_with('/') && !path.ends_with(LIST_MARK))
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The token is only kept when everything before it is here.
    pub(crate) fn set_token(&mut self, token: Option<String>) {
        self.token = token;
    }

    /// Whether the server's version of a card is known here.
    pub(crate) fn knows(&self, file: &str, etag: &str) -> bool {
        self.entries.get(file).is_some_and(|entry| entry.etag.as_deref() == Some(etag))
            || self.malformed.get(file).is_some_and(|known| known.as_deref() == Some(etag))
    }

    /// The server has this card.
    pub(crate) fn server_has(&mut self, file: &str, etag: Option<&str>, text: &str) -> Applied {
        match Card::parse(text) {
            Ok(card) if text.len() <= MAX_CARD_BYTES => self.server_has_card(file, etag, card),
            Ok(_) | Err(_) => self.server_has_nonsense(file, etag.map(Into::into)),
        }
    }

    /// The same of a card that was read.
    pub(super) fn server_has_card(&mut self, file: &str, etag: Option<&str>, mut card: Card) -> Applied {
        let etag: Option<Box<str>> = etag.map(Into::into);
        card.cut();
        self.malformed.remove(file);
        let Some(mut entry) = self.take(file) else {
            let mut entry = Entry::new(file, State::Clean, &card);
            entry.etag = etag;
            if !self.has_room(entry.size()) {
                self.left_out += 1;
                return Applied::LeftOut;
            }
            self.insert(file, entry);
            return Applied::Added;
        };
        let known = etag.is_some() && entry.etag == etag;
        let applied = match entry.state {
            _ if known => Applied::Nothing,
            State::Clean => {
                let same = entry.card() == card;
                entry = Entry::new(file, State::Clean, &card);
                if same { Applied::Nothing } else { Applied::Changed }
            }
            State::New | State::Changed => {
                let (base, ours) = (entry.base_card(), entry.card());
                let merged = merge(&base, &ours, &card);
                let news = card != base && ours != card;
                let state = if merged.card == card { State::Clean } else { State::Changed };
                entry = Entry::new(file, state, &merged.card);
                if state == State::Changed {
                    entry.base = Some(card.to_text().into_boxed_str());
                }
                match news {
                    true => Applied::Merged(ContactMerged {
                        id: entry.indexed.contact.id.clone(),
                        kind: MergeKind::Changed,
                        conflicts: merged.conflicts,
                    }),
                    false => Applied::Nothing,
                }
            }
            State::Removed if entry.base_card() == card => {
                // Only the tag is another: what was removed is what is there.
                Applied::Nothing
            }
            State::Removed => {
                entry = Entry::new(file, State::Clean, &card);
                let (id, conflicts) = (entry.indexed.contact.id.clone(), Vec::new());
                Applied::Merged(ContactMerged { id, kind: MergeKind::Restored, conflicts })
            }
        };
        entry.etag = etag.or(entry.etag);
        self.insert(file, entry);
        applied
    }

    /// The server has something there that is no card.
    pub(super) fn server_has_nonsense(&mut self, file: &str, etag: Option<Box<str>>) -> Applied {
        match self.take(file) {
            Some(entry) if entry.state != State::Clean => {
                // Ours is good; it goes there.
                self.insert(file, Entry { etag: etag.clone(), ..entry });
            }
            Some(_) | None => {}
        }
        self.malformed.insert(file.into(), etag.as_deref().map(Into::into));
        Applied::Malformed
    }

    /// The server has no such card any more.
    pub(crate) fn server_lacks(&mut self, file: &str) -> Applied {
        self.malformed.remove(file);
        let Some(mut entry) = self.take(file) else { return Applied::Nothing };
        match entry.state {
            State::Clean => Applied::Removed,
            State::Removed => Applied::Nothing,
            State::New => {
                self.insert(file, entry);
                Applied::Nothing
            }
            State::Changed => {
                (entry.state, entry.base, entry.etag) = (State::New, None, None);
                let (id, conflicts) = (entry.indexed.contact.id.clone(), Vec::new());
                self.insert(file, entry);
                Applied::Merged(ContactMerged { id, kind: MergeKind::Recreated, conflicts })
            }
        }
    }

    /// A sync of everything begins.
    pub(crate) fn begin_full(&mut self) {
        self.left_out = 0;
    }

    /// A sync of everything has seen these: others are not there any more.
    pub(crate) fn end_full(&mut self, seen: &BTreeSet<String>) -> Vec<Applied> {
        let files = self.entries.keys().chain(self.malformed.keys());
        let gone: BTreeSet<Arc<str>> = files.filter(|file| !seen.contains(&***file)).cloned().collect();
        gone.iter().map(|file| self.server_lacks(file)).collect()
    }

    /// What is to be sent, but for what the server does not take.
    pub(crate) fn to_send(&self) -> Vec<String> {
        let open = |entry: &Arc<Entry>| entry.state != State::Clean && entry.refused.is_none();
        self.entries.iter().filter(|(_, entry)| open(entry)).map(|(file, _)| file.to_string()).collect()
    }

    /// Whether the server is not known to have it.
    pub(crate) fn is_new(&self, file: &str) -> bool {
        self.entries.get(file).is_some_and(|entry| entry.state == State::New)
    }

    /// How a change is sent; None when there is none any more.
    pub(crate) fn unsent_of(&self, file: &str) -> Option<Unsent> {
        let entry = self.entries.get(file)?;
        let etag = || entry.etag.as_deref().map(str::to_owned);
        let (etag, what) = match entry.state {
            State::Clean => return None,
            State::New => (None, What::Put(entry.card().without_marks().to_text())),
            State::Changed if entry.card().is_cut() => (etag(), What::PutOntoWhole),
            State::Changed => (etag(), What::Put(entry.text.to_string())),
            State::Removed => (etag(), What::Delete),
        };
        Some(Unsent { file: file.to_owned(), etag, ours: entry.text.clone(), what })
    }

    /// A card of which a part is on the server only, put together with that.
    pub(crate) fn onto_whole(&self, file: &str, whole: &str) -> Option<String> {
        let entry = self.entries.get(file)?;
        let whole = Card::parse(whole).ok()?;
        Some(merge(&entry.base_card(), &entry.card(), &whole).card.without_marks().to_text())
    }

    /// The server has taken what was sent, unless it was changed again meanwhile.
    pub(crate) fn sent(&mut self, sent: &Unsent, etag: Option<&str>) {
        let Some(mut entry) = self.take(&sent.file) else { return };
        if sent.what == What::Delete {
            if entry.state != State::Removed {
                // Changed back while it was being removed.
                (entry.state, entry.base, entry.etag) = (State::New, None, None);
                self.insert(&sent.file, entry);
            }
            return;
        }
        let mut card = Card::parse(&sent.ours).unwrap_or_default();
        let unchanged = entry.text == sent.ours;
        card.cut();
        let etag = etag.map(Into::into);
        if entry.state == State::Removed {
            entry.base = Some(card.to_text().into_boxed_str());
            entry.etag = etag;
        } else if unchanged {
            entry = Entry { etag, ..Entry::new(&sent.file, State::Clean, &card) };
        } else {
            (entry.state, entry.base, entry.etag) =
                (State::Changed, Some(card.to_text().into_boxed_str()), etag);
        }
        self.insert(&sent.file, entry);
    }

    /// The server does not take the change and would not another time: it stays here, and is tried again when it is changed again.
    pub(crate) fn refused(&mut self, file: &str, status: u16) -> Option<String> {
        let entry = Arc::make_mut(self.entries.get_mut(file)?);
        entry.refused = Some(status);
        Some(entry.indexed.contact.id.clone())
    }

    /// What was refused is tried again.
    pub(crate) fn forget_refusals(&mut self) {
        for entry in self.entries.values_mut().filter(|entry| entry.refused.is_some()) {
            Arc::make_mut(entry).refused = None;
        }
    }

    /// Anew from what is kept.
    pub(super) fn index(file: &str, card: &Card, state: State) -> Indexed {
        Indexed::new(file, card, state != State::Clean)
    }
}
