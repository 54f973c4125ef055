//! A list of xCards as a whole, fetched by GET and stored by POST (RFC 9248 section 7.2, RFC 6351).
//!
//! News are the list where it is another than the one that was seen last (`If-None-Match`), all of it. Changes of ours go into the list as
//! it came a moment ago, and that goes back in its place with `If-Match`: when somebody else has stored another one meanwhile, the server
//! says 412, and his list is fetched, merged and changed in its turn. A server without strong ETags cannot say so: then a list that
//! is stored between our GET and our POST is lost there, for which nothing can be done here but to ask right before (RFC 9110 section 13.1.1).

use bytes::Bytes;

use super::lanes::Job;
use super::{Step, Tools, Turn, bad, refused};
use crate::account::book::{LIST_MARK, Rewrite, Unsent};
use crate::account::vcard::XmlList;
use crate::machine::exchange::Request;
use crate::machine::io::{HeaderText, HttpsReply};

const XCARD: &str = "application/vcard+xml";
const OK: u16 = 200;

/// The sync of a list.
#[derive(Debug)]
pub(super) struct List {
    /// Path and query, and how its cards begin to be called.
    target: String,
    home: String,
}

impl List {
    pub(super) fn begin(tools: &mut Tools, turn: &mut Turn<'_, '_>) -> Self {
        let target = tools.place.path.clone();
        let home = format!("{target}{LIST_MARK}");
        turn.book.settle(&tools.place.origin(), &home);
        turn.book.speak_xml();
        let this = Self { target, home };
        this.fetch(tools, turn);
        this
    }

    fn fetch(&self, tools: &mut Tools, turn: &mut Turn<'_, '_>) {
        tools.rounds += 1;
        let mut headers = vec![("accept", HeaderText::Plain(XCARD.to_owned()))];
        // What we change is changed in the list itself: then it must come.
        let to_send = tools.push && !turn.book.to_send().is_empty();
        if let Some(etag) = turn.book.token().filter(|_| !to_send) {
            headers.push(("if-none-match", HeaderText::Plain(etag.to_owned())));
        }
        let request = Request { method: "GET", target: self.target.clone(), headers, content: None };
        tools.lanes.start(0, request, Job::Fetch, turn);
    }

    pub(super) fn on_reply(
        &self,
        job: Job,
        reply: &HttpsReply,
        tools: &mut Tools,
        turn: &mut Turn<'_, '_>,
    ) -> Step {
        match job {
            Job::Fetch => self.on_list(reply, tools, turn),
            Job::Store(changes) => {
                on_stored(&changes, reply, tools, turn)?;
                if tools.once_more() {
                    self.fetch(tools, turn);
                }
                Ok(())
            }
            // Not of this way.
            Job::Report { .. } | Job::Tags | Job::Multiget | Job::Whole(_) | Job::Send(_) | Job::Find => {
                Ok(())
            }
        }
    }

    fn on_list(&self, reply: &HttpsReply, tools: &mut Tools, turn: &mut Turn<'_, '_>) -> Step {
        let list = match reply.status {
            304 if turn.book.token().is_some() => return Ok(()),
            // Nobody has stored one.
            204 => XmlList::empty(),
            OK => XmlList::read(&reply.body).map_err(|wrong| bad("xCard", wrong.to_string()))?,
            _ => return Err(refused(reply, OK)),
        };
        let (files, all) = turn.book.server_has_list(&self.home, &list);
        for applied in all {
            tools.count(applied, turn.out);
        }
        tools.report.full = true;
        turn.book.set_token(reply.etag.clone());
        let Rewrite { document, changes } = match tools.push {
            true => turn.book.rewrite(&list, &files),
            false => return Ok(()),
        };
        if changes.is_empty() {
            return Ok(());
        }
        let condition = match (&reply.etag, reply.status) {
            (_, 204) => Some(("if-none-match", "*".to_owned())),
            (Some(etag), _) if !etag.starts_with("W/") => Some(("if-match", etag.clone())),
            (Some(_) | None, _) => None,
        };
        let headers = condition.into_iter().map(|(name, value)| (name, HeaderText::Plain(value))).collect();
        let content = Some((XCARD, Bytes::from(document)));
        let request = Request { method: "POST", target: self.target.clone(), headers, content };
        tools.lanes.start(0, request, Job::Store(changes), turn);
        Ok(())
    }
}

/// What the server says to a list with changes in it: it takes all of them or none.
fn on_stored(changes: &[Unsent], reply: &HttpsReply, tools: &mut Tools, turn: &mut Turn<'_, '_>) -> Step {
    match reply.status {
        200..300 => {
            changes.iter().for_each(|change| turn.book.sent(change, None));
            tools.report.sent += changes.len();
            // Without one the next sync looks at what the server made of it.
            turn.book.set_token(reply.etag.clone());
        }
        // Somebody was faster: his list first, then ours on top of it.
        412 => tools.again = true,
        // Not now; the changes wait.
        429 | 500..=599 if reply.status != 507 => return Err(refused(reply, OK)),
        status => changes.iter().for_each(|change| tools.refuse(&change.file, status, turn)),
    }
    Ok(())
}
