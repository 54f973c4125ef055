//! What the system and the readers of TOML and JSON say, in words for people.
//!
//! Their own texts speak of types and numbers of theirs (`expected u16`, `os error 2`), which say nothing to whoever wrote the file. What
//! is not known here stays as it is.

use std::io::{self, ErrorKind};

/// What the system said about a file or a socket, without its number. Texts of z5's own that travel as an `io::Error` stay.
#[expect(clippy::wildcard_enum_match_arm, reason = "what else goes wrong the system says itself")]
pub fn system(error: &io::Error) -> String {
    let text = error.to_string();
    if error.raw_os_error().is_none() {
        return text;
    }
    let words = match error.kind() {
        ErrorKind::NotFound => "there is no such file",
        ErrorKind::NotADirectory => "a part of its path is no folder",
        ErrorKind::IsADirectory => "it is a folder",
        ErrorKind::PermissionDenied => "you may not do that",
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        ErrorKind::StorageFull => "the disk is full",
        ErrorKind::QuotaExceeded => "your quota of the disk is used up",
        ErrorKind::AlreadyExists => "it is there already",
        ErrorKind::AddrInUse => "another program uses it",
        ErrorKind::AddrNotAvailable => "this machine has no such address",
        ErrorKind::BrokenPipe => "who read it has gone",
        _ => return text.split(" (os error ").next().unwrap_or_default().to_owned(),
    };
    words.to_owned()
}

/// What serde says of a value: `invalid type: string "x", expected u16` becomes `the text "x" stands where a whole number from 0 to
/// 65535 belongs`. Names that could stand there follow as they were told, with `near` of them where one is near.
pub fn value(said: &str, near: impl Fn(&str, &[&str]) -> Option<String>) -> String {
    let said = said.trim();
    if let Some(rest) = said.strip_prefix("invalid type: ").or_else(|| said.strip_prefix("invalid value: "))
        && let Some((seen, wanted)) = rest.rsplit_once(", expected ")
    {
        return format!("{} stands where {} belongs", seen_words(seen), wanted_words(wanted));
    }
    if let Some(rest) = said.strip_prefix("invalid length ")
        && let Some((count, wanted)) = rest.split_once(", expected ")
    {
        return format!("it has {count} values, and {} belongs there", wanted_words(wanted));
    }
    let quoted: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
    for (begins, what) in [("unknown variant ", "is not known here"), ("unknown field ", "is no key here")] {
        if let (true, [word, known @ ..]) = (said.starts_with(begins), quoted.as_slice()) {
            let near = near(word, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return match known {
                [] => format!("`{word}` {what}{near}"),
                known => format!("`{word}` {what}, {} may stand there{near}", listed(known)),
            };
        }
    }
    if let (Some(_), [word]) = (said.strip_prefix("missing field "), quoted.as_slice()) {
        return format!("`{word}` is missing");
    }
    said.to_owned()
}

/// "`a`, `b` or `c`".
fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    }
}

/// What was seen, by serde's name of it.
fn seen_words(seen: &str) -> String {
    let of = |begins: &str| seen.strip_prefix(begins).map(|value| value.trim_matches('`'));
    if let Some(number) = of("integer ").or_else(|| of("floating point ")) {
        return format!("the number {number}");
    }
    if let Some(text) = of("string ") {
        return format!("the text {text}");
    }
    if let Some(flag) = of("boolean ") {
        return flag.to_owned();
    }
    match seen {
        "sequence" => "a list".to_owned(),
        "map" | "table" => "a table".to_owned(),
        "null" | "unit value" | "Option value" => "nothing".to_owned(),
        other => other.to_owned(),
    }
}

/// What was wanted, by serde's name or the one of a type.
fn wanted_words(wanted: &str) -> String {
    let words = match wanted {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" | "string" => "a text in quotes",
        "a character" => "a single character",
        "a sequence" => "a list in brackets",
        "a map" | "table" | "string or table" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => return other.to_owned(),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_speaks_in_words_and_without_its_numbers() {
        let missing = std::fs::read("/no/such/file").unwrap_err();
        assert_eq!(system(&missing), "there is no such file");
        let odd = system(&io::Error::from_raw_os_error(40));
        assert!(!odd.contains("os error") && !odd.is_empty(), "{odd}");
        assert_eq!(system(&io::Error::other("ours")), "ours");
    }

    #[test]
    fn values_are_told_without_names_of_types() {
        let near = |word: &str, known: &[&str]| {
            known.iter().find(|name| word.len() > 3 && name.starts_with(&word[..3])).map(ToString::to_string)
        };
        for (said, shown) in [
            (
                "invalid type: string \"8443\", expected u16",
                "the text \"8443\" stands where a whole number from 0 to 65535 belongs",
            ),
            (
                "invalid value: integer `-1`, expected usize",
                "the number -1 stands where a whole number from 0 belongs",
            ),
            ("invalid type: boolean `true`, expected a string", "true stands where a text in quotes belongs"),
            ("invalid type: sequence, expected struct Sip", "a list stands where a table belongs"),
            ("invalid type: map, expected f64", "a table stands where a number belongs"),
            (
                "invalid length 3, expected a sequence",
                "it has 3 values, and a list in brackets belongs there",
            ),
            (
                "unknown variant `optinal`, expected one of `off`, `optional`, `required`",
                "`optinal` is not known here, `off`, `optional` or `required` may stand there; did you mean `optional`?",
            ),
            ("unknown field `x`, there are no fields", "`x` is no key here"),
            ("missing field `format`", "`format` is missing"),
            ("words of our own", "words of our own"),
        ] {
            assert_eq!(value(said, near), shown, "{said}");
        }
    }
}
