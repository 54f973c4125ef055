//! The character classes of RFC 3261 section 25.1 and the trimming that is aware of folded lines.

const TOKEN: u8 = 1;
const SPACE: u8 = 2;
const HOST: u8 = 4;
const NOT_URI: u8 = 8;
const NOT_USER: u8 = 16;

const fn class(byte: u8) -> u8 {
    let alphanumeric = byte.is_ascii_alphanumeric();
    let mut bits = 0;
    if alphanumeric || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~') {
        bits |= TOKEN;
    }
    if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
        bits |= SPACE;
    }
    // The underscore is no host letter in RFC 3261, but names with one exist in every private network.
    if alphanumeric || matches!(byte, b'-' | b'.' | b'_') {
        bits |= HOST;
    }
    if byte <= b' ' || matches!(byte, 0x7f | b'<' | b'>' | b'"') {
        bits |= NOT_URI;
    }
    if matches!(byte, b'[' | b']' | b'\\' | b'^' | b'{' | b'}' | b'|') {
        bits |= NOT_USER;
    }
    bits
}

static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = class(i as u8);
        i += 1;
    }
    table
};

/// A letter of `token`.
pub(crate) fn is_token(byte: u8) -> bool {
    CLASS[usize::from(byte)] & TOKEN != 0
}

/// White space inside a header value: blank, tab, or the CR and LF of a fold.
pub(crate) fn is_space(byte: u8) -> bool {
    CLASS[usize::from(byte)] & SPACE != 0
}

/// True for one or more token letters.
pub(crate) fn all_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().fold(TOKEN, |bits, &b| bits & CLASS[usize::from(b)]) != 0
}

/// Without leading white space and folds.
pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_space(*first)
    {
        bytes = rest;
    }
    bytes
}

/// Without trailing white space and folds.
pub(crate) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., last] = bytes
        && is_space(*last)
    {
        bytes = rest;
    }
    bytes
}

/// Without white space and folds on either side.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// True when no byte is white space, a control or a delimiter that may not stand in a URI.
pub(crate) fn all_uri(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |bits, &b| bits | CLASS[usize::from(b)]) & NOT_URI == 0
}

/// True when no byte is one that the user part of a URI must escape.
pub(crate) fn all_user(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |bits, &b| bits | CLASS[usize::from(b)]) & NOT_USER == 0
}

/// True for one or more letters of a host.
pub(crate) fn all_host(bytes: &[u8]) -> bool {
    bytes.iter().fold(HOST, |bits, &b| bits & CLASS[usize::from(b)]) != 0
}

/// One or more decimal digits as a number; `None` for anything else or when it does not fit.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number: u64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    Some(number)
}

/// True when a caller's value may stand in a header: no CR, LF or NUL.
pub(crate) fn is_safe(value: &[u8]) -> bool {
    memchr::memchr3(b'\r', b'\n', 0, value).is_none()
}

/// ASCII bytes as text; `None` when they are not UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
