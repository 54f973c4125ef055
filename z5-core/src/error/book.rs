//! What an address book does not take. Never a reason to end a session.

use serde::{Serialize, Serializer};

use super::{Advice, Failure};
use crate::account::book::{MAX_BOOK_BYTES, MAX_CONTACTS};

/// Why a change of the address book was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// There is no such contact.
    #[error("there is no contact `{id}`")]
    Unknown {
        /// As given.
        id: String,
    },
    /// No room.
    #[error("the address book is full: {MAX_CONTACTS} contacts, {MAX_BOOK_BYTES} bytes")]
    Full,
    /// A contact needs a name.
    #[error("a contact needs a name (FN)")]
    NoName,
    /// A number that cannot be dialled.
    #[error("`{number}` cannot be dialled: {why}")]
    BadNumber {
        /// As given.
        number: String,
        /// Why not.
        why: String,
    },
}

impl BookError {
    /// Every code this type can have.
    pub const CODES: &'static [&'static str] =
        &["contacts.unknown", "contacts.full", "contacts.no-name", "contacts.bad-number"];

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "contacts.unknown",
            Self::Full => "contacts.full",
            Self::NoName => "contacts.no-name",
            Self::BadNumber { .. } => "contacts.bad-number",
        }
    }

    /// As a plain record.
    pub fn failure(&self) -> Failure {
        Failure::outside_steps(self.code(), self.to_string(), Advice::CheckSettings)
    }
}

impl Serialize for BookError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.failure().serialize(serializer)
    }
}
