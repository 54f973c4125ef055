//! What scenarios do with address books: add, find and remove a contact, sync, call somebody by name, compare two parties' books.

use std::collections::BTreeMap;

use z5_core::{Book, Card, Contact, Failure, Session};

use super::outcome::failure;
use super::party::{Party, State};
use super::perform::{Deadline, session};
use crate::expect::Expectation;

/// Begins the target of a call that is named as a contact.
pub(super) const CONTACT: &str = "contact:";
/// Names that are told of cards that differ.
const TOLD: usize = 5;

/// Adds a contact and waits until its server has it.
pub(super) async fn add(
    party: &Party,
    name: &str,
    numbers: &[String],
    deadline: &Deadline,
) -> Result<(), Failure> {
    let session = session(party)?;
    let id = z5_core::session::contact_uuid().map_err(|error| failure("run.contact", error.to_string()))?;
    for number in numbers {
        z5_core::account::contacts::check_number(number).map_err(|error| error.failure())?;
    }
    forget(&mut party.state());
    session.add_contact(Card::new(&id, name, numbers));
    deadline.wait(party, 0, "the address book's server", |state| done(state, true)).await
}

/// Syncs and waits until that is done.
pub(super) async fn sync(party: &Party, deadline: &Deadline) -> Result<(), Failure> {
    let session = session(party)?;
    forget(&mut party.state());
    session.sync_contacts();
    deadline.wait(party, 0, "the address book's server", |state| done(state, false)).await
}

/// Removes the contact of this name; done when the session has.
pub(super) async fn remove(party: &Party, name: &str, deadline: &Deadline) -> Result<(), Failure> {
    let session = session(party)?;
    let contact = called(&session, name)?;
    {
        let mut state = party.state();
        forget(&mut state);
        state.forget(0, "contacts-changed");
    }
    session.remove_contact(&contact.id);
    let removed = |state: &mut State| {
        not_changed(state).or_else(|| state.find(0, "contacts-changed", |_| true).map(|_| Ok(())))
    };
    deadline.wait(party, 0, "the address book's change", removed).await
}

/// Whom a search finds: somebody, or exactly these, by name.
pub(super) fn search(book: &Book, text: &str, finds: Option<&[String]>) -> Expectation {
    let found: Vec<String> = book.search(text).into_iter().map(|contact| contact.name).collect();
    let shown = |names: &[String]| if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    let (wanted, held) = match finds {
        None => ("somebody".to_owned(), !found.is_empty()),
        Some(names) => (shown(names), *names == *found),
    };
    Expectation::fact("contacts.search", &wanted, shown(&found), held)
}

/// Syncs of before do not count.
fn forget(state: &mut State) {
    for event in ["contacts-synced", "contact-refused", "contact-not-changed"] {
        state.forget(0, event);
    }
}

/// What the session says of a change that it cannot make.
fn not_changed<T>(state: &mut State) -> Option<Result<T, Failure>> {
    let event = state.find(0, "contact-not-changed", |_| true)?;
    let why = event["error"]["message"].as_str().unwrap_or_default().to_owned();
    Some(Err(failure("run.contact", why)))
}

/// A sync is done; with `whole` one after which the server has everything.
fn done(state: &mut State, whole: bool) -> Option<Result<(), Failure>> {
    if let Some(refused) = state.find(0, "contact-refused", |_| true) {
        let why = format!("the server does not take the contact (HTTP {})", refused["status"]);
        return Some(Err(failure("run.contact", why)));
    }
    if let Some(refused) = not_changed(state) {
        return Some(refused);
    }
    let synced = |members: &serde_json::Value| !whole || members["unsent"] == 0;
    state.find(0, "contacts-synced", synced).map(|_| Ok(()))
}

/// The number that is dialled for a target; of a contact, its first one.
pub(super) fn target(session: &Session, target: &str) -> Result<String, Failure> {
    let Some(name) = target.strip_prefix(CONTACT) else { return Ok(target.to_owned()) };
    let contact = called(session, name)?;
    let first = contact.numbers.first().map(|number| number.number.clone());
    first.ok_or_else(|| failure("run.contact", format!("the contact `{}` has no number", contact.name)))
}

