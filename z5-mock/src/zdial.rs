//! The sign-in server of step 2: docs/wire/zdial.md, its configuration document after RFC 9248 section 9.2.2.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, Request, State as Shared};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::account::{Account, Number, NumberState};
use crate::builder::ContactsBy;
use crate::fault::Fault;
use crate::http::Here;
use crate::http::auth::{Proof, Realm};
use crate::http::problem::Problem;
use crate::http::trouble;
use crate::mcs::{dav, list, videomail};
use crate::recorder::Service;
use crate::state::State;

/// How many devices may share a number.
const MAX_REGISTRATIONS: u32 = 5;

type Parameters = Query<HashMap<String, String>>;
type Answer = Result<Json<Value>, Box<Problem>>;

struct Zdial {
    state: Arc<State>,
    realm: Realm,
}

pub(crate) fn router(state: Arc<State>) -> Router {
    let bearer = state.accounts.iter().any(|account| account.token.is_some());
    let zdial = Arc::new(Zdial { state, realm: Realm::new("zdial", bearer) });
    Router::new()
        .route("/zdial/v1/numbers", get(numbers))
        .route("/rum/v1/RueConfig", get(rue_config))
        .layer(middleware::from_fn_with_state(Arc::clone(&zdial), sign_in))
        .with_state(zdial)
}

/// The sign-in name that the credentials proved.
#[derive(Clone)]
struct SignedIn(String);

async fn sign_in(Shared(zdial): Shared<Arc<Zdial>>, mut request: Request, next: Next) -> Response {
    let state = &zdial.state;
    let faults = state.faults.at(Here::of(&request).0);
    if let Some(instead) = trouble::instead(faults, Service::Zdial) {
        return instead;
    }
    if faults.strikes(Fault::SchemeUnusable(Service::Zdial)) {
        return Problem::new(StatusCode::UNAUTHORIZED, "credentials-required", "Credentials are required")
            .challenges(vec!["Negotiate".to_owned()])
            .into_response();
    }
    let password = |user: &str| account(&state.accounts, user).map(|account| account.password().to_owned());
    let owner = |token: &str| {
        let mut accounts = state.accounts.iter();
        let account = accounts.find(|account| account.token.as_deref() == Some(token));
        account.map(|account| account.username().to_owned())
    };
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let Proof { user, by_token } = match zdial.realm.check(&state.dice, method, uri, headers, password, owner)
    {
        Ok(proof) => proof,
        Err(problem) => return problem.into_response(),
    };
    if by_token && faults.strikes(Fault::TokenExpired(Service::Zdial)) {
        return zdial.realm.expired(&state.dice).into_response();
    }
    if faults.strikes(Fault::CredentialsRejected(Service::Zdial)) {
        return zdial.realm.rejected(&state.dice).into_response();
    }
    if faults.strikes(Fault::StaleNonce(Service::Zdial)) {
        return zdial.realm.stale(&state.dice).into_response();
    }
    let suspended = account(&state.accounts, &user).is_some_and(|account| account.suspended);
    if suspended || faults.strikes(Fault::AccountSuspended) {
        return Problem::new(StatusCode::FORBIDDEN, "account-suspended", "The account is suspended")
            .into_response();
    }
    request.extensions_mut().insert(SignedIn(user));
    next.run(request).await
}

async fn numbers(
    Shared(zdial): Shared<Arc<Zdial>>,
    axum::Extension(SignedIn(user)): axum::Extension<SignedIn>,
    axum::Extension(Here(here)): axum::Extension<Here>,
    Query(parameters): Parameters,
) -> Answer {
    instance_id(&parameters)?;
    let faults = zdial.state.faults.at(here);
    let numbers = account(&zdial.state.accounts, &user).map_or(&[][..], |account| account.numbers());
    if faults.strikes(Fault::MissingMember(Service::Zdial)) {
        return Ok(Json(json!({ "max-registrations": MAX_REGISTRATIONS })));
    }
    let numbers = if faults.strikes(Fault::NoNumbers) { &[][..] } else { numbers };
    Ok(Json(json!({ "numbers": list(numbers), "max-registrations": MAX_REGISTRATIONS })))
}

