//! The text of a scenario as a tree in which every value knows its line and column.
//!
//! A deliberate part of YAML 1.2: mappings, lists and scalars in any style. Scalars stay the text that was written (`911`, `+1555`,
//! `no` are never turned into something else). Anchors, aliases, tags and several documents are refused, so that a file is as large
//! as it looks. Knows nothing of scenarios.

use std::fmt;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Where something stands: line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Something that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Where; none when it stands on the command line.
    pub(crate) at: Option<Place>,
    /// What is wrong, and what would be right.
    pub(crate) why: String,
    /// The code of a mistake of the command line; none for one of the file.
    pub(crate) code: Option<&'static str>,
}

impl Mistake {
    pub(crate) fn new(at: Place, why: impl Into<String>) -> Self {
        Self { at: Some(at), why: why.into(), code: None }
    }

    /// What the command line says cannot be used, or does not go with the file: `why` names the flag.
    pub(crate) fn of_the_command_line(code: &'static str, why: impl Into<String>) -> Self {
        Self { at: None, why: why.into(), code: Some(code) }
    }

    /// With the file and the place in it, where it stands in one.
    pub(crate) fn told(&self, file: impl fmt::Display) -> String {
        match self.at {
            Some(at) => format!("{file}:{at}: {}", self.why),
            None => self.why.clone(),
        }
    }
}

/// What is told of all mistakes: their code and their words, each once. The code is the command line's own where all of them are its.
pub(crate) fn all_told(mistakes: &[(String, Option<&'static str>)]) -> (&'static str, String) {
    let mut lines: Vec<&str> = Vec::new();
    for (told, _) in mistakes {
        if !lines.contains(&told.as_str()) {
            lines.push(told);
        }
    }
    let of_file = mistakes.iter().any(|(_, code)| code.is_none());
    let code = mistakes.iter().find_map(|(_, code)| *code).filter(|_| !of_file);
    (code.unwrap_or("scenario.invalid"), lines.join("\n  "))
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Where it begins.
    pub(crate) at: Place,
    /// What it is.
    pub(crate) value: Value,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Nothing,
    /// The text as it was written, without its quotes.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the file; no key stands twice.
    Map(Vec<(Key, Node)>),
}

/// A key and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    /// Where.
    pub(crate) at: Place,
    /// The word.
    pub(crate) name: String,
}

/// The largest file that is read.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// How deep values may be nested.
const MAX_DEPTH: usize = 32;

/// Reads one document.
pub(crate) fn read(text: &str) -> Result<Node, Mistake> {
    let start = Place { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        return Err(Mistake::new(start, format!("a scenario is at most {MAX_BYTES} bytes")));
    }
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = Place { line: error.marker().line(), column: error.marker().col() + 1 };
            Mistake::new(at, format!("this is no YAML: {}", error.info()))
        })?;
        tree.take(event, place(span))?;
    }
    tree.root.ok_or_else(|| Mistake::new(start, "the file is empty: a scenario has at least `steps`"))
}

fn place(span: Span) -> Place {
    Place { line: span.start.line(), column: span.start.col() + 1 }
}

/// The tree while it grows.
#[derive(Default)]
struct Tree {
    root: Option<Node>,
    open: Vec<Open>,
}

/// A list or mapping whose end has not come.
struct Open {
    at: Place,
    what: Growing,
}

enum Growing {
    List(Vec<Node>),
    Map(Vec<(Key, Node)>, Option<Key>),
}

