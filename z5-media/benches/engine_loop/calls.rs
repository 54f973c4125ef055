//! Calls of an engine: with codec or pre-encoded, on their own sockets or on shared ones.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use z5_media::sink::Null;
use z5_media::source::Tone;
use z5_media::{
    AudioCodec, AudioConfig, AudioOptions, Direction, EncodedMedia, Engine, EngineConfig, LoadConfig,
    SrtpParams, StreamConfig, StreamKind,
};

pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An engine whose events nobody wants.
pub(crate) fn engine() -> Engine {
    Engine::start(EngineConfig::new(drop)).expect("threads")
}

/// A call that encodes and decodes a tone.
pub(crate) fn g711() -> StreamKind {
    StreamKind::Audio(AudioConfig {
        codec: AudioCodec::Pcmu,
        send_payload_type: 0,
        receive_payload_type: 0,
        telephone_event: None,
        ptime_ms: 20,
        source: Box::new(Tone::new(1000.0, -12.0)),
        sink: Box::new(Null),
        options: AudioOptions::default(),
    })
}

/// A tone encoded once for all calls.
pub(crate) fn tone() -> EncodedMedia {
    EncodedMedia::encode(AudioCodec::Pcmu, &mut Tone::new(1000.0, -12.0), 20, 50).expect("it fits")
}

/// A call of pre-encoded media.
pub(crate) fn load(media: &EncodedMedia) -> StreamKind {
    StreamKind::Load(LoadConfig {
        codec: AudioCodec::Pcmu,
        send_payload_type: 0,
        receive_payload_type: 0,
        ptime_ms: 20,
        media: media.clone(),
    })
}

/// A stream's configuration.
pub(crate) fn stream(
    kind: StreamKind,
    remote: SocketAddr,
    ssrc: u32,
    srtp: Option<SrtpParams>,
) -> StreamConfig {
    StreamConfig {
        kind,
        remote,
        remote_rtcp: SocketAddr::new(remote.ip(), remote.port().wrapping_add(1)),
        rtcp_mux: false,
        direction: Direction::BOTH,
        srtp,
        ssrc,
        first_sequence: 1,
        first_timestamp: 1,
        cname: "bench@z5.invalid".into(),
    }
}
