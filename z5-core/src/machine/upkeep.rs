//! What is renewed while the session stands: the licence before it ends, an address book that could not be had, the configuration of
//! the number when its lifetime is over or its credentials were refused (RFC 9248 sections 5.1 and 9.2.2).
//!
//! One thing at a time, beside everything else: calls and the registration go on with what they have until the new is there. A failure
//! changes nothing and is tried again where that can help.

use std::sync::Arc;
use std::time::{Duration, Instant};

use z5_sip::outbox::{Deadline, Outbox};
use z5_sip::ua;

use super::book::{self, BookSync, SyncReport};
use super::io::{Effect, HttpsFailure, HttpsReply, LookupAnswer, LookupFailure, LookupId, RequestId};
use super::provision::{self, Fetched, Provisioning, Wanted};
use super::register::LineAccount;
use super::sign_in::{self, SignedIn, SigningIn};
use super::supervise::{Backoff, Remedy};
use super::{Machine, State};
use crate::config::Profile;
use crate::error::{ProvisionError, SessionError, SignInError, Step, millis};
use crate::events::{EventKind, SessionState};

/// Neither configuration nor licence is asked for more often than this, whatever they say of themselves.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(60);
/// How long a configuration of another user waits for the calls of the old one to end before it is looked at again.
const CALLS_FIRST: Duration = Duration::from_secs(30);

/// What is due, and what is under way.
#[derive(Default)]
pub(super) struct Upkeep {
    job: Job,
    licence_at: Option<Instant>,
    book_at: Option<Instant>,
    configuration_at: Option<Instant>,
    /// The last attempt to renew the licence came to nothing because its server is away: the grace counts.
    licence_server_away: bool,
    /// The registrar refused our credentials: fresh ones are used to register as soon as they are there.
    refused: bool,
    /// Something failed and waits to be tried again.
    retrying: bool,
    backoff: Backoff,
}

#[derive(Default)]
enum Job {
    #[default]
    None,
    Configuring(Box<SigningIn>),
    Fetching(Box<Provisioning>),
    Syncing(Box<BookSync>),
}

impl Upkeep {
    /// There is no licence; with `again` one is asked for as soon as the session stands.
    pub(super) fn lack_licence(&mut self, again: bool, now: Instant) {
        self.licence_at = again.then_some(now);
        self.book_at = again.then_some(now);
    }

    /// There is no address book, or it has news; it is synced as soon as the session stands.
    pub(super) fn lack_book(&mut self, now: Instant) {
        self.book_at = Some(now);
    }

    /// The configuration is one that was kept; it is asked for as soon as the session stands.
    pub(super) fn lack_configuration(&mut self, now: Instant) {
        self.configuration_at = Some(now);
    }

    /// The licence is one that was kept because its server is away: its grace counts.
    pub(super) fn lack_server(&mut self) {
        self.licence_server_away = true;
    }

    /// The address book is as on the server; when it is looked at again.
    pub(super) fn book_at(&mut self, at: Instant) {
        self.book_at = Some(at);
    }

    /// Whether the grace of the licence counts.
    pub(super) const fn grace(&self) -> bool {
        self.licence_server_away
    }

    /// What waits for a pause to end is due now.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.backoff.reset();
        if std::mem::take(&mut self.retrying) {
            for at in [&mut self.licence_at, &mut self.book_at, &mut self.configuration_at] {
                *at = at.map(|_| now);
            }
        }
    }

    /// Requests under way are lost; what they were for is due again.
    pub(super) fn interrupt(&mut self, now: Instant) {
        match std::mem::take(&mut self.job) {
            Job::None => {}
            Job::Configuring(_) => self.configuration_at = Some(now),
            Job::Fetching(_) => self.licence_at = Some(now),
            Job::Syncing(_) => self.book_at = Some(now),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        match &self.job {
            Job::Configuring(step) => step.next_deadline(),
            Job::Fetching(step) => step.next_deadline(),
            Job::Syncing(sync) => Some(sync.next_deadline()),
            Job::None => {
                let at = [self.licence_at, self.book_at, self.configuration_at].into_iter().flatten().min();
                at.map(|at| Deadline::new(at, "upkeep: licence, address book, configuration"))
            }
        }
    }
}

