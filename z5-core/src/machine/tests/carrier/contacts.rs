//! The address book as a list of xCards (RFC 9248 section 7.2), at the mock carrier.

use super::*;
use crate::account::vcard::{Card, Line, read_xml};
use crate::config::ContactsProtocol;
use crate::machine::io::BookChange;
use z5_mock::{Carrier, ContactsBy, Fault, When};

pub(super) const ALICE: &str = "15555550101";

pub(super) fn net(ways: &[ContactsBy], change: impl FnOnce(&mut Config)) -> Net {
    let mut net = Net::new(Carrier::builder().contacts_by(ways), 1, change, RetryMode::Supervised);
    net.input(Input::Start);
    net.live(Duration::from_secs(3));
    assert_eq!(net.state(), SessionState::Ready, "{:?}", net.events);
    net
}

/// A session whose address book is a list.
fn listed() -> Net {
    net(&[ContactsBy::Xcard], |_| {})
}

impl Net {
    pub(super) fn here(&self) -> Vec<String> {
        self.machine.view().book.contacts().into_iter().map(|contact| contact.name).collect()
    }

    /// The names in the list on the server, sorted.
    fn there(&self) -> Vec<String> {
        let text = self.sim.address_books().list(ALICE);
        let cards = read_xml(text.as_bytes()).into_iter().map(|card| card.unwrap().card.name());
        let mut names: Vec<String> = cards.collect();
        names.sort();
        names
    }

    pub(super) fn add(&mut self, name: &str) {
        self.change(BookChange::Add(Card::new(name, name, &["411".to_owned()])));
    }

    fn change(&mut self, change: BookChange) {
        self.command(Command::Contacts { change });
        self.live(Duration::from_secs(1));
    }

    pub(super) fn synced(&mut self) -> crate::SyncReport {
        let from = self.events.len();
        self.command(Command::SyncContacts);
        self.live(Duration::from_secs(1));
        let report = |event: &EventKind| {
            if let EventKind::ContactsSynced { report } = event { Some(report.clone()) } else { None }
        };
        self.events[from..].iter().find_map(report).unwrap_or_else(|| panic!("{:?}", &self.events[from..]))
    }

    /// What was asked of the address book, with the answers.
    fn asked_of_list(&self) -> Vec<String> {
        let text = self.sim.recorder().to_stable_text();
        let method = |line: &str| {
            let before = &line[..line.find("/xcard/")?];
            before.trim().rsplit(' ').next().map(str::to_owned)
        };
        text.lines().filter_map(method).collect()
    }

    pub(super) fn failed_with(&self) -> Vec<&'static str> {
        let code = |event: &EventKind| {
            if let EventKind::StepFailed { error, .. } | EventKind::Retrying { error, .. } = event {
                Some(error.code())
            } else {
                None
            }
        };
        self.events.iter().filter_map(code).collect()
    }
}

#[test]
fn a_list_is_fetched_once_and_stored_with_our_changes_in_it() {
    let mut net = listed();
    let before = net.there();
    assert_eq!(net.here(), before);
    let quiet = net.synced();
    assert_eq!((quiet.full, quiet.contacts), (false, before.len()), "the tag says that nothing is new");
    net.add("Dora");
    assert!(net.there().contains(&"Dora".to_owned()), "{:?}", net.there());
    let id = net.machine.view().book.search("Echo")[0].id.clone();
    net.change(BookChange::Remove { id });
    assert!(!net.there().contains(&"Echo".to_owned()));
    assert_eq!((net.here(), net.machine.view().book.unsent()), (net.there(), 0));
    assert!(!net.synced().full, "the tag of what was stored is known");
    // From outside, in another hand, with what z5 does not know.
    let text = net.sim.address_books().list(ALICE);
    let odd = "<!-- by hand --><vcard><fn><text>Eve</text></fn><x-odd><unknown>kept</unknown></x-odd></vcard></vcards>";
    net.sim.address_books().put_list(ALICE, &text.replace("</vcards>", odd));
    assert_eq!(net.synced().added, 1);
    net.add("Fay");
    let text = net.sim.address_books().list(ALICE);
    assert!(text.contains(odd.trim_end_matches("</vcards>")), "{text}");
    assert_eq!(net.here(), net.there());
}

#[test]
fn who_is_overtaken_loses_nothing_and_makes_nobody_lose_anything() {
    let mut net = listed();
    net.sim.faults().arm_when(Fault::ListOvertaken, When::first(2));
    net.add("Dora");
    let there = net.there();
    assert_eq!(there.iter().filter(|name| *name == "Overtaker").count(), 2, "{there:?}");
    assert!(there.contains(&"Dora".to_owned()), "{there:?}");
    assert_eq!((net.here(), net.machine.view().book.unsent()), (there, 0));
    // Somebody who is always faster: ours waits, and is sent when he rests.
    let fault = net.sim.faults().arm(Fault::ListOvertaken);
    net.add("Emil");
    assert_eq!(net.machine.view().book.unsent(), 1);
    net.sim.faults().end(fault);
    assert_eq!((net.synced().sent, net.here()), (1, net.there()));
}

