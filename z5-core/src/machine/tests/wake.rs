//! Another network, a machine that slept, a clock that was set.

use super::*;
use crate::events::NetworkCause;
use io::{Look, Route};

impl World {
    fn glance(&mut self, set_by_s: i64, from: Option<&str>) {
        let unix_s = (UNIX_S as i64 + set_by_s) as u64 + self.machine.wall_since(self.now);
        let wall = WallAnchor { at: self.now, unix_s };
        let route = from.map_or(Route::None, |from| Route::From(from.parse().unwrap()));
        self.input(Input::Look(Look { wall, route }));
        self.settle();
    }

    fn causes(&self) -> Vec<NetworkCause> {
        let cause = |event: &EventKind| {
            if let EventKind::NetworkChanged { cause } = event { Some(*cause) } else { None }
        };
        self.events.iter().filter_map(cause).collect()
    }
}

impl Machine {
    /// Seconds since the start, to make wall clocks that agree.
    fn wall_since(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_secs()
    }
}

#[test]
fn a_network_that_returns_is_used_within_two_seconds_and_calls_go_on() {
    let mut world = World::supervised().start();
    let call = world.ring(1, standing::AUDIO).unwrap();
    world.establish(call);
    world.glance(0, Some("127.0.0.1"));
    // The network goes: the connection breaks, nothing can be reached for ten minutes.
    world.silent = "refuse";
    world.glance(0, None);
    world.input(Input::Closed { flow: FlowId(1), why: FlowEnd::Reset });
    world.settle();
    for _ in 0..600 {
        world.pass(Duration::from_secs(1));
        world.glance(0, None);
    }
    assert_eq!(world.state(), SessionState::Registering);
    assert!(world.causes().is_empty());
    // It is back. The driver looks once a second.
    world.silent = "";
    world.pass(Duration::from_secs(1));
    let back = world.now;
    world.glance(0, Some("127.0.0.1"));
    assert_eq!(world.state(), SessionState::Ready, "{:?}", world.names());
    assert!(world.now - back < Duration::from_secs(1));
    assert_eq!(world.causes(), [NetworkCause::Route]);
    assert!(!world.names().contains(&"call-ended"), "{:?}", world.names());
}

#[test]
fn another_address_is_another_network_and_the_same_is_none() {
    let mut world = World::supervised().start();
    world.glance(0, Some("127.0.0.1"));
    world.glance(0, Some("127.0.0.1"));
    assert!(world.causes().is_empty());
    let connections = world.trail.iter().filter(|line| *line == "connect").count();
    world.glance(0, Some("198.51.100.1"));
    assert_eq!(world.causes(), [NetworkCause::Route]);
    assert_eq!(world.state(), SessionState::Ready);
    assert_eq!(world.trail.iter().filter(|line| *line == "connect").count(), connections + 1);
}

#[test]
fn another_address_before_the_first_look_is_another_network_too() {
    let mut world = World::supervised().start();
    world.glance(0, Some("198.51.100.1"));
    assert_eq!((world.causes(), world.state()), (vec![NetworkCause::Route], SessionState::Ready));
}

#[test]
fn a_change_of_network_in_any_step_begins_with_the_names_and_goes_on_where_it_was() {
    for (silent, step) in
        [("dns", "look"), ("zdial.test", "GET /zdial"), ("mcs.test", "POST /mcs"), ("connect", "connect")]
    {
        let mut world = World::supervised();
        world.silent = silent;
        let mut world = world.start();
        let before = world.trail.len();
        world.silent = "";
        world.input(Input::Command(Command::NetworkChanged));
        world.settle();
        assert_eq!(world.state(), SessionState::Ready, "{silent}: {:?}", world.names());
        assert_eq!(world.https_ended, 1);
        if silent == "mcs.test" {
            let again = world.trail[before..].iter().any(|line| line.starts_with("GET /zdial"));
            assert!(!again, "signed in once: {:?}", world.trail);
        }
        assert!(world.trail[before..].iter().any(|line| line.starts_with(step)), "{silent}");
    }
}

#[test]
fn a_pause_ends_when_the_network_changes_or_the_user_wants() {
    for command in [Command::NetworkChanged, Command::RetryNow] {
        let mut world = World::supervised();
        world.silent = "refuse";
        let mut world = world.start();
        while world.retries().len() < 8 {
            world.wait();
        }
        world.silent = "";
        let began = world.now;
        world.input(Input::Command(command));
        world.settle();
        assert_eq!(world.state(), SessionState::Ready);
        assert!(world.now - began < Duration::from_secs(1));
    }
}

#[test]
fn a_machine_that_slept_registers_again_at_once() {
    // Time stands still for the machine while it sleeps.
    let mut world = World::supervised().start();
    world.glance(0, Some("127.0.0.1"));
    let registered = world.sent.len();
    world.glance(7200, Some("127.0.0.1"));
    assert!(world.events.contains(&EventKind::ClockChanged { by_s: 7200 }), "{:?}", world.names());
    assert_eq!(world.causes(), [NetworkCause::Wake]);
    assert!(world.sent[registered..].iter().any(|message| message.starts_with("REGISTER ")));
    assert_eq!(world.state(), SessionState::Ready);
    // Time goes on while it sleeps.
    world.now += Duration::from_secs(3600);
    world.glance(7200, Some("127.0.0.1"));
    assert_eq!(world.causes(), [NetworkCause::Wake; 2]);
    assert_eq!(world.state(), SessionState::Ready);
    world.glance(7200, Some("127.0.0.1"));
    assert_eq!(world.causes().len(), 2, "told once");
}

#[test]
fn a_clock_that_is_set_back_is_told_once_and_makes_no_licence_last_longer() {
    let mut world = World::supervised().start();
    world.hook = Some(Box::new(|request| {
        let gone = io::HttpsFailure::Broken("gone".to_owned());
        request.target.starts_with("/mcs").then_some(Err(gone))
    }));
    world.glance(0, Some("127.0.0.1"));
    world.glance(-86_400, Some("127.0.0.1"));
    world.glance(-86_400, Some("127.0.0.1"));
    let told = world.events.iter().filter(|event| event.name() == "clock-changed").count();
    assert_eq!((told, world.causes().len()), (1, 0));
    assert_eq!(world.call(1, "+15555550102"), "going");
    world.pass(Duration::from_secs(1100));
    assert_eq!(world.call(2, "+15555550103"), "call.licence-expired");
}
