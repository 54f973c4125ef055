//! Reads what people write on the command line and in scenarios: times, whole numbers, one of several words. What cannot be read is told by
//! what may stand there, with the nearest of it.

use std::time::Duration;

use crate::expect::nearest;

/// "5s", "500ms", "2m 30s"; a bare number is refused because its unit would be a guess.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    use humantime::DurationError::{Empty, InvalidCharacter, NumberExpected, NumberOverflow, UnknownUnit};
    humantime::parse_duration(text).map_err(|error| {
        let why = match error {
            Empty => "a time is missing".to_owned(),
            UnknownUnit { unit, value, .. } if unit.is_empty() => {
                format!("{value} of what? the unit is missing")
            }
            UnknownUnit { unit, .. } => format!("`{unit}` is no unit of time"),
            NumberOverflow => format!("`{text}` is longer than can be counted"),
            InvalidCharacter(_) | NumberExpected(_) => format!("`{text}` is no time"),
        };
        format!("{why}; write for example 5s, 500ms or 2m")
    })
}

/// A whole number that is not below `least` and not above `most`.
pub(crate) fn whole(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let wanted = match most {
        u64::MAX => format!("a whole number from {least}"),
        most => format!("a whole number from {least} to {most}"),
    };
    match text.parse::<u64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        Ok(_) | Err(_) if text.is_empty() => Err(format!("{wanted} is missing")),
        Ok(_) | Err(_) => Err(format!("`{text}` stands where {wanted} belongs")),
    }
}

/// "; did you mean `word`?", or nothing when none of them is near.
pub(crate) fn meant<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, words).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_needs_a_unit_and_says_so_in_words() {
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("2m 30s"), Ok(Duration::from_secs(150)));
        for (text, begins) in [
            ("5", "5 of what? the unit is missing"),
            ("5x", "`x` is no unit of time"),
            ("abc", "`abc` is no time"),
            ("-5s", "`-5s` is no time"),
            ("", "a time is missing"),
            ("99999999999999999999s", "`99999999999999999999s` is longer"),
        ] {
            let why = time(text).unwrap_err();
            assert!(why.starts_with(begins) && why.ends_with("write for example 5s, 500ms or 2m"), "{why}");
        }
    }

    #[test]
    fn a_whole_number_has_its_bounds_in_the_refusal() {
        assert_eq!((whole("0", 0, 9), whole("9", 0, 9)), (Ok(0), Ok(9)));
        for text in ["x", "-1", "10", "1.5", "99999999999999999999999"] {
            let why = whole(text, 0, 9).unwrap_err();
            assert_eq!(why, format!("`{text}` stands where a whole number from 0 to 9 belongs"));
        }
        assert_eq!(whole("", 1, u64::MAX), Err("a whole number from 1 is missing".to_owned()));
    }
}
