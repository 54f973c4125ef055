//! The rows that must be permitted, written for people, for programs and for firewalls.
//!
//! Everything here is pure: rows in, text out. A firewall's rules hold addresses alone; a name that nobody has resolved is
//! refused by the caller, because most firewalls would take the first of its addresses and forget the others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use clap::ValueEnum;
use z5_core::config::PortRange;
use z5_core::policy::{Destination, Protocol, Purpose, Requirement};

/// What the rows are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// A chain for nft -f
    Nftables,
    /// A shell script with iptables-restore and ip6tables-restore
    Iptables,
    /// Rules of OpenBSD's and FreeBSD's pf
    Pf,
    /// PowerShell, New-NetFirewallRule
    Windows,
    /// Comma-separated values with a head line
    Csv,
    /// One JSON object
    Json,
}

impl Format {
    /// Whether its readers understand names.
    pub(crate) fn takes_names(self) -> bool {
        match self {
            Self::Table | Self::Csv | Self::Json => true,
            Self::Nftables | Self::Iptables | Self::Pf | Self::Windows => false,
        }
    }
}

/// The whole text. `source` says in words where the rows come from.
pub(crate) fn text(format: Format, rows: &[Requirement], source: &str) -> String {
    match format {
        Format::Table => table(rows),
        Format::Nftables => nftables(rows, source),
        Format::Iptables => iptables(rows, source),
        Format::Pf => pf(rows, source),
        Format::Windows => windows(rows, source),
        Format::Csv => csv(rows),
        // written by the caller, who has the rest of the object
        Format::Json => String::new(),
    }
}

/// Rows that differ in nothing but the address.
struct Group {
    purpose: Purpose,
    protocol: Protocol,
    ports: PortRange,
    v4: Vec<String>,
    v6: Vec<String>,
    any: bool,
}

impl Group {
    fn comment(&self) -> String {
        format!("step {}: {}", self.purpose.step(), self.purpose.words())
    }

    fn all(&self) -> Vec<&str> {
        self.v4.iter().chain(&self.v6).map(String::as_str).collect()
    }
}

/// In the order of the first row of each.
fn groups(rows: &[Requirement]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        let same = |group: &&mut Group| {
            (group.purpose, group.protocol, group.ports) == (row.purpose, row.protocol, row.ports)
        };
        let group = match groups.iter_mut().find(same) {
            Some(group) => group,
            None => {
                let (purpose, protocol, ports) = (row.purpose, row.protocol, row.ports);
                groups.push(Group { purpose, protocol, ports, v4: vec![], v6: vec![], any: false });
                let Some(last) = groups.last_mut() else { continue };
                last
            }
        };
        match &row.destination {
            Destination::Address(IpAddr::V4(address)) => group.v4.push(address.to_string()),
            Destination::Address(IpAddr::V6(address)) => group.v6.push(address.to_string()),
            Destination::Any => group.any = true,
            Destination::Name(_) => {}
        }
    }
    groups
}

fn table(rows: &[Requirement]) -> String {
    let mut out =
        format!("{:<4} {:<24} {:<8} {:<11} {}\n", "STEP", "FOR", "PROTOCOL", "PORTS", "DESTINATION");
    for row in rows {
        let (step, words, protocol) = (row.purpose.step(), row.purpose.words(), row.protocol.name());
        let _ = writeln!(
            out,
            "{step:<4} {words:<24} {protocol:<8} {:<11} {}",
            row.ports.to_string(),
            row.destination
        );
    }
    out
}

fn csv(rows: &[Requirement]) -> String {
    let mut out = "step,for,direction,protocol,first_port,last_port,destination\n".to_owned();
    for row in rows {
        let (step, words, protocol) = (row.purpose.step(), row.purpose.words(), row.protocol.name());
        let (first, last) = (row.ports.first(), row.ports.last());
        let _ = writeln!(out, "{step},{words},outbound,{protocol},{first},{last},{}", row.destination);
    }
    out
}

fn head(source: &str, how: &[&str]) -> String {
    let mut out = format!("# z5: outbound traffic that must be permitted, from {source}\n");
    for line in how {
        let _ = writeln!(out, "# {line}");
    }
    out
}

