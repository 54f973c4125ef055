//! The address book that is found by its domain (RFC 6764), at the mock carrier: what is asked of DNS and of the servers, who is given
//! credentials, and that a server that is away is no matter while there is another.

use super::contacts::{ALICE, net};
use super::*;
use z5_mock::{Carrier, ContactsBy, Fault, Service, When};

const BY_DOMAIN: [ContactsBy; 1] = [ContactsBy::CardDavDomain];

impl Net {
    /// All that was asked and answered.
    fn record(&self) -> String {
        self.sim.recorder().to_text()
    }

    fn has_asked(&self, question: &str) -> bool {
        self.looked.iter().any(|looked| looked.contains(question))
    }

    fn has_the_book(&self) -> bool {
        let there = self.sim.address_books().len(ALICE);
        there > 0 && self.here().len() == there
    }
}

/// A session that tries once, and how it ended.
fn ended(faults: &[(Fault, When)], change: impl FnOnce(&mut Config)) -> (Net, SessionError) {
    let mut net = Net::new(Carrier::builder().contacts_by(&BY_DOMAIN), 1, change, RetryMode::Once);
    for (fault, when) in faults {
        net.sim.faults().arm_when(*fault, *when);
    }
    net.input(Input::Start);
    net.live(Duration::from_secs(60));
    let error = net.end().unwrap();
    (net, error)
}

fn always(fault: Fault) -> [(Fault, When); 1] {
    [(fault, When::ALWAYS)]
}

#[test]
fn an_address_book_is_found_by_its_host_alone_and_remembered() {
    let mut net = net(&BY_DOMAIN, |config| {
        config.contacts.uri = Some("https://mcs.csdvrs.test:8443/".to_owned());
    });
    assert!(net.has_the_book());
    let searched = |net: &Net| net.record().matches("PROPFIND").count();
    let before = searched(&net);
    net.add("Dora");
    assert!(net.has_the_book());
    assert_eq!(searched(&net), before, "it is known by now");
    let asked = net.record();
    for path in ["/.well-known/carddav", "/carddav/", "/default/"] {
        assert!(asked.contains(path), "{path}");
    }
    assert!(!net.has_asked("_carddav"), "its host is said: no domain is asked");
}

#[test]
fn an_address_book_is_found_by_its_domain_and_remembered() {
    let mut net = net(&BY_DOMAIN, |_| {});
    assert!(net.has_the_book());
    for question in ["_carddavs._tcp.csdvrs.test SRV", "_carddavs._tcp.csdvrs.test TXT"] {
        assert!(net.has_asked(question), "{question}");
    }
    assert!(!net.has_asked("_carddav._tcp"), "never without TLS");
    assert!(!net.record().contains("/.well-known/"), "the TXT record says where to begin");
    let searched = |net: &Net| net.record().matches("PROPFIND").count();
    let before = searched(&net);
    net.add("Dora");
    assert!(net.has_the_book());
    assert_eq!(searched(&net), before, "it is known by now, whichever server it is at");
    assert!(!net.synced().full, "and is fetched as a whole once");
}

#[test]
fn a_server_of_another_domain_gets_nothing_unless_it_is_configured() {
    let (net, error) = ended(&always(Fault::BookServerForeign), |_| {});
    assert_eq!(error.code(), "provision.foreign-server");
    assert!(error.to_string().contains("an SRV record leads to `dav.somewhere-else.test:443`"), "{error}");
    assert!(!net.has_asked("somewhere-else"), "nobody asks where it is");
    let (net, error) = ended(&always(Fault::BookServerForeign), |config| {
        config.contacts.servers = vec!["dav.somewhere-else.test".to_owned()];
    });
    assert_eq!(error.code(), "provision.unresolved", "it may be asked for, and the mock does not know it");
    assert!(net.has_asked("dav.somewhere-else.test A"));
}

#[test]
fn a_domain_without_an_address_book_or_without_its_server_is_told() {
    let (net, error) = ended(&always(Fault::BookNotOffered), |_| {});
    assert_eq!(error.code(), "provision.not-offered");
    assert!(!net.record().contains("PROPFIND"));
    let (_, error) = ended(&always(Fault::BookServerMissing), |_| {});
    assert_eq!(error.code(), "provision.unresolved");
    assert!(error.to_string().contains("`nowhere.csdvrs.test`, has no address: no such name"), "{error}");
}

/// Step 1 asks ten questions; whatever comes after them stays without an answer.
#[test]
fn nameservers_that_fall_silent_cost_a_bounded_time() {
    let silent = When { from: 11, times: None };
    let (net, error) = ended(&[(Fault::BlackHole(Service::Dns), silent)], |_| {});
    assert_eq!(error.code(), "provision.unresolved");
    assert!(error.to_string().contains("`csdvrs.test`, has no address: no answer"), "{error}");
    assert!(!net.record().contains("PROPFIND"));
}

#[test]
fn servers_that_are_away_are_passed_by_in_their_order() {
    let mut net = Net::new(Carrier::builder().contacts_by(&BY_DOMAIN), 1, |_| {}, RetryMode::Once);
    net.sim.faults().arm(Fault::BookServersAway);
    net.input(Input::Start);
    net.live(Duration::from_secs(10));
    assert_eq!(net.state(), SessionState::Ready, "{:?}", net.events);
    assert!(net.has_the_book() && net.has_asked("nowhere.csdvrs.test A"));
}

#[test]
fn a_txt_record_that_leads_nowhere_or_elsewhere_is_passed_by() {
    for (fault, asked) in [(Fault::BookPathMissing, true), (Fault::BookPathForeign, false)] {
        let mut net = Net::new(Carrier::builder().contacts_by(&BY_DOMAIN), 1, |_| {}, RetryMode::Once);
        net.sim.faults().arm(fault);
        net.input(Input::Start);
        net.live(Duration::from_secs(10));
        assert_eq!(net.state(), SessionState::Ready, "{fault}: {:?}", net.events);
        let record = net.record();
        assert!(net.has_the_book() && record.contains("/.well-known/carddav"), "{fault}");
        assert_eq!(record.contains("PROPFIND /nothing-here/"), asked, "{fault}");
        assert!(!net.has_asked("somewhere-else"), "{fault}");
    }
}

#[test]
fn a_redirect_to_another_host_is_told_and_not_followed() {
    let faults = [Fault::BookPathMissing, Fault::BookElsewhere].map(|fault| (fault, When::ALWAYS));
    let (net, error) = ended(&faults, |_| {});
    assert_eq!(error.code(), "provision.foreign-server");
    assert!(error.to_string().contains("a redirect leads to `somewhere-else.test:443`"), "{error}");
    assert!(!net.has_asked("somewhere-else"));
}
