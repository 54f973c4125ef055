//! Every format as a snapshot: of the documented rows, and of rows with both families and none.

use super::*;

fn of_both_families() -> Vec<Requirement> {
    let row = |purpose, protocol, ports: &str, destination: &str| Requirement {
        purpose,
        protocol,
        ports: ports.parse().unwrap(),
        destination: destination.parse().map_or(Destination::Any, Destination::Address),
    };
    vec![
        row(Purpose::Naming, Protocol::Udp, "53", "192.0.2.53"),
        row(Purpose::Naming, Protocol::Udp, "53", "2001:db8::53"),
        row(Purpose::Sip, Protocol::Tcp, "5060", "2001:db8::60"),
        row(Purpose::Sip, Protocol::Tcp, "5061", "2001:db8::60"),
        row(Purpose::Rtp, Protocol::Udp, "1024-65535", "any"),
    ]
}

fn all(rows: &[Requirement]) -> String {
    let formats = Format::value_variants().iter().filter(|format| **format != Format::Json);
    formats.map(|format| format!("== {format:?}\n{}", text(*format, rows, "a test"))).collect()
}

#[test]
fn the_documented_rows_in_every_format() {
    insta::assert_snapshot!(all(&z5_core::policy::documented()));
}

#[test]
fn both_families_and_any_destination_in_every_format() {
    insta::assert_snapshot!(all(&of_both_families()));
}

#[test]
fn no_rows_give_texts_without_rules() {
    for format in [Format::Nftables, Format::Iptables, Format::Pf, Format::Windows] {
        let text = text(format, &[], "nothing");
        assert!(!["accept c", "-A Z5", "pass", "New-Net"].iter().any(|rule| text.contains(rule)), "{text}");
    }
}
