//! What the live view knows: gathered from events and keys, drawn by `view`. Reads no clock and touches no terminal.

use std::collections::{BTreeSet, VecDeque};

use z5_core::call::{CallFigures, EstablishedMedia};
use z5_core::events::MediaKind;
use z5_core::{Event, EventKind, StreamStats};

use crate::output::somebody;

/// Characters of each side that are kept for the panes; the whole text stands in the result.
const TEXT_KEPT: usize = 8000;
/// Lines of the log that are kept for its pane.
const LOG_KEPT: usize = 50;

/// What keys do at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are text.
    #[default]
    Typing,
    /// They are keys of a telephone.
    Keypad,
    /// The list of keys is shown.
    Help,
}

/// One stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Meter {
    pub(crate) kind: MediaKind,
    pub(crate) codec: String,
    pub(crate) encrypted: bool,
    pub(crate) send: bool,
    pub(crate) receive: bool,
    /// Sound heard, in dBm0.
    pub(crate) level_dbm0: Option<f64>,
    /// Pictures a second since the figures before.
    pub(crate) frame_rate: Option<f64>,
    /// Share of packets lost since the figures before, in percent.
    pub(crate) loss_percent: Option<f64>,
    pub(crate) jitter_ms: Option<f64>,
    pub(crate) round_trip_ms: Option<f64>,
    /// Payload that comes, in kbit/s.
    pub(crate) received_kbps: Option<f64>,
    before: Option<(f64, StreamStats)>,
}

/// Everything that is shown.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The time of the session now, in milliseconds.
    pub(crate) now_ms: f64,
    pub(crate) session: &'static str,
    pub(crate) address: String,
    /// Whom we call, or who calls.
    pub(crate) far_end: String,
    pub(crate) call: Option<&'static str>,
    pub(crate) established_ms: Option<f64>,
    pub(crate) ended_ms: Option<f64>,
    pub(crate) held: (bool, bool),
    pub(crate) muted: BTreeSet<MediaKind>,
    pub(crate) meters: Vec<Meter>,
    pub(crate) ours: String,
    pub(crate) theirs: String,
    pub(crate) digits: String,
    pub(crate) log: VecDeque<String>,
    pub(crate) mode: Mode,
    /// What a key could not do, until the next key.
    pub(crate) notice: Option<&'static str>,
}

impl State {
    /// Before the call.
    pub(crate) fn new(far_end: String) -> Self {
        Self { session: "idle", far_end, ..Self::default() }
    }

    /// Takes what an event says.
    pub(crate) fn take(&mut self, event: &Event) {
        self.now_ms = event.at_ms;
        if let EventKind::State { state } = &event.kind {
            self.session = state.name();
        } else if let EventKind::Ready { address, .. } = &event.kind {
            self.address = somebody(address).to_owned();
        } else if let EventKind::Incoming { from, .. } = &event.kind {
            self.far_end = somebody(from).to_owned();
        } else if let EventKind::CallState { state, .. } = &event.kind {
            self.call = Some(state.name());
        } else if let EventKind::CallEstablished { media, .. } = &event.kind {
            self.established_ms = Some(event.at_ms);
            self.ended_ms = None;
            self.agreed(media);
        } else if let EventKind::CallChanged { media, .. } = &event.kind {
            self.agreed(media);
        } else if let EventKind::CallFigures { figures, .. } = &event.kind {
            self.measured(figures, event.at_ms);
        } else if let EventKind::Text { text, .. } = &event.kind {
            type_into(&mut self.theirs, text);
        } else if let EventKind::Digit { digit, .. } = &event.kind {
            self.digits.push(*digit);
        } else if let EventKind::CallHold { local, remote, .. } = &event.kind {
            self.held = (*local, *remote);
        } else if let EventKind::CallMuted { kind, muted, .. } = &event.kind {
            match muted {
                true => self.muted.insert(*kind),
                false => self.muted.remove(kind),
            };
        } else if let EventKind::CallEnded { .. } | EventKind::CallFailed { .. } = &event.kind {
            self.ended_ms.get_or_insert(event.at_ms);
        }
    }

