//! Two questions about one name, asked later than step 1 and of the same nameservers: where a host is (A and AAAA), or which servers a
//! service has (SRV and TXT, RFC 2782 and RFC 6763 section 6). What the answers mean is for whoever asked.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use z5_sip::locate::Srv;
use z5_sip::outbox::{Deadline, Outbox};

use super::enquiry::{Enquiry, Found, Name, Verdict};
use super::search::PATIENCE;
use super::sooner;
use crate::machine::context::Context;
use crate::machine::io::{Asker, DnsTransport, Effect, LookupAnswer, LookupFailure, LookupId, Record};

/// Both questions under way.
#[derive(Debug)]
pub(crate) struct Pair {
    name: Name,
    lookups: BTreeMap<LookupId, (usize, SocketAddr, DnsTransport)>,
    until: Instant,
}

impl Pair {
    /// Where a host is.
    pub(crate) fn addresses(host: &str, context: &mut Context<'_>, out: &mut Outbox<Effect>) -> Self {
        let until = context.now + context.plan.timeouts.dns.duration();
        let name = Name::new(host, None, context.plan.fixed_addresses(host), context.now);
        Self::begin(name, until, context, out)
    }

    /// Which servers a service has. It is not waited for longer than for those of SIP: without an answer there are none.
    pub(crate) fn service(name: &str, context: &mut Context<'_>, out: &mut Outbox<Effect>) -> Self {
        let until = context.now + PATIENCE.min(context.plan.timeouts.dns.duration());
        let mut name = Name::new(name, None, None, context.now);
        name.families = [Enquiry::new(Record::Srv, context.now), Enquiry::new(Record::Txt, context.now)];
        Self::begin(name, until, context, out)
    }

    fn begin(name: Name, until: Instant, context: &mut Context<'_>, out: &mut Outbox<Effect>) -> Self {
        let mut this = Self { name, lookups: BTreeMap::new(), until };
        this.ask_where_due(context, out);
        this
    }

    /// An answer, or a failure of one nameserver; of another question it changes nothing.
    pub(crate) fn on_looked(
        &mut self,
        id: LookupId,
        outcome: Result<LookupAnswer, LookupFailure>,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) {
        if let Some((family, server, transport)) = self.lookups.remove(&id) {
            self.name.families[family].take((server, transport), outcome, context.now);
        }
        self.on_deadline(context, out);
    }

    /// Time may have passed.
    pub(crate) fn on_deadline(&mut self, context: &mut Context<'_>, out: &mut Outbox<Effect>) {
        self.ask_where_due(context, out);
        if self.is_done(context.now) && !self.lookups.is_empty() {
            self.lookups.clear();
            out.push(Effect::EndLookups(Asker::Book));
        }
    }

    /// Nothing more is waited for.
    pub(crate) fn is_done(&self, now: Instant) -> bool {
        let over = now >= self.until;
        if self.name.families.iter().any(|enquiry| enquiry.record == Record::Srv) {
            return over || self.absent() || !self.name.verdict_pending();
        }
        !matches!(self.name.verdict(now, over), Verdict::Pending)
    }

    pub(crate) fn next_deadline(&self) -> Deadline {
        let mut next = Deadline::new(self.until, "the address book: where its server is");
        if self.name.fixed.is_some() {
            return next;
        }
        if let Some(at) = self.name.grace.filter(|_| self.name.verdict_pending()) {
            next = sooner(next, Deadline::new(at, "the address book: the other address family"));
        }
        let open = self.name.families.iter().filter(|enquiry| enquiry.found.is_none());
        open.filter_map(|enquiry| enquiry.next_at).fold(next, |next, at| {
            sooner(next, Deadline::new(at, "the address book: ask the next nameserver too"))
        })
    }

    /// Where the host is.
    ///
    /// # Errors
    /// What the nameservers say, for people, when it is nowhere.
    pub(crate) fn into_addresses(self) -> Result<Vec<IpAddr>, String> {
        let addresses = self.name.addresses();
        if !addresses.is_empty() {
            return Ok(addresses);
        }
        let said = self.name.families.iter().flat_map(|enquiry| &enquiry.said).last();
        Err(match said {
            _ if self.absent() => LookupFailure::NameNotFound.words(),
            Some((server, failure)) => format!("{} ({server})", failure.words()),
            None if self.name.verdict_pending() => LookupFailure::TimedOut.words(),
            None => LookupFailure::NoRecords.words(),
        })
    }

    /// The servers of the service and what is said about it. None of either is no error: many domains say nothing.
    pub(crate) fn into_service(self) -> (Vec<Srv>, Vec<String>) {
        let (mut servers, mut texts) = (Vec::new(), Vec::new());
        for enquiry in self.name.families {
            if let Some(Found::Records { answer, .. }) = enquiry.found {
                servers.extend(answer.srv);
                texts.extend(answer.txt);
            }
        }
        (servers, texts)
    }

    fn absent(&self) -> bool {
        self.name.families.iter().any(|enquiry| matches!(enquiry.found, Some(Found::Absent { .. })))
    }

    fn ask_where_due(&mut self, context: &mut Context<'_>, out: &mut Outbox<Effect>) {
        if self.name.fixed.is_some() {
            return;
        }
        let (now, left) = (context.now, self.until.saturating_duration_since(context.now));
        for (family, enquiry) in self.name.families.iter_mut().enumerate() {
            let Some((server, transport, patience)) = enquiry.ask(&context.plan.nameservers, left, now)
            else {
                continue;
            };
            *context.ids += 1;
            let id = LookupId { of: Asker::Book, number: *context.ids };
            self.lookups.insert(id, (family, server, transport));
            let (name, record) = (self.name.name.clone(), enquiry.record);
            out.push(Effect::Lookup { id, name, record, server, transport, patience });
        }
        if !self.name.families.iter().any(|enquiry| enquiry.record == Record::Srv) {
            self.name.note_grace(now);
        }
    }
}
