//! The server's end: makes challenges and checks what comes back (RFC 7616 section 3.3 and 3.4, RFC 8760).
//!
//! Passwords are looked up by the caller. Keeps the nonces it gave out, so a nonce of anyone else, an old
//! one or a count that was seen before is stale, never accepted.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;

use super::client::quoted;
use super::digest::{self, Algorithm, Inputs, Qop, Use};
use crate::ident::Ident;
use crate::wire::{Challenge, Message, Name, UriRef};

/// What credentials in a request are worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// They are right.
    Accepted {
        /// Whose.
        username: String,
    },
    /// There are none for this realm, or of another scheme: challenge.
    None,
    /// The nonce is unknown, too old or its count was seen: challenge with `stale`.
    Stale,
    /// Unknown user or wrong response: challenge again or refuse.
    Refused {
        /// Who was named.
        username: String,
    },
    /// They lack a part or contradict the request: 400.
    Malformed,
}

struct Given {
    at: Instant,
    count: u32,
}

/// Makes challenges of one realm and checks the answers.
pub struct Verifier {
    realm: String,
    proxy: bool,
    algorithms: Vec<Algorithm>,
    qop: Vec<Qop>,
    lifetime: Duration,
    nonces: HashMap<String, Given>,
}

/// How many nonces are remembered; the oldest go first.
const NONCES: usize = 4096;

impl Verifier {
    /// For WWW-Authenticate: SHA-256 and MD5, `auth`, nonces good for 5 minutes.
    pub fn new(realm: impl Into<String>) -> Self {
        Self {
            realm: realm.into(),
            proxy: false,
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            qop: vec![Qop::Auth],
            lifetime: Duration::from_secs(300),
            nonces: HashMap::new(),
        }
    }

    /// For Proxy-Authenticate instead.
    pub fn proxy(mut self) -> Self {
        self.proxy = true;
        self
    }

    /// The algorithms to offer, one challenge each, in this order.
    pub fn algorithms(mut self, algorithms: &[Algorithm]) -> Self {
        self.algorithms = algorithms.to_vec();
        self
    }

    /// The qualities of protection to offer; none for the oldest form of digest.
    pub fn qop(mut self, qop: &[Qop]) -> Self {
        self.qop = qop.to_vec();
        self
    }

    /// How long a nonce is good.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// The status to challenge with: 401, or 407 for a proxy.
    pub fn status(&self) -> u16 {
        if self.proxy { 407 } else { 401 }
    }

    /// Header fields for a 401 or 407, one for each algorithm, all with one new nonce.
    pub fn challenge(
        &mut self,
        stale: bool,
        ident: &mut Ident,
        now: Instant,
    ) -> Vec<(Name<'static>, String)> {
        let nonce = self.nonce(ident, now);
        let name = if self.proxy { Name::ProxyAuthenticate } else { Name::WwwAuthenticate };
        let qop: Vec<_> = self.qop.iter().map(Qop::as_str).collect();
        let qop = if qop.is_empty() { String::new() } else { format!(", qop=\"{}\"", qop.join(",")) };
        let stale = if stale { ", stale=true" } else { "" };
        let realm = quoted(&self.realm);
        let field = |algorithm: &Algorithm| {
            (name, format!("Digest realm={realm}, nonce=\"{nonce}\", algorithm={algorithm}{qop}{stale}"))
        };
        self.algorithms.iter().map(field).collect()
    }

    /// The value of an Authentication-Info that gives the client its next nonce.
    pub fn next_nonce(&mut self, ident: &mut Ident, now: Instant) -> (Name<'static>, String) {
        let name = if self.proxy { Name::ProxyAuthenticationInfo } else { Name::AuthenticationInfo };
        (name, format!("nextnonce=\"{}\"", self.nonce(ident, now)))
    }

