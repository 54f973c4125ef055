//! One audio stream: what comes is buffered, decoded, measured and given to the sink; what the source gives is encoded
//! and handed to the packet thread. Both happen at the same absolute ticks, which never drift.

use std::time::{Duration, Instant};

use super::WorkerFigures;
use super::opening::Opening;
use crate::codec::audio::{Encoder, MAX_ENCODED};
use crate::codec::comfort_noise::{self, Detector, Send};
use crate::codec::telephone_event::{Dialer, Payload, Presses};
use crate::engine::config::{AudioCodec, AudioFormat, EventSender, StreamEvent, StreamId, TelephoneEvent};
use crate::engine::ring::{FrameHead, FrameReader, FrameWriter, word};
use crate::playout::AudioPlayout;
use crate::quality::Listener;
use crate::sink::{AudioSink, SinkError};
use crate::source::{AudioSource, SourceState};
use crate::stats::{DropCounts, DropReason};
use crate::stream::VoiceHeard;

/// After so many missed ticks (the machine slept) the missed ones are left out.
const MAX_BEHIND: u32 = 10;
/// Silence after a key press (70 ms or more, RFC 9248 section 6.5).
const DIGIT_GAP: Duration = Duration::from_millis(80);
/// Reports are at least two seconds apart.
const VOICE_INTERVAL: Duration = Duration::from_secs(1);
/// Largest payload taken from the ring.
const MAX_PAYLOAD: usize = 2048;

/// One audio stream on the worker thread.
pub(in crate::engine) struct AudioStream {
    pub(super) id: StreamId,
    /// `None` only for a codec this build has not, which the engine refuses.
    encoder: Option<Encoder>,
    /// Of source and sink, for the whole life of the stream.
    sample_rate: u32,
    clock_rate: u32,
    payload_type: u8,
    /// Payload types we decode, in the order of the playout's codecs.
    received: Vec<u8>,
    /// Payload type of comfort noise we send, and the judge of silence.
    silence: Option<(u8, Detector)>,
    telephone_event: Option<TelephoneEvent>,
    source: Option<Box<dyn AudioSource>>,
    sink: Option<Box<dyn AudioSink>>,
    incoming: FrameReader,
    outgoing: FrameWriter,
    epoch: Instant,
    playout: AudioPlayout,
    listener: Listener,
    /// The far end is told what was heard (extended reports were agreed).
    tells_voice: bool,
    g711: bool,
    ticks_to_voice: u32,
    presses: Presses,
    dialer: Dialer,
    drops: DropCounts,
    next_tick: Instant,
    tick: Duration,
    timestamp: u32,
    send: bool,
    /// The next packet begins a talkspurt.
    marker: bool,
    /// What leaves while held or muted.
    opening: Opening,
    /// Samples of a frame.
    samples: usize,
}

/// Room that a tick needs, the same for all streams of a worker: with many, room of its own would be in no near cache.
#[derive(Debug)]
pub(super) struct Scratch {
    frame: Vec<i16>,
    encoded: Vec<u8>,
    payload: [u8; MAX_PAYLOAD],
}

impl Default for Scratch {
    fn default() -> Self {
        Self { frame: Vec::new(), encoded: Vec::new(), payload: [0; MAX_PAYLOAD] }
    }
}

/// What a new audio stream is made of.
pub(in crate::engine) struct AudioParts {
    pub(in crate::engine) id: StreamId,
    pub(in crate::engine) format: AudioFormat,
    pub(in crate::engine) source: Box<dyn AudioSource>,
    pub(in crate::engine) sink: Box<dyn AudioSink>,
    pub(in crate::engine) incoming: FrameReader,
    pub(in crate::engine) outgoing: FrameWriter,
    pub(in crate::engine) epoch: Instant,
    pub(in crate::engine) start: Instant,
    pub(in crate::engine) tick: Duration,
    pub(in crate::engine) first_timestamp: u32,
    pub(in crate::engine) send: bool,
}

