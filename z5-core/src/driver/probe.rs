//! Preflight on the wire: one probe, one finding. What an answer means is in `preflight::verdict`; nothing here decides.
//!
//! Questions to nameservers are made with hickory's messages on sockets of our own, so that a closed port, silence and bytes
//! that are no DNS are told apart. HTTPS is one request without credentials over a connection of its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use z5_sip::locate::{self, Miss, RecordKind};
use z5_sip::stun::{self, TransactionId};

use super::tls;
use crate::clock::{self, WallAnchor};
use crate::config::Config;
use crate::egress::{Guard, OUTSIDE};
use crate::entropy;
use crate::error::{AttemptOutcome, StartError, millis};
use crate::machine::io::Record;
use crate::policy::{Protocol, Purpose};
use crate::preflight::certificate::CertificateFacts;
use crate::preflight::plan::{Probe, Sought};
use crate::preflight::remedy::Remedy;
use crate::preflight::verdict::{self, Finding, Verdict};

/// The longest head of an answer that is read.
const MAX_HEAD: usize = 16 * 1024;
/// A datagram is repeated after this time, and again after twice as long (RFC 3261 section 17.1.2.1, T1).
const REPEAT: Duration = Duration::from_millis(500);
/// How long a media port may think about a STUN request. Silence there says nothing, so there is no use in long patience.
const MEDIA_PATIENCE: Duration = Duration::from_secs(1);

/// Does probes; cheap to clone.
#[derive(Clone)]
pub(crate) struct Prober {
    patience: Duration,
    media_patience: Duration,
    https: tls::Recording,
    sips: tls::Recording,
    /// Holds a preflight to the same destinations as a session.
    guard: Arc<Guard>,
}

