//! The expressions of `--expect`: `audio.heard`, `video.freezes<=2`, `text.echo="HELLO"`, `setup_ms<500`, `code=busy`.
//!
//! One comparison of one measured value; several conditions are several `--expect`. docs/expect.md is the description, `names`
//! the list of names. What cannot be read is told with its column before anything is sent.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

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

/// Operators as they are written; a longer one stands before its beginning.
const OPERATORS: [&str; 8] = ["<=", ">=", "!=", "==", "<", ">", "=", "~"];

/// What cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unreadable {
    /// In characters, from 1; one behind the end when something is missing there.
    column: usize,
    why: String,
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
        Expectation { what: self.name.name, wanted: format!("{}{unit}", self.test), measured, held }
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

/// Codes that a run can end with after something was sent.
fn codes() -> Vec<&'static str> {
    let of_a_run = |code: &&str| !["config.", "start.", "internal."].iter().any(|no| code.starts_with(no));
    let mut codes: Vec<_> = z5_core::error::all_codes().into_iter().filter(of_a_run).collect();
    codes.extend(["answer.no-call", names::OK]);
    codes
}

/// At most three digits behind the point, and none that say nothing.
fn rounded(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Reads one expression, character by character.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn error<T>(&self, at: usize, why: impl Into<String>) -> Result<T, Unreadable> {
        let column = self.text.get(..at).unwrap_or(self.text).chars().count() + 1;
        Err(Unreadable { column, why: why.into() })
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t']).len();
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn take(&mut self, word: &str) -> bool {
        let there = self.rest().starts_with(word);
        if there {
            self.at += word.len();
        }
        there
    }

    fn word(&mut self) -> &'a str {
        self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    }

    fn end(&mut self) -> Result<(), Unreadable> {
        self.skip_blanks();
        if self.rest().is_empty() {
            return Ok(());
        }
        let why = format!(
            "nothing may follow here, and there is `{}`; give each condition its own --expect",
            self.rest()
        );
        self.error(self.at, why)
    }

    fn expression(&mut self) -> Result<Expr, Unreadable> {
        self.skip_blanks();
        let start = self.at;
        let negated = self.take("!");
        self.skip_blanks();
        let name = self.name()?;
        self.skip_blanks();
        if self.rest().is_empty() {
            return match name.kind {
                Kind::Flag => Ok(Expr { name, test: Test::Flag(!negated) }),
                Kind::Number(_) | Kind::Word(_) | Kind::Code | Kind::Text => {
                    self.error(self.at, format!("what should it be? {}", example(name)))
                }
            };
        }
        let sign_at = self.at;
        let Some(sign) = OPERATORS.into_iter().find(|sign| self.take(sign)) else {
            return self.error(sign_at, "here an operator is missing: = != < <= > >= or ~");
        };
        let sign = if sign == "==" { "=" } else { sign };
        if negated {
            return self.error(start, "`!` stands before a name alone; write != in place of =");
        }
        self.skip_blanks();
        let test = match name.kind {
            Kind::Flag => self.flag(name, sign, sign_at)?,
            Kind::Number(unit) => self.number(name, sign, sign_at, unit)?,
            Kind::Word(words) => self.one_of(name, sign, sign_at, words)?,
            Kind::Code => self.one_of(name, sign, sign_at, &codes())?,
            Kind::Text => self.text(name, sign, sign_at)?,
        };
        self.end()?;
        Ok(Expr { name, test })
    }

    fn name(&mut self) -> Result<&'static Name, Unreadable> {
        let at = self.at;
        let word = self.word();
        if word.is_empty() {
            return self
                .error(at, "here a name is missing, for example audio.heard; docs/expect.md lists them");
        }
        match (Name::find(word), Name::nearest(word)) {
            (Some(name), _) => Ok(name),
            (None, Some(near)) => {
                self.error(at, format!("there is no `{word}` to be measured; did you mean `{near}`?"))
            }
            (None, None) => self.error(
                at,
                format!("there is no `{word}` to be measured; docs/expect.md lists what there is"),
            ),
        }
    }

    fn flag(&mut self, name: &Name, sign: &str, sign_at: usize) -> Result<Test, Unreadable> {
        let at = self.at;
        let value = match self.word() {
            "yes" | "true" => true,
            "no" | "false" => false,
            _ => return self.error(at, format!("it is yes or no: {}", example(name))),
        };
        match sign {
            "=" => Ok(Test::Flag(value)),
            "!=" => Ok(Test::Flag(!value)),
            _ => self.error(sign_at, format!("yes and no have no order: {}", example(name))),
        }
    }

    fn number(&mut self, name: &Name, sign: &str, sign_at: usize, unit: &str) -> Result<Test, Unreadable> {
        let order = match sign {
            "=" => Order::Equal,
            "!=" => Order::Other,
            "<" => Order::Less,
            "<=" => Order::AtMost,
            ">" => Order::More,
            ">=" => Order::AtLeast,
            _ => return self.error(sign_at, format!("a number contains nothing: {}", example(name))),
        };
        let (first, own_unit) = self.figure(name, unit)?;
        if !self.take("..") {
            return Ok(Test::Number(order, first * own_unit.unwrap_or(1.0)));
        }
        if order != Order::Equal {
            return self.error(sign_at, "a range goes with = alone, for example audio.frequency=998..1002");
        }
        let at = self.at;
        let (last, last_unit) = self.figure(name, unit)?;
        // "1..2s" means seconds for both
        let last_unit = last_unit.unwrap_or(1.0);
        let (first, last) = (first * own_unit.unwrap_or(last_unit), last * last_unit);
        if first > last {
            return self.error(at, "the range ends before it begins");
        }
        Ok(Test::Within(first, last))
    }

    /// A number, and the factor of the unit that was written behind it.
    fn figure(&mut self, name: &Name, unit: &str) -> Result<(f64, Option<f64>), Unreadable> {
        let at = self.at;
        let minus = self.take("-");
        let whole = self.take_while(|c| c.is_ascii_digit());
        // one point belongs to the number, two are a range
        let mut digits = whole.to_owned();
        if !self.rest().starts_with("..") && self.take(".") {
            digits.push('.');
            digits += self.take_while(|c| c.is_ascii_digit());
        }
        let value = match digits.parse::<f64>() {
            Ok(value) if value.is_finite() => value,
            Ok(_) | Err(_) => return self.error(at, format!("here a number is missing: {}", example(name))),
        };
        self.skip_blanks();
        let unit_at = self.at;
        let written = self.take_while(|c| c.is_ascii_alphanumeric() || c == '%');
        let factor = match written {
            "" => None,
            _ if written == unit => Some(1.0),
            "s" if unit == "ms" => Some(1000.0),
            "m" if unit == "ms" => Some(60_000.0),
            _ if unit.is_empty() => {
                return self.error(unit_at, format!("`{}` has no unit", name.name));
            }
            _ => {
                let also = if unit == "ms" { ", s or m" } else { "" };
                return self
                    .error(unit_at, format!("`{}` is in {unit}{also}, not in `{written}`", name.name));
            }
        };
        Ok((if minus { -value } else { value }, factor))
    }

    fn one_of(
        &mut self,
        name: &Name,
        sign: &str,
        sign_at: usize,
        words: &[&str],
    ) -> Result<Test, Unreadable> {
        let same = match sign {
            "=" => true,
            "!=" => false,
            _ => return self.error(sign_at, format!("words are compared with = and !=: {}", example(name))),
        };
        let at = self.at;
        let word = self.word();
        let short: Vec<&str> = words.iter().map(|word| last(word)).collect();
        if words.contains(&word) || (name.kind == Kind::Code && short.contains(&word)) {
            return Ok(Test::Word(same, word.to_owned()));
        }
        let known = words.iter().copied().chain(short);
        let why = match names::nearest(word, known) {
            Some(near) => format!("`{}` is never `{word}`; did you mean `{near}`?", name.name),
            None if name.kind == Kind::Code => {
                format!("`{word}` is no code of a failure; docs/errors.md lists them, and there is `ok`")
            }
            None => format!("`{}` is one of {}", name.name, words.join(", ")),
        };
        self.error(at, why)
    }

    fn text(&mut self, name: &Name, sign: &str, sign_at: usize) -> Result<Test, Unreadable> {
        let how = match sign {
            "=" => Match::Equal,
            "!=" => Match::Other,
            "~" => Match::Contains,
            _ => return self.error(sign_at, format!("text is compared with =, != and ~: {}", example(name))),
        };
        if self.take("\"") {
            return self.quoted().map(|text| Test::Text(how, text));
        }
        // A shell takes the quotes away: the rest is the text.
        let text = self.rest().trim_end();
        self.at = self.text.len();
        Ok(Test::Text(how, text.to_owned()))
    }

    fn quoted(&mut self) -> Result<String, Unreadable> {
        let opened = self.at - 1;
        let mut text = String::new();
        loop {
            let at = self.at;
            let mut rest = self.rest().chars();
            let Some(c) = rest.next() else {
                return self.error(opened, "this quote is not closed");
            };
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(text),
                '\\' => {
                    let Some(escaped) = rest.next() else {
                        return self.error(at, "something is missing behind the backslash");
                    };
                    self.at += escaped.len_utf8();
                    match escaped {
                        '"' | '\\' => text.push(escaped),
                        'n' => text.push('\n'),
                        _ => return self.error(at, "in quotes there are \\\", \\\\ and \\n"),
                    }
                }
                c => text.push(c),
            }
        }
    }
}

/// How a condition on it is written.
fn example(name: &Name) -> String {
    let own = name.name;
    match name.kind {
        Kind::Flag => format!("write `{own}` or `!{own}`"),
        Kind::Number("ms") => format!("write for example `{own}<500`"),
        Kind::Number(_) => format!("write for example `{own}>=1`"),
        Kind::Word(words) => format!("write for example `{own}={}`", words.first().unwrap_or(&"")),
        Kind::Code => format!("write for example `{own}=busy`"),
        Kind::Text => format!("write for example `{own}=\"HELLO\"`"),
    }
}

#[cfg(test)]
mod tests;
