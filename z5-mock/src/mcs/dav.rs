//! The address book over CardDAV (RFC 6352) with collection synchronisation (RFC 6578).
//!
//! PROPFIND, REPORT (sync-collection, addressbook-query without filters, addressbook-multiget), GET, PUT, DELETE.
//! No MKCOL, ACL, locking or server-side filtering.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::address_book::{Condition, Listed};
use super::{Mcs, SipUser, xml};
use crate::fault::Fault;
use crate::http::problem::Problem;

/// Revisions travel as URIs, as RFC 6578 section 3.1 demands of tokens.
const TOKEN_PREFIX: &str = "urn:z5:sync:";
const VCARD_TYPE: &str = "text/vcard; charset=utf-8";

pub(super) async fn collection(
    Shared(mcs): Shared<Arc<Mcs>>,
    Path(owner): Path<String>,
    Extension(SipUser(user)): Extension<SipUser>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = refusal(&mcs, &owner, &user) {
        return refusal;
    }
    let request = String::from_utf8_lossy(&body);
    match method.as_str() {
        "OPTIONS" => ([("DAV", "1, 3, addressbook"), ("Allow", ALLOWED)], "").into_response(),
        "PROPFIND" => properties(&mcs, &user, headers.get("depth").is_some_and(|depth| depth != "0")),
        "REPORT" if xml::has_element(&request, "sync-collection") => synchronise(&mcs, &user, &request),
        "REPORT" if xml::has_element(&request, "addressbook-query") => {
            multistatus(&member_list(&user, &mcs.state.address_books.all(&user).1), None)
        }
        "REPORT" if xml::has_element(&request, "addressbook-multiget") => multiget(&mcs, &user, &request),
        "REPORT" => dav_error(StatusCode::FORBIDDEN, "<D:supported-report/>"),
        _ => not_allowed(),
    }
}

const ALLOWED: &str = "OPTIONS, PROPFIND, REPORT, GET, PUT, DELETE";

fn properties(mcs: &Mcs, user: &str, with_members: bool) -> Response {
    let (revision, cards) = mcs.state.address_books.all(user);
    let mut list = format!(
        "<D:response><D:href>{}</D:href><D:propstat><D:prop><D:resourcetype><D:collection/><C:addressbook/></D:resourcetype>\
         <D:displayname>Contacts</D:displayname><D:sync-token>{TOKEN_PREFIX}{revision}</D:sync-token>\
         <CS:getctag>{revision}</CS:getctag><D:supported-report-set>\
         <D:supported-report><D:report><D:sync-collection/></D:report></D:supported-report>\
         <D:supported-report><D:report><C:addressbook-query/></D:report></D:supported-report>\
         <D:supported-report><D:report><C:addressbook-multiget/></D:report></D:supported-report>\
         </D:supported-report-set></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>",
        base(user)
    );
    if with_members {
        let bare: Vec<_> =
            cards.into_iter().map(|card| Listed { vcard: Some(String::new()), ..card }).collect();
        list.push_str(&member_list(user, &bare));
    }
    multistatus(&list, None)
}

/// Cards in one report while reports are truncated by a fault.
const FEW: usize = 2;

fn synchronise(mcs: &Mcs, user: &str, request: &str) -> Response {
    let token = xml::element_text(request, "sync-token").unwrap_or_default();
    let (books, faults) = (&mcs.state.address_books, &mcs.state.faults);
    if faults.strikes(Fault::SyncUnknown) {
        return dav_error(StatusCode::FORBIDDEN, "<D:supported-report/>");
    }
    if !token.is_empty() && faults.strikes(Fault::SyncTokenInvalid) {
        return dav_error(StatusCode::FORBIDDEN, "<D:valid-sync-token/>");
    }
    let changes = match token.as_str() {
        "" => Some(books.all(user)),
        token => {
            let revision = token.strip_prefix(TOKEN_PREFIX).and_then(|revision| revision.parse().ok());
            revision.and_then(|revision| books.since(user, revision))
        }
    };
    let Some((mut revision, mut cards)) = changes else {
        return dav_error(StatusCode::FORBIDDEN, "<D:valid-sync-token/>");
    };
    let asked = xml::element_text(request, "nresults").and_then(|text| text.parse::<usize>().ok());
    let limit = if faults.strikes(Fault::SyncTruncated) { Some(FEW) } else { asked };
    let more = limit.is_some_and(|limit| cards.len() > limit.max(1));
    let mut list = String::new();
    if let (true, Some(limit)) = (more, limit) {
        cards.truncate(limit.max(1));
        revision = cards.last().map_or(revision, |card| card.revision);
        list.push_str(&format!(
            "<D:response><D:href>{}</D:href><D:status>HTTP/1.1 507 Insufficient Storage</D:status>\
             <D:error><D:number-of-matches-within-limits/></D:error></D:response>",
            base(user)
        ));
    }
    if faults.strikes(Fault::SyncBare) {
        let bare = cards.into_iter().map(|card| Listed { vcard: card.vcard.map(|_| String::new()), ..card });
        cards = bare.collect();
    }
    if faults.strikes(Fault::MalformedCard) {
        let vcard = Some("BEGIN:VCARD\r\nVERSION:4.0\r\nthis is no property\r\nEND:VCARD\r\n".to_owned());
        let (file, etag) = ("malformed.vcf".to_owned(), "\"malformed\"".to_owned());
        cards.push(Listed { revision, file, etag, vcard });
    }
    list.push_str(&member_list(user, &cards));
    multistatus(&list, Some(revision))
}

