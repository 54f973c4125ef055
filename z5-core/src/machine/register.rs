//! Step 4: the account on the line, registered.
//!
//! The account comes from [`Licensed`] (profile `z5`) or from the configuration (profile `generic`, after step 1); nothing else can
//! make one. What comes out is [`Registered`].

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use z5_sip::auth::Credentials;
use z5_sip::outbox::Deadline;
use z5_sip::ua::{RegisterFailure, UaConfig};
use z5_sip::wire::Uri;

use super::line::Link;
use super::plan::{Plan, SIP_PORT};
use super::provision::Licensed;
use super::resolve::Resolved;
use crate::account::licence::Licence;
use crate::error::{Attempt, RegisterError, millis};
use crate::policy::LocalRtpPorts;

/// Who registers, where, and what the licence permits. Consumes the proof of the step before.
#[derive(Debug)]
pub(crate) struct LineAccount {
    pub(crate) address: String,
    pub(crate) domain: String,
    pub(crate) targets: Vec<SocketAddr>,
    pub(crate) rtp_ports: LocalRtpPorts,
    /// None only in profile `generic`.
    pub(crate) licence: Option<Licence>,
    user_name: String,
    credentials: Credentials,
    display_name: Option<String>,
}

impl LineAccount {
    /// Profile `z5`.
    pub(crate) fn licensed(licensed: Licensed, plan: &Plan) -> Self {
        let Licensed { signed_in, licence, .. } = licensed;
        let account = signed_in.account;
        let targets = targets(&signed_in.resolved, &account.proxies, plan.sip.port);
        let (user, phone) = match account.number.starts_with('+') {
            true => (account.number.as_str(), ";user=phone"),
            false => (account.user_name.as_str(), ""),
        };
        Self {
            address: format!("sip:{user}@{}{phone}", account.domain),
            targets,
            rtp_ports: LocalRtpPorts { client: plan.media.ports, group: account.rtp_ports },
            licence: Some(licence),
            credentials: Credentials::new(account.user_name.as_str(), account.sip_password.expose()),
            display_name: plan.sip.display_name.clone().or(account.display_name),
            domain: account.domain,
            user_name: account.user_name,
        }
    }

    /// Profile `generic`.
    pub(crate) fn generic(resolved: &Resolved, plan: &Plan) -> Option<Self> {
        let account = plan.sip.account.as_ref()?;
        Some(Self {
            address: format!("sip:{}@{}", account.username, account.domain),
            domain: account.domain.clone(),
            targets: targets(resolved, &[], plan.sip.port),
            rtp_ports: LocalRtpPorts { client: plan.media.ports, group: None },
            licence: None,
            user_name: account.username.clone(),
            credentials: Credentials::new(account.auth_username.as_str(), account.password.expose()),
            display_name: plan.sip.display_name.clone(),
        })
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
        Ok(config)
    }
}

/// Where to connect early, before ZDial has named its proxies.
pub(crate) fn early_targets(resolved: &Resolved, plan: &Plan) -> Vec<SocketAddr> {
    targets(resolved, &[], plan.sip.port)
}

/// The proxies that ZDial named, where step 1 knows them; else every SIP address of step 1 on the configured port.
fn targets(resolved: &Resolved, proxies: &[(String, Option<u16>)], port: u16) -> Vec<SocketAddr> {
    let mut out: Vec<SocketAddr> = Vec::new();
    let mut add = |address: &IpAddr, port: u16| {
        let target = SocketAddr::new(*address, port);
        if !out.contains(&target) {
            out.push(target);
        }
    };
    for (host, proxy_port) in proxies {
        for address in resolved.addresses(host).unwrap_or_default() {
            add(address, proxy_port.unwrap_or(SIP_PORT));
        }
    }
    if out.is_empty() {
        for address in resolved.sip_addresses() {
            let target = SocketAddr::new(address, port);
            if !out.contains(&target) {
                out.push(target);
            }
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
}

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
        Self { account, began: now, until: now + plan.timeouts.register.duration() }
    }

    /// The registrar said yes.
    pub(crate) fn done(self) -> Registered {
        Registered { account: self.account, _proof: Proof }
    }

    pub(crate) fn on_deadline(&self, now: Instant, link: &Link) -> Option<RegisterError> {
        if now < self.until {
            return None;
        }
        let after_ms = millis(now.saturating_duration_since(self.began));
        let waiting_for = match link {
            Link::Up { .. } => "the registrar did not answer",
            Link::Connecting(_) | Link::None | Link::Failed(_) | Link::Lost(_) => {
                "the connection was not made"
            }
        };
        Some(RegisterError::TimedOut { waiting_for, after_ms })
    }

    pub(crate) const fn next_deadline(&self) -> Deadline {
        Deadline { at: self.until, why: "step 4: registration" }
    }

    pub(crate) fn error(&self, failure: RegisterFailure, link: &Link, now: Instant) -> RegisterError {
        register_error(failure, link, millis(now.saturating_duration_since(self.began)))
    }
}

pub(crate) fn unreachable(attempts: Vec<Attempt>) -> RegisterError {
    RegisterError::Unreachable { attempts }
}

/// What the user agent says, in the words of the session.
pub(crate) fn register_error(failure: RegisterFailure, link: &Link, after_ms: u64) -> RegisterError {
    match failure {
        RegisterFailure::NoFlow | RegisterFailure::ConnectionLost => RegisterError::ConnectionLost {
            why: match link {
                Link::Lost(why) => why.clone(),
                Link::None | Link::Connecting(_) | Link::Up { .. } | Link::Failed(_) => failure.to_string(),
            },
        },
        RegisterFailure::TimedOut { .. } => {
            RegisterError::TimedOut { waiting_for: "the registrar did not answer", after_ms }
        }
        RegisterFailure::NoUsableChallenge { offered } => {
            RegisterError::NoUsableChallenge { offered: offered.join(", ") }
        }
        RegisterFailure::CredentialsRefused { realm } => RegisterError::CredentialsRefused { realm },
        RegisterFailure::Forbidden { reason } => RegisterError::Forbidden { status: 403, reason },
        RegisterFailure::UnknownAccount { reason } => RegisterError::UnknownUser { status: 404, reason },
        RegisterFailure::Unavailable { status, reason, retry_after } => RegisterError::Unavailable {
            status,
            reason,
            retry_after_s: retry_after.map(|after| after.as_secs()),
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
