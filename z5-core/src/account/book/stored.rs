//! The address book as a record for the store. A card that cannot be read back costs no other.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Book, Entry, State};
use crate::account::vcard::Card;

#[derive(Serialize, Deserialize)]
struct Stored {
    home: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    cards: Vec<StoredCard>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    malformed: Vec<(String, Option<String>)>,
    #[serde(default)]
    left_out: usize,
}

#[derive(Serialize, Deserialize)]
struct StoredCard {
    file: String,
    state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    card: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<u16>,
}

/// Everything, changes that are not sent included.
impl Serialize for Book {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cards = self.entries.iter().map(|(file, entry)| StoredCard {
            file: file.to_string(),
            state: entry.state,
            etag: entry.etag.as_deref().map(str::to_owned),
            card: entry.text.to_string(),
            base: entry.base.as_deref().map(str::to_owned),
            refused: entry.refused,
        });
        let malformed =
            self.malformed.iter().map(|(file, etag)| (file.to_string(), etag.as_deref().map(str::to_owned)));
        Stored {
            home: self.home.clone(),
            token: self.token.clone(),
            cards: cards.collect(),
            malformed: malformed.collect(),
            left_out: self.left_out,
        }
        .serialize(serializer)
    }
}

/// When a card is not readable the others are, without a token, so that the next sync brings it again.
impl<'de> Deserialize<'de> for Book {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Stored { home, token, cards, malformed, left_out } = Stored::deserialize(deserializer)?;
        let mut book = Self { home, token, left_out, ..Self::default() };
        book.malformed =
            malformed.into_iter().map(|(file, etag)| (file.into(), etag.map(Into::into))).collect();
        for stored in cards {
            let Ok(card) = Card::parse(&stored.card) else {
                book.token = None;
                continue;
            };
            let entry = Entry {
                state: stored.state,
                etag: stored.etag.map(Into::into),
                indexed: Self::index(&stored.file, &card, stored.state),
                text: stored.card.into(),
                base: stored.base.map(Into::into),
                refused: stored.refused,
            };
            book.insert(&stored.file, entry);
        }
        Ok(book)
    }
}
