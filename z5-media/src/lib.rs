//! z5-media: audio and real-time text over RTP and SRTP, and the UDP engine that carries them.
//!
//! Two layers, top-down:
//! - [`engine`] owns sockets and threads: [`Engine::reserve`] binds a port pair, [`Engine::start_stream`] runs a
//!   stream on it, events come back through the callback of [`EngineConfig`].
//! - below it everything is sans-IO and takes time as an argument: RTP and SRTP, the jitter buffer, codecs, text.
//!
//! Nothing here knows SIP or SDP: what was negotiated arrives as plain data in [`StreamConfig`].

pub mod batch;
pub mod clock;
pub mod codec;
pub mod conceal;
pub mod engine;
pub mod jitter;
pub mod loopback;
pub mod playout;
pub mod quality;
pub mod rtcp;
pub mod rtp;
pub mod sink;
pub mod source;
pub mod srtp;
pub mod stats;
pub mod stream;
pub mod text;

pub use engine::{
    AudioCodec, AudioConfig, DIGIT_DURATION, Direction, Engine, EngineConfig, EngineError, EventHandler,
    LocalPort, MediaError, PortError, StreamConfig, StreamEvent, StreamId, StreamKind, TelephoneEvent,
    TextConfig, TextPayloadTypes,
};
pub use sink::{AudioSink, SinkError};
pub use source::{AudioSource, SourceState};
pub use srtp::{KeyLengthError, SrtpParams, SrtpSuite};
pub use stats::{DropReason, Heard, MediaKind, StreamStats};
