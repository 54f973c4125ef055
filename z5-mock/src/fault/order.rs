//! A fault with when and where it strikes, as it is written on the command line: `NAME[,from=N][,times=N][,at=ADDRESS][,after=TIME][,for=TIME]`.
//! Scenario files say the same with keys of the same names.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use super::name::nearest;
use super::{Fault, UnknownFault, When};
use crate::twice::{self, Twice};

/// A fault to be armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Which.
    pub fault: Fault,
    /// On which occasions.
    pub when: When,
    /// At which of the carrier's addresses; `None`: at all.
    pub at: Option<IpAddr>,
    /// How long after the start of the carrier it is armed.
    pub after: Duration,
    /// For how long; `None`: to the end.
    pub lasting: Option<Duration>,
}

/// Why a text is no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrder {
    /// No such fault.
    #[error(transparent)]
    Fault(#[from] UnknownFault),
    /// A word behind the name that says nothing.
    #[error("{word:?} says nothing about a fault{}; from=N, times=N, at=ADDRESS, after=TIME and for=TIME do", nearest.as_deref().map(|name| format!(", did you mean {name}=?")).unwrap_or_default())]
    Word {
        /// As given.
        word: String,
        /// The word that is most like it, if one is.
        nearest: Option<String>,
    },
    /// A value that cannot be read.
    #[error("{word:?}: {wanted}")]
    Value {
        /// As given.
        word: String,
        /// What stands there.
        wanted: &'static str,
    },
    /// A word with two values.
    #[error(transparent)]
    Twice(#[from] Twice),
    /// Not every fault has an address: see [`Fault::has_address`].
    #[error("{fault} cannot be at one address: it is the same at all")]
    Nowhere {
        /// Which.
        fault: Fault,
    },
}

/// What may stand behind the name.
const WORDS: [&str; 5] = ["from", "times", "at", "after", "for"];

impl From<Fault> for Order {
    fn from(fault: Fault) -> Self {
        Self { fault, when: When::ALWAYS, at: None, after: Duration::ZERO, lasting: None }
    }
}

impl Order {
    /// Refuses an address where there can be none.
    pub(crate) fn check(self) -> Result<Self, BadOrder> {
        match self.at.is_some() && !self.fault.has_address() {
            true => Err(BadOrder::Nowhere { fault: self.fault }),
            false => Ok(self),
        }
    }
}

impl FromStr for Order {
    type Err = BadOrder;

    fn from_str(text: &str) -> Result<Self, BadOrder> {
        twice::check(text)?;
        let mut words = text.split(',');
        let mut order = Self::from(words.next().unwrap_or_default().parse::<Fault>()?);
        for word in words {
            let value = |wanted| BadOrder::Value { word: word.to_owned(), wanted };
            let number = |text: &str| {
                text.parse()
                    .ok()
                    .filter(|number| *number > 0)
                    .ok_or(value("a whole number from 1 stands there"))
            };
            let time =
                |text: &str| duration(text).ok_or(value("a time stands there, such as 5s, 500ms or 2m"));
            match word.split_once('=') {
                Some(("from", text)) => order.when.from = number(text)?,
                Some(("times", text)) => order.when.times = Some(number(text)?),
                Some(("at", text)) => {
                    order.at =
                        Some(text.parse().map_err(|_| value("an IP address of the carrier stands there"))?);
                }
                Some(("after", text)) => order.after = time(text)?,
                Some(("for", text)) => order.lasting = Some(time(text)?),
                other => {
                    let stem = other.map_or(word, |(stem, _)| stem);
                    let nearest = nearest(stem, WORDS.map(str::to_owned));
                    return Err(BadOrder::Word { word: word.to_owned(), nearest });
                }
            }
        }
        order.check()
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fault)?;
        if self.when.from > 1 {
            write!(f, ",from={}", self.when.from)?;
        }
        if let Some(times) = self.when.times {
            write!(f, ",times={times}")?;
        }
        if let Some(at) = self.at {
            write!(f, ",at={at}")?;
        }
        if !self.after.is_zero() {
            write!(f, ",after={}ms", self.after.as_millis())?;
        }
        match self.lasting {
            Some(lasting) => write!(f, ",for={}ms", lasting.as_millis()),
            None => Ok(()),
        }
    }
}

/// `5s`, `500ms`, `2m`, `1h`: one number and one unit.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..at].parse().ok()?;
    let milliseconds = match &text[at..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_reads_back_and_says_what_is_wrong_with_it() {
        for text in ["zdial.refuse", "mcs.maintenance=30,from=2,times=3,at=127.0.0.1,after=500ms,for=2000ms"]
        {
            assert_eq!(text.parse::<Order>().unwrap().to_string(), text);
        }
        assert_eq!("sip.reset,after=2m".parse::<Order>().unwrap().after, Duration::from_secs(120));
        for (text, part) in [
            ("zdial.refused", "did you mean zdial.refuse?"),
            ("zdial.refuse,tmes=2", "did you mean times=?"),
            ("zdial.refuse,from=0", "whole number"),
            ("zdial.refuse,at=here", "IP address"),
            ("zdial.refuse,for=5", "500ms"),
            ("zdial.refuse,for=1s,for=2s", "\"for=1s\" at character 14 and \"for=2s\" at character 21"),
            ("media.none,at=127.0.0.1", "the same at all"),
        ] {
            let why = text.parse::<Order>().unwrap_err().to_string();
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
