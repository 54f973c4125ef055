//! Uncompressed pictures (I420), a moving test pattern, and a stamp in it that a machine reads back after encoding.
//!
//! The stamp is four rows of twenty cells, light or dark, in the upper left corner: 32 bits of picture number, 32 bits of
//! milliseconds, 8 bits of check sum, 8 of a fixed mark. Cells scale with the picture, so that they survive a low rate.

use std::time::Duration;

/// Cells of a row of the stamp, and columns the picture's width is divided into.
const CELLS: usize = 20;
const COLUMNS: usize = 22;
const ROWS: usize = 4;
/// Tells a stamp from a picture without one.
const MARK: u8 = 0b1011_0010;
/// Luma of light and dark cells, and what tells them apart.
const LIGHT: u8 = 225;
const DARK: u8 = 30;
const MIDDLE: u32 = 128;

/// A picture in planes: full luma, quarter chroma (I420).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    /// Luma, then both chroma planes.
    planes: Vec<u8>,
}

/// What the stamp of a picture says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the picture.
    pub number: u32,
    /// When it was drawn, since whatever its sender counts from; wraps after 49 days.
    pub at: Duration,
}

impl Picture {
    /// A black picture. Sizes are rounded down to even ones, at least 16 by 16 and at most 4096 by 4096.
    #[must_use]
    pub fn new(width: usize, height: usize) -> Self {
        let even = |size: usize| (size.clamp(16, 4096)) & !1;
        let (width, height) = (even(width), even(height));
        let mut planes = vec![128; width * height * 3 / 2];
        planes[..width * height].fill(16);
        Self { width, height, planes }
    }

    /// A picture of three planes with their strides; `None` when a plane is too short.
    #[must_use]
    pub fn of_planes(size: (usize, usize), planes: [&[u8]; 3], strides: [usize; 3]) -> Option<Self> {
        let mut picture = Self::new(size.0, size.1);
        if (picture.width, picture.height) != size {
            return None;
        }
        let mut to = 0;
        for (n, (plane, stride)) in planes.iter().zip(strides).enumerate() {
            let (width, height) = if n == 0 { size } else { (size.0 / 2, size.1 / 2) };
            for line in 0..height {
                let from = plane.get(line * stride..line * stride + width)?;
                picture.planes.get_mut(to..to + width)?.copy_from_slice(from);
                to += width;
            }
        }
        Some(picture)
    }

    /// Luma samples per line.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Lines.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// The planes one after the other, without gaps between lines.
    #[must_use]
    pub fn planes(&self) -> &[u8] {
        &self.planes
    }

    pub(super) fn planes_mut(&mut self) -> &mut [u8] {
        &mut self.planes
    }

    /// Luma and both chroma planes.
    #[must_use]
    pub fn split(&self) -> [&[u8]; 3] {
        let luma = self.width * self.height;
        let (y, chroma) = self.planes.split_at(luma);
        let (u, v) = chroma.split_at(luma / 4);
        [y, u, v]
    }

    /// Draws the test pattern: slanted bars that move with the number, colours by quarter, and the stamp.
    pub fn draw_pattern(&mut self, stamp: Stamp) {
        let (width, height) = (self.width, self.height);
        let shift = stamp.number as usize * 4;
        for (line, row) in self.planes[..width * height].chunks_exact_mut(width).enumerate() {
            for (column, sample) in row.iter_mut().enumerate() {
                *sample = if ((column + line + shift) / 32).is_multiple_of(2) { 90 } else { 160 };
            }
        }
        let (half_width, half_height) = (width / 2, height / 2);
        let (u, v) = self.planes[width * height..].split_at_mut(half_width * half_height);
        for (plane, across) in [(u, true), (v, false)] {
            for (line, row) in plane.chunks_exact_mut(half_width).enumerate() {
                for (column, sample) in row.iter_mut().enumerate() {
                    let second = if across { column > half_width / 2 } else { line > half_height / 2 };
                    *sample = if second { 150 } else { 105 };
                }
            }
        }
        self.draw_stamp(stamp);
    }

