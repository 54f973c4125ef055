//! `z5 run`: scenarios that pass, fail, cannot be read, are interrupted; against the mock carrier and against another one.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::{Run, World, command, z5};
use serde_json::Value;

/// Writes a scenario and runs it with `--json`.
fn run(text: &str, more: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.yaml");
    std::fs::write(&file, text).unwrap();
    let mut arguments = vec!["run", "--json", file.to_str().unwrap()];
    arguments.extend(more);
    z5(&arguments)
}

/// The steps in the order in which they ended: action and verdict.
fn steps(run: &Run) -> Vec<(String, String)> {
    let text = |step: &Value, member: &str| step[member].as_str().unwrap_or_default().to_owned();
    let all = run.events.iter().filter(|event| event["event"] == "step");
    all.map(|step| (text(step, "action"), text(step, "verdict"))).collect()
}

fn last_step(run: &Run) -> (String, String) {
    steps(run).into_iter().rfind(|(action, _)| action != "end").unwrap()
}

const TWO: &str = r##"
name: Two parties
mock:
parties: [alice, bob]
steps:
  - parallel:
      - register: alice
      - register: bob
  - {call: +15555550102, as: alice, audio: tone}
  - {wait: incoming, as: bob, where: {from: ~15555550101}}
  - answer: bob
    audio: tone:440
  - {wait: established, as: alice}
  - {dtmf: "12#", as: alice}
  - {wait: digits, is: "12#", as: bob}
  - {type: Hello, as: bob}
  - {wait: text, has: Hello, as: alice}
  - {hold: alice}
  - {wait: call-hold, where: {remote: true}, as: bob}
  - {resume: alice}
  - pause: 1s
  - hangup: alice
  - {wait: over, as: bob}
  - {expect: [audio.frequency=998..1002, ended_by=remote], as: bob}
  - {expect: [audio.frequency=438..442, ended_by=local], as: alice}
"##;

#[test]
fn two_parties_talk_to_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("out.xml");
    let run = run(TWO, &["--junit", junit.to_str().unwrap()]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    assert!(steps(&run).iter().all(|(_, verdict)| verdict == "ok"), "{:?}", steps(&run));
    let scenario = run.event("scenario");
    assert_eq!((&scenario["scenario"], &scenario["steps"]["ok"]), (&"Two parties".into(), &18.into()));
    assert_eq!(scenario["parties"]["bob"]["call"]["digits_received"], "12#");
    let result = run.result();
    assert_eq!((&result["command"], &result["verdict"]), (&"run".into(), &"ok".into()));
    assert!(run.events.iter().any(|event| event["event"] == "call-established" && event["party"] == "bob"));
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains("<testsuite name=\"Two parties\"") && junit.contains("failures=\"0\""), "{junit}");
    assert!(!junit.contains("<failure"), "{junit}");
}

#[test]
fn a_step_that_fails_ends_the_scenario_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("out.xml");
    let text = "mock:\nsteps:\n  - register\n  - call: +15555550901\n  - wait: established\n  - say: never\n";
    let run = run(text, &["--junit", junit.to_str().unwrap()]);
    assert_eq!(run.status, 1, "{}", run.stderr);
    assert_eq!(last_step(&run), ("wait".to_owned(), "failed".to_owned()));
    assert_eq!(run.event("scenario")["steps"], serde_json::json!({"ok": 2, "failed": 1, "skipped": 1}));
    assert_eq!(run.result()["failure"]["code"], "call.busy");
    assert_eq!(steps(&run).last().unwrap(), &("end".to_owned(), "ok".to_owned()), "it left politely");
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains("type=\"call.busy\"") && junit.contains("test.yaml:5"), "{junit}");
    assert!(run.stderr.contains("call.busy") && run.stderr.contains("what to do"), "{}", run.stderr);
}

#[test]
fn a_failure_that_nobody_expected_does_not_vanish() {
    let text = "mock:\nsteps:\n  - register\n  - call: +15555550901\n  - {wait: over}\n";
    let failed = run(text, &[]);
    assert_eq!((failed.status, &failed.result()["failure"]["code"]), (1, &"call.busy".into()));
    let again = run(&format!("{text}  - call: echo\n"), &[]);
    assert_eq!((again.status, last_step(&again).1), (1, "failed".to_owned()));
    let expected = run(
        &format!("{text}  - expect: code=busy\n  - call: echo\n  - wait: established\n  - hangup\n"),
        &[],
    );
    assert_eq!(expected.status, 0, "{}", expected.stdout);
}

