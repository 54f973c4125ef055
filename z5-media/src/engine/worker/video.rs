//! One video stream: pictures of the source become paced packets, received packets become pictures for the sink.

use std::time::{Duration, Instant};

use super::WorkerFigures;
use super::opening::Opening;
use crate::codec::h264::{Mode, nal_units};
use crate::engine::config::{EventSender, StreamEvent, StreamId, VideoConfig};
use crate::engine::ring::{self, FrameHead, FrameReader, FrameWriter, word};
use crate::sink::SinkError;
use crate::stats::{DropCounts, VideoFigures};
use crate::video::{
    Adaptation, CLOCK_RATE, LARGEST_WHOLE_UNIT, Level, Terms, VideoFrame, VideoPoll, VideoReceiver,
    VideoSender, VideoSink, VideoSource, blank,
};

/// Largest payload taken from the ring or written.
const MAX_PAYLOAD: usize = 2048;
/// Bytes of a payload we send.
const SEND_PAYLOAD: usize = LARGEST_WHOLE_UNIT;
/// How long a missing packet is waited for, where it is asked for again and where it is not.
const PATIENCE_WITH_NACK: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_millis(40);
/// How long RTCP may go unheard before INFO is proposed, and least time between two proposals.
const INFO_AFTER: Duration = Duration::from_secs(2);
/// How long a key frame that is wanted without a loss is asked for.
const WISH_LASTS: Duration = Duration::from_secs(10);
/// How often a blank picture is repeated: who joins late sees it, and its packets keep the path open.
const BLANK_EVERY: Duration = Duration::from_secs(5);
/// Size of a blank picture where none was sent before, and the largest that fits a packet whole (packetization mode 0).
const BLANK_SIZE: (u32, u32) = (352, 288);
/// Least time between the last picture of one source and the first of the next.
const LEAST_APART: Duration = Duration::from_millis(1);
/// A new source that was asked for a key frame is asked again after this.
const KEY_FRAME_AGAIN: Duration = Duration::from_millis(500);
/// Type of a NAL unit that is a slice of a key frame.
const IDR: u8 = 5;
/// An idle source is asked again after this.
const IDLE: Duration = Duration::from_millis(500);
/// Filler data: a NAL unit that decoders pass over (ITU-T H.264 section 7.3.2.7), sent when there is nothing else.
const FILLER: [u8; 3] = [0x0c, 0xff, 0x80];

/// One video stream on the worker thread.
pub(in crate::engine) struct VideoStream {
    pub(super) id: StreamId,
    payload_type: u8,
    source: Option<Box<dyn VideoSource>>,
    sink: Option<Box<dyn VideoSink>>,
    incoming: FrameReader,
    outgoing: FrameWriter,
    epoch: Instant,
    start: Instant,
    sender: VideoSender,
    receiver: VideoReceiver,
    adaptation: Adaptation,
    adapted: bool,
    level: Option<Level>,
    first_timestamp: u32,
    /// The source's time began then, after the stream's start.
    source_began: Duration,
    /// When the last picture of a source was, after the stream's start.
    last_picture: Option<Duration>,
    /// The source is new: nothing of it is sent before a key frame.
    awaits_key_frame: bool,
    send: bool,
    /// While private, when the next blank picture is due, and how many there were.
    blank: Option<(Instant, u32)>,
    whole_units: bool,
    /// A key frame of ours is wanted then.
    wish_at: Option<Instant>,
    /// When the source is asked again.
    next_picture: Instant,
    /// What leaves when there is no picture.
    opening: Opening,
    /// RTCP can ask for key frames.
    asks_by_rtcp: bool,
    /// The sink wants one since then.
    asked_for: Option<Instant>,
    asked: bool,
    info_at: Option<Instant>,
    told_first: bool,
    drops: DropCounts,
    unit: Vec<u8>,
    payload: Box<[u8; MAX_PAYLOAD]>,
}

