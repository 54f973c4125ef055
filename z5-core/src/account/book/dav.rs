//! What is said to a CardDAV server (RFC 6352, RFC 4918) with collection synchronisation (RFC 6578), and what its replies say. Bodies
//! only; `machine::book` sends them.

use roxmltree::{Document, Node};

use super::key_of;

pub(super) const DAV: &str = "DAV:";
pub(super) const CARDDAV: &str = "urn:ietf:params:xml:ns:carddav";
pub(super) const PROLOGUE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n";
const ADDRESS_DATA: &str = "<D:getetag/><C:address-data content-type=\"text/vcard\" version=\"4.0\"/>";

/// What changed since the token, everything for none (RFC 6578 section 3.2); at most `limit` cards at a time where the server can.
pub(crate) fn sync_collection(token: Option<&str>, limit: Option<usize>) -> String {
    let token = token.map_or_else(
        || "<D:sync-token/>".to_owned(),
        |token| format!("<D:sync-token>{}</D:sync-token>", escape(token)),
    );
    let limit = limit
        .map_or_else(String::new, |limit| format!("<D:limit><D:nresults>{limit}</D:nresults></D:limit>"));
    format!(
        "{PROLOGUE}<D:sync-collection xmlns:D=\"{DAV}\" xmlns:C=\"{CARDDAV}\">{token}<D:sync-level>1</D:sync-level>{limit}\
         <D:prop>{ADDRESS_DATA}</D:prop></D:sync-collection>"
    )
}

/// These cards (RFC 6352 section 8.7).
pub(crate) fn multiget<'a>(files: impl Iterator<Item = &'a str>) -> String {
    let hrefs: String =
        files.map(|file| format!("<D:href>{}</D:href>", escape(&super::encode(file)))).collect();
    format!(
        "{PROLOGUE}<C:addressbook-multiget xmlns:D=\"{DAV}\" xmlns:C=\"{CARDDAV}\"><D:prop>{ADDRESS_DATA}</D:prop>{hrefs}\
         </C:addressbook-multiget>"
    )
}

/// The tags of all cards, for a server without synchronisation (RFC 4918 section 9.1).
pub(crate) fn list() -> String {
    format!(
        "{PROLOGUE}<D:propfind xmlns:D=\"{DAV}\"><D:prop><D:getetag/><D:resourcetype/></D:prop></D:propfind>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A 207 reply.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Multistatus {
    pub(crate) token: Option<String>,
    pub(crate) items: Vec<Item>,
    /// There is more than was told (RFC 6578 section 3.6).
    pub(crate) truncated: bool,
}

/// One resource in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) file: String,
    pub(crate) what: Said,
}

/// What is said of a resource.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is there.
    Is { etag: Option<String>, data: Option<String> },
    /// It is not there any more.
    Gone,
    /// The server has trouble with it; it is as it was.
    Trouble,
}

/// Reads a 207 reply about a collection. Collections in it are passed over, the collection itself too.
pub(crate) fn read_multistatus(body: &[u8], collection: &str) -> Result<Multistatus, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("it is not UTF-8: {error}"))?;
    let document = Document::parse(text).map_err(|error| format!("it is not XML: {error}"))?;
    let root = document.root_element();
    if !root.has_tag_name((DAV, "multistatus")) {
        return Err(format!("its root is `{}`", root.tag_name().name()));
    }
    let collection = collection.trim_end_matches('/');
    let mut read = Multistatus::default();
    for node in root.children() {
        if node.has_tag_name((DAV, "sync-token")) {
            read.token = text_of(node).filter(|token| !token.is_empty());
        } else if node.has_tag_name((DAV, "response")) {
            let href = child(node, "href").and_then(text_of).ok_or("a response has no href")?;
            let Some(file) = key_of(&href) else { return Err(format!("`{href}` is no path")) };
            let status = child(node, "status").and_then(status_of);
            if file.trim_end_matches('/') == collection {
                read.truncated |= status == Some(507);
            } else if let Some(what) = said(node, status) {
                read.items.push(Item { file, what });
            }
        }
    }
    Ok(read)
}

