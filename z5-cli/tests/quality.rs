//! The figures of a call in the JSON result: right on a clean path and on a bad one, null where nothing was measured, and each
//! of them described in docs/figures.md.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Run, World, z5};
use serde_json::Value;
use z5_mock::{Carrier, Impairment};

fn audio(run: &Run) -> &Value {
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    &run.result()["call"]["audio"]
}

fn number(of: &Value, path: &str) -> f64 {
    let found = of.pointer(path).and_then(Value::as_f64);
    assert!(found.is_some(), "{path} was not measured: {of}");
    found.unwrap_or_default()
}

/// The opinion follows from what was made up (on a busy machine sound may be late on any path).
fn judged(audio: &Value) {
    let share = number(audio, "/playout/concealed_ms") / number(audio, "/playout/played_ms");
    let listening = number(audio, "/voice/mos_listening");
    // With 5 % made up, G.711 has 3.92 of its 4.41 left (ITU-T G.107, G.113 appendix I).
    let expected = if share > 0.05 { 1.0..3.93 } else { 3.92..4.42 };
    assert!(expected.contains(&listening), "{share} made up: {audio}");
}

#[test]
fn a_bad_network_shows_in_every_figure_and_a_clean_one_in_none() {
    let call = ["call", "echo", "--audio", "tone", "--duration", "2s"];
    let clean = World::new(&[]).z5(&call);
    let clean = audio(&clean);
    for path in ["/lost", "/duplicates", "/reordered"] {
        assert_eq!(number(clean, path), 0.0, "{path}");
    }
    judged(clean);

    let bad = Impairment {
        loss: 0.1,
        delay: Duration::from_millis(30),
        jitter: Duration::from_millis(10),
        reorder: 0.2,
        duplicate: 0.2,
        ..Impairment::default()
    };
    // Both ways lie on that path: of a hundred packets a fifth is lost.
    let run = World::with("alice", Carrier::builder().impairment(bad)).z5(&call);
    let bad = audio(&run);
    for (path, least) in [
        ("/lost", 3.0),
        ("/duplicates", 1.0),
        ("/reordered", 1.0),
        ("/dropped/duplicate", 1.0),
        ("/jitter_ms", 1.0),
        ("/playout/concealed_ms", 40.0),
    ] {
        assert!(number(bad, path) >= least, "{path}: {bad}");
    }
    judged(bad);
    let listening = number(bad, "/voice/mos_listening");
    // A round trip is measured only when a report came back; then it is what the path adds twice.
    if let Some(round_trip) = bad["round_trip_ms"].as_f64() {
        assert!(round_trip >= 30.0, "{bad}");
        assert!(number(bad, "/voice/mos_conversation") <= listening, "{bad}");
    }
    // The tone is recognised all the same.
    assert!((number(bad, "/heard/dominant_hz") - 1000.0).abs() < 5.0, "{bad}");
}

#[test]
fn what_was_not_measured_is_null_and_never_a_flattering_default() {
    let run = World::new(&[]).z5(&["call", "silent", "--audio", "tone", "--duration", "500ms"]);
    let audio = &run.result()["call"]["audio"];
    assert!(number(audio, "/packets_sent") > 0.0);
    for path in [
        "lost",
        "jitter_ms",
        "first_packet_ms",
        "source",
        "remote_ssrc",
        "playout",
        "heard",
        "voice",
        "text",
        "video",
    ] {
        assert_eq!(audio[path], Value::Null, "{path}");
    }
    assert_eq!(audio["packets_received"], 0);
    let text = &run.result()["call"]["text"]["text"];
    assert_eq!((&text["latency_p50_ms"], &text["latency_p95_ms"]), (&Value::Null, &Value::Null));
}

/// Every member that is no container.
fn members(value: &Value, into: &mut BTreeSet<String>) {
    let Some(object) = value.as_object() else { return };
    for (name, value) in object {
        into.insert(name.clone());
        // The reasons of drops are no members of their own.
        if name != "dropped" {
            members(value, into);
        }
    }
}

#[test]
fn each_figure_stands_in_the_documents() {
    let run = z5(&["demo", "--json"]);
    let call = &run.result()["call"];
    let mut found = BTreeSet::new();
    members(&call["audio"], &mut found);
    members(&call["text"], &mut found);
    assert!(found.len() > 30, "{found:?}");
    let page = include_str!("../../docs/figures.md");
    let missing: Vec<_> = found.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in docs/figures.md: {missing:?}");
}