impl Tree {
    fn take(&mut self, event: Event<'_>, at: Place) -> Result<(), Mistake> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                plain(at, anchor, tag.is_some())?;
                let nothing = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null");
                let value = if nothing { Value::Nothing } else { Value::Text(text.into_owned()) };
                self.add(Node { at, value })
            }
            Event::SequenceStart(anchor, tag) => {
                plain(at, anchor, tag.is_some())?;
                self.open(at, Growing::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                plain(at, anchor, tag.is_some())?;
                self.open(at, Growing::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { at, what }) = self.open.pop() else { return Ok(()) };
                let value = match what {
                    Growing::List(items) => Value::List(items),
                    Growing::Map(entries, _) => Value::Map(entries),
                };
                self.add(Node { at, value })
            }
            Event::Alias(_) => Err(Mistake::new(
                at,
                "`*` begins an alias, and scenarios have none: put a text that begins with * in quotes; what repeats goes into \
                 `vars`, `repeat` or `for`",
            )),
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(Mistake::new(at, "a file holds one scenario: a second document begins here"))
            }
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd => Ok(()),
        }
    }

    fn open(&mut self, at: Place, what: Growing) -> Result<(), Mistake> {
        if self.open.len() == MAX_DEPTH {
            return Err(Mistake::new(at, format!("values are nested more than {MAX_DEPTH} deep")));
        }
        self.open.push(Open { at, what });
        Ok(())
    }

    fn add(&mut self, node: Node) -> Result<(), Mistake> {
        match self.open.last_mut().map(|open| &mut open.what) {
            None => self.root = Some(node),
            Some(Growing::List(items)) => items.push(node),
            Some(Growing::Map(entries, key)) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let Value::Text(name) = node.value else {
                        return Err(Mistake::new(node.at, "a key is a word"));
                    };
                    if let Some((first, _)) = entries.iter().find(|(known, _)| known.name == name) {
                        let why = format!(
                            "`{name}` stands here for the second time; first in line {}",
                            first.at.line
                        );
                        return Err(Mistake::new(node.at, why));
                    }
                    *key = Some(Key { at: node.at, name });
                }
            },
        }
        Ok(())
    }
}

/// Neither anchor nor tag.
fn plain(at: Place, anchor: usize, tagged: bool) -> Result<(), Mistake> {
    match (anchor, tagged) {
        (0, false) => Ok(()),
        (_, true) => Err(Mistake::new(
            at,
            "`!` begins a tag, and scenarios have none: put a text that begins with ! in quotes",
        )),
        _ => Err(Mistake::new(
            at,
            "`&` begins an anchor, and scenarios have none: put a text that begins with & in quotes",
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(node: &Node) -> &str {
        let Value::Text(text) = &node.value else { panic!("{node:?}") };
        text
    }

    fn map(node: &Node) -> &[(Key, Node)] {
        let Value::Map(entries) = &node.value else { panic!("{node:?}") };
        entries
    }

    #[test]
    fn values_know_their_places_and_stay_as_they_were_written() {
        let root = read("call: 911\nto: {number: +1555, ok: no}\nkeys: \"*#\"\nempty:\n").unwrap();
        let entries = map(&root);
        assert_eq!((text(&entries[0].1), entries[0].1.at), ("911", Place { line: 1, column: 7 }));
        assert_eq!(entries[1].0.at, Place { line: 2, column: 1 });
        let inner = map(&entries[1].1);
        assert_eq!((text(&inner[0].1), text(&inner[1].1)), ("+1555", "no"));
        assert_eq!(inner[1].0.at, Place { line: 2, column: 21 });
        assert_eq!(text(&entries[2].1), "*#");
        assert_eq!(entries[3].1.value, Value::Nothing);
    }

    #[test]
    fn what_is_no_scenario_text_is_told_with_its_place() {
        for (bad, line, word) in [
            ("a: 1\nb: [1, 2\n", 3, "no YAML"),
            ("a: 1\na: 2\n", 2, "second time"),
            ("a: &x 1\n", 1, "anchor"),
            ("a: *x\n", 1, ""),
            ("a: !!int 1\n", 1, "tag"),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("", 1, "empty"),
            ("? [1]\n: 2\n", 1, "a key is a word"),
        ] {
            let mistake = read(bad).unwrap_err();
            assert!(
                mistake.at.map(|at| at.line) == Some(line) && mistake.why.contains(word),
                "{bad:?}: {mistake:?}"
            );
        }
        assert!(read(&"[".repeat(100)).unwrap_err().why.contains("nested"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-:\\[\\]{}#&*!|>'\"%@` \na-c0-9~?,.]{0,80}") {
            drop(read(&text));
        }
    }
}
