//! Every bad input ends with its own code, the step, what was seen and what to do, on standard error and in JSON, and
//! with its exit status; nothing hangs. The program runs against a mock carrier in this process.

mod common;

use std::path::Path;

use common::{World, z5};
use z5_mock::{CertificateFault, Fault, Service};

/// Checks the three places where a failure is told.
fn assert_failure(run: &common::Run, status: i32, code: &str, step: Option<&str>) {
    let failure = &run.result()["failure"];
    assert_eq!(run.status, status, "{}", run.stderr);
    assert_eq!(failure["code"], code, "{failure}");
    assert_eq!(failure["step"].as_str(), step, "{failure}");
    assert!(!failure["message"].as_str().unwrap_or_default().is_empty(), "what was seen: {failure}");
    assert!(!failure["advice"].as_str().unwrap_or_default().is_empty(), "what to do: {failure}");
    assert_eq!(run.result()["exit_code"], status);
    assert!(run.stderr.contains(code) && run.stderr.contains("what to do:"), "{}", run.stderr);
}

#[test]
fn no_configuration() {
    assert_failure(&z5(&["call", "echo", "--json"]), 2, "usage.no-configuration", None);
}

#[test]
fn a_configuration_that_is_not_there() {
    let run = z5(&["--config", "no-such.toml", "register", "--json"]);
    assert_failure(&run, 2, "config.unreadable", None);
}

#[test]
fn a_misspelt_key_names_file_line_and_the_nearest_name() {
    let world = World::new(&[]);
    world.edit("username =", "usrname =");
    let run = world.z5(&["register"]);
    assert_failure(&run, 2, "config.unknown-key", None);
    let message = run.result()["failure"]["message"].as_str().unwrap_or_default().to_owned();
    for word in ["z5.toml:", "zdial.usrname", "username"] {
        assert!(message.contains(word), "{word} is not in {message}");
    }
}

#[test]
fn a_flag_that_does_not_exist() {
    assert_eq!(z5(&["call", "echo", "--durration", "5s"]).status, 2);
}

#[test]
fn a_wav_that_is_not_there() {
    let world = World::new(&[]);
    let run = world.z5(&["call", "echo", "--audio", "no-such.wav"]);
    assert_failure(&run, 2, "call.audio-file", Some("call"));
    assert!(run.events.iter().all(|event| event["event"] != "step-started"), "nothing was sent");
}

