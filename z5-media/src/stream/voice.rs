//! VoIP metrics on what we hear (RFC 3611 section 4.7), made of what was measured; left out before anything was heard.

use std::time::Duration;

use crate::quality::emodel;
use crate::rtcp::VoipMetrics;

/// What the listening end has measured of a voice stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiceHeard {
    /// Share of what was played that had to be made up, 0.0 to 1.0.
    pub concealed: f64,
    /// Packets that came too late to be played.
    pub late: u64,
    /// From the arrival of a packet to its sound.
    pub delay: Duration,
    /// The codec is G.711, which the E-model knows.
    pub g711: bool,
}

impl VoiceHeard {
    /// In the eight bytes that travel between threads; shares in 1/65535, the delay in milliseconds.
    #[must_use]
    pub fn pack(&self) -> u64 {
        let share = (self.concealed.clamp(0.0, 1.0) * 65_535.0) as u64;
        let delay = self.delay.as_millis().min(0xffff) as u64;
        share << 48 | delay << 32 | self.late.min(0x7fff_ffff) << 1 | u64::from(self.g711)
    }

    /// The reverse of [`pack`](Self::pack).
    #[must_use]
    pub fn unpack(packed: u64) -> Self {
        Self {
            concealed: (packed >> 48) as f64 / 65_535.0,
            late: packed >> 1 & 0x7fff_ffff,
            delay: Duration::from_millis(packed >> 32 & 0xffff),
            g711: packed & 1 == 1,
        }
    }

    /// The metrics on the source `ssrc`, of whose packets so many were expected and lost.
    pub(super) fn metrics(
        &self,
        ssrc: u32,
        (expected, lost): (u64, u64),
        round_trip: Option<Duration>,
    ) -> VoipMetrics {
        let share = |part: u64| if expected == 0 { 0.0 } else { (part as f64 / expected as f64).min(1.0) };
        let ms = |time: Duration| time.as_millis().min(0xffff) as u16;
        let path = round_trip.map(|time| time / 2 + self.delay);
        let judged = self.g711.then(|| emodel::judge(emodel::G711, self.concealed, path));
        VoipMetrics {
            ssrc,
            loss: share(lost),
            discard: share(self.late),
            round_trip_ms: round_trip.map_or(0, ms),
            end_system_ms: ms(self.delay),
            r_factor: judged.and_then(|judged| judged.r_factor).map(|r| r.clamp(0.0, 100.0).round() as u8),
            mos_listening: judged.map(|judged| judged.mos_listening),
            mos_conversation: judged.and_then(|judged| judged.mos_conversation),
            jitter_buffer_ms: ms(self.delay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_and_what_does_not_fit_is_cut() {
        let heard = VoiceHeard { concealed: 0.25, late: 17, delay: Duration::from_millis(80), g711: true };
        let back = VoiceHeard::unpack(heard.pack());
        assert!((back.concealed - 0.25).abs() < 1e-4);
        assert_eq!(VoiceHeard { concealed: 0.25, ..back }, heard);
        let absurd =
            VoiceHeard { concealed: 7.0, late: u64::MAX, delay: Duration::from_secs(1000), g711: false };
        let cut = VoiceHeard {
            concealed: 1.0,
            late: 0x7fff_ffff,
            delay: Duration::from_millis(65_535),
            g711: false,
        };
        assert_eq!(VoiceHeard::unpack(absurd.pack()), cut);
    }

    #[test]
    fn without_a_round_trip_or_a_known_codec_nothing_is_judged() {
        let heard = VoiceHeard { concealed: 0.0, late: 5, delay: Duration::from_millis(60), g711: true };
        let metrics = heard.metrics(9, (100, 10), None);
        assert_eq!((metrics.loss, metrics.discard, metrics.round_trip_ms), (0.1, 0.05, 0));
        assert_eq!((metrics.r_factor, metrics.mos_conversation), (None, None));
        assert!(metrics.mos_listening.is_some_and(|mos| mos > 4.3));
        let other = VoiceHeard { g711: false, ..heard }.metrics(9, (0, 0), Some(Duration::from_millis(40)));
        assert_eq!((other.r_factor, other.mos_listening, other.loss), (None, None, 0.0));
        assert_eq!(heard.metrics(9, (1, 0), Some(Duration::from_millis(40))).r_factor, Some(91));
    }
}
