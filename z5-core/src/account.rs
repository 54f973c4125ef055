//! What belongs to the account: the licence and the address book.

pub mod book;
pub mod contacts;
pub mod licence;
pub mod vcard;
