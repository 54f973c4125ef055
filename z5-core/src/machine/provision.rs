//! Step 3: the licence and the address book, fetched side by side from the MCS.
//!
//! The licence is verified here, offline, before the step counts as done. Both requests carry the SIP credentials of the
//! chosen number (RFC 9248 section 9.2.2). The step fails with the first of the two that fails; a supervised session does without
//! the address book when only that failed. While the session stands, the licence can be fetched alone; the address book is then
//! synced by itself (`book`).

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use z5_sip::outbox::{Deadline, Outbox};

use super::book::{self, BookPlace, BookSync, SyncReport};
use super::context::Context;
use super::exchange::{Answer, Exchange, HttpAuth, Server};
use super::io::{Effect, HttpsFailure, HttpsReply, RequestId};
use super::json;
use super::plan::{BookPlan, McsPlan, Plan};
use super::resolve::Resolved;
use super::sign_in::SignedIn;
use super::warm::Warm;
use crate::account::book::Book;
use crate::account::licence::{Licence, Validity};
use crate::clock::WallAnchor;
use crate::error::{ProvisionError, millis};
use crate::secret::Secret;
use crate::store::KeptLicence;

const LICENCE: &str = "the licence";
pub(super) const ADDRESS_BOOK: &str = "the address book";
/// Without a URI from ZDial, the licence is asked for here.
const LICENCE_PATH: &str = "/mcs/v1/license";

