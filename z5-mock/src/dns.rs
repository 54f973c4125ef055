//! The name server of step 1 (RFC 1035) on UDP and TCP of one port, by hickory-server.
//!
//! It is authoritative for the carrier's five names and answers NXDOMAIN for everything else. The provider's
//! domain has NAPTR and SRV records that lead to the MCS over TLS, TCP and UDP, in this order (RFC 3263), and SRV and TXT records of its
//! address book (RFC 6764). No DNSSEC, zone transfers or updates.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::{Name, RData, Record, RecordType, rdata};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};

use crate::fault::{Fault, Faults};
use crate::mcs::DAV_ROOT;
use crate::names::Names;
use crate::recorder::{Direction, Recorder, Service};

/// Seconds an answer may be kept.
const TTL_SECONDS: u32 = 60;
/// How long a TCP connection may be idle.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Answers a TCP connection may have waiting.
const TCP_ANSWERS: usize = 16;
/// The largest UDP message we say we take (DNS flag day 2020).
const EDNS_PAYLOAD: u16 = 1232;

/// Serves until the returned server is dropped.
pub(crate) fn serve(udp: UdpSocket, tcp: TcpListener, zone: Zone) -> Server<Zone> {
    let mut server = Server::new(zone);
    server.register_socket(udp);
    server.register_listener(tcp, TCP_IDLE, TCP_ANSWERS);
    server
}

/// The names and what they resolve to.
#[derive(Clone)]
pub(crate) struct Zone {
    records: Arc<HashMap<String, Vec<RData>>>,
    /// The service whose faults are those of the address book.
    address_book: String,
    /// The address of the server that answers.
    here: IpAddr,
    faults: Faults,
    recorder: Recorder,
}

enum Outcome {
    Vanish,
    Fail(ResponseCode),
    Truncate,
    Answer(Vec<Record>),
}

impl Zone {
    pub(crate) fn new(
        names: &Names,
        extra: &[(String, Vec<IpAddr>)],
        addresses: &[IpAddr],
        faults: Faults,
        recorder: Recorder,
    ) -> Self {
        let data = |addresses: &[IpAddr]| addresses.iter().map(|address| address_record(*address)).collect();
        let mut records: HashMap<String, Vec<RData>> =
            names.all().iter().map(|name| (name.to_lowercase(), data(addresses))).collect();
        records.extend(extra.iter().map(|(name, addresses)| (name.to_lowercase(), data(addresses))));
        let here = addresses.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Self { records: Arc::new(records), address_book: String::new(), here, faults, recorder }
    }

    /// The same for the server at this address.
    pub(crate) fn at(&self, here: IpAddr) -> Self {
        Self { here, ..self.clone() }
    }

    /// Publishes how the provider's domain is reached over SIP: over TLS on `secure`, over TCP and UDP on `port`, each by the
    /// MCS names in their order.
    pub(crate) fn with_sip(mut self, names: &Names, port: u16, secure: u16) -> Self {
        let services = [
            (10, "SIPS+D2T", "_sips._tcp", secure),
            (20, "SIP+D2T", "_sip._tcp", port),
            (30, "SIP+D2U", "_sip._udp", port),
        ];
        for (preference, word, prefix, port) in services {
            let service = format!("{prefix}.{}", names.domain()).to_lowercase();
            let Ok(replacement) = Name::from_ascii(format!("{service}.")) else { continue };
            let word = word.as_bytes().into();
            let naptr = rdata::NAPTR::new(10, preference, (*b"s").into(), word, Box::default(), replacement);
            let records = Arc::make_mut(&mut self.records);
            records.entry(names.domain().to_lowercase()).or_default().push(RData::NAPTR(naptr));
            let targets = names
                .mcs_targets()
                .into_iter()
                .zip((10..).step_by(10))
                .filter_map(|(name, priority)| server_record(priority, port, name));
            records.insert(service, targets.collect());
        }
        self
    }

    /// Publishes the server of the provider's address book and where to begin there.
    pub(crate) fn with_address_book(mut self, names: &Names, port: u16) -> Self {
        self.address_book = format!("_carddavs._tcp.{}", names.domain()).to_lowercase();
        let texts = RData::TXT(rdata::TXT::new(vec!["txtvers=1".to_owned(), format!("path={DAV_ROOT}")]));
        let records = server_record(10, port, &names.mcs).into_iter().chain([texts]).collect();
        Arc::make_mut(&mut self.records).insert(self.address_book.clone(), records);
        self
    }