impl AudioStream {
    /// A stream whose first tick is at its start.
    pub(in crate::engine) fn new(parts: AudioParts) -> Self {
        let format = parts.format;
        let sample_rate = format.codec.sample_rate();
        let samples = (parts.tick.as_millis() as usize) * sample_rate as usize / 1000;
        Self {
            id: parts.id,
            encoder: Encoder::new(format.codec, sample_rate, &format.options.opus).ok(),
            sample_rate,
            clock_rate: format.codec.clock_rate(),
            payload_type: format.send_payload_type,
            received: received(&format),
            silence: format.options.comfort_noise.map(|payload_type| (payload_type, Detector::default())),
            telephone_event: format.telephone_event,
            source: Some(parts.source),
            sink: Some(parts.sink),
            incoming: parts.incoming,
            outgoing: parts.outgoing,
            epoch: parts.epoch,
            playout: AudioPlayout::new(format.codec, &others(&format)),
            listener: Listener::new(sample_rate),
            tells_voice: format.options.feedback.extended_reports,
            g711: matches!(format.codec, AudioCodec::Pcmu | AudioCodec::Pcma),
            ticks_to_voice: 0,
            presses: Presses::default(),
            dialer: Dialer::new(ticks(DIGIT_GAP, parts.tick)),
            drops: DropCounts::default(),
            next_tick: parts.start,
            tick: parts.tick,
            timestamp: parts.first_timestamp,
            send: parts.send,
            marker: true,
            opening: Opening::new(),
            samples,
        }
    }

    /// Goes on with another codec or other payload types (a re-INVITE). Source and sink keep their sample rate.
    pub(super) fn set_format(&mut self, format: &AudioFormat) {
        self.encoder = Encoder::new(format.codec, self.sample_rate, &format.options.opus).ok();
        self.clock_rate = format.codec.clock_rate();
        self.payload_type = format.send_payload_type;
        self.received = received(format);
        self.silence = format.options.comfort_noise.map(|payload_type| (payload_type, Detector::default()));
        self.telephone_event = format.telephone_event;
        self.g711 = matches!(format.codec, AudioCodec::Pcmu | AudioCodec::Pcma);
        self.playout.set_codecs(format.codec, &others(format));
        self.marker = true;
    }

    /// Opens source and sink; on the worker, because they may touch files.
    pub(super) fn open(&mut self, events: &EventSender) {
        if let Some(source) = &mut self.source {
            source.open(self.sample_rate);
        }
        let opened = self.sink.as_mut().map_or(Ok(()), |sink| sink.open(self.sample_rate));
        self.check_sink(opened, events);
    }

    /// Another source in place of the one before, from the next frame on.
    pub(super) fn set_source(&mut self, mut source: Box<dyn AudioSource>) {
        source.open(self.sample_rate);
        self.source = Some(source);
    }

    pub(super) fn next_deadline(&self) -> Instant {
        self.next_tick
    }

    /// Lets the next tick come at the moment that `moment` says of it and of the time between ticks.
    pub(super) fn align(&mut self, moment: impl FnOnce(Instant, Duration) -> Instant) {
        self.next_tick = moment(self.next_tick, self.tick);
    }

    pub(super) fn set_send(&mut self, send: bool) {
        self.marker |= send && !self.send;
        self.send = send;
    }

    /// The far end is elsewhere now: the path there is to be opened.
    /// Sound has to come, or need not (hold).
    pub(super) fn set_receive(&mut self, receive: bool) {
        self.playout.expect(receive);
    }

    pub(super) fn reopen(&mut self) {
        self.opening.again();
    }

    pub(super) fn dial(&mut self, events: &[u8], duration: Duration) {
        for event in events {
            if !self.dialer.push(*event, ticks(duration, self.tick)) {
                tracing::warn!(stream = %self.id, "too many keys wait to be sent; the rest is left out");
                return;
            }
        }
    }