#[test]
fn a_wav_of_an_unsupported_format() {
    let world = World::new(&[]);
    let path = world.folder.path().join("float.wav");
    let spec = hound::WavSpec {
        channels: 6,
        sample_rate: 8000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    for _ in 0..600 {
        writer.write_sample(0.0f32).unwrap();
    }
    writer.finalize().unwrap();
    let run = world.z5(&["call", "echo", "--audio", path.to_str().unwrap()]);
    assert_failure(&run, 2, "call.audio-file", Some("call"));
}

#[test]
fn a_wrong_password() {
    let world = World::new(&[]);
    world.edit("password = \"alice-secret\"", "password = \"not-the-secret\"");
    let run = world.z5(&["register"]);
    assert_failure(&run, 12, "sign-in.bad-credentials", Some("sign-in"));
    assert!(!run.stderr.contains("not-the-secret") && !run.stdout.contains("not-the-secret"));
}

#[test]
fn a_number_the_account_does_not_have() {
    let run = World::new(&[]).z5(&["register", "--number", "+15555559999"]);
    assert_failure(&run, 12, "sign-in.unknown-number", Some("sign-in"));
}

#[test]
fn several_numbers_and_none_chosen() {
    let run = World::of("carol", &[]).z5(&["register"]);
    assert_failure(&run, 12, "sign-in.number-required", Some("sign-in"));
    let message = run.result()["failure"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("+15555550103") && message.contains("+15555550104"), "{message}");
}

#[test]
fn several_numbers_and_one_chosen() {
    let run = World::of("carol", &[]).z5(&["register", "--number", "+15555550104"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.result()["address"].as_str().unwrap_or_default().contains("15555550104"));
}

#[test]
fn an_expired_and_a_forged_licence() {
    let run = World::new(&[Fault::LicenceExpired]).z5(&["register"]);
    assert_failure(&run, 13, "provision.licence-expired", Some("provision"));
    let run = World::new(&[Fault::LicenceForged]).z5(&["register"]);
    assert_failure(&run, 13, "provision.licence-bad-signature", Some("provision"));
}

#[test]
fn a_server_of_an_unknown_authority() {
    let fault = Fault::Certificate(Service::Zdial, CertificateFault::UnknownCa);
    assert_failure(
        &World::new(&[fault]).z5(&["register"]),
        12,
        "sign-in.tls-unknown-issuer",
        Some("sign-in"),
    );
}

#[test]
fn ports_that_refuse() {
    for (service, status, code, step) in [
        (Service::Zdial, 12, "sign-in.unreachable", "sign-in"),
        (Service::Mcs, 13, "provision.unreachable", "provision"),
        (Service::Sip, 14, "register.unreachable", "register"),
    ] {
        assert_failure(&World::new(&[Fault::Refuse(service)]).z5(&["register"]), status, code, Some(step));
    }
}

#[test]
fn a_name_that_does_not_exist() {
    let run = World::new(&[Fault::NameNotFound]).z5(&["register"]);
    assert_failure(&run, 11, "resolve.name-not-found", Some("resolve"));
}

#[test]
fn every_step_has_a_deadline() {
    for (service, key, status, code, step) in [
        (Service::Dns, "dns", 11, "resolve.timed-out", "resolve"),
        (Service::Zdial, "sign_in", 12, "sign-in.timed-out", "sign-in"),
        (Service::Mcs, "provision", 13, "provision.timed-out", "provision"),
        (Service::Sip, "register", 14, "register.timed-out", "register"),
    ] {
        let world = World::new(&[Fault::BlackHole(service)]);
        world.append(&format!("\n[timeouts]\n{key} = 300\n"));
        assert_failure(&world.z5(&["register"]), status, code, Some(step));
    }
}

#[test]
fn far_ends_that_do_not_take_the_call() {
    let world = World::new(&[]);
    for (target, code) in [
        ("busy", "call.busy"),
        ("decline", "call.declined"),
        ("+15555550904", "call.not-found"),
        ("+15555550905", "call.unavailable"),
        ("+15555550199", "call.not-found"),
    ] {
        assert_failure(&world.z5(&["call", target, "--duration", "1s"]), 15, code, Some("call"));
    }
}

#[test]
fn nobody_answers() {
    let world = World::new(&[]);
    world.append("\n[timeouts]\ncall = 400\n");
    assert_failure(&world.z5(&["call", "noanswer"]), 15, "call.no-answer", Some("call"));
}

#[test]
fn a_folder_that_cannot_be_recorded_in() {
    let world = World::new(&[]);
    let file = world.folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let run = world.z5(&["call", "echo", "--record", file.to_str().unwrap()]);
    assert_failure(&run, 2, "call.recording", Some("call"));
    assert!(Path::new(&file).is_file());
}

/// Of two values one would be passed over without a word.
#[test]
fn what_is_given_twice_is_refused_with_both() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, "mock:\nvars: {talk: 1s}\nsteps: [{pause: $talk}]").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [
        &["run", file, "--set", "talk=1s", "--set", "talk=2s"][..],
        &["monitor", file, "--set", "talk=1s", "--set", "talk=2s"],
        &["acceptance", "--set", "talk=1s", "--set", "talk=2s"],
    ] {
        let run = z5(&[arguments, &["--json"]].concat());
        assert_failure(&run, 2, "usage.twice", None);
        assert!(run.stderr.contains("--set gives talk twice: talk=1s and then talk=2s"), "{}", run.stderr);
    }
    let run = z5(&["run", file, "--json", "--party", "bob=a.toml", "--party", "bob=b.toml"]);
    assert_failure(&run, 2, "usage.twice", None);
}

