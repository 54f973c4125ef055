//! Steps 2 and 3 on the wire: reqwest over rustls. TLS 1.2 at least, no redirects, no proxy, no name resolution of its own: a host
//! is where step 1 said, and nowhere else.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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

/// How long one address may say nothing to a request while there is another to try; as long as for SIP
/// (`SERVER_PATIENCE` of step 4). The body may take as long as the step has: an address book is large.
const SILENCE: Duration = Duration::from_secs(4);

/// The clients, with their connections kept for the next request.
pub(super) struct Client {
    clients: Clients,
    under_way: Vec<AbortHandle>,
}

/// One client for each address, so that a connection is to where it is thought to be; and where each host has answered.
#[derive(Clone)]
struct Clients {
    authorities: Option<Vec<reqwest::Certificate>>,
    by_address: Arc<Mutex<BTreeMap<IpAddr, reqwest::Client>>>,
    /// The addresses of a host, the one that answered last first.
    orders: Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>,
}

impl Clients {
    fn new(authorities: Option<Vec<reqwest::Certificate>>) -> Self {
        Self { authorities, by_address: Arc::default(), orders: Arc::default() }
    }

    fn at(&self, address: IpAddr) -> reqwest::Result<reqwest::Client> {
        let mut clients = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&address) {
            return Ok(client.clone());
        }
        let client = build(self.authorities.clone(), address)?;
        clients.insert(address, client.clone());
        Ok(client)
    }

    /// In which order these addresses of a host are tried, and whether the first of them has answered before.
    fn order(&self, host: &str, addresses: &[IpAddr]) -> (Vec<IpAddr>, bool) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let known = orders.get(&host.to_ascii_lowercase()).filter(|known| {
            known.len() == addresses.len() && addresses.iter().all(|address| known.contains(address))
        });
        known.map_or_else(|| (addresses.to_vec(), false), |known| (known.clone(), true))
    }

    fn answered(&self, host: &str, address: IpAddr, addresses: &[IpAddr]) {
        let others = addresses.iter().copied().filter(|other| *other != address);
        let order = [address].into_iter().chain(others).collect();
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.insert(host.to_ascii_lowercase(), order);
    }
}

/// Whatever the name: it is there, as step 1 said.
struct There(IpAddr);

impl Resolve for There {
    fn resolve(&self, _: Name) -> Resolving {
        let targets: Addrs = Box::new(std::iter::once(SocketAddr::new(self.0, 0)));
        Box::pin(std::future::ready(Ok(targets)))
    }
}

