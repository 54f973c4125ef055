//! Reads an expression of `--expect`; every error has its column and says what would be right.
//!
//! The grammar is that of docs/expect.md: a name, an operator, a value whose form hangs on the kind of the name.

use super::super::names::{self, Kind, Name};
use super::{Expr, Match, Order, Test, last};

/// Operators as they are written; a longer one stands before its beginning.
const OPERATORS: [&str; 8] = ["<=", ">=", "!=", "==", "<", ">", "=", "~"];

/// What cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// In characters, from 1; one behind the end when something is missing there.
    pub(super) column: usize,
    pub(super) why: String,
}

/// Codes that a run can end with after something was sent.
fn codes() -> Vec<&'static str> {
    let of_a_run = |code: &&str| !["config.", "start.", "internal."].iter().any(|no| code.starts_with(no));
    let mut codes: Vec<_> = z5_core::error::all_codes().into_iter().filter(of_a_run).collect();
    codes.extend(["answer.no-call", names::OK]);
    codes
}

/// Reads one expression, character by character.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
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

    pub(super) fn expression(&mut self) -> Result<Expr, Unreadable> {
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
