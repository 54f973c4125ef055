//! What several commands read alike: times, pairs, somebody.

use std::time::Duration;

/// The word for a time that only Ctrl-C ends.
pub(super) const FOREVER: &str = "forever";

/// A time, or for ever.
pub(super) fn stay(text: &str) -> Result<Duration, String> {
    if text == FOREVER { Ok(Duration::MAX) } else { duration(text) }
}

/// "5s", "500ms", "2m 30s"; a bare number is refused because its unit would be a guess.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|why| format!("{why}; write for example 5s, 500ms or 2m"))
}

/// A time in which something can happen.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
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
        Some(_) | None => Err("write it as NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("5").unwrap_err().contains("5s"));
    }
}
