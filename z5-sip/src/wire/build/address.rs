//! An address to be written: display name, URI, header parameters.

use std::fmt;

use super::{BuildError, check_value};
use crate::wire::chars;
use crate::wire::uri::Uri;

/// Writes a `name-addr`: the URI always in angle brackets, the display name always quoted and escaped.
#[derive(Clone)]
pub struct Address {
    text: Result<String, BuildError>,
}

/// Its length only: it names someone.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Ok(text) => write!(f, "Address({} bytes)", text.len()),
            Err(why) => write!(f, "Address({why:?})"),
        }
    }
}

impl Address {
    /// `<uri>`
    pub fn new(uri: &Uri) -> Self {
        Self { text: Ok(format!("<{uri}>")) }
    }

    /// `"display" <uri>`; an empty name is left out.
    pub fn named(display: &str, uri: &Uri) -> Self {
        if display.is_empty() {
            return Self::new(uri);
        }
        let mut quoted = String::with_capacity(display.len() + 2);
        quoted.push('"');
        for letter in display.chars() {
            if matches!(letter, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(letter);
        }
        quoted.push('"');
        Self { text: check_value("display name", display.as_bytes()).map(|()| format!("{quoted} <{uri}>")) }
    }

    /// Adds `;tag=value`.
    pub fn tag(self, tag: &str) -> Self {
        self.param("tag", Some(tag))
    }

    /// Adds a header parameter; a value that is no token is written as a quoted string.
    pub fn param(mut self, name: &str, value: Option<&str>) -> Self {
        self.text = self.text.and_then(|mut text| {
            check_param(name, value)?;
            text.push(';');
            text.push_str(name);
            match value {
                None => {}
                Some(value) if chars::all_token(value.as_bytes()) => {
                    text.push('=');
                    text.push_str(value);
                }
                Some(value) => {
                    text.push_str("=\"");
                    for letter in value.chars() {
                        if matches!(letter, '"' | '\\') {
                            text.push('\\');
                        }
                        text.push(letter);
                    }
                    text.push('"');
                }
            }
            Ok(text)
        });
        self
    }

    /// The header value.
    pub fn to_value(&self) -> Result<String, BuildError> {
        self.text.clone()
    }
}

fn check_param(name: &str, value: Option<&str>) -> Result<(), BuildError> {
    if !chars::all_token(name.as_bytes()) {
        return Err(BuildError::BadParam { name: name.escape_debug().to_string() });
    }
    check_value(name, value.unwrap_or_default().as_bytes())
}
