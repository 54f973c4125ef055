//! The address book and its server: news are fetched and merged first, then changes of ours are sent, then news once more when somebody
//! was faster (412). Sans-IO: requests go to the outbox, replies come in, the [`Book`] is the caller's.
//!
//! Two kinds of servers: a CardDAV collection, card by card (`carddav`), which is looked for where only its host is known (`discovery`),
//! and a list of xCards as a whole (`list`). Whatever breaks off in between is said again.

mod carddav;
mod discovery;
mod lanes;
mod list;
mod place;

use std::time::{Duration, Instant};

use serde::Serialize;
use z5_sip::outbox::{Deadline, Outbox};

use super::context::Context;
use super::exchange::HttpAuth;
use super::io::{Effect, HttpsFailure, HttpsReply, RequestId};
use super::mcs::refusal;
use crate::account::book::{Applied, Book};
use crate::config::ContactsProtocol;
use crate::error::{ProvisionError, millis};
use crate::events::EventKind;

use carddav::CardDav;
use discovery::Discovery;
use lanes::{Job, Lanes};
use list::List;

pub(crate) use place::{BookPlace, book_place, configured_uri};

pub(super) const ADDRESS_BOOK: &str = "the address book";
/// How often news are fetched in one sync: once, and again after somebody was faster.
const MAX_ROUNDS: u8 = 3;

/// What a sync did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SyncReport {
    /// Contacts now.
    pub contacts: usize,
    /// Everything was fetched, not only news.
    pub full: bool,
    /// New on the server.
    pub added: usize,
    /// Changed on the server.
    pub changed: usize,
    /// Removed on the server.
    pub removed: usize,
    /// Changed on both sides; `contact-merged` tells each.
    pub merged: usize,
    /// Changes of ours that the server took.
    pub sent: usize,
    /// Changes of ours that the server does not take; `contact-refused` tells each.
    pub refused: usize,
    /// Changes of ours that the server does not have, the refused ones included.
    pub unsent: usize,
    /// Cards of the server that cannot be read or are too many; they stay there untouched.
    pub unread: usize,
}

/// One sync.
#[derive(Debug)]
pub(crate) struct BookSync {
    tools: Tools,
    way: Way,
    /// The collection is one that was found by an earlier sync: if it is there no more, it is looked for again.
    remembered: bool,
    patience: Duration,
    asked_at: Instant,
}

/// How the server is spoken to.
#[derive(Debug)]
enum Way {
    Discovery(Discovery),
    CardDav(CardDav),
    List(List),
}

/// What every way needs.
#[derive(Debug)]
struct Tools {
    place: BookPlace,
    /// Changes of ours follow the news.
    push: bool,
    lanes: Lanes,
    report: SyncReport,
    /// How often news were fetched.
    rounds: u8,
    /// Somebody was faster: news first.
    again: bool,
}

/// What is borrowed while an input is handled.
struct Turn<'a, 'c> {
    book: &'a mut Book,
    context: &'a mut Context<'c>,
    out: &'a mut Outbox<Effect>,
}

/// How a sync stands.
pub(crate) enum Progress {
    Going,
    Done(Box<Result<SyncReport, ProvisionError>>),
}

type Step = Result<(), ProvisionError>;

