//! The client's end: picks challenges, remembers nonces, writes Authorization and Proxy-Authorization.

#[cfg(test)]
mod tests;

use std::fmt;

use super::Credentials;
use super::asker::{Asker, Realms};
use super::digest::{self, Algorithm, Inputs, Qop, Use};
use super::mutual::{self, ServerProof};
use crate::ident::Ident;
use crate::wire::{AuthParams, Challenge, Message, Method, Name, StartLine};

/// Which of several challenges of one realm is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preference {
    /// The strongest algorithm; the order of the headers decides between equals. An element on the way
    /// that puts a weak challenge on top gains nothing.
    #[default]
    Strongest,
    /// The topmost challenge that can be answered (RFC 8760 section 2.4).
    Topmost,
}

/// Why a challenge cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailure {
    /// A 401 or 407 without a challenge in it.
    #[error("the response asks for credentials and has no challenge")]
    NoChallenge,
    /// No challenge of a scheme, algorithm and quality of protection that this crate can answer.
    #[error("no challenge can be answered; offered: {}", offered.join(", "))]
    NoUsableChallenge {
        /// Scheme and algorithm of each.
        offered: Vec<String>,
    },
    /// There are no credentials for any of the realms.
    #[error("there are no credentials for realm {}", realms.join(", "))]
    NoCredentials {
        /// The realms that asked.
        realms: Vec<String>,
    },
    /// Credentials were given on a fresh nonce and refused: asking again would change nothing.
    #[error("the credentials for realm {realm} were refused")]
    Rejected {
        /// The realm that refused.
        realm: String,
    },
}

/// How often in a row a realm may challenge before it counts as refusing; a server that calls every nonce
/// stale would otherwise be asked for ever.
const PATIENCE: u32 = 3;

/// How many realms and Request-URIs are remembered; the oldest is forgotten first.
const SESSIONS: usize = 16;

/// What is known of one realm.
#[derive(Clone)]
struct Session {
    proxy: bool,
    realm: String,
    /// A server's challenge is answered unasked only for the Request-URI it came for: a registrar's answer
    /// is nothing that the far end of a call should see. Not looked at for proxies, which see every request.
    uri: String,
    algorithm: Algorithm,
    /// The algorithm was named: it is echoed only then (RFC 2617 peers).
    names_algorithm: bool,
    qop: Option<Qop>,
    nonce: String,
    opaque: Option<String>,
    userhash: bool,
    /// Requests that used the nonce.
    count: u32,
    cnonce: String,
    /// Challenges since the last response that was none.
    challenged: u32,
}

/// Answers challenges and reuses nonces: one per proxy realm, one per server realm and Request-URI.
#[derive(Clone)]
pub struct Authenticator {
    credentials: Vec<Credentials>,
    realms: Realms,
    preference: Preference,
    sessions: Vec<Session>,
}

impl Authenticator {
    /// With credentials, the first fitting one wins.
    pub fn new(credentials: Vec<Credentials>) -> Self {
        Self {
            credentials,
            realms: Realms::default(),
            preference: Preference::default(),
            sessions: Vec::new(),
        }
    }

    /// Credentials that name no realm are good for this one, the domain of the account, and for those of its registrar
    /// ([`Self::learn_realms`]).
    pub fn at_home(mut self, domain: impl Into<String>) -> Self {
        self.realms.home = Some(domain.into());
        self
    }

    /// Chooses which of several challenges is answered.
    pub fn prefer(mut self, preference: Preference) -> Self {
        self.preference = preference;
        self
    }

    /// Replaces the credentials and forgets every nonce.
    pub fn replace_credentials(&mut self, credentials: Vec<Credentials>) {
        self.credentials = credentials;
        self.sessions.clear();
    }

    /// The realms that have asked so far are the registrar's: call it when it has accepted a request. From then on
    /// credentials that name no realm are good for these, whoever asks, and without a domain ([`Self::at_home`]) for no others.
    pub fn learn_realms(&mut self) {
        for session in &self.sessions {
            if !self.realms.learned.contains(&session.realm) && self.realms.learned.len() < SESSIONS {
                self.realms.learned.push(session.realm.clone());
            }
        }
    }

