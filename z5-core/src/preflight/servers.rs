//! Where the SIP servers of profile `generic` are: the search of RFC 3263, asked and answered question by question.
//!
//! A preflight probes what a session would use, so it must find it the same way. What nobody answers ends the search: the naming
//! rows tell then why.

use std::net::{IpAddr, SocketAddr};

use z5_sip::ident::Ident;
use z5_sip::locate::{
    Abilities, Answer, Destination, Effect, Input, Locator, Miss, Origin, Question, RecordKind, Target,
};
use z5_sip::outbox::Outbox;

use super::plan::{Probe, Sought};
use crate::config::Config;
use crate::driver::Prober;
use crate::machine::plan::fixed;
use crate::policy::{Protocol, Wanted};

/// The servers in the order in which they would be tried; none when they cannot be found.
pub(super) async fn find(
    config: &Config,
    (destination, able): (Destination, Abilities),
    prober: &Prober,
    nameservers: &[SocketAddr],
) -> Option<Vec<Target>> {
    let hosts = &config.dns.hosts;
    let given = fixed(hosts, destination.name()).is_some();
    // the lots of RFC 2782 decide only the order
    let mut locator = Locator::new(destination, able, Ident::from_seed(0));
    let mut wishes = Outbox::new();
    locator.handle(Input::Begin, &mut wishes);
    while let Some(effect) = wishes.pop() {
        let question = match effect {
            Effect::Ask(question) => question,
            Effect::Located(targets) => return Some(targets),
            Effect::Failed(error) => {
                tracing::debug!(%error, "no SIP server is found");
                return None;
            }
        };
        let outcome = match (question.kind, fixed(hosts, &question.name)) {
            (RecordKind::A | RecordKind::Aaaa, Some(addresses)) => of_family(&question, addresses),
            (RecordKind::Naptr | RecordKind::Srv, _) if given => Err(Miss::NoRecords),
            _ => prober.records(nameservers, &question).await?,
        };
        locator.handle(Input::Answered { question, outcome }, &mut wishes);
    }
    None
}

fn of_family(question: &Question, addresses: Vec<IpAddr>) -> Result<Answer, Miss> {
    let family = |address: &IpAddr| address.is_ipv4() == (question.kind == RecordKind::A);
    let addresses: Vec<IpAddr> = addresses.into_iter().filter(family).collect();
    if addresses.is_empty() { Err(Miss::NoRecords) } else { Ok(Answer { addresses, ..Answer::default() }) }
}

/// What has to be asked for to find them: services with their hosts, or the name itself.
pub(super) fn names(config: &Config, targets: &[Target]) -> Vec<(String, Sought)> {
    let mut names: Vec<(String, Sought)> = Vec::new();
    let mut add = |name: &str, sought| {
        let one = (name.to_owned(), sought);
        if fixed(&config.dns.hosts, name).is_none() && !names.contains(&one) {
            names.push(one);
        }
    };
    for target in targets {
        match &target.origin {
            Origin::Given => {}
            Origin::Host => add(&target.name, Sought::Address),
            Origin::Srv { service, host, .. } => {
                add(service, Sought::Service);
                add(host, Sought::Address);
            }
        }
    }
    names
}

/// The probes of the servers. A server over UDP need not take TCP, though large requests would go there: it is not probed.
pub(super) fn probes(targets: &[Target]) -> Vec<Probe> {
    let mut probes = Vec::new();
    for target in targets {
        let Some((protocol, tls)) = way(target) else { continue };
        let probe = Probe::Sip { protocol, tls, host: target.name.clone(), address: target.address };
        if !probes.contains(&probe) {
            probes.push(probe);
        }
    }
    probes
}

/// Protocol, and whether TLS stands on it; none for what z5 does not have.
pub(super) fn way(target: &Target) -> Option<(Protocol, bool)> {
    use z5_sip::ua::Transport;
    match target.transport {
        Transport::Udp => Some((Protocol::Udp, false)),
        Transport::Tcp => Some((Protocol::Tcp, false)),
        Transport::Tls => Some((Protocol::Tcp, true)),
        Transport::Sctp | Transport::Ws | Transport::Wss => None,
    }
}

/// The wishes without those for SIP, which the targets stand for.
pub(super) fn without_sip(wanted: &[Wanted]) -> Vec<Wanted> {
    wanted.iter().filter(|wanted| wanted.purpose != crate::policy::Purpose::Sip).cloned().collect()
}
