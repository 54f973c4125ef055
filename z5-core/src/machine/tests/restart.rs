//! A server whose port is closed restarts, for all its clients: each comes back at a time of its own. Who is in a call, who calls and
//! who is in another network does not wait.

use std::net::SocketAddr;

use z5_sip::locate::{Origin, Target};
use z5_sip::ua::{FlowDeath, Transport};

use super::standing::AUDIO;
use super::*;
use crate::error::{Attempt, AttemptOutcome};
use crate::machine::line::{RESTART, transport_name};

impl World {
    /// The connection is reset and from then on refused; gives how long the next attempt after the one that is refused is waited for.
    fn restart(&mut self) -> Duration {
        self.silent = "refuse";
        let flow = self.machine.line.flow().unwrap();
        self.input(Input::Closed { flow, why: FlowEnd::Reset });
        self.settle();
        let lost = self.until_again();
        assert!(lost <= Duration::from_secs(1), "a lost connection is first tried again at once: {lost:?}");
        self.pass(lost);
        self.until_again()
    }

    fn until_again(&self) -> Duration {
        self.machine.line.pause_until().unwrap() - self.now
    }

    fn attempts(&self) -> usize {
        self.trail.iter().filter(|line| *line == "connect").count()
    }
}

#[test]
fn clients_of_a_closed_port_come_back_all_over_a_minute() {
    let mut pauses = Vec::new();
    for seed in 0..100 {
        let mut world = World::supervised().start();
        world.machine.ident = Ident::from_seed(seed);
        pauses.push(world.restart());
    }
    pauses.sort();
    assert!(pauses[99] <= RESTART && pauses[90] > RESTART * 3 / 4, "{pauses:?}");
    assert!(pauses[10] < RESTART / 4, "{pauses:?}");
}

#[test]
fn a_client_of_a_closed_port_is_back_when_it_opens() {
    let mut world = World::supervised().start();
    world.restart();
    world.silent = "";
    world.pass(RESTART);
    assert_eq!(world.machine.view().state, SessionState::Ready);
}

#[test]
fn who_is_in_a_call_does_not_wait_for_the_others() {
    let mut world = World::supervised().start();
    let call = world.ring(1, AUDIO).unwrap();
    world.establish(call);
    assert!(world.restart() <= Duration::from_secs(1));
}

#[test]
fn another_network_ends_the_wait_at_once() {
    let mut world = World::supervised().start();
    world.restart();
    world.silent = "";
    world.command(Command::NetworkChanged);
    assert_eq!(world.machine.view().state, SessionState::Ready);
}

#[test]
fn who_calls_while_the_server_restarts_is_refused_once_and_ends_the_wait() {
    let mut world = World::supervised().start();
    world.restart();
    world.silent = "";
    assert_eq!(world.call(9, "echo"), "call.not-ready");
    assert_eq!(world.machine.view().state, SessionState::Ready);
    assert_eq!(world.call(10, "echo"), "going");
}

#[test]
fn a_port_that_was_closed_before_the_server_that_was_reached_says_nothing_later() {
    let mut world = World::supervised().start();
    let before = world.attempts();
    world.restart();
    world.silent = "";
    world.pass(RESTART);
    assert!(world.attempts() > before + 1);
    // This time the connection alone is lost, and the next one vanishes.
    world.silent = "connect";
    let flow = world.machine.line.flow().unwrap();
    world.input(Input::Closed { flow, why: FlowEnd::Reset });
    world.settle();
    assert!(world.until_again() <= Duration::from_secs(2), "{:?}", world.until_again());
}

/// Not only the first attempt: the server may be back a moment after it.
#[test]
fn who_calls_for_help_while_the_port_is_closed_gets_through_when_it_opens() {
    for seed in 0..50 {
        let mut world = World::supervised().start();
        world.machine.ident = Ident::from_seed(seed);
        world.restart();
        assert_eq!(world.call(9, "911"), "going");
        world.pass(Duration::from_secs(2));
        world.silent = "";
        world.pass(Duration::from_secs(5));
        assert_eq!(world.machine.view().state, SessionState::Ready, "seed {seed}");
        assert_eq!(world.machine.view().calls.len(), 1, "seed {seed}");
    }
}

