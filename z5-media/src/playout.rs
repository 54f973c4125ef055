//! Plays received audio: reorder buffer, decoder and concealment behind one clock that counts samples.
//!
//! The delay starts at 60 ms, grows when packets come late and shrinks slowly when they do not. A clock that runs
//! faster or slower than ours shows as a buffer that fills or empties, and is met by leaving out a little or by
//! concealing a little.

use std::time::{Duration, Instant};

use crate::codec::audio::Decoder;
use crate::codec::comfort_noise::Noise;
use crate::codec::g711::Law;
use crate::conceal::Concealer;
use crate::engine::AudioCodec;
use crate::jitter::ReorderBuffer;
use crate::stats::{DropReason, Playout};

/// Delay at the start.
const START_DELAY: Duration = Duration::from_millis(60);
/// Shortest and longest delay aimed at.
const MIN_DELAY: Duration = Duration::from_millis(40);
const MAX_DELAY: Duration = Duration::from_millis(300);
/// How much one late packet raises the delay at most.
const MAX_RAISE: Duration = Duration::from_millis(60);
/// How much a [`WINDOW`] without late packets lowers it.
const DELAY_STEP: Duration = Duration::from_millis(10);
/// How often the fill of the buffer is judged.
const WINDOW: Duration = Duration::from_secs(2);
/// As many late packets in a row mean that the path became longer.
const LATE_RUN: u32 = 3;
/// A gap in media time beyond this is a new beginning, not silence.
const MAX_GAP: Duration = Duration::from_secs(2);
/// Longest packet, in samples at 48 kHz; a longer one is cut.
const MAX_PACKET: usize = 5760;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing to play; the next packet starts buffering.
    Idle,
    /// Packets are gathered until then.
    Buffering(Instant),
    /// The next sample has this media time.
    Playing(u64),
}

/// The receiving half of an audio stream.
#[derive(Debug)]
pub struct AudioPlayout {
    /// The main codec, then those the far end may switch to.
    decoders: Vec<Decoder>,
    /// The one that decoded last.
    active: usize,
    sample_rate: u32,
    /// RTP timestamp units per second of what comes now.
    clock_rate: u32,
    state: State,
    buffer: ReorderBuffer,
    concealer: Concealer,
    /// Made up by the codec itself and not played yet.
    spare: Vec<i16>,
    /// The far end sent silence before it stopped sending (DTX of the codec itself).
    quiet: bool,
    /// Nothing has to come: the stream is held.
    paused: bool,
    /// The decoded packet being played, its media time and length.
    decoded: Vec<i16>,
    decoded_at: u64,
    /// Extends 32-bit timestamps.
    last_timestamp: Option<u64>,
    target: Duration,
    late_run: u32,
    /// Samples still to be made up so that the delay grows.
    stretch: u64,
    /// Samples concealed in a row.
    starved: u64,
    /// The far end described its silence with this level, in -dBov: gaps are filled with such noise.
    noise_level: Option<u8>,
    noise: Noise,
    window: Window,
    rendered: Option<(u32, Instant)>,
    figures: Figures,
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    /// Samples since it began.
    age: u64,
    /// Least fill seen, in samples.
    least: Option<u64>,
    late: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    played: u64,
    concealed: u64,
    recovered: u64,
    skipped: u64,
    noise: u64,
    /// Played while nothing had to come.
    paused: u64,
}

impl AudioPlayout {
    /// A playout of G.711 at 8 kHz.
    #[must_use]
    pub fn g711(law: Law) -> Self {
        Self::new(if law == Law::Mu { AudioCodec::Pcmu } else { AudioCodec::Pcma }, &[])
    }

    /// A playout of a codec at its sample rate, and of others the far end may switch to at any time.
    #[must_use]
    pub fn new(codec: AudioCodec, others: &[AudioCodec]) -> Self {
        let sample_rate = codec.sample_rate();
        let mut playout = Self {
            decoders: Vec::new(),
            active: 0,
            sample_rate,
            clock_rate: codec.clock_rate(),
            state: State::Idle,
            buffer: ReorderBuffer::default(),
            concealer: Concealer::new(sample_rate),
            spare: Vec::new(),
            quiet: false,
            paused: false,
            decoded: Vec::with_capacity(960),
            decoded_at: 0,
            last_timestamp: None,
            target: START_DELAY,
            late_run: 0,
            stretch: 0,
            starved: 0,
            noise_level: None,
            noise: Noise::default(),
            window: Window::default(),
            rendered: None,
            figures: Figures::default(),
        };
        playout.set_codecs(codec, others);
        playout
    }

