//! Steps 2 and 3 on the wire: reqwest over rustls. TLS 1.2 at least, no redirects, no proxy, no name resolution of its own: a host
//! is where step 1 said, and nowhere else.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::task::AbortHandle;

use super::{Fact, Facts, race, tls};
use crate::clock::{self, WallAnchor};
use crate::config::Tls;
use crate::error::{Attempt, AttemptOutcome, StartError};
use crate::machine::io::{HeaderText, HttpsFailure, HttpsReply, HttpsRequest, RequestId};

/// The largest reply: 10 000 contacts are a few megabytes.
const MAX_REPLY: usize = 32 * 1024 * 1024;
/// A step's deadline is usually earlier.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// The client, with its connections kept for the next request.
pub(super) struct Client {
    client: reqwest::Client,
    pins: Pins,
    /// To make it anew: without the connections of a network that is gone.
    authorities: Option<Vec<reqwest::Certificate>>,
    under_way: Vec<AbortHandle>,
}

/// Where a host is, as step 1 found; the address that answered last stands first. True once one has answered.
type Pin = (Vec<IpAddr>, bool);

/// The pin of each host.
#[derive(Clone, Default)]
struct Pins(Arc<Mutex<BTreeMap<String, Pin>>>);

impl Pins {
    fn set(&self, host: &str, addresses: Vec<IpAddr>, proved: bool) {
        let entry = (addresses, proved);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_ascii_lowercase(), entry);
    }

    /// Whether these addresses, in whatever order, are what is known, and one of them has answered.
    fn has(&self, host: &str, addresses: &[IpAddr]) -> bool {
        self.of(host).is_some_and(|(known, proved)| {
            proved
                && known.len() == addresses.len()
                && addresses.iter().all(|address| known.contains(address))
        })
    }

    fn of(&self, host: &str) -> Option<Pin> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&host.to_ascii_lowercase()).cloned()
    }
}

impl Resolve for Pins {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.of(name.as_str());
        Box::pin(async move {
            let (addresses, _) = found.ok_or("not one of the names of step 1")?;
            let targets: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(targets)
        })
    }
}

impl Client {
    /// Reads the authorities; where none are named the system's are believed.
    pub(super) fn new(trust: &Tls) -> Result<Self, StartError> {
        let bad = |why: String| StartError::CaFile { path: trust.ca_file.clone(), why };
        let pem = match (&trust.ca_file, &trust.ca_pem) {
            (Some(path), _) => Some(std::fs::read(path).map_err(|error| bad(error.to_string()))?),
            (None, pem) => pem.as_ref().map(|pem| pem.clone().into_bytes()),
        };
        let authorities = match pem {
            None => None,
            Some(pem) => {
                let authorities =
                    reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| bad(root_cause(&error)))?;
                if authorities.is_empty() {
                    return Err(bad("there is no certificate in it".to_owned()));
                }
                Some(authorities)
            }
        };
        let pins = Pins::default();
        let client = build(authorities.clone(), &pins)
            .map_err(|error| StartError::System { what: "HTTPS client", why: root_cause(&error) })?;
        Ok(Self { client, pins, authorities, under_way: Vec::new() })
    }

    /// Gives up requests under way without a word, and connections that are kept for later. What is known of addresses goes
    /// too.
    pub(super) fn forget(&mut self) {
        for task in self.under_way.drain(..) {
            task.abort();
        }
        let pins = Pins::default();
        match build(self.authorities.clone(), &pins) {
            Ok(client) => (self.client, self.pins) = (client, pins),
            // It was made once with the same settings; the old one still works, with a delay.
            Err(error) => tracing::warn!(error = root_cause(&error), "no new HTTPS client"),
        }
    }

    /// Sends a request; the reply comes as a fact.
    pub(super) fn send(&mut self, id: RequestId, request: HttpsRequest, facts: Facts) {
        let (client, pins) = (self.client.clone(), self.pins.clone());
        let task = tokio::spawn(async move {
            let outcome = exchange(&client, &pins, request).await;
            drop(facts.send(Fact::Https { id, outcome }));
        });
        self.under_way.retain(|task| !task.is_finished());
        self.under_way.push(task.abort_handle());
    }
}

/// `authorities` in place of the system's.
fn build(authorities: Option<Vec<reqwest::Certificate>>, pins: &Pins) -> reqwest::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .https_only(true)
        .http1_only()
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("z5/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(pins.clone())
        .tls_version_min(reqwest::tls::Version::TLS_1_2);
    if let Some(authorities) = authorities {
        builder = builder.tls_certs_only(authorities);
    }
    builder.build()
}

