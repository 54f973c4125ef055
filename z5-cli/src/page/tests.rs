//! The page holds no script and no address, whatever is put into a capsule, and says what the capsule says.

use base64::Engine as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::capsule::{FORMAT, Message, Piece, Sample, Series, Speaker, VERSION};

/// Breaks out of text, attributes, comments, styles and scripts, where it can.
const HOSTILE: &str = "\"'></title></style><script>alert(1)</script><img src=x onerror=alert(1)>--><svg/onload=alert(1)>&lt;\u{202e}\u{0}";

fn message(text: &str) -> Message {
    Message {
        at_ms: 12.0,
        sent: true,
        transport: text.to_owned(),
        local: text.to_owned(),
        remote: text.to_owned(),
        method: Some(text.to_owned()),
        status: Some(488),
        cseq: Some(1),
        dialog: text.to_owned(),
        bytes: 10,
        text: format!(
            "SIP/2.0 488 {text}\nTo: {text}\n\n(9 bytes of application/sdp)\nm=audio {text}\na={text}\na={text}:{text}\n"
        ),
    }
}

/// A capsule in which every text is `text`.
fn full_of(text: &str) -> Capsule {
    let stream = json!({
        "codec": text, "security": text, "packets_sent": 10, "packets_received": 90, "lost": 10, "jitter_ms": 45.0,
        "round_trip_ms": 400.0, "dropped": {text: 3}, "heard": {"level_dbm0": -10.0, "dominant_hz": 1000.0},
        "video": {"pictures_received": 30, "width": 640, "height": 480, "frame_rate": 15.0, "freezes": 2, "frozen_ms": 900.0},
        "text": {"losses_marked": 1},
    });
    let line = json!({
        "index": 0, "kind": text, "taken": true, "why": text, "crypto": text, "direction": text, "feedback": [text],
        "formats": [{"encoding": text, "fmtp": text, "send_payload_type": 0, "receive_payload_type": 8, "used": "sent"}],
        "left_out": [{"format": text, "encoding": text, "why": text}], "keys_left": [text], "ptime_ms": 20, "bandwidth_bps": 64000,
    });
    Capsule {
        format: FORMAT.to_owned(),
        version: VERSION,
        started_unix_s: 1_795_708_800,
        numbers_shown: true,
        result: json!({
            "command": text, "verdict": text,
            "failure": {"step": "call", "code": text, "message": text, "retry_after_s": 5},
            "timings_ms": {"ready": 12.5, "call_setup": 3.0, "total": 2000.0},
            "call": {
                "established": true, "cause": text, "duration_ms": 61_000.0, "ended_by": "remote", "skew_ms": -150.0,
                "media": {"streams": [{"kind": text, "crypto": null}]}, "audio": stream, "video": stream, "text": stream,
                "text_sent": text, "text_received": text,
            },
            "expectations": [{"what": text, "wanted": text, "measured": text, "held": false}],
        }),
        advice: Some(text.to_owned()),
        events: vec![
            json!({"event": text, "at_ms": 1.0, "text": text}),
            json!({"event": "step-done", "at_ms": 3.0, "step": "resolve", "took_ms": 2.0}),
            json!({"event": "step-failed", "at_ms": 4.0, "step": "sign-in", "took_ms": 1.0, "error": {"code": text}}),
            json!({"event": "call-established", "at_ms": 9.0, "media": {"lines": [line]}, "timings": {"setup_ms": 3.0}}),
            json!({"event": "call-changed", "at_ms": 10.0, "media": {"lines": [{"taken": false, "why": text}]}}),
        ],
        events_left_out: 3,
        messages: vec![message(text), Message { sent: false, ..message(text) }],
        messages_left_out: 3,
        streams: vec![Series {
            call: 1,
            kind: "video".to_owned(),
            from_ms: 0.0,
            samples: vec![
                Sample {
                    at_ms: 500.0,
                    loss_percent: Some(3.0),
                    frame_rate: Some(15.0),
                    frozen_ms: Some(40.0),
                    ..Sample::default()
                },
                Sample { at_ms: 1000.0, loss_percent: None, received_kbps: Some(300.0), ..Sample::default() },
            ],
        }],
        transcript: vec![Piece {
            at_ms: 20.0,
            speaker: Speaker::Local,
            text: text.to_owned(),
            source: Some(text.to_owned()),
            waits_ms: vec![Some(100.0), None],
            echoes_ms: Vec::new(),
        }],
        transcript_left_out: 3,
        environment: json!({"version": text, "system": text, "arguments": [text], "configuration": {text: text}}),
    }
}

/// Every tag of a page: its name and whether it is an end.
fn tags(page: &str) -> Vec<&str> {
    let after_style = page.split_once("</style>").unwrap().1;
    let all = after_style.split('<').skip(1);
    all.map(|tag| tag.split(|c: char| !(c.is_ascii_alphanumeric() || c == '/')).next().unwrap()).collect()
}

#[test]
fn the_style_is_the_one_that_the_policy_permits() {
    let hash = base64::prelude::BASE64_STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    assert_eq!(include_str!("style.sha256"), hash, "put this into style.sha256, without a line end");
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains("</"));
}

