//! Why each codec and attribute is used or not, m-line by m-line: the reasons of the negotiation itself, then both descriptions side
//! by side.

use serde_json::Value;

use super::html::Html;
use super::sdp::{self, Exchange, Medium};
use super::{duration, number_at, text_at};
use crate::capsule::Capsule;

/// Negotiations and exchanges shown at most.
const MOST: usize = 12;

pub(super) fn section(capsule: &Capsule) -> Html {
    let mut html = Html::new();
    let agreed = capsule
        .events
        .iter()
        .filter(|event| matches!(text_at(event, "/event"), Some("call-established" | "call-changed")));
    for event in agreed.take(MOST) {
        let at = number_at(event, "/at_ms")
            .map_or_else(String::new, |ms| format!(", {} after the start", duration(ms)));
        let name = if text_at(event, "/event") == Some("call-changed") { "Changed" } else { "At the answer" };
        html.raw("<h3>").raw(name).text(&at).raw("</h3>");
        for line in event.pointer("/media/lines").and_then(Value::as_array).into_iter().flatten() {
            outcome(&mut html, line);
        }
    }
    if html.is_empty() {
        html.raw("<p>Nothing was agreed.</p>");
        if let Some(message) = text_at(&capsule.result, "/failure/message") {
            html.raw("<p>").text(message).raw("</p>");
        }
    }
    let exchanges = sdp::exchanges(&capsule.messages);
    for (number, exchange) in exchanges.iter().enumerate().take(MOST) {
        html.raw("<details><summary>").raw(match exchange.offer.sent {
            true => "Our offer",
            false => "The far end's offer",
        });
        html.raw(" ").count(number + 1).raw(" and its answer, attribute by attribute</summary>");
        side_by_side(&mut html, exchange);
        html.raw("</details>");
    }
    html
}

/// One m-line as the negotiation judged it.
fn outcome(html: &mut Html, line: &Value) {
    let kind = text_at(line, "/kind").unwrap_or("?");
    let taken = line.pointer("/taken").and_then(Value::as_bool) == Some(true);
    let index = line.pointer("/index").and_then(Value::as_u64).unwrap_or(0);
    html.raw("<h4>Line ").count(index as usize + 1).raw(": ").text(kind);
    html.raw(if taken {
        ", <span class=\"good\">used</span></h4>"
    } else {
        ", <span class=\"bad\">not used</span></h4>"
    });
    if let Some(why) = text_at(line, "/why") {
        html.raw("<p>Why not: ").text(why).raw(".</p>");
    }
    let formats = || line.pointer("/formats").and_then(Value::as_array).into_iter().flatten();
    let left = || line.pointer("/left_out").and_then(Value::as_array).into_iter().flatten();
    if formats().next().is_some() || left().next().is_some() {
        html.table("Formats in the order of preference", &["Format", "Payload type", "Outcome", "Why"]);
        for format in formats() {
            chosen(html, format);
        }
        for format in left() {
            let name = text_at(format, "/encoding").or_else(|| text_at(format, "/format")).unwrap_or("?");
            html.raw("<tr>").cell(name).cell(text_at(format, "/format").unwrap_or("–"));
            html.raw("<td>left out</td>")
                .cell(text_at(format, "/why").unwrap_or("no reason is known"))
                .raw("</tr>");
        }
        html.end_table();
    }
    if taken {
        terms(html, line);
    }
}

fn chosen(html: &mut Html, format: &Value) {
    let encoding = text_at(format, "/encoding").unwrap_or("?");
    let number = |pointer| format.pointer(pointer).and_then(Value::as_u64);
    let types = match (number("/send_payload_type"), number("/receive_payload_type")) {
        (Some(send), Some(receive)) if send == receive => send.to_string(),
        (Some(send), Some(receive)) => format!("{send} sent, {receive} received"),
        _ => "–".to_owned(),
    };
    let name = encoding.split('/').next().unwrap_or_default().to_ascii_lowercase();
    let (outcome, why) = match text_at(format, "/used") {
        Some("sent") => (
            "chosen",
            "both have it, and it is the first in the order of this call that can carry the line alone",
        ),
        Some("beside") => (
            "agreed beside it",
            match name.as_str() {
                "telephone-event" => "both have it: pressed keys travel as events (RFC 4733), not as sound",
                "cn" => "both have it: silence may be described in place of being sent (RFC 3389)",
                "red" => {
                    "both have it: each piece of text is sent three times, so a lost packet loses none (RFC 2198)"
                }
                _ => "both have it; it goes along with another format",
            },
        ),
        Some("understood") => {
            ("understood", "both have it; we send the one above, the far end may send either")
        }
        Some(_) | None => ("–", "no reason is known"),
    };
    html.raw("<tr><td>").breakable(encoding);
    if let Some(fmtp) = text_at(format, "/fmtp") {
        html.raw("<br><span class=\"soft\">").breakable(fmtp).raw("</span>");
    }
    html.raw("</td>").cell(&types).raw("<td>").raw(outcome).raw("</td><td>").raw(why).raw("</td></tr>");
}

