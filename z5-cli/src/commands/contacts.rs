//! `z5 contacts`: the address book of the configuration's account, from its store; and synced with its server.
//!
//! What is new is fetched, then a change is made in the store and sent afterwards, so that nothing is lost when the server is away.

use std::path::{Path, PathBuf};

use serde::Serialize;
use z5_core::account::book::Imported;
use z5_core::account::contacts::check_number;
use z5_core::account::vcard::{self, BadCard, Found, MAX_FILE_BYTES, Version};
use z5_core::config::Profile;
use z5_core::media::file::Limit;
use z5_core::{
    Advice, Book, Card, Config, Contact, DirStore, EventKind, Failure, Goal, Store, StoreError, SyncReport,
};

use super::asking::{Asking, Next};
use super::head::Head;
use super::{account, load_file};
use crate::args::{AccountArgs, CardFormat, ContactAddArgs, ContactExportArgs, ContactsCommand, SendArgs};
use crate::exit::Exit;
use crate::failure::usage;
use crate::input;
use crate::output::{self, Output};
use crate::result_file::{self, Readers, Replace};
use crate::store;

/// The server does not take a change.
const REFUSED: &str = "contacts.refused";
/// Ctrl-C.
const INTERRUPTED: &str = "run.interrupted";

/// Whether the counts of a sync are told, or wait for those of the next one.
#[derive(Clone, Copy, PartialEq)]
enum Counts {
    Told,
    Held,
}

/// The result object.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<Vec<Contact>>,
    /// It was there already and was not added again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    already: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    imported: Option<Import>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exported: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync: Option<SyncReport>,
}

/// What became of a file.
#[derive(Debug, Serialize, Default)]
struct Import {
    added: usize,
    merged: usize,
    same: usize,
    bad: Vec<Bad>,
}

/// A card that cannot be used.
#[derive(Debug, Serialize)]
struct Bad {
    line: usize,
    why: String,
}

/// What was done, as far as it went.
#[derive(Default)]
struct Done {
    contacts: Option<Vec<Contact>>,
    already: bool,
    imported: Option<Import>,
    exported: Option<usize>,
    sync: Option<SyncReport>,
    failure: Option<Failure>,
    /// Some cards of a file were bad, the server did not take a change, or what was fetched cannot be kept: not everything was done.
    partly: bool,
    fault: bool,
    /// Ctrl-C came twice.
    twice: bool,
}

impl Done {
    /// The address book is as it was.
    fn is_nothing(&self) -> bool {
        self.already || self.imported.as_ref().is_some_and(|import| import.added + import.merged == 0)
    }
}

impl From<Failure> for Done {
    fn from(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::default() }
    }
}

pub(super) async fn run(command: &ContactsCommand, path: Option<&Path>, out: &mut Output) -> Exit {
    let done = match command {
        ContactsCommand::List => show(path, None, out),
        ContactsCommand::Search { text } => show(path, Some(text), out),
        ContactsCommand::Export(args) => export(args, path, out),
        ContactsCommand::Sync(args) => match account_config(args, path) {
            Ok(config) => sync(config, Counts::Told, out).await,
            Err(failure) => failure.into(),
        },
        // what can be added to no address book is told before anything is sent
        ContactsCommand::Add(args) => match add(&mut Book::default(), args, out) {
            Err(failure) => failure.into(),
            Ok(_) => change(&args.send, path, |book, out| add(book, args, out), out).await,
        },
        ContactsCommand::Remove(args) => {
            change(&args.send, path, |book, _| remove(book, &args.contact), out).await
        }
        ContactsCommand::Import(args) => match read(&args.file) {
            Err(failure) => failure.into(),
            // nothing of it can go into any address book
            Ok(cards) if cards.iter().all(Result::is_err) => {
                import(&mut Book::default(), &args.file, cards, out).unwrap_or_else(Done::from)
            }
            Ok(cards) => {
                change(&args.send, path, |book, out| import(book, &args.file, cards, out), out).await
            }
        },
    };
    if done.twice {
        return Exit::Interrupted;
    }
    let exit = match &done.failure {
        _ if output::is_lost() => Exit::Expectation,
        _ if done.fault => Exit::Bug,
        None => Exit::Ok,
        Some(_) if done.partly => Exit::Expectation,
        Some(Failure { step: Some(step), .. }) => Exit::Step(*step),
        Some(Failure { code: INTERRUPTED, .. }) => Exit::Expectation,
        Some(Failure { step: None, .. }) => Exit::Usage,
    };
    if let Some(failure) = &done.failure {
        output::failure(failure);
    }
    out.object(&Line {
        head: Head::new("contacts", exit, done.failure.as_ref()),
        contacts: done.contacts,
        already: done.already,
        imported: done.imported,
        exported: done.exported,
        sync: done.sync,
    });
    exit
}

