//! The MCS over HTTPS (step 3): the licence, the address book and the mailbox, behind the SIP credentials of a number.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};

use crate::account::Number;
use crate::fault::Fault;
use crate::http::Here;
use crate::http::auth::{Proof, Realm};
use crate::http::problem::Problem;
use crate::http::trouble;
use crate::recorder::Service;
use crate::state::State;

pub(crate) mod address_book;
pub(crate) mod dav;
mod discovery;
pub(crate) mod licence;
pub(crate) mod list;
pub(crate) mod policy;
pub(crate) mod videomail;
pub(crate) mod xml;

pub(crate) use discovery::ROOT as DAV_ROOT;

pub(crate) struct Mcs {
    pub(crate) state: Arc<State>,
    realm: Realm,
}

/// The SIP user name that the credentials proved.
#[derive(Clone)]
pub(crate) struct SipUser(pub(crate) String);

pub(crate) fn router(state: Arc<State>) -> Router {
    let bearer = numbers(&state).any(|number| number.token.is_some());
    let mcs = Arc::new(Mcs { state, realm: Realm::new("mcs", bearer) });
    Router::new()
        .route("/mcs/v1/license", post(licence::issue))
        .route("/.well-known/carddav", any(discovery::well_known))
        .route("/carddav/", any(discovery::root))
        .route("/carddav/{user}/", any(discovery::home))
        .route("/carddav/{user}/default/", any(dav::collection))
        .route("/carddav/{user}/default/{card}", any(dav::card))
        .route("/xcard/{user}/contacts.xml", any(list::list))
        .route(videomail::PATH, get(videomail::list).delete(videomail::empty))
        .route("/mcs/v1/videomail/{id}", get(videomail::fetch).delete(videomail::remove))
        .layer(middleware::from_fn_with_state(Arc::clone(&mcs), sign_in))
        .with_state(mcs)
}

fn numbers(state: &State) -> impl Iterator<Item = &Number> {
    state.accounts.iter().flat_map(|account| account.numbers())
}

async fn sign_in(Shared(mcs): Shared<Arc<Mcs>>, mut request: Request, next: Next) -> Response {
    let state = &mcs.state;
    let faults = state.faults.at(Here::of(&request).0);
    if let Some(instead) = trouble::instead(faults, Service::Mcs) {
        return instead;
    }
    if faults.strikes(Fault::SchemeUnusable(Service::Mcs)) {
        return Problem::new(StatusCode::UNAUTHORIZED, "credentials-required", "Credentials are required")
            .challenges(vec!["Negotiate".to_owned()])
            .into_response();
    }
    let password = |user: &str| {
        let found = numbers(state).find(|number| number.sip_user == user);
        found.map(|number| number.sip_password.clone())
    };
    let owner = |token: &str| {
        let found = numbers(state).find(|number| number.token.as_deref() == Some(token));
        found.map(|number| number.sip_user.clone())
    };
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let Proof { user, by_token } = match mcs.realm.check(&state.dice, method, uri, headers, password, owner) {
        Ok(proof) => proof,
        Err(problem) => return problem.into_response(),
    };
    if by_token && faults.strikes(Fault::TokenExpired(Service::Mcs)) {
        return mcs.realm.expired(&state.dice).into_response();
    }
    if faults.strikes(Fault::CredentialsRejected(Service::Mcs)) {
        return mcs.realm.rejected(&state.dice).into_response();
    }
    if faults.strikes(Fault::StaleNonce(Service::Mcs)) {
        return mcs.realm.stale(&state.dice).into_response();
    }
    request.extensions_mut().insert(SipUser(user));
    next.run(request).await
}
