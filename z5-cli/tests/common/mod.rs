//! A mock carrier with a configuration for it, and runs of the program.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up its world has failed")]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use z5_mock::{Builder, Carrier, Fault};

/// What one run of the program printed.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    pub events: Vec<Value>,
}

impl Run {
    /// The result object: the last line.
    pub fn result(&self) -> &Value {
        let last = self.events.last().unwrap_or_else(|| panic!("no output; {}", self.stderr));
        assert_eq!(last["event"], "result", "the last line is the result");
        last
    }

    /// The first event of that name.
    pub fn event(&self, name: &str) -> &Value {
        let found = self.events.iter().find(|event| event["event"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {}", self.stdout))
    }
}

/// Runs the program to its end.
pub fn z5(arguments: &[&str]) -> Run {
    run(&mut command(arguments))
}

/// Runs what the test has prepared to its end.
pub fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let events = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Run {
        status: output.status.code().unwrap_or(-1),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        events,
        stdout,
    }
}

/// The program with these arguments, no terminal, and nothing kept from one run to the next unless the test says where.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_z5"));
    command.args(arguments).stdin(Stdio::null()).env_remove("Z5_LOG").env_remove("Z5_SEED");
    command.env_remove("XDG_DATA_HOME").env_remove("HOME").env_remove("LOCALAPPDATA");
    command
}

/// A running mock carrier and a configuration file for one of its accounts.
#[derive(Debug)]
pub struct World {
    pub folder: TempDir,
    pub carrier: Carrier,
    config: PathBuf,
    // last: the carrier's tasks need it until the carrier is gone
    runtime: tokio::runtime::Runtime,
}

impl World {
    /// For alice, with these faults.
    pub fn new(faults: &[Fault]) -> Self {
        Self::of("alice", faults)
    }

    /// For any account.
    pub fn of(account: &str, faults: &[Fault]) -> Self {
        Self::with(account, faults.iter().fold(Carrier::builder(), |builder, fault| builder.fault(*fault)))
    }

    /// For alice, whose SIP runs over TLS.
    pub fn over_tls() -> Self {
        Self::with("alice", Carrier::builder().proxies_over_tls())
    }

    /// For any account of a carrier that the test builds.
    pub fn with(account: &str, builder: Builder) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let carrier = runtime.block_on(builder.start()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = carrier.client_config(account).unwrap().write_to(folder.path()).unwrap();
        Self { folder, carrier, config, runtime }
    }

    /// The configuration file, for runs that the test watches.
    pub fn config(&self) -> String {
        self.config.to_str().unwrap().to_owned()
    }

    /// Another account's configuration file.
    pub fn config_of(&self, account: &str) -> PathBuf {
        let folder = self.folder.path().join(account);
        std::fs::create_dir_all(&folder).unwrap();
        self.carrier.client_config(account).unwrap().write_to(&folder).unwrap()
    }

    /// Replaces text of the configuration; it must be there.
    pub fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(&self.config, text.replace(from, to)).unwrap();
    }

    /// Appends to the configuration.
    pub fn append(&self, more: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        std::fs::write(&self.config, text + more).unwrap();
    }

    /// From now on the carrier says nothing, on connections that stand too, until what this gives is dropped.
    pub fn freeze(&self) -> std::sync::mpsc::Sender<()> {
        let (thaw, wait) = std::sync::mpsc::channel();
        let (begun, is_frozen) = std::sync::mpsc::channel();
        // the carrier has one thread, and it waits here
        self.runtime.spawn(async move {
            begun.send(()).unwrap();
            let _ = wait.recv();
        });
        is_frozen.recv().unwrap();
        thaw
    }

    /// Runs the program with the configuration and `--json`.
    pub fn z5(&self, arguments: &[&str]) -> Run {
        let mut all = vec!["--config", self.config.to_str().unwrap(), "--json"];
        all.extend(arguments);
        z5(&all)
    }
}
