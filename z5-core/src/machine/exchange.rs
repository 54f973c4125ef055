//! One authenticated HTTPS request: sent, challenged, sent again with the answer.
//!
//! Digest is preferred (RFC 7616, the strongest algorithm first), Basic (RFC 7617) is answered because the connection is TLS.
//! Once a scheme is known, later requests to the same server carry it from the start, which saves a round trip each.
//! Credentials never go to another server: an [`HttpAuth`] belongs to one [`Server`].

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use z5_sip::auth::digest::{self, Algorithm, Inputs, Qop, Use};
use z5_sip::ident::Ident;
use z5_sip::outbox::Outbox;
use z5_sip::wire::Challenge;

use super::io::{Effect, HeaderText, HttpsFailure, HttpsReply, HttpsRequest, RequestId};
use crate::secret::Secret;

/// Challenges in a row before the credentials count as rejected, a stale nonce included.
const MAX_CHALLENGES: u8 = 3;

/// Where requests go: a name that step 1 resolved, or one that the address book was found at (RFC 6764).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) addresses: Vec<IpAddr>,
}

/// Our credentials at one server and what it wants of them.
pub(crate) struct HttpAuth {
    username: String,
    password: Secret,
    scheme: Scheme,
}

enum Scheme {
    /// Nothing was asked yet.
    None,
    Basic,
    Digest(Digest),
}

struct Digest {
    algorithm: Algorithm,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    qop: bool,
    uses: u32,
}

impl HttpAuth {
    pub(crate) fn new(username: &str, password: &Secret) -> Self {
        Self { username: username.to_owned(), password: password.clone(), scheme: Scheme::None }
    }

    /// For people.
    pub(crate) fn scheme_name(&self) -> &'static str {
        match &self.scheme {
            Scheme::None => "none",
            Scheme::Basic => "Basic",
            Scheme::Digest(digest) => digest.algorithm.as_str(),
        }
    }

    /// The Authorization value for a request.
    fn authorize(&mut self, method: &str, target: &str, ident: &mut Ident) -> Option<Secret> {
        match &mut self.scheme {
            Scheme::None => None,
            Scheme::Basic => {
                let pair = format!("{}:{}", self.username, self.password.expose());
                Some(Secret::new(format!("Basic {}", STANDARD.encode(pair))))
            }
            Scheme::Digest(state) => {
                Some(state.authorize(&self.username, &self.password, method, target, ident))
            }
        }
    }

    /// A challenge that came to somebody who had not said who he is; one that cannot be answered comes again in its time.
    pub(crate) fn expect(&mut self, challenges: &[String]) {
        drop(self.on_challenges(challenges));
    }

    /// Takes the best challenge. The error lists what was offered.
    fn on_challenges(&mut self, challenges: &[String]) -> Result<(), String> {
        let parsed: Vec<Challenge<'_>> =
            challenges.iter().filter_map(|value| Challenge::parse(value.as_bytes()).ok()).collect();
        let digests = parsed.iter().filter_map(Digest::read);
        if let Some(best) = digests.max_by_key(|digest| digest.algorithm.strength()) {
            self.scheme = Scheme::Digest(best);
            return Ok(());
        }
        if parsed.iter().any(|challenge| challenge.scheme.eq_ignore_ascii_case("Basic")) {
            self.scheme = Scheme::Basic;
            return Ok(());
        }
        let offered: Vec<&str> = parsed.iter().map(|challenge| challenge.scheme).collect();
        Err(if offered.is_empty() { "nothing at all".to_owned() } else { offered.join(", ") })
    }
}

impl std::fmt::Debug for HttpAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpAuth").field("scheme", &self.scheme_name()).finish_non_exhaustive()
    }
}

impl Digest {
    fn read(challenge: &Challenge<'_>) -> Option<Self> {
        if !challenge.is_digest() {
            return None;
        }
        let algorithm = match challenge.param("algorithm") {
            Some(token) => Algorithm::from_token(&token)?,
            None => Algorithm::from_token("MD5")?,
        };
        let qop = match challenge.param("qop") {
            None => false,
            Some(list) if list.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")) => true,
            Some(_) => return None,
        };
        // A quote or backslash would have to be escaped on the way back; no server sends one.
        let plain = |text: &str| !text.contains(['"', '\\', '\r', '\n']);
        let (realm, nonce) = (challenge.realm()?.into_owned(), challenge.param("nonce")?.into_owned());
        let opaque = challenge.param("opaque").map(std::borrow::Cow::into_owned);
        if !plain(&realm) || !plain(&nonce) || !opaque.as_deref().is_none_or(plain) {
            return None;
        }
        Some(Self { algorithm, realm, nonce, opaque, qop, uses: 0 })
    }

    fn authorize(
        &mut self,
        username: &str,
        password: &Secret,
        method: &str,
        uri: &str,
        ident: &mut Ident,
    ) -> Secret {
        self.uses += 1;
        let cnonce = ident.cnonce();
        let usage = Use { qop: Qop::Auth, nonce_count: self.uses, cnonce: &cnonce };
        let with_usage = self.qop || self.algorithm.is_session();
        let response = digest::response(&Inputs {
            algorithm: self.algorithm,
            username,
            realm: &self.realm,
            password: password.expose(),
            nonce: &self.nonce,
            usage: with_usage.then_some(usage),
            legacy: !self.qop,
            method,
            uri,
            body: b"",
        });
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", algorithm={}, response=\"{response}\"",
            username.replace('\\', "\\\\").replace('"', "\\\""),
            self.realm,
            self.nonce,
            self.algorithm.as_str(),
        );
        if let Some(opaque) = &self.opaque {
            value.push_str(&format!(", opaque=\"{opaque}\""));
        }
        if self.qop {
            value.push_str(&format!(", qop=auth, nc={:08x}", self.uses));
        }
        if with_usage {
            value.push_str(&format!(", cnonce=\"{cnonce}\""));
        }
        Secret::new(value)
    }
}

