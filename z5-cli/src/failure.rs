//! Failures of the program's own, which belong to no step: what was asked for cannot be done, or somebody stopped it.

use z5_core::{Advice, Failure};

/// The command line, the configuration or a file named there cannot be used.
pub(crate) fn usage(code: &'static str, message: impl Into<String>) -> Failure {
    Failure::outside_steps(code, in_words(&message.into()), Advice::CheckSettings)
}

/// What the system says, without its numbers and in words.
pub(crate) fn in_words(message: &str) -> String {
    let mut shown = message
        .replace("No such file or directory", "there is no such file")
        .replace("Is a directory", "it is a folder")
        .replace("Permission denied", "you may not do that")
        .replace("No space left on device", "the disk is full")
        .replace("stream did not contain valid UTF-8", "it is no text in UTF-8");
    while let Some((from, length)) = os_number(&shown) {
        shown.replace_range(from..from + length, "");
    }
    shown
}

/// Where " (os error 2)" stands, and how long it is.
fn os_number(text: &str) -> Option<(usize, usize)> {
    let from = text.find(" (os error ")?;
    let length = text[from..].find(')')? + 1;
    Some((from, length))
}

/// Ctrl-C or its like came before what was wanted.
pub(crate) fn interrupted() -> Failure {
    Failure::outside_steps("run.interrupted", "interrupted before it was done".to_owned(), Advice::RetryNow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_speaks_in_words() {
        for (said, shown) in [
            ("x.yaml: No such file or directory (os error 2)", "x.yaml: there is no such file"),
            (
                "a: Is a directory (os error 21); b: Permission denied (os error 13)",
                "a: it is a folder; b: you may not do that",
            ),
            ("cut off (os error 2", "cut off (os error 2"),
        ] {
            assert_eq!(in_words(said), shown);
        }
    }
}
