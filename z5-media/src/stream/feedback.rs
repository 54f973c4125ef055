//! What a session asks of the far end beyond reports: missing packets (generic NACK, RFC 4585), key frames (PLI, or FIR of
//! RFC 5104), a lower rate (TMMBR); and its answers to the same.
//!
//! Feedback leaves at once in a point-to-point session (RFC 4585 section 3.5.2), but never closer than [`SPACING`].
//! Every list is bounded, and every question is asked a bounded number of times.

use std::time::{Duration, Instant};

use crate::rtcp::{self, Feedback as Message};
use crate::stats::FeedbackFigures;

/// Least time between two feedback packets.
const SPACING: Duration = Duration::from_millis(10);
/// How long a packet may be late before it is asked for.
const REORDER_WAIT: Duration = Duration::from_millis(10);
/// Least and usual time between two questions for the same packet; in between the round trip decides.
const LEAST_REPEAT: Duration = Duration::from_millis(20);
const USUAL_REPEAT: Duration = Duration::from_millis(100);
/// How often the same packet is asked for.
const MAX_ASKED: u8 = 4;
/// Missing packets remembered. A longer gap is no loss that retransmission could mend in time.
const MAX_MISSING: usize = 128;
/// Pairs of a NACK, which cover 17 packets each.
const MAX_PAIRS: usize = 16;
/// Time between two requests for a key frame: the round trip, but at least and at most this.
const LEAST_KEY_FRAME_REPEAT: Duration = Duration::from_millis(200);
const USUAL_KEY_FRAME_REPEAT: Duration = Duration::from_millis(500);

/// Which feedback was negotiated (`a=rtcp-fb`, RFC 4585 section 4; `a=rtcp-rsize`, RFC 5506; `a=rtcp-xr`, RFC 3611).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeedbackConfig {
    /// `nack`: missing packets are asked for, and ours are kept and sent again.
    pub nack: bool,
    /// `nack pli`.
    pub pli: bool,
    /// `ccm fir`; used where `pli` was not agreed.
    pub fir: bool,
    /// `ccm tmmbr`.
    pub tmmbr: bool,
    /// Feedback may leave without a report before it.
    pub reduced_size: bool,
    /// Extended reports with receiver reference time and answers to it.
    pub extended_reports: bool,
}

impl FeedbackConfig {
    /// May we ask for a key frame by RTCP?
    #[must_use]
    pub fn key_frames(&self) -> bool {
        self.pli || self.fir
    }
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    sequence: u64,
    next: Instant,
    asked: u8,
}

/// A wanted key frame.
#[derive(Debug, Clone, Copy)]
struct KeyFrame {
    next: Instant,
    sequence: u8,
}

/// Questions and answers of one session.
#[derive(Debug, Default)]
pub(super) struct Feedback {
    pub(super) config: FeedbackConfig,
    missing: Vec<Missing>,
    highest: Option<u64>,
    key_frame: Option<KeyFrame>,
    fir_sequence: u8,
    /// The last FIR answered: who sent it, and its number.
    fir_answered: Option<(u32, u8)>,
    /// A limit to be confirmed: who asked, and bits per second.
    notice: Option<(u32, u64)>,
    notice_at: Option<Instant>,
    /// A limit we ask for, until it is confirmed, and how often it was asked for.
    request: Option<(u64, u8)>,
    request_at: Option<Instant>,
    last_sent: Option<Instant>,
    pub(super) figures: FeedbackFigures,
}

