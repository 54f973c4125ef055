//! The address book and its server: news are fetched and merged first, then changes of ours are sent, then news once more when somebody
//! was faster (412). Sans-IO: requests go to the outbox, replies come in, the [`Book`] is the caller's.
//!
//! Two kinds of servers: a CardDAV collection, card by card (`carddav`), which is looked for where only its host is known (`discovery`),
//! or only its domain (`locating`), and a list of xCards as a whole (`list`). Of several servers of a domain the next one is for when one
//! cannot be reached. Whatever breaks off in between is said again.

mod carddav;
mod discovery;
mod lanes;
mod list;
mod locating;
mod place;
mod trust;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;
use z5_sip::outbox::{Deadline, Outbox};

use super::context::Context;
use super::exchange::{HttpAuth, Server};
use super::io::{Asker, Effect, HttpsFailure, HttpsReply, LookupAnswer, LookupFailure, LookupId, RequestId};
use super::mcs::refusal;
use crate::account::book::{Applied, Book};
use crate::config::ContactsProtocol;
use crate::error::{ProvisionError, millis};
use crate::events::EventKind;

use carddav::CardDav;
use discovery::{Discovery, Found};
use lanes::{Job, Lanes};
use list::List;
use locating::{Locating, Stage, Then};
use place::Whereabouts;

