//! Several SIP servers: which is tried when, what is told, and the connection beside a UDP flow.

use super::*;
use crate::error::{Attempt, AttemptOutcome, TlsFailure};

const TWO: &str = "sip:lb.test:5060;transport=tcp\",\"sip:mcs.test:5062;transport=tcp";

/// With more time for step 4 than one server may take.
fn patient() -> World {
    World::with(&CONFIG.replace("register = 4000", "register = 20000"), false)
}

impl World {
    fn failed_servers(&self) -> Vec<String> {
        let failed = self.events.iter().filter_map(|event| {
            if let EventKind::ServerFailed { server, transport, outcome } = event {
                Some(format!("{transport} {server}: {outcome}"))
            } else {
                None
            }
        });
        failed.collect()
    }
}

#[test]
fn a_silent_server_is_given_up_for_the_next_after_its_patience() {
    let mut world = patient();
    world.proxies = TWO;
    world.silent = "sip";
    let mut world = world.start();
    let began = world.now;
    while world.failed_servers().is_empty() {
        let deadline = world.machine.next_deadline().unwrap();
        world.now = world.now.max(deadline.at);
        world.silent = "";
        world.input(Input::Deadline);
        world.settle();
    }
    assert_eq!((world.now - began).as_secs(), 4);
    assert_eq!(world.machine.view().state, SessionState::Ready);
    assert_eq!(world.failed_servers(), ["tcp 127.0.0.1:5060: no answer in 4000 ms"]);
}

#[test]
fn a_server_that_closes_or_answers_503_is_left_and_the_last_one_s_failure_is_told() {
    let mut world = patient();
    world.proxies = TWO;
    world.registrar = (503, Vec::new());
    let mut world = world.start();
    while !world.machine.is_stopped() {
        world.wait();
    }
    let (code, error) = world.failure();
    assert_eq!(code, "register.unavailable");
    let message = error.unwrap().to_string();
    assert!(message.ends_with("SIP 503 Words (tried before: tcp 127.0.0.1:5060: SIP 503)"), "{message}");
    assert_eq!(world.failed_servers().len(), 2);
}

#[test]
fn a_bad_certificate_is_told_as_such_and_nothing_in_the_clear_follows() {
    let mut world = patient();
    world.proxies = "sip:lb.test:5061;transport=tls\",\"sip:mcs.test:5060;transport=tcp";
    world.silent = "connect";
    let mut world = world.start();
    let address = "127.0.0.1:5061".parse().unwrap();
    let outcome = AttemptOutcome::Tls { why: TlsFailure::Expired };
    let attempts = vec![Attempt { address, transport: Some("tls"), outcome }];
    // The first connection was the early one, to what the configuration says.
    world.input(Input::ConnectFailed { flow: FlowId(2), attempts });
    world.settle();
    assert_eq!(world.failure().0, "register.tls-expired");
    assert_eq!(world.trail.iter().filter(|line| *line == "connect").count(), 2, "{:?}", world.trail);
}

#[test]
fn a_server_that_speaks_something_else_is_left_at_once_however_early_it_speaks() {
    let mut world = patient();
    world.greeting = (5060, b"SSH-2.0-sshd\r\n");
    let mut world = world.start();
    let began = world.now;
    while !world.machine.is_stopped() {
        world.wait();
    }
    let (code, error) = world.failure();
    assert_eq!(code, "register.connection-lost");
    let message = error.unwrap().to_string();
    assert!(message.contains("not SIP: the first line is neither"), "{message}");
    assert_eq!(world.now, began, "nothing is waited for");
    // It was connected to early, and what it said then is known in step 4.
    let connects = |world: &World| world.trail.iter().filter(|line| *line == "connect").count();
    assert_eq!(connects(&world), 1, "{:?}", world.trail);
    let mut world = patient();
    world.proxies = TWO;
    world.greeting = (5060, b"\x15\x03\x01");
    let world = world.start();
    assert_eq!(world.machine.view().state, SessionState::Ready);
    let [failed] = &world.failed_servers()[..] else { panic!("{:?}", world.failed_servers()) };
    assert!(failed.starts_with("tcp 127.0.0.1:5060: the stream is not SIP"), "{failed}");
    // Who says more than anybody would is not listened to, and connected to again by the steps that could do with it.
    let mut world = patient();
    world.greeting = (5060, &[b' '; 65 * 1024]);
    let mut world = world.start();
    while !world.machine.is_stopped() {
        world.wait();
    }
    assert_eq!((world.failure().0, connects(&world)), ("register.connection-lost", 3));
}

