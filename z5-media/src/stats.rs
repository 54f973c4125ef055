//! What was measured of a stream. A figure that was not measured is `None`, never a flattering default.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

/// Why a received packet did not become media. Every dropped packet is counted under exactly one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DropReason {
    /// Shorter than the fixed header, or than header plus authentication tag.
    TooShort,
    /// Longer than a receive slot; the system cut it off.
    TooLong,
    /// Not RTP or RTCP version 2.
    BadVersion,
    /// CSRC list, header extension or padding run past the end (RFC 3550 section 5.1).
    BadHeader,
    /// RTCP that violates RFC 3550 appendix A.2.
    BadRtcp,
    /// A payload type that was not negotiated.
    UnknownPayloadType,
    /// Not from the source address learned for this stream.
    ForeignSource,
    /// Another SSRC that has not yet shown two packets in a row (RFC 3550 appendix A.1).
    ForeignSsrc,
    /// More synchronisation sources than one stream may have.
    SsrcLimit,
    /// The SRTP or SRTCP authentication tag does not fit.
    AuthenticationFailed,
    /// Authentic, but seen before.
    Replayed,
    /// Authentic or not, it lies before the replay window.
    TooOld,
    /// SRTCP with the E bit clear: we accept only encrypted RTCP where encryption was agreed.
    NotEncrypted,
    /// The sequence number jumped far and the next packet has not confirmed it yet (RFC 3550 appendix A.1).
    SequenceJump,
    /// The same sequence number was received already.
    Duplicate,
    /// It came after its place had been played.
    Late,
    /// The stream is not receiving (held).
    NotReceiving,
    /// The worker had not taken earlier frames yet.
    Overflow,
    /// The payload could not be read as what its type promises.
    MalformedPayload,
    /// On a shared socket: no stream expects that address and SSRC.
    UnknownStream,
}

impl DropReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 20] = [
        Self::TooShort,
        Self::TooLong,
        Self::BadVersion,
        Self::BadHeader,
        Self::BadRtcp,
        Self::UnknownPayloadType,
        Self::ForeignSource,
        Self::ForeignSsrc,
        Self::SsrcLimit,
        Self::AuthenticationFailed,
        Self::Replayed,
        Self::TooOld,
        Self::NotEncrypted,
        Self::SequenceJump,
        Self::Duplicate,
        Self::Late,
        Self::NotReceiving,
        Self::Overflow,
        Self::MalformedPayload,
        Self::UnknownStream,
    ];
}

/// Counters per reason, without allocation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DropCounts([u64; DropReason::ALL.len()]);

impl DropCounts {
    /// Counts one packet.
    pub fn count(&mut self, reason: DropReason) {
        self.add(reason, 1);
    }

    /// Counts `n` packets.
    pub fn add(&mut self, reason: DropReason, n: u64) {
        self.0[reason as usize] += n;
    }

    /// Packets dropped for that reason.
    #[must_use]
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// The reasons that occurred.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<DropReason, u64> {
        DropReason::ALL.into_iter().map(|r| (r, self.of(r))).filter(|(_, n)| *n > 0).collect()
    }
}

/// The kind of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MediaKind {
    /// Voice or any sound.
    Audio,
    /// Real-time text.
    Text,
    /// Pictures.
    Video,
}

