//! Plain data that crosses the border into the engine, and the events that come out.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::load::LoadConfig;
use crate::capture::Capture;
use crate::codec::h264::Mode;
use crate::sink::AudioSink;
use crate::source::AudioSource;
use crate::srtp::SrtpParams;
use crate::stream::{FeedbackConfig, Flow, Reach};
use crate::video::{Level, VideoSink, VideoSource};

/// Takes the engine's events. Called from the engine's threads: it must return at once (send to a channel).
pub type EventHandler = Box<dyn Fn(StreamEvent) + Send + Sync>;

/// The handler as both threads share it.
pub(super) type EventSender = Arc<dyn Fn(StreamEvent) + Send + Sync>;

/// How an engine is set up.
pub struct EngineConfig {
    /// Where events go.
    pub events: EventHandler,
    /// Where in the configured range port allocation begins, so that two programs on one host rarely meet.
    pub port_seed: u64,
    /// Every datagram sent and received is written there, as it travelled.
    pub capture: Option<Arc<Capture>>,
    /// Threads that move packets, 1 to 16, each with a worker for codecs beside it; streams are dealt out among them.
    pub packet_threads: usize,
    /// Those threads ask for real-time priority (SCHED_FIFO); where it is not permitted a warning says how to permit it.
    pub realtime: bool,
    /// No stream learns a source outside, or sends there; none: what comes first is learned, wherever it comes from.
    pub reach: Option<Reach>,
}

impl EngineConfig {
    /// An engine whose events go to `events`.
    pub fn new(events: impl Fn(StreamEvent) + Send + Sync + 'static) -> Self {
        Self {
            events: Box::new(events),
            port_seed: u64::from(std::process::id()),
            capture: None,
            packet_threads: 1,
            realtime: false,
            reach: None,
        }
    }
}

impl fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineConfig").field("port_seed", &self.port_seed).finish_non_exhaustive()
    }
}

/// Names one stream of one engine. Never used again after the stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct StreamId(pub(super) u64);

/// Bits of an id that name the slot; the rest counts streams.
const SLOT_BITS: u32 = 16;

/// Streams one engine can run at the same time.
pub(super) const MAX_STREAMS: usize = 1 << SLOT_BITS;

impl StreamId {
    /// The `count`-th stream, in that slot.
    pub(super) fn new(count: u64, slot: usize) -> Self {
        Self(count << SLOT_BITS | slot as u64)
    }

    /// The slot of both threads' tables.
    pub(super) fn slot(self) -> usize {
        self.0 as usize & (MAX_STREAMS - 1)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream-{}", self.0 >> SLOT_BITS)
    }
}

/// Which ways media may flow. RTCP flows in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Direction {
    /// We send media.
    pub send: bool,
    /// We accept media.
    pub receive: bool,
}

impl Direction {
    /// Both ways (`a=sendrecv`).
    pub const BOTH: Self = Self { send: true, receive: true };
    /// Only from us (`a=sendonly`).
    pub const SEND: Self = Self { send: true, receive: false };
    /// Only to us (`a=recvonly`).
    pub const RECEIVE: Self = Self { send: false, receive: true };
    /// Neither (`a=inactive`).
    pub const NONE: Self = Self { send: false, receive: false };
}

/// One negotiated RTP stream.
#[derive(Debug)]
pub struct StreamConfig {
    /// Audio, text or video, with its codec and its ends.
    pub kind: StreamKind,
    /// Where the far end asked for RTP. Packets go where media really comes from once that is learned.
    pub remote: SocketAddr,
    /// Where the far end asked for RTCP (ignored with `rtcp_mux`).
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share one port (RFC 5761).
    pub rtcp_mux: bool,
    /// Which ways media may flow.
    pub direction: Direction,
    /// Keys, when SRTP was agreed.
    pub srtp: Option<SrtpParams>,
    /// Our SSRC, random.
    pub ssrc: u32,
    /// Our first sequence number, random; keep it below 32768 with SRTP (RFC 3711 section 3.3.1).
    pub first_sequence: u16,
    /// Our first RTP timestamp, random.
    pub first_timestamp: u32,
    /// Canonical name for RTCP SDES; nothing private (RFC 7022).
    pub cname: String,
}

/// What a stream carries.
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamKind {
    /// Audio.
    Audio(AudioConfig),
    /// Real-time text (RFC 4103).
    Text(TextConfig),
    /// H.264 video (RFC 6184).
    Video(VideoConfig),
    /// Pre-encoded audio for load generation; what comes is counted, not decoded.
    Load(LoadConfig),
}