/// Files, folders, people and variables of every command: what cannot be used is named, in words, with status 2, and nobody has heard of
/// it. (What the command line itself cannot read is in `args::mistakes`.)
#[test]
fn what_a_flag_names_and_cannot_be_used_is_told_before_anything_is_sent() {
    let world = World::new(&[]);
    let folder = world.folder.path();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (config, missing, taken) = (world.config(), path("none/x"), path("taken"));
    std::fs::write(&taken, b"\x7fELF\xff\0 somebody else's").unwrap();
    let scenario = path("good.yaml");
    std::fs::write(&scenario, "mock:\nvars: {talk: 1s}\nsteps: [{pause: '${talk}'}]\n").unwrap();
    let (missing, taken, scenario) = (missing.as_str(), taken.as_str(), scenario.as_str());
    // the arguments, and what must be told
    let table: &[(&[&str], &str)] = &[
        (&["call", "echo", "--ca", missing], "tls.ca_file"),
        (&["call", "echo", "--ca", taken], "there is no certificate in it"),
        (&["call", "echo", "--location", "geo:x"], "--location"),
        (&["call", "echo", "--location", missing], "--location"),
        (&["call", "echo", "--location", taken], "--location"),
        (&["call", "echo", "--capture", missing], missing),
        (&["call", "echo", "--capture", taken], "--overwrite"),
        (&["call", "echo", "--record", taken], "--record"),
        (&["call", "echo", "--report", taken], "--report"),
        (&["call", "echo", "--audio", missing], "there is no such file"),
        (&["call", "echo", "--audio", taken], "--audio tone"),
        (&["call", "echo", "--video", "none/x.h264"], "there is no such file"),
        (&["call", "echo", "--duration", "1s", "--at", "2s=hold"], "--at 2s"),
        (&["call", "echo", "--suite", "AEAD_AES_256_GCM"], "--suite"),
        (&["register", "--sip-transport", "tls", "--ca", missing], "tls.ca_file"),
        (&["numbers", "--ca", missing], "tls.ca_file"),
        (&["licence", "--ca", taken], "tls.ca_file"),
        (&["contacts", "import", missing], missing),
        (&["contacts", "import", taken], "something that is no text stands where BEGIN:VCARD belongs"),
        (&["contacts", "export", taken], "is there already"),
        (&["contacts", "export", missing], "there is no folder"),
        (&["contacts", "remove", "--offline", "nobody"], "`nobody`"),
        (&["contacts", "add", "Dora", "xyz"], "`xyz`"),
        (&["contacts", "add", "", "411"], "needs a name"),
        (&["run", missing], "there is no such file"),
        (&["run", taken], "is no text in UTF-8"),
        (&["run", scenario, "--set", "tallk=1s"], "did you mean `talk`?"),
        (&["run", scenario, "--party", "alcie=x"], "did you mean `alice`?"),
        (&["run", scenario, "--clock", "simulated"], "--clock simulated"),
        (&["monitor", missing], "there is no such file"),
        (&["acceptance", "--only", "V99"], "did you mean V9?"),
        (&["acceptance", "--set", "tallk=1s"], "did you mean `talk`?"),
        (&["acceptance", "--party", "alcie=x"], "did you mean `alice`?"),
        (&["acceptance", "--export", taken], taken),
    ];
    let own: &[(&[&str], &str)] = &[
        (&["--config", missing, "call", "echo"], "there is no such file"),
        (&["--config", taken, "check"], "is no text in UTF-8"),
        (&["--config", missing, "run", "good.yaml"], "there is no such file"),
        (&["run", scenario, "--set", "talk=1"], "`${talk}` is `1` here"),
        (&["run", scenario, "--junit", taken], "--overwrite"),
        (&["run", scenario, "--junit", missing], "there is no folder"),
        (&["run", scenario, "--party", "alice=none/x"], "--party alice: "),
        (&["acceptance", "--markdown", taken], "--overwrite"),
        (&["explain", missing], "there is no such file"),
        (&["explain", taken], "neither a SIP message"),
        (&["report", missing], "there is no such file"),
        (&["report", taken], "it is no JSON from line 1, column 1 on"),
        (&["mock", "--scenario", missing], "there is no such file"),
        (&["mock", "--scenario", taken], "is no text in UTF-8"),
        (&["mock", "--write-config", "alcie=x.toml"], "did you mean `alice`?"),
        (&["mock", "--write-config", ""], "--write-config names no file"),
        (&["config", "init", missing], "there is no folder"),
        (&["demo", "--capture", missing], missing),
    ];
    let here = |arguments: &[&str]| {
        let mut command = common::command(arguments);
        command.env("XDG_DATA_HOME", folder.join("data")).current_dir(folder);
        common::run(&mut command)
    };
    for (arguments, says) in table {
        let run = here(&[&["--config", &config], *arguments].concat());
        assert_mistake(&run, arguments, says);
    }
    for (arguments, says) in own {
        assert_mistake(&here(arguments), arguments, says);
    }
    assert!(world.carrier.recorder().entries().is_empty(), "something was sent");
    for bad in ["x", "-1", "", "1.5"] {
        let mut command = common::command(&["--config", &config, "register"]);
        assert_mistake(&common::run(command.env("Z5_SEED", bad)), &["Z5_SEED"], "Z5_SEED");
    }
}

