//! The address book of the session: changes of the application, its syncing while the session stands, and sessions that do nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use z5_sip::outbox::Outbox;

use super::book::{self, ADDRESS_BOOK, BookSync, SyncReport, book_place};
use super::exchange::HttpAuth;
use super::io::{BookChange, Effect, LookupAnswer, LookupFailure, LookupId};
use super::sign_in::SignedIn;
use super::{Machine, State};
use crate::account::book::Book;
use crate::entropy;
use crate::error::{ProvisionError, Step};
use crate::events::{EventKind, SessionState};

/// How long the address book may differ from the server's when nobody asks.
const NEWS_EVERY: Duration = Duration::from_secs(15 * 60);

impl Machine {
    /// Changes the address book here; the server hears of it as soon as the session stands.
    pub(super) fn change_contacts(&mut self, change: BookChange, now: Instant, out: &mut Outbox<Effect>) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.ident.number().to_be_bytes());
        bytes[8..].copy_from_slice(&self.ident.number().to_be_bytes());
        let book = Arc::make_mut(&mut self.book);
        let done = match change {
            BookChange::Add(card) => book.add(card, &entropy::uuid_of(bytes)).map(drop),
            BookChange::Change { id, card } => book.change(&id, card),
            BookChange::Remove { id } => book.remove(&id).map(drop),
        };
        match done {
            Err(error) => out.push(Effect::Emit(EventKind::ContactNotChanged { error })),
            Ok(()) => {
                self.contacts_changed(out);
                self.upkeep.lack_book(now);
                self.keep_up(now, out);
            }
        }
    }

    /// Syncs now, or as soon as the session stands.
    pub(super) fn sync_contacts(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        Arc::make_mut(&mut self.book).forget_refusals();
        self.upkeep.lack_book(now);
        self.keep_up(now, out);
    }

    fn contacts_changed(&mut self, out: &mut Outbox<Effect>) {
        self.keep_book(out);
        let (contacts, unsent) = (self.book.len(), self.book.unsent());
        out.push(Effect::Emit(EventKind::ContactsChanged { contacts, unsent }));
    }

    /// The address book as it was kept. What was added while the store was being read comes on top.
    pub(super) fn recall_book(&mut self, kept: Book, out: &mut Outbox<Effect>) {
        let early = std::mem::replace(&mut self.book, Arc::new(kept)).cards();
        for card in early {
            self.change_contacts(BookChange::Add(card), self.started, out);
        }
    }

    /// Step 3 fetched the news; what is to be sent follows when the session stands.
    pub(super) fn book_fetched(&mut self, report: &SyncReport, now: Instant, out: &mut Outbox<Effect>) {
        self.keep_book(out);
        if report.unread > 0 || report.merged > 0 {
            out.push(Effect::Emit(EventKind::ContactsSynced { report: report.clone() }));
        }
        match report.unsent {
            0 => self.upkeep.book_at(now + NEWS_EVERY),
            _ => self.upkeep.lack_book(now),
        }
        self.book_is_there = true;
    }

    /// A sync while the session stands is done.
    pub(super) fn book_synced(&mut self, report: SyncReport, now: Instant, out: &mut Outbox<Effect>) {
        self.keep_book(out);
        if !std::mem::replace(&mut self.book_is_there, true) {
            out.push(Effect::Emit(EventKind::ContactsLoaded { contacts: report.contacts }));
        }
        out.push(Effect::Emit(EventKind::ContactsSynced { report }));
        self.upkeep.book_at(now + NEWS_EVERY);
    }

    /// Whether the address book can be had without signing in.
    pub(super) fn needs_no_sign_in(&self) -> bool {
        self.plan
            .contacts
            .at
            .as_ref()
            .is_some_and(|book| book.credentials.is_some() || self.plan.sip.account.is_some())
    }

    /// A sync, where there is an address book.
    pub(super) fn begin_sync(
        &mut self,
        signed_in: Option<&SignedIn>,
        push: bool,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Result<Option<BookSync>, ProvisionError> {
        let Some(resolved) = self.proofs.resolved.clone() else { return Ok(None) };
        let Some(place) = book_place(&self.plan, &resolved, signed_in)? else { return Ok(None) };
        let auth = self.warm.auth(&place.server, HttpAuth::new(&place.username, &place.password));
        let (_, mut context) =
            Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
        let book: &mut Book = Arc::make_mut(&mut self.book);
        Ok(Some(BookSync::begin(place, push, auth, book, &mut context, out)))
    }

    /// The goal is the address book: nothing is licensed or registered.
    pub(super) fn begin_syncing(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        self.begin_step(Step::Provision, SessionState::Provisioning, now, out);
        let signed_in = self.proofs.signed_in.clone();
        Arc::make_mut(&mut self.book).forget_refusals();
        match self.begin_sync(signed_in.as_deref(), true, now, out) {
            Ok(Some(sync)) => self.state = State::Syncing(Box::new(sync)),
            Ok(None) => {
                let field = "contacts.uri".to_owned();
                let why = "there is no address book: neither the sign-in nor the configuration names one"
                    .to_owned();
                let phase = ADDRESS_BOOK;
                self.fail(ProvisionError::BadReply { phase, field, why }.into(), now, out);
            }
            Err(error) => self.fail(error.into(), now, out),
        }
    }

    /// What a nameserver says about the server of the address book, to whoever looks for it.
    pub(super) fn on_book_looked(
        &mut self,
        id: LookupId,
        outcome: Result<LookupAnswer, LookupFailure>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let (_, mut context) =
            Self::context(&self.plan, &mut self.request_ids, &mut self.ident, self.wall, now);
        if let State::Provisioning(step) = &mut self.state {
            let book = Arc::make_mut(&mut self.book);
            let progress = step.on_looked(id, outcome, book, &mut context, out);
            self.after_provision(progress, now, out);
        } else if let State::Syncing(sync) = &mut self.state {
            let book = Arc::make_mut(&mut self.book);
            if let book::Progress::Done(done) = sync.on_looked(id, outcome, book, &mut context, out) {
                self.synced(*done, now, out);
            }
        } else if let State::Ready(_) = &self.state {
            self.on_upkeep_looked(id, outcome, now, out);
        }
    }

    /// The goal is reached, or not.
    pub(super) fn synced(
        &mut self,
        done: Result<SyncReport, ProvisionError>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        self.keep_book(out);
        match done {
            Ok(report) => {
                out.push(Effect::Emit(EventKind::ContactsSynced { report }));
                self.stop(now, out);
            }
            Err(error) => self.fail(error.into(), now, out),
        }
    }
}
