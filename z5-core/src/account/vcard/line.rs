//! One content line of a vCard (RFC 6350 section 3.3), kept as it was written: group, name, parameters and value are views of its
//! text. Knows folding (section 3.2), quoted parameters, RFC 6868's carets and the escapes of values (section 3.4). It does not judge
//! whether a value fits its property.

use std::borrow::Cow;

/// Octets of a physical line, without its end (RFC 6350 section 3.2).
const FOLD_AT: usize = 75;

/// A content line without its folding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line {
    text: String,
}

/// A parameter as it stands; `name` is empty for the bare types of vCard 2.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param<'a> {
    /// As written; compare without case.
    pub name: &'a str,
    /// Its values without quotes and carets.
    pub values: Vec<Cow<'a, str>>,
}

impl Line {
    /// Takes an unfolded line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: impl Into<String>) -> Result<Self, String> {
        let line = Self { text: text.into() };
        let Some(colon) = line.colon() else {
            return Err("there is no colon in it: NAME:value is expected".to_owned());
        };
        let (head, _) = line.text.split_at(colon);
        let name = line.name();
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(format!("`{}` is no property name", shorten(head.split(';').next().unwrap_or(head))));
        }
        if line.text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(format!("the value of {name} has a control character"));
        }
        Ok(line)
    }

    /// Makes a line; `params` are `(name, value)` and are quoted where they must be, `value` is written as it is.
    pub fn new(name: &str, params: &[(&str, &str)], value: &str) -> Self {
        let mut text = name.to_owned();
        for (name, value) in params {
            text.push_str(&format!(";{name}={}", param_text(value)));
        }
        text.push(':');
        text.extend(value.chars().filter(|c| !c.is_control() || *c == '\t'));
        Self { text }
    }

    /// The whole line.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `item1` of `item1.TEL:...`.
    pub fn group(&self) -> Option<&str> {
        self.label().split_once('.').map(|(group, _)| group)
    }

    /// The property name as written; compare without case.
    pub fn name(&self) -> &str {
        let label = self.label();
        label.split_once('.').map_or(label, |(_, name)| name)
    }

    /// Whether this is the property.
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    /// The value as written, escapes included.
    pub fn value(&self) -> &str {
        self.colon().map_or("", |at| &self.text[at + 1..])
    }

    /// The value as text: escapes undone.
    pub fn text(&self) -> String {
        unescape(self.value().trim())
    }

    /// The components of a structured value (`N`, `ADR`, `ORG`), each a list.
    pub fn components(&self) -> Vec<Vec<String>> {
        let list = |part: &str| split(part, ',').map(unescape).collect();
        split(self.value(), ';').map(list).collect()
    }

    /// The values of a list (`NICKNAME`, `CATEGORIES`).
    pub fn list(&self) -> Vec<String> {
        split(self.value(), ',').map(unescape).collect()
    }

    /// The parameters in their order.
    pub fn params(&self) -> Vec<Param<'_>> {
        let head = self.colon().map_or(self.text.as_str(), |at| &self.text[..at]);
        let parts = split_quoted(head, ';').skip(1);
        parts
            .map(|part| match part.split_once('=') {
                None => Param { name: "", values: vec![Cow::Borrowed(part.trim())] },
                Some((name, values)) => {
                    let values = split_quoted(values, ',').map(param_value).collect();
                    Param { name: name.trim(), values }
                }
            })
            .collect()
    }

    /// The first value of a parameter.
    pub fn param(&self, name: &str) -> Option<String> {
        let params = self.params();
        let found = params.iter().find(|param| param.name.eq_ignore_ascii_case(name))?;
        found.values.first().map(|value| value.clone().into_owned())
    }

    /// The types (`TYPE=work`, `TYPE="voice,video"`, the bare ones of vCard 2.1), in small letters.
    pub fn types(&self) -> Vec<String> {
        let mut types = Vec::new();
        for param in self.params() {
            if param.name.is_empty() || param.name.eq_ignore_ascii_case("TYPE") {
                let values = param.values.iter().flat_map(|value| value.split(','));
                types.extend(values.map(|value| value.trim().to_ascii_lowercase()));
            }
        }
        types
    }

    /// How much it is preferred: 1 is most (RFC 6350 section 5.3, and the type `pref` of vCard 3.0); 101 without a word.
    pub fn preference(&self) -> u8 {
        if let Some(pref) = self.param("PREF").and_then(|text| text.trim().parse().ok()) {
            return pref;
        }
        if self.types().iter().any(|name| name == "pref") { 1 } else { 101 }
    }

    /// The same line in another group, or in none.
    #[must_use]
    pub fn in_group(&self, group: Option<&str>) -> Self {
        let rest = &self.text[self.group().map_or(0, |group| group.len() + 1)..];
        Self { text: group.map_or_else(|| rest.to_owned(), |group| format!("{group}.{rest}")) }
    }

    /// The same property with other parameters and another value.
    #[must_use]
    pub(crate) fn with(&self, params: &[(String, Vec<String>)], value: &str) -> Self {
        let mut text = self.label().to_owned();
        for (name, values) in params {
            let values: Vec<String> = values.iter().map(|value| param_text(value)).collect();
            let equals = if name.is_empty() { "" } else { "=" };
            text.push_str(&format!(";{name}{equals}{}", values.join(",")));
        }
        text.push(':');
        text.push_str(value);
        Self { text }
    }

    /// Appends the line, folded and with its end.
    pub fn write_to(&self, out: &mut String) {
        let mut room = FOLD_AT;
        for c in self.text.chars() {
            if c.len_utf8() > room {
                out.push_str("\r\n ");
                room = FOLD_AT - 1;
            }
            room -= c.len_utf8();
            out.push(c);
        }
        out.push_str("\r\n");
    }

    /// `group.NAME`.
    fn label(&self) -> &str {
        let end = self.text.find([';', ':']).unwrap_or(self.text.len());
        &self.text[..end]
    }

    /// The first colon outside quotes.
    fn colon(&self) -> Option<usize> {
        let mut quoted = false;
        self.text.bytes().position(|byte| {
            quoted ^= byte == b'"';
            byte == b':' && !quoted
        })
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// So much of a text as fits a message.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

/// Splits outside quotes.
fn split_quoted(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == at && !quoted
    })
}

