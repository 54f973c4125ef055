//! What servers gave in an earlier run: when it spares a start their answers, when it stands in for them, and when it must not.

use super::*;
use crate::error::AttemptOutcome;
use crate::store::MemoryStore;

/// Seconds for which a configuration holds.
const LIFETIME_S: u64 = 600;

fn refused() -> Result<HttpsReply, io::HttpsFailure> {
    let address = "127.0.0.1:443".parse().unwrap();
    let attempt = crate::error::Attempt { address, transport: None, outcome: AttemptOutcome::Refused };
    Err(io::HttpsFailure::Unreachable(vec![attempt]))
}

fn ok(body: String) -> Result<HttpsReply, io::HttpsFailure> {
    let body = Bytes::from(body);
    Ok(HttpsReply {
        status: 200,
        challenges: Vec::new(),
        retry_after_s: None,
        etag: None,
        location: None,
        body,
    })
}

fn configuration(lifetime: &str) -> String {
    format!(
        r#"{{"phone-number":"+15555550101","provider-domain":"c.test","user-name":"15555550101","sip-password":"s",{lifetime}
        "outbound-proxies":["sip:lb.test:5060;transport=tcp"],"x-z5":{{"license-uri":"https://mcs.test/mcs/v1/license",
        "address-book-uri":"https://mcs.test/carddav/a/","rtp-port-range":[30000,30099]}}}}"#
    )
}

/// A licence until 1000 s after the beginning, with a grace of 500 s.
fn licence_reply() -> String {
    let mut claims = licence::claims(UNIX_S, DEVICE);
    claims["grace_s"] = 500.into();
    let policy = r#"{"group":"g","rtp-port-range":[41000,41099]}"#;
    format!("{{\"license\":\"{}\",\"policy\":{policy}}}", licence::sign(&licence::header(), &claims))
}

/// Servers that give a configuration with this lifetime; those whose host is named are away.
pub(super) fn servers(lifetime: String, away: &'static [&'static str]) -> Hook {
    Box::new(move |request| {
        let path = request.target.split('?').next().unwrap();
        match path {
            _ if away.contains(&request.host.as_str()) => Some(refused()),
            "/rum/v1/RueConfig" => Some(ok(configuration(&lifetime))),
            "/mcs/v1/license" if request.method == "POST" => Some(ok(licence_reply())),
            _ => None,
        }
    })
}

pub(super) fn lifetime() -> String {
    format!("\"lifetime\":{LIFETIME_S},")
}

/// A session that starts `after_s` seconds after the beginning by its clock.
fn run(store: &Arc<MemoryStore>, retry: RetryMode, after_s: i64, hook: Hook) -> World {
    let store: Arc<dyn Store> = Arc::clone(store) as Arc<dyn Store>;
    let mut world = World::of(CONFIG, StartOptions { retry, store: Some(store), ..StartOptions::default() });
    world.machine.wall = WallAnchor { at: world.now, unix_s: UNIX_S.checked_add_signed(after_s).unwrap() };
    world.hook = Some(hook);
    world.start()
}

/// What an ordinary start leaves behind.
pub(super) fn after_a_start(lifetime: String) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let world = run(&store, RetryMode::Supervised, 0, servers(lifetime, &[]));
    assert_eq!(world.state(), SessionState::Ready);
    store
}

impl World {
    fn asked(&self, what: &str) -> usize {
        self.trail.iter().filter(|line| line.contains(what)).count()
    }
}

#[test]
fn a_start_asks_nobody_for_what_is_still_fresh_and_renews_it_in_time() {
    let store = after_a_start(lifetime());
    let mut world = run(&store, RetryMode::Supervised, 100, servers(lifetime(), &[]));
    assert_eq!(world.state(), SessionState::Ready);
    assert_eq!(
        (world.asked("/zdial/"), world.asked("/rum/"), world.asked("/mcs/")),
        (0, 0, 0),
        "{:?}",
        world.trail
    );
    assert!(world.names().contains(&"contacts-loaded"), "the address book comes afterwards");
    let said = |event: &EventKind| {
        let EventKind::StepDone { detail: StepDetail::SignedIn { authentication, .. }, .. } = event else {
            return None;
        };
        Some(*authentication)
    };
    assert_eq!(world.events.iter().find_map(said), Some("kept"));
    assert_eq!(
        world.names().iter().filter(|name| **name == "step-done").count(),
        4,
        "in order, none left out"
    );
    world.pass(Duration::from_secs(499));
    assert_eq!(world.asked("/rum/"), 0);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.asked("/rum/"), 1, "when its lifetime is over, counted from when it was given");
}

#[test]
fn what_is_over_or_was_not_promised_for_any_time_is_asked_for() {
    for (after_s, lifetime) in [(LIFETIME_S as i64 + 1, lifetime()), (100, String::new())] {
        let store = after_a_start(lifetime.clone());
        let world = run(&store, RetryMode::Supervised, after_s, servers(lifetime, &[]));
        assert_eq!((world.state(), world.asked("/rum/") > 0), (SessionState::Ready, true));
    }
    // A licence that is to be renewed soon is, before anything else is done with it.
    let long = "\"lifetime\":86400,".to_owned();
    let world = run(&after_a_start(long.clone()), RetryMode::Supervised, 745, servers(long, &[]));
    assert_eq!((world.asked("/rum/"), world.asked("POST /mcs/")), (0, 1));
}

