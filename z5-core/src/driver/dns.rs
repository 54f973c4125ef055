//! Step 1 on the wire: one question to one nameserver over one transport, with hickory-resolver. Which server is asked, and
//! when the next, is the machine's decision.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record as Resource, RecordType};
use tokio::task::JoinSet;
use z5_sip::locate::{self, Miss, Naptr, Srv};

use self::socket::Runtime;
use super::{Fact, Facts};
use crate::error::AttemptOutcome;
use crate::machine::io::{Asker, DnsTransport, LookupAnswer, LookupFailure, LookupId, Record};

mod socket;

/// The size that survives every path (DNS flag day 2020).
const EDNS_PAYLOAD: u16 = 1232;

/// Resolvers, one per nameserver and transport, and the questions under way.
#[derive(Default)]
pub(super) struct Dns {
    resolvers: BTreeMap<(SocketAddr, bool), Resolver<Runtime>>,
    tasks: BTreeMap<Asker, JoinSet<()>>,
}

impl Dns {
    pub(super) fn lookup(
        &mut self,
        id: LookupId,
        name: String,
        record: Record,
        (server, transport): (SocketAddr, DnsTransport),
        patience: Duration,
        facts: Facts,
    ) {
        let key = (server, transport == DnsTransport::Tcp);
        let resolver = match self.resolvers.get(&key) {
            Some(resolver) => resolver.clone(),
            None => match resolver(server, transport, patience) {
                Ok(made) => {
                    self.resolvers.insert(key, made.clone());
                    made
                }
                Err(error) => {
                    let outcome = Err(LookupFailure::Unreachable(error.to_string()));
                    drop(facts.send(Fact::Looked { id, outcome }));
                    return;
                }
            },
        };
        let tasks = self.tasks.entry(id.of).or_default();
        // Those that are done are kept until somebody asks.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let outcome = match tokio::time::timeout(patience, ask(&resolver, &name, record)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(LookupFailure::TimedOut),
            };
            drop(facts.send(Fact::Looked { id, outcome }));
        });
    }

    /// Gives up whatever of this is under way.
    pub(super) fn end(&mut self, of: Asker) {
        self.tasks.remove(&of);
    }
}

/// The nameservers of the operating system; empty when it has none or they cannot be read.
pub(crate) fn system_nameservers() -> Vec<SocketAddr> {
    match hickory_resolver::system_conf::read_system_conf() {
        Ok((config, _)) => config
            .name_servers()
            .iter()
            .flat_map(|server| {
                let port = server.connections.first().map_or(53, |connection| connection.port);
                Some(SocketAddr::new(server.ip, port))
            })
            .collect(),
        Err(error) => {
            tracing::warn!(%error, "the system's nameservers cannot be read");
            Vec::new()
        }
    }
}

fn resolver(
    server: SocketAddr,
    transport: DnsTransport,
    patience: Duration,
) -> Result<Resolver<Runtime>, NetError> {
    let mut connection = match transport {
        DnsTransport::Udp => ConnectionConfig::udp(),
        DnsTransport::Tcp => ConnectionConfig::tcp(),
    };
    connection.port = server.port();
    let nameserver = NameServerConfig::new(server.ip(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![nameserver]);
    let mut options = ResolverOpts::default();
    options.timeout = patience;
    options.attempts = 0;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.try_tcp_on_error = false;
    options.edns_payload_len = EDNS_PAYLOAD;
    Resolver::builder_with_config(config, Runtime::default()).with_options(options).build()
}

async fn ask(
    resolver: &Resolver<Runtime>,
    name: &str,
    record: Record,
) -> Result<LookupAnswer, LookupFailure> {
    let mut name = Name::from_utf8(name).map_err(|_| LookupFailure::NameNotFound)?;
    name.set_fqdn(true);
    let kind = match record {
        Record::A => RecordType::A,
        Record::Aaaa => RecordType::AAAA,
        Record::Srv => RecordType::SRV,
        Record::Naptr => RecordType::NAPTR,
        Record::Txt => RecordType::TXT,
    };
    let lookup = resolver.lookup(name, kind).await.map_err(failure)?;
    let answer = collected(lookup.answers(), lookup.additionals());
    if answer.count(record) == 0 { Err(LookupFailure::NoRecords) } else { Ok(answer) }
}

/// The records that this program knows.
fn collected(answers: &[Resource], additionals: &[Resource]) -> LookupAnswer {
    let mut answer = LookupAnswer { ttl_s: u32::MAX, ..LookupAnswer::default() };
    for found in answers {
        if let RData::SRV(srv) = &found.data {
            answer.srv.push(Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_ascii(),
            });
        } else if let RData::NAPTR(naptr) = &found.data {
            answer.naptr.push(Naptr {
                order: naptr.order,
                preference: naptr.preference,
                flags: text(&naptr.flags),
                service: text(&naptr.services),
                regexp: text(&naptr.regexp),
                replacement: naptr.replacement.to_ascii(),
            });
        } else if let RData::TXT(txt) = &found.data {
            answer.txt.extend(txt.txt_data.iter().map(|bytes| text(bytes)));
        } else if let Some(address) = address(&found.data) {
            answer.addresses.push(address);
        } else {
            // A CNAME on the way; the resolver has followed it.
            continue;
        }
        answer.ttl_s = answer.ttl_s.min(found.ttl);
    }
    for found in additionals {
        if let Some(address) = address(&found.data) {
            answer.additional.push((found.name.to_ascii(), address));
        }
    }
    answer
}

