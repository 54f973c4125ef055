//! How many bits per second to send, from what the far end reports, and what picture to make of them.
//!
//! Loss-based like draft-ietf-rmcat-gcc section 6: above 10 % the rate falls by half the loss, below 2 % it grows by 5 %,
//! in between it stays. A limit of the far end (TMMBR) is never exceeded. Who signs needs movement more than detail
//! (EN 301 549 section 6.5): the picture gets smaller before it gets slower, and never slower than 20 a second as long as
//! the smallest size fits.

/// Below this many bits per second sign language cannot be read (25 pictures a second want 100 kbit/s).
const FLOOR: u64 = 100_000;
const LOSS_HIGH: f64 = 0.10;
const LOSS_LOW: f64 = 0.02;
const GROWTH: f64 = 1.05;
/// Changes smaller than this share are not told.
const TOLD: f64 = 0.05;

/// The rate of one video stream.
#[derive(Debug, Clone)]
pub struct Adaptation {
    most: u64,
    limit: Option<u64>,
    target: f64,
    told: u64,
}

impl Adaptation {
    /// Starts at `start` bits per second and never goes above `most`.
    #[must_use]
    pub fn new(start: u64, most: u64) -> Self {
        let start = start.min(most);
        Self { most, limit: None, target: start as f64, told: start }
    }

    /// The far end asked for a limit (bits per second). Returns the new target if it changed noticeably.
    pub fn on_limit(&mut self, limit: u64) -> Option<u64> {
        self.limit = Some(limit);
        self.settle()
    }

    /// The far end reported a share of packets lost, 0.0 to 1.0. Returns the new target if it changed noticeably.
    pub fn on_loss(&mut self, share: f64) -> Option<u64> {
        if share > LOSS_HIGH {
            self.target *= 1.0 - 0.5 * share.min(1.0);
        } else if share < LOSS_LOW {
            self.target *= GROWTH;
        }
        self.settle()
    }

    /// Bits per second to send now.
    #[must_use]
    pub fn target(&self) -> u64 {
        self.told
    }

    fn settle(&mut self) -> Option<u64> {
        let most = self.limit.map_or(self.most, |limit| limit.min(self.most));
        // The floor is a wish; a limit of the far end is a must.
        self.target = self.target.max(FLOOR.min(self.most) as f64).min(most as f64);
        let target = self.target as u64;
        let change = target.abs_diff(self.told) as f64;
        (change > TOLD * self.told as f64 || (change > 0.0 && target == most)).then(|| {
            self.told = target;
            target
        })
    }
}

/// A picture to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// Luma samples per line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Pictures per second.
    pub frame_rate: u32,
}

/// Sizes and the bits per second each wants at 30 pictures a second, largest first.
pub(super) const LADDER: [(u32, u32, u64); 7] = [
    (1280, 720, 1_500_000),
    (960, 544, 900_000),
    (640, 480, 500_000),
    (480, 360, 300_000),
    (352, 288, 200_000),
    (320, 240, 150_000),
    (176, 144, 64_000),
];
/// Fewest pictures a second while a smaller picture is left (EN 301 549 section 6.5.3).
const LEAST_FRAME_RATE: u32 = 20;

/// The best picture for `bits_per_second`, no larger and no faster than `most`.
#[must_use]
pub fn rung(bits_per_second: u64, most: Rung) -> Rung {
    let sizes =
        LADDER.into_iter().filter(|(width, height, _)| *width <= most.width && *height <= most.height);
    let mut smallest = LADDER[LADDER.len() - 1];
    for size in sizes {
        let (width, height, wanted) = size;
        smallest = size;
        let least = wanted * u64::from(LEAST_FRAME_RATE.min(most.frame_rate)) / 30;
        if bits_per_second >= least {
            let frame_rate = (bits_per_second * 30 / wanted).min(u64::from(most.frame_rate)) as u32;
            return Rung { width, height, frame_rate };
        }
    }
    let frame_rate = (bits_per_second * 30 / smallest.2).clamp(5, u64::from(most.frame_rate.max(5))) as u32;
    Rung { width: smallest.0, height: smallest.1, frame_rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_brings_the_rate_down_and_its_absence_up_again() {
        let mut adaptation = Adaptation::new(500_000, 1_000_000);
        assert_eq!(adaptation.on_loss(0.05), None);
        assert_eq!(adaptation.on_loss(0.20), Some(450_000));
        for _ in 0..100 {
            adaptation.on_loss(0.5);
        }
        assert_eq!(adaptation.target(), FLOOR);
        for _ in 0..100 {
            adaptation.on_loss(0.0);
        }
        assert_eq!(adaptation.target(), 1_000_000);
    }

    #[test]
    fn a_limit_of_the_far_end_is_obeyed_even_below_the_floor() {
        let mut adaptation = Adaptation::new(500_000, 1_000_000);
        assert_eq!(adaptation.on_limit(64_000), Some(64_000));
        assert_eq!(adaptation.on_loss(0.0), None);
        assert_eq!(adaptation.target(), 64_000);
        adaptation.on_limit(2_000_000);
        adaptation.on_loss(0.0);
        assert!(adaptation.target() >= FLOOR);
    }

    #[test]
    fn the_picture_gets_smaller_before_it_gets_slower() {
        let most = Rung { width: 640, height: 480, frame_rate: 30 };
        assert_eq!(rung(800_000, most), most);
        let mut before = most;
        for bits in (20..500).rev().map(|kilo| kilo * 1000) {
            let now = rung(bits, most);
            assert!(now.width <= before.width, "{bits} {now:?}");
            let smallest = now.width == 176;
            assert!(now.frame_rate >= LEAST_FRAME_RATE || smallest, "{bits} {now:?}");
            before = now;
        }
        assert_eq!(before.width, 176);
        assert!(rung(1, most).frame_rate >= 5);
    }
}
