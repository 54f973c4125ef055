//! Step 4: the account on the line, registered.
//!
//! The account comes from [`Licensed`] (profile `z5`) or from the configuration (profile `generic`, after step 1); nothing else can
//! make one. What comes out is [`Registered`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use z5_sip::auth::Credentials;
use z5_sip::locate::{Origin, Target};
use z5_sip::outbox::Deadline;
use z5_sip::ua::{FlowEnd, RegisterFailure, Transport, UaConfig};
use z5_sip::wire::Uri;

use super::line::{Line, Link};
use super::plan::Plan;
use super::provision::Licensed;
use super::resolve::Resolved;
use super::sign_in::{Proxy, SignedIn};
use crate::account::licence::Licence;
use crate::config;
use crate::error::{Attempt, AttemptOutcome, RegisterError, SessionError, millis};
use crate::policy::{GroupPolicy, LocalRtpPorts};
use crate::secret::Secret;

/// Who registers, where, and what the licence permits. Consumes the proof of the step before.
#[derive(Debug)]
pub(crate) struct LineAccount {
    pub(crate) address: String,
    pub(crate) domain: String,
    pub(crate) targets: Vec<Target>,
    pub(crate) rtp_ports: LocalRtpPorts,
    /// What the MCS says of the group.
    pub(crate) policy: Arc<GroupPolicy>,
    /// None in profile `generic`, and while there is only [`LineAccount::lack`].
    pub(crate) licence: Option<Licence>,
    /// Why there is no licence although one is needed: nothing but emergency calls.
    pub(crate) lack: Option<SessionError>,
    /// The proof that it rests on, to go on from; none in profile `generic`.
    pub(crate) signed_in: Option<Arc<SignedIn>>,
    /// Profile `z5`: what ZDial named.
    proxies: Vec<Proxy>,
    /// Whose messages are watched (RFC 3842).
    pub(crate) mailbox: Option<String>,
    user_name: String,
    credentials: Credentials,
    display_name: Option<String>,
}

impl LineAccount {
    /// Profile `z5`.
    pub(crate) fn licensed(licensed: Licensed, plan: &Plan) -> Self {
        let Licensed { signed_in, licence, policy, .. } = licensed;
        let mut this = Self { licence: Some(licence), lack: None, ..Self::of(signed_in, plan) };
        this.obey(policy);
        this
    }

    /// Profile `z5` without a licence: for emergency calls (RFC 9248 section 9.2.2).
    pub(crate) fn unlicensed(signed_in: Arc<SignedIn>, why: SessionError, plan: &Plan) -> Self {
        Self { lack: Some(why), ..Self::of(signed_in, plan) }
    }

    /// The same with a configuration that was fetched afresh; the licence stays.
    pub(crate) fn configured_anew(&self, signed_in: Arc<SignedIn>, plan: &Plan) -> Self {
        let mut this =
            Self { licence: self.licence.clone(), lack: self.lack.clone(), ..Self::of(signed_in, plan) };
        this.obey(Arc::clone(&self.policy));
        this
    }

    /// What the MCS says of the group goes before what ZDial says of it.
    pub(crate) fn obey(&mut self, policy: Arc<GroupPolicy>) {
        self.rtp_ports.group = policy.rtp_ports;
        self.policy = policy;
    }

    /// Bits per second of a call at most, as licence and group have it.
    pub(crate) fn max_bitrate(&self) -> Option<u64> {
        let licensed = self.licence.as_ref().and_then(Licence::max_bitrate);
        licensed.into_iter().chain(self.policy.max_bitrate).min()
    }

    /// Whether this is what the registrar knows: the same address of record and user.
    pub(crate) fn is_same_user(&self, other: &Self) -> bool {
        self.address == other.address && self.domain == other.domain && self.user_name == other.user_name
    }

    /// Whether anything that was configured differs.
    pub(crate) fn is_configured_like(&self, other: &Self) -> bool {
        let same =
            |own: &Target, other: &Target| own.transport == other.transport && own.address == other.address;
        self.is_same_user(other)
            && self.password() == other.password()
            && self.targets.len() == other.targets.len()
            && self.targets.iter().zip(&other.targets).all(|(own, other)| same(own, other))
            && self.rtp_ports == other.rtp_ports
            && self.mailbox == other.mailbox
            && self.display_name == other.display_name
    }

    fn password(&self) -> Option<&Secret> {
        self.signed_in.as_ref().map(|signed_in| &signed_in.account.sip_password)
    }

    /// What the user agent answers challenges with.
    pub(crate) fn credentials(&self) -> Vec<Credentials> {
        vec![self.credentials.clone()]
    }