    /// What is said of the address book in place of the truth, or before it.
    fn of_address_book(&self, kind: RecordType, known: &mut Vec<RData>) {
        let strikes = |fault| self.faults.at(self.here).strikes(fault);
        let domain = self.address_book.trim_start_matches("_carddavs._tcp.");
        let nowhere = format!("nowhere.{domain}");
        if kind == RecordType::SRV {
            if strikes(Fault::BookServerForeign) {
                *known = server_record(10, 443, "dav.somewhere-else.test").into_iter().collect();
            }
            if strikes(Fault::BookNotOffered) {
                *known = vec![RData::SRV(rdata::SRV::new(0, 0, 0, Name::root()))];
            }
            if strikes(Fault::BookServerMissing) {
                *known = server_record(10, 443, &nowhere).into_iter().collect();
            }
            if strikes(Fault::BookServersAway) {
                // Port 1 is nobody's.
                let mcs = known.iter().find_map(|data| {
                    let RData::SRV(srv) = data else { return None };
                    Some(srv.target.to_ascii())
                });
                known.extend(server_record(1, 443, &nowhere));
                known.extend(mcs.and_then(|mcs| server_record(2, 1, mcs.trim_end_matches('.'))));
            }
        }
        let path = [
            (Fault::BookPathMissing, "path=/nothing-here/"),
            (Fault::BookPathForeign, "path=//dav.somewhere-else.test/"),
        ];
        if kind == RecordType::TXT
            && let Some((_, path)) = path.into_iter().find(|(fault, _)| strikes(*fault))
        {
            *known = vec![RData::TXT(rdata::TXT::new(vec![path.to_owned()]))];
        }
    }

    fn outcome_of(&self, request: &Request) -> Outcome {
        if request.metadata.op_code != OpCode::Query {
            return Outcome::Fail(ResponseCode::NotImp);
        }
        let Ok(info) = request.request_info() else { return Outcome::Fail(ResponseCode::FormErr) };
        let name = info.query.original().name();
        self.outcome(name, info.query.query_type(), request.protocol() == Protocol::Udp)
    }

    /// What is answered to a question.
    fn outcome(&self, asked: &Name, kind: RecordType, udp: bool) -> Outcome {
        let faults = self.faults.at(self.here);
        if faults.strikes(Fault::BlackHole(Service::Dns)) || (udp && faults.strikes(Fault::UdpBlocked)) {
            return Outcome::Vanish;
        }
        if faults.strikes(Fault::NameServerFailed) {
            return Outcome::Fail(ResponseCode::ServFail);
        }
        if faults.strikes(Fault::NameServerRefused) {
            return Outcome::Fail(ResponseCode::Refused);
        }
        if udp && faults.strikes(Fault::Truncated) {
            return Outcome::Truncate;
        }
        let name = asked.to_string().trim_end_matches('.').to_lowercase();
        if faults.strikes(Fault::NameNotFound) {
            return Outcome::Fail(ResponseCode::NXDomain);
        }
        let Some(known) = self.records.get(&name) else { return Outcome::Fail(ResponseCode::NXDomain) };
        if faults.strikes(Fault::NoAddress) {
            return Outcome::Answer(Vec::new());
        }
        if kind == RecordType::SRV && faults.strikes(Fault::NoSipService) {
            let name = asked.clone();
            let none = RData::SRV(rdata::SRV::new(0, 0, 0, Name::root()));
            return Outcome::Answer(vec![Record::from_rdata(name, TTL_SECONDS, none)]);
        }
        let mut known = known.clone();
        if name == self.address_book {
            self.of_address_book(kind, &mut known);
        }
        let records = known
            .iter()
            .filter(|data| kind == RecordType::ANY || data.record_type() == kind)
            .map(|data| Record::from_rdata(asked.clone(), TTL_SECONDS, data.clone()));
        Outcome::Answer(records.collect())
    }

    fn note(&self, direction: Direction, peer: SocketAddr, text: String) {
        self.recorder.record(Service::Dns, direction, peer, text);
    }
}

/// An SRV record, where the target is a name.
fn server_record(priority: u16, port: u16, target: &str) -> Option<RData> {
    let target = Name::from_ascii(format!("{target}.")).ok()?;
    Some(RData::SRV(rdata::SRV::new(priority, 0, port, target)))
}

fn address_record(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(rdata::A(v4)),
        IpAddr::V6(v6) => RData::AAAA(rdata::AAAA(v6)),
    }
}