fn nftables(rows: &[Requirement], source: &str) -> String {
    let how = [
        "load: nft -f FILE (again after a change; the chain is emptied first)",
        "use:  nft add rule inet filter output jump z5    (forward in place of output on a router)",
        "Answers must be permitted too: ct state established,related accept",
    ];
    let mut out = head(source, &how);
    out += "table inet filter {\n\tchain z5 {\n\t}\n}\nflush chain inet filter z5\ntable inet filter {\n\tchain z5 {\n";
    for group in groups(rows) {
        let (protocol, ports) = (group.protocol.name(), group.ports);
        let mut rule = |to: String| {
            let _ = writeln!(out, "\t\t{to}{protocol} dport {ports} accept comment \"{}\"", group.comment());
        };
        if group.any {
            rule(String::new());
            continue;
        }
        for (family, addresses) in [("ip", &group.v4), ("ip6", &group.v6)] {
            if !addresses.is_empty() {
                rule(format!("{family} daddr {{ {} }} ", addresses.join(", ")));
            }
        }
    }
    out + "\t}\n}\n"
}

fn iptables(rows: &[Requirement], source: &str) -> String {
    let how = [
        "load: sh FILE (again after a change; the chain is emptied first)",
        "use:  iptables -A OUTPUT -j Z5    (FORWARD in place of OUTPUT on a router; ip6tables likewise)",
        "Answers must be permitted too: -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    ];
    let mut out = format!("#!/bin/sh\n{}set -e\n", head(source, &how));
    let groups = groups(rows);
    for (program, v4) in [("iptables-restore", true), ("ip6tables-restore", false)] {
        let mut rules = String::new();
        for group in &groups {
            let (protocol, comment) = (group.protocol.name(), group.comment());
            let ports = group.ports.to_string().replace('-', ":");
            let mut rule = |to: String| {
                let _ = writeln!(
                    rules,
                    "-A Z5 {to}-p {protocol} -m {protocol} --dport {ports} -m comment --comment \"{comment}\" -j ACCEPT"
                );
            };
            if group.any {
                rule(String::new());
                continue;
            }
            for address in if v4 { &group.v4 } else { &group.v6 } {
                rule(format!("-d {address} "));
            }
        }
        if !rules.is_empty() {
            let _ = write!(out, "{program} --noflush <<'END'\n*filter\n:Z5 - [0:0]\n{rules}COMMIT\nEND\n");
        }
    }
    out
}

fn pf(rows: &[Requirement], source: &str) -> String {
    let how = ["load: pfctl -a z5 -f FILE    (with `anchor \"z5\"` in pf.conf)"];
    let mut out = head(source, &how);
    for group in groups(rows) {
        let ports = group.ports.to_string().replace('-', ":");
        let to = if group.any { "any".to_owned() } else { format!("{{ {} }}", group.all().join(", ")) };
        let protocol = group.protocol.name();
        let _ = writeln!(out, "# {}", group.comment());
        let _ = writeln!(out, "pass out quick proto {protocol} to {to} port {ports} keep state");
    }
    out
}

fn windows(rows: &[Requirement], source: &str) -> String {
    let how =
        ["load: in a PowerShell of an administrator; take away again with Remove-NetFirewallRule -Group z5"];
    let mut out = head(source, &how);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for group in groups(rows) {
        let protocol = group.protocol.name().to_uppercase();
        let base = format!("z5 {} ({protocol})", group.comment());
        // two groups of one step and protocol have different ports
        let count = seen.entry(base.clone()).and_modify(|count| *count += 1).or_insert(1);
        let name = if *count == 1 { base } else { format!("{base} {count}") };
        let to = if group.any { "Any".to_owned() } else { group.all().join(",") };
        let _ = writeln!(
            out,
            "New-NetFirewallRule -DisplayName '{name}' -Group z5 -Direction Outbound -Action Allow \
             -Protocol {protocol} -RemoteAddress {to} -RemotePort {}",
            group.ports
        );
    }
    out
}

#[cfg(test)]
mod tests;
