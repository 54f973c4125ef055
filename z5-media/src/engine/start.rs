//! Turns a stream's configuration into its two halves, one for each thread; refuses what cannot be used.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::{
    AudioCodec, AudioConfig, AudioFormat, StreamConfig, StreamId, StreamKind, TextConfig, VideoConfig,
};
use super::error::MediaError;
use super::load::LoadSource;
use super::net::{Feed, NetStream, Sockets};
use super::ports::{Ends, LocalPort};
use super::registry::SharedClaim;
use super::ring::{FrameReader, FrameWriter, ring};
use super::worker::{AudioParts, AudioStream, Stream, TextStream, VideoStream};
use crate::capture::Capture;
use crate::clock::WallAnchor;
use crate::stream::{FeedbackConfig, Session, SessionConfig};
use crate::video;

/// Bytes of the ring for received frames: a third of a second of G.711 in 20 ms frames, 300 ms in 60 ms ones.
const AUDIO_RECEIVE_RING: usize = 3200;
/// Bytes of the ring for frames to send.
const AUDIO_SEND_RING: usize = 1600;
/// Bytes of each text ring: text is sparse, but a packet may hold three generations.
const TEXT_RING: usize = 4096;
/// Bytes of each video ring: a key frame of a hundred kilobytes fits twice.
const VIDEO_RING: usize = 256 << 10;
/// Clock rate of T.140 (RFC 4103 section 4).
const TEXT_CLOCK_RATE: u32 = 1000;

/// Refuses a configuration that cannot be used.
pub(super) fn check(config: &StreamConfig) -> Result<(), MediaError> {
    match &config.kind {
        StreamKind::Audio(audio) => check_audio(audio),
        StreamKind::Text(text) => check_text(text),
        StreamKind::Video(video) => check_video(video),
        StreamKind::Load(load) => check_ptime(load.ptime_ms)
            .and_then(|()| distinct(&[Some(load.send_payload_type)]))
            .and_then(|()| distinct(&[Some(load.receive_payload_type)])),
    }
}

fn check_video(video: &VideoConfig) -> Result<(), MediaError> {
    distinct(&[Some(video.send_payload_type)])?;
    let received = std::iter::once(video.receive_payload_type).chain(video.also_received.iter().copied());
    distinct(&received.map(Some).collect::<Vec<_>>())
}

fn check_audio(audio: &AudioConfig) -> Result<(), MediaError> {
    check_ptime(audio.ptime_ms)?;
    check_format(&audio.format())
}

/// Refuses payload types that cannot be told apart, and codecs that this build has not.
pub(super) fn check_format(format: &AudioFormat) -> Result<(), MediaError> {
    let (events, options) = (format.telephone_event, &format.options);
    let sent = [Some(format.send_payload_type), events.map(|e| e.send_payload_type), options.comfort_noise];
    distinct(&sent)?;
    let own = [Some(format.receive_payload_type), events.map(|e| e.receive_payload_type)];
    let also = options.also_received.iter().map(|(payload_type, _)| Some(*payload_type));
    distinct(&own.into_iter().chain(also).collect::<Vec<_>>())?;
    let main = (format.receive_payload_type, format.codec);
    let all = std::iter::once(&main).chain(&options.also_received);
    match all.into_iter().find(|(_, codec)| !AudioCodec::ALL.contains(codec)) {
        Some((payload_type, _)) => {
            let why = "its codec is not part of this build";
            Err(MediaError::PayloadType { payload_type: *payload_type, why })
        }
        None => Ok(()),
    }
}

fn check_ptime(ptime_ms: u32) -> Result<(), MediaError> {
    let usual = (10..=60).contains(&ptime_ms) && ptime_ms.is_multiple_of(10);
    if usual { Ok(()) } else { Err(MediaError::PacketTime { ptime_ms }) }
}

fn check_text(text: &TextConfig) -> Result<(), MediaError> {
    distinct(&[Some(text.send.t140), text.send.red])?;
    distinct(&[Some(text.receive.t140), text.receive.red])
}

fn distinct(payload_types: &[Option<u8>]) -> Result<(), MediaError> {
    let mut seen = [false; 128];
    for payload_type in payload_types.iter().copied().flatten() {
        let refuse = |why| Err(MediaError::PayloadType { payload_type, why });
        match seen.get_mut(usize::from(payload_type)) {
            None => return refuse("it is above 127"),
            // RFC 5761 section 4: with the marker bit they look like RTCP.
            Some(_) if (64..96).contains(&payload_type) => {
                return refuse("64 to 95 cannot be told from RTCP");
            }
            Some(true) => return refuse("it is used twice in one direction"),
            Some(slot) => *slot = true,
        }
    }
    Ok(())
}

/// The claim of a stream on a shared port; `None` with a port of its own.
pub(super) fn claim(port: &LocalPort, config: &StreamConfig) -> Option<SharedClaim> {
    match &port.ends {
        Ends::Own { .. } | Ends::Simulated(_) => None,
        Ends::Shared { place, remote_ssrc } => Some(SharedClaim {
            place: *place,
            remote: config.remote,
            remote_rtcp: (!config.rtcp_mux).then_some(config.remote_rtcp),
            ssrc: *remote_ssrc,
        }),
    }
}

