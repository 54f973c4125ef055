//! Step 1: every configured name, A and AAAA, all side by side.
//!
//! Each question goes to the nameservers in order, each over UDP and then TCP. The next one is asked at once after a
//! failure and after [`STAGGER`] of silence (the earlier question stays open: the first good answer wins). A name that is
//! authoritatively absent ends the step. What comes out is [`Resolved`]: the later steps connect only to its addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use z5_sip::outbox::{Deadline, Outbox};

use super::io::{DnsTransport, Effect, LookupAnswer, LookupFailure, LookupId, Record};
use super::plan::Plan;
use crate::error::ResolveError;
use crate::error::millis;
use crate::events::{NameAnswer, NameReport};
use crate::policy::NameRole;

/// Silence after which the next transport or nameserver is asked too.
const STAGGER: Duration = Duration::from_millis(500);
/// How long one question over UDP is waited for. A closed UDP port is silent, so without this a nameserver that is not there
/// would cost the whole step.
const UDP_PATIENCE: Duration = Duration::from_secs(3);
/// How long the other address family is waited for once one has an answer. RFC 8305 section 3 waits 50 ms; a report of
/// both is wanted here, so a little more.
const FAMILY_GRACE: Duration = Duration::from_millis(300);

/// Proof of step 1: every name has an address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    names: Vec<NameReport>,
}

impl Resolved {
    /// Every name in the configured order.
    pub(crate) fn names(&self) -> &[NameReport] {
        &self.names
    }

    /// Where a name is; none for a name that step 1 did not resolve.
    pub(crate) fn addresses(&self, host: &str) -> Option<&[IpAddr]> {
        let host = host.trim_end_matches('.');
        let same = |report: &&NameReport| report.name.trim_end_matches('.').eq_ignore_ascii_case(host);
        self.names.iter().find(same).map(|report| report.addresses.as_slice())
    }

    /// The addresses of all SIP names in the order load-balanced, general, node 1, node 2, each address once.
    pub(crate) fn sip_addresses(&self) -> Vec<IpAddr> {
        let order = [
            Some(NameRole::McsLoadBalanced),
            Some(NameRole::Mcs),
            Some(NameRole::McsNode1),
            Some(NameRole::McsNode2),
            None,
        ];
        let mut out = Vec::new();
        for role in order {
            for report in self.names.iter().filter(|report| report.role == role) {
                for address in &report.addresses {
                    if !out.contains(address) {
                        out.push(*address);
                    }
                }
            }
        }
        out
    }
}

/// The step under way.
#[derive(Debug)]
pub(crate) struct Resolving {
    names: Vec<Name>,
    servers: Vec<SocketAddr>,
    lookups: BTreeMap<LookupId, Asked>,
    next_lookup: u64,
    began: Instant,
    until: Instant,
}

#[derive(Debug)]
struct Name {
    name: String,
    role: Option<NameRole>,
    fixed: Option<Vec<IpAddr>>,
    families: [Family; 2],
    /// When one family has an answer, the other is waited for until here.
    grace: Option<Instant>,
    /// Has what it needs; asked no more, while others still are.
    settled: bool,
}

#[derive(Debug)]
struct Family {
    record: Record,
    /// Index of the next entry of the list server 1 UDP, server 1 TCP, server 2 UDP, ...
    next: usize,
    open: usize,
    next_at: Option<Instant>,
    found: Option<Found>,
    said: Vec<(SocketAddr, LookupFailure)>,
}

#[derive(Debug)]
enum Found {
    Addresses { answer: LookupAnswer, server: SocketAddr, transport: DnsTransport },
    Absent { server: SocketAddr },
    Empty { server: SocketAddr },
    Nobody,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    name: usize,
    family: usize,
    server: SocketAddr,
    transport: DnsTransport,
}

/// How the step stands after an input.
pub(crate) enum Progress<T> {
    Going,
    Done(Result<T, ResolveError>),
}

impl Resolving {
    /// Asks for everything at once.
    pub(crate) fn begin(plan: &Plan, now: Instant, out: &mut Outbox<Effect>) -> Self {
        let family =
            |record| Family { record, next: 0, open: 0, next_at: Some(now), found: None, said: Vec::new() };
        let names = plan.names.iter().map(|(role, name)| Name {
            name: name.clone(),
            role: *role,
            fixed: plan.fixed_addresses(name),
            families: [family(Record::A), family(Record::Aaaa)],
            grace: None,
            settled: false,
        });
        let mut this = Self {
            names: names.collect(),
            servers: plan.nameservers.clone(),
            lookups: BTreeMap::new(),
            next_lookup: 0,
            began: now,
            until: now + plan.timeouts.dns.duration(),
        };
        this.ask_where_due(now, out);
        this
    }

