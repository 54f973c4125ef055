//! The binding: challenges, lifetimes, refusals, lost flows.

use std::time::Duration;

use super::script::{FLOW, Script};
use super::world::World;
use crate::flow::{FlowDeath, FlowEnd};
use crate::ua::{Command, Event, Input, RegisterFailure, StunUse, UaConfig};
use crate::wire::{Message, Method, Name, Transport};

const CHALLENGE: &str = "Digest realm=\"example.com\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256";

fn contact(register: &Message) -> String {
    String::from_utf8_lossy(register.header(Name::Contact).unwrap()).into_owned()
}

#[test]
fn a_binding_takes_two_requests_and_its_refresh_one() {
    let mut world = World::new(1, &["alice"]);
    world.server.grants = 120;
    world.register_all();
    assert_eq!(world.server.log.len(), 2);
    let granted = |event: &Event| matches!(event, Event::Registered { round_trips: 2, granted, .. } if granted.as_secs() == 120);
    assert!(world.has(0, granted), "{}", world.story());
    world.pass(Duration::from_secs(61));
    assert_eq!(world.server.log.len(), 3, "the nonce is used again");
    assert!(world.has(0, |event| matches!(event, Event::Registered { round_trips: 1, .. })));
}

#[test]
fn what_is_granted_decides_the_refresh() {
    let mut world = World::new(2, &["alice"]);
    world.server.grants = 6;
    world.register_all();
    world.pass(Duration::from_secs(31));
    // Every three seconds, one request each.
    assert_eq!(world.count(0, |event| matches!(event, Event::Registered { .. })), 11);
    assert_eq!(world.server.log.len(), 12);
    assert!(world.ends[0].agent.is_registered(world.now));
}

#[test]
fn a_registrar_that_wants_longer_gets_it() {
    let mut world =
        World::with(3, &["alice"], Transport::Tcp, |config| config.expires = Duration::from_secs(60));
    world.server.shortest = 120;
    world.register_all();
    assert!(
        world.has(0, |event| matches!(event, Event::Registered { granted, .. } if granted.as_secs() == 120))
    );
}

#[test]
fn an_interval_that_makes_no_sense_is_not_followed() {
    for shortest in ["60", "0", "4000000000"] {
        let mut script = Script::new();
        script.command(Command::Register);
        let register = script.next_request(Method::Register);
        script.reply(&register, 423, &[(Name::MinExpires, shortest)]);
        assert!(script.sent.is_empty());
        let Some(Event::RegistrationFailed(failure)) = script.events.pop() else { panic!("{shortest}") };
        assert!(matches!(failure, RegisterFailure::IntervalTooBrief { .. }), "{failure}");
    }
}

#[test]
fn refused_credentials_end_it_after_one_try() {
    let mut world = World::with(4, &["alice"], Transport::Tcp, |config| {
        config.credentials = vec![crate::auth::Credentials::new("alice", "wrong")];
    });
    world.command(0, Command::Register);
    world.pass(Duration::from_secs(600));
    assert_eq!(world.server.log.len(), 2, "{:?}", world.server.log);
    let failed = |event: &Event| matches!(event, Event::RegistrationFailed(RegisterFailure::CredentialsRefused { realm, times: 1 }) if realm == "example.com");
    assert_eq!(world.count(0, failed), 1);
}

#[test]
fn a_challenge_of_another_kind_is_named() {
    let mut script = Script::new();
    script.command(Command::Register);
    let register = script.next_request(Method::Register);
    script.reply(&register, 401, &[(Name::WwwAuthenticate, "Basic realm=\"x\"")]);
    let Some(Event::RegistrationFailed(RegisterFailure::NoUsableChallenge { offered })) = script.events.pop()
    else {
        panic!("{:?}", script.events)
    };
    assert_eq!(offered, ["Basic"]);
}

