//! Typed views of header fields, made on demand from the bytes in the message; nothing is copied.

mod auth;
mod cseq;
mod list;
mod name_addr;
mod via;

pub use auth::{AuthParam, AuthParams, Challenge};
pub use cseq::{CSeq, RAck};
pub use list::Values;
pub use name_addr::{Contact, NameAddr};
pub use via::{Transport, Via};

use super::host::HostError;
use super::uri::UriError;

/// Why a header field has no typed view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The message has no such field.
    #[error("the header field is missing")]
    Missing,
    /// The field is there and empty.
    #[error("the header field is empty")]
    Empty,
    /// A quoted string that never closes.
    #[error("a quoted string never closes")]
    UnterminatedQuote,
    /// `<` without `>`.
    #[error("an angle bracket never closes")]
    UnterminatedAngle,
    /// A display name that is neither tokens nor quoted.
    #[error("the display name is neither tokens nor a quoted string")]
    BadDisplayName,
    /// A URI with `,` `;` or `?` of its own that is not in angle brackets (RFC 3261 section 20).
    #[error("a URI with a question mark must stand in angle brackets")]
    NeedsAngleBrackets,
    /// The URI inside is malformed.
    #[error("{0}")]
    Uri(#[from] UriError),
    /// The host inside is malformed.
    #[error("{0}")]
    Host(#[from] HostError),
    /// Parameters that are no parameters.
    #[error("the parameters are malformed")]
    BadParams,
    /// A number that is none, or beyond its range.
    #[error("a number is malformed or out of range")]
    BadNumber,
    /// The method is no token.
    #[error("the method is malformed")]
    BadMethod,
    /// Not `SIP/2.0`.
    #[error("the protocol is not SIP/2.0")]
    BadProtocol,
    /// Something else stands where the grammar ends.
    #[error("the header field goes on after its end")]
    TrailingBytes,
}
