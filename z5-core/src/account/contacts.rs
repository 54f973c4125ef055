//! The address book as an application sees it: contacts, searched by name or number. What is behind them, whole cards and what is not
//! yet on the server, is the [`Book`](super::book::Book).

use serde::Serialize;

use super::vcard::{Card, NumberLabel, number_key};
use crate::error::{BookError, CallError};

/// Whether a number of a contact can be dialled from anywhere: a number with or without a plus sign and separators, a SIP address
/// (`sip:`, or with an `@`), a `tel:` or `urn:` URI.
///
/// # Errors
/// Why not.
pub fn check_number(number: &str) -> Result<(), BookError> {
    let bad = |why: &str| BookError::BadNumber { number: number.to_owned(), why: why.to_owned() };
    let text = number.trim();
    let addressed = text.contains(':') || text.contains('@');
    let separators = [' ', '-', '.', '(', ')', '/'];
    let of_number = |c: char| c.is_ascii_digit() || ['*', '#'].contains(&c) || separators.contains(&c);
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_number = digits.chars().all(of_number) && digits.contains(|c: char| c.is_ascii_digit());
    if !addressed && !is_number {
        return Err(bad(
            "it is neither a number, such as +15555550100 or 411, nor a SIP address, such as sip:bob@example.org",
        ));
    }
    match crate::machine::check_target(text) {
        Err(CallError::BadTarget { why, .. }) => Err(bad(&why)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// One contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contact {
    /// What commands name it by; stable.
    pub id: String,
    /// The formatted name.
    pub name: String,
    /// Numbers and SIP addresses, as they can be dialled, the preferred one first.
    pub numbers: Vec<NumberLabel>,
    /// The organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// It has changes that the server does not have yet.
    pub unsent: bool,
}

/// A contact with what a search looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Indexed {
    pub(super) contact: Contact,
    /// Folded words, each once, with blanks between.
    words: Box<str>,
    /// The digits of its numbers.
    keys: Box<[Box<str>]>,
}

impl Indexed {
    pub(super) fn new(file: &str, card: &Card, unsent: bool) -> Self {
        let stem = file.rsplit('/').next().unwrap_or(file);
        let stem = stem.strip_suffix(".vcf").unwrap_or(stem);
        let numbers = card.numbers();
        let keys = numbers.iter().filter_map(|number| number_key(&number.number)).map(String::into_boxed_str);
        Self {
            words: card.searched_words().into_boxed_str(),
            keys: keys.collect(),
            contact: Contact {
                id: card.uid().unwrap_or_else(|| stem.to_owned()),
                name: card.name(),
                numbers,
                organisation: card.organisation(),
                unsent,
            },
        }
    }
}

/// What is searched for.
#[derive(Debug, Clone)]
pub(super) struct Query {
    words: Vec<String>,
    digits: Option<String>,
    /// It begins with a plus sign: the beginning of a number, too.
    from_start: bool,
    address: Option<String>,
}

/// The fewest digits of a number that is searched by its end.
const FEWEST_DIGITS: usize = 3;
/// A number that was stored without its country is found by a whole one, when so many digits are the same.
const NATIONAL_DIGITS: usize = 7;

impl Query {
    pub(super) fn new(text: &str) -> Self {
        let folded = super::vcard::fold(text);
        Self {
            words: super::vcard::words(&folded).map(str::to_owned).collect(),
            digits: number_key(text).filter(|digits| digits.len() >= FEWEST_DIGITS),
            from_start: text.trim().starts_with('+'),
            address: text.contains('@').then(|| folded.trim().to_owned()),
        }
    }

    /// Every word begins a word of the name, or the digits end a number.
    pub(super) fn finds(&self, indexed: &Indexed) -> bool {
        if let Some(digits) = &self.digits
            && indexed.keys.iter().any(|key| self.same_number(digits, key))
        {
            return true;
        }
        if let Some(address) = &self.address {
            let numbers = &indexed.contact.numbers;
            return numbers.iter().any(|number| super::vcard::fold(&number.number).contains(address));
        }
        let begins = |word: &String| indexed.words.split(' ').any(|own| own.starts_with(word.as_str()));
        !self.words.is_empty() && self.words.iter().all(begins)
    }

    fn same_number(&self, digits: &str, key: &str) -> bool {
        key.ends_with(digits)
            || (self.from_start && key.starts_with(digits))
            || (key.len() >= NATIONAL_DIGITS && digits.ends_with(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_dialled_is_a_number_and_the_rest_is_told() {
        for good in [
            "+1 (555) 555-0100",
            "411",
            "*86",
            "911",
            "sip:bob@relay.test",
            "bob@relay.test",
            "tel:+15555550100",
        ] {
            assert_eq!(check_number(good), Ok(()), "{good}");
        }
        for (bad, words) in [
            ("notanumber", "neither a number"),
            ("", "neither a number"),
            ("+", "neither a number"),
            ("555-CALL", "neither a number"),
            ("https://relay.test/bob", "on the web"),
            ("sip:bob@relay.test?a=b", "headers behind"),
        ] {
            let error = check_number(bad).unwrap_err();
            assert!(error.to_string().contains(words), "{bad}: {error}");
        }
    }
}
