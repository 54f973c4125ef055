//! What survives a restart: the instance id, the configuration of the number, the licence, the address book, the history of calls.
//!
//! A [`Store`] keeps one record of each [`Kind`], whole: it gives back what was written last, or what was written before that when
//! writing was broken off, and never a mixture. It does not know what the records mean; `record` gives them their versions, and reads
//! what older versions of z5 wrote. [`DirStore`] keeps them in a directory, sealed; [`MemoryStore`] keeps nothing beyond the process;
//! an application can bring its own ([`StartOptions::store`](crate::StartOptions::store)).
//!
//! The session's machine neither reads nor writes: it wishes records to be kept (`Effect::Keep`), and is told once, before step 1, what
//! was there (`Input::Recalled`). A thread of the driver does the rest. Whatever goes wrong is an event ([`StoreError`]); the session
//! goes on without.

mod cached;
mod dir;
mod history;
mod key;
mod memory;
mod record;
mod seal;

use std::fmt;

pub(crate) use cached::{Instance, KeptConfiguration, KeptContacts, KeptLicence};
pub use dir::DirStore;
pub(crate) use history::{ANSWERED, History};
pub use history::{CallRecord, Direction, HISTORY_LIMIT};
pub use key::StoreKey;
pub use memory::MemoryStore;
pub(crate) use record::{Kept, Recalled};

use crate::account::book::Book;
pub use crate::error::StoreError;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Who this installation is (RFC 5626 instance id), and whose account the store belongs to.
    Instance,
    /// The configuration of the number, with its SIP password.
    Configuration,
    /// The licence.
    Licence,
    /// The address book.
    Contacts,
    /// The calls that were.
    History,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Instance, Self::Configuration, Self::Licence, Self::Contacts, Self::History];

    /// The name, also of its file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Configuration => "configuration",
            Self::Licence => "licence",
            Self::Contacts => "contacts",
            Self::History => "history",
        }
    }
}

/// Keeps one record of each kind. Called from one thread of the session, which may be kept waiting.
///
/// Records hold secrets (the SIP password, the licence) and what is private (contacts, calls): who implements this protects them at
/// rest.
pub trait Store: fmt::Debug + Send + Sync {
    /// The record that was written last; none when there never was one. Changes nothing.
    ///
    /// # Errors
    /// When there is one that cannot be read, or that is not what was written ([`StoreError::Corrupt`]).
    fn read(&self, kind: Kind) -> Result<Option<Vec<u8>>, StoreError>;

    /// Replaces the record. When this fails, or the process ends meanwhile, the old one is still there, whole.
    ///
    /// # Errors
    /// The system's own.
    fn write(&self, kind: Kind, record: &[u8]) -> Result<(), StoreError>;

    /// Moves a record out of the way that z5 cannot understand, without losing it. Gives its new name, when it has one.
    ///
    /// # Errors
    /// The system's own.
    fn set_aside(&self, kind: Kind) -> Result<Option<String>, StoreError>;

    /// Where it is, for messages.
    fn place(&self) -> String;

    /// What was found and mended while it was opened; told once.
    fn notices(&self) -> Vec<StoreError> {
        Vec::new()
    }

    /// The calls that are kept, oldest first. Not for the store of a session that runs: [`Session::history`](crate::Session::history).
    ///
    /// # Errors
    /// When they cannot be read.
    fn calls(&self) -> Result<Vec<CallRecord>, StoreError> {
        history::calls(self)
    }

    /// Forgets every call. Not for the store of a session that runs: [`Session::clear_history`](crate::Session::clear_history).
    ///
    /// # Errors
    /// When that cannot be written.
    fn clear_calls(&self) -> Result<(), StoreError> {
        history::clear(self)
    }

    /// The address book that is kept, with changes that the server does not have yet; empty when there is none. For the store of a
    /// session that runs: [`Session::address_book`](crate::Session::address_book).
    ///
    /// # Errors
    /// When it cannot be read.
    fn address_book(&self) -> Result<Book, StoreError> {
        cached::address_book(self)
    }

    /// Keeps a changed address book; the next session sends the changes. Not for the store of a session that runs.
    ///
    /// # Errors
    /// When that cannot be written.
    fn keep_address_book(&self, book: &Book) -> Result<(), StoreError> {
        cached::keep_address_book(self, book)
    }
}

#[cfg(test)]
mod tests;
