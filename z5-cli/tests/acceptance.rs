//! `z5 acceptance`: the table, filled in against mock carriers.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod common;

use common::{World, z5};

/// Times and rates depend on the machine that runs the tests; what they are is measured, how good they are is not judged here.
const PATIENT: &[&str] = &[
    "register=1m",
    "ring=1m",
    "fps=2",
    "freezes=99",
    "first=1m",
    "loss=90%",
    "tone=0.1",
    "latency=1m",
    "heard=2000",
    "moved=50",
    "dropped=99",
    "level=-40..0",
    "unmuted=200",
];

#[test]
fn the_table_is_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.md");
    let mut arguments = vec!["acceptance", "--json", "--jobs", "16", "--markdown", table.to_str().unwrap()];
    PATIENT.iter().for_each(|set| arguments.extend(["--set", set]));
    let run = z5(&arguments);
    let verdicts: Vec<(&str, &str)> = run
        .events
        .iter()
        .filter(|event| event["event"] == "point")
        .map(|row| (row["id"].as_str().unwrap(), row["verdict"].as_str().unwrap()))
        .collect();
    assert_eq!(verdicts.len(), 17);
    assert!(verdicts.iter().all(|(_, verdict)| *verdict == "pass"), "{verdicts:?}\n{}", run.stdout);
    for row in run.events.iter().filter(|event| event["event"] == "point") {
        let judged = row["verdict"] != "not-judged";
        assert_eq!(!row["measured"].as_array().unwrap().is_empty(), judged, "{row}");
        assert!(judged || !row["open"].as_str().unwrap().is_empty(), "{row}");
    }
    assert!(run.stdout.contains("seen by the carrier") && run.stdout.contains("(as configured), seen by z5"));
    assert_eq!(run.status, 0, "{}", run.stdout);
    assert_eq!(run.result()["summary"], serde_json::json!({"pass": 17, "fail": 0, "not-judged": 0}));
    let table = std::fs::read_to_string(table).unwrap();
    assert_eq!(table.lines().filter(|line| line.starts_with("| V")).count(), 17, "{table}");
    assert!(
        table.contains("| V9 | Keys 0-9, *, # as telephone events | pass | digits \"0123456789*#\" |"),
        "{table}"
    );
}

#[test]
fn some_points_are_chosen_and_what_is_no_point_is_told() {
    let run = z5(&["acceptance", "--only", "v9,V12"]);
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    for word in ["ok     V9", "ok     V12", "left to people: long presses", "PASS  2 of 2 points pass"] {
        assert!(run.stdout.contains(word), "{word} is not in\n{}", run.stdout);
    }
    let run = z5(&["acceptance", "--only", "V18", "--json"]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"usage.only".into()));
    let run = z5(&["acceptance", "--set", "tallk=2m", "--json"]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"usage.set".into()));
    assert!(run.stderr.contains("did you mean `talk`?"), "{}", run.stderr);
    // somebody whom no point knows is not left out without a word
    let run = z5(&["acceptance", "--party", "alcie=x.toml", "--json"]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"usage.party".into()));
    assert!(run.stderr.contains("did you mean `alice`?"), "{}", run.stderr);
}

/// Against a carrier of somebody else's: points for which it has to be told what leads where there are left open without it.
#[test]
fn points_that_have_to_be_told_something_are_not_judged_elsewhere_without_it() {
    let world = World::new(&[]);
    let [alice, bob] = ["alice", "bob"].map(|name| format!("{name}={}", world.config_of(name).display()));
    let run = z5(&["acceptance", "--json", "--only", "V9,V12,V17", "--party", &alice, "--party", &bob]);
    let rows: Vec<_> = run.events.iter().filter(|event| event["event"] == "point").collect();
    // three devices of one account have its configuration
    let verdicts: Vec<_> = rows.iter().map(|row| &row["verdict"]).collect();
    assert_eq!(verdicts, ["pass", "pass", "not-judged"], "{}", run.stdout);
    let why = rows[2]["open"].as_str().unwrap();
    assert!(run.status == 0 && why.starts_with("needs --set emergency=NUMBER: 911, only where "), "{why}");
}