fn show(path: Option<&Path>, text: Option<&str>, out: &mut Output) -> Done {
    let book = match kept(path) {
        Ok(book) => book,
        Err(failure) => return failure.into(),
    };
    let contacts = text.map_or_else(|| book.contacts(), |text| book.search(text));
    for contact in &contacts {
        out.note(&output::plain(&line(contact)));
    }
    if contacts.is_empty() {
        let sync = output::command("contacts sync");
        let nothing = format!("no contacts; those of the server are fetched by: {sync}");
        out.note(match text {
            Some(_) => "no contact is found",
            None => &nothing,
        });
    }
    Done { contacts: Some(contacts), ..Done::default() }
}

/// One contact in a line.
fn line(contact: &Contact) -> String {
    let mut text = format!("{:<24}", contact.name);
    for number in &contact.numbers {
        text += &format!("  {}", number.number);
        if !number.labels.is_empty() {
            text += &format!(" ({})", number.labels.join(", "));
        }
    }
    if let Some(organisation) = &contact.organisation {
        text += &format!("  {organisation}");
    }
    if contact.unsent {
        text += "  (not on the server yet)";
    }
    text.trim_end().to_owned()
}

fn export(args: &ContactExportArgs, path: Option<&Path>, out: &mut Output) -> Done {
    let book = match kept(path) {
        Ok(book) => book,
        Err(failure) => return failure.into(),
    };
    let is_xml = args.file.as_ref().and_then(|file| file.extension()).is_some_and(|end| end == "xml");
    let usual = if is_xml { CardFormat::Xcard } else { CardFormat::Vcard4 };
    let cards = book.cards();
    let written = |version| cards.iter().map(|card| card.to_version(version).to_text()).collect::<String>();
    let text = match args.format.unwrap_or(usual) {
        CardFormat::Vcard4 => written(Version::V4),
        CardFormat::Vcard3 => written(Version::V3),
        CardFormat::Xcard => vcard::write_xml(&cards),
    };
    match &args.file {
        None if matches!(out, Output::Json) => {
            return usage("usage.export", "with --json the cards need a FILE to go to").into();
        }
        None => text.lines().for_each(|line| out.note(line)),
        Some(file) => {
            let written = result_file::write(file, Replace::Nothing, Readers::Usual, text.as_bytes());
            if let Err(why) = written {
                return usage("usage.export", why).into();
            }
            out.note(&format!("{} contacts written to {}", cards.len(), file.display()));
        }
    }
    Done { exported: Some(cards.len()), ..Done::default() }
}

/// The address book as it is kept; an empty one where there is no store yet.
fn kept(path: Option<&Path>) -> Result<Book, Failure> {
    let place = place(&load_file(path)?)?;
    if !place.exists() {
        return Ok(Book::default());
    }
    DirStore::read_only(&place).and_then(|store| store.address_book()).map_err(|error| error.failure())
}

fn place(config: &Config) -> Result<PathBuf, Failure> {
    store::directory(config).ok_or_else(|| {
        let message = "contacts are not kept: the configuration says store = \"none\", or neither XDG_DATA_HOME nor HOME \
                       is set";
        usage("usage.no-store", message)
    })
}

/// Fetches what is new, so that what is there or not is judged by what the server has; changes the address book in the store; then
/// sends the change. A server that is away keeps nobody from changing it.
async fn change(
    send: &SendArgs,
    path: Option<&Path>,
    make: impl FnOnce(&mut Book, &mut Output) -> Result<Done, Failure>,
    out: &mut Output,
) -> Done {
    let config = match account_config(&send.account, path) {
        Ok(config) => config,
        Err(failure) => return failure.into(),
    };
    // The lock on the store is held while it is looked at and changed and not beyond: the session takes it then.
    let open = || DirStore::open(place(&config)?).map_err(|error| told(&error));
    let news = match open().map(drop) {
        Err(failure) => return failure.into(),
        Ok(()) if send.offline => Done::default(),
        Ok(()) => sync(config.clone(), Counts::Held, out).await,
    };
    if news.twice || news.fault || news.failure.as_ref().is_some_and(|failure| failure.code == INTERRUPTED) {
        return news;
    }
    let changed = || -> Result<Done, Failure> {
        let store = open()?;
        let mut book = store.address_book().map_err(|error| error.failure())?;
        let done = make(&mut book, out)?;
        store.keep_address_book(&book).map_err(|error| error.failure())?;
        Ok(done)
    };
    let done = match changed() {
        Ok(done) => done,
        Err(failure) => return Done { sync: news.sync, ..failure.into() },
    };
    if send.offline {
        out.note(&format!("kept here; sent by: {}", output::command("contacts sync")));
        return done;
    }
    // A server that has just been away is not asked again for the change, and nobody is for none.
    let is_away = news.failure.is_some() && !news.partly;
    let sent = match is_away || done.is_nothing() {
        true => {
            let event = news.sync.clone().map(|report| EventKind::ContactsSynced { report });
            let counts = event.and_then(|event| output::contacts::told(&event, None));
            counts.iter().for_each(|text| out.note(&output::plain(text)));
            news
        }
        false => {
            let sent = sync(config, Counts::Told, out).await;
            Done { sync: both(news.sync, sent.sync), ..sent }
        }
    };
    match &sent.failure {
        None => {}
        Some(_) if done.is_nothing() => {}
        Some(failure) if failure.code == REFUSED => {
            out.note("it is kept here alone: what the server refuses it refuses at every sync");
        }
        Some(_) => out.note(&format!("it is kept here; sent by: {}", output::command("contacts sync"))),
    }
    // What was wrong with the file comes first.
    let (failure, partly) = match done.failure {
        Some(failure) => (Some(failure), done.partly),
        None => (sent.failure, sent.partly),
    };
    Done { sync: sent.sync, failure, partly, fault: sent.fault, twice: sent.twice, ..done }
}

