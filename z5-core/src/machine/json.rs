//! Reading JSON replies: a member that is missing or of the wrong type is named, unknown members are ignored (RFC 9248
//! section 9.3).

use std::time::Duration;

use serde_json::Value;

use super::io::HttpsReply;
use crate::config::PortRange;

/// The longest piece of a server's words that is repeated in an error.
const MAX_WORDS: usize = 200;

/// A member that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) field: String,
    pub(crate) why: String,
}

fn wrong(field: &str, why: &str) -> Wrong {
    Wrong { field: field.to_owned(), why: why.to_owned() }
}

pub(crate) fn parse(body: &[u8]) -> Result<Value, Wrong> {
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        wrong("body", &format!("it is not JSON from line {line}, column {column} on"))
    })
}

pub(crate) fn text(value: &Value, field: &str) -> Result<String, Wrong> {
    match optional_text(value, field)? {
        Some(text) if text.is_empty() => Err(wrong(field, "it is empty")),
        Some(text) => Ok(text),
        None => Err(wrong(field, "it is missing")),
    }
}

pub(crate) fn optional_text(value: &Value, field: &str) -> Result<Option<String>, Wrong> {
    match value.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.contains(['\r', '\n', '\0']) => {
            Err(wrong(field, "it contains a line end"))
        }
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(wrong(field, "it is not a text"))
        }
    }
}

pub(crate) fn array<'a>(value: &'a Value, field: &str) -> Result<&'a [Value], Wrong> {
    match value.get(field) {
        Some(Value::Array(items)) => Ok(items),
        Some(Value::Null) | None => Err(wrong(field, "it is missing")),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            Err(wrong(field, "it is not a list"))
        }
    }
}

/// A list of texts; absent is empty.
pub(crate) fn texts(value: &Value, field: &str) -> Result<Vec<String>, Wrong> {
    match value.get(field) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(_) => array(value, field)?
            .iter()
            .map(|item| {
                item.as_str().map(str::to_owned).ok_or_else(|| wrong(field, "an entry is not a text"))
            })
            .collect(),
    }
}

pub(crate) fn flag(value: &Value, field: &str) -> bool {
    value.get(field).and_then(Value::as_bool).unwrap_or(false)
}

/// A whole number of seconds; absent is none.
pub(crate) fn seconds(value: &Value, field: &str) -> Result<Option<Duration>, Wrong> {
    let seconds = number(value, field).map_err(|_| wrong(field, "it is not a whole number of seconds"))?;
    Ok(seconds.map(Duration::from_secs))
}

/// A whole number; absent is none.
pub(crate) fn number(value: &Value, field: &str) -> Result<Option<u64>, Wrong> {
    match value.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(number) => number.as_u64().map(Some).ok_or_else(|| wrong(field, "it is not a whole number")),
    }
}

/// `[first, last]`; absent is none.
pub(crate) fn port_range(value: &Value, field: &str) -> Result<Option<PortRange>, Wrong> {
    let Some(range) = value.get(field).filter(|range| !range.is_null()) else { return Ok(None) };
    let port =
        |index: usize| range.get(index).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    match (port(0), port(1)) {
        (Some(first), Some(last)) if first > 0 && first < last => Ok(Some(PortRange::new(first, last))),
        _ => Err(wrong(field, "it is not two ports, the smaller first")),
    }
}

/// A refusal: a problem document (RFC 9457) or whatever the server wrote.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The stable code, empty when there is none.
    pub(crate) code: String,
    /// The server's words.
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn read(reply: &HttpsReply) -> Self {
        let value: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        let member = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let from_type = || member("type").and_then(|kind| kind.rsplit([':', '/']).next().map(str::to_owned));
        let code = member("code").or_else(from_type).unwrap_or_default();
        let detail = member("detail").or_else(|| member("title"));
        let words = || {
            let body = String::from_utf8_lossy(&reply.body);
            if body.trim().is_empty() { "without a word".to_owned() } else { body.into_owned() }
        };
        Self { code, detail: printable(&detail.unwrap_or_else(words)) }
    }
}

/// Words of a server that may be shown: one line, no control characters, not too long.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_WORDS)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_member_is_named() {
        let value = parse(br#"{"a":1,"b":"","c":"x\r\ny","d":["x",2],"e":[10,5],"f":[10,20]}"#).unwrap();
        assert_eq!(text(&value, "a").unwrap_err().why, "it is not a text");
        assert_eq!(text(&value, "b").unwrap_err().why, "it is empty");
        assert_eq!(text(&value, "c").unwrap_err().why, "it contains a line end");
        assert_eq!(text(&value, "z").unwrap_err().why, "it is missing");
        assert_eq!(texts(&value, "d").unwrap_err().why, "an entry is not a text");
        assert!(port_range(&value, "e").is_err());
        assert_eq!(port_range(&value, "f"), Ok(Some(PortRange::new(10, 20))));
        assert_eq!(parse(b"{").unwrap_err().field, "body");
    }
}
