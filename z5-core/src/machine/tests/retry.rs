//! A supervised session: what is tried again and when, what is not, and what a session without a licence can do.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::error::AttemptOutcome;

/// A reply with a status, words and perhaps a Retry-After.
fn status(status: u16, body: &str, retry_after_s: Option<u64>) -> Result<HttpsReply, io::HttpsFailure> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Ok(HttpsReply { status, challenges: Vec::new(), retry_after_s, etag: None, location: None, body })
}

fn refused() -> Result<HttpsReply, io::HttpsFailure> {
    let address = "127.0.0.1:443".parse().unwrap();
    let attempt = crate::error::Attempt { address, transport: None, outcome: AttemptOutcome::Refused };
    Err(io::HttpsFailure::Unreachable(vec![attempt]))
}

impl World {
    pub(super) fn supervised() -> Self {
        Self::of(CONFIG, StartOptions::default())
    }

    /// The first `times` requests of this path are answered so.
    pub(super) fn answer_first(
        &mut self,
        path: &'static str,
        mut times: usize,
        answer: impl Fn() -> Result<HttpsReply, io::HttpsFailure> + 'static,
    ) {
        self.hook = Some(Box::new(move |request| {
            if times == 0 || request.method == "OPTIONS" || !request.target.starts_with(path) {
                return None;
            }
            times -= 1;
            Some(answer())
        }));
    }

    pub(super) fn state(&self) -> SessionState {
        self.machine.view().state
    }

    /// Lets time pass until the session is in this state; gives how long that took.
    pub(super) fn until(&mut self, state: SessionState) -> Duration {
        let began = self.now;
        for _ in 0..1000 {
            if self.state() == state {
                return self.now - began;
            }
            self.wait();
        }
        panic!("never {state:?}: {:?}", self.names());
    }

    /// Every announced attempt: step, number of the attempt, pause.
    pub(super) fn retries(&self) -> Vec<(Step, u32, u64)> {
        let retry = |event: &EventKind| {
            let EventKind::Retrying { step, attempt, in_ms, .. } = event else { return None };
            Some((*step, *attempt, *in_ms))
        };
        self.events.iter().filter_map(retry).collect()
    }

    fn times(&self, line: &str) -> usize {
        self.trail.iter().filter(|done| done.starts_with(line)).count()
    }
}

#[test]
fn a_failed_step_is_tried_again_from_where_it_failed() {
    for (path, code, step) in [
        ("/zdial/v1/numbers", "sign-in.unavailable", Step::SignIn),
        ("/rum/v1/RueConfig", "sign-in.unavailable", Step::SignIn),
    ] {
        let mut world = World::supervised();
        world.answer_first(path, 3, || status(503, "", None));
        let mut world = world.start();
        world.until(SessionState::Ready);
        let retries = world.retries();
        assert_eq!(
            retries.iter().map(|retry| (retry.0, retry.1)).collect::<Vec<_>>(),
            [(step, 2), (step, 3), (step, 4)]
        );
        for ((.., in_ms), bound) in retries.iter().zip([1000, 2000, 4000]) {
            assert!(*in_ms < bound, "{in_ms} of {bound} ms");
        }
        let failed: Vec<&str> = world
            .events
            .iter()
            .filter_map(|event| {
                if let EventKind::StepFailed { error, .. } = event { Some(error.code()) } else { None }
            })
            .collect();
        assert_eq!(failed, [code; 3]);
        assert_eq!(world.times("look zdial.test"), 2, "A and AAAA once: names are not asked again");
        assert_eq!(world.times("REGISTER"), 1);
    }
}

#[test]
fn a_pause_that_a_server_asks_for_is_kept() {
    let mut world = World::supervised();
    world.answer_first("/zdial/v1/numbers", 1, || status(429, "", Some(120)));
    let mut world = world.start();
    assert_eq!(world.state(), SessionState::Waiting);
    let waited = world.until(SessionState::Ready);
    assert!(waited >= Duration::from_secs(120) && waited < Duration::from_secs(122), "{waited:?}");
    assert_eq!(world.times("look zdial.test"), 4, "after two minutes names are asked again");
    assert_eq!(world.times("GET /zdial/v1/numbers"), 3, "refused, challenged, given");
}

