//! The walk through the first three steps to the beginning of the fourth: each step's end begins the next. What was proved is kept,
//! so that a walk that was broken off goes on from there.

use std::sync::Arc;
use std::time::Instant;

use z5_sip::ident::Ident;
use z5_sip::outbox::Outbox;

use super::calls::Shares;
use super::context::Context;
use super::io::{self, Asker, Effect};
use super::plan::Plan;
use super::provision::{self, Fetched, Licensed, Provisioning, Wanted};
use super::register::{self, LineAccount, Registering};
use super::resolve::{self, Resolved, Resolving};
use super::sign_in::{self, SignedIn, SigningIn};
use super::supervise::Onward;
use super::{Machine, State, book};
use crate::clock::WallAnchor;
use crate::config::{Profile, RetryMode};
use crate::error::{ResolveError, SignInError, Step};
use crate::events::{EventKind, MediaKind, SessionState, StepDetail};
use crate::policy::{BitRates, Limited, LocalRtpPorts, PolicyReport, VideoRate};
use crate::session::Goal;

/// What was proved last.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    pub(super) resolved: Option<Arc<Resolved>>,
    /// When the names were looked up.
    pub(super) resolved_at: Option<Instant>,
    pub(super) signed_in: Option<Arc<SignedIn>>,
}

impl Machine {
    pub(super) fn start(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        if matches!(self.state, State::Idle) {
            self.recall(now, out);
        }
    }

    /// Step 1, for the first time or again.
    pub(super) fn walk_names(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        if matches!(self.state, State::Resolving(_)) {
            out.push(Effect::EndLookups(Asker::Names));
        }
        self.begin_step(Step::Resolve, SessionState::Resolving, now, out);
        let bad = self.plan.names.iter().find(|(_, name)| name.is_empty());
        if let Some((_, name)) = bad {
            let error = ResolveError::InvalidName { name: name.clone() };
            return self.fail(error.into(), now, out);
        }
        let seed = self.ident.number();
        let mut step = Resolving::begin(&self.plan, seed, now, out);
        // Names that need no question may be all there is.
        let progress = step.on_deadline(now, out);
        self.state = State::Resolving(Box::new(step));
        self.after_resolve(progress, now, out);
    }

    pub(super) fn after_resolve(
        &mut self,
        progress: resolve::Progress<Resolved>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let resolved = match progress {
            resolve::Progress::Going => return,
            resolve::Progress::Done(Err(error)) => return self.fail(error.into(), now, out),
            resolve::Progress::Done(Ok(resolved)) => Arc::new(resolved),
        };
        let detail = StepDetail::Resolved { names: resolved.names().to_vec() };
        self.timings.resolve_ms = Some(self.end_step(Step::Resolve, detail, now, out));
        if self.plan.goal == Goal::Calls {
            // The connection of step 4 needs no proof; opened now, it stands when it is needed.
            self.line.open(register::early_targets(&resolved, &self.plan), out);
        }
        self.proofs.resolved = Some(Arc::clone(&resolved));
        self.proofs.resolved_at = Some(now);
        self.proofs.signed_in =
            self.proofs.signed_in.take().map(|signed_in| Arc::new(signed_in.moved(Arc::clone(&resolved))));
        let mut onward = self.onward.take().unwrap_or(Onward { step: Step::SignIn, account: None });
        if let Some(account) = &mut onward.account {
            account.move_to(resolved, &self.plan);
        }
        self.go_on(onward, now, out);
    }

    /// Step 2, or past it where there is none.
    pub(super) fn begin_sign_in(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let Some(resolved) = self.proofs.resolved.clone() else { return self.walk_names(now, out) };
        if self.plan.goal == Goal::Contacts && self.needs_no_sign_in() {
            return self.begin_syncing(now, out);
        }
        match (self.plan.profile, &self.plan.zdial) {
            (Profile::Generic, _) | (Profile::Z5, None) => {
                match LineAccount::generic(&resolved, &self.plan) {
                    Some(account) => self.begin_register(account, now, out),
                    None => self.fail(SignInError::NoNumbers.into(), now, out),
                }
            }
            (Profile::Z5, Some(_)) => {
                if let Some(signed_in) = self.spare_sign_in(&resolved, now) {
                    self.begin_step(Step::SignIn, SessionState::SigningIn, now, out);
                    return self.signed_in(signed_in, now, out);
                }
                if self.plan.goal == Goal::Calls {
                    self.line.open_unless_standing(register::early_targets(&resolved, &self.plan), out);
                }
                if let Some(mcs) = &self.plan.mcs {
                    self.warm.begin(&resolved, mcs, &mut self.request_ids, out);
                }
                self.begin_step(Step::SignIn, SessionState::SigningIn, now, out);
                let (plan, mut context) =
                    Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
                if let Some(zdial) = &plan.zdial {
                    let chosen = self.number.clone();
                    let step = SigningIn::begin(resolved, chosen, zdial, &mut context, out);
                    self.state = State::SigningIn(Box::new(step));
                }
            }
        }
    }

