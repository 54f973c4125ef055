//! Pictures made smaller: the mean of the samples that fall into each new one. Larger only to fit a film: the nearest sample.

use super::{Picture, Rung};

impl Picture {
    /// The picture with about as many samples as `rung` asks for, its shape kept, and no larger than it is.
    #[must_use]
    pub fn scaled_to(&self, rung: Rung) -> Self {
        let wanted = f64::from(rung.width) * f64::from(rung.height);
        let ratio = (wanted / (self.width() * self.height()) as f64).sqrt();
        if ratio >= 1.0 {
            return self.clone();
        }
        let size = |whole: usize| ((whole as f64 * ratio / 2.0).round() as usize) * 2;
        let mut small = Self::new(size(self.width()), size(self.height()));
        let to = (small.width(), small.height());
        let from = (self.width(), self.height());
        let [y, u, v] = self.split();
        let halves = |size: (usize, usize)| (size.0 / 2, size.1 / 2);
        let luma = to.0 * to.1;
        let (luma, chroma) = small.planes_mut().split_at_mut(luma);
        let quarter = chroma.len() / 2;
        let (to_u, to_v) = chroma.split_at_mut(quarter);
        shrink(y, from, luma, to);
        shrink(u, halves(from), to_u, halves(to));
        shrink(v, halves(from), to_v, halves(to));
        small
    }
}

impl Picture {
    /// The picture stretched or shrunk to exactly that size (even, as [`Picture::new`] makes them): the nearest sample of each.
    #[must_use]
    pub fn stretched_to(&self, (width, height): (usize, usize)) -> Self {
        if (self.width(), self.height()) == (width, height) {
            return self.clone();
        }
        let mut other = Self::new(width, height);
        let (to, from) = ((other.width(), other.height()), (self.width(), self.height()));
        let halves = |size: (usize, usize)| (size.0 / 2, size.1 / 2);
        let [y, u, v] = self.split();
        let (luma, chroma) = other.planes_mut().split_at_mut(to.0 * to.1);
        let (to_u, to_v) = chroma.split_at_mut(to.0 * to.1 / 4);
        for (plane, target, from, to) in
            [(y, luma, from, to), (u, to_u, halves(from), halves(to)), (v, to_v, halves(from), halves(to))]
        {
            for (row, line) in target.chunks_exact_mut(to.0).enumerate() {
                let source = &plane[row * from.1 / to.1 * from.0..][..from.0];
                for (column, sample) in line.iter_mut().enumerate() {
                    *sample = source[column * from.0 / to.0];
                }
            }
        }
        other
    }
}

/// Each sample of `to` becomes the mean of those of `from` it covers.
fn shrink(from: &[u8], (width, height): (usize, usize), to: &mut [u8], (columns, rows): (usize, usize)) {
    for (row, line) in to.chunks_exact_mut(columns).enumerate() {
        let lines = row * height / rows..((row + 1) * height).div_ceil(rows).min(height);
        for (column, sample) in line.iter_mut().enumerate() {
            let across = column * width / columns..((column + 1) * width).div_ceil(columns).min(width);
            let covered = lines.clone().flat_map(|line| &from[line * width..][across.clone()]);
            let (sum, count) =
                covered.fold((0_u32, 0), |(sum, count), sample| (sum + u32::from(*sample), count + 1));
            *sample = (sum / count.max(1)) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::video::Stamp;

    #[test]
    fn a_smaller_picture_has_the_same_shape_and_its_stamp_can_be_read() {
        let mut picture = Picture::new(1280, 720);
        let stamp = Stamp { number: 0xdead_beef, at: Duration::from_millis(123_456) };
        picture.draw_pattern(stamp);
        let small = picture.scaled_to(Rung { width: 640, height: 480, frame_rate: 30 });
        assert_eq!((small.width(), small.height(), small.stamp()), (740, 416, Some(stamp)));
        let large = Rung { width: 1920, height: 1080, frame_rate: 30 };
        assert_eq!(picture.scaled_to(large), picture);
        let tiny = Picture::new(16, 4096).scaled_to(Rung { width: 1, height: 1, frame_rate: 1 });
        assert_eq!((tiny.width(), tiny.height()), (16, 16));
    }
}
