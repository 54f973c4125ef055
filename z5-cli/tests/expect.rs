//! `--expect` from the command line to the exit status.

mod common;

use std::collections::BTreeSet;

use common::{World, z5};

/// Every name of the document is measured in a call with tone and text, except those that such a call does not have.
#[test]
fn every_name_is_measured_in_a_call_or_said_not_to_be() {
    let document = include_str!("../../docs/expect.md");
    let names: Vec<&str> = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split(',').map(|name| name.trim().trim_matches('`')))
        .collect();
    let expressions: Vec<String> = names
        .iter()
        .map(|name| match *name {
            "code" => "code=ok".to_owned(),
            "unregistered" | "established" | "encrypted" | "audio.heard" => (*name).to_owned(),
            "ended_by" => "ended_by=local".to_owned(),
            "text.echo" | "text.received" | "text.sent" => format!("{name}=HELLO"),
            "audio.codec" => "audio.codec=PCMU".to_owned(),
            "cause" | "digits" | "video.codec" => format!("{name}~"),
            number => format!("{number}>=-100"),
        })
        .collect();
    let mut arguments = vec!["demo", "--json"];
    for expression in &expressions {
        arguments.extend(["--expect", expression]);
    }
    let run = z5(&arguments);
    let expectations = run.result()["expectations"].as_array().unwrap();
    let judged = &expectations[expectations.len() - names.len()..];
    let missing: BTreeSet<&str> = judged
        .iter()
        .filter(|expectation| expectation["measured"] == "not measured")
        .filter_map(|expectation| expectation["what"].as_str())
        .collect();
    // such a call has no pictures, the far end does not ring, the end has no cause; and it is so short that there may be no
    // round trip yet
    let may_lack = ["audio.round_trip_ms", "cause", "mos_conversation", "post_dial_ms", "r_factor"];
    let lacking = |name: &&str| !name.starts_with("video.") && !may_lack.contains(name);
    assert_eq!(missing.iter().copied().filter(lacking).collect::<Vec<_>>(), Vec::<&str>::new());
    assert_eq!(run.status, 1, "what was not measured does not pass");
    for expectation in judged {
        assert_eq!(expectation["held"], expectation["measured"] != "not measured", "{expectation}");
    }
}

#[test]
fn a_failure_that_was_asked_for_passes_and_another_does_not() {
    let world = World::new(&[]);
    let run = world.z5(&["call", "+15555550901", "--expect", "code=busy"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    assert_eq!(run.result()["verdict"], "ok");
    assert_eq!(run.result()["failure"]["code"], "call.busy");
    let run = world.z5(&["call", "+15555550901", "--expect", "code=declined", "--expect", "audio.heard"]);
    assert_eq!(run.status, 15, "{}", run.stdout);
    assert!(run.stderr.contains("call.busy"), "{}", run.stderr);
    let measured: Vec<&str> = run.result()["expectations"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|expectation| expectation["measured"].as_str())
        .collect();
    assert_eq!(measured, ["confirmed", "call.busy", "not measured"]);
}

/// A silent call does not pass, and the measured value is told.
#[test]
fn silence_is_not_heard() {
    let world = World::new(&[]);
    let run = world.z5(&["call", "echo", "--duration", "1s", "--expect", "audio.heard"]);
    assert_eq!(run.status, 1, "{}", run.stdout);
    let judged = run.result()["expectations"].as_array().unwrap().last().unwrap();
    assert_eq!((&judged["what"], &judged["measured"]), (&"audio.heard".into(), &"no".into()));
}

#[test]
fn what_cannot_be_read_ends_before_anything_is_sent() {
    let world = World::new(&[]);
    let run = world.z5(&["call", "echo", "--expect", "audio.herd"]);
    assert_eq!((run.status, run.stdout.as_str()), (2, ""));
    for words in ["--expect", "column 1", "did you mean `audio.heard`?", "\n  ^"] {
        assert!(run.stderr.contains(words), "no {words} in {}", run.stderr);
    }
}
