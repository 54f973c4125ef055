//! Step 3: the licence and the address book, fetched side by side from the MCS.
//!
//! The licence is verified here, offline, before the step counts as done. Both requests carry the SIP credentials of the
//! chosen number (RFC 9248 section 9.2.2). The step fails with the first of the two that fails; a supervised session does without
//! the address book when only that failed or takes longer than the licence may. While the session stands, the licence can be fetched alone; the address book is then
//! synced by itself (`book`).

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use z5_sip::outbox::{Deadline, Outbox};

use super::book::{self, BookSync, SyncReport, book_place};
use super::context::Context;
use super::exchange::{Exchange, HttpAuth, Server};
use super::io::{Effect, HttpsFailure, HttpsReply, LookupAnswer, LookupFailure, LookupId, RequestId};
use super::json;
use super::mcs::{at_uri, refusal, replied};
use super::plan::Plan;
use super::sign_in::SignedIn;
use super::warm::Warm;
use crate::account::book::Book;
use crate::account::licence::{Licence, Validity};
use crate::clock::WallAnchor;
use crate::error::{ProvisionError, millis};
use crate::policy::GroupPolicy;
use crate::secret::Secret;
use crate::store::KeptLicence;

const LICENCE: &str = "the licence";
/// Without a URI from ZDial, the licence is asked for here.
const LICENCE_PATH: &str = "/mcs/v1/license";

/// Proof of step 3: a licence that is valid for this device now.
#[derive(Debug)]
pub(crate) struct Licensed {
    pub(crate) signed_in: Arc<SignedIn>,
    pub(crate) licence: Licence,
    /// As it came, to be kept.
    pub(crate) token: Secret,
    /// What came beside it.
    pub(crate) policy: Arc<GroupPolicy>,
    /// The same as it came, to be kept.
    pub(crate) policy_text: Option<String>,
    _proof: Proof,
}

impl Licensed {
    /// A licence that was kept, if it is good for this account, device and time; beyond its end only with `grace`.
    pub(crate) fn recall(
        kept: &KeptLicence,
        signed_in: Arc<SignedIn>,
        plan: &Plan,
        (wall, now): (WallAnchor, Instant),
        grace: bool,
    ) -> Option<Self> {
        let (mcs, device, number) = (plan.mcs.as_ref()?, &plan.instance_id, &signed_in.account.number);
        let licence = Licence::recall(kept.token.expose(), mcs, device, number, (wall, now)).ok()?;
        let good = match licence.validity(wall, now) {
            Validity::Valid => true,
            Validity::Grace => grace,
            Validity::Over => false,
        };
        let policy_text = kept.policy.clone();
        let said = policy_text.as_deref().and_then(|text| json::parse(text.as_bytes()).ok());
        // What was kept could be read when it came.
        let policy = Arc::new(said.and_then(|said| read_policy(&said).ok()).unwrap_or_default());
        let token = kept.token.clone();
        good.then(|| Self { signed_in, licence, token, policy, policy_text, _proof: Proof })
    }
}

/// What is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Licence,
    /// Both, as the step says.
    Both {
        /// The step is done without the address book when only that fails.
        lenient: bool,
    },
}

/// What came.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) licensed: Licensed,
    /// None when it was not asked for, or failed.
    pub(crate) book: Option<SyncReport>,
    /// Why there is no address book, when the step is done without it.
    pub(crate) book_error: Option<ProvisionError>,
}

/// Only this file makes one.
#[derive(Debug)]
struct Proof;

/// The step under way.
#[derive(Debug)]
pub(crate) struct Provisioning {
    signed_in: Arc<SignedIn>,
    lenient: bool,
    licence_job: Job,
    licence: Option<Given>,
    sync: Option<BookSync>,
    book: Option<SyncReport>,
    book_error: Option<ProvisionError>,
    began: Instant,
    until: Instant,
}

/// What the licence server gave.
#[derive(Debug)]
struct Given {
    licence: Licence,
    token: Secret,
    policy: GroupPolicy,
    policy_text: Option<String>,
}

