//! How many round trips a start takes, on a link with 50 ms each way and servers that answer at once.
//!
//! A question to a nameserver and a TCP connection take one, TLS 1.3 (RFC 8446 section 2) one more, a request and its answer one.
//! A connection that was left idle by an earlier request to the same server is used again.

use std::collections::BTreeMap;

use super::*;

const EACH_WAY: Duration = Duration::from_millis(50);

/// What is under way, by when its answer is here and in which order it was sent.
struct Link {
    world: World,
    under_way: BTreeMap<(Instant, u64), Effect>,
    sent: u64,
    idle: BTreeMap<String, u32>,
}

impl Link {
    /// Everything that was wished goes out now; its answer is here when the trips that it takes are over.
    fn send(&mut self) {
        while let Some(wish) = self.world.wishes.pop_front() {
            let trips = if let Effect::Https { request, .. } = &wish {
                let idle = self.idle.entry(request.host.clone()).or_default();
                let connected = *idle > 0;
                *idle = idle.saturating_sub(1);
                if connected { 1 } else { 3 }
            } else {
                let asks =
                    matches!(wish, Effect::Lookup { .. } | Effect::Connect { .. } | Effect::Write { .. });
                u32::from(asks)
            };
            let at = self.world.now + EACH_WAY * 2 * trips;
            self.sent += 1;
            self.under_way.insert((at, self.sent), wish);
        }
    }

    /// Round trips from the start to ready.
    fn count(world: World) -> u32 {
        let began = world.now;
        let mut link = Self { world, under_way: BTreeMap::new(), sent: 0, idle: BTreeMap::new() };
        link.world.input(Input::Start);
        link.send();
        while link.world.state() != SessionState::Ready {
            let ((at, _), wish) = link.under_way.pop_first().expect("something is under way");
            link.world.now = at;
            if let Effect::Https { request, .. } = &wish {
                *link.idle.entry(request.host.clone()).or_default() += 1;
            }
            link.world.perform(wish);
            link.send();
        }
        let took = link.world.now - began;
        (took.as_millis() / (EACH_WAY.as_millis() * 2)) as u32
    }
}

#[test]
fn a_start_takes_at_most_eight_round_trips() {
    let mut world = World::supervised();
    world.challenging = true;
    assert_eq!(Link::count(world), 8);
}

#[test]
fn with_what_was_kept_it_takes_four() {
    let store = kept::after_a_start(kept::lifetime());
    let mut world =
        World::of(CONFIG, StartOptions { store: Some(store as Arc<dyn Store>), ..StartOptions::default() });
    world.hook = Some(kept::servers(kept::lifetime(), &[]));
    world.challenging = true;
    assert_eq!(Link::count(world), 4);
}
