//! Which picture a source makes: the largest that the path carries and the processor makes in time.
//!
//! Smaller at once, when the path carries less or pictures take too long for twenty a second; larger only after a while in which
//! the larger one would have fitted with some room, so that it does not swing at an edge. An attempt that fails makes the
//! next one at that size wait twice as long.

use std::time::{Duration, Instant};

use super::Rung;
use super::adapt::{LEAST_FRAME_RATE, rung, usual_rate};

/// How long a larger picture must have been possible, and the most that failed attempts make of it.
const PATIENCE: Duration = Duration::from_secs(4);
const MOST_PATIENCE: Duration = Duration::from_secs(64);
/// A larger picture that lasts so long was no failed attempt.
const PROVEN: Duration = Duration::from_secs(12);
/// Room on the path that a larger picture must find.
const ROOM: f64 = 1.15;
/// Share of the time that pictures may take at twenty a second, and that a larger one may be expected to take.
const TOO_SLOW: f64 = 0.9;
const FAST_ENOUGH: f64 = 0.6;
/// Pictures whose times are looked at; their median counts, as a busy machine makes single ones late.
const PICTURES: usize = 15;
/// A target that is higher by less changes nothing: another rate costs a key frame.
const NOTICEABLE: f64 = 0.15;
/// More bits than so many times the usual show no more.
const MOST_OF_USUAL: u64 = 2;

/// Chooses for one source.
#[derive(Debug, Clone)]
pub struct Chooser {
    most: Rung,
    at: Rung,
    /// Bits per second that the path carries, and that are spent.
    target: u64,
    spent: u64,
    /// What the last pictures of this size took.
    times: Vec<Duration>,
    next: usize,
    /// Since when a larger picture would do.
    better_since: Option<Instant>,
    /// When the picture was last made larger.
    grown: Option<Instant>,
    /// The samples of a size that was given up soon, and how long to wait before it is tried again.
    failed: Option<(u64, Duration)>,
}

impl Chooser {
    /// Begins with what `target` bits per second carry, no larger and no faster than `most`.
    #[must_use]
    pub fn new(most: Rung, target: u64) -> Self {
        Self {
            most,
            at: rung(target, most),
            target,
            spent: target,
            times: Vec::with_capacity(PICTURES),
            next: 0,
            better_since: None,
            grown: None,
            failed: None,
        }
    }

    /// The last picture took so long to draw and encode.
    pub fn took(&mut self, time: Duration) {
        match self.times.get_mut(self.next) {
            Some(oldest) => *oldest = time,
            None => self.times.push(time),
        }
        self.next = (self.next + 1) % PICTURES;
    }

    /// The picture to make next, now that the path carries `target` bits per second.
    pub fn next(&mut self, target: u64, now: Instant) -> Rung {
        if self.grown.take_if(|grown| now.saturating_duration_since(*grown) >= PROVEN).is_some() {
            // It lasted: what failed before, at this size or a smaller one, is past.
            self.failed = self.failed.filter(|(samples, _)| area(self.at) < *samples);
        }
        self.target = target;
        if target < self.spent || target as f64 > (1.0 + NOTICEABLE) * self.spent as f64 {
            self.spent = target;
        }
        let carried = rung(self.target, self.most);
        if area(carried) < area(self.at) {
            self.change(carried, now);
        } else if self.is_too_slow(self.at, TOO_SLOW)
            && let Some(smaller) = self.smaller()
        {
            self.change(smaller, now);
        } else {
            self.try_larger(now);
        }
        // The same size may still become slower or faster: the smallest one, or another limit.
        if area(carried) == area(self.at) {
            self.at.frame_rate = carried.frame_rate;
        }
        self.at
    }

    /// Bits per second for the picture in use.
    #[must_use]
    pub fn bits_per_second(&self) -> u64 {
        self.spent.min(MOST_OF_USUAL * usual_rate(self.at))
    }

    fn try_larger(&mut self, now: Instant) {
        let roomy = rung((self.target as f64 / ROOM) as u64, self.most);
        let larger = self.larger(roomy).filter(|larger| !self.is_too_slow(*larger, FAST_ENOUGH));
        let Some(larger) = larger else {
            self.better_since = None;
            return;
        };
        let failed = self.failed.filter(|(samples, _)| area(larger) >= *samples);
        let patience = failed.map_or(PATIENCE, |(_, patience)| patience);
        if now.saturating_duration_since(*self.better_since.get_or_insert(now)) >= patience {
            self.change(larger, now);
        }
    }

    fn change(&mut self, to: Rung, now: Instant) {
        if area(to) > area(self.at) {
            self.grown = Some(now);
        } else if self.grown.take().is_some() {
            let before = self.failed.map_or(PATIENCE, |(_, patience)| patience);
            self.failed = Some((area(self.at), (before * 2).min(MOST_PATIENCE)));
        }
        self.at = to;
        self.spent = self.target;
        self.better_since = None;
        self.times.clear();
        self.next = 0;
    }

