//! What can go wrong at the border of the engine.

use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::file::words::system;

/// The engine could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The system gave no poll instance, waker or thread.
    #[error("cannot start the media engine: {what}: {}", system(source))]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// No local port pair could be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// Every even port of the range (with its odd neighbour) is taken.
    #[error(
        "no free even/odd port pair left on {bind} in {}-{} ({pairs} pairs tried); end calls or widen the range",
        ports.start(), ports.end()
    )]
    Exhausted {
        /// Local address.
        bind: IpAddr,
        /// The configured range.
        ports: RangeInclusive<u16>,
        /// Pairs that were tried.
        pairs: u32,
    },
    /// The range holds no even port followed by an odd one.
    #[error("the port range {}-{} holds no even port with the odd one after it", ports.start(), ports.end())]
    NoPair {
        /// The configured range.
        ports: RangeInclusive<u16>,
    },
    /// The engine's thread is gone.
    #[error("the media engine has stopped")]
    Stopped,
    /// Ports are shared by sockets only.
    #[error("in simulated time there is no shared port; reserve one for each stream")]
    Simulated,
    /// The local address cannot be bound at all.
    #[error("cannot bind a media port on {bind}: {}", system(source))]
    Bind {
        /// Local address.
        bind: IpAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A stream could not be started or commanded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// No such stream, or it has ended.
    #[error("no such media stream")]
    NoSuchStream,
    /// The stream is not of the kind the command is for.
    #[error("the stream does not carry {wanted}")]
    WrongKind {
        /// What the command needs.
        wanted: &'static str,
    },
    /// The packet time cannot be used.
    #[error("packet time {ptime_ms} ms is not a multiple of 10 from 10 to 60")]
    PacketTime {
        /// What was asked for.
        ptime_ms: u32,
    },
    /// A payload type above 127, or one used for two things.
    #[error("payload type {payload_type} cannot be used: {why}")]
    PayloadType {
        /// The payload type.
        payload_type: u8,
        /// Why not.
        why: &'static str,
    },
    /// The socket could not be handed to the engine.
    #[error("cannot use the media socket: {}", system(source))]
    Socket {
        /// What the system said.
        source: io::Error,
    },
    /// The SRTP library refused the keys.
    #[error("the SRTP keys cannot be used")]
    Keys,
    /// The stream has no telephone-event payload type.
    #[error("the far end did not agree to telephone events (RFC 4733), so no digits can be sent")]
    NoTelephoneEvent,
    /// A character that is no key.
    #[error("{digit:?} is no key: 0-9, *, #, A-D and ! (flash) are")]
    Digit {
        /// The character.
        digit: char,
    },
    /// A key press shorter or longer than RFC 4733 gateways accept.
    #[error("a key press of {duration:?} is not between 40 ms and 8 s")]
    DigitDuration {
        /// What was asked for.
        duration: std::time::Duration,
    },
    /// A shared port of another engine.
    #[error("the port belongs to another media engine")]
    ForeignPort,
    /// A stream moves between ports of its own alone.
    #[error("a shared port cannot be exchanged: its other streams stay on it")]
    SharedPort,
    /// On a shared port another stream already takes what comes from there.
    #[error(
        "another stream on the shared port takes media from {remote}; give each stream the SSRC its far end will use, or use a port of its own"
    )]
    Claimed {
        /// The far end's address.
        remote: std::net::SocketAddr,
    },
    /// Another source of video cannot be sent: the far end takes no fragments.
    #[error(
        "the source has a NAL unit of {largest} bytes, and the far end takes none above {limit} (packetization mode 0); encode it in smaller slices"
    )]
    UnitTooLarge {
        /// Bytes of the source's largest unit.
        largest: usize,
        /// The most that fits a packet.
        limit: usize,
    },
    /// As many streams run as one engine can carry.
    #[error("the media engine carries {limit} streams already")]
    TooManyStreams {
        /// The limit.
        limit: usize,
    },
    /// The engine's thread is gone.
    #[error("the media engine has stopped")]
    Stopped,
}
