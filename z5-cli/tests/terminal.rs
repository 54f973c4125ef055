//! The live view in a terminal of its own (`script` of util-linux): at a signal the call ends politely and the terminal is as it was.
//! Keys, sizes and a terminal that goes away are tried in tests/interop/terminal.py.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod common;

use std::io::Read;
use std::process::{Command, Stdio};

use common::World;

/// What a terminal is told when the second screen is taken, and when it is given back.
const TAKEN: &str = "\u{1b}[?1049h";
const GIVEN: &str = "\u{1b}[?1049l";

#[test]
fn a_signal_gives_the_terminal_back() {
    let world = World::new(&[]);
    let z5 =
        format!("exec '{}' --config '{}' call echo --duration 30s", env!("CARGO_BIN_EXE_z5"), world.config());
    // the inner shell becomes z5 and keeps its number
    let session = format!(
        "stty rows 24 cols 80; stty -a; sh -c 'echo pid=$$=; {}'; echo status=$?=; stty -a",
        z5.replace('\'', "\"")
    );
    let mut script = Command::new("script")
        .args(["-q", "-e", "-c", &session, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut from = script.stdout.take().unwrap();
    // words that are drawn whole, once media flows
    let (mut shown, mut signalled, mut bytes) = (String::new(), false, [0; 4096]);
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        shown += &String::from_utf8_lossy(&bytes[..count]);
        if !signalled && shown.contains("kbit/s") {
            let pid = shown.split("pid=").nth(1).and_then(|rest| rest.split('=').next()).unwrap();
            assert!(Command::new("kill").args(["-TERM", pid]).status().unwrap().success());
            signalled = true;
        }
    }
    script.wait().unwrap();
    assert!(signalled, "{shown}");
    let at = |what: &str| shown.find(what).unwrap_or_else(|| panic!("{what} is not in {shown}"));
    assert!(at(TAKEN) < at(GIVEN) && at(GIVEN) < at("PASS"), "{shown}");
    assert!(shown.contains("unregistered") && shown.contains("status=0="), "{shown}");
    assert_eq!(shown.matches(" icanon").count(), 2, "lines before and after: {shown}");
    assert!(!shown.contains(" -echo "), "{shown}");
}
