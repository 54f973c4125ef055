//! How addresses and typed text are shown to people.

use std::borrow::Cow;

/// The number of a telephone URI, else `user@host`; what is no SIP URI is shown as it is.
pub(crate) fn somebody(address: &str) -> &str {
    let Some((scheme, rest)) = address.split_once(':') else { return address };
    if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
        return address;
    }
    let plain = rest.split([';', '?']).next().unwrap_or(rest);
    if rest.contains('@') && !plain.contains('@') {
        // a user with parameters of its own
        return address;
    }
    plain.split_once('@').map(|(user, _)| user).filter(|user| is_number(user)).unwrap_or(plain)
}

fn is_number(user: &str) -> bool {
    let digits = user.strip_prefix('+').unwrap_or(user);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Typed text in quotes: a sign for what deletes a character, one for what begins a line, and no control character that a
/// terminal would carry out.
pub(crate) fn typed(text: &str) -> String {
    let shown: String = text.chars().map(visible).collect();
    format!("\"{shown}\"")
}

/// What cannot be seen gets a sign or a number.
pub(crate) fn visible(c: char) -> Cow<'static, str> {
    match c {
        '\u{8}' => "⌫".into(),
        '\u{2028}' | '\n' => "⏎".into(),
        c if c.is_control() => c.escape_unicode().to_string().into(),
        c => c.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_shown_as_one_and_anybody_else_with_the_host() {
        for (address, shown) in [
            ("sip:+15555550101@csdvrs.test;user=phone", "+15555550101"),
            ("sips:911@csdvrs.test", "911"),
            ("sip:alice@example.test:5070;transport=tcp?subject=x", "alice@example.test:5070"),
            ("sip:example.test", "example.test"),
            ("sip:+1;ext=2@example.test", "sip:+1;ext=2@example.test"),
            ("tel:+15555550101", "tel:+15555550101"),
            ("echo", "echo"),
            ("", ""),
        ] {
            assert_eq!(somebody(address), shown);
        }
    }

    #[test]
    fn what_was_typed_is_shown_as_it_was_meant() {
        assert_eq!(typed("HELLP\u{8}O\u{2028}\u{1b}[2J"), "\"HELLP⌫O⏎\\u{1b}[2J\"");
    }
}
