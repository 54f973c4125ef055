//! Three user agents that do anything at any time: calls, ringing, early media, hold, INFO, transfers, hang-ups, in random
//! order over datagrams that get lost, streams that are cut anywhere and flows that break; with and without reliable
//! provisional responses, each end with payload numbers of its own, every other world behind two realms that ask at once. Whatever
//! happens, each call ends once, and nothing is left.

use std::collections::BTreeMap;
use std::time::Duration;

use super::seeds::{Seed, seeds};
use super::world::{Cut, World, capabilities, uri};
use crate::auth::{Credentials, Verifier};
use crate::ident::Ident;
use crate::sdp::{Capabilities, Codec, Direction};
use crate::ua::{CallKey, Command, Event, Info, ReliableProvisionals, TransferTarget};
use crate::wire::Transport;

const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// The realm of a proxy that is not the domain's.
const PROXY: &str = "proxy.example.net";

/// What an end can do, under dynamic payload numbers that no other end uses for it.
fn own(end: usize, port: u16) -> Capabilities {
    let base = 96 + 4 * end as u8;
    let mut own = capabilities(port);
    own.media[0].codecs = vec![Codec::pcma(), Codec::pcmu(), Codec::telephone_event(base)];
    own.media[1].codecs = vec![Codec::text_red(base + 1, base + 2), Codec::t140(base + 2)];
    own
}

struct Chaos {
    world: World,
    chance: Ident,
    /// The calls of each end, alive or over.
    calls: [Vec<CallKey>; 3],
    /// Transfers that an end is asked for.
    asked: Vec<(usize, CallKey)>,
    next: u64,
    /// How much of each end's events was looked at.
    seen: [usize; 3],
}

impl Chaos {
    fn new(seed: u64, transport: Transport, loss: u64) -> Self {
        let mut chance = Ident::from_seed(seed ^ 0x5E9);
        let mode = match chance.number() % 3 {
            0 => ReliableProvisionals::Required,
            1 => ReliableProvisionals::Supported,
            _ => ReliableProvisionals::Off,
        };
        let mut world = World::with(seed, &USERS, transport, |config| {
            // Who requires it meets ends that have it.
            config.reliable_provisionals = mode;
            config.keep_alive = None;
            let user = config.credentials[0].username().to_owned();
            let secret = format!("{user}-secret");
            config.credentials.push(Credentials::new(user, secret).for_realm(PROXY));
        });
        if chance.number().is_multiple_of(2) {
            world.server.proxy_verifier = Some(Verifier::new(PROXY).proxy());
            world.server.home_verifier = Some(Verifier::new("example.com"));
        }
        world.cut = if transport.is_reliable() { Cut::Random } else { Cut::Whole };
        world.register_all();
        world.loss = loss;
        Self { world, chance, calls: Default::default(), asked: Vec::new(), next: 0, seen: [0; 3] }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.chance.number() % below
    }

    /// The keys of calls that came in.
    fn look(&mut self) {
        for end in 0..3 {
            for event in &self.world.ends[end].events[self.seen[end]..] {
                match event {
                    Event::Incoming { call, .. } => self.calls[end].push(*call),
                    Event::TransferRequested { call, .. } => self.asked.push((end, *call)),
                    _ => {}
                }
            }
            self.seen[end] = self.world.ends[end].events.len();
        }
    }

    fn key(&mut self) -> CallKey {
        self.next += 1;
        CallKey(self.next)
    }

    /// One thing that an application may do, sensible or not.
    fn act(&mut self) {
        self.look();
        if self.draw(3) > 0
            && let Some((end, call)) = self.asked.pop()
        {
            return self.follow(end, call);
        }
        let end = self.draw(3) as usize;
        let known = self.calls[end].len() as u64;
        if known == 0 || self.draw(8) == 0 {
            let callee = (end + 1 + self.draw(2) as usize) % 3;
            let call = self.key();
            let target = uri(&format!("sip:{}@example.com", USERS[callee]));
            let options =
                Box::new(crate::ua::CallOptions { late_offer: self.draw(5) == 0, ..Default::default() });
            self.calls[end].push(call);
            let offer = own(end, 20_000);
            return self.world.command(end, Command::Invite { call, target, offer, options });
        }
        // Mostly the newest.
        let pick = if self.draw(3) > 0 { known - 1 } else { self.draw(known) };
        let call = self.calls[end][pick as usize];
        let answer = own(end, 30_000);
        let mut offer = own(end, 20_000);
        if self.draw(2) == 0 {
            offer.media[0].direction = Direction::SendOnly;
        }
        if self.draw(3) == 0 {
            offer.media.truncate(1);
        }
        let command = match self.draw(18) {
            0 => Command::Ring { call, offer: None },
            1 => Command::Ring { call, offer: Some(answer) },
            2 => Command::Progress { call, answer },
            3..6 => Command::Accept { call, answer },
            6 | 7 => Command::Renegotiate { call, offer },
            8 => Command::SendInfo { call, info: Info::Dtmf { digit: '5', duration_ms: 100 } },
            9 => Command::SendInfo { call, info: Info::PictureFastUpdate },
            10 | 17 => {
                let other = self.draw(known) as usize;
                let to = match self.draw(2) {
                    0 => TransferTarget::Blind(uri(&format!("sip:{}@example.com", USERS[(end + 2) % 3]))),
                    _ => TransferTarget::Attended(self.calls[end][other]),
                };
                Command::Transfer { call, to }
            }
            11 => return self.follow(end, call),
            14..17 => Command::Accept { call, answer },
            12 => Command::RejectTransfer { call, status: 603 },
            13 => Command::AnswerOffer { call, answer },
            _ => Command::Hangup { call },
        };
        self.world.command(end, command);
    }