#[test]
fn who_calls_while_the_port_is_closed_can_call_soon_after_it_opens() {
    for seed in 0..50 {
        let mut world = World::supervised().start();
        world.machine.ident = Ident::from_seed(seed);
        world.restart();
        assert_eq!(world.call(9, "echo"), "call.not-ready");
        world.pass(Duration::from_secs(2));
        world.silent = "";
        world.pass(Duration::from_secs(5));
        assert_eq!(world.call(10, "echo"), "going", "seed {seed}");
    }
}

#[test]
fn a_call_is_no_reason_to_ask_before_the_server_wants_to_be_asked() {
    let mut world = World::supervised().start();
    world.registrar = (503, vec![(Name::RetryAfter, "600")]);
    let flow = world.machine.line.flow().unwrap();
    world.input(Input::Closed { flow, why: FlowEnd::Reset });
    world.settle();
    world.pass(Duration::from_secs(2));
    assert!(world.until_again() > Duration::from_secs(590), "{:?}", world.until_again());
    let before = world.attempts();
    assert_eq!(world.call(9, "echo"), "call.not-ready");
    assert_eq!(world.attempts(), before, "asked in spite of its Retry-After");
    world.registrar = (200, Vec::new());
    assert_eq!(world.call(10, "911"), "going");
    assert_eq!(world.machine.view().state, SessionState::Ready, "a call for help waits for nothing");
}

#[test]
fn another_network_has_nothing_to_do_with_failures_in_the_one_before() {
    let mut world = World::supervised().start();
    let lose = |world: &mut World| {
        let flow = world.machine.line.flow().unwrap();
        world.input(Input::Closed { flow, why: FlowEnd::Reset });
        world.settle();
        world.until_again()
    };
    for _ in 0..4 {
        let again = lose(&mut world);
        world.pass(again);
    }
    let again = lose(&mut world);
    assert!(again > Duration::from_secs(1), "what failed is remembered: {again:?}");
    world.silent = "refuse";
    world.pass(again);
    world.silent = "";
    world.command(Command::NetworkChanged);
    let again = lose(&mut world);
    assert!(again <= Duration::from_millis(250), "{again:?}");
}

/// What a round that failed makes of the pause: one of the first, or any up to a minute.
#[test]
fn one_closed_port_among_servers_that_are_silent_is_no_restart() {
    let now = clock::now();
    let servers = [(Transport::Tls, "127.0.0.1:5061"), (Transport::Tcp, "127.0.0.1:5060")]
        .map(|(transport, address)| (transport, address.parse::<SocketAddr>().unwrap()));
    let pause = |reached: Option<usize>, outcomes: [AttemptOutcome; 2]| {
        let (mut line, mut out) = (Line::new(), Outbox::new());
        let target = |(transport, address)| Target {
            transport,
            address,
            name: "sip.test".into(),
            origin: Origin::Given,
        };
        line.open(servers.map(target).to_vec(), &mut out);
        if let Some((transport, remote)) = reached.map(|number| servers[number]) {
            let flow = line.flow().unwrap();
            line.on_connected(flow, transport, (remote, remote), Vec::new(), &mut out);
            line.healthy(now);
            line.on_closed(flow, FlowDeath::Down(FlowEnd::Reset), &mut out);
            line.connect_again_later(now, 0, Duration::ZERO, false);
            line.on_deadline(now + Duration::from_secs(1), &mut out);
        }
        for ((transport, address), outcome) in servers.into_iter().zip(outcomes) {
            let flow = line.flow().unwrap();
            let attempt = Attempt { address, transport: Some(transport_name(transport)), outcome };
            line.on_connect_failed(flow, vec![attempt], &mut out);
        }
        line.connect_again_later(now, 9_999, Duration::ZERO, false);
        line.pause_until().unwrap() - now
    };
    let (closed, silent) = (AttemptOutcome::Refused, AttemptOutcome::TimedOut { after_ms: 4000 });
    let outcomes = || [closed.clone(), silent.clone()];
    let at_once = Duration::from_secs(1);
    assert!(pause(None, outcomes()) < at_once, "one that never served");
    assert!(pause(Some(1), outcomes()) < at_once, "not the one that served");
    assert!(pause(Some(0), outcomes()) > at_once, "the one that served");
    assert!(pause(None, [closed.clone(), closed.clone()]) > at_once, "all");
}
