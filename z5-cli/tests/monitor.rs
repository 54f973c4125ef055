//! `z5 monitor`: rounds, a real scrape, and a clean end at a signal.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use common::{World, command, z5};
use serde_json::Value;

/// A running monitor and the lines it prints.
struct Monitor {
    child: Child,
    lines: Box<dyn Iterator<Item = Value>>,
    listen: String,
}

impl Monitor {
    fn start(arguments: &[&str]) -> Self {
        let mut all = vec!["monitor", "--json", "--listen", "127.0.0.1:0"];
        all.extend(arguments);
        let mut child = command(&all).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = Box::new(lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()));
        let started = lines.next().unwrap();
        assert_eq!(started["event"], "monitor-started");
        let listen = started["listen"].as_str().unwrap().to_owned();
        Self { child, lines, listen }
    }

    fn request(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.listen).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Ends it by a signal; its status and result.
    fn stop(mut self, signal: &str) -> (Option<i32>, Value) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let last = self.lines.by_ref().last().unwrap();
        (self.child.wait().unwrap().code(), last)
    }
}

/// A test that fails leaves no monitor behind.
impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn rounds_are_counted_and_scraped() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let good =
        write("good.yaml", "name: good\nmock:\nsteps: [register, {call: echo}, {wait: established}, hangup]");
    let bad = write("bad.yaml", "name: bad\nmock: {faults: [licence.expired]}\nsteps: [register]");
    let mut monitor = Monitor::start(&["--every", "100ms", &good, &bad]);
    let first: Vec<Value> = monitor.lines.by_ref().take(3).collect();
    let told: Vec<(&str, &str)> = first
        .iter()
        .map(|line| (line["scenario"].as_str().unwrap(), line["verdict"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("good", "ok"), ("bad", "failed"), ("good", "ok")]);
    let scraped = monitor.request("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = scraped.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    let value = |metric: &str| -> f64 {
        let line = body
            .lines()
            .find_map(|line| line.strip_prefix(metric))
            .unwrap_or_else(|| panic!("{metric}\n{body}"));
        line.trim().parse().unwrap()
    };
    assert!(value("z5_scenario_runs_total{scenario=\"good\",verdict=\"ok\"}") >= 1.0);
    assert!(value("z5_scenario_failures_total{scenario=\"bad\",code=\"provision.licence-expired\"}") >= 1.0);
    assert_eq!(value("z5_scenario_last_ok{scenario=\"bad\"}"), 0.0);
    assert!(value("z5_step_seconds{scenario=\"good\",party=\"alice\",step=\"call_setup\"}") > 0.0);
    // figures may have any digits; words stand in the labels
    let labels: Vec<&str> = body.split('"').skip(1).step_by(2).collect();
    for personal in ["1555", "sip:", "secret", "127.0.0.1"] {
        assert!(!labels.iter().any(|label| label.contains(personal)), "{personal} is in\n{body}");
    }
    assert!(monitor.request("GET /other HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(monitor.request("POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    assert!(monitor.request("HEAD /metrics HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
    let (status, result) = monitor.stop("-TERM");
    assert_eq!((status, &result["command"], &result["verdict"]), (Some(0), &"monitor".into(), &"ok".into()));
    assert!(result["runs"].as_u64().unwrap() >= 3 && result["failed"].as_u64().unwrap() >= 1, "{result}");
}

/// Who looks at the metrics while a run goes on longer than its round sees that rounds are let out.
#[test]
fn rounds_that_are_let_out_are_counted_while_a_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("long.yaml"), folder.path().join("out"));
    std::fs::write(&file, "name: long\nmock:\nsteps: [{pause: 1h}]\ntimeout: 2h\n").unwrap();
    let monitor =
        Monitor::start(&["--every", "100ms", file.to_str().unwrap(), "--report", out.to_str().unwrap()]);
    let skipped = || {
        let body = monitor.request("GET /metrics HTTP/1.1\r\n\r\n");
        let mut lines = body.lines();
        let line =
            lines.find_map(|line| line.strip_prefix("z5_monitor_rounds_skipped_total ").map(str::to_owned));
        line.unwrap().parse::<u64>().unwrap()
    };
    while skipped() < 3 {
        std::thread::yield_now();
    }
    let (status, result) = monitor.stop("-INT");
    assert_eq!((status, &result["runs"]), (Some(0), &0.into()), "{result}");
}

/// The newest reports are kept, those of runs that failed before others.
#[test]
fn so_many_reports_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("a.yaml"), folder.path().join("out"));
    std::fs::write(&file, "name: One, two\nmock:\nsteps: [register]").unwrap();
    let mut monitor = Monitor::start(&[
        "--every",
        "50ms",
        file.to_str().unwrap(),
        "--report",
        out.to_str().unwrap(),
        "--keep",
        "2",
    ]);
    for _ in 0..5 {
        monitor.lines.next().unwrap();
    }
    monitor.stop("-TERM");
    let runs: Vec<_> =
        std::fs::read_dir(out.join("One-two")).unwrap().map(|run| run.unwrap().path()).collect();
    assert_eq!(runs.len(), 2, "{runs:?}");
    for run in runs {
        assert!(run.join("alice/capsule.json").exists() && run.join("alice/report.html").exists(), "{run:?}");
    }
}

/// A signal in the middle of a run: the call and the registration end politely, and the run has no verdict.
#[test]
fn a_signal_ends_the_running_scenario_politely() {
    let world = World::new(&[]);
    let file = world.folder.path().join("long.yaml");
    std::fs::write(&file, "steps: [register, {call: echo}, {wait: established}, {pause: 1h}]\ntimeout: 2h\n")
        .unwrap();
    let monitor = Monitor::start(&["--config", &world.config(), file.to_str().unwrap()]);
    let record = world.carrier.recorder().clone();
    // the ACK is the last message before the pause
    let patience = z5_core::clock::now() + std::time::Duration::from_secs(60);
    while !record.to_text().contains("\nACK ") {
        assert!(z5_core::clock::now() < patience, "no call: {}", record.to_text());
        std::thread::yield_now();
    }
    let (status, result) = monitor.stop("-INT");
    assert_eq!((status, &result["runs"]), (Some(0), &0.into()), "{result}");
    let record = record.to_text();
    assert!(record.contains("\nBYE ") && record.contains("expires=0"), "{record}");
}

#[test]
fn what_cannot_be_monitored_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, "mock:\nsteps: [regster]").unwrap();
    let name = file.to_str().unwrap();
    let run = z5(&["monitor", "--json", name]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"scenario.invalid".into()));
    std::fs::write(&file, "mock:\nsteps: [register]").unwrap();
    let run = z5(&["monitor", "--json", name, name]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"scenario.invalid".into()));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let run = z5(&["monitor", "--json", "--listen", &listen, name]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"usage.listen".into()));
}
