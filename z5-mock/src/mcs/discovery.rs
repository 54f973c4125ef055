//! How a client finds its address book from the host alone: `/.well-known/carddav` (RFC 6764 section 5), the principal (RFC 5397), its
//! address books (RFC 6352 section 7.1.1). PROPFIND only; the bodies of requests are not looked at.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::dav::{base, multistatus, refusal};
use super::{Mcs, SipUser};
use crate::fault::Fault;

/// Where a search begins.
pub(crate) const ROOT: &str = "/carddav/";

/// Leads to the root.
pub(super) async fn well_known(Shared(mcs): Shared<Arc<Mcs>>) -> Response {
    let location = match mcs.state.faults.strikes(Fault::BookElsewhere) {
        true => "https://somewhere-else.test/carddav/",
        false => ROOT,
    };
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, location)]).into_response()
}

/// The root, which says who asks.
pub(super) async fn root(
    Shared(mcs): Shared<Arc<Mcs>>,
    Extension(SipUser(user)): Extension<SipUser>,
    method: Method,
) -> Response {
    if let Some(refusal) = refusal(&mcs, &user, &user) {
        return refusal;
    }
    let properties = format!(
        "<D:current-user-principal><D:href>{}</D:href></D:current-user-principal>{COLLECTION}",
        home_of(&user)
    );
    answer(&method, &resource(ROOT, &properties))
}

/// Who asks, whose address books are in the same place.
pub(super) async fn home(
    Shared(mcs): Shared<Arc<Mcs>>,
    Path(owner): Path<String>,
    Extension(SipUser(user)): Extension<SipUser>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = refusal(&mcs, &owner, &user) {
        return refusal;
    }
    let own = home_of(&user);
    let properties =
        format!("<C:addressbook-home-set><D:href>{own}</D:href></C:addressbook-home-set>{COLLECTION}");
    let mut list = resource(&own, &properties);
    if headers.get("depth").is_some_and(|depth| depth != "0") {
        let book = "<D:resourcetype><D:collection/><C:addressbook/></D:resourcetype>";
        list.push_str(&resource(&base(&user), book));
    }
    answer(&method, &list)
}

const COLLECTION: &str = "<D:resourcetype><D:collection/></D:resourcetype>";

fn home_of(user: &str) -> String {
    format!("{ROOT}{user}/")
}

fn resource(href: &str, properties: &str) -> String {
    format!(
        "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{properties}</D:prop><D:status>HTTP/1.1 200 OK</D:status>\
         </D:propstat></D:response>"
    )
}

fn answer(method: &Method, list: &str) -> Response {
    match method.as_str() {
        "PROPFIND" => multistatus(list, None),
        _ => (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "PROPFIND")]).into_response(),
    }
}
