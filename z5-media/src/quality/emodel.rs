//! How a conversation probably sounds: the E-model (ITU-T G.107) with its default values, for narrowband codecs.
//!
//! Only what was measured goes in: the share of sound that had to be made up, and the delay where RTCP told the round trip.
//! Echo, room noise and terminals are the recommendation's defaults, so this judges the path, not the ears.
//!
//! Only G.711 is judged. Of G.722 the wideband model (ITU-T G.107.1) has an impairment but, for what z5 measures, no published
//! robustness against loss, and its scale ends elsewhere (129, not 93.2): a figure of it beside one of G.711 would mislead. Of
//! Opus ITU-T G.113 has no values at all. Both stay without an opinion, which is `None`.

use std::time::Duration;

use crate::stats::VoiceQuality;

/// Basic signal-to-noise ratio less everything but delay and loss, with default values (G.107 section 7.2).
const R_DEFAULT: f64 = 93.2;
/// Delay from which conversation suffers (G.107 simplified, ms).
const KNEE_MS: f64 = 177.3;

/// Equipment impairment of a codec and its robustness against loss with concealment (ITU-T G.113 appendix I).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impairment {
    /// Ie.
    pub equipment: f64,
    /// Bpl.
    pub robustness: f64,
}

/// G.711 with packet loss concealment.
pub const G711: Impairment = Impairment { equipment: 0.0, robustness: 25.1 };

/// Judges a share of concealed sound (0.0 to 1.0) and the one-way delay from mouth to ear, where that is known.
#[must_use]
pub fn judge(codec: Impairment, concealed: f64, delay: Option<Duration>) -> VoiceQuality {
    let loss = 100.0 * concealed.clamp(0.0, 1.0);
    // Losses are taken as random: BurstR is 1.
    let effective = codec.equipment + (95.0 - codec.equipment) * loss / (loss + codec.robustness);
    let listening = R_DEFAULT - effective;
    let conversation = delay.map(|delay| {
        let ms = delay.as_secs_f64() * 1000.0;
        listening - 0.024 * ms - 0.11 * (ms - KNEE_MS).max(0.0)
    });
    VoiceQuality {
        r_factor: conversation,
        mos_listening: opinion(listening),
        mos_conversation: conversation.map(opinion),
    }
}

/// Mean opinion score of a rating (G.107 annex B).
fn opinion(r: f64) -> f64 {
    if r <= 0.0 {
        return 1.0;
    }
    if r >= 100.0 {
        return 4.5;
    }
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points_of_the_model() {
        // G.107 annex B: R 93.2 is 4.41, 80 is 4.03, 70 is 3.60, 60 is 3.10, 50 is 2.58.
        for (r, mos) in [(93.2, 4.41), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert!((opinion(r) - mos).abs() < 0.01, "{r} {}", opinion(r));
        }
        assert_eq!((opinion(-5.0), opinion(200.0)), (1.0, 4.5));
        let clean = judge(G711, 0.0, Some(Duration::ZERO));
        assert_eq!((clean.r_factor, clean.mos_listening), (Some(R_DEFAULT), opinion(R_DEFAULT)));
    }

    #[test]
    fn loss_and_delay_make_it_worse_and_an_unknown_delay_is_not_guessed() {
        let judged = |concealed, ms| judge(G711, concealed, Some(Duration::from_millis(ms)));
        assert!(judged(0.02, 100).mos_listening < judged(0.0, 100).mos_listening);
        assert!(judged(0.0, 400).mos_conversation < judged(0.0, 150).mos_conversation);
        assert_eq!(judged(0.0, 400).mos_listening, judged(0.0, 150).mos_listening);
        let unknown = judge(G711, 0.1, None);
        assert_eq!((unknown.r_factor, unknown.mos_conversation), (None, None));
        assert_eq!(judge(G711, 9.0, None), judge(G711, 1.0, None));
    }
}
