//! Collects what is wrong with a scenario file, each thing with its line and key, and reads the values that several tables have.

use std::fmt;
use std::time::Duration;

use toml::Spanned;

use super::Problem;
use super::file::Time;
use crate::fault::name::nearest;
use crate::fault::order;

/// What is wrong so far, with where it stands.
pub(super) struct Judge<'a> {
    pub(super) text: &'a str,
    pub(super) problems: Vec<Problem>,
}

impl Judge<'_> {
    pub(super) fn wrong<T>(&mut self, place: &Spanned<T>, key: &str, why: impl fmt::Display) {
        let line = Some(line(self.text, place.span().start));
        self.problems.push(Problem { line, key: key.to_owned(), why: why.to_string() });
    }

    pub(super) fn time(&mut self, key: &str, text: &Time) -> Option<Duration> {
        let text = text.as_ref()?;
        let time = order::duration(text.get_ref());
        if time.is_none() {
            self.wrong(
                text,
                key,
                format!("{:?} is no time; write for example 5s, 500ms, 2m or 1h", text.get_ref()),
            );
        }
        time
    }

    pub(super) fn share(&mut self, key: &str, share: Option<&Spanned<f64>>) -> f64 {
        let Some(share) = share else { return 0.0 };
        if !(0.0..=1.0).contains(share.get_ref()) {
            self.wrong(
                share,
                key,
                format!("{} is no share; write 0 to 1, 0.02 for one packet in fifty", share.get_ref()),
            );
        }
        *share.get_ref()
    }

    pub(super) fn ports(&mut self, key: &str, ports: Option<&Spanned<(u16, u16)>>) -> Option<(u16, u16)> {
        let ports = ports?;
        let (low, high) = *ports.get_ref();
        if low >= high || low == 0 {
            self.wrong(
                ports,
                key,
                "write the lower port first and then a higher one, such as [20000, 20100]",
            );
        }
        Some((low, high))
    }
}

pub(super) fn line(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// Says that a word is none of those that may stand there.
pub(super) fn one_of(word: &str, words: &[&str]) -> String {
    let hint = nearest(word, words.iter().map(|word| (*word).to_owned()));
    let hint = hint.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
    format!("{word:?} is none of {}{hint}", words.join(", "))
}
