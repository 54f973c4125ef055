//! The records of what servers gave: who we are, the configuration of the number, the licence, the address book.
//!
//! What has a lifetime says when it came by this machine's clock; [`Instance`] has the latest time that was seen: a clock that is set
//! back makes nothing last longer.

use serde::{Deserialize, Serialize, Serializer};

use super::record::{self, Record, Unread};
use super::{Kind, Store, StoreError};
use crate::account::book::Book;
use crate::events::NumberOffer;
use crate::secret::Secret;

/// Who this installation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Instance {
    /// A UUID, made once (RFC 5626 section 4.1).
    pub(crate) instance_id: String,
    /// Whose account the store belongs to, such as `alice@zdial.example`.
    pub(crate) account: String,
    /// The latest time that a session saw, in seconds since 1970: a clock that says less was set back.
    pub(crate) seen_unix_s: u64,
}

impl Record for Instance {
    const KIND: Kind = Kind::Instance;
    const VERSION: u32 = 1;
}

/// The configuration of the number (RFC 9248 section 9.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptConfiguration {
    pub(crate) number: String,
    pub(crate) offered: Vec<NumberOffer>,
    /// As ZDial sent it; the SIP password is in it.
    #[serde(serialize_with = "exposed")]
    pub(crate) document: Secret,
    /// When it came, in seconds since 1970.
    pub(crate) fetched_unix_s: u64,
}

impl Record for KeptConfiguration {
    const KIND: Kind = Kind::Configuration;
    const VERSION: u32 = 1;
}

/// The licence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptLicence {
    pub(crate) number: String,
    /// The signed token; it is verified anew at every start.
    #[serde(serialize_with = "exposed")]
    pub(crate) token: Secret,
    /// The policy of the group that came with it, as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<String>,
    /// When it came, in seconds since 1970.
    pub(crate) fetched_unix_s: u64,
}

impl Record for KeptLicence {
    const KIND: Kind = Kind::Licence;
    const VERSION: u32 = 1;
}

/// The address book.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct KeptContacts {
    /// Whole cards, what the server is known to have of them, and changes that it does not have.
    pub(crate) book: Book,
}

impl Record for KeptContacts {
    const KIND: Kind = Kind::Contacts;
    const VERSION: u32 = 1;
}

/// For records, which are sealed; a secret goes nowhere else.
fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// The address book that a store keeps.
pub(super) fn address_book<S: Store + ?Sized>(store: &S) -> Result<Book, StoreError> {
    let Some(bytes) = store.read(Kind::Contacts)? else { return Ok(Book::default()) };
    let place = format!("{} in {}", Kind::Contacts.name(), store.place());
    match record::decode::<KeptContacts>(&bytes) {
        Ok((kept, _)) => Ok(kept.book),
        Err(Unread::Newer(version)) => {
            Err(StoreError::Newer { place, version, known: KeptContacts::VERSION })
        }
        Err(Unread::Damaged(why)) => Err(StoreError::Corrupt { place, why, moved_to: None }),
    }
}

/// Another one in its place.
pub(super) fn keep_address_book<S: Store + ?Sized>(store: &S, book: &Book) -> Result<(), StoreError> {
    let bytes = record::encode(&KeptContacts { book: book.clone() })
        .map_err(|why| StoreError::Unwritable { place: store.place(), why })?;
    store.write(Kind::Contacts, &bytes)
}