/// Bob waits in vain because alice's call failed: that is what is told.
#[test]
fn a_call_that_nobody_waits_for_does_not_pass() {
    for clock in ["real", "simulated"] {
        let run = |text: &str| run(text, &["--clock", clock]);
        // at the end, and when the session is stopped: nobody knows what came of it
        let open = run("mock:\nsteps:\n  - register\n  - {call: echo, audio: tone}\n");
        assert_eq!(
            (open.status, &open.result()["failure"]["code"]),
            (1, &"run.not-waited".into()),
            "{}",
            open.stdout
        );
        let told = open.events.iter().find(|event| event["verdict"] == "failed").unwrap();
        assert_eq!((&told["action"], &told["line"]), (&"end".into(), &4.into()), "{told}");
        assert!(open.result()["failure"]["message"].as_str().unwrap().contains("the call of line 4"));
        // that a session waits for something else is not waiting for its call
        let stopped = run("mock:\nsteps:\n  - register\n  - call: echo\n  - {wait: registered}\n  - stop\n");
        assert_eq!(stopped.result()["failure"]["code"], "run.not-waited", "{}", stopped.stdout);
        assert_eq!(last_step(&stopped), ("stop".to_owned(), "failed".to_owned()));
        // a call that is given up was not forgotten
        let given_up = run("mock:\nsteps:\n  - register\n  - call: +15555550900\n  - hangup\n");
        assert_eq!(given_up.status, 0, "{}", given_up.stdout);
    }
}

#[test]
fn what_a_call_came_to_between_steps_is_told_with_its_place_and_time() {
    let text = "mock:\nsteps:\n  - register\n  - call: +15555550901\n  - {pause: 700ms}\n  - {call: echo}\n";
    let run = run(text, &["--clock", "simulated"]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (1, &"call.busy".into()), "{}", run.stdout);
    let told = run.events.iter().find(|event| event["verdict"] == "failed").unwrap();
    assert_eq!(
        (&told["action"], &told["line"]),
        (&"call".into(), &6.into()),
        "told at the next step: {told}"
    );
    let message = told["failure"]["message"].as_str().unwrap();
    let (_, at) = message.split_once("(the call of line 4, ").unwrap_or_else(|| panic!("{message}"));
    let seconds: f64 = at.split_once(" s into the scenario)").unwrap().0.parse().unwrap();
    assert!(
        seconds < told["at_ms"].as_f64().unwrap() / 1000.0 - 0.6,
        "when it failed, not when it is told: {told}"
    );
}

#[test]
fn the_cause_is_told_rather_than_the_wait_in_vain() {
    let text = "mock: {faults: [sip.invite-status=503]}\nparties: [alice, bob]\nsteps:\n  - register: alice\n  - \
                register: bob\n  - {call: +15555550102, as: alice}\n  - {answer: bob, within: 300ms}\n";
    let run = run(text, &[]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (1, &"call.refused".into()), "{}", run.stdout);
    assert!(
        run.events.iter().any(|step| step["event"] == "step" && step["failure"]["code"] == "run.timed-out")
    );
}

#[test]
fn a_silent_call_does_not_pass() {
    let text = "mock: {faults: [media.one-way]}\nsteps:\n  - register\n  - {call: echo, audio: tone}\n  - wait: established\n  - \
                pause: 1200ms\n  - hangup\n";
    let silent = run(text, &[]);
    assert_eq!((silent.status, &silent.result()["failure"]["code"]), (1, &"run.expectation".into()));
    let allowed = text.replace("audio: tone", "audio: tone, silent: yes");
    assert_eq!(run(&allowed, &[]).status, 0);
}