    /// The same where its servers are by a later look at the names.
    pub(crate) fn move_to(&mut self, resolved: Arc<Resolved>, plan: &Plan) {
        self.targets = self.targets_in(&resolved, plan);
        self.signed_in = self.signed_in.take().map(|signed_in| Arc::new(signed_in.moved(resolved)));
    }

    fn of(signed_in: Arc<SignedIn>, plan: &Plan) -> Self {
        let account = signed_in.account.clone();
        let targets = mcs_targets(&signed_in.resolved, &account.proxies, plan);
        let (user, phone) = match account.number.starts_with('+') {
            true => (account.number.as_str(), ";user=phone"),
            false => (account.user_name.as_str(), ""),
        };
        Self {
            address: format!("sip:{user}@{}{phone}", account.domain),
            targets,
            rtp_ports: LocalRtpPorts { client: plan.media.ports, sign_in: account.rtp_ports, group: None },
            policy: Arc::default(),
            licence: None,
            lack: None,
            signed_in: Some(signed_in),
            mailbox: plan.sip.mwi.clone().or(account.mailbox),
            credentials: Credentials::new(account.user_name.as_str(), account.sip_password.expose()),
            display_name: plan.sip.display_name.clone().or(account.display_name),
            domain: account.domain,
            proxies: account.proxies,
            user_name: account.user_name,
        }
    }

    /// Profile `generic`.
    pub(crate) fn generic(resolved: &Resolved, plan: &Plan) -> Option<Self> {
        let account = plan.sip.account.as_ref()?;
        // RFC 3261 section 25.1: a literal IPv6 address in a URI stands in brackets.
        let domain = match account.domain.parse::<std::net::Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => account.domain.clone(),
        };
        Some(Self {
            address: format!("sip:{}@{domain}", account.username),
            domain,
            targets: resolved.sip_targets().to_vec(),
            rtp_ports: LocalRtpPorts { client: plan.media.ports, ..LocalRtpPorts::default() },
            policy: Arc::default(),
            licence: None,
            lack: None,
            signed_in: None,
            proxies: Vec::new(),
            mailbox: plan.sip.mwi.clone(),
            user_name: account.username.clone(),
            credentials: Credentials::new(account.auth_username.as_str(), account.password.expose()),
            display_name: plan.sip.display_name.clone(),
        })
    }

    /// Where its servers are by a later look at the names.
    pub(crate) fn targets_in(&self, resolved: &Resolved, plan: &Plan) -> Vec<Target> {
        match plan.sip.search {
            Some(_) => resolved.sip_targets().to_vec(),
            None => mcs_targets(resolved, &self.proxies, plan),
        }
    }

    /// How many of the proxies that ZDial named have addresses of their own, as many as there may be flows: each is to hold a
    /// registration (RFC 9248 section 5.1). One where it named none.
    pub(crate) fn proxies_reached(&self) -> u32 {
        let named = |target: &&Target| self.proxies.iter().any(|proxy| proxy.host == target.name);
        let mut seen: Vec<(&str, u16)> = Vec::new();
        for target in self.targets.iter().filter(named) {
            let proxy = (target.name.as_str(), target.address.port());
            if !seen.contains(&proxy) {
                seen.push(proxy);
            }
        }
        u32::try_from(seen.len()).unwrap_or(u32::MAX).clamp(*config::FLOWS.start(), *config::FLOWS.end())
    }

    /// The user agent's account.
    ///
    /// # Errors
    /// When user name and domain do not make an address.
    pub(crate) fn agent(&self, plan: &Plan) -> Result<UaConfig, RegisterError> {
        let uri = |text: &str| {
            Uri::parse(text)
                .map_err(|error| RegisterError::BadAnswer { why: format!("`{text}` is no address: {error}") })
        };
        let mut config = UaConfig::new(uri(&self.address)?, uri(&format!("sip:{}", self.domain))?);
        config.credentials = vec![self.credentials.clone()];
        config.display_name = self.display_name.clone();
        config.contact_user = Some(self.user_name.clone());
        config.instance_id = Some(plan.instance_id.clone());
        config.expires = Duration::from_secs(plan.sip.expires_s.into());
        config.keep_alive = Some(Duration::from_secs(plan.sip.keep_alive_s.into()));
        config.stun = plan.sip.stun;
        if let Some(location) = &plan.emergency.location
            && plan.emergency.location_with_registration
        {
            let name = format!("location.registration@{}.invalid", plan.instance_id);
            config.location = location.to_sip(&self.address, &name);
        }
        if let Some((info, part)) = &plan.sip.owner {
            config.call_info.push(info.clone());
            config.parts.extend(part.clone());
        }
        Ok(config)
    }
}

