//! What has to be permitted, as rows that firewalls and preflight checks use: the documented table, or what a configuration
//! makes of it. Pure: a name stays a name here unless the configuration itself says where it is.

use std::net::{IpAddr, SocketAddr};

use serde::{Serialize, Serializer};

use super::{Protocol, Purpose, RTP, RULES};
use crate::config::{Config, HostPort, PortRange, Profile, Transport};
use crate::machine::plan::fixed;

/// Where packets of a row go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// This address.
    Address(IpAddr),
    /// Wherever this name is; the nameservers know.
    Name(String),
    /// Not known before a call: the far end says where its media are.
    Any,
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Any => f.write_str("any"),
        }
    }
}

impl Serialize for Destination {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One row: outbound traffic that must be permitted, with the answers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// What for.
    pub purpose: Purpose,
    /// Transport.
    pub protocol: Protocol,
    /// Destination ports.
    pub ports: PortRange,
    /// Where.
    pub destination: Destination,
}

/// Media of a far end that names its own ports: everything but the ports of the system (RFC 6335 section 6).
const USER_PORTS: PortRange = PortRange::new(1024, 65_535);
/// RFC 9110 section 4.2.2.
const HTTPS_PORT: u16 = 443;
/// RFC 3261 section 19.1.2.
const SIP_PORT: u16 = 5060;
/// RFC 3261 section 19.1.2, for TLS.
const SIPS_PORT: u16 = 5061;

/// The rows of the documented requirement, in its order.
pub fn documented() -> Vec<Requirement> {
    RULES
        .iter()
        .map(|rule| Requirement {
            purpose: rule.purpose,
            protocol: rule.protocol,
            ports: rule.ports,
            destination: Destination::Address(rule.address.into()),
        })
        .collect()
}

/// One place that a configuration leads to, as it is named there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) purpose: Purpose,
    pub(crate) protocol: Protocol,
    /// TLS stands on it.
    pub(crate) tls: bool,
    pub(crate) ports: PortRange,
    /// A name or an address; none: known only in a call.
    pub(crate) host: Option<String>,
}

/// Everything but the nameservers, in the order of the steps. Ports that only SRV records know are the standard ones.
pub(crate) fn wanted(config: &Config) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    let mut want = |purpose, (protocol, tls), ports, host: Option<&str>| {
        let one = Wanted { purpose, protocol, tls, ports, host: host.map(str::to_owned) };
        if !all.contains(&one) {
            all.push(one);
        }
    };
    let (udp, tcp, tls) = ((Protocol::Udp, false), (Protocol::Tcp, false), (Protocol::Tcp, true));
    match (config.profile, &config.names) {
        (Profile::Z5, Some(names)) => {
            let mcs = [&names.mcs_lb, &names.mcs, &names.mcs_node1, &names.mcs_node2];
            let port = config.zdial.as_ref().map_or(HTTPS_PORT, |zdial| zdial.port);
            want(Purpose::ZDial, tls, PortRange::single(port), Some(&names.zdial));
            for name in mcs {
                let port = PortRange::single(config.mcs.https_port);
                want(Purpose::LicenceAndAddressBook, tls, port, Some(name));
            }
            let (plain, secure) = ((tcp, config.mcs.sip_port), (tls, config.mcs.sips_port));
            let ways = match config.sip.transport {
                Transport::Tcp | Transport::Udp => vec![plain],
                Transport::Tls => vec![secure],
                Transport::Auto => vec![plain, secure],
            };
            for (way, port) in ways {
                for name in mcs {
                    want(Purpose::Sip, way, PortRange::single(port), Some(name));
                }
            }
            for name in mcs {
                want(Purpose::Rtp, udp, RTP, Some(name));
            }
        }
        (Profile::Z5, None) => {}
        (Profile::Generic, _) => {
            let domain = || HostPort { host: config.sip.domain.clone().unwrap_or_default(), port: None };
            let server = config.sip.proxy.clone().unwrap_or_else(domain);
            let plain = server.port.unwrap_or(SIP_PORT);
            let secure = server.port.unwrap_or(SIPS_PORT);
            let ways = match config.sip.transport {
                Transport::Tcp => vec![(tcp, plain)],
                Transport::Tls => vec![(tls, secure)],
                // large requests go over TCP
                Transport::Udp => vec![(udp, plain), (tcp, plain)],
                Transport::Auto => vec![(udp, plain), (tcp, plain), (tls, secure)],
            };
            for (way, port) in ways {
                want(Purpose::Sip, way, PortRange::single(port), Some(&server.host));
            }
            want(Purpose::Rtp, udp, USER_PORTS, None);
        }
    }
    all
}

/// The rows of a configuration. `nameservers` are those that it leads to ([`crate::preflight::nameservers`]). A name stands for
/// the addresses that `dns.hosts` gives it, else for itself. Ports that only SRV records know are the standard ones.
pub fn of_configuration(config: &Config, nameservers: &[SocketAddr]) -> Vec<Requirement> {
    let mut rows: Vec<Requirement> = Vec::new();
    let mut push = |purpose, protocol, ports, destination| {
        // several names often mean the same address: one row is enough
        let row = Requirement { purpose, protocol, ports, destination };
        if !rows.contains(&row) {
            rows.push(row);
        }
    };
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        for server in nameservers {
            let port = PortRange::single(server.port());
            push(Purpose::Naming, protocol, port, Destination::Address(server.ip()));
        }
    }
    for Wanted { purpose, protocol, ports, host, .. } in wanted(config) {
        let Some(host) = host else {
            push(purpose, protocol, ports, Destination::Any);
            continue;
        };
        match fixed(&config.dns.hosts, &host) {
            Some(addresses) => {
                for address in addresses {
                    push(purpose, protocol, ports, Destination::Address(address));
                }
            }
            None => push(purpose, protocol, ports, Destination::Name(host)),
        }
    }
    rows
}