/// What a message says to a question of the search for SIP servers.
pub(super) fn records(
    answers: &[Resource],
    additionals: &[Resource],
    record: Record,
) -> Result<locate::Answer, Miss> {
    let answer = collected(answers, additionals);
    if answer.count(record) == 0 {
        return Err(Miss::NoRecords);
    }
    let LookupAnswer { addresses, srv, naptr, additional, .. } = answer;
    Ok(locate::Answer { naptr, srv, addresses, additional })
}

fn address(data: &RData) -> Option<IpAddr> {
    if let RData::A(a) = data {
        Some(IpAddr::V4(a.0))
    } else if let RData::AAAA(aaaa) = data {
        Some(IpAddr::V6(aaaa.0))
    } else {
        None
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn failure(error: NetError) -> LookupFailure {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a foreign, non-exhaustive type; what is not listed is a failed server"
    )]
    match &error {
        NetError::Timeout => LookupFailure::TimedOut,
        NetError::Truncated => LookupFailure::Truncated,
        NetError::Dns(DnsError::NoRecordsFound(none)) => code(none.response_code),
        NetError::Dns(DnsError::ResponseCode(found)) => code(*found),
        NetError::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => LookupFailure::TimedOut,
        NetError::Io(io) => {
            LookupFailure::Unreachable(AttemptOutcome::from_io(io, Duration::ZERO).to_string())
        }
        // what hickory says of a port that is closed
        NetError::NoConnections => {
            LookupFailure::Unreachable("the port is closed or cannot be reached".into())
        }
        _ => LookupFailure::ServerFailed(error.to_string()),
    }
}

fn code(code: ResponseCode) -> LookupFailure {
    if code == ResponseCode::NoError {
        LookupFailure::NoRecords
    } else if code == ResponseCode::NXDomain {
        LookupFailure::NameNotFound
    } else if code == ResponseCode::Refused {
        LookupFailure::Refused
    } else {
        LookupFailure::ServerFailed(code.to_str().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lookups_that_are_done_are_not_kept() {
        let closed = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (facts, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let mut dns = Dns::default();
        for number in 0..5 {
            let id = LookupId { of: Asker::Book, number };
            let (server, patience) = ((closed, DnsTransport::Udp), Duration::from_secs(1));
            dns.lookup(id, "dav.test".to_owned(), Record::A, server, patience, facts.clone());
            heard.recv().await.unwrap();
        }
        assert_eq!(dns.tasks[&Asker::Book].len(), 1, "the last one, which nobody has come after yet");
    }

    #[tokio::test]
    async fn a_closed_port_is_told_from_silence() {
        let open = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let silent = open.local_addr().unwrap();
        let closed = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let asked = |server| async move {
            let resolver = resolver(server, DnsTransport::Udp, Duration::from_secs(1)).unwrap();
            ask(&resolver, "zdial.test", Record::A).await
        };
        let closed = asked(closed).await;
        assert!(matches!(closed, Err(LookupFailure::Unreachable(_))), "{closed:?}");
        assert!(matches!(asked(silent).await, Err(LookupFailure::TimedOut)));
    }
}