    /// True when [`Self::authorize`] would write anything.
    pub fn is_primed(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// Takes in a 401 or 407 to `request`. `Ok` means: send the request once more, as a new transaction with
    /// what [`Self::authorize`] writes.
    pub fn on_challenge(
        &mut self,
        asker: Asker,
        request: &Message,
        response: &Message,
    ) -> Result<(), AuthFailure> {
        let mut offers = Vec::new();
        let mut offered = Vec::new();
        for (proxy, challenge) in response.challenges() {
            let Ok(challenge) = challenge else {
                offered.push("malformed".to_owned());
                continue;
            };
            match Offer::read(proxy, &challenge) {
                Some(offer) => offers.push(offer),
                None => offered.push(describe(&challenge)),
            }
        }
        if offers.is_empty() {
            return Err(match offered.is_empty() {
                true => AuthFailure::NoChallenge,
                false => AuthFailure::NoUsableChallenge { offered },
            });
        }
        let mut unanswered = Vec::new();
        let mut answered = false;
        for offer in self.choose(offers) {
            let (realms, asks) = (&self.realms, (offer.realm.as_str(), offer.proxy));
            if self.credentials.iter().any(|own| realms.allow(own, asks, asker, request)) {
                self.take(request, offer)?;
                answered = true;
            } else {
                unanswered.push(offer.realm);
            }
        }
        if answered { Ok(()) } else { Err(AuthFailure::NoCredentials { realms: unanswered }) }
    }

    /// Takes in any other response to `request`: the nonce is good, and `nextnonce` replaces it. Gives what the response
    /// proves of its sender; of one that fails to prove itself no nonce is taken.
    pub fn on_response(&mut self, request: &Message, response: &Message) -> ServerProof {
        let uri = request_uri(request);
        let mut proof = ServerProof::None;
        for (proxy, asked, info) in [
            (false, Name::Authorization, Name::AuthenticationInfo),
            (true, Name::ProxyAuthorization, Name::ProxyAuthenticationInfo),
        ] {
            for used in request.headers(asked).filter_map(|value| Challenge::parse(value).ok()) {
                let realm = used.realm().unwrap_or_default();
                let Some(session) = self.sessions.iter_mut().find(|s| s.is_for(proxy, &realm, &uri)) else {
                    continue;
                };
                session.challenged = 0;
                let told = response.header(info).map(AuthParams::new).unwrap_or(AuthParams::new(b""));
                let own = self.credentials.iter().find(|credentials| credentials.answers(&realm));
                let shown =
                    own.map_or(ServerProof::None, |own| mutual::judge(own, &used, told, response.body()));
                proof = proof.max(shown);
                if shown == ServerProof::Wrong {
                    continue;
                }
                let next = told.get("nextnonce");
                if let Some(next) = next.filter(|next| is_plain(next) && !next.is_empty()) {
                    session.nonce = next.into_owned();
                    session.count = 0;
                    session.cnonce.clear();
                }
            }
        }
        proof
    }

    /// The header fields that answer every realm known to ask for it, for a request with this method,
    /// Request-URI (as written in it) and body. Each call counts as one use of the nonces, so call it once a request.
    pub fn authorize(
        &mut self,
        method: &Method,
        uri: &str,
        body: &[u8],
        ident: &mut Ident,
    ) -> Vec<(Name<'static>, String)> {
        let credentials = &self.credentials;
        let mut fields = Vec::new();
        for session in self.sessions.iter_mut().filter(|session| session.proxy || session.uri == uri) {
            let Some(own) = credentials.iter().find(|credentials| credentials.answers(&session.realm)) else {
                continue;
            };
            let name = if session.proxy { Name::ProxyAuthorization } else { Name::Authorization };
            fields.push((name, session.answer(own, method.as_str(), uri, body, ident)));
        }
        fields
    }

    /// One offer for each realm and kind.
    fn choose(&self, offers: Vec<Offer>) -> Vec<Offer> {
        let mut chosen: Vec<Offer> = Vec::new();
        for offer in offers {
            match chosen.iter_mut().find(|other| other.proxy == offer.proxy && other.realm == offer.realm) {
                None => chosen.push(offer),
                Some(best) => {
                    let stronger = offer.algorithm.strength() > best.algorithm.strength();
                    if self.preference == Preference::Strongest && stronger {
                        *best = offer;
                    }
                }
            }
        }
        chosen
    }

    /// Makes the offer the realm's session, unless it means a refusal.
    fn take(&mut self, request: &Message, offer: Offer) -> Result<(), AuthFailure> {
        let uri = request_uri(request);
        let known = self.sessions.iter().position(|s| s.is_for(offer.proxy, &offer.realm, &uri));
        let mut challenged = 0;
        if let Some(at) = known {
            let session = &self.sessions[at];
            challenged = session.challenged + 1;
            // A nonce that had served before may simply have run out, whatever the server says. One that
            // was fresh and is not called stale says that the credentials are wrong.
            let refused = used_on_fresh_nonce(request, session) && !offer.stale;
            if refused || challenged >= PATIENCE {
                self.sessions.remove(at);
                return Err(AuthFailure::Rejected { realm: offer.realm });
            }
            self.sessions.remove(at);
        }
        if self.sessions.len() == SESSIONS {
            self.sessions.remove(0);
        }
        self.sessions.push(Session {
            proxy: offer.proxy,
            realm: offer.realm,
            uri,
            algorithm: offer.algorithm,
            names_algorithm: offer.names_algorithm,
            qop: offer.qop,
            nonce: offer.nonce,
            opaque: offer.opaque,
            userhash: offer.userhash,
            count: 0,
            cnonce: String::new(),
            challenged,
        });
        Ok(())
    }
}

/// The Request-URI as written.
fn request_uri(request: &Message) -> String {
    match request.start() {
        StartLine::Request { uri, .. } => String::from_utf8_lossy(uri).into_owned(),
        StartLine::Response { .. } => String::new(),
    }
}

/// True when the request carried the session's nonce in its first use.
fn used_on_fresh_nonce(request: &Message, session: &Session) -> bool {
    let name = if session.proxy { Name::ProxyAuthorization } else { Name::Authorization };
    request.headers(name).filter_map(|value| Challenge::parse(value).ok()).any(|used| {
        // A challenge without qop is answered without a count: then our own tells.
        let first = used.param("nc").map_or(session.count == 1, |nc| nc == "00000001");
        used.realm().as_deref() == Some(&session.realm)
            && used.param("nonce").as_deref() == Some(&session.nonce)
            && first
    })
}

impl Session {
    fn is_for(&self, proxy: bool, realm: &str, uri: &str) -> bool {
        self.proxy == proxy && self.realm == realm && (proxy || self.uri == uri)
    }