    /// An answer or a failure of one nameserver.
    pub(crate) fn on_looked(
        &mut self,
        id: LookupId,
        outcome: Result<LookupAnswer, LookupFailure>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Progress<Resolved> {
        let Some(asked) = self.lookups.remove(&id) else { return self.progress(now, out) };
        let family = &mut self.names[asked.name].families[asked.family];
        family.open = family.open.saturating_sub(1);
        if family.found.is_none() || matches!(family.found, Some(Found::Nobody)) {
            match outcome {
                Ok(answer) if answer.addresses.is_empty() => {
                    family.found = Some(Found::Empty { server: asked.server })
                }
                Ok(answer) => {
                    family.found =
                        Some(Found::Addresses { answer, server: asked.server, transport: asked.transport });
                }
                Err(LookupFailure::NameNotFound) => {
                    family.found = Some(Found::Absent { server: asked.server })
                }
                Err(LookupFailure::NoRecords) => family.found = Some(Found::Empty { server: asked.server }),
                Err(failure) => {
                    // A server that answered with an error says the same over TCP: go on to the next server.
                    let answered = matches!(failure, LookupFailure::ServerFailed(_) | LookupFailure::Refused);
                    if answered && asked.transport == DnsTransport::Udp && family.next % 2 == 1 {
                        family.next += 1;
                    }
                    family.said.push((asked.server, failure));
                    family.next_at = Some(now);
                }
            }
        }
        self.progress(now, out)
    }

    /// Time has passed.
    pub(crate) fn on_deadline(&mut self, now: Instant, out: &mut Outbox<Effect>) -> Progress<Resolved> {
        self.progress(now, out)
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        let mut next = Deadline::new(self.until, "step 1: all names");
        for name in self.names.iter().filter(|name| name.fixed.is_none() && !name.settled) {
            if let Some(at) = name.grace.filter(|_| name.verdict_pending()) {
                next = sooner(next, Deadline::new(at, "step 1: the other address family"));
            }
            for family in name.families.iter().filter(|family| family.found.is_none()) {
                if let Some(at) = family.next_at {
                    next = sooner(next, Deadline::new(at, "step 1: ask the next nameserver too"));
                }
            }
        }
        Some(next)
    }

    fn progress(&mut self, now: Instant, out: &mut Outbox<Effect>) -> Progress<Resolved> {
        self.ask_where_due(now, out);
        let over = now >= self.until;
        let mut all = true;
        for index in 0..self.names.len() {
            match self.names[index].verdict(now, over) {
                Verdict::Pending => all = false,
                Verdict::Found => self.names[index].settled = true,
                Verdict::Failed => {
                    out.push(Effect::EndLookups);
                    return Progress::Done(Err(self.error(index, now)));
                }
            }
        }
        if !all {
            return Progress::Going;
        }
        if !self.lookups.is_empty() {
            out.push(Effect::EndLookups);
        }
        Progress::Done(Ok(Resolved { names: self.names.iter().map(Name::report).collect() }))
    }

    fn ask_where_due(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let left = self.until.saturating_duration_since(now);
        for (n, name) in self.names.iter_mut().enumerate() {
            if name.fixed.is_some() || name.settled {
                continue;
            }
            for (f, family) in name.families.iter_mut().enumerate() {
                if family.found.is_some() || family.next_at.is_none_or(|at| at > now) {
                    continue;
                }
                let Some(server) = self.servers.get(family.next / 2).copied() else {
                    family.next_at = None;
                    if family.open == 0 {
                        family.found = Some(Found::Nobody);
                    }
                    continue;
                };
                let transport = if family.next % 2 == 0 { DnsTransport::Udp } else { DnsTransport::Tcp };
                self.next_lookup += 1;
                let id = LookupId(self.next_lookup);
                self.lookups.insert(id, Asked { name: n, family: f, server, transport });
                family.next += 1;
                family.open += 1;
                family.next_at = Some(now + STAGGER);
                let (name, record) = (name.name.clone(), family.record);
                let patience = match transport {
                    DnsTransport::Udp => left.min(UDP_PATIENCE),
                    DnsTransport::Tcp => left,
                };
                out.push(Effect::Lookup { id, name, record, server, transport, patience });
            }
            let found = |family: &Family| matches!(family.found, Some(Found::Addresses { .. }));
            if name.grace.is_none() && name.families.iter().any(found) {
                name.grace = Some(now + FAMILY_GRACE);
            }
        }
    }

    /// The exact error of a name that has no address.
    fn error(&self, index: usize, now: Instant) -> ResolveError {
        let name = self.names[index].name.clone();
        let families = &self.names[index].families;
        let absent = families.iter().find_map(|family| match family.found {
            Some(Found::Absent { server }) => Some(server),
            Some(Found::Empty { .. } | Found::Addresses { .. } | Found::Nobody) | None => None,
        });
        if let Some(server) = absent {
            return ResolveError::NameNotFound { name, server };
        }
        let empty = families.iter().find_map(|family| match family.found {
            Some(Found::Empty { server }) => Some(server),
            Some(Found::Absent { .. } | Found::Addresses { .. } | Found::Nobody) | None => None,
        });
        let said: Vec<&(SocketAddr, LookupFailure)> =
            families.iter().flat_map(|family| &family.said).collect();
        if let (Some(server), true) = (empty, said.is_empty()) {
            return ResolveError::NoRecords { name, server };
        }
        if self.servers.is_empty() {
            return ResolveError::NoNameservers { name };
        }
        let any = |test: fn(&LookupFailure) -> bool| said.iter().any(|(_, failure)| test(failure));
        let words = || {
            let mut servers: Vec<(SocketAddr, String)> = Vec::new();
            for (server, failure) in &said {
                match servers.iter_mut().find(|(seen, _)| seen == server) {
                    Some(entry) => entry.1 = failure.words(),
                    None => servers.push((*server, failure.words())),
                }
            }
            servers
        };
        if any(|failure| matches!(failure, LookupFailure::Refused)) {
            ResolveError::Refused { name, servers: words() }
        } else if any(|failure| matches!(failure, LookupFailure::ServerFailed(_) | LookupFailure::Truncated))
        {
            ResolveError::ServerFailed { name, servers: words() }
        } else if any(|failure| matches!(failure, LookupFailure::Unreachable(_))) {
            ResolveError::Blocked { name, servers: words() }
        } else {
            let after_ms = millis(now.saturating_duration_since(self.began));
            ResolveError::TimedOut { name, after_ms, servers: self.servers.clone() }
        }
    }
}

enum Verdict {
    Pending,
    Found,
    Failed,
}

impl Name {
    fn verdict_pending(&self) -> bool {
        self.families.iter().any(|family| family.found.is_none())
    }