/// Splits where the separator is not escaped.
pub(crate) fn split(value: &str, at: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    value.split(move |c: char| {
        let here = c == at && !escaped;
        escaped = c == '\\' && !escaped;
        here
    })
}

/// A parameter value without its quotes, RFC 6868's carets undone.
fn param_value(text: &str) -> Cow<'_, str> {
    let bare = text.trim();
    let bare = bare.strip_prefix('"').and_then(|bare| bare.strip_suffix('"')).unwrap_or(bare);
    if !bare.contains('^') {
        return Cow::Borrowed(bare);
    }
    let mut out = String::with_capacity(bare.len());
    let mut chars = bare.chars().peekable();
    while let Some(c) = chars.next() {
        let meant = match (c, chars.peek()) {
            ('^', Some('n' | 'N')) => '\n',
            ('^', Some('\'')) => '"',
            ('^', Some('^')) => '^',
            _ => {
                out.push(c);
                continue;
            }
        };
        chars.next();
        out.push(meant);
    }
    Cow::Owned(out)
}

/// A parameter value as it is written: quoted where it must be, RFC 6868's carets for what quotes cannot hold.
fn param_text(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\n' => text.push_str("^n"),
            '"' => text.push_str("^'"),
            '^' => text.push_str("^^"),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    if text.contains([',', ';', ':']) { format!("\"{text}\"") } else { text }
}

/// Undoes backslash escapes (RFC 6350 section 3.4).
pub(crate) fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => out.push('\n'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

/// Escapes text as a value or as a part of one.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ',' | ';' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() && c != '\t' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line::parse(text).unwrap()
    }

    #[test]
    fn a_line_is_seen_by_its_parts_and_stays_as_it_was() {
        let text = "item1.Tel;TYPE=\"work,voice\";X-A=\"a;b:c\",d;HOME:tel:+1\\,2";
        let line = line(text);
        assert_eq!((line.group(), line.name(), line.value()), (Some("item1"), "Tel", "tel:+1\\,2"));
        assert_eq!(line.types(), ["work", "voice", "home"]);
        assert_eq!(line.param("x-a").as_deref(), Some("a;b:c"));
        assert_eq!((line.as_str(), line.text().as_str()), (text, "tel:+1,2"));
        assert_eq!(line.in_group(None).as_str(), text.strip_prefix("item1.").unwrap());
    }

    #[test]
    fn structured_values_split_at_what_is_not_escaped() {
        let n = line("N:St\\;John\\\\;a,b\\,c;;Dr.");
        assert_eq!(n.components(), [vec!["St;John\\"], vec!["a", "b,c"], vec![""], vec!["Dr."]]);
        assert_eq!(line("NICKNAME:a,b").list(), ["a", "b"]);
        assert_eq!(unescape("a\\nb\\"), "a\nb\\");
    }

    #[test]
    fn parameters_with_quotes_and_newlines_go_there_and_back() {
        let value = "a \"b\"\n^c, d;e:f";
        let made = Line::new("ADR", &[("LABEL", value)], ";;x");
        assert_eq!(made.as_str(), "ADR;LABEL=\"a ^'b^'^n^^c, d;e:f\":;;x");
        assert_eq!(made.param("label").as_deref(), Some(value));
    }

    #[test]
    fn folding_splits_no_character() {
        let made = Line::new("NOTE", &[], &"é".repeat(100));
        let mut out = String::new();
        made.write_to(&mut out);
        assert!(out.lines().all(|line| line.len() <= FOLD_AT), "{out}");
        assert_eq!(out.replace("\r\n ", "").trim_end(), made.as_str());
        assert_eq!(out.lines().count(), 3);
    }

    #[test]
    fn what_is_no_line_is_told() {
        assert!(Line::parse("nonsense").unwrap_err().contains("no colon"));
        assert!(Line::parse("A B:c").unwrap_err().contains("`A B`"));
        assert!(Line::parse(":c").unwrap_err().contains("no property name"));
        assert!(Line::parse("FN:a\u{1}").unwrap_err().contains("control"));
        assert!(Line::parse("FN;X=\"a:b").unwrap_err().contains("no colon"));
    }
}