#[test]
fn who_wants_the_first_error_gets_it_whatever_was_kept() {
    let store = after_a_start(lifetime());
    let world = run(&store, RetryMode::Once, 100, servers(lifetime(), &["zdial.test"]));
    assert_eq!(world.failure().0, "sign-in.unreachable");
}

#[test]
fn while_zdial_is_away_its_configuration_serves_for_its_lifetime() {
    let store = after_a_start(lifetime());
    // Too little is left to begin with it unasked.
    let mut world = run(&store, RetryMode::Supervised, 545, servers(lifetime(), &["zdial.test"]));
    assert_eq!(world.state(), SessionState::Ready, "{:?}", world.names());
    assert!(world.names().contains(&"step-failed"), "what is wrong is told");
    assert_eq!(world.call(1, "+15555550102"), "going");
    assert!(!world.retries().is_empty(), "and ZDial is asked again");
    world.hook = Some(servers(lifetime(), &[]));
    world.wait_for("configuration-renewed");
}

#[test]
fn beyond_its_lifetime_or_without_a_time_it_serves_for_emergency_calls_alone() {
    let back = -3600;
    for (after_s, lifetime) in [(700, lifetime()), (100, String::new()), (back, lifetime())] {
        let store = after_a_start(lifetime.clone());
        let mut world =
            run(&store, RetryMode::Supervised, after_s, servers(lifetime.clone(), &["zdial.test"]));
        assert_eq!(world.state(), SessionState::EmergencyOnly, "{after_s}: {:?}", world.names());
        assert_eq!(world.call(1, "+15555550102"), "call.unlicensed");
        assert_eq!(world.call(2, "911"), "going");
        world.hook = Some(servers(lifetime, &[]));
        world.wait_for("configuration-renewed");
        if after_s != back {
            world.until(SessionState::Ready);
            assert_eq!(world.call(3, "+15555550102"), "going");
        }
    }
}

#[test]
fn while_the_mcs_is_away_its_licence_serves_to_the_end_of_its_grace() {
    let long = || "\"lifetime\":86400,".to_owned();
    let store = after_a_start(long());
    let mut world = run(&store, RetryMode::Supervised, 1400, servers(long(), &["mcs.test"]));
    assert_eq!(world.state(), SessionState::Ready, "{:?}", world.names());
    assert_eq!(world.call(1, "+15555550102"), "going");
    world.pass(Duration::from_secs(200));
    assert_eq!(world.call(2, "+15555550103"), "call.licence-expired");
    // The time that passed counts for the next run, whatever its clock says.
    world.command(Command::Stop);
    for (after_s, state) in [(1600, SessionState::EmergencyOnly), (900, SessionState::EmergencyOnly)] {
        let world = run(&store, RetryMode::Supervised, after_s, servers(long(), &["mcs.test", "zdial.test"]));
        assert_eq!(world.state(), state, "{after_s}: {:?}", world.names());
    }
}

#[test]
fn a_refusal_of_who_we_were_is_believed_after_asking_who_we_are() {
    let store = after_a_start(lifetime());
    let mut world = World::of(
        CONFIG,
        StartOptions { store: Some(Arc::clone(&store) as Arc<dyn Store>), ..StartOptions::default() },
    );
    world.registrar = (403, Vec::new());
    world.hook = Some(servers(lifetime(), &[]));
    let world = world.start();
    assert_eq!(world.failure().0, "register.forbidden");
    assert!(world.asked("/rum/") > 0, "{:?}", world.trail);
    assert_eq!(world.asked("REGISTER"), 2);
}

#[test]
fn what_was_given_for_another_number_is_not_used() {
    let store = after_a_start(lifetime());
    let other =
        CONFIG.replace("password = \"wonderland\"", "password = \"wonderland\"\nnumber = \"+15555550109\"");
    let mut world =
        World::of(&other, StartOptions { store: Some(store as Arc<dyn Store>), ..StartOptions::default() });
    world.hook = Some(servers(lifetime(), &[]));
    assert_eq!(world.start().failure().0, "sign-in.unknown-number");
}

#[test]
fn the_policy_of_the_group_is_kept_with_the_licence() {
    let store = after_a_start(lifetime());
    for away in [&[][..], &["mcs.test"], &["mcs.test", "zdial.test"]] {
        let world = run(&store, RetryMode::Supervised, 60, servers(lifetime(), away));
        let policy = world.events.iter().find_map(|event| {
            if let EventKind::StepDone { detail: StepDetail::Provisioned { policy, .. }, .. } = event {
                return Some(policy.clone());
            }
            None
        });
        let policy = policy.unwrap();
        let ports = crate::config::PortRange::new(41_000, 41_099);
        assert_eq!((policy.rtp_ports.group, policy.group.as_deref()), (Some(ports), Some("g")), "{away:?}");
    }
}