#[derive(Debug)]
struct Job {
    server: Server,
    auth: HttpAuth,
    exchange: Exchange,
}

/// How the step stands.
pub(crate) enum Progress {
    Going,
    Done(Box<Result<Fetched, ProvisionError>>),
}

fn failed(error: ProvisionError) -> Progress {
    Progress::Done(Box::new(Err(error)))
}

impl Provisioning {
    /// Sends what is wanted, side by side.
    ///
    /// # Errors
    /// When ZDial named a server that step 1 did not resolve: nothing is sent there.
    pub(crate) fn begin(
        signed_in: Arc<SignedIn>,
        wanted: Wanted,
        warm: &mut Warm,
        book: &mut Book,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Result<Self, ProvisionError> {
        let Some(mcs) = &context.plan.mcs else {
            let detail = "no licence issuer is configured".to_owned();
            return Err(ProvisionError::LicenceMissing { status: 0, detail });
        };
        let account = &signed_in.account;
        let usual = || format!("https://{}:{}{LICENCE_PATH}", mcs.host, mcs.https_port);
        let at = account.licence_uri.clone().unwrap_or_else(usual);
        let (server, target) = at_uri(&at, &signed_in.resolved)?;
        let book_at = match wanted {
            Wanted::Both { .. } => book_place(context.plan, &signed_in.resolved, Some(&signed_in))?,
            Wanted::Licence => None,
        };
        let body = serde_json::json!({
            "instanceId": context.plan.instance_id,
            "phone-number": account.number,
            "client": {
                "name": "z5",
                "version": env!("CARGO_PKG_VERSION"),
                "platform": std::env::consts::OS,
            },
        });
        let content = ("application/json", Bytes::from(body.to_string()));
        let mut auth = warm.auth(&server, HttpAuth::new(&account.user_name, &account.sip_password));
        let exchange = context.post(&server, target, content, &mut auth, out);
        let licence_job = Job { server, auth, exchange };
        let sync = book_at.map(|at| {
            let auth = warm.auth(&at.server, HttpAuth::new(&at.username, &at.password));
            // What is to be sent waits until the session stands: a call must not wait for it.
            BookSync::begin(at, false, auth, book, context, out)
        });
        Ok(Self {
            lenient: matches!(wanted, Wanted::Both { lenient: true }),
            licence_job,
            licence: None,
            sync,
            book: None,
            book_error: None,
            began: context.now,
            until: context.now + context.plan.timeouts.provision.duration(),
            signed_in,
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
        if let Some(sync) = self.sync.as_mut().filter(|sync| sync.asked(id)) {
            return match sync.on_https(id, outcome, book, context, out) {
                book::Progress::Going => Progress::Going,
                book::Progress::Done(done) => self.on_book(*done),
            };
        }
        let job = &mut self.licence_job;
        if job.exchange.id() != id || self.licence.is_some() {
            return Progress::Going;
        }
        let answer = job.exchange.on_outcome(outcome, &mut job.auth, context.ids, context.ident, out);
        let taken = match replied(answer, &job.server.host, LICENCE) {
            Ok(None) => return Progress::Going,
            Ok(Some(reply)) => self.take_licence(&reply, context),
            Err(error) => Err(error),
        };
        match taken {
            Err(error) => failed(error),
            Ok(()) => self.finish(),
        }
    }

    fn on_book(&mut self, done: Result<SyncReport, ProvisionError>) -> Progress {
        self.sync = None;
        match done {
            Ok(report) => self.book = Some(report),
            Err(error) if self.lenient => self.book_error = Some(error),
            Err(error) => return failed(error),
        }
        self.finish()
    }

    /// What a nameserver says about the server of the address book.
    pub(crate) fn on_looked(
        &mut self,
        id: LookupId,
        outcome: Result<LookupAnswer, LookupFailure>,
        book: &mut Book,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Progress {
        let progress = self.sync.as_mut().map(|sync| sync.on_looked(id, outcome, book, context, out));
        match progress {
            Some(book::Progress::Done(done)) => self.on_book(*done),
            Some(book::Progress::Going) | None => Progress::Going,
        }
    }

    pub(crate) fn on_deadline(
        &mut self,
        book: &mut Book,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Progress {
        let now = context.now;
        if now >= self.until && self.licence.is_none() {
            let host = self.licence_job.server.host.clone();
            let after_ms = millis(now.saturating_duration_since(self.began));
            return failed(ProvisionError::TimedOut { host, phase: LICENCE, after_ms });
        }
        // Servers of the address book that are away must not keep the session from being registered.
        if now >= self.until
            && self.lenient
            && let Some(sync) = self.sync.take()
        {
            return self.on_book(Err(sync.give_up(now.saturating_duration_since(self.began), out)));
        }
        match self.sync.as_mut().map(|sync| sync.on_deadline(book, context, out)) {
            Some(book::Progress::Done(done)) => self.on_book(*done),
            Some(book::Progress::Going) | None => Progress::Going,
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        let licence = self.licence.is_none().then(|| Deadline::new(self.until, "step 3: the licence"));
        let without = || Deadline::new(self.until, "step 3: on without the address book");
        let without = self.sync.as_ref().filter(|_| self.lenient).map(|_| without());
        let book = Deadline::earlier(self.sync.as_ref().map(BookSync::next_deadline), without);
        Deadline::earlier(licence, book)
    }

    fn take_licence(&mut self, reply: &HttpsReply, context: &Context<'_>) -> Result<(), ProvisionError> {
        let Some(mcs) = &context.plan.mcs else { return Ok(()) };
        if reply.status != 200 {
            return Err(refusal(reply, LICENCE));
        }
        let wrong = |wrong: json::Wrong| ProvisionError::BadReply {
            phase: LICENCE,
            field: wrong.field,
            why: wrong.why,
        };
        let value = json::parse(&reply.body).map_err(wrong)?;
        let token = json::text(&value, "license").map_err(wrong)?;
        let (device, number) = (&context.plan.instance_id, &self.signed_in.account.number);
        let licence = Licence::verify(&token, mcs, device, number, (context.wall, context.now))?;
        let said = value.get("policy").filter(|said| !said.is_null());
        let policy = said.map_or_else(|| Ok(GroupPolicy::default()), read_policy).map_err(wrong)?;
        let policy_text = said.map(ToString::to_string);
        self.licence = Some(Given { licence, token: Secret::new(token), policy, policy_text });
        Ok(())
    }

    fn finish(&mut self) -> Progress {
        if self.sync.is_some() {
            return Progress::Going;
        }
        let Some(given) = self.licence.take() else { return Progress::Going };
        let Given { licence, token, policy, policy_text } = given;
        let (signed_in, policy) = (Arc::clone(&self.signed_in), Arc::new(policy));
        let licensed = Licensed { signed_in, licence, token, policy, policy_text, _proof: Proof };
        let (book, book_error) = (self.book.take(), self.book_error.take());
        Progress::Done(Box::new(Ok(Fetched { licensed, book, book_error })))
    }
}

/// The member `policy`: what it does not say it leaves to others, what it says must be usable.
fn read_policy(said: &Value) -> Result<GroupPolicy, json::Wrong> {
    let within = |wrong: json::Wrong| json::Wrong { field: format!("policy.{}", wrong.field), ..wrong };
    if !said.is_object() {
        return Err(json::Wrong { field: "policy".to_owned(), why: "it is no object".to_owned() });
    }
    let codecs = said.get("audio-codecs").filter(|codecs| !codecs.is_null());
    let codecs = codecs.map(|_| json::texts(said, "audio-codecs")).transpose().map_err(within)?;
    Ok(GroupPolicy {
        group: json::optional_text(said, "group").map_err(within)?,
        rtp_ports: json::port_range(said, "rtp-port-range").map_err(within)?,
        audio_codecs: codecs,
        max_bitrate: json::number(said, "max-bitrate").map_err(within)?,
    })
}
