//! `--clock simulated`: scenarios in simulated time, the same ones as against mock and real carriers, repeatable to the byte.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod common;

use common::{Run, World, z5};
use serde_json::{Value, json};

/// Runs a scenario with `--json`.
fn run(text: &str, more: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.yaml");
    std::fs::write(&file, text).unwrap();
    let mut arguments = vec!["run", "--json", file.to_str().unwrap()];
    arguments.extend(more);
    z5(&arguments)
}

fn simulated(text: &str) -> Run {
    run(text, &["--clock", "simulated"])
}

/// Action and verdict of each step, in the order of the file.
fn steps(run: &Run) -> Vec<(u64, String, String)> {
    let text = |step: &Value, member: &str| step[member].as_str().unwrap_or_default().to_owned();
    let all = run.events.iter().filter(|event| event["event"] == "step" && event["action"] != "end");
    let mut steps: Vec<_> = all
        .map(|step| (step["line"].as_u64().unwrap(), text(step, "action"), text(step, "verdict")))
        .collect();
    steps.sort();
    steps
}

/// Sound, text, keys, hold and pictures between two parties.
const TWO: &str = r##"
name: Two parties
mock:
parties: [alice, bob]
steps:
  - parallel:
      - register: alice
      - register: bob
  - {call: +15555550102, as: alice, audio: tone, video: film}
  - {wait: incoming, as: bob, where: {from: ~15555550101}}
  - answer: bob
    audio: tone:440
    video: film
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
fn one_file_runs_on_all_three_clocks() {
    let world = World::new(&[]);
    let parties = ["alice", "bob"].map(|name| format!("{name}={}", world.config_of(name).display()));
    let [alice, bob] = &parties;
    let elsewhere = run(TWO, &["--party", alice, "--party", bob]);
    let (here, imagined) = (run(TWO, &[]), simulated(TWO));
    for (run, clock) in [(&elsewhere, "real"), (&here, "real"), (&imagined, "simulated")] {
        assert_eq!(run.status, 0, "{clock}: {}\n{}", run.stderr, run.stdout);
        assert_eq!((&run.result()["clock"], &run.event("scenario")["clock"]), (&json!(clock), &json!(clock)));
    }
    // The same steps with the same verdicts, and results with the same members.
    assert_eq!(steps(&elsewhere), steps(&imagined));
    assert_eq!(steps(&here), steps(&imagined));
    let members = |run: &Run| {
        let of = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let scenario = run.event("scenario");
        [of(scenario), of(&scenario["parties"]["bob"]), of(&scenario["parties"]["bob"]["call"])]
    };
    assert_eq!(members(&here), members(&imagined));
}