    fn verdict(&self, now: Instant, over: bool) -> Verdict {
        if self.fixed.is_some() || self.settled {
            return Verdict::Found;
        }
        let found = self.families.iter().any(|family| matches!(family.found, Some(Found::Addresses { .. })));
        // NXDOMAIN is about the name, not the record: one is enough.
        let absent = self.families.iter().any(|family| matches!(family.found, Some(Found::Absent { .. })));
        let pending = self.verdict_pending();
        if found && (!pending || over || self.grace.is_some_and(|grace| grace <= now)) {
            Verdict::Found
        } else if !found && (absent || !pending || over) {
            Verdict::Failed
        } else {
            Verdict::Pending
        }
    }

    fn report(&self) -> NameReport {
        let (mut addresses, mut answers) = (Vec::new(), Vec::new());
        if let Some(fixed) = &self.fixed {
            addresses.clone_from(fixed);
            let count = fixed.len();
            answers.push(NameAnswer { record: "hosts", server: None, transport: None, count, ttl_s: None });
        }
        for family in &self.families {
            if let Some(Found::Addresses { answer, server, transport }) = &family.found {
                addresses.extend(answer.addresses.iter().copied());
                answers.push(NameAnswer {
                    record: family.record.name(),
                    server: Some(*server),
                    transport: Some(transport.name()),
                    count: answer.addresses.len(),
                    ttl_s: Some(answer.ttl_s),
                });
            }
        }
        NameReport { name: self.name.clone(), role: self.role, addresses, answers }
    }
}

impl LookupFailure {
    fn words(&self) -> String {
        match self {
            Self::NameNotFound => "no such name".to_owned(),
            Self::NoRecords => "no such record".to_owned(),
            Self::Truncated => "the answer was cut short over TCP too".to_owned(),
            Self::ServerFailed(code) => code.clone(),
            Self::Refused => "REFUSED".to_owned(),
            Self::TimedOut => "no answer".to_owned(),
            Self::Unreachable(why) => why.clone(),
        }
    }
}

fn sooner(a: Deadline, b: Deadline) -> Deadline {
    if b.at < a.at { b } else { a }
}

#[cfg(test)]
mod tests;