/// None for a collection.
fn said(response: Node<'_, '_>, status: Option<u16>) -> Option<Said> {
    match status {
        Some(404 | 410) => return Some(Said::Gone),
        Some(status) if !(200..300).contains(&status) => return Some(Said::Trouble),
        Some(_) | None => {}
    }
    let (mut etag, mut data) = (None, None);
    let mut good = false;
    for part in response.children().filter(|node| node.has_tag_name((DAV, "propstat"))) {
        // A property that is not there is reported in a part of its own.
        if !child(part, "status").and_then(status_of).is_none_or(|status| (200..300).contains(&status)) {
            continue;
        }
        good = true;
        for property in child(part, "prop").into_iter().flat_map(|prop| prop.children()) {
            if property.has_tag_name((DAV, "getetag")) {
                etag = text_of(property).filter(|etag| !etag.is_empty());
            } else if property.has_tag_name((CARDDAV, "address-data")) {
                data = Some(
                    property
                        .descendants()
                        .filter_map(|text| text.text().filter(|_| text.is_text()))
                        .collect(),
                );
            } else if property.has_tag_name((DAV, "resourcetype")) && child(property, "collection").is_some()
            {
                return None;
            }
        }
    }
    Some(if good { Said::Is { etag, data } } else { Said::Trouble })
}

pub(super) fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name((DAV, name)))
}

pub(super) fn text_of(node: Node<'_, '_>) -> Option<String> {
    node.text().map(|text| text.trim().to_owned())
}

/// The number in `HTTP/1.1 404 Not Found`.
pub(super) fn status_of(node: Node<'_, '_>) -> Option<u16> {
    text_of(node)?.split_whitespace().nth(1)?.parse().ok()
}

/// Whether the error document of a 403 or 507 names this condition.
pub(crate) fn has_condition(body: &[u8], condition: &str) -> bool {
    let Some(document) = std::str::from_utf8(body).ok().and_then(|text| Document::parse(text).ok()) else {
        return false;
    };
    document.root_element().children().any(|node| node.has_tag_name((DAV, condition)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(inner: &str) -> Vec<u8> {
        format!("<d:multistatus xmlns:d=\"DAV:\" xmlns:c=\"urn:ietf:params:xml:ns:carddav\">{inner}</d:multistatus>").into_bytes()
    }

    #[test]
    fn a_report_is_read_whatever_its_shape() {
        let body = reply(
            "<d:response><d:href>/book/</d:href><d:status>HTTP/1.1 507 Insufficient Storage</d:status></d:response>\
             <d:response><d:href>https://mcs.test/book/a%20b.vcf</d:href><d:propstat><d:prop><d:getetag>\"1\"</d:getetag>\
             <c:address-data><![CDATA[BEGIN:VCARD]]>&amp;</c:address-data></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>\
             <d:propstat><d:prop><d:x/></d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat></d:response>\
             <d:response><d:href>/book/c.vcf</d:href><d:status>HTTP/1.1 404 Not Found</d:status></d:response>\
             <d:response><d:href>/book/d.vcf</d:href><d:status>HTTP/1.1 500 Oops</d:status></d:response>\
             <d:response><d:href>/book/sub/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype></d:prop>\
             <d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>\
             <d:sync-token> t1 </d:sync-token>",
        );
        let read = read_multistatus(&body, "/book").unwrap();
        assert_eq!((read.token.as_deref(), read.truncated), (Some("t1"), true));
        let is = Said::Is { etag: Some("\"1\"".into()), data: Some("BEGIN:VCARD&".into()) };
        let items = [("/book/a b.vcf", is), ("/book/c.vcf", Said::Gone), ("/book/d.vcf", Said::Trouble)];
        assert_eq!(read.items, items.map(|(file, what)| Item { file: file.into(), what }));
    }

    #[test]
    fn what_is_not_a_report_is_told() {
        assert!(read_multistatus(b"\xff", "/").unwrap_err().contains("UTF-8"));
        assert!(read_multistatus(b"<a", "/").unwrap_err().contains("XML"));
        assert_eq!(read_multistatus(b"<a/>", "/").unwrap_err(), "its root is `a`");
        assert!(read_multistatus(&reply("<d:response/>"), "/").unwrap_err().contains("href"));
        assert!(read_multistatus(&reply("<d:response><d:href>x</d:href></d:response>"), "/").is_err());
    }

    #[test]
    fn requests_are_xml_with_what_was_given() {
        for text in [
            sync_collection(Some("a&b"), Some(5)),
            sync_collection(None, None),
            multiget(["/a b&c"].into_iter()),
            list(),
        ] {
            Document::parse(&text).unwrap();
        }
        assert!(sync_collection(Some("a&b"), Some(5)).contains("<D:sync-token>a&amp;b<"));
        assert!(multiget(["/a b"].into_iter()).contains("<D:href>/a%20b<"));
    }

    #[test]
    fn a_condition_is_found_by_its_name() {
        let body = b"<D:error xmlns:D=\"DAV:\"><D:valid-sync-token/></D:error>";
        assert!(has_condition(body, "valid-sync-token") && !has_condition(body, "other"));
        assert!(!has_condition(b"forbidden", "valid-sync-token"));
    }
}
