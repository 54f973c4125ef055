//! The address book and its CardDAV server: news are fetched and merged first, then changes of ours are sent, then news once more when
//! somebody was faster (412). Sans-IO: requests go to the outbox, replies come in, the [`Book`] is the caller's.
//!
//! News come by collection synchronisation (RFC 6578): everything the first time and when the server knows the token no more, what
//! changed otherwise, in pages where the server makes pages (507). A server without it is asked for all tags and then for the cards
//! that are new. Changes are written with `If-Match` and `If-None-Match` (RFC 9110 section 13.1), so that nothing unseen is overwritten.
//! The token is kept only when all before it is here; whatever breaks off in between is said again.
//!
//! No discovery (RFC 6764): the address of the collection comes from ZDial or from the configuration.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use z5_sip::outbox::{Deadline, Outbox};

use super::context::Context;
use super::exchange::{Answer, Exchange, HttpAuth, Request, Server};
use super::io::{Effect, HeaderText, HttpsFailure, HttpsReply, RequestId};
use super::provision::{ADDRESS_BOOK, network_error, refusal};
use crate::account::book::dav::{self, Said};
use crate::account::book::{Applied, Book, Unsent, What, encode, key_of};
use crate::error::{ProvisionError, millis};
use crate::events::EventKind;
use crate::secret::Secret;

/// Cards asked for at a time (RFC 6578 section 3.7); the server may send more or fewer.
const PAGE: usize = 2000;
/// Pages of one sync: more than any book has.
const MAX_PAGES: usize = 1000;
/// Cards named in one multiget.
const BATCH: usize = 100;
/// Requests under way at a time while changes are sent.
const LANES: usize = 4;
/// How often news are fetched in one sync: once, and again after somebody was faster.
const MAX_ROUNDS: u8 = 3;
const XML: &str = "application/xml; charset=utf-8";
const VCARD: &str = "text/vcard; charset=utf-8";

/// Where the address book is and who we are there.
#[derive(Debug, Clone)]
pub(crate) struct BookPlace {
    pub(crate) server: Server,
    /// The collection, with the slash at its end.
    pub(crate) path: String,
    pub(crate) username: String,
    pub(crate) password: Secret,
}

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
    place: BookPlace,
    push: bool,
    lanes: Vec<Lane>,
    /// News are being fetched; else changes are being sent.
    pulling: bool,
    pull: Pull,
    queue: VecDeque<String>,
    /// Somebody was faster: news first.
    again: bool,
    /// It was begun anew, with everything, because the server did not know the token. Once is enough.
    anew: bool,
    rounds: u8,
    report: SyncReport,
    patience: Duration,
    asked_at: Instant,
}

#[derive(Debug)]
struct Lane {
    auth: HttpAuth,
    job: Option<(Exchange, Job)>,
}

#[derive(Debug)]
enum Job {
    Report {
        token: Option<String>,
        limited: bool,
    },
    List,
    Multiget,
    /// The whole card that a change goes onto.
    Whole(Unsent),
    Send(Unsent),
}