    /// Lets itself be transferred.
    fn follow(&mut self, end: usize, call: CallKey) {
        let new_call = self.key();
        let before = self.world.ends[end].events.len();
        let offer = own(end, 20_000);
        self.world.command(end, Command::AcceptTransfer { call, new_call, offer });
        let refused = |event: &Event| matches!(event, Event::CommandRefused { .. });
        if !self.world.ends[end].events[before..].iter().any(refused) {
            self.calls[end].push(new_call);
        }
    }

    /// Ends whatever goes on and checks that nothing is left.
    fn finish(mut self, quiet: bool) -> Seen {
        for _ in 0..4 {
            self.look();
            for end in 0..3 {
                for call in self.calls[end].clone() {
                    self.world.command(end, Command::Hangup { call });
                }
            }
            self.world.pass(Duration::from_secs(120));
        }
        self.world.loss = 0;
        for end in 0..3 {
            self.world.command(end, Command::Unregister);
        }
        self.world.pass(Duration::from_secs(400));
        self.look();
        let story = |world: &World| world.story();
        let mut seen = Seen::default();
        for end in 0..3 {
            let mut over: BTreeMap<CallKey, usize> = BTreeMap::new();
            for event in &self.world.ends[end].events {
                *seen.entry(name(event)).or_default() += 1;
                match event {
                    Event::Ended { call, .. } | Event::Failed { call, .. } => {
                        *over.entry(*call).or_default() += 1
                    }
                    Event::Unexpected { what, .. } => {
                        assert!(!quiet, "end {end}: {what}\n{}", story(&self.world))
                    }
                    _ => {}
                }
            }
            for call in &self.calls[end] {
                assert_eq!(over.get(call), Some(&1), "end {end} {call:?}\n{}", story(&self.world));
            }
            assert_eq!(over.len(), self.calls[end].len(), "end {end}\n{}", story(&self.world));
            let agent = &self.world.ends[end].agent;
            let left = (agent.calls.len(), agent.dialogs.len(), agent.transactions.clients.len());
            let open: Vec<_> = agent.transactions.clients.values().map(|client| client.request()).collect();
            assert_eq!(left, (0, 0, 0), "end {end} {open:?}\n{}", story(&self.world));
            let waiting = (agent.doorstep.len(), agent.wants_offer.len());
            assert_eq!(waiting, (0, 0), "end {end}\n{}", story(&self.world));
            let left = (
                agent.transactions.servers.len(),
                agent.transfers.len(),
                agent.requested.len(),
                agent.referrals.len(),
            );
            assert_eq!(left, (0, 0, 0, 0), "end {end}\n{}", story(&self.world));
            assert_eq!(agent.next_deadline(), None, "end {end}");
        }
        seen
    }
}

/// How often what happened.
type Seen = BTreeMap<&'static str, usize>;

fn name(event: &Event) -> &'static str {
    match event {
        Event::Established { .. } => "established",
        Event::EarlyMedia { .. } => "early media",
        Event::Renegotiated { .. } => "renegotiated",
        Event::Offered { .. } => "offered",
        Event::TransferRequested { .. } => "transfer requested",
        Event::TransferProgress { .. } => "transfer progress",
        Event::Transferred { .. } => "transferred",
        Event::TransferFailed { .. } => "transfer failed",
        Event::Info { .. } => "info",
        Event::Incoming { replaces: Some(_), .. } => "replaces",
        Event::Ended { .. } => "ended",
        Event::Failed { .. } => "failed",
        _ => "other",
    }
}

/// That the worlds together have seen everything that may happen: random sequences could as well miss the point.
fn check_all_seen(worlds: impl Iterator<Item = Seen>) {
    let mut all = Seen::new();
    let mut count = 0;
    for seen in worlds {
        count += 1;
        seen.into_iter().for_each(|(what, often)| *all.entry(what).or_default() += often);
    }
    for what in [
        "established",
        "early media",
        "renegotiated",
        "transfer requested",
        "transfer progress",
        "transferred",
        "transfer failed",
        "info",
        "ended",
        "failed",
    ] {
        assert!(count < 40 || all.contains_key(what), "{what} was never seen: {all:?}");
    }
}

fn live(seed: u64, transport: Transport, loss: u64) -> Seen {
    let _seed = Seed(seed);
    let mut chaos = Chaos::new(seed, transport, loss);
    for _ in 0..60 {
        chaos.act();
        let pause = match chaos.draw(4) {
            0 => 0,
            1 => chaos.draw(30),
            2 => chaos.draw(300),
            _ => chaos.draw(3000),
        };
        chaos.world.pass(Duration::from_millis(pause));
    }
    chaos.finish(true)
}

#[test]
fn anything_in_any_order_over_streams_cut_anywhere() {
    check_all_seen(seeds(40).map(|seed| live(seed, Transport::Tcp, 0)));
}

#[test]
fn anything_in_any_order_over_datagrams_that_get_lost() {
    check_all_seen(seeds(40).map(|seed| live(seed, Transport::Udp, 10)));
}

#[test]
fn anything_in_any_order_over_flows_that_break() {
    for seed in seeds(40) {
        let _seed = Seed(seed);
        let mut chaos = Chaos::new(seed, Transport::Tcp, 0);
        for _ in 0..60 {
            chaos.act();
            let pause = chaos.draw(400);
            chaos.world.pass(Duration::from_millis(pause));
            if chaos.draw(12) == 0 {
                let end = chaos.draw(3) as usize;
                chaos.world.disconnect(end);
                let pause = chaos.draw(100);
                chaos.world.pass(Duration::from_millis(pause));
                chaos.world.connect(end);
                chaos.world.command(end, Command::Register);
            }
        }
        chaos.finish(false);
    }
}
