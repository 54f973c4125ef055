//! The configuration as the machine uses it: checked, secrets read, keys decoded, roles ordered.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use z5_sip::locate::{Abilities, Destination};
use z5_sip::ua::{self, BodyPart, CallInfo, StunUse};
use z5_sip::wire::Uri;

use super::book::configured_uri;
use crate::config::{
    Config, ConfigError, ContactsProtocol, HostPort, LicenceKey, Media, Problem, Profile, RetryMode,
    StoreSetting, Timeouts, Transport, UdpKeepAlive, read_part,
};
use crate::error::StartError;
use crate::location::Location;
use crate::policy::NameRole;
use crate::secret::Secret;
use crate::session::{Goal, StartOptions};

/// Port of a nameserver when none is written.
const DNS_PORT: u16 = 53;

/// What the session is to do.
pub(crate) struct Plan {
    pub(crate) profile: Profile,
    pub(crate) nameservers: Vec<SocketAddr>,
    pub(crate) hosts: BTreeMap<String, Vec<IpAddr>>,
    /// What step 1 resolves.
    pub(crate) names: Vec<(Option<NameRole>, String)>,
    pub(crate) zdial: Option<ZDialPlan>,
    pub(crate) mcs: Option<McsPlan>,
    pub(crate) contacts: ContactsPlan,
    pub(crate) goal: Goal,
    pub(crate) sip: SipPlan,
    pub(crate) emergency: EmergencyPlan,
    pub(crate) media: Media,
    pub(crate) timeouts: Timeouts,
    pub(crate) instance_id: String,
    /// The configuration names the instance: what the store has of it does not count.
    pub(crate) instance_named: bool,
    /// There is a store to be asked first.
    pub(crate) store: bool,
    /// Whose store it must be.
    pub(crate) account: String,
    pub(crate) interactive_number: bool,
    pub(crate) retry: RetryPlan,
}

/// What is tried again, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPlan {
    pub(crate) mode: RetryMode,
    pub(crate) first_pause: Duration,
    pub(crate) longest_pause: Duration,
}

/// Step 2.
pub(crate) struct ZDialPlan {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) username: String,
    pub(crate) password: Secret,
    pub(crate) number: Option<String>,
}

/// Step 3.
pub(crate) struct McsPlan {
    pub(crate) host: String,
    pub(crate) https_port: u16,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) keys: BTreeMap<String, DecodingKey>,
}

/// Step 3: the address book.
pub(crate) struct ContactsPlan {
    /// How it is to be spoken to, where that is configured.
    pub(crate) protocol: Option<ContactsProtocol>,
    /// Where it is, when the configuration says so.
    pub(crate) at: Option<BookPlan>,
    /// Hosts that may have its credentials besides.
    pub(crate) servers: Vec<String>,
}

/// Step 3: an address book that is configured.
pub(crate) struct BookPlan {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
    /// None: those of the SIP account.
    pub(crate) credentials: Option<(String, Secret)>,
}

/// Step 4.
pub(crate) struct SipPlan {
    /// Ports of the MCS over TCP and over TLS.
    pub(crate) ports: (u16, u16),
    pub(crate) transport: Transport,
    /// Profile `generic`: what is to be found by RFC 3263, and with which transports.
    pub(crate) search: Option<(Destination, Abilities)>,
    /// Profile `generic`: the account.
    pub(crate) account: Option<GenericAccount>,
    pub(crate) display_name: Option<String>,
    /// The mailbox to watch.
    pub(crate) mwi: Option<String>,
    pub(crate) expires_s: u32,
    /// Connections to different servers at a time; as many as the sign-in names proxies where nothing is said.
    pub(crate) flows: Option<u32>,
    pub(crate) keep_alive_s: u32,
    pub(crate) stun: StunUse,
    /// What our calls say about their owner, and the part it refers to (RFC 9248 section 5.2.3).
    pub(crate) owner: Option<(CallInfo, Option<BodyPart>)>,
}

