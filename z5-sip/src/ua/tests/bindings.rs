//! Several ways to the registrar, what it tells beside a lifetime (GRUU, Path, bindings of others), 3xx, and that nothing
//! it does makes a loop of registrations.

use std::time::Duration;

use super::script::{FLOW, OFFER, Script};
use super::world::{SERVER, World, capabilities, uri};
use crate::auth::Credentials;
use crate::flow::{FlowEnd, FlowId};
use crate::ua::{
    CallKey, CallOptions, Command, Event, Input, Privacy, RegisterFailure, RequestFailure, UaConfig,
};
use crate::wire::{Message, Method, Name, ResponseBuilder, Transport};

const SECOND: FlowId = FlowId(2);
const UUID: &str = "00000000-0000-1000-8000-000A95A0E128";

fn instance(config: &mut UaConfig) {
    config.instance_id = Some(UUID.to_owned());
}

fn contact(register: &Message) -> String {
    register.text(Name::Contact).unwrap().into_owned()
}

/// A 200 over a flow, with our own contact and what is added to it.
fn grant(script: &mut Script, flow: FlowId, register: &Message, added: &str) {
    let bound = format!("{}{added}", contact(register));
    let ok = ResponseBuilder::to_request(register, 200, "").to_tag("r").header(Name::Contact, bound);
    let ok = ok.build().unwrap();
    script.input(Input::Received { flow, bytes: ok.as_bytes() });
}

fn second_way(script: &mut Script) {
    let local = "127.0.0.1:40077".parse().unwrap();
    let transport = Transport::Tcp;
    script.input(Input::FlowUp { flow: SECOND, transport, local, remote: SERVER.into(), reg_id: 2 });
}

/// Two ways, both bound.
fn two_ways() -> Script {
    let mut script = Script::with(Transport::Tcp, instance);
    second_way(&mut script);
    script.command(Command::Register);
    let (first, second) = (script.next_request(Method::Register), script.next_request(Method::Register));
    assert!(contact(&first).contains("40001") && contact(&first).contains(";reg-id=1;"));
    assert!(contact(&second).contains("40077") && contact(&second).contains(";reg-id=2;"));
    assert!(contact(&second).contains(UUID) && first.call_id() != second.call_id());
    grant(&mut script, FLOW, &first, "");
    grant(&mut script, SECOND, &second, "");
    let ways: Vec<u32> = script.take_events().iter().filter_map(registered).collect();
    assert_eq!(ways, [1, 2]);
    script
}

fn registered(event: &Event) -> Option<u32> {
    match event {
        Event::Registered { reg_id, .. } => Some(*reg_id),
        _ => None,
    }
}

#[test]
fn each_way_has_a_binding_and_the_other_one_takes_over() {
    let mut script = two_ways();
    script.input(Input::FlowDown { flow: FLOW, why: FlowEnd::Reset });
    assert!(script.agent.is_registered(script.now), "the second way still holds");
    let invite = script.invite();
    assert!(invite.text(Name::Contact).unwrap().contains("40077"), "over the way that is left");
    // A new connection on the first way has its number again, and a binding of its own.
    let (flow, local) = (FlowId(3), "127.0.0.1:40090".parse().unwrap());
    script.input(Input::FlowUp { flow, transport: Transport::Tcp, local, remote: SERVER.into(), reg_id: 1 });
    script.command(Command::Register);
    let (first, second) = (script.next_request(Method::Register), script.next_request(Method::Register));
    assert!(contact(&first).contains("40090") && contact(&first).contains(";reg-id=1;"));
    assert!(contact(&second).contains(";reg-id=2;"));
}

#[test]
fn a_call_moves_to_the_other_way_when_its_own_is_lost() {
    let mut script = two_ways();
    let invite = script.invite();
    script.accept(&invite, "bobtag");
    script.next_request(Method::Ack);
    script.input(Input::FlowDown { flow: SECOND, why: FlowEnd::Reset });
    // The newest one carried it.
    let moved = script.next();
    assert!(moved.text(Name::Contact).unwrap().contains("40001"), "the far end learns where we are");
}

