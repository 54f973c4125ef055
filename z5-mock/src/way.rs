//! One direction of a stream as a machine: when bytes arrive that set out now, as an [`Impairment`](crate::Impairment) says: delay, jitter and
//! a bottleneck.
//!
//! What is lost, doubled or overtakes on the way is TCP's to mend, so none of that is here; nothing comes in another order. `pipe` puts
//! two of them around a stream, `sim` two around a connection in simulated time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand_chacha::ChaCha12Rng;

use crate::impairment::Conditions;
use crate::link::{Bottleneck, draw};

/// What a segment carries (RFC 879, over Ethernet), and its IPv4 and TCP headers, which a bottleneck carries too.
pub(crate) const SEGMENT: usize = 1460;
const HEADERS: usize = 40;
/// Bytes under way at most, as a socket's buffer has.
const MAX_UNDER_WAY: usize = 64 * 1024;

/// One direction.
pub(crate) struct Way {
    conditions: Conditions,
    bottleneck: Bottleneck,
    dice: ChaCha12Rng,
    /// When the last ones arrive: later ones do not come before.
    last: Option<Instant>,
    under_way: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

impl Way {
    pub(crate) fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            bottleneck: Bottleneck::default(),
            dice: ChaCha12Rng::seed_from_u64(seed),
            last: None,
            under_way: VecDeque::new(),
            bytes: 0,
        }
    }

    fn arrives(&mut self, bytes: usize, now: Instant) -> Instant {
        let Self { conditions, bottleneck, dice, .. } = self;
        let late = conditions.with(|given| {
            let turn = given
                .rate
                .map_or(Duration::ZERO, |rate| bottleneck.pass_in_turn(bytes + HEADERS, &rate, now));
            turn + given.delay + given.jitter.mul_f64(draw(dice))
        });
        let at = (now + late).max(self.last.unwrap_or(now));
        self.last = Some(at);
        at
    }

    /// Sets bytes out, segment by segment.
    pub(crate) fn push(&mut self, bytes: &[u8], now: Instant) {
        for segment in bytes.chunks(SEGMENT) {
            let at = self.arrives(segment.len(), now);
            self.bytes += segment.len();
            self.under_way.push_back((at, segment.to_vec()));
        }
    }

    /// Whether more may set out: a sender waits in front of a bottleneck for as long as its queue is full.
    pub(crate) fn has_room(&self, now: Instant) -> bool {
        let queue = self.conditions.with(|given| given.rate.map(|rate| rate.queue));
        let waits = self.bottleneck.backlog(now);
        self.bytes < MAX_UNDER_WAY && queue.is_none_or(|queue| waits.is_zero() || waits < queue)
    }

    /// How long the bottleneck is busy with what it has been given.
    pub(crate) fn backlog(&self, now: Instant) -> Duration {
        self.bottleneck.backlog(now)
    }

    /// Nothing is late and nothing will be.
    pub(crate) fn is_clear(&self) -> bool {
        self.under_way.is_empty()
            && self
                .conditions
                .with(|given| given.delay.is_zero() && given.jitter.is_zero() && given.rate.is_none())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// When the first bytes arrive.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.under_way.front().map(|(at, _)| *at)
    }

    /// The first bytes, once they have arrived.
    pub(crate) fn first(&mut self) -> Option<&mut Vec<u8>> {
        self.under_way.front_mut().map(|(_, bytes)| bytes)
    }

    /// The first `count` bytes have been taken.
    pub(crate) fn take(&mut self, count: usize) {
        self.bytes -= count;
        if let Some((_, bytes)) = self.under_way.front_mut() {
            bytes.drain(..count);
            if bytes.is_empty() {
                self.under_way.pop_front();
            }
        }
    }

    /// What has arrived, segment by segment.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.next_deadline().filter(|at| *at <= now)?;
        let (_, bytes) = self.under_way.pop_front()?;
        self.bytes -= bytes.len();
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::impairment::{Impairment, Rate};

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn way(impairment: &Impairment, seed: u64) -> (Way, Instant) {
        (Way::new(Conditions::new(impairment.clone()), seed), clock::now().into_std())
    }

    #[test]
    fn bytes_are_late_and_stay_in_order() {
        let given = Impairment { delay: 50 * MILLISECOND, jitter: 30 * MILLISECOND, ..Impairment::default() };
        let times = |seed| {
            let (mut way, now) = way(&given, seed);
            (0..1000).map(|number| way.arrives(100, now + number * MILLISECOND) - now).collect::<Vec<_>>()
        };
        let seen = times(3);
        assert!(seen.is_sorted() && seen == times(3) && seen != times(4));
        for (number, at) in (0..).zip(&seen) {
            let sent = number * MILLISECOND;
            assert!((sent + 50 * MILLISECOND..=sent + 80 * MILLISECOND).contains(at), "{number}: {at:?}");
        }
    }

    /// 80 kbit/s are 10 bytes a millisecond: 150 ms for a full segment, of which the bucket lets one pass at once.
    #[test]
    fn a_bottleneck_carries_its_rate_and_a_sender_waits_while_its_queue_is_full() {
        let rate = Rate { bits_per_second: 80_000, queue: 500 * MILLISECOND };
        let (mut way, now) = way(&Impairment { rate: Some(rate), ..Impairment::default() }, 3);
        way.push(&[1; 10 * SEGMENT], now);
        let arrives: Vec<_> = way.under_way.iter().map(|(at, _)| (*at - now).as_millis()).collect();
        assert_eq!(arrives, (0..10).map(|number| 150 * number).collect::<Vec<_>>());
        assert!(!way.has_room(now) && !way.has_room(now + 850 * MILLISECOND));
        assert!(way.has_room(now + 851 * MILLISECOND));
        // Without a queue one segment goes after the other.
        let rate = Rate { queue: Duration::ZERO, ..rate };
        let (mut way, now) = self::way(&Impairment { rate: Some(rate), ..Impairment::default() }, 3);
        assert!(way.has_room(now));
        way.push(&[1; 2 * SEGMENT], now);
        assert!(!way.has_room(now) && way.has_room(now + 301 * MILLISECOND));
        // A socket's buffer has an end too.
        let (mut way, now) = self::way(&Impairment { delay: MILLISECOND, ..Impairment::default() }, 3);
        way.push(&[1; MAX_UNDER_WAY - 1], now);
        assert!(way.has_room(now));
        way.push(&[1; 1], now);
        assert!(!way.has_room(now));
    }
}
