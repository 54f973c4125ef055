//! Paths of a CardDAV server: the same resource may be written with and without percent signs, with and without the host
//! (RFC 4918 section 8.3).

/// A path in one spelling: without the host, percent-decoded as far as that is no matter. None for what is no path.
pub(crate) fn key_of(href: &str) -> Option<String> {
    let href = href.trim();
    let path = match href.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/')?..],
        None => href,
    };
    if !path.starts_with('/') {
        return None;
    }
    let path = path.split(['?', '#']).next()?;
    let bytes = path.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if let (b'%', Some(high), Some(low)) = (bytes[at], digit(at + 1), digit(at + 2)) {
            let byte = (high * 16 + low) as u8;
            if !byte.is_ascii_control() && !b"/%?#".contains(&byte) {
                out.push(byte);
            } else {
                out.extend_from_slice(&bytes[at..at + 3]);
            }
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).ok().or_else(|| Some(path.to_owned()))
}

/// The path as a request writes it (RFC 3986 section 3.3).
pub(crate) fn encode(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        // What `key_of` left alone is still encoded.
        if byte.is_ascii_alphanumeric() || b"-._~/:@!$&'()*+,;=%".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_have_one_key() {
        for href in ["/a/b%20c%40d.vcf", " https://host:8/a/b c@d.vcf", "/a/b%20c@d.vcf?x#y"] {
            assert_eq!(key_of(href).as_deref(), Some("/a/b c@d.vcf"), "{href}");
        }
        assert_eq!(encode("/a/b c@d.vcf"), "/a/b%20c@d.vcf");
        assert_eq!(key_of("/a/b%2Fc%25.vcf").as_deref(), Some("/a/b%2Fc%25.vcf"));
        assert_eq!(encode("/a/b%2Fc.vcf"), "/a/b%2Fc.vcf");
        assert_eq!(key_of("/%C3%A9").map(|key| encode(&key)).as_deref(), Some("/%C3%A9"));
        assert_eq!((key_of("relative"), key_of("https://host")), (None, None));
        assert_eq!(key_of("/%ff%").as_deref(), Some("/%ff%"));
    }
}
