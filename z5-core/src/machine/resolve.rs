//! Step 1: every configured name, A and AAAA, all side by side; in profile `generic` the SIP servers of a domain (`search`).
//!
//! Each question goes to the nameservers in order, each over UDP and then TCP. The next one is asked at once after a
//! failure and after [`STAGGER`] of silence (the earlier question stays open: the first good answer wins). A name that is
//! authoritatively absent ends the step. What comes out is [`Resolved`]: the later steps connect only to its addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use z5_sip::locate::{LocateError, Target};
use z5_sip::outbox::{Deadline, Outbox};

use super::io::{Asker, DnsTransport, Effect, LookupAnswer, LookupFailure, LookupId, Record};
use super::plan::{Plan, fixed};
use crate::error::ResolveError;
use crate::error::millis;
use crate::events::NameReport;
use crate::policy::NameRole;
use enquiry::{Enquiry, Found, Name, Verdict};
use search::Search;

mod enquiry;
mod pair;
mod search;

pub(crate) use pair::Pair;

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
    sip: Vec<Target>,
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

    /// Profile `generic`: the SIP servers in the order of RFC 3263.
    pub(crate) fn sip_targets(&self) -> &[Target] {
        &self.sip
    }

    /// The addresses of all SIP names in the order load-balanced, general, node 1, node 2, each address once, with the first
    /// name that has it.
    pub(crate) fn sip_addresses(&self) -> Vec<(IpAddr, &str)> {
        let order = [
            Some(NameRole::McsLoadBalanced),
            Some(NameRole::Mcs),
            Some(NameRole::McsNode1),
            Some(NameRole::McsNode2),
        ];
        let mut out: Vec<(IpAddr, &str)> = Vec::new();
        for role in order {
            for report in self.names.iter().filter(|report| report.role == role) {
                for address in &report.addresses {
                    if !out.iter().any(|(seen, _)| seen == address) {
                        out.push((*address, report.name.as_str()));
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
    /// Profile `generic`: the SIP servers of a domain.
    search: Option<Search>,
    hosts: BTreeMap<String, Vec<IpAddr>>,
    servers: Vec<SocketAddr>,
    lookups: BTreeMap<LookupId, Asked>,
    next_lookup: u64,
    began: Instant,
    until: Instant,
}

/// Whose question a lookup is.
#[derive(Debug, Clone)]
struct Asked {
    what: What,
    server: SocketAddr,
    transport: DnsTransport,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Address { name: usize, family: usize },
    Record(usize),
}

/// A lookup to be made: whose, of what, whom to ask how and for how long.
type Due = (What, String, Record, (SocketAddr, DnsTransport, Duration));

/// How the step stands after an input.
pub(crate) enum Progress<T> {
    Going,
    Done(Result<T, ResolveError>),
}

impl Resolving {
    /// Asks for everything at once. `seed` draws the lots of SRV weights.
    pub(crate) fn begin(plan: &Plan, seed: u64, now: Instant, out: &mut Outbox<Effect>) -> Self {
        let names =
            plan.names.iter().map(|(role, name)| Name::new(name, *role, plan.fixed_addresses(name), now));
        let search = plan.sip.search.clone().map(|(destination, able)| {
            let fixed = plan.fixed_addresses(destination.name()).is_some();
            Search::new(destination, able, fixed, seed)
        });
        let mut this = Self {
            names: names.collect(),
            search,
            hosts: plan.hosts.clone(),
            servers: plan.nameservers.clone(),
            lookups: BTreeMap::new(),
            next_lookup: 0,
            began: now,
            until: now + plan.timeouts.dns.duration(),
        };
        this.advance_search(false, now);
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
        let enquiry = match asked.what {
            What::Address { name, family } => Some(&mut self.names[name].families[family]),
            What::Record(index) => self
                .search
                .as_mut()
                .and_then(|search| search.enquiries.get_mut(index))
                .map(|asked| &mut asked.enquiry),
        };
        if let Some(enquiry) = enquiry {
            enquiry.take((asked.server, asked.transport), outcome, now);
        }
        self.progress(now, out)
    }

    /// Time has passed.
    pub(crate) fn on_deadline(&mut self, now: Instant, out: &mut Outbox<Effect>) -> Progress<Resolved> {
        self.progress(now, out)
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        let mut next = Deadline::new(self.until, "step 1: all names");
        let ask_too = |next, enquiry: &Enquiry| match enquiry.next_at.filter(|_| enquiry.found.is_none()) {
            Some(at) => sooner(next, Deadline::new(at, "step 1: ask the next nameserver too")),
            None => next,
        };
        for name in self.names.iter().filter(|name| name.fixed.is_none() && !name.settled) {
            if let Some(at) = name.grace.filter(|_| name.verdict_pending()) {
                next = sooner(next, Deadline::new(at, "step 1: the other address family"));
            }
            next = name.families.iter().fold(next, ask_too);
        }
        let records = self.search.iter().flat_map(|search| &search.enquiries);
        for asked in records.filter(|asked| asked.is_open()) {
            next = sooner(ask_too(next, &asked.enquiry), Deadline::new(asked.until, "step 1: NAPTR and SRV"));
        }
        Some(next)
    }

    fn progress(&mut self, now: Instant, out: &mut Outbox<Effect>) -> Progress<Resolved> {
        self.ask_where_due(now, out);
        let over = now >= self.until;
        while self.advance_search(over, now) {
            self.ask_where_due(now, out);
        }
        let mut all = self.search.as_ref().is_none_or(|search| search.outcome.is_some());
        for index in 0..self.names.len() {
            if self.names[index].searched {
                continue;
            }
            match self.names[index].verdict(now, over) {
                Verdict::Pending => all = false,
                Verdict::Found => self.names[index].settled = true,
                Verdict::Failed => {
                    out.push(Effect::EndLookups(Asker::Names));
                    return Progress::Done(Err(self.name_error(index, now)));
                }
            }
        }
        if !all {
            return Progress::Going;
        }
        if !self.lookups.is_empty() {
            out.push(Effect::EndLookups(Asker::Names));
        }
        let names = self.names.iter().map(Name::report).collect();
        Progress::Done(match &self.search {
            None => Ok(Resolved { names, sip: Vec::new() }),
            Some(search) => match &search.outcome {
                Some(Ok(targets)) => Ok(Resolved { names: search.reports(names), sip: targets.clone() }),
                Some(Err(error)) => Err(self.search_error(error, now)),
                None => return Progress::Going,
            },
        })
    }

    /// Tells the search what is known by now and takes its wishes; true when that led to new ones.
    fn advance_search(&mut self, over: bool, now: Instant) -> bool {
        let Some(search) = &mut self.search else { return false };
        search.records_answered(now);
        for name in self.names.iter_mut().filter(|name| name.searched && !name.settled) {
            if !matches!(name.verdict(now, over), Verdict::Pending) {
                name.settled = true;
                search.name_settled(name);
            }
        }
        if over {
            search.time_up();
        }
        let hosts = &self.hosts;
        search.carry_out(&mut self.names, |name| fixed(hosts, name), now)
    }

    fn ask_where_due(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let left = self.until.saturating_duration_since(now);
        let mut due: Vec<Due> = Vec::new();
        for (n, name) in self.names.iter_mut().enumerate() {
            if name.fixed.is_some() || name.settled {
                continue;
            }
            for (family, enquiry) in name.families.iter_mut().enumerate() {
                if let Some(whom) = enquiry.ask(&self.servers, left, now) {
                    due.push((What::Address { name: n, family }, name.name.clone(), enquiry.record, whom));
                }
            }
            name.note_grace(now);
        }
        let records = self.search.iter_mut().flat_map(|search| &mut search.enquiries).enumerate();
        for (index, asked) in records.filter(|(_, asked)| asked.is_open()) {
            if let Some(whom) = asked.enquiry.ask(&self.servers, left, now) {
                due.push((What::Record(index), asked.question.name.clone(), asked.enquiry.record, whom));
            }
        }
        for (what, name, record, (server, transport, patience)) in due {
            self.next_lookup += 1;
            let id = LookupId { of: Asker::Names, number: self.next_lookup };
            self.lookups.insert(id, Asked { what, server, transport });
            out.push(Effect::Lookup { id, name, record, server, transport, patience });
        }
    }

    /// Why the search found no server: what the nameservers said about the first name without an address, or about the
    /// services when it came to no name.
    fn search_error(&self, error: &LocateError, now: Instant) -> ResolveError {
        if let LocateError::NotOffered { name } = error {
            return ResolveError::NoSipService { name: name.clone() };
        }
        let failed = |name: &Name| name.searched && matches!(name.verdict(now, true), Verdict::Failed);
        if let Some(index) = self.names.iter().position(failed) {
            return self.name_error(index, now);
        }
        let records: Vec<&Enquiry> =
            self.search.iter().flat_map(|search| &search.enquiries).map(|asked| &asked.enquiry).collect();
        let name = self.search.as_ref().and_then(|search| search.enquiries.first());
        self.error(name.map(|asked| asked.question.name.clone()).unwrap_or_default(), &records, now)
    }

    fn name_error(&self, index: usize, now: Instant) -> ResolveError {
        let families: Vec<&Enquiry> = self.names[index].families.iter().collect();
        self.error(self.names[index].name.clone(), &families, now)
    }

    /// The exact error of a name that has no address.
    fn error(&self, name: String, families: &[&Enquiry], now: Instant) -> ResolveError {
        let absent = families.iter().find_map(|family| match family.found {
            Some(Found::Absent { server }) => Some(server),
            Some(Found::Empty { .. } | Found::Records { .. } | Found::Nobody) | None => None,
        });
        if let Some(server) = absent {
            return ResolveError::NameNotFound { name, server };
        }
        let empty = families.iter().find_map(|family| match family.found {
            Some(Found::Empty { server }) => Some(server),
            Some(Found::Absent { .. } | Found::Records { .. } | Found::Nobody) | None => None,
        });
        let said: Vec<&(SocketAddr, LookupFailure)> =
            families.iter().flat_map(|family| family.said.iter()).collect();
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

impl LookupFailure {
    pub(super) fn words(&self) -> String {
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