/// What holds for the line beside its formats.
fn terms(html: &mut Html, line: &Value) {
    html.raw("<ul>");
    let direction = match text_at(line, "/direction") {
        Some("sendrecv") => "media flows both ways",
        Some("sendonly") => "we send and receive nothing (the far end is on hold, or wants nothing)",
        Some("recvonly") => "we receive and send nothing",
        Some("inactive") => "nothing flows",
        Some(_) | None => "the direction is not known",
    };
    html.raw("<li>").raw(direction).raw("</li>");
    match text_at(line, "/crypto") {
        Some(suite) => {
            html.raw("<li>encrypted with ").text(suite).raw(", the first suite that both have</li>")
        }
        None => {
            html.raw("<li><span class=\"warn\">not encrypted</span>: the line was agreed without SRTP</li>")
        }
    };
    for why in line.pointer("/keys_left").and_then(Value::as_array).into_iter().flatten() {
        html.raw("<li>a key was not used: ").text(why.as_str().unwrap_or("no reason is known")).raw("</li>");
    }
    let feedback: Vec<&str> = line
        .pointer("/feedback")
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    if !feedback.is_empty() {
        html.raw("<li>both act on feedback by RTCP: ").text(&feedback.join(", ")).raw("</li>");
    }
    if line.pointer("/rtcp_mux").and_then(Value::as_bool) == Some(true) {
        html.raw("<li>RTP and RTCP share one port (RFC 5761)</li>");
    }
    if let Some(ptime) = number_at(line, "/ptime_ms") {
        html.raw("<li>the far end asked for packets of ").number(ptime, 0).raw(" ms</li>");
    }
    if let Some(bits) = number_at(line, "/bandwidth_bps") {
        html.raw("<li>the far end wants at most ").number(bits / 1000.0, 0).raw(" kbit/s</li>");
    }
    html.raw("</ul>");
}

fn side_by_side(html: &mut Html, exchange: &Exchange<'_>) {
    let offered = sdp::media(exchange.offer);
    let answered = exchange.answer.map(sdp::media).unwrap_or_default();
    if exchange.answer.is_none() {
        html.raw("<p>No answer to it was seen.</p>");
    }
    for (index, offer) in offered.iter().enumerate() {
        let answer = answered.get(index);
        html.raw("<h4>Line ")
            .count(index + 1)
            .raw("</h4><p>Offer: <code>m=")
            .text(offer.line)
            .raw("</code><br>Answer: ");
        match answer {
            Some(answer) => html.raw("<code>m=").text(answer.line).raw("</code></p>"),
            None => html.raw("none</p>"),
        };
        html.table("Attributes of the line", &["Attribute", "Offer", "Answer", "What came of it"]);
        for name in names(offer, answer) {
            let (in_offer, in_answer) =
                (values(offer, name), answer.map(|answer| values(answer, name)).unwrap_or_default());
            html.raw("<tr>").cell(name).cell(&in_offer).cell(&in_answer).raw("<td>");
            html.raw(verdict(name, !in_offer.is_empty(), !in_answer.is_empty(), answer.is_some()))
                .raw("</td></tr>");
        }
        html.end_table();
    }
}

/// An attribute's name.
fn name(attribute: &str) -> &str {
    if let Some(at) = attribute.strip_prefix("b=").and_then(|rest| rest.find(':')) {
        return &attribute[..at + 2];
    }
    attribute.split(':').next().unwrap_or(attribute)
}

/// Every name of both, once, in their order. The formats' own have a table above.
fn names<'a>(offer: &'a Medium<'a>, answer: Option<&'a Medium<'a>>) -> Vec<&'a str> {
    let mut all = Vec::new();
    let both = offer.attributes.iter().chain(answer.into_iter().flat_map(|answer| &answer.attributes));
    for name in both.map(|attribute| name(attribute)) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

fn values(medium: &Medium<'_>, wanted: &str) -> String {
    let of_name = medium.attributes.iter().filter(|attribute| name(attribute) == wanted);
    let values = of_name.map(|attribute| attribute[wanted.len()..].trim_start_matches(':'));
    let shown: Vec<&str> = values.map(|value| if value.is_empty() { "yes" } else { value }).collect();
    shown.join("; ")
}

fn verdict(name: &str, offered: bool, answered: bool, has_answer: bool) -> &'static str {
    match (name, offered, answered) {
        _ if !has_answer => "not answered",
        ("crypto", true, true) => "agreed: the answer names the suite that both use",
        ("crypto", true, false) => "the answerer took no key",
        ("rtpmap" | "fmtp", true, true) => "each side says its own; the table of formats says which are used",
        ("sendrecv" | "sendonly" | "recvonly" | "inactive", true, true) => "the same on both sides",
        ("sendrecv" | "sendonly" | "recvonly" | "inactive", _, _) => {
            "the answer decides, within what was offered"
        }
        ("rtcp" | "ssrc" | "ptime" | "maxptime" | "b=TIAS" | "b=AS" | "label" | "mid", _, _) => {
            "each side says its own; it binds the other"
        }
        ("rtcp-mux", true, false) => "not agreed: RTCP has a port of its own",
        ("rtcp-fb", true, false) => "not agreed: the answerer acts on no feedback",
        ("setup" | "fingerprint", true, false) => "the answerer does not key by DTLS",
        (_, true, true) => "agreed: both wrote it",
        (_, true, false) => "not agreed: the answerer left it out",
        (_, false, _) => "the answerer wrote it unasked; what was not offered has no effect",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_compared_by_name() {
        let offer = Medium {
            line: "audio 1 RTP/AVP 0",
            attributes: vec!["rtcp-mux", "rtcp-fb:* nack", "b=TIAS:1", "rtcp-fb:* nack pli"],
        };
        let answer = Medium { line: "audio 2 RTP/AVP 0", attributes: vec!["rtcp-mux", "x-new:1"] };
        assert_eq!(names(&offer, Some(&answer)), ["rtcp-mux", "rtcp-fb", "b=TIAS", "x-new"]);
        assert_eq!(values(&offer, "rtcp-fb"), "* nack; * nack pli");
        assert_eq!(
            (values(&offer, "rtcp-mux"), values(&offer, "b=TIAS")),
            ("yes".to_owned(), "1".to_owned())
        );
        assert!(verdict("rtcp-fb", true, false, true).starts_with("not agreed"));
        assert!(verdict("x-new", false, true, true).contains("unasked"));
    }
}