/// A video stream: H.264 at 90 kHz.
pub struct VideoConfig {
    /// Payload type we send.
    pub send_payload_type: u8,
    /// Payload type we accept.
    pub receive_payload_type: u8,
    /// Others that the far end may use at any time: of the other packetization mode, which is read alike.
    pub also_received: Vec<u8>,
    /// What the far end takes (`packetization-mode`).
    pub mode: Mode,
    /// What its decoder can take (`profile-level-id`); `None` when it was not said.
    pub level: Option<Level>,
    /// Feedback both sides agreed to (`a=rtcp-fb`).
    pub feedback: FeedbackConfig,
    /// Bits per second we send at most (`b=TIAS` or policy).
    pub max_bits_per_second: u64,
    /// What is sent.
    pub source: Box<dyn VideoSource>,
    /// Where received pictures go.
    pub sink: Box<dyn VideoSink>,
}

impl fmt::Debug for VideoConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VideoConfig")
            .field("send_payload_type", &self.send_payload_type)
            .field("receive_payload_type", &self.receive_payload_type)
            .field("mode", &self.mode)
            .field("feedback", &self.feedback)
            .field("max_bits_per_second", &self.max_bits_per_second)
            .finish_non_exhaustive()
    }
}

/// An audio codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum AudioCodec {
    /// G.711 mu-law, 8 kHz.
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// G.722 at 64 kbit/s, 16 kHz; its RTP clock counts 8000 (RFC 3551 section 4.5.2).
    G722,
    /// Opus, 48 kHz mono; only where z5-media was built with the feature `opus`.
    Opus,
}

impl AudioCodec {
    /// Encoding name as in SDP.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
        }
    }

    /// Every codec of this build.
    #[cfg(feature = "opus")]
    pub const ALL: [Self; 4] = [Self::Opus, Self::G722, Self::Pcmu, Self::Pcma];
    /// Every codec of this build.
    #[cfg(not(feature = "opus"))]
    pub const ALL: [Self; 3] = [Self::G722, Self::Pcmu, Self::Pcma];

    /// The codec of that encoding name, compared without regard to case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Samples per second of the PCM that sources give and sinks get.
    #[must_use]
    pub fn sample_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8000,
            Self::G722 => 16000,
            Self::Opus => 48000,
        }
    }

    /// RTP timestamp units per second.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8000,
            Self::Opus => 48000,
        }
    }
}

/// An audio stream.
pub struct AudioConfig {
    /// The codec, both ways.
    pub codec: AudioCodec,
    /// Payload type we send.
    pub send_payload_type: u8,
    /// Payload type we accept.
    pub receive_payload_type: u8,
    /// Payload types of telephone-event (RFC 4733), when agreed.
    pub telephone_event: Option<TelephoneEvent>,
    /// Milliseconds of audio per packet we send: a multiple of 10 from 10 to 60.
    pub ptime_ms: u32,
    /// What is sent.
    pub source: Box<dyn AudioSource>,
    /// Where what is heard goes.
    pub sink: Box<dyn AudioSink>,
    /// What few calls need.
    pub options: AudioOptions,
}

impl AudioConfig {
    /// The part that may change while the stream runs.
    #[must_use]
    pub fn format(&self) -> AudioFormat {
        AudioFormat {
            codec: self.codec,
            send_payload_type: self.send_payload_type,
            receive_payload_type: self.receive_payload_type,
            telephone_event: self.telephone_event,
            options: self.options.clone(),
        }
    }
}

/// What few audio streams need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AudioOptions {
    /// Other codecs the far end may switch to at any time, by payload type.
    pub also_received: Vec<(u8, AudioCodec)>,
    /// Silence is not sent but described (RFC 3389) with this payload type; 13 at 8 kHz. Never in an emergency call
    /// (RFC 6881 ED-73).
    pub comfort_noise: Option<u8>,
    /// What the far end asks of Opus.
    pub opus: OpusOptions,
    /// Feedback both sides agreed to; extended reports let a listener measure the round trip.
    pub feedback: FeedbackConfig,
}

impl fmt::Debug for AudioConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioConfig")
            .field("format", &self.format())
            .field("ptime_ms", &self.ptime_ms)
            .finish_non_exhaustive()
    }
}

/// What is sent by Opus: what the far end asks for in its format parameters (RFC 7587 section 6.1), as far as both want it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpusOptions {
    /// Redundancy against losses (`useinbandfec=1`).
    pub fec: bool,
    /// Nothing is sent while there is silence (`usedtx=1`).
    pub dtx: bool,
    /// A constant bit rate (`cbr=1`).
    pub constant_rate: bool,
    /// The most bits per second (`maxaveragebitrate`).
    pub max_bits_per_second: Option<u32>,
    /// The highest sample rate the far end can play, in hertz (`maxplaybackrate`).
    pub max_playback_rate: Option<u32>,
}

