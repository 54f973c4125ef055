//! What a videophone shows and dials of a card, and how numbers and names are compared: numbers by their digits (E.164), names without
//! case and diacritics.

use serde::Serialize;

use super::{Card, Line};

/// A number of a contact and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NumberLabel {
    /// A number or a SIP address, as it can be dialled.
    pub number: String,
    /// `work`, `home`, `video` and the like, and the label a person gave (`X-ABLabel`).
    pub labels: Vec<String>,
}

impl Card {
    /// The name: FN, the most preferred one.
    pub fn name(&self) -> String {
        let name = self.all("FN").min_by_key(|line| line.preference());
        name.map(Line::text).map(|name| name.trim().to_owned()).unwrap_or_default()
    }

    /// The organisation, its parts with a comma between them.
    pub fn organisation(&self) -> Option<String> {
        let parts = self.first("ORG")?.components();
        let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.trim().is_empty()).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// The mail addresses.
    pub fn emails(&self) -> Vec<String> {
        let texts = self.all("EMAIL").map(Line::text);
        texts.map(|text| text.strip_prefix("mailto:").map(str::to_owned).unwrap_or(text)).collect()
    }

    /// The identity (UID) without the prefix of a UUID.
    pub fn uid(&self) -> Option<String> {
        let text = self.first("UID")?.text();
        let text = text.trim();
        let bare = text.strip_prefix("urn:uuid:").unwrap_or(text);
        (!bare.is_empty()).then(|| bare.to_owned())
    }

    /// Numbers and SIP addresses, the most preferred first, each once.
    pub fn numbers(&self) -> Vec<NumberLabel> {
        let mut lines: Vec<&Line> =
            self.lines().iter().filter(|line| line.is("TEL") || line.is("IMPP")).collect();
        lines.sort_by_key(|line| line.preference());
        let mut numbers: Vec<NumberLabel> = Vec::new();
        for line in lines {
            let Some(number) = dialled(line) else { continue };
            if numbers.iter().any(|known| known.number == number) {
                continue;
            }
            let mut labels = line.types();
            labels.retain(|label| label != "pref" && !label.is_empty());
            labels.extend(self.label_of(line));
            numbers.push(NumberLabel { number, labels });
        }
        numbers
    }

    /// `item1.X-ABLabel` beside `item1.TEL`.
    fn label_of(&self, line: &Line) -> Option<String> {
        let group = line.group()?;
        let label = self.all("X-ABLabel").find(|label| label.group() == Some(group))?.text();
        let label = label.trim();
        Some(
            label
                .strip_prefix("_$!<")
                .and_then(|label| label.strip_suffix(">!$_"))
                .unwrap_or(label)
                .to_owned(),
        )
    }

    /// The name that the parts of N make.
    pub(super) fn structured_name(&self) -> Option<String> {
        let parts = self.first("N")?.components();
        let part = |at: usize| parts.get(at).map(|part| part.join(" ")).unwrap_or_default();
        let name = [part(3), part(1), part(2), part(0), part(4)];
        let name: Vec<&str> = name.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
        (!name.is_empty()).then(|| name.join(" "))
    }

    /// The words that a search by name looks at.
    pub(crate) fn searched_words(&self) -> String {
        let mut text = self.name();
        for line in self.lines() {
            if ["N", "NICKNAME", "ORG"].iter().any(|name| line.is(name)) {
                text.push(' ');
                text.push_str(&line.value().replace("\\n", " ").replace([';', ',', '\\'], " "));
            }
        }
        let folded = fold(&text);
        let mut words: Vec<&str> = words(&folded).collect();
        words.sort_unstable();
        words.dedup();
        words.join(" ")
    }
}

/// What is dialled for a TEL or IMPP line; None for what z5 cannot dial.
fn dialled(line: &Line) -> Option<String> {
    let text = line.text();
    let text = text.trim();
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("sip" | "sips") => Some(text.to_owned()),
        // RFC 3966: what is dialled is in front of the parameters.
        Some("tel") => Some(text["tel:".len()..].split(';').next()?.to_owned()),
        Some(_) if line.is("IMPP") => None,
        _ => Some(text.to_owned()),
    }
    .filter(|number| !number.is_empty())
}