#[test]
fn both_sides_changed_the_same_contact_of_a_list() {
    let mut net = listed();
    let contact = net.machine.view().book.search("Bob")[0].clone();
    let text = net.sim.address_books().list(ALICE);
    let theirs = text
        .replace("<fn><text>Bob</text></fn>", "<fn><text>Bob</text></fn><note><text>theirs</text></note>");
    assert_ne!(text, theirs);
    net.sim.address_books().put_list(ALICE, &theirs);
    let mut card = net.machine.view().book.card(&contact.id).unwrap();
    card.set(Line::new("FN", &[], "Robert"));
    net.change(BookChange::Change { id: contact.id, card });
    let text = net.sim.address_books().list(ALICE);
    assert!(text.contains("Robert") && text.contains("theirs"), "{text}");
    assert!(net.events.iter().any(|event| event.name() == "contact-merged"));
}

#[test]
fn an_answer_that_is_lost_makes_no_second_card_in_a_list() {
    let mut net = listed();
    net.sim.faults().arm_when(Fault::CardAnswerLost, When::first(1));
    net.add("Dora");
    assert_eq!(net.failed_with(), ["provision.unavailable"]);
    net.live(Duration::from_secs(600));
    assert_eq!(net.there().iter().filter(|name| *name == "Dora").count(), 1);
    assert_eq!((net.here(), net.machine.view().book.unsent()), (net.there(), 0));
}

#[test]
fn a_list_without_tags_is_looked_at_each_time_and_written_right_after_it_was_seen() {
    let mut net = net(&[ContactsBy::Xcard], |_| {});
    net.sim.faults().arm(Fault::CardUntagged);
    net.synced();
    net.add("Dora");
    assert!(net.synced().full, "nothing says that it is the same");
    assert_eq!((net.here(), net.machine.view().book.unsent()), (net.there(), 0));
    let asked = net.asked_of_list();
    let stores = asked.iter().enumerate().filter(|(_, method)| *method == "POST");
    assert!(stores.clone().count() == 1 && stores.clone().all(|(at, _)| asked[at - 1] == "GET"), "{asked:?}");
}

#[test]
fn a_card_of_a_list_that_cannot_be_read_stays_there_untouched() {
    let mut net = listed();
    let fault = net.sim.faults().arm(Fault::MalformedCard);
    // The fault changes what is said and not the tag: another list is looked at.
    let text = net.sim.address_books().list(ALICE);
    net.sim.address_books().put_list(ALICE, &text);
    assert_eq!(net.synced().unread, 1);
    net.add("Dora");
    net.sim.faults().end(fault);
    let text = net.sim.address_books().list(ALICE);
    assert!(text.contains("<vcard><tel/></vcard>") && text.contains("Dora"), "{text}");
}

#[test]
fn a_list_that_is_refused_or_broken_is_told_and_what_is_here_stays() {
    for (fault, code, unsent) in [
        (Fault::ListMissing, "provision.refused", 1),
        (Fault::ListCut, "provision.bad-reply", 1),
        (Fault::AddressBookDown, "provision.unavailable", 1),
    ] {
        let mut net = listed();
        let before = net.here();
        let armed = net.sim.faults().arm(fault);
        net.add("Dora");
        assert!(net.failed_with().contains(&code), "{fault}: {:?}", net.failed_with());
        assert_eq!(
            (net.here().len(), net.machine.view().book.unsent()),
            (before.len() + 1, unsent),
            "{fault}"
        );
        net.sim.faults().end(armed);
        net.synced();
        assert_eq!((net.here(), net.machine.view().book.unsent()), (net.there(), 0), "{fault}");
    }
    let mut net = listed();
    net.sim.faults().arm_when(Fault::CardRefused, When::first(1));
    net.add("Dora");
    assert!(net.events.iter().any(|event| matches!(event, EventKind::ContactRefused { status: 403, .. })));
    assert_eq!(net.machine.view().book.unsent(), 1);
    assert_eq!((net.synced().sent, net.here()), (1, net.there()));
}

#[test]
fn the_configuration_says_which_address_book_is_meant_when_the_sign_in_names_two() {
    let both = [ContactsBy::CardDav, ContactsBy::Xcard];
    assert!(net(&both, |_| {}).asked_of_list().is_empty(), "CardDAV comes first");
    let xcard = |config: &mut Config| config.contacts.protocol = Some(ContactsProtocol::Xcard);
    let mut list = net(&both, xcard);
    list.add("Dora");
    assert_eq!(list.asked_of_list().last().map(String::as_str), Some("POST"));
    // Changes that one does not have yet go to the other.
    let none = net(&[ContactsBy::CardDav], xcard);
    assert!(none.failed_with().contains(&"provision.bad-reply"), "{:?}", none.failed_with());
}

#[test]
fn changes_go_eight_at_a_time_and_a_list_with_all_of_them_at_once() {
    const MANY: usize = 160;
    for (ways, most) in [
        // Twenty times eight, and what comes before: news, a challenge for each connection.
        ([ContactsBy::CardDav], ROUND_TRIP * (20 + 6)),
        ([ContactsBy::Xcard], ROUND_TRIP * 4),
    ] {
        let mut net = net(&ways, |_| {});
        net.sim.faults().arm(Fault::AddressBookDown);
        for n in 0..MANY {
            let name = format!("{n}");
            net.command(Command::Contacts { change: BookChange::Add(Card::new(&name, &name, &[])) });
        }
        net.live(Duration::from_secs(1));
        assert_eq!(net.machine.view().book.unsent(), MANY, "{ways:?}");
        net.sim.faults().disarm(Fault::AddressBookDown);
        net.command(Command::SyncContacts);
        net.live(most);
        assert_eq!(net.machine.view().book.unsent(), 0, "{ways:?}");
    }
}