    /// Takes other codecs from now on (a re-INVITE). What is played keeps its sample rate; what waits in the buffer is left out.
    pub fn set_codecs(&mut self, codec: AudioCodec, others: &[AudioCodec]) {
        // What waits there names the old codecs by their place.
        self.restart();
        let all = std::iter::once(&codec).chain(others);
        // A codec that this build has not cannot have been agreed to.
        self.decoders = all.filter_map(|codec| Decoder::new(*codec, self.sample_rate).ok()).collect();
        self.active = 0;
        self.spare.clear();
    }

    fn samples(&self, time: Duration) -> u64 {
        time.as_micros() as u64 * u64::from(self.sample_rate) / 1_000_000
    }

    /// Takes a packet of the main codec that arrived at `now`.
    ///
    /// # Errors
    /// When it came too late, twice, or does not fit.
    pub fn insert(
        &mut self,
        sequence: u64,
        timestamp: u32,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        self.insert_of(0, sequence, timestamp, payload, now)
    }

    /// Takes a packet of the `codec`-th codec: 0 is the main one, then the others in their order.
    ///
    /// # Errors
    /// When it came too late, twice, or does not fit, or there is no such codec.
    pub fn insert_of(
        &mut self,
        codec: usize,
        sequence: u64,
        timestamp: u32,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let decoder = self.decoders.get(codec).ok_or(DropReason::UnknownPayloadType)?;
        let samples = decoder.samples(payload).filter(|samples| *samples <= MAX_PACKET);
        let samples = samples.ok_or(DropReason::MalformedPayload)?;
        let clock_rate = decoder.clock_rate();
        if clock_rate != self.clock_rate {
            // The far end changed to a codec whose timestamps count otherwise: no way to tell how they follow (RFC 7160).
            self.restart();
            self.clock_rate = clock_rate;
        }
        let timestamp = self.extend(timestamp);
        let duration = samples as u32;
        if let State::Playing(position) = self.state
            && timestamp + u64::from(duration) <= position
        {
            return Err(self.late(position - timestamp));
        }
        // Which decoder it is for stands before the payload.
        let codec = [codec as u8];
        let parts = [&codec, payload];
        if let Err(reason) = self.buffer.insert_parts(sequence, timestamp, duration, parts) {
            if reason == DropReason::Overflow {
                // So far ahead that what is held is history.
                self.restart();
                self.buffer.insert_parts(sequence, timestamp, duration, parts)?;
            } else {
                return Err(reason);
            }
        }
        self.late_run = 0;
        if self.state == State::Idle {
            self.state = State::Buffering(now + self.target);
        }
        Ok(())
    }

    /// Takes a description of silence (RFC 3389) with its level in -dBov: until the next sound, gaps are such noise.
    pub fn insert_comfort_noise(&mut self, sequence: u64, timestamp: u32, level: u8) {
        let timestamp = self.extend(timestamp);
        let _ = self.buffer.insert(sequence, timestamp, 0, &[level]);
    }

    /// Notes a packet of this source that carries no sound (telephone event).
    pub fn insert_soundless(&mut self, sequence: u64, timestamp: u32) {
        let timestamp = self.extend(timestamp);
        let _ = self.buffer.insert(sequence, timestamp, 0, &[]);
    }

    /// A packet came `by` samples after its place: from now on everything is played so much later.
    fn late(&mut self, by: u64) -> DropReason {
        let room = self.samples(MAX_DELAY.saturating_sub(self.target));
        let raise = by.min(self.samples(MAX_RAISE)).min(room);
        self.target += Duration::from_micros(raise * 1_000_000 / u64::from(self.sample_rate));
        self.stretch += raise;
        self.window.late = true;
        self.late_run += 1;
        if self.late_run >= LATE_RUN {
            // The path became longer: start again with the packets that come from now on.
            self.restart();
        }
        DropReason::Late
    }

    /// Forgets buffered packets, at a new source or sequence.
    pub fn restart(&mut self) {
        self.buffer.clear();
        self.state = State::Idle;
        self.late_run = 0;
        self.stretch = 0;
        self.noise_level = None;
        self.last_timestamp = None;
    }

