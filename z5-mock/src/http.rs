//! HTTPS serving: one TLS acceptor, one axum router, HTTP/1.1 (RFC 9112), a record of every exchange.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;

use crate::fault::{CertificateFault, Fault};
use crate::recorder::{Direction, Service};
use crate::shaped::{Shape, Shaped};
use crate::state::State;
use crate::tls;

pub(crate) mod auth;
pub(crate) mod problem;
pub(crate) mod trouble;

/// The address of the carrier that a request came to: faults may be at one of several.
#[derive(Clone, Copy)]
pub(crate) struct Here(pub(crate) IpAddr);

impl Here {
    pub(crate) fn of(request: &Request) -> Self {
        let here = request.extensions().get::<Self>().copied();
        here.unwrap_or(Self(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)))
    }
}

/// Runs one connection to its end.
pub(crate) async fn connection(
    state: Arc<State>,
    service: Service,
    router: Router,
    (stream, shape): (TcpStream, Shape),
    peer: SocketAddr,
) {
    let Ok(here) = stream.local_addr().map(|local| local.ip()) else { return };
    let faults = state.faults.at(here);
    let fault = faults.strike(|fault| {
        if let Fault::Certificate(at, kind) = *fault { (at == service).then_some(kind) } else { None }
    });
    let Some(authority) = &state.tls else { return };
    let stream = match authority.acceptor(fault).accept(stream).await {
        Ok(stream) => {
            let negotiated = tls::negotiated(stream.get_ref().1);
            state.recorder.record(service, Direction::Received, peer, negotiated);
            stream
        }
        Err(error) => {
            let why = format!("[TLS handshake failed: {error}]{}", certificate_note(fault));
            state.recorder.record(service, Direction::Received, peer, why);
            return;
        }
    };
    let recorder = state.recorder.clone();
    let router =
        router.layer(axum::middleware::from_fn(move |mut request: Request, next: axum::middleware::Next| {
            let recorder = recorder.clone();
            async move {
                request.extensions_mut().insert(Here(here));
                recorder.record(service, Direction::Received, peer, request_text(&request));
                let response = next.run(request).await;
                recorder.record(service, Direction::Sent, peer, response_text(&response));
                response
            }
        }));
    let served = http1::Builder::new()
        .keep_alive(true)
        .serve_connection(TokioIo::new(Shaped::new(stream, shape)), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTPS connection ended with an error");
    }
}

fn certificate_note(fault: Option<CertificateFault>) -> &'static str {
    match fault {
        Some(_) => " (a bad certificate was shown on purpose)",
        None => "",
    }
}

/// The request line and the scheme of its credentials; never the credentials.
pub(crate) fn request_text(request: &Request) -> String {
    let mut text = format!("{} {}", request.method(), request.uri());
    for name in ["depth", "content-type", "if-match", "if-none-match"] {
        if let Some(value) = request.headers().get(name).and_then(|value| value.to_str().ok()) {
            text.push_str(&format!("\n{name}: {value}"));
        }
    }
    if let Some(value) = request.headers().get("authorization").and_then(|value| value.to_str().ok()) {
        text.push_str(&format!(
            "\nauthorization: {} [redacted]",
            value.split(' ').next().unwrap_or_default()
        ));
    }
    text
}

pub(crate) fn response_text(response: &Response) -> String {
    let mut text = response.status().to_string();
    for name in ["content-type", "retry-after", "location", "etag"] {
        if let Some(value) = response.headers().get(name).and_then(|value| value.to_str().ok()) {
            text.push_str(&format!("\n{name}: {value}"));
        }
    }
    text
}
