//! Sends text: gathers it for up to 300 ms, repeats each piece twice, then falls silent but for a keep-alive.
//!
//! The packet that opens the path is repeated too: a relay learns from it where we are, and without text the next one would
//! be the keep-alive.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::red::{self, MAX_OFFSET};
use super::{BOM, BUFFERING, GENERATIONS, KEEP_ALIVE, LINE_SEPARATOR};

/// Bytes of text in one packet at most: three generations then fit an Ethernet frame.
const MAX_PRIMARY: usize = 340;
/// The period over which the far end's characters-per-second limit holds (RFC 4103 section 6).
const RATE_PERIOD: Duration = Duration::from_secs(10);

/// Packets that open the path: one at once, then as often again as redundancy would repeat it.
const OPENINGS: usize = 1 + GENERATIONS;

/// Milliseconds that waits are told apart up to.
const LONGEST_WAIT: usize = 1000;

/// A packet that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextPacket {
    /// Payload type.
    pub payload_type: u8,
    /// First packet after a silence.
    pub marker: bool,
    /// RTP timestamp at 1000 Hz.
    pub timestamp: u32,
    /// Bytes of payload written.
    pub len: usize,
}

/// A piece of text that was sent and when, in RTP time.
#[derive(Debug, Clone)]
struct Generation {
    timestamp: u32,
    text: String,
}

/// The sending half of a text stream.
#[derive(Debug)]
pub struct TextSender {
    t140: u8,
    red: Option<u8>,
    /// Characters allowed in any ten seconds.
    per_period: usize,
    start: Instant,
    first_timestamp: u32,
    queue: VecDeque<char>,
    /// Last character was a carriage return: a line feed after it belongs to it.
    after_return: bool,
    last_sent: Option<Instant>,
    /// Opening packets that are still to leave.
    openings: usize,
    idle: bool,
    generations: VecDeque<Generation>,
    /// When how many characters were sent.
    recent: VecDeque<(Instant, usize)>,
    characters_sent: u64,
    /// When queued characters were handed over: how many, and when if that was told.
    entered: VecDeque<(usize, Option<Instant>)>,
    latency: Latency,
    /// What the latest packet brought for the first time, until it is asked for.
    news: Option<TextNews>,
}

/// Characters that left in a packet for the first time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextNews {
    /// The characters.
    pub text: String,
    /// How long each of them waited, in their order; `None` for one whose beginning was not told (held text).
    pub waits: Vec<Option<Duration>>,
}

/// Characters by the milliseconds they waited; the last place holds all longer waits.
#[derive(Debug, Clone)]
struct Latency {
    waits: Vec<u32>,
    count: u32,
}

impl Latency {
    fn add(&mut self, wait: Duration, characters: usize) {
        let place = (wait.as_millis() as usize).min(self.waits.len() - 1);
        self.waits[place] = self.waits[place].saturating_add(characters as u32);
        self.count = self.count.saturating_add(characters as u32);
    }

    /// The wait that so many of a hundred characters did not exceed.
    fn percentile(&self, percent: u32) -> Option<f64> {
        let wanted = u64::from(self.count) * u64::from(percent);
        let mut seen = 0;
        self.waits
            .iter()
            .position(|count| {
                seen += u64::from(*count) * 100;
                seen > 0 && seen >= wanted
            })
            .map(|ms| ms as f64)
    }
}

impl TextSender {
    /// A sender whose first packet, a byte order mark, is due at `start`; it goes three times, 300 ms apart.
    #[must_use]
    pub fn new(
        t140: u8,
        red: Option<u8>,
        characters_per_second: u32,
        start: Instant,
        first_timestamp: u32,
    ) -> Self {
        Self {
            t140,
            red,
            per_period: characters_per_second.max(1) as usize * RATE_PERIOD.as_secs() as usize,
            start,
            first_timestamp,
            queue: VecDeque::new(),
            after_return: false,
            last_sent: None,
            openings: OPENINGS,
            idle: true,
            generations: VecDeque::with_capacity(GENERATIONS + 1),
            recent: VecDeque::new(),
            characters_sent: 0,
            entered: VecDeque::new(),
            latency: Latency { waits: vec![0; LONGEST_WAIT], count: 0 },
            news: None,
        }
    }

    /// What the latest packet brought for the first time; `None` when it only repeated or kept alive, or was told before.
    pub fn take_news(&mut self) -> Option<TextNews> {
        self.news.take()
    }

    /// Opens the path anew, because the far end is elsewhere now: a packet is due at once.
    pub fn reopen(&mut self) {
        self.openings = OPENINGS;
        self.last_sent = None;
    }

    /// Queues text that was handed over at `now`, and measures how long it waits.
    pub fn push_at(&mut self, text: &str, now: Instant) {
        let before = self.queue.len();
        self.push_quietly(text);
        self.entered.push_back((self.queue.len() - before, Some(now)));
    }

    /// Milliseconds that half and 95 of 100 characters waited at most for their first packet; `None` before the first.
    #[must_use]
    pub fn latency(&self) -> (Option<f64>, Option<f64>) {
        (self.latency.percentile(50), self.latency.percentile(95))
    }

    /// The wait of each of the oldest characters, which leave now.
    fn measure(&mut self, mut characters: usize, now: Instant) -> Vec<Option<Duration>> {
        let mut waits = Vec::with_capacity(characters);
        while characters > 0 {
            let Some((left, since)) = self.entered.front_mut() else { break };
            let took = characters.min(*left);
            let wait = since.map(|since| now.saturating_duration_since(since));
            if let Some(wait) = wait {
                self.latency.add(wait, took);
            }
            waits.extend(std::iter::repeat_n(wait, took));
            *left -= took;
            characters -= took;
            if *left == 0 {
                self.entered.pop_front();
            }
        }
        waits
    }