/// A certificate as the last handshake of one connection showed it.
pub(super) type Shown = Arc<Mutex<Option<(CertificateDer<'static>, Vec<String>)>>>;

impl Prober {
    /// Reads the authorities.
    pub(crate) fn new(config: &Config, patience: Duration) -> Result<Self, StartError> {
        let trust = &config.tls;
        let bad = |why: String| StartError::CaFile { path: trust.ca_file.clone(), why };
        let https = tls::Recording::new(trust, tls::Names::OfHttps).map_err(bad)?;
        let sips = tls::Recording::new(trust, tls::Names::OfSip).map_err(bad)?;
        let guard = Arc::new(Guard::new(config.egress.guard, &config.egress.allow));
        Ok(Self { patience, media_patience: patience.min(MEDIA_PATIENCE), https, sips, guard })
    }

    pub(crate) async fn probe(&self, probe: &Probe) -> Finding {
        let began = clock::now();
        let (_, protocol, address, _) = probe.place();
        if address.is_some_and(|address| !self.guard.permits(protocol, address)) {
            return Finding { guarded: true, ..Finding::new(Verdict::Blocked, OUTSIDE) };
        }
        match probe {
            Probe::Name { server, protocol, name, sought } => {
                self.name(*server, *protocol, (name, *sought), began).await
            }
            Probe::Https { purpose, host, address } => self.https(*purpose, host, *address, began).await,
            Probe::Sip { protocol, tls, host, address } => {
                self.sip(*protocol, *tls, host, *address, began).await
            }
            Probe::Rtp { address, .. } => {
                // without entropy a fixed identifier does no harm: one request, one socket
                let number = entropy::number().unwrap_or(0).to_be_bytes();
                let id = TransactionId(std::array::from_fn(|at| number.get(at).copied().unwrap_or(0)));
                let answer = datagram(*address, &stun::request(id), self.media_patience).await;
                let finding = verdict::of_rtp(id, answer);
                if finding.verdict == Verdict::Reachable { finding.after(since(began)) } else { finding }
            }
            Probe::Nothing { why, .. } => Finding::new(Verdict::NotJudged, *why),
        }
    }

    async fn name(
        &self,
        server: SocketAddr,
        protocol: Protocol,
        (name, sought): (&str, Sought),
        began: Instant,
    ) -> Finding {
        let mut finding = Finding::default();
        let records = match sought {
            // IPv6 alone will do
            Sought::Address => &[RecordType::A, RecordType::AAAA][..],
            Sought::Service => &[RecordType::SRV],
        };
        for record in records {
            let Some((id, question)) = question(name, *record) else {
                return Finding::new(Verdict::WrongAnswer, "it is not a host name").by(Remedy::CorrectName);
            };
            finding = match self.exchange(server, protocol, &question).await {
                Ok(bytes) => of_message(id, &bytes),
                Err(outcome) => return verdict::of_attempt(&outcome),
            };
            if finding.verdict == Verdict::Reachable {
                break;
            }
        }
        finding.after(since(began))
    }

    async fn exchange(
        &self,
        server: SocketAddr,
        protocol: Protocol,
        question: &[u8],
    ) -> Result<Vec<u8>, AttemptOutcome> {
        match protocol {
            Protocol::Udp => datagram(server, question, self.patience).await,
            Protocol::Tcp => self.over_tcp(server, question).await,
        }
    }

    /// The first answer that any of the nameservers gives, over UDP or TCP; none when nobody gives one.
    pub(crate) async fn records(
        &self,
        servers: &[SocketAddr],
        asked: &locate::Question,
    ) -> Option<Result<locate::Answer, Miss>> {
        let (record, kind) = match asked.kind {
            RecordKind::Naptr => (Record::Naptr, RecordType::NAPTR),
            RecordKind::Srv => (Record::Srv, RecordType::SRV),
            RecordKind::A => (Record::A, RecordType::A),
            RecordKind::Aaaa => (Record::Aaaa, RecordType::AAAA),
        };
        for server in servers {
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                if !self.guard.permits(protocol, *server) {
                    continue;
                }
                let (id, question) = question(&asked.name, kind)?;
                let Ok(bytes) = self.exchange(*server, protocol, &question).await else { continue };
                let Some(message) = response(id, &bytes) else { continue };
                match u16::from(message.metadata.response_code) {
                    0 if message.metadata.truncation => {}
                    0 => return Some(super::dns::records(&message.answers, &message.additionals, record)),
                    3 => return Some(Err(Miss::NameNotFound)),
                    _ => {}
                }
            }
        }
        None
    }

    /// RFC 1035 section 4.2.2: two octets of length before each message.
    async fn over_tcp(&self, server: SocketAddr, question: &[u8]) -> Result<Vec<u8>, AttemptOutcome> {
        let exchange = async {
            let mut stream = TcpStream::connect(server).await?;
            let length = u16::try_from(question.len()).unwrap_or(0).to_be_bytes();
            stream.write_all(&[&length, question].concat()).await?;
            let mut answer = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut answer).await?;
            Ok(answer)
        };
        within(self.patience, exchange).await
    }

    async fn https(&self, purpose: Purpose, host: &str, address: SocketAddr, began: Instant) -> Finding {
        let (mut stream, mut finding) = match self.tls(&self.https, host, address, began).await {
            Ok(made) => made,
            Err(finding) => return finding,
        };
        let path = match purpose {
            Purpose::ZDial => "/zdial/v1/numbers?instanceId=00000000-0000-4000-8000-000000000000",
            Purpose::LicenceAndAddressBook | Purpose::Naming | Purpose::Sip | Purpose::Rtp => {
                "/mcs/v1/license"
            }
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}:{}\r\nUser-Agent: z5/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            address.port(),
            env!("CARGO_PKG_VERSION")
        );
        match self.ask(&mut stream, request.as_bytes()).await {
            Ok(head) => {
                let found = verdict::of_http(purpose, &head, WallAnchor::read().unix_s);
                (finding.verdict, finding.by) = (found.verdict, found.by);
                finding.detail = format!("{}; {}", found.detail, finding.detail);
                finding.clock_offset_s = found.clock_offset_s;
                finding.after(since(began))
            }
            Err(outcome) => silent(finding, &outcome),
        }
    }

    async fn sip(
        &self,
        protocol: Protocol,
        tls: bool,
        host: &str,
        address: SocketAddr,
        began: Instant,
    ) -> Finding {
        if protocol == Protocol::Udp {
            let Some(request) = options("UDP", host, address) else { return no_entropy() };
            return match datagram(address, request.as_bytes(), self.patience).await {
                Ok(answer) => verdict::of_sip(&answer).after(since(began)),
                Err(outcome) => verdict::of_attempt(&outcome),
            };
        }
        let Some(request) = options(if tls { "TLS" } else { "TCP" }, host, address) else {
            return no_entropy();
        };
        if tls {
            let (mut stream, mut finding) = match self.tls(&self.sips, host, address, began).await {
                Ok(made) => made,
                Err(finding) => return finding,
            };
            return match self.ask(&mut stream, request.as_bytes()).await {
                Ok(answer) => {
                    let found = verdict::of_sip(&answer);
                    finding.verdict = found.verdict;
                    finding.detail = format!("{}; {}", found.detail, finding.detail);
                    finding.after(since(began))
                }
                Err(outcome) => silent(finding, &outcome),
            };
        }
        let mut stream = match self.tcp(address).await {
            Ok(stream) => stream,
            Err(outcome) => return verdict::of_attempt(&outcome),
        };
        let connected = since(began);
        match self.ask(&mut stream, request.as_bytes()).await {
            Ok(answer) => verdict::of_sip(&answer).after(since(began)),
            Err(outcome) => {
                silent(Finding::new(Verdict::Reachable, "TCP connected").after(connected), &outcome)
            }
        }
    }

    async fn tcp(&self, address: SocketAddr) -> Result<TcpStream, AttemptOutcome> {
        within(self.patience, TcpStream::connect(address)).await
    }

    /// A TLS connection with the facts of its certificate; or what went wrong, with them when one was shown.
    async fn tls(
        &self,
        trust: &tls::Recording,
        host: &str,
        address: SocketAddr,
        began: Instant,
    ) -> Result<(tokio_rustls::client::TlsStream<TcpStream>, Finding), Finding> {
        let stream = self.tcp(address).await.map_err(|outcome| verdict::of_attempt(&outcome))?;
        let shown = Shown::default();
        let (connector, name) =
            trust.for_name(host, &shown).map_err(|why| Finding::new(Verdict::WrongAnswer, why))?;
        let handshake = async {
            match tokio::time::timeout(self.patience, connector.connect(name, stream)).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(error)) => Err(match tls::failure(&error) {
                    Some(why) => AttemptOutcome::Tls { why },
                    None => AttemptOutcome::from_io(&error, self.patience),
                }),
                Err(_) => Err(AttemptOutcome::TimedOut { after_ms: millis(self.patience) }),
            }
        };
        let made = handshake.await;
        let now_s = WallAnchor::read().unix_s;
        let seen = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
        let certificate = seen.map(|(der, names)| CertificateFacts::read(&der, names));
        let words = certificate.as_ref().map(|certificate| certificate.words(now_s));
        match made {
            Ok(stream) => {
                let version = match stream.get_ref().1.protocol_version() {
                    Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
                    _ => "TLS 1.2",
                };
                let detail = words.map_or_else(|| version.to_owned(), |words| format!("{version}, {words}"));
                let finding = Finding { certificate, ..Finding::new(Verdict::Reachable, detail) };
                Ok((stream, finding.after(since(began))))
            }
            // connected, so that no firewall's rule would help
            Err(AttemptOutcome::TimedOut { .. }) => {
                Err(Finding::new(Verdict::Silent, "TCP connected, but TLS is not answered"))
            }
            Err(outcome) => {
                let mut finding = verdict::of_attempt(&outcome);
                if let Some(words) = words {
                    finding.detail = format!("{}: {words}", finding.detail);
                }
                finding.certificate = certificate;
                Err(finding.after(since(began)))
            }
        }
    }

    /// Writes and reads until the head of the answer is there or nothing more comes.
    async fn ask<S>(&self, stream: &mut S, request: &[u8]) -> Result<Vec<u8>, AttemptOutcome>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let exchange = async {
            stream.write_all(request).await?;
            stream.flush().await?;
            let mut head = Vec::new();
            let mut piece = [0; 2048];
            while head.len() < MAX_HEAD && !head.windows(4).any(|window| window == b"\r\n\r\n") {
                match stream.read(&mut piece).await {
                    Ok(0) => break,
                    Ok(count) => head.extend_from_slice(&piece[..count]),
                    // what was read before is still the answer
                    Err(_) if !head.is_empty() => break,
                    Err(error) => return Err(error),
                }
            }
            Ok(head)
        };
        within(self.patience, exchange).await
    }
}

