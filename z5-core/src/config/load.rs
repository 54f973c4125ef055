//! From a TOML file to a [`Config`], with the place of every problem.

use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::de::{DeTable, DeValue, Deserializer};
use z5_media::file::{self, Limit, words};

use super::{Config, ConfigError, Problem, ProblemKind, schema};

impl Config {
    /// Reads and checks a file. Paths inside it are relative to the file's own directory.
    ///
    /// # Errors
    /// Every problem found, with file, line and key.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = Self::text(path)?;
        let config = Self::parse(&text, path)?;
        config.check().map_err(|error| placed(error, &text, path))?;
        Ok(config)
    }

    /// The text of a file, as [`Config::load`] reads it.
    ///
    /// # Errors
    /// When it cannot be read, is no file, is no text, or has more than 1 MiB.
    pub fn text(path: impl AsRef<Path>) -> Result<String, ConfigError> {
        let path = path.as_ref();
        file::read_text(path, Limit::of("a configuration", 1 << 20))
            .map_err(|error| ConfigError::Unreadable { file: path.to_owned(), why: error.to_string() })
    }

    /// Parses text as the content of `path`, without judging whether the values make sense together.
    ///
    /// # Errors
    /// As [`Config::load`], except for what [`Config::check`] finds.
    pub fn parse(text: &str, path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let mut table = DeTable::parse(text).map_err(|error| {
            let (line, column) = position(text, error.span().map_or(0, |span| span.start));
            ConfigError::Syntax { file: path.to_owned(), line, column, why: one_line(error.message()) }
        })?;
        let mut problems = Vec::new();
        find_unknown(table.get_mut(), "", text, path, &mut problems);
        let mut config: Self = loop {
            // serde tells one mistake and stops: what is wrong is taken out, and the rest is read again
            let error = match Self::deserialize(Deserializer::from(table.clone())) {
                Ok(config) => break config,
                Err(error) => error,
            };
            let problem = from_serde(&error, table.get_ref(), text, path);
            let is_missing = matches!(problem.kind, ProblemKind::MissingKey { .. });
            let goes_on = !is_missing
                && problems.len() < MOST_PROBLEMS
                && error.span().is_some_and(|span| take_out(table.get_mut(), span.start));
            // what is missing may be what was taken out, or what has another name
            if !is_missing || problems.is_empty() {
                problems.push(problem);
            }
            if !goes_on {
                problems.sort_by_key(|problem| problem.line);
                return Err(ConfigError::Invalid(problems));
            }
        };
        if !problems.is_empty() {
            problems.sort_by_key(|problem| problem.line);
            return Err(ConfigError::Invalid(problems));
        }
        config.make_absolute(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    fn make_absolute(&mut self, base: &Path) {
        let zdial = self.zdial.as_mut().and_then(|zdial| zdial.password_file.as_mut());
        let store = match &mut self.store {
            Some(super::StoreSetting::Directory(path)) => Some(path),
            Some(super::StoreSetting::None) | None => None,
        };
        let emergency = &mut self.emergency;
        let files = [
            zdial,
            store,
            self.sip.password_file.as_mut(),
            self.sip.owner_card.as_mut(),
            self.tls.ca_file.as_mut(),
            emergency.location_file.as_mut(),
            emergency.provider_info.as_mut(),
            emergency.service_info.as_mut(),
            emergency.device_info.as_mut(),
            emergency.subscriber_info.as_mut(),
            emergency.comment.as_mut(),
        ];
        for file in files.into_iter().flatten() {
            *file = base.join(&*file);
        }
    }
}

/// Mistakes of a file that are told.
const MOST_PROBLEMS: usize = 64;

/// Takes out the value at `offset`; false when there is none, or it is a table.
fn take_out(table: &mut DeTable<'_>, offset: usize) -> bool {
    let mut here = None;
    for (key, value) in table.iter_mut() {
        let is_here = value.span().contains(&offset) || value.span().start == offset;
        if tables_of(value.get_mut()).into_iter().any(|inner| take_out(inner, offset)) {
            return true;
        }
        if is_here && !matches!(value.get_ref(), DeValue::Table(_)) {
            here = Some(key.get_ref().to_string());
        }
    }
    here.is_some_and(|key| table.remove(key.as_str()).is_some())
}

/// The value itself where it is a table, or those in its list.
fn tables_of<'a, 'i>(value: &'a mut DeValue<'i>) -> Vec<&'a mut DeTable<'i>> {
    let table =
        |value: &'a mut DeValue<'i>| if let DeValue::Table(table) = value { Some(table) } else { None };
    if let DeValue::Array(items) = value {
        return items.iter_mut().filter_map(|item| table(item.get_mut())).collect();
    }
    table(value).into_iter().collect()
}

/// Walks the tables, reports every key that does not exist, and takes it out.
fn find_unknown(table: &mut DeTable<'_>, at: &str, text: &str, path: &Path, out: &mut Vec<Problem>) {
    let Some(valid) = schema::keys(at) else { return };
    let mut unknown = Vec::new();
    for (key, value) in table.iter_mut() {
        let name: &str = key.get_ref();
        if !valid.contains(&name) {
            out.push(Problem {
                file: Some(path.to_owned()),
                line: Some(position(text, key.span().start).0),
                key: join(at, name),
                kind: ProblemKind::UnknownKey { nearest: schema::nearest(at, name) },
            });
            unknown.push(name.to_owned());
            continue;
        }
        let below = join(at, name);
        for inner in tables_of(value.get_mut()) {
            find_unknown(inner, &below, text, path, out);
        }
    }
    for name in unknown {
        table.remove(name.as_str());
    }
}

/// A wrong type or value, or a missing field, as serde tells it.
fn from_serde(error: &toml::de::Error, table: &DeTable<'_>, text: &str, path: &Path) -> Problem {
    let offset = error.span().map(|span| span.start);
    let key = offset.map(|offset| key_at(table, offset, "")).unwrap_or_default();
    let message = one_line(error.message());
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let (key, kind) = match missing {
        Some(field) => (
            join(&key, field),
            ProblemKind::MissingKey { why: format!("the table `[{key}]` cannot be without it") },
        ),
        // What stands where a password may stand is not repeated.
        None if is_secret(&key) && message.starts_with("invalid type") => {
            (key, ProblemKind::BadValue { why: "it is not a text in quotes".to_owned() })
        }
        None => (key, ProblemKind::BadValue { why: words::value(&message, near) }),
    };
    let line = offset.map(|offset| position(text, offset).0);
    Problem { file: Some(path.to_owned()), line, key, kind }
}

/// The word most like one that is not known.
fn near(word: &str, known: &[&str]) -> Option<String> {
    super::values::nearest(word, known).map(str::to_owned)
}

fn is_secret(key: &str) -> bool {
    key.rsplit('.').next().is_some_and(|name| name.contains("password"))
}

/// The path of the key whose value covers `offset`.
fn key_at(table: &DeTable<'_>, offset: usize, at: &str) -> String {
    for (key, value) in table {
        let path = join(at, key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => {
                // what stands at no value of its own is the table's
                let below = key_at(inner, offset, &path);
                if below != path || value.span().contains(&offset) {
                    return below;
                }
            }
            DeValue::Array(items) => {
                for item in items {
                    if let DeValue::Table(inner) = item.get_ref() {
                        let below = key_at(inner, offset, &path);
                        if below != path {
                            return below;
                        }
                    }
                }
                if value.span().contains(&offset) {
                    return path;
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {
                if value.span().contains(&offset) || value.span().start == offset {
                    return path;
                }
            }
        }
    }
    at.to_owned()
}

/// Gives the problems found by `check` their file, and the line of the key when it stands in the text.
fn placed(error: ConfigError, text: &str, path: &Path) -> ConfigError {
    let ConfigError::Invalid(mut problems) = error else { return error };
    let table = DeTable::parse(text).ok();
    for problem in &mut problems {
        problem.file = Some(PathBuf::from(path));
        problem.line = table
            .as_ref()
            .and_then(|table| offset_of(table.get_ref(), &problem.key))
            .map(|offset| position(text, offset).0);
    }
    ConfigError::Invalid(problems)
}

/// Where a key stands; for a missing one, where its table does.
fn offset_of(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let (first, rest) = match key.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (key, None),
    };
    let first = first.split('[').next().unwrap_or(first);
    let (name, value) = table.iter().find(|(name, _)| name.get_ref() == first)?;
    match (rest, value.get_ref()) {
        (Some(rest), DeValue::Table(inner)) => offset_of(inner, rest).or(Some(name.span().start)),
        _ => Some(name.span().start),
    }
}

fn join(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

/// Line and column, both from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (line, column)
}

fn one_line(message: &str) -> String {
    message.split('\n').map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}
