//! ITU-T G.722 at 64 kbit/s: 16 kHz audio in two bands of adaptive differential codes, one byte for two samples.
//!
//! The RTP clock counts 8000 a second all the same (RFC 3551 section 4.5.2). Tables and steps are the recommendation's;
//! the names in comments are its block names.

/// Half of the quadrature mirror filter (table 11).
const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];
/// Decision levels of the lower band (table 14).
const Q6: [i32; 31] = [
    0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121,
    1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919, 0,
];
/// Codes of the lower band for negative and positive differences (table 16).
const ILN: [u8; 32] = [
    0, 63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8,
    7, 6, 5, 4, 0,
];
const ILP: [u8; 32] = [
    0, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37,
    36, 35, 34, 33, 32, 0,
];
/// Logarithmic scale factor multipliers, and which of them a code means (tables 17 and 18).
const WL: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];
const RL42: [u8; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
const WH: [i32; 3] = [0, -214, 798];
const RH2: [u8; 4] = [2, 1, 2, 1];
/// Antilogarithm (table 19).
const ILB: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896,
    2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
/// Output values of the inverse quantizers of 2, 4 and 6 bits.
const QM2: [i32; 4] = [-7408, -1616, 7408, 1616];
const QM4: [i32; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];
const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360,
    -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688,
    -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856,
    7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136,
    -432, -136,
];
/// Largest logarithmic scale factors of both bands.
const MAX_LOW: i32 = 18432;
const MAX_HIGH: i32 = 22528;

fn saturate(value: i32) -> i32 {
    value.clamp(-32768, 32767)
}

/// One band's predictor and quantizer scale.
#[derive(Debug, Clone)]
struct Band {
    /// Predicted signal, and its part from the zeros.
    s: i32,
    sz: i32,
    /// Reconstructed signal, partially reconstructed signal and poles; index 0 is the newest.
    r: [i32; 3],
    p: [i32; 3],
    a: [i32; 3],
    /// Quantized differences and zeros.
    d: [i32; 7],
    b: [i32; 7],
    /// Logarithmic and linear scale factor.
    nb: i32,
    det: i32,
}

impl Band {
    fn new(det: i32) -> Self {
        Self { s: 0, sz: 0, r: [0; 3], p: [0; 3], a: [0; 3], d: [0; 7], b: [0; 7], nb: 0, det }
    }

    /// LOGSCL or LOGSCH, then SCALEL or SCALEH.
    fn scale(&mut self, step: i32, most: i32, base: i32) {
        self.nb = (((self.nb * 127) >> 7) + step).clamp(0, most);
        let mantissa = ILB[(self.nb >> 6 & 31) as usize];
        let shift = base - (self.nb >> 11);
        self.det = (if shift < 0 { mantissa << -shift } else { mantissa >> shift }) << 2;
    }

    /// Block 4: adapts the predictor to the quantized difference and predicts the next sample.
    fn adapt(&mut self, difference: i32) {
        // RECONS and PARREC.
        self.d[0] = difference;
        self.r[0] = saturate(self.s + difference);
        self.p[0] = saturate(self.sz + difference);
        // UPPOL2.
        let same = |a: i32, b: i32| (a >> 15) == (b >> 15);
        let wd1 = saturate(self.a[1] << 2);
        let wd2 = if same(self.p[0], self.p[1]) { -wd1 } else { wd1 }.min(32767);
        let towards = if same(self.p[0], self.p[2]) { 128 } else { -128 };
        let second = (towards + (wd2 >> 7) + ((self.a[2] * 32512) >> 15)).clamp(-12288, 12288);
        // UPPOL1.
        let step = if same(self.p[0], self.p[1]) { 192 } else { -192 };
        let limit = saturate(15360 - second);
        let first = saturate(step + ((self.a[1] * 32640) >> 15)).clamp(-limit, limit);
        // UPZERO.
        let step = if difference == 0 { 0 } else { 128 };
        for n in 1..7 {
            let towards = if same(self.d[n], difference) { step } else { -step };
            self.b[n] = saturate(towards + ((self.b[n] * 32640) >> 15));
        }
        // DELAYA.
        self.d.copy_within(0..6, 1);
        self.r.copy_within(0..2, 1);
        self.p.copy_within(0..2, 1);
        self.a = [0, first, second];
        // FILTEP, FILTEZ and PREDIC.
        let poles = saturate(
            ((self.a[1] * saturate(2 * self.r[1])) >> 15) + ((self.a[2] * saturate(2 * self.r[2])) >> 15),
        );
        let zeros = (1..7).rev().map(|n| (self.b[n] * saturate(2 * self.d[n])) >> 15).sum();
        self.sz = saturate(zeros);
        self.s = saturate(poles + self.sz);
    }