    /// One packet interval: plays and sends one frame. Returns whether a packet was made.
    pub(super) fn tick(&mut self, now: Instant, scratch: &mut Scratch, events: &EventSender) -> bool {
        if now < self.next_tick {
            return false;
        }
        let behind = now.saturating_duration_since(self.next_tick).as_nanos() / self.tick.as_nanos();
        if behind > u128::from(MAX_BEHIND) {
            let skipped = behind as u32;
            self.next_tick += self.tick * skipped;
            self.timestamp = self.timestamp.wrapping_add(skipped.wrapping_mul(self.units()));
        }
        let Scratch { frame, encoded, payload } = scratch;
        frame.resize(self.samples, 0);
        encoded.resize(self.samples.max(MAX_ENCODED), 0);
        self.take_incoming(payload, events);
        self.play(frame, events);
        self.tell_voice();
        let sent = self.send_frame(now, (frame, encoded), events);
        self.timestamp = self.timestamp.wrapping_add(self.units());
        self.next_tick += self.tick;
        sent
    }

    /// RTP timestamp units of a frame.
    fn units(&self) -> u32 {
        self.units_at(self.clock_rate)
    }

    /// Units of a frame on another clock.
    fn units_at(&self, clock_rate: u32) -> u32 {
        (self.samples as u64 * u64::from(clock_rate) / u64::from(self.sample_rate)) as u32
    }

    fn take_incoming(&mut self, payload: &mut [u8; MAX_PAYLOAD], events: &EventSender) {
        while let Some((head, len)) = self.incoming.pop(payload) {
            if head.restarted {
                self.playout.restart();
                self.presses = Presses::default();
            }
            let payload = &payload[..len];
            let events_agreed = self.telephone_event.filter(|t| t.receive_payload_type == head.payload_type);
            if let Some(agreed) = events_agreed {
                self.playout.insert_soundless(head.sequence, head.timestamp);
                let Some(event) = Payload::parse(payload) else {
                    self.drops.count(DropReason::MalformedPayload);
                    continue;
                };
                for press in self.presses.take(head.timestamp, event).into_iter().flatten() {
                    events(StreamEvent::Digit {
                        stream: self.id,
                        digit: press.digit,
                        duration: Duration::from_secs_f64(
                            f64::from(press.duration) / f64::from(agreed.clock_rate.max(1)),
                        ),
                    });
                }
            } else if let Some(codec) = self.received.iter().position(|known| *known == head.payload_type) {
                let at = self.epoch + Duration::from_nanos(head.at_nanos);
                let taken = self.playout.insert_of(codec, head.sequence, head.timestamp, payload, at);
                if let Err(reason) = taken {
                    self.drops.count(reason);
                }
            } else if let Some(level) = comfort_noise::level(payload) {
                self.playout.insert_comfort_noise(head.sequence, head.timestamp, level);
            } else {
                self.drops.count(DropReason::MalformedPayload);
            }
        }
    }

    fn play(&mut self, frame: &mut [i16], events: &EventSender) {
        if !self.playout.pull(frame, self.next_tick) {
            return;
        }
        self.listener.hear(frame);
        let written = self.sink.as_mut().map_or(Ok(()), |sink| sink.write(frame));
        self.check_sink(written, events);
    }

    /// Hands what was heard to the packet thread for its next report, a few times between two of them.
    fn tell_voice(&mut self) {
        if !self.tells_voice || self.ticks_to_voice > 0 {
            self.ticks_to_voice = self.ticks_to_voice.saturating_sub(1);
            return;
        }
        let Some(playout) = self.playout.figures().filter(|playout| playout.played_ms > 0.0) else { return };
        self.ticks_to_voice = ticks(VOICE_INTERVAL, self.tick);
        let heard = VoiceHeard {
            concealed: playout.concealed_ms / playout.played_ms,
            late: self.drops.of(DropReason::Late),
            delay: Duration::from_secs_f64(playout.target_delay_ms / 1000.0),
            g711: self.g711,
        };
        self.outgoing.say(word::VOICE, heard.pack());
    }

