//! `z5 mock` as a program: scenario files, faults with their times, configurations that are not overwritten; and what is refused before
//! anything is sent.

#![allow(clippy::unwrap_used, reason = "a test that cannot start the program has failed")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use common::{World, command, z5};
use serde_json::Value;
use z5_mock::{Builder, Carrier, Script, ScriptStep};

/// A mock that runs until it is dropped.
struct Mock {
    child: Child,
    started: Value,
}

impl Mock {
    fn start(arguments: &[&str]) -> Self {
        let all: Vec<&str> = ["mock", "--json"].iter().chain(arguments).copied().collect();
        let mut child = command(&all).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { started: serde_json::from_str(&line).unwrap_or_default(), child }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_scenario_is_a_carrier_with_its_accounts_faults_and_far_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (scenario, config) = (folder.path().join("scenario.toml"), folder.path().join("z5.toml"));
    std::fs::write(
        &scenario,
        "seed = 3\n[[account]]\nusername = \"dora\"\npassword = \"secret\"\n[[account.number]]\nnumber = \"+15555550105\"\n\
         [[fault]]\nname = \"sip.register-status=503\"\nfrom = 3\n\
         [[far_end]]\nnumber = \"+15555550950\"\nname = \"clerk\"\nsteps = [\"ring\", \"wait 50ms\", \"refuse 603\"]\n",
    )
    .unwrap();
    let (scenario, config) = (scenario.to_str().unwrap(), config.to_str().unwrap());
    let mock = Mock::start(&["--scenario", scenario, "--write-config", &format!("dora={config}")]);
    assert_eq!(mock.started["event"], "mock-started", "{}", mock.started);
    let far_ends = &mock.started["far_ends"];
    assert_eq!((&far_ends[0]["number"], &far_ends[0]["name"]), (&"+15555550950".into(), &"clerk".into()));
    assert_eq!(far_ends.as_array().map(Vec::len), Some(22), "and those of every carrier: {far_ends}");
    let run = z5(&["--config", config, "--json", "call", "clerk"]);
    assert_eq!(run.result()["failure"]["code"], "call.declined", "{}", run.stderr);
    assert!(run.event("call-progress")["status"] == 180, "{}", run.stdout);
    // Two REGISTERs (one challenged) and two to leave have been taken: the third and all after it are refused.
    let run = z5(&["--config", config, "--json", "register"]);
    assert_eq!(run.result()["failure"]["code"], "register.unavailable", "{}", run.stderr);
}

#[test]
fn a_scenario_that_is_wrong_opens_nothing_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    std::fs::write(
        &file,
        "seed = 3\n[[fault]]\nname = \"zdial.refused\"\n[[far_end]]\nnumber = \"1\"\nsteps = []\n",
    )
    .unwrap();
    let run = z5(&["mock", "--scenario", file.to_str().unwrap()]);
    assert_eq!(run.status, 2, "{}", run.stderr);
    for part in [
        "s.toml:3: fault.name:",
        "did you mean zdial.refuse?",
        "s.toml:5: far_end.number:",
        "s.toml:6: far_end.steps:",
        "what to do:",
    ] {
        assert!(run.stderr.contains(part), "{part} is not in {}", run.stderr);
    }
    assert!(run.stdout.is_empty());
}

#[test]
fn a_misspelt_fault_or_one_at_a_place_that_is_not_there_is_refused() {
    for (fault, part) in [
        ("zdial.refussed", "did you mean zdial.refuse?"),
        ("zdial.refuse,tmes=2", "did you mean times=?"),
        ("zdial.refuse,from=1,from=2", "from stands twice"),
        ("media.none,at=127.0.0.1", "the same at all"),
        ("zdial.refuse,at=127.0.0.9", "no address of this carrier"),
    ] {
        let run = z5(&["mock", "--duration", "1ms", "--fault", fault]);
        assert_eq!(run.status, 2, "{fault}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{part} is not in {}", run.stderr);
    }
    assert_eq!(z5(&["mock", "--address", "10.0.0.1"]).status, 2);
}

