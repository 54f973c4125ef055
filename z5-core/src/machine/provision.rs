//! Step 3: the licence and the address book, fetched side by side from the MCS.
//!
//! The licence is verified here, offline, before the step counts as done. Both requests carry the SIP credentials of the
//! chosen number (RFC 9248 section 9.2.2). The step fails with the first of the two that fails; a supervised session does without
//! the address book when only that failed. While the session stands, either can be fetched alone.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use z5_sip::outbox::{Deadline, Outbox};

use super::context::Context;
use super::exchange::{Answer, Exchange, HttpAuth, Server};
use super::io::{Effect, HttpsFailure, HttpsReply, RequestId};
use super::json;
use super::plan::{McsPlan, Plan};
use super::sign_in::SignedIn;
use super::warm::Warm;
use crate::account::contacts::{self, Contact};
use crate::account::licence::{Licence, Validity};
use crate::clock::WallAnchor;
use crate::error::{ProvisionError, millis};
use crate::secret::Secret;
use crate::store::KeptLicence;

const LICENCE: &str = "the licence";
const ADDRESS_BOOK: &str = "the address book";
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
pub(crate) struct Wanted {
    pub(crate) licence: bool,
    pub(crate) book: bool,
    /// The step is done without the address book when only that fails.
    pub(crate) lenient: bool,
}

