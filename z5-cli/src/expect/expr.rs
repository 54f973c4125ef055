//! The expressions of `--expect`: `audio.heard`, `video.freezes<=2`, `text.echo="HELLO"`, `setup_ms<500`, `code=busy`.
//!
//! One comparison of one measured value; several conditions are several `--expect`. docs/expect.md is the description, `names`
//! the list of names; `read` reads one, and tells what it cannot read by its column before anything is sent.

mod read;

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use read::{Reader, Unreadable};

use super::names::{self, Kind, Name};
use super::{Expectation, NOT_MEASURED};

/// A condition on the result object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expr {
    name: &'static Name,
    test: Test,
}

/// What is wanted of the value.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Flag(bool),
    Number(Order, f64),
    /// Both ends belong to it.
    Within(f64, f64),
    Text(Match, String),
    /// A word or a code: the same, or another one.
    Word(bool, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Other,
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Equal,
    Other,
    Contains,
}

impl FromStr for Expr {
    type Err = String;

    /// The error shows the expression with a mark under the place.
    fn from_str(text: &str) -> Result<Self, String> {
        Reader::new(text).expression().map_err(|Unreadable { column, why }| {
            let shown = crate::output::plain(text).replace('\n', " ");
            format!("column {column}: {why}\n  {shown}\n  {:>column$}", '^')
        })
    }
}

impl Expr {
    /// Whether it holds. What was not measured never does, whatever is asked of it.
    pub(crate) fn judge(&self, result: &Value) -> Expectation {
        let found = self.name.read(result);
        let held = match (&self.test, &found) {
            (_, None) => false,
            (Test::Flag(wanted), Some(value)) => value.as_bool() == Some(*wanted),
            (Test::Number(order, wanted), Some(value)) => {
                value.as_f64().is_some_and(|value| order.holds(value, *wanted))
            }
            (Test::Within(least, most), Some(value)) => {
                value.as_f64().is_some_and(|value| *least <= value && value <= *most)
            }
            (Test::Text(how, wanted), Some(value)) => value.as_str().is_some_and(|value| {
                let (value, wanted) = (lines(value), lines(wanted));
                match how {
                    Match::Equal => value == wanted,
                    Match::Other => value != wanted,
                    Match::Contains => value.contains(&wanted),
                }
            }),
            (Test::Word(same, wanted), Some(value)) => {
                value.as_str().is_some_and(|value| self.is_word(value, wanted) == *same)
            }
        };
        let measured = found.map_or_else(|| NOT_MEASURED.to_owned(), |value| self.shown(&value));
        let unit = match (&self.test, self.name.kind) {
            (Test::Number(..) | Test::Within(..), Kind::Number(unit)) if !unit.is_empty() => {
                format!(" {unit}")
            }
            _ => String::new(),
        };
        let wanted = format!("{}{unit}", self.test);
        Expectation { what: self.name.name, wanted, measured, held, seen_by: None }
    }

    /// The run is meant to end with a failure, and this says with which: a failure of this code is no failure of the run.
    pub(crate) fn wants_failure(&self) -> bool {
        match &self.test {
            Test::Word(true, code) => self.name.kind == Kind::Code && code != names::OK,
            Test::Word(false, _) | Test::Flag(_) | Test::Number(..) | Test::Within(..) | Test::Text(..) => {
                false
            }
        }
    }

    /// Whether it asks for this code.
    pub(crate) fn names(&self, code: &str) -> bool {
        matches!(&self.test, Test::Word(true, wanted) if self.is_word(code, wanted))
    }

    /// What is wanted, without the name and the operator: of a code, the code.
    pub(crate) fn wanted(&self) -> String {
        self.test.to_string().trim_start_matches('=').to_owned()
    }

    /// Whether it is about a call, not about the session that makes it.
    pub(crate) fn is_of_a_call(&self) -> bool {
        !names::OF_SESSIONS.contains(&self.name.name)
    }

    fn is_word(&self, value: &str, wanted: &str) -> bool {
        value == wanted || (self.name.kind == Kind::Code && last(value) == wanted)
    }

    /// A measured value for people.
    fn shown(&self, value: &Value) -> String {
        match (value, self.name.kind) {
            (Value::Bool(true), _) => "yes".to_owned(),
            (Value::Bool(false), _) => "no".to_owned(),
            (Value::Number(number), Kind::Number(unit)) => {
                let number = number.as_f64().map_or_else(|| number.to_string(), rounded);
                if unit.is_empty() { number } else { format!("{number} {unit}") }
            }
            (Value::String(text), Kind::Text) => format!("{text:?}"),
            (Value::String(text), _) => text.clone(),
            (other, _) => other.to_string(),
        }
    }
}

impl Order {
    fn holds(self, value: f64, wanted: f64) -> bool {
        match self {
            Self::Equal => value == wanted,
            Self::Other => value != wanted,
            Self::Less => value < wanted,
            Self::AtMost => value <= wanted,
            Self::More => value > wanted,
            Self::AtLeast => value >= wanted,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Other => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }
}

impl fmt::Display for Test {
    /// The operator and the value, as they can be written again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(true) => f.write_str("=yes"),
            Self::Flag(false) => f.write_str("=no"),
            Self::Number(order, value) => write!(f, "{}{value}", order.sign()),
            Self::Within(least, most) => write!(f, "={least}..{most}"),
            Self::Text(how, text) => {
                let sign = match how {
                    Match::Equal => "=",
                    Match::Other => "!=",
                    Match::Contains => "~",
                };
                write!(f, "{sign}\"")?;
                for c in text.chars() {
                    match c {
                        '"' => f.write_str("\\\"")?,
                        '\\' => f.write_str("\\\\")?,
                        '\n' => f.write_str("\\n")?,
                        c => write!(f, "{c}")?,
                    }
                }
                f.write_str("\"")
            }
            Self::Word(true, word) => write!(f, "={word}"),
            Self::Word(false, word) => write!(f, "!={word}"),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name.name, self.test)
    }
}

/// A line end is one, however the far end writes it (T.140 section 8.2: U+2028, or CR LF).
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\u{2028}', "\n")
}

/// What stands behind the last dot of a code.
fn last(code: &str) -> &str {
    code.rsplit('.').next().unwrap_or(code)
}

/// At most three digits behind the point, and none that say nothing.
fn rounded(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
