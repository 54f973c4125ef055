//! What the program says of itself and of configurations: config, numbers, licence, capabilities, completions, manual page.

mod common;

use common::{World, command, z5};
use serde_json::Value;
use z5_mock::Fault;

#[test]
fn a_configuration_is_written_judged_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.toml");
    let name = file.to_str().unwrap();
    let run = z5(&["config", "init", name]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.stdout.contains(name) && run.stdout.contains("config check"), "{}", run.stdout);
    // its password file is still missing, and that is what is told
    let run = z5(&["--config", name, "config", "check", "--json"]);
    assert_eq!(run.status, 2, "{}", run.stdout);
    let message = run.result()["failure"]["message"].as_str().unwrap();
    assert!(message.contains("zdial.password_file"), "{message}");
    std::fs::write(folder.path().join("zdial.secret"), "hunter2\n").unwrap();
    let run = z5(&["--config", name, "config", "check", "--json"]);
    assert_eq!((run.status, &run.result()["profile"]), (0, &"z5".into()), "{}", run.stderr);
    assert_eq!(run.result()["nameservers"], serde_json::json!(["192.0.2.53:53"]));
    // and nothing is overwritten
    let run = z5(&["config", "init", name, "--json"]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"config.not-written".into()));
}

#[test]
fn a_configuration_is_shown_without_its_secrets() {
    let world = World::new(&[]);
    let password = world.carrier.accounts()[0].password().to_owned();
    let config = world.config_of("alice");
    let name = config.to_str().unwrap();
    assert!(std::fs::read_to_string(&config).unwrap().contains(&password));
    for arguments in
        [&["--config", name, "config", "show"][..], &["--config", name, "config", "show", "--json"]]
    {
        let run = z5(arguments);
        assert_eq!(run.status, 0, "{}", run.stderr);
        assert!(run.stdout.contains("***") && !run.stdout.contains(&password), "{}", run.stdout);
        assert!(run.stdout.contains("mcs_node1"), "{}", run.stdout);
    }
}

#[test]
fn a_bad_configuration_is_judged_as_at_a_start() {
    let world = World::new(&[]);
    world.edit("username =", "usrname =");
    let run = world.z5(&["config", "check"]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"config.unknown-key".into()));
}