    /// Would twenty pictures a second of that size take more than this share of the time? Unknown before enough were made.
    fn is_too_slow(&self, of: Rung, share: f64) -> bool {
        if self.times.len() < PICTURES {
            return false;
        }
        let mut times = self.times.clone();
        times.sort_unstable();
        let scale = area(of) as f64 / area(self.at) as f64;
        let rate = f64::from(LEAST_FRAME_RATE.min(self.most.frame_rate));
        times[PICTURES / 2].as_secs_f64() * scale * rate > share
    }

    /// The next size down; `None` at the smallest.
    fn smaller(&self) -> Option<Rung> {
        self.sizes().find(|size| area(*size) < area(self.at))
    }

    /// The next size up, no larger than `most`.
    fn larger(&self, most: Rung) -> Option<Rung> {
        let larger = |size: &Rung| area(*size) > area(self.at) && area(*size) <= area(most);
        self.sizes().filter(larger).last()
    }

    /// Sizes from the largest on.
    fn sizes(&self) -> impl Iterator<Item = Rung> + use<> {
        super::adapt::sizes(self.most)
    }
}

fn area(rung: Rung) -> u64 {
    u64::from(rung.width) * u64::from(rung.height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const HD: Rung = Rung { width: 1280, height: 720, frame_rate: 30 };

    /// A source on a processor that needs so many microseconds for a thousand samples.
    struct Source {
        chooser: Chooser,
        now: Instant,
        speed: u64,
    }

    impl Source {
        fn new(target: u64) -> Self {
            Self { chooser: Chooser::new(HD, target), now: clock::now(), speed: 10 }
        }

        /// Makes pictures for so many seconds; the widths it made, without repetitions.
        fn run(&mut self, target: u64, seconds: u64) -> Vec<u32> {
            let until = self.now + Duration::from_secs(seconds);
            let mut widths: Vec<u32> = Vec::new();
            while self.now < until {
                let at = self.chooser.next(target, self.now);
                if widths.last() != Some(&at.width) {
                    widths.push(at.width);
                }
                let took = Duration::from_micros(area(at) * self.speed / 1000);
                self.chooser.took(took);
                self.now += took.max(Duration::from_secs(1) / at.frame_rate);
            }
            widths
        }
    }

    #[test]
    fn a_path_that_carries_the_largest_picture_gets_it_at_once_and_for_good() {
        assert_eq!(Source::new(1_000_000).run(1_000_000, 60), [1280]);
    }

    #[test]
    fn less_on_the_path_makes_it_smaller_at_once_and_more_makes_it_larger_again() {
        let mut source = Source::new(1_500_000);
        assert_eq!(source.run(300_000, 1), [480]);
        // The way back is taken step by step, each after a while.
        assert_eq!(source.run(1_500_000, 3), [480]);
        assert_eq!(source.run(1_500_000, 12), [480, 640, 960, 1280]);
    }

    #[test]
    fn at_an_edge_it_does_not_swing() {
        let mut source = Source::new(500_000);
        let mut seen = Vec::new();
        for n in 0..100 {
            // 600 kbit/s is where 960 by 544 begins.
            seen.extend(source.run(if n % 2 == 0 { 595_000 } else { 605_000 }, 1));
        }
        seen.dedup();
        assert_eq!(seen, [640]);
    }

    #[test]
    fn a_slow_processor_gets_a_picture_it_can_make_twenty_times_a_second() {
        let mut source = Source::new(1_500_000);
        // 1280 by 720 takes 92 ms, 640 by 480 takes 31 ms.
        source.speed = 100;
        let widths = source.run(1_500_000, 3);
        assert_eq!(widths, [1280, 960, 640]);
        // It is tried again as soon as the processor is free, and not before.
        assert_eq!(source.run(1_500_000, 30), [640]);
        source.speed = 10;
        assert_eq!(source.run(1_500_000, 12), [640, 960, 1280]);
    }

    #[test]
    fn single_late_pictures_change_nothing() {
        let mut chooser = Chooser::new(HD, 1_500_000);
        let start = clock::now();
        for n in 0..300_u64 {
            let now = start + Duration::from_millis(33 * n);
            assert_eq!(chooser.next(1_500_000, now), HD);
            chooser.took(Duration::from_millis(if n % 3 == 0 { 300 } else { 9 }));
        }
    }

    #[test]
    fn attempts_that_fail_become_rarer() {
        let mut source = Source::new(1_500_000);
        let mut attempts = 0;
        // Everything but the largest size is fast: each attempt at it fails.
        for _ in 0..120 {
            let at = source.chooser.next(1_500_000, source.now);
            source.speed = if at.width == 1280 { 100 } else { 10 };
            let widths = source.run(1_500_000, 1);
            attempts += widths.windows(2).filter(|pair| pair[1] == 1280).count();
        }
        assert!((2..=8).contains(&attempts), "{attempts} in two minutes");
    }

    #[test]
    fn bits_beyond_what_shows_are_not_spent() {
        let small = Rung { width: 352, height: 288, frame_rate: 30 };
        let chooser = Chooser::new(small, 1_500_000);
        assert_eq!(chooser.bits_per_second(), 400_000);
        assert_eq!(Chooser::new(HD, 700_000).bits_per_second(), 700_000);
    }
}
