//! What a session remembers: who it is, the address book before the sync, every call; and what happens when the store cannot.

use super::*;
use crate::error::StoreError;
use crate::store::{Direction, Kind, MemoryStore, Store};

fn anonymous() -> String {
    CONFIG.replace("[device]\ninstance_id = \"00000000-0000-4000-8000-000000000001\"\n", "")
}

fn options(store: &Arc<MemoryStore>) -> StartOptions {
    let store: Arc<dyn Store> = Arc::clone(store) as Arc<dyn Store>;
    StartOptions { retry: RetryMode::Once, store: Some(store), ..StartOptions::default() }
}

impl World {
    fn remembering(text: &str, store: &Arc<MemoryStore>) -> Self {
        let mut world = Self::of(text, options(store));
        // What `entropy` makes for a run.
        if world.machine.plan.instance_id.is_empty() {
            world.machine.plan.instance_id = DEVICE.to_owned();
        }
        world
    }
}

#[test]
fn who_we_are_is_made_once_and_kept() {
    let store = Arc::new(MemoryStore::new());
    let first = World::remembering(&anonymous(), &store).start();
    assert_eq!(first.machine.view().state, SessionState::Ready, "{:?}", first.names());
    let mut second = World::of(&anonymous(), options(&store));
    second.machine.plan.instance_id = "11111111-1111-4111-8111-111111111111".to_owned();
    let second = second.start();
    assert_eq!(second.machine.plan.instance_id, DEVICE);
    assert_eq!(second.machine.view().state, SessionState::Ready, "the licence is for that device");
}

#[test]
fn a_configured_instance_is_who_we_are_whatever_was_kept() {
    let store = Arc::new(MemoryStore::new());
    let other = anonymous();
    let mut first = World::remembering(&other, &store);
    first.machine.plan.instance_id = "11111111-1111-4111-8111-111111111111".to_owned();
    first.start();
    let world = World::remembering(CONFIG, &store).start();
    assert_eq!(world.machine.plan.instance_id, DEVICE);
}

#[test]
fn every_call_is_in_the_history_of_the_next_session() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::remembering(CONFIG, &store).start();
    // One that comes in and is answered, and ends after 61 s.
    let call = world.ring(1, standing::AUDIO).unwrap();
    world.now += Duration::from_secs(5);
    world.establish(call);
    world.now += Duration::from_secs(61);
    world.command(Command::Hangup { call });
    let bye = world.sent.iter().rev().find(|message| message.starts_with("BYE ")).unwrap().clone();
    let request = Message::parse_datagram(Bytes::from(bye)).unwrap();
    let response = ResponseBuilder::to_request(&request, 200, "OK").build().unwrap();
    world.input(Input::Received { flow: FlowId(1), bytes: response.as_bytes() });
    world.settle();
    // One that cannot be made, and one that is given up.
    assert_eq!(world.call(71, "sips:bob@other.test"), "call.bad-target");
    assert_eq!(world.call(72, "+15555550102"), "going");
    world.command(Command::Hangup { call: CallId(72) });
    // One of which nothing becomes, because there was no such request to follow.
    let nothing = Command::AcceptTransfer { call: CallId(9), new: CallId(73), wanted: SOUND };
    world.command(nothing);

    let calls = World::remembering(CONFIG, &store).start().machine.view().history;
    let shown: Vec<_> = calls
        .iter()
        .map(|call| (call.direction, call.remote.as_str(), call.outcome.as_str(), call.duration_ms))
        .collect();
    let [(Direction::Incoming, from, "answered", Some(lasted)), failed, given_up] = shown[..] else {
        panic!("{shown:?}")
    };
    assert!(from.contains("bob"), "{from}");
    assert!((61_000..61_100).contains(&lasted), "{lasted}");
    assert_eq!(failed, (Direction::Outgoing, "sips:bob@other.test", "call.bad-target", None));
    assert_eq!(given_up, (Direction::Outgoing, "+15555550102", "call.cancelled", None));
    assert!(calls.iter().all(|call| (UNIX_S..UNIX_S + 100).contains(&call.started_unix_s)), "{calls:?}");

    world.command(Command::ClearHistory);
    assert_eq!(World::remembering(CONFIG, &store).start().machine.view().history.len(), 0);
}