/// Figures of one stream. Obtained by `Engine::stats` while it runs and by `Engine::stop_stream` at its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StreamStats {
    /// Audio, text or video.
    pub kind: MediaKind,
    /// Codec name as in SDP ("PCMU", "PCMA", "G722", "opus", "t140", "H264").
    pub codec: &'static str,
    /// The SRTP suite's SDES name; `None`: in the clear.
    pub security: Option<&'static str>,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Payload bytes sent, as RTCP counts them.
    pub bytes_sent: u64,
    /// RTP packets the system refused to send.
    pub send_errors: u64,
    /// RTP packets accepted.
    pub packets_received: u64,
    /// Payload bytes accepted.
    pub bytes_received: u64,
    /// Packets expected by sequence number but not received; `None` before the first packet.
    pub lost: Option<u64>,
    /// Packets that arrived behind a later one.
    pub reordered: u64,
    /// Packets that arrived twice.
    pub duplicates: u64,
    /// Interarrival jitter by RFC 3550 section 6.4.1, in milliseconds; `None` before the second packet.
    pub jitter_ms: Option<f64>,
    /// Round trip by RTCP (RFC 3550 section 6.4.1); `None` until a report answered one of ours.
    pub round_trip_ms: Option<f64>,
    /// From the far end's stamp of the last packet to its arrival, in milliseconds, by its sender reports; `None` without one, without a
    /// measured round trip, and where that shows that the two clocks are not in step.
    pub one_way_ms: Option<f64>,
    /// What the far end last reported of our packets; `None` until it did.
    pub remote_report: Option<RemoteReport>,
    /// Dropped packets by reason; only reasons that occurred.
    pub dropped: BTreeMap<DropReason, u64>,
    /// From the start of the stream to the first accepted packet, in milliseconds.
    pub first_packet_ms: Option<f64>,
    /// The address media really comes from; `None` before the first accepted packet.
    pub source: Option<SocketAddr>,
    /// The SSRC media really carries.
    pub remote_ssrc: Option<u32>,
    /// The far end said BYE by RTCP.
    pub bye_received: bool,
    /// Feedback by RTCP; `None` when none was sent or received.
    pub feedback: Option<FeedbackFigures>,
    /// Playout of received audio; `None` for text and before the first frame was played.
    pub playout: Option<Playout>,
    /// What was heard; `None` for text and before the first frame was played.
    pub heard: Option<Heard>,
    /// Estimated quality of a narrowband voice path; `None` for other codecs and before a second was played.
    pub voice: Option<VoiceQuality>,
    /// What the far end heard of us, by its extended reports; `None` until it told.
    pub remote_voice: Option<RemoteVoice>,
    /// Real-time text; `None` for audio and video.
    pub text: Option<TextFigures>,
    /// Pictures; `None` for audio and text.
    pub video: Option<VideoFigures>,
}

/// Feedback by RTCP (RFC 4585, RFC 5104), both ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FeedbackFigures {
    /// Generic NACK messages sent.
    pub nacks_sent: u64,
    /// Missing packets asked for, each counted once.
    pub packets_asked_for: u64,
    /// Of those, packets that came then.
    pub packets_recovered: u64,
    /// Generic NACK messages received for our packets.
    pub nacks_received: u64,
    /// Packets sent again.
    pub packets_resent: u64,
    /// Picture loss indications sent.
    pub plis_sent: u64,
    /// Picture loss indications received.
    pub plis_received: u64,
    /// Full intra requests sent, repetitions too.
    pub firs_sent: u64,
    /// Full intra requests received, repetitions not.
    pub firs_received: u64,
    /// Limits of our rate asked for by the far end (TMMBR).
    pub limits_received: u64,
    /// Times our SSRC was found in use by another source and changed (RFC 3550 section 8.2).
    pub ssrc_collisions: u64,
}

/// The far end's last RTCP report block on our packets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RemoteReport {
    /// Fraction lost since its report before, 0.0 to 1.0.
    pub fraction_lost: f64,
    /// Packets lost since the start; negative when duplicates outnumber losses.
    pub lost: i64,
    /// Jitter it sees, in milliseconds.
    pub jitter_ms: f64,
}

/// How received audio was played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Playout {
    /// Milliseconds played, concealed ones included, waiting before the first packet not.
    pub played_ms: f64,
    /// Milliseconds made up because a packet was missing.
    pub concealed_ms: f64,
    /// Milliseconds of missing packets rebuilt from redundancy in later ones (Opus in-band FEC).
    pub recovered_ms: f64,
    /// Playout delay the jitter buffer aims at now, in milliseconds.
    pub target_delay_ms: f64,
    /// Milliseconds left out to bring the delay down.
    pub skipped_ms: f64,
    /// Milliseconds of noise in place of silence the far end described (RFC 3389).
    pub comfort_noise_ms: f64,
}

/// An estimate by the E-model (ITU-T G.107), from measured losses and delay only.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VoiceQuality {
    /// Transmission rating, 0 to 93.2; `None` without a measured round trip.
    pub r_factor: Option<f64>,
    /// Mean opinion score of listening, 1.0 to 4.41: losses only.
    pub mos_listening: f64,
    /// Mean opinion score of conversation: losses and delay; `None` without a measured round trip.
    pub mos_conversation: Option<f64>,
}