/// What came of two syncs, one after the other.
fn both(before: Option<SyncReport>, after: Option<SyncReport>) -> Option<SyncReport> {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (one, None) | (None, one) => return one,
    };
    Some(SyncReport {
        full: before.full || after.full,
        added: before.added + after.added,
        changed: before.changed + after.changed,
        removed: before.removed + after.removed,
        merged: before.merged + after.merged,
        sent: before.sent + after.sent,
        ..after
    })
}

/// Who has the store can change the address book himself.
fn told(error: &StoreError) -> Failure {
    let mut failure = error.failure();
    if let StoreError::InUse { place } = error {
        failure.message =
            format!("another z5 uses the store {place}: stop it first, or let it make the change");
    }
    failure
}

fn add(book: &mut Book, args: &ContactAddArgs, out: &mut Output) -> Result<Done, Failure> {
    let ContactAddArgs { name, numbers, again, .. } = args;
    for number in numbers {
        check_number(number).map_err(|error| error.failure())?;
    }
    if let Some(there) = book.having(name, numbers).filter(|_| !again) {
        out.note(&output::plain(&format!("{} is there already; --again adds another one", there.name)));
        return Ok(Done { contacts: Some(vec![there]), already: true, ..Done::default() });
    }
    let id = uuid()?;
    let card = Card::new(&id, name.trim(), numbers);
    let id = book.add(card, &id).map_err(|error| error.failure())?;
    let added = book.contacts().into_iter().filter(|contact| contact.id == id).collect();
    Ok(Done { contacts: Some(added), ..Done::default() })
}

fn remove(book: &mut Book, text: &str) -> Result<Done, Failure> {
    let id = match book.card(text) {
        Some(_) => text.to_owned(),
        None => {
            let mut found = book.search(text);
            let exact = |contact: &Contact| contact.name.eq_ignore_ascii_case(text.trim());
            if found.iter().filter(|contact| exact(contact)).count() == 1 {
                found.retain(exact);
            }
            match found.as_slice() {
                [] => return Err(usage("usage.contact", format!("no contact is called `{text}`"))),
                [one] => one.id.clone(),
                several => {
                    let all: Vec<String> =
                        several.iter().map(|one| format!("{} ({})", one.name, one.id)).collect();
                    let message =
                        format!("`{text}` is {} contacts, name one by its id: {}", all.len(), all.join(", "));
                    return Err(usage("usage.contact", message));
                }
            }
        }
    };
    let removed = book.remove(&id).map_err(|error| error.failure())?;
    Ok(Done { contacts: Some(vec![removed]), ..Done::default() })
}

type Cards = Vec<Result<Found, BadCard>>;

fn read(file: &Path) -> Result<Cards, Failure> {
    let limit = Limit::once("a file of cards", MAX_FILE_BYTES as u64);
    let bytes =
        input::read(file, limit).map_err(|why| usage("usage.cards", format!("{}: {why}", file.display())))?;
    let is_xml = bytes.trim_ascii_start().starts_with(b"<")
        || bytes.strip_prefix(b"\xef\xbb\xbf").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"<"));
    let cards = if is_xml { vcard::read_xml(&bytes) } else { vcard::read(&bytes) };
    if cards.is_empty() {
        return Err(usage("usage.cards", format!("{}: there is no card in it", file.display())));
    }
    Ok(cards)
}