impl VideoStream {
    /// A stream whose first picture is due at its start.
    #[expect(clippy::too_many_arguments, reason = "one value per field")]
    pub(in crate::engine) fn new(
        id: StreamId,
        config: VideoConfig,
        incoming: FrameReader,
        outgoing: FrameWriter,
        epoch: Instant,
        start: Instant,
        first_timestamp: u32,
        send: bool,
    ) -> Self {
        let patience = if config.feedback.nack { PATIENCE_WITH_NACK } else { PATIENCE };
        let whole_units = config.mode == Mode::SingleNal;
        let most = config.level.map_or(u64::MAX, |level| level.bits_per_second);
        let adaptation = Adaptation::new(config.max_bits_per_second.min(most));
        let mut stream = Self {
            id,
            payload_type: config.send_payload_type,
            source: None,
            sink: Some(config.sink),
            incoming,
            outgoing,
            epoch,
            start,
            sender: VideoSender::new(config.mode, SEND_PAYLOAD, start),
            receiver: VideoReceiver::new(patience, start),
            adaptation,
            adapted: false,
            level: config.level,
            first_timestamp,
            source_began: Duration::ZERO,
            last_picture: None,
            awaits_key_frame: false,
            send,
            blank: None,
            whole_units,
            wish_at: None,
            next_picture: start,
            opening: Opening::new(),
            asks_by_rtcp: config.feedback.key_frames(),
            asked_for: None,
            asked: false,
            info_at: None,
            told_first: false,
            drops: DropCounts::default(),
            unit: Vec::new(),
            payload: Box::new([0; MAX_PAYLOAD]),
        };
        stream.begin(config.source);
        stream
    }

    /// Tells a source what was agreed and takes it into use.
    fn begin(&mut self, mut source: Box<dyn VideoSource>) {
        source.begin(&Terms {
            level: self.level,
            largest_unit: self.whole_units.then_some(SEND_PAYLOAD),
            bits_per_second: self.adaptation.target(),
        });
        source.set_target(self.adaptation.target());
        self.source = Some(source);
    }

    /// Another source in place of the one before. Its time begins now, or just behind the last picture, whose time may be ahead.
    pub(super) fn set_source(&mut self, source: Box<dyn VideoSource>, now: Instant) {
        let since = now.saturating_duration_since(self.start);
        let behind = self.last_picture.map_or(Duration::ZERO, |last| last + LEAST_APART);
        self.source_began = since.max(behind);
        self.begin(source);
        // The parameter sets of the one before fit none of its pictures.
        self.sender.forget_sets();
        self.awaits_key_frame = true;
        if let Some(source) = &mut self.source {
            source.want_key_frame();
        }
        self.next_picture = now;
    }

    pub(super) fn next_deadline(&self) -> Instant {
        let keep_alive = self.opening.due_at().unwrap_or(self.start);
        let picture = self.source.is_some().then_some(self.next_picture);
        let blank = self.blank.filter(|_| self.send).map(|(due, _)| due);
        let info = self.info_at.filter(|_| self.asked);
        [picture, blank, self.wish_at, self.sender.next_deadline(), self.receiver.next_deadline(), info]
            .into_iter()
            .flatten()
            .fold(keep_alive, Instant::min)
    }

    pub(super) fn set_send(&mut self, send: bool) {
        if send && !self.send {
            // What the far end saw last is of no use to it any more.
            self.give_key_frame();
        }
        if !send {
            self.sender.clear();
        }
        self.send = send;
    }

    /// The far end is elsewhere now: the path there is to be opened, and who came in between has seen no picture.
    pub(super) fn reopen(&mut self) {
        self.opening.again();
        self.give_key_frame();
    }

    /// A key frame is wanted: of ours, a little later if one was asked for just now, or of the far end.
    pub(super) fn key_frame(&mut self, ours: bool, now: Instant) {
        if !ours {
            // Until one came, as for a loss.
            self.asked_for.get_or_insert(now);
        } else if self.sender.admits_wish(now) {
            self.give_key_frame();
        } else {
            // Who asks by INFO does not repeat it soon.
            self.wish_at = self.sender.next_wish();
        }
    }

    fn give_key_frame(&mut self) {
        if let Some((due, _)) = &mut self.blank {
            *due = self.start;
        } else if let Some(source) = &mut self.source {
            source.want_key_frame();
        }
    }

    /// A blank picture goes out in place of the source's, or the source's again.
    pub(super) fn set_privacy(&mut self, private: bool) {
        if private == self.blank.is_some() {
            return;
        }
        self.sender.clear();
        self.blank = private.then_some((self.start, 0));
        if let (false, Some(source)) = (private, &mut self.source) {
            source.want_key_frame();
        }
    }

    /// Asks the far end by TMMBR to send less.
    pub(super) fn limit_far_end(&mut self, bits_per_second: u64) {
        self.outgoing.say(word::LIMIT, bits_per_second);
    }

