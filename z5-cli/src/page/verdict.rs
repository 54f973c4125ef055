//! The top of the page: what happened, in plain words, and what to do about it.

use serde_json::Value;

use super::html::{Html, number};
use super::streams::loss;
use super::{duration, number_at, text_at};
use crate::capsule::Capsule;

/// What is less is hidden by concealment and repetition in most calls. A choice of ours, not a standard's.
const LOSS_PERCENT: f64 = 1.0;
/// Half of what a jitter buffer of 60 ms takes. A choice of ours.
const JITTER_MS: f64 = 30.0;
/// ITU-T G.114: above 150 ms one way conversations suffer.
const ROUND_TRIP_MS: f64 = 300.0;
/// EN 301 549 section 6.5.4.
const SKEW_MS: f64 = 100.0;
/// EN 301 549 section 6.5.3: at least so many pictures a second.
const FRAME_RATE: f64 = 20.0;

/// What the page is called.
pub(super) fn title(capsule: &Capsule) -> String {
    let what = match text_at(&capsule.result, "/command") {
        Some("call") => "Outgoing call",
        Some("answer") => "Incoming call",
        Some("register") => "Registration",
        Some("message") => "Text message",
        Some("demo") => "Demonstration call",
        Some("run") => "Party of a scenario",
        Some(_) | None => "Run of z5",
    };
    let verdict = if passed(capsule) { "passed" } else { "failed" };
    format!("{what}: {verdict}")
}

fn passed(capsule: &Capsule) -> bool {
    text_at(&capsule.result, "/verdict") == Some("ok")
}

pub(super) fn section(capsule: &Capsule) -> Html {
    let mut html = Html::new();
    let result = &capsule.result;
    html.raw(match passed(capsule) {
        true => "<p><span class=\"badge good\">✓ PASS</span></p>",
        false => "<p><span class=\"badge bad\">✗ FAIL</span></p>",
    });
    failure(&mut html, capsule);
    html.raw("<ul>");
    for sentence in story(result) {
        html.raw("<li>").text(&sentence).raw("</li>");
    }
    html.raw("</ul>");
    let findings = findings(result);
    if !findings.is_empty() {
        html.raw("<h3>What to look into</h3>");
        for (seen, advice) in findings {
            html.raw("<div class=\"note warn\"><p><strong>").text(&seen).raw("</strong></p><p>What to do: ");
            html.raw(advice).raw(".</p></div>");
        }
    }
    expectations(&mut html, result);
    html
}

fn failure(html: &mut Html, capsule: &Capsule) {
    let Some(failure) = capsule.result.pointer("/failure").filter(|failure| !failure.is_null()) else {
        return;
    };
    let step = match text_at(failure, "/step") {
        Some("resolve") => "Step 1, names (DNS), failed: ",
        Some("sign-in") => "Step 2, sign-in (ZDial), failed: ",
        Some("provision") => "Step 3, licence and address book (MCS), failed: ",
        Some("register") => "Step 4, registration (SIP), failed: ",
        Some("call") => "Step 5, the call, failed: ",
        Some(_) | None => "",
    };
    html.raw("<div class=\"note bad\"><p><strong>")
        .raw(step)
        .text(text_at(failure, "/message").unwrap_or("No reason is known"));
    html.raw("</strong></p>");
    if let Some(advice) = &capsule.advice {
        html.raw("<p>What to do: ").text(advice);
        if let Some(seconds) = number_at(failure, "/retry_after_s") {
            html.raw(" (in ").number(seconds, 0).raw(" s)");
        }
        html.raw(".</p>");
    }
    if let Some(code) = text_at(failure, "/code") {
        html.raw("<p>Code: <code>").text(code).raw("</code></p>");
    }
    html.raw("</div>");
}

