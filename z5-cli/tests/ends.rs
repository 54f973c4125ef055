//! How long runs end when somebody stops them, a disk is full, a folder cannot be written to, or the terminal is gone: `run`,
//! `acceptance`, `monitor`, and a call with a report.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Run, World, command, run, z5};
use serde_json::Value;

/// A call that nobody ends.
const LONG: &str = "name: Long\nmock:\nsteps: [register, {call: echo}, {wait: established}, {pause: 1h}, hangup]\ntimeout: 2h\n";

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

/// A program that runs, with its lines; one that a test leaves behind is ended.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str]) -> (Self, impl Iterator<Item = Value> + use<>) {
        Self::of(command(arguments))
    }

    fn of(mut command: Command) -> (Self, impl Iterator<Item = Value> + use<>) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (Self(child), lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()))
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Two at the same moment: while a program stands still signals wait for it, and two of one kind would be one.
    fn interrupt_twice(&mut self) -> Option<i32> {
        ["-STOP", "-INT", "-TERM", "-CONT"].iter().for_each(|name| self.signal(name));
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_step(line: &Value, action: &str) -> bool {
    line["event"] == "step" && line["action"] == action
}

/// Nobody answers any more, so that leaving politely takes its time and the second signal comes before its end.
#[test]
fn a_second_interrupt_ends_at_once_with_the_reports_that_there_are() {
    let world = World::new(&[]);
    let folder = world.folder.path();
    let first = write(folder, "long.yaml", &LONG.replace("mock:\n", ""));
    let second = write(folder, "second.yaml", "name: Second\nsteps: [register]");
    let (config, out, junit) = (world.config(), folder.join("out"), folder.join("out.xml"));
    let (reports, suites) = (out.display().to_string(), junit.display().to_string());
    let arguments =
        ["--config", &config, "--json", "run", &first, &second, "--report", &reports, "--junit", &suites];
    let (mut running, mut lines) = Running::start(&arguments);
    assert!(lines.any(|line| is_step(&line, "wait")));
    let _frozen = world.freeze();
    assert_eq!(running.interrupt_twice(), Some(130));
    let capsule = std::fs::read_to_string(out.join("Long/alice/capsule.json")).unwrap();
    let capsule: Value = serde_json::from_str(&capsule).unwrap();
    assert_eq!(capsule["result"]["verdict"], "failed");
    assert!(capsule["events"].as_array().unwrap().iter().any(|event| event["event"] == "call-established"));
    assert!(out.join("Long/alice/report.html").exists());
    // what was reserved for the scenario whose turn did not come is free again
    assert!(!out.join("Second/alice/capsule.json").exists());
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains("type=\"run.interrupted\""), "{junit}");
    for skipped in ["alice: hang up\"", "alice: register\""] {
        let case = junit.lines().skip_while(|line| !line.contains(skipped)).nth(1).unwrap();
        let is_first = skipped.contains("register");
        assert_eq!(case.contains("<skipped/>"), !is_first, "{junit}");
    }
    assert!(
        junit.contains("<testsuite name=\"Second\" tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"1\""),
        "{junit}"
    );
}

#[test]
fn a_second_interrupt_ends_a_call_at_once_with_its_report() {
    let world = World::new(&[]);
    let out = world.folder.path().join("out");
    let (config, folder) = (world.config(), out.display().to_string());
    let (mut running, mut lines) =
        Running::start(&["--config", &config, "--json", "call", "echo", "--report", &folder]);
    assert!(lines.any(|line| line["event"] == "call-established"));
    let _frozen = world.freeze();
    assert_eq!(running.interrupt_twice(), Some(130));
    let capsule: Value = serde_json::from_slice(&std::fs::read(out.join("capsule.json")).unwrap()).unwrap();
    let result = &capsule["result"];
    assert_eq!((&result["exit_code"], &result["verdict"]), (&130.into(), &"failed".into()), "{result}");
    assert!(out.join("report.html").exists());
}

/// A demonstration that was cut short has shown less than it promises.
#[test]
fn an_interrupted_demo_does_not_pass() {
    let (mut running, mut lines) = Running::start(&["--json", "demo"]);
    assert!(lines.any(|line| line["event"] == "call-established"));
    running.signal("-INT");
    let result = lines.last().unwrap();
    assert_eq!(
        (running.0.wait().unwrap().code(), &result["failure"]["code"]),
        (Some(1), &"run.interrupted".into())
    );
}

/// One interrupt: what was not reached is listed, and the suites are whole.
#[test]
fn an_interrupted_suite_lists_what_was_not_reached() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "long.yaml", LONG);
    let junit = folder.path().join("out.xml");
    let (mut running, mut lines) =
        Running::start(&["run", "--json", &file, "--junit", junit.to_str().unwrap()]);
    assert!(lines.any(|line| is_step(&line, "wait")));
    running.signal("-TERM");
    let result = lines.last().unwrap();
    assert_eq!(
        (running.0.wait().unwrap().code(), &result["failure"]["code"]),
        (Some(1), &"run.interrupted".into())
    );
    let junit = std::fs::read_to_string(junit).unwrap();
    let count = |what: &str| junit.matches(what).count();
    assert_eq!((count("<skipped/>"), count("skipped=\"2\"")), (2, 1), "{junit}");
    let tests = count("<testcase ");
    assert!(junit.contains(&format!("<testsuite name=\"Long\" tests=\"{tests}\"")), "{junit}");
}

