//! What is probed, from the configuration and the names' addresses. Pure.

use std::net::{IpAddr, SocketAddr};

use crate::config::{Config, PortRange};
use crate::machine::plan::fixed;
use crate::policy::{Protocol, Purpose, Wanted};

/// What a nameserver is asked about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sought {
    /// A, and AAAA where there is none.
    Address,
    /// SRV.
    Service,
}

/// One thing to be probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Ask a nameserver for a name.
    Name { server: SocketAddr, protocol: Protocol, name: String, sought: Sought },
    /// HTTPS for a host; what comes is judged by the purpose.
    Https { purpose: Purpose, host: String, address: SocketAddr },
    /// SIP OPTIONS for a host.
    Sip { protocol: Protocol, tls: bool, host: String, address: SocketAddr },
    /// A port of the range media may come from.
    Rtp { address: SocketAddr, ports: PortRange },
    /// Nothing can be asked, and why.
    Nothing { purpose: Purpose, protocol: Protocol, name: Option<String>, why: &'static str },
}

impl Probe {
    /// Purpose, protocol, address and name of its row.
    pub(crate) fn place(&self) -> (Purpose, Protocol, Option<SocketAddr>, Option<String>) {
        match self {
            Self::Name { server, protocol, name, .. } => {
                (Purpose::Naming, *protocol, Some(*server), Some(name.clone()))
            }
            Self::Https { purpose, host, address } => {
                (*purpose, Protocol::Tcp, Some(*address), Some(host.clone()))
            }
            Self::Sip { protocol, host, address, .. } => {
                (Purpose::Sip, *protocol, Some(*address), Some(host.clone()))
            }
            Self::Rtp { address, .. } => (Purpose::Rtp, Protocol::Udp, Some(*address), None),
            Self::Nothing { purpose, protocol, name, .. } => (*purpose, *protocol, None, name.clone()),
        }
    }

    /// The ports that a firewall must permit for it.
    pub(crate) fn ports(&self, address: SocketAddr) -> PortRange {
        match self {
            Self::Rtp { ports, .. } => *ports,
            Self::Name { .. } | Self::Https { .. } | Self::Sip { .. } | Self::Nothing { .. } => {
                PortRange::single(address.port())
            }
        }
    }
}

/// Every name that has to be asked for.
pub(crate) fn names(config: &Config, wanted: &[Wanted]) -> Vec<(String, Sought)> {
    let mut names: Vec<(String, Sought)> = Vec::new();
    for host in wanted.iter().filter_map(|wanted| wanted.host.as_ref()) {
        let one = (host.clone(), Sought::Address);
        if fixed(&config.dns.hosts, host).is_none() && !names.contains(&one) {
            names.push(one);
        }
    }
    names
}

/// Each at every nameserver, over UDP and TCP.
pub(crate) fn naming(names: &[(String, Sought)], servers: &[SocketAddr]) -> Vec<Probe> {
    let mut probes = Vec::new();
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        for server in servers {
            for (name, sought) in names {
                let (server, name, sought) = (*server, name.clone(), *sought);
                probes.push(Probe::Name { server, protocol, name, sought });
            }
        }
    }
    probes
}

/// Every address and port. Where only the address matters (SIP without TLS, RTP) it is probed once, however many names it has.
pub(crate) fn services(wanted: &[Wanted], addresses: impl Fn(&str) -> Vec<IpAddr>) -> Vec<Probe> {
    let mut probes: Vec<Probe> = Vec::new();
    for Wanted { purpose, protocol, tls, ports, host } in wanted {
        let nothing = |name: Option<&String>, why| Probe::Nothing {
            purpose: *purpose,
            protocol: *protocol,
            name: name.cloned(),
            why,
        };
        let Some(host) = host else {
            probes.push(nothing(None, "where media go is known only in a call"));
            continue;
        };
        let found = addresses(host);
        if found.is_empty() {
            probes.push(nothing(Some(host), "no address is known for it"));
        }
        for address in found {
            let at = |port| SocketAddr::new(address, port);
            let same_sip = |probe: &Probe| match probe {
                Probe::Sip { protocol: other, tls: false, address, .. } => {
                    !tls && other == protocol && *address == at(ports.first())
                }
                Probe::Sip { .. }
                | Probe::Name { .. }
                | Probe::Https { .. }
                | Probe::Rtp { .. }
                | Probe::Nothing { .. } => false,
            };
            match purpose {
                Purpose::Naming => {}
                Purpose::ZDial | Purpose::LicenceAndAddressBook => probes.push(Probe::Https {
                    purpose: *purpose,
                    host: host.clone(),
                    address: at(ports.first()),
                }),
                Purpose::Sip if probes.iter().any(same_sip) => {}
                Purpose::Sip => probes.push(Probe::Sip {
                    protocol: *protocol,
                    tls: *tls,
                    host: host.clone(),
                    address: at(ports.first()),
                }),
                Purpose::Rtp => {
                    for port in samples(*ports) {
                        let probe = Probe::Rtp { address: at(port), ports: *ports };
                        if !probes.contains(&probe) {
                            probes.push(probe);
                        }
                    }
                }
            }
        }
    }
    probes
}

/// The first port, one in the middle and the last even one: a firewall that knows only part of the range shows. RTP has even ports
/// (RFC 3550 section 11).
fn samples(ports: PortRange) -> Vec<u16> {
    let even = |port: u16| port & !1;
    let middle = u16::midpoint(ports.first(), ports.last());
    let mut samples =
        vec![ports.first(), even(middle).max(ports.first()), even(ports.last()).max(ports.first())];
    samples.dedup();
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::wanted;

    const FIVE: &str = "[dns]\nservers = [\"192.0.2.53\", \"192.0.2.54\"]\n\
        [names]\nzdial = \"z.test\"\nmcs_lb = \"lb.test\"\nmcs = \"mcs.test\"\nmcs_node1 = \"m1.test\"\nmcs_node2 = \"m2.test\"\n";

    #[test]
    fn five_names_at_every_nameserver_over_both() {
        let config = Config::parse(FIVE, "test.toml").unwrap();
        let servers = ["192.0.2.53:53".parse().unwrap(), "192.0.2.54:53".parse().unwrap()];
        let probes = naming(&names(&config, &wanted(&config)), &servers);
        assert_eq!(probes.len(), 5 * 2 * 2);
    }

    #[test]
    fn certificates_are_asked_for_by_name_and_ports_by_address() {
        let config = Config::parse(FIVE, "test.toml").unwrap();
        let addresses = |name: &str| match name {
            "z.test" => vec!["192.0.2.14".parse().unwrap()],
            "m2.test" => vec![],
            _ => vec!["192.0.2.21".parse().unwrap()],
        };
        let probes = services(&wanted(&config), addresses);
        let https = probes.iter().filter(|probe| matches!(probe, Probe::Https { .. })).count();
        let sip = probes.iter().filter(|probe| matches!(probe, Probe::Sip { .. })).count();
        let rtp: Vec<u16> = probes
            .iter()
            .filter_map(
                |probe| if let Probe::Rtp { address, .. } = probe { Some(address.port()) } else { None },
            )
            .collect();
        let nothing = probes.iter().filter(|probe| matches!(probe, Probe::Nothing { .. })).count();
        assert_eq!((https, sip, nothing), (1 + 3, 1, 3), "{probes:?}");
        assert_eq!(rtp, [10_000, 37_766, 65_534]);
    }

    #[test]
    fn a_range_of_one_port_has_one_sample() {
        assert_eq!(samples(PortRange::single(5004)), [5004]);
        assert_eq!(samples(PortRange::single(5005)), [5005]);
    }
}