/// What happened, sentence by sentence.
fn story(result: &Value) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(ms) = number_at(result, "/timings_ms/ready") {
        all.push(format!("It was registered and ready for calls {} after the start.", duration(ms)));
    }
    let Some(call) = result.pointer("/call").filter(|call| !call.is_null()) else {
        all.push("No call was established.".to_owned());
        return all;
    };
    if call.get("established").and_then(Value::as_bool) == Some(true) {
        match number_at(result, "/timings_ms/call_setup") {
            Some(ms) => all.push(format!("The call was answered {} after it was placed.", duration(ms))),
            None => all.push("The call was answered.".to_owned()),
        }
    } else {
        all.push("The call was not established.".to_owned());
    }
    if let Some(ms) = number_at(call, "/duration_ms") {
        let by = match text_at(call, "/ended_by") {
            Some("local") => ", ended by this end",
            Some("remote") => ", ended by the far end",
            Some("network") => ", ended by the network",
            Some(_) | None => "",
        };
        let cause = text_at(call, "/cause").map_or_else(String::new, |cause| format!(" ({cause})"));
        all.push(format!("It lasted {}{by}{cause}.", duration(ms)));
    }
    all.extend(encryption(call));
    all.extend(sound(call));
    all.extend(video(call));
    all.extend(text(call));
    all
}

fn encryption(call: &Value) -> Option<String> {
    let streams =
        call.pointer("/media/streams").and_then(Value::as_array).filter(|streams| !streams.is_empty())?;
    let clear: Vec<&str> = streams
        .iter()
        .filter(|stream| stream.get("crypto").is_none_or(Value::is_null))
        .filter_map(|stream| text_at(stream, "/kind"))
        .collect();
    Some(match clear.is_empty() {
        true => "All media were encrypted.".to_owned(),
        false => format!("Not encrypted: {}.", clear.join(", ")),
    })
}

fn sound(call: &Value) -> Option<String> {
    let audio = call.get("audio").filter(|audio| !audio.is_null())?;
    let heard = match (number_at(audio, "/heard/level_dbm0"), number_at(audio, "/heard/dominant_hz")) {
        (Some(level), Some(hz)) => {
            format!("Sound was heard at {} dBm0, strongest at {} Hz", number(level, 1), number(hz, 0))
        }
        (Some(level), None) => format!("Sound was heard at {} dBm0", number(level, 1)),
        (None, _) if number_at(audio, "/packets_received") == Some(0.0) => "No sound came".to_owned(),
        (None, _) => "The sound that came was silence".to_owned(),
    };
    let lost = loss(audio)
        .map_or_else(String::new, |loss| format!("; {} % of its packets were lost", number(loss, 1)));
    Some(format!("{heard}{lost}."))
}

fn video(call: &Value) -> Option<String> {
    let stats = call.get("video").filter(|video| !video.is_null())?;
    let count = number_at(stats, "/video/pictures_received").unwrap_or(0.0);
    if count == 0.0 {
        return Some("No picture came that could be shown.".to_owned());
    }
    let mut text = format!("{} pictures came", number(count, 0));
    if let (Some(width), Some(height)) = (number_at(stats, "/video/width"), number_at(stats, "/video/height"))
    {
        text += &format!(" of {} by {}", number(width, 0), number(height, 0));
    }
    if let Some(rate) = number_at(stats, "/video/frame_rate") {
        text += &format!(", {} a second", number(rate, 1));
    }
    match number_at(stats, "/video/freezes") {
        Some(0.0) => text += ", without a freeze",
        Some(1.0) => text += ", with one freeze",
        Some(freezes) => text += &format!(", with {} freezes", number(freezes, 0)),
        None => {}
    }
    Some(text + ".")
}

fn text(call: &Value) -> Option<String> {
    let characters = |pointer| text_at(call, pointer).map_or(0, |text| text.chars().count());
    let (typed, came) = (characters("/text_sent"), characters("/text_received"));
    let same = text_at(call, "/text_sent").is_some_and(|sent| text_at(call, "/text_received") == Some(sent));
    match (typed, came) {
        (0, 0) => None,
        _ if same => Some(format!("{typed} characters were typed, and the same came back.")),
        (typed, came) => Some(format!("{typed} characters were typed, {came} came.")),
    }
}

