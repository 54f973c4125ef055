//! Step 3: the licence and the address book, fetched side by side from the MCS.
//!
//! The licence is verified here, offline, before the step counts as done. Both requests carry the SIP credentials of the
//! chosen number (RFC 9248 section 9.2.2). The step fails with the first of the two that fails.

use std::time::Instant;

use bytes::Bytes;
use z5_sip::outbox::{Deadline, Outbox};

use super::context::Context;
use super::exchange::{Answer, Exchange, HttpAuth, Server};
use super::io::{Effect, HttpsFailure, HttpsReply, RequestId};
use super::json;
use super::plan::McsPlan;
use super::sign_in::SignedIn;
use crate::account::contacts::{self, Contact};
use crate::account::licence::Licence;
use crate::error::{ProvisionError, millis};

const LICENCE: &str = "the licence";
const ADDRESS_BOOK: &str = "the address book";
/// Without a URI from ZDial, the licence is asked for here.
const LICENCE_PATH: &str = "/mcs/v1/license";

/// Proof of step 3: a licence that is valid for this device now.
#[derive(Debug)]
pub(crate) struct Licensed {
    pub(crate) signed_in: SignedIn,
    pub(crate) licence: Licence,
    pub(crate) contacts: Vec<Contact>,
    _proof: Proof,
}

/// Only this file makes one.
#[derive(Debug)]
struct Proof;

/// The step under way.
#[derive(Debug)]
pub(crate) struct Provisioning {
    signed_in: Option<SignedIn>,
    licence_job: Job,
    book_job: Job,
    licence: Option<Licence>,
    contacts: Option<Vec<Contact>>,
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
    Done(Box<Result<Licensed, ProvisionError>>),
}

fn failed(error: ProvisionError) -> Progress {
    Progress::Done(Box::new(Err(error)))
}

impl Provisioning {
    /// Sends both requests.
    ///
    /// # Errors
    /// When ZDial named a server that step 1 did not resolve: nothing is sent there.
    pub(crate) fn begin(
        signed_in: SignedIn,
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
        let (server, target) = licence_at;
        let mut licence_auth = auth();
        let exchange = context.post(&server, target, content, &mut licence_auth, out);
        let licence_job = Job { server, auth: licence_auth, exchange };

        let content = ("application/xml; charset=utf-8", Bytes::from_static(contacts::FIRST_SYNC.as_bytes()));
        let (server, target) = book_at;
        let mut book_auth = auth();
        let exchange = context.report(&server, target, content, &mut book_auth, out);
        let book_job = Job { server, auth: book_auth, exchange };

        let (began, until) = (context.now, context.now + context.plan.timeouts.provision.duration());
        let signed_in = Some(signed_in);
        Ok(Self { signed_in, licence_job, book_job, licence: None, contacts: None, began, until })
    }

    pub(crate) fn on_https(
        &mut self,
        id: RequestId,
        outcome: Result<HttpsReply, HttpsFailure>,
        mcs: &McsPlan,
        context: &mut Context<'_>,
        out: &mut Outbox<Effect>,
    ) -> Progress {
        let (job, phase) = if self.licence_job.exchange.id() == id {
            (&mut self.licence_job, LICENCE)
        } else if self.book_job.exchange.id() == id {
            (&mut self.book_job, ADDRESS_BOOK)
        } else {
            return Progress::Going;
        };
        let answer = job.exchange.on_outcome(outcome, &mut job.auth, context.ids, context.ident, out);
        let reply = match answer {
            Answer::Going => return Progress::Going,
            Answer::Reply(reply) => reply,
            Answer::Rejected => return failed(ProvisionError::BadCredentials { phase }),
            Answer::NoUsableChallenge(offered) => {
                return failed(ProvisionError::NoUsableChallenge { offered });
            }
            Answer::Failed(failure) => return failed(network_error(failure, &job.server.host, phase)),
        };
        let taken = if phase == LICENCE {
            self.take_licence(&reply, mcs, context)
        } else {
            self.take_contacts(&reply)
        };
        match taken {
            Err(error) => failed(error),
            Ok(()) => self.finish(),
        }
    }

    pub(crate) fn on_deadline(&self, now: Instant) -> Progress {
        if now < self.until {
            return Progress::Going;
        }
        let (job, phase) = if self.licence.is_none() {
            (&self.licence_job, LICENCE)
        } else {
            (&self.book_job, ADDRESS_BOOK)
        };
        let after_ms = millis(now.saturating_duration_since(self.began));
        failed(ProvisionError::TimedOut { host: job.server.host.clone(), phase, after_ms })
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
        let now_unix_s = context.wall.unix_s(context.now);
        self.licence = Some(Licence::verify(&token, mcs, &context.plan.instance_id, now_unix_s)?);
        Ok(())
    }

    fn take_contacts(&mut self, reply: &HttpsReply) -> Result<(), ProvisionError> {
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
        if self.licence.is_none() || self.contacts.is_none() {
            return Progress::Going;
        }
        match (self.signed_in.take(), self.licence.take(), self.contacts.take()) {
            (Some(signed_in), Some(licence), Some(contacts)) => {
                Progress::Done(Box::new(Ok(Licensed { signed_in, licence, contacts, _proof: Proof })))
            }
            _ => Progress::Going,
        }
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
