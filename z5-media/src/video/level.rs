//! What a decoder can take (ITU-T H.264 table A-1), and the picture that fits it.

use super::Rung;
use super::adapt::LADDER;

/// Pictures a second that are worth a smaller picture: who signs needs movement (EN 301 549 section 6.5.3).
const LEAST_FRAME_RATE: u32 = 20;

/// The limits of a level of H.264, as far as a sender must know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Macroblocks a second.
    pub macroblocks_per_second: u32,
    /// Macroblocks of one picture.
    pub macroblocks: u32,
    /// Bits per second.
    pub bits_per_second: u64,
}

/// Level number, macroblocks a second, macroblocks, kilobits a second (baseline).
const TABLE: [(u8, u32, u32, u64); 16] = [
    (10, 1485, 99, 64),
    (11, 3000, 396, 192),
    (12, 6000, 396, 384),
    (13, 11_880, 396, 768),
    (20, 11_880, 396, 2000),
    (21, 19_800, 792, 4000),
    (22, 20_250, 1620, 4000),
    (30, 40_500, 1620, 10_000),
    (31, 108_000, 3600, 14_000),
    (32, 216_000, 5120, 20_000),
    (40, 245_760, 8192, 20_000),
    (41, 245_760, 8192, 50_000),
    (42, 522_240, 8704, 50_000),
    (50, 589_824, 22_080, 135_000),
    (51, 983_040, 36_864, 240_000),
    (52, 2_073_600, 36_864, 240_000),
];

impl Level {
    /// By ten times its number, such as 31 for level 3.1; 9 is level 1b. A number of no level counts as the next lower one.
    #[must_use]
    pub fn of(number: u8) -> Self {
        let level = |(_, per_second, macroblocks, kilobits): (u8, u32, u32, u64)| Self {
            macroblocks_per_second: per_second,
            macroblocks,
            bits_per_second: kilobits * 1000,
        };
        if number == 9 {
            return Self { bits_per_second: 128_000, ..level(TABLE[0]) };
        }
        level(TABLE.into_iter().rfind(|row| row.0 <= number).unwrap_or(TABLE[0]))
    }

    /// The largest picture of at least 20 a second, or of what `most` asks for if that is less, that is within both.
    #[must_use]
    pub fn within(self, most: Rung) -> Rung {
        let least = LEAST_FRAME_RATE.min(most.frame_rate);
        let fits = |rung: &Rung| {
            let macroblocks = rung.width.div_ceil(16) * rung.height.div_ceil(16);
            macroblocks <= self.macroblocks && macroblocks * least <= self.macroblocks_per_second
        };
        let smaller = LADDER
            .into_iter()
            .map(|(width, height, _)| Rung { width, height, ..most })
            .filter(|rung| rung.width <= most.width && rung.height <= most.height);
        let smallest = Rung { width: LADDER[LADDER.len() - 1].0, height: LADDER[LADDER.len() - 1].1, ..most };
        let mut rung = std::iter::once(most).chain(smaller).find(fits).unwrap_or(smallest);
        let macroblocks = rung.width.div_ceil(16) * rung.height.div_ceil(16);
        rung.frame_rate = rung.frame_rate.min(self.macroblocks_per_second / macroblocks).max(1);
        rung
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_level_makes_the_picture_smaller_and_keeps_it_moving() {
        let most = Rung { width: 640, height: 480, frame_rate: 30 };
        for (level, width, height, frame_rate) in [
            (31, 640, 480, 30),
            (22, 480, 360, 29),
            (13, 352, 288, 30),
            // RFC 7742 section 6.2: level 1.2, and 20 a second at 320 by 240
            (12, 320, 240, 20),
            (11, 176, 144, 30),
            (10, 176, 144, 15),
            (0, 176, 144, 15),
        ] {
            assert_eq!(Level::of(level).within(most), Rung { width, height, frame_rate }, "{level}");
        }
        let small = Rung { width: 160, height: 120, frame_rate: 5 };
        assert_eq!(Level::of(10).within(small), small);
        assert_eq!(Level::of(9).bits_per_second, 128_000);
        assert_eq!(Level::of(255), Level::of(52));
    }
}
