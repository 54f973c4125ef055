//! As much XML as a CardDAV request needs: is an element there, and what text is in it, by local name.
//!
//! Not a parser: no entities beyond the five predefined ones, no CDATA, no namespace resolution. Requests that rely on
//! those are answered as if the element were absent.

/// The text of the first element with this local name; empty for an empty element.
pub(super) fn element_text(document: &str, local_name: &str) -> Option<String> {
    let mut rest = document;
    while let Some(at) = rest.find('<') {
        let after = &rest[at + 1..];
        let end = after.find('>')?;
        let tag = &after[..end];
        rest = &after[end + 1..];
        if is_named(tag, local_name) {
            let text = if tag.ends_with('/') { "" } else { rest.split('<').next().unwrap_or_default() };
            return Some(unescape(text.trim()));
        }
    }
    None
}

/// Every text of the elements with this local name.
pub(super) fn all_texts(document: &str, local_name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in document.split('<').skip(1) {
        if let Some((tag, text)) = part.split_once('>')
            && is_named(tag, local_name)
        {
            found.push(unescape(text.trim()));
        }
    }
    found
}

pub(super) fn has_element(document: &str, local_name: &str) -> bool {
    element_text(document, local_name).is_some()
}

fn is_named(tag: &str, local_name: &str) -> bool {
    let name = tag.split([' ', '\t', '\r', '\n', '/']).next().unwrap_or_default();
    name.rsplit(':').next() == Some(local_name)
}

/// Escapes text for an element's content.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_local_name_whatever_the_prefix() {
        let document = "<?xml version=\"1.0\"?><d:sync-collection xmlns:d=\"DAV:\"><d:sync-token> a&amp;b </d:sync-token>\
                        <d:prop><d:getetag/></d:prop><href>/x</href><D:href>/y</D:href></d:sync-collection>";
        assert_eq!(element_text(document, "sync-token").as_deref(), Some("a&b"));
        assert_eq!(element_text(document, "getetag").as_deref(), Some(""));
        assert_eq!(all_texts(document, "href"), ["/x", "/y"]);
        assert!(has_element(document, "sync-collection") && !has_element(document, "sync"));
        for broken in ["<", "<a", "a>b", "<>", "</sync-token>"] {
            assert_eq!(element_text(broken, "sync-token"), None, "{broken}");
        }
    }
}