    /// The inverse quantizer of the lower band and what follows from a code's upper four bits.
    fn adapt_low(&mut self, code: u8) {
        let code = usize::from(code >> 2);
        let difference = (self.det * QM4[code]) >> 15;
        self.scale(WL[usize::from(RL42[code])], MAX_LOW, 8);
        self.adapt(difference);
    }

    /// The same of the upper band. Returns the difference.
    fn adapt_high(&mut self, code: u8) -> i32 {
        let code = usize::from(code & 3);
        let difference = (self.det * QM2[code]) >> 15;
        self.scale(WH[usize::from(RH2[code])], MAX_HIGH, 10);
        self.adapt(difference);
        difference
    }
}

/// The state of one direction; the filter holds the last 24 samples of it.
#[derive(Debug, Clone)]
struct Bands {
    low: Band,
    high: Band,
    filter: [i32; 24],
}

impl Default for Bands {
    fn default() -> Self {
        Self { low: Band::new(32), high: Band::new(8), filter: [0; 24] }
    }
}

impl Bands {
    /// Both sums of the quadrature mirror filter after two more samples.
    fn filter(&mut self, first: i32, second: i32) -> (i32, i32) {
        self.filter.copy_within(2.., 0);
        (self.filter[22], self.filter[23]) = (first, second);
        let (mut odd, mut even) = (0, 0);
        for (n, pair) in self.filter.chunks_exact(2).enumerate() {
            odd += pair[0] * QMF[n];
            even += pair[1] * QMF[11 - n];
        }
        (odd, even)
    }
}

/// Encodes a stream.
#[derive(Debug, Clone, Default)]
pub struct Encoder(Bands);

impl Encoder {
    /// Encodes 16 kHz samples into the front of `encoded`, two a byte; returns how many bytes were written.
    pub fn encode(&mut self, samples: &[i16], encoded: &mut [u8]) -> usize {
        let mut written = 0;
        for (pair, byte) in samples.chunks_exact(2).zip(encoded.iter_mut()) {
            let (odd, even) = self.0.filter(i32::from(pair[0]), i32::from(pair[1]));
            let low = self.low((even + odd) >> 14);
            let high = self.high((even - odd) >> 14);
            *byte = high << 6 | low;
            written += 1;
        }
        written
    }

    /// SUBTRA, QUANTL and the adaptation of the lower band.
    fn low(&mut self, sample: i32) -> u8 {
        let band = &mut self.0.low;
        let error = saturate(sample - band.s);
        let magnitude = if error >= 0 { error } else { -(error + 1) };
        let level = (1..30).find(|n| magnitude < (Q6[*n] * band.det) >> 12).unwrap_or(30);
        let code = if error < 0 { ILN[level] } else { ILP[level] };
        band.adapt_low(code);
        code
    }

    /// The same with QUANTH.
    fn high(&mut self, sample: i32) -> u8 {
        let band = &mut self.0.high;
        let error = saturate(sample - band.s);
        let magnitude = if error >= 0 { error } else { -(error + 1) };
        let large = magnitude >= (564 * band.det) >> 12;
        let code = match (error < 0, large) {
            (true, false) => 1,
            (true, true) => 0,
            (false, false) => 3,
            (false, true) => 2,
        };
        band.adapt_high(code);
        code
    }
}