/// What the session does not take at once is a failure of the step.
#[test]
fn what_is_refused_at_once_fails_its_step() {
    let call = "mock:\nsteps:\n  - register\n  - call: echo\n  - wait: established\n";
    for step in ["mute: video", "resume", "unmute: video", "add: audio"] {
        let refused = run(&format!("{call}  - {step}\n"), &[]);
        assert_eq!((refused.status, last_step(&refused).1), (1, "failed".to_owned()), "{step}");
    }
    let early = run("mock:\nsteps:\n  - register\n  - dtmf: 1\n", &[]);
    assert_eq!((early.status, &early.result()["failure"]["code"]), (1, &"run.not-possible".into()));
    assert_eq!(early.result()["failure"]["message"], "line 4: there is no call");
}

#[test]
fn what_does_not_come_is_waited_for_no_longer_than_said() {
    let text = "mock:\nsteps:\n  - register\n  - {call: noanswer}\n  - wait: ringing\n  - {wait: established, within: 200ms}\n";
    let late = run(text, &[]);
    assert_eq!((late.status, &late.result()["failure"]["code"]), (1, &"run.timed-out".into()));
    assert_eq!(late.event("scenario")["parties"]["alice"]["unregistered"], true);
    let text = "mock:\ntimeout: 300ms\nsteps:\n  - register\n  - pause: 1h\n";
    let late = run(text, &[]);
    assert_eq!((late.status, &late.result()["failure"]["code"]), (1, &"run.timed-out".into()));
}

#[test]
fn mistakes_end_with_2_before_anything_is_sent() {
    let run = run("mock:\nsteps:\n  - regster\n  - call: echo\n    audoi: tone\n", &[]);
    assert_eq!(run.status, 2, "{}", run.stdout);
    let message = run.result()["failure"]["message"].as_str().unwrap();
    for word in ["test.yaml:3:5", "did you mean `register`", "test.yaml:5:5", "did you mean `audio`"] {
        assert!(message.contains(word) && run.stderr.contains(word), "{word} is not in {message}");
    }
    assert_eq!(run.events.len(), 1, "{}", run.stdout);
    assert_eq!(run.result()["failure"]["code"], "scenario.invalid");
    let missing = z5(&["run", "--json", "no-such.yaml"]);
    assert_eq!((missing.status, &missing.result()["failure"]["code"]), (2, &"scenario.unreadable".into()));
    assert_eq!(z5(&["run"]).status, 2);
    // one that cannot be read keeps the good ones from running
    assert_eq!(z5(&["run", "--set", "x", "a.yaml"]).status, 2);
}

#[test]
fn check_sends_nothing() {
    let world = World::new(&[]);
    let file = world.folder.path().join("s.yaml");
    std::fs::write(&file, "steps: [register]").unwrap();
    let run = world.z5(&["run", "--check", file.to_str().unwrap()]);
    assert_eq!((run.status, run.events.len()), (0, 1), "{}", run.stdout);
    assert!(world.carrier.recorder().entries().is_empty());
}

