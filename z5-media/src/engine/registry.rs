//! Which streams run, and in which slots of the threads' tables; and the merging of both threads' figures.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::config::{AudioFormat, MAX_STREAMS, StreamConfig, StreamId, StreamKind};
use super::demux::{Claimed, Demux};
use super::error::MediaError;
use super::net::NetFigures;
use super::shared::SharedPlace;
use super::start::clock_rate;
use super::worker::WorkerFigures;
use crate::clock::WallAnchor;
use crate::codec::h264::Mode;
use crate::quality::emodel;
use crate::stats::{DropCounts, DropReason, MediaKind, RemoteVoice, StreamStats};

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
    /// It has a half on the worker thread.
    pub(super) works: bool,
    /// Video whose far end takes no fragments (packetization mode 0).
    pub(super) whole_units: bool,
}

/// A stream's claim on a shared socket pair.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharedClaim {
    pub(super) place: SharedPlace,
    pub(super) remote: SocketAddr,
    /// Where RTCP comes from, when that has a socket of its own.
    pub(super) remote_rtcp: Option<SocketAddr>,
    pub(super) ssrc: Option<u32>,
}

impl Running {
    pub(super) fn of(config: &StreamConfig) -> Self {
        let (kind, codec, telephone_event) = match &config.kind {
            StreamKind::Audio(audio) => {
                (MediaKind::Audio, audio.codec.name(), audio.telephone_event.is_some())
            }
            StreamKind::Text(_) => (MediaKind::Text, "t140", false),
            StreamKind::Video(_) => (MediaKind::Video, "H264", false),
            StreamKind::Load(load) => (MediaKind::Audio, load.codec.name(), false),
        };
        let works = !matches!(config.kind, StreamKind::Load(_));
        let whole_units = matches!(&config.kind, StreamKind::Video(video) if video.mode == Mode::SingleNal);
        let security = config.srtp.as_ref().map(|srtp| srtp.suite().name());
        let clock_rate = clock_rate(&config.kind);
        Self { kind, codec, security, telephone_event, clock_rate, works, whole_units }
    }
}

/// The streams of one engine.
#[derive(Debug)]
pub(super) struct Registry {
    streams: HashMap<StreamId, (Running, Option<SharedClaim>)>,
    /// For each packet thread: its free slots, and how many it ever had. A slot belongs to the thread that is its remainder.
    threads: Vec<(Vec<usize>, usize)>,
    /// What the shared sockets' tables hold, so that a conflict is found before a stream starts.
    claims: HashMap<SharedPlace, [Demux; 2]>,
    /// Shared ports opened.
    pub(super) shared_ports: usize,
    count: u64,
}

impl Registry {
    pub(super) fn new(packet_threads: usize) -> Self {
        Self {
            streams: HashMap::new(),
            threads: vec![(Vec::new(), 0); packet_threads.max(1)],
            claims: HashMap::new(),
            shared_ports: 0,
            count: 0,
        }
    }

    /// A slot for a stream, on the packet thread of its shared socket or the one with the fewest streams.
    pub(super) fn add(
        &mut self,
        running: Running,
        claim: Option<SharedClaim>,
    ) -> Result<StreamId, MediaError> {
        let threads = self.threads.len();
        let used = |(free, ever): &(Vec<usize>, usize)| *ever - free.len();
        let thread = match &claim {
            Some(claim) => claim.place.shard,
            None => (0..threads).min_by_key(|thread| used(&self.threads[*thread])).unwrap_or(0),
        };
        let (free, ever) = self.threads.get_mut(thread).ok_or(MediaError::ForeignPort)?;
        let slot = match free.last() {
            Some(slot) => *slot,
            None if *ever * threads + thread < MAX_STREAMS => *ever * threads + thread,
            None => return Err(MediaError::TooManyStreams { limit: MAX_STREAMS }),
        };
        if let Some(claim) = &claim {
            let tables = self.claims.entry(claim.place).or_default();
            put(tables, claim, slot).map_err(|Claimed| MediaError::Claimed { remote: claim.remote })?;
        }
        if free.pop().is_none() {
            *ever += 1;
        }
        self.count += 1;
        let id = StreamId::new(self.count, slot);
        self.streams.insert(id, (running, claim));
        Ok(id)
    }

    /// Notes what a stream goes on with; `false` when it is no audio stream that runs.
    pub(super) fn set_format(&mut self, id: StreamId, format: &AudioFormat) -> bool {
        let running = self.streams.get_mut(&id).map(|(running, _)| running);
        let Some(running) = running.filter(|running| running.kind == MediaKind::Audio) else { return false };
        running.codec = format.codec.name();
        running.telephone_event = format.telephone_event.is_some();
        running.clock_rate = format.codec.clock_rate();
        true
    }

    pub(super) fn running(&self, id: StreamId) -> Option<Running> {
        self.streams.get(&id).map(|(running, _)| *running)
    }

    /// Whether a stream runs on a shared port.
    pub(super) fn is_shared(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|(_, claim)| claim.is_some())
    }

    pub(super) fn remove(&mut self, id: StreamId) {
        let Some((_, claim)) = self.streams.remove(&id) else { return };
        if let Some(claim) = claim
            && let Some(tables) = self.claims.get_mut(&claim.place)
        {
            take(tables, &claim);
        }
        let threads = self.threads.len();
        self.threads[id.slot() % threads].0.push(id.slot());
    }

    /// The far end of a stream on a shared socket announced other addresses.
    pub(super) fn reclaim(
        &mut self,
        id: StreamId,
        remote: SocketAddr,
        remote_rtcp: SocketAddr,
    ) -> Result<(), MediaError> {
        let Some((_, Some(claim))) = self.streams.get_mut(&id) else { return Ok(()) };
        let Some(tables) = self.claims.get_mut(&claim.place) else { return Ok(()) };
        let moved = SharedClaim { remote, remote_rtcp: claim.remote_rtcp.and(Some(remote_rtcp)), ..*claim };
        take(tables, claim);
        if put(tables, &moved, id.slot()).is_err() {
            // What was given up a moment ago is still free.
            let _ = put(tables, claim, id.slot());
            return Err(MediaError::Claimed { remote });
        }
        *claim = moved;
        Ok(())
    }
}

/// Enters a claim for both sockets, or for none.
pub(super) fn put(tables: &mut [Demux; 2], claim: &SharedClaim, slot: usize) -> Result<(), Claimed> {
    tables[0].claim(claim.remote, claim.ssrc, slot as u32)?;
    let Some(remote_rtcp) = claim.remote_rtcp else { return Ok(()) };
    tables[1].claim(remote_rtcp, claim.ssrc, slot as u32).inspect_err(|_| {
        tables[0].release(claim.remote, claim.ssrc);
    })
}

/// Takes a claim back.
pub(super) fn take(tables: &mut [Demux; 2], claim: &SharedClaim) {
    tables[0].release(claim.remote, claim.ssrc);
    if let Some(remote_rtcp) = claim.remote_rtcp {
        tables[1].release(remote_rtcp, claim.ssrc);
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
        one_way_ms: session.one_way.map(ms),
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
        remote_voice: session.remote_voip.map(|voip| RemoteVoice {
            loss: voip.loss,
            discard: voip.discard,
            end_system_ms: voip.end_system_ms,
            jitter_buffer_ms: voip.jitter_buffer_ms,
            r_factor: voip.r_factor,
            mos_listening: voip.mos_listening,
            mos_conversation: voip.mos_conversation,
        }),
        text: work.text,
        video: work.video,
    }
}
