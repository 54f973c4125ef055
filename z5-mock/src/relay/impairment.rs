//! What a bad network does to media, decided in user space from a seed: loss, delay, jitter, reordering, duplication.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng;

/// How media is impaired on its way through the relay; the default is not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Impairment {
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
    /// Every packet is this late.
    pub delay: Duration,
    /// And up to this much later, evenly spread. More than the packets' distance also reorders them.
    pub jitter: Duration,
    /// Share of packets that overtake the delay and so arrive before earlier ones, 0 to 1.
    pub reorder: f64,
    /// Share of packets that arrive twice, 0 to 1.
    pub duplicate: f64,
}

/// The impairment of a running relay, which may change; cheap to clone, one for all of its lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions(Arc<Mutex<Impairment>>);

impl Conditions {
    pub(crate) fn new(impairment: Impairment) -> Self {
        Self(Arc::new(Mutex::new(impairment)))
    }

    /// From the next packet on.
    pub(crate) fn set(&self, impairment: Impairment) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = impairment;
    }

    pub(super) fn fate(&self, dice: &mut impl Rng) -> Fate {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fate(dice)
    }
}

/// What happens to one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    /// One delay for each copy.
    Delivered {
        first: Duration,
        second: Option<Duration>,
    },
}

impl Impairment {
    pub(super) fn fate(&self, dice: &mut impl Rng) -> Fate {
        if chance(dice, self.loss) {
            return Fate::Lost;
        }
        let first = if chance(dice, self.reorder) { Duration::ZERO } else { self.lateness(dice) };
        let second = chance(dice, self.duplicate).then(|| self.lateness(dice));
        Fate::Delivered { first, second }
    }

    fn lateness(&self, dice: &mut impl Rng) -> Duration {
        self.delay + self.jitter.mul_f64(share(dice))
    }
}

fn chance(dice: &mut impl Rng, probability: f64) -> bool {
    probability > 0.0 && share(dice) < probability
}

/// Evenly spread in 0..1.
fn share(dice: &mut impl Rng) -> f64 {
    f64::from(dice.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha12Rng;

    use super::*;

    #[test]
    fn conditions_change_for_everyone_who_has_them() {
        let conditions = Conditions::default();
        let of_a_line = conditions.clone();
        let mut dice = ChaCha12Rng::seed_from_u64(7);
        assert_ne!(of_a_line.fate(&mut dice), Fate::Lost);
        conditions.set(Impairment { loss: 1.0, ..Impairment::default() });
        assert_eq!(of_a_line.fate(&mut dice), Fate::Lost);
    }

    #[test]
    fn fates_follow_the_shares_and_repeat_for_a_seed() {
        let impairment = Impairment {
            loss: 0.1,
            delay: Duration::from_millis(10),
            jitter: Duration::from_millis(5),
            duplicate: 0.2,
            ..Impairment::default()
        };
        let run = || {
            let mut dice = ChaCha12Rng::seed_from_u64(7);
            (0..10_000).map(|_| impairment.fate(&mut dice)).collect::<Vec<_>>()
        };
        let fates = run();
        assert_eq!(fates, run());
        let lost = fates.iter().filter(|fate| **fate == Fate::Lost).count();
        assert!((900..1100).contains(&lost), "{lost}");
        for fate in &fates {
            if let Fate::Delivered { first, .. } = fate {
                assert!((Duration::from_millis(10)..=Duration::from_millis(15)).contains(first));
            }
        }
        let mut dice = ChaCha12Rng::seed_from_u64(7);
        let untouched = Fate::Delivered { first: Duration::ZERO, second: None };
        assert!((0..100).all(|_| Impairment::default().fate(&mut dice) == untouched));
    }
}
