//! How many bits per second to send, from what the far end reports, and what picture to make of them.
//!
//! Loss-based like draft-ietf-rmcat-gcc section 6: above 10 % the rate falls by half the loss, below 2 % it grows by 8 % a
//! second, in between it stays. A limit of the far end (TMMBR) is never exceeded. Who signs needs movement more than detail
//! (EN 301 549 section 6.5): the picture gets worse and then smaller before it gets slower, and never slower than 20 a second
//! as long as the smallest size fits.

use std::time::{Duration, Instant};

/// Below this many bits per second sign language cannot be read (25 pictures a second want 100 kbit/s).
const FLOOR: u64 = 100_000;
const LOSS_HIGH: f64 = 0.10;
const LOSS_LOW: f64 = 0.02;
/// Growth in a second; reports may be seconds apart.
const GROWTH: f64 = 1.08;
/// What a report stands for at most.
const LONGEST: Duration = Duration::from_secs(5);
/// Bits per second before the first report: two thirds of what was agreed, within these.
const START: std::ops::RangeInclusive<u64> = 500_000..=1_000_000;
/// Changes smaller than this share are not told.
const TOLD: f64 = 0.05;

/// The rate of one video stream.
#[derive(Debug, Clone)]
pub struct Adaptation {
    most: u64,
    limit: Option<u64>,
    target: f64,
    told: u64,
    reported: Option<Instant>,
}

impl Adaptation {
    /// Never goes above `most`, and begins below it.
    #[must_use]
    pub fn new(most: u64) -> Self {
        let start = (most / 3 * 2).clamp(*START.start(), *START.end()).min(most);
        Self { most, limit: None, target: start as f64, told: start, reported: None }
    }

    /// The far end asked for a limit (bits per second). Returns the new target if it changed noticeably.
    pub fn on_limit(&mut self, limit: u64) -> Option<u64> {
        self.limit = Some(limit);
        self.settle()
    }

