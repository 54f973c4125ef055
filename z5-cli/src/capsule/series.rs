//! What was measured of a stream while it ran, as samples in time. The counters of the session are kept as they came and turned into
//! rates at the end, so that leaving samples out (for a long call) loses detail and no packet.

use serde::{Deserialize, Serialize};
use z5_core::StreamStats;
use z5_core::events::MediaKind;

/// Samples of one stream at most: with more, every second one is left out and from then on half as many are taken.
pub(super) const MOST: usize = 600;

/// One stream in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    /// The call.
    pub(crate) call: u64,
    /// audio, text or video.
    pub(crate) kind: String,
    /// When the first interval begins, in milliseconds since the session started.
    pub(crate) from_ms: f64,
    /// In the order of time.
    pub(crate) samples: Vec<Sample>,
}

/// One interval, which ends at `at_ms` and begins where the one before ended. What was not measured is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Milliseconds since the session started.
    pub(crate) at_ms: f64,
    /// Share of the packets of the interval that were lost, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) loss_percent: Option<f64>,
    /// Interarrival jitter (RFC 3550).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jitter_ms: Option<f64>,
    /// Round trip by RTCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) round_trip_ms: Option<f64>,
    /// Sound: the playout delay. Video: from drawing to seeing, by the stamps of the test pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<f64>,
    /// Payload received, in kbit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) received_kbps: Option<f64>,
    /// Payload sent, in kbit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sent_kbps: Option<f64>,
    /// Pictures that could be shown, per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) frame_rate: Option<f64>,
    /// Milliseconds of freezes that ended in the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) frozen_ms: Option<f64>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    pub(super) at_ms: f64,
    pub(super) received: u64,
    pub(super) lost: Option<u64>,
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    pub(super) pictures: Option<u64>,
    pub(super) frozen_ms: Option<f64>,
    pub(super) jitter_ms: Option<f64>,
    pub(super) round_trip_ms: Option<f64>,
    pub(super) delay_ms: Option<f64>,
}

/// A stream that is being measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) call: u64,
    pub(super) kind: MediaKind,
    from_ms: f64,
    kept: Vec<Counters>,
    /// Of the samples that come, every so many-th is kept.
    stride: usize,
    skipped: usize,
}

impl Measured {
    /// Begins when the call was established.
    pub(super) fn new(call: u64, kind: MediaKind, from_ms: f64) -> Self {
        Self { call, kind, from_ms, kept: Vec::new(), stride: 1, skipped: 0 }
    }

    /// What is known at `at_ms`. `last`: nothing follows, so it is kept whatever the stride.
    pub(super) fn add(&mut self, at_ms: f64, stats: &StreamStats, last: bool) {
        let video = stats.video.as_ref();
        let seen = video.and_then(|video| video.seen);
        let counters = Counters {
            at_ms,
            received: stats.packets_received,
            lost: stats.lost,
            bytes_received: stats.bytes_received,
            bytes_sent: stats.bytes_sent,
            pictures: video.map(|video| video.pictures_received),
            frozen_ms: video.and_then(|video| video.frozen_ms),
            jitter_ms: stats.jitter_ms,
            round_trip_ms: stats.round_trip_ms,
            delay_ms: match self.kind {
                MediaKind::Audio => stats.playout.map(|playout| playout.target_delay_ms),
                MediaKind::Video => seen.and_then(|seen| seen.delay_p50_ms),
                MediaKind::Text => None,
            },
        };
        self.push(counters, last);
    }

    pub(super) fn push(&mut self, counters: Counters, last: bool) {
        self.skipped += 1;
        let too_early = self.kept.last().is_some_and(|before| counters.at_ms <= before.at_ms);
        if too_early || (self.skipped < self.stride && !last) {
            return;
        }
        self.skipped = 0;
        // The last interval may be too short for rates that say anything: then it goes to the one before.
        let before = self.kept.iter().rev().nth(1).map_or(self.from_ms, |before| before.at_ms);
        if let Some(latest) = self.kept.last()
            && last
            && 2.0 * (counters.at_ms - latest.at_ms) < latest.at_ms - before
        {
            self.kept.pop();
        }
        self.kept.push(counters);
        if self.kept.len() > MOST {
            // The second, the fourth and so on stay: they stand at the ends of intervals twice as long.
            let mut number = 0;
            self.kept.retain(|_| {
                number += 1;
                number % 2 == 0
            });
            self.stride *= 2;
        }
    }

    /// Rates in place of counters.
    pub(super) fn series(&self) -> Series {
        let begin = Counters { at_ms: self.from_ms, ..Counters::default() };
        let before = std::iter::once(&begin).chain(&self.kept);
        let samples = before.zip(&self.kept).map(|(before, now)| sample(before, now)).collect();
        Series { call: self.call, kind: self.kind.name().to_owned(), from_ms: self.from_ms, samples }
    }
}

fn sample(before: &Counters, now: &Counters) -> Sample {
    let seconds = (now.at_ms - before.at_ms) / 1000.0;
    let per_second = |count: u64| (seconds > 0.0).then(|| round(count as f64 / seconds));
    let kbps = |bytes: u64| (seconds > 0.0).then(|| round(bytes as f64 * 8.0 / 1000.0 / seconds));
    // The loss of an interval may be mended by a packet that comes late: then it is none, not a negative one.
    let lost = now.lost.map(|lost| lost.saturating_sub(before.lost.unwrap_or(0)));
    let came = now.received.saturating_sub(before.received);
    let loss = lost.filter(|lost| lost + came > 0).map(|lost| lost as f64 * 100.0 / (lost + came) as f64);
    Sample {
        at_ms: now.at_ms,
        loss_percent: loss.map(round),
        jitter_ms: now.jitter_ms.map(round),
        round_trip_ms: now.round_trip_ms.map(round),
        delay_ms: now.delay_ms.map(round),
        received_kbps: kbps(now.bytes_received.saturating_sub(before.bytes_received)),
        sent_kbps: kbps(now.bytes_sent.saturating_sub(before.bytes_sent)),
        frame_rate: now.pictures.and_then(|all| per_second(all.saturating_sub(before.pictures.unwrap_or(0)))),
        frozen_ms: now.frozen_ms.map(|all| round((all - before.frozen_ms.unwrap_or(0.0)).max(0.0))),
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
