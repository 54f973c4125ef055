//! Redirects in the search for an address book, at a server that sends its clients about: what is followed, what is not, and how long.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use io::{HeaderText, HttpsReply};

/// The sign-in names the domain `mcs.test`, which has no SRV records: then it is a host.
const BY_DOMAIN: &str = r#"{"phone-number":"+15555550101","provider-domain":"c.test","user-name":"15555550101","sip-password":"s",
    "outbound-proxies":["sip:lb.test:5060"],"x-z5":{"license-uri":"https://mcs.test/mcs/v1/license"},
    "carddav":{"carddav-domain":"mcs.test"}}"#;

/// More requests or deadlines than any of these searches has.
const MOST: usize = 200;

/// Host, port and path of each request of the search, and whether it had credentials.
type Asked = Rc<RefCell<Vec<(String, u16, String, bool)>>>;

/// A session whose search is answered by 401 until it says who it is, then by redirects to where `leads` says.
fn redirected(leads: fn(&str) -> &'static str) -> (World, Asked) {
    let (world, asked) = searching(World::with(CONFIG, false), BY_DOMAIN.to_owned(), move |host, _| {
        HttpsReply { location: Some(leads(host).to_owned()), ..reply(301, "") }
    });
    (world.start(), asked)
}

/// A session whose sign-in says this, and whose search is answered by 401 until it says who it is, then as `says` has it of host and path.
fn searching(
    mut world: World,
    configuration: String,
    says: impl Fn(&str, &str) -> HttpsReply + 'static,
) -> (World, Asked) {
    let asked = Asked::default();
    let list = Rc::clone(&asked);
    world.hook = Some(Box::new(move |request| {
        if request.target.starts_with("/rum/") {
            return Some(Ok(reply(200, &configuration)));
        }
        if request.method != "PROPFIND" {
            return None;
        }
        let known = request.headers.iter().any(|(_, value)| matches!(value, HeaderText::Secret(_)));
        assert!(list.borrow().len() < MOST, "without end");
        list.borrow_mut().push((request.host.clone(), request.port, request.target.clone(), known));
        Some(Ok(match known {
            true => says(&request.host, &request.target),
            false => refusal(),
        }))
    }));
    (world, asked)
}

fn reply(status: u16, body: &str) -> HttpsReply {
    HttpsReply {
        status,
        challenges: Vec::new(),
        retry_after_s: None,
        etag: None,
        location: None,
        body: Bytes::from(body.to_owned()),
    }
}

