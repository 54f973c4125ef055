//! ITU-T G.711, both laws, by table. One byte is one sample at 8 kHz.

/// A companding law.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// mu-law (PCMU).
    Mu,
    /// A-law (PCMA).
    A,
}

/// Decoded values; index is the byte on the wire.
static MU_DECODE: [i16; 256] = mu_decode_table();
static A_DECODE: [i16; 256] = a_decode_table();
/// Bytes of non-negative samples; index is the sample without its two (four) lowest bits.
static MU_ENCODE: [u8; 8192] = mu_encode_table();
static A_ENCODE: [u8; 2048] = a_encode_table();

impl Law {
    /// Decodes `encoded` into the front of `samples`; returns how many samples were written.
    pub fn decode(self, encoded: &[u8], samples: &mut [i16]) -> usize {
        let table = match self {
            Self::Mu => &MU_DECODE,
            Self::A => &A_DECODE,
        };
        for (sample, byte) in samples.iter_mut().zip(encoded) {
            *sample = table[usize::from(*byte)];
        }
        encoded.len().min(samples.len())
    }

    /// Encodes `samples` into the front of `encoded`; returns how many bytes were written.
    pub fn encode(self, samples: &[i16], encoded: &mut [u8]) -> usize {
        match self {
            Self::Mu => encode(samples, encoded, |magnitude| MU_ENCODE[magnitude >> 2]),
            Self::A => encode(samples, encoded, |magnitude| A_ENCODE[magnitude >> 4]),
        }
        encoded.len().min(samples.len())
    }

    /// The byte of silence.
    #[must_use]
    pub fn silence(self) -> u8 {
        match self {
            Self::Mu => 0xff,
            Self::A => 0xd5,
        }
    }
}

/// Encodes each sample by the byte that `positive` knows of its magnitude, at most 32767.
fn encode(samples: &[i16], encoded: &mut [u8], positive: impl Fn(usize) -> u8) {
    for (byte, sample) in encoded.iter_mut().zip(samples) {
        // One's complement makes the laws symmetric (ITU-T G.191): all bits of a negative sample are turned, and its byte has
        // the highest one turned. Written without a branch, which a signal would mislead at every other sample.
        let negative = *sample >> 15;
        let magnitude = usize::from((*sample ^ negative) as u16 & 0x7fff);
        *byte = positive(magnitude) ^ (negative as u8 & 0x80);
    }
}

/// Segments double in size; the bias of 132 (33 in 14 bits) makes the first one start at zero.
const fn mu_decode_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8);
        let magnitude = (((((bits & 15) as i32) << 3) + 132) << ((bits >> 4) & 7)) - 132;
        table[code] = if bits & 0x80 == 0 { magnitude as i16 } else { -magnitude as i16 };
        code += 1;
    }
    table
}

const fn mu_encode_table() -> [u8; 8192] {
    let mut table = [0; 8192];
    let mut index = 0;
    while index < 8192 {
        let biased = if index + 33 > 0x1fff { 0x1fff } else { index as u32 + 33 };
        // 33 has its highest bit at 5: segment 0.
        let segment = 26 - biased.leading_zeros();
        let mantissa = (biased >> (segment + 1)) & 15;
        table[index] = !((segment << 4 | mantissa) as u8);
        index += 1;
    }
    table
}

/// Even bits are inverted (ITU-T G.711 section 3.2); values are the middle of their interval.
const fn a_decode_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = (code as u8) ^ 0x55;
        let segment = (bits >> 4) & 7;
        let mantissa = (bits & 15) as i32;
        let magnitude =
            if segment == 0 { (mantissa << 4) + 8 } else { (((mantissa + 16) << 4) + 8) << (segment - 1) };
        table[code] = if bits & 0x80 != 0 { magnitude as i16 } else { -magnitude as i16 };
        code += 1;
    }
    table
}

const fn a_encode_table() -> [u8; 2048] {
    let mut table = [0; 2048];
    let mut index = 0_usize;
    while index < 2048 {
        let mut rest = index as u32;
        let mut segment = 0;
        if rest > 15 {
            segment = 1;
            while rest > 31 {
                rest >>= 1;
                segment += 1;
            }
            rest -= 16;
        }
        table[index] = (0x80 | segment << 4 | rest as u8) ^ 0x55;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digital milliwatt of ITU-T G.711 tables 5 and 6: a 1 kHz sine at 0 dBm0.
    const MU_MILLIWATT: [u8; 8] = [0x1e, 0x0b, 0x0b, 0x1e, 0x9e, 0x8b, 0x8b, 0x9e];
    const A_MILLIWATT: [u8; 8] = [0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4];

    #[test]
    fn the_digital_milliwatt_is_zero_dbm0() {
        for (law, codes, overload) in [(Law::Mu, MU_MILLIWATT, 3.17), (Law::A, A_MILLIWATT, 3.17 - 0.03)] {
            let mut samples = [0; 8];
            law.decode(&codes, &mut samples);
            let power = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 8.0;
            let against_full_scale_sine = 10.0 * (power / (32767.0_f64.powi(2) / 2.0)).log10();
            assert!((against_full_scale_sine + overload).abs() < 0.2, "{law:?} {against_full_scale_sine}");
            let mut encoded = [0; 8];
            law.encode(&samples, &mut encoded);
            assert_eq!(encoded, codes, "{law:?}");
        }
    }

    #[test]
    fn every_code_survives_decoding_and_encoding() {
        for law in [Law::Mu, Law::A] {
            for code in 0..=255_u8 {
                let (mut sample, mut again) = ([0], [0]);
                law.decode(&[code], &mut sample);
                law.encode(&sample, &mut again);
                // mu-law has two zeros; both are zero in PCM.
                let expected = if law == Law::Mu && code == 0x7f { 0xff } else { code };
                assert_eq!(again[0], expected, "{law:?} {code:#x} {}", sample[0]);
            }
        }
    }

    #[test]
    fn each_sample_gets_its_nearest_value_or_a_neighbour_of_it() {
        for (law, table) in [(Law::Mu, &MU_DECODE), (Law::A, &A_DECODE)] {
            for sample in i16::MIN..=i16::MAX {
                let mut code = [0];
                law.encode(&[sample], &mut code);
                let error = i32::from(table[usize::from(code[0])]) - i32::from(sample);
                // Half a step: steps grow with the segment, the largest is 1024.
                let allowed = (i32::from(sample).abs() / 32 + 9).min(644);
                assert!(error.abs() <= allowed, "{law:?} {sample} {error}");
            }
        }
    }

    #[test]
    fn silence_is_quiet() {
        for law in [Law::Mu, Law::A] {
            let mut sample = [99];
            law.decode(&[law.silence()], &mut sample);
            assert!(sample[0].abs() <= 8);
        }
    }
}
