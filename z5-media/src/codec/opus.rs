//! Opus (RFC 6716) behind the two calls that audio streams need, mono at any rate of Opus; feature `opus`.
//!
//! The codec itself is the `ropus` crate, a port of libopus to Rust: no C compiler and no other tool is needed. What the far
//! end asks for in its format parameters (RFC 7587 section 6.1) arrives as [`OpusOptions`]. Nothing here runs on a packet
//! thread.
//!
//! What a call sends, plays and records is mono, so our format parameters say nothing of `stereo` and `sprop-stereo`, whose defaults
//! are mono (RFC 7587 section 6.1). Every decoder takes both all the same: of a far end that sends stereo the mean of both
//! channels is heard, whatever its parameters say.

use ropus::{Application, Bandwidth, Bitrate, Channels, DecodeMode, FrameDuration, InbandFec};

use crate::engine::OpusOptions;

/// Bits per second that speech at full bandwidth is sent with unless the far end wants fewer (RFC 7587 section 3.1.1).
const BITS_PER_SECOND: u32 = 32_000;
/// Fewer are of no use to Opus.
const LEAST_BITS_PER_SECOND: u32 = 6000;
/// Losses the encoder arms itself against where in-band redundancy was agreed.
const EXPECTED_LOSS_PERCENT: u8 = 10;
/// A packet that says nothing but that there is silence (RFC 6716 section 2.1.9).
pub(super) const SILENCE_PACKET: usize = 2;
/// Speed against quality, 0 to 10: what libopus does on small devices, and within 1 dB of the best.
const COMPLEXITY: u8 = 5;

/// Why there is no codec: a sample rate that Opus does not have, or no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Opus cannot run at {sample_rate} Hz")]
pub(crate) struct Refused {
    sample_rate: u32,
}

/// Encodes one stream.
pub(crate) struct Encoder(Box<ropus::Encoder>);

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("opus::Encoder")
    }
}

impl Encoder {
    pub(crate) fn new(sample_rate: u32, options: &OpusOptions) -> Result<Self, Refused> {
        let bits = options
            .max_bits_per_second
            .unwrap_or(BITS_PER_SECOND)
            .clamp(LEAST_BITS_PER_SECOND, BITS_PER_SECOND);
        let (fec, loss) =
            if options.fec { (InbandFec::Enabled, EXPECTED_LOSS_PERCENT) } else { (InbandFec::Disabled, 0) };
        let encoder = ropus::Encoder::builder(sample_rate, Channels::Mono, Application::Voip)
            .bitrate(Bitrate::Bits(bits))
            .complexity(COMPLEXITY)
            .frame_duration(FrameDuration::Argument)
            .max_bandwidth(bandwidth(options.max_playback_rate))
            .vbr(!options.constant_rate)
            .inband_fec(fec)
            .packet_loss_perc(loss)
            .dtx(options.dtx)
            .build()
            .map_err(|_| Refused { sample_rate })?;
        Ok(Self(Box::new(encoder)))
    }

    /// Encodes a frame of 10, 20, 40 or 60 ms into the front of `encoded`; returns how many bytes were written, 0 when
    /// nothing needs to be sent.
    pub(crate) fn encode(&mut self, samples: &[i16], encoded: &mut [u8]) -> usize {
        match self.0.encode(samples, encoded) {
            Ok(len) if len > SILENCE_PACKET || !self.0.dtx() => len,
            Ok(_) | Err(_) => 0,
        }
    }
}

/// The bandwidth that a far end which plays back at so many hertz can use (RFC 7587 section 3.1.1).
fn bandwidth(playback_rate: Option<u32>) -> Bandwidth {
    match playback_rate.unwrap_or(48_000) {
        ..=8000 => Bandwidth::Narrowband,
        8001..=12_000 => Bandwidth::Mediumband,
        12_001..=16_000 => Bandwidth::Wideband,
        16_001..=24_000 => Bandwidth::Superwideband,
        _ => Bandwidth::Fullband,
    }
}