/// The fetching of news under way.
#[derive(Debug, Default)]
struct Pull {
    full: bool,
    seen: BTreeSet<String>,
    wanted: Vec<String>,
    token: Option<String>,
    pages: usize,
    received: usize,
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
        let path = key_of(&place.path).unwrap_or_else(|| place.path.clone());
        book.settle(&format!("https://{}:{}", place.server.host, place.server.port), &path);
        let mut this = Self {
            place: BookPlace { path, ..place },
            push,
            lanes: vec![Lane { auth, job: None }],
            pulling: true,
            pull: Pull::default(),
            queue: VecDeque::new(),
            again: false,
            anew: false,
            rounds: 0,
            report: SyncReport::default(),
            patience: context.plan.timeouts.provision.duration(),
            asked_at: context.now,
        };
        this.begin_pull(book, context, out);
        this
    }

    pub(crate) fn asked(&self, id: RequestId) -> bool {
        self.lane(id).is_some()
    }

    /// When the server's silence has lasted too long.
    pub(crate) fn next_deadline(&self) -> Deadline {
        Deadline::new(self.asked_at + self.patience, "step 3: the address book")
    }

    pub(crate) fn on_deadline(&self, now: Instant) -> Option<ProvisionError> {
        let waited = now.saturating_duration_since(self.asked_at);
        (waited >= self.patience).then(|| ProvisionError::TimedOut {
            host: self.place.server.host.clone(),
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
        let Some(index) = self.lane(id) else { return Progress::Going };
        let lane = &mut self.lanes[index];
        let Some((mut exchange, job)) = lane.job.take() else { return Progress::Going };
        self.asked_at = context.now;
        let answer = exchange.on_outcome(outcome, &mut lane.auth, context.ids, context.ident, out);
        let step = match answer {
            Answer::Going => {
                lane.job = Some((exchange, job));
                return Progress::Going;
            }
            Answer::Reply(reply) => self.on_reply(job, &reply, book, context, out),
            Answer::Rejected => Err(ProvisionError::BadCredentials { phase: ADDRESS_BOOK }),
            Answer::NoUsableChallenge(offered) => Err(ProvisionError::NoUsableChallenge { offered }),
            Answer::Failed(failure) => Err(network_error(failure, &self.place.server.host, ADDRESS_BOOK)),
        };
        let step = step.and_then(|()| self.advance(book, context, out));
        match step {
            Err(error) => Progress::Done(Box::new(Err(error))),
            Ok(()) if self.is_busy() => Progress::Going,
            Ok(()) => {
                self.report.contacts = book.len();
                self.report.unsent = book.unsent();
                self.report.unread = book.unread();
                Progress::Done(Box::new(Ok(self.report.clone())))
            }
        }
    }

    fn lane(&self, id: RequestId) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.job.as_ref().is_some_and(|(exchange, _)| exchange.id() == id))
    }

    fn on_reply(
        &mut self,
        job: Job,
        reply: &HttpsReply,
        book: &mut Book,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Step {
        match job {
            Job::Report { token, limited } => self.on_report(token, limited, reply, book, context, out),
            Job::List => {
                let read = self.multistatus(reply)?;
                self.take(read, book, out);
                Ok(())
            }
            Job::Multiget => {
                let read = self.multistatus(reply)?;
                self.take(read, book, out);
                Ok(())
            }
            Job::Whole(unsent) => self.on_whole(unsent, reply, book, context, out),
            Job::Send(unsent) => self.on_sent(&unsent, reply, book, out),
        }
    }

    /// What comes next, when nothing of the present part is under way.
    fn advance(&mut self, book: &mut Book, context: &mut Context<'_>, out: &mut Outbox<Effect>) -> Step {
        if self.pulling {
            if self.is_busy() {
                return Ok(());
            }
            if !self.pull.wanted.is_empty() {
                let rest = self.pull.wanted.split_off(self.pull.wanted.len().min(BATCH));
                let batch = std::mem::replace(&mut self.pull.wanted, rest);
                let body = dav::multiget(batch.iter().map(String::as_str));
                self.ask("REPORT", "0", body, Job::Multiget, context, out);
                return Ok(());
            }
            self.end_pull(book, out);
        }
        self.send_next(book, context, out);
        if !self.is_busy() && std::mem::take(&mut self.again) && self.rounds < MAX_ROUNDS {
            self.begin_pull(book, context, out);
        }
        Ok(())
    }

    fn is_busy(&self) -> bool {
        self.lanes.iter().any(|lane| lane.job.is_some())
    }

    fn begin_pull(&mut self, book: &mut Book, context: &mut Context<'_>, out: &mut Outbox<Effect>) {
        (self.rounds, self.pulling) = (self.rounds + 1, true);
        let token = book.token().map(str::to_owned);
        self.pull = Pull { full: token.is_none(), ..Pull::default() };
        if self.pull.full {
            book.begin_full();
        }
        self.report_on(token, true, context, out);
    }

    fn report_on(
        &mut self,
        token: Option<String>,
        limited: bool,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) {
        let body = dav::sync_collection(token.as_deref(), limited.then_some(PAGE));
        // RFC 6578 section 3.2: the depth is 0, how deep it goes stands in the body.
        self.ask("REPORT", "0", body, Job::Report { token, limited }, context, out);
    }

    /// A request about the collection.
    fn ask(
        &mut self,
        method: &'static str,
        depth: &'static str,
        body: String,
        job: Job,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) {
        let headers = vec![("depth", HeaderText::Plain(depth.to_owned()))];
        let target = encode(&self.place.path);
        let content = Some((XML, Bytes::from(body)));
        let request = Request { method, target, headers, content };
        self.start(0, request, job, context, out);
    }

    fn start(
        &mut self,
        lane: usize,
        request: Request,
        job: Job,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) {
        let lane = &mut self.lanes[lane];
        let server = &self.place.server;
        let exchange = Exchange::begin(server, request, &mut lane.auth, context.ids, context.ident, out);
        lane.job = Some((exchange, job));
    }

    fn on_report(
        &mut self,
        token: Option<String>,
        limited: bool,
        reply: &HttpsReply,
        book: &mut Book,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Step {
        let condition = |name: &str| dav::has_condition(&reply.body, name);
        match reply.status {
            207 => {}
            // RFC 6578 section 3.7: it cannot make pages of this size.
            _ if limited && condition("number-of-matches-within-limits") => {
                self.report_on(token, false, context, out);
                return Ok(());
            }
            // RFC 6578 section 3.2: the token is too old. Not every server says so with the condition.
            400 | 403 | 409 | 410 | 412 if token.is_some() && !self.anew => {
                book.set_token(None);
                (self.rounds, self.anew) = (self.rounds - 1, true);
                self.begin_pull(book, context, out);
                return Ok(());
            }
            // It knows no synchronisation.
            400 | 403 | 404 | 405 | 415 | 501
                if token.is_none() && (condition("supported-report") || reply.status != 403) =>
            {
                self.pull.full = true;
                self.pull.pages += 1;
                self.ask("PROPFIND", "1", dav::list(), Job::List, context, out);
                return Ok(());
            }
            _ => return Err(refused(reply)),
        }
        let read = self.multistatus(reply)?;
        self.pull.pages += 1;
        let (next, more) = (read.token.clone(), read.truncated);
        self.take(read, book, out);
        if more {
            let progress = next.is_some() && next != token && self.pull.pages < MAX_PAGES;
            if !progress {
                return Err(bad(
                    "sync-token",
                    "the reply has only a part, and no way to the rest".to_owned(),
                ));
            }
            let contacts = self.pull.received;
            out.push(Effect::Emit(EventKind::ContactsProgress { contacts }));
            self.report_on(next, limited, context, out);
            return Ok(());
        }
        self.pull.token = next;
        Ok(())
    }

    fn multistatus(&self, reply: &HttpsReply) -> Result<dav::Multistatus, ProvisionError> {
        match reply.status {
            207 => {
                dav::read_multistatus(&reply.body, &self.place.path).map_err(|why| bad("multistatus", why))
            }
            status @ 200..300 => Err(bad("status", format!("HTTP {status} in place of 207"))),
            _ => Err(refused(reply)),
        }
    }

    fn take(&mut self, read: dav::Multistatus, book: &mut Book, out: &mut Outbox<Effect>) {
        for item in read.items {
            match item.what {
                Said::Gone => {
                    let applied = book.server_lacks(&item.file);
                    self.count(applied, out);
                }
                Said::Is { etag, data: Some(card) } => {
                    let applied = book.server_has(&item.file, etag.as_deref(), &card);
                    self.count(applied, out);
                    self.pull.seen.insert(item.file);
                    self.pull.received += 1;
                }
                Said::Is { etag, data: None } => {
                    let known = etag.is_some_and(|etag| book.knows(&item.file, &etag));
                    // In the reply to a multiget there is no more to come.
                    if !known && !self.pull.seen.contains(&item.file) {
                        self.pull.wanted.push(item.file.clone());
                    }
                    self.pull.seen.insert(item.file);
                }
                Said::Trouble => {
                    self.pull.seen.insert(item.file);
                }
            }
        }
    }

    fn end_pull(&mut self, book: &mut Book, out: &mut Outbox<Effect>) {
        let pull = std::mem::take(&mut self.pull);
        self.pulling = false;
        if pull.full {
            self.report.full = true;
            for applied in book.end_full(&pull.seen) {
                self.count(applied, out);
            }
        }
        book.set_token(pull.token);
        if self.push {
            self.queue = book.to_send().into();
        }
    }

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

    /// Gives every lane a change to send.
    fn send_next(&mut self, book: &Book, context: &mut Context<'_>, out: &mut Outbox<Effect>) {
        while !self.queue.is_empty() {
            let free = self.lanes.iter().position(|lane| lane.job.is_none());
            let index = match free {
                Some(index) => index,
                None if self.lanes.len() < LANES => {
                    let auth = HttpAuth::new(&self.place.username, &self.place.password);
                    self.lanes.push(Lane { auth, job: None });
                    self.lanes.len() - 1
                }
                None => return,
            };
            let Some(unsent) = self.queue.pop_front().and_then(|file| book.unsent_of(&file)) else {
                continue;
            };
            let target = encode(&unsent.file);
            if unsent.what == What::PutOntoWhole {
                let request = Request { method: "GET", target, headers: Vec::new(), content: None };
                self.start(index, request, Job::Whole(unsent), context, out);
                continue;
            }
            let etag = unsent.etag.clone();
            let text = if let What::Put(text) = &unsent.what { Some(text.clone()) } else { None };
            let made_here = text.is_some() && etag.is_none() && book.is_new(&unsent.file);
            let request = change(target, text, etag, made_here);
            self.start(index, request, Job::Send(unsent), context, out);
        }
    }

    fn on_whole(
        &mut self,
        unsent: Unsent,
        reply: &HttpsReply,
        book: &mut Book,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Step {
        let whole = std::str::from_utf8(&reply.body).ok().filter(|_| reply.status == 200);
        match whole.and_then(|whole| book.onto_whole(&unsent.file, whole)) {
            Some(text) => {
                let request = change(encode(&unsent.file), Some(text), reply.etag.clone(), false);
                let free = self.lanes.iter().position(|lane| lane.job.is_none()).unwrap_or(0);
                self.start(free, request, Job::Send(unsent), context, out);
                Ok(())
            }
            None if reply.status == 200 => {
                self.refuse(&unsent.file, 200, book, out);
                Ok(())
            }
            None => self.on_sent(&unsent, reply, book, out),
        }
    }

    /// What the server says to a change.
    fn on_sent(
        &mut self,
        unsent: &Unsent,
        reply: &HttpsReply,
        book: &mut Book,
        out: &mut Outbox<Effect>,
    ) -> Step {
        let gone = matches!(reply.status, 404 | 410);
        match reply.status {
            200..300 => {
                book.sent(unsent, reply.etag.as_deref());
                self.report.sent += 1;
            }
            _ if gone && unsent.what == What::Delete => {
                book.sent(unsent, None);
                self.report.sent += 1;
            }
            // Somebody was faster: his news first, then ours on top of them.
            412 => self.again = true,
            _ if gone => self.again = true,
            // Not now; the change waits.
            429 | 500..=599 if reply.status != 507 => return Err(refused(reply)),
            status => self.refuse(&unsent.file, status, book, out),
        }
        Ok(())
    }

    fn refuse(&mut self, file: &str, status: u16, book: &mut Book, out: &mut Outbox<Effect>) {
        self.report.refused += 1;
        if let Some(id) = book.refused(file, status) {
            out.push(Effect::Emit(EventKind::ContactRefused { id, status }));
        }
    }
}

/// PUT or DELETE that overwrites nothing unseen.
fn change(target: String, text: Option<String>, etag: Option<String>, made_here: bool) -> Request {
    let plain = |text: String| HeaderText::Plain(text);
    let condition = match (etag, made_here) {
        (_, true) => ("if-none-match", plain("*".to_owned())),
        (Some(etag), false) if !etag.starts_with("W/") => ("if-match", plain(etag)),
        // The server gives no tags, or weak ones, which match nothing (RFC 9110 section 13.1.1): what is there is meant.
        (Some(_) | None, false) => ("if-match", plain("*".to_owned())),
    };
    let method = if text.is_some() { "PUT" } else { "DELETE" };
    Request { method, target, headers: vec![condition], content: text.map(|text| (VCARD, Bytes::from(text))) }
}

fn bad(field: &str, why: String) -> ProvisionError {
    ProvisionError::BadReply { phase: ADDRESS_BOOK, field: field.to_owned(), why }
}

fn refused(reply: &HttpsReply) -> ProvisionError {
    match reply.status {
        status @ 200..300 => bad("status", format!("HTTP {status} in place of 207")),
        _ => refusal(reply, ADDRESS_BOOK),
    }
}