impl Client {
    /// Reads the authorities; where none are named the system's are believed.
    pub(super) fn new(trust: &Tls) -> Result<Self, StartError> {
        let bad = |why: String| StartError::CaFile { path: trust.ca_file.clone(), why };
        let authorities = match trust.authorities().map_err(|why| bad(why.to_string()))? {
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
        // What cannot be built is told now, not in the middle of step 2.
        build(authorities.clone(), IpAddr::V4(Ipv4Addr::LOCALHOST))
            .map_err(|error| StartError::System { what: "HTTPS client", why: root_cause(&error) })?;
        Ok(Self { clients: Clients::new(authorities), under_way: Vec::new() })
    }

    /// Gives up requests under way without a word, and connections that are kept for later. What is known of addresses goes
    /// too.
    pub(super) fn forget(&mut self) {
        for task in self.under_way.drain(..) {
            task.abort();
        }
        self.clients = Clients::new(self.clients.authorities.clone());
    }

    /// Sends a request; the reply comes as a fact.
    pub(super) fn send(&mut self, id: RequestId, request: HttpsRequest, facts: Facts) {
        let clients = self.clients.clone();
        let task = tokio::spawn(async move {
            let outcome = exchange(&clients, &request).await;
            drop(facts.send(Fact::Https { id, outcome }));
        });
        self.under_way.retain(|task| !task.is_finished());
        self.under_way.push(task.abort_handle());
    }
}

/// `authorities` in place of the system's.
fn build(
    authorities: Option<Vec<reqwest::Certificate>>,
    address: IpAddr,
) -> reqwest::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .https_only(true)
        .http1_only()
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("z5/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(There(address)))
        .tls_version_min(reqwest::tls::Version::TLS_1_2);
    if let Some(authorities) = authorities {
        builder = builder.tls_certs_only(authorities);
    }
    builder.build()
}

/// One request to the addresses of its host in turn, until one of them serves it: whoever cannot be reached, breaks off, shows a bad
/// certificate, says nothing or answers with a status from 500 is passed over while there is another (as RFC 3263 section 4.3 has
/// it for SIP). When none is left, what was said is told rather than who was silent.
async fn exchange(clients: &Clients, request: &HttpsRequest) -> Result<HttpsReply, HttpsFailure> {
    let (mut left, proved) = clients.order(&request.host, &request.addresses);
    let mut attempts = Vec::new();
    let mut said = None;
    let mut race = !proved && left.len() > 1;
    while let Some(first) = left.first().copied() {
        let (address, outcome) = match race {
            true => raced(clients, request, &left).await?,
            false => (first, attempt(clients, request, first, left.len() > 1).await),
        };
        race = false;
        left.retain(|other| *other != address);
        match outcome {
            Err(HttpsFailure::Unreachable(more)) => attempts.extend(more),
            Ok(reply) if reply.status < 500 => {
                clients.answered(&request.host, address, &request.addresses);
                return Ok(reply);
            }
            // Too large a reply is one all the same.
            Err(failure @ HttpsFailure::TooLarge { .. }) => return Err(failure),
            other => {
                said.get_or_insert(other);
            }
        }
        if !left.is_empty() {
            tracing::debug!(%address, "the next address of the server is tried");
        }
    }
    said.unwrap_or(Err(HttpsFailure::Unreachable(attempts)))
}

/// With several addresses of which none has answered yet, the request goes to the first at once, and beside it all of them are tried
/// with the pacing of RFC 8305: when another one answers sooner, the request goes there instead. So a dead address costs at most that
/// pacing, and a first one that works costs nothing. The error is that of all of them.
async fn raced(
    clients: &Clients,
    request: &HttpsRequest,
    addresses: &[IpAddr],
) -> Result<(IpAddr, Result<HttpsReply, HttpsFailure>), HttpsFailure> {
    let targets: Vec<SocketAddr> =
        addresses.iter().map(|address| SocketAddr::new(*address, request.port)).collect();
    let Some(first) = addresses.first().copied() else { return Err(HttpsFailure::Unreachable(Vec::new())) };
    let mut straight = std::pin::pin!(attempt(clients, request, first, true));
    let mut probe = std::pin::pin!(race::connect(&targets));
    let won = tokio::select! {
        biased;
        outcome = &mut straight => return Ok((first, outcome)),
        probed = &mut probe => match probed {
            Ok((_, won)) if won.ip() == first => return Ok((first, straight.await)),
            Ok((_, won)) => won.ip(),
            Err(attempts) => return Err(HttpsFailure::Unreachable(attempts)),
        },
    };
    Ok((won, attempt(clients, request, won, true).await))
}

/// One request to one address, which must not be silent for long when there is `another`.
async fn attempt(
    clients: &Clients,
    request: &HttpsRequest,
    address: IpAddr,
    another: bool,
) -> Result<HttpsReply, HttpsFailure> {
    let began = clock::now();
    let target = SocketAddr::new(address, request.port);
    let broken = |why: String| HttpsFailure::Broken(why);
    let client = clients.at(address).map_err(|error| broken(root_cause(&error)))?;
    let method =
        reqwest::Method::from_bytes(request.method.as_bytes()).map_err(|error| broken(error.to_string()))?;
    let url = format!("https://{}:{}{}", host_in_url(&request.host), request.port, request.target);
    let mut builder = client.request(method, url).body(request.body.clone());
    for (name, value) in &request.headers {
        let (text, sensitive) = match value {
            HeaderText::Plain(text) => (text.as_str(), false),
            HeaderText::Secret(secret) => (secret.expose(), true),
        };
        let mut value = reqwest::header::HeaderValue::from_str(text)
            .map_err(|_| broken(format!("the header {name} cannot be sent")))?;
        value.set_sensitive(sensitive);
        builder = builder.header(*name, value);
    }
    let sent = async { builder.send().await.map_err(|error| failure(&error, target, began)) };
    let response = match another {
        false => sent.await?,
        true => tokio::time::timeout(SILENCE, sent).await.unwrap_or_else(|_| {
            let outcome = AttemptOutcome::TimedOut { after_ms: crate::error::millis(SILENCE) };
            Err(HttpsFailure::Unreachable(vec![Attempt { address: target, transport: None, outcome }]))
        })?,
    };
    read(response).await
}

async fn read(mut response: reqwest::Response) -> Result<HttpsReply, HttpsFailure> {
    let status = response.status().as_u16();
    let headers = response.headers();
    let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(str::to_owned);
    let challenges = headers.get_all(reqwest::header::WWW_AUTHENTICATE).iter().filter_map(text).collect();
    let retry_after_s =
        headers.get(reqwest::header::RETRY_AFTER).and_then(text).and_then(|text| seconds(&text));
    let etag = headers.get(reqwest::header::ETAG).and_then(text);
    let location = headers.get(reqwest::header::LOCATION).and_then(text);
    let mut body = BytesMut::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| HttpsFailure::Broken(root_cause(&error)))?
    {
        if body.len() + chunk.len() > MAX_REPLY {
            return Err(HttpsFailure::TooLarge { limit: MAX_REPLY });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpsReply { status, challenges, retry_after_s, etag, location, body: Bytes::from(body) })
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
