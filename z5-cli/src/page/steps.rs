//! The waterfall: each step of the session as a bar on one scale of time, and what else happened when.

use serde_json::Value;

use super::html::Html;
use super::{duration, number_at, text_at};
use crate::capsule::Capsule;

/// One attempt at a step.
struct Bar {
    step: usize,
    from_ms: f64,
    took_ms: f64,
    ok: bool,
    what: String,
}

const STEPS: [(&str, &str); 5] = [
    ("resolve", "1 Names (DNS)"),
    ("sign-in", "2 Sign-in (ZDial)"),
    ("provision", "3 Licence and address book (MCS)"),
    ("register", "4 Registration (SIP)"),
    ("call", "5 Call"),
];

pub(super) fn section(capsule: &Capsule) -> Html {
    let mut html = Html::new();
    let bars: Vec<Bar> = capsule.events.iter().filter_map(bar).collect();
    if bars.is_empty() {
        html.raw("<p>No step came to an end.</p>");
        return html;
    }
    let end = bars.iter().map(|bar| bar.from_ms + bar.took_ms).fold(0.0, f64::max).max(0.001);
    html.table("How long each step took, and when", &["Step", "Outcome", "Began", "Took", "When"]);
    for (number, (_, name)) in STEPS.iter().enumerate() {
        let of_step: Vec<&Bar> = bars.iter().filter(|bar| bar.step == number).collect();
        for bar in &of_step {
            html.raw("<tr><th scope=\"row\">").text(name).raw("</th><td>");
            html.raw(if bar.ok {
                "<span class=\"good\">done</span>"
            } else {
                "<span class=\"bad\">failed</span>"
            });
            if !bar.what.is_empty() {
                html.raw("<br>").text(&bar.what);
            }
            html.raw("</td><td class=\"n\">").text(&duration(bar.from_ms)).raw("</td><td class=\"n\">");
            html.text(&duration(bar.took_ms)).raw("</td><td class=\"bar\">");
            draw(&mut html, bar, end);
            html.raw("</td></tr>");
        }
        if of_step.is_empty() {
            html.raw("<tr><th scope=\"row\">")
                .text(name)
                .raw("</th><td>not reached</td><td class=\"n\">–</td>");
            html.raw("<td class=\"n\">–</td><td></td></tr>");
        }
    }
    html.end_table();
    milestones(&mut html, &capsule.result);
    html
}

fn draw(html: &mut Html, bar: &Bar, end: f64) {
    let place = |ms: f64| (ms / end * 1000.0).clamp(0.0, 1000.0);
    // A bar of no width would say that nothing happened.
    let (from, width) = (place(bar.from_ms).min(994.0), place(bar.took_ms).max(6.0));
    html.raw(
        "<svg viewBox=\"0 0 1000 16\" preserveAspectRatio=\"none\" aria-hidden=\"true\" focusable=\"false\">",
    );
    html.raw("<rect class=\"track\" x=\"0\" y=\"0\" width=\"1000\" height=\"16\"/><rect class=\"");
    html.raw(if bar.ok { "ok-bar" } else { "bad-bar" })
        .raw("\" x=\"")
        .number(from, 1)
        .raw("\" y=\"2\" width=\"");
    html.number(width.min(1000.0 - from), 1).raw("\" height=\"12\"/></svg>");
}

fn bar(event: &Value) -> Option<Bar> {
    let at = number_at(event, "/at_ms")?;
    let of = |step: usize, took: f64, ok, what: &str| Bar {
        step,
        from_ms: (at - took).max(0.0),
        took_ms: took.max(0.0),
        ok,
        what: what.to_owned(),
    };
    match text_at(event, "/event")? {
        name @ ("step-done" | "step-failed") => {
            let step = text_at(event, "/step")?;
            let number = STEPS.iter().position(|(known, _)| *known == step)?;
            let why = text_at(event, "/error/code").unwrap_or("");
            Some(of(number, number_at(event, "/took_ms")?, name == "step-done", why))
        }
        "call-established" => {
            Some(of(4, number_at(event, "/timings/setup_ms").unwrap_or(0.0), true, "answered"))
        }
        "call-failed" => {
            let code = text_at(event, "/error/code").unwrap_or("");
            Some(of(4, number_at(event, "/timings/setup_ms").unwrap_or(0.0), false, code))
        }
        _ => None,
    }
}

/// What has a time of its own.
fn milestones(html: &mut Html, result: &Value) {
    let known = [
        ("ready", "Registered, since the program began"),
        ("call_post_dial", "First ringing, since INVITE"),
        ("call_setup", "Answer, since INVITE"),
        ("first_audio", "First sound, since the answer"),
        ("first_text", "First text, since the answer"),
        ("first_video", "First packet of video, since the answer"),
        ("first_picture", "First picture that can be shown, since the answer"),
        ("total", "Whole run"),
    ];
    let timings = result.pointer("/timings_ms");
    let there: Vec<(&str, f64)> =
        known.iter().filter_map(|(key, name)| Some((*name, timings?.get(key)?.as_f64()?))).collect();
    if there.is_empty() {
        return;
    }
    html.table("Other times", &["What", "Time"]);
    for (name, ms) in there {
        html.raw("<tr><th scope=\"row\">")
            .text(name)
            .raw("</th><td class=\"t\">")
            .text(&duration(ms))
            .raw("</td></tr>");
    }
    html.end_table();
}
