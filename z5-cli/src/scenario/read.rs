//! Reading values of a scenario: text with its variables filled in, words of a list, mappings with known keys.
//!
//! Every mistake is kept with its place and reading goes on, so that one run tells all of them. Knows the forms, not the language.

use std::collections::BTreeMap;

use super::yaml::{Key, Mistake, Node, Place, Value};
use crate::expect::nearest;

/// What has been found out while reading.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// What `${name}` stands for.
    pub(super) vars: BTreeMap<String, String>,
    /// Everything that is wrong so far.
    pub(super) mistakes: Vec<Mistake>,
}

/// The entries of a mapping; each is taken once.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    /// Where the mapping begins.
    pub(super) at: Place,
    entries: Vec<(&'n Key, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// The value of a key that is there, also when it says nothing.
    pub(super) fn take_even_empty(&mut self, name: &str) -> Option<&'n Node> {
        let found = self.entries.iter().position(|(key, _)| key.name == name)?;
        Some(self.entries.swap_remove(found).1)
    }

    /// The value of a key that is there and says something.
    pub(super) fn take(&mut self, name: &str) -> Option<&'n Node> {
        self.take_even_empty(name).filter(|node| node.value != Value::Nothing)
    }
}

impl Reading {
    pub(super) fn mistake(&mut self, at: Place, why: impl Into<String>) {
        self.mistakes.push(Mistake::new(at, why));
    }

    /// The mapping, without the keys that nobody knows: those are told with the nearest one that is known.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Fields<'n> {
        let mut fields = Fields { at: node.at, entries: Vec::new() };
        match &node.value {
            Value::Nothing => {}
            Value::Map(entries) => {
                for (key, value) in entries {
                    if known.contains(&key.name.as_str()) {
                        fields.entries.push((key, value));
                    } else {
                        let why = unknown(&format!("{what} has no key"), &key.name, known.iter().copied());
                        self.mistake(key.at, why);
                    }
                }
            }
            Value::Text(_) | Value::List(_) => {
                self.mistake(node.at, format!("{what} is written as keys and values: {}", known.join(", ")));
            }
        }
        fields
    }

    /// A text, with its variables filled in.
    pub(super) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.value {
            Value::Text(text) => match fill(text, &self.vars) {
                Ok(text) => Some(text),
                Err(why) => {
                    self.mistake(node.at, why);
                    None
                }
            },
            Value::Nothing => {
                self.mistake(node.at, format!("{what} says nothing"));
                None
            }
            Value::List(_) | Value::Map(_) => {
                self.mistake(node.at, format!("{what} is a single value"));
                None
            }
        }
    }

    /// A text that means something.
    pub(super) fn parsed<T>(
        &mut self,
        node: &Node,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(node, what)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(why) => {
                // what the file does not show: the value came from `vars` or --set
                let filled = match &node.value {
                    Value::Text(written) if *written != text => format!(" (`{written}` is `{text}` here)"),
                    Value::Text(_) | Value::Nothing | Value::List(_) | Value::Map(_) => String::new(),
                };
                self.mistake(node.at, format!("{what}: {why}{filled}"));
                None
            }
        }
    }

    /// One text, or a list of them.
    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Vec<(Place, String)> {
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Nothing | Value::Text(_) | Value::Map(_) => std::slice::from_ref(node),
        };
        items.iter().filter_map(|item| Some((item.at, self.text(item, what)?))).collect()
    }

    /// The items of a list.
    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Nothing | Value::Text(_) | Value::Map(_) => {
                self.mistake(node.at, format!("{what} is a list: write `- ` before each item"));
                &[]
            }
        }
    }

    pub(super) fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        self.parsed(node, what, |text| match text {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            other => Err(format!("`{other}` is neither yes nor no")),
        })
    }
}

/// "`x has no key `audoi`; did you mean `audio`?", or the list when nothing is near.
pub(super) fn unknown<'a>(
    what: &str,
    word: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    match nearest(word, known.clone()) {
        Some(near) => format!("{what} `{word}`; did you mean `{near}`?"),
        None => format!("{what} `{word}`; there are {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

/// `${name}` is replaced, `$$` is a dollar sign.
fn fill(text: &str, vars: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            let Some(value) = vars.get(name) else {
                return Err(unknown("there is no variable", name, vars.keys().map(String::as_str)));
            };
            out.push_str(value);
            rest = after;
        } else {
            return Err("`$` begins a variable: write ${name}, or $$ for a dollar sign".to_owned());
        }
    }
    Ok(out + rest)
}

pub(super) use crate::read::time as duration;

/// A share in percent.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match number {
        Some(share) if (0.0..=100.0).contains(&share) => Ok(share / 100.0),
        _ => Err(format!("`{text}` is no share: write for example 2.5%")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in() {
        let vars = BTreeMap::from([("who".to_owned(), "echo".to_owned())]);
        assert_eq!(fill("to ${who} for $$5", &vars), Ok("to echo for $5".to_owned()));
        assert!(fill("${whoo}", &vars).unwrap_err().contains("did you mean `who`"));
        assert!(fill("5$", &vars).is_err() && fill("${who", &vars).is_err());
    }

    #[test]
    fn a_share_is_written_in_percent() {
        assert_eq!(percent("2.5%"), Ok(0.025));
        assert!(percent("0.1").is_err() && percent("101%").is_err());
    }
}