async fn rue_config(
    Shared(zdial): Shared<Arc<Zdial>>,
    axum::Extension(SignedIn(user)): axum::Extension<SignedIn>,
    axum::Extension(Here(here)): axum::Extension<Here>,
    Query(parameters): Parameters,
) -> Answer {
    instance_id(&parameters)?;
    let faults = zdial.state.faults.at(here);
    let numbers = account(&zdial.state.accounts, &user).map_or(&[][..], |account| account.numbers());
    let number = choose(numbers, parameters.get("phone-number").map(String::as_str))?;
    match number.state {
        NumberState::Suspended => {
            return Err(Box::new(Problem::new(
                StatusCode::FORBIDDEN,
                "number-suspended",
                "The number is suspended",
            )));
        }
        NumberState::Available if !faults.strikes(Fault::NumberInUse) => {}
        NumberState::Available | NumberState::InUse => {
            let problem =
                Problem::new(StatusCode::CONFLICT, "number-in-use", "The number is in use on another device");
            return Err(Box::new(problem));
        }
    }
    let mut document = configuration(&zdial.state, number);
    if faults.strikes(Fault::MissingMember(Service::Zdial)) {
        document.as_object_mut().and_then(|members| members.remove("phone-number"));
    }
    Ok(Json(document))
}

fn choose<'a>(numbers: &'a [Number], wanted: Option<&str>) -> Result<&'a Number, Box<Problem>> {
    match (wanted, numbers) {
        (Some(wanted), _) => numbers.iter().find(|number| number.e164 == wanted).ok_or_else(|| {
            let detail = format!("{wanted} is not a number of this account");
            Box::new(Problem::new(StatusCode::NOT_FOUND, "unknown-number", "No such number").detail(detail))
        }),
        (None, [only]) => Ok(only),
        (None, _) => Err(Box::new(
            Problem::new(StatusCode::CONFLICT, "number-selection-required", "Choose one of the numbers")
                .detail("repeat the request with phone-number")
                .member("numbers", list(numbers)),
        )),
    }
}

fn list(numbers: &[Number]) -> Value {
    let entries = numbers.iter().enumerate().map(|(index, number)| {
        json!({
            "phone-number": number.e164,
            "label": number.label,
            "display-name": number.display_name,
            "state": number.state.token(),
            "default": index == 0,
            "emergency-address-on-file": number.emergency_address_on_file,
        })
    });
    entries.collect()
}

fn configuration(state: &State, number: &Number) -> Value {
    let names = &state.names;
    let https = state.addresses.mcs.port();
    let (sip, transport) = match state.proxies_over_tls {
        true => (state.addresses.sips.port(), "tls"),
        false => (state.addresses.sip.port(), "tcp"),
    };
    let proxies: Vec<_> =
        names.mcs_targets().iter().map(|name| format!("sip:{name}:{sip};transport={transport}")).collect();
    let (low, high) = state.client_rtp_ports;
    let mut document = json!({
        "phone-number": number.e164,
        "provider-domain": names.domain(),
        "display-name": number.display_name,
        "user-name": number.sip_user,
        "sip-password": number.sip_password,
        "outbound-proxies": proxies,
        "mwi": format!("sip:{}@{}", number.sip_user, names.domain()),
        "videomail": format!("sip:videomail@{}", names.domain()),
        "lifetime": state.lifetime.as_secs(),
        "x-z5": {
            "mcs": names.mcs_targets(),
            "license-uri": format!("https://{}:{https}/mcs/v1/license", names.mcs),
            "videomail-uri": format!("https://{}:{https}{}", names.mcs, videomail::PATH),
            "rtp-port-range": [low, high],
            "group": "default",
            "sip-transport": transport,
        },
    });
    let place = format!("{}:{https}", names.mcs);
    for way in &state.contacts_by {
        match way {
            ContactsBy::CardDav => {
                let uri = format!("https://{place}{}", dav::base(&number.sip_user));
                document["x-z5"]["address-book-uri"] = json!(uri);
            }
            ContactsBy::CardDavDomain => {
                document["carddav"] = json!({ "carddav-domain": names.domain() });
            }
            ContactsBy::Xcard => {
                let uri = format!("https://{place}{}", list::path(&number.sip_user));
                document["contacts"] = json!({ "contacts-uri": uri });
            }
        }
    }
    document
}

fn instance_id(parameters: &HashMap<String, String>) -> Result<(), Box<Problem>> {
    match parameters.get("instanceId") {
        Some(id) if !id.is_empty() => Ok(()),
        Some(_) | None => {
            let problem = Problem::new(StatusCode::BAD_REQUEST, "bad-request", "The request is not complete");
            Err(Box::new(problem.detail("the query parameter instanceId is missing")))
        }
    }
}

fn account<'a>(accounts: &'a [Account], user: &str) -> Option<&'a Account> {
    accounts.iter().find(|account| account.username() == user)
}