impl Feedback {
    pub(super) fn new(config: FeedbackConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// A packet was accepted.
    pub(super) fn received(&mut self, sequence: u64, restarted: bool, now: Instant) {
        if !self.config.nack {
            return;
        }
        if restarted {
            self.missing.clear();
            self.highest = None;
        }
        let highest = self.highest.get_or_insert(sequence);
        if sequence <= *highest {
            if let Some(at) = self.missing.iter().position(|missing| missing.sequence == sequence) {
                let missing = self.missing.remove(at);
                self.figures.packets_recovered += u64::from(missing.asked > 0);
            }
            return;
        }
        let gap = *highest + 1..sequence;
        *highest = sequence;
        if gap.end - gap.start > MAX_MISSING as u64 {
            self.missing.clear();
            return;
        }
        let next = now + REORDER_WAIT;
        self.missing.extend(gap.map(|sequence| Missing { sequence, next, asked: 0 }));
        let excess = self.missing.len().saturating_sub(MAX_MISSING);
        self.missing.drain(..excess);
    }

    /// A key frame is wanted from now on, until [`key_frame_came`](Self::key_frame_came).
    pub(super) fn want_key_frame(&mut self, now: Instant) {
        if self.config.key_frames() && self.key_frame.is_none() {
            self.fir_sequence = self.fir_sequence.wrapping_add(1);
            self.key_frame = Some(KeyFrame { next: now, sequence: self.fir_sequence });
        }
    }

    pub(super) fn key_frame_came(&mut self) {
        self.key_frame = None;
    }

    /// Asks the far end to send no more than that.
    pub(super) fn request_limit(&mut self, limit: u64, now: Instant) {
        if self.config.tmmbr {
            self.request = Some((limit, 0));
            self.request_at = Some(now);
        }
    }

    /// The far end confirmed a limit of ours.
    pub(super) fn limit_confirmed(&mut self) {
        self.request = None;
        self.request_at = None;
    }

    /// The far end asked for a limit; it is confirmed by TMMBN (RFC 5104 section 4.2.2).
    pub(super) fn limit_asked(&mut self, owner: u32, limit: u64, now: Instant) {
        self.figures.limits_received += 1;
        self.notice = Some((owner, limit));
        self.notice_at = Some(now);
    }

    /// Is this FIR a new one? Repetitions carry the same number (RFC 5104 section 4.3.1.2).
    pub(super) fn is_new_fir(&mut self, from: u32, sequence: u8) -> bool {
        self.fir_answered.replace((from, sequence)) != Some((from, sequence))
    }

    /// When something is to be said next.
    pub(super) fn next(&self) -> Option<Instant> {
        let due = self.missing.iter().map(|missing| missing.next).min();
        let due = [due, self.key_frame.map(|k| k.next), self.request_at, self.notice_at]
            .into_iter()
            .flatten()
            .min()?;
        Some(self.last_sent.map_or(due, |last| due.max(last + SPACING)))
    }

    /// Is there something to say now?
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next().is_some_and(|next| next <= now)
    }