#[test]
fn the_address_book_is_there_before_the_first_step() {
    let store = Arc::new(MemoryStore::new());
    let bob = crate::account::vcard::Card::new("bob", "Bob", &["+15555550102".to_owned()]);
    let mut first = World::remembering(CONFIG, &store).start();
    first.command(Command::Contacts { change: io::BookChange::Add(bob) });
    let mut world = World::remembering(CONFIG, &store);
    world.silent = "dns";
    // Before the store has answered.
    let carol = crate::account::vcard::Card::new("carol", "Carol", &[]);
    world.input(Input::Start);
    world.input(Input::Command(Command::Contacts { change: io::BookChange::Add(carol) }));
    world.settle();
    let book = world.machine.view().book;
    let names: Vec<_> = book.contacts().into_iter().map(|contact| contact.name).collect();
    assert_eq!((names, book.unsent()), (vec!["Bob".to_owned(), "Carol".to_owned()], 1));
}

/// The codes of what the store had to complain of.
fn troubles(world: &World) -> Vec<&'static str> {
    let code = |event: &EventKind| {
        if let EventKind::StoreTrouble { error } = event { Some(error.code()) } else { None }
    };
    world.events.iter().filter_map(code).collect()
}

#[test]
fn a_store_that_does_not_answer_is_waited_for_and_then_left_alone() {
    let mut world = World::remembering(CONFIG, &Arc::new(MemoryStore::new()));
    let store = world.store.take();
    let mut world = world.start();
    assert_eq!(world.trail.len(), 0, "who we are may be kept there");
    let began = world.now;
    while world.state() != SessionState::Ready {
        world.wait();
    }
    assert_eq!(troubles(&world), ["store.too-slow"]);
    assert!(world.now - began < Duration::from_secs(4));
    // What comes now is too late, and nothing is written over it.
    world.store = store;
    world.input(Input::Recalled(Box::default()));
    world.call(71, "+15555550102");
    world.command(Command::Hangup { call: CallId(71) });
    assert_eq!(world.store.as_ref().unwrap().read(Kind::History).unwrap(), None);
}

#[test]
fn an_emergency_call_before_the_store_has_answered_is_kept() {
    let mut world = World::of(CONFIG, options(&Arc::new(MemoryStore::new())));
    world.store = None;
    let mut world = world.start();
    assert_eq!(world.call(1, "911"), "going");
    while world.state() != SessionState::Ready {
        world.wait();
    }
    assert_eq!(world.prepared, [crate::events::MediaKind::Audio, crate::events::MediaKind::Text]);
}

#[test]
fn the_store_of_another_account_is_neither_used_nor_changed() {
    let store = Arc::new(MemoryStore::new());
    let mut alice = World::remembering(CONFIG, &store).start();
    alice.call(71, "+15555550102");
    alice.command(Command::Hangup { call: CallId(71) });
    let before = Kind::ALL.map(|kind| store.read(kind).unwrap());
    let bob = CONFIG.replace("username = \"alice\"", "username = \"bob\"");
    let mut bob = World::remembering(&bob, &store).start();
    assert_eq!(troubles(&bob), ["store.other-account"]);
    assert_eq!(bob.machine.view().history.len(), 0);
    bob.call(71, "+15555550102");
    bob.command(Command::Hangup { call: CallId(71) });
    bob.command(Command::Stop);
    assert_eq!(bob.machine.view().history.len(), 1, "for as long as it runs");
    assert_eq!(Kind::ALL.map(|kind| store.read(kind).unwrap()), before);
}

#[test]
fn what_is_damaged_or_newer_is_told_and_the_session_goes_on() {
    let store = Arc::new(MemoryStore::new());
    store.write(Kind::Contacts, b"damaged").unwrap();
    let world = World::remembering(CONFIG, &store).start();
    assert_eq!(troubles(&world), ["store.corrupt"]);
    assert_eq!(store.aside().len(), 1);
    assert_eq!(world.state(), SessionState::Ready);

    store.write(Kind::Contacts, br#"{"version":99,"body":null}"#).unwrap();
    let before = Kind::ALL.map(|kind| store.read(kind).unwrap());
    let mut world = World::remembering(CONFIG, &store).start();
    assert_eq!(troubles(&world), ["store.newer-version"]);
    world.command(Command::Stop);
    assert_eq!(Kind::ALL.map(|kind| store.read(kind).unwrap()), before);

    let error = StoreError::Unwritable { place: "here".into(), why: "full".into() };
    let mut world = World::new().start();
    world.input(Input::NotKept(error));
    world.settle();
    assert_eq!(troubles(&world), ["store.unwritable"]);
}