    fn answer(
        &mut self,
        own: &Credentials,
        method: &str,
        uri: &str,
        body: &[u8],
        ident: &mut Ident,
    ) -> String {
        self.count = self.count.saturating_add(1);
        // A session key is bound to the first cnonce; for the rest one per nonce is as good as one a request.
        if self.cnonce.is_empty() {
            self.cnonce = ident.cnonce();
        }
        let needs_cnonce = self.qop.is_some() || self.algorithm.is_session();
        let usage = Use { qop: self.qop.unwrap_or(Qop::Auth), nonce_count: self.count, cnonce: &self.cnonce };
        let response = digest::response(&Inputs {
            algorithm: self.algorithm,
            username: own.username(),
            realm: &self.realm,
            password: own.password(),
            nonce: &self.nonce,
            usage: needs_cnonce.then_some(usage),
            legacy: self.qop.is_none(),
            method,
            uri,
            body,
        });
        let username = match self.userhash {
            true => self.algorithm.hash(&[own.username().as_bytes(), self.realm.as_bytes()]),
            false => own.username().to_owned(),
        };
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quoted(&username),
            quoted(&self.realm),
            quoted(&self.nonce),
            quoted(uri)
        );
        if self.names_algorithm {
            value.push_str(&format!(", algorithm={}", self.algorithm));
        }
        if needs_cnonce {
            value.push_str(&format!(", cnonce={}", quoted(&self.cnonce)));
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(&format!(", opaque={}", quoted(opaque)));
        }
        if let Some(qop) = self.qop {
            value.push_str(&format!(", qop={}, nc={:08x}", qop.as_str(), self.count));
        }
        if self.userhash {
            value.push_str(", userhash=true");
        }
        value
    }
}

/// A challenge that can be answered.
struct Offer {
    proxy: bool,
    realm: String,
    algorithm: Algorithm,
    names_algorithm: bool,
    qop: Option<Qop>,
    nonce: String,
    opaque: Option<String>,
    userhash: bool,
    stale: bool,
}

impl Offer {
    fn read(proxy: bool, challenge: &Challenge<'_>) -> Option<Self> {
        if !challenge.is_digest() {
            return None;
        }
        // A fold or NUL inside a quoted string would have to be echoed into a header of ours.
        let text = |name: &str| match challenge.param(name) {
            Some(value) if is_plain(&value) => Some(Some(value.into_owned())),
            Some(_) => None,
            None => Some(None),
        };
        let token = text("algorithm")?;
        let algorithm = match &token {
            None => Algorithm::Md5,
            Some(token) => Algorithm::from_token(token.trim())?,
        };
        let qop = match text("qop")? {
            None => None,
            Some(list) => {
                let mut offered = list.split(',').filter_map(|token| Qop::from_token(token.trim()));
                let first = offered.next()?;
                // `auth` where there is a choice: elements on the way may change a body.
                Some(if offered.any(|qop| qop == Qop::Auth) { Qop::Auth } else { first })
            }
        };
        let is_true = |value: Option<String>| value.is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Some(Self {
            proxy,
            realm: text("realm")??,
            algorithm,
            names_algorithm: token.is_some(),
            qop,
            nonce: text("nonce")??,
            opaque: text("opaque")?,
            userhash: is_true(text("userhash")?),
            stale: is_true(text("stale")?),
        })
    }
}

fn describe(challenge: &Challenge<'_>) -> String {
    let short = |text: &str| text.chars().filter(|c| !c.is_control()).take(40).collect::<String>();
    match challenge.param("algorithm") {
        Some(algorithm) => format!("{} {}", short(challenge.scheme), short(&algorithm)),
        None => short(challenge.scheme),
    }
}

fn is_plain(text: &str) -> bool {
    !text.contains(['\r', '\n', '\0'])
}

pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
    out
}

/// Realms only: nonces and names may not reach a log.
impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let realms: Vec<_> = self.sessions.iter().map(|session| &session.realm).collect();
        f.debug_struct("Authenticator").field("realms", &realms).finish_non_exhaustive()
    }
}
