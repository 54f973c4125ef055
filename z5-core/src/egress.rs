//! The egress guard: with `egress.guard = "policy"` nothing leaves for a destination that is neither in the documented requirement
//! ([`crate::policy`]) nor in `egress.allow`, whatever servers answer or descriptions announce.
//!
//! It stands between the machine and its drivers, where every wish to reach somebody passes: questions to nameservers, HTTPS, SIP, and
//! the addresses that session descriptions announce for media; the probes of a preflight ask it too. What it stops ends as any other destination that cannot be
//! reached. It does not see packets; the media engine is given the same rule for the sources that it learns.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use z5_media::Reach;
use z5_sip::ua::Transport;

use crate::call::CallId;
use crate::config::PortRange;
use crate::error::{Attempt, AttemptOutcome, CallError};
use crate::machine::io::{DnsTransport, Effect, HttpsFailure, Input, LookupFailure};
use crate::machine::transport_name;
use crate::policy::{self, Protocol};

/// What lies outside, in words.
pub(crate) const OUTSIDE: &str = "outside the policy (egress.guard)";

/// Whether destinations are held to the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardMode {
    /// Whatever the configuration and the servers lead to.
    #[default]
    Off,
    /// The documented requirement and `egress.allow`, nothing else.
    Policy,
}

/// One more destination that is permitted, written `udp 192.0.2.0/24:10000-65535` or `tcp [2001:db8::1]:443`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allow {
    protocol: Protocol,
    network: IpAddr,
    prefix: u8,
    ports: PortRange,
}

impl Allow {
    fn permits(&self, protocol: Protocol, to: SocketAddr) -> bool {
        self.protocol == protocol
            && self.ports.inclusive().contains(&to.port())
            && in_network(to.ip(), self.network, self.prefix)
    }
}

fn in_network(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address.to_canonical(), network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let shift = 32 - u32::from(prefix);
            let (address, network) = (u64::from(address.to_bits()), u64::from(network.to_bits()));
            address >> shift == network >> shift
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let differ = address.to_bits() ^ network.to_bits();
            prefix == 0 || differ >> (128 - u32::from(prefix)) == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

impl FromStr for Allow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no destination; write it as `udp 192.0.2.0/24:10000-65535` or `tcp [2001:db8::1]:443`"
            )
        };
        let (protocol, rest) = text.split_once(' ').ok_or_else(wrong)?;
        let protocol = match protocol {
            "udp" => Protocol::Udp,
            "tcp" => Protocol::Tcp,
            _ => return Err(wrong()),
        };
        let (network, ports) = rest.trim().rsplit_once(':').ok_or_else(wrong)?;
        let (address, prefix) = match network.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
            None => (network, None),
        };
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let network: IpAddr = bare.parse().map_err(|_| wrong())?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        let ports: PortRange = ports.parse()?;
        if prefix > longest || ports.is_any() {
            return Err(wrong());
        }
        Ok(Self { protocol, network, prefix, ports })
    }
}

impl<'de> Deserialize<'de> for Allow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The guard of a session.
#[derive(Debug)]
pub(crate) struct Guard {
    /// None: everything is permitted.
    allow: Option<Vec<Allow>>,
}

/// What becomes of a wish.
#[derive(Debug)]
pub(crate) enum Passage {
    /// It may be done, without what lies outside.
    Open(Effect),
    /// Nothing of it may be done: this is what came of it.
    Shut(Input<'static>),
    /// A stream of a running call may not go where the far end moved to: it sends nothing, and the call is told.
    Muted(Effect, CallId, CallError),
}

impl Guard {
    pub(crate) fn new(mode: GuardMode, allow: &[Allow]) -> Self {
        let documented = policy::RULES.iter().map(|rule| Allow {
            protocol: rule.protocol,
            network: rule.address.into(),
            prefix: 32,
            ports: rule.ports,
        });
        let allow = match mode {
            GuardMode::Off => None,
            GuardMode::Policy => Some(documented.chain(allow.iter().copied()).collect()),
        };
        Self { allow }
    }

