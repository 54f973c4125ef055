//! Files that a command writes at its end: nothing of somebody else's is lost, and nothing is left of a run that did not end.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod common;

use std::path::Path;

use common::{Run, z5};

/// A scenario that sends nothing and is over at once.
const NOTHING: &str = "parties: []\nmock:\nsteps:\n  - pause: 1ms\n";

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a command does with a file of its own, of somebody else's, and with a place that is none.
fn judge(run: impl Fn(&Path, &[&str]) -> Run, code: &str, begin: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result");
    for _ in 0..2 {
        let run = run(&file, &[]);
        assert_eq!(run.status, 0, "its own file is replaced: {}{}", run.stdout, run.stderr);
    }
    let own = std::fs::read_to_string(&file).unwrap();
    assert!(own.starts_with(begin), "{own}");

    std::fs::write(&file, "years of work").unwrap();
    let refused = run(&file, &[]);
    assert_eq!((refused.status, &refused.result()["failure"]["code"]), (2, &code.into()));
    assert!(refused.stderr.contains("--overwrite"), "{}", refused.stderr);
    assert_eq!(refused.events.len(), 1, "nothing was run: {}", refused.stdout);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "years of work");
    assert_eq!(run(&file, &["--overwrite"]).status, 0);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with(begin));

    for (place, word) in
        [("none/result", "there is no folder"), ("result/result", "is no folder"), ("", "is a folder")]
    {
        let refused = run(&folder.path().join(place), &["--overwrite"]);
        assert_eq!((refused.status, &refused.result()["failure"]["code"]), (2, &code.into()), "{place}");
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
    }
    assert_eq!(names(folder.path()), ["result"]);
}

#[test]
fn a_junit_file_replaces_its_own_kind_alone() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("a.yaml");
    std::fs::write(&scenario, NOTHING).unwrap();
    let run = |file: &Path, more: &[&str]| {
        let mut all = vec!["run", scenario.to_str().unwrap(), "--json", "--junit", file.to_str().unwrap()];
        all.extend(more);
        z5(&all)
    };
    judge(run, "usage.junit", "<?xml");
}

#[test]
fn a_table_replaces_its_own_kind_alone() {
    let run = |file: &Path, more: &[&str]| {
        let mut all = vec!["acceptance", "--json", "--only", "V14", "--markdown", file.to_str().unwrap()];
        all.extend(more);
        z5(&all)
    };
    judge(run, "usage.markdown", "# Acceptance of z5");
}

/// `/dev/full` takes no byte, as a disk without room: what was judged is told, and that it was not written.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_at_the_end_fails_the_run() {
    let run = z5(&["acceptance", "--json", "--only", "V14", "--markdown", "/dev/full"]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (1, &"output.lost".into()), "{}", run.stdout);
    assert!(run.stderr.contains("the disk is full"), "{}", run.stderr);
    assert_eq!(run.event("point")["verdict"], "pass");
}
