//! When audio streams tick: a few together, so that few calls cost few wake-ups, and many spread over the cycle, so that
//! a thousand calls make no bursts of a thousand packets.

use std::time::{Duration, Instant};

/// Ticks repeat after this; packet times that do not divide it use half of it.
const CYCLE: Duration = Duration::from_millis(20);
/// Moments of a cycle, in milliseconds, in the order they are taken into use: each far from those before it.
const ORDER: [u8; 20] = [0, 10, 5, 15, 2, 12, 7, 17, 4, 14, 9, 19, 1, 11, 6, 16, 3, 13, 8, 18];
/// Streams that share a moment before another one is taken into use: of few calls the wake-ups are most of the cost.
const TOGETHER: usize = 16;

/// The streams at each moment.
#[derive(Debug)]
pub(super) struct Phases {
    anchor: Instant,
    counts: [usize; ORDER.len()],
    /// By slot: which moment it has.
    taken: Vec<Option<u8>>,
}

impl Phases {
    pub(super) fn new(anchor: Instant) -> Self {
        Self { anchor, counts: [0; ORDER.len()], taken: Vec::new() }
    }

    /// Gives the stream in `slot` its moment: the last one at or before `next`, where it was to tick, and less than a cycle
    /// before it.
    pub(super) fn enter(&mut self, slot: usize, next: Instant, tick: Duration) -> Instant {
        self.leave(slot);
        let streams: usize = self.counts.iter().sum();
        let used = (streams / TOGETHER + 1).min(ORDER.len());
        let at = (0..used).min_by_key(|at| self.counts[*at]).unwrap_or(0);
        self.counts[at] += 1;
        if self.taken.len() <= slot {
            self.taken.resize(slot + 1, None);
        }
        self.taken[slot] = Some(at as u8);
        let whole = tick.as_nanos().is_multiple_of(CYCLE.as_nanos());
        let cycle = if whole { CYCLE } else { CYCLE / 2 }.as_nanos();
        let moment = u128::from(ORDER[at]) * 1_000_000;
        let since = next.saturating_duration_since(self.anchor).as_nanos();
        let late = (since + 2 * CYCLE.as_nanos() - moment) % cycle;
        next - Duration::from_nanos(late as u64)
    }

    /// The stream in `slot` is gone.
    pub(super) fn leave(&mut self, slot: usize) {
        if let Some(at) = self.taken.get_mut(slot).and_then(Option::take) {
            self.counts[usize::from(at)] -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn few_streams_tick_together_and_many_are_spread() {
        let anchor = clock::now();
        let mut phases = Phases::new(anchor);
        let tick = Duration::from_millis(20);
        let mut moments = std::collections::BTreeMap::new();
        for slot in 0..400_u32 {
            let next = anchor + Duration::from_micros(20_000 + 137 * u64::from(slot));
            let aligned = phases.enter(slot as usize, next, tick);
            assert!(aligned <= next && next - aligned < tick);
            let moment = (aligned - anchor).as_micros() % 20_000;
            *moments.entry(moment).or_insert(0) += 1;
            // A new moment only when the others have sixteen.
            assert!(moments.len() <= slot as usize / TOGETHER + 1);
        }
        assert_eq!(moments.len(), 20);
        assert!(moments.iter().all(|(moment, count)| moment % 1000 == 0 && *count == 20), "{moments:?}");
        (0..400).for_each(|slot| phases.leave(slot));
        assert_eq!(phases.counts, [0; 20]);
    }

    #[test]
    fn other_packet_times_meet_the_same_moments() {
        let anchor = clock::now();
        for ms in [10, 30, 40, 50, 60] {
            let mut phases = Phases::new(anchor);
            let tick = Duration::from_millis(ms);
            let next = anchor + Duration::from_micros(77_777);
            let aligned = phases.enter(0, next, tick);
            assert!(aligned <= next && next - aligned < tick, "{ms}");
            assert_eq!((aligned - anchor).as_micros() % 10_000, 0, "{ms}");
        }
    }
}
