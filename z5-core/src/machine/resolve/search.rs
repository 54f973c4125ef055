//! The search for SIP servers by RFC 3263 (profile `generic`): the logic of `z5_sip::locate`, asked and answered through the
//! nameservers of step 1.

use std::time::{Duration, Instant};

use z5_sip::ident::Ident;
use z5_sip::locate::{
    Abilities, Answer, Destination, Effect, Input, LocateError, Locator, Miss, Question, RecordKind, Target,
};
use z5_sip::outbox::Outbox;

use super::enquiry::{Enquiry, Found, Name};
use crate::events::NameReport;
use crate::machine::io::{LookupFailure, Record};

/// How long NAPTR and SRV records are waited for. Many zones have none, and some resolvers swallow the question: that must
/// not cost the whole step while the name's own addresses would do.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// A search under way.
#[derive(Debug)]
pub(super) struct Search {
    locator: Locator,
    wishes: Outbox<Effect>,
    pub(super) enquiries: Vec<Asked>,
    /// The name is in the table of hosts: nobody is asked about it.
    fixed: bool,
    pub(super) outcome: Option<Result<Vec<Target>, LocateError>>,
}

/// A NAPTR or SRV lookup.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) enquiry: Enquiry,
    pub(super) until: Instant,
    told: bool,
}

impl Asked {
    /// True while a nameserver may still be asked about it.
    pub(super) const fn is_open(&self) -> bool {
        !self.told
    }
}

impl Search {
    pub(super) fn new(destination: Destination, able: Abilities, fixed: bool, seed: u64) -> Self {
        let mut locator = Locator::new(destination, able, Ident::from_seed(seed));
        let mut wishes = Outbox::new();
        locator.handle(Input::Begin, &mut wishes);
        Self { locator, wishes, enquiries: Vec::new(), fixed, outcome: None }
    }

    /// Carries out what the locator wishes: names to be resolved go to `names`. True when something changed.
    pub(super) fn carry_out(
        &mut self,
        names: &mut Vec<Name>,
        fixed: impl Fn(&str) -> Option<Vec<std::net::IpAddr>>,
        now: Instant,
    ) -> bool {
        let mut changed = false;
        while let Some(effect) = self.wishes.pop() {
            changed = true;
            match effect {
                Effect::Ask(question) => match record_of(question.kind) {
                    Record::A | Record::Aaaa => {
                        match names.iter().position(|name| name.name == question.name) {
                            Some(known) if names[known].settled => self.tell(&question, &names[known]),
                            Some(_) => {}
                            None => {
                                let mut name = Name::new(&question.name, None, fixed(&question.name), now);
                                name.searched = true;
                                names.push(name);
                            }
                        }
                    }
                    Record::Srv | Record::Naptr | Record::Txt if self.fixed => {
                        let outcome = Err(Miss::NoRecords);
                        self.locator.handle(Input::Answered { question, outcome }, &mut self.wishes);
                    }
                    record @ (Record::Srv | Record::Naptr | Record::Txt) => self.enquiries.push(Asked {
                        question,
                        enquiry: Enquiry::new(record, now),
                        until: now + PATIENCE,
                        told: false,
                    }),
                },
                Effect::Located(targets) => self.outcome = Some(Ok(targets)),
                Effect::Failed(error) => self.outcome = Some(Err(error)),
            }
        }
        changed
    }

    /// Tells the locator about a name that is settled.
    pub(super) fn name_settled(&mut self, name: &Name) {
        for kind in [RecordKind::Aaaa, RecordKind::A] {
            self.tell(&Question { name: name.name.clone(), kind }, name);
        }
    }

    fn tell(&mut self, question: &Question, name: &Name) {
        let family = |address: &std::net::IpAddr| address.is_ipv4() == (question.kind == RecordKind::A);
        let addresses: Vec<_> = name.addresses().into_iter().filter(family).collect();
        let enquiry = name.families.iter().find(|enquiry| record_of(question.kind) == enquiry.record);
        let absent = name.families.iter().any(|enquiry| matches!(enquiry.found, Some(Found::Absent { .. })));
        let outcome = match enquiry {
            _ if !addresses.is_empty() => Ok(Answer { addresses, ..Answer::default() }),
            _ if absent => Err(Miss::NameNotFound),
            Some(enquiry) if name.fixed.is_none() => Err(miss(enquiry)),
            Some(_) | None => Err(Miss::NoRecords),
        };
        self.locator.handle(Input::Answered { question: question.clone(), outcome }, &mut self.wishes);
    }

    /// Tells the locator what the nameservers said about NAPTR and SRV, and gives up what took too long.
    pub(super) fn records_answered(&mut self, now: Instant) {
        for asked in &mut self.enquiries {
            if asked.told || (asked.enquiry.found.is_none() && now < asked.until) {
                continue;
            }
            asked.told = true;
            let outcome = match &asked.enquiry.found {
                Some(Found::Records { answer, .. }) => Ok(Answer {
                    naptr: answer.naptr.clone(),
                    srv: answer.srv.clone(),
                    addresses: Vec::new(),
                    additional: answer.additional.clone(),
                }),
                Some(Found::Absent { .. } | Found::Empty { .. } | Found::Nobody) | None => {
                    Err(miss(&asked.enquiry))
                }
            };
            self.locator
                .handle(Input::Answered { question: asked.question.clone(), outcome }, &mut self.wishes);
        }
    }

    pub(super) fn time_up(&mut self) {
        self.locator.handle(Input::TimeUp, &mut self.wishes);
    }

    /// Every NAPTR and SRV lookup, put before the names that came of them.
    pub(super) fn reports(&self, names: Vec<NameReport>) -> Vec<NameReport> {
        let mut reports: Vec<NameReport> = Vec::new();
        for asked in &self.enquiries {
            let name = asked.question.name.clone();
            let answers = asked.enquiry.report().into_iter().collect();
            reports.push(NameReport { name, role: None, addresses: Vec::new(), answers });
        }
        for report in names {
            match reports.iter_mut().find(|seen| seen.name == report.name) {
                Some(seen) => {
                    seen.addresses = report.addresses;
                    seen.answers.extend(report.answers);
                }
                None => reports.push(report),
            }
        }
        reports
    }
}

const fn record_of(kind: RecordKind) -> Record {
    match kind {
        RecordKind::Naptr => Record::Naptr,
        RecordKind::Srv => Record::Srv,
        RecordKind::A => Record::A,
        RecordKind::Aaaa => Record::Aaaa,
    }
}

fn miss(enquiry: &Enquiry) -> Miss {
    match &enquiry.found {
        Some(Found::Absent { .. }) => Miss::NameNotFound,
        Some(Found::Empty { .. } | Found::Records { .. }) => Miss::NoRecords,
        Some(Found::Nobody) | None => {
            let last = enquiry.said.last().map(|(_, failure)| failure);
            Miss::Failed(last.map_or_else(|| "no answer".to_owned(), LookupFailure::words))
        }
    }
}