#[test]
fn a_way_that_is_refused_is_told_apart_and_the_last_one_says_unregistered() {
    let mut script = two_ways();
    script.command(Command::Register);
    let (first, second) = (script.next_request(Method::Register), script.next_request(Method::Register));
    script.reply(&first, 403, &[]);
    let lost = |event: &Event| {
        matches!(event, Event::BindingLost { reg_id: 1, failure: RegisterFailure::Forbidden { .. } })
    };
    assert!(script.take_events().iter().any(lost));
    grant(&mut script, SECOND, &second, "");
    script.take_events();
    script.command(Command::Unregister);
    let last = script.next_request(Method::Register);
    assert!(contact(&last).contains("40077;") || contact(&last).contains("40077"));
    let ok = ResponseBuilder::to_request(&last, 200, "").to_tag("r").build().unwrap();
    script.input(Input::Received { flow: SECOND, bytes: ok.as_bytes() });
    let gone = |event: &&Event| matches!(event, Event::Unregistered);
    assert_eq!(script.events.iter().filter(gone).count(), 1, "{:?}", script.events);
}

#[test]
fn requests_are_taken_over_every_way_that_is_bound_and_no_other() {
    let mut script = two_ways();
    let options = "OPTIONS sip:alice@127.0.0.1:40077 SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKx1\r\n\
        Max-Forwards: 70\r\nFrom: <sip:x@h>;tag=1\r\nTo: <sip:alice@example.com>\r\nCall-ID: o1\r\n\
        CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    script.input(Input::Received { flow: SECOND, bytes: options.as_bytes() });
    script.next_status(200);
    let mut script = Script::registered();
    second_way(&mut script);
    script.input(Input::Received { flow: SECOND, bytes: options.as_bytes() });
    script.next_status(403);
}

#[test]
fn the_address_that_leads_to_this_instance_is_our_contact_in_calls() {
    let mut script = Script::with(Transport::Tcp, instance);
    script.command(Command::Register);
    let register = script.next_request(Method::Register);
    assert!(register.lists_token(Name::Supported, "gruu"));
    let added =
        ";pub-gruu=\"sip:alice@example.com;gr=urn:uuid:1\";temp-gruu=\"sip:tgruu.7hs@example.com;gr\"";
    grant(&mut script, FLOW, &register, added);
    let public = |event: &Event| {
        matches!(event, Event::Registered { gruu: Some(gruu), .. }
        if gruu.as_str() == "sip:alice@example.com;gr=urn:uuid:1")
    };
    assert!(script.take_events().iter().any(public));
    let invite = script.invite();
    assert_eq!(invite.header(Name::Contact), Some(&b"<sip:alice@example.com;gr=urn:uuid:1>"[..]));
    script.incoming("", OFFER);
    script.next_status(100);
    let call = script.incoming_call();
    script.command(Command::Accept { call, answer: capabilities(20_000) });
    let ok = script.next_status(200);
    assert_eq!(ok.header(Name::Contact), Some(&b"<sip:alice@example.com;gr=urn:uuid:1>"[..]));
    // Who hides takes the temporary one, which says nothing.
    let options = Box::new(CallOptions { privacy: Privacy::Anonymous, ..CallOptions::default() });
    let (call, target, offer) = (CallKey(8), uri("sip:bob@example.com"), capabilities(20_000));
    script.command(Command::Invite { call, target, offer, options });
    let hidden = script.next_request(Method::Invite);
    assert_eq!(hidden.header(Name::Contact), Some(&b"<sip:tgruu.7hs@example.com;gr>"[..]));
    // A REGISTER names the flow itself.
    script.command(Command::Register);
    assert!(contact(&script.next_request(Method::Register)).contains("127.0.0.1:40001"));
}