#[test]
fn a_bad_network_is_described_on_the_command_line_and_a_mistake_in_it_refused() {
    for flag in ["--impair", "--impair-sip"] {
        for (given, part) in [
            ("los=2%", "did you mean loss?"),
            ("loss=3", "2.5%"),
            ("queue=1s", "beside rate"),
            ("loss=1%,loss=2%", "\"loss=1%\" at character 1 and \"loss=2%\" at character 9"),
        ] {
            let run = z5(&["mock", "--duration", "1ms", flag, given]);
            assert_eq!(run.status, 2, "{flag} {given}: {}", run.stderr);
            assert!(run.stderr.contains(part), "{part} is not in {}", run.stderr);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("z5.toml");
    let config = config.to_str().unwrap();
    let bad =
        ["--impair", "burst=10%,burst_length=4,rate=500k", "--impair-sip", "delay=20ms,jitter=5ms,rate=1M"];
    let mock = Mock::start(&[&["--write-config", config][..], &bad].concat());
    let run = z5(&["--config", config, "--json", "call", "announcement"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let audio = &run.result()["call"]["audio"];
    assert!(audio["lost"].as_f64().is_some_and(|lost| lost > 0.0), "{audio} from {}", mock.started);
}

#[test]
fn a_file_of_somebody_else_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("z5.toml");
    let (name, ca) = (file.to_str().unwrap(), folder.path().join("z5.ca.pem"));
    let written = |more: &[&str]| {
        let all: Vec<&str> =
            ["mock", "--duration", "1ms", "--write-config", name].iter().chain(more).copied().collect();
        z5(&all)
    };
    assert_eq!(written(&[]).status, 0);
    assert_eq!(written(&[]).status, 0, "its own files are replaced");
    std::fs::write(&file, "# my own work\n").unwrap();
    let before = std::fs::read(&ca).unwrap();
    let run = written(&[]);
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("z5.toml") && run.stderr.contains("--overwrite"), "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "# my own work\n");
    assert_eq!(std::fs::read(&ca).unwrap(), before, "neither of the two files was written");
    assert_eq!(written(&["--overwrite"]).status, 0);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("# Written by z5 mock"));
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_sent() {
    let world = World::new(&[]);
    let config = world.config();
    for arguments in [
        &["call", "", "--duration", "1s"][..],
        &["call", "  "],
        &["message", "", "hello"],
        &["call", "echo", "--duration", "0s"],
        &["answer", "--wait", "0s"],
        &["call", "echo", "--ring-timeout", "0s"],
        &["firewall", "--json", "--format", "csv"],
    ] {
        let all: Vec<&str> = ["--config", &config].iter().chain(arguments).copied().collect();
        let run = z5(&all);
        assert_eq!(run.status, 2, "{arguments:?}: {}", run.stderr);
    }
    assert!(world.carrier.recorder().entries().is_empty(), "nothing was sent");
    let capture = world.folder.path().join("call.pcapng");
    std::fs::write(&capture, [0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28]).unwrap();
    let run = z5(&["explain", capture.to_str().unwrap()]);
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("packet capture") && run.stderr.contains("--stream"), "{}", run.stderr);
    world.append("\n[emergency]\n");
    world.edit("[media]\n", "[media]\nvideo = \"no-such.h264\"\n");
    let run = world.z5(&["config", "check"]);
    assert_eq!(
        (run.status, &run.result()["failure"]["code"]),
        (2, &Value::from("call.video-source")),
        "{}",
        run.stderr
    );
}

#[test]
fn ringing_ends_when_it_is_told_to() {
    let world = World::new(&[]);
    let run = world.z5(&["call", "noanswer", "--ring-timeout", "300ms"]);
    assert_eq!(run.result()["failure"]["code"], "call.no-answer", "{}", run.stderr);
}

/// A far end that a test scripts holds the call, takes it back and hangs up.
#[test]
fn a_scripted_far_end_does_what_is_written() {
    let wait = || ScriptStep::Wait(std::time::Duration::from_millis(300));
    let steps = vec![
        ScriptStep::Ring,
        wait(),
        ScriptStep::Answer,
        wait(),
        ScriptStep::Hold,
        wait(),
        ScriptStep::Resume,
        wait(),
        ScriptStep::HangUp,
    ];
    let script = Script::new("+15555550951", steps).unwrap().name("patient");
    let world = World::with("alice", Builder::far_end(Carrier::builder(), script));
    let run = world.z5(&["call", "patient"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let holds: Vec<&Value> = run
        .events
        .iter()
        .filter(|event| event["event"] == "call-hold")
        .map(|event| &event["remote"])
        .collect();
    assert_eq!(holds, [&Value::from(true), &Value::from(false)], "{}", run.stdout);
    assert_eq!(run.event("call-ended")["by"], "remote");
}

#[test]
fn people_see_with_which_suite_a_call_is_encrypted() {
    let world = World::new(&[]);
    let run = z5(&["--config", &world.config(), "call", "echo", "--srtp", "required", "--duration", "200ms"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.stdout.contains("(SRTP AEAD_AES_256_GCM)"), "{}", run.stdout);
}

/// What is lost of a stream TCP sends again: who asks for loss of SIP is told where it acts.
#[test]
fn loss_of_sip_is_told_to_act_over_udp_alone() {
    let told = |given: &str| {
        let run = z5(&["mock", "--duration", "1ms", "--impair-sip", given]);
        assert_eq!(run.status, 0, "{}", run.stderr);
        run.stdout
    };
    let lossy = told("loss=2%,delay=20ms,duplicate=1%");
    assert!(
        lossy.contains("note   loss, duplicate of SIP: over UDP alone (z5 --sip-transport udp)"),
        "{lossy}"
    );
    assert!(!told("delay=20ms").contains("note"));
    let mock = Mock::start(&["--impair-sip", "loss=2%"]);
    assert_eq!(mock.started["notes"].as_array().map(Vec::len), Some(1), "{}", mock.started);
}
