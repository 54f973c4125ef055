//! From what a user types to the URI that is called.

use z5_sip::wire::Uri;

use crate::error::CallError;

/// Digits of a North American number without and with its country code.
const NANP: usize = 10;
/// E.164 has at most 15 digits.
const E164_MAX: usize = 15;

/// Numbers that reach emergency services; no licence is asked for them (wire.md step 3).
const EMERGENCY: &[&str] = &["911", "112"];

/// What an emergency call is addressed to (RFC 5031).
const SOS: &str = "urn:service:sos";

/// What will be called.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) uri: Uri,
    pub(crate) emergency: bool,
}

/// Reads a target in the domain of the account. `carrier` tells the number formats of RFC 9248 section 5.4 apart from an
/// ordinary SIP account, where digits are simply a user name.
pub(crate) fn target(text: &str, domain: &str, carrier: bool) -> Result<Target, CallError> {
    let trimmed = text.trim();
    let bad = |why: &str| CallError::BadTarget { target: text.to_owned(), why: why.to_owned() };
    if trimmed.is_empty() {
        return Err(bad("it is empty"));
    }
    if trimmed.chars().any(|c| c.is_control()) {
        return Err(bad("it contains a control character"));
    }
    let scheme = trimmed.split(':').next().unwrap_or_default().to_ascii_lowercase();
    if scheme == "sips" && trimmed.contains(':') {
        return Err(bad("`sips:` asks for TLS on every hop, which z5 cannot promise; call it as `sip:`"));
    }
    let written = if trimmed.contains(':') && matches!(scheme.as_str(), "sip" | "tel" | "urn") {
        trimmed.to_owned()
    } else if trimmed.contains('@') {
        format!("sip:{trimmed}")
    } else {
        from_number(trimmed, domain, carrier).unwrap_or_else(|| format!("sip:{trimmed}@{domain}"))
    };
    let uri = Uri::parse(&written).map_err(|error| bad(&format!("it is not a SIP address: {error}")))?;
    if uri.as_ref().headers().is_some() {
        return Err(bad("headers behind `?` have no place in a call (RFC 3261 section 19.1.1)"));
    }
    if trimmed.contains("://") {
        return Err(bad("it is the address of something on the web"));
    }
    let user = uri.user().unwrap_or_default().trim_start_matches('+');
    let number = EMERGENCY.contains(&user);
    let emergency = number || written.to_ascii_lowercase().starts_with("urn:service:sos");
    // RFC 6881 ED-4: proxies know an emergency call by its service name, whatever is dialled for it in this country.
    let uri = if number && carrier { SOS.parse().unwrap_or(uri) } else { uri };
    Ok(Target { uri, emergency })
}

/// Whether it can be called from some domain.
pub(crate) fn check_target(text: &str) -> Result<(), CallError> {
    target(text, "z5.invalid", true).map(drop)
}

/// RFC 9248 section 5.4: what is E.164 becomes `+digits;user=phone`, everything else made of digits `user=dialstring`.
fn from_number(text: &str, domain: &str, carrier: bool) -> Option<String> {
    let bare: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')')).collect();
    let digits = bare.strip_prefix('+').unwrap_or(&bare);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b'#')) {
        return None;
    }
    let numeric = digits.bytes().all(|byte| byte.is_ascii_digit());
    if bare.starts_with('+') && numeric && digits.len() <= E164_MAX {
        return Some(format!("sip:+{digits}@{domain};user=phone"));
    }
    if !carrier {
        return Some(format!("sip:{}@{domain}", bare.replace('#', "%23")));
    }
    if numeric && digits.len() == NANP && !bare.starts_with('+') {
        return Some(format!("sip:+1{digits}@{domain};user=phone"));
    }
    if numeric && digits.len() == NANP + 1 && digits.starts_with('1') {
        return Some(format!("sip:+{digits}@{domain};user=phone"));
    }
    Some(format!("sip:{}@{domain};user=dialstring", digits.replace('#', "%23")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_carrier(text: &str) -> String {
        target(text, "c.test", true)
            .map_or_else(|error| error.code().to_owned(), |target| target.uri.as_str().to_owned())
    }

    #[test]
    fn numbers_take_the_forms_of_rfc_9248() {
        assert_eq!(at_carrier("+1 (555) 555-0100"), "sip:+15555550100@c.test;user=phone");
        assert_eq!(at_carrier("5555550100"), "sip:+15555550100@c.test;user=phone");
        assert_eq!(at_carrier("15555550100"), "sip:+15555550100@c.test;user=phone");
        assert_eq!(at_carrier("411"), "sip:411@c.test;user=dialstring");
        assert_eq!(at_carrier("*86"), "sip:*86@c.test;user=dialstring");
        assert_eq!(at_carrier("echo"), "sip:echo@c.test");
        assert_eq!(at_carrier("bob@other.test"), "sip:bob@other.test");
        assert_eq!(at_carrier("sip:bob@127.0.0.1:5070"), "sip:bob@127.0.0.1:5070");
    }

    #[test]
    fn digits_are_a_user_name_at_an_ordinary_server() {
        assert_eq!(target("600", "s.test", false).unwrap().uri.as_str(), "sip:600@s.test");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "sip:bob@c.test?Subject=x",
            "http://x",
            "",
            "  ",
            "a b",
            "sip:",
            "x\r\nVia: y",
            "sips:bob@other.test",
            "SIPS:bob@other.test",
        ] {
            assert_eq!(at_carrier(bad), "call.bad-target", "{bad:?}");
        }
    }

    #[test]
    fn emergency_numbers_are_known() {
        assert!(target("911", "c.test", true).unwrap().emergency);
        assert_eq!(at_carrier("911"), "urn:service:sos");
        assert_eq!(at_carrier("112"), "urn:service:sos");
        assert_eq!(target("911", "c.test", false).unwrap().uri.as_str(), "sip:911@c.test");
        assert!(target("urn:service:sos", "c.test", true).unwrap().emergency);
        assert!(!target("9110", "c.test", true).unwrap().emergency);
    }
}
