//! What a run promised, and whether it held: the measured value always stands beside the wanted one. What is asked for with
//! `--expect` is read and judged in `expr`.

mod expr;
mod names;

pub(crate) use expr::Expr;
pub(crate) use names::{NAMES, nearest};

use serde::Serialize;
use z5_core::{Heard, VideoFigures};

/// One expectation and its outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Expectation {
    /// A stable name, for example `audio.frequency`.
    pub(crate) what: &'static str,
    /// In words.
    pub(crate) wanted: String,
    /// What was measured; "not measured" when it was not.
    pub(crate) measured: String,
    /// Whether it held. What was not measured never holds.
    pub(crate) held: bool,
    /// Who saw it, where that makes a difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seen_by: Option<Eyes>,
}

/// Who saw what crossed a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Eyes {
    /// The mock carrier, at the far end of it.
    Carrier,
    /// z5, at its own end.
    Z5,
}

impl Eyes {
    /// For people.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Carrier => "seen by the carrier",
            Self::Z5 => "seen by z5",
        }
    }
}

/// The words for a value that was not measured.
const NOT_MEASURED: &str = "not measured";

impl Expectation {
    /// What was asked, in one piece: `audio.loss<=1 %`, `audio.packets_received: at least 1`.
    pub(crate) fn asked(&self) -> String {
        match self.wanted.starts_with(['=', '!', '<', '>', '~']) {
            true => format!("{}{}", self.what, self.wanted),
            false => format!("{}: {}", self.what, self.wanted),
        }
    }

    /// What was wanted, in words where it was written with an operator: `at most 1 %`.
    pub(crate) fn wish(&self) -> String {
        let words = [
            ("<=", "at most "),
            (">=", "at least "),
            ("!=", "anything but "),
            ("<", "less than "),
            (">", "more than "),
            ("~", "something with "),
            ("=", ""),
        ];
        let read = words.iter().find_map(|(sign, words)| Some((words, self.wanted.strip_prefix(sign)?)));
        read.map_or_else(|| self.wanted.clone(), |(words, value)| format!("{words}{value}"))
    }

    /// What was asked and what was found.
    pub(crate) fn sentence(&self) -> String {
        if let Some(eyes) = self.seen_by {
            return format!("{}: {}, {}", self.asked(), self.measured, eyes.words());
        }
        match (self.held, self.measured == NOT_MEASURED) {
            (true, _) => format!("{}, is {}", self.asked(), self.measured),
            (false, false) => format!("{}, but is {}", self.asked(), self.measured),
            (false, true) => format!("{}, but was not measured", self.asked()),
        }
    }

    /// `value` within `tolerance` of `target`.
    pub(crate) fn near(
        what: &'static str,
        value: Option<f64>,
        target: f64,
        tolerance: f64,
        unit: &str,
    ) -> Self {
        Self {
            what,
            wanted: format!("{target} {unit}, give or take {tolerance}"),
            measured: value.map_or_else(|| NOT_MEASURED.to_owned(), |value| format!("{value:.1} {unit}")),
            held: value.is_some_and(|value| (value - target).abs() <= tolerance),
            seen_by: None,
        }
    }

    /// `value` at least `least`.
    pub(crate) fn at_least(what: &'static str, value: Option<f64>, least: f64) -> Self {
        Self {
            what,
            wanted: format!("at least {least}"),
            measured: value.map_or_else(|| NOT_MEASURED.to_owned(), |value| format!("{value:.3}")),
            held: value.is_some_and(|value| value >= least),
            seen_by: None,
        }
    }

    /// A count of at least `least`.
    pub(crate) fn count(what: &'static str, value: Option<u64>, least: u64) -> Self {
        Self {
            what,
            wanted: format!("at least {least}"),
            measured: value.map_or_else(|| NOT_MEASURED.to_owned(), |value| value.to_string()),
            held: value.is_some_and(|value| value >= least),
            seen_by: None,
        }
    }

    /// The same text.
    pub(crate) fn text(what: &'static str, value: Option<&str>, target: &str) -> Self {
        Self {
            what,
            wanted: format!("{target:?}"),
            measured: value.map_or_else(|| NOT_MEASURED.to_owned(), |value| format!("{value:?}")),
            held: value == Some(target),
            seen_by: None,
        }
    }

    /// A fact.
    pub(crate) fn fact(what: &'static str, wanted: &str, measured: impl Into<String>, held: bool) -> Self {
        Self { what, wanted: wanted.to_owned(), measured: measured.into(), held, seen_by: None }
    }