    /// The 64-bit media time nearest to the last one. A jump beyond [`MAX_GAP`] is a new beginning.
    fn extend(&mut self, timestamp: u32) -> u64 {
        let step = self.last_timestamp.map(|last| i64::from(timestamp.wrapping_sub(last as u32) as i32));
        // While the far end is silent and says so, its next word may be long after the last one.
        let gap = if self.noise_level.is_some() { 30 * MAX_GAP } else { MAX_GAP };
        if step.is_some_and(|step| self.in_samples(step.unsigned_abs()) > self.samples(gap)) {
            self.restart();
        }
        let extended = match (self.last_timestamp, step) {
            (Some(last), Some(step)) => last.saturating_add_signed(step),
            (Some(_) | None, _) => (1 << 32) + u64::from(timestamp),
        };
        self.last_timestamp = Some(self.last_timestamp.map_or(extended, |last| last.max(extended)));
        self.in_samples(extended)
    }

    /// RTP timestamp units as samples.
    fn in_samples(&self, units: u64) -> u64 {
        units.saturating_mul(u64::from(self.sample_rate)) / u64::from(self.clock_rate.max(1))
    }

    /// Has anything been played yet?
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.figures.played > 0
    }

    /// Fills `out` with the next samples. Returns `false` (and silence) while nothing was ever played.
    pub fn pull(&mut self, out: &mut [i16], now: Instant) -> bool {
        self.drop_soundless(None);
        if let State::Buffering(until) = self.state {
            match self.buffer.head() {
                Some(head) if now >= until => self.state = State::Playing(head.timestamp),
                Some(_) | None => {}
            }
        }
        let State::Playing(mut position) = self.state else {
            out.fill(0);
            if !self.has_begun() {
                return false;
            }
            self.fill_gap(out);
            self.figures.played += out.len() as u64;
            return true;
        };
        self.judge_fill(&mut position, out.len() as u64);
        let units = position * u64::from(self.clock_rate) / u64::from(self.sample_rate.max(1));
        self.rendered = Some((units as u32, now));
        let mut done = out.len().min(usize::try_from(self.stretch).unwrap_or(usize::MAX));
        self.stretch -= done as u64;
        self.concealer.conceal(&mut out[..done]);
        self.figures.concealed += done as u64;
        while done < out.len() {
            let took = self.play(&mut out[done..], position);
            done += took;
            position += took as u64;
        }
        self.figures.played += out.len() as u64;
        // After a long drought the next packet begins a new talkspurt with the full delay.
        self.state = if self.starved > self.samples(self.target.max(START_DELAY)) {
            State::Idle
        } else {
            State::Playing(position)
        };
        if self.state == State::Idle && !self.buffer.is_empty() {
            self.state = State::Buffering(now);
        }
        true
    }

    /// Writes the next run of samples: real ones, or made-up ones up to the next packet. Never returns 0.
    fn play(&mut self, out: &mut [i16], position: u64) -> usize {
        loop {
            let end = self.decoded_at + self.decoded.len() as u64;
            if (self.decoded_at..end).contains(&position) {
                let offset = (position - self.decoded_at) as usize;
                let n = out.len().min(self.decoded.len() - offset);
                out[..n].copy_from_slice(&self.decoded[offset..offset + n]);
                self.concealer.real(&mut out[..n]);
                self.starved = 0;
                return n;
            }
            self.drop_soundless(Some(position));
            let Some(head) = self.buffer.head() else { return self.make_up(out) };
            if head.timestamp > position {
                let gap = usize::try_from(head.timestamp - position).unwrap_or(usize::MAX);
                if self.recover(position, gap) {
                    continue;
                }
                let n = out.len().min(gap);
                return self.make_up(&mut out[..n]);
            }
            // Reached, or passed within: decode it; into its place where all of it is played now, as most often.
            let (len, at) = (head.duration as usize, head.timestamp);
            let whole = at == position && (1..=out.len()).contains(&len);
            self.decoded.clear();
            let samples = if whole {
                out[..len].fill(0);
                &mut out[..len]
            } else {
                self.decoded.resize(len, 0);
                &mut self.decoded[..]
            };
            if let Some((codec, payload)) = head.payload.split_first()
                && let Some(decoder) = self.decoders.get_mut(usize::from(*codec))
            {
                decoder.decode(payload, samples);
                self.quiet = decoder.says_silence(payload);
                self.active = usize::from(*codec);
            }
            self.decoded_at = at;
            self.noise_level = None;
            self.spare.clear();
            self.buffer.take_head();
            if whole {
                self.concealer.real(&mut out[..len]);
                self.starved = 0;
                return len;
            }
        }
    }

    /// Rebuilds the one packet that is missing before the head of the buffer from the head's redundancy.
    fn recover(&mut self, position: u64, gap: usize) -> bool {
        if self.buffer.head_follows() {
            // Nothing was lost: the far end was silent.
            return false;
        }
        let Some(head) = self.buffer.head() else { return false };
        let Some((codec, payload)) = head.payload.split_first() else { return false };
        let fits = gap <= head.duration as usize && usize::from(*codec) == self.active;
        let Some(decoder) = self.decoders.get_mut(self.active).filter(|_| fits) else { return false };
        self.decoded.clear();
        self.decoded.resize(gap, 0);
        if !decoder.recover(payload, &mut self.decoded) {
            self.decoded.clear();
            return false;
        }
        self.decoded_at = position;
        self.spare.clear();
        self.figures.recovered += gap as u64;
        true
    }

    /// Whether sound has to come. While it has not (hold), what is missing was neither played nor made up.
    pub fn expect(&mut self, expected: bool) {
        self.paused = !expected;
    }

    fn make_up(&mut self, out: &mut [i16]) -> usize {
        self.fill_gap(out);
        self.starved += out.len() as u64;
        out.len()
    }

    /// Noise where the far end said that it is silent, concealment where something is missing.
    fn fill_gap(&mut self, out: &mut [i16]) {
        if self.paused {
            self.concealer.conceal(out);
            self.figures.paused += out.len() as u64;
            return;
        }
        if let Some(level) = self.noise_level {
            self.noise.fill(level, out);
            self.figures.noise += out.len() as u64;
            return;
        }
        match self
            .decoders
            .get_mut(self.active)
            .filter(|decoder| decoder.conceals() && self.figures.played > 0)
        {
            Some(decoder) => {
                while self.spare.len() < out.len() {
                    let (from, more) = (self.spare.len(), self.sample_rate as usize / 100);
                    self.spare.resize(from + more, 0);
                    decoder.conceal(&mut self.spare[from..]);
                }
                out.copy_from_slice(&self.spare[..out.len()]);
                self.spare.drain(..out.len());
                self.concealer.real(out);
            }
            None => self.concealer.conceal(out),
        }
        // Where the far end's codec said that there is silence, its decoder makes comfort noise.
        let figure = if self.quiet { &mut self.figures.noise } else { &mut self.figures.concealed };
        *figure += out.len() as u64;
    }

    /// Passes over heads without sound, unless a packet before them may still come in time.
    fn drop_soundless(&mut self, position: Option<u64>) {
        while let Some(head) = self.buffer.head() {
            let passed = position.is_some_and(|position| head.timestamp <= position);
            if head.duration > 0 || !(passed || self.buffer.head_follows()) {
                return;
            }
            if let [level, ..] = head.payload {
                self.noise_level = Some(*level);
            }
            self.buffer.take_head();
        }
    }

    /// Once per window: leaves out what the buffer held in excess all the time.
    fn judge_fill(&mut self, position: &mut u64, frame: u64) {
        let fill = self.buffer.newest_end().saturating_sub(*position);
        self.window.least = Some(self.window.least.map_or(fill, |least| least.min(fill)));
        self.window.age += frame;
        if self.window.age < self.samples(WINDOW) {
            return;
        }
        let window = std::mem::take(&mut self.window);
        if !window.late {
            self.target = self.target.saturating_sub(DELAY_STEP).max(MIN_DELAY);
        }
        let aim = self.samples(self.target) + frame;
        let excess = window.least.unwrap_or(0).saturating_sub(aim);
        if excess > 0 {
            // A little slips by unheard; an excess beyond that is a delay nobody wants to keep.
            let skip = if excess > 2 * frame { excess } else { excess.min(frame) };
            *position += skip;
            self.figures.skipped += skip;
        }
    }

    /// RTP timestamp of the last frame's beginning, and when it was played.
    #[must_use]
    pub fn rendered(&self) -> Option<(u32, Instant)> {
        self.rendered
    }

    /// Figures so far; `None` before anything was played.
    #[must_use]
    pub fn figures(&self) -> Option<Playout> {
        let ms = |samples: u64| samples as f64 * 1000.0 / f64::from(self.sample_rate);
        self.has_begun().then(|| Playout {
            played_ms: ms(self.figures.played - self.figures.paused),
            concealed_ms: ms(self.figures.concealed),
            recovered_ms: ms(self.figures.recovered),
            skipped_ms: ms(self.figures.skipped),
            comfort_noise_ms: ms(self.figures.noise),
            target_delay_ms: self.target.as_secs_f64() * 1000.0,
        })
    }
}

#[cfg(test)]
mod tests;