#[async_trait]
impl RequestHandler for Zone {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut handle: R,
    ) -> ResponseInfo {
        let question = request.request_info().map_or_else(
            |_| "malformed question".to_owned(),
            |info| format!("{} {} ({})", info.query.name(), info.query.query_type(), info.protocol),
        );
        self.note(Direction::Received, request.src(), question.clone());
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = true;
        let records = match self.outcome_of(request) {
            Outcome::Vanish => return Header { metadata, counts: HeaderCounts::default() }.into(),
            Outcome::Fail(code) => {
                metadata.response_code = code;
                Vec::new()
            }
            Outcome::Truncate => {
                metadata.truncation = true;
                Vec::new()
            }
            Outcome::Answer(records) => records,
        };
        let answer = format!("{question}: {}, {} records", metadata.response_code, records.len());
        self.note(Direction::Sent, request.src(), answer);
        let mut edns = Edns::new();
        edns.set_max_payload(EDNS_PAYLOAD);
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if request.edns.is_some() {
            builder.edns(&edns);
        }
        let response = builder.build(metadata, &records, [], [], []);
        handle.send_response(response).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "a DNS answer could not be sent");
            Header { metadata, counts: HeaderCounts::default() }.into()
        })
    }
}

/// Which records are asked for without a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// RFC 2782.
    Srv,
    /// RFC 3403.
    Naptr,
    /// RFC 1035 section 3.3.14.
    Txt,
}

/// One record, as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameRecord {
    /// An address.
    Address(IpAddr),
    /// A server of a service.
    Srv {
        /// The lowest is tried first.
        priority: u16,
        /// Share among those of one priority.
        weight: u16,
        /// Its port.
        port: u16,
        /// Its name.
        target: String,
    },
    /// A service of a domain.
    Naptr {
        /// The lowest is looked at first.
        order: u16,
        /// The lowest of one order is best.
        preference: u16,
        /// `s` where the replacement has SRV records.
        flags: String,
        /// Such as `SIP+D2T`.
        service: String,
        /// Where to go on.
        replacement: String,
    },
    /// The strings of a text.
    Txt(Vec<String>),
}

/// What a name server says without a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The records, for so many seconds; none: the name has no such record.
    Records(Vec<NameRecord>, u32),
    /// NXDOMAIN.
    NotFound,
    /// SERVFAIL and what else is no answer.
    Failed,
    /// REFUSED.
    Refuses,
    /// Cut short: to be asked over TCP.
    Truncated,
    /// Nothing.
    Silent,
    /// The port is closed.
    Closed,
}

impl Zone {
    /// The answer to a question that is not in a message.
    pub(crate) fn ask(&self, name: &str, kind: RecordKind, udp: bool) -> Answered {
        let Ok(name) = Name::from_ascii(format!("{}.", name.trim_end_matches('.'))) else {
            return Answered::NotFound;
        };
        let kind = match kind {
            RecordKind::A => RecordType::A,
            RecordKind::Aaaa => RecordType::AAAA,
            RecordKind::Srv => RecordType::SRV,
            RecordKind::Naptr => RecordType::NAPTR,
            RecordKind::Txt => RecordType::TXT,
        };
        match self.outcome(&name, kind, udp) {
            Outcome::Vanish => Answered::Silent,
            Outcome::Truncate => Answered::Truncated,
            Outcome::Fail(ResponseCode::NXDomain) => Answered::NotFound,
            Outcome::Fail(ResponseCode::Refused) => Answered::Refuses,
            Outcome::Fail(_) => Answered::Failed,
            Outcome::Answer(records) => Answered::Records(
                records.iter().filter_map(|record| as_data(&record.data)).collect(),
                TTL_SECONDS,
            ),
        }
    }
}

fn as_data(data: &RData) -> Option<NameRecord> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let RData::A(a) = data {
        Some(NameRecord::Address(IpAddr::V4(a.0)))
    } else if let RData::AAAA(aaaa) = data {
        Some(NameRecord::Address(IpAddr::V6(aaaa.0)))
    } else if let RData::SRV(srv) = data {
        let (priority, weight, port) = (srv.priority, srv.weight, srv.port);
        Some(NameRecord::Srv { priority, weight, port, target: srv.target.to_ascii() })
    } else if let RData::NAPTR(naptr) = data {
        Some(NameRecord::Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: text(&naptr.flags),
            service: text(&naptr.services),
            replacement: naptr.replacement.to_ascii(),
        })
    } else if let RData::TXT(txt) = data {
        Some(NameRecord::Txt(txt.txt_data.iter().map(|bytes| text(bytes)).collect()))
    } else {
        None
    }
}
