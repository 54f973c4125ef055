//! A server whose port is closed restarts, for all its clients: each comes back at a time of its own. Who is in a call, who calls and
//! who is in another network does not wait.

use super::standing::AUDIO;
use super::*;
use crate::machine::line::RESTART;

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
