//! What can be wrong with a configuration. Every problem names the file, the line, the key, and what to write instead.

use std::fmt;
use std::path::PathBuf;

use crate::error::Advice;

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {}: {why}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's words.
        why: String,
    },
    /// The file is not TOML.
    #[error("{}:{line}:{column}: not valid TOML: {why}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The parser's words.
        why: String,
    },
    /// The file is TOML, but these keys are wrong.
    #[error("{}", Lines(.0))]
    Invalid(Vec<Problem>),
}

impl ConfigError {
    /// The stable code; of several problems, the first one's.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "config.unreadable",
            Self::Syntax { .. } => "config.syntax",
            Self::Invalid(problems) => problems.first().map_or("config.bad-value", Problem::code),
        }
    }

    /// What the user can do.
    pub const fn advice(&self) -> Advice {
        Advice::CheckSettings
    }

    /// Every code this type can have.
    pub const CODES: &'static [&'static str] = &[
        "config.unreadable",
        "config.syntax",
        "config.unknown-key",
        "config.bad-value",
        "config.missing-key",
    ];
}

/// One wrong key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, when the configuration came from one.
    pub file: Option<PathBuf>,
    /// The line in it, from 1, when the key stands there.
    pub line: Option<usize>,
    /// The whole key, for example `zdial.password`.
    pub key: String,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    /// No such key.
    UnknownKey {
        /// The valid name that is spelt most like it.
        nearest: Option<String>,
    },
    /// The value cannot be used.
    BadValue {
        /// Why, and what would be right.
        why: String,
    },
    /// The key is needed.
    MissingKey {
        /// What it is needed for.
        why: String,
    },
}

impl Problem {
    pub(crate) fn bad(key: &str, why: impl Into<String>) -> Self {
        Self { file: None, line: None, key: key.to_owned(), kind: ProblemKind::BadValue { why: why.into() } }
    }

    pub(crate) fn missing(key: &str, why: impl Into<String>) -> Self {
        Self {
            file: None,
            line: None,
            key: key.to_owned(),
            kind: ProblemKind::MissingKey { why: why.into() },
        }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self.kind {
            ProblemKind::UnknownKey { .. } => "config.unknown-key",
            ProblemKind::BadValue { .. } => "config.bad-value",
            ProblemKind::MissingKey { .. } => "config.missing-key",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: ", file.display())?,
            (Some(file), None) => write!(f, "{}: ", file.display())?,
            (None, _) => {}
        }
        match &self.kind {
            ProblemKind::UnknownKey { nearest: Some(nearest) } => {
                write!(f, "unknown key `{}`; did you mean `{nearest}`?", self.key)
            }
            ProblemKind::UnknownKey { nearest: None } => write!(f, "unknown key `{}`", self.key),
            ProblemKind::BadValue { why } => write!(f, "`{}`: {why}", self.key),
            ProblemKind::MissingKey { why } => write!(f, "`{}` is missing: {why}", self.key),
        }
    }
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
