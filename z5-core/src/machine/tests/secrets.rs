//! Which credentials go where: each to the server it is for, never before it asks, and never to a host that step 1 did not find.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use io::HeaderText;

/// Host, path and Authorization of every request.
type Seen = Rc<RefCell<Vec<(String, String, Option<String>)>>>;

impl World {
    /// Writes down every request, and answers this path so.
    fn watched(&mut self, path: &'static str, answer: Option<(u16, &'static str)>) -> Seen {
        let seen = Seen::default();
        let list = Rc::clone(&seen);
        self.hook = Some(Box::new(move |request| {
            let authorization = request.headers.iter().find_map(|(name, value)| match (*name, value) {
                ("authorization", HeaderText::Secret(secret)) => Some(secret.expose().to_owned()),
                ("authorization", HeaderText::Plain(_)) => panic!("a credential that could be logged"),
                _ => None,
            });
            list.borrow_mut().push((request.host.clone(), request.target.clone(), authorization));
            let (status, body) = answer.filter(|_| request.target.starts_with(path))?;
            let body = Bytes::from_static(body.as_bytes());
            Some(Ok(HttpsReply {
                status,
                challenges: Vec::new(),
                retry_after_s: None,
                etag: None,
                location: None,
                body,
            }))
        }));
        seen
    }
}

#[test]
fn each_server_gets_its_own_credentials_and_only_when_it_asks() {
    let mut world = World::supervised();
    let seen = world.watched("", None);
    let world = world.start();
    assert_eq!(world.state(), SessionState::Ready);
    let seen = seen.borrow();
    for (host, user) in [("zdial.test", "alice"), ("mcs.test", "15555550101")] {
        let of_host: Vec<_> = seen.iter().filter(|(to, ..)| to == host).collect();
        assert!(of_host.len() >= 3 && of_host[0].2.is_none(), "{host}: nothing before the challenge");
        for (_, path, authorization) in of_host {
            let Some(value) = authorization else { continue };
            assert!(
                value.starts_with("Digest ") && value.contains(&format!("username=\"{user}\"")),
                "{path}"
            );
            assert!(!value.contains("wonderland"), "a digest, not the password");
        }
    }
    assert!(seen.iter().all(|(host, ..)| host == "zdial.test" || host == "mcs.test"));
}

#[test]
fn no_redirect_is_followed() {
    for path in ["/zdial/", "/rum/", "/mcs/", "/carddav/"] {
        let mut world = World::with(CONFIG, false);
        let seen = world.watched(path, Some((302, "")));
        let (code, _) = world.start().failure();
        assert!(["sign-in.refused", "provision.refused"].contains(&code), "{path}: {code}");
        assert!(seen.borrow().iter().all(|(host, ..)| host == "zdial.test" || host == "mcs.test"));
    }
}

#[test]
fn a_host_that_step_1_did_not_find_gets_nothing() {
    const ELSEWHERE: &str = r#"{"phone-number":"+15555550101","provider-domain":"c.test","user-name":"15555550101",
        "sip-password":"s","outbound-proxies":["sip:lb.test:5060"],"x-z5":{"license-uri":"https://elsewhere.test/l"}}"#;
    const IN_CLEAR: &str = r#"{"phone-number":"+15555550101","provider-domain":"c.test","user-name":"15555550101",
        "sip-password":"s","outbound-proxies":["sip:lb.test:5060"],"x-z5":{"license-uri":"http://mcs.test/l"}}"#;
    for body in [ELSEWHERE, IN_CLEAR] {
        let mut world = World::with(CONFIG, false);
        let seen = world.watched("/rum/", Some((200, body)));
        let (code, error) = world.start().failure();
        assert_eq!(code, "provision.bad-reply");
        assert!(!error.unwrap().to_string().contains("sip-password"));
        let told = |(host, _, credentials): &(String, String, Option<String>)| {
            host != "zdial.test" && (host != "mcs.test" || credentials.is_some())
        };
        assert!(!seen.borrow().iter().any(told), "the MCS was asked what it wants, and told nothing");
    }
}

#[test]
fn each_address_book_has_its_own_credentials_or_those_of_sip() {
    /// With an address book of this kind.
    macro_rules! configuration {
        ($book:literal) => {
            concat!(
                r#"{"phone-number":"+15555550101","provider-domain":"c.test","user-name":"15555550101","sip-password":"s",
                "outbound-proxies":["sip:lb.test:5060"],"x-z5":{"license-uri":"https://mcs.test/mcs/v1/license"},"#,
                $book,
                "}"
            )
        };
    }
    for (body, path, user) in [
        (
            configuration!(
                r#""contacts":{"contacts-uri":"https://mcs.test/list?a=1","contacts-username":"carl","contacts-password":"p"}"#
            ),
            "/list?a=1",
            "carl",
        ),
        (configuration!(r#""contacts":{"contacts-uri":"https://mcs.test/list"}"#), "/list", "15555550101"),
        // Half a pair is none.
        (
            configuration!(
                r#""contacts":{"contacts-uri":"https://mcs.test/list","contacts-username":"carl"}"#
            ),
            "/list",
            "15555550101",
        ),
        (
            configuration!(
                r#""carddav":{"carddav-domain":"mcs.test","carddav-username":"dave","carddav-password":"p"}"#
            ),
            "/.well-known/carddav",
            "dave",
        ),
        (configuration!(r#""mwi":"sip:m@c.test""#), "/carddav/15555550101/default/", "15555550101"),
    ] {
        let mut world = World::supervised();
        let seen = world.watched("/rum/", Some((200, body)));
        let world = world.start();
        assert_eq!(world.state(), SessionState::Ready, "{path}: {:?}", world.events);
        let seen = seen.borrow();
        let given = seen
            .iter()
            .find_map(|(_, target, authorization)| authorization.as_ref().filter(|_| target == path));
        let given = given.unwrap_or_else(|| panic!("{path} was not asked: {seen:?}"));
        assert!(given.contains(&format!("username=\"{user}\"")), "{path}");
    }
}

#[test]
fn no_event_of_a_session_shows_a_secret() {
    let mut world = World::supervised();
    world.silent = "sip";
    let mut world = world.start();
    world.pass(Duration::from_secs(60));
    world.silent = "";
    world.until(SessionState::Ready);
    let told = format!("{:?}", world.events);
    for secret in ["wonderland", "\"s\"", "Digest username"] {
        assert!(!told.contains(secret), "{secret}");
    }
}