/// Proof of step 3: a licence that is valid for this device now.
#[derive(Debug)]
pub(crate) struct Licensed {
    pub(crate) signed_in: Arc<SignedIn>,
    pub(crate) licence: Licence,
    /// As it came, to be kept.
    pub(crate) token: Secret,
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
        good.then(|| Self { signed_in, licence, token: kept.token.clone(), _proof: Proof })
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
    licence: Option<(Licence, Secret)>,
    sync: Option<BookSync>,
    book: Option<SyncReport>,
    book_error: Option<ProvisionError>,
    began: Instant,
    until: Instant,
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
        let (server, target) = place(account.licence_uri.as_deref(), LICENCE_PATH, mcs, &signed_in.resolved)?;
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
        let taken = match answer {
            Answer::Going => return Progress::Going,
            Answer::Reply(reply) => self.take_licence(&reply, context),
            Answer::Rejected => Err(ProvisionError::BadCredentials { phase: LICENCE }),
            Answer::NoUsableChallenge(offered) => Err(ProvisionError::NoUsableChallenge { offered }),
            Answer::Failed(failure) => Err(network_error(failure, &job.server.host, LICENCE)),
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

    pub(crate) fn on_deadline(&mut self, now: Instant) -> Progress {
        if now >= self.until && self.licence.is_none() {
            let host = self.licence_job.server.host.clone();
            let after_ms = millis(now.saturating_duration_since(self.began));
            return failed(ProvisionError::TimedOut { host, phase: LICENCE, after_ms });
        }
        match self.sync.as_ref().and_then(|sync| sync.on_deadline(now)) {
            Some(error) => self.on_book(Err(error)),
            None => Progress::Going,
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        let licence = self.licence.is_none().then(|| Deadline::new(self.until, "step 3: the licence"));
        Deadline::earlier(licence, self.sync.as_ref().map(BookSync::next_deadline))
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
        self.licence = Some((licence, Secret::new(token)));
        Ok(())
    }

    fn finish(&mut self) -> Progress {
        if self.sync.is_some() {
            return Progress::Going;
        }
        let Some((licence, token)) = self.licence.take() else { return Progress::Going };
        let licensed = Licensed { signed_in: Arc::clone(&self.signed_in), licence, token, _proof: Proof };
        let (book, book_error) = (self.book.take(), self.book_error.take());
        Progress::Done(Box::new(Ok(Fetched { licensed, book, book_error })))
    }
}

/// Where the address book is: what the configuration says, else what ZDial says, else the usual place on the MCS. None where there is
/// none of them.
///
/// # Errors
/// When it is at a server that step 1 did not resolve.
pub(super) fn book_place(
    plan: &Plan,
    resolved: &Resolved,
    signed_in: Option<&SignedIn>,
) -> Result<Option<BookPlace>, ProvisionError> {
    let account = signed_in.map(|signed_in| &signed_in.account);
    if let Some(BookPlan { host, port, path, credentials }) = &plan.contacts {
        let credentials = credentials
            .clone()
            .or_else(|| account.map(|account| (account.user_name.clone(), account.sip_password.clone())))
            .or_else(|| {
                let account = plan.sip.account.as_ref()?;
                Some((account.auth_username.clone(), account.password.clone()))
            });
        let addresses = resolved.addresses(host).ok_or_else(|| ProvisionError::BadReply {
            phase: ADDRESS_BOOK,
            field: "contacts.uri".to_owned(),
            why: format!("`{host}` was not resolved"),
        })?;
        let server = Server { host: host.clone(), port: *port, addresses: addresses.to_vec() };
        return Ok(credentials.map(|(username, password)| BookPlace {
            server,
            path: path.clone(),
            username,
            password,
        }));
    }
    let (Some(account), Some(mcs)) = (account, &plan.mcs) else { return Ok(None) };
    let usual = format!("/carddav/{}/default/", account.user_name);
    let (server, path) = place(account.address_book_uri.as_deref(), &usual, mcs, resolved)?;
    let path = if path.ends_with('/') { path } else { format!("{path}/") };
    let (username, password) = (account.user_name.clone(), account.sip_password.clone());
    Ok(Some(BookPlace { server, path, username, password }))
}

/// The server and path of a URI that ZDial gave, or of the default path on the MCS. The host must be one of step 1's.
fn place(
    uri: Option<&str>,
    default_path: &str,
    mcs: &McsPlan,
    resolved: &Resolved,
) -> Result<(Server, String), ProvisionError> {
    let wrong = |why: &str| ProvisionError::BadReply {
        phase: "sign-in",
        field: "x-z5".to_owned(),
        why: format!("`{}` {why}", uri.unwrap_or_default()),
    };
    let (host, port, path) = match uri {
        None => (mcs.host.clone(), mcs.https_port, default_path.to_owned()),
        Some(uri) => https_uri(uri).map_err(wrong)?,
    };
    let addresses = resolved
        .addresses(&host)
        .ok_or_else(|| wrong("is on a host that is not one of the names of step 1"))?
        .to_vec();
    Ok((Server { host, port, addresses }, path))
}

/// Host, port and path of an https URI.
///
/// # Errors
/// What is wrong, in words that follow the URI.
pub(crate) fn https_uri(uri: &str) -> Result<(String, u16, String), &'static str> {
    let rest = uri.strip_prefix("https://").ok_or("is not an https URI")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let target: crate::config::HostPort = authority.parse().map_err(|_| "has no usable host")?;
    Ok((target.host, target.port.unwrap_or(443), format!("/{path}")))
}

pub(super) fn network_error(failure: HttpsFailure, host: &str, phase: &'static str) -> ProvisionError {
    let host = host.to_owned();
    match failure {
        HttpsFailure::Unreachable(attempts) => ProvisionError::Unreachable { host, attempts },
        HttpsFailure::Tls(why) => ProvisionError::Tls { host, why },
        HttpsFailure::Broken(why) => ProvisionError::ConnectionLost { host, phase, why },
        HttpsFailure::TooLarge { limit } => ProvisionError::BadReply {
            phase,
            field: "body".to_owned(),
            why: format!("it is larger than {limit} bytes"),
        },
    }
}

pub(super) fn refusal(reply: &HttpsReply, phase: &'static str) -> ProvisionError {
    let problem = json::Problem::read(reply);
    let (status, detail, retry_after_s) = (reply.status, problem.detail, reply.retry_after_s);
    match (problem.code.as_str(), status) {
        ("licence-denied", _) => ProvisionError::LicenceDenied { status, detail },
        ("seats-used", _) => ProvisionError::SeatsUsed { detail },
        ("no-licence", _) => ProvisionError::LicenceMissing { status, detail },
        (_, 429) => ProvisionError::RateLimited { retry_after_s },
        (_, 500..=599) => ProvisionError::Unavailable { phase, status, detail, retry_after_s },
        _ => ProvisionError::Refused { phase, status, detail },
    }
}