/// Connected, and then nothing, or an end: what listens there is not the service, or it hangs.
fn silent(finding: Finding, outcome: &AttemptOutcome) -> Finding {
    let verdict = match matches!(outcome, AttemptOutcome::TimedOut { .. }) {
        true => Verdict::Silent,
        false => Verdict::SomethingElse,
    };
    let detail = format!("{}; then {outcome}", finding.detail);
    Finding { verdict, detail, ..finding }
}

fn no_entropy() -> Finding {
    Finding::new(Verdict::NotJudged, "the system gives no random numbers")
}

fn since(began: Instant) -> Duration {
    clock::now().saturating_duration_since(began)
}

async fn within<T>(
    patience: Duration,
    exchange: impl Future<Output = std::io::Result<T>>,
) -> Result<T, AttemptOutcome> {
    match tokio::time::timeout(patience, exchange).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(AttemptOutcome::from_io(&error, patience)),
        Err(_) => Err(AttemptOutcome::TimedOut { after_ms: millis(patience) }),
    }
}

/// One datagram there and one back, repeated while nothing comes. The socket is connected, so that ICMP errors are told.
async fn datagram(address: SocketAddr, bytes: &[u8], patience: Duration) -> Result<Vec<u8>, AttemptOutcome> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let exchange = async {
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        let mut answer = vec![0; MAX_HEAD];
        let mut wait = REPEAT;
        loop {
            socket.send(bytes).await?;
            if let Ok(received) = tokio::time::timeout(wait, socket.recv(&mut answer)).await {
                answer.truncate(received?);
                return Ok(answer);
            }
            wait *= 2;
        }
    };
    within(patience, exchange).await
}

