//! Scenario files: a carrier described in TOML, for `z5 mock --scenario FILE` and [`Carrier::from_scenario`](crate::Carrier::from_scenario).
//!
//! docs/mock.md lists the keys. Everything that is wrong is told at once, with line, key and the nearest name where a name is wrong;
//! nothing is opened before all of it is good.

use std::fmt;
use std::path::{Path, PathBuf};

use z5_media::file::{Limit, read_text, words};

use crate::builder::Builder;
use crate::fault::name::nearest;

mod accounts;
mod build;
mod far_ends;
mod file;
mod judge;
mod network;
#[cfg(test)]
mod tests;

use self::file::File;
use self::judge::{Judge, line};

/// What is wrong with a scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file.
    pub file: PathBuf,
    /// Each thing, in the order of the file.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Counted from 1; none when it is about the file.
    pub line: Option<usize>,
    /// Which key; empty when it is not known.
    pub key: String,
    /// What, with what may stand there.
    pub why: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", self.file.display())?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            match problem.key.is_empty() {
                true => write!(f, ": {}", problem.why)?,
                false => write!(f, ": {}: {}", problem.key, problem.why)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioError {}

/// Reads a file.
pub(crate) fn load(path: &Path) -> Result<Builder, ScenarioError> {
    let fails = |problems| ScenarioError { file: path.to_owned(), problems };
    let text = read_text(path, Limit::once("a scenario file", 1 << 20)).map_err(|error| {
        fails(vec![Problem { line: None, key: String::new(), why: format!("it cannot be read: {error}") }])
    })?;
    read(&text).map_err(fails)
}

/// Reads the text of a file.
fn read(text: &str) -> Result<Builder, Vec<Problem>> {
    let file: File = toml::from_str(text).map_err(|error| vec![syntax(text, &error)])?;
    let mut judge = Judge { text, problems: Vec::new() };
    let builder = build::build(&file, &mut judge);
    judge.problems.sort();
    match judge.problems.is_empty() {
        true => Ok(builder),
        false => Err(judge.problems),
    }
}

/// What the reader of TOML says, with the nearest of the names it would have taken.
fn syntax(text: &str, error: &toml::de::Error) -> Problem {
    let said = error.message().replace('\n', ", ");
    let mut words = said.split('`').skip(1).step_by(2).map(str::to_owned);
    let (mut key, mut hint) = (String::new(), String::new());
    if said.starts_with("unknown field") {
        key = words.next().unwrap_or_default();
        hint = nearest(&key, words).map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
    } else if said.starts_with("missing field") {
        key = words.next().unwrap_or_default();
    }
    let line = error.span().map(|span| line(text, span.start));
    let why = match said.starts_with("unknown field") {
        true => format!("{said}{hint}"),
        false => {
            words::value(&said, |word, known| nearest(word, known.iter().map(|name| (*name).to_owned())))
        }
    };
    Problem { line, key, why }
}