/// Where to connect early, before ZDial has named its proxies.
pub(crate) fn early_targets(resolved: &Resolved, plan: &Plan) -> Vec<Target> {
    match plan.sip.search {
        Some(_) => resolved.sip_targets().to_vec(),
        None => mcs_targets(resolved, &[], plan),
    }
}

/// The proxies that ZDial named, where step 1 knows them; else every SIP address of step 1 on the configured port.
fn mcs_targets(resolved: &Resolved, proxies: &[Proxy], plan: &Plan) -> Vec<Target> {
    let mut out: Vec<Target> = Vec::new();
    let mut add = |transport: Transport, address: IpAddr, port: u16, name: &str| {
        let address = SocketAddr::new(address, port);
        if !out.iter().any(|target| target.transport == transport && target.address == address) {
            out.push(Target { transport, address, name: name.to_owned(), origin: Origin::Host });
        }
    };
    for proxy in proxies {
        // RFC 3261 section 19.1.2
        let port = proxy.port.unwrap_or(if proxy.transport.is_secure() { 5061 } else { 5060 });
        for address in resolved.addresses(&proxy.host).unwrap_or_default() {
            add(proxy.transport, *address, port, &proxy.host);
        }
    }
    if out.is_empty() {
        let (transport, port) = match plan.sip.transport {
            config::Transport::Tls => (Transport::Tls, plan.sip.ports.1),
            config::Transport::Tcp | config::Transport::Udp | config::Transport::Auto => {
                (Transport::Tcp, plan.sip.ports.0)
            }
        };
        for (address, name) in resolved.sip_addresses() {
            let address = SocketAddr::new(address, port);
            out.push(Target { transport, address, name: name.to_owned(), origin: Origin::Host });
        }
    }
    out
}

/// The step under way.
#[derive(Debug)]
pub(crate) struct Registering {
    pub(crate) account: LineAccount,
    began: Instant,
    until: Instant,
    /// When the server that was reached is given up, if there is another.
    server_until: Instant,
}

/// How long one server may take to answer a REGISTER when there is another to try. Timer F would be 32 s, more than the
/// whole step has.
pub(crate) const SERVER_PATIENCE: Duration = Duration::from_secs(4);

/// Proof of step 4: the registrar holds our binding.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) account: LineAccount,
    _proof: Proof,
}

/// Only this file makes one.
#[derive(Debug)]
struct Proof;

impl Registering {
    pub(crate) fn begin(account: LineAccount, plan: &Plan, now: Instant) -> Self {
        let until = now + plan.timeouts.register.duration();
        Self { account, began: now, until, server_until: now + SERVER_PATIENCE }
    }

    /// The network is another one: all of its time again.
    pub(crate) fn renew(&mut self, plan: &Plan, now: Instant) {
        self.until = now + plan.timeouts.register.duration();
        self.server_until = now + SERVER_PATIENCE;
    }

    /// The registrar said yes.
    pub(crate) fn done(self) -> Registered {
        Registered { account: self.account, _proof: Proof }
    }

    /// A connection stands: its server is waited for from now.
    pub(crate) fn on_server(&mut self, now: Instant) {
        self.server_until = now + SERVER_PATIENCE;
    }

    /// Whether the server is to be given up for the next one.
    pub(crate) fn is_server_silent(&self, now: Instant, line: &Line) -> bool {
        line.ends().is_some() && line.has_more() && now >= self.server_until
    }

    pub(crate) fn on_deadline(&self, now: Instant, line: &Line) -> Option<RegisterError> {
        if now < self.until {
            return None;
        }
        let after_ms = millis(now.saturating_duration_since(self.began));
        let waiting_for = match line.link() {
            Link::Up { .. } => "the registrar did not answer",
            Link::Connecting(_) | Link::None | Link::Failed | Link::Lost { .. } => {
                "the connection was not made"
            }
        };
        Some(RegisterError::TimedOut { waiting_for, after_ms, tried: line.tried().to_vec() })
    }

    pub(crate) fn next_deadline(&self, line: &Line) -> Deadline {
        let step = Deadline { at: self.until, why: "step 4: registration" };
        if line.ends().is_some() && line.has_more() && self.server_until < self.until {
            return Deadline { at: self.server_until, why: "step 4: the next server" };
        }
        step
    }

    pub(crate) fn error(&self, failure: RegisterFailure, line: &Line, now: Instant) -> RegisterError {
        register_error(failure, line, millis(now.saturating_duration_since(self.began)))
    }
}