    /// Whether something may go there; a preflight asks before each probe.
    pub(crate) fn permits(&self, protocol: Protocol, to: SocketAddr) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.iter().any(|one| one.permits(protocol, to)))
    }

    /// The same for the sources that media may be learned from, whatever is announced; none: every one.
    pub(crate) fn reach(&self) -> Option<Reach> {
        let guard = Self { allow: Some(self.allow.clone()?) };
        Some(Reach::new(move |source| guard.permits(Protocol::Udp, source)))
    }

    /// Judges a wish of the machine.
    pub(crate) fn judge(&self, effect: Effect) -> Passage {
        if self.allow.is_none() {
            return Passage::Open(effect);
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "what is listed reaches somebody; the test `every_wish_that_reaches_somebody_is_judged` counts them"
        )]
        match effect {
            Effect::Lookup { id, server, transport, .. }
                if !self.permits(dns_protocol(transport), server) =>
            {
                let outcome = Err(LookupFailure::Unreachable(OUTSIDE.to_owned()));
                Passage::Shut(Input::Looked { id, outcome })
            }
            Effect::Https { id, mut request } => {
                let to = |address: &IpAddr| SocketAddr::new(*address, request.port);
                let (open, shut): (Vec<IpAddr>, Vec<IpAddr>) =
                    request.addresses.iter().partition(|address| self.permits(Protocol::Tcp, to(address)));
                if open.is_empty() {
                    let attempts = shut.iter().map(|address| forbidden(to(address), None)).collect();
                    let outcome = Err(HttpsFailure::Unreachable(attempts));
                    return Passage::Shut(Input::Https { id, outcome });
                }
                request.addresses = open;
                Passage::Open(Effect::Https { id, request })
            }
            Effect::Connect { flow, mut targets } => {
                let attempts = targets
                    .iter()
                    .map(|target| forbidden(target.address, Some(transport_name(target.transport))))
                    .collect();
                targets.retain(|target| self.permits(sip_protocol(target.transport), target.address));
                match targets.is_empty() {
                    true => Passage::Shut(Input::ConnectFailed { flow, attempts }),
                    false => Passage::Open(Effect::Connect { flow, targets }),
                }
            }
            Effect::StartMedia { call, ref streams } => {
                let ends = streams.iter().flat_map(|plan| [plan.remote, plan.remote_rtcp]);
                match ends.into_iter().find(|end| !self.permits(Protocol::Udp, *end)) {
                    Some(end) => {
                        Passage::Shut(Input::MediaStarted { call, outcome: Err(media_forbidden(end)) })
                    }
                    None => Passage::Open(effect),
                }
            }
            Effect::DirectMedia { call, mut changes } => {
                let mut stopped = None;
                for change in &mut changes {
                    let Some((rtp, rtcp)) = change.moved else { continue };
                    if let Some(end) = [rtp, rtcp].into_iter().find(|end| !self.permits(Protocol::Udp, *end))
                    {
                        (change.send, change.moved) = (false, None);
                        stopped = Some(end);
                    }
                }
                let effect = Effect::DirectMedia { call, changes };
                match stopped {
                    Some(end) => Passage::Muted(effect, call, media_forbidden(end)),
                    None => Passage::Open(effect),
                }
            }
            other => Passage::Open(other),
        }
    }
}

fn media_forbidden(end: SocketAddr) -> CallError {
    CallError::Media { why: format!("the far end wants media at {end}, {OUTSIDE}") }
}

const fn forbidden(address: SocketAddr, transport: Option<&'static str>) -> Attempt {
    Attempt { address, transport, outcome: AttemptOutcome::OutsidePolicy }
}

const fn dns_protocol(transport: DnsTransport) -> Protocol {
    match transport {
        DnsTransport::Udp => Protocol::Udp,
        DnsTransport::Tcp => Protocol::Tcp,
    }
}

const fn sip_protocol(transport: Transport) -> Protocol {
    match transport {
        Transport::Udp => Protocol::Udp,
        Transport::Tcp | Transport::Tls | Transport::Sctp | Transport::Ws | Transport::Wss => Protocol::Tcp,
    }
}

#[cfg(test)]
mod tests;
