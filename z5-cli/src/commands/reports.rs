//! Reports of scenarios: a folder for each party, begun before anything is sent, and the shelf of a monitor, which keeps so many runs.
//!
//! A shelf takes away only what a report is made of; a folder that somebody has put something else into stays.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use z5_core::Failure;

use super::recorder;
use crate::capsule::Capsule;
use crate::failure::usage;
use crate::scenario::Scenario;

/// Begins a report of each party, in FOLDER/PARTY. Without a folder there is none.
pub(super) fn record(
    scenario: &mut Scenario,
    folder: Option<&Path>,
    show_numbers: bool,
) -> Result<(), Failure> {
    for party in &scenario.parties {
        let folder = folder.map(|folder| folder.join(slug(&party.name)));
        scenario.reports.extend(recorder(folder.as_deref(), show_numbers, None)?);
    }
    Ok(())
}

/// The scenario is not run after all: what was reserved for its reports is free again.
pub(super) fn release(scenario: Scenario) {
    scenario.reports.into_iter().for_each(crate::capsule::Recorder::release);
}

/// A name that every file system takes: words with one dash between them.
pub(super) fn slug(name: &str) -> String {
    let words: Vec<&str> =
        name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "-".to_owned() } else { words.join("-") }
}

/// The reports of one scenario's runs, oldest first: FOLDER/SCENARIO/TIME, and below it one for each party.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
    keep: usize,
    runs: Vec<Run>,
}

/// A run on a shelf.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    name: String,
    good: bool,
}

impl Shelf {
    /// With the runs that an earlier monitor has left there.
    pub(super) fn open(folder: &Path, scenario: &str, keep: usize) -> Result<Self, Failure> {
        let folder = folder.join(slug(scenario));
        let read = || -> io::Result<Vec<Run>> {
            std::fs::create_dir_all(&folder)?;
            // a folder that cannot be written to is found now, not in the night
            let probe = tempfile_name(&folder);
            std::fs::File::create_new(&probe)?;
            std::fs::remove_file(&probe)?;
            let mut runs = Vec::new();
            for entry in std::fs::read_dir(&folder)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if is_run(&name) {
                    let good = was_good(&folder.join(&name));
                    runs.push(Run { name, good });
                }
            }
            runs.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(runs)
        };
        match read() {
            Ok(runs) => Ok(Self { folder, keep, runs }),
            Err(error) => {
                let why = format!("cannot write a report in {}: {error}", folder.display());
                Err(usage("usage.report", why))
            }
        }
    }

    /// A folder for a run that begins now.
    pub(super) fn begin(&self, unix_s: u64) -> Result<PathBuf, Failure> {
        let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(unix_s)).to_string();
        let at = at.replace(':', "-");
        for n in 1_u32.. {
            // as they are sorted they follow each other
            let folder = self.folder.join(format!("{at}.{n:03}"));
            match std::fs::create_dir_all(&self.folder).and_then(|()| std::fs::create_dir(&folder)) {
                Ok(()) => return Ok(folder),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let why = format!("cannot write a report in {}: {error}", folder.display());
                    return Err(usage("usage.report", why));
                }
            }
        }
        Err(usage("usage.report", "there is no free name"))
    }

    /// The run is over. When there are too many, the oldest good one goes, and a failed one only when all have failed.
    pub(super) fn end(&mut self, run: &Path, good: bool) {
        let name = run.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.runs.push(Run { name, good });
        while self.runs.len() > self.keep {
            let oldest = self.runs.iter().position(|run| run.good).unwrap_or(0);
            let run = self.runs.remove(oldest);
            take_away(&self.folder.join(run.name));
        }
    }
}

fn tempfile_name(folder: &Path) -> PathBuf {
    folder.join(format!(".z5-{}", std::process::id()))
}

/// A name as [`Shelf::begin`] gives it, such as `2026-09-21T14-13-20Z.001`.
fn is_run(name: &str) -> bool {
    let pattern = "dddd-dd-ddTdd-dd-ddZ.ddd";
    name.len() == pattern.len()
        && name.bytes().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

/// What the capsules of a run say. One that has none, or that cannot be read, is not worth more than a good one.
fn was_good(run: &Path) -> bool {
    let parties = std::fs::read_dir(run).into_iter().flatten().filter_map(Result::ok);
    let mut capsules = parties.filter_map(|party| Capsule::load(&party.path()).ok());
    capsules.all(|capsule| capsule.result.get("verdict").is_none_or(|verdict| verdict != "failed"))
}

/// Takes a run away: the files of its reports, and the folders that are empty then. What cannot be taken away stays.
fn take_away(run: &Path) {
    for party in std::fs::read_dir(run).into_iter().flatten().filter_map(Result::ok) {
        for file in [crate::capsule::FILE, crate::capsule::PAGE] {
            drop(std::fs::remove_file(party.path().join(file)));
        }
        drop(std::fs::remove_dir(party.path()));
    }
    drop(std::fs::remove_dir(run));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_a_folder_has_one_dash_between_words() {
        for (name, folder) in [
            ("A call, with sound: and more", "A-call-with-sound-and-more"),
            ("V4", "V4"),
            ("../..", "-"),
            (" (x) ", "x"),
        ] {
            assert_eq!(slug(name), folder);
        }
    }

    /// A run with a report of one party.
    fn run(shelf: &Shelf, unix_s: u64, verdict: &str) -> PathBuf {
        let folder = shelf.begin(unix_s).unwrap();
        let party = folder.join("alice");
        std::fs::create_dir(&party).unwrap();
        let capsule = serde_json::json!({
            "format": "z5-capsule", "version": 1, "started_unix_s": unix_s, "numbers_shown": false,
            "result": {"verdict": verdict}, "events": []
        });
        std::fs::write(party.join("capsule.json"), capsule.to_string()).unwrap();
        std::fs::write(party.join("report.html"), "").unwrap();
        folder
    }

    fn names(shelf: &Shelf) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&shelf.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn so_many_runs_are_kept_and_those_that_failed_before_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(folder.path(), "a: b", 2).unwrap();
        for (second, good) in [(1, true), (2, false), (2, true), (3, true)] {
            let run = run(&shelf, second, if good { "ok" } else { "failed" });
            shelf.end(&run, good);
        }
        assert_eq!(names(&shelf), ["1970-01-01T00-00-02Z.001", "1970-01-01T00-00-03Z.001"]);
        // a monitor that is started anew knows what is there
        let mut again = Shelf::open(folder.path(), "a: b", 2).unwrap();
        assert_eq!(again.runs.iter().map(|run| run.good).collect::<Vec<_>>(), [false, true]);
        for second in [4, 5] {
            let run = run(&again, second, "failed");
            again.end(&run, false);
        }
        assert_eq!(names(&again), ["1970-01-01T00-00-04Z.001", "1970-01-01T00-00-05Z.001"]);
    }

    #[test]
    fn what_is_no_report_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(folder.path(), "x", 1).unwrap();
        std::fs::write(shelf.folder.join("notes.txt"), "mine").unwrap();
        let first = run(&shelf, 1, "ok");
        std::fs::write(first.join("alice/notes.txt"), "mine").unwrap();
        shelf.end(&first, true);
        let second = run(&shelf, 2, "ok");
        shelf.end(&second, true);
        assert!(first.join("alice/notes.txt").exists() && !first.join("alice/report.html").exists());
        assert!(names(&shelf).contains(&"notes.txt".to_owned()));
    }
}