impl Machine {
    /// The session stands, or stands with another licence: when things are due.
    pub(super) fn plan_upkeep(&mut self, now: Instant) {
        let State::Ready(ready) = &self.state else { return };
        let account = &ready.registered.account;
        if self.plan.contacts.at.is_some() && !self.book_is_there {
            // Step 3 asked for none, where there is no step 3.
            self.upkeep.book_at.get_or_insert(now);
        }
        if let Some(licence) = &account.licence {
            // A server that gives the same licence again is not asked without end.
            let soonest = now + SHORTEST_LIFETIME;
            self.upkeep.licence_at = Some(licence.refresh_at(self.wall, now).max(soonest));
        }
        let lifetime = account.signed_in.as_ref().and_then(|signed_in| signed_in.account.lifetime);
        if self.upkeep.configuration_at.is_none() {
            self.upkeep.configuration_at = lifetime.map(|lifetime| now + lifetime.max(SHORTEST_LIFETIME));
        }
    }

    /// The clock was set: the end of the licence is elsewhere.
    pub(super) fn plan_licence(&mut self, now: Instant) {
        let State::Ready(ready) = &self.state else { return };
        if let (Some(licence), false) = (&ready.registered.account.licence, self.upkeep.licence_server_away) {
            self.upkeep.licence_at = Some(licence.refresh_at(self.wall, now));
        }
    }

    /// The registrar refused the credentials that ZDial gave: fresh ones.
    pub(super) fn fetch_credentials(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        self.upkeep.refused = true;
        self.upkeep.configuration_at = Some(now);
        self.tell(SessionState::Registering, out);
        self.keep_up(now, out);
    }

