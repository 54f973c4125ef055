//! `--report` and `z5 report`: what is in the capsule and in the page, also after failures and interrupts, and what a folder that cannot
//! be written to does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a report that cannot be read has failed the test")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use common::{Run, World, command, z5};
use serde_json::Value;
use z5_mock::Fault;

/// The capsule and the page of a folder. Every capsule is what docs/schema/capsule.json says.
fn report(folder: &Path) -> (Value, String) {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let capsule: Value = serde_json::from_str(&read("capsule.json")).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../../docs/schema/capsule.json")).unwrap();
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.set_default_draft(boon::Draft::V2020_12);
    compiler.add_resource("urn:z5:schema:capsule", schema).unwrap();
    let index = compiler.compile("urn:z5:schema:capsule", &mut schemas).unwrap();
    schemas.validate(&capsule, index).unwrap_or_else(|why| panic!("{why:#}\n{capsule}"));
    (capsule, read("report.html"))
}

/// A run of alice with a report in `folder/out`.
fn reported(world: &World, arguments: &[&str]) -> (Run, Value, String) {
    let folder = world.folder.path().join("out");
    let mut all = arguments.to_vec();
    all.extend(["--report", folder.to_str().unwrap()]);
    let run = world.z5(&all);
    let (capsule, page) = report(&folder);
    (run, capsule, page)
}