    /// Draws the stamp over what is there.
    pub fn draw_stamp(&mut self, stamp: Stamp) {
        let bits = stamp_bits(stamp);
        let (cell, width) = (self.width / COLUMNS, self.width);
        if self.height < ROWS * cell {
            return;
        }
        for n in 0..CELLS * ROWS {
            let light = bits >> (CELLS * ROWS - 1 - n) & 1 == 1;
            let (left, top) = (n % CELLS * cell, n / CELLS * cell);
            for line in top..top + cell {
                self.planes[line * width + left..][..cell].fill(if light { LIGHT } else { DARK });
            }
        }
    }

    /// Reads the stamp; `None` where there is none, or it is damaged.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        let cell = self.width / COLUMNS;
        if cell < 4 || self.height < ROWS * cell {
            return None;
        }
        let mut bits = 0_u128;
        for n in 0..CELLS * ROWS {
            // The middle of a cell: its edges are blurred by the codec.
            let (left, top) = (n % CELLS * cell + cell / 4, n / CELLS * cell + cell / 4);
            let (mut sum, mut count) = (0, 0);
            for line in top..top + cell / 2 {
                for sample in &self.planes[line * self.width + left..][..cell / 2] {
                    sum += u32::from(*sample);
                    count += 1;
                }
            }
            bits = bits << 1 | u128::from(sum / count > MIDDLE);
        }
        let number = (bits >> 48) as u32;
        let at = Duration::from_millis(u64::from((bits >> 16) as u32));
        let stamp = Stamp { number, at };
        (stamp_bits(stamp) == bits).then_some(stamp)
    }
}

fn stamp_bits(stamp: Stamp) -> u128 {
    let millis = stamp.at.as_millis() as u32;
    let body = u64::from(stamp.number) << 32 | u64::from(millis);
    let check = body.to_be_bytes().iter().fold(0x5a_u8, |sum, byte| sum.rotate_left(3) ^ byte);
    u128::from(body) << 16 | u128::from(check) << 8 | u128::from(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_from_every_size_and_survives_noise() {
        for (width, height) in [(176, 144), (352, 288), (640, 480), (1280, 720)] {
            for number in [0, 1, 77, u32::MAX] {
                let stamp = Stamp { number, at: Duration::from_millis(u64::from(number) * 7 % (1 << 32)) };
                let mut picture = Picture::new(width, height);
                picture.draw_pattern(stamp);
                for (n, sample) in picture.planes.iter_mut().enumerate() {
                    *sample = sample.saturating_add((n * 37 % 41) as u8).saturating_sub(20);
                }
                assert_eq!(picture.stamp(), Some(stamp), "{width}");
            }
        }
    }

    #[test]
    fn a_picture_without_stamp_or_with_a_damaged_one_has_none() {
        assert_eq!(Picture::new(640, 480).stamp(), None);
        assert_eq!(Picture::new(16, 16).stamp(), None);
        let mut picture = Picture::new(176, 144);
        picture.draw_pattern(Stamp { number: 5, at: Duration::ZERO });
        for line in 0..8 {
            picture.planes[line * 176..][..8].fill(LIGHT);
        }
        assert_eq!(picture.stamp(), None);
    }

    #[test]
    fn planes_with_gaps_are_taken_over() {
        let luma: Vec<u8> = (0..16 * 20).map(|n| n as u8).collect();
        let chroma = [7; 8 * 10];
        let picture = Picture::of_planes((16, 16), [&luma, &chroma, &chroma], [20, 10, 10]).unwrap();
        assert_eq!((picture.split()[0][16], picture.split()[1].len()), (20, 64));
        assert_eq!(Picture::of_planes((16, 16), [&luma[..100], &chroma, &chroma], [20, 10, 10]), None);
        assert_eq!(Picture::of_planes((15, 16), [&luma, &chroma, &chroma], [20, 10, 10]), None);
    }
}
