//! The send wheel: which streams of pre-encoded media send in which millisecond.
//!
//! A stream keeps its place, so its packets leave at an even pace; a new one gets the emptiest place within its packet
//! time, so that a thousand calls send fifty packets every millisecond instead of a thousand every twenty. After the
//! buckets have grown to their size nothing is allocated.

use std::time::{Duration, Instant};

/// Length of a place.
const TICK: Duration = Duration::from_millis(1);
/// Streams that send together before another millisecond is taken into use, as many as tick together in the worker: few calls
/// then cost few wake-ups.
const TOGETHER: usize = 16;
/// A place takes so many times its share of streams, of their own wish.
const CROWDED: usize = 4;
/// Milliseconds after which most streams send again.
const CYCLE: usize = 20;
/// Places; more than the longest packet time has milliseconds.
const PLACES: usize = 64;
/// When so far behind (the machine slept) the missed sendings are left out.
const MAX_BEHIND: u64 = 200;

/// When a stream sends again, in milliseconds from its last place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Again {
    /// Its packet time.
    pub(super) after: u64,
    /// It would rather send then, if that place is not crowded.
    pub(super) rather: u64,
}

/// The wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    start: Instant,
    /// The next tick to be served, counted from the start.
    next: u64,
    places: Vec<Vec<(u32, u32)>>,
    /// By moment of the cycle: how many send then, at most.
    crowds: [usize; CYCLE],
    streams: usize,
}

impl Wheel {
    /// A wheel without streams.
    pub(super) fn new(start: Instant) -> Self {
        Self { start, next: 0, places: vec![Vec::new(); PLACES], crowds: [0; CYCLE], streams: 0 }
    }

    /// Lets a stream (slot and the low half of its id) send every `ticks` milliseconds from now on.
    pub(super) fn add(&mut self, slot: u32, id: u32, ticks: u64, now: Instant) {
        self.next = self.next.max(self.tick_of(now));
        let ticks = ticks.clamp(1, PLACES as u64 - 1);
        let len = |after: &u64| self.places[self.place(self.next + after)].len();
        let company = (1..=ticks).filter(|after| (1..TOGETHER).contains(&len(after))).max_by_key(len);
        let emptiest = || (1..=ticks).min_by_key(len);
        let place = self.place(self.next + company.or_else(emptiest).unwrap_or(1));
        self.places[place].push((slot, id));
        self.streams += 1;
        // Room for those that will move.
        let most = self.most();
        self.places.iter_mut().for_each(|place| place.reserve(most.saturating_sub(place.len())));
    }

