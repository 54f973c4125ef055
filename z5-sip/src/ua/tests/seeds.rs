//! Many worlds, each decided by its seed: calls in both directions with random cuts, latencies, hang-ups at any moment,
//! lost flows and lost datagrams. In every one of them each call ends once, at both ends, and nothing is left behind.

use std::time::Duration;

use super::world::{Cut, World, capabilities};
use crate::ident::Ident;
use crate::ua::{CallKey, Command, Event, UaConfig};
use crate::wire::Transport;

/// Prints the seed of a world that fails.
pub(super) struct Seed(pub(super) u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the world of seed {} failed; Z5_SEED={} runs it alone", self.0, self.0);
        }
    }
}

/// The seeds of a test: `Z5_SEED` alone, or the first `Z5_SEEDS` of them in place of the usual few.
pub(super) fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let count = number("Z5_SEEDS").unwrap_or(count);
    number("Z5_SEED").map_or(1..=count, |seed| seed..=seed)
}

fn over(event: &Event) -> bool {
    matches!(event, Event::Ended { .. } | Event::Failed { .. })
}

/// Each call that began at an end is over there exactly once.
fn check(world: &World, began: &[usize; 2]) {
    for end in [0, 1] {
        let began = began[end] + world.count(end, |event| matches!(event, Event::Incoming { .. }));
        assert_eq!(world.count(end, over), began, "end {end}\n{}", world.story());
        assert_eq!(world.ends[end].agent.calls(), 0);
    }
}

/// Lives through a few calls with random moments for everything.
fn live(seed: u64, transport: Transport, loss: u64) {
    let _seed = Seed(seed);
    let tune = |config: &mut UaConfig| config.keep_alive = Some(Duration::from_secs(25));
    let mut world = World::with(seed, &["alice", "bob"], transport, tune);
    let mut chance = Ident::from_seed(seed ^ 0xC0FFEE);
    world.cut = if chance.number().is_multiple_of(2) { Cut::Random } else { Cut::EveryByte };
    world.register_all();
    world.loss = loss;
    let mut began = [0, 0];
    for round in 1..=3 {
        let (caller, callee) = if chance.number().is_multiple_of(2) { (0, 1) } else { (1, 0) };
        let call = CallKey(round);
        let target = ["sip:alice@example.com", "sip:bob@example.com"][callee];
        let offer = capabilities(20_000);
        let target = super::world::uri(target);
        world.command(caller, Command::Invite { call, target, offer, options: Box::default() });
        began[caller] += 1;
        let incoming = |world: &World| world.count(callee, |event| matches!(event, Event::Incoming { .. }));
        let before = incoming(&world);
        for _ in 0..4 {
            world.pass(Duration::from_millis(chance.number() % 60));
            let far = (incoming(&world) > before).then(|| world.incoming(callee)).flatten();
            match (chance.number() % 6, far) {
                (0, _) => world.command(caller, Command::Hangup { call }),
                (1, Some(far)) => world.command(callee, Command::Hangup { call: far }),
                (2, Some(far)) => world.command(callee, Command::Ring { call: far, offer: None }),
                (3, Some(far)) => {
                    world.command(callee, Command::Accept { call: far, answer: capabilities(30_000) });
                }
                (4, _) => world.command(caller, Command::Renegotiate { call, offer: capabilities(20_000) }),
                (5, Some(far)) => {
                    world.command(callee, Command::Renegotiate { call: far, offer: capabilities(30_000) });
                }
                (_, _) => {}
            }
        }
        world.pass(Duration::from_millis(chance.number() % 200));
        world.command(caller, Command::Hangup { call });
        if let Some(far) = world.incoming(callee) {
            world.command(callee, Command::Hangup { call: far });
        }
        world.pass(Duration::from_secs(300));
    }
    check(&world, &began);
}

#[test]
fn streams_cut_anywhere() {
    for seed in seeds(60) {
        live(seed, Transport::Tcp, 0);
    }
}

#[test]
fn datagrams_lost_anywhere() {
    for seed in seeds(60) {
        live(seed, Transport::Udp, 15);
    }
}

#[test]
fn flows_lost_anywhere() {
    for seed in seeds(60) {
        let _seed = Seed(seed);
        let mut world = World::new(seed, &["alice", "bob"]);
        let mut chance = Ident::from_seed(seed ^ 0xF10);
        world.register_all();
        world.call(CallKey(1), "bob");
        world.pass(Duration::from_millis(chance.number() % 150));
        if let Some(far) = world.incoming(1) {
            world.command(1, Command::Accept { call: far, answer: capabilities(30_000) });
        }
        world.pass(Duration::from_millis(chance.number() % 80));
        let end = (chance.number() % 2) as usize;
        world.disconnect(end);
        world.pass(Duration::from_millis(chance.number() % 50));
        world.connect(end);
        world.command(end, Command::Register);
        world.pass(Duration::from_millis(100));
        world.command(0, Command::Hangup { call: CallKey(1) });
        if let Some(far) = world.incoming(1) {
            world.command(1, Command::Hangup { call: far });
        }
        world.pass(Duration::from_secs(300));
        check(&world, &[1, 0]);
    }
}