/// A DNS question and its identifier.
fn question(name: &str, record: RecordType) -> Option<(u16, Vec<u8>)> {
    let mut name = Name::from_utf8(name).ok()?;
    name.set_fqdn(true);
    let id = (entropy::number().ok()? & 0xffff) as u16;
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, record));
    Some((id, message.to_vec().ok()?))
}

fn of_message(id: u16, bytes: &[u8]) -> Finding {
    let Some(message) = response(id, bytes) else {
        return Finding::new(Verdict::SomethingElse, "what answers does not speak DNS");
    };
    let addresses = message.answers.iter().filter_map(|record| {
        if let RData::A(a) = &record.data {
            Some(IpAddr::V4(a.0))
        } else if let RData::AAAA(aaaa) = &record.data {
            Some(IpAddr::V6(aaaa.0))
        } else {
            None
        }
    });
    let code = message.metadata.response_code;
    let services: Vec<String> = message
        .answers
        .iter()
        .filter_map(|record| {
            let RData::SRV(srv) = &record.data else { return None };
            Some(format!("{}:{}", srv.target.to_ascii().trim_end_matches('.'), srv.port))
        })
        .collect();
    if u16::from(code) == 0 && !services.is_empty() {
        return Finding::new(Verdict::Reachable, services.join(" "));
    }
    verdict::of_name(u16::from(code), code.to_str(), message.metadata.truncation, addresses.collect())
}

/// A response to this question; none for anything else.
fn response(id: u16, bytes: &[u8]) -> Option<Message> {
    let message = Message::from_vec(bytes).ok()?;
    let ours = message.metadata.id == id && message.metadata.message_type == MessageType::Response;
    ours.then_some(message)
}

/// OPTIONS that asks a server about itself (RFC 3261 section 11.1).
fn options(transport: &str, host: &str, address: SocketAddr) -> Option<String> {
    let (branch, tag, call) = (entropy::number().ok()?, entropy::number().ok()?, entropy::number().ok()?);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    // nothing listens for requests here; the answer comes back over the flow (RFC 3581, RFC 3261 section 18.2.2)
    Some(format!(
        "OPTIONS sip:{host}:{port} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} preflight.invalid;branch=z9hG4bK{branch:x};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:anonymous@anonymous.invalid>;tag={tag:x}\r\n\
         To: <sip:{host}>\r\n\
         Call-ID: {call:x}@preflight.invalid\r\n\
         CSeq: 1 OPTIONS\r\n\
         Accept: application/sdp\r\n\
         Content-Length: 0\r\n\r\n",
        port = address.port()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PortRange;

    /// A relay that answers STUN outside calls, one that is silent, and a port that is closed.
    #[tokio::test]
    async fn media_ports_are_asked_by_stun() {
        let config =
            Config::parse("profile = \"generic\"\n[sip]\ndomain = \"a.test\"\nusername = \"a\"\n", "a.toml");
        let prober = Prober::new(&config.unwrap(), Duration::from_secs(60)).unwrap();
        let ask = |address: SocketAddr, media_patience: Duration| {
            let prober = Prober { media_patience, ..prober.clone() };
            let probe = Probe::Rtp { address, ports: PortRange::single(address.port()) };
            tokio::spawn(async move { prober.probe(&probe).await })
        };
        let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let asked = ask(relay.local_addr().unwrap(), Duration::from_secs(60));
        let mut bytes = [0; 100];
        let (length, us) = relay.recv_from(&mut bytes).await.unwrap();
        relay.send_to(&stun::answer(&bytes[..length], us).unwrap(), us).await.unwrap();
        let found = asked.await.unwrap();
        assert_eq!(
            (found.verdict, found.detail),
            (Verdict::Reachable, format!("answers STUN: it sees us at {us}"))
        );
        assert!(found.latency.is_some());
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let found = ask(silent.local_addr().unwrap(), Duration::from_millis(50)).await.unwrap();
        assert_eq!((found.verdict, found.latency), (Verdict::NotJudged, None), "{}", found.detail);
    }
}