impl BookSync {
    /// Asks for news; with `push` changes of ours follow.
    pub(crate) fn begin(
        place: BookPlace,
        push: bool,
        auth: HttpAuth,
        book: &mut Book,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Self {
        let (patience, asked_at) = (context.plan.timeouts.provision.duration(), context.now);
        let lanes = Lanes::new(&place, auth);
        let (report, rounds) = (SyncReport::default(), 0);
        let mut tools = Tools { place, push, lanes, report, rounds, again: false };
        let turn = &mut Turn { book, context, out };
        let known = tools.place.is_host_alone().then(|| turn.book.collection_at(&tools.place.origin()));
        let mut remembered = false;
        let way = match (tools.place.protocol, known) {
            (ContactsProtocol::Xcard, _) => Way::List(List::begin(&mut tools, turn)),
            (ContactsProtocol::CardDav, Some(None)) => Way::Discovery(Discovery::begin(&mut tools, turn)),
            (ContactsProtocol::CardDav, Some(Some(path))) => {
                tools.place.path = path.to_owned();
                remembered = true;
                Way::CardDav(CardDav::begin(&mut tools, turn))
            }
            (ContactsProtocol::CardDav, None) => Way::CardDav(CardDav::begin(&mut tools, turn)),
        };
        Self { tools, way, remembered, patience, asked_at }
    }

    pub(crate) fn asked(&self, id: RequestId) -> bool {
        self.tools.lanes.asked(id)
    }

    /// When the server's silence has lasted too long.
    pub(crate) fn next_deadline(&self) -> Deadline {
        Deadline::new(self.asked_at + self.patience, "step 3: the address book")
    }

    pub(crate) fn on_deadline(&self, now: Instant) -> Option<ProvisionError> {
        let waited = now.saturating_duration_since(self.asked_at);
        (waited >= self.patience).then(|| ProvisionError::TimedOut {
            host: self.tools.place.server.host.clone(),
            phase: ADDRESS_BOOK,
            after_ms: millis(waited),
        })
    }

    pub(crate) fn on_https(
        &mut self,
        id: RequestId,
        outcome: Result<HttpsReply, HttpsFailure>,
        book: &mut Book,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Progress {
        if !self.asked(id) {
            return Progress::Going;
        }
        self.asked_at = context.now;
        let replied = self.tools.lanes.on_outcome(id, outcome, context, out);
        let turn = &mut Turn { book, context, out };
        let mut step = match replied {
            Ok(None) => return Progress::Going,
            Ok(Some((job, reply))) => self.on_reply(job, &reply, turn),
            Err(error) => Err(error),
        };
        if self.remembered
            && matches!(step, Err(ProvisionError::Refused { status: 301..=308 | 404 | 410, .. }))
        {
            self.remembered = false;
            self.tools.start_anew();
            self.way = Way::Discovery(Discovery::begin(&mut self.tools, turn));
            step = Ok(());
        }
        match step {
            Err(error) => Progress::Done(Box::new(Err(error))),
            Ok(()) if self.tools.lanes.is_busy() => Progress::Going,
            Ok(()) => {
                let report = &mut self.tools.report;
                report.contacts = turn.book.len();
                report.unsent = turn.book.unsent();
                report.unread = turn.book.unread();
                Progress::Done(Box::new(Ok(report.clone())))
            }
        }
    }

    fn on_reply(&mut self, job: Job, reply: &HttpsReply, turn: &mut Turn<'_, '_>) -> Step {
        match &mut self.way {
            Way::CardDav(way) => way.on_reply(job, reply, &mut self.tools, turn),
            Way::List(way) => way.on_reply(job, reply, &mut self.tools, turn),
            Way::Discovery(way) => {
                if let Some(path) = way.on_reply(job, reply, &mut self.tools, turn)? {
                    self.tools.place.path = path;
                    self.way = Way::CardDav(CardDav::begin(&mut self.tools, turn));
                }
                Ok(())
            }
        }
    }
}

impl Tools {
    /// Counts what news did; of a contact that was changed on both sides it is told.
    fn count(&mut self, applied: Applied, out: &mut Outbox<Effect>) {
        match applied {
            Applied::Added => self.report.added += 1,
            Applied::Changed => self.report.changed += 1,
            Applied::Removed => self.report.removed += 1,
            Applied::Merged(merged) => {
                self.report.merged += 1;
                out.push(Effect::Emit(EventKind::ContactMerged(merged)));
            }
            // Both are counted by the book.
            Applied::Malformed | Applied::LeftOut | Applied::Nothing => {}
        }
    }

    /// A change that the server does not take and would not another time.
    fn refuse(&mut self, file: &str, status: u16, turn: &mut Turn<'_, '_>) {
        self.report.refused += 1;
        if let Some(id) = turn.book.refused(file, status) {
            turn.out.push(Effect::Emit(EventKind::ContactRefused { id, status }));
        }
    }

    /// Another round of news, after somebody was faster.
    fn once_more(&mut self) -> bool {
        std::mem::take(&mut self.again) && self.rounds < MAX_ROUNDS
    }

    /// From nothing, at the host itself.
    fn start_anew(&mut self) {
        "/".clone_into(&mut self.place.path);
        (self.report, self.rounds, self.again) = (SyncReport::default(), 0, false);
    }
}

fn bad(field: &str, why: String) -> ProvisionError {
    ProvisionError::BadReply { phase: ADDRESS_BOOK, field: field.to_owned(), why }
}

/// A status other than the one `expected`.
fn refused(reply: &HttpsReply, expected: u16) -> ProvisionError {
    match reply.status {
        status @ 200..300 => bad("status", format!("HTTP {status} in place of {expected}")),
        _ => refusal(reply, ADDRESS_BOOK),
    }
}