#[test]
fn the_path_is_told() {
    let mut script = Script::new();
    script.command(Command::Register);
    let register = script.next_request(Method::Register);
    let bound = contact(&register);
    let path = "<sip:p1.example.com;lr>, <sip:p2.example.com;lr>";
    script.reply(&register, 200, &[(Name::Contact, &bound), (Name::Path, path)]);
    let Some(Event::Registered { path, reg_id: 1, gruu: None, .. }) = script.events.pop() else { panic!() };
    assert_eq!(path, ["<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>"]);
}

#[test]
fn the_bindings_of_all_devices_are_fetched() {
    let mut script = Script::registered();
    script.command(Command::FetchBindings);
    let fetch = script.next_request(Method::Register);
    assert!(fetch.header(Name::Contact).is_none() && fetch.header(Name::Expires).is_none());
    let other =
        format!("<sip:5551234@192.0.2.9>;q=0.5;reg-id=3;+sip.instance=\"<urn:uuid:{UUID}>\";expires=20");
    let ours = "<sip:alice@127.0.0.1:40001;transport=tcp>";
    script.reply(&fetch, 200, &[(Name::Contact, &other), (Name::Contact, ours), (Name::Expires, "60")]);
    assert!(!format!("{:?}", script.events).contains("5551234"));
    let Some(Event::Bindings { bindings }) = script.events.pop() else { panic!("{:?}", script.events) };
    assert_eq!((bindings[0].q, bindings[0].reg_id, bindings[0].ours), (500, Some(3), false));
    assert_eq!(bindings[0].instance, Some(format!("urn:uuid:{UUID}")));
    assert_eq!(bindings[0].expires, Some(Duration::from_secs(20)));
    assert!(bindings[1].ours && bindings[1].expires == Some(Duration::from_secs(60)));
    script.command(Command::FetchBindings);
    let fetch = script.next_request(Method::Register);
    script.reply(&fetch, 403, &[]);
    let refused = |failure: &RequestFailure| matches!(failure, RequestFailure::Refused { status: 403, .. });
    assert!(matches!(script.events.pop(), Some(Event::FetchFailed { failure }) if refused(&failure)));
    assert!(script.agent.is_registered(script.now));
}

#[test]
fn a_registrar_that_points_elsewhere_is_followed_best_address_first() {
    let mut script = Script::new();
    script.command(Command::Register);
    let register = script.next_request(Method::Register);
    let elsewhere = "<sip:low.example.com>;q=0.2, <sip:high.example.com>;q=0.9, <mailto:x@h>";
    script.reply(&register, 302, &[(Name::Contact, elsewhere)]);
    let high = script.next_request(Method::Register);
    assert_eq!(high.request_uri().unwrap().unwrap().as_str(), "sip:high.example.com");
    assert_eq!(high.call_id(), register.call_id());
    assert!(high.cseq().unwrap().number > register.cseq().unwrap().number);
    script.reply(&high, 404, &[]);
    let low = script.next_request(Method::Register);
    assert_eq!(low.request_uri().unwrap().unwrap().as_str(), "sip:low.example.com");
    let bound = contact(&low);
    script.reply(&low, 200, &[(Name::Contact, &bound)]);
    assert!(matches!(script.take_events()[..], [Event::Registered { round_trips: 3, .. }]));
}

#[test]
fn registrars_that_point_at_each_other_are_left_alone() {
    let mut script = Script::new();
    script.command(Command::Register);
    for round in 0.. {
        let Some(register) = script.sent.pop_front() else { break };
        assert!(round < 10, "a loop");
        let next = ["<sip:a.example.com>", "<sip:b.example.com>"][round % 2];
        script.reply(&register, 302, &[(Name::Contact, next)]);
    }
    assert!(matches!(
        script.events.pop(),
        Some(Event::RegistrationFailed(RegisterFailure::Redirected { .. }))
    ));
    // Always another one: five are tried.
    script.command(Command::Register);
    let mut asked = 0;
    while let Some(register) = script.sent.pop_front() {
        asked += 1;
        script.reply(&register, 301, &[(Name::Contact, &format!("<sip:r{asked}.example.com>"))]);
    }
    assert_eq!(asked, 6);
}

