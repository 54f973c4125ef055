//! Scenarios with several calls of one party, calls that change hands, calls that are turned down, the address book and the history.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod common;

use common::{Run, z5};
use serde_json::Value;

fn run(text: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.yaml");
    std::fs::write(&file, text).unwrap();
    z5(&["run", "--json", file.to_str().unwrap()])
}

/// The last step of a party before the end: its words and its failure.
fn last_step(run: &Run) -> (&str, &str) {
    let step = run.events.iter().rfind(|line| line["event"] == "step" && line["action"] != "end").unwrap();
    (step["what"].as_str().unwrap(), step["failure"]["code"].as_str().unwrap_or_default())
}

const THREE: &str = "mock:
parties:
  alice:
  bob:
  carol: {number: +15555550103}
steps:
  - parallel: [{register: alice}, {register: bob}, {register: carol}]
  - {incoming: answer, as: carol, audio: tone:880}
  - {call: +15555550102, as: alice, audio: tone}
  - {answer: bob, audio: tone:440}
  - {wait: established, as: alice}
";

/// One is held, on the other one it is talked; both have their own figures, and then their far ends are joined.
#[test]
fn a_party_has_several_calls_and_joins_them() {
    let run = run(&format!(
        "{THREE}  - hold: alice
  - {{call: +15555550103, as: alice, leg: second, audio: tone}}
  - {{wait: established, as: alice, leg: second}}
  - {{type: hello, as: alice, leg: second}}
  - {{wait: text, has: hello, as: carol}}
  - {{expect: established, as: alice, leg: second}}
  - {{connect: second, as: alice}}
  - pause: 1200ms
  - hangup: bob
  - {{wait: over, as: carol}}
  - {{expect: audio.frequency=878..882, as: bob}}
  - {{expect: audio.frequency=438..442, as: carol}}
"
    ));
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let alice = &run.event("scenario")["parties"]["alice"];
    assert_eq!(
        (&alice["call"]["text_sent"], &alice["legs"]["second"]["call"]["text_sent"]),
        (&Value::Null, &"hello".into())
    );
    let words = |part: &str| {
        run.events.iter().any(|step| step["what"].as_str().is_some_and(|what| what.contains(part)))
    };
    assert!(words("call +15555550103 (second)"), "{}", run.stdout);
}

/// The call on hold is resumed when the other one is over.
#[test]
fn a_held_call_goes_on_after_the_other_one() {
    let run = run(&format!(
        "{THREE}  - hold: alice
  - {{wait: call-hold, where: {{remote: true}}, as: bob}}
  - {{call: +15555550103, as: alice, leg: second}}
  - {{wait: established, as: alice, leg: second}}
  - {{hangup: alice, leg: second}}
  - {{wait: over, as: carol}}
  - resume: alice
  - {{wait: call-hold, where: {{remote: false}}, as: bob}}
  - {{type: back, as: alice}}
  - {{wait: text, has: back, as: bob}}
  - hangup: alice
  - {{wait: over, as: bob}}
  - {{expect: text.received=back, as: bob}}
"
    ));
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
}

#[test]
fn a_call_is_handed_over_in_either_direction_or_not() {
    for by in ["alice", "bob"] {
        let other = if by == "alice" { "bob" } else { "alice" };
        let run = run(&format!(
            "{THREE}  - {{transfer: +15555550103, as: {by}}}
  - {{wait: over, as: {by}}}
  - {{type: there, as: {other}}}
  - {{wait: text, has: there, as: carol}}
  - hangup: {other}
  - {{wait: over, as: carol}}
"
        ));
        assert_eq!(run.status, 0, "{by}: {}\n{}", run.stderr, run.stdout);
    }
    let refused =
        run(&format!("{THREE}  - {{transfers: refuse, as: bob}}\n  - {{transfer: echo, as: alice}}\n"));
    assert_eq!(refused.status, 1, "{}", refused.stdout);
    assert_eq!(last_step(&refused), ("hand over to echo", "call.transfer-failed"));
}

#[test]
fn a_refusal_can_be_asked_for_and_the_call_goes_on() {
    let text = |step: &str, end: &str| {
        format!(
            "mock:\nsteps:\n  - register\n  - {{call: echo, audio: tone}}\n  - wait: established\n  \
             - fault: sip.refer-status=603\n  - {step}\n  - pause: 1s\n  - hangup\n  - expect: {end}\n"
        )
    };
    let refused = run(&text("{transfer: +15555550900, refused: transfer-failed}", "[audio.heard, code=ok]"));
    assert_eq!(refused.status, 0, "{}", refused.stdout);
    let other = run(&text("{transfer: +15555550900, refused: busy}", "audio.heard"));
    let failure = &other.result()["failure"];
    assert_eq!(failure["code"], "call.transfer-failed", "{}", other.stdout);
    let wanted = "(`transfer` in line 7 was to be refused with busy)";
    assert!(failure["message"].as_str().unwrap_or_default().ends_with(wanted), "{failure}");
    let plain = text("hold", "audio.heard").replace("- hold", "- {hold: alice, refused: call.refused}");
    let agreed = run(&plain);
    assert_eq!((agreed.status, last_step(&agreed)), (1, ("hold", "run.not-refused")), "{}", agreed.stdout);
    let told = "line 7: `hold` was to be refused with call.refused, and was not";
    assert_eq!(agreed.result()["failure"]["message"], told);
}

