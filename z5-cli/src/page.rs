//! The page of a report, from a capsule: one file without scripts, fonts or addresses, for people who see, and for those who listen or
//! feel. A pure function; `z5 report` and `--report` write what it gives.

mod events;
mod html;
mod ladder;
mod negotiation;
mod plot;
mod sdp;
mod steps;
mod streams;
#[cfg(test)]
mod tests;
mod text;
mod verdict;

use serde_json::Value;

use crate::capsule::Capsule;
use html::Html;

/// The whole style. Its hash stands in the policy of the page, so no other style can have an effect.
const STYLE: &str = include_str!("page/style.css");
/// SHA-256 of [`STYLE`]; a test holds the two together.
const POLICY: &str = concat!(
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-",
    include_str!("page/style.sha256"),
    "'"
);

/// How every page of ours begins: what begins otherwise is not replaced by one.
pub(crate) const MARK: &str = "<!doctype html><!-- z5 report -->";

/// The page.
pub(crate) fn render(capsule: &Capsule) -> String {
    let mut page = Html::new();
    let title = verdict::title(capsule);
    page.raw(MARK).raw("\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"").raw(POLICY).raw("\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    page.raw(
        "<meta name=\"referrer\" content=\"no-referrer\"><meta name=\"color-scheme\" content=\"light dark\">",
    );
    page.raw("<title>").text(&title).raw("</title><style>").raw(STYLE).raw("</style></head><body>\n");
    page.raw("<a class=\"skip\" href=\"#verdict\">Skip to the verdict</a>");
    page.raw("<header><h1>").text(&title).raw("</h1><p class=\"soft\">");
    page.text(&when(capsule.started_unix_s)).raw(" UTC, z5 ").text(&version(capsule));
    if !capsule.numbers_shown {
        page.raw(". Numbers and names are masked");
    }
    page.raw(".</p></header>\n");

    let sections: [(&'static str, &'static str, Html); 8] = [
        ("verdict", "Verdict", verdict::section(capsule)),
        ("steps", "The five steps", steps::section(capsule)),
        ("streams", "Sound, video and text as measured", streams::section(capsule)),
        ("text", "What was typed", text::section(capsule)),
        ("negotiation", "What was agreed, and why", negotiation::section(capsule)),
        ("sip", "SIP messages", ladder::section(capsule)),
        ("events", "Every event", events::section(capsule)),
        ("environment", "Program and configuration", environment(capsule)),
    ];
    page.raw("<nav aria-label=\"Sections\"><ul>");
    for (id, name, _) in &sections {
        page.raw("<li><a href=\"#").raw(id).raw("\">").raw(name).raw("</a></li>");
    }
    page.raw("</ul></nav>\n<main>");
    for (id, name, content) in &sections {
        page.raw("\n<section id=\"").raw(id).raw("\" aria-labelledby=\"").raw(id).raw("-h\"><h2 id=\"");
        page.raw(id).raw("-h\">").raw(name).raw("</h2>").add(content).raw("</section>");
    }
    page.raw("\n</main></body></html>\n");
    page.finish()
}

fn version(capsule: &Capsule) -> String {
    text_at(&capsule.environment, "/version").unwrap_or("of an unknown version").to_owned()
}

fn environment(capsule: &Capsule) -> Html {
    let mut html = Html::new();
    let environment = &capsule.environment;
    html.raw("<dl>");
    let rows = [
        ("Program", format!("z5 {}", version(capsule))),
        ("System", text_at(environment, "/system").unwrap_or("not known").to_owned()),
        ("Pictures are encoded and decoded", yes(environment.pointer("/pictures"))),
        ("Opus", yes(environment.pointer("/opus"))),
    ];
    for (name, value) in rows {
        html.raw("<dt>").text(name).raw("</dt><dd>").text(&value).raw("</dd>");
    }
    if let Some(arguments) = environment.pointer("/arguments").and_then(Value::as_array) {
        let words: Vec<&str> = arguments.iter().filter_map(Value::as_str).collect();
        html.raw("<dt>Command line</dt><dd><code>z5 ").text(&words.join(" ")).raw("</code></dd>");
    }
    html.raw("</dl>");
    match environment.pointer("/configuration").filter(|value| !value.is_null()) {
        Some(configuration) => {
            let text = serde_json::to_string_pretty(configuration).unwrap_or_default();
            html.raw(
                "<details><summary>Configuration file, without its secrets</summary><pre tabindex=\"0\">",
            );
            html.text(&text).raw("</pre></details>");
        }
        None => {
            html.raw("<p>There was no configuration file.</p>");
        }
    }
    html
}

fn yes(value: Option<&Value>) -> String {
    match value.and_then(Value::as_bool) {
        Some(true) => "yes",
        Some(false) => "not in this build",
        None => "not known",
    }
    .to_owned()
}

fn text_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn number_at(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer).and_then(Value::as_f64)
}

/// Milliseconds as people read them.
fn duration(ms: f64) -> String {
    match ms {
        ms if !ms.is_finite() => "–".to_owned(),
        ms if ms < 10.0 => format!("{} ms", html::number(ms, 1)),
        ms if ms < 1000.0 => format!("{} ms", html::number(ms, 0)),
        ms if ms < 60_000.0 => format!("{} s", html::number(ms / 1000.0, 1)),
        ms => {
            let seconds = (ms / 1000.0).round();
            let (minutes, rest) = ((seconds / 60.0).floor(), seconds % 60.0);
            format!("{} min {} s", html::number(minutes, 0), html::number(rest, 0))
        }
    }
}

/// A date of the Gregorian calendar, as ISO 8601 writes it.
fn when(unix_s: u64) -> String {
    let days = (unix_s / 86_400) as i64;
    let (hour, minute, second) = (unix_s / 3600 % 24, unix_s / 60 % 60, unix_s % 60);
    // Howard Hinnant's civil_from_days: years that begin in March, eras of 400 years.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}