#[test]
fn numbers_are_listed_without_choosing_one() {
    let world = World::of("carol", &[]);
    let run = world.z5(&["numbers"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    let numbers = run.result()["numbers"].as_array().unwrap();
    assert!(numbers.len() > 1, "{numbers:?}");
    assert!(numbers.iter().all(|number| number["number"].as_str().is_some_and(|text| text.starts_with('+'))));
    assert!(run.events.iter().all(|event| event["event"] != "ready"), "it goes no further than step 2");
}

#[test]
fn the_policy_of_the_group_is_shown_beside_the_client_s_settings() {
    let policy = z5_mock::GroupPolicy {
        rtp_ports: Some((20_000, 20_999)),
        audio_codecs: Some(["PCMU", "G729"].map(str::to_owned).to_vec()),
        max_bitrate: Some(300_000),
    };
    let world = World::with("alice", z5_mock::Carrier::builder().group_policy(policy));
    let run = world.z5(&["licence"]);
    let policy = &run.result()["policy"];
    assert_eq!(policy["audio_codecs"]["in_force"], serde_json::json!(["PCMU"]), "{}", run.stdout);
    assert_eq!(policy["video_bitrate"]["in_force"], 232_000);
    assert!(policy["video_bitrate"]["group"].is_null(), "the group says nothing of video: {policy}");
    let whole = serde_json::json!({"licence": 4_000_000, "group": 300_000, "in_force": 300_000});
    assert_eq!(policy["max_bitrate"], whole);
    let config = world.config();
    let shown = z5(&["--config", &config, "licence"]).stdout;
    for line in [
        "RTP ports       client any (default), sign-in 10000-65535, group 20000-20999 -> 20000-20999\n",
        "(default), group PCMU G729 -> PCMU\n",
        "call bit rate   licence 4000 kbit/s, group 300 kbit/s -> 300 kbit/s for all media together\n",
        "video bit rate  client 1500 kbit/s (default) -> 232 kbit/s\n",
    ] {
        assert!(shown.contains(line), "{line} is not in {shown}");
    }
    let plain = World::new(&[]);
    let run = plain.z5(&["licence"]);
    let codecs = &run.result()["policy"]["audio_codecs"];
    assert!(codecs["group"].is_null() && codecs["client"] == codecs["in_force"], "{}", run.stdout);
    let ports = &run.result()["policy"]["rtp_ports"];
    assert!(ports["group"].is_null() && !ports["sign_in"].is_null(), "only the sign-in named ports: {ports}");
    let shown = z5(&["--config", &plain.config(), "licence"]).stdout;
    assert!(shown.contains("sign-in 10000-65535, group says nothing -> 10000-65535\n"), "{shown}");
}

#[test]
fn the_licence_is_shown() {
    let world = World::new(&[]);
    let run = world.z5(&["licence"]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    assert!(run.result()["licence"]["expires_in_s"].as_u64().unwrap() > 0);
    let config = world.config_of("alice");
    let run = z5(&["--config", config.to_str().unwrap(), "licence"]);
    assert!(run.stdout.contains("calls at once") && run.stderr.is_empty(), "{}{}", run.stdout, run.stderr);
}

#[test]
fn what_fails_on_the_way_has_its_step() {
    let world = World::new(&[Fault::LicenceMissing]);
    let run = world.z5(&["licence"]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (13, &"provision.licence-missing".into()));
    let run = world.z5(&["numbers"]);
    assert_eq!(run.status, 0, "what fails behind the answer does not matter: {}", run.stderr);
}

#[test]
fn capabilities_are_told_to_programs() {
    let run = z5(&["capabilities", "--json"]);
    let result = run.result();
    let lists = |name: &str, word: &str| {
        result[name].as_array().is_some_and(|list| list.iter().any(|item| item == word))
    };
    for (name, word) in [
        ("commands", "check"),
        ("expect", "audio.heard"),
        ("failure_codes", "call.busy"),
        ("faults", "dns.servfail"),
        ("firewall_formats", "nftables"),
        ("sip_transports", "udp"),
        ("audio_codecs", "G722"),
        ("srtp_suites", "AEAD_AES_256_GCM"),
        ("video_codecs", "H264"),
    ] {
        assert!(lists(name, word), "{name} has no {word}: {}", result[name]);
    }
}

#[test]
fn shells_and_man_get_what_they_read() {
    for (shell, mark) in [("bash", "complete -F"), ("zsh", "#compdef z5"), ("fish", "complete -c z5")] {
        let run = z5(&["completions", shell]);
        assert!(run.status == 0 && run.stdout.contains(mark), "{shell}: {}", run.stdout);
        assert!(run.stdout.contains("firewall"), "{shell} knows the commands");
    }
    let run = z5(&["man"]);
    assert!(run.stdout.contains(".TH z5 1") && run.stdout.contains("firewall"), "{}", run.stdout);
}

#[test]
fn colour_is_for_terminals_alone() {
    let run = command(&["firewall"]).env("NO_COLOR", "1").output().unwrap();
    assert!(!run.stdout.contains(&0x1b));
    let run = z5(&["capabilities"]);
    assert!(!run.stdout.contains('\u{1b}'));
}

/// With --json and without it, standard output carries the answer alone; what is wrong goes to standard error.
#[test]
fn errors_leave_standard_output_to_the_answer() {
    for arguments in
        [&["numbers"][..], &["check"], &["config", "show"], &["firewall", "--config", "no-such.toml"]]
    {
        let run = z5(arguments);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(run.stderr.starts_with("z5: "), "{}", run.stderr);
    }
    let run = z5(&["numbers", "--json"]);
    assert_eq!(run.stdout.lines().count(), 1);
    assert_eq!(
        serde_json::from_str::<Value>(&run.stdout).unwrap()["failure"]["code"],
        "usage.no-configuration"
    );
}
