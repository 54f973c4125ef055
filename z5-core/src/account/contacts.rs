//! The address book: CardDAV's sync-collection report (RFC 6578) and the vCards (RFC 6350) in it.
//!
//! Only what a videophone shows and dials is read: name, numbers, SIP addresses. A card that cannot be read is left out, never
//! an error. This is the first sync; deltas and changes are not here.

use serde::{Deserialize, Serialize};

/// The body of the first report: no token, so everything comes.
pub(crate) const FIRST_SYNC: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
<D:sync-collection xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:carddav\">\
<D:sync-token/><D:sync-level>1</D:sync-level>\
<D:prop><D:getetag/><C:address-data content-type=\"text/vcard\" version=\"4.0\"/></D:prop>\
</D:sync-collection>";

const DAV: &str = "DAV:";
const CARDDAV: &str = "urn:ietf:params:xml:ns:carddav";

/// One contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The formatted name.
    pub name: String,
    /// Numbers and SIP addresses, as they can be dialled.
    pub numbers: Vec<String>,
}

/// Reads a 207 reply.
pub(crate) fn read_multistatus(body: &[u8]) -> Result<Vec<Contact>, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("it is not UTF-8: {error}"))?;
    let document = roxmltree::Document::parse(text).map_err(|error| format!("it is not XML: {error}"))?;
    let root = document.root_element();
    if !root.has_tag_name((DAV, "multistatus")) {
        return Err(format!("its root is `{}`", root.tag_name().name()));
    }
    let cards = root.descendants().filter(|node| node.has_tag_name((CARDDAV, "address-data")));
    Ok(cards.filter_map(|node| node.text()).filter_map(read_card).collect())
}

/// Reads one vCard.
fn read_card(text: &str) -> Option<Contact> {
    let (mut name, mut numbers) = (None, Vec::new());
    for line in unfold(text) {
        let Some((head, value)) = split_property(&line) else { continue };
        // "group.NAME;params"
        let property = head.split(';').next().unwrap_or(head);
        let property = property.rsplit('.').next().unwrap_or(property);
        if property.eq_ignore_ascii_case("FN") {
            name.get_or_insert_with(|| unescape(value));
        } else if property.eq_ignore_ascii_case("TEL") || property.eq_ignore_ascii_case("IMPP") {
            let value = unescape(value);
            let number = value.strip_prefix("tel:").unwrap_or(&value).to_owned();
            if !number.is_empty() && !numbers.contains(&number) {
                numbers.push(number);
            }
        }
    }
    Some(Contact { name: name?, numbers })
}

/// Joins folded lines (RFC 6350 section 3.2).
fn unfold(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some(last)) => last.push_str(rest),
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// Splits at the first colon outside quotes.
fn split_property(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ':' if !quoted => return Some((&line[..at], &line[at + 1..])),
            _ => {}
        }
    }
    None
}

/// Undoes backslash escapes (RFC 6350 section 3.4).
fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.trim().chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            match chars.next() {
                Some('n' | 'N') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_gives_its_contacts() {
        let body = "<?xml version=\"1.0\"?><d:multistatus xmlns:d=\"DAV:\" xmlns:c=\"urn:ietf:params:xml:ns:carddav\">\
            <d:response><d:href>/a.vcf</d:href><d:propstat><d:prop><d:getetag>\"1\"</d:getetag><c:address-data>\
BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Bob \\, Builder\r\nTEL;VALUE=uri;PREF=1:tel:+1555555\r\n 0102\r\n\
item1.TEL;TYPE=\"work:x\":411\r\nEND:VCARD\r\n</c:address-data></d:prop></d:propstat></d:response>\
            <d:response><d:href>/b.vcf</d:href><d:propstat><d:prop><c:address-data>nonsense</c:address-data></d:prop>\
            </d:propstat></d:response><d:sync-token>t1</d:sync-token></d:multistatus>";
        let contacts = read_multistatus(body.as_bytes()).unwrap();
        assert_eq!(
            contacts,
            [Contact { name: "Bob , Builder".into(), numbers: vec!["+15555550102".into(), "411".into()] }]
        );
    }

    #[test]
    fn what_is_not_a_report_is_told() {
        assert!(read_multistatus(b"\xff").unwrap_err().contains("UTF-8"));
        assert!(read_multistatus(b"<a").unwrap_err().contains("XML"));
        assert_eq!(read_multistatus(b"<a/>").unwrap_err(), "its root is `a`");
    }
}