#[test]
fn an_unreachable_transport_leads_to_the_next_one() {
    let mut world = patient();
    world.proxies = "sip:lb.test:5061;transport=tls\",\"sip:mcs.test:5060;transport=tcp";
    world.silent = "connect";
    let mut world = world.start();
    world.silent = "";
    let address = "127.0.0.1:5061".parse().unwrap();
    let attempts = vec![Attempt { address, transport: Some("tls"), outcome: AttemptOutcome::Refused }];
    world.input(Input::ConnectFailed { flow: FlowId(2), attempts });
    world.settle();
    assert_eq!(world.machine.view().state, SessionState::Ready);
    assert_eq!(world.failed_servers(), ["tls 127.0.0.1:5061: connection refused"]);
}

const GENERIC: &str = r#"
profile = "generic"
[sip]
domain = "sip.test"
username = "alice"
password = "b"
proxy = "127.0.0.1:5060"
transport = "udp"
"#;

#[test]
fn a_tcp_connection_stands_beside_a_udp_flow_and_its_loss_is_no_loss() {
    let world = World::with(GENERIC, false);
    let mut world = world.start();
    assert_eq!(world.machine.view().state, SessionState::Ready);
    assert_eq!(world.trail.iter().filter(|line| *line == "connect").count(), 2);
    let before = world.events.len();
    world.input(Input::Closed { flow: FlowId(2), why: FlowEnd::Closed });
    world.settle();
    assert_eq!(world.machine.view().state, SessionState::Ready);
    assert_eq!(world.events.len(), before, "nobody is troubled");
    // The flow itself is lost with what stands beside it.
    world.input(Input::Closed { flow: FlowId(1), why: FlowEnd::Refused });
    world.settle();
    assert_eq!(world.machine.view().state, SessionState::Registering);
    while world.machine.view().state != SessionState::Ready {
        world.wait();
    }
    assert_eq!(world.trail.iter().filter(|line| *line == "connect").count(), 4);
}

#[test]
fn while_the_session_stands_a_server_that_only_takes_connections_leads_to_the_next_one_too() {
    let mut world = patient();
    world.proxies = TWO;
    world.machine.plan.sip.flows = Some(1);
    let mut world = world.start();
    world.input(Input::Closed { flow: FlowId(1), why: FlowEnd::Reset });
    world.settle();
    world.silent = "sip";
    let connects = |world: &World| world.trail.iter().filter(|line| *line == "connect").count();
    while connects(&world) < 2 {
        world.now = world.now.max(world.machine.next_deadline().unwrap().at);
        world.input(Input::Deadline);
        world.settle();
    }
    // Taken, then closed without an answer.
    world.silent = "";
    world.input(Input::Closed { flow: FlowId(2), why: FlowEnd::Closed });
    world.settle();
    assert_eq!(world.machine.view().state, SessionState::Ready);
    assert_eq!(connects(&world), 3, "no pause in between");
    assert_eq!(world.failed_servers(), ["tcp 127.0.0.1:5060: connection broken"]);
}

#[test]
fn servers_that_moved_are_found_again_while_the_session_stands() {
    let mut world = patient().start();
    world.silent = "connect";
    world.address = "127.0.0.2";
    let lost = world.now;
    world.input(Input::Closed { flow: FlowId(1), why: FlowEnd::Reset });
    world.settle();
    let looked = |world: &World| world.trail.iter().filter(|line| line.starts_with("look lb.test")).count();
    assert_eq!(looked(&world), 2);
    world.connecting = None;
    loop {
        world.now = world.now.max(world.machine.next_deadline().unwrap().at);
        world.input(Input::Deadline);
        world.settle();
        let Some((flow, targets)) = world.connecting.take() else { continue };
        let address = targets[0].address;
        if address.ip().to_string() == "127.0.0.2" {
            world.silent = "";
            let local = "127.0.0.1:40000".parse().unwrap();
            let transport = targets[0].transport;
            world.input(Input::Connected { flow, transport, local, remote: address, tried: Vec::new() });
            world.settle();
            break;
        }
        let attempts = vec![Attempt { address, transport: Some("tcp"), outcome: AttemptOutcome::Refused }];
        world.input(Input::ConnectFailed { flow, attempts });
        world.settle();
        assert!(world.now < lost + Duration::from_secs(120), "still there");
    }
    assert_eq!(world.machine.view().state, SessionState::Ready);
    assert_eq!(looked(&world), 4, "once, not with every attempt");
}
