//! Faults of the carrier that no session fails by: what is overcome, and that nothing is lost by it.

use super::*;
use crate::account::vcard::Card;
use crate::machine::io::BookChange;
use z5_mock::{Carrier, Fault, When};

const SECOND: Duration = Duration::from_secs(1);

fn ready(builder: Builder) -> Net {
    let mut net = Net::new(builder, 7, |_| {}, RetryMode::Supervised);
    net.input(Input::Start);
    net.live(30 * SECOND);
    assert_eq!(net.state(), SessionState::Ready, "{:?}", net.events);
    net
}

fn names(net: &Net) -> Vec<String> {
    let mut names: Vec<String> =
        net.machine.view().book.contacts().into_iter().map(|contact| contact.name).collect();
    names.sort();
    names
}

#[test]
fn an_address_book_is_whole_whatever_its_server_does_always_or_once() {
    let mut wanted = names(&ready(Carrier::builder()));
    wanted.push("Dora".to_owned());
    wanted.sort();
    let always = [
        Fault::SyncTruncated,
        Fault::SyncUnknown,
        Fault::SyncBare,
        Fault::SyncTokenInvalid,
        Fault::MalformedCard,
        Fault::CardUntagged,
    ];
    let once = [Fault::CardConflict, Fault::CardUnavailable, Fault::CardAnswerLost];
    let cases = always.map(|fault| (fault, When::ALWAYS)).into_iter();
    for (fault, when) in cases.chain(once.map(|fault| (fault, When::first(1)))) {
        let mut net = ready(Carrier::builder().fault_when(fault, when));
        let added = Card::new("dora", "Dora", &["411".to_owned()]);
        net.command(Command::Contacts { change: BookChange::Add(added) });
        net.live(900 * SECOND);
        net.command(Command::SyncContacts);
        net.live(60 * SECOND);
        assert_eq!(names(&net), wanted, "{fault}");
        assert_eq!(net.machine.view().book.unsent(), 0, "{fault}");
    }
}

#[test]
fn a_flow_on_which_pongs_stay_away_is_made_anew_and_its_call_goes_on() {
    let mut net = ready(Carrier::builder().fault_when(Fault::NoPong, When { from: 3, times: Some(1) }));
    net.call(1, "echo");
    // Each connection has a port of its own.
    let before = net.client_port;
    net.live(900 * SECOND);
    assert_eq!(net.client_port - before, 1, "one connection more: {:?}", net.events);
    assert_eq!((net.state(), net.machine.view().calls.len()), (SessionState::Ready, 1));
}

#[test]
fn a_bye_that_comes_twice_ends_one_call_and_a_nonce_that_is_stale_once_no_session() {
    let builder = Carrier::builder().fault(Fault::DuplicateBye);
    let stale = |builder: Builder, service| builder.fault_when(Fault::StaleNonce(service), When::first(1));
    use z5_mock::Service::{Mcs, Sip, Zdial};
    let mut net = ready(stale(stale(stale(builder, Zdial), Mcs), Sip));
    net.call(1, "hangup");
    net.live(5 * SECOND);
    let ended = net.events.iter().filter(|event| matches!(event, EventKind::CallEnded { .. })).count();
    assert_eq!((ended, net.state()), (1, SessionState::Ready), "{:?}", net.events);
    assert!(
        !net.events.iter().any(|event| matches!(event, EventKind::StepFailed { .. })),
        "{:?}",
        net.events
    );
}