    /// Takes what came and sends what is due. Returns whether there is something for the packet thread.
    pub(super) fn handle(&mut self, now: Instant, events: &EventSender) -> bool {
        self.take_incoming(now, events);
        if self.wish_at.take_if(|at| *at <= now).is_some() {
            self.key_frame(true, now);
        }
        let asked = self.ask_for_key_frame(now, events);
        self.take_pictures(now, events);
        self.send_blank(now);
        self.send_due(now) || asked
    }

    fn take_incoming(&mut self, now: Instant, events: &EventSender) {
        let Self { receiver, sink, id, told_first, start, asked_for, next_picture, .. } = self;
        let mut failed: Option<SinkError> = None;
        let mut show = |frame: VideoFrame<'_>| {
            if frame.key_frame {
                *asked_for = None;
            }
            // An echo has something to send now.
            *next_picture = (*next_picture).min(now);
            if !std::mem::replace(told_first, true) {
                let after = frame.at.saturating_duration_since(*start);
                events(StreamEvent::FirstPicture { stream: *id, after });
            }
            if failed.is_none()
                && let Some(sink) = sink
            {
                failed = sink.write(&frame).err();
            }
        };
        while let Some((head, len)) = self.incoming.pop(&mut self.payload[..]) {
            let payload = &self.payload[..len];
            match head.payload_type {
                0..=127 => {}
                word::BYE => {
                    receiver.pause();
                    continue;
                }
                word::KEY_FRAME => {
                    if !self.sender.admits_wish(now) {
                        continue;
                    }
                    if let Some((due, _)) = &mut self.blank {
                        *due = now;
                    } else if let Some(source) = &mut self.source {
                        source.want_key_frame();
                    }
                    events(StreamEvent::KeyFrameRequested { stream: *id });
                    continue;
                }
                word => {
                    let value = ring::value(payload);
                    let changed = if word == word::LIMIT {
                        self.adaptation.on_limit(value)
                    } else {
                        self.adaptation.on_loss(value as f64 / f64::from(u32::MAX), now)
                    };
                    self.adapted = true;
                    if let Some(bits_per_second) = changed {
                        if let Some(source) = &mut self.source {
                            source.set_target(bits_per_second);
                        }
                        events(StreamEvent::TargetBitrate { stream: *id, bits_per_second });
                    }
                    continue;
                }
            }
            let at = self.epoch + Duration::from_nanos(head.at_nanos);
            if head.restarted {
                receiver.restart(at);
            }
            let taken =
                receiver.take(head.sequence, head.timestamp, head.marker, payload, at.min(now), &mut show);
            if let Err(reason) = taken {
                self.drops.count(reason);
            }
        }
        receiver.expire(now, &mut show);
        self.check_sink(failed.map_or(Ok(()), Err), events);
    }

    fn check_sink(&mut self, result: Result<(), SinkError>, events: &EventSender) {
        if let Err(error) = result {
            self.sink = None;
            events(StreamEvent::SinkFailed { stream: self.id, why: error.to_string() });
        }
    }

    /// Asks once by RTCP, which repeats by itself, and proposes INFO where that does not help.
    fn ask_for_key_frame(&mut self, now: Instant, events: &EventSender) -> bool {
        if self.sink.as_mut().is_some_and(|sink| sink.wants_key_frame()) {
            self.asked_for.get_or_insert(now);
        }
        // Who sends no pictures at all has none to give.
        self.asked_for.take_if(|since| now.saturating_duration_since(*since) >= WISH_LASTS);
        let wanted = self.receiver.wants_key_frame().or(self.asked_for);
        if wanted.is_some() != self.asked {
            self.asked = wanted.is_some();
            self.info_at = wanted.map(|since| if self.asks_by_rtcp { since + INFO_AFTER } else { since });
            self.outgoing.say(if self.asked { word::KEY_FRAME } else { word::KEY_FRAME_CAME }, 0);
            if !self.asked {
                return true;
            }
        }
        if self.asked && self.info_at.is_some_and(|at| at <= now) {
            self.info_at = Some(now + INFO_AFTER);
            events(StreamEvent::KeyFrameWanted { stream: self.id });
        }
        self.asked
    }

    /// Takes what the source has. What may not be sent is dropped, so that a source that lives on does not fall behind.
    fn take_pictures(&mut self, now: Instant, events: &EventSender) {
        while self.next_picture <= now {
            let Some(source) = &mut self.source else { return };
            self.unit.clear();
            let began = self.start + self.source_began;
            match source.next(now.saturating_duration_since(began), &mut self.unit) {
                VideoPoll::Picture { .. } if !self.send || self.blank.is_some() => {}
                VideoPoll::Picture { .. } if self.awaits_key_frame && !is_key_frame(&self.unit) => {
                    // It was asked for one; should that be lost on it, it is asked again.
                    self.wish_at.get_or_insert(now + KEY_FRAME_AGAIN);
                }
                VideoPoll::Picture { at } => {
                    if std::mem::take(&mut self.awaits_key_frame) {
                        self.wish_at = None;
                    }
                    let at = self.source_began + at;
                    self.last_picture = Some(at);
                    let timestamp = self.first_timestamp.wrapping_add(units(at));
                    if let Err(error) = self.sender.push(&self.unit, timestamp, now) {
                        tracing::debug!(%error, stream = %self.id, "a picture was left out");
                    }
                }
                VideoPoll::Wait { until } => self.next_picture = (began + until).min(now + IDLE),
                VideoPoll::Ended => {
                    self.source = None;
                    events(StreamEvent::SourceEnded { stream: self.id });
                }
            }
        }
    }

    /// While private, the blank picture when it is due.
    fn send_blank(&mut self, now: Instant) {
        let Some((due, number)) = self.blank else { return };
        if due > now || !self.send {
            return;
        }
        let (width, height) = self.sender.size().filter(|_| !self.whole_units).unwrap_or(BLANK_SIZE);
        let timestamp = self.first_timestamp.wrapping_add(units(now.saturating_duration_since(self.start)));
        if let Err(error) = self.sender.push_apart(&blank(width, height, number), timestamp, now) {
            tracing::debug!(%error, stream = %self.id, "a blank picture was left out");
        }
        self.blank = Some((now + BLANK_EVERY, number.wrapping_add(1)));
    }

    /// Hands over the packets that are due; a filler where there was nothing for long, so that the relay latches at once
    /// and the path stays open.
    fn send_due(&mut self, now: Instant) -> bool {
        let mut sent = false;
        while let Some(packet) = self.sender.poll(now, &mut self.payload[..]) {
            let head = FrameHead {
                payload_type: self.payload_type,
                marker: packet.marker,
                timestamp: packet.timestamp,
                ..FrameHead::default()
            };
            self.opening.sent(now);
            sent |= self.outgoing.push(&head, &self.payload[..packet.len]);
        }
        if self.opening.is_due(now) {
            let timestamp =
                self.first_timestamp.wrapping_add(units(now.saturating_duration_since(self.start)));
            let head = FrameHead { payload_type: self.payload_type, timestamp, ..FrameHead::default() };
            self.opening.sent(now);
            sent |= self.outgoing.push(&head, &FILLER);
        }
        sent
    }

    /// Pictures are taken, or come to nothing until they are again (hold).
    pub(super) fn set_receive(&mut self, receive: bool) {
        if !receive {
            self.receiver.pause();
        }
    }

    pub(super) fn figures(&self, now: Instant) -> WorkerFigures {
        let (pictures_sent, key_frames_sent, pictures_left_out) = self.sender.counts();
        let video = VideoFigures {
            pictures_sent,
            key_frames_sent,
            pictures_left_out,
            target_bits_per_second: self.adapted.then(|| self.adaptation.target()),
            seen: self.sink.as_ref().and_then(|sink| sink.seen()),
            ..self.receiver.figures(now)
        };
        WorkerFigures {
            video: Some(video),
            drops: self.drops,
            rendered: self.receiver.shown(),
            ..WorkerFigures::default()
        }
    }

    /// Completes the sink.
    pub(super) fn finish(&mut self, now: Instant, events: &EventSender) -> WorkerFigures {
        self.take_incoming(now, events);
        let finished = self.sink.as_mut().map_or(Ok(()), |sink| sink.finish());
        self.check_sink(finished, events);
        self.figures(now)
    }
}

/// Decoding may start with this access unit.
fn is_key_frame(unit: &[u8]) -> bool {
    nal_units(unit).any(|nal| nal[0] & 0x1f == IDR)
}

/// RTP timestamp units of a time, rounded to the nearest; they wrap.
fn units(time: Duration) -> u32 {
    ((time.as_nanos() * u128::from(CLOCK_RATE) + 500_000_000) / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests;
