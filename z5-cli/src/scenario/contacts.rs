//! What scenarios do with address books: add a contact, sync, call somebody by name, compare two parties' books.

use std::collections::BTreeMap;

use z5_core::{Book, Card, Failure, Session};

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
    deadline.wait(party, "the address book's server", |state| done(state, true)).await
}

/// Syncs and waits until that is done.
pub(super) async fn sync(party: &Party, deadline: &Deadline) -> Result<(), Failure> {
    let session = session(party)?;
    forget(&mut party.state());
    session.sync_contacts();
    deadline.wait(party, "the address book's server", |state| done(state, false)).await
}

/// Syncs of before do not count.
fn forget(state: &mut State) {
    for event in ["contacts-synced", "contact-refused", "contact-not-changed"] {
        while state.find(event, |_| true).is_some() {}
    }
}

/// A sync is done; with `whole` one after which the server has everything.
fn done(state: &mut State, whole: bool) -> Option<Result<(), Failure>> {
    if let Some(refused) = state.find("contact-refused", |_| true) {
        let why = format!("the server does not take the contact (HTTP {})", refused["status"]);
        return Some(Err(failure("run.contact", why)));
    }
    if let Some(event) = state.find("contact-not-changed", |_| true) {
        let why = event["error"]["message"].as_str().unwrap_or_default().to_owned();
        return Some(Err(failure("run.contact", why)));
    }
    let synced = |members: &serde_json::Value| !whole || members["unsent"] == 0;
    state.find("contacts-synced", synced).map(|_| Ok(()))
}

/// The number that is dialled for a target; of a contact, its first one.
pub(super) fn target(session: &Session, target: &str) -> Result<String, Failure> {
    let Some(name) = target.strip_prefix(CONTACT) else { return Ok(target.to_owned()) };
    let name = name.trim();
    let found: Vec<_> =
        session.contacts().into_iter().filter(|contact| contact.name.eq_ignore_ascii_case(name)).collect();
    let wrong = |why: String| Err(failure("run.contact", why));
    match found.as_slice() {
        [one] => match one.numbers.first() {
            Some(number) => Ok(number.number.clone()),
            None => wrong(format!("the contact `{name}` has no number")),
        },
        [] => wrong(format!("no contact is called `{name}`")),
        several => wrong(format!("{} contacts are called `{name}`", several.len())),
    }
}

/// Whether a party has the same cards as another one.
pub(super) fn same(own: &Book, other: &Book, whose: &str) -> Expectation {
    let (own, other) = (texts(own), texts(other));
    let differs = |id: &&String| own.get(*id) != other.get(*id);
    let mut all: Vec<&String> = own.keys().chain(other.keys()).filter(differs).collect();
    all.sort();
    all.dedup();
    let names: Vec<&str> = all
        .iter()
        .take(TOLD)
        .filter_map(|id| own.get(*id).or_else(|| other.get(*id)))
        .map(|(name, _)| name.as_str())
        .collect();
    let measured = match all.len() {
        0 => format!("{} cards, each line the same", own.len()),
        count => format!("{count} differ: {}", names.join(", ")),
    };
    let held = all.is_empty() && !own.is_empty();
    Expectation::fact("contacts.same", &format!("the cards of {whose}"), measured, held)
}

/// The cards by their identity: the name, and every line in some order.
fn texts(book: &Book) -> BTreeMap<String, (String, Vec<String>)> {
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
        assert_eq!((judged.held, judged.measured.as_str()), (false, "2 differ: b, c"));
        assert!(!same(&Book::default(), &Book::default(), "x").held, "nothing at all is not the same");
    }
}