    /// Judges the credentials of a request. `password` gives a user's password.
    pub fn check(
        &mut self,
        request: &Message,
        password: impl Fn(&str) -> Option<String>,
        now: Instant,
    ) -> Check {
        let name = if self.proxy { Name::ProxyAuthorization } else { Name::Authorization };
        let ours = |value: &[u8]| {
            Challenge::parse(value)
                .is_ok_and(|c| c.is_digest() && c.realm().as_deref() == Some(self.realm.as_str()))
        };
        let Some(value) = request.headers(name).find(|value| ours(value)) else { return Check::None };
        let Ok(given) = Challenge::parse(value) else { return Check::Malformed };
        self.check_given(request, &given, password, now).unwrap_or(Check::Malformed)
    }

    /// `None` for what is malformed.
    fn check_given(
        &mut self,
        request: &Message,
        given: &Challenge<'_>,
        password: impl Fn(&str) -> Option<String>,
        now: Instant,
    ) -> Option<Check> {
        let username = given.param("username")?;
        let (nonce, uri, response) = (given.param("nonce")?, given.param("uri")?, given.param("response")?);
        let algorithm = match given.param("algorithm") {
            None => Algorithm::Md5,
            Some(token) => Algorithm::from_token(&token)?,
        };
        if !self.algorithms.contains(&algorithm) || !same_uri(&uri, request) {
            return None;
        }
        let qop = match given.param("qop") {
            None => None,
            Some(token) => Some(Qop::from_token(&token)?),
        };
        // Leaving qop out where it was offered would shed the replay protection (RFC 7616 section 3.4).
        if qop.is_none() != self.qop.is_empty() || qop.is_some_and(|qop| !self.qop.contains(&qop)) {
            return None;
        }
        let cnonce = given.param("cnonce");
        let count = match qop {
            None => None,
            Some(_) => {
                let nc = given.param("nc").filter(|nc| nc.len() == 8)?;
                Some(u32::from_str_radix(&nc, 16).ok()?)
            }
        };
        if cnonce.is_none() && (qop.is_some() || algorithm.is_session()) {
            return None;
        }
        let Some(known) = self.nonces.get_mut(&*nonce) else { return Some(Check::Stale) };
        let seen = count.is_some_and(|count| count <= known.count);
        if seen || now.saturating_duration_since(known.at) > self.lifetime {
            return Some(Check::Stale);
        }
        let username = username.into_owned();
        let Some(password) = password(&username) else { return Some(Check::Refused { username }) };
        let usage = cnonce.as_deref().map(|cnonce| Use {
            qop: qop.unwrap_or(Qop::Auth),
            nonce_count: count.unwrap_or(1),
            cnonce,
        });
        let method = request.method()?;
        let expected = digest::response(&Inputs {
            algorithm,
            username: &username,
            realm: &self.realm,
            password: &password,
            nonce: &nonce,
            usage,
            legacy: qop.is_none(),
            method: method.as_str(),
            uri: &uri,
            body: request.body(),
        });
        if !bool::from(expected.as_bytes().ct_eq(response.to_ascii_lowercase().as_bytes())) {
            return Some(Check::Refused { username });
        }
        // Only a right answer moves the count: a forger must not be able to use up a nonce.
        known.count = count.unwrap_or(known.count);
        Some(Check::Accepted { username })
    }

    fn nonce(&mut self, ident: &mut Ident, now: Instant) -> String {
        if self.nonces.len() >= NONCES {
            let lifetime = self.lifetime;
            self.nonces.retain(|_, given| now.saturating_duration_since(given.at) <= lifetime);
            let oldest = self.nonces.iter().min_by_key(|(_, given)| given.at).map(|(nonce, _)| nonce.clone());
            if let Some(oldest) = oldest.filter(|_| self.nonces.len() >= NONCES) {
                self.nonces.remove(&oldest);
            }
        }
        let nonce = ident.nonce();
        self.nonces.insert(nonce.clone(), Given { at: now, count: 0 });
        nonce
    }
}

/// The digest URI must mean the Request-URI (RFC 7616 section 3.4.6).
fn same_uri(uri: &str, request: &Message) -> bool {
    match (UriRef::parse(uri.as_bytes()), request.request_uri()) {
        (Ok(given), Some(Ok(own))) => given == own,
        (Ok(_), Some(Err(_)) | None) | (Err(_), _) => false,
    }
}

/// The realm only.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("realm", &self.realm).finish_non_exhaustive()
    }
}