/// What a failure says about its server when another one may do better (RFC 3263 section 4.3: a transport error, a time-out,
/// a 503).
pub(crate) fn passing(failure: &RegisterFailure, link: &Link) -> Option<AttemptOutcome> {
    match failure {
        RegisterFailure::NoFlow | RegisterFailure::ConnectionLost => Some(match link {
            Link::Lost { outcome, .. } => outcome.clone(),
            Link::None | Link::Connecting(_) | Link::Up { .. } | Link::Failed => AttemptOutcome::Reset,
        }),
        RegisterFailure::TimedOut { .. } => Some(AttemptOutcome::Failed { why: failure.to_string() }),
        RegisterFailure::Unavailable { status: 503, .. } => Some(AttemptOutcome::Answered { status: 503 }),
        RegisterFailure::Unavailable { .. }
        | RegisterFailure::NoUsableChallenge { .. }
        | RegisterFailure::CredentialsRefused { .. }
        | RegisterFailure::Forbidden { .. }
        | RegisterFailure::UnknownAccount { .. }
        | RegisterFailure::IntervalTooBrief { .. }
        | RegisterFailure::BadReply { .. }
        | RegisterFailure::Unbuildable { .. }
        | RegisterFailure::Redirected { .. }
        | RegisterFailure::Refused { .. } => None,
    }
}

/// Why no connection was made. A connection that was made and reset before anyone looked at it counts as one that was lost.
pub(crate) fn unreachable(line: &Line) -> RegisterError {
    let tls = |attempt: &Attempt| match attempt.outcome {
        AttemptOutcome::Tls { why } => Some(why),
        AttemptOutcome::Refused
        | AttemptOutcome::TimedOut { .. }
        | AttemptOutcome::Unreachable
        | AttemptOutcome::NotPermitted
        | AttemptOutcome::OutsidePolicy
        | AttemptOutcome::Reset
        | AttemptOutcome::Answered { .. }
        | AttemptOutcome::Failed { .. } => None,
    };
    let tried = line.tried();
    match tried.iter().position(|attempt| tls(attempt).is_some()) {
        Some(index) => {
            let mut others = tried.to_vec();
            let attempt = others.remove(index);
            let why = tls(&attempt).unwrap_or(crate::error::TlsFailure::Protocol);
            RegisterError::Tls { host: line.name().to_owned(), why, tried: others }
        }
        None => match tried {
            [before @ .., Attempt { outcome: AttemptOutcome::Reset, .. }] => {
                RegisterError::ConnectionLost { why: FlowEnd::Reset.to_string(), tried: before.to_vec() }
            }
            attempts => RegisterError::Unreachable { attempts: attempts.to_vec() },
        },
    }
}

/// What the user agent says, in the words of the session.
pub(crate) fn register_error(failure: RegisterFailure, line: &Line, after_ms: u64) -> RegisterError {
    // The failure that is told stands in the list too when it made us look for another server.
    let tried = match (passing(&failure, line.link()), line.tried()) {
        (Some(_), [before @ .., _]) => before.to_vec(),
        (Some(_), []) => Vec::new(),
        (None, all) => all.to_vec(),
    };
    match failure {
        RegisterFailure::NoFlow | RegisterFailure::ConnectionLost => RegisterError::ConnectionLost {
            why: match line.link() {
                Link::Lost { why, .. } => why.clone(),
                Link::None | Link::Connecting(_) | Link::Up { .. } | Link::Failed => failure.to_string(),
            },
            tried,
        },
        RegisterFailure::TimedOut { .. } => {
            RegisterError::TimedOut { waiting_for: "the registrar did not answer", after_ms, tried }
        }
        RegisterFailure::NoUsableChallenge { offered } => {
            RegisterError::NoUsableChallenge { offered: offered.join(", ") }
        }
        RegisterFailure::CredentialsRefused { realm, .. } => RegisterError::CredentialsRefused { realm },
        RegisterFailure::Forbidden { reason } => RegisterError::Forbidden { status: 403, reason },
        RegisterFailure::UnknownAccount { reason } => RegisterError::UnknownUser { status: 404, reason },
        RegisterFailure::Unavailable { status, reason, retry_after } => RegisterError::Unavailable {
            status,
            reason,
            retry_after_s: retry_after.map(|after| after.as_secs()),
            tried,
        },
        RegisterFailure::IntervalTooBrief { .. }
        | RegisterFailure::BadReply { .. }
        | RegisterFailure::Unbuildable { .. } => RegisterError::BadAnswer { why: failure.to_string() },
        RegisterFailure::Redirected { status, targets } => {
            let targets: Vec<&str> = targets.iter().map(Uri::as_str).collect();
            RegisterError::Refused { status, reason: format!("moved to {}", targets.join(", ")) }
        }
        RegisterFailure::Refused { status, reason, warning } => {
            let reason = warning.map_or(reason.clone(), |warning| format!("{reason} ({warning})"));
            RegisterError::Refused { status, reason }
        }
    }
}
