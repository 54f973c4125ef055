//! What nobody means and somebody does: names that are no text, output that nobody takes, signals to what waits. Nothing of it ends in
//! a panic, and nothing that was lost passes.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod common;

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use common::{World, command, run};
use serde_json::Value;
use z5_mock::{Fault, Service};

/// A name of a file that is no UTF-8.
fn no_text(before: &[u8]) -> OsString {
    OsStr::from_bytes(&[before, b"a\xff\xfeb"].concat()).to_owned()
}

#[test]
fn names_that_are_no_text_are_taken_and_told() {
    let world = World::new(&[]);
    let at = |before: &str| {
        let mut place = world.folder.path().as_os_str().to_owned();
        place.push("/");
        place.push(no_text(before.as_bytes()));
        place
    };
    let config = world.config();
    let mut call = command(&["--config", &config, "--json", "call", "echo", "--duration", "300ms"]);
    call.arg("--record").arg(at("rec-")).arg("--report").arg(at("rep-")).arg("--capture").arg(at("cap-"));
    let call = run(&mut call);
    assert_eq!(call.status, 0, "{}{}", call.stdout, call.stderr);
    for (member, end) in
        [("/call/recording", "heard.wav"), ("/report/page", "report.html"), ("/capture/file", "b")]
    {
        let shown = call.result().pointer(member).and_then(Value::as_str).unwrap();
        assert!(shown.contains('\u{fffd}') && shown.ends_with(end), "{shown}");
    }
    // the capsule, which has the command line in it, is read again
    assert_eq!(run(command(&["report", "--overwrite"]).arg(at("rep-"))).status, 0);
    for arguments in [&["call"][..], &["message", "echo"], &["call", "echo", "--text"], &["--config"]] {
        let run = run(command(arguments).arg(no_text(b"")));
        assert_eq!(run.status, 2, "{arguments:?}: {}", run.stderr);
    }
}

/// `/dev/full` takes no byte, as a disk without room.
#[test]
fn an_answer_that_nobody_gets_is_no_success() {
    for arguments in [
        &["--help"][..],
        &["call", "--help"],
        &["man"],
        &["completions", "bash"],
        &["capabilities"],
        &["capabilities", "--json"],
        &["firewall"],
        &["config", "init"],
        &["run", "--schema"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = command(arguments).stdout(full).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn the_mock_carrier_ends_politely_at_every_signal() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let mut mock = command(&["mock"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(mock.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.starts_with("mock carrier")));
        let pid = mock.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert_eq!(lines.last().as_deref(), Some("stopped"));
        assert_eq!(mock.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_network_that_lets_nothing_through_is_told_with_the_command_that_looks_into_it() {
    let world = World::new(&[Fault::Refuse(Service::Zdial)]);
    let refused = world.z5(&["register"]);
    let next = format!("z5 --config {} check tells what is blocked", world.config());
    assert!(refused.stderr.contains(&next), "{}", refused.stderr);
}

#[test]
fn the_system_is_heard_in_words() {
    let run = run(&mut command(&["--config", "no-such.toml", "register"]));
    assert!(
        run.stderr.contains("there is no such file") && !run.stderr.contains("os error"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("FAIL  nothing was sent"), "{}", run.stdout);
}