    /// Appends what is due to a compound. Returns how many bytes were written.
    pub(super) fn write(
        &mut self,
        buffer: &mut [u8],
        ours: u32,
        theirs: Option<u32>,
        round_trip: Option<Duration>,
        now: Instant,
    ) -> usize {
        let theirs = theirs.unwrap_or(0);
        let mut at = 0;
        let mut put = |message: &Message<'_>| {
            let len = buffer.get_mut(at..).and_then(|rest| rtcp::write_feedback(message, ours, theirs, rest));
            at += len.unwrap_or(0);
            len.is_some()
        };
        if let Some((owner, limit)) = self.notice.take() {
            self.notice_at = None;
            put(&Message::BitrateNotice { owner, limit });
        }
        self.ask_packets(round_trip, now, &mut put);
        if let Some(wanted) = self.key_frame.as_mut().filter(|wanted| wanted.next <= now) {
            let message = if self.config.pli {
                self.figures.plis_sent += 1;
                Message::PictureLoss
            } else {
                self.figures.firs_sent += 1;
                Message::FullIntra { sequence: wanted.sequence }
            };
            wanted.next = now
                + round_trip.map_or(USUAL_KEY_FRAME_REPEAT, |time| {
                    time.clamp(LEAST_KEY_FRAME_REPEAT, USUAL_KEY_FRAME_REPEAT)
                });
            put(&message);
        }
        if let Some((limit, asked)) = self.request
            && self.request_at.is_some_and(|at| at <= now)
        {
            put(&Message::BitrateRequest { limit, overhead: 40 });
            let again = asked + 1 < MAX_ASKED;
            self.request = again.then_some((limit, asked + 1));
            self.request_at = again.then_some(now + USUAL_KEY_FRAME_REPEAT);
        }
        if at > 0 {
            self.last_sent = Some(now);
        }
        at
    }

    /// Asks for the missing packets whose time has come.
    fn ask_packets(
        &mut self,
        round_trip: Option<Duration>,
        now: Instant,
        put: &mut impl FnMut(&Message<'_>) -> bool,
    ) {
        self.missing.retain(|missing| missing.asked < MAX_ASKED || missing.next > now);
        let mut pairs = [(0_u16, 0_u16); MAX_PAIRS];
        let (mut count, mut first) = (0, 0);
        let repeat = round_trip.map_or(USUAL_REPEAT, |time| time.clamp(LEAST_REPEAT, USUAL_REPEAT));
        for missing in self.missing.iter_mut().filter(|missing| missing.next <= now) {
            let after = missing.sequence.wrapping_sub(first);
            if count > 0 && (1..=16).contains(&after) {
                pairs[count - 1].1 |= 1 << (after - 1);
            } else if count < MAX_PAIRS {
                first = missing.sequence;
                pairs[count] = (first as u16, 0);
                count += 1;
            } else {
                break;
            }
            missing.next = now + repeat;
            missing.asked += 1;
            self.figures.packets_asked_for += u64::from(missing.asked == 1);
        }
        if count > 0 && put(&Message::Nack(&pairs[..count])) {
            self.figures.nacks_sent += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::rtcp::News;

    const ALL: FeedbackConfig = FeedbackConfig {
        nack: true,
        pli: false,
        fir: true,
        tmmbr: true,
        reduced_size: false,
        extended_reports: false,
    };

    fn told(feedback: &mut Feedback, now: Instant) -> Vec<News> {
        let mut buffer = [0; 300];
        let len = feedback.write(&mut buffer, 1, Some(2), None, now);
        let mut news = Vec::new();
        if len > 0 {
            rtcp::read(&buffer[..len], |n| news.push(n)).unwrap();
        }
        news
    }

    #[test]
    fn missing_packets_are_asked_for_four_times_and_not_before_they_could_be_reordered() {
        let start = clock::now();
        let mut feedback = Feedback::new(ALL);
        for sequence in [65534, 65535, 65538, 65560] {
            feedback.received(sequence, false, start);
        }
        assert_eq!(feedback.next(), Some(start + REORDER_WAIT));
        // One of them was only late.
        feedback.received(65537, false, start + REORDER_WAIT / 2);
        let mut now = start + REORDER_WAIT;
        let mut asked = 0;
        while let Some(next) = feedback.next() {
            now = now.max(next);
            let news = told(&mut feedback, now);
            if news.is_empty() {
                continue;
            }
            asked += 1;
            assert_eq!(news.len(), 2, "{news:?}");
            assert_eq!(news[0], News::Nack { media: 2, first: 0, following: 0b1111_1111_1111_1100 });
        }
        assert_eq!((asked, feedback.figures.packets_asked_for), (usize::from(MAX_ASKED), 22));
    }

    #[test]
    fn a_packet_that_comes_after_the_question_counts_as_recovered() {
        let start = clock::now();
        let mut feedback = Feedback::new(ALL);
        feedback.received(10, false, start);
        feedback.received(12, false, start);
        assert_eq!(told(&mut feedback, start + REORDER_WAIT).len(), 1);
        feedback.received(11, false, start + Duration::from_millis(40));
        assert_eq!((feedback.figures.packets_recovered, feedback.next()), (1, None));
        // A gap too long to mend is not asked for.
        feedback.received(5000, false, start);
        assert_eq!(feedback.next(), None);
    }

    #[test]
    fn a_key_frame_is_asked_for_until_it_comes_with_one_number_per_wish() {
        let start = clock::now();
        let mut feedback = Feedback::new(ALL);
        feedback.want_key_frame(start);
        feedback.want_key_frame(start);
        assert_eq!(told(&mut feedback, start), [News::FullIntra { from: 1, ssrc: 2, sequence: 1 }]);
        assert_eq!(told(&mut feedback, start + Duration::from_millis(50)), []);
        let again = feedback.next().unwrap();
        assert_eq!(again, start + USUAL_KEY_FRAME_REPEAT);
        assert_eq!(told(&mut feedback, again), [News::FullIntra { from: 1, ssrc: 2, sequence: 1 }]);
        feedback.key_frame_came();
        assert_eq!(feedback.next(), None);
        feedback.want_key_frame(again);
        assert_eq!(told(&mut feedback, again), [News::FullIntra { from: 1, ssrc: 2, sequence: 2 }]);
        assert!(feedback.is_new_fir(5, 1) && !feedback.is_new_fir(5, 1) && feedback.is_new_fir(5, 2));
    }

    #[test]
    fn a_limit_is_asked_for_until_confirmed_and_one_asked_of_us_is_confirmed_at_once() {
        let start = clock::now();
        let mut feedback = Feedback::new(ALL);
        feedback.request_limit(100_000, start);
        assert_eq!(told(&mut feedback, start), [News::BitrateRequest { from: 1, ssrc: 2, limit: 100_000 }]);
        feedback.limit_confirmed();
        assert_eq!(feedback.next(), None);
        let later = start + SPACING;
        feedback.limit_asked(2, 64_000, start);
        assert!(feedback.is_due(later));
        assert_eq!(told(&mut feedback, later), [News::BitrateNotice { from: 1, owner: 2, limit: 64_000 }]);
        assert!(!feedback.is_due(later));
    }
}