/// With several addresses of which none has answered yet, the request goes to the first at once, and beside it all of them are tried
/// with the pacing of RFC 8305: when another one answers sooner, the request goes there instead. So a dead address costs at most that
/// pacing, and a first one that works costs nothing. (The client below tries one family's addresses one after the other for much longer.)
async fn exchange(
    client: &reqwest::Client,
    pins: &Pins,
    request: HttpsRequest,
) -> Result<HttpsReply, HttpsFailure> {
    let targets: Vec<SocketAddr> =
        request.addresses.iter().map(|address| SocketAddr::new(*address, request.port)).collect();
    if pins.has(&request.host, &request.addresses) {
        return attempt(client, request, &targets).await;
    }
    let host = request.host.clone();
    let order = |first: SocketAddr| {
        let others = targets.iter().map(SocketAddr::ip).filter(|address| *address != first.ip());
        [first.ip()].into_iter().chain(others).collect::<Vec<_>>()
    };
    pins.set(&host, request.addresses.clone(), false);
    let (Some(first), true) = (targets.first().copied(), targets.len() > 1) else {
        return attempt(client, request, &targets).await;
    };
    let mut straight = std::pin::pin!(attempt(client, request.clone(), &targets));
    let mut probe = std::pin::pin!(race::connect(&targets));
    let won = tokio::select! {
        biased;
        outcome = &mut straight => match outcome {
            // The probe knows what was seen at each address.
            Err(HttpsFailure::Unreachable(_)) => match probe.await {
                Ok((_, won)) => won,
                Err(attempts) => return Err(HttpsFailure::Unreachable(attempts)),
            },
            other => {
                pins.set(&host, order(first), other.is_ok());
                return other;
            }
        },
        probed = &mut probe => match probed {
            Ok((_, won)) if won == first => {
                pins.set(&host, order(first), true);
                return straight.await;
            }
            Ok((_, won)) => won,
            Err(attempts) => return Err(HttpsFailure::Unreachable(attempts)),
        },
    };
    pins.set(&host, order(won), true);
    attempt(client, request, &[won]).await
}

/// One request to where the pins say; `targets` are for the words of a failure.
async fn attempt(
    client: &reqwest::Client,
    request: HttpsRequest,
    targets: &[SocketAddr],
) -> Result<HttpsReply, HttpsFailure> {
    let began = clock::now();
    let method = reqwest::Method::from_bytes(request.method.as_bytes())
        .map_err(|error| HttpsFailure::Broken(error.to_string()))?;
    let url = format!("https://{}:{}{}", host_in_url(&request.host), request.port, request.target);
    let mut builder = client.request(method, url).body(request.body);
    for (name, value) in &request.headers {
        let (text, sensitive) = match value {
            HeaderText::Plain(text) => (text.as_str(), false),
            HeaderText::Secret(secret) => (secret.expose(), true),
        };
        let mut value = reqwest::header::HeaderValue::from_str(text)
            .map_err(|_| HttpsFailure::Broken(format!("the header {name} cannot be sent")))?;
        value.set_sensitive(sensitive);
        builder = builder.header(*name, value);
    }
    let first = targets.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], request.port)));
    let response = builder.send().await.map_err(|error| failure(&error, first, began))?;
    read(response).await
}

async fn read(mut response: reqwest::Response) -> Result<HttpsReply, HttpsFailure> {
    let status = response.status().as_u16();
    let headers = response.headers();
    let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(str::to_owned);
    let challenges = headers.get_all(reqwest::header::WWW_AUTHENTICATE).iter().filter_map(text).collect();
    let retry_after_s =
        headers.get(reqwest::header::RETRY_AFTER).and_then(text).and_then(|text| seconds(&text));
    let mut body = BytesMut::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| HttpsFailure::Broken(root_cause(&error)))?
    {
        if body.len() + chunk.len() > MAX_REPLY {
            return Err(HttpsFailure::TooLarge { limit: MAX_REPLY });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpsReply { status, challenges, retry_after_s, body: Bytes::from(body) })
}

/// Retry-After in either form (RFC 9110 section 10.2.3).
fn seconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(seconds);
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(date.saturating_sub(WallAnchor::read().unix_s))
}

fn failure(error: &reqwest::Error, target: SocketAddr, began: std::time::Instant) -> HttpsFailure {
    if let Some(why) = tls::failure(error) {
        return HttpsFailure::Tls(why);
    }
    if !error.is_connect() {
        return HttpsFailure::Broken(root_cause(error));
    }
    let waited = clock::now().saturating_duration_since(began);
    let outcome = match io_cause(error) {
        Some(io) => AttemptOutcome::from_io(io, waited),
        None if error.is_timeout() => AttemptOutcome::TimedOut { after_ms: crate::error::millis(waited) },
        None => AttemptOutcome::Failed { why: root_cause(error) },
    };
    HttpsFailure::Unreachable(vec![Attempt { address: target, transport: None, outcome }])
}

fn io_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a std::io::Error> {
    let mut next: Option<&'a (dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

/// The innermost words; the outer ones repeat the URL, which may hold a number.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn host_in_url(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
    }
}
