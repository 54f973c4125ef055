//! A CardDAV collection (RFC 6352), card by card.
//!
//! News come by collection synchronisation (RFC 6578): everything the first time and when the server knows the token no more, what
//! changed otherwise, in pages where the server makes pages (507). A server without it is asked for all tags and then for the cards
//! that are new. Changes are written with `If-Match` and `If-None-Match` (RFC 9110 section 13.1), so that nothing unseen is overwritten.
//! The token is kept only when all before it is here.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::lanes::Job;
use super::{Step, Tools, Turn, bad, refused};
use crate::account::book::dav::{self, Said};
use crate::account::book::{Unsent, What, encode, key_of};
use crate::error::ProvisionError;
use crate::events::EventKind;
use crate::machine::exchange::Request;
use crate::machine::io::{Effect, HeaderText, HttpsReply};

/// Cards asked for at a time (RFC 6578 section 3.7); the server may send more or fewer.
const PAGE: usize = 2000;
/// Pages of one sync: more than any book has.
const MAX_PAGES: usize = 1000;
/// Cards named in one multiget.
const BATCH: usize = 100;
pub(super) const XML: &str = "application/xml; charset=utf-8";
const VCARD: &str = "text/vcard; charset=utf-8";
/// The status of a reply about several resources (RFC 4918 section 11.1).
const MULTI_STATUS: u16 = 207;

/// The sync of a collection.
#[derive(Debug)]
pub(super) struct CardDav {
    /// The collection.
    path: String,
    /// News are being fetched; else changes are being sent.
    pulling: bool,
    pull: Pull,
    queue: VecDeque<String>,
    /// It was begun anew, with everything, because the server did not know the token. Once is enough.
    anew: bool,
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

impl CardDav {
    pub(super) fn begin(tools: &mut Tools, turn: &mut Turn<'_, '_>) -> Self {
        let path = key_of(&tools.place.path).unwrap_or_else(|| tools.place.path.clone());
        turn.book.settle(&tools.place.origin(), &path);
        let mut this =
            Self { path, pulling: true, pull: Pull::default(), queue: VecDeque::new(), anew: false };
        this.begin_pull(tools, turn);
        this
    }

    pub(super) fn on_reply(
        &mut self,
        job: Job,
        reply: &HttpsReply,
        tools: &mut Tools,
        turn: &mut Turn<'_, '_>,
    ) -> Step {
        match job {
            Job::Report { token, limited } => self.on_report(token, limited, reply, tools, turn)?,
            Job::Tags | Job::Multiget => {
                let read = self.multistatus(reply)?;
                self.take(read, tools, turn);
            }
            Job::Whole(unsent) => self.on_whole(unsent, reply, tools, turn)?,
            Job::Send(unsent) => on_sent(&unsent, reply, tools, turn)?,
            // Not of this way.
            Job::Fetch | Job::Store(_) | Job::Find => {}
        }
        self.advance(tools, turn);
        Ok(())
    }

    /// What comes next, when nothing of the present part is under way.
    fn advance(&mut self, tools: &mut Tools, turn: &mut Turn<'_, '_>) {
        if self.pulling {
            if tools.lanes.is_busy() {
                return;
            }
            if !self.pull.wanted.is_empty() {
                let rest = self.pull.wanted.split_off(self.pull.wanted.len().min(BATCH));
                let batch = std::mem::replace(&mut self.pull.wanted, rest);
                let body = dav::multiget(batch.iter().map(String::as_str));
                self.ask("REPORT", "0", body, Job::Multiget, tools, turn);
                return;
            }
            self.end_pull(tools, turn);
        }
        self.send_next(tools, turn);
        if !tools.lanes.is_busy() && tools.once_more() {
            self.begin_pull(tools, turn);
        }
    }

    fn begin_pull(&mut self, tools: &mut Tools, turn: &mut Turn<'_, '_>) {
        tools.rounds += 1;
        self.pulling = true;
        let token = turn.book.token().map(str::to_owned);
        self.pull = Pull { full: token.is_none(), ..Pull::default() };
        if self.pull.full {
            turn.book.begin_full();
        }
        self.report_on(token, true, tools, turn);
    }

    fn report_on(&self, token: Option<String>, limited: bool, tools: &mut Tools, turn: &mut Turn<'_, '_>) {
        let body = dav::sync_collection(token.as_deref(), limited.then_some(PAGE));
        // RFC 6578 section 3.2: the depth is 0, how deep it goes stands in the body.
        self.ask("REPORT", "0", body, Job::Report { token, limited }, tools, turn);
    }

    /// A request about the collection.
    fn ask(
        &self,
        method: &'static str,
        depth: &'static str,
        body: String,
        job: Job,
        tools: &mut Tools,
        turn: &mut Turn<'_, '_>,
    ) {
        let headers = vec![("depth", HeaderText::Plain(depth.to_owned()))];
        let content = Some((XML, Bytes::from(body)));
        let request = Request { method, target: encode(&self.path), headers, content };
        tools.lanes.start(0, request, job, turn);
    }

