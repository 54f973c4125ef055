//! Calls that fall silent: told with the reason, ended where that is configured, and not mistaken for hold.

mod common;

use common::World;
use z5_mock::Fault;

/// Half a second of patience in place of twenty.
fn impatient(when_silent: &str, faults: &[Fault]) -> World {
    let world = World::new(faults);
    world.edit("[media]\n", &format!("[media]\nwhen_silent = \"{when_silent}\"\n"));
    world.append("\n[timeouts]\nmedia_silent = 500\n");
    world
}

#[test]
fn a_far_end_that_says_nothing_is_told_and_the_call_goes_on() {
    let run = impatient("tell", &[]).z5(&["call", "silent", "--audio", "tone", "--duration", "900ms"]);
    let silent = run.event("media-silent");
    assert_eq!((&silent["kind"], silent["silent_ms"].as_f64().unwrap() >= 500.0), (&"audio".into(), true));
    assert_eq!(run.events.iter().filter(|event| event["event"] == "media-silent").count(), 1, "told once");
    assert_eq!(run.result()["call"]["ended_by"], "local");
    let after = run.result()["call"]["duration_ms"].as_f64().unwrap();
    assert!(after >= 890.0, "to its end: {after}");
}

#[test]
fn where_it_is_configured_a_silent_call_is_ended_with_its_own_code() {
    let world = impatient("hang-up", &[Fault::NoMedia]);
    let run = world.z5(&["call", "echo", "--audio", "tone", "--duration", "20s"]);
    assert_eq!(run.status, 15, "{}", run.stderr);
    assert_eq!(run.result()["failure"]["code"], "call.media-silent");
    assert_eq!(run.result()["failure"]["advice"], "check-network");
    let message = run.result()["failure"]["message"].as_str().unwrap();
    assert!(message.starts_with("no audio has come for 5"), "{message}");
    let after = run.result()["call"]["duration_ms"].as_f64().unwrap();
    assert!(after < 15_000.0, "{after}");
}

#[test]
fn hold_is_no_silence_and_neither_is_a_far_end_that_echoes_our_mute() {
    let world = impatient("hang-up", &[]);
    let run = world.z5(&["call", "echo", "--audio", "tone", "--at", "100ms=hold", "--duration", "1500ms"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    assert!(!run.events.iter().any(|event| event["event"] == "media-silent"), "{}", run.stdout);
    // After hold the far end has its whole time again.
    let run = world.z5(&[
        "call",
        "echo",
        "--audio",
        "tone",
        "--at",
        "100ms=hold",
        "--at",
        "900ms=resume",
        "--duration",
        "1200ms",
    ]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
}
