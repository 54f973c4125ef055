//! The wire layer: bytes to messages and back (RFC 3261 sections 7, 18.3, 19.1, 20 and 25).
//!
//! - [`Framer`] cuts a stream into messages, pings and pongs; [`Message::parse_datagram`] takes one datagram.
//! - [`Message`] keeps the bytes as they came with an index of spans; typed views are made on demand.
//! - [`validate()`] judges a message: accept it, answer it with a status, or drop it.
//! - [`RequestBuilder`], [`ResponseBuilder`] and [`Edit`] write; a CR, LF or NUL in any value they are given
//!   is an error, and bytes that an edit does not touch stay as they were.
//! - [`redact()`] gives the form that may reach a log.

mod build;
mod chars;
mod edit;
mod frame;
mod header;
mod host;
mod index;
mod message;
mod method;
mod name;
mod params;
mod redact;
mod uri;
mod validate;

#[cfg(feature = "rsip")]
pub(crate) use build::Draft;
pub use build::{Address, BuildError, RequestBuilder, ResponseBuilder, reason_phrase};
pub use edit::Edit;
pub use frame::{Frame, FrameError, Framer};
pub use header::{
    AuthParam, AuthParams, CSeq, Challenge, Contact, HeaderError, NameAddr, RAck, Transport, Values, Via,
};
pub use host::{Host, HostError};
pub use index::{Flaw, Index, Limits, ParseError};
pub use message::{Indexed, Message, MessageRef, StartLine};
pub use method::Method;
pub use name::Name;
pub use params::{Param, ParamIter, Params};
pub use redact::{Reveal, redact, redact_but};
pub(crate) use uri::unescape;
pub use uri::{Scheme, Uri, UriError, UriRef};
pub use validate::{DropReason, Fault, Rules, Verdict, media_types, validate};