/// Decodes a stream.
#[derive(Debug, Clone, Default)]
pub struct Decoder(Bands);

impl Decoder {
    /// Decodes bytes to 16 kHz samples, two each, into the front of `samples`; returns how many were written.
    pub fn decode(&mut self, encoded: &[u8], samples: &mut [i16]) -> usize {
        let mut written = 0;
        for (byte, pair) in encoded.iter().zip(samples.chunks_exact_mut(2)) {
            let bands = &mut self.0;
            let code = byte & 0x3f;
            let low = (bands.low.s + ((bands.low.det * QM6[usize::from(code)]) >> 15)).clamp(-16384, 16383);
            bands.low.adapt_low(code);
            let predicted = bands.high.s;
            let high = (predicted + bands.high.adapt_high(byte >> 6)).clamp(-16384, 16383);
            let (second, first) = bands.filter(low + high, low - high);
            pair[0] = saturate(first >> 11) as i16;
            pair[1] = saturate(second >> 11) as i16;
            written += 2;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tone(hz: f64, peak: f64) -> Vec<i16> {
        (0..16000)
            .map(|n| ((f64::from(n) * hz / 16000.0 * std::f64::consts::TAU).sin() * peak) as i16)
            .collect()
    }

    fn through(samples: &[i16]) -> Vec<i16> {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let (mut bytes, mut out) = (vec![0; samples.len() / 2], vec![0; samples.len()]);
        assert_eq!(encoder.encode(samples, &mut bytes), bytes.len());
        assert_eq!(decoder.decode(&bytes, &mut out), out.len());
        out
    }

    /// Signal to noise in dB at the best delay.
    fn quality(samples: &[i16], out: &[i16]) -> f64 {
        (0..40)
            .map(|delay| {
                let (mut signal, mut noise) = (0.0, 1.0);
                for n in 2000..14000 {
                    let (a, b) = (f64::from(samples[n]), f64::from(out[n + delay]));
                    signal += a * a;
                    noise += (a - b) * (a - b);
                }
                10.0 * (signal / noise).log10()
            })
            .fold(f64::MIN, f64::max)
    }

    #[test]
    fn tones_of_both_bands_come_through_clean() {
        // The lower band has 6 bits, the upper one 2; between them the mirror filters overlap.
        for (hz, least) in [(300.0, 25.0), (1000.0, 25.0), (3000.0, 20.0), (5000.0, 8.0), (6800.0, 8.0)] {
            for peak in [1000.0, 8000.0, 30000.0] {
                let samples = tone(hz, peak);
                let quality = quality(&samples, &through(&samples));
                assert!(quality > least, "{hz} {peak} {quality}");
            }
        }
    }

    #[test]
    fn a_receiver_that_joins_late_or_loses_a_packet_recovers() {
        let samples = tone(1000.0, 8000.0);
        let mut encoder = Encoder::default();
        let mut bytes = vec![0; 8000];
        encoder.encode(&samples, &mut bytes);
        bytes.drain(1000..1160);
        let mut out = vec![0; 2 * bytes.len()];
        Decoder::default().decode(&bytes, &mut out);
        let peak = out[10000..15000].iter().map(|s| i32::from(*s).abs()).max().unwrap();
        assert!((7500..8600).contains(&peak), "{peak}");
    }

    #[test]
    fn silence_stays_silent() {
        assert!(through(&[0; 3200]).iter().all(|sample| sample.abs() < 8));
    }

    proptest! {
        #[test]
        fn no_bytes_overflow_or_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut out = vec![0; 2 * bytes.len()];
            Decoder::default().decode(&bytes, &mut out);
        }

        #[test]
        fn no_samples_overflow_or_panic(samples in proptest::collection::vec(any::<i16>(), 0..2000)) {
            let mut out = vec![0; samples.len()];
            Encoder::default().encode(&samples, &mut out);
        }
    }
}
