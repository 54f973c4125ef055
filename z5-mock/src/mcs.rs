//! The MCS over HTTPS (step 3): the licence and the address book, behind the SIP credentials of a number.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};

use crate::fault::Fault;
use crate::http::Here;
use crate::http::auth::Realm;
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
pub(crate) mod xml;

pub(crate) struct Mcs {
    pub(crate) state: Arc<State>,
    realm: Realm,
}

/// The SIP user name that the credentials proved.
#[derive(Clone)]
pub(crate) struct SipUser(pub(crate) String);

pub(crate) fn router(state: Arc<State>) -> Router {
    let mcs = Arc::new(Mcs { state, realm: Realm::new("mcs") });
    Router::new()
        .route("/mcs/v1/license", post(licence::issue))
        .route("/.well-known/carddav", any(discovery::well_known))
        .route("/carddav/", any(discovery::root))
        .route("/carddav/{user}/", any(discovery::home))
        .route("/carddav/{user}/default/", any(dav::collection))
        .route("/carddav/{user}/default/{card}", any(dav::card))
        .route("/xcard/{user}/contacts.xml", any(list::list))
        .layer(middleware::from_fn_with_state(Arc::clone(&mcs), sign_in))
        .with_state(mcs)
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
        let mut numbers = state.accounts.iter().flat_map(|account| account.numbers());
        numbers.find(|number| number.sip_user == user).map(|number| number.sip_password.clone())
    };
    let checked = mcs.realm.check(&state.dice, request.method(), request.uri(), request.headers(), password);
    let user = match checked {
        Ok(user) => user,
        Err(problem) => return problem.into_response(),
    };
    if faults.strikes(Fault::CredentialsRejected(Service::Mcs)) {
        return mcs.realm.rejected(&state.dice).into_response();
    }
    if faults.strikes(Fault::StaleNonce(Service::Mcs)) {
        return mcs.realm.stale(&state.dice).into_response();
    }
    request.extensions_mut().insert(SipUser(user));
    next.run(request).await
}
