//! HTTPS inside simulated time: a request and what becomes of it, without a connection.

use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use bytes::Bytes;
use tower_service::Service as _;

use super::Sim;
use crate::fault::{CertificateFault, Fault};
use crate::http::{self, Here};
use crate::recorder::{Direction, Service};

/// The largest body that is handed out.
const MAX_BODY: usize = 128 * 1024 * 1024;
/// A request over HTTPS, as it would stand on the wire.
#[derive(Clone, Debug)]
pub struct HttpsRequest {
    /// Which of the carrier's addresses, and which port.
    pub server: SocketAddr,
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Bytes,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum HttpsOutcome {
    /// An answer.
    Reply {
        /// HTTP status.
        status: u16,
        /// Its headers.
        headers: HeaderMap,
        /// Its body.
        body: Bytes,
    },
    /// The port is closed, or nobody is at this address and port.
    Refused,
    /// The connection is reset as soon as it stands.
    Reset,
    /// The connection ends in the middle of an answer.
    Broken,
    /// What comes is no TLS.
    NoTls,
    /// A certificate that must not be accepted.
    Certificate(CertificateFault),
    /// Nothing ever comes.
    Silent,
}

impl Sim {
    /// A request to the sign-in server or to the MCS, whichever is at its port.
    pub fn https(&mut self, request: HttpsRequest, now: Instant) -> HttpsOutcome {
        self.at(now);
        let addresses = self.state.addresses;
        let (service, router) = match request.server.port() {
            port if port == addresses.zdial.port() => (Service::Zdial, &self.zdial),
            port if port == addresses.mcs.port() => (Service::Mcs, &self.mcs),
            _ => return HttpsOutcome::Refused,
        };
        let here = request.server.ip();
        if !self.state.places.contains(&here) {
            return HttpsOutcome::Refused;
        }
        let faults = self.state.faults.at(here);
        if self.state.faults.is_armed_at(Fault::Refuse(service), here) {
            return HttpsOutcome::Refused;
        }
        if faults.strikes(Fault::Reset(service)) {
            return HttpsOutcome::Reset;
        }
        let silent = [Fault::BlackHole(service), Fault::Slow(service), Fault::HalfOpen(service)];
        if silent.into_iter().any(|fault| faults.strikes(fault)) {
            return HttpsOutcome::Silent;
        }
        if faults.strikes(Fault::Garbage(service)) {
            return HttpsOutcome::NoTls;
        }
        let certificate = faults.strike(|fault| {
            if let Fault::Certificate(at, kind) = *fault { (at == service).then_some(kind) } else { None }
        });
        if let Some(certificate) = certificate {
            return HttpsOutcome::Certificate(certificate);
        }
        let cut = faults.strikes(Fault::Cut(service)) || faults.strikes(Fault::ResetMidway(service));
        let answered = answer(router.clone(), request, here, |direction, text| {
            // Whoever asks over HTTPS has no address here.
            self.state.recorder.record(service, direction, SocketAddr::new(here, 0), text);
        });
        // Who looks into a mailbox changes what others are told of it.
        self.settle();
        match answered {
            Some(_) if cut => HttpsOutcome::Broken,
            Some((status, headers, body)) => HttpsOutcome::Reply { status, headers, body },
            None => HttpsOutcome::Broken,
        }
    }
}

/// What the service says; none when the request cannot be one, or the answer is not there at once, as all answers of this carrier are.
fn answer(
    mut router: Router,
    request: HttpsRequest,
    here: std::net::IpAddr,
    record: impl Fn(Direction, String),
) -> Option<(u16, HeaderMap, Bytes)> {
    let mut built = Request::builder().method(request.method.as_str()).uri(request.target.as_str());
    let headers = built.headers_mut()?;
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_str(value).ok()?);
    }
    let mut built = built.body(Body::from(request.body)).ok()?;
    built.extensions_mut().insert(Here(here));
    record(Direction::Received, http::request_text(&built));
    let response = at_once(router.call(built))?.ok()?;
    record(Direction::Sent, http::response_text(&response));
    let (parts, body) = response.into_parts();
    let body = at_once(axum::body::to_bytes(body, MAX_BODY))?.ok()?;
    Some((parts.status.as_u16(), parts.headers, body))
}

/// The outcome of a future that waits for nobody.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}
