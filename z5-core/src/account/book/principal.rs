//! What is asked to find an address book, and what the replies say: `DAV:current-user-principal` (RFC 5397),
//! `CARDDAV:addressbook-home-set` (RFC 6352 section 7.1.1), and which collections are address books. Bodies only.

use roxmltree::Document;

use super::dav::{CARDDAV, DAV, PROLOGUE, child, status_of, text_of};

/// The three properties at once: whoever is asked has what he has.
pub(crate) fn propfind() -> String {
    format!(
        "{PROLOGUE}<D:propfind xmlns:D=\"{DAV}\" xmlns:C=\"{CARDDAV}\"><D:prop><D:current-user-principal/>\
         <C:addressbook-home-set/><D:resourcetype/></D:prop></D:propfind>"
    )
}

/// What a reply says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) principal: Option<String>,
    pub(crate) home_set: Option<String>,
    /// Resources that are address books.
    pub(crate) address_books: Vec<String>,
}

/// Reads a 207 reply.
pub(crate) fn read(body: &[u8]) -> Result<Found, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("it is not UTF-8: {error}"))?;
    let document = Document::parse(text).map_err(|error| format!("it is not XML: {error}"))?;
    let mut found = Found::default();
    for response in document.descendants().filter(|node| node.has_tag_name((DAV, "response"))) {
        let href = child(response, "href").and_then(text_of).ok_or("a response has no href")?;
        let parts = response.children().filter(|node| node.has_tag_name((DAV, "propstat")));
        let good = parts.filter(|part| {
            child(*part, "status").and_then(status_of).is_none_or(|status| (200..300).contains(&status))
        });
        for property in good.filter_map(|part| child(part, "prop")).flat_map(|prop| prop.children()) {
            let inner = || child(property, "href").and_then(text_of).filter(|href| !href.is_empty());
            if property.has_tag_name((DAV, "current-user-principal")) {
                found.principal = found.principal.or_else(inner);
            } else if property.has_tag_name((CARDDAV, "addressbook-home-set")) {
                found.home_set = found.home_set.or_else(inner);
            } else if property.has_tag_name((DAV, "resourcetype"))
                && property.children().any(|kind| kind.has_tag_name((CARDDAV, "addressbook")))
            {
                found.address_books.push(href.clone());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_and_what_is_missing_is_not_there() {
        let body = "<multistatus xmlns='DAV:' xmlns:C='urn:ietf:params:xml:ns:carddav'><response><href>/a/</href>\
            <propstat><prop><current-user-principal><href> /me/ </href></current-user-principal><resourcetype><collection/>\
            </resourcetype></prop><status>HTTP/1.1 200 OK</status></propstat><propstat><prop><C:addressbook-home-set><href>/no/</href>\
            </C:addressbook-home-set></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>\
            <response><href>/b/</href><propstat><prop><resourcetype><collection/><C:addressbook/></resourcetype></prop></propstat>\
            </response></multistatus>";
        let found = read(body.as_bytes()).unwrap();
        let expected =
            Found { principal: Some("/me/".into()), home_set: None, address_books: vec!["/b/".into()] };
        assert_eq!(found, expected);
        let nobody = "<multistatus xmlns='DAV:'><response><href>/</href><propstat><prop><current-user-principal>\
            <unauthenticated/></current-user-principal></prop></propstat></response></multistatus>";
        assert_eq!(read(nobody.as_bytes()), Ok(Found::default()));
        assert!(read(b"<a").is_err() && read(b"\xff").is_err());
        Document::parse(&propfind()).unwrap();
    }
}