/// Whether it is a global number as RFC 3966 writes one.
pub(crate) fn is_e164(number: &str) -> bool {
    let Some(digits) = number.strip_prefix('+') else { return false };
    (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The digits by which numbers are compared: without separators, in international form where that can be told (a plus sign, or the
/// prefixes 00 and 011). None for what is no number, such as a SIP address with a name.
pub fn number_key(number: &str) -> Option<String> {
    let bare = number.trim();
    let scheme = bare.split_once(':').map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
    let bare = match &scheme {
        Some((scheme, rest)) if ["sip", "sips"].contains(&scheme.as_str()) => rest.split('@').next()?,
        Some((scheme, rest)) if scheme == "tel" => rest,
        Some(_) => return None,
        None => bare,
    };
    let bare = bare.split(';').next()?;
    let separators = |c: char| c.is_whitespace() || "-.()/\u{2010}\u{2011}\u{2013}\u{a0}".contains(c);
    let plain: String = bare.chars().filter(|c| !separators(*c)).collect();
    let (plus, digits) = match plain.strip_prefix('+') {
        Some(digits) => (true, digits),
        None => (false, plain.as_str()),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit() || b"*#".contains(&byte)) {
        return None;
    }
    let international = digits.strip_prefix("011").or_else(|| digits.strip_prefix("00"));
    Some(match international {
        Some(rest) if !plus && rest.len() >= 7 => rest.to_owned(),
        _ => digits.to_owned(),
    })
}

/// Words of a folded text.
pub(crate) fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Small letters without diacritics: compatibility decomposition (UAX #15), combining marks dropped, and the Latin letters that
/// Unicode does not take apart.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let nfkd = icu_normalizer::DecomposingNormalizerBorrowed::new_nfkd();
    let mut out = String::with_capacity(text.len());
    for c in nfkd.normalize(text).chars().flat_map(char::to_lowercase) {
        match c {
            '\u{300}'..='\u{36f}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}'
            | '\u{fe20}'..='\u{fe2f}' => {}
            'ß' => out.push_str("ss"),
            'æ' => out.push_str("ae"),
            'œ' => out.push_str("oe"),
            'þ' => out.push_str("th"),
            'ø' => out.push('o'),
            'đ' | 'ð' => out.push('d'),
            'ł' => out.push('l'),
            'ħ' => out.push('h'),
            'ı' => out.push('i'),
            'ŧ' => out.push('t'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_with_their_labels_the_preferred_first() {
        let card = Card::parse(
            "BEGIN:VCARD\nVERSION:4.0\nFN;PREF=2:B\nFN;PREF=1: Bob \\, Builder \nTEL;VALUE=uri;TYPE=\"work,video\":\
tel:+15555550102;ext=7\nitem1.TEL;PREF=1:411\nitem1.X-ABLabel:_$!<Info>!$_\nTEL:+15555550102\nIMPP:sip:bob@a.test\n\
IMPP:xmpp:bob@a.test\nORG:Acme;Video\nEMAIL:mailto:b@a.test\nUID:urn:uuid:u1\nEND:VCARD\n",
        )
        .unwrap();
        assert_eq!(card.name(), "Bob , Builder");
        let numbers: Vec<_> =
            card.numbers().into_iter().map(|number| (number.number, number.labels.join(" "))).collect();
        let wanted = [("411", "Info"), ("+15555550102", "work video"), ("sip:bob@a.test", "")];
        assert_eq!(numbers, wanted.map(|(number, labels)| (number.to_owned(), labels.to_owned())));
        assert_eq!(card.organisation().as_deref(), Some("Acme, Video"));
        assert_eq!((card.uid().as_deref(), card.emails()), (Some("u1"), vec!["b@a.test".to_owned()]));
    }

    #[test]
    fn names_are_folded_by_case_and_diacritics() {
        for (written, folded) in [
            ("Émile ÅNGSTRÖM", "emile angstrom"),
            ("Straße", "strasse"),
            ("Łódź Ørsted", "lodz orsted"),
            ("İstanbul ﬁ", "istanbul fi"),
            ("Ёлка", "елка"),
        ] {
            assert_eq!(fold(written), folded);
        }
    }

    #[test]
    fn numbers_are_compared_by_their_digits() {
        for (written, key) in [
            ("+1 (555) 555-0102", Some("15555550102")),
            ("tel:+1-555-555-0102;ext=3", Some("15555550102")),
            ("sip:+15555550102@a.test;user=phone", Some("15555550102")),
            ("0049 30 123456", Some("4930123456")),
            ("01149 30 123456", Some("4930123456")),
            ("911", Some("911")),
            ("*72", Some("*72")),
            ("sip:bob@a.test", None),
            ("bob", None),
            ("", None),
        ] {
            assert_eq!(number_key(written).as_deref(), key, "{written}");
        }
    }

    #[test]
    fn a_new_card_says_each_number_as_fits_it() {
        let numbers = ["+15555550102", "411", "sip:bob@a.test", "tel:+1"].map(str::to_owned);
        let card = Card::new("u", "A, B", &numbers);
        let read: Vec<_> = card.numbers().into_iter().map(|number| number.number).collect();
        assert_eq!(read, ["+15555550102", "411", "sip:bob@a.test", "+1"]);
        assert_eq!((card.name().as_str(), card.uid().as_deref()), ("A, B", Some("u")));
        assert_eq!(Card::parse(&card.to_text()), Ok(card));
    }
}
