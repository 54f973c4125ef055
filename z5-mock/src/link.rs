//! One direction of a path as a machine: what becomes of each packet under an [`Impairment`](crate::Impairment), decided from a seed.
//!
//! A packet may be lost, by itself or in a burst; else it waits its turn at the bottleneck, then for the delay and its jitter. It
//! carries nothing itself: whoever asks delivers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::impairment::{Burst, Conditions, Rate};

/// IPv4 and UDP headers, which a bottleneck carries too (RFC 791, RFC 768).
const HEADERS: usize = 28;
/// What the bucket of a bottleneck holds: one full packet passes at once after a pause.
const BUCKET: usize = 1500;
/// Packets under way at a time; more are lost, as in a full router.
const MAX_UNDER_WAY: usize = 4096;

/// What happens to one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    /// One delay for each copy.
    Delivered {
        first: Duration,
        second: Option<Duration>,
    },
}

/// Until when a bottleneck is busy with what it has been given; all ways that share it wait for each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bottleneck(Arc<Mutex<Option<Instant>>>);

impl Bottleneck {
    /// Whether anybody else has it.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// How long so many bytes wait for their turn and pass; none when the queue is full.
    fn pass(&self, bytes: usize, rate: &Rate, now: Instant) -> Option<Duration> {
        let mut busy = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The tokens of a bucket: an idle bottleneck is ahead of its time by one full packet.
        let idle = now.checked_sub(rate.lasts(BUCKET)).unwrap_or(now);
        let free = busy.map_or(idle, |busy| busy.max(idle)) + rate.lasts(bytes);
        let wait = free.saturating_duration_since(now);
        if wait > rate.queue {
            return None;
        }
        *busy = Some(free);
        Some(wait)
    }

    /// For a stream, which waits as long as it takes.
    pub(crate) fn pass_in_turn(&self, bytes: usize, rate: &Rate, now: Instant) -> Duration {
        let patient = Rate { queue: Duration::MAX, ..*rate };
        self.pass(bytes, &patient, now).unwrap_or_default()
    }

    /// How long what comes next will wait.
    pub(crate) fn backlog(&self, now: Instant) -> Duration {
        let busy = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        busy.map_or(Duration::ZERO, |busy| busy.saturating_duration_since(now))
    }
}

/// One direction of a path.
#[derive(Debug)]
pub(crate) struct Link {
    conditions: Conditions,
    bottleneck: Bottleneck,
    dice: ChaCha12Rng,
    /// A burst of losses lasts.
    bad: bool,
}

impl Link {
    pub(crate) fn new(conditions: Conditions, bottleneck: Bottleneck, seed: u64) -> Self {
        Self { conditions, bottleneck, dice: ChaCha12Rng::seed_from_u64(seed), bad: false }
    }

    /// What becomes of a datagram with so many bytes of payload that sets out now.
    pub(crate) fn fate(&mut self, bytes: usize, now: Instant) -> Fate {
        let Self { conditions, bottleneck, dice, bad } = self;
        conditions.with(|given| {
            if given.burst.as_ref().is_some_and(|burst| lost_in_burst(burst, bad, dice)) {
                return Fate::Lost;
            }
            // A burst has its own share; one that was ended by a change of conditions has none.
            *bad &= given.burst.is_some();
            if !*bad && chance(dice, given.loss) {
                return Fate::Lost;
            }
            let waited = match &given.rate {
                Some(rate) => match bottleneck.pass(bytes + HEADERS, rate, now) {
                    Some(waited) => waited,
                    None => return Fate::Lost,
                },
                None => Duration::ZERO,
            };
            let late = |dice: &mut ChaCha12Rng| waited + given.delay + given.jitter.mul_f64(draw(dice));
            let first = if chance(dice, given.reorder) { waited } else { late(dice) };
            let second = chance(dice, given.duplicate).then(|| late(dice));
            Fate::Delivered { first, second }
        })
    }
}

/// How late each copy of a datagram is that passes one link after the other; none where it is lost.
pub(crate) fn pass(links: &mut [Link], bytes: usize, now: Instant) -> impl Iterator<Item = Duration> + use<> {
    let mut copies = [Some(Duration::ZERO), None, None, None];
    for link in links {
        let mut next = [None; 4];
        let mut free = next.iter_mut();
        for late in copies.into_iter().flatten() {
            if let Fate::Delivered { first, second } = link.fate(bytes, now + late) {
                let further = [Some(first), second].into_iter().flatten();
                // The copies go first: who asks for a place before it knows that there is one more loses the place.
                further.zip(free.by_ref()).for_each(|(more, free)| *free = Some(late + more));
            }
        }
        copies = next;
    }
    copies.into_iter().flatten()
}

/// Takes the path to its next state and says whether it loses this packet.
fn lost_in_burst(burst: &Burst, bad: &mut bool, dice: &mut impl Rng) -> bool {
    if !*bad {
        *bad = chance(dice, burst.begins);
    }
    let lost = *bad && chance(dice, burst.loss);
    if *bad {
        *bad = !chance(dice, burst.ends);
    }
    lost
}

pub(crate) fn chance(dice: &mut impl Rng, probability: f64) -> bool {
    probability > 0.0 && draw(dice) < probability
}

/// Evenly spread in 0..1.
pub(crate) fn draw(dice: &mut impl Rng) -> f64 {
    f64::from(dice.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

/// Packets that are late, by when they arrive; those of one moment in the order in which they set out.
#[derive(Debug)]
pub(crate) struct UnderWay<T> {
    by_time: BTreeMap<Instant, VecDeque<T>>,
    count: usize,
}

impl<T> Default for UnderWay<T> {
    fn default() -> Self {
        Self { by_time: BTreeMap::new(), count: 0 }
    }
}

impl<T> UnderWay<T> {
    /// False when there is no room.
    pub(crate) fn push(&mut self, at: Instant, packet: T) -> bool {
        let room = self.count < MAX_UNDER_WAY;
        if room {
            self.count += 1;
            self.by_time.entry(at).or_default().push_back(packet);
        }
        room
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.by_time.keys().next().copied()
    }

    /// The next that has arrived.
    pub(crate) fn due(&mut self, now: Instant) -> Option<T> {
        let mut first = self.by_time.first_entry().filter(|entry| *entry.key() <= now)?;
        let packet = first.get_mut().pop_front();
        if first.get().is_empty() {
            first.remove();
        }
        self.count -= usize::from(packet.is_some());
        packet
    }
}

#[cfg(test)]
mod tests;