    /// Video came and, where it should, moves: a picture differs from the one before, or, where they were not decoded, more
    /// than one came.
    pub(crate) fn seen(figures: Option<&VideoFigures>, moving: bool) -> Self {
        let came = figures.map_or(0, |figures| figures.pictures_received);
        let (measured, held) = match figures.and_then(|figures| figures.seen) {
            _ if came == 0 => ("no picture came".to_owned(), false),
            Some(seen) => (
                format!("{came} pictures came, {} of {} moved", seen.changed, seen.decoded),
                !moving || seen.changed > 0,
            ),
            None => (format!("{came} pictures came"), !moving || came > 1),
        };
        let (what, wanted) =
            if moving { ("video.moves", "seen, and it moves") } else { ("video.seen", "seen") };
        Self { what, wanted: wanted.to_owned(), measured, held, seen_by: None }
    }

    /// The tone `hz` at `dbm0` came back clean: frequency, level, and that nearly all energy is there.
    pub(crate) fn tone(heard: Option<&Heard>, hz: f64, dbm0: f64) -> Vec<Self> {
        vec![
            Self::near("audio.frequency", heard.and_then(|heard| heard.dominant_hz), hz, 2.0, "Hz"),
            Self::near("audio.level", heard.and_then(|heard| heard.level_dbm0), dbm0, 1.0, "dBm0"),
            Self::at_least("audio.tone_share", heard.and_then(|heard| heard.tone_share), 0.9),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_does_not_hold() {
        for expectation in Expectation::tone(None, 1000.0, -10.0) {
            assert!(!expectation.held);
            assert_eq!(expectation.measured, NOT_MEASURED);
        }
        assert!(!Expectation::text("text.echo", None, "").held);
    }

    #[test]
    fn what_was_asked_and_found_is_one_sentence() {
        let told = |wanted: &str, measured: &str, held| {
            Expectation::fact("audio.loss", wanted, measured, held).sentence()
        };
        assert_eq!(told("=0 %", NOT_MEASURED, false), "audio.loss=0 %, but was not measured");
        assert_eq!(told("<=1 %", "3 %", false), "audio.loss<=1 %, but is 3 %");
        assert_eq!(told("<=1 %", "0 %", true), "audio.loss<=1 %, is 0 %");
        assert_eq!(told("at least 1", "0", false), "audio.loss: at least 1, but is 0");
    }

    #[test]
    fn what_was_wanted_is_told_in_words() {
        for (wanted, wish) in [
            ("=0 %", "0 %"),
            ("<=1 %", "at most 1 %"),
            (">=3.8", "at least 3.8"),
            ("!=busy", "anything but busy"),
            ("<500 ms", "less than 500 ms"),
            (">0", "more than 0"),
            ("~\"HELLO\"", "something with \"HELLO\""),
            ("at least 1", "at least 1"),
        ] {
            assert_eq!(Expectation::fact("audio.loss", wanted, "", false).wish(), wish);
        }
    }

    #[test]
    fn one_picture_alone_does_not_move_and_need_not_when_a_still_one_is_sent() {
        let came = |pictures_received| VideoFigures { pictures_received, ..VideoFigures::default() };
        let seen = |changed, of| {
            let seen = Some(z5_core::SeenFigures { decoded: of, changed, ..Default::default() });
            VideoFigures { seen, ..came(of) }
        };
        for (figures, moves, is_seen) in [
            (None, false, false),
            (Some(came(0)), false, false),
            (Some(came(1)), false, true),
            (Some(came(2)), true, true),
            (Some(seen(0, 9)), false, true),
            (Some(seen(3, 9)), true, true),
        ] {
            assert_eq!(Expectation::seen(figures.as_ref(), true).held, moves, "{figures:?}");
            assert_eq!(Expectation::seen(figures.as_ref(), false).held, is_seen, "{figures:?}");
        }
    }

    #[test]
    fn silence_is_not_a_tone() {
        let silence = Heard::default();
        assert!(Expectation::tone(Some(&silence), 1000.0, -10.0).iter().all(|expectation| !expectation.held));
    }

    #[test]
    fn a_tone_must_have_its_frequency_and_level() {
        let heard = |hz, dbm0| Heard {
            dominant_hz: Some(hz),
            level_dbm0: Some(dbm0),
            tone_share: Some(0.99),
            ..Heard::default()
        };
        let held = |heard: &Heard| Expectation::tone(Some(heard), 1000.0, -10.0).iter().all(|e| e.held);
        assert!(held(&heard(1000.4, -10.2)));
        assert!(!held(&heard(440.0, -10.0)));
        assert!(!held(&heard(1000.0, -16.0)));
    }
}
