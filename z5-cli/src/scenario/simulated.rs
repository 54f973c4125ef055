//! The mock carrier and the media of everybody in simulated time, as sessions reach them: names, HTTPS, SIP and datagrams, without
//! threads and sockets. One runtime with a paused clock holds all of it ([`z5_core::simulation`]).

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use z5_core::clock::{self, WallAnchor};
use z5_core::media::engine::simulated;
use z5_core::simulation::{
    ConnectAnswer, Hear, Heard, HttpsAnswer, HttpsRequest, NameAnswer, NameRecord, Network, Question,
    RecordKind, Simulation, TlsFailure,
};
use z5_mock::CertificateFault;
use z5_mock::sim::{self, Answered, Datagram, HttpsOutcome, Opened, Said, Sim};

/// What the calendar says when a simulation begins: 2027-01-15 08:00 UTC, whenever it is run.
pub(super) const BEGINS: Duration = Duration::from_secs(1_800_000_000);
/// How long names and HTTPS take there and back, and what the carrier says of SIP.
const ROUND_TRIP: Duration = Duration::from_millis(2);
/// How long what a client says of SIP takes: the way to the proxy and on, as long as media take by the relay, so that neither overtakes
/// the other.
const SIP_THERE: Duration = Duration::from_millis(2);
/// How long a datagram takes between a client and the relay, or the relay and a far end.
const HOP: Duration = Duration::from_millis(1);
/// Ports of clients' connections for SIP.
const FIRST_CLIENT_PORT: u16 = 30_000;

/// The world; sessions, steps and the task that lets time pass share it.
pub(super) struct Simulated {
    carrier: Mutex<Carrier>,
    media: simulated::Network,
    changed: Arc<Notify>,
    wall: WallAnchor,
    seed: u64,
    sessions: AtomicU64,
}

struct Carrier {
    sim: Sim,
    /// Who listens on which connection.
    hears: BTreeMap<u64, Hear>,
    /// Datagrams on their way, in the order they arrive.
    flying: BTreeMap<(Instant, u64), Datagram>,
    flown: u64,
    /// SIP on its way to the carrier: the connection, and its bytes or its end.
    said: VecDeque<(Instant, u64, Option<Vec<u8>>)>,
    client_port: u16,
}

impl Simulated {
    /// Sets the carrier up. What is random in the sessions comes from `seed`.
    pub(super) fn new(builder: z5_mock::Builder, seed: u64) -> Result<Arc<Self>, z5_mock::StartError> {
        let now = clock::now();
        let sim = Sim::new(builder, now, BEGINS.as_secs())?;
        let changed = Arc::<Notify>::default();
        let tell = Arc::clone(&changed);
        let media = simulated::Network::new(clock::now, BEGINS, move || tell.notify_one());
        let (hears, flying, said) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        let carrier = Carrier { sim, hears, flying, flown: 0, said, client_port: FIRST_CLIENT_PORT };
        Ok(Arc::new(Self {
            carrier: Mutex::new(carrier),
            media,
            changed,
            wall: WallAnchor { at: now, unix_s: BEGINS.as_secs() },
            seed,
            sessions: AtomicU64::new(0),
        }))
    }

    /// What the next session is started with.
    pub(super) fn simulation(self: &Arc<Self>) -> Simulation {
        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
        Simulation {
            network: Arc::<Self>::clone(self),
            media: self.media.clone(),
            round_trip: ROUND_TRIP,
            wall: self.wall,
            seed: self.seed.wrapping_mul(1_000_003).wrapping_add(number),
        }
    }

    /// Does something with the carrier, and passes on what it says.
    pub(super) fn with<T>(&self, what: impl FnOnce(&mut Sim, Instant) -> T) -> T {
        let mut carrier = self.carrier();
        let done = what(&mut carrier.sim, clock::now());
        carrier.pass_on();
        drop(carrier);
        self.changed.notify_one();
        done
    }

    /// A client says something of SIP, or ends its connection behind it.
    fn say(&self, connection: u64, bytes: Option<Vec<u8>>) {
        self.carrier().said.push_back((clock::now() + SIP_THERE, connection, bytes));
        self.changed.notify_one();
    }

    fn carrier(&self) -> MutexGuard<'_, Carrier> {
        self.carrier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is due, again and again.
    pub(super) async fn live(self: Arc<Self>) {
        loop {
            let next = self.carrier().next_deadline().into_iter().chain(self.media.next_deadline()).min();
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = async {
                    match next {
                        Some(at) => tokio::time::sleep_until(at.into()).await,
                        None => std::future::pending().await,
                    }
                } => {}
            }
            self.turn();
        }
    }

    /// What has arrived goes in, what is due is done, what left is on its way.
    fn turn(&self) {
        let now = clock::now();
        let landed = self.carrier().landed(now);
        for Datagram { from, to, bytes } in landed {
            // One nobody has a port for is lost, as anywhere.
            if !self.media.deliver(simulated::Datagram { from, to, bytes: bytes.clone() }) {
                self.carrier().sim.datagram(Datagram { from, to, bytes }, now);
            }
        }
        self.media.turn();
        let mut carrier = self.carrier();
        carrier.hear(now);
        carrier.sim.on_deadline(now);
        carrier.pass_on();
        for simulated::Datagram { from, to, bytes } in self.media.sent() {
            carrier.fly(Datagram { from, to, bytes }, now);
        }
        for datagram in carrier.sim.datagrams() {
            carrier.fly(datagram, now);
        }
    }
}