/// VoIP metrics of the far end (RFC 3611 section 4.7). What it did not have is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RemoteVoice {
    /// Share of our packets that were lost, 0.0 to 1.0.
    pub loss: f64,
    /// Share of our packets that came and could not be played.
    pub discard: f64,
    /// Delay within the far end, in milliseconds.
    pub end_system_ms: u16,
    /// Its jitter buffer, in milliseconds.
    pub jitter_buffer_ms: u16,
    /// Transmission rating, 0 to 100.
    pub r_factor: Option<u8>,
    /// Estimated listening quality, 1.0 to 5.0.
    pub mos_listening: Option<f64>,
    /// Estimated conversational quality.
    pub mos_conversation: Option<f64>,
}

/// What a listener would have heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Heard {
    /// At least 100 ms above the level of silence.
    pub audible: bool,
    /// Milliseconds above the level of silence (-55 dBov).
    pub active_ms: f64,
    /// RMS level of the active part against a full-scale square wave (dBov, RFC 6464); `None` if nothing was active.
    pub level_dbov: Option<f64>,
    /// The same as dBm0, where a full-scale sine is +3.17 dBm0 (ITU-T G.711, mu-law).
    pub level_dbm0: Option<f64>,
    /// Strongest frequency in Hz of the active part; `None` before 128 ms of it.
    pub dominant_hz: Option<f64>,
    /// Share of the signal's energy at that frequency, 0.0 to 1.0: near 1 for a clean tone, small for speech or noise.
    pub tone_share: Option<f64>,
}

/// Real-time text figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TextFigures {
    /// Characters handed over for sending and put into a packet.
    pub characters_sent: u64,
    /// Characters received, markers for lost text not counted.
    pub characters_received: u64,
    /// Of those, characters that only redundancy brought.
    pub characters_recovered: u64,
    /// Markers (U+FFFD) shown for text that was lost for good.
    pub losses_marked: u64,
    /// From handing a character over to its first packet, half of them at most so many milliseconds; `None` before the
    /// first.
    pub latency_p50_ms: Option<f64>,
    /// The same for 95 of 100 characters.
    pub latency_p95_ms: Option<f64>,
}

/// Video figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct VideoFigures {
    /// Pictures sent.
    pub pictures_sent: u64,
    /// Of those, key frames.
    pub key_frames_sent: u64,
    /// Pictures of the source that did not fit the packetization mode or the queue.
    pub pictures_left_out: u64,
    /// Bits per second the far end's reports allow; `None` before the first.
    pub target_bits_per_second: Option<u64>,
    /// Pictures received that could be shown.
    pub pictures_received: u64,
    /// Of those, key frames.
    pub key_frames_received: u64,
    /// Pictures that could not be shown because something of them, or of one they build upon, was missing.
    pub pictures_dropped: u64,
    /// Width of the last key frame in pixels; `None` before a sequence parameter set was read.
    pub width: Option<u32>,
    /// Its height.
    pub height: Option<u32>,
    /// From the start of the stream to the first picture that could be shown, in milliseconds.
    pub first_frame_ms: Option<f64>,
    /// Pictures shown per second, between the first and the last; `None` before the second.
    pub frame_rate: Option<f64>,
    /// Freezes by the W3C's definition (webrtc-stats `freezeCount`); `None` before thirty-one pictures.
    pub freezes: Option<u64>,
    /// Their whole length in milliseconds.
    pub frozen_ms: Option<f64>,
    /// Losses that a key frame ended.
    pub recoveries: u64,
    /// The longest time from a loss to that key frame, in milliseconds; `None` without a loss.
    pub longest_recovery_ms: Option<f64>,
    /// Bits of pictures per second that came, between the first and the last; `None` before the second.
    pub received_bits_per_second: Option<f64>,
    /// What was in the pictures; `None` where they were not decoded.
    pub seen: Option<SeenFigures>,
}

/// What a decoder saw in received pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct SeenFigures {
    /// Pictures decoded.
    pub decoded: u64,
    /// Pictures the decoder could not read.
    pub undecodable: u64,
    /// Pictures that differ from the one before: something moves.
    pub changed: u64,
    /// Pictures with a readable stamp of the test pattern.
    pub stamped: u64,
    /// Numbers of stamps that were left out between two that were seen.
    pub stamps_skipped: u64,
    /// From drawing a picture to seeing it decoded, half of them at most so many milliseconds, by the stamps; `None` without
    /// one drawn by a clock in step with ours in the last minute.
    pub delay_p50_ms: Option<f64>,
    /// The same for 95 of 100 pictures.
    pub delay_p95_ms: Option<f64>,
}
