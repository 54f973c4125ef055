//! z5-sip: SIP without sockets, tasks or clocks.
//!
//! The layers, from the bytes up:
//! - [`wire`]: one message at a time, indexed in place; builders and editors that never let a caller's
//!   line break reach a header.
//! - [`auth`]: digest, both ends.
//! - [`outbox`] and [`ident`]: what every machine above shares, its effects and its identifiers.
//!
//! Nothing here opens a socket, reads a clock or draws a random number: `now` and an [`ident::Ident`] are
//! arguments, bytes go in and bytes come out.

pub mod auth;
pub mod ident;
pub mod outbox;
pub mod wire;