fn password(world: &World) -> String {
    let text = std::fs::read_to_string(world.config()).unwrap();
    let line = text.lines().find(|line| line.trim_start().starts_with("password")).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

#[test]
fn a_call_leaves_its_capsule_and_its_page() {
    let world = World::new(&[]);
    let arguments = ["call", "echo", "--audio", "tone", "--text", "HELLO", "--duration", "1600ms"];
    let (run, capsule, page) = reported(&world, &arguments);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    assert_eq!((&capsule["format"], &capsule["version"]), (&"z5-capsule".into(), &1.into()));
    assert_eq!(capsule["result"]["verdict"], "ok");
    assert_eq!(run.result()["report"]["failure"], Value::Null);
    assert!(run.events.iter().any(|event| event["event"] == "call-figures"));

    // SIP: the whole call, redacted.
    let messages = capsule["messages"].as_array().unwrap();
    for (sent, method) in [(true, "REGISTER"), (true, "INVITE"), (true, "ACK"), (true, "BYE")] {
        assert!(messages.iter().any(|m| m["sent"] == sent && m["method"] == method), "{method}");
    }
    assert!(messages.iter().any(|m| m["sent"] == false && m["status"] == 200 && m["method"] == "INVITE"));
    let secret = password(&world);
    let text = capsule.to_string();
    for (who, shown) in [("capsule", &text), ("page", &page)] {
        assert!(!shown.contains(&secret), "the password is in the {who}");
        assert!(!shown.contains("5555550101") && !shown.contains("5555550900"), "a number is in the {who}");
        assert!(!shown.contains("alice"), "a user is in the {who}");
        assert!(!shown.contains("inline:"), "a key is in the {who}");
    }

    // Figures in time: rates of what flowed, and nothing of what was not measured.
    let series = capsule["streams"].as_array().unwrap();
    let audio = series.iter().find(|series| series["kind"] == "audio").unwrap();
    let samples = audio["samples"].as_array().unwrap();
    assert!(samples.len() >= 2, "{samples:?}");
    assert!(samples.iter().all(|sample| sample["received_kbps"].is_number()), "{samples:?}");
    assert!(samples.iter().all(|sample| sample.get("frame_rate").is_none()), "{samples:?}");

    // Text both ways, with the way of each character.
    let pieces = capsule["transcript"].as_array().unwrap();
    let said = |speaker: &str| -> String {
        let of = pieces.iter().filter(|piece| piece["speaker"] == speaker);
        of.map(|piece| piece["text"].as_str().unwrap()).collect()
    };
    assert_eq!((said("local"), said("remote")), ("HELLO".to_owned(), "HELLO".to_owned()));
    let numbers = |member: &str| {
        let all = pieces.iter().filter_map(|piece| piece[member].as_array()).flatten();
        all.filter(|value| value.is_number()).count()
    };
    assert_eq!((numbers("waits_ms"), numbers("echoes_ms")), (5, 5), "{pieces:?}");

    // Why each format is used or not.
    let established = capsule["events"].as_array().unwrap().iter().find(|e| e["event"] == "call-established");
    let line = &established.unwrap()["media"]["lines"][0];
    assert_eq!((&line["kind"], &line["formats"][0]["used"]), (&"audio".into(), &"sent".into()));

    for words in
        ["Outgoing call: passed", "PASS", "HELLO", "200 OK (INVITE)", "telephone-event/8000", "Bit rate"]
    {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn numbers_are_shown_where_that_is_asked_for_and_secrets_are_not() {
    let world = World::new(&[]);
    let (run, capsule, page) =
        reported(&world, &["call", "+15555550900", "--duration", "200ms", "--show-numbers"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert_eq!(capsule["numbers_shown"], true);
    assert!(capsule.to_string().contains("+15555550900") && page.contains("+15555550900"));
    let secret = password(&world);
    assert!(!capsule.to_string().contains(&secret) && !page.contains(&secret) && !page.contains("inline:"));
}

#[test]
fn a_run_that_fails_in_any_step_leaves_its_report() {
    for (fault, target, step, code) in [
        (Fault::NameNotFound, "echo", 1, "resolve.name-not-found"),
        (Fault::AccountSuspended, "echo", 2, "sign-in.account-locked"),
        (Fault::LicenceMissing, "echo", 3, "provision.licence-missing"),
        (Fault::RegisterForbidden, "echo", 4, "register.forbidden"),
        (Fault::SpoofedMedia, "+15555550901", 5, "call.busy"),
    ] {
        let world = World::new(&[fault]);
        let (run, capsule, page) = reported(&world, &["call", target, "--duration", "200ms"]);
        assert_eq!(run.status, 10 + step, "{code}: {}", run.stderr);
        let failure = &capsule["result"]["failure"];
        assert_eq!(failure["code"], code);
        assert_eq!(capsule["result"]["exit_code"], 10 + step);
        assert!(page.contains("FAIL") && page.contains(code) && page.contains("What to do: "), "{code}");
        assert!(page.contains(&format!("Step {step}, ")), "{code}");
    }
}

/// A call that has been answered, and what it prints.
fn standing(world: &World, folder: &str) -> (Child, impl Iterator<Item = String> + use<>) {
    let config = world.config();
    let arguments = ["--config", &config, "--json", "call", "echo", "--report", folder];
    let mut child = command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(r#""event":"call-established""#)));
    (child, lines)
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let arguments = [name, &child.id().to_string()];
    assert!(std::process::Command::new("kill").args(arguments).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn an_interrupted_call_leaves_its_report() {
    for name in ["-INT", "-HUP"] {
        let world = World::new(&[]);
        let folder = world.folder.path().join("out");
        let (mut child, lines) = standing(&world, folder.to_str().unwrap());
        signal(&child, name);
        let result: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{result}");
        let (capsule, page) = report(&folder);
        assert_eq!(capsule["result"]["unregistered"], true);
        assert!(page.contains("ended by this end"), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_lost_in_the_call_is_told_and_the_call_ends_cleanly() {
    let world = World::new(&[]);
    let folder = world.folder.path().join("out");
    let (mut child, lines) = standing(&world, folder.to_str().unwrap());
    // From here on nothing can be created there, whoever runs the test.
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "no folder").unwrap();
    signal(&child, "-INT");
    let result: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{result}");
    assert_eq!((&result["unregistered"], &result["call"]["ended_by"]), (&true.into(), &"local".into()));
    assert!(result["report"]["failure"].is_string(), "{result}");
    let expectations = result["expectations"].as_array().unwrap();
    let written = expectations.iter().find(|e| e["what"] == "report.written").unwrap();
    assert_eq!(written["held"], false);
}

#[test]
fn a_folder_that_cannot_be_made_is_found_before_anything_is_sent() {
    let world = World::new(&[]);
    let file = world.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let run = world.z5(&["call", "echo", "--report", file.join("out").to_str().unwrap()]);
    assert_eq!(run.status, 2, "{}", run.stdout);
    assert_eq!(run.result()["failure"]["code"], "usage.report");
    assert_eq!(run.events.len(), 1, "{}", run.stdout);
    // A command line that cannot be used leaves nothing behind.
    let out = world.folder.path().join("out");
    let run = world.z5(&["call", "echo", "--audio", "no-such.wav", "--report", out.to_str().unwrap()]);
    assert_eq!(run.status, 2, "{}", run.stdout);
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn nothing_is_overwritten_but_pages_which_can_be_made_again() {
    let world = World::new(&[]);
    let out = world.folder.path().join("out");
    let name = out.to_str().unwrap();
    for _ in 0..2 {
        assert_eq!(world.z5(&["register", "--report", name]).status, 0);
    }
    let second = out.join("capsule-2.json");
    assert!(second.exists() && out.join("report-2.html").exists());
    let page = out.join("report.html");
    let first = std::fs::read_to_string(&page).unwrap();
    std::fs::remove_file(&page).unwrap();

    let run = z5(&["report", name, "--json"]);
    assert_eq!((run.status, &run.result()["page"]), (0, &Value::from(page.to_str().unwrap())));
    assert_eq!(std::fs::read_to_string(&page).unwrap(), first);
    assert_eq!(z5(&["report", second.to_str().unwrap()]).status, 0);
    let printed = z5(&["report", name, "-o", "-"]);
    assert_eq!((printed.status, printed.stdout == first), (0, true));

    let mine = out.join("mine.html");
    std::fs::write(&mine, "<p>mine").unwrap();
    let run = z5(&["report", name, "--json", "-o", mine.to_str().unwrap()]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"report.not-written".into()));
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "<p>mine");
    for wrong in [mine.to_str().unwrap(), "no-such-folder"] {
        let run = z5(&["report", wrong, "--json"]);
        assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"report.capsule".into()));
    }
}

#[test]
fn each_party_of_a_scenario_has_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.yaml");
    std::fs::write(
        &file,
        "name: Two at work\nmock:\nparties: [alice, bob]\nsteps:\n  - register: alice\n  - register: bob\n  \
         - {call: +15555550102, as: alice, audio: tone}\n  - {wait: incoming, as: bob}\n  - answer: bob\n  \
         - {wait: established, as: alice}\n  - pause: 1s\n  - hangup: alice\n  - {wait: over, as: bob}\n",
    )
    .unwrap();
    let out = folder.path().join("out");
    let run = z5(&["run", "--json", file.to_str().unwrap(), "--report", out.to_str().unwrap()]);
    assert_eq!(run.status, 0, "{}\n{}", run.stderr, run.stdout);
    for (party, method) in [("alice", true), ("bob", false)] {
        let (capsule, page) = report(&out.join("Two-at-work").join(party));
        assert_eq!(capsule["result"]["verdict"], "ok");
        let messages = capsule["messages"].as_array().unwrap();
        assert!(
            messages.iter().any(|m| m["method"] == "INVITE" && m["sent"] == method && m["status"].is_null())
        );
        assert!(!capsule["streams"].as_array().unwrap().is_empty());
        assert!(page.contains("Party of a scenario: passed"));
    }
    let file = folder.path().join("test.yaml/out");
    let run = z5(&[
        "run",
        "--json",
        folder.path().join("test.yaml").to_str().unwrap(),
        "--report",
        file.to_str().unwrap(),
    ]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"usage.report".into()));
}