#[test]
fn who_is_refused_is_not_tried_again() {
    for (path, answer, code) in [
        ("/zdial/v1/numbers", (403, r#"{"code":"account-suspended"}"#), "sign-in.account-locked"),
        ("/zdial/v1/numbers", (403, "{}"), "sign-in.refused"),
        ("/rum/v1/RueConfig", (409, r#"{"code":"number-in-use"}"#), "sign-in.number-in-use"),
        ("/zdial/v1/numbers", (200, r#"{"numbers":[]}"#), "sign-in.no-numbers"),
    ] {
        let mut world = World::supervised();
        world.answer_first(path, usize::MAX, move || status(answer.0, answer.1, None));
        let world = world.start();
        assert_eq!(world.failure().0, code);
        assert!(world.retries().is_empty() && world.machine.next_deadline().is_none());
    }
    let mut world = World::supervised();
    world.registrar = (403, Vec::new());
    assert_eq!(world.start().failure().0, "register.forbidden");
}

#[test]
fn wrong_credentials_at_zdial_stop_at_once() {
    let mut world = World::supervised();
    let challenge = r#"Digest realm="z", nonce="n", qop="auth", algorithm=SHA-256"#;
    world.answer_first("/zdial/", usize::MAX, move || {
        Ok(HttpsReply {
            status: 401,
            challenges: vec![challenge.to_owned()],
            retry_after_s: None,
            etag: None,
            location: None,
            body: Bytes::new(),
        })
    });
    let world = world.start();
    assert_eq!(world.failure().0, "sign-in.bad-credentials");
    assert_eq!(world.times("GET /zdial/v1/numbers"), 2, "without and with credentials, and no more");
}

#[test]
fn sip_credentials_that_are_refused_are_fetched_afresh_once() {
    let challenge = r#"Digest realm="sip", nonce="n1", qop="auth", algorithm=SHA-256"#;
    // R20: the fresh ones are refused too.
    let mut world = World::supervised();
    world.registrar = (401, vec![(Name::WwwAuthenticate, challenge)]);
    let world = world.start();
    assert_eq!(world.failure().0, "register.credentials-refused");
    assert_eq!(world.times("GET /rum/v1/RueConfig"), 4, "challenged and given, twice: {:?}", world.trail);
    let failures = world.names().iter().filter(|name| **name == "step-failed").count();
    assert_eq!(failures, 2, "both refusals are told");

    // R19: while the session stands, with a call that goes on.
    let mut world = World::supervised().start();
    let call = world.ring(1, standing::AUDIO).unwrap();
    world.establish(call);
    world.registrar = (401, vec![(Name::WwwAuthenticate, challenge)]);
    let fetched = world.times("GET /rum/v1/RueConfig");
    world.answer_first("/zdial/", 1, || status(503, "", None));
    while world.retries().is_empty() {
        world.wait();
    }
    assert_eq!(world.state(), SessionState::Registering);
    world.registrar = (200, Vec::new());
    world.until(SessionState::Ready);
    assert!(world.times("GET /rum/v1/RueConfig") > fetched);
    assert!(world.names().contains(&"configuration-renewed"));
    assert!(!world.names().contains(&"call-ended"), "{:?}", world.names());
}

#[test]
fn a_server_that_is_away_at_the_start_is_found_when_it_comes() {
    for silent in ["refuse", "connect", "sip", "dns"] {
        let mut world = World::supervised();
        world.silent = silent;
        let mut world = world.start();
        while world.retries().len() < 5 {
            world.wait();
        }
        assert!(!world.names().contains(&"stopped"), "{silent}");
        world.silent = "";
        world.until(SessionState::Ready);
        let signed_in = world.times("GET /zdial/v1/numbers");
        assert!(signed_in <= 2, "{silent}: signed in once only, {signed_in} requests");
    }
}

#[test]
fn without_a_licence_emergency_calls_are_possible_and_nothing_else() {
    for answer in [(404, r#"{"code":"no-licence"}"#), (503, ""), (200, r#"{"license":"forged"}"#)] {
        let mut world = World::supervised();
        world.answer_first("/mcs/v1/license", 2, move || status(answer.0, answer.1, None));
        let mut world = world.start();
        assert_eq!(world.state(), SessionState::EmergencyOnly, "{answer:?}");
        assert!(world.names().contains(&"emergency-only") && !world.names().contains(&"ready"));
        assert_eq!(world.call(1, "+15555550102"), "call.unlicensed");
        assert_eq!(world.ring(1, standing::AUDIO), None);
        assert_eq!(world.call(2, "911"), "going");
        assert!(world.ring(2, standing::AUDIO).is_some(), "emergency services may call back");
        world.until(SessionState::Ready);
        assert!(world.names().contains(&"ready") && world.names().contains(&"licence-renewed"));
        assert_eq!(world.times("REGISTER"), 1, "the registration stays");
    }
}

#[test]
fn a_licence_that_is_denied_is_not_asked_for_again_by_itself() {
    let mut world = World::supervised();
    world.answer_first("/mcs/v1/license", 1, || status(403, r#"{"code":"licence-denied"}"#, None));
    let mut world = world.start();
    assert_eq!(world.state(), SessionState::EmergencyOnly);
    world.pass(Duration::from_secs(7200));
    assert_eq!(world.times("POST /mcs/v1/license"), 1, "{:?}", world.trail);
}

#[test]
fn a_session_does_without_an_address_book_until_it_comes() {
    let mut world = World::supervised();
    world.answer_first("/carddav/", 2, || status(503, "", None));
    let mut world = world.start();
    assert_eq!(world.state(), SessionState::Ready);
    world.wait_for("contacts-loaded");
    assert_eq!(world.times("POST /mcs/v1/license"), 1, "given, not asked for again");
}

#[test]
fn a_licence_is_renewed_in_time_and_its_grace_counts_while_the_server_is_away() {
    let issue = |at: u64| {
        let mut claims = licence::claims(UNIX_S + at, DEVICE);
        claims["refresh_after"] = (UNIX_S + at + 600).into();
        claims["grace_s"] = 500.into();
        format!("{{\"license\":\"{}\"}}", licence::sign(&licence::header(), &claims))
    };
    let mut world = World::supervised();
    let first = issue(0);
    world.answer_first("/mcs/v1/license", 1, move || status(200, &first, None));
    let mut world = world.start();
    world.hook = Some(Box::new(|request| request.target.starts_with("/mcs").then(refused)));
    world.pass(Duration::from_secs(595));
    assert!(world.retries().is_empty());
    world.pass(Duration::from_secs(600));
    assert!(!world.retries().is_empty(), "asked again and again");
    assert_eq!(world.call(1, "+15555550102"), "going", "1195 s: after its end, within the grace");
    let second = issue(1300);
    world.pass(Duration::from_secs(400));
    assert_eq!(world.call(2, "+15555550103"), "call.licence-expired", "1595 s: after the grace");
    assert_eq!(world.call(3, "911"), "going");
    world.hook = Some(Box::new(move |request| {
        (request.method == "POST" && request.target.starts_with("/mcs")).then(|| status(200, &second, None))
    }));
    world.pass(Duration::from_secs(301));
    assert!(world.names().contains(&"licence-renewed"));
    assert_eq!(world.call(4, "+15555550103"), "call.too-many-calls", "{:?}", world.names());
}

#[test]
fn a_configuration_is_fetched_afresh_when_its_lifetime_is_over() {
    let body = |password: &str| {
        format!(
            r#"{{"phone-number":"+15555550101","provider-domain":"c.test","user-name":"15555550101","sip-password":"{password}",
            "lifetime":600,"outbound-proxies":["sip:lb.test:5060;transport=tcp"],"x-z5":{{"license-uri":"https://mcs.test/mcs/v1/license",
            "address-book-uri":"https://mcs.test/carddav/a/","rtp-port-range":[30000,30099]}}}}"#
        )
    };
    let (first, second) = (body("old"), body("new"));
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    let mut world = World::supervised();
    world.hook = Some(Box::new(move |request| {
        if !request.target.starts_with("/rum/") {
            return None;
        }
        count.set(count.get() + 1);
        match count.get() {
            1 => Some(status(200, &first, None)),
            // away when it is due: what we have goes on to be used (R40)
            2 | 3 => Some(refused()),
            _ => Some(status(200, &second, None)),
        }
    }));
    let mut world = world.start();
    world.pass(Duration::from_secs(599));
    assert_eq!(asked.get(), 1);
    world.pass(Duration::from_secs(1));
    assert_eq!((asked.get(), world.state()), (3, SessionState::Ready));
    world.wait_for("configuration-renewed");
    assert!(world.events.contains(&EventKind::ConfigurationRenewed { changed: true }));
    assert_eq!(world.state(), SessionState::Ready);
}

#[test]
fn an_emergency_call_waits_for_nothing_that_need_not_be_waited_for() {
    let mut world = World::supervised();
    world.answer_first("/zdial/v1/numbers", 1, || status(503, "", Some(3000)));
    let mut world = world.start();
    assert_eq!(world.state(), SessionState::Waiting);
    assert_eq!(world.call(1, "911"), "going");
    assert_eq!(world.state(), SessionState::Ready, "the pause of 3000 s is over");
    assert!(world.wishes.is_empty() && world.machine.view().calls.len() == 1);

    // Nobody can be reached: told in time to try another way.
    let mut world = World::supervised();
    world.silent = "dns";
    let mut world = world.start();
    assert_eq!(world.call(1, "911"), "going");
    assert_eq!(world.call(2, "+15555550102"), "call.not-ready");
    let began = world.now;
    world.wait_for("call-failed");
    world.pass(Duration::from_secs(31));
    let told = world.events.iter().filter(|event| matches!(event, EventKind::CallFailed { .. })).count();
    assert_eq!(told, 2, "{:?} after {:?}", world.names(), world.now - began);
    // Given up by the user.
    assert_eq!(world.call(3, "911"), "going");
    world.input(Input::Command(Command::Hangup { call: CallId(3) }));
    world.settle();
    let Some(EventKind::CallFailed { error, .. }) = world.events.last() else {
        panic!("{:?}", world.names())
    };
    assert_eq!(error.code(), "call.cancelled");
}

#[test]
fn a_script_that_wants_the_first_error_gets_it() {
    for (mode, state) in [("once", SessionState::Stopped), ("supervised", SessionState::Waiting)] {
        let text = format!("{CONFIG}[retry]\nmode = \"{mode}\"\n");
        let mut world = World::of(&text, StartOptions::default());
        world.answer_first("/zdial/v1/numbers", usize::MAX, || status(503, "", None));
        assert_eq!(world.start().state(), state);
    }
}