fn import(book: &mut Book, file: &Path, cards: Cards, out: &mut Output) -> Result<Done, Failure> {
    let mut import = Import::default();
    for card in cards {
        match card {
            Err(BadCard { line, why }) => import.bad.push(Bad { line, why }),
            Ok(Found { line, card }) => match book.import(card, &uuid()?) {
                Ok((_, Imported::Added)) => import.added += 1,
                Ok((_, Imported::Merged)) => import.merged += 1,
                Ok((_, Imported::Same)) => import.same += 1,
                Err(error) => import.bad.push(Bad { line, why: error.to_string() }),
            },
        }
    }
    let Import { added, merged, same, bad } = &import;
    out.note(&format!("{added} added, {merged} merged, {same} as they were, {} bad", bad.len()));
    for Bad { line, why } in bad.iter().skip(1) {
        output::error(&output::plain(&format!("usage.card: {}:{line}: {why}", file.display())));
    }
    let failure =
        bad.first().map(|Bad { line, why }| usage("usage.card", format!("{}:{line}: {why}", file.display())));
    if let Some(failure) = failure.clone().filter(|_| added + merged + same == 0) {
        return Err(failure);
    }
    Ok(Done { imported: Some(import), partly: failure.is_some(), failure, ..Done::default() })
}

fn uuid() -> Result<String, Failure> {
    z5_core::session::contact_uuid().map_err(|error| usage(error.code(), error.to_string()))
}

/// The configuration of an account that has an address book.
fn account_config(args: &AccountArgs, path: Option<&Path>) -> Result<Config, Failure> {
    let mut config = load_file(path)?;
    if config.profile == Profile::Z5 {
        return account::load(args, path);
    }
    if config.contacts.uri.is_none() {
        let message =
            "profile generic has an address book only where the configuration names one: contacts.uri";
        return Err(usage("usage.profile", message));
    }
    if args.number.is_some() {
        return Err(usage("usage.number", "--number needs a [zdial] account; this configuration has none"));
    }
    account::trust(&mut config, args);
    config.check().map_err(|error| usage(error.code(), error.to_string()))?;
    Ok(store::placed(config))
}

/// A session that syncs the address book and ends.
async fn sync(config: Config, counts: Counts, out: &mut Output) -> Done {
    let mut session = match Asking::begin(config, Goal::Contacts) {
        Ok(session) => session,
        Err(failure) => return failure.into(),
    };
    let mut done = Done { fault: true, ..Done::default() };
    let mut refused = Vec::new();
    loop {
        let event = match session.next().await {
            Next::Event(event) => event,
            Next::Interrupted(failure) => {
                done.failure.get_or_insert(failure);
                continue;
            }
            Next::Twice => return Done { twice: true, ..done },
            Next::End => return done,
        };
        // a refusal is told once, as the failure
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others")]
        let is_told = match event.kind {
            EventKind::ContactRefused { .. } => false,
            EventKind::ContactsSynced { .. } => counts == Counts::Told,
            _ => true,
        };
        if matches!(out, Output::Json) {
            out.event(&event);
        } else if is_told
            && let Some(text) = output::contacts::told(&event.kind, Some(&session.address_book()))
        {
            out.note(&output::plain(&text));
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others are only shown")]
        match event.kind {
            EventKind::ContactRefused { id, status } => {
                let book = session.address_book();
                refused.push(output::contacts::refused(&id, status, Some(&book)));
            }
            EventKind::ContactsSynced { report } => {
                if report.unsent > 0 {
                    done.failure.get_or_insert_with(|| not_taken(&refused, &session.address_book()));
                    done.partly = true;
                }
                done.sync = Some(report);
            }
            EventKind::NumberRequired { .. } => {
                done.failure.get_or_insert(account::number_required());
                session.stop();
            }
            EventKind::StoreTrouble { error } => {
                // What was set aside or mended is told; of the rest what was fetched is gone with this run.
                if !matches!(error, StoreError::Corrupt { .. } | StoreError::Exposed { .. }) {
                    done.failure.get_or_insert(error.failure());
                    done.partly = true;
                } else if !matches!(out, Output::Json) {
                    output::error(&output::plain(&format!("{}: {error}", error.code())));
                }
            }
            EventKind::Stopped { error, fault } => {
                done.fault = fault.is_some();
                if let Some(error) = error {
                    done.failure.get_or_insert(error.failure());
                }
                done.failure = fault.map(|fault| fault.failure()).or(done.failure);
            }
            _ => {}
        }
    }
}

/// A sync has ended, and the server does not have all that was changed here.
fn not_taken(refused: &[String], book: &Book) -> Failure {
    match refused {
        [] => {
            let names = book.unsent_names().join("`, `");
            let message = format!(
                "the server does not have the change of `{names}`: others changed the same each time; it is kept here"
            );
            Failure::outside_steps("contacts.unsent", message, Advice::RetryAfter)
        }
        all => Failure::outside_steps(REFUSED, all.join("\n  "), Advice::AskCarrier),
    }
}
