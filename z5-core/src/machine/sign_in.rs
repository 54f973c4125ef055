//! Step 2: ZDial. Authenticate, list the numbers, choose one, fetch its configuration.
//!
//! Requests (docs/wire): `GET /zdial/v1/numbers`, and beside it, to spare a round trip, `GET /rum/v1/RueConfig` for the number that will
//! be chosen as far as is known; when the list says otherwise, the configuration is asked for once more. The replies are JSON;
//! refusals are problem documents with a stable `code`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use z5_sip::outbox::{Deadline, Outbox};
use z5_sip::ua::Transport;

use super::context::Context;
use super::exchange::{Answer, Exchange, HttpAuth, Server};
use super::io::{Effect, HttpsFailure, HttpsReply, RequestId};
use super::json;
use super::plan::{Plan, ZDialPlan};
use super::resolve::Resolved;
use crate::config::{self, PortRange};
use crate::error::{SignInError, millis};
use crate::events::{EventKind, NumberOffer, NumberState};
use crate::secret::Secret;
use crate::store::KeptConfiguration;

const LIST: &str = "the list of numbers";
const PROXIES: &str = "outbound-proxies";
const CONFIGURATION: &str = "the configuration of the number";

/// Proof of step 2: who we are at the carrier.
#[derive(Debug, Clone)]
pub(crate) struct SignedIn {
    pub(crate) resolved: Arc<Resolved>,
    pub(crate) account: Account,
    pub(crate) offered: Vec<NumberOffer>,
    pub(crate) authentication: &'static str,
    /// The configuration as it came, to be kept.
    document: Secret,
    _proof: Proof,
}

/// How we proved who we are where nobody was asked.
const KEPT: &str = "kept";

impl SignedIn {
    /// What was kept of an earlier sign-in, where the servers are by a present look at the names. Whether it may be used is for the
    /// caller to say; none when it says nothing that is of use now.
    pub(crate) fn recall(kept: &KeptConfiguration, resolved: Arc<Resolved>, plan: &Plan) -> Option<Self> {
        let configured = plan.zdial.as_ref()?.number.as_deref();
        if configured.is_some_and(|number| !same_number(number, &kept.number)) {
            return None;
        }
        let account = account(kept.document.expose().as_bytes(), &kept.number, plan).ok()?;
        knows_a_proxy(&resolved, &account).then(|| Self {
            resolved,
            account,
            offered: kept.offered.clone(),
            authentication: KEPT,
            document: kept.document.clone(),
            _proof: Proof,
        })
    }

    /// Nobody was asked.
    pub(crate) fn is_kept(&self) -> bool {
        self.authentication == KEPT
    }

    /// To be kept.
    pub(crate) fn record(&self, fetched_unix_s: u64) -> KeptConfiguration {
        KeptConfiguration {
            number: self.account.number.clone(),
            offered: self.offered.clone(),
            document: self.document.clone(),
            fetched_unix_s,
        }
    }

    /// The same account where its servers are by a later look at the names.
    pub(crate) fn moved(&self, resolved: Arc<Resolved>) -> Self {
        Self { resolved, ..self.clone() }
    }
}

/// Only this file makes one.
#[derive(Debug, Clone)]
struct Proof;

/// The configuration of the chosen number (RFC 9248 RueConfigurationData with the members of `x-z5`).
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) number: String,
    pub(crate) domain: String,
    pub(crate) display_name: Option<String>,
    pub(crate) user_name: String,
    pub(crate) sip_password: Secret,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) licence_uri: Option<String>,
    pub(crate) address_book_uri: Option<String>,
    /// A CardDAV address book by its host, with or without a port (RFC 9248 section 9.2.2 `carddav`).
    pub(crate) carddav: Option<Named>,
    /// A list of xCards by its URI (RFC 9248 section 9.2.2 `contacts`).
    pub(crate) xcard: Option<Named>,
    /// The address of the mailbox (RFC 9248 section 9.2.2 `mwi`).
    pub(crate) mailbox: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) rtp_ports: Option<PortRange>,
    /// For how long these values hold (RFC 9248 section 9.2.2 `lifetime`).
    pub(crate) lifetime: Option<Duration>,
}