/// What was measured and is not as it should be, with what to do.
fn findings(result: &Value) -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    let Some(call) = result.pointer("/call") else { return all };
    for (kind, name) in [("audio", "sound"), ("video", "video"), ("text", "text")] {
        let Some(stats) = call.get(kind).filter(|stats| !stats.is_null()) else { continue };
        if let Some(loss) = loss(stats).filter(|loss| *loss >= LOSS_PERCENT) {
            all.push((
                format!("{} % of the packets of {name} were lost on the way here.", number(loss, 1)),
                "look for a full line or a wireless link between here and the relay; `z5 check` shows what a firewall blocks",
            ));
        }
        let remote = number_at(stats, "/remote_report/lost").zip(number_at(stats, "/packets_sent"));
        if let Some(share) = remote.filter(|(_, sent)| *sent > 0.0).map(|(lost, sent)| lost * 100.0 / sent)
            && share >= LOSS_PERCENT
        {
            all.push((
                format!("The far end misses {} % of our packets of {name}.", number(share, 1)),
                "look at the way from here: upload is often the narrower direction",
            ));
        }
        if let Some(jitter) =
            number_at(stats, "/jitter_ms").filter(|jitter| kind != "text" && *jitter >= JITTER_MS)
        {
            all.push((
                format!("Packets of {name} came unevenly: {} ms of jitter at the end.", number(jitter, 0)),
                "look for a busy or wireless link; a queue in the router that prefers calls helps",
            ));
        }
        if let Some(trip) = number_at(stats, "/round_trip_ms").filter(|trip| *trip >= ROUND_TRIP_MS) {
            all.push((
                format!("A round trip of {name} takes {} ms: answers come late.", number(trip, 0)),
                "choose a relay that is nearer, or look for a full queue on the way",
            ));
        }
    }
    if let Some(count) = number_at(call, "/video/video/freezes").filter(|count| *count > 0.0) {
        let frozen = number_at(call, "/video/video/frozen_ms");
        let frozen = frozen.map_or_else(String::new, |ms| format!(", for {} in all", duration(ms)));
        all.push((
            format!("The picture stood still {}{frozen}.", times(count)),
            "compare the plots of loss and bit rate at the same time: loss points at the network, a low rate at the sender; \
             a call on hold has no pictures either",
        ));
    }
    if let Some(rate) = number_at(call, "/video/video/frame_rate").filter(|rate| *rate < FRAME_RATE) {
        all.push((
            format!(
                "{} pictures came a second; sign language needs {}.",
                number(rate, 1),
                number(FRAME_RATE, 0)
            ),
            "ask the far end what it sends; a limit of its bandwidth shows under \"What was agreed\"",
        ));
    }
    if let Some(marks) = number_at(call, "/text/text/losses_marked").filter(|marks| *marks > 0.0) {
        all.push((
            format!("Text was lost for good {}.", times(marks)),
            "agree to redundancy (red) on both sides; it repeats every piece of text twice",
        ));
    }
    if let Some(skew) = number_at(call, "/skew_ms").filter(|skew| skew.abs() >= SKEW_MS) {
        all.push((
            format!("Pictures and sound are {} ms apart.", number(skew, 0)),
            "this is noticed above 100 ms; look at the jitter of both, the larger buffer makes the other wait",
        ));
    }
    all
}

fn times(count: f64) -> String {
    if count <= 1.0 { "once".to_owned() } else { format!("{} times", number(count, 0)) }
}

fn expectations(html: &mut Html, result: &Value) {
    let Some(all) = result.pointer("/expectations").and_then(Value::as_array).filter(|all| !all.is_empty())
    else {
        return;
    };
    html.raw("<h3>What was expected</h3>").table("Expectations", &["Outcome", "What", "Wanted", "Measured"]);
    for one in all {
        html.raw(match one.get("held").and_then(Value::as_bool) {
            Some(true) => "<tr><td><span class=\"good\">✓ held</span></td>",
            Some(false) | None => "<tr><td><strong class=\"bad\">✗ failed</strong></td>",
        });
        html.cell(text_at(one, "/what").unwrap_or("–"));
        for member in ["/wanted", "/measured"] {
            html.cell(text_at(one, member).unwrap_or("–"));
        }
        html.raw("</tr>");
    }
    html.end_table();
}
