//! When the packet thread blocks for its sockets, and when it looks at them once per tick instead.
//!
//! Quiet, it blocks: a packet is taken as soon as it comes. Under load the wake-ups cost more than the packets, so it
//! sleeps to the next tick and then takes what has gathered; when nothing has, it blocks until something comes, and the ticks
//! go on from there: calls that come together cost few wake-ups, however many they are.

use std::time::{Duration, Instant};

/// Length of a tick; half of it is added to the delay on average.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// How often the load is judged.
const WINDOW: Duration = Duration::from_millis(100);
/// Datagrams per window, both ways, from which ticks are cheaper: about 20 calls of 50 packets a second each way.
const BUSY: usize = 200;

/// The choice between blocking and ticking.
#[derive(Debug)]
pub(super) struct Pace {
    window: Instant,
    datagrams: usize,
    busy: bool,
    next_tick: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { window: now, datagrams: 0, busy: false, next_tick: now }
    }

    /// Counts what a turn has taken.
    pub(super) fn took(&mut self, datagrams: usize, now: Instant) {
        self.datagrams += datagrams;
        if now.saturating_duration_since(self.window) >= WINDOW {
            self.busy = self.datagrams >= BUSY;
            self.datagrams = 0;
            self.window = now;
        }
    }

    /// How long to sleep before the next look; `None`: block for the sockets.
    pub(super) fn pause(&mut self, now: Instant) -> Option<Duration> {
        if !self.busy {
            return None;
        }
        // Woken before its time, by a command: the tick stays where it is. Moved on, it would run ahead of the clock, a
        // millisecond for each command, and the thread would sleep while media waits.
        if self.next_tick <= now {
            self.next_tick += TICK;
            if self.next_tick <= now {
                // Behind: no tick is made up for.
                self.next_tick = now;
            }
        }
        Some(self.next_tick.saturating_duration_since(now))
    }

    /// It blocked until `now`, after it had begun to wait at `since`, or after the pause that it was told then.
    pub(super) fn woke(&mut self, since: Instant, now: Instant) {
        // A tick that came in time found what had gathered.
        if now.saturating_duration_since(since.max(self.next_tick)) >= TICK / 2 {
            self.next_tick = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn it_ticks_under_load_and_blocks_when_quiet() {
        let start = clock::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.pause(start), None);
        pace.took(BUSY - 1, start + WINDOW);
        assert_eq!(pace.pause(start + WINDOW), None);
        let busy = start + 2 * WINDOW;
        pace.took(BUSY, busy);
        assert_eq!(pace.pause(busy), Some(Duration::ZERO));
        assert_eq!(pace.pause(busy + TICK / 4), Some(TICK * 3 / 4));
        // However often commands wake it.
        assert!((0..100).all(|_| pace.pause(busy + TICK / 2) == Some(TICK / 2)));
        assert_eq!(pace.pause(busy + TICK), Some(TICK));
        // At that tick something had gathered; at the one after it nothing came for a while.
        pace.woke(busy + TICK, busy + 2 * TICK + TICK / 20);
        assert_eq!(pace.pause(busy + 2 * TICK + TICK / 20), Some(TICK * 19 / 20));
        let later = busy + 9 * TICK + TICK / 3;
        pace.woke(busy + 2 * TICK, later);
        assert_eq!(pace.pause(later), Some(TICK));
        // A turn that lasted longer than a tick is no sleep.
        pace.woke(later + 4 * TICK, later + 4 * TICK);
        assert_eq!(pace.pause(later + 4 * TICK), Some(Duration::ZERO));
        pace.took(3, busy + WINDOW);
        assert_eq!(pace.pause(busy + WINDOW), None);
    }
}