    /// Begins what is due, when nothing is under way.
    pub(super) fn keep_up(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let State::Ready(ready) = &self.state else { return };
        if !matches!(self.upkeep.job, Job::None) {
            return;
        }
        let signed_in = ready.registered.account.signed_in.clone();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.upkeep.book_at) && !due(self.upkeep.licence_at) && !due(self.upkeep.configuration_at) {
            return self.sync_book(signed_in, now, out);
        }
        let Some(signed_in) = signed_in else { return };
        let (plan, mut context) =
            Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
        if due(self.upkeep.configuration_at) {
            self.upkeep.configuration_at = None;
            let Some(zdial) = &plan.zdial else { return };
            let (resolved, number) = (Arc::clone(&signed_in.resolved), self.number.clone());
            let step = SigningIn::begin(resolved, number, zdial, &mut context, out);
            self.upkeep.job = Job::Configuring(Box::new(step));
        } else if due(self.upkeep.licence_at) {
            self.upkeep.licence_at = None;
            let book = Arc::make_mut(&mut self.book);
            match Provisioning::begin(signed_in, Wanted::Licence, &mut self.warm, book, &mut context, out) {
                Ok(step) => self.upkeep.job = Job::Fetching(Box::new(step)),
                Err(error) => self.not_fetched(error, now, out),
            }
        }
    }

    fn sync_book(&mut self, signed_in: Option<Arc<SignedIn>>, now: Instant, out: &mut Outbox<Effect>) {
        self.upkeep.book_at = None;
        match self.begin_sync(signed_in.as_deref(), true, now, out) {
            Ok(None) => {}
            Ok(Some(sync)) => self.upkeep.job = Job::Syncing(Box::new(sync)),
            Err(error) => self.not_synced(error, now, out),
        }
    }

    /// A reply to what is under way.
    pub(super) fn on_upkeep_https(
        &mut self,
        id: RequestId,
        outcome: Result<HttpsReply, HttpsFailure>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let (_, mut context) =
            Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
        match &mut self.upkeep.job {
            Job::None => {}
            Job::Configuring(step) => {
                let progress = step.on_https(id, outcome, &mut context, out);
                self.after_configuring(progress, now, out);
            }
            Job::Fetching(step) => {
                let book = Arc::make_mut(&mut self.book);
                let progress = step.on_https(id, outcome, book, &mut context, out);
                self.after_fetching(progress, now, out);
            }
            Job::Syncing(sync) => {
                let book = Arc::make_mut(&mut self.book);
                if let book::Progress::Done(done) = sync.on_https(id, outcome, book, &mut context, out) {
                    self.after_syncing(*done, now, out);
                }
            }
        }
    }

    /// What a nameserver says about the server of the address book.
    pub(super) fn on_upkeep_looked(
        &mut self,
        id: LookupId,
        outcome: Result<LookupAnswer, LookupFailure>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let (_, mut context) =
            Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
        if let Job::Syncing(sync) = &mut self.upkeep.job {
            let book = Arc::make_mut(&mut self.book);
            if let book::Progress::Done(done) = sync.on_looked(id, outcome, book, &mut context, out) {
                self.after_syncing(*done, now, out);
            }
        }
    }

    pub(super) fn on_upkeep_deadline(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let (_, mut context) =
            Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
        match &mut self.upkeep.job {
            Job::None => {}
            Job::Configuring(step) => {
                let progress = step.on_deadline(now);
                self.after_configuring(progress, now, out);
            }
            Job::Fetching(step) => {
                let progress = step.on_deadline(Arc::make_mut(&mut self.book), &mut context, out);
                self.after_fetching(progress, now, out);
            }
            Job::Syncing(sync) => {
                let book = Arc::make_mut(&mut self.book);
                if let book::Progress::Done(done) = sync.on_deadline(book, &mut context, out) {
                    self.after_syncing(*done, now, out);
                }
            }
        }
        self.keep_up(now, out);
    }

    fn after_syncing(
        &mut self,
        done: Result<SyncReport, ProvisionError>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        self.upkeep.job = Job::None;
        match done {
            Ok(report) => {
                self.upkeep.backoff.reset();
                self.upkeep.retrying = false;
                self.book_synced(report, now, out);
            }
            Err(error) => {
                // What came before it broke off is here.
                self.keep_book(out);
                self.not_synced(error, now, out);
            }
        }
        self.keep_up(now, out);
    }

    /// The address book goes on as it was; what could not be sent waits.
    fn not_synced(&mut self, error: ProvisionError, now: Instant, out: &mut Outbox<Effect>) {
        let error = SessionError::from(error);
        match self.remedy(&error) {
            Remedy::Again => {
                let at = self.pause_upkeep(Step::Provision, error, now, out);
                self.upkeep.book_at = Some(at);
            }
            Remedy::Fresh => {
                self.tell_failed(&error, now, now, out);
                self.upkeep.configuration_at = Some(now);
                self.upkeep.book_at = Some(now);
            }
            Remedy::Never => self.tell_failed(&error, now, now, out),
        }
    }

    fn after_fetching(&mut self, progress: provision::Progress, now: Instant, out: &mut Outbox<Effect>) {
        let provision::Progress::Done(done) = progress else { return };
        self.upkeep.job = Job::None;
        match *done {
            Ok(fetched) => self.fetched(fetched, now, out),
            Err(error) => self.not_fetched(error, now, out),
        }
        self.keep_up(now, out);
    }

    fn fetched(&mut self, fetched: Fetched, now: Instant, out: &mut Outbox<Effect>) {
        let licensed = fetched.licensed;
        self.upkeep.backoff.reset();
        self.upkeep.retrying = false;
        self.keep_licence(&licensed, now, out);
        let State::Ready(ready) = &mut self.state else { return };
        let account = &mut ready.registered.account;
        let licence = licensed.licence.report(self.wall.unix_s(now));
        account.licence = Some(licensed.licence);
        account.obey(licensed.policy);
        let lacked = account.lack.take().is_some();
        let (address, online) = (account.address.clone(), ready.online);
        self.upkeep.licence_server_away = false;
        self.rejections = 0;
        out.push(Effect::Emit(EventKind::LicenceRenewed { licence }));
        self.plan_upkeep(now);
        if lacked && online {
            self.tell(SessionState::Ready, out);
            out.push(Effect::Emit(EventKind::Ready { address, timings: self.timings }));
        }
    }

    /// No licence was had; what there is goes on.
    fn not_fetched(&mut self, error: ProvisionError, now: Instant, out: &mut Outbox<Effect>) {
        let away = super::kept::is_mcs_away(&error);
        self.upkeep.licence_server_away = away;
        let error = SessionError::from(error);
        match self.remedy(&error) {
            Remedy::Again => {
                let at = self.pause_upkeep(Step::Provision, error, now, out);
                self.upkeep.licence_at = Some(at);
                if away {
                    self.look_again(now, out);
                }
            }
            Remedy::Fresh => {
                // The same credentials register us: perhaps they are not what they were.
                self.tell_failed(&error, now, now, out);
                self.upkeep.configuration_at = Some(now);
                self.upkeep.licence_at = Some(now);
            }
            Remedy::Never => self.tell_failed(&error, now, now, out),
        }
    }

    fn after_configuring(&mut self, progress: sign_in::Progress, now: Instant, out: &mut Outbox<Effect>) {
        let sign_in::Progress::Done(done) = progress else { return };
        self.upkeep.job = Job::None;
        match *done {
            Ok(signed_in) => self.configured(Arc::new(signed_in), now, out),
            Err(error) => self.not_configured(error, now, out),
        }
        self.keep_up(now, out);
    }

    fn configured(&mut self, signed_in: Arc<SignedIn>, now: Instant, out: &mut Outbox<Effect>) {
        self.keep_configuration(&signed_in, now, out);
        let State::Ready(ready) = &mut self.state else { return };
        let old = &mut ready.registered.account;
        let new = old.configured_anew(Arc::clone(&signed_in), &self.plan);
        let (same_user, changed) = (old.is_same_user(&new), !old.is_configured_like(&new));
        if !same_user && !self.calls.is_empty() {
            self.upkeep.configuration_at = Some(now + CALLS_FIRST);
            return;
        }
        self.upkeep.backoff.reset();
        self.upkeep.retrying = false;
        self.proofs.signed_in = Some(signed_in);
        out.push(Effect::Emit(EventKind::ConfigurationRenewed { changed }));
        if new.lack.is_some() && self.upkeep.licence_at.is_none() {
            self.upkeep.lack_licence(true, now);
        }
        if !same_user {
            // Someone else to the registrar: the old binding is taken back, then all of step 4 again.
            let events = self.line.agent(ua::Input::Command(ua::Command::Unregister), now, out);
            drop(events);
            self.line.close(out);
            return self.begin_register(new, now, out);
        }
        self.line.retarget(new.targets.clone());
        let credentials = new.credentials();
        *old = new;
        let mut orders = vec![ua::Command::Credentials(credentials)];
        if std::mem::take(&mut self.upkeep.refused) {
            orders.push(ua::Command::Register);
        }
        self.plan_upkeep(now);
        self.order(orders, now, out);
    }

    /// The configuration that we have goes on to be used (RFC 9248 section 9.2.2), unless it is what the registrar refuses.
    fn not_configured(&mut self, error: SignInError, now: Instant, out: &mut Outbox<Effect>) {
        let away = matches!(
            error,
            SignInError::Unreachable { .. }
                | SignInError::ConnectionLost { .. }
                | SignInError::TimedOut { .. }
        );
        let error = SessionError::from(error);
        if self.remedy(&error) == Remedy::Again {
            let at = self.pause_upkeep(Step::SignIn, error, now, out);
            self.upkeep.configuration_at = Some(at);
            if away {
                self.look_again(now, out);
            }
        } else if self.upkeep.refused {
            self.fail_standing(error, now, now, out);
        } else {
            self.tell_failed(&error, now, now, out);
        }
    }

    fn pause_upkeep(
        &mut self,
        step: Step,
        error: SessionError,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Instant {
        let lot = self.ident.number();
        let wish = error.retry_after_s().map(Duration::from_secs);
        self.upkeep.retrying = true;
        let (attempt, pause) = self.upkeep.backoff.next(step, wish, self.plan.retry, lot);
        let (number, in_ms) = (step.number(), millis(pause));
        out.push(Effect::Emit(EventKind::Retrying { step, number, attempt, in_ms, error }));
        now + pause
    }

    /// What the session is while it is registered with this account.
    pub(super) fn standing_state(&self, account: &LineAccount) -> SessionState {
        match self.plan.profile == Profile::Z5 && account.lack.is_some() {
            true => SessionState::EmergencyOnly,
            false => SessionState::Ready,
        }
    }
}
