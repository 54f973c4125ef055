//! One question, asked of the nameservers in order, each over UDP and then TCP; and a name with its two.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::{FAMILY_GRACE, STAGGER, UDP_PATIENCE};
use crate::events::{NameAnswer, NameReport};
use crate::machine::io::{DnsTransport, LookupAnswer, LookupFailure, Record};
use crate::policy::NameRole;

/// A name whose addresses are wanted.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) name: String,
    pub(super) role: Option<NameRole>,
    pub(super) fixed: Option<Vec<IpAddr>>,
    pub(super) families: [Enquiry; 2],
    /// When one family has an answer, the other is waited for until here.
    pub(super) grace: Option<Instant>,
    /// Has what it needs, or is known to have nothing; asked no more, while others still are.
    pub(super) settled: bool,
    /// Wanted by the search for SIP servers, which decides what its absence means.
    pub(super) searched: bool,
}

/// One record of one name.
#[derive(Debug)]
pub(super) struct Enquiry {
    pub(super) record: Record,
    /// Index of the next entry of the list server 1 UDP, server 1 TCP, server 2 UDP, ...
    next: usize,
    open: usize,
    pub(super) next_at: Option<Instant>,
    pub(super) found: Option<Found>,
    pub(super) said: Vec<(SocketAddr, LookupFailure)>,
}

#[derive(Debug)]
pub(super) enum Found {
    Records { answer: LookupAnswer, server: SocketAddr, transport: DnsTransport },
    Absent { server: SocketAddr },
    Empty { server: SocketAddr },
    Nobody,
}

/// How a name stands.
pub(super) enum Verdict {
    Pending,
    Found,
    Failed,
}

impl Enquiry {
    pub(super) const fn new(record: Record, now: Instant) -> Self {
        Self { record, next: 0, open: 0, next_at: Some(now), found: None, said: Vec::new() }
    }

    /// Whom to ask now, if anyone, and how long to wait for it; `left` is what the step has.
    pub(super) fn ask(
        &mut self,
        servers: &[SocketAddr],
        left: Duration,
        now: Instant,
    ) -> Option<(SocketAddr, DnsTransport, Duration)> {
        if self.found.is_some() || self.next_at.is_none_or(|at| at > now) {
            return None;
        }
        let Some(server) = servers.get(self.next / 2).copied() else {
            self.next_at = None;
            if self.open == 0 {
                self.found = Some(Found::Nobody);
            }
            return None;
        };
        let (transport, patience) = match self.next % 2 {
            0 => (DnsTransport::Udp, left.min(UDP_PATIENCE)),
            _ => (DnsTransport::Tcp, left),
        };
        self.next += 1;
        self.open += 1;
        self.next_at = Some(now + STAGGER);
        Some((server, transport, patience))
    }

    /// An answer or a failure of one nameserver.
    pub(super) fn take(
        &mut self,
        (server, transport): (SocketAddr, DnsTransport),
        outcome: Result<LookupAnswer, LookupFailure>,
        now: Instant,
    ) {
        self.open = self.open.saturating_sub(1);
        if !matches!(self.found, None | Some(Found::Nobody)) {
            return;
        }
        match outcome {
            Ok(answer) if answer.count(self.record) == 0 => self.found = Some(Found::Empty { server }),
            Ok(answer) => self.found = Some(Found::Records { answer, server, transport }),
            Err(LookupFailure::NameNotFound) => self.found = Some(Found::Absent { server }),
            Err(LookupFailure::NoRecords) => self.found = Some(Found::Empty { server }),
            Err(failure) => {
                // A server that answered with an error says the same over TCP: go on to the next server.
                let answered = matches!(failure, LookupFailure::ServerFailed(_) | LookupFailure::Refused);
                if answered && transport == DnsTransport::Udp && self.next % 2 == 1 {
                    self.next += 1;
                }
                self.said.push((server, failure));
                self.next_at = Some(now);
            }
        }
    }

    pub(super) const fn has_records(&self) -> bool {
        matches!(self.found, Some(Found::Records { .. }))
    }

    /// Who answered, and how much.
    pub(super) fn report(&self) -> Option<NameAnswer> {
        let none = |server: &SocketAddr| NameAnswer {
            record: self.record.name(),
            server: Some(*server),
            transport: None,
            count: 0,
            ttl_s: None,
        };
        match self.found.as_ref()? {
            Found::Records { answer, server, transport } => Some(NameAnswer {
                record: self.record.name(),
                server: Some(*server),
                transport: Some(transport.name()),
                count: answer.count(self.record),
                ttl_s: Some(answer.ttl_s),
            }),
            Found::Absent { server } | Found::Empty { server } => Some(none(server)),
            Found::Nobody => None,
        }
    }
}

impl Name {
    pub(super) fn new(name: &str, role: Option<NameRole>, fixed: Option<Vec<IpAddr>>, now: Instant) -> Self {
        Self {
            name: name.to_owned(),
            role,
            fixed,
            families: [Enquiry::new(Record::A, now), Enquiry::new(Record::Aaaa, now)],
            grace: None,
            settled: false,
            searched: false,
        }
    }

    pub(super) fn verdict_pending(&self) -> bool {
        self.families.iter().any(|family| family.found.is_none())
    }

    /// Notes since when one family has an answer.
    pub(super) fn note_grace(&mut self, now: Instant) {
        if self.grace.is_none() && self.families.iter().any(Enquiry::has_records) {
            self.grace = Some(now + FAMILY_GRACE);
        }
    }

    pub(super) fn verdict(&self, now: Instant, over: bool) -> Verdict {
        if self.fixed.is_some() {
            return Verdict::Found;
        }
        let found = self.families.iter().any(Enquiry::has_records);
        // NXDOMAIN is about the name, not the record: one is enough.
        let absent = self.families.iter().any(|family| matches!(family.found, Some(Found::Absent { .. })));
        let pending = self.verdict_pending();
        if found && (!pending || over || self.settled || self.grace.is_some_and(|grace| grace <= now)) {
            Verdict::Found
        } else if !found && (absent || !pending || over) {
            Verdict::Failed
        } else {
            Verdict::Pending
        }
    }

    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        if let Some(fixed) = &self.fixed {
            return fixed.clone();
        }
        let found = self.families.iter().filter_map(|family| match &family.found {
            Some(Found::Records { answer, .. }) => Some(&answer.addresses),
            Some(Found::Absent { .. } | Found::Empty { .. } | Found::Nobody) | None => None,
        });
        found.flatten().copied().collect()
    }

    pub(super) fn report(&self) -> NameReport {
        let mut answers = Vec::new();
        if let Some(fixed) = &self.fixed {
            let count = fixed.len();
            answers.push(NameAnswer { record: "hosts", server: None, transport: None, count, ttl_s: None });
        } else {
            answers
                .extend(self.families.iter().filter_map(Enquiry::report).filter(|answer| answer.count > 0));
        }
        NameReport { name: self.name.clone(), role: self.role, addresses: self.addresses(), answers }
    }
}