#[test]
fn every_status_has_its_failure() {
    let failure = |status: u16, headers: &[(Name<'static>, &str)]| {
        let mut script = Script::with(Transport::Tcp, |config| config.keep_alive = None);
        script.command(Command::Register);
        let register = script.next_request(Method::Register);
        script.reply(&register, status, headers);
        script.pass(Duration::from_secs(120));
        assert!(script.sent.is_empty(), "no loop after {status}");
        match script.events.pop() {
            Some(Event::RegistrationFailed(failure)) => failure,
            other => panic!("{status}: {other:?}"),
        }
    };
    assert!(matches!(failure(403, &[]), RegisterFailure::Forbidden { .. }));
    assert!(matches!(failure(404, &[]), RegisterFailure::UnknownAccount { .. }));
    assert!(matches!(
        failure(503, &[(Name::RetryAfter, "30 (later)")]),
        RegisterFailure::Unavailable { retry_after: Some(wait), .. } if wait.as_secs() == 30
    ));
    assert!(matches!(failure(500, &[]), RegisterFailure::Unavailable { retry_after: None, .. }));
    assert!(matches!(failure(429, &[]), RegisterFailure::Unavailable { retry_after: None, .. }));
    assert!(matches!(failure(409, &[]), RegisterFailure::Refused { status: 409, .. }));
    assert!(matches!(
        failure(409, &[(Name::RetryAfter, "30")]),
        RegisterFailure::Unavailable { status: 409, retry_after: Some(wait), .. } if wait.as_secs() == 30
    ));
    let moved = failure(302, &[(Name::Contact, "<mailto:x@example.com>")]);
    assert!(matches!(&moved, RegisterFailure::Redirected { status: 302, targets } if targets.len() == 1));
    let refused = failure(420, &[(Name::Warning, "399 x \"no such thing\"")]);
    assert!(
        matches!(refused, RegisterFailure::Refused { status: 420, warning: Some(text), .. } if text == "no such thing")
    );
    assert!(matches!(failure(200, &[]), RegisterFailure::BadReply { .. }));
    assert!(matches!(
        failure(200, &[(Name::Contact, "<sip:other@h>;expires=60")]),
        RegisterFailure::BadReply { .. }
    ));
}

#[test]
fn an_overloaded_registrar_puts_a_refresh_off_while_the_binding_holds() {
    let mut script = Script::registered();
    script.command(Command::Register);
    let refresh = script.next_request(Method::Register);
    script.reply(&refresh, 503, &[(Name::RetryAfter, "20")]);
    assert!(
        matches!(script.events.pop(), Some(Event::RegistrationDelayed { retry_in, .. }) if retry_in.as_secs() == 20)
    );
    script.pass(Duration::from_secs(20));
    let again = script.next_request(Method::Register);
    let bound = contact(&again);
    script.reply(&again, 200, &[(Name::Contact, &bound)]);
    assert!(matches!(script.events.pop(), Some(Event::Registered { .. })));
}

#[test]
fn a_stale_nonce_costs_one_more_request_and_nothing_else() {
    let mut script = Script::new();
    script.command(Command::Register);
    let first = script.next_request(Method::Register);
    script.reply(&first, 401, &[(Name::WwwAuthenticate, CHALLENGE)]);
    let second = script.next_request(Method::Register);
    let stale = format!("{}, stale=true", CHALLENGE.replace("n1", "n2"));
    script.reply(&second, 401, &[(Name::WwwAuthenticate, &stale)]);
    let third = script.next_request(Method::Register);
    assert!(String::from_utf8_lossy(third.header(Name::Authorization).unwrap()).contains("nonce=\"n2\""));
    let numbers: Vec<u32> = [&first, &second, &third].iter().map(|m| m.cseq().unwrap().number).collect();
    assert!(numbers[0] < numbers[1] && numbers[1] < numbers[2]);
    assert_eq!(first.call_id(), third.call_id());
    let bound = contact(&third);
    script.reply(&third, 200, &[(Name::Contact, &bound)]);
    assert!(matches!(script.events.pop(), Some(Event::Registered { round_trips: 3, .. })));
}

#[test]
fn the_binding_is_taken_back() {
    let mut world = World::new(5, &["alice"]);
    world.register_all();
    world.command(0, Command::Unregister);
    world.run_until("unregistered", |world| world.has(0, |event| matches!(event, Event::Unregistered)));
    assert!(world.server.bindings.is_empty() && !world.ends[0].agent.is_registered(world.now));
    world.pass(Duration::from_secs(1200));
    assert_eq!(world.server.log.len(), 3, "nothing is refreshed any more");
    // Nothing to take back is fine too.
    world.command(0, Command::Unregister);
    assert_eq!(world.count(0, |event| matches!(event, Event::Unregistered)), 2);
}

#[test]
fn taking_back_while_the_binding_is_made_waits_for_it() {
    let mut world = World::new(6, &["alice"]);
    world.command(0, Command::Register);
    world.command(0, Command::Unregister);
    world.run_until("unregistered", |world| world.has(0, |event| matches!(event, Event::Unregistered)));
    assert!(world.server.bindings.is_empty());
    assert_eq!(world.server.log.len(), 3);
    assert!(!world.has(0, |event| matches!(event, Event::Registered { .. })));
}

#[test]
fn without_a_flow_it_fails_at_once() {
    let mut script = Script::new();
    script.input(Input::FlowDown { flow: FLOW, why: FlowEnd::Closed });
    script.command(Command::Register);
    assert!(matches!(script.events.pop(), Some(Event::RegistrationFailed(RegisterFailure::NoFlow))));
}

#[test]
fn a_flow_lost_in_between_ends_the_request_and_the_next_flow_starts_anew() {
    let mut world = World::new(7, &["alice"]);
    world.command(0, Command::Register);
    world.disconnect(0);
    let lost = |event: &Event| matches!(event, Event::RegistrationFailed(RegisterFailure::ConnectionLost));
    assert!(world.has(0, lost));
    world.connect(0);
    world.register_all();
    world.disconnect(0);
    assert!(!world.ends[0].agent.is_registered(world.now));
    assert!(
        world.has(0, |event| matches!(event, Event::FlowDead { why: FlowDeath::Down(FlowEnd::Reset), .. }))
    );
    world.connect(0);
    world.register_all();
}

#[test]
fn a_registrar_that_never_answers_costs_the_flow() {
    let mut world = World::with(8, &["alice"], Transport::Tcp, |config| config.keep_alive = None);
    world.swallow = true;
    world.command(0, Command::Register);
    let began = world.now;
    world.run_until("the flow is given up", |world| {
        world.has(0, |event| matches!(event, Event::FlowDead { .. }))
    });
    assert_eq!(world.now - began, Duration::from_secs(32));
    let timed_out =
        |event: &Event| matches!(event, Event::RegistrationFailed(RegisterFailure::TimedOut { timer: "F" }));
    assert!(world.has(0, timed_out) && world.ends[0].flow.is_none());
}

#[test]
fn a_dead_flow_is_noticed_by_its_pong() {
    let mut world = World::new(9, &["alice"]);
    world.register_all();
    world.pass(Duration::from_secs(120));
    assert!(world.ends[0].flow.is_some(), "the server answers its pings");
    world.swallow = true;
    let began = world.now;
    world.run_until("dead", |world| {
        world.has(0, |event| matches!(event, Event::FlowDead { why: FlowDeath::NoPong, .. }))
    });
    assert!(world.now - began <= Duration::from_secs(35), "{:?}", world.now - began);
    assert!(!world.ends[0].agent.is_registered(world.now));
}

/// A UDP flow that is bound, with headers of the registrar's.
fn bound_over_udp(headers: &[(Name<'static>, &str)], tune: impl FnOnce(&mut UaConfig)) -> Script {
    let mut script = Script::with(Transport::Udp, tune);
    script.command(Command::Register);
    let register = script.next_request(Method::Register);
    let bound = contact(&register);
    let mut headers = headers.to_vec();
    headers.push((Name::Contact, &bound));
    script.reply(&register, 200, &headers);
    script.take_events();
    script
}

#[test]
fn a_udp_flow_is_asked_by_stun_where_the_registrar_has_outbound_and_dies_when_our_address_moves() {
    let required = [(Name::Require, "outbound")];
    let mut script = bound_over_udp(&required, |_| {});
    script.pass(Duration::ZERO);
    assert_eq!(script.asked.len(), 1, "at once: later answers are compared with this one");
    let answer = |script: &Script, address: &str| {
        let request = script.asked.last().unwrap();
        crate::stun::answer(request, address.parse().unwrap()).unwrap()
    };
    let here = answer(&script, "192.0.2.1:4000");
    script.input(Input::Received { flow: FLOW, bytes: &here });
    script.input(Input::Received { flow: FLOW, bytes: &here });
    let unasked =
        |event: &Event| matches!(event, Event::Unexpected { what: "STUN that nobody asked for", .. });
    assert_eq!(script.events.iter().filter(|event| unasked(event)).count(), 1, "the copy alone");
    let asked = script.now;
    while script.asked.len() == 1 {
        script.pass(Duration::from_millis(50));
    }
    let interval = Duration::from_secs(20)..=Duration::from_millis(25_050);
    assert!(interval.contains(&(script.now - asked)), "{:?}", script.now - asked);
    let elsewhere = answer(&script, "192.0.2.1:4001");
    script.input(Input::Received { flow: FLOW, bytes: &elsewhere });
    let dead = |event: &Event| matches!(event, Event::FlowDead { why: FlowDeath::AddressChanged, .. });
    assert!(script.closed && script.events.iter().any(dead), "{:?}", script.events);
    assert!(!script.agent.is_registered(script.now));

    // An answer that stays away ends the flow as well.
    let mut script = bound_over_udp(&required, |_| {});
    script.pass(Duration::from_secs(40));
    assert_eq!(script.asked.len(), 7);
    let dead = |event: &Event| matches!(event, Event::FlowDead { why: FlowDeath::NoStunAnswer, .. });
    assert!(script.closed && script.events.iter().any(dead), "{:?}", script.events);
}

#[test]
fn without_outbound_a_udp_flow_is_kept_by_line_ends_and_flow_timer_sets_the_pace() {
    let mut script = bound_over_udp(&[], |_| {});
    script.pass(Duration::from_secs(60));
    assert!(script.asked.is_empty() && script.pings >= 2, "{} pings", script.pings);
    assert!(!script.closed, "nobody answers them");

    let mut script = bound_over_udp(&[(Name::FlowTimer, "5")], |config| config.stun = StunUse::Never);
    script.pass(Duration::from_secs(20));
    assert!((4..=5).contains(&script.pings), "{} pings: 80 to 100 percent of 5 s each", script.pings);
}

#[test]
fn an_instance_asks_for_outbound_until_the_first_hop_says_it_has_none() {
    let mut script = Script::with(Transport::Tcp, |config| {
        config.instance_id = Some("00000000-0000-1000-8000-000A95A0E128".to_owned());
    });
    script.command(Command::Register);
    let register = script.next_request(Method::Register);
    assert!(
        contact(&register)
            .contains("+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\";reg-id=1")
    );
    assert!(register.lists_token(Name::Supported, "outbound"));
    script.reply(&register, 439, &[]);
    let plain = script.next_request(Method::Register);
    assert!(!contact(&plain).contains("reg-id") && contact(&plain).contains("+sip.instance"));
    let bound = contact(&plain);
    script.reply(&plain, 200, &[(Name::Contact, &bound)]);
    assert!(matches!(script.events.pop(), Some(Event::Registered { .. })));
}

#[test]
fn the_service_route_is_the_way_of_calls() {
    let mut script = Script::new();
    script.command(Command::Register);
    let register = script.next_request(Method::Register);
    let bound = contact(&register);
    script.reply(
        &register,
        200,
        &[(Name::Contact, &bound), (Name::ServiceRoute, "<sip:orig@p.example.com;lr>")],
    );
    let invite = script.invite();
    assert_eq!(invite.header(Name::Route), Some(&b"<sip:orig@p.example.com;lr>"[..]));
}

#[test]
fn no_secret_reaches_a_debug_line_or_a_trace() {
    let mut world = World::with(10, &["alice", "bob"], Transport::Tcp, |config| config.trace = true);
    world.register_all();
    world.connect_call();
    let wire: String =
        world.ends[0].writes.iter().map(|write| String::from_utf8_lossy(write).into_owned()).collect();
    assert!(wire.contains("response=\"") && world.has(0, |event| matches!(event, Event::Trace { .. })));
    for end in &world.ends {
        for event in &end.events {
            if let Event::Trace { text, .. } = event {
                assert!(
                    !text.contains("alice") && !text.contains("bob") && !text.contains("response=\""),
                    "{text}"
                );
            }
        }
    }
    let effect = crate::ua::Effect::Send { flow: FLOW, bytes: bytes::Bytes::from(wire) };
    assert!(format!("{effect:?}").len() < 40);
}

#[test]
fn a_registrar_that_fails_to_prove_itself_is_told() {
    let mut script = Script::new();
    script.command(Command::Register);
    let first = script.next();
    script.reply(
        &first,
        401,
        &[(Name::WwwAuthenticate, "Digest realm=\"example.com\", nonce=\"n\", qop=\"auth\"")],
    );
    let second = script.next();
    let contact = String::from_utf8_lossy(second.header(Name::Contact).unwrap()).into_owned();
    script.take_events();
    script.reply(&second, 200, &[(Name::Contact, &contact), (Name::AuthenticationInfo, "rspauth=\"00\"")]);
    let events = script.take_events();
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Unexpected { what, .. } if what.contains("rspauth")))
    );
}