#[test]
fn a_second_interrupt_ends_an_acceptance_at_once_with_its_table() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.md");
    let out = folder.path().join("out");
    let arguments = [
        "acceptance",
        "--json",
        "--only",
        "V4,V9",
        "--jobs",
        "1",
        "--set",
        "talk=1h",
        "--markdown",
        table.to_str().unwrap(),
        "--report",
        out.to_str().unwrap(),
    ];
    let (mut running, _lines) = Running::start(&arguments);
    // reserved before anything is sent, so both points have theirs; nothing is to be seen from outside before the end
    while !out.join("V9/bob/capsule.json").exists() {
        assert!(running.0.try_wait().unwrap().is_none(), "it ended before anything was reserved");
        std::thread::yield_now();
    }
    assert_eq!(running.interrupt_twice(), Some(130));
    let table = std::fs::read_to_string(table).unwrap();
    assert_eq!(table.matches("| not-judged | ").count(), 2, "{table}");
    assert!(!out.join("V9/alice/capsule.json").exists(), "its turn did not come");
}

/// The run that goes on leaves its report, on the shelf where it began.
#[test]
fn a_second_interrupt_ends_a_monitor_at_once_with_the_report_of_its_run() {
    let world = World::new(&[]);
    let folder = world.folder.path();
    let file = write(folder, "long.yaml", &LONG.replace("mock:\n", ""));
    let (config, out) = (world.config(), folder.join("out"));
    let (reports, listen) = (out.display().to_string(), "127.0.0.1:0");
    let arguments =
        ["--config", &config, "--json", "monitor", "--listen", listen, &file, "--report", &reports];
    let (mut running, mut lines) = Running::start(&arguments);
    assert_eq!(lines.next().unwrap()["event"], "monitor-started");
    // a monitor tells nothing of a run before its end; the ACK is the last message before the pause
    let patience = z5_core::clock::now() + std::time::Duration::from_secs(60);
    while !world.carrier.recorder().to_text().contains("\nACK ") {
        assert!(z5_core::clock::now() < patience, "no call stands");
        assert!(running.0.try_wait().unwrap().is_none(), "it ended before the call stood");
        std::thread::yield_now();
    }
    let _frozen = world.freeze();
    assert_eq!(running.interrupt_twice(), Some(130));
    let runs: Vec<_> = std::fs::read_dir(out.join("Long")).unwrap().map(|run| run.unwrap().path()).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let capsule = std::fs::read_to_string(runs[0].join("alice/capsule.json")).unwrap();
    let capsule: Value = serde_json::from_str(&capsule).unwrap();
    assert_eq!(capsule["result"]["verdict"], "failed");
    assert!(runs[0].join("alice/report.html").exists());
}

/// Disks fill in the night: each run says so and is a failed one, and the next one comes.
#[test]
fn a_monitor_on_a_full_disk_tells_it_with_each_run_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "short.yaml", SHORT);
    let out = folder.path().join("out").display().to_string();
    let arguments =
        ["--json", "monitor", "--listen", "127.0.0.1:0", "--every", "50ms", &file, "--report", &out];
    let (mut running, mut lines) = Running::of(limited(&arguments));
    assert_eq!(lines.next().unwrap()["event"], "monitor-started");
    for _ in 0..2 {
        let line = lines.next().unwrap();
        let told = (&line["event"], &line["verdict"], &line["failure"]["code"]);
        assert_eq!(told, (&"scenario".into(), &"failed".into(), &"report.not-written".into()), "{line}");
    }
    running.signal("-TERM");
    let result = lines.last().unwrap();
    assert_eq!((running.0.wait().unwrap().code(), &result["failure"]), (Some(0), &Value::Null));
    assert_eq!(result["runs"], result["failed"], "{result}");
}

/// As a disk that is full: files may have a kilobyte, the first bytes of a report.
fn on_a_full_disk(arguments: &[&str]) -> Run {
    run(&mut limited(arguments))
}

fn limited(arguments: &[&str]) -> Command {
    let limited = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    let program = command(&[]).get_program().to_owned();
    let mut shell = Command::new("sh");
    shell.args(["-c", limited]).arg(program).args(arguments).stdin(Stdio::null());
    shell.env_remove("XDG_DATA_HOME").env_remove("HOME");
    shell
}

const SHORT: &str =
    "name: Short\nmock:\nsteps: [register, {call: echo, audio: tone}, {wait: established}, hangup]";