/// Decodes one stream.
pub(crate) struct Decoder {
    decoder: Box<ropus::Decoder>,
    sample_rate: u32,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("opus::Decoder")
    }
}

impl Decoder {
    pub(crate) fn new(sample_rate: u32) -> Result<Self, Refused> {
        let decoder =
            ropus::Decoder::new(sample_rate, Channels::Mono).map_err(|_| Refused { sample_rate })?;
        Ok(Self { decoder: Box::new(decoder), sample_rate })
    }

    /// Samples a packet holds; `None` when it is not Opus.
    pub(crate) fn samples(&self, packet: &[u8]) -> Option<usize> {
        Some(duration_us(packet)? as usize * (self.sample_rate as usize / 1000) / 1000)
    }

    /// Decodes a packet into `samples`, which has exactly its length. Returns `false` when it is malformed.
    pub(crate) fn decode(&mut self, packet: &[u8], samples: &mut [i16]) -> bool {
        !packet.is_empty() && self.decoder.decode(packet, samples, DecodeMode::Normal).is_ok()
    }

    /// Rebuilds what was lost right before `packet` from the redundancy in it. Returns `false` when it cannot.
    pub(crate) fn recover(&mut self, packet: &[u8], samples: &mut [i16]) -> bool {
        has_redundancy(packet) && self.decoder.decode(packet, samples, DecodeMode::Fec).is_ok()
    }

    /// Makes up what is missing; a multiple of 2.5 ms.
    pub(crate) fn conceal(&mut self, samples: &mut [i16]) {
        if self.decoder.decode(&[], samples, DecodeMode::Normal).is_err() {
            samples.fill(0);
        }
    }
}

/// Can the packet hold redundancy at all? Only the speech modes have it, configurations 0 to 15 (RFC 6716 section 3.1).
fn has_redundancy(packet: &[u8]) -> bool {
    packet.first().is_some_and(|toc| toc >> 3 < 16) && packet.len() > SILENCE_PACKET
}