/// The only contact of this name.
fn called(session: &Session, name: &str) -> Result<Contact, Failure> {
    let name = name.trim();
    let is_called = |contact: &Contact| contact.name.eq_ignore_ascii_case(name);
    let mut found: Vec<Contact> = session.contacts().into_iter().filter(is_called).collect();
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err(failure("run.contact", format!("no contact is called `{name}`"))),
        (Some(_), more) => Err(failure("run.contact", format!("{} contacts are called `{name}`", more + 1))),
    }
}

/// Whether a party has the same cards as another one.
pub(super) fn same(own: &Book, other: &Book, whose: &str) -> Expectation {
    let (own, other) = (texts(own), texts(other));
    let differs = |id: &&String| own.get(*id) != other.get(*id);
    let mut all: Vec<&String> = own.keys().chain(other.keys()).filter(differs).collect();
    all.sort();
    all.dedup();
    let names: Vec<String> =
        all.iter().take(TOLD).map(|id| differs_in(own.get(*id), other.get(*id))).collect();
    let measured = match all.len() {
        0 => format!("{} cards, each line the same", own.len()),
        count => format!("{count} differ: {}", names.join(", ")),
    };
    let held = all.is_empty() && !own.is_empty();
    Expectation::fact("contacts.same", &format!("the cards of {whose}"), measured, held)
}

/// The name of a card and every line of it in some order.
type Text = (String, Vec<String>);

/// The card by its name, and which of its lines are not the same: by their properties, for what they say is somebody's own.
fn differs_in(own: Option<&Text>, other: Option<&Text>) -> String {
    let (name, why) = match (own, other) {
        (Some((name, _)), None) => (name.as_str(), "not theirs".to_owned()),
        (None, Some((name, _))) => (name.as_str(), "theirs alone".to_owned()),
        (Some((name, own)), Some((_, other))) => {
            let missing = |of: &[String], in_other: &[String]| -> Vec<String> {
                of.iter().filter(|line| !in_other.contains(line)).map(|line| property(line)).collect()
            };
            let mut lines = missing(own, other);
            lines.extend(missing(other, own));
            lines.sort();
            lines.dedup();
            (name.as_str(), lines.join(", "))
        }
        (None, None) => ("", String::new()),
    };
    format!("{name} ({why})")
}

/// What stands before the value and the parameters, without a group (RFC 6350 section 3.3).
fn property(line: &str) -> String {
    let name = line.split([':', ';']).next().unwrap_or_default();
    name.rsplit('.').next().unwrap_or_default().to_ascii_uppercase()
}

/// The cards by their identity.
fn texts(book: &Book) -> BTreeMap<String, Text> {
    let card = |card: Card| {
        let mut lines: Vec<String> = card.lines().iter().map(|line| line.as_str().to_owned()).collect();
        lines.sort();
        (card.uid().unwrap_or_default(), (card.name(), lines))
    };
    book.cards().into_iter().map(card).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(cards: &[(&str, &str)]) -> Book {
        let mut book = Book::default();
        for (id, note) in cards {
            let text =
                format!("BEGIN:VCARD\r\nVERSION:4.0\r\nUID:{id}\r\nFN:{id}\r\nNOTE:{note}\r\nEND:VCARD\r\n");
            book.add(Card::parse(&text).unwrap(), id).unwrap();
        }
        book
    }

    #[test]
    fn books_are_the_same_card_for_card_and_line_for_line() {
        let ours = book(&[("a", "1"), ("b", "2")]);
        assert!(same(&ours, &book(&[("b", "2"), ("a", "1")]), "x").held);
        let judged = same(&ours, &book(&[("a", "1"), ("b", "3"), ("c", "4")]), "x");
        assert_eq!((judged.held, judged.measured.as_str()), (false, "2 differ: b (NOTE), c (theirs alone)"));
        let judged = same(&ours, &book(&[("a", "1")]), "x");
        assert_eq!(judged.measured, "1 differ: b (not theirs)");
        assert_eq!(property("item1.TEL;TYPE=home:+1"), "TEL");
        assert!(!same(&Book::default(), &Book::default(), "x").held, "nothing at all is not the same");
    }
}
