//! z5 as an echo: in a scenario, by `z5 answer --echo`, and as the far end of the acceptance plan at somebody else's carrier.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::{World, command, z5};
use serde_json::Value;
use z5_mock::{Direction, Entry};

/// Alice calls bob, who answers as an echo; then he tries to hand her on, and she him.
const ECHO: &str = r##"
name: An echo
mock:
parties:
  alice:
  bob:
  carol: {number: +15555550103}
steps:
  - parallel:
      - register: alice
      - register: bob
      - register: carol
  - {call: +15555550102, as: alice, audio: tone, video: film}
  - {answer: bob, echo: yes}
  - {wait: established, as: alice}
  - {type: HELLO, as: alice}
  - {wait: text, is: HELLO, as: alice}
  - {dtmf: "1*#", as: alice}
  - {wait: digits, is: "1*#", as: alice}
  - hold: alice
  - pause: 2s
  - resume: alice
  - pause: 2s
  - hangup: alice
  - {wait: over, as: bob}
  - {expect: [audio.frequency=998..1002, "audio.level=-11..-9", "video.moved>=40", video.freezes=0, text.echo=HELLO, 'digits="1*#"', ended_by=local], as: alice}
  - {expect: [audio.frequency=998..1002, "video.moved>=40", text.received=HELLO, 'digits="1*#"'], as: bob}
  - {incoming: answer, echo: yes, as: bob}
  - {call: +15555550102, as: alice, audio: tone:440}
  - {wait: established, as: alice}
  - {transfer: +15555550103, as: alice, within: 2s}
"##;

/// In simulated time: each figure is what it is on every machine.
#[test]
fn what_is_sent_to_an_echo_comes_back_and_it_stays_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("echo.yaml");
    std::fs::write(&file, ECHO).unwrap();
    let run = z5(&["run", "--json", "--clock", "simulated", file.to_str().unwrap()]);
    let failed: Vec<&Value> = run
        .events
        .iter()
        .filter(|event| event["event"] == "step" && event["verdict"] != "ok")
        .filter(|event| event["verdict"] != "skipped")
        .collect();
    // all that fails is to hand an echo over
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["action"], "transfer", "{failed:?}");
    assert_eq!(failed[0]["failure"]["code"], "call.transfer-failed", "{failed:?}");
}

#[test]
fn an_echo_sends_nothing_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("echo.yaml");
    let text = ECHO.replace("{answer: bob, echo: yes}", "{answer: bob, echo: yes, audio: tone}");
    std::fs::write(&file, text).unwrap();
    let run = z5(&["run", "--json", "--check", file.to_str().unwrap()]);
    assert_eq!(run.status, 2);
    let message = run.result()["failure"]["message"].as_str().unwrap();
    assert!(message.contains(":14:") && message.contains("leave `audio` and `video` out"), "{message}");
    let run = z5(&["answer", "--echo", "--video", "film"]);
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("cannot be used with"), "{}", run.stderr);
}