    /// The far end reported a share of packets lost, 0.0 to 1.0. Returns the new target if it changed noticeably.
    pub fn on_loss(&mut self, share: f64, now: Instant) -> Option<u64> {
        let before = self.reported.replace(now);
        let since =
            before.map_or(Duration::ZERO, |before| now.saturating_duration_since(before)).min(LONGEST);
        if share > LOSS_HIGH {
            self.target *= 1.0 - 0.5 * share.min(1.0);
        } else if share < LOSS_LOW {
            self.target *= GROWTH.powf(since.as_secs_f64());
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
pub(super) const LEAST_FRAME_RATE: u32 = 20;
/// A size is used down to this share of the bits it wants: less quality, then a smaller picture, and only the smallest one
/// gets slower.
const LEAST_QUALITY: (u64, u64) = (2, 3);

/// `most` and the smaller sizes of the ladder, largest first, at its frame rate.
pub(super) fn sizes(most: Rung) -> impl Iterator<Item = Rung> + use<> {
    let smaller = LADDER.into_iter().filter(move |(width, height, _)| {
        *width <= most.width && *height <= most.height && (*width, *height) != (most.width, most.height)
    });
    std::iter::once(most).chain(smaller.map(move |(width, height, _)| Rung { width, height, ..most }))
}

/// Bits per second that a size wants at its frame rate: as much as the next size of the ladder that is not smaller.
pub(super) fn usual_rate(of: Rung) -> u64 {
    let samples = |width: u32, height: u32| u64::from(width) * u64::from(height);
    let largest = LADDER[0];
    let wanted = LADDER
        .into_iter()
        .rfind(|(width, height, _)| samples(*width, *height) >= samples(of.width, of.height))
        .map_or(largest.2 * samples(of.width, of.height) / samples(largest.0, largest.1), |size| size.2);
    wanted * u64::from(of.frame_rate) / 30
}

/// The best picture for `bits_per_second`, no larger and no faster than `most`: quality goes first, then size, and the frame
/// rate last.
#[must_use]
pub fn rung(bits_per_second: u64, most: Rung) -> Rung {
    let least = |size: Rung| usual_rate(size) * LEAST_QUALITY.0 / LEAST_QUALITY.1;
    let mut smallest = most;
    for size in sizes(most) {
        smallest = size;
        if bits_per_second >= least(size) {
            return size;
        }
    }
    let most_rate = u64::from(most.frame_rate.max(5));
    let frame_rate = bits_per_second * most_rate / least(smallest).max(1);
    Rung { frame_rate: frame_rate.clamp(5, most_rate) as u32, ..smallest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// Reports of that loss, a second apart.
    fn report(adaptation: &mut Adaptation, share: f64, now: &mut Instant, count: u32) -> Option<u64> {
        (0..count).fold(None, |_, _| {
            *now += Duration::from_secs(1);
            adaptation.on_loss(share, *now)
        })
    }

    #[test]
    fn it_begins_with_part_of_what_was_agreed() {
        for (most, start) in
            [(64_000, 64_000), (600_000, 500_000), (1_500_000, 1_000_000), (9_000_000, 1_000_000)]
        {
            assert_eq!(Adaptation::new(most).target(), start);
        }
    }

    #[test]
    fn loss_brings_the_rate_down_and_its_absence_up_again() {
        let mut adaptation = Adaptation::new(750_000);
        let mut now = clock::now();
        assert_eq!(report(&mut adaptation, 0.05, &mut now, 1), None);
        assert_eq!(report(&mut adaptation, 0.20, &mut now, 1), Some(450_000));
        report(&mut adaptation, 0.5, &mut now, 100);
        assert_eq!(adaptation.target(), FLOOR);
        report(&mut adaptation, 0.0, &mut now, 9);
        assert!((190_000..=FLOOR * 2).contains(&adaptation.target()), "{}", adaptation.target());
        report(&mut adaptation, 0.0, &mut now, 100);
        assert_eq!(adaptation.target(), 750_000);
    }

    #[test]
    fn rare_reports_let_it_grow_as_fast_as_frequent_ones() {
        let mut now = clock::now();
        let (mut frequent, mut rare) = (Adaptation::new(5_000_000), Adaptation::new(5_000_000));
        for n in 0..=20_u32 {
            frequent.on_loss(0.0, now);
            if n % 5 == 0 {
                rare.on_loss(0.0, now);
            }
            now += Duration::from_secs(1);
        }
        assert!((4_600_000..4_700_000).contains(&rare.target()), "{}", rare.target());
        assert!(frequent.target().abs_diff(rare.target()) < 300_000, "{}", frequent.target());
        // A report after a long silence says nothing of the whole of it.
        let mut late = Adaptation::new(5_000_000);
        late.on_loss(0.0, now);
        late.on_loss(0.0, now + Duration::from_secs(500));
        assert!(late.target() < 1_500_000, "{}", late.target());
    }

    #[test]
    fn a_limit_of_the_far_end_is_obeyed_even_below_the_floor() {
        let mut adaptation = Adaptation::new(750_000);
        let mut now = clock::now();
        assert_eq!(adaptation.on_limit(64_000), Some(64_000));
        assert_eq!(report(&mut adaptation, 0.0, &mut now, 2), None);
        assert_eq!(adaptation.target(), 64_000);
        adaptation.on_limit(2_000_000);
        report(&mut adaptation, 0.0, &mut now, 2);
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
            assert!(now.frame_rate == 30 || smallest, "{bits} {now:?}");
            // 28 kbit/s: a quarter of what is called the least for signing.
            assert!(now.frame_rate >= LEAST_FRAME_RATE || bits <= 28_000, "{bits} {now:?}");
            before = now;
        }
        assert_eq!(before.width, 176);
        assert!(rung(1, most).frame_rate >= 5);
        let odd = Rung { width: 160, height: 120, frame_rate: 10 };
        assert_eq!((rung(1_000_000, odd), usual_rate(odd)), (odd, 21_333));
        let wide = Rung { width: 640, height: 360, frame_rate: 30 };
        assert_eq!((rung(500_000, wide), rung(250_000, wide).width), (wide, 480));
    }
}