    /// Queues text. Line ends become T.140 line separators.
    pub fn push(&mut self, text: &str) {
        let before = self.queue.len();
        self.push_quietly(text);
        self.entered.push_back((self.queue.len() - before, None));
    }

    fn push_quietly(&mut self, text: &str) {
        for c in text.chars() {
            let feed_of_return = c == '\n' && self.after_return;
            self.after_return = c == '\r';
            match c {
                _ if feed_of_return => {}
                '\r' | '\n' => self.queue.push_back(LINE_SEPARATOR),
                BOM => {}
                c => self.queue.push_back(c),
            }
        }
    }

    /// Characters put into packets.
    #[must_use]
    pub fn characters_sent(&self) -> u64 {
        self.characters_sent
    }

    /// Characters still queued.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// When [`poll`](Self::poll) wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Instant {
        let Some(last) = self.last_sent else { return self.start };
        if self.repeats_left() || self.openings > 0 {
            return last + BUFFERING;
        }
        match (self.queue.is_empty(), self.recent.front()) {
            (true, _) => last + KEEP_ALIVE,
            // Used up: when the oldest piece leaves the period.
            (false, Some((oldest, _))) if self.allowance() == 0 => {
                (*oldest + RATE_PERIOD).max(last + BUFFERING)
            }
            (false, _) => last + BUFFERING,
        }
    }

    fn repeats_left(&self) -> bool {
        self.red.is_some() && self.generations.iter().any(|generation| !generation.text.is_empty())
    }

    fn allowance(&self) -> usize {
        let used: usize = self.recent.iter().map(|(_, n)| n).sum();
        self.per_period.saturating_sub(used)
    }

    /// Writes the packet that is due into `payload` (at least 1100 bytes); `None` when none is.
    pub fn poll(&mut self, now: Instant, payload: &mut [u8]) -> Option<TextPacket> {
        if now < self.next_deadline() {
            return None;
        }
        while self.recent.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= RATE_PERIOD) {
            self.recent.pop_front();
        }
        let timestamp =
            self.first_timestamp.wrapping_add(now.saturating_duration_since(self.start).as_millis() as u32);
        let repeats = self.repeats_left();
        let paused = self.last_sent.is_none_or(|last| now.saturating_duration_since(last) >= 2 * BUFFERING);
        let text = self.take_queued(now);
        let speaks = !text.is_empty();
        let keep_alive = !speaks && !repeats;
        let primary = if keep_alive { String::from(BOM) } else { text };
        let opens = self.openings > 0;
        self.openings = self.openings.saturating_sub(1);
        let len = match self.red {
            Some(red_type) => {
                let len = self.write_red(&primary, timestamp, payload)?;
                // A keep-alive needs no repetition; what opens the path does.
                let text = if keep_alive && !opens { String::new() } else { primary };
                self.generations.push_back(Generation { timestamp, text });
                while self.generations.len() > GENERATIONS {
                    self.generations.pop_front();
                }
                (red_type, len)
            }
            None => (self.t140, write(payload, 0, primary.as_bytes())?),
        };
        // Text after an idle period: nothing was being repeated and nothing left just before.
        let marker = speaks && (self.idle || (!repeats && paused));
        self.idle = !speaks && (self.idle || keep_alive);
        self.last_sent = Some(now);
        Some(TextPacket { payload_type: len.0, marker, timestamp, len: len.1 })
    }

    fn take_queued(&mut self, now: Instant) -> String {
        let mut text = String::new();
        let mut left = self.allowance();
        while let Some(c) = self.queue.front() {
            if left == 0 || text.len() + c.len_utf8() > MAX_PRIMARY {
                break;
            }
            text.push(*c);
            self.queue.pop_front();
            left -= 1;
        }
        let count = text.chars().count();
        if count > 0 {
            self.recent.push_back((now, count));
            self.characters_sent += count as u64;
            let waits = self.measure(count, now);
            self.news = Some(TextNews { text: text.clone(), waits });
        }
        text
    }

    /// Headers of both generations, the primary's, then the texts, oldest first (RFC 2198 section 3).
    fn write_red(&self, primary: &str, timestamp: u32, payload: &mut [u8]) -> Option<usize> {
        let mut at = 0;
        let mut texts = [""; GENERATIONS];
        for (n, slot) in texts.iter_mut().enumerate() {
            // Generations not sent yet are empty blocks; so are those too old for the offset's 14 bits.
            let generation = (n + self.generations.len())
                .checked_sub(GENERATIONS)
                .and_then(|n| self.generations.get(n))
                .filter(|generation| timestamp.wrapping_sub(generation.timestamp) <= MAX_OFFSET);
            let offset = generation.map_or(0, |g| timestamp.wrapping_sub(g.timestamp));
            *slot = generation.map_or("", |g| g.text.as_str());
            at = write(payload, at, &red::redundant_header(self.t140, offset, slot.len()))?;
        }
        at = write(payload, at, &[self.t140])?;
        for text in texts {
            at = write(payload, at, text.as_bytes())?;
        }
        write(payload, at, primary.as_bytes())
    }
}

/// Writes `bytes` at `at`; returns where they end.
fn write(payload: &mut [u8], at: usize, bytes: &[u8]) -> Option<usize> {
    payload.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
    Some(at + bytes.len())
}
