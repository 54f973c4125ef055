//! What sessions reach in simulated time: the carrier's names, HTTPS and SIP.

use std::net::SocketAddr;

use z5_core::clock;
use z5_core::simulation::{
    ConnectAnswer, Hear, HttpsAnswer, HttpsRequest, NameAnswer, NameRecord, Network, Question, RecordKind,
    SipTransport, TlsFailure,
};
use z5_mock::CertificateFault;
use z5_mock::sim::{self, Answered, HttpsOutcome, Opened};

use super::{End, FIRST_CLIENT_PORT, Simulated, Socket};

impl Network for Simulated {
    fn name(&self, question: &Question) -> NameAnswer {
        let kind = match question.kind {
            RecordKind::A => sim::RecordKind::A,
            RecordKind::Aaaa => sim::RecordKind::Aaaa,
            RecordKind::Srv => sim::RecordKind::Srv,
            RecordKind::Naptr => sim::RecordKind::Naptr,
            RecordKind::Txt => sim::RecordKind::Txt,
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

    fn connect(&self, server: SocketAddr, over: SipTransport, hear: Hear) -> ConnectAnswer {
        let mut carrier = self.carrier();
        carrier.client_port = carrier.client_port.checked_add(1).unwrap_or(FIRST_CLIENT_PORT);
        let local = SocketAddr::new(server.ip(), carrier.client_port);
        let tls = match over {
            SipTransport::Tcp => false,
            SipTransport::Tls => true,
            SipTransport::Udp => {
                carrier.sockets.insert(local, Socket { server, hear });
                return carrier.opened(End::Socket { local, server }, local);
            }
        };
        let answer = match carrier.sim.connect(server, tls, local, clock::now()) {
            Opened::Stands(connection) => {
                carrier.hears.insert(connection, hear);
                carrier.opened(End::Stream(connection), local)
            }
            Opened::Refused => ConnectAnswer::Refused,
            Opened::Certificate(fault) => ConnectAnswer::Tls(judged(fault)),
            Opened::NoTls => ConnectAnswer::Tls(TlsFailure::Protocol),
            Opened::Silent => ConnectAnswer::Silent,
        };
        carrier.pass_on();
        drop(carrier);
        self.changed.notify_one();
        answer
    }

    fn send(&self, connection: u64, bytes: &[u8]) {
        let mut carrier = self.carrier();
        if let Some(end) = carrier.ends.get(&connection).copied() {
            carrier.say(end, Some(bytes.to_vec()));
        }
        drop(carrier);
        self.changed.notify_one();
    }

    fn close(&self, connection: u64) {
        let mut carrier = self.carrier();
        if let Some(end) = carrier.ends.remove(&connection) {
            match end {
                End::Stream(id) => drop(carrier.hears.remove(&id)),
                End::Socket { local, .. } => drop(carrier.sockets.remove(&local)),
            }
            carrier.say(end, None);
        }
        drop(carrier);
        self.changed.notify_one();
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
        sim::NameRecord::Txt(strings) => NameRecord::Txt(strings),
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
