//! Takes numbers and names out of what a capsule says, for files that are sent to others. Credentials, tokens and keys never get here.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

/// Digits that make a telephone number; a port, a year or a count has fewer.
const NUMBER: usize = 7;
/// Digits that stay readable, so that two numbers can be told apart.
const SHOWN: usize = 2;

/// Members that name a person or an account, whatever they hold.
const PERSONAL: [&str; 14] = [
    "display_name",
    "label",
    "username",
    "user",
    "auth_username",
    "account",
    "subscriber",
    "about",
    "group",
    "instance",
    "civic",
    "location",
    "voicemail",
    "kid",
];

/// Whether numbers and names may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mask {
    /// They may not.
    On,
    /// They may.
    Off,
}

impl Mask {
    /// Masks every string below `value`.
    pub(crate) fn value(self, value: &mut Value) {
        if self == Self::On {
            mask_value(value);
        }
    }
}

fn mask_value(value: &mut Value) {
    match value {
        Value::String(text) => *text = mask_text(text),
        Value::Array(items) => items.iter_mut().for_each(mask_value),
        Value::Object(members) => {
            for (name, member) in members {
                match PERSONAL.contains(&name.as_str()) && !member.is_null() {
                    true => *member = Value::from("***"),
                    false => mask_value(member),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Users of addresses, and whatever may be a telephone number, with the marks people write between digits. IP addresses stay.
fn mask_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 {
            out.push(' ');
        }
        out.push_str(&mask_user(word));
    }
    mask_numbers(&out)
}

/// `sip:user@host` becomes `sip:***@host`; `user@host` becomes `***@host`.
fn mask_user(word: &str) -> String {
    let Some((before, host)) = word.split_once('@') else { return word.to_owned() };
    let is_user = |c: char| c.is_alphanumeric() || "-_.!~*'()&=+$,;?/%".contains(c);
    let start = before
        .rfind(|c| !is_user(c))
        .map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8));
    match start < before.len() {
        true => format!("{}***@{host}", &before[..start]),
        false => word.to_owned(),
    }
}

fn mask_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit() || c == '+') {
        // Digits within a word or a hexadecimal mark are no telephone number.
        let within = rest[..start].chars().next_back().or(out.chars().next_back().filter(|_| start == 0));
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = run(rest);
        let (number, after) = rest.split_at(end);
        let joined = within.is_some_and(|c| c.is_alphabetic() || c == '_')
            || after.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
        out.push_str(&if joined || is_address(rest) { number.to_owned() } else { masked(number) });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// How far a run of digits goes with single marks between them; it ends with a digit.
fn run(text: &str) -> usize {
    let mut end = 0;
    let mut marks = 0;
    for (at, c) in text.char_indices() {
        if c.is_ascii_digit() || (at == 0 && c == '+') {
            end = at + 1;
            marks = 0;
        } else if matches!(c, ' ' | '-' | '.' | '(' | ')' | '/') && marks < 2 {
            marks += 1;
        } else {
            break;
        }
    }
    end
}

/// Whether an IP address begins here.
fn is_address(text: &str) -> bool {
    let end = text.find(|c: char| !(c.is_ascii_hexdigit() || ".:".contains(c))).unwrap_or(text.len());
    let word = text[..end].trim_end_matches(['.', ':']);
    word.parse::<IpAddr>().is_ok() || word.parse::<SocketAddr>().is_ok()
}

fn masked(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    if digits.len() < NUMBER {
        return number.to_owned();
    }
    // What has a point in it is a measure or a version, unless it is grouped like a number.
    if number.matches('.').count() == 1 && number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return number.to_owned();
    }
    let end: String = digits[digits.len() - SHOWN..].iter().collect();
    format!("***{end}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_users_are_masked_and_little_else() {
        for (text, shown) in [
            ("sip:+15555550101@mcs.test", "sip:***@mcs.test"),
            ("\"Mary\" <sip:mary.b@mcs.test;user=phone>", "\"Mary\" <sip:***@mcs.test;user=phone>"),
            ("alice@mcs.test", "***@mcs.test"),
            ("call +1 (555) 555-0101 now", "call ***01 now"),
            ("555.555.0101", "***01"),
            ("hand over to 15555550900", "hand over to ***00"),
            ("127.0.0.1:50601 and [2001:db8::1]:5061", "127.0.0.1:50601 and [2001:db8::1]:5061"),
            ("192.168.100.200", "192.168.100.200"),
            ("took 1234567.891 ms", "took 1234567.891 ms"),
            ("z9hG4bK12345678a", "z9hG4bK12345678a"),
            ("2026-11-26", "***26"),
            ("after 300 ms, 95 of 100", "after 300 ms, 95 of 100"),
            ("@", "@"),
            ("a@", "***@"),
        ] {
            assert_eq!(mask_text(text), shown, "{text}");
        }
    }

    #[test]
    fn every_string_of_an_object_is_masked() {
        let mut value = json!({
            "event": "incoming", "from": "sip:5555550102@b.test", "display_name": "Mary", "call": 15_555_550_101_u64,
            "list": [{"number": "+15555550103", "label": "home"}], "server": "127.0.0.1:5060", "asserted": null,
        });
        Mask::On.value(&mut value);
        assert_eq!(
            value,
            json!({
                "event": "incoming", "from": "sip:***@b.test", "display_name": "***", "call": 15_555_550_101_u64,
                "list": [{"number": "***03", "label": "***"}], "server": "127.0.0.1:5060", "asserted": null,
            })
        );
    }
}
