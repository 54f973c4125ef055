//! A key that stands twice in `KEY=VALUE,...`: one of the two would be passed over without a word, so neither is taken.

/// Both places, with what stands there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{key} stands twice: {first:?} at character {first_at} and {second:?} at character {second_at}; leave one of them out"
)]
pub struct Twice {
    /// Which.
    pub key: String,
    /// The earlier entry, with its value.
    pub first: String,
    /// Where it begins, in characters from 1.
    pub first_at: usize,
    /// The later one.
    pub second: String,
    /// Where it begins.
    pub second_at: usize,
}

/// Finds the first key that stands a second time.
pub(crate) fn check(text: &str) -> Result<(), Twice> {
    let mut seen: Vec<(&str, &str, usize)> = Vec::new();
    let mut at = 1;
    for entry in text.split(',') {
        let begins = at + entry.chars().take_while(|c| c.is_whitespace()).count();
        at += entry.chars().count() + 1;
        let entry = entry.trim();
        let Some((key, _)) = entry.split_once('=') else { continue };
        let key = key.trim();
        if let Some((_, first, first_at)) = seen.iter().find(|(other, ..)| *other == key) {
            return Err(Twice {
                key: key.to_owned(),
                first: (*first).to_owned(),
                first_at: *first_at,
                second: entry.to_owned(),
                second_at: begins,
            });
        }
        seen.push((key, entry, begins));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_told_with_both_places_and_values() {
        assert_eq!(check("loss=1%,delay=40ms,zdial.refuse"), Ok(()));
        let why = check("loss=1%,ä=2, loss = 2%").unwrap_err().to_string();
        assert_eq!(
            why,
            "loss stands twice: \"loss=1%\" at character 1 and \"loss = 2%\" at character 14; leave one of them out"
        );
    }
}