/// What came.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// None when it was not asked for.
    pub(crate) licensed: Option<Licensed>,
    /// None when it was not asked for, or failed.
    pub(crate) contacts: Option<Vec<Contact>>,
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
    licence_job: Option<Job>,
    book_job: Option<Job>,
    licence: Option<(Licence, Secret)>,
    contacts: Option<Vec<Contact>>,
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
        mcs: &McsPlan,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Result<Self, ProvisionError> {
        let account = &signed_in.account;
        let default_book = format!("/carddav/{}/default/", account.user_name);
        let licence_at = place(account.licence_uri.as_deref(), LICENCE_PATH, mcs, &signed_in)?;
        let book_at = place(account.address_book_uri.as_deref(), &default_book, mcs, &signed_in)?;
        let auth = || HttpAuth::new(&account.user_name, &account.sip_password);

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
        let licence_job = wanted.licence.then(|| {
            let (server, target) = licence_at;
            let mut auth = warm.auth(&server, auth());
            let exchange = context.post(&server, target, content, &mut auth, out);
            Job { server, auth, exchange }
        });
        let book_job = wanted.book.then(|| {
            let sync = Bytes::from_static(contacts::FIRST_SYNC.as_bytes());
            let (server, target) = book_at;
            let mut auth = warm.auth(&server, auth());
            let content = ("application/xml; charset=utf-8", sync);
            let exchange = context.report(&server, target, content, &mut auth, out);
            Job { server, auth, exchange }
        });
        let (began, until) = (context.now, context.now + context.plan.timeouts.provision.duration());
        let lenient = wanted.lenient;
        let (licence, contacts, book_error) = (None, None, None);
        Ok(Self { signed_in, lenient, licence_job, book_job, licence, contacts, book_error, began, until })
    }

    pub(crate) fn on_https(
        &mut self,
        id: RequestId,
        outcome: Result<HttpsReply, HttpsFailure>,
        mcs: &McsPlan,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Progress {
        let asked = |job: &mut Option<Job>| job.as_ref().is_some_and(|job| job.exchange.id() == id);
        let phase = match (asked(&mut self.licence_job), asked(&mut self.book_job)) {
            (true, _) => LICENCE,
            (_, true) => ADDRESS_BOOK,
            (false, false) => return Progress::Going,
        };
        let job = if phase == LICENCE { &mut self.licence_job } else { &mut self.book_job };
        let Some(job) = job else { return Progress::Going };
        let answer = job.exchange.on_outcome(outcome, &mut job.auth, context.ids, context.ident, out);
        let taken = match answer {
            Answer::Going => return Progress::Going,
            Answer::Reply(reply) if phase == LICENCE => self.take_licence(&reply, mcs, context),
            Answer::Reply(reply) => self.take_contacts(&reply),
            Answer::Rejected => Err(ProvisionError::BadCredentials { phase }),
            Answer::NoUsableChallenge(offered) => Err(ProvisionError::NoUsableChallenge { offered }),
            Answer::Failed(failure) => Err(network_error(failure, &job.server.host, phase)),
        };
        match taken {
            Err(error) if phase == ADDRESS_BOOK && self.lenient => {
                self.book_error = Some(error);
                self.finish()
            }
            Err(error) => failed(error),
            Ok(()) => self.finish(),
        }
    }

    pub(crate) fn on_deadline(&mut self, now: Instant) -> Progress {
        if now < self.until {
            return Progress::Going;
        }
        let (job, phase) = match &self.licence_job {
            Some(job) if self.licence.is_none() => (Some(job), LICENCE),
            Some(_) | None => (self.book_job.as_ref(), ADDRESS_BOOK),
        };
        let host = job.map_or_else(String::new, |job| job.server.host.clone());
        let after_ms = millis(now.saturating_duration_since(self.began));
        let error = ProvisionError::TimedOut { host, phase, after_ms };
        if phase == ADDRESS_BOOK && self.lenient {
            self.book_error = Some(error);
            return self.finish();
        }
        failed(error)
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        Some(Deadline::new(self.until, "step 3: licence and address book"))
    }

    fn take_licence(
        &mut self,
        reply: &HttpsReply,
        mcs: &McsPlan,
        context: &Context<'_>,
    ) -> Result<(), ProvisionError> {
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

    fn take_contacts(&mut self, reply: &HttpsReply) -> Result<(), ProvisionError> {
        if (200..300).contains(&reply.status) && reply.status != 207 {
            return Err(ProvisionError::BadReply {
                phase: ADDRESS_BOOK,
                field: "status".to_owned(),
                why: format!("HTTP {} in place of 207", reply.status),
            });
        }
        if reply.status != 207 {
            return Err(refusal(reply, ADDRESS_BOOK));
        }
        let contacts = contacts::read_multistatus(&reply.body).map_err(|why| ProvisionError::BadReply {
            phase: ADDRESS_BOOK,
            field: "multistatus".to_owned(),
            why,
        })?;
        self.contacts = Some(contacts);
        Ok(())
    }

    fn finish(&mut self) -> Progress {
        let licence_open = self.licence_job.is_some() && self.licence.is_none();
        let book_open = self.book_job.is_some() && self.contacts.is_none() && self.book_error.is_none();
        if licence_open || book_open {
            return Progress::Going;
        }
        let signed_in = Arc::clone(&self.signed_in);
        let licensed = self.licence.take();
        let licensed = licensed.map(|(licence, token)| Licensed { signed_in, licence, token, _proof: Proof });
        let (contacts, book_error) = (self.contacts.take(), self.book_error.take());
        Progress::Done(Box::new(Ok(Fetched { licensed, contacts, book_error })))
    }
}

/// The server and path of a URI that ZDial gave, or of the default path on the MCS. The host must be one of step 1's.
fn place(
    uri: Option<&str>,
    default_path: &str,
    mcs: &McsPlan,
    signed_in: &SignedIn,
) -> Result<(Server, String), ProvisionError> {
    let wrong = |why: &str| ProvisionError::BadReply {
        phase: "sign-in",
        field: "x-z5".to_owned(),
        why: format!("`{}` {why}", uri.unwrap_or_default()),
    };
    let (host, port, path) = match uri {
        None => (mcs.host.clone(), mcs.https_port, default_path.to_owned()),
        Some(uri) => {
            let rest = uri.strip_prefix("https://").ok_or_else(|| wrong("is not an https URI"))?;
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let target: crate::config::HostPort =
                authority.parse().map_err(|_| wrong("has no usable host"))?;
            (target.host, target.port.unwrap_or(443), format!("/{path}"))
        }
    };
    let addresses = signed_in
        .resolved
        .addresses(&host)
        .ok_or_else(|| wrong("is on a host that is not one of the names of step 1"))?
        .to_vec();
    Ok((Server { host, port, addresses }, path))
}

fn network_error(failure: HttpsFailure, host: &str, phase: &'static str) -> ProvisionError {
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

fn refusal(reply: &HttpsReply, phase: &'static str) -> ProvisionError {
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
