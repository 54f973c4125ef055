//! Which streams run, and in which slots of the threads' tables; and the merging of both threads' figures.

use std::collections::HashMap;
use std::time::Duration;

use super::config::{MAX_STREAMS, StreamConfig, StreamId, StreamKind};
use super::error::MediaError;
use super::net::NetFigures;
use super::start::clock_rate;
use super::worker::WorkerFigures;
use crate::clock::WallAnchor;
use crate::quality::emodel;
use crate::stats::{DropCounts, DropReason, MediaKind, StreamStats};

/// Less than this is too little to be judged.
const LEAST_JUDGED_MS: f64 = 1000.0;
/// Length of the usual packet.
const PACKET: Duration = Duration::from_millis(20);

/// What is known of a running stream without asking its threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) kind: MediaKind,
    codec: &'static str,
    pub(super) security: Option<&'static str>,
    pub(super) telephone_event: bool,
    pub(super) clock_rate: u32,
}

impl Running {
    pub(super) fn of(config: &StreamConfig) -> Self {
        let (kind, codec, telephone_event) = match &config.kind {
            StreamKind::Audio(audio) => {
                (MediaKind::Audio, audio.codec.name(), audio.telephone_event.is_some())
            }
            StreamKind::Text(_) => (MediaKind::Text, "t140", false),
            StreamKind::Video(_) => (MediaKind::Video, "H264", false),
        };
        let security = config.srtp.as_ref().map(|srtp| srtp.suite().name());
        Self { kind, codec, security, telephone_event, clock_rate: clock_rate(&config.kind) }
    }
}

/// The streams of one engine.
#[derive(Debug, Default)]
pub(super) struct Registry {
    streams: HashMap<StreamId, Running>,
    free: Vec<usize>,
    slots: usize,
    count: u64,
}

impl Registry {
    pub(super) fn add(&mut self, running: Running) -> Result<StreamId, MediaError> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots < MAX_STREAMS => {
                self.slots += 1;
                self.slots - 1
            }
            None => return Err(MediaError::TooManyStreams { limit: MAX_STREAMS }),
        };
        self.count += 1;
        let id = StreamId::new(self.count, slot);
        self.streams.insert(id, running);
        Ok(id)
    }

    pub(super) fn running(&self, id: StreamId) -> Option<Running> {
        self.streams.get(&id).copied()
    }

    pub(super) fn remove(&mut self, id: StreamId) {
        if self.streams.remove(&id).is_some() {
            self.free.push(id.slot());
        }
    }
}

/// When what is played or shown now was captured, by the far end's clock, and how far behind that is: wall time of the
/// rendering moment less NTP time of the capture. Only differences between streams of one far end mean something.
pub(super) fn behind(
    net: &NetFigures,
    work: &WorkerFigures,
    clock_rate: u32,
    anchor: WallAnchor,
) -> Option<f64> {
    let (ntp, stamp) = net.session.sender_clock?;
    let (rendered, at) = work.rendered?;
    let since = f64::from(rendered.wrapping_sub(stamp) as i32) / f64::from(clock_rate);
    // Both as seconds since 1900 with 32 bits of fraction; the difference is small enough for a float.
    let apart = anchor.ntp(at).wrapping_sub(ntp) as i64 as f64 / 4_294_967_296.0;
    Some(apart - since)
}

/// Both threads' figures of one stream.
pub(super) fn figures(running: Running, net: NetFigures, work: WorkerFigures) -> StreamStats {
    let session = net.session;
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let mut drops = DropCounts::default();
    for reason in DropReason::ALL {
        drops.add(reason, session.drops.of(reason) + work.drops.of(reason));
    }
    let voice = work.playout.filter(|_| matches!(running.codec, "PCMU" | "PCMA")).and_then(|playout| {
        let share =
            (playout.played_ms >= LEAST_JUDGED_MS).then(|| playout.concealed_ms / playout.played_ms)?;
        // Half the round trip, the jitter buffer, and the packet that is filled at the other end.
        let path = session.round_trip.map(|round_trip| round_trip / 2);
        let delay =
            path.map(|path| path + Duration::from_secs_f64(playout.target_delay_ms / 1000.0) + PACKET);
        Some(emodel::judge(emodel::G711, share, delay))
    });
    StreamStats {
        kind: running.kind,
        codec: running.codec,
        security: running.security,
        packets_sent: session.packets_sent,
        bytes_sent: session.bytes_sent,
        send_errors: net.send_errors,
        packets_received: session.packets_received,
        bytes_received: session.bytes_received,
        lost: session.lost,
        reordered: session.reordered,
        duplicates: session.duplicates,
        jitter_ms: session.jitter.map(ms),
        round_trip_ms: session.round_trip.map(ms),
        remote_report: session.remote_report,
        dropped: drops.to_map(),
        first_packet_ms: session.first_packet.map(ms),
        source: session.source,
        remote_ssrc: session.remote_ssrc,
        bye_received: session.bye,
        feedback: session.feedback,
        playout: work.playout,
        heard: work.heard,
        voice,
        text: work.text,
        video: work.video,
    }
}