/// What an emergency call says beside the call.
pub(crate) struct EmergencyPlan {
    pub(crate) location: Option<Location>,
    /// Registrations carry the location too.
    pub(crate) location_with_registration: bool,
    /// Additional data (RFC 7852): the name of each block and its document.
    pub(crate) blocks: Vec<(&'static str, Vec<u8>)>,
}

/// The account of profile `generic`.
pub(crate) struct GenericAccount {
    pub(crate) domain: String,
    pub(crate) username: String,
    pub(crate) auth_username: String,
    pub(crate) password: Secret,
}

impl Plan {
    /// Checks the configuration and reads what it points to. `system_nameservers` are those of the operating system, used when
    /// the configuration says so; `instance_id` is used when the configuration has none.
    ///
    /// # Errors
    /// The first setting that cannot be applied.
    pub(crate) fn new(
        config: &Config,
        system_nameservers: &[SocketAddr],
        instance_id: String,
        options: &StartOptions,
    ) -> Result<Self, StartError> {
        config.check()?;
        let mut nameservers: Vec<SocketAddr> = config.dns.servers.iter().filter_map(nameserver).collect();
        if config.dns.system {
            nameservers.extend_from_slice(system_nameservers);
        }
        let zdial = match (&config.names, &config.zdial, config.zdial_password()?) {
            (Some(names), Some(zdial), Some(password)) => Some(ZDialPlan {
                host: names.zdial.clone(),
                port: zdial.port,
                username: zdial.username.clone(),
                password,
                number: zdial.number.clone(),
            }),
            _ => None,
        };
        let mcs = match (&config.names, &config.licence) {
            (Some(names), Some(licence)) => Some(McsPlan {
                host: names.mcs.clone(),
                https_port: config.mcs.https_port,
                issuer: licence.issuer.clone(),
                audience: licence.audience.clone(),
                keys: licence.keys.iter().map(key).collect::<Result<_, _>>()?,
            }),
            (None, _) | (_, None) => None,
        };
        let contacts = book(config)?;
        let (mut names, search, account) = match config.profile {
            Profile::Z5 => (five_names(config), None, None),
            Profile::Generic => {
                let (search, account) = generic(config)?;
                (Vec::new(), Some(search), Some(account))
            }
        };
        let known = |host: &str| names.iter().any(|(_, name)| name.eq_ignore_ascii_case(host));
        if let Some(book) = contacts.at.as_ref().filter(|book| !known(&book.host)) {
            names.push((None, book.host.clone()));
        }
        Ok(Self {
            profile: config.profile,
            nameservers,
            hosts: config.dns.hosts.clone(),
            names,
            zdial,
            mcs,
            contacts,
            goal: options.goal,
            sip: SipPlan {
                ports: (config.mcs.sip_port, config.mcs.sips_port),
                transport: config.sip.transport,
                search,
                account,
                display_name: config.sip.display_name.clone(),
                mwi: config.sip.mwi.clone(),
                expires_s: config.sip.expires,
                flows: config.sip.flows,
                keep_alive_s: config.sip.keep_alive,
                stun: match config.sip.udp_keep_alive {
                    UdpKeepAlive::Auto => StunUse::WhereKnown,
                    UdpKeepAlive::Stun => StunUse::Always,
                    UdpKeepAlive::Crlf => StunUse::Never,
                },
                owner: owner(config)?,
            },
            emergency: emergency(config)?,
            media: config.media.clone(),
            timeouts: config.timeouts.clone(),
            instance_named: config.device.instance_id.is_some(),
            instance_id: config.device.instance_id.clone().unwrap_or(instance_id),
            store: options.store.is_some() || matches!(config.store, Some(StoreSetting::Directory(_))),
            account: config.account(),
            interactive_number: options.interactive_number,
            retry: RetryPlan {
                mode: match options.goal {
                    Goal::Calls => config.retry.mode.unwrap_or(options.retry),
                    // Who asks wants an answer.
                    Goal::Contacts => RetryMode::Once,
                },
                first_pause: config.retry.first_pause.duration(),
                longest_pause: config.retry.longest_pause.duration(),
            },
        })
    }

    /// The addresses of a name that is not asked: an address itself, or an entry of `dns.hosts`.
    pub(crate) fn fixed_addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        fixed(&self.hosts, name)
    }
}

/// The same with the table of hosts alone.
pub(crate) fn fixed(hosts: &BTreeMap<String, Vec<IpAddr>>, name: &str) -> Option<Vec<IpAddr>> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(vec![address]);
    }
    let same = |entry: &(&String, &Vec<IpAddr>)| entry.0.eq_ignore_ascii_case(name);
    hosts.iter().find(same).map(|(_, addresses)| addresses.clone())
}

fn nameserver(server: &HostPort) -> Option<SocketAddr> {
    let address: IpAddr = server.host.parse().ok()?;
    Some(SocketAddr::new(address, server.port.unwrap_or(DNS_PORT)))
}

