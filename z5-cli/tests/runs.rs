//! The program's good runs: the demo, calls with the user's own files, a call between two accounts, the mock as a program.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use common::{World, command, z5};
use serde_json::Value;
use z5_mock::Fault;

#[test]
fn the_demo_holds() {
    let run = z5(&["demo", "--json"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let result = run.result();
    assert_eq!(result["verdict"], "ok");
    let expectations = result["expectations"].as_array().unwrap();
    let named: Vec<&str> = expectations.iter().filter_map(|e| e["what"].as_str()).collect();
    assert_eq!(
        named,
        [
            "steps",
            "call",
            "audio.frequency",
            "audio.level",
            "audio.tone_share",
            "text.echo",
            "audio.packets_received",
            "video.moves",
            "text.characters_sent",
            "unregistered"
        ]
    );
    assert!(expectations.iter().all(|e| e["held"] == true), "{expectations:?}");
    for step in ["resolve", "sign_in", "provision", "register", "ready", "call_setup", "total"] {
        assert!(result["timings_ms"][step].is_f64(), "{step} was not measured");
    }
    let steps: Vec<u64> = run
        .events
        .iter()
        .filter(|e| e["event"] == "step-done")
        .filter_map(|e| e["number"].as_u64())
        .collect();
    assert_eq!(steps, [1, 2, 3, 4]);
}

#[test]
fn the_readable_demo_shows_each_step_and_the_verdict() {
    let run = z5(&["demo"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    for line in ["1 DNS", "2 ZDial", "3 MCS", "4 SIP", "5 call", "PASS"] {
        assert!(run.stdout.lines().any(|l| l.starts_with(line)), "no line {line} in\n{}", run.stdout);
    }
    assert_eq!(run.stderr, "");
}

#[test]
fn a_call_with_own_files() {
    let world = World::new(&[]);
    let tone = world.folder.path().join("tone.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&tone, spec).unwrap();
    for n in 0..32_000 {
        let sample = (f64::from(n) * 440.0 * std::f64::consts::TAU / 16000.0).sin() * 8000.0;
        writer.write_sample(sample as i16).unwrap();
    }
    writer.finalize().unwrap();
    let record = world.folder.path().join("out");
    let run = world.z5(&[
        "call",
        "echo",
        "--audio",
        tone.to_str().unwrap(),
        "--record",
        record.to_str().unwrap(),
        "--text",
        "Ä relay ☎",
        "--duration",
        "1500ms",
    ]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let call = &run.result()["call"];
    assert_eq!(call["text_received"], "Ä relay ☎");
    assert_eq!(call["ended_by"], "local");
    let heard = &call["audio"]["heard"];
    assert!((heard["dominant_hz"].as_f64().unwrap() - 440.0).abs() < 2.0, "{heard}");
    let recording = hound::WavReader::open(record.join("heard.wav")).unwrap();
    assert!(recording.duration() > 8000, "more than a second: {}", recording.duration());
}

#[test]
fn one_account_calls_the_other() {
    let world = World::new(&[]);
    let bob = world.config_of("bob");
    let mut answering = command(&[
        "--config",
        bob.to_str().unwrap(),
        "--json",
        "answer",
        "--audio",
        "tone:800",
        "--text",
        "from bob",
    ])
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut lines = BufReader::new(answering.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(r#""event":"ready""#)));
    let run = world.z5(&[
        "call",
        "+15555550102",
        "--audio",
        "tone:600",
        "--text",
        "from alice",
        "--duration",
        "1500ms",
    ]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let theirs: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert_eq!(answering.wait().unwrap().code(), Some(0), "{theirs}");
    for (result, text, hz, by) in
        [(run.result(), "from bob", 800.0, "local"), (&theirs, "from alice", 600.0, "remote")]
    {
        let call = &result["call"];
        assert_eq!(call["text_received"], text);
        assert_eq!(call["ended_by"], by);
        let heard = call["audio"]["heard"]["dominant_hz"].as_f64().unwrap();
        assert!((heard - hz).abs() < 2.0, "{heard} Hz");
    }
}

#[test]
fn what_is_done_in_a_call_is_seen_at_the_other_end() {
    let world = World::new(&[]);
    let bob = world.config_of("bob");
    let mut answering = command(&["--config", bob.to_str().unwrap(), "--json", "answer"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(answering.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(r#""event":"ready""#)));
    let run = world.z5(&[
        "call",
        "+15555550102",
        "--audio",
        "tone",
        "--at",
        "900ms=resume",
        "--at",
        "300ms=hold",
        "--at",
        "1200ms=dtmf:4#",
        "--at",
        "1300ms=text:typed",
        "--duration",
        "2500ms",
    ]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let holds = |events: &[Value]| -> Vec<(bool, bool)> {
        let held = events.iter().filter(|event| event["event"] == "call-hold");
        held.map(|event| (event["local"] == true, event["remote"] == true)).collect()
    };
    assert_eq!(holds(&run.events), [(true, false), (false, false)]);
    let theirs: Vec<Value> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    assert_eq!(answering.wait().unwrap().code(), Some(0), "{theirs:?}");
    assert_eq!(holds(&theirs), [(false, true), (false, false)]);
    let call = &theirs.last().unwrap()["call"];
    assert_eq!(
        (&call["digits_received"], &call["text_received"]),
        (&Value::from("4#"), &Value::from("typed"))
    );
}

#[test]
fn a_call_is_handed_over_and_the_one_who_is_handed_over_goes_on() {
    let world = World::new(&[]);
    let bob = world.config_of("bob");
    let arguments =
        ["--config", bob.to_str().unwrap(), "--json", "answer", "--audio", "tone", "--duration", "1200ms"];
    let mut answering = command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(answering.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(r#""event":"ready""#)));
    let run = world.z5(&["call", "+15555550102", "--at", "300ms=transfer:echo"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    assert!(run.events.iter().any(|event| event["event"] == "transferred"), "{}", run.stdout);
    let theirs: Vec<Value> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    assert_eq!(answering.wait().unwrap().code(), Some(0), "{theirs:?}");
    let named = |name: &str| theirs.iter().filter(|event| event["event"] == name).count();
    assert_eq!((named("transfer-requested"), named("call-established"), named("call-ended")), (1, 2, 2));
    // the echo of the new call
    let heard = theirs.last().unwrap()["call"]["audio"]["heard"]["dominant_hz"].as_f64().unwrap();
    assert!((heard - 1000.0).abs() < 2.0, "{heard} Hz");
}

#[test]
fn what_was_planned_and_not_reached_does_not_pass() {
    let world = World::new(&[]);
    let run = world.z5(&["call", "echo", "--at", "300ms=hangup", "--at", "400ms=hold"]);
    assert_eq!(run.status, 1, "{}\n{}", run.stderr, run.stdout);
    let expectations = run.result()["expectations"].as_array().unwrap();
    let planned: Vec<bool> =
        expectations.iter().filter(|e| e["what"] == "at").map(|e| e["held"] == true).collect();
    assert_eq!(planned, [true, false], "{expectations:?}");
    let run = world.z5(&["call", "echo", "--at", "2s=hold", "--duration", "1s"]);
    assert_eq!((run.status, run.result()["failure"]["code"].as_str()), (2, Some("usage.at")));
}

#[test]
fn a_message_arrives_or_its_failure_is_told() {
    let world = World::new(&[]);
    let run = world.z5(&["message", "+15555550102", "nobody is there"]);
    assert_eq!(run.status, 15, "{}", run.stdout);
    assert_eq!(run.result()["failure"]["code"], "call.message-failed");
    let bob = world.config_of("bob");
    let mut staying = command(&["--config", bob.to_str().unwrap(), "--json", "register", "--stay", "10s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(staying.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(r#""event":"ready""#)));
    let run = world.z5(&["message", "+15555550102", "Ä relay ☎"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let message = lines.find(|line| line.contains(r#""event":"message""#)).unwrap();
    let message: Value = serde_json::from_str(&message).unwrap();
    assert_eq!(
        (&message["text"], &message["content_type"]),
        (&Value::from("Ä relay ☎"), &Value::from("text/plain"))
    );
    staying.kill().unwrap();
    staying.wait().unwrap();
}

#[test]
fn a_call_in_which_nothing_comes_does_not_pass() {
    let run = World::new(&[]).z5(&["call", "silent", "--duration", "1100ms"]);
    assert_eq!(run.status, 1, "{}\n{}", run.stderr, run.stdout);
    let expectations = run.result()["expectations"].as_array().unwrap();
    let audio = expectations.iter().find(|e| e["what"] == "audio.packets_received").unwrap();
    assert_eq!((&audio["measured"], &audio["held"]), (&Value::from("0"), &Value::from(false)));
}

#[test]
fn text_that_was_not_typed_in_time_does_not_pass() {
    let long = "x".repeat(1000);
    let run = World::new(&[]).z5(&["call", "echo", "--text", &long, "--duration", "1s"]);
    assert_eq!(run.status, 1, "{}", run.stdout);
    let expectations = run.result()["expectations"].as_array().unwrap();
    let typed = expectations.iter().find(|e| e["what"] == "text.characters_sent").unwrap();
    assert_eq!(typed["held"], false, "{typed}");
}

#[test]
fn a_forger_does_not_take_over_a_call_in_the_clear() {
    let run = World::new(&[Fault::SpoofedMedia]).z5(&[
        "call",
        "echo",
        "--audio",
        "tone:700",
        "--duration",
        "1500ms",
    ]);
    assert_eq!(run.status, 0, "{}", run.stdout);
    let call = &run.result()["call"];
    let remote = call["media"]["streams"][0]["remote"].as_str();
    assert_eq!(call["audio"]["source"].as_str(), remote);
    assert!(
        (call["audio"]["heard"]["dominant_hz"].as_f64().unwrap() - 700.0).abs() < 2.0,
        "{}",
        call["audio"]
    );
}

#[test]
fn recordings_of_several_runs_stand_side_by_side_and_an_empty_one_goes() {
    let world = World::new(&[]);
    let record = world.folder.path().join("out");
    let folder = record.to_str().unwrap();
    for name in ["heard.wav", "heard-2.wav"] {
        let run = world.z5(&["call", "echo", "--record", folder, "--duration", "300ms"]);
        assert_eq!(run.status, 0, "{}", run.stderr);
        assert!(run.result()["call"]["recording"].as_str().unwrap().ends_with(name));
        assert!(hound::WavReader::open(record.join(name)).is_ok());
    }
    assert_eq!(world.z5(&["call", "busy", "--record", folder]).status, 15);
    assert!(!record.join("heard-3.wav").exists());
}

#[test]
fn a_carrier_that_dies_under_a_call_does_not_pass() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("z5.toml");
    let mut mock = command(&["mock", "--json", "--write-config", config.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(mock.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut call =
        command(&["--config", config.to_str().unwrap(), "--json", "call", "echo", "--duration", "1s"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    let mut lines = BufReader::new(call.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(r#""event":"first-media""#)));
    mock.kill().unwrap();
    mock.wait().unwrap();
    let result: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert_ne!(call.wait().unwrap().code(), Some(0), "{result}");
    assert_eq!(result["verdict"], "failed");
}

#[cfg(unix)]
#[test]
fn a_terminated_run_leaves_politely_and_does_not_pass() {
    use z5_mock::Service;
    let world = World::new(&[]);
    let config = world.config();
    for (silent, step, arguments) in [
        (Service::Sip, r#""step":"register""#, &["register"][..]),
        (Service::Zdial, r#""step":"sign-in""#, &["numbers"]),
        (Service::Mcs, r#""step":"provision""#, &["licence"]),
        (Service::Mcs, r#""step":"provision""#, &["contacts", "sync"]),
    ] {
        world.carrier.faults().arm(Fault::BlackHole(silent));
        let mut run = command(&[&["--config", &config, "--json"], arguments].concat())
            .env("XDG_DATA_HOME", world.folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(step)), "{arguments:?}");
        let killed = std::process::Command::new("kill").arg(run.id().to_string()).status().unwrap();
        assert!(killed.success());
        let result: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(1), "{arguments:?}");
        assert_eq!(result["failure"]["code"], "run.interrupted", "{arguments:?}");
        world.carrier.faults().disarm(Fault::BlackHole(silent));
    }
}

#[test]
fn a_reader_that_has_read_enough_stops_nothing() {
    let world = World::new(&[]);
    let config = world.config_of("alice");
    let mut run = command(&["--config", config.to_str().unwrap(), "call", "echo", "--duration", "300ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(run.stdout.take());
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_answer_without_a_call_fails_its_expectation() {
    let run = World::new(&[]).z5(&["answer", "--wait", "200ms"]);
    assert_eq!(run.status, 1, "{}", run.stderr);
    assert_eq!(run.result()["failure"]["code"], "answer.no-call");
}

#[test]
fn the_mock_writes_a_configuration_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("mine.toml");
    let mut mock = command(&["mock", "--json", "--write-config", config.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(mock.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let started: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(started["event"], "mock-started");
    let run = z5(&[
        "--config",
        config.to_str().unwrap(),
        "--json",
        "call",
        "echo",
        "--text",
        "hi",
        "--duration",
        "1200ms",
    ]);
    mock.kill().unwrap();
    mock.wait().unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    assert_eq!(run.result()["call"]["text_received"], "hi");
}

#[test]
fn sip_over_tls_over_ipv6_by_the_mock_s_own_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("z5.toml");
    let arguments = ["mock", "--json", "--sip-over-tls", "--ipv6", "--write-config", file.to_str().unwrap()];
    let mut mock = command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(mock.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let started: Value = serde_json::from_str(&line).unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let run = z5(&[&config[..], &["register", "--json"]].concat());
    let refused = z5(&[&config[..], &["register", "--sip-transport", "udp"]].concat());
    let unknown = z5(&[&config[..], &["register", "--ca", "there-is-no-such.pem"]].concat());
    mock.kill().unwrap();
    mock.wait().unwrap();
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let done = run.events.iter().find(|e| e["event"] == "step-done" && e["step"] == "register").unwrap();
    assert_eq!(done["detail"]["transport"], "tls");
    assert_eq!(done["detail"]["server"], started["sips"]);
    assert_eq!((refused.status, unknown.status), (2, 2));
    assert!(refused.stderr.contains("sip.transport"), "{}", refused.stderr);
}

/// On Linux `SSL_CERT_FILE` names the system's authorities, so a test can be the system.
#[cfg(target_os = "linux")]
#[test]
fn sip_over_tls_believes_the_system_s_authorities_and_nobody_else() {
    let world = World::new(&[]);
    let mut client = world.carrier.generic_config_by_name("alice", "tls").unwrap();
    client.tls = None;
    let folder = world.folder.path().join("system");
    std::fs::create_dir(&folder).unwrap();
    let config = client.write_to(&folder).unwrap();
    let authority = folder.join("system.pem");
    std::fs::write(&authority, world.carrier.ca_pem()).unwrap();
    let run = |believed: bool| {
        let mut command = command(&["--config", config.to_str().unwrap(), "--json", "register"]);
        // Nothing of the machine's own may count.
        command.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE");
        if believed {
            command.env("SSL_CERT_FILE", &authority);
        }
        let output = command.output().unwrap();
        let last = String::from_utf8(output.stdout).unwrap().lines().last().unwrap_or_default().to_owned();
        (output.status.code(), serde_json::from_str::<Value>(&last).unwrap())
    };
    let (status, result) = run(true);
    assert_eq!(status, Some(0), "{result}");
    let (status, result) = run(false);
    assert_eq!(status, Some(14), "{result}");
    assert_eq!(result["failure"]["code"], "register.tls-unknown-issuer", "{result}");
}

#[test]
fn an_emergency_call_tells_its_location_and_a_bad_one_is_told_before_anything_starts() {
    let world = World::new(&[]);
    let run = world.z5(&["call", "911", "--location", "geo:38.8977,-77.0365", "--duration", "2s"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let typed = run.result()["call"]["text_received"].as_str().unwrap_or_default().to_owned();
    assert_eq!(typed, "location 38.8977 -77.0365");
    for bad in ["geo:91,0", "nowhere.xml", "ftp://ls.test/1"] {
        let run = world.z5(&["call", "911", "--location", bad]);
        assert_eq!((run.status, run.events.len()), (2, 1), "{bad}: {}", run.stdout);
        assert_eq!(run.result()["failure"]["code"], "usage.location", "{bad}");
    }
}

#[test]
fn text_is_added_while_a_call_runs() {
    let world = World::new(&[]);
    world.edit("[media]\n", "[media]\ntext = false\n");
    let run =
        world.z5(&["call", "echo", "--at", "300ms=add:text", "--at", "700ms=text:HELLO", "--duration", "2s"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    assert_eq!(run.result()["call"]["text_received"], "HELLO");
    run.event("call-changed");
}

/// What is typed slowly is promised whole: a call that ends before it has not passed.
#[test]
fn text_is_typed_at_a_speed() {
    let world = World::new(&[]);
    let slow = world.z5(&["call", "echo", "--text", "HELLO", "--typing", "0.1", "--duration", "4s"]);
    assert_eq!(slow.status, 1, "{}", slow.stdout);
    let expectations = slow.result()["expectations"].as_array().unwrap().clone();
    let typed = expectations.iter().find(|one| one["what"] == "text.characters_sent").unwrap();
    assert_eq!((&typed["held"], &typed["measured"]), (&false.into(), &"1".into()), "{typed}");
    let fast = world.z5(&["call", "echo", "--text", "HELLO", "--typing", "50", "--duration", "4s"]);
    assert_eq!(fast.status, 0, "{}\n{}", fast.stderr, fast.stdout);
    assert_eq!(fast.result()["call"]["text_sent"], "HELLO");
    for (speed, why) in [("0", "0.1 to 100"), ("fast", "0.1 to 100")] {
        let run = z5(&["call", "echo", "--text", "HELLO", "--typing", speed]);
        assert!(run.status == 2 && run.stderr.contains(why), "{}", run.stderr);
    }
}

#[test]
fn a_call_without_sound_has_none() {
    let world = World::new(&[]);
    let run = world.z5(&["call", "echo", "--audio", "none", "--text", "HELLO", "--duration", "4s"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let streams = run.event("call-established")["media"]["streams"].as_array().unwrap().clone();
    let kinds: Vec<&str> = streams.iter().filter_map(|stream| stream["kind"].as_str()).collect();
    assert_eq!(kinds, ["text"], "{streams:?}");
    assert!(!world.carrier.recorder().to_text().contains("m=audio"), "not offered either");
}
