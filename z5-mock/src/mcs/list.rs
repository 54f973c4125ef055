//! The address book as one document: a list of xCards by GET and POST (RFC 9248 section 7.2, RFC 6351).
//!
//! The document is kept as it was stored. It is a book of its own: what is in the CardDAV collection is not in it, since the mock does not
//! read inside cards. Conditional requests are those of RFC 9110 section 13; HEAD and DELETE are not there.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::address_book::{Condition, PreconditionFailed};
use super::{Mcs, SipUser, dav};
use crate::fault::Fault;
use crate::http::problem::Problem;

const NAMESPACE: &str = "urn:ietf:params:xml:ns:vcard-4.0";
const XCARD_TYPE: &str = "application/vcard+xml";
/// A card without a name and with a telephone number that is none.
const NO_CARD: &str = "<vcard><tel/></vcard>";

/// Where the list of a SIP user is.
pub(crate) fn path(user: &str) -> String {
    format!("/xcard/{user}/contacts.xml")
}

pub(super) async fn list(
    Shared(mcs): Shared<Arc<Mcs>>,
    Path(owner): Path<String>,
    Extension(SipUser(user)): Extension<SipUser>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = dav::refusal(&mcs, &owner, &user) {
        return refusal;
    }
    match method {
        Method::GET => fetch(&mcs, &user, &headers),
        Method::POST => store(&mcs, &user, &headers, &body),
        _ => (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, POST")]).into_response(),
    }
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn fetch(mcs: &Mcs, user: &str, headers: &HeaderMap) -> Response {
    let faults = &mcs.state.faults;
    if faults.strikes(Fault::ListMissing) {
        return Problem::new(StatusCode::NOT_FOUND, "no-list", "There is no list").into_response();
    }
    let (etag, mut text) = mcs.state.address_books.listed(user);
    if faults.strikes(Fault::ListCut) {
        text.truncate(text.len() / 2);
    }
    if faults.strikes(Fault::MalformedCard) && !text.contains(NO_CARD) {
        text = text.replacen("</vcards>", &format!("{NO_CARD}</vcards>"), 1);
    }
    if text_of(headers, header::IF_NONE_MATCH).is_some_and(|seen| seen == etag) {
        return tagged(mcs, StatusCode::NOT_MODIFIED.into_response(), &etag);
    }
    tagged(mcs, ([(header::CONTENT_TYPE, XCARD_TYPE)], text).into_response(), &etag)
}

fn store(mcs: &Mcs, user: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    let text = match judge(body) {
        Ok(text) => text,
        Err(why) => {
            let problem = Problem::new(StatusCode::BAD_REQUEST, "bad-request", "That is no list of xCards");
            return problem.detail(why).into_response();
        }
    };
    if let Some(instead) = dav::change_fault(mcs) {
        return instead;
    }
    let (books, faults) = (&mcs.state.address_books, &mcs.state.faults);
    if faults.strikes(Fault::ListOvertaken) {
        overtake(mcs, user);
    }
    let condition = Condition {
        if_match: text_of(headers, header::IF_MATCH),
        if_none_match: headers.contains_key(header::IF_NONE_MATCH),
    };
    match books.store_list(user, &condition, text.to_owned()) {
        Err(PreconditionFailed) => StatusCode::PRECONDITION_FAILED.into_response(),
        Ok(_) if faults.strikes(Fault::CardAnswerLost) => dav::closed(),
        Ok(etag) => tagged(mcs, StatusCode::NO_CONTENT.into_response(), &etag),
    }
}

/// The text of a list of xCards.
fn judge(body: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let document = roxmltree::Document::parse(text).map_err(|error| error.to_string())?;
    match document.root_element().has_tag_name((NAMESPACE, "vcards")) {
        true => Ok(text),
        false => Err(format!("the root is not vcards of {NAMESPACE}")),
    }
}

/// Another device stores the list with one more contact.
fn overtake(mcs: &Mcs, user: &str) {
    let (_, text) = mcs.state.address_books.listed(user);
    let uid = format!("overtaker-{}", mcs.state.dice.number());
    let end = text.rfind("</").unwrap_or(text.len());
    let text = format!("{}{}\n{}", &text[..end], xcard(&uid, "Overtaker", "+15555550199"), &text[end..]);
    mcs.state.address_books.put_list(user, &text);
}

fn tagged(mcs: &Mcs, mut response: Response, etag: &str) -> Response {
    if !mcs.state.faults.strikes(Fault::CardUntagged)
        && let Ok(value) = HeaderValue::from_str(etag)
    {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// An xCard with a name and a telephone number.
pub fn xcard(uid: &str, name: &str, number: &str) -> String {
    let name = super::xml::escape(name);
    format!(
        "<vcard><uid><uri>urn:uuid:{uid}</uri></uid><fn><text>{name}</text></fn><tel><parameters><type><text>video</text>\
         <text>voice</text></type></parameters><uri>tel:{number}</uri></tel></vcard>"
    )
}

/// A list of xCards.
pub fn xcard_list(cards: &[String]) -> String {
    let cards: String = cards.iter().map(|card| format!("{card}\n")).collect();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<vcards xmlns=\"{NAMESPACE}\">\n{cards}</vcards>\n")
}
