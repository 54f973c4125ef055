//! What the sources of a mixer are called (RFC 9071, by RTCP SDES): the label of who typed. The person's name, or where the
//! mixer gives none the canonical one.

use crate::rtcp::{Called, descriptions};

/// Sources whose names are kept; of more, the one that was described longest ago is forgotten.
const MAX_SOURCES: usize = 32;
/// Characters of a label at most.
const MAX_LABEL: usize = 64;

#[derive(Debug, Clone, Default)]
struct Names {
    name: String,
    canonical: String,
}

/// The labels of a stream's sources, the one described last at the end.
#[derive(Debug, Clone, Default)]
pub struct Labels(Vec<(u32, Names)>);

impl Labels {
    /// Takes a compound of the mixer, opened and found good.
    pub fn take(&mut self, compound: &[u8]) {
        descriptions(compound, |source, called| {
            let known = self.0.iter().position(|(known, _)| *known == source);
            let mut names = known.map(|at| self.0.remove(at).1).unwrap_or_default();
            match called {
                Called::Name(text) => names.name = label(text),
                Called::Cname(text) => names.canonical = label(text),
            }
            if self.0.len() == MAX_SOURCES {
                self.0.remove(0);
            }
            self.0.push((source, names));
        });
    }

    /// What a source is called, if the mixer has said it.
    #[must_use]
    pub fn of(&self, source: u32) -> Option<&str> {
        let (_, names) = self.0.iter().find(|(known, _)| *known == source)?;
        [&names.name, &names.canonical].into_iter().find(|name| !name.is_empty()).map(String::as_str)
    }
}

/// A name as it may be shown: without characters that steer a terminal or the direction of writing.
fn label(text: &[u8]) -> String {
    let steers = |c: &char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let text = String::from_utf8_lossy(text);
    text.trim().chars().filter(|c| !steers(c)).take(MAX_LABEL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A description of one source: NAME is item 2, CNAME item 1.
    fn described(source: u32, items: &[(u8, &str)]) -> Vec<u8> {
        let mut body = source.to_be_bytes().to_vec();
        for (kind, text) in items {
            body.extend([*kind, text.len() as u8]);
            body.extend(text.as_bytes());
        }
        body.resize(body.len() / 4 * 4 + 4, 0);
        [vec![0x81, 202, 0, (body.len() / 4) as u8], body].concat()
    }

    #[test]
    fn a_source_is_called_by_its_name_or_else_by_its_canonical_one() {
        let mut labels = Labels::default();
        labels.take(&described(7, &[(1, "7@mixer")]));
        labels.take(&described(9, &[(1, "9@mixer"), (2, "Bo")]));
        assert_eq!((labels.of(7), labels.of(9), labels.of(11)), (Some("7@mixer"), Some("Bo"), None));
        labels.take(&described(7, &[(2, " \u{1b}[2JAnn\u{202e}\n ")]));
        labels.take(&described(9, &[(2, "")]));
        assert_eq!((labels.of(7), labels.of(9)), (Some("[2JAnn"), Some("9@mixer")));
        labels.take(&described(7, &[(2, &"x".repeat(255))]));
        assert_eq!(labels.of(7).map(str::len), Some(MAX_LABEL));
    }

    #[test]
    fn names_without_end_take_no_memory_and_those_that_are_repeated_stay() {
        let mut labels = Labels::default();
        for n in 0..1000 {
            labels.take(&described(1, &[(2, "Ann")]));
            labels.take(&described(100 + n, &[(2, "x")]));
        }
        assert_eq!((labels.0.len(), labels.of(1), labels.of(100)), (MAX_SOURCES, Some("Ann"), None));
    }
}