/// Where nobody tells what the carrier got, z5 judges by what it saw at its own end of the wire, and says so.
#[test]
fn what_crossed_the_wire_is_judged_by_our_own_end_elsewhere() {
    let world = World::over_tls();
    let [alice, bob] = ["alice", "bob"].map(|name| format!("{name}={}", world.config_of(name).display()));
    let mut arguments = vec!["acceptance", "--json", "--only", "V2,V3,V15,V16,V17"];
    arguments.extend(["--party", &alice, "--party", &bob]);
    for set in
        ["address=https://location.example/7", "contact=Bob", "provider=other.example", "emergency=911"]
    {
        arguments.extend(["--set", set]);
    }
    let run = z5(&arguments);
    let rows: Vec<_> = run.events.iter().filter(|event| event["event"] == "point").collect();
    let verdicts: Vec<_> = rows.iter().map(|row| &row["verdict"]).collect();
    assert_eq!(verdicts, ["pass"; 5], "{}", run.stdout);
    let measured =
        |row: usize| rows[row]["measured"].as_array().unwrap().iter().map(|one| one.as_str().unwrap());
    for row in [0, 1, 3, 4] {
        assert!(measured(row).any(|one| one.ends_with(", seen by z5")), "{}", rows[row]);
        assert!(!measured(row).any(|one| one.contains("seen by the carrier")), "{}", rows[row]);
    }
    // with the name and whose certificate it was
    let tls = measured(0).next().unwrap();
    assert!(
        tls.contains("[TLS 1.3, TLS13_AES_256_GCM_SHA384, ") && tls.contains("signed by z5 mock carrier CA"),
        "{tls}"
    );
    assert!(!run.stdout.contains("location.example"), "where somebody is stands in no result");
}

/// One account of a real carrier cannot call itself: points for two are left open and say what they need.
#[test]
fn points_that_need_another_account_are_not_judged_with_one() {
    let world = World::new(&[]);
    let config = world.config();
    let run = z5(&["acceptance", "--json", "--config", &config, "--only", "V4,V6,V9", "--set", "talk=1s"]);
    let verdicts: Vec<_> =
        run.events.iter().filter(|event| event["event"] == "point").map(|row| &row["verdict"]).collect();
    assert_eq!(run.status, 0, "{}", run.stdout);
    assert_eq!(verdicts, ["not-judged", "pass", "not-judged"], "{}", run.stdout);
    assert_eq!(run.event("point")["open"], "needs another account: --party bob=FILE");
    // the same file twice is one account
    let (alice, bob) = (format!("alice={config}"), format!("bob={config}"));
    let run = z5(&["acceptance", "--json", "--party", &alice, "--party", &bob, "--only", "V4"]);
    assert_eq!(
        (run.status, &run.event("point")["verdict"]),
        (1, &"not-judged".into()),
        "none is judged: no pass"
    );
}

/// A report of each party of each point; what the wire lacks is told as what was looked for.
#[test]
fn each_point_has_its_reports() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let run = z5(&["acceptance", "--only", "V13,V16", "--report", out.to_str().unwrap()]);
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    for party in ["V13/alice", "V13/bob", "V16/alice"] {
        let capsule = std::fs::read_to_string(out.join(party).join("capsule.json")).unwrap();
        let capsule: serde_json::Value = serde_json::from_str(&capsule).unwrap();
        assert_eq!(capsule["result"]["verdict"], "ok", "{party}");
        assert!(out.join(party).join("report.html").exists());
    }
    // one INVITE or two: a SUBSCRIBE that was challenged before may have left its proxy's nonce
    assert!(run.stdout.contains("INVITE From: lacks \"other.example\": not there, in "), "{}", run.stdout);
    assert!(!run.stdout.contains("in none of"), "{}", run.stdout);
}

#[test]
fn the_scenarios_are_written_out_and_can_be_run() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("plan");
    let run = z5(&["acceptance", "--export", to.to_str().unwrap()]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let mut files: Vec<String> =
        std::fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().path().display().to_string()).collect();
    files.sort();
    assert_eq!(files.len(), 17);
    let mut arguments = vec!["run", "--check", "--json"];
    arguments.extend(files.iter().map(String::as_str));
    assert_eq!(z5(&arguments).status, 0);
    let again = z5(&["acceptance", "--json", "--export", to.to_str().unwrap()]);
    assert_eq!((again.status, &again.result()["failure"]["code"]), (2, &"usage.export".into()));
}