/// Length of a packet in microseconds by its first bytes (RFC 6716 sections 3.1 and 3.2); `None` when that is none or more
/// than 120 ms.
fn duration_us(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let frame: u32 = match toc >> 3 {
        config @ 0..12 => [10_000, 20_000, 40_000, 60_000][usize::from(config % 4)],
        config @ 12..16 => [10_000, 20_000][usize::from(config % 2)],
        config => [2500, 5000, 10_000, 20_000][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    Some(frame * frames).filter(|total| (1..=120_000).contains(total))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::audio::MAX_ENCODED;
    use super::*;

    const RATE: u32 = 48_000;
    const FRAME: usize = 960;

    fn tone(frame: usize) -> Vec<i16> {
        let sample = |n: usize| {
            let time = (frame * FRAME + n) as f64 / f64::from(RATE);
            ((time * 440.0 * std::f64::consts::TAU).sin() * 8000.0) as i16
        };
        (0..FRAME).map(sample).collect()
    }

    fn rms(samples: &[i16]) -> f64 {
        (samples.iter().map(|s| f64::from(*s) * f64::from(*s)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    /// Packets of a tone; with `options`.
    fn packets(count: usize, options: &OpusOptions) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new(RATE, options).unwrap();
        let mut encoded = [0; MAX_ENCODED];
        let encode = |frame| {
            let len = encoder.encode(&tone(frame), &mut encoded);
            encoded[..len].to_vec()
        };
        (0..count).map(encode).collect()
    }

    #[test]
    fn a_tone_keeps_its_level_and_its_length() {
        let mut decoder = Decoder::new(RATE).unwrap();
        let mut out = vec![0; FRAME];
        for packet in packets(25, &OpusOptions::default()) {
            assert_eq!(decoder.samples(&packet), Some(FRAME));
            assert!(decoder.decode(&packet, &mut out));
        }
        let level = 20.0 * (rms(&out) / (8000.0 / 2_f64.sqrt())).log10();
        assert!(level.abs() < 1.0, "{level} dB");
    }

    #[test]
    fn a_lost_packet_is_rebuilt_from_the_next_one_where_redundancy_was_agreed() {
        let speech_like =
            OpusOptions { fec: true, max_playback_rate: Some(16_000), ..OpusOptions::default() };
        let packets = packets(25, &speech_like);
        let mut decoder = Decoder::new(RATE).unwrap();
        let mut out = vec![0; FRAME];
        for packet in &packets[..20] {
            decoder.decode(packet, &mut out);
        }
        assert!(decoder.recover(&packets[21], &mut out), "packet 20 is missing");
        assert!(rms(&out) > 4000.0, "{}", rms(&out));
        assert!(!decoder.recover(&[0xf8, 1, 2, 3], &mut out), "music mode has no redundancy");
    }

    #[test]
    fn what_is_missing_fades_and_silence_is_not_sent() {
        let mut decoder = Decoder::new(RATE).unwrap();
        let mut out = vec![0; FRAME];
        for packet in packets(25, &OpusOptions::default()) {
            decoder.decode(&packet, &mut out);
        }
        decoder.conceal(&mut out);
        assert!(rms(&out) > 1000.0, "{}", rms(&out));
        for _ in 0..50 {
            decoder.conceal(&mut out);
        }
        assert!(rms(&out) < 300.0, "{}", rms(&out));
        let mut encoder = Encoder::new(RATE, &OpusOptions { dtx: true, ..OpusOptions::default() }).unwrap();
        let mut encoded = [0; MAX_ENCODED];
        let sent = (0..100).filter(|_| encoder.encode(&[0; FRAME], &mut encoded) > 0).count();
        assert!((1..50).contains(&sent), "{sent} of 100");
    }

    #[test]
    fn stereo_is_heard_as_the_mean_of_both_channels() {
        // What is in each channel, and the level of the mean against that of one channel.
        for (left, right, expected) in [(1, 1, 0.0), (1, 0, -6.02), (0, 1, -6.02)] {
            let encoder = ropus::Encoder::builder(RATE, Channels::Stereo, Application::Audio);
            let mut encoder = encoder.bitrate(Bitrate::Bits(96_000)).build().unwrap();
            let mut decoder = Decoder::new(RATE).unwrap();
            let (mut encoded, mut out) = ([0; MAX_ENCODED], vec![0; FRAME]);
            for frame in 0..25 {
                let both: Vec<i16> = tone(frame).iter().flat_map(|s| [s * left, s * right]).collect();
                let len = encoder.encode(&both, &mut encoded).unwrap();
                assert_eq!(encoded[0] >> 2 & 1, 1, "a stereo packet (RFC 6716 section 3.1)");
                assert_eq!(decoder.samples(&encoded[..len]), Some(FRAME));
                assert!(decoder.decode(&encoded[..len], &mut out));
            }
            let level = 20.0 * (rms(&out) / (8000.0 / 2_f64.sqrt())).log10();
            assert!((level - expected).abs() < 1.0, "{left} {right}: {level} dB");
        }
    }

    #[test]
    fn lengths_follow_the_table() {
        let told = [
            (&[0x00_u8][..], Some(10_000)),
            (&[0x18], Some(60_000)),
            (&[0x81], Some(5000)),
            (&[0xfb, 6], Some(120_000)),
            (&[0xfb, 7], None),
            (&[0xfb], None),
            (&[0x03, 0], None),
            (&[], None),
        ];
        for (packet, us) in told {
            assert_eq!(duration_us(packet), us, "{packet:x?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_decoded_or_refused(packet in prop::collection::vec(any::<u8>(), 0..80), redundant: bool) {
            let mut decoder = Decoder::new(RATE).unwrap();
            let Some(samples) = decoder.samples(&packet) else { return Ok(()) };
            let mut out = vec![0; samples];
            if redundant {
                decoder.recover(&packet, &mut out);
            }
            decoder.decode(&packet, &mut out);
            decoder.conceal(&mut out[..120]);
        }
    }
}