#[test]
fn calls_are_turned_down_as_the_scenario_says() {
    let run = run("mock:
parties: [alice, bob]
steps:
  - parallel: [{register: alice}, {register: bob}]
  - {incoming: busy, as: bob}
  - {call: +15555550102, as: alice}
  - {wait: failed, code: busy, as: alice}
  - {incoming: unavailable, as: bob}
  - {call: +15555550102, as: alice}
  - {wait: failed, code: unavailable, as: alice}
  - {incoming: redirect, to: echo, as: bob}
  - {call: +15555550102, as: alice}
  - {wait: established, as: alice}
  - hangup: alice
  - {incoming: ring, as: bob}
  - for: how
    in: [decline, busy, unavailable]
    do:
      - {call: +15555550102, as: alice}
      - {reject: bob, with: '${how}'}
      - {wait: failed, as: alice}
  - {call: +15555550102, as: alice}
  - {reject: bob, with: redirect, to: echo}
  - {wait: established, as: alice}
  - hangup: alice
  - {incoming: answer, as: bob}
  - {call: +15555550102, as: alice}
  - {wait: established, as: alice}
  - {call: +15555550102, as: alice, leg: again}
  - {wait: failed, code: busy, as: alice, leg: again}
  - hangup: alice
  - {history: 9, as: alice, where: {0.outcome: answered, 1.outcome: call.busy, 8.outcome: call.busy}}
  - {wire: SIP/2.0 302, by: client, header: Contact, has: csdvrs.test}
");
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
}

#[test]
fn contacts_are_added_found_called_synced_and_removed() {
    let run = run("mock:
steps:
  - register
  - {contact: Dora Echo, numbers: [+15555550900, +15555550901]}
  - {search: dor, finds: Dora Echo}
  - {search: '0901'}
  - call: contact:dora echo
  - wait: established
  - hangup
  - sync
  - forget: Dora Echo
  - {search: dora, finds: []}
  - sync
  - {history: 1, where: {0.remote: ~0900, 0.direction: outgoing}}
");
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let nobody = self::run("mock:\nsteps: [register, {call: contact:Nobody}]");
    assert_eq!((nobody.status, last_step(&nobody).1), (1, "run.contact"));
    let wrong = self::run("mock:\nsteps: [register, {search: x, finds: Y}, {history: 1}]");
    assert_eq!((wrong.status, &wrong.result()["failure"]["code"]), (1, &"run.expectation".into()));
}

#[test]
fn mistakes_about_calls_and_contacts_have_their_places() {
    let run = run("mock:
parties: [alice, bob]
steps:
  - {call: echo, as: alice, leg: second}
  - {hangup: alice, leg: secnd}
  - {hold: bob, leg: second}
  - {connect: third, as: alice}
  - {reject: bob, with: bsuy}
  - {incoming: redirect, as: bob}
  - {reject: bob, to: echo}
  - {serach: x, as: bob}
  - {forget: x, finds: y, as: bob}
  - {transfers: fallow, as: bob}
");
    assert_eq!(run.status, 2, "{}", run.stdout);
    let message = run.result()["failure"]["message"].as_str().unwrap();
    for part in [
        "test.yaml:5:26: no `call` or `answer` of this party begins the leg `secnd`; did you mean `second`?",
        "test.yaml:6:22: no `call` or `answer` of this party begins the leg `second`",
        "test.yaml:7:15: no `call` or `answer` of this party begins the leg `third`",
        "test.yaml:8:25: `with`: there is no refusal `bsuy`; did you mean `busy`?",
        "test.yaml:9:5: `redirect` goes with `to`",
        "test.yaml:10:23: `to` goes with `redirect`",
        "test.yaml:11:5: there is no action `serach`; did you mean `search`?",
        "test.yaml:12:17: `forget` has no key `finds`",
        "test.yaml:13:17: `transfers`: there is no way to treat transfers `fallow`; did you mean `follow`?",
    ] {
        assert!(message.contains(part), "{part}\nis not in\n{message}");
    }
}
