//! What a sequence parameter set says of picture size and timing (ITU-T H.264 section 7.3.2.1.1 and annex E).

/// Picture size and, where the set tells it, pictures per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SequenceParameters {
    /// Luma samples per line, after cropping.
    pub width: u32,
    /// Lines, after cropping.
    pub height: u32,
    /// Pictures per second by `time_scale / (2 * num_units_in_tick)`; `None` where the set has no timing.
    pub frame_rate: Option<f64>,
}

/// Reads the NAL unit of a sequence parameter set; `None` when it is none, cut short or absurd.
#[must_use]
pub fn sequence_parameters(unit: &[u8]) -> Option<SequenceParameters> {
    let (head, body) = unit.split_first()?;
    if head & 0x1f != 7 {
        return None;
    }
    let mut bits = Bits { bytes: unescape(body), at: 0 };
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.golomb()?;
    let mut chroma = 1;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = bits.golomb()?;
        if chroma == 3 {
            bits.take(1)?;
        }
        bits.golomb()?;
        bits.golomb()?;
        bits.take(1)?;
        if bits.take(1)? == 1 {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.take(1)? == 1 {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.take(1)?;
            bits.golomb()?;
            bits.golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?;
    bits.take(1)?;
    let (columns, rows) = (bits.golomb()?.checked_add(1)?, bits.golomb()?.checked_add(1)?);
    let frames_only = bits.take(1)?;
    if frames_only == 0 {
        bits.take(1)?;
    }
    bits.take(1)?;
    let mut crop = [0_u32; 4];
    if bits.take(1)? == 1 {
        for side in &mut crop {
            *side = bits.golomb()?;
        }
    }
    // Cropping counts in chroma samples, and in pairs of lines for fields (equations 7-19 to 7-22).
    let unit_x = if chroma == 1 || chroma == 2 { 2 } else { 1 };
    let unit_y = if chroma == 1 { 2 } else { 1 } * (2 - frames_only);
    let cut = |whole: u32, a: u32, b: u32, unit: u32| {
        whole.checked_sub(a.checked_add(b)?.checked_mul(unit)?).filter(|rest| (1..=16384).contains(rest))
    };
    let width = cut(columns.checked_mul(16)?, crop[0], crop[1], unit_x)?;
    let height = cut(rows.checked_mul(16)?.checked_mul(2 - frames_only)?, crop[2], crop[3], unit_y)?;
    let frame_rate = if bits.take(1) == Some(1) { timing(&mut bits) } else { None };
    Some(SequenceParameters { width, height, frame_rate })
}

/// Timing of the video usability information (annex E.1.1).
fn timing(bits: &mut Bits) -> Option<f64> {
    if bits.take(1)? == 1 && bits.take(8)? == 255 {
        bits.take(32)?;
    }
    if bits.take(1)? == 1 {
        bits.take(1)?;
    }
    if bits.take(1)? == 1 {
        bits.take(4)?;
        if bits.take(1)? == 1 {
            bits.take(24)?;
        }
    }
    if bits.take(1)? == 1 {
        bits.golomb()?;
        bits.golomb()?;
    }
    if bits.take(1)? == 0 {
        return None;
    }
    let (tick, scale) = (bits.take(32)?, bits.take(32)?);
    let rate = f64::from(scale) / (2.0 * f64::from(tick));
    (rate.is_finite() && (1.0..=240.0).contains(&rate)).then_some(rate)
}

fn skip_scaling_list(bits: &mut Bits, size: usize) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            let coded = i64::from(bits.golomb()?);
            let delta = if coded % 2 == 1 { (coded + 1) / 2 } else { -(coded / 2) };
            next = (last + delta).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// Takes out emulation prevention bytes (section 7.4.1).
fn unescape(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut zeros = 0;
    for byte in body {
        if *byte == 3 && zeros >= 2 {
            // What follows starts counting anew: 00 00 03 03 is 00 00 03.
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    /// The next `count` bits, at most 32.
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// An unsigned Exp-Golomb number (section 9.1).
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        (1_u32 << zeros).checked_add(self.take(zeros)?)?.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By x264, 320x240 at 25 pictures a second (high profile), and by OpenH264 without timing (baseline, 352x288).
    #[test]
    fn size_and_timing_of_real_sets_are_read() {
        let x264 = [
            0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0xfb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
            0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x42, 0x99, 0x60,
        ];
        let read = sequence_parameters(&x264).unwrap();
        assert_eq!((read.width, read.height, read.frame_rate), (320, 240, Some(25.0)));
        let baseline = [0x67, 0x42, 0xc0, 0x0b, 0x8c, 0x8d, 0x40, 0xb0, 0x4b, 0x20];
        let read = sequence_parameters(&baseline).unwrap();
        assert_eq!((read.width, read.height, read.frame_rate), (352, 288, None));
    }

    #[test]
    fn cut_and_foreign_units_are_refused() {
        let set = [0x67, 0x42, 0xc0, 0x0b, 0x8c, 0x8d, 0x40];
        for len in 0..6 {
            assert_eq!(sequence_parameters(&set[..len]), None, "{len}");
        }
        assert_eq!(sequence_parameters(&[0x68, 0xce, 0x3c, 0x80]), None);
        assert_eq!(sequence_parameters(&[0x67; 40]), None);
        assert_eq!(sequence_parameters(&[0x67, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
