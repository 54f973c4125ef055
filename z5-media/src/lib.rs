//! z5-media: audio, H.264 video and real-time text over RTP and SRTP, and the UDP engine that carries them.
//!
//! Two layers, top-down:
//! - [`engine`] owns sockets and threads: [`Engine::reserve`] binds a port pair, [`Engine::start_stream`] runs a
//!   stream on it, events come back through the callback of [`EngineConfig`].
//! - below it everything is sans-IO and takes time as an argument: RTP and SRTP, the jitter buffer, codecs, text, video.
//!
//! Nothing here knows SIP or SDP: what was negotiated arrives as plain data in [`StreamConfig`].
//!
//! ```no_run
//! use z5_media::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (events, happenings) = std::sync::mpsc::channel();
//! let engine = Engine::start(EngineConfig::new(move |event| drop(events.send(event))))?;
//! // Before the offer: the port goes into the m-line.
//! let port = engine.reserve("127.0.0.1".parse()?, 20000..=20999)?;
//! // After the answer:
//! let stream = engine.start_stream(port, StreamConfig {
//!     kind: StreamKind::Audio(AudioConfig {
//!         codec: AudioCodec::Pcmu,
//!         send_payload_type: 0,
//!         receive_payload_type: 0,
//!         telephone_event: None,
//!         ptime_ms: 20,
//!         source: Box::new(source::Tone::new(1000.0, -12.0)),
//!         sink: Box::new(sink::WavSink::create("heard.wav")?),
//!         options: AudioOptions::default(),
//!     }),
//!     remote: "127.0.0.1:30000".parse()?,
//!     remote_rtcp: "127.0.0.1:30001".parse()?,
//!     rtcp_mux: false,
//!     direction: Direction::BOTH,
//!     srtp: None,
//!     ssrc: 0x1234_5678,
//!     first_sequence: 17,
//!     first_timestamp: 42,
//!     cname: "random@z5.invalid".into(),
//! })?;
//! let first = happenings.recv()?;
//! println!("{first:?}");
//! let figures = engine.stop_stream(stream);
//! # let _ = figures;
//! # Ok(())
//! # }
//! ```

pub mod batch;
pub mod capture;
pub mod clock;
pub mod codec;
pub mod conceal;
pub mod engine;
pub mod file;
pub mod jitter;
pub mod loopback;
pub mod playout;
mod prefetch;
pub mod quality;
pub mod rtcp;
pub mod rtp;
pub mod sink;
pub mod source;
pub mod srtp;
pub mod stats;
pub mod stream;
pub mod text;
pub mod video;

pub use engine::{
    AudioCodec, AudioConfig, AudioFormat, AudioOptions, DIGIT_DURATION, Direction, EncodedMedia, Engine,
    EngineConfig, EngineError, EventHandler, LoadConfig, LocalPort, MAX_PACKET_THREADS, MediaError,
    OpusOptions, PortError, SharedPort, StreamConfig, StreamEvent, StreamId, StreamKind, TelephoneEvent,
    TextConfig, TextPayloadTypes, TooFewFiles, VideoConfig, room_for,
};
pub use sink::{AudioSink, SinkError};
pub use source::{AudioSource, SourceState};
pub use srtp::{KeyLengthError, SrtpParams, SrtpSuite};
pub use stats::{DropReason, Heard, MediaKind, SeenFigures, StreamStats, VideoFigures};
pub use stream::{FeedbackConfig, Flow, Reach, Silence, SilenceReason};