/// Whoever asks is to say who he is.
fn refusal() -> HttpsReply {
    let challenges = vec![r#"Digest realm="z", nonce="n", qop="auth", algorithm=SHA-256"#.to_owned()];
    HttpsReply { challenges, ..reply(401, "") }
}

/// A resource and one property of it.
fn property(href: &str, property: &str) -> HttpsReply {
    let body = format!(
        "<d:multistatus xmlns:d='DAV:' xmlns:c='urn:ietf:params:xml:ns:carddav'><d:response><d:href>{href}</d:href>\
         <d:propstat><d:prop>{property}</d:prop></d:propstat></d:response></d:multistatus>"
    );
    reply(207, &body)
}

/// A server with one address book, which is at `book`.
fn leading_to(book: &str, path: &str) -> HttpsReply {
    match path {
        "/home/" => property(book, "<d:resourcetype><c:addressbook/></d:resourcetype>"),
        _ => property(path, "<c:addressbook-home-set><d:href>/home/</d:href></c:addressbook-home-set>"),
    }
}

impl World {
    /// Lets time pass from deadline to deadline until this is so.
    fn live_until(&mut self, what: impl Fn(&Self) -> bool) {
        for _ in 0..MOST {
            if what(self) {
                return;
            }
            self.now = self.now.max(self.machine.next_deadline().unwrap().at);
            self.input(Input::Deadline);
            self.settle();
        }
        panic!("without end: {:?}", self.trail);
    }
}

#[test]
fn redirects_in_a_circle_end() {
    let (world, asked) = redirected(|_| "/round/and/round/");
    assert_eq!(world.failure().0, "provision.refused");
    // Five are followed; the first request is refused before.
    assert_eq!(asked.borrow().len(), 7, "{asked:?}");
}

#[test]
fn a_circle_over_several_servers_ends_as_well_and_each_is_asked_what_it_wants_first() {
    let (world, asked) = redirected(|host| match host {
        "mcs.test" => "https://dav.mcs.test:8443/a/",
        _ => "https://mcs.test/b/",
    });
    assert_eq!(world.failure().0, "provision.refused");
    let asked = asked.borrow();
    assert!(asked.iter().all(|(host, ..)| host == "mcs.test" || host == "dav.mcs.test"), "{asked:?}");
    assert!(asked.contains(&("dav.mcs.test".to_owned(), 8443, "/a/".to_owned(), true)), "{asked:?}");
    // Each server in its turn gets a request without credentials, then one with the answer to its own challenge.
    assert!(asked.iter().enumerate().all(|(n, (.., known))| *known == (n % 2 == 1)), "{asked:?}");
    assert_eq!(asked.len(), 12, "{asked:?}");
}

#[test]
fn a_redirect_out_of_the_domain_is_refused_wherever_it_comes_from() {
    for leads in [
        |host: &str| if host == "mcs.test" { "https://dav.mcs.test/a/" } else { "https://evil.test/" },
        |_: &str| "//evil.test/",
        |_: &str| "https://evilmcs.test/",
        |_: &str| "https://mcs.test.evil.test/",
    ] {
        let (world, asked) = redirected(leads);
        let (code, error) = world.failure();
        assert_eq!(code, "provision.foreign-server", "{error:?}");
        assert!(asked.borrow().iter().all(|(host, ..)| host == "mcs.test" || host == "dav.mcs.test"));
        assert!(!world.trail.iter().any(|step| step.contains("evil")), "{:?}", world.trail);
    }
    let (world, _) = redirected(|_| "http://mcs.test/");
    assert_eq!(world.failure().0, "provision.bad-reply", "never without TLS");
}

#[test]
fn two_servers_that_name_each_other_are_no_circle() {
    let says = |host: &str, path: &str| {
        leading_to(if host == "mcs.test" { "https://dav.mcs.test/" } else { "https://mcs.test/" }, path)
    };
    let (world, asked) = searching(World::with(CONFIG, false), BY_DOMAIN.to_owned(), says);
    let world = world.start();
    assert_eq!(world.machine.view().state, SessionState::Ready, "{:?}", world.events);
    // What the first one names is the address book, even at the root: the other one is asked nothing but for its cards.
    assert!(asked.borrow().iter().all(|(host, ..)| host == "mcs.test"), "{asked:?}");
    assert!(world.trail.iter().any(|step| step == "REPORT /"), "{:?}", world.trail);
}

#[test]
fn what_a_server_says_after_it_was_passed_by_is_not_heard() {
    let late = [
        refusal(),
        reply(503, ""),
        reply(404, ""),
        HttpsReply { location: Some("/elsewhere/".to_owned()), ..reply(301, "") },
    ];
    for late in late {
        let mut world = World::with(CONFIG, false);
        world.services = vec![(443, "a.mcs.test.".to_owned()), (443, "b.mcs.test.".to_owned())];
        (world.silent, world.lost) = ("a.mcs.test", "b.mcs.test");
        let (world, asked) =
            searching(world, BY_DOMAIN.to_owned(), |_, path| leading_to("/home/book/", path));
        let mut world = world.start();
        world.live_until(|world| world.trail.iter().any(|step| step == "look b.mcs.test"));
        let [id] = world.unanswered[..] else { panic!("{:?}", world.unanswered) };
        let (before, status) = (world.trail.len(), late.status);
        world.silent = "";
        world.input(Input::Https { id, outcome: Ok(late) });
        world.settle();
        assert_eq!(world.trail[before..], [] as [&str; 0], "{status}");
        world.lost = "";
        world.live_until(|world| world.machine.view().state == SessionState::Ready);
        assert!(asked.borrow().iter().all(|(host, ..)| host == "b.mcs.test"), "{status}: {asked:?}");
    }
}

#[test]
fn servers_of_the_address_book_that_are_away_do_not_hold_up_a_supervised_session() {
    let mut world =
        World::of(CONFIG, StartOptions { retry: RetryMode::Supervised, ..StartOptions::default() });
    world.services = (0..8).map(|n| (443, format!("s{n}.away.mcs.test."))).collect();
    world.lost = ".away.mcs.test";
    let (world, asked) = searching(world, BY_DOMAIN.to_owned(), |_, path| leading_to("/home/book/", path));
    let mut world = world.start();
    let began = world.now;
    world.live_until(|world| world.machine.view().state == SessionState::Ready);
    let waited = (world.now - began).as_millis();
    assert!((2900..3100).contains(&waited), "as long as the licence may take: {waited} ms");
    let told = world.events.iter().find_map(|event| {
        if let EventKind::Retrying { error, .. } = event { Some(error.code()) } else { None }
    });
    assert_eq!(told, Some("provision.timed-out"));
    assert!(asked.borrow().is_empty());
    world.lost = "";
    world.live_until(|world| world.names().contains(&"contacts-loaded"));
    assert!(!asked.borrow().is_empty(), "it is fetched while the session stands");
}

#[test]
fn a_server_that_is_named_with_its_port_is_trusted_on_that_port_alone() {
    for (leads, good) in [
        ("https://mcs.test:8443/a/", true),
        ("https://mcs.test/a/", false),
        ("https://dav.mcs.test:8443/a/", false),
        ("https://dav.mcs.test/a/", false),
    ] {
        let named = BY_DOMAIN.replace(r#"domain":"mcs.test""#, r#"domain":"mcs.test:8443""#);
        let (world, asked) = searching(World::with(CONFIG, false), named, move |_, path| match path {
            "/a/" | "/home/" => leading_to("/home/book/", path),
            _ => HttpsReply { location: Some(leads.to_owned()), ..reply(301, "") },
        });
        let world = world.start();
        match good {
            true => assert_eq!(world.machine.view().state, SessionState::Ready, "{:?}", world.events),
            false => assert_eq!(world.failure().0, "provision.foreign-server", "{leads}"),
        }
        assert!(
            asked.borrow().iter().all(|(host, port, ..)| host == "mcs.test" && *port == 8443),
            "{asked:?}"
        );
    }
}

#[test]
fn a_txt_record_whose_path_leads_nowhere_is_no_end() {
    type Says = fn(&str) -> HttpsReply;
    let ways: [Says; 5] = [
        |_| reply(404, ""),
        |_| reply(200, "<html/>"),
        |_| reply(207, "<d:multistatus xmlns:d='DAV:'/>"),
        |_| reply(207, "no XML"),
        |path| match path {
            "/hint/" => HttpsReply { location: Some("/gone/".to_owned()), ..reply(302, "") },
            _ => reply(404, ""),
        },
    ];
    for (n, way) in ways.into_iter().enumerate() {
        let mut world = World::with(CONFIG, false);
        world.hint = Some("path=/hint/");
        let (world, asked) = searching(world, BY_DOMAIN.to_owned(), move |_, path| match path {
            "/hint/" | "/gone/" => way(path),
            _ => leading_to("/home/book/", path),
        });
        let world = world.start();
        assert_eq!(world.machine.view().state, SessionState::Ready, "{n}: {:?}", world.events);
        let asked = asked.borrow();
        let place = |path: &str| asked.iter().position(|(.., seen, _)| seen == path);
        assert!(place("/hint/") < place("/.well-known/carddav"), "{n}: {asked:?}");
        assert_eq!(place("/hint/"), Some(0), "{n}: {asked:?}");
    }
}