pub(crate) use place::{BookPlace, book_place, configured_uri};
pub(crate) use trust::is_host;

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
    Locating(Box<Locating>),
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
    /// Servers of the domain that were not tried yet.
    candidates: VecDeque<(String, u16)>,
    /// Where the domain says that the search begins.
    context_path: Option<String>,
    /// The server has said something that is of use.
    heard: bool,
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
        let (candidates, context_path) = (VecDeque::new(), None);
        let mut tools = Tools {
            place,
            push,
            lanes,
            report,
            rounds,
            again: false,
            candidates,
            context_path,
            heard: false,
        };
        let turn = &mut Turn { book, context, out };
        let mut remembered = false;
        let way = match (tools.place.protocol, tools.place.whereabouts) {
            (ContactsProtocol::Xcard, _) => Way::List(List::begin(&mut tools, turn)),
            (ContactsProtocol::CardDav, Whereabouts::Domain) => {
                Way::Locating(Box::new(Locating::service(&tools, turn)))
            }
            (ContactsProtocol::CardDav, Whereabouts::Host) => {
                Way::Locating(Box::new(Locating::host(&tools, Then::Enter, turn)))
            }
            (ContactsProtocol::CardDav, Whereabouts::Known) => enter(&mut tools, &mut remembered, turn),
        };
        Self { tools, way, remembered, patience, asked_at }
    }

    pub(crate) fn asked(&self, id: RequestId) -> bool {
        self.tools.lanes.asked(id)
    }

    /// When the server's silence has lasted too long, or a nameserver's.
    pub(crate) fn next_deadline(&self) -> Deadline {
        match &self.way {
            Way::Locating(locating) => locating.next_deadline(),
            Way::Discovery(_) | Way::CardDav(_) | Way::List(_) => {
                Deadline::new(self.asked_at + self.patience, "step 3: the address book")
            }
        }
    }

    pub(crate) fn on_deadline(
        &mut self,
        book: &mut Book,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Progress {
        let now = context.now;
        let turn = &mut Turn { book, context, out };
        if let Way::Locating(locating) = &mut self.way {
            locating.pair.on_deadline(turn.context, turn.out);
            let step = self.locate(turn);
            return self.progress(step, turn);
        }
        let waited = now.saturating_duration_since(self.asked_at);
        if waited < self.patience {
            return Progress::Going;
        }
        let step = Err(ProvisionError::TimedOut {
            host: self.tools.place.server.host.clone(),
            phase: ADDRESS_BOOK,
            after_ms: millis(waited),
        });
        let step = self.or_elsewhere(step, turn);
        self.progress(step, turn)
    }

    /// Nobody waits for it any longer.
    pub(crate) fn give_up(self, after: Duration, out: &mut Outbox<Effect>) -> ProvisionError {
        if let Way::Locating(_) = self.way {
            out.push(Effect::EndLookups(Asker::Book));
        }
        let host = self.tools.place.server.host;
        ProvisionError::TimedOut { host, phase: ADDRESS_BOOK, after_ms: millis(after) }
    }

    /// What a nameserver says about the server.
    pub(crate) fn on_looked(
        &mut self,
        id: LookupId,
        outcome: Result<LookupAnswer, LookupFailure>,
        book: &mut Book,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Progress {
        let Way::Locating(locating) = &mut self.way else { return Progress::Going };
        locating.pair.on_looked(id, outcome, context, out);
        let turn = &mut Turn { book, context, out };
        let step = self.locate(turn);
        self.progress(step, turn)
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
        let step = self.or_elsewhere(step, turn);
        self.progress(step, turn)
    }

    /// A server that was of no use yet has others that may be (RFC 2782).
    fn or_elsewhere(&mut self, step: Step, turn: &mut Turn<'_, '_>) -> Step {
        let Err(error) = step else { return step };
        let away = matches!(
            error,
            ProvisionError::Unreachable { .. }
                | ProvisionError::Tls { .. }
                | ProvisionError::ConnectionLost { .. }
                | ProvisionError::TimedOut { .. }
                | ProvisionError::Unavailable { .. }
                | ProvisionError::Unresolved { .. }
        );
        if !away || self.tools.heard || !self.next_server(turn) {
            return Err(error);
        }
        self.locate(turn)
    }

    /// The next server of the domain, if there is one.
    fn next_server(&mut self, turn: &mut Turn<'_, '_>) -> bool {
        let Some((host, port)) = self.tools.candidates.pop_front() else { return false };
        let server = &mut self.tools.place.server;
        (server.host, server.port, server.addresses) = (host, port, Vec::new());
        // What the one that was passed by still says is not heard.
        self.tools.at_another_server();
        self.way = Way::Locating(Box::new(Locating::host(&self.tools, Then::Enter, turn)));
        true
    }

    /// Goes on with what nameservers have said.
    fn locate(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        loop {
            let Way::Locating(locating) = &mut self.way else { return Ok(()) };
            if !locating.pair.is_done(turn.context.now) {
                return Ok(());
            }
            // In its place a way that asks nothing, until the next one is known.
            let done = std::mem::replace(&mut self.way, Way::Discovery(Discovery::at_root()));
            let Way::Locating(done) = done else { return Ok(()) };
            let Locating { stage, pair } = *done;
            match stage {
                Stage::Service => {
                    let (records, texts) = pair.into_service();
                    self.tools.candidates =
                        locating::candidates(&records, &self.tools.place, turn.context.ident)?;
                    self.tools.context_path = locating::context_path(&texts);
                    self.next_server(turn);
                }
                Stage::Host { then } => match pair.into_addresses() {
                    Ok(addresses) => {
                        self.tools.place.server.addresses = addresses;
                        self.tools.at_another_server();
                        self.asked_at = turn.context.now;
                        self.way = match then {
                            Then::Search(mut discovery) => {
                                discovery.go_on(&mut self.tools, turn);
                                Way::Discovery(*discovery)
                            }
                            Then::Enter => enter(&mut self.tools, &mut self.remembered, turn),
                            Then::Fetch => Way::CardDav(CardDav::begin(&mut self.tools, turn)),
                        };
                    }
                    Err(why) => {
                        let host = self.tools.place.server.host.clone();
                        if !self.next_server(turn) {
                            return Err(ProvisionError::Unresolved { host, why });
                        }
                    }
                },
            }
        }
    }

    /// How it stands after a step.
    fn progress(&mut self, step: Step, turn: &Turn<'_, '_>) -> Progress {
        match step {
            Err(error) => Progress::Done(Box::new(Err(error))),
            Ok(()) if self.tools.lanes.is_busy() || matches!(self.way, Way::Locating(_)) => Progress::Going,
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
                match way.on_reply(job, reply, &mut self.tools, turn)? {
                    Found::Going => {}
                    Found::Collection(path) => {
                        self.tools.place.path = path;
                        self.way = Way::CardDav(CardDav::begin(&mut self.tools, turn));
                    }
                    Found::Elsewhere { host, port, collection } => {
                        let then = match collection {
                            None => Then::Search(Box::new(way.clone())),
                            Some(path) => {
                                self.tools.place.path = path;
                                Then::Fetch
                            }
                        };
                        let place = &mut self.tools.place;
                        place.whereabouts = Whereabouts::Host;
                        place.server = Server { host, port, addresses: Vec::new() };
                        self.tools.candidates.clear();
                        self.tools.at_another_server();
                        self.way = Way::Locating(Box::new(Locating::host(&self.tools, then, turn)));
                        return self.locate(turn);
                    }
                }
                Ok(())
            }
            // Nothing was asked of a server.
            Way::Locating(_) => Ok(()),
        }?;
        self.tools.heard = true;
        Ok(())
    }
}

/// At a server whose addresses are known: straight to the collection where that is known, else the search for it.
fn enter(tools: &mut Tools, remembered: &mut bool, turn: &mut Turn<'_, '_>) -> Way {
    if tools.place.is_host_alone() {
        let Some(path) = turn.book.collection_at(&tools.place.origin()) else {
            return Way::Discovery(Discovery::begin(tools, turn));
        };
        tools.place.path = path.to_owned();
        *remembered = true;
    }
    Way::CardDav(CardDav::begin(tools, turn))
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

    /// The credentials as somebody who has not been asked for any: what another server asked is no matter here.
    fn at_another_server(&mut self) {
        let auth = HttpAuth::new(&self.place.username, &self.place.password);
        self.lanes = Lanes::new(&self.place, auth);
        self.heard = false;
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