#[test]
fn a_hostile_far_end_puts_nothing_into_the_page() {
    let (page, harmless) = (render(&full_of(HOSTILE)), render(&full_of("x")));
    assert!(
        !page.contains("<script") && !page.contains("<img") && !page.contains("onload=alert(1)>-"),
        "{page}"
    );
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!page.contains('\u{202e}') && !page.contains('\u{0}'));
    // Not one tag more than with a harmless text.
    let mut seen = tags(&page);
    let mut known = tags(&harmless);
    seen.sort_unstable();
    known.sort_unstable();
    seen.dedup();
    known.dedup();
    assert_eq!(seen, known);
    let allowed = [
        "a",
        "b",
        "body",
        "br",
        "caption",
        "circle",
        "code",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "header",
        "html",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "path",
        "pre",
        "rect",
        "section",
        "span",
        "strong",
        "summary",
        "svg",
        "table",
        "tbody",
        "td",
        "text",
        "th",
        "thead",
        "tr",
        "ul",
        "wbr",
        "head",
    ];
    for tag in seen {
        assert!(allowed.contains(&tag.trim_start_matches('/')), "{tag}");
    }
}

#[test]
fn the_page_asks_for_nothing_from_anywhere() {
    for text in [HOSTILE, "http://example.test/x", "url(https://example.test)"] {
        let page = render(&full_of(text));
        let (head, body) = page.split_once("</style>").unwrap();
        assert!(head.contains("default-src 'none'") && !head.contains("unsafe"), "{head}");
        assert!(!head.contains("://"), "{head}");
        for asks in
            [" src=", "href=\"h", "<link", "<iframe", "<object", "<form", "@import", " style=", "xlink"]
        {
            let found = body.split(asks).skip(1).count();
            // Hostile text may hold such words; then they are text, with what makes them markup taken away.
            let within_text = body.split(asks).skip(1).filter(|after| after.starts_with('x')).count();
            assert_eq!(found, if asks == " src=" { within_text } else { 0 }, "{asks}");
        }
    }
}

#[test]
fn sections_have_headings_and_tables_have_captions() {
    let page = render(&full_of("x"));
    for id in ["verdict", "steps", "streams", "text", "negotiation", "sip", "events", "environment"] {
        assert!(
            page.contains(&format!("<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">")),
            "{id}"
        );
        assert!(page.contains(&format!("href=\"#{id}\"")), "{id}");
    }
    for (opens, closes) in [
        ("<table>", "</table>"),
        ("<details>", "</details>"),
        ("<tr>", "</tr>"),
        ("<svg", "</svg>"),
        ("<div", "</div>"),
    ] {
        assert_eq!(page.matches(opens).count(), page.matches(closes).count(), "{opens}");
    }
    assert!(page.contains("<html lang=\"en\">"));
    assert_eq!(
        page.matches("<svg").count(),
        page.matches("aria-hidden=\"true\"").count(),
        "drawings have their words beside them"
    );
}

#[test]
fn a_capsule_with_next_to_nothing_has_a_page() {
    let bare = json!({"format": FORMAT, "version": 1, "started_unix_s": 0, "numbers_shown": false, "result": null, "events": []});
    let page = render(&serde_json::from_value(bare).unwrap());
    for words in [
        "No call was established.",
        "No step came to an end.",
        "No media flowed.",
        "No SIP message",
        "Nothing was agreed.",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn times_are_written_as_people_read_them() {
    assert_eq!(when(0), "1970-01-01 00:00:00");
    assert_eq!(when(951_827_696), "2000-02-29 12:34:56");
    assert_eq!(when(1_795_708_799), "2026-11-26 15:59:59");
    let shown = [0.34, 12.6, 1500.0, 61_000.0, f64::NAN].map(duration);
    assert_eq!(shown, ["0.3 ms", "13 ms", "1.5 s", "1 min 1 s", "–"]);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let names = prop_oneof![
        Just("event"),
        Just("at_ms"),
        Just("step"),
        Just("took_ms"),
        Just("call"),
        Just("media"),
        Just("lines"),
        Just("formats"),
        Just("video"),
        Just("failure"),
        Just("expectations"),
        Just("timings_ms"),
        Just("left_out"),
        Just("arguments"),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let members = proptest::collection::btree_map(names.clone(), inner.clone(), 0..5);
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::from),
            members.prop_map(|members| Value::Object(
                members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_a_capsule_holds_there_is_a_page(
        result in any_json(), events in proptest::collection::vec(any_json(), 0..5), environment in any_json(),
        times in proptest::collection::vec((any::<f64>(), any::<f64>()), 0..5), from_ms in any::<f64>(), text in ".{0,20}",
    ) {
        let sample = |(at_ms, value): (f64, f64)| Sample {
            at_ms, loss_percent: Some(value), jitter_ms: Some(value), frozen_ms: Some(value), sent_kbps: Some(value), ..Sample::default()
        };
        let samples = times.into_iter().map(sample).collect();
        let streams = vec![Series { call: 1, kind: "audio".to_owned(), from_ms, samples }];
        let page = render(&Capsule { result, events, environment, streams, ..full_of(&text) });
        prop_assert!(page.starts_with(MARK) && page.ends_with("</html>\n"));
        prop_assert!(!page.contains("NaN") && !page.contains("=\"inf") && !page.contains("\"-inf"));
    }
}