/// What goes wrong has the same code on both clocks: one run of the program for each, with a file for each fault.
#[test]
fn a_fault_has_the_same_code_on_both_clocks() {
    // what takes its time is the same deadline on both; these are told at once
    let slow =
        [".black-hole", ".slow", ".half-open", ".invite-vanishes", ".no-pong", ".datagram-lost", ".lost-ack"];
    let groups = ["dns.", "zdial.", "mcs.", "sip.", "licence."];
    let faults: Vec<String> = z5_mock::Fault::all()
        .iter()
        .map(ToString::to_string)
        .filter(|name| groups.iter().any(|group| name.starts_with(group)))
        .filter(|name| !slow.iter().any(|slow| name.ends_with(slow)))
        .collect();
    assert!(faults.len() > 60 && faults.iter().any(|name| name == "sip.garbage"), "{faults:?}");
    // over UDP nobody sees the end of a connection, and an answer that is too large for a datagram is none: these take their time there
    let slow = ["sip.drop-after-register", "sip.drop-after-invite", "sip.huge-body"];
    let over_udp = faults.iter().filter(|name| name.starts_with("sip.") && !slow.contains(&name.as_str()));
    let over_udp: Vec<(&String, &str)> = over_udp.map(|fault| (fault, "udp")).collect();
    assert!(over_udp.len() > 20, "{over_udp:?}");
    let of_tls = |name: &&String| {
        name.starts_with("sip.certificate")
            || ["sip.unknown-ca", "sip.garbage", "sip.reset"].contains(&name.as_str())
    };
    let over_tls: Vec<(&String, &str)> = faults.iter().filter(of_tls).map(|fault| (fault, "tls")).collect();
    assert_eq!(over_tls.len(), 7, "{over_tls:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = |(fault, transport): (&String, &str)| {
        let file = folder.path().join(format!("{fault} over {transport}.yaml"));
        let (carrier, parties) = match transport {
            "udp" => ("", "parties: {alice: {profile: generic, transport: udp}}\n"),
            "tls" => ("transport: tls, ", "parties: {alice: {transport: tls}}\n"),
            _ => ("", ""),
        };
        let steps = "steps: [register, {call: echo}, {wait: established}, hangup]";
        let text = format!(
            "name: {fault} over {transport}\nmock: {{{carrier}faults: [\"{fault}\"]}}\n{parties}{steps}\n"
        );
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let files: Vec<String> =
        faults.iter().map(|fault| (fault, "tcp")).chain(over_udp).chain(over_tls).map(file).collect();
    let codes = |clock: &str| -> Vec<(Value, Value)> {
        let mut arguments = vec!["run", "--json", "--clock", clock];
        arguments.extend(files.iter().map(String::as_str));
        let run = z5(&arguments);
        let scenarios =
            run.result()["scenarios"].as_array().unwrap_or_else(|| panic!("{}", run.stderr)).clone();
        scenarios.iter().map(|one| (one["scenario"].clone(), one["failure"]["code"].clone())).collect()
    };
    // One after the other: the deadlines of the real ones are real.
    let real = (codes("real"), codes("simulated"));
    let differ: Vec<_> = real.0.iter().zip(&real.1).filter(|(real, simulated)| real != simulated).collect();
    assert!(differ.is_empty() && real.0.len() == files.len(), "{differ:#?}");
    let of = |name: &str| real.0.iter().find(|(seen, _)| seen == name).unwrap().1.clone();
    assert_eq!(
        (of("zdial.reset over tcp"), of("mcs.reset over tcp")),
        (json!("sign-in.unreachable"), json!("provision.unreachable"))
    );
    assert_eq!(
        ["tcp", "udp", "tls"].map(|transport| of(&format!("sip.garbage over {transport}"))),
        [json!("register.connection-lost"), Value::Null, json!("register.tls-protocol")]
    );
    assert_eq!(of("sip.refuse over udp"), json!("register.unreachable"));
    // Nothing comes in place of a handshake, which is waited for: in simulated time alone, where that costs nothing.
    let silent = simulated(
        "mock: {transport: tls, faults: [sip.black-hole]}\nparties: {alice: {transport: tls}}\nsteps: [{register: alice, within: 1m}]",
    );
    let failure = &silent.result()["failure"];
    assert_eq!(failure["code"], "register.unreachable", "{}", silent.stdout);
    assert!(failure["message"].as_str().unwrap().ends_with("no answer in 10000 ms"), "{failure}");
}

#[test]
fn four_minutes_pass_as_said_and_every_packet_of_them_is_measured() {
    let text =
        "mock:\nsteps: [register, {call: echo, audio: tone}, {wait: established}, {pause: 4m}, hangup]";
    let run = simulated(text);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let call = &run.event("scenario")["parties"]["alice"]["call"];
    let audio = &call["audio"];
    assert!((240_000.0..241_000.0).contains(&run.event("scenario")["took_ms"].as_f64().unwrap()));
    assert!((11_990..=12_010).contains(&audio["packets_received"].as_u64().unwrap()), "{audio}");
    assert_eq!((&audio["lost"], &audio["jitter_ms"]), (&json!(0), &json!(0.0)), "{audio}");
    assert!((audio["heard"]["dominant_hz"].as_f64().unwrap() - 1000.0).abs() < 2.0, "{audio}");
}

#[test]
fn the_same_seed_gives_the_same_result_to_the_byte_and_another_one_another() {
    let text = |seed: u64| {
        format!(
            "name: Lossy\nmock: {{seed: {seed}, impair: {{loss: 5%, delay: 20ms, jitter: 30ms}}}}\nsteps:\n  - register\n  \
             - {{call: echo, audio: tone, video: film}}\n  - wait: established\n  - {{type: hello}}\n  - {{wait: text, has: hello}}\n  \
             - pause: 20s\n  - hangup\n  - expect: [\"audio.lost>=20\", \"audio.jitter_ms>=2\"]\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let run = |seed| {
        let file = folder.path().join("lossy.yaml");
        std::fs::write(&file, text(seed)).unwrap();
        z5(&["run", "--json", "--clock", "simulated", file.to_str().unwrap()])
    };
    let (one, again, other) = (run(7), run(7), run(8));
    assert_eq!(one.status, 0, "{}\n{}", one.stderr, one.stdout);
    assert_eq!(one.stdout, again.stdout);
    assert_ne!(one.stdout, other.stdout);
}

/// Two parties over UDP behind a network that loses, doubles and overtakes: everything is repeated by the timers of RFC 3261 in simulated
/// time, by the carrier too, and the INVITE, which is too large for a datagram, goes over TCP beside.
#[test]
fn sip_over_udp_repeats_itself_in_simulated_time_the_same_for_the_same_seed() {
    let text = |seed: u64| {
        format!(
            "mock: {{seed: {seed}, impair_sip: {{loss: 25%, duplicate: 10%, reorder: 10%, delay: 20ms, jitter: 20ms}}}}\nparties:\n  \
             alice: {{profile: generic, transport: udp}}\n  bob: {{profile: generic, transport: udp}}\nsteps:\n  \
             - parallel: [{{register: alice}}, {{register: bob}}]\n  - {{call: +15555550102, as: alice, audio: tone, video: film}}\n  \
             - {{wait: incoming, as: bob}}\n  - {{answer: bob, audio: tone:440, video: film}}\n  - {{wait: established, as: alice}}\n  \
             - pause: 1s\n  - {{hold: alice}}\n  - {{wait: call-hold, where: {{remote: true}}, as: bob}}\n  - {{hangup: alice}}\n  \
             - {{wait: over, as: bob}}\n  - {{wire: '[datagram lost]'}}\n  - {{wire: INVITE, has: 'Via: SIP/2.0/TCP '}}\n  \
             - {{wire: REGISTER, has: 'Via: SIP/2.0/UDP '}}\n  - {{wire: BYE, has: 'Via: SIP/2.0/UDP '}}\n  \
             - {{expect: [ended_by=remote, audio.frequency=998..1002], as: bob}}\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let run = |seed| {
        let file = folder.path().join("udp.yaml");
        std::fs::write(&file, text(seed)).unwrap();
        let run = z5(&["run", "--json", "--clock", "simulated", file.to_str().unwrap()]);
        assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
        run.stdout
    };
    let (one, again, other) = (run(7), run(7), run(8));
    assert_eq!(one, again);
    assert_ne!(one, other);
}

/// What a port that closes says, and what a NAT that has forgotten us does, ends a flow over UDP; the session finds its way back.
#[test]
fn a_flow_over_udp_ends_and_comes_back_in_simulated_time() {
    let text = r"
mock:
parties: {alice: {profile: generic, transport: udp}}
steps:
  - register
  - {call: echo, audio: tone}
  - wait: established
  - fault: sip.refuse
  - {wait: server-failed, where: {outcome: refused}, within: 1m}
  - mend: sip.refuse
  - {wait: refreshed, within: 1m}
  - {fault: sip.address-moves, from: 2, times: 1}
  - {wait: refreshed, within: 2m}
  - hangup
  - {expect: audio.lost=0}
";
    let run = simulated(text);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
}

#[test]
fn faults_and_impairments_come_and_go_at_their_moments() {
    let text = r#"
mock: {seed: 3}
steps:
  - register
  - {call: echo, audio: tone}
  - wait: established
  - pause: 5s
  - impair: {loss: 100%}
  - {wait: media-silent, within: 1m}
  - impair: off
  - {wait: media-back, within: 1m}
  - cut
  - pause: 5s
  - {wait: registered, within: 1m}
  - hangup
"#;
    let run = simulated(text);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
}

/// A REGISTER, its challenge, the REGISTER again and its answer, and as much or half of it at the end; the carrier's file, the scenario and
/// a step say it alike.
#[test]
fn sip_is_late_in_simulated_time_as_it_is_told_to_be() {
    let took = |text: &str| {
        let run = simulated(text);
        assert_eq!(run.status, 0, "{text}: {}\n{}", run.stderr, run.stdout);
        run.event("scenario")["took_ms"].as_f64().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("late.toml");
    std::fs::write(&file, "[sip_impairment]\ndelay = \"150ms\"\n").unwrap();
    let plain = took("mock:\nsteps: [register, {pause: 60s}]");
    let by_file = took(&format!("mock: {{carrier: {}}}\nsteps: [register, {{pause: 60s}}]", file.display()));
    let by_scenario = took("mock: {impair_sip: {delay: 150ms}}\nsteps: [register, {pause: 60s}]");
    assert_eq!(by_file, by_scenario);
    assert!((plain + 900.0..plain + 1210.0).contains(&by_scenario), "{plain} ms and {by_scenario} ms");
    // INVITE, its challenge, INVITE again and 200.
    let call = |late: &str| {
        took(&format!(
            "mock:\nsteps: [register, {late} {{call: echo, audio: tone}}, {{wait: established}}, {{impair: off, of: sip}}, hangup]"
        ))
    };
    let (plain, late) = (call(""), call("{impair: {delay: 150ms}, of: sip},"));
    assert!((plain + 600.0..plain + 1210.0).contains(&late), "{plain} ms and {late} ms");
}

/// Pictures are drawn, encoded and decoded in simulated time by the code that does it in real time; a report of it is the same to the
/// byte, and dated by the simulation's calendar.
#[test]
fn the_test_pattern_is_drawn_in_simulated_time_and_its_report_is_the_same_to_the_byte() {
    let text = "name: Pattern\nmock: {impair: {delay: 30ms}}\nsteps:\n  - register\n  - {call: echo, audio: tone, video: \"pattern:320x240@25\"}\n  - wait: established\n  - \
                pause: 10s\n  - hangup\n  - expect: [\"video.fps>=24\", \"video.moved>=200\", video.freezes=0, video.delay_p50_ms=60..70, video.width=320]\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pattern.yaml");
    std::fs::write(&file, text).unwrap();
    let report = folder.path().join("report");
    let run = || {
        let arguments = ["run", "--json", "--clock", "simulated", "--report", report.to_str().unwrap()];
        let run = z5(&[&arguments[..], &[file.to_str().unwrap()]].concat());
        assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
        let capsule = std::fs::read(report.join("Pattern/alice/capsule.json")).unwrap();
        std::fs::remove_dir_all(&report).unwrap();
        (run.stdout, capsule)
    };
    let (one, again) = (run(), run());
    assert_eq!(one, again);
    let capsule: Value = serde_json::from_slice(&one.1).unwrap();
    assert_eq!(capsule["started_unix_s"], json!(1_800_000_000));
}

/// What a far end does not send on hold is no loss, what it types then comes afterwards, and twenty seconds of our own hold are no bad
/// quality (what is on its way when it begins does not come back).
#[test]
fn a_hold_by_either_side_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let carrier = folder.path().join("carrier.toml");
    let far_end = "[[far_end]]\nnumber = \"+15555550950\"\nname = \"clerk\"\nmedia = \"announcement\"\nsays = \"Please hold.\"\n\
                   steps = [\"answer\", \"wait 6s\", \"type I am back.\", \"hold\", \"wait 2s\", \"resume\"]\n";
    std::fs::write(&carrier, far_end).unwrap();
    let steps = "[register, {call: clerk, audio: tone}, {pause: 14s}, hangup, {expect: [audio.lost=0, text.losses=0, 'text.received=\"Please hold.I am back.\"']}]";
    let held = simulated(&format!("mock: {{carrier: {}}}\nsteps: {steps}", carrier.display()));
    assert_eq!(held.status, 0, "{}", held.stdout);
    let ours = "mock:\nsteps: [register, {call: echo, audio: tone}, {pause: 2s}, hold, {pause: 20s}, resume, {pause: 2s}, hangup, {expect: ['audio.concealed_ms<=100', 'mos>=3.8']}]";
    let ours = simulated(ours);
    assert_eq!(ours.status, 0, "{}", ours.stdout);
}

#[test]
fn what_has_no_place_in_simulated_time_is_refused_before_anything_happens() {
    let world = World::new(&[]);
    let config = world.config();
    let cases: &[(&str, &[&str], &str)] = &[
        ("mock:\nsteps: [register]", &["--config", &config], "has no real carrier"),
        ("steps: [register]", &[], "has the mock carrier only"),
        ("mock:\nsteps: [register, {wire: '[TLS ', has: '1.3'}]", &[], "speaks no TLS"),
    ];
    for (text, more, why) in cases {
        let run = run(text, &[&["--clock", "simulated"], *more].concat());
        assert_eq!((run.status, run.events.len()), (2, 1), "{text}: {}", run.stdout);
        assert!(run.result()["failure"]["message"].as_str().unwrap().contains(why), "{text}: {}", run.stdout);
    }
    let config = z5(&["acceptance", "--json", "--clock", "simulated", "--config", &config]);
    assert_eq!((config.status, &config.result()["failure"]["code"]), (2, &json!("usage.clock")));
}

#[test]
fn the_acceptance_plan_passes_in_simulated_time_by_its_own_limits() {
    let run = z5(&["acceptance", "--json", "--clock", "simulated", "--set", "talk=10s", "--set", "hold=30s"]);
    // V2 looks at a TLS handshake; every limit is the plan's own.
    assert_eq!(
        run.result()["summary"],
        json!({"pass": 16, "fail": 0, "not-judged": 1}),
        "{}\n{}",
        run.stderr,
        run.stdout
    );
    let call = run.events.iter().find(|event| event["id"] == "V4").unwrap();
    assert!(call["took_ms"].as_f64().unwrap() >= 10_000.0, "{call}");
}

/// The network is as bad as it was told to be, and TCP mends it: that is said once for each place, and is no failure.
#[test]
fn loss_of_sip_that_no_party_can_feel_is_told() {
    let notes = |text: &str| {
        let run = simulated(text);
        assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
        let notes = run.event("scenario")["notes"].as_array().unwrap().clone();
        notes
            .iter()
            .map(|note| note.as_str().unwrap().split(" of SIP").next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let steps = "steps:\n  - repeat: 2\n    do:\n      - {impair: {loss: 1%, reorder: 1%, delay: 1ms}, of: sip}\n      - {impair: {loss: 1%}}\n  - register\n";
    assert_eq!(
        notes(&format!("mock: {{impair_sip: {{duplicate: 1%}}}}\n{steps}")),
        ["mock: duplicate", "line 5: loss, reorder"]
    );
    let udp = "parties: {alice: {profile: generic, transport: udp}, bob: {}}\n";
    assert_eq!(
        notes(&format!(
            "mock: {{impair_sip: {{duplicate: 1%}}}}\n{udp}{}",
            steps.replace("register", "register: alice")
        )),
        [""; 0]
    );
    assert_eq!(notes("mock: {impair_sip: {delay: 1ms}}\nsteps: [register]"), [""; 0]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lossy.yaml");
    std::fs::write(&file, "mock: {impair_sip: {loss: 1%}}\nsteps: [register]\n").unwrap();
    for more in [&["--check"][..], &["--clock", "simulated"]] {
        let run = z5(&[&["run", file.to_str().unwrap()][..], more].concat());
        assert!(run.stdout.contains("note   mock: loss of SIP: over UDP alone"), "{}", run.stdout);
    }
}
