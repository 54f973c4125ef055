//! The session of a Z5-style videophone.
//!
//! Five documented steps lead to a call: names are resolved, ZDial signs the user in, the carrier server (MCS) gives a
//! licence and the address book, SIP registers, and a call carries audio, video and text over RTP. [`Session::start`] walks
//! them by itself; [`Events`] tells what happens; [`Session`] takes plain commands.
//!
//! Inside, `machine` decides and `driver` does: the machine has no socket, task, clock or randomness, the drivers have no
//! decisions. This crate has no window, camera or sound card, and no default configuration points at any real service.

pub mod account;
pub mod call;
pub mod clock;
pub mod config;
mod driver;
pub mod egress;
mod entropy;
pub mod error;
pub mod events;
pub mod explain;
pub mod location;
mod machine;
pub mod policy;
pub mod preflight;
pub mod secret;
pub mod session;
pub mod simulation;
pub mod store;
pub mod trace;

pub use account::book::Book;
pub use account::contacts::Contact;
pub use account::vcard::Card;
pub use call::{
    AudioIn, AudioOut, CallFigures, CallId, CallMedia, CallReport, CallRequest, Refusal, Side, VideoIn,
    VideoOut,
};
pub use config::{Config, ConfigError, RetryMode};
pub use error::{Advice, BookError, CallError, Failure, InternalError, SessionError, StartError, Step};
pub use events::{Event, EventKind, Events, SessionState};
pub use location::{Location, LocationError};
pub use machine::book::SyncReport;
pub use session::{Goal, Session, Snapshot, StartOptions};
pub use store::{CallRecord, DirStore, MemoryStore, Store, StoreError, StoreKey};
pub use trace::SipTrace;
/// Media: the traits and channels with which an application brings sound, pictures and text of its own.
pub use z5_media as media;
pub use z5_media::capture::{Capture, CaptureError, CaptureOutcome};
pub use z5_media::{Heard, SeenFigures, StreamStats, VideoFigures};

/// The tour for embedders; its examples are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
struct Embedding;