/// An address book that the configuration names.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) at: String,
    /// None: those of SIP (RFC 9248 section 7). They come together or not at all; half of them are none.
    pub(crate) credentials: Option<(String, Secret)>,
}

/// An outbound proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// TCP or TLS.
    pub(crate) transport: Transport,
}

/// The step under way.
#[derive(Debug)]
pub(crate) struct SigningIn {
    resolved: Arc<Resolved>,
    server: Server,
    auth: HttpAuth,
    /// The number that was chosen before.
    chosen: Option<String>,
    phase: Phase,
    early: Option<Early>,
    offered: Vec<NumberOffer>,
    began: Instant,
    until: Instant,
}

/// The configuration, asked for before the number is chosen.
#[derive(Debug)]
struct Early {
    /// None: of the only number there is.
    number: Option<String>,
    exchange: Exchange,
    reply: Option<HttpsReply>,
}

#[derive(Debug)]
enum Phase {
    Listing(Exchange),
    /// Waiting for the user; no deadline.
    Choosing,
    Configuring {
        number: String,
        exchange: Exchange,
    },
}

/// How the step stands.
pub(crate) enum Progress {
    Going,
    /// The user must choose.
    Choose,
    Done(Box<Result<SignedIn, SignInError>>),
}

fn failed(error: SignInError) -> Progress {
    Progress::Done(Box::new(Err(error)))
}