fn multiget(mcs: &Mcs, user: &str, request: &str) -> Response {
    let mut list = String::new();
    for href in xml::all_texts(request, "href") {
        let file = href.rsplit('/').next().unwrap_or_default().to_owned();
        let card = mcs.state.address_books.card(user, &file);
        list.push_str(&member(
            user,
            &card.unwrap_or(Listed { revision: 0, file, etag: String::new(), vcard: None }),
        ));
    }
    multistatus(&list, None)
}

pub(super) async fn card(
    Shared(mcs): Shared<Arc<Mcs>>,
    Path((owner, file)): Path<(String, String)>,
    Extension(SipUser(user)): Extension<SipUser>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = refusal(&mcs, &owner, &user) {
        return refusal;
    }
    let books = &mcs.state.address_books;
    let condition = Condition {
        if_match: headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()).map(str::to_owned),
        if_none_match: headers.contains_key(header::IF_NONE_MATCH),
    };
    let known = books.card(&user, &file).is_some();
    match method.as_str() {
        "GET" | "HEAD" => match books.card(&user, &file) {
            Some(Listed { etag, vcard: Some(vcard), .. }) => {
                tagged(([(header::CONTENT_TYPE, VCARD_TYPE)], vcard).into_response(), &etag)
            }
            Some(_) | None => StatusCode::NOT_FOUND.into_response(),
        },
        "DELETE" if !known => StatusCode::NOT_FOUND.into_response(),
        "PUT" | "DELETE" => {
            let vcard = (method == Method::PUT).then(|| String::from_utf8_lossy(&body).into_owned());
            if vcard.as_ref().is_some_and(|vcard| !vcard.starts_with("BEGIN:VCARD")) {
                return dav_error(StatusCode::FORBIDDEN, "<C:valid-address-data/>");
            }
            if let Some(instead) = change_fault(&mcs) {
                return instead;
            }
            let tagged = |response: Response, etag: &str| match mcs.state.faults.strikes(Fault::CardUntagged)
            {
                true => response,
                false => tagged(response, etag),
            };
            let changed = books.change(&user, &file, &condition, vcard);
            if changed.is_ok() && mcs.state.faults.strikes(Fault::CardAnswerLost) {
                return closed();
            }
            match changed {
                Err(_) => StatusCode::PRECONDITION_FAILED.into_response(),
                Ok((true, etag)) => tagged(StatusCode::NO_CONTENT.into_response(), &etag),
                Ok((false, etag)) => tagged(StatusCode::CREATED.into_response(), &etag),
            }
        }
        _ => not_allowed(),
    }
}

/// What a fault answers in place of making a change.
pub(super) fn change_fault(mcs: &Mcs) -> Option<Response> {
    let faults = [
        (Fault::CardConflict, StatusCode::PRECONDITION_FAILED.into_response()),
        (
            Fault::CardRefused,
            Problem::new(StatusCode::FORBIDDEN, "change-refused", "The change is not taken").into_response(),
        ),
        (Fault::CardUnavailable, closed()),
    ];
    faults.into_iter().find(|(fault, _)| mcs.state.faults.strikes(*fault)).map(|(_, answer)| answer)
}

pub(super) fn refusal(mcs: &Mcs, owner: &str, user: &str) -> Option<Response> {
    if mcs.state.faults.strikes(Fault::AddressBookDown) {
        return Some(closed());
    }
    let foreign =
        || Problem::new(StatusCode::FORBIDDEN, "not-yours", "That is the address book of another user");
    (owner != user).then(|| foreign().into_response())
}

/// The address book alone is closed.
pub(super) fn closed() -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "maintenance", "Closed for maintenance").into_response()
}

fn member_list(user: &str, cards: &[Listed]) -> String {
    cards.iter().map(|card| member(user, card)).collect()
}

fn member(user: &str, card: &Listed) -> String {
    let href = format!("{}{}", base(user), xml::escape(&card.file));
    match &card.vcard {
        None => {
            format!(
                "<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response>"
            )
        }
        Some(vcard) => {
            let data = if vcard.is_empty() {
                String::new()
            } else {
                format!("<C:address-data>{}</C:address-data>", xml::escape(vcard))
            };
            format!(
                "<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:getetag>{}</D:getetag>\
                 <D:getcontenttype>text/vcard</D:getcontenttype>{data}</D:prop>\
                 <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>",
                card.etag
            )
        }
    }
}

pub(crate) fn base(user: &str) -> String {
    format!("/carddav/{user}/default/")
}

pub(super) fn multistatus(list: &str, revision: Option<u64>) -> Response {
    let token = revision.map_or_else(String::new, |revision| {
        format!("<D:sync-token>{TOKEN_PREFIX}{revision}</D:sync-token>")
    });
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\" \
         xmlns:C=\"urn:ietf:params:xml:ns:carddav\" xmlns:CS=\"http://calendarserver.org/ns/\">{list}{token}</D:multistatus>"
    );
    (StatusCode::MULTI_STATUS, [(header::CONTENT_TYPE, "application/xml; charset=utf-8")], document)
        .into_response()
}

fn dav_error(status: StatusCode, condition: &str) -> Response {
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:error xmlns:D=\"DAV:\" \
         xmlns:C=\"urn:ietf:params:xml:ns:carddav\">{condition}</D:error>"
    );
    (status, [(header::CONTENT_TYPE, "application/xml; charset=utf-8")], document).into_response()
}

fn not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, ALLOWED)]).into_response()
}

fn tagged(mut response: Response, etag: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}
