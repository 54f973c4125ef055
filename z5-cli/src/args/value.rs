//! What several commands read alike: times, whole numbers, pairs, somebody.

use std::time::Duration;

use crate::read::{time, whole};

/// The word for a time that only Ctrl-C ends.
pub(super) const FOREVER: &str = "forever";

/// A time, or for ever.
pub(super) fn stay(text: &str) -> Result<Duration, String> {
    if text == FOREVER { Ok(Duration::MAX) } else { time(text) }
}

/// A port of this machine; 0 is any that is free.
pub(super) fn port(text: &str) -> Result<u16, String> {
    whole(text, 0, u16::MAX.into()).map(|port| u16::try_from(port).unwrap_or(u16::MAX))
}

/// The seed of what is left to chance.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    whole(text, 0, u64::MAX)
}

/// How many of something there may be.
pub(super) fn count(text: &str) -> Result<usize, String> {
    whole(text, 1, u64::MAX).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// A telephone number as an account has it: digits, with or without a plus sign.
pub(super) fn number(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    match !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err("a telephone number has digits alone, such as +15555550101".to_owned()),
    }
}

/// A time in which something can happen.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    match time(text)? {
        Duration::ZERO => Err("0 s leaves no time at all; write for example 5s, 500ms or 2m".to_owned()),
        time => Ok(time),
    }
}

/// Characters a second.
pub(super) fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.1..=100.0).contains(&speed) => Ok(speed),
        Ok(_) | Err(_) => Err("write characters a second from 0.1 to 100, for example 5".to_owned()),
    }
}

/// Somebody; what else is wrong with it is told when the domain is known.
pub(super) fn target(text: &str) -> Result<String, String> {
    match text.trim().is_empty() {
        true => Err("it is empty: nobody can be called so".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// `NAME=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) => Err("the name is missing: write it as NAME=VALUE".to_owned()),
        None => Err("the value is missing: write it as NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_digits_alone() {
        assert!(number("+15555550101").is_ok() && number("911").is_ok());
        for text in ["", "+", "alice", "+1 555", "1-555", "+1+2"] {
            assert!(number(text).unwrap_err().contains("+15555550101"), "{text}");
        }
    }

    #[test]
    fn a_port_and_a_count_have_bounds() {
        assert_eq!((port("0"), port("65535"), count("1")), (Ok(0), Ok(65535), Ok(1)));
        assert!(port("65536").is_err() && port("-1").is_err() && count("0").is_err());
    }
}