    fn check_sink(&mut self, result: Result<(), SinkError>, events: &EventSender) {
        if let Err(error) = result {
            self.sink = None;
            events(StreamEvent::SinkFailed { stream: self.id, why: error.to_string() });
        }
    }

    fn send_frame(
        &mut self,
        now: Instant,
        (frame, encoded): (&mut [i16], &mut [u8]),
        events: &EventSender,
    ) -> bool {
        if self.send {
            self.fill_frame(frame, events);
        } else {
            // Held: a frame of silence at the start and now and then, so that the relay learns and keeps our address.
            if !self.opening.is_due(now) {
                return false;
            }
            frame.fill(0);
        }
        if let Some(sent) = self.send_event(now) {
            return sent;
        }
        if let Some((payload_type, detector)) = self.silence.as_mut().filter(|_| self.send) {
            match detector.judge(frame, self.tick.as_millis() as u32) {
                Send::Frame { begins } => self.marker |= begins,
                Send::Noise(payload) => {
                    let (payload_type, timestamp) = (*payload_type, self.timestamp);
                    self.opening.sent(now);
                    let head = FrameHead { payload_type, timestamp, ..FrameHead::default() };
                    return self.outgoing.push(&head, &payload);
                }
                Send::Nothing => return false,
            }
        }
        let encoder = self.encoder.as_mut();
        let len = encoder.map_or(0, |encoder| encoder.encode(frame, encoded));
        if len == 0 {
            // The codec itself describes silence (DTX); what follows begins a talkspurt.
            self.marker = true;
            return false;
        }
        let head = FrameHead {
            payload_type: self.payload_type,
            marker: std::mem::take(&mut self.marker),
            timestamp: self.timestamp,
            ..FrameHead::default()
        };
        self.opening.sent(now);
        self.outgoing.push(&head, &encoded[..len])
    }

    /// Sends a key press instead of the frame, if one is on; returns whether it fitted the ring.
    fn send_event(&mut self, now: Instant) -> Option<bool> {
        let agreed = self.telephone_event.filter(|_| self.send)?;
        let payload_type = agreed.send_payload_type;
        let units = self.units_at(agreed.clock_rate);
        let event = self.dialer.tick(self.timestamp, units)?;
        let (marker, timestamp) = (event.marker, event.timestamp);
        let head = FrameHead { payload_type, marker, timestamp, ..FrameHead::default() };
        self.opening.sent(now);
        // Audio after the press is a new talkspurt.
        self.marker = true;
        Some(self.outgoing.push(&head, &event.payload.to_bytes()))
    }

    fn fill_frame(&mut self, frame: &mut [i16], events: &EventSender) {
        let Some(source) = &mut self.source else {
            frame.fill(0);
            return;
        };
        if source.fill(frame) == SourceState::Ended {
            self.source = None;
            events(StreamEvent::SourceEnded { stream: self.id });
        }
    }

    pub(super) fn figures(&self) -> WorkerFigures {
        WorkerFigures {
            playout: self.playout.figures(),
            heard: self.listener.heard(),
            drops: self.drops,
            rendered: self.playout.rendered(),
            ..WorkerFigures::default()
        }
    }

    /// Completes the sink.
    pub(super) fn finish(&mut self, events: &EventSender) -> WorkerFigures {
        let finished = self.sink.as_mut().map_or(Ok(()), |sink| sink.finish());
        self.check_sink(finished, events);
        self.sink = None;
        self.figures()
    }
}

/// Payload types we decode: the main codec's, then the others'.
fn received(format: &AudioFormat) -> Vec<u8> {
    let also = format.options.also_received.iter().map(|(payload_type, _)| *payload_type);
    std::iter::once(format.receive_payload_type).chain(also).collect()
}

/// The codecs of the others.
fn others(format: &AudioFormat) -> Vec<AudioCodec> {
    format.options.also_received.iter().map(|(_, codec)| *codec).collect()
}

/// How many ticks cover that time.
fn ticks(time: Duration, tick: Duration) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(tick.as_nanos().max(1))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