#[test]
fn a_full_disk_is_told_and_everything_ends_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "short.yaml", SHORT);
    let name = |name: &str| folder.path().join(name).display().to_string();
    // the report
    let told = on_a_full_disk(&["run", "--json", &file, "--report", &name("out")]);
    assert_eq!(
        (told.status, &told.result()["failure"]["code"]),
        (1, &"report.not-written".into()),
        "{}",
        told.stdout
    );
    assert!(told.events.iter().any(|event| event["event"] == "unregistered" && event["confirmed"] == true));
    assert!(told.stderr.contains("report.not-written"), "{}", told.stderr);
    // the suite, and what stays is none that a build server could take for whole
    for full in ["/dev/full", &name("big.xml")] {
        let told = on_a_full_disk(&["run", "--json", &file, &file, &file, &file, "--junit", full]);
        assert_eq!(
            (told.status, &told.result()["failure"]["code"]),
            (1, &"output.lost".into()),
            "{full}: {}",
            told.stdout
        );
    }
    // the recording
    let recorded = SHORT.replace("audio: tone", &format!("audio: tone, record: {}", name("rec")));
    let recorded = recorded.replace("hangup", "{pause: 1s}, hangup");
    let told = on_a_full_disk(&["run", "--json", &write(folder.path(), "rec.yaml", &recorded)]);
    assert_eq!(
        (told.status, &told.result()["failure"]["code"]),
        (1, &"call.media".into()),
        "{}",
        told.stdout
    );
    assert!(told.events.iter().any(|event| event["event"] == "unregistered" && event["confirmed"] == true));
    // the table
    let told = on_a_full_disk(&["acceptance", "--json", "--only", "V13,V14", "--markdown", "/dev/full"]);
    assert_eq!(
        (told.status, &told.result()["failure"]["code"]),
        (1, &"output.lost".into()),
        "{}",
        told.stdout
    );
    let told = on_a_full_disk(&["acceptance", "--json", "--only", "V14", "--report", &name("plan")]);
    assert_eq!(
        (told.status, &told.result()["failure"]["code"]),
        (1, &"report.not-written".into()),
        "{}",
        told.stdout
    );
}

/// Below a file nothing can be made, whoever runs the test.
#[test]
fn a_folder_that_cannot_be_written_to_is_found_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "short.yaml", SHORT);
    let under = format!("{file}/out");
    for (arguments, code) in [
        (&["run", &file, "--report", &under][..], "usage.report"),
        (&["run", &file, "--junit", &under], "usage.junit"),
        (&["acceptance", "--only", "V14", "--report", &under], "usage.report"),
        (&["acceptance", "--only", "V14", "--markdown", &under], "usage.markdown"),
        (&["acceptance", "--export", &under], "usage.export"),
        (&["monitor", &file, "--listen", "127.0.0.1:0", "--report", &under], "usage.report"),
    ] {
        let told = z5(&[arguments, &["--json"]].concat());
        assert_eq!((told.status, &told.result()["failure"]["code"]), (2, &code.into()), "{arguments:?}");
        assert_eq!(told.events.len(), 1, "{}", told.stdout);
        assert!(told.stderr.contains(code) && !told.stderr.contains("stopped after"), "{}", told.stderr);
    }
    let recorded = SHORT.replace("audio: tone", &format!("audio: tone, record: {under}"));
    let told = z5(&["run", "--json", &write(folder.path(), "rec.yaml", &recorded)]);
    assert_eq!(
        (told.status, &told.result()["failure"]["code"]),
        (1, &"call.recording".into()),
        "{}",
        told.stdout
    );
}

/// What is lost with standard output is told on standard error, and calls and registrations end as they should.
#[test]
fn output_that_is_lost_is_told_and_everything_ends_cleanly() {
    let world = World::new(&[]);
    let folder = world.folder.path();
    let file = write(folder, "short.yaml", &SHORT.replace("mock:\n", ""));
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let config = world.config();
    let mut command = command(&["--config", &config, "run", &file]);
    let ended = command.stdout(full()).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(told.contains("output.lost"), "{told}");
    let record = world.carrier.recorder().to_text();
    assert!(record.contains("\nBYE ") && record.contains("expires=0"), "{record}");
    for arguments in [&["acceptance", "--only", "V14"][..], &["monitor", "--listen", "127.0.0.1:0", &file]] {
        let mut command = common::command(&[&["--config", &config][..], arguments].concat());
        let ended = command.stdout(full()).output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&ended.stderr).contains("output.lost"), "{arguments:?}");
    }
}

/// A terminal that goes away sends SIGHUP.
#[test]
fn a_terminal_that_goes_away_ends_the_run_politely() {
    let world = World::new(&[]);
    let file = write(world.folder.path(), "long.yaml", &LONG.replace("mock:\n", ""));
    let config = world.config();
    let (mut running, mut lines) = Running::start(&["--config", &config, "run", "--json", &file]);
    assert!(lines.any(|line| is_step(&line, "wait")));
    running.signal("-HUP");
    let result = lines.last().unwrap();
    assert_eq!(
        (running.0.wait().unwrap().code(), &result["failure"]["code"]),
        (Some(1), &"run.interrupted".into())
    );
    let record = world.carrier.recorder().to_text();
    assert!(record.contains("\nBYE ") && record.contains("expires=0"), "{record}");
}
