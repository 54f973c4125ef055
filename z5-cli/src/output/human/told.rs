//! Names, licence and figures in words. What was not measured is left out.

use std::collections::BTreeSet;

use z5_core::events::{LicenceReport, NameReport};
use z5_core::{StreamStats, VideoFigures};

pub(super) fn resolved(names: &[NameReport]) -> String {
    let answers = names.iter().flat_map(|name| &name.answers);
    let servers: BTreeSet<String> = answers
        .filter_map(|answer| Some(format!("{} over {}", answer.server?, answer.transport?.to_uppercase())))
        .collect();
    let from = if servers.is_empty() {
        "the configuration".to_owned()
    } else {
        servers.into_iter().collect::<Vec<_>>().join(", ")
    };
    format!("{} names from {from}", names.len())
}

pub(super) fn licence_line(licence: &LicenceReport) -> String {
    let hours = licence.expires_in_s / 3600;
    let left = if hours >= 48 { format!("{} days", hours / 24) } else { format!("{hours} h") };
    format!("licence for {left} ({}, {} calls)", licence.features.join(" "), licence.max_calls)
}

/// What there is to say of pictures; what was not measured is left out.
pub(super) fn pictures(figures: &VideoFigures, skew_ms: Option<f64>) -> Vec<String> {
    let mut lines =
        vec![format!("{} pictures sent, {} came", figures.pictures_sent, figures.pictures_received)];
    let size = figures.width.zip(figures.height).map(|(width, height)| format!("{width}x{height}"));
    let rate = figures.frame_rate.map(|rate| format!("{rate:.1} a second"));
    let bits = figures.received_bits_per_second.map(|bits| format!("{:.0} kbit/s", bits / 1000.0));
    let freezes = figures.freezes.zip(figures.frozen_ms);
    let freezes = freezes.map(|(count, ms)| match count {
        0 => "no freeze".to_owned(),
        1 => format!("1 freeze of {ms:.0} ms"),
        _ => format!("{count} freezes of {ms:.0} ms in all"),
    });
    let seen: Vec<String> = [size, rate, bits, freezes].into_iter().flatten().collect();
    if !seen.is_empty() {
        lines.push(seen.join(", "));
    }
    let delay = figures.seen.and_then(|seen| seen.delay_p50_ms.zip(seen.delay_p95_ms));
    let delay = delay
        .map(|(half, most)| format!("from drawing to seeing {half:.0} ms, 95 of 100 within {most:.0} ms"));
    let recovered = figures.longest_recovery_ms.map(|ms| match figures.recoveries {
        1 => format!("1 recovery after {ms:.0} ms"),
        count => format!("{count} recoveries, longest {ms:.0} ms"),
    });
    let skew = skew_ms.map(|ms| match ms.round() {
        0.0 => "in step with the sound".to_owned(),
        ms if ms > 0.0 => format!("{ms:.0} ms behind the sound"),
        ms => format!("{:.0} ms ahead of the sound", -ms),
    });
    lines.extend([delay, recovered, skew].into_iter().flatten());
    lines
}

pub(super) fn packets(stats: &StreamStats) -> String {
    let lost = stats.lost.map_or_else(|| "loss not measured".to_owned(), |lost| format!("{lost} lost"));
    format!("{} packets sent, {} came, {lost}", stats.packets_sent, stats.packets_received)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_ahead_is_not_behind() {
        let figures = VideoFigures {
            freezes: Some(1),
            frozen_ms: Some(400.0),
            recoveries: 1,
            longest_recovery_ms: Some(80.0),
            ..VideoFigures::default()
        };
        let said = pictures(&figures, Some(-59.4)).join("; ");
        for part in ["1 freeze of 400 ms", "1 recovery after 80 ms", "59 ms ahead of the sound"] {
            assert!(said.contains(part), "{said}");
        }
        let several = VideoFigures { freezes: Some(2), recoveries: 3, ..figures };
        let said = pictures(&several, Some(12.0)).join("; ");
        for part in ["2 freezes of 400 ms in all", "3 recoveries, longest 80 ms", "12 ms behind the sound"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(pictures(&figures, Some(-0.3)).join("; ").contains("in step with the sound"));
    }
}
