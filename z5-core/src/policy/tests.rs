//! The table in code against the requirement's own text, row by row.

use super::*;

/// The formalised list of the requirement, copied to the letter.
const TABLE: &str = "\
Naming

outbound 53 udp 208.94.16.61
outbound 53 udp 208.94.16.62
outbound 53 udp 208.94.16.90
outbound 53 udp 208.95.32.61
outbound 53 udp 208.95.32.62
outbound 53 udp 208.95.32.90

outbound 53 tcp 208.94.16.61
outbound 53 tcp 208.94.16.62
outbound 53 tcp 208.94.16.90
outbound 53 tcp 208.95.32.61
outbound 53 tcp 208.95.32.62
outbound 53 tcp 208.95.32.90

ZDial

outbound 443 tcp 208.94.16.114
outbound 443 tcp 208.95.32.114

MCS license and address-book

outbound 443 tcp 208.94.16.21
outbound 443 tcp 208.95.32.21

SIP

outbound 5060 tcp 208.94.16.21
outbound 5060 tcp 208.95.32.21

RTP (all media is proxied through the MCS)

outbound 10000-65535 udp 208.94.16.21
outbound 10000-65535 udp 208.95.32.21
";

/// Step 1's sentence of the requirement.
const STEP_1: &str = "The DNS name for \"zdial.champvrs.com\" must be resolved, as well as \"lb.mcs.csdvrs.com\", \
     \"mcs1.mcs.csdvrs.com\", \"mcs2.mcs.csdvrs.com\", and \"mcs.csdvrs.com\".";

fn purpose(title: &str) -> Purpose {
    match title {
        "Naming" => Purpose::Naming,
        "ZDial" => Purpose::ZDial,
        "MCS license and address-book" => Purpose::LicenceAndAddressBook,
        "SIP" => Purpose::Sip,
        "RTP (all media is proxied through the MCS)" => Purpose::Rtp,
        other => panic!("a section the code does not know: {other}"),
    }
}

#[test]
fn every_row_of_the_requirement_is_a_rule_in_the_same_order() {
    let mut section = None;
    let mut rows = Vec::new();
    for line in TABLE.lines().filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split(' ').collect();
        match fields.as_slice() {
            ["outbound", ports, protocol, address] => rows.push(Rule {
                purpose: section.expect("a row stands under a title"),
                ports: ports.parse().unwrap(),
                protocol: match *protocol {
                    "udp" => Protocol::Udp,
                    "tcp" => Protocol::Tcp,
                    other => panic!("protocol {other}"),
                },
                address: address.parse().unwrap(),
            }),
            _ => section = Some(purpose(line)),
        }
    }
    assert_eq!(rows.len(), 20);
    assert_eq!(rows, RULES);
}

#[test]
fn the_five_names_are_those_of_step_1() {
    let quoted: Vec<&str> = STEP_1.split('"').skip(1).step_by(2).collect();
    assert_eq!(NAMES.map(|(_, name)| name).to_vec(), quoted);
}

#[test]
fn the_group_decides_the_local_ports_over_the_client() {
    let client = Some(PortRange::new(20_000, 20_999));
    let group = Some(PortRange::new(30_000, 30_099));
    assert_eq!(LocalRtpPorts::default().in_force(), (PortRange::ANY, PortSource::System));
    assert_eq!(
        LocalRtpPorts { client, ..LocalRtpPorts::default() }.in_force(),
        (PortRange::new(20_000, 20_999), PortSource::Client)
    );
    assert_eq!(
        LocalRtpPorts { client, sign_in: client, group }.in_force(),
        (PortRange::new(30_000, 30_099), PortSource::Group)
    );
}

#[test]
fn every_step_has_a_rule() {
    for step in 1..=5 {
        assert!(RULES.iter().any(|rule| rule.purpose.step() == step), "step {step}");
    }
}
