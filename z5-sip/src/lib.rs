//! z5-sip: SIP without sockets, tasks or clocks.
//!
//! The layers, from the bytes up:
//! - [`wire`]: one message at a time, indexed in place; builders and editors that never let a caller's
//!   line break reach a header.
//! - [`auth`]: digest, both ends.
//! - [`transaction`]: one request and its answers, over transports that repeat and that do not.
//! - [`sdp`]: what both ends of a call can do, and what they agree on.
//! - [`dialog`]: the lasting relation of two ends, and the session in it.
//! - [`flow`], [`registration`] and [`subscription`]: a connection that is kept alive, a binding and a subscription
//!   that are kept fresh; [`mwi`] reads what waits in a mailbox.
//! - [`stun`]: what keeps a UDP flow alive.
//! - [`multipart`]: bodies of several parts.
//! - [`locate`]: where a request goes by RFC 3263.
//! - [`ua`]: a user agent made of all of it; this is what a driver runs.
//! - [`explain`]: what all of this makes of some bytes, told to a person.
//! - [`interop`]: borders to other SIP crates.
//! - [`outbox`] and [`ident`]: what every machine above shares, its effects and its identifiers.
//!
//! Nothing here opens a socket, reads a clock or draws a random number: `now` and an [`ident::Ident`] are
//! arguments, bytes go in and bytes come out.

pub mod auth;
pub mod dialog;
pub mod explain;
pub mod flow;
pub mod ident;
pub mod interop;
pub mod locate;
pub mod multipart;
pub mod mwi;
pub mod outbox;
pub mod registration;
pub mod request;
pub mod sdp;
pub mod stun;
pub mod subscription;
pub mod transaction;
pub mod ua;
pub mod wire;