fn five_names(config: &Config) -> Vec<(Option<NameRole>, String)> {
    let Some(names) = &config.names else { return Vec::new() };
    vec![
        (Some(NameRole::ZDial), names.zdial.clone()),
        (Some(NameRole::McsLoadBalanced), names.mcs_lb.clone()),
        (Some(NameRole::Mcs), names.mcs.clone()),
        (Some(NameRole::McsNode1), names.mcs_node1.clone()),
        (Some(NameRole::McsNode2), names.mcs_node2.clone()),
    ]
}

fn book(config: &Config) -> Result<ContactsPlan, StartError> {
    let protocol = config.contacts.protocol;
    let servers = config.contacts.servers.clone();
    let Some(uri) = &config.contacts.uri else { return Ok(ContactsPlan { protocol, at: None, servers }) };
    let wrong = |why: &str| bad("contacts.uri", format!("`{uri}` {why}"));
    let (host, port, path) = configured_uri(uri, protocol.unwrap_or_default()).map_err(wrong)?;
    let credentials = config.contacts.username.clone().zip(config.contacts_password()?);
    Ok(ContactsPlan { protocol, at: Some(BookPlan { host, port, path, credentials }), servers })
}

/// The card of the owner, by reference or as a part of the message.
fn owner(config: &Config) -> Result<Option<(CallInfo, Option<BodyPart>)>, StartError> {
    let info = |uri: &str| {
        let uri = Uri::parse(uri).ok()?;
        Some(CallInfo { uri, purpose: "rue-owner".to_owned() })
    };
    if let Some(uri) = &config.sip.owner_uri {
        return Ok(info(uri).map(|info| (info, None)));
    }
    let Some(path) = &config.sip.owner_card else { return Ok(None) };
    let card = read_part(path).map_err(|why| bad("sip.owner_card", why))?;
    const CARD: &str = "owner@z5.invalid";
    let part = BodyPart::referred("application/vcard+xml", CARD, card);
    Ok(info(&format!("cid:{CARD}")).map(|info| (info, Some(part))))
}

fn bad(key: &str, why: String) -> ConfigError {
    ConfigError::Invalid(vec![Problem::bad(key, why)])
}

fn emergency(config: &Config) -> Result<EmergencyPlan, StartError> {
    let location = config.location().map_err(|error| bad("emergency.location", error.to_string()))?;
    let block = |(name, path): (&'static str, &std::path::PathBuf)| {
        read_part(path).map(|bytes| (name, bytes)).map_err(|why| bad("emergency", why))
    };
    Ok(EmergencyPlan {
        location,
        location_with_registration: config.emergency.location_with_registration,
        blocks: config.emergency.blocks().map(block).collect::<Result<_, _>>()?,
    })
}

type Search = (Destination, Abilities);

fn generic(config: &Config) -> Result<(Search, GenericAccount), StartError> {
    let sip = &config.sip;
    // `check` has seen that these are there.
    let domain = sip.domain.clone().unwrap_or_default();
    let username = sip.username.clone().unwrap_or_default();
    let target = sip.proxy.clone().unwrap_or_else(|| HostPort { host: domain.clone(), port: None });
    let account = GenericAccount {
        auth_username: sip.auth_username.clone().unwrap_or_else(|| username.clone()),
        domain,
        username,
        password: config.sip_password()?.unwrap_or_else(|| Secret::new("")),
    };
    let (transport, able) = match sip.transport {
        Transport::Tcp => (Some(ua::Transport::Tcp), vec![ua::Transport::Tcp]),
        Transport::Tls => (Some(ua::Transport::Tls), vec![ua::Transport::Tls]),
        Transport::Udp => (Some(ua::Transport::Udp), vec![ua::Transport::Udp]),
        Transport::Auto => (None, vec![ua::Transport::Tls, ua::Transport::Tcp, ua::Transport::Udp]),
    };
    let destination = Destination::new(&target.host, target.port, transport);
    Ok(((destination, Abilities::over(&able)), account))
}

fn key(key: &LicenceKey) -> Result<(String, DecodingKey), StartError> {
    let decoded = match (&key.public_key_pem, &key.x) {
        (Some(pem), _) => DecodingKey::from_ed_pem(pem.as_bytes()),
        (None, x) => DecodingKey::from_ed_components(x.as_deref().unwrap_or_default()),
    };
    decoded
        .map(|decoded| (key.kid.clone(), decoded))
        .map_err(|error| StartError::LicenceKey { kid: key.kid.clone(), why: error.to_string() })
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("profile", &self.profile).finish_non_exhaustive()
    }
}