#[test]
fn refused_credentials_are_counted_until_fresh_ones_are_good() {
    let wrong = vec![Credentials::new("alice", "wrong")];
    let mut world = World::with(51, &["alice"], Transport::Tcp, |config| config.credentials = wrong.clone());
    let times = |world: &World| {
        world.ends[0].events.iter().rev().find_map(|event| match event {
            Event::RegistrationFailed(RegisterFailure::CredentialsRefused { times, .. }) => Some(*times),
            _ => None,
        })
    };
    world.command(0, Command::Register);
    world.pass(Duration::from_secs(3600));
    assert_eq!(times(&world), Some(1));
    world.command(0, Command::Credentials(vec![Credentials::new("alice", "wrong too")]));
    world.command(0, Command::Register);
    world.pass(Duration::from_secs(3600));
    assert_eq!(times(&world), Some(2), "stop and tell");
    assert_eq!(world.server.log.len(), 4, "nothing is tried again by itself");
    let good = Command::Credentials(vec![Credentials::new("alice", "alice-secret")]);
    assert!(!format!("{good:?}").contains("secret"));
    world.command(0, good);
    world.register_all();
}

#[test]
fn whatever_lifetime_a_registrar_writes_there_is_no_loop() {
    for granted in ["0", "1", "4", "5", "59", "600", "4294967295"] {
        let mut script = Script::with(Transport::Tcp, |config| config.keep_alive = None);
        script.command(Command::Register);
        let began = script.now;
        let mut asked = 0_u32;
        while script.now - began < Duration::from_secs(2 * 3600) {
            while let Some(register) = script.sent.pop_front() {
                asked += 1;
                let bound = contact(&register).replace("expires=600", &format!("expires={granted}"));
                script.reply(&register, 200, &[(Name::Contact, &bound)]);
            }
            script.pass(Duration::from_secs(1));
        }
        let most = match granted {
            "0" | "1" | "4" => 1,
            // Every two and a half seconds: what it takes to keep five.
            "5" => 2 * 3600 * 10 / 25 + 2,
            "59" => 2 * 3600 * 2 / 59 + 2,
            "600" => 26,
            _ => 2,
        };
        assert!((1..=most).contains(&asked), "{asked} requests for a grant of {granted} s");
    }
}

#[test]
fn a_registrar_that_drops_our_binding_is_not_asked_again_by_itself() {
    // Its answer to a refresh holds only the bindings of others (R22).
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    script.pass(Duration::from_secs(300));
    let refresh = script.next_request(Method::Register);
    script.reply(&refresh, 200, &[(Name::Contact, "<sip:alice@192.0.2.99>;expires=600")]);
    let dropped =
        |event: &Event| matches!(event, Event::RegistrationFailed(RegisterFailure::BadReply { .. }));
    assert!(script.take_events().iter().any(dropped));
    script.pass(Duration::from_secs(6 * 3600));
    assert!(script.sent.is_empty());
    // It closes the connection: a new one is the driver's to open, in its own time.
    let mut world = World::new(52, &["alice"]);
    world.register_all();
    let asked = world.server.log.len();
    world.disconnect(0);
    world.pass(Duration::from_secs(6 * 3600));
    assert_eq!(world.server.log.len(), asked);
}

#[test]
fn an_overloaded_registrar_is_asked_as_seldom_as_it_wishes() {
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    let began = script.now;
    let mut asked = 0;
    while script.now - began < Duration::from_secs(3 * 3600) {
        while let Some(register) = script.sent.pop_front() {
            asked += 1;
            let headers: &[(Name<'static>, &str)] =
                if asked % 2 == 0 { &[] } else { &[(Name::RetryAfter, "0")] };
            script.reply(&register, if asked % 3 == 0 { 500 } else { 503 }, headers);
        }
        script.pass(Duration::from_secs(1));
    }
    assert!((1..400).contains(&asked), "{asked}");
    assert!(script.events.iter().any(|event| matches!(event, Event::RegistrationFailed(_))));
}