    /// A line of the record of the run.
    pub(crate) fn note(&mut self, line: String) {
        if self.log.len() == LOG_KEPT {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }

    /// We type.
    pub(crate) fn typed(&mut self, text: &str) {
        type_into(&mut self.ours, text);
    }

    /// Media flow.
    pub(crate) fn is_established(&self) -> bool {
        self.established_ms.is_some() && self.ended_ms.is_none()
    }

    /// The far end takes text.
    pub(crate) fn takes_text(&self) -> bool {
        self.is_established() && self.has(MediaKind::Text)
    }

    /// Such a medium was agreed.
    pub(crate) fn has(&self, kind: MediaKind) -> bool {
        self.meters.iter().any(|meter| meter.kind == kind)
    }

    fn agreed(&mut self, media: &EstablishedMedia) {
        let mut meters = Vec::new();
        for stream in &media.streams {
            let known = self.meters.iter().find(|meter| meter.kind == stream.kind);
            let blank = Meter {
                kind: stream.kind,
                codec: String::new(),
                encrypted: false,
                send: false,
                receive: false,
                level_dbm0: None,
                frame_rate: None,
                loss_percent: None,
                jitter_ms: None,
                round_trip_ms: None,
                received_kbps: None,
                before: None,
            };
            meters.push(Meter {
                codec: stream.codec.clone(),
                encrypted: stream.crypto.is_some(),
                send: stream.send,
                receive: stream.receive,
                ..known.cloned().unwrap_or(blank)
            });
        }
        self.meters = meters;
    }

    fn measured(&mut self, figures: &CallFigures, at_ms: f64) {
        for meter in &mut self.meters {
            let stats = match meter.kind {
                MediaKind::Audio => &figures.audio,
                MediaKind::Text => &figures.text,
                MediaKind::Video => &figures.video,
            };
            if let Some(stats) = stats {
                meter.take(stats, at_ms);
            }
        }
    }
}

impl Meter {
    fn take(&mut self, stats: &StreamStats, at_ms: f64) {
        let packets_before = self.before.as_ref().map(|(_, before)| before.packets_received);
        let level = stats.heard.and_then(|heard| heard.level_dbm0);
        self.level_dbm0 = level.filter(|_| comes(packets_before, stats.packets_received));
        self.jitter_ms = stats.jitter_ms;
        self.round_trip_ms = stats.round_trip_ms;
        if let Some((before_ms, before)) = &self.before {
            let seconds = (at_ms - before_ms) / 1000.0;
            let per_second = |count: u64| (seconds > 0.0).then(|| count as f64 / seconds);
            let came = stats.packets_received.saturating_sub(before.packets_received);
            let lost = stats.lost.map(|lost| lost.saturating_sub(before.lost.unwrap_or(0)));
            self.loss_percent =
                lost.filter(|lost| lost + came > 0).map(|lost| lost as f64 * 100.0 / (lost + came) as f64);
            let bytes = stats.bytes_received.saturating_sub(before.bytes_received);
            self.received_kbps = per_second(bytes * 8).map(|bits| bits / 1000.0);
            self.frame_rate = stats.video.zip(before.video).and_then(|(now, before)| {
                per_second(now.pictures_received.saturating_sub(before.pictures_received))
            });
        }
        self.before = Some((at_ms, stats.clone()));
    }
}

/// The last sound of a stream that stands still, as on hold, is not heard any more.
pub(super) fn comes(packets_before: Option<u64>, packets: u64) -> bool {
    packets_before.is_none_or(|before| packets > before)
}

/// Text as it is read: U+0008 takes the last character back, U+2028 begins a line. The oldest is dropped.
fn type_into(shown: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\u{8}' => {
                shown.pop();
            }
            '\u{2028}' => shown.push('\n'),
            c => shown.push(c),
        }
    }
    let over = shown.chars().count().saturating_sub(TEXT_KEPT);
    if over > 0 {
        *shown = shown.chars().skip(over).collect();
    }
}