/// A request before it is sent.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, HeaderText)>,
    /// Media type and body.
    pub(crate) content: Option<(&'static str, Bytes)>,
}

/// One request until its final reply.
#[derive(Debug)]
pub(crate) struct Exchange {
    id: RequestId,
    request: HttpsRequest,
    challenged: u8,
    authorized: bool,
}

/// How an exchange stands after a fact.
pub(crate) enum Answer {
    Going,
    /// Any status but 401.
    Reply(HttpsReply),
    /// The credentials were refused.
    Rejected,
    NoUsableChallenge(String),
    Failed(HttpsFailure),
}

impl Exchange {
    /// Sends a request.
    pub(crate) fn begin(
        server: &Server,
        request: Request,
        auth: &mut HttpAuth,
        ids: &mut u64,
        ident: &mut Ident,
        out: &mut Outbox<Effect>,
    ) -> Self {
        let Request { method, target, mut headers, content } = request;
        let body = match content {
            Some((kind, body)) => {
                headers.insert(0, ("content-type", HeaderText::Plain(kind.to_owned())));
                body
            }
            None => Bytes::new(),
        };
        let request = HttpsRequest {
            method,
            host: server.host.clone(),
            port: server.port,
            addresses: server.addresses.clone(),
            target,
            headers,
            body,
        };
        let mut this = Self { id: RequestId(0), request, challenged: 0, authorized: false };
        this.send(auth, ids, ident, out);
        this
    }

    pub(crate) const fn id(&self) -> RequestId {
        self.id
    }

    fn send(&mut self, auth: &mut HttpAuth, ids: &mut u64, ident: &mut Ident, out: &mut Outbox<Effect>) {
        *ids += 1;
        self.id = RequestId(*ids);
        let mut request = self.request.clone();
        let value = auth.authorize(request.method, &request.target, ident);
        self.authorized = value.is_some();
        if let Some(value) = value {
            request.headers.push(("authorization", HeaderText::Secret(value)));
        }
        out.push(Effect::Https { id: self.id, request });
    }

    pub(crate) fn on_outcome(
        &mut self,
        outcome: Result<HttpsReply, HttpsFailure>,
        auth: &mut HttpAuth,
        ids: &mut u64,
        ident: &mut Ident,
        out: &mut Outbox<Effect>,
    ) -> Answer {
        let reply = match outcome {
            Ok(reply) => reply,
            Err(failure) => return Answer::Failed(failure),
        };
        if reply.status != 401 {
            return Answer::Reply(reply);
        }
        let stale = reply.challenges.iter().any(|value| {
            Challenge::parse(value.as_bytes()).is_ok_and(|challenge| {
                challenge.param("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"))
            })
        });
        self.challenged += 1;
        // The answer to a challenge of an earlier request may be too old, whether the server says `stale` or not.
        if (self.authorized && !stale && self.challenged > 1) || self.challenged >= MAX_CHALLENGES {
            return Answer::Rejected;
        }
        if let Err(offered) = auth.on_challenges(&reply.challenges) {
            return Answer::NoUsableChallenge(offered);
        }
        self.send(auth, ids, ident, out);
        Answer::Going
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenged(challenges: &[&str]) -> (HttpAuth, Result<(), String>) {
        let mut auth = HttpAuth::new("alice", &Secret::new("wonderland"));
        let challenges: Vec<String> = challenges.iter().map(|text| (*text).to_owned()).collect();
        let result = auth.on_challenges(&challenges);
        (auth, result)
    }

    #[test]
    fn the_strongest_digest_wins_over_basic() {
        let (auth, result) = challenged(&[
            r#"Basic realm="z""#,
            r#"Digest realm="z", nonce="n", qop="auth", algorithm=MD5"#,
            r#"Digest realm="z", nonce="n", qop="auth", algorithm=SHA-256"#,
        ]);
        assert_eq!(result, Ok(()));
        assert_eq!(auth.scheme_name(), "SHA-256");
    }

    #[test]
    fn basic_is_answered_when_nothing_better_is_asked() {
        let (mut auth, result) = challenged(&[r#"Bearer realm="z""#, r#"Basic realm="z""#]);
        assert_eq!(result, Ok(()));
        let value = auth.authorize("GET", "/", &mut Ident::from_seed(1)).unwrap();
        assert_eq!(value.expose(), "Basic YWxpY2U6d29uZGVybGFuZA==");
    }

    #[test]
    fn what_cannot_be_answered_is_listed() {
        assert_eq!(challenged(&[r#"Bearer realm="z""#]).1, Err("Bearer".to_owned()));
        assert_eq!(
            challenged(&[r#"Digest realm="z", nonce="n", algorithm=SHA-3"#]).1,
            Err("Digest".to_owned())
        );
        assert_eq!(challenged(&[]).1, Err("nothing at all".to_owned()));
    }

    #[test]
    fn a_digest_counts_its_uses() {
        let (mut auth, _) =
            challenged(&[r#"Digest realm="z", nonce="n", qop="auth", opaque="o", algorithm=SHA-256"#]);
        let mut ident = Ident::from_seed(1);
        let first = auth.authorize("GET", "/a", &mut ident).unwrap();
        let second = auth.authorize("GET", "/b", &mut ident).unwrap();
        assert!(first.expose().contains("nc=00000001") && second.expose().contains("nc=00000002"));
        assert!(second.expose().contains(r#"uri="/b""#) && second.expose().contains(r#"opaque="o""#));
        assert!(!format!("{auth:?}").contains("wonderland"));
    }
}