    /// When the next stream sends; `None` without streams.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.streams == 0 {
            return None;
        }
        let tick =
            (self.next..self.next + PLACES as u64).find(|tick| !self.places[self.place(*tick)].is_empty())?;
        Some(self.start + TICK * u32::try_from(tick).ok()?)
    }

    /// Calls `send` for each stream that is due, with the slots of the two after it and the moment of its place; it returns
    /// when the stream sends again, or `None` when it sends no more. `ahead`: those due within the next millisecond send now,
    /// as the thread is awake.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        ahead: bool,
        mut send: impl FnMut(u32, u32, [Option<u32>; 2], Instant) -> Option<Again>,
    ) {
        let current = self.tick_of(now) + u64::from(ahead);
        if self.streams == 0 {
            self.next = self.next.max(current);
            return;
        }
        if current.saturating_sub(self.next) > MAX_BEHIND {
            self.next = current;
        }
        while self.next <= current {
            let place = self.place(self.next);
            let moment = self.start + Duration::from_millis(self.next);
            let mut due = std::mem::take(&mut self.places[place]);
            // Those of now, and those that have moved to when it comes again.
            let moved = self.places[self.place(self.next + CYCLE as u64)].len();
            self.crowds[self.next as usize % CYCLE] = due.len() + moved;
            for (n, (slot, id)) in due.iter().copied().enumerate() {
                match send(slot, id, [1, 2].map(|on| due.get(n + on).map(|(slot, _)| *slot)), moment) {
                    Some(again) => {
                        let ticks = self.choose(again).clamp(1, PLACES as u64 - 1);
                        let place = self.place(self.next + ticks);
                        self.places[place].push((slot, id));
                    }
                    None => self.streams -= 1,
                }
            }
            due.clear();
            // Its room is kept for the next time around.
            self.places[place] = due;
            self.next += 1;
        }
    }

    /// Where a stream would rather be, unless that is crowded: far ends that all send at once do not make us do so.
    fn choose(&mut self, again: Again) -> u64 {
        let most = self.most();
        let crowd = &mut self.crowds[(self.next + again.rather) as usize % CYCLE];
        if again.rather == again.after || *crowd >= most {
            return again.after;
        }
        *crowd += 1;
        again.rather
    }

    /// Streams in one place at most by their own wish.
    fn most(&self) -> usize {
        TOGETHER + CROWDED * self.streams / CYCLE
    }

    fn tick_of(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.start).as_nanos() / TICK.as_nanos()) as u64
    }

    fn place(&self, tick: u64) -> usize {
        (tick % PLACES as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn again(after: u64) -> Again {
        Again { after, rather: after }
    }

    #[test]
    fn streams_are_spread_over_their_packet_time_and_keep_their_pace() {
        let start = clock::now();
        let mut wheel = Wheel::new(start);
        assert_eq!(wheel.next_deadline(), None);
        for slot in 0..400 {
            wheel.add(slot, 1, 20, start);
            // Few send together, many are spread.
            let used = wheel.places.iter().filter(|place| !place.is_empty()).count();
            assert_eq!(used, (slot as usize / TOGETHER + 1).min(20));
        }
        assert_eq!(wheel.next_deadline(), Some(start + TICK));
        let mut sent = vec![Vec::new(); 400];
        for ms in 1..=200_u64 {
            let mut now = 0;
            let mut foretold = [None; 2];
            wheel.turn(start + TICK * ms as u32, false, |slot, _, [next, after], moment| {
                if foretold[0].is_some() {
                    assert_eq!([Some(slot), next], foretold);
                }
                foretold = [next, after];
                assert_eq!(moment, start + TICK * ms as u32);
                sent[slot as usize].push(ms);
                now += 1;
                Some(again(20))
            });
            assert_eq!(now, 20, "{ms}");
            assert_eq!(foretold, [None; 2], "the last one");
        }
        for times in sent {
            assert_eq!(times.len(), 10);
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 20), "{times:?}");
        }
    }

    #[test]
    fn a_late_turn_makes_up_for_what_was_missed_but_not_for_a_sleep() {
        let start = clock::now();
        let mut wheel = Wheel::new(start);
        wheel.add(0, 1, 20, start);
        let mut sent = 0;
        let mut count = |slot, id, _, _| {
            assert_eq!((slot, id), (0, 1));
            sent += 1;
            Some(again(20))
        };
        wheel.turn(start + TICK * 65, false, &mut count);
        wheel.turn(start + Duration::from_secs(10), false, &mut count);
        assert!((4..=5).contains(&sent), "{sent}");
        assert!(wheel.next_deadline().unwrap() <= start + Duration::from_secs(10) + TICK * 20);
        wheel.turn(start + Duration::from_secs(10) + TICK * 20, false, |_, _, _, _| None);
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn a_stream_moves_to_another_place_unless_that_is_crowded_and_sends_early_in_company() {
        let start = clock::now();
        let mut wheel = Wheel::new(start);
        (0..400).for_each(|slot| wheel.add(slot, 1, 20, start));
        // All of them would rather send in one millisecond, round after round.
        for round in 1..=5 {
            wheel.turn(start + TICK * 20 * round, false, |_, _, _, moment| {
                let rather = (start + TICK * 20 * (round + 1) - moment).as_millis() as u64;
                Some(Again { after: 20, rather })
            });
        }
        let lens: Vec<usize> = (101..=120).map(|tick| wheel.places[wheel.place(tick)].len()).collect();
        assert_eq!((lens.iter().sum::<usize>(), lens[19]), (400, wheel.most()), "{lens:?}");
        let mut early = 0;
        wheel.turn(start + TICK * 119, true, |_, _, _, moment| {
            early += usize::from(moment == start + TICK * 120);
            Some(again(20))
        });
        assert_eq!(early, lens[19]);
        assert!(wheel.next_deadline().unwrap() > start + TICK * 120);
    }
}