impl SigningIn {
    pub(crate) fn begin(
        resolved: Arc<Resolved>,
        chosen: Option<String>,
        zdial: &ZDialPlan,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Self {
        let addresses: Vec<IpAddr> = resolved.addresses(&zdial.host).unwrap_or_default().to_vec();
        let server = Server { host: zdial.host.clone(), port: zdial.port, addresses };
        let mut auth = HttpAuth::new(&zdial.username, &zdial.password);
        let target = format!("/zdial/v1/numbers?instanceId={}", context.plan.instance_id);
        let phase = Phase::Listing(context.get(&server, target, &mut auth, out));
        let number = chosen.clone().or_else(|| zdial.number.clone());
        let target = configuration_of(number.as_deref(), context.plan);
        let exchange = context.get(&server, target, &mut auth, out);
        let early = Some(Early { number, exchange, reply: None });
        let (began, until) = (context.now, context.now + context.plan.timeouts.sign_in.duration());
        Self { resolved, server, auth, chosen, phase, early, offered: Vec::new(), began, until }
    }

    pub(crate) fn on_https(
        &mut self,
        id: RequestId,
        outcome: Result<HttpsReply, HttpsFailure>,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Progress {
        if let Some(early) = self.early.as_mut().filter(|early| early.exchange.id() == id) {
            match early.exchange.on_outcome(outcome, &mut self.auth, context.ids, context.ident, out) {
                Answer::Going => {}
                Answer::Reply(reply) => early.reply = Some(reply),
                // The list tells what is wrong, or the configuration is asked for in its turn.
                Answer::Rejected | Answer::NoUsableChallenge(_) | Answer::Failed(_) => self.early = None,
            }
            return Progress::Going;
        }
        let name = self.phase_name();
        let exchange = match &mut self.phase {
            Phase::Listing(exchange) | Phase::Configuring { exchange, .. } if exchange.id() == id => exchange,
            Phase::Listing(_) | Phase::Configuring { .. } | Phase::Choosing => return Progress::Going,
        };
        let answer = exchange.on_outcome(outcome, &mut self.auth, context.ids, context.ident, out);
        let reply = match answer {
            Answer::Going => return Progress::Going,
            Answer::Reply(reply) => reply,
            Answer::Rejected => {
                return failed(SignInError::BadCredentials { host: self.server.host.clone() });
            }
            Answer::NoUsableChallenge(offered) => {
                return failed(SignInError::NoUsableChallenge { host: self.server.host.clone(), offered });
            }
            Answer::Failed(failure) => return failed(self.network_error(failure, name)),
        };
        self.take(&reply, context, out)
    }

    /// A final reply to what the phase waits for.
    fn take(&mut self, reply: &HttpsReply, context: &mut Context<'_>, out: &mut Outbox<Effect>) -> Progress {
        let name = self.phase_name();
        if reply.status != 200 {
            return failed(self.refusal(reply, name));
        }
        match &self.phase {
            Phase::Listing(_) => match numbers(&reply.body) {
                Ok(offered) => {
                    self.offered = offered;
                    self.choose(None, context, out)
                }
                Err(error) => failed(error),
            },
            Phase::Configuring { number, .. } => match account(&reply.body, number, context.plan) {
                Ok(account) => match self.unknown_proxies(&account) {
                    Some(error) => failed(error),
                    None => self.done(account, &reply.body),
                },
                Err(error) => failed(error),
            },
            Phase::Choosing => Progress::Going,
        }
    }

    /// The user's choice.
    pub(crate) fn on_choice(
        &mut self,
        number: &str,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Progress {
        match self.phase {
            Phase::Choosing => {
                self.until = context.now + context.plan.timeouts.sign_in.duration();
                self.choose(Some(number), context, out)
            }
            Phase::Listing(_) | Phase::Configuring { .. } => Progress::Going,
        }
    }

    pub(crate) fn on_deadline(&self, now: Instant) -> Progress {
        match self.phase {
            Phase::Choosing => Progress::Going,
            Phase::Listing(_) | Phase::Configuring { .. } if now < self.until => Progress::Going,
            Phase::Listing(_) | Phase::Configuring { .. } => failed(SignInError::TimedOut {
                host: self.server.host.clone(),
                phase: self.phase_name(),
                after_ms: millis(now.saturating_duration_since(self.began)),
            }),
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        match self.phase {
            Phase::Choosing => None,
            Phase::Listing(_) | Phase::Configuring { .. } => Some(Deadline::new(self.until, "step 2: ZDial")),
        }
    }

    /// Whether the user is asked.
    pub(crate) const fn is_choosing(&self) -> bool {
        matches!(self.phase, Phase::Choosing)
    }

    fn phase_name(&self) -> &'static str {
        match self.phase {
            Phase::Listing(_) => LIST,
            Phase::Choosing => "the choice of a number",
            Phase::Configuring { .. } => CONFIGURATION,
        }
    }

    fn choose(
        &mut self,
        said: Option<&str>,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Progress {
        let configured = context.plan.zdial.as_ref().and_then(|zdial| zdial.number.as_deref());
        let known = said.or(self.chosen.as_deref()).or(configured);
        let number = match (known, self.offered.as_slice()) {
            (_, []) => return failed(SignInError::NoNumbers),
            (Some(wanted), offered) => {
                match offered.iter().find(|offer| same_number(&offer.number, wanted)) {
                    Some(offer) => offer.number.clone(),
                    None => {
                        let numbers = self.offered.clone();
                        return failed(SignInError::UnknownNumber { number: wanted.to_owned(), numbers });
                    }
                }
            }
            (None, [only]) => only.number.clone(),
            (None, _) if context.plan.interactive_number => {
                self.phase = Phase::Choosing;
                out.push(Effect::Emit(EventKind::NumberRequired { numbers: self.offered.clone() }));
                return Progress::Choose;
            }
            (None, _) => return failed(SignInError::NumberRequired { numbers: self.offered.clone() }),
        };
        let only = self.offered.len() == 1;
        let fits = |early: &Early| early.number.as_ref().map_or(only, |asked| same_number(asked, &number));
        if let Some(early) = self.early.take().filter(fits) {
            self.phase = Phase::Configuring { number, exchange: early.exchange };
            return match early.reply {
                Some(reply) => self.take(&reply, context, out),
                None => Progress::Going,
            };
        }
        let target = configuration_of(Some(&number), context.plan);
        let exchange = context.get(&self.server, target, &mut self.auth, out);
        self.phase = Phase::Configuring { number, exchange };
        Progress::Going
    }

    /// One of the proxies must be known.
    fn unknown_proxies(&self, account: &Account) -> Option<SignInError> {
        if knows_a_proxy(&self.resolved, account) {
            return None;
        }
        let why = "none of them is one of the names of step 1".to_owned();
        Some(SignInError::BadReply { phase: CONFIGURATION, field: PROXIES.to_owned(), why })
    }

    fn done(&mut self, account: Account, document: &[u8]) -> Progress {
        Progress::Done(Box::new(Ok(SignedIn {
            resolved: Arc::clone(&self.resolved),
            account,
            offered: std::mem::take(&mut self.offered),
            authentication: self.auth.scheme_name(),
            document: Secret::new(String::from_utf8_lossy(document)),
            _proof: Proof,
        })))
    }

    fn network_error(&self, failure: HttpsFailure, phase: &'static str) -> SignInError {
        let host = self.server.host.clone();
        match failure {
            HttpsFailure::Unreachable(attempts) => SignInError::Unreachable { host, attempts },
            HttpsFailure::Tls(why) => SignInError::Tls { host, why },
            HttpsFailure::Broken(why) => SignInError::ConnectionLost { host, phase, why },
            HttpsFailure::TooLarge { limit } => SignInError::BadReply {
                phase,
                field: "body".to_owned(),
                why: format!("it is larger than {limit} bytes"),
            },
        }
    }

    fn refusal(&self, reply: &HttpsReply, phase: &'static str) -> SignInError {
        let problem = json::Problem::read(reply);
        let (status, detail) = (reply.status, problem.detail);
        let number = match &self.phase {
            Phase::Configuring { number, .. } => number.clone(),
            Phase::Listing(_) | Phase::Choosing => String::new(),
        };
        match (problem.code.as_str(), status) {
            ("bad-credentials", _) => SignInError::BadCredentials { host: self.server.host.clone() },
            ("account-suspended" | "number-suspended", _) => SignInError::AccountLocked { status, detail },
            ("number-in-use", _) => SignInError::NumberInUse { number, detail },
            ("number-selection-required", _) => {
                let numbers = json::parse(&reply.body).ok().map(|value| offers(&value).unwrap_or_default());
                SignInError::NumberRequired { numbers: numbers.unwrap_or_default() }
            }
            ("unknown-number", _) => SignInError::UnknownNumber { number, numbers: self.offered.clone() },
            (_, 429) => SignInError::RateLimited { retry_after_s: reply.retry_after_s },
            (_, 500..=599) => SignInError::Unavailable { status, detail, retry_after_s: reply.retry_after_s },
            _ => SignInError::Refused { phase, status, detail },
        }
    }
}

/// SIP goes to the proxies that ZDial names, and to no host that step 1 did not resolve.
fn knows_a_proxy(resolved: &Resolved, account: &Account) -> bool {
    account.proxies.is_empty()
        || account.proxies.iter().any(|proxy| resolved.addresses(&proxy.host).is_some())
}

/// Where the configuration of a number is, or of the only one there is.
fn configuration_of(number: Option<&str>, plan: &Plan) -> String {
    let number =
        number.map_or_else(String::new, |number| format!("&phone-number={}", number.replace('+', "%2B")));
    format!("/rum/v1/RueConfig?instanceId={}{number}", plan.instance_id)
}

/// Numbers are compared by their digits; a plus and visual separators do not matter.
fn same_number(a: &str, b: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let (a, b) = (digits(a), digits(b));
    !a.is_empty() && (a == b || a.strip_prefix('1') == Some(&b) || b.strip_prefix('1') == Some(&a))
}

fn bad(phase: &'static str) -> impl Fn(json::Wrong) -> SignInError {
    move |wrong| SignInError::BadReply { phase, field: wrong.field, why: wrong.why }
}

fn numbers(body: &[u8]) -> Result<Vec<NumberOffer>, SignInError> {
    let value = json::parse(body).map_err(bad(LIST))?;
    offers(&value).map_err(bad(LIST))
}

fn offers(value: &Value) -> Result<Vec<NumberOffer>, json::Wrong> {
    json::array(value, "numbers")?
        .iter()
        .map(|entry| {
            Ok(NumberOffer {
                number: json::text(entry, "phone-number")?,
                label: json::optional_text(entry, "label")?,
                display_name: json::optional_text(entry, "display-name")?,
                state: match json::optional_text(entry, "state")?.as_deref() {
                    Some("available") | None => NumberState::Available,
                    Some("in-use") => NumberState::InUse,
                    Some("suspended") => NumberState::Suspended,
                    Some(_) => NumberState::Unknown,
                },
                default: json::flag(entry, "default"),
                emergency_address_on_file: json::flag(entry, "emergency-address-on-file"),
            })
        })
        .collect()
}

fn account(body: &[u8], number: &str, plan: &Plan) -> Result<Account, SignInError> {
    let value = json::parse(body).map_err(bad(CONFIGURATION))?;
    if plan.sip.transport == config::Transport::Tls
        && let Some(offered) = none_over_tls(&value)
    {
        return Err(SignInError::NoSecureProxy { offered });
    }
    read_account(&value, number, plan).map_err(bad(CONFIGURATION))
}

/// The proxies, when there are some and all of them are over TCP: good ones, but not for who insists on TLS.
fn none_over_tls(value: &Value) -> Option<Vec<String>> {
    let proxies = json::texts(value, PROXIES).ok().filter(|proxies| !proxies.is_empty())?;
    let over_tcp = |text: &String| {
        proxy_target(text, Transport::Tls, true).is_err() && proxy_target(text, Transport::Tls, false).is_ok()
    };
    proxies.iter().all(over_tcp).then_some(proxies)
}

fn read_account(value: &Value, number: &str, plan: &Plan) -> Result<Account, json::Wrong> {
    let number_seen = json::text(value, "phone-number")?;
    if !same_number(&number_seen, number) {
        return Err(json::Wrong { field: "phone-number".into(), why: "it is not the chosen number".into() });
    }
    let extra = value.get("x-z5").cloned().unwrap_or(Value::Null);
    let only_tls = plan.sip.transport == config::Transport::Tls;
    let said = json::optional_text(&extra, "sip-transport")?;
    let usual = match said.is_some_and(|said| said.eq_ignore_ascii_case("tls")) || only_tls {
        true => Transport::Tls,
        false => Transport::Tcp,
    };
    // Proxies on transports that z5 has not are left to others, as long as one remains.
    let (mut proxies, mut unusable) = (Vec::new(), None);
    for proxy in json::texts(value, PROXIES)? {
        match proxy_target(&proxy, usual, only_tls) {
            Ok(target) => proxies.push(target),
            Err(wrong) => unusable = unusable.or(Some(wrong)),
        }
    }
    if let (true, Some(wrong)) = (proxies.is_empty(), unusable) {
        return Err(wrong);
    }
    // RFC 9248 section 9.2.2: absent and never supplied, the password of the configuration service.
    let sip_password = match json::optional_text(value, "sip-password")? {
        Some(password) => Secret::new(password),
        None => plan.zdial.as_ref().map_or_else(|| Secret::new(""), |zdial| zdial.password.clone()),
    };
    Ok(Account {
        domain: json::text(value, "provider-domain")?,
        display_name: json::optional_text(value, "display-name")?,
        user_name: json::optional_text(value, "user-name")?.unwrap_or_else(|| number_seen.clone()),
        number: number_seen,
        sip_password,
        proxies,
        licence_uri: json::optional_text(&extra, "license-uri")?,
        address_book_uri: json::optional_text(&extra, "address-book-uri")?,
        carddav: named(value, "carddav", "carddav-domain")?,
        xcard: named(value, "contacts", "contacts-uri")?,
        mailbox: json::optional_text(value, "mwi")?,
        group: json::optional_text(&extra, "group")?,
        rtp_ports: json::port_range(&extra, "rtp-port-range")?,
        lifetime: json::seconds(value, "lifetime")?,
    })
}

/// The member of RFC 9248 that names an address book: `{"carddav-domain", "carddav-username", "carddav-password"}` and the like.
fn named(value: &Value, member: &str, at: &str) -> Result<Option<Named>, json::Wrong> {
    let Some(value) = value.get(member).filter(|value| !value.is_null()) else { return Ok(None) };
    let text = |name: &str| json::optional_text(value, &format!("{member}-{name}"));
    let (username, password) = (text("username")?, text("password")?);
    let credentials = username.zip(password.map(Secret::new));
    Ok(Some(Named { at: json::text(value, at)?, credentials }))
}

/// Host, port and transport of `sip:host:port;params`, of a `sips` URI, or of a bare `host:port`. `usual` is the transport of one
/// that says none; with `only_tls` the user wants no other.
fn proxy_target(text: &str, usual: Transport, only_tls: bool) -> Result<Proxy, json::Wrong> {
    let wrong = |why: &str| json::Wrong { field: PROXIES.into(), why: format!("`{text}` {why}") };
    let scheme = |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let (rest, secure) = match (scheme("sips:"), scheme("sip:")) {
        (true, _) => (&text[5..], true),
        (false, true) => (&text[4..], false),
        (false, false) => (text, false),
    };
    let mut parts = rest.split(';');
    let target = parts.next().unwrap_or(rest);
    let mut transport = if secure { Transport::Tls } else { usual };
    for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
        if name.trim().eq_ignore_ascii_case("transport") {
            transport = match Transport::from_token(value.trim()) {
                Some(Transport::Tls) => Transport::Tls,
                // RFC 3261 section 26.2.2: TLS over TCP
                Some(Transport::Tcp) if secure => Transport::Tls,
                Some(Transport::Tcp) => Transport::Tcp,
                Some(Transport::Udp | Transport::Sctp | Transport::Ws | Transport::Wss) | None => {
                    return Err(wrong("asks for another transport than TCP or TLS"));
                }
            };
        }
    }
    if only_tls && transport != Transport::Tls {
        return Err(wrong("asks for TCP, and `sip.transport` is \"tls\""));
    }
    let target: config::HostPort = target.parse().map_err(|_| wrong("is not a SIP URI"))?;
    Ok(Proxy { host: target.host, port: target.port, transport })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_reached_over_tcp_or_tls_or_not_at_all() {
        let good = |text, usual, only_tls| {
            let proxy = proxy_target(text, usual, only_tls).unwrap();
            (proxy.host, proxy.port, proxy.transport)
        };
        let (tcp, tls) = (Transport::Tcp, Transport::Tls);
        assert_eq!(
            good("sip:lb.test:5062;transport=tcp", tls, false),
            ("lb.test".to_owned(), Some(5062), tcp)
        );
        assert_eq!(good("SIP:lb.test;lr;transport=TCP", tcp, false), ("lb.test".to_owned(), None, tcp));
        assert_eq!(good("lb.test:5060", tcp, false), ("lb.test".to_owned(), Some(5060), tcp));
        assert_eq!(good("lb.test", tls, true), ("lb.test".to_owned(), None, tls));
        assert_eq!(good("sip:lb.test;transport=tls", tcp, false), ("lb.test".to_owned(), None, tls));
        assert_eq!(good("sips:lb.test:5061", tcp, false), ("lb.test".to_owned(), Some(5061), tls));
        assert_eq!(good("sips:lb.test;transport=tcp", tcp, true), ("lb.test".to_owned(), None, tls));
        for bad in ["sip:lb.test;Transport=udp", "sip:;lr", "sips:lb.test;transport=ws"] {
            assert!(proxy_target(bad, tcp, false).is_err(), "{bad}");
        }
        assert!(proxy_target("sip:lb.test;transport=tcp", tls, true).is_err());
    }
}
