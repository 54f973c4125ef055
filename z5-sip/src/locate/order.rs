//! The orders of RFC 3263: NAPTR by order and preference, SRV by priority and by lot (RFC 2782), addresses by turns.

use std::net::IpAddr;

use super::{Naptr, Srv, canonical};
use crate::ident::Ident;
use crate::wire::Transport;

/// A service whose SRV records lead to servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) transport: Transport,
    /// The name that has the SRV records.
    pub(super) name: String,
    pub(super) records: Option<Vec<Srv>>,
}

impl Service {
    /// The name by rule, when no NAPTR record says another (RFC 3263 section 4.1).
    pub(super) fn named(transport: Transport, domain: &str) -> Self {
        let prefix = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
            Transport::Sctp => "_sip._sctp",
            // RFC 7118 section 5.2.4 names no SRV service; these are what its registrations imply.
            Transport::Ws => "_sip._ws",
            Transport::Wss => "_sips._ws",
        };
        Self { transport, name: format!("{prefix}.{domain}"), records: None }
    }
}

/// Where a server listens when nobody says a port (RFC 3261 section 19.1.2; RFC 7118 for WebSocket).
pub(super) const fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp | Transport::Tcp | Transport::Sctp => 5060,
        Transport::Tls => 5061,
        Transport::Ws => 80,
        Transport::Wss => 443,
    }
}

/// The services of a domain without NAPTR records, in our order. A `sip` URI is not taken to `_sips` by guessing
/// (section 4.1 queries `_sip` for it), unless TLS is all we have.
pub(super) fn own_services(able: &[Transport], secure: bool, domain: &str) -> Vec<Service> {
    let only_tls = secure || able.iter().all(|transport| *transport == Transport::Tls);
    let wanted = |transport: &&Transport| match (only_tls, **transport) {
        (true, transport) => transport == Transport::Tls,
        (false, Transport::Udp | Transport::Tcp | Transport::Sctp) => true,
        // WebSocket has no lookup of its own (RFC 7118 section 5.2.4).
        (false, Transport::Tls | Transport::Ws | Transport::Wss) => false,
    };
    able.iter().filter(wanted).map(|transport| Service::named(*transport, domain)).collect()
}

/// What a NAPTR service field stands for (RFC 3263 section 4.1, RFC 7118 section 9.4).
fn transport_of(service: &str) -> Option<Transport> {
    let known = [
        ("SIP+D2U", Transport::Udp),
        ("SIP+D2T", Transport::Tcp),
        ("SIPS+D2T", Transport::Tls),
        ("SIP+D2S", Transport::Sctp),
        ("SIP+D2W", Transport::Ws),
        ("SIPS+D2W", Transport::Wss),
    ];
    known.iter().find(|(name, _)| name.eq_ignore_ascii_case(service)).map(|(_, transport)| *transport)
}

/// The services that NAPTR records offer and we can use, the server's preference first (RFC 3263 section 4.1).
pub(super) fn services(records: &[Naptr], able: &[Transport], secure: bool) -> Vec<Service> {
    let mut usable: Vec<(&Naptr, Transport)> = records
        .iter()
        // A terminal rule with flag "s" and no expression is all that SIP uses; anything else is another application's.
        .filter(|record| record.flags.eq_ignore_ascii_case("s") && record.regexp.is_empty())
        .filter(|record| !canonical(&record.replacement).is_empty())
        .filter_map(|record| Some((record, transport_of(&record.service)?)))
        // Section 4.1: for a sips URI services without SIPS must be discarded.
        .filter(|(_, transport)| !secure || matches!(transport, Transport::Tls | Transport::Wss))
        .filter(|(_, transport)| able.contains(transport))
        .collect();
    usable.sort_by_key(|(record, _)| (record.order, record.preference));
    let mut found: Vec<Service> = Vec::new();
    for (record, transport) in usable {
        let service = Service { transport, name: canonical(&record.replacement), records: None };
        if !found.contains(&service) {
            found.push(service);
        }
    }
    found
}

/// The order of RFC 2782: by priority; among equals by lot, each weight a share. Weight 0 stands first before the lot is
/// drawn, so that it has a small chance.
pub fn weighted(records: &[Srv], ident: &mut Ident) -> Vec<Srv> {
    let mut left: Vec<&Srv> = records.iter().collect();
    left.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(first) = left.first() {
        let priority = first.priority;
        let equals = left.iter().take_while(|record| record.priority == priority).count();
        let sum: u64 = left.iter().take(equals).map(|record| u64::from(record.weight)).sum();
        let lot = ident.number() % (sum + 1);
        let mut running = 0;
        let drawn = left.iter().take(equals).position(|record| {
            running += u64::from(record.weight);
            running >= lot
        });
        ordered.push(left.remove(drawn.unwrap_or(0)).clone());
    }
    ordered
}

/// The two versions of IP by turns, version 6 first, each in its own order (RFC 8305 section 4).
pub(super) fn interleave(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut six = addresses.iter().filter(|address| address.is_ipv6());
    let mut four = addresses.iter().filter(|address| address.is_ipv4());
    let mut turns = Vec::with_capacity(addresses.len());
    loop {
        let (next_six, next_four) = (six.next(), four.next());
        if next_six.is_none() && next_four.is_none() {
            return turns;
        }
        turns.extend(next_six.into_iter().chain(next_four));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 5060, target: target.to_owned() }
    }

    #[test]
    fn weights_are_shares_and_priorities_are_walls() {
        let records = [srv(20, 100, "late"), srv(10, 30, "a"), srv(10, 70, "b"), srv(10, 0, "never")];
        let mut ident = Ident::from_seed(3);
        let mut first = [0_u32; 3];
        for _ in 0..2000 {
            let order = weighted(&records, &mut ident);
            assert_eq!((order.len(), order[3].target.as_str()), (4, "late"));
            let index = ["a", "b", "never"].iter().position(|name| *name == order[0].target).unwrap();
            first[index] += 1;
        }
        // Of 101 lots, 0 is the weightless one's, 30 are a's and 70 are b's.
        assert!((500..700).contains(&first[0]), "{first:?}");
        assert!((1280..1480).contains(&first[1]), "{first:?}");
        assert!((1..60).contains(&first[2]), "{first:?}");
    }

    #[test]
    fn one_seed_gives_one_order() {
        let records: Vec<Srv> = (0..8).map(|n| srv(10, 10, &format!("h{n}"))).collect();
        let order = |seed| weighted(&records, &mut Ident::from_seed(seed));
        assert_eq!(order(5), order(5));
        assert_ne!(order(5), order(6));
    }

    #[test]
    fn the_versions_of_ip_take_turns() {
        let addresses: Vec<IpAddr> = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let turns: Vec<String> = interleave(&addresses).iter().map(IpAddr::to_string).collect();
        assert_eq!(turns, ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"]);
        assert!(interleave(&[]).is_empty());
    }
}
