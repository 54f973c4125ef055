//! docs/schema/line.json against what the program really prints, line by line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a schema that cannot be read is a failed test")]

mod common;

use common::{Run, World, command, run, z5};
use serde_json::{Value, json};
use z5_mock::{Fault, Service};

/// The published schema.
struct Schema {
    schemas: boon::Schemas,
    line: boon::SchemaIndex,
}

impl Schema {
    fn new() -> Self {
        let text: Value = serde_json::from_str(include_str!("../../docs/schema/line.json")).unwrap();
        let mut schemas = boon::Schemas::new();
        let mut compiler = boon::Compiler::new();
        compiler.set_default_draft(boon::Draft::V2020_12);
        compiler.add_resource("urn:z5:schema:line", text).unwrap();
        let line = compiler.compile("urn:z5:schema:line", &mut schemas).unwrap();
        Self { schemas, line }
    }

    fn is_valid(&self, line: &Value) -> Result<(), String> {
        self.schemas.validate(line, self.line).map_err(|error| format!("{error:#}"))
    }

    /// Every line of a run, which ends with a result.
    fn holds(&self, run: &Run) {
        assert_eq!(run.events.len(), run.stdout.lines().count(), "not JSON: {}", run.stdout);
        assert_eq!(run.result()["event"], "result");
        for line in &run.events {
            self.is_valid(line).unwrap_or_else(|why| panic!("{line}\n{why}"));
        }
    }
}

#[test]
fn what_is_printed_is_what_the_schema_says() {
    let schema = Schema::new();
    let world = World::new(&[]);
    for arguments in [
        &["call", "echo", "--audio", "tone", "--text", "HELLO", "--duration", "1200ms"][..],
        &["call", "+15555550901"],
        &["register"],
        &["message", "+15555550999", "hello"],
        &["numbers"],
        &["licence"],
        &["contacts", "sync"],
        &["check", "--patience", "700ms"],
        &["firewall"],
        &["config", "check"],
        &["config", "show"],
        &["call", "echo", "--audio", "no-such.wav"],
    ] {
        schema.holds(&world.z5(arguments));
    }
    let (config, data) = (world.config(), tempfile::tempdir().unwrap());
    for arguments in [&["call", "+15555550901"][..], &["history"], &["history", "clear"]] {
        let all = [&["--config", &config, "--json"], arguments].concat();
        schema.holds(&run(command(&all).env("XDG_DATA_HOME", data.path())));
    }
    for arguments in [
        &["history", "--json"][..],
        &["firewall", "--json"],
        &["firewall", "--json", "--config", "no-such.toml"],
        &["capabilities", "--json"],
        &["config", "init", "--json"],
        &["check", "--json"],
        &["numbers", "--json"],
        &["register", "--json"],
    ] {
        schema.holds(&z5(arguments));
    }
}

#[test]
fn scenarios_are_what_the_schema_says() {
    let schema = Schema::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.yaml");
    let name = file.to_str().unwrap();
    for text in [
        "mock:\nsteps: [register, {call: echo, audio: tone}, {wait: established}, hangup, {expect: audio.level>0}]",
        "mock: {faults: [licence.expired]}\nsteps: [register]",
        "steps: [regster]",
    ] {
        std::fs::write(&file, text).unwrap();
        schema.holds(&z5(&["run", "--json", name]));
    }
    schema.holds(&z5(&["acceptance", "--json", "--only", "V3,V12,V14"]));
}

#[test]
fn failures_of_each_kind_are_what_the_schema_says() {
    let schema = Schema::new();
    for fault in
        [Fault::NameNotFound, Fault::AccountSuspended, Fault::LicenceMissing, Fault::RegisterForbidden]
    {
        let world = World::new(&[fault]);
        schema.holds(&world.z5(&["register"]));
        schema.holds(&world.z5(&["numbers"]));
        schema.holds(&world.z5(&["licence"]));
    }
    let world = World::new(&[Fault::Refuse(Service::Sip)]);
    schema.holds(&world.z5(&["check", "--patience", "700ms"]));
}

/// The schema refuses what is not so.
#[test]
fn what_is_wrong_is_found() {
    let schema = Schema::new();
    let failure = json!({"step": null, "code": "check.failed", "message": "x", "advice": "check-network"});
    let good = json!({
        "event": "result", "command": "check", "verdict": "failed", "exit_code": 1, "failure": failure,
        "summary": {"refused": 1}, "failed": [], "clock_offset_s": null, "clock_is_right": null
    });
    schema.is_valid(&good).unwrap();
    for (member, wrong) in [
        ("exit_code", json!(3)),
        ("exit_code", json!(0)),
        ("verdict", json!("fine")),
        ("summary", json!({"lost": 1})),
        ("failed", json!([{"step": 9}])),
        ("failure", json!({"code": "check.failed"})),
        ("clock_offset_s", json!("0")),
        ("command", json!("chekc")),
    ] {
        let mut bad = good.clone();
        bad[member] = wrong;
        assert!(schema.is_valid(&bad).is_err(), "{bad}");
    }
    assert!(schema.is_valid(&json!({"event": "state"})).is_err(), "events count");
    assert!(schema.is_valid(&json!({"event": "result", "command": "call"})).is_err());
}
