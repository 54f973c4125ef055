//! `z5 history`, and what else survives from one run of the program to the next.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use common::{Run, World, command, run};

fn kept(world: &World, data: &Path, arguments: &[&str]) -> Run {
    let config = world.config();
    let mut all = vec!["--config", &config];
    all.extend(arguments);
    run(command(&all).env("XDG_DATA_HOME", data))
}

#[test]
fn calls_are_in_the_history_until_it_is_cleared() {
    let world = World::new(&[]);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let empty = kept(&world, data, &["history"]);
    assert_eq!((empty.status, empty.stdout.as_str()), (0, "no calls\n"), "{}", empty.stderr);
    assert_eq!(kept(&world, data, &["call", "echo", "--duration", "300ms", "--json"]).status, 0);
    assert_eq!(kept(&world, data, &["call", "+15555550901", "--json"]).status, 15);
    let history = kept(&world, data, &["history", "--json"]);
    let calls = history.result()["calls"].as_array().unwrap();
    let shown: Vec<(&str, &str, &str, bool)> = calls
        .iter()
        .map(|call| {
            let text = |name: &str| call[name].as_str().unwrap_or_default();
            (text("direction"), text("remote"), text("outcome"), call["duration_ms"].as_u64() >= Some(300))
        })
        .collect();
    assert_eq!(
        shown,
        [("outgoing", "echo", "answered", true), ("outgoing", "+15555550901", "call.busy", false)]
    );
    let last = kept(&world, data, &["history", "--last", "1"]);
    assert!(last.stdout.contains("+15555550901") && last.stdout.lines().count() == 1, "{}", last.stdout);

    // While a session runs, its calls can be read; forgetting them is for later.
    let config = world.config();
    let mut waiting = command(&["--config", &config, "--json", "answer", "--wait", "60s"])
        .env("XDG_DATA_HOME", data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(waiting.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.take_while(|line| !line.contains("\"event\":\"ready\"")).count() > 0);
    assert_eq!(kept(&world, data, &["history"]).stdout.lines().count(), 2);
    let refused = kept(&world, data, &["history", "--json", "clear"]);
    assert_eq!((refused.status, &refused.result()["failure"]["code"]), (2, &"store.in-use".into()));
    let beside = kept(&world, data, &["register", "--json"]);
    assert_eq!(beside.status, 0, "{}", beside.stderr);
    assert_eq!(beside.event("store-trouble")["error"]["code"], "store.in-use");
    waiting.kill().unwrap();
    waiting.wait().unwrap();

    let cleared = kept(&world, data, &["history", "clear"]);
    assert_eq!((cleared.status, cleared.stdout.as_str()), (0, "2 calls forgotten\n"), "{}", cleared.stderr);
    assert_eq!(kept(&world, data, &["history"]).stdout, "no calls\n");
}

#[test]
fn nothing_is_kept_where_nothing_is_to_be() {
    let world = World::new(&[]);
    let text = std::fs::read_to_string(world.config()).unwrap();
    std::fs::write(world.config(), format!("store = \"none\"\n{text}")).unwrap();
    let data = tempfile::tempdir().unwrap();
    assert_eq!(kept(&world, data.path(), &["call", "echo", "--duration", "300ms", "--json"]).status, 0);
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
    let history = kept(&world, data.path(), &["history", "--json"]);
    assert_eq!((history.status, &history.result()["failure"]["code"]), (2, &"usage.no-store".into()));
}

/// The instance that the registrar sees (RFC 5626), run by run.
#[test]
fn the_registrar_sees_the_same_instance_in_every_run_and_another_for_another_store() {
    let world = World::new(&[]);
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for data in [&one, &one, &other] {
        assert_eq!(kept(&world, data.path(), &["register", "--json"]).status, 0);
    }
    let recorded = world.carrier.recorder().to_text();
    let mut seen: Vec<&str> =
        recorded.split("instanceId=").skip(1).filter_map(|rest| rest.get(..36)).collect();
    assert!(seen.len() >= 3, "{recorded}");
    seen.dedup();
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn a_damaged_store_is_told_and_nothing_in_it_is_lost() {
    let world = World::new(&[]);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(kept(&world, folder.path(), &["call", "+15555550901", "--json"]).status, 15);
    let store = folder.path().join("z5").read_dir().unwrap().next().unwrap().unwrap().path();
    let history = store.join("history.z5");
    std::fs::write(&history, "z5-store 1 history\nnot what was written, but long enough to be one").unwrap();
    let seen = kept(&world, folder.path(), &["history", "--json"]);
    assert_eq!((seen.status, &seen.result()["failure"]["code"]), (2, &"store.corrupt".into()));
    assert!(history.exists(), "looking changes nothing");
    let next = kept(&world, folder.path(), &["register", "--json"]);
    assert_eq!(next.status, 0);
    let told = next.event("store-trouble")["error"]["message"].as_str().unwrap();
    assert!(told.contains("history.z5.corrupt-1"), "{told}");
    assert!(store.join("history.z5.corrupt-1").exists() && !history.exists());
}