/// Told on standard error with what to do, and in nobody else's words.
fn assert_mistake(run: &common::Run, arguments: &[&str], says: &str) {
    let told = &run.stderr;
    assert_eq!(run.status, 2, "{arguments:?}: {}{told}", run.stdout);
    assert!(told.contains(says) && told.contains("what to do: "), "{arguments:?}: no {says} in {told}");
    for raw in ["os error", "expected value", "invalid type", "No such file", "``", "--config FILE"] {
        assert!(!told.contains(raw), "{arguments:?}: {raw} in {told}");
    }
}

/// A mistake on the command line ends with the command to run next.
#[test]
fn what_to_do_names_the_next_command() {
    let world = World::new(&[]);
    let config = world.config();
    for (arguments, words) in [
        (&["register"][..], "z5 config init FILE writes one to fill in"),
        (&["--config", "no-such.toml", "register"], "z5 config init FILE"),
        (&["--config", "x.toml", "explain", "-"], "leave --config out"),
        (&["run", "no-such.yaml"], "z5 acceptance --export DIR"),
        (&["--config", &config, "register", "--ca", "no-such.pem"], "--ca or tls.ca_file"),
        (&["--config", &config, "call", "911", "--location", "nowhere"], "--location geo:38.8977,-77.0365"),
        (
            &["--config", &config, "contacts", "remove", "nobody"],
            &format!("z5 --config {config} contacts list"),
        ),
        (&["report", "no-such-folder"], "z5 report DIR"),
        (&["acceptance", "--only", "V99"], "--only V4,V9"),
    ] {
        let data = world.folder.path().join("data");
        let run = common::run(common::command(arguments).env("XDG_DATA_HOME", data));
        assert_eq!(run.status, 2, "{arguments:?}: {}", run.stderr);
        let advice = run.stderr.split("what to do: ").nth(1).unwrap_or_default();
        assert!(advice.contains(words), "{arguments:?}: {}", run.stderr);
        assert!(!advice.contains("check the configuration or what was asked for"), "{arguments:?}: {advice}");
    }
    // the configuration of the run stands in the command
    world.edit("username =", "usrname =");
    let run = z5(&["--config", &config, "register"]);
    assert!(run.stderr.contains(&format!("z5 --config {config} config check")), "{}", run.stderr);
}