/// The same file against the mock and against a carrier of somebody else's.
#[test]
fn a_scenario_runs_against_another_carrier() {
    let world = World::new(&[]);
    let [alice, bob] = ["alice", "bob"].map(|name| world.config_of(name).display().to_string());
    let file = world.folder.path().join("two.yaml");
    std::fs::write(&file, TWO).unwrap();
    let (alice, bob) = (format!("alice={alice}"), format!("bob={bob}"));
    let run = z5(&["run", "--json", "--party", &alice, "--party", &bob, file.to_str().unwrap()]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    assert!(world.carrier.recorder().to_text().contains("INVITE"));
    // what only the mock can do is refused before anything is sent
    std::fs::write(&file, "mock:\nsteps: [register, {fault: licence.expired}]").unwrap();
    let run = world.z5(&["run", file.to_str().unwrap()]);
    assert_eq!((run.status, run.events.len()), (2, 1), "{}", run.stdout);
}

/// What was judged by whose record is in what people read and in the JSON.
#[test]
fn a_verdict_on_the_wire_says_whose_eyes_it_was() {
    let text = "mock:\nsteps:\n  - register\n  - {wire: REGISTER, has: Via}\n  - {wire: REGISTER, seen: here, lacks: CSeq}\n";
    let run = run(text, &[]);
    assert_eq!(run.status, 1, "{}", run.stdout);
    let judged = run.events.iter().filter(|event| event["action"] == "wire");
    let judged: Vec<_> = judged.map(|step| &step["expectations"][0]).collect();
    assert_eq!((&judged[0]["seen_by"], &judged[0]["held"]), (&"carrier".into(), &true.into()));
    assert_eq!((&judged[1]["seen_by"], &judged[1]["held"]), (&"z5".into(), &false.into()));
    let told = run.event("scenario")["failure"]["message"].as_str().unwrap().to_owned();
    assert!(
        told.starts_with("line 5: wire: REGISTER: lacks \"CSeq\": ") && told.ends_with(", seen by z5"),
        "{told}"
    );
}

#[test]
fn an_interrupt_ends_calls_and_registrations_politely() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long.yaml");
    std::fs::write(&file, "mock:\nsteps: [register, {call: echo}, {wait: established}, {pause: 1h}]")
        .unwrap();
    let mut child =
        command(&["run", "--json", file.to_str().unwrap()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    for line in lines.by_ref() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if line["event"] == "step" && line["action"] == "wait" {
            let pid = child.id().to_string();
            assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        }
        seen.push(line);
    }
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let last = seen.last().unwrap();
    assert_eq!((&last["event"], &last["failure"]["code"]), (&"result".into(), &"run.interrupted".into()));
    let ended = seen.iter().find(|line| line["event"] == "call-ended").unwrap();
    assert_eq!(ended["by"], "local");
    assert!(seen.iter().any(|line| line["event"] == "unregistered" && line["confirmed"] == true));
}

#[test]
fn the_schema_that_is_printed_is_the_published_one() {
    let run = z5(&["run", "--schema"]);
    assert_eq!((run.status, run.stdout.as_str()), (0, include_str!("../../docs/schema/scenario.json")));
}

/// Every example of docs/scenarios.md holds.
#[test]
fn the_examples_of_the_document_pass() {
    let document = include_str!("../../docs/scenarios.md");
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec!["run".to_owned(), "--json".to_owned()];
    for (number, block) in document.split("```yaml\n").skip(1).enumerate() {
        let file = folder.path().join(format!("{number}.yaml"));
        std::fs::write(&file, block.split("```").next().unwrap()).unwrap();
        arguments.push(file.display().to_string());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = z5(&arguments);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    assert!(run.result()["scenarios"].as_array().unwrap().len() >= 4);
}

#[test]
fn what_people_read_has_a_line_for_each_step() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("read.yaml");
    std::fs::write(
        &file,
        "name: A look\nmock:\nsteps:\n  - register\n  - {name: what it was, expect: established}\n",
    )
    .unwrap();
    let run = z5(&["run", file.to_str().unwrap()]);
    assert_eq!(run.status, 1);
    for word in
        ["== A look", "ok    ", "alice", "register", "FAILED", "what it was", "not measured", "FAIL  A look"]
    {
        assert!(run.stdout.contains(word), "{word} is not in\n{}", run.stdout);
    }
    std::fs::write(
        &file,
        "mock:\nsteps:\n  - impair: {loss: 2.5%, delay: 40ms}\n  - impair: off\n  - pause: 1500ms\n",
    )
    .unwrap();
    let looked = z5(&["run", file.to_str().unwrap()]);
    for line in ["impair: loss 2.5%, delay 40ms", "impair: off", "1.5"] {
        assert!(looked.stdout.contains(line), "{line} is not in\n{}", looked.stdout);
    }
    assert!(run.stderr.contains("run.expectation"), "{}", run.stderr);
}

/// `z5 call --at`: what is refused at once does not count as done.
#[test]
fn a_deed_that_is_refused_is_not_done() {
    let world = World::new(&[]);
    let at = |deed: &str| {
        let at = format!("100ms={deed}");
        world.z5(&["call", "echo", "--at", &at, "--duration", "400ms"])
    };
    for deed in ["resume", "mute:video"] {
        let run = at(deed);
        assert_ne!(run.status, 0, "{deed}: {}", run.stdout);
        let told = run.result()["expectations"].as_array().unwrap();
        let told = told.iter().find(|expectation| expectation["what"] == "at").unwrap();
        assert!(
            told["held"] == false && told["measured"].as_str().unwrap().starts_with("refused:"),
            "{told}"
        );
    }
    assert_eq!(at("mute").status, 0);
    assert_eq!(world.z5(&["call", "echo", "--at", "1s=dtmf:X"]).status, 2, "no key: nothing is sent");
}