#[test]
fn answer_with_echo_is_a_test_number_and_can_be_recorded() {
    let world = World::new(&[]);
    let (bob, folder) = (world.config_of("bob"), world.folder.path().join("record"));
    let record = folder.to_str().unwrap();
    let arguments = ["--config", bob.to_str().unwrap(), "--json", "answer", "--echo", "--record", record];
    let mut answering = command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(answering.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(r#""event":"ready""#)));
    let call = ["call", "+15555550102", "--audio", "tone", "--video", "film", "--text", "HELLO"];
    let more = ["--at", "200ms=dtmf:5", "--duration", "5s"];
    let expected =
        ["audio.heard", "audio.frequency=998..1002", "video.moved>=3", "text.echo=HELLO", "digits=5"];
    let mut all = [&call[..], &more[..]].concat();
    expected.iter().for_each(|one| all.extend(["--expect", one]));
    let run = world.z5(&all);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let theirs: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert_eq!(answering.wait().unwrap().code(), Some(0), "{theirs}");
    for file in ["heard.wav", "seen.h264"] {
        assert!(std::fs::metadata(folder.join(file)).is_ok_and(|file| file.len() > 10_000), "{file}");
    }
}

/// Two callers at once, and one after them; then somebody ends it.
#[test]
fn a_test_number_takes_every_call_until_it_is_ended() {
    let world = World::new(&[]);
    let (bob, carol) = (world.config_of("bob"), world.config_of("carol"));
    let base = ["--config", bob.to_str().unwrap(), "--json", "answer", "--echo", "--stay", "1h"];
    let arguments = [&base[..], &["--expect", "calls=3"]].concat();
    let mut answering = command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(answering.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(r#""event":"ready""#)));
    let call = |config: &std::path::Path, number: &[&str]| {
        let call = ["call", "+15555550102", "--audio", "tone", "--text", "HELLO", "--duration", "5s"];
        let base = ["--config", config.to_str().unwrap(), "--json"];
        let asked = ["--expect", "audio.frequency=998..1002", "--expect", "text.echo=HELLO"];
        command(&[&base[..], &call, &asked, number].concat()).stdout(Stdio::null()).spawn().unwrap()
    };
    let mut first = call(world.config().as_ref(), &[]);
    let mut second = call(&carol, &["--number", "+15555550103"]);
    let both = [first.wait().unwrap().code(), second.wait().unwrap().code()];
    assert_eq!(both, [Some(0), Some(0)]);
    assert_eq!(call(&carol, &["--number", "+15555550103"]).wait().unwrap().code(), Some(0));
    let pid = answering.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let events: Vec<Value> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    let result = events.last().unwrap();
    assert_eq!(answering.wait().unwrap().code(), Some(0), "{result}");
    let (calls, ended) = (&result["call"], events.iter().filter(|event| event["event"] == "call-ended"));
    assert_eq!((calls, ended.count(), &result["unregistered"]), (&Value::Null, 3, &true.into()));
    assert_eq!(result["calls"], 3);
    let run = z5(&["answer", "--stay", "1h"]);
    assert_eq!(run.status, 2, "{}", run.stderr);
}

/// That nobody calls is for the user to say.
#[test]
fn a_test_number_that_nobody_calls_fails_when_a_call_is_asked_for() {
    let world = World::new(&[]);
    let quiet = world.z5(&["answer", "--echo", "--stay", "100ms"]);
    assert_eq!((quiet.status, &quiet.result()["calls"]), (0, &0.into()), "{}", quiet.stderr);
    let asked = world.z5(&["answer", "--echo", "--stay", "100ms", "--expect", "calls>=1"]);
    let expectations = asked.result()["expectations"].as_array().unwrap();
    let calls = expectations.iter().find(|one| one["what"] == "calls").unwrap();
    assert_eq!((asked.status, &calls["measured"], &calls["held"]), (1, &"0".into(), &false.into()));
    let config = world.config();
    let shown = z5(&["--config", &config, "answer", "--echo", "--stay", "100ms"]);
    assert!(shown.stdout.contains("PASS  nobody called"), "{}", shown.stdout);
}

/// Points that call an echo, at a carrier whose own is not asked.
#[test]
fn the_plan_is_judged_with_an_account_that_answers_as_an_echo() {
    let world = World::new(&[]);
    let bob = world.config_of("bob");
    let (alice, echo) = (format!("alice={}", world.config()), format!("echo={}", bob.display()));
    let base = ["acceptance", "--json", "--party", &alice, "--party", &echo];
    // without its number nobody can call it
    let named = std::fs::read_to_string(&bob).unwrap();
    let unnamed: Vec<&str> = named.lines().filter(|line| !line.starts_with("number = ")).collect();
    assert_ne!(unnamed.len(), named.lines().count());
    std::fs::write(&bob, unnamed.join("\n")).unwrap();
    let run = z5(&[&base[..], &["--only", "V6"]].concat());
    assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"usage.echo".into()), "{}", run.stdout);
    std::fs::write(&bob, named).unwrap();
    let patient = ["fps=2", "freezes=99", "first=1m", "loss=90%", "tone=0.1", "dropped=99", "level=-40..0"];
    let mut all = [&base[..], &["--only", "V4,V5,V6,V7"]].concat();
    patient.iter().for_each(|set| all.extend(["--set", set]));
    let run = z5(&all);
    let verdicts: Vec<_> =
        run.events.iter().filter(|event| event["event"] == "point").map(|row| &row["verdict"]).collect();
    assert_eq!(verdicts, ["not-judged", "pass", "pass", "pass"], "{}{}", run.stdout, run.stderr);
    // the carrier's own far ends are called in its memory, ours over its wire
    let called = |entry: &&Entry| entry.direction == Direction::Sent && entry.text.starts_with("INVITE ");
    assert!(world.carrier.recorder().entries().iter().filter(called).count() >= 3, "{}", run.stdout);
    // who calls the echo is somebody else
    let same = format!("alice={}", bob.display());
    let run = z5(&["acceptance", "--json", "--party", &same, "--party", &echo, "--only", "V6"]);
    assert_eq!(run.event("point")["open"], "needs another account: --party alice=FILE");
}