impl Carrier {
    fn next_deadline(&self) -> Option<Instant> {
        let landing = self.flying.first_key_value().map(|((at, _), _)| *at);
        let heard = self.said.front().map(|(at, ..)| *at);
        landing.into_iter().chain(heard).chain(self.sim.next_deadline()).min()
    }

    fn fly(&mut self, datagram: Datagram, now: Instant) {
        self.flown += 1;
        self.flying.insert((now + HOP, self.flown), datagram);
    }

    /// What clients have said of SIP arrives, in the order in which it was said.
    fn hear(&mut self, now: Instant) {
        while self.said.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, connection, bytes)) = self.said.pop_front() else { return };
            match bytes {
                Some(bytes) => self.sim.received(connection, &bytes, now),
                None => self.sim.closed(connection, now),
            }
        }
    }

    fn landed(&mut self, now: Instant) -> Vec<Datagram> {
        let flying = self.flying.split_off(&(now + Duration::from_nanos(1), 0));
        std::mem::replace(&mut self.flying, flying).into_values().collect()
    }

    /// Hands what the carrier says on its connections to whoever listens.
    fn pass_on(&mut self) {
        for said in self.sim.said() {
            match said {
                Said::Bytes(id, bytes) => {
                    if let Some(hear) = self.hears.get(&id) {
                        hear(Heard::Bytes(bytes));
                    }
                }
                Said::Closed(id) => {
                    if let Some(hear) = self.hears.remove(&id) {
                        hear(Heard::Closed);
                    }
                }
            }
        }
    }
}

impl Network for Simulated {
    fn name(&self, question: &Question) -> NameAnswer {
        let kind = match question.kind {
            RecordKind::A => sim::RecordKind::A,
            RecordKind::Aaaa => sim::RecordKind::Aaaa,
            RecordKind::Srv => sim::RecordKind::Srv,
            RecordKind::Naptr => sim::RecordKind::Naptr,
        };
        let server = question.server.ip();
        match self.with(|sim, now| sim.name(server, &question.name, kind, question.udp, now)) {
            Answered::Records(records, ttl_s) => {
                NameAnswer::Records(records.into_iter().map(record).collect(), ttl_s)
            }
            Answered::NotFound => NameAnswer::NotFound,
            Answered::Failed => NameAnswer::Failed,
            Answered::Refuses => NameAnswer::Refused,
            Answered::Truncated => NameAnswer::Truncated,
            Answered::Silent => NameAnswer::Silent,
            Answered::Closed => NameAnswer::Closed,
        }
    }

    fn https(&self, request: &HttpsRequest) -> HttpsAnswer {
        let wired = sim::HttpsRequest {
            server: request.server,
            method: request.method.to_owned(),
            target: request.target.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
        };
        match self.with(|sim, now| sim.https(wired, now)) {
            HttpsOutcome::Reply { status, headers, body } => {
                let headers = headers.iter().filter_map(|(name, value)| {
                    Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
                });
                HttpsAnswer::Reply { status, headers: headers.collect(), body }
            }
            HttpsOutcome::Refused => HttpsAnswer::Refused,
            HttpsOutcome::Reset => HttpsAnswer::Reset,
            HttpsOutcome::Broken => HttpsAnswer::Broken,
            HttpsOutcome::NoTls => HttpsAnswer::Tls(TlsFailure::Protocol),
            HttpsOutcome::Certificate(fault) => HttpsAnswer::Tls(judged(fault)),
            HttpsOutcome::Silent => HttpsAnswer::Silent,
        }
    }

    fn connect(&self, server: SocketAddr, tls: bool, hear: Hear) -> ConnectAnswer {
        let mut carrier = self.carrier();
        carrier.client_port = carrier.client_port.checked_add(1).unwrap_or(FIRST_CLIENT_PORT);
        let local = SocketAddr::new(server.ip(), carrier.client_port);
        let answer = match carrier.sim.connect(server, tls, local, clock::now()) {
            Opened::Stands(connection) => {
                carrier.hears.insert(connection, hear);
                ConnectAnswer::Stands { connection, local }
            }
            Opened::Refused => ConnectAnswer::Refused,
            Opened::Certificate(fault) => ConnectAnswer::Tls(judged(fault)),
        };
        carrier.pass_on();
        drop(carrier);
        self.changed.notify_one();
        answer
    }

    fn send(&self, connection: u64, bytes: &[u8]) {
        self.say(connection, Some(bytes.to_vec()));
    }

    fn close(&self, connection: u64) {
        self.carrier().hears.remove(&connection);
        self.say(connection, None);
    }
}

fn record(record: sim::NameRecord) -> NameRecord {
    match record {
        sim::NameRecord::Address(address) => NameRecord::Address(address),
        sim::NameRecord::Srv { priority, weight, port, target } => {
            NameRecord::Srv { priority, weight, port, target }
        }
        sim::NameRecord::Naptr { order, preference, flags, service, replacement } => {
            NameRecord::Naptr { order, preference, flags, service, replacement }
        }
    }
}

fn judged(fault: CertificateFault) -> TlsFailure {
    match fault {
        CertificateFault::UnknownCa => TlsFailure::UnknownIssuer,
        CertificateFault::Expired => TlsFailure::Expired,
        CertificateFault::WrongName => TlsFailure::WrongName,
        CertificateFault::NotYetValid => TlsFailure::NotYetValid,
        CertificateFault::WrongPurpose => TlsFailure::BadCertificate,
    }
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulated").field("seed", &self.seed).finish_non_exhaustive()
    }
}