/// A codec with its payload types, as agreed: what a running stream changes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioFormat {
    /// The codec, both ways.
    pub codec: AudioCodec,
    /// Payload type we send.
    pub send_payload_type: u8,
    /// Payload type we accept.
    pub receive_payload_type: u8,
    /// Payload types of telephone-event, when agreed.
    pub telephone_event: Option<TelephoneEvent>,
    /// What few calls need; feedback cannot change.
    pub options: AudioOptions,
}

impl AudioFormat {
    /// Payload types that are accepted.
    pub(super) fn received(&self) -> Vec<u8> {
        let events = self.telephone_event.map(|events| events.receive_payload_type);
        let also = self.options.also_received.iter().map(|(payload_type, _)| *payload_type);
        let noise = self.options.comfort_noise.unwrap_or(COMFORT_NOISE);
        [self.receive_payload_type, noise].into_iter().chain(events).chain(also).collect()
    }
}

/// Payload type of comfort noise at 8 kHz (RFC 3389); accepted and played as a pause.
const COMFORT_NOISE: u8 = 13;

/// Payload types of telephone-event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Payload type we send.
    pub send_payload_type: u8,
    /// Payload type we accept.
    pub receive_payload_type: u8,
    /// Its clock rate in hertz, which durations count in; the audio codec's unless the far end has no other.
    pub clock_rate: u32,
}

/// A real-time text stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextConfig {
    /// Payload types we send.
    pub send: TextPayloadTypes,
    /// Payload types we accept.
    pub receive: TextPayloadTypes,
    /// Highest characters per second the far end asked for (`cps`, RFC 4103 section 6); 30 unless it did.
    pub characters_per_second: u32,
}

/// Payload types of one direction of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextPayloadTypes {
    /// `t140/1000`.
    pub t140: u8,
    /// `red/1000` with two redundant generations, when agreed.
    pub red: Option<u8>,
}

/// What an engine tells while streams run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// The first RTP packet was accepted.
    FirstPacket {
        /// The stream.
        stream: StreamId,
        /// Where it came from.
        from: SocketAddr,
        /// Since the stream started.
        after: Duration,
    },
    /// Text arrived. May hold backspace (U+0008), line separators (U+2028) and U+FFFD for text that was lost.
    Text {
        /// The stream.
        stream: StreamId,
        /// The new characters.
        text: String,
        /// Who said it, by the CSRC of a mixer (RFC 9071); `None` from a far end that is one person.
        source: Option<u32>,
        /// What the mixer calls them by then (RTCP SDES: NAME, or else CNAME).
        label: Option<String>,
    },
    /// Text of ours was put into a packet for the first time; its repetitions are not told.
    TextSent {
        /// The stream.
        stream: StreamId,
        /// The characters.
        text: String,
        /// How long each waited since it was handed over; `None` for one that was held back meanwhile.
        waits: Vec<Option<Duration>>,
    },
    /// A telephone event ended (RFC 4733).
    Digit {
        /// The stream.
        stream: StreamId,
        /// One of 0-9, *, #, A-D, or '!' for flash.
        digit: char,
        /// How long it lasted.
        duration: Duration,
    },
    /// The audio source has no more; silence is sent from here on.
    SourceEnded {
        /// The stream.
        stream: StreamId,
    },
    /// The sink failed and is not used any more; the stream goes on.
    SinkFailed {
        /// The stream.
        stream: StreamId,
        /// What happened.
        why: String,
    },
    /// Media is missing for as long as was set, or comes again.
    Flow {
        /// The stream.
        stream: StreamId,
        /// Which of them.
        flow: Flow,
    },
    /// The far end said BYE by RTCP.
    Bye {
        /// The stream.
        stream: StreamId,
    },
    /// The first picture that can be shown arrived.
    FirstPicture {
        /// The stream.
        stream: StreamId,
        /// Since the stream started.
        after: Duration,
    },
    /// The picture stands still, and RTCP cannot ask for a key frame or was not heard: ask by INFO (RFC 5168). At most
    /// once in two seconds.
    KeyFrameWanted {
        /// The stream.
        stream: StreamId,
    },
    /// The far end wants a key frame of ours; the source was told.
    KeyFrameRequested {
        /// The stream.
        stream: StreamId,
    },
    /// The far end's reports or its limit allow another rate; the source was told.
    TargetBitrate {
        /// The stream.
        stream: StreamId,
        /// Bits per second.
        bits_per_second: u64,
    },
}
