//! Each stream: its figures at the end of the call, and plots of what was measured while it ran.

use serde_json::Value;

use super::html::{Html, number};
use super::plot::{Line, Plot};
use super::{duration, number_at, text_at};
use crate::capsule::{Capsule, Sample, Series};

pub(super) fn section(capsule: &Capsule) -> Html {
    let mut html = Html::new();
    let call = capsule.result.pointer("/call").filter(|call| !call.is_null());
    let several = capsule
        .streams
        .iter()
        .any(|series| Some(series.call) != capsule.streams.first().map(|first| first.call));
    for (kind, name) in [("audio", "Sound"), ("video", "Video"), ("text", "Text")] {
        let stats = call.and_then(|call| call.get(kind)).filter(|stats| !stats.is_null());
        let series: Vec<&Series> = capsule.streams.iter().filter(|series| series.kind == kind).collect();
        if stats.is_none() && series.is_empty() {
            continue;
        }
        html.raw("<h3>").raw(name);
        if let Some(codec) = stats.and_then(|stats| text_at(stats, "/codec")) {
            html.raw(": ").text(codec);
        }
        html.raw("</h3>");
        if let Some(stats) = stats {
            figures(&mut html, stats);
        }
        for series in series {
            if several {
                html.raw("<p class=\"soft\">Call ").count(series.call as usize).raw("</p>");
            }
            plots(&mut html, series);
        }
    }
    if html.is_empty() {
        html.raw("<p>No media flowed.</p>");
    }
    html
}

/// One figure: where it stands, what it is, its unit.
const FIGURES: [(&str, &str, &str); 33] = [
    ("/security", "Encryption", ""),
    ("/packets_sent", "Packets sent", ""),
    ("/packets_received", "Packets that came", ""),
    ("/lost", "Packets lost on the way here", ""),
    ("/reordered", "Packets out of order", ""),
    ("/duplicates", "Packets that came twice", ""),
    ("/jitter_ms", "Jitter at the end", "ms"),
    ("/round_trip_ms", "Round trip (RTCP)", "ms"),
    ("/remote_report/lost", "Packets of ours that the far end misses", ""),
    ("/remote_report/jitter_ms", "Jitter that the far end sees", "ms"),
    ("/first_packet_ms", "First packet, since the stream began", "ms"),
    ("/playout/target_delay_ms", "Playout delay at the end", "ms"),
    ("/playout/concealed_ms", "Sound made up for missing packets", "ms"),
    ("/heard/level_dbm0", "Level heard", "dBm0"),
    ("/heard/dominant_hz", "Strongest frequency heard", "Hz"),
    ("/voice/mos_listening", "Estimated listening quality (1 to 4.4)", ""),
    ("/voice/mos_conversation", "Estimated conversation quality (1 to 4.4)", ""),
    ("/video/pictures_sent", "Pictures sent", ""),
    ("/video/pictures_received", "Pictures that came and could be shown", ""),
    ("/video/pictures_dropped", "Pictures that could not be shown", ""),
    ("/video/key_frames_received", "Key frames that came", ""),
    ("/video/frame_rate", "Pictures a second", ""),
    ("/video/freezes", "Freezes", ""),
    ("/video/frozen_ms", "Time frozen", "ms"),
    ("/video/longest_recovery_ms", "Longest recovery from a loss", "ms"),
    ("/video/seen/delay_p50_ms", "From drawing to seeing, half of the pictures within", "ms"),
    ("/video/seen/delay_p95_ms", "From drawing to seeing, 95 of 100 within", "ms"),
    ("/text/characters_sent", "Characters sent", ""),
    ("/text/characters_received", "Characters that came", ""),
    ("/text/characters_recovered", "Characters that redundancy brought back", ""),
    ("/text/losses_marked", "Places where text was lost", ""),
    ("/text/latency_p50_ms", "Wait for a packet, half of the characters within", "ms"),
    ("/text/latency_p95_ms", "Wait for a packet, 95 of 100 within", "ms"),
];

fn figures(html: &mut Html, stats: &Value) {
    html.raw("<details><summary>Figures at the end of the call</summary><dl>");
    for (pointer, name, unit) in FIGURES {
        let shown = match stats.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(value)) => value.as_f64().map_or_else(String::new, |value| number(value, 2)),
            // What was not measured is absent.
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => continue,
        };
        html.raw("<dt>").text(name).raw("</dt><dd>").text(&shown).raw(" ").text(unit).raw("</dd>");
    }
    let dropped = stats.pointer("/dropped").and_then(Value::as_object);
    for (reason, count) in dropped.into_iter().flatten() {
        let count = count.as_f64().map_or_else(String::new, |count| number(count, 0));
        html.raw("<dt>Dropped: ").text(&reason.replace('_', " ")).raw("</dt><dd>").text(&count).raw("</dd>");
    }
    html.raw("</dl></details>");
}

fn plots(html: &mut Html, series: &Series) {
    if series.samples.is_empty() {
        html.raw("<p>It was over before it could be measured in time.</p>");
        return;
    }
    let line = |name, ours, value: fn(&Sample) -> Option<f64>| Line {
        name,
        ours,
        points: series
            .samples
            .iter()
            .map(|sample| ((sample.at_ms - series.from_ms) / 1000.0, value(sample)))
            .collect(),
    };
    let one = |title, unit, value: fn(&Sample) -> Option<f64>| Plot {
        title,
        unit,
        lines: vec![line("came", false, value)],
        bars: false,
    };
    let delay = if series.kind == "video" { "From drawing to seeing" } else { "Playout delay" };
    html.raw("<div class=\"plots\">");
    one("Loss", "%", |sample| sample.loss_percent).draw(html);
    one("Jitter", "ms", |sample| sample.jitter_ms).draw(html);
    one(delay, "ms", |sample| sample.delay_ms).draw(html);
    one("Round trip", "ms", |sample| sample.round_trip_ms).draw(html);
    let both = vec![
        line("came", false, |sample| sample.received_kbps),
        line("sent", true, |sample| sample.sent_kbps),
    ];
    Plot { title: "Bit rate", unit: "kbit/s", lines: both, bars: false }.draw(html);
    one("Pictures a second", "a second", |sample| sample.frame_rate).draw(html);
    let frozen = vec![line("came", false, |sample| sample.frozen_ms)];
    Plot { title: "Freezes", unit: "ms", lines: frozen, bars: true }.draw(html);
    html.raw("</div>");
    let last = series.samples.last().map_or(0.0, |sample| sample.at_ms - series.from_ms);
    html.raw("<p class=\"soft\">").count(series.samples.len()).raw(" samples in ").text(&duration(last));
    html.raw(". A gap in a line, or a plot that is missing: not measured.</p>");
}

/// The loss of a stream's packets on the way here, in percent.
pub(super) fn loss(stats: &Value) -> Option<f64> {
    let (lost, came) = (number_at(stats, "/lost")?, number_at(stats, "/packets_received")?);
    (lost + came > 0.0).then(|| lost * 100.0 / (lost + came))
}