    pub(super) fn context<'a>(
        plan: &'a Plan,
        ids: &'a mut u64,
        ident: &'a mut Ident,
        wall: WallAnchor,
        now: Instant,
    ) -> (&'a Plan, Context<'a>) {
        (plan, Context { plan, ids, ident, now, wall })
    }

    pub(super) fn on_https(
        &mut self,
        id: io::RequestId,
        outcome: Result<io::HttpsReply, io::HttpsFailure>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        if self.warm.on_https(id, &outcome) {
            return;
        }
        let (_, mut context) =
            Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
        match &mut self.state {
            State::SigningIn(step) => {
                let progress = step.on_https(id, outcome, &mut context, out);
                self.after_sign_in(progress, now, out);
            }
            State::Provisioning(step) => {
                let book = Arc::make_mut(&mut self.book);
                let progress = step.on_https(id, outcome, book, &mut context, out);
                self.after_provision(progress, now, out);
            }
            State::Syncing(sync) => {
                let book = Arc::make_mut(&mut self.book);
                if let book::Progress::Done(done) = sync.on_https(id, outcome, book, &mut context, out) {
                    self.synced(*done, now, out);
                }
            }
            State::Ready(_) => self.on_upkeep_https(id, outcome, now, out),
            State::Idle
            | State::Resolving(_)
            | State::Registering(_)
            | State::Waiting(_)
            | State::Stopping(_)
            | State::Stopped => {}
        }
    }

    pub(super) fn after_sign_in(
        &mut self,
        progress: sign_in::Progress,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let signed_in = match progress {
            sign_in::Progress::Going => return self.tell(SessionState::SigningIn, out),
            sign_in::Progress::Choose => return self.tell(SessionState::ChoosingNumber, out),
            sign_in::Progress::Done(done) => match *done {
                Err(error) => return self.fail(error.into(), now, out),
                Ok(signed_in) => Arc::new(signed_in),
            },
        };
        self.keep_configuration(&signed_in, now, out);
        self.signed_in(signed_in, now, out);
    }

    /// Step 2 is done, whoever said so.
    pub(super) fn signed_in(&mut self, signed_in: Arc<SignedIn>, now: Instant, out: &mut Outbox<Effect>) {
        let account = &signed_in.account;
        let detail = StepDetail::SignedIn {
            offered: signed_in.offered.clone(),
            chosen: account.number.clone(),
            display_name: account.display_name.clone(),
            domain: account.domain.clone(),
            group: account.group.clone(),
            rtp_ports: LocalRtpPorts {
                client: self.plan.media.ports,
                sign_in: account.rtp_ports,
                group: None,
            },
            authentication: signed_in.authentication,
        };
        self.number = Some(account.number.clone());
        self.timings.sign_in_ms = Some(self.end_step(Step::SignIn, detail, now, out));
        self.proofs.signed_in = Some(signed_in);
        self.begin_provision(now, out);
    }

    /// Step 3.
    pub(super) fn begin_provision(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let Some(signed_in) = self.proofs.signed_in.clone() else { return self.begin_sign_in(now, out) };
        if self.plan.goal == Goal::Contacts {
            return self.begin_syncing(now, out);
        }
        self.begin_step(Step::Provision, SessionState::Provisioning, now, out);
        if let Some(licensed) = self.spare_licence(&signed_in, now) {
            return self.licensed(licensed, now, out);
        }
        let wanted = Wanted::Both { lenient: self.plan.retry.mode == RetryMode::Supervised };
        self.line.open_unless_standing(register::early_targets(&signed_in.resolved, &self.plan), out);
        let (_, mut context) =
            Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
        let book = Arc::make_mut(&mut self.book);
        let begun = Provisioning::begin(signed_in, wanted, &mut self.warm, book, &mut context, out);
        match begun {
            Ok(step) => self.state = State::Provisioning(Box::new(step)),
            Err(error) => self.fail(error.into(), now, out),
        }
    }

    pub(super) fn after_provision(
        &mut self,
        progress: provision::Progress,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let Fetched { licensed, book, book_error } = match progress {
            provision::Progress::Going => return,
            provision::Progress::Done(done) => match *done {
                Err(error) => return self.fail(error.into(), now, out),
                Ok(fetched) => fetched,
            },
        };
        self.keep_licence(&licensed, now, out);
        self.provisioned(&licensed, now, out);
        if let Some(report) = book {
            self.book_fetched(&report, now, out);
        }
        if let Some(error) = book_error {
            self.upkeep.lack_book(now);
            let (step, number) = (Step::Provision, Step::Provision.number());
            let error = error.into();
            out.push(Effect::Emit(EventKind::Retrying { step, number, attempt: 2, in_ms: 0, error }));
        }
        let account = LineAccount::licensed(licensed, &self.plan);
        self.begin_register(account, now, out);
    }

    fn provisioned(&mut self, licensed: &Licensed, now: Instant, out: &mut Outbox<Effect>) {
        let detail = StepDetail::Provisioned {
            licence: licensed.licence.report(self.wall.unix_s(now)),
            contacts: self.book.len(),
            policy: Box::new(self.policy_report(licensed)),
        };
        self.timings.provision_ms = Some(self.end_step(Step::Provision, detail, now, out));
    }

    /// The settings that the group has a say in, as both sides have them.
    fn policy_report(&self, licensed: &Licensed) -> PolicyReport {
        let (policy, account) = (&licensed.policy, &licensed.signed_in.account);
        let media = &self.plan.media;
        let names = |permitted: bool| {
            let codecs = media.audio_codecs.iter().filter(|codec| !permitted || policy.permits(**codec));
            codecs.map(|codec| codec.name().to_owned()).collect::<Vec<_>>()
        };
        let video = media.video_bits_per_second();
        let licence = licensed.licence.max_bitrate();
        let most = licence.into_iter().chain(policy.max_bitrate).min();
        let allows = |kind: MediaKind| licensed.licence.allows(kind.name());
        let codecs = media.audio_codecs.iter().copied();
        let codecs: Vec<_> =
            codecs.filter(|codec| allows(MediaKind::Audio) && policy.permits(*codec)).collect();
        let shares = Shares::new(most, &codecs, allows(MediaKind::Text), video);
        PolicyReport {
            group: policy.group.clone().or_else(|| account.group.clone()),
            rtp_ports: LocalRtpPorts {
                client: media.ports,
                sign_in: account.rtp_ports,
                group: policy.rtp_ports,
            },
            audio_codecs: Limited {
                client: names(false),
                group: policy.audio_codecs.clone(),
                in_force: names(true),
            },
            max_bitrate: BitRates { licence, group: policy.max_bitrate, in_force: most },
            video_bitrate: VideoRate { client: video, in_force: shares.video().unwrap_or(0) },
        }
    }

    /// Step 3 is done with a licence that was kept.
    pub(super) fn licensed(&mut self, licensed: Licensed, now: Instant, out: &mut Outbox<Effect>) {
        self.provisioned(&licensed, now, out);
        self.upkeep.lack_book(now);
        let account = LineAccount::licensed(licensed, &self.plan);
        self.begin_register(account, now, out);
    }

    pub(super) fn begin_register(&mut self, account: LineAccount, now: Instant, out: &mut Outbox<Effect>) {
        self.begin_step(Step::Register, SessionState::Registering, now, out);
        let seed = self.ident.number();
        match account.agent(&self.plan) {
            Err(error) => return self.fail(error.into(), now, out),
            Ok(config) => {
                self.line.install(config, Ident::from_seed(seed));
                self.line.keep_flows(self.plan.sip.flows.unwrap_or_else(|| account.proxies_reached()));
            }
        }
        self.line.open(account.targets.clone(), out);
        self.state = State::Registering(Box::new(Registering::begin(account, &self.plan, now)));
        if self.line.ends().is_some() {
            self.on_line_up(now, out);
        }
    }
}