/// The configured nameservers, when a name of this configuration has to be asked for; `system` are those of the operating system.
pub(crate) fn nameservers(config: &Config, system: &[SocketAddr]) -> Vec<SocketAddr> {
    let asked =
        of_configuration(config, &[]).iter().any(|row| matches!(row.destination, Destination::Name(_)));
    if !asked {
        return Vec::new();
    }
    let mut servers: Vec<SocketAddr> = config
        .dns
        .servers
        .iter()
        .filter_map(|server| Some(SocketAddr::new(server.host.parse().ok()?, server.port.unwrap_or(53))))
        .collect();
    if config.dns.system {
        servers.extend_from_slice(system);
    }
    servers
}

/// Puts what the nameservers said in place of names; a name without an answer stays.
pub fn resolved(rows: &[Requirement], addresses: impl Fn(&str) -> Vec<IpAddr>) -> Vec<Requirement> {
    let mut out: Vec<Requirement> = Vec::new();
    for row in rows {
        let found = match &row.destination {
            Destination::Name(name) => addresses(name),
            Destination::Address(_) | Destination::Any => Vec::new(),
        };
        let made: Vec<Requirement> = match found.is_empty() {
            true => vec![row.clone()],
            false => found
                .into_iter()
                .map(|address| Requirement { destination: Destination::Address(address), ..row.clone() })
                .collect(),
        };
        for row in made {
            if !out.contains(&row) {
                out.push(row);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(toml: &str) -> Vec<String> {
        let config = Config::parse(toml, "test.toml").unwrap();
        let servers = nameservers(&config, &["192.0.2.99:53".parse().unwrap()]);
        let line = |row: &Requirement| {
            let protocol = if row.protocol == Protocol::Udp { "udp" } else { "tcp" };
            format!("{} {protocol} {} {}", row.purpose.step(), row.ports, row.destination)
        };
        of_configuration(&config, &servers).iter().map(line).collect()
    }

    #[test]
    fn the_documented_rows_are_the_table() {
        let rows = documented();
        assert_eq!(rows.len(), RULES.len());
        assert_eq!(rows[19].destination.to_string(), "208.95.32.21");
    }

    #[test]
    fn five_steps_have_their_rows_and_hosts_of_the_file_are_addresses() {
        let toml = "[dns]\nservers = [\"192.0.2.1\"]\n\
             hosts = { \"lb.example\" = [\"192.0.2.21\", \"2001:db8::21\"], \"mcs.example\" = [\"192.0.2.21\"] }\n\
             [names]\nzdial = \"z.example\"\nmcs_lb = \"lb.example\"\nmcs = \"mcs.example\"\n\
             mcs_node1 = \"mcs.example\"\nmcs_node2 = \"mcs2.example\"\n\
             [mcs]\nhttps_port = 8443\n[sip]\ntransport = \"auto\"\n";
        assert_eq!(
            rows(toml),
            [
                "1 udp 53 192.0.2.1",
                "1 tcp 53 192.0.2.1",
                "2 tcp 443 z.example",
                "3 tcp 8443 192.0.2.21",
                "3 tcp 8443 2001:db8::21",
                "3 tcp 8443 mcs2.example",
                "4 tcp 5060 192.0.2.21",
                "4 tcp 5060 2001:db8::21",
                "4 tcp 5060 mcs2.example",
                "4 tcp 5061 192.0.2.21",
                "4 tcp 5061 2001:db8::21",
                "4 tcp 5061 mcs2.example",
                "5 udp 10000-65535 192.0.2.21",
                "5 udp 10000-65535 2001:db8::21",
                "5 udp 10000-65535 mcs2.example",
            ]
        );
    }

    #[test]
    fn a_plain_account_needs_its_server_and_media_from_anywhere() {
        let udp = "profile = \"generic\"\n[sip]\nproxy = \"192.0.2.7:5070\"\ntransport = \"udp\"\n";
        assert_eq!(rows(udp), ["4 udp 5070 192.0.2.7", "4 tcp 5070 192.0.2.7", "5 udp 1024-65535 any"]);
        let tls = "profile = \"generic\"\n[dns]\nsystem = true\n[sip]\ndomain = \"sip.example\"\ntransport = \"tls\"\n";
        assert_eq!(
            rows(tls),
            ["1 udp 53 192.0.2.99", "1 tcp 53 192.0.2.99", "4 tcp 5061 sip.example", "5 udp 1024-65535 any"]
        );
    }

    #[test]
    fn names_give_way_to_their_addresses() {
        let row = |destination| Requirement {
            purpose: Purpose::Sip,
            protocol: Protocol::Tcp,
            ports: PortRange::single(5060),
            destination,
        };
        let name = |name: &str| row(Destination::Name(name.to_owned()));
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let rows = [name("a.example"), name("b.example"), name("gone.example")];
        let found = resolved(&rows, |name| if name == "gone.example" { vec![] } else { vec![address] });
        assert_eq!(found, [row(Destination::Address(address)), name("gone.example")]);
    }
}