/// The sockets of a port of its own.
pub(super) fn sockets(ends: Ends) -> Option<Sockets> {
    match ends {
        Ends::Own { rtp, rtcp } => Some(Sockets::Own {
            rtp: mio::net::UdpSocket::from_std(rtp),
            rtcp: mio::net::UdpSocket::from_std(rtcp),
        }),
        Ends::Simulated(ports) => Some(Sockets::Simulated(ports)),
        Ends::Shared { .. } => None,
    }
}

/// The moments a stream counts from.
pub(super) struct Times {
    pub(super) epoch: Instant,
    pub(super) start: Instant,
    pub(super) anchor: WallAnchor,
}

/// Builds both halves; pre-encoded media has none on the worker.
pub(super) fn build(
    id: StreamId,
    port: LocalPort,
    claim: Option<SharedClaim>,
    config: StreamConfig,
    Times { epoch, start, anchor }: Times,
    capture: Option<Arc<Capture>>,
) -> Result<(Box<NetStream>, Option<Stream>), MediaError> {
    let srtp =
        config.srtp.as_ref().map(|params| params.contexts()).transpose().map_err(|_| MediaError::Keys)?;
    let local = [port.rtp_addr(), port.rtcp_addr()];
    let sockets = claim.map(Sockets::Shared).or_else(|| sockets(port.ends)).ok_or(MediaError::ForeignPort)?;
    let send = config.direction.send;
    let (feed, outer) = match &config.kind {
        StreamKind::Load(load) => {
            (Feed::Load(LoadSource::new(load.clone(), config.first_timestamp, send)), None)
        }
        StreamKind::Audio(_) | StreamKind::Text(_) | StreamKind::Video(_) => {
            let ((to_worker, incoming), (outgoing, from_worker)) = rings(&config.kind);
            let wake = !matches!(config.kind, StreamKind::Audio(_));
            let adapts = matches!(config.kind, StreamKind::Video(_));
            let names = matches!(config.kind, StreamKind::Text(_));
            (Feed::Worker { to_worker, from_worker, wake, adapts, names }, Some((incoming, outgoing)))
        }
    };
    let net = Box::new(NetStream {
        id,
        session: Session::new(SessionConfig {
            remote: config.remote,
            remote_rtcp: if config.rtcp_mux { config.remote } else { config.remote_rtcp },
            receive: config.direction.receive,
            srtp,
            ssrc: config.ssrc,
            first_sequence: config.first_sequence,
            first_timestamp: config.first_timestamp,
            clock_rate: clock_rate(&config.kind),
            cname: config.cname,
            payload_types: payload_types(&config.kind),
            feedback: feedback(&config.kind),
            start,
            anchor,
        }),
        sockets,
        mux: config.rtcp_mux,
        feed,
        send_errors: 0,
        armed: start,
        read: start,
        local,
        capture,
    });
    let Some((incoming, outgoing)) = outer else { return Ok((net, None)) };
    let work = match config.kind {
        StreamKind::Load(_) => return Ok((net, None)),
        StreamKind::Audio(audio) => Stream::Audio(Box::new(AudioStream::new(AudioParts {
            id,
            format: audio.format(),
            source: audio.source,
            sink: audio.sink,
            incoming,
            outgoing,
            epoch,
            start,
            tick: Duration::from_millis(u64::from(audio.ptime_ms)),
            first_timestamp: config.first_timestamp,
            send,
        }))),
        StreamKind::Text(text) => Stream::Text(Box::new(TextStream::new(
            id,
            &text,
            incoming,
            outgoing,
            epoch,
            start,
            config.first_timestamp,
            send,
        ))),
        StreamKind::Video(video) => Stream::Video(Box::new(VideoStream::new(
            id,
            video,
            incoming,
            outgoing,
            epoch,
            start,
            config.first_timestamp,
            send,
        ))),
    };
    Ok((net, Some(work)))
}

type Ring = (FrameWriter, FrameReader);

fn rings(kind: &StreamKind) -> (Ring, Ring) {
    match kind {
        StreamKind::Audio(_) => (ring(AUDIO_RECEIVE_RING), ring(AUDIO_SEND_RING)),
        StreamKind::Text(_) => (ring(TEXT_RING), ring(TEXT_RING)),
        StreamKind::Video(_) => (ring(VIDEO_RING), ring(VIDEO_RING)),
        StreamKind::Load(_) => (ring(0), ring(0)),
    }
}

/// RTP timestamp units per second.
pub(super) fn clock_rate(kind: &StreamKind) -> u32 {
    match kind {
        StreamKind::Audio(audio) => audio.codec.clock_rate(),
        StreamKind::Text(_) => TEXT_CLOCK_RATE,
        StreamKind::Video(_) => video::CLOCK_RATE,
        StreamKind::Load(load) => load.codec.clock_rate(),
    }
}

fn feedback(kind: &StreamKind) -> FeedbackConfig {
    match kind {
        StreamKind::Video(video) => video.feedback,
        StreamKind::Audio(audio) => audio.options.feedback,
        StreamKind::Text(_) | StreamKind::Load(_) => FeedbackConfig::default(),
    }
}

fn payload_types(kind: &StreamKind) -> Vec<u8> {
    match kind {
        StreamKind::Audio(audio) => audio.format().received(),
        StreamKind::Text(text) => [text.receive.t140].into_iter().chain(text.receive.red).collect(),
        StreamKind::Video(video) => {
            std::iter::once(video.receive_payload_type).chain(video.also_received.iter().copied()).collect()
        }
        StreamKind::Load(load) => vec![load.receive_payload_type],
    }
}
