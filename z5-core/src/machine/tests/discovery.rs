//! Redirects in the search for an address book, at a server that sends its clients about: what is followed, what is not, and how long.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use io::{HeaderText, HttpsReply};

/// The sign-in names the domain `mcs.test`, which has no SRV records: then it is a host.
const BY_DOMAIN: &str = r#"{"phone-number":"+15555550101","provider-domain":"c.test","user-name":"15555550101","sip-password":"s",
    "outbound-proxies":["sip:lb.test:5060"],"x-z5":{"license-uri":"https://mcs.test/mcs/v1/license"},
    "carddav":{"carddav-domain":"mcs.test"}}"#;

/// Host, port and path of each request of the search, and whether it had credentials.
type Asked = Rc<RefCell<Vec<(String, u16, String, bool)>>>;

/// A session whose search is answered by 401 until it says who it is, then by redirects to where `leads` says.
fn redirected(leads: fn(&str) -> &'static str) -> (World, Asked) {
    let mut world = World::with(CONFIG, false);
    let asked = Asked::default();
    let list = Rc::clone(&asked);
    world.hook = Some(Box::new(move |request| {
        let reply = |status, body: &'static str| HttpsReply {
            status,
            challenges: Vec::new(),
            retry_after_s: None,
            etag: None,
            location: None,
            body: Bytes::from_static(body.as_bytes()),
        };
        if request.target.starts_with("/rum/") {
            return Some(Ok(reply(200, BY_DOMAIN)));
        }
        if request.method != "PROPFIND" {
            return None;
        }
        let known = request.headers.iter().any(|(_, value)| matches!(value, HeaderText::Secret(_)));
        list.borrow_mut().push((request.host.clone(), request.port, request.target.clone(), known));
        Some(Ok(match known {
            true => HttpsReply { location: Some(leads(&request.host).to_owned()), ..reply(301, "") },
            false => HttpsReply {
                challenges: vec![r#"Digest realm="z", nonce="n", qop="auth", algorithm=SHA-256"#.to_owned()],
                ..reply(401, "")
            },
        }))
    }));
    (world.start(), asked)
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