    fn on_report(
        &mut self,
        token: Option<String>,
        limited: bool,
        reply: &HttpsReply,
        tools: &mut Tools,
        turn: &mut Turn<'_, '_>,
    ) -> Step {
        let condition = |name: &str| dav::has_condition(&reply.body, name);
        match reply.status {
            MULTI_STATUS => {}
            // RFC 6578 section 3.7: it cannot make pages of this size.
            _ if limited && condition("number-of-matches-within-limits") => {
                self.report_on(token, false, tools, turn);
                return Ok(());
            }
            // RFC 6578 section 3.2: the token is too old. Not every server says so with the condition.
            400 | 403 | 409 | 410 | 412 if token.is_some() && !self.anew => {
                turn.book.set_token(None);
                tools.rounds -= 1;
                self.anew = true;
                self.begin_pull(tools, turn);
                return Ok(());
            }
            // It knows no synchronisation.
            400 | 403 | 404 | 405 | 415 | 501
                if token.is_none() && (condition("supported-report") || reply.status != 403) =>
            {
                self.pull.full = true;
                self.pull.pages += 1;
                self.ask("PROPFIND", "1", dav::list(), Job::Tags, tools, turn);
                return Ok(());
            }
            _ => return Err(refused(reply, MULTI_STATUS)),
        }
        let read = self.multistatus(reply)?;
        self.pull.pages += 1;
        let (next, more) = (read.token.clone(), read.truncated);
        self.take(read, tools, turn);
        if more {
            let progress = next.is_some() && next != token && self.pull.pages < MAX_PAGES;
            if !progress {
                return Err(bad(
                    "sync-token",
                    "the reply has only a part, and no way to the rest".to_owned(),
                ));
            }
            let contacts = self.pull.received;
            turn.out.push(Effect::Emit(EventKind::ContactsProgress { contacts }));
            self.report_on(next, limited, tools, turn);
            return Ok(());
        }
        self.pull.token = next;
        Ok(())
    }

    fn multistatus(&self, reply: &HttpsReply) -> Result<dav::Multistatus, ProvisionError> {
        match reply.status {
            MULTI_STATUS => {
                dav::read_multistatus(&reply.body, &self.path).map_err(|why| bad("multistatus", why))
            }
            _ => Err(refused(reply, MULTI_STATUS)),
        }
    }

    fn take(&mut self, read: dav::Multistatus, tools: &mut Tools, turn: &mut Turn<'_, '_>) {
        for item in read.items {
            match item.what {
                Said::Gone => {
                    let applied = turn.book.server_lacks(&item.file);
                    tools.count(applied, turn.out);
                }
                Said::Is { etag, data: Some(card) } => {
                    let applied = turn.book.server_has(&item.file, etag.as_deref(), &card);
                    tools.count(applied, turn.out);
                    self.pull.seen.insert(item.file);
                    self.pull.received += 1;
                }
                Said::Is { etag, data: None } => {
                    let known = etag.is_some_and(|etag| turn.book.knows(&item.file, &etag));
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

    fn end_pull(&mut self, tools: &mut Tools, turn: &mut Turn<'_, '_>) {
        let pull = std::mem::take(&mut self.pull);
        self.pulling = false;
        if pull.full {
            tools.report.full = true;
            for applied in turn.book.end_full(&pull.seen) {
                tools.count(applied, turn.out);
            }
        }
        turn.book.set_token(pull.token);
        if tools.push {
            self.queue = turn.book.to_send().into();
        }
    }

    /// Gives every lane a change to send.
    fn send_next(&mut self, tools: &mut Tools, turn: &mut Turn<'_, '_>) {
        while !self.queue.is_empty() {
            let Some(lane) = tools.lanes.free() else { return };
            let Some(unsent) = self.queue.pop_front().and_then(|file| turn.book.unsent_of(&file)) else {
                continue;
            };
            let target = encode(&unsent.file);
            if unsent.what == What::PutOntoWhole {
                let request = Request { method: "GET", target, headers: Vec::new(), content: None };
                tools.lanes.start(lane, request, Job::Whole(unsent), turn);
                continue;
            }
            let etag = unsent.etag.clone();
            let text = if let What::Put(text) = &unsent.what { Some(text.clone()) } else { None };
            let made_here = text.is_some() && etag.is_none() && turn.book.is_new(&unsent.file);
            let request = change(target, text, etag, made_here);
            tools.lanes.start(lane, request, Job::Send(unsent), turn);
        }
    }

    fn on_whole(
        &mut self,
        unsent: Unsent,
        reply: &HttpsReply,
        tools: &mut Tools,
        turn: &mut Turn<'_, '_>,
    ) -> Step {
        let whole = std::str::from_utf8(&reply.body).ok().filter(|_| reply.status == 200);
        match whole.and_then(|whole| turn.book.onto_whole(&unsent.file, whole)) {
            Some(text) => {
                let request = change(encode(&unsent.file), Some(text), reply.etag.clone(), false);
                // The lane of this reply is free at least.
                let lane = tools.lanes.free().unwrap_or(0);
                tools.lanes.start(lane, request, Job::Send(unsent), turn);
                Ok(())
            }
            None if reply.status == 200 => {
                tools.refuse(&unsent.file, 200, turn);
                Ok(())
            }
            None => on_sent(&unsent, reply, tools, turn),
        }
    }
}

/// What the server says to a change.
fn on_sent(unsent: &Unsent, reply: &HttpsReply, tools: &mut Tools, turn: &mut Turn<'_, '_>) -> Step {
    let gone = matches!(reply.status, 404 | 410);
    match reply.status {
        200..300 => {
            turn.book.sent(unsent, reply.etag.as_deref());
            tools.report.sent += 1;
        }
        _ if gone && unsent.what == What::Delete => {
            turn.book.sent(unsent, None);
            tools.report.sent += 1;
        }
        // Somebody was faster: his news first, then ours on top of them.
        412 => tools.again = true,
        _ if gone => tools.again = true,
        // Not now; the change waits.
        429 | 500..=599 if reply.status != 507 => return Err(refused(reply, MULTI_STATUS)),
        status => tools.refuse(&unsent.file, status, turn),
    }
    Ok(())
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
