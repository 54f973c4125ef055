//! Faults of the mock carrier at random, one or two at a time, for a while or for ever, at one address or at both: each session ends
//! ready or with a typed error, and once everything works again a supervised one is ready.
//!
//! `Z5_WORLDS` says how many (150), `Z5_SEED` which one alone.

use super::*;
use crate::account::vcard::Card;
use crate::machine::io::BookChange;
use crate::machine::supervise::{Remedy, remedy};
use z5_mock::{AnswerFault, Carrier, Fault, When};

/// How a world ended.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Ready,
    EmergencyOnly,
    Stopped(&'static str),
}

fn world(seed: u64, retry: RetryMode) -> End {
    let mut lots = Ident::from_seed(seed);
    let mut below = |bound: u64| lots.number() % bound;
    let second = IpAddr::from([127, 0, 0, 2]);
    let builder = Carrier::builder().further_address([127, 0, 0, 2].into());
    // 64 MiB in memory for each is more than a thousand worlds need.
    let faults: Vec<Fault> = Fault::all()
        .into_iter()
        .filter(|fault| !matches!(fault, Fault::HugeBody(_) | Fault::Answer(AnswerFault::Huge)))
        .collect();
    let listed = |config: &mut Config| {
        config.contacts.protocol = seed.is_multiple_of(3).then_some(crate::config::ContactsProtocol::Xcard);
    };
    let mut net = Net::new(builder, seed, listed, retry);
    net.input(Input::Start);
    for _ in 0..below(4) + 1 {
        for _ in 0..below(2) + 1 {
            let fault = faults[below(faults.len() as u64) as usize];
            let when = match below(3) {
                0 => When::ALWAYS,
                1 => When::first(below(4) as u32 + 1),
                _ => When::from_nth(below(4) as u32 + 1),
            };
            match below(2) {
                0 if fault.has_address() => net.sim.faults().arm_at_when(fault, when, second),
                _ => net.sim.faults().arm_when(fault, when),
            };
        }
        for step in 0..below(5) {
            let asked = net.asked;
            let time = Duration::from_millis(below(90_000));
            net.live(time);
            let asked = net.asked - asked;
            assert!(asked < 200 + 6 * time.as_secs() as usize, "{asked} questions in {time:?}: a storm");
            let here = IpAddr::from([127, 0, 0, 1 + below(2) as u8]);
            match below(7) {
                0 => net.command(Command::NetworkChanged),
                1 => net.sim.cut_sip(here, net.now),
                2 => net.command(Command::RetryNow),
                3 => net.call(
                    100 + step,
                    ["echo", "hangup", "busy", "noanswer", "reinvite", "911"][below(6) as usize],
                ),
                4 => {
                    let name = format!("{seed}-{step}");
                    net.command(Command::Contacts { change: BookChange::Add(Card::new(&name, &name, &[])) });
                }
                _ => {}
            }
            net.hear();
        }
        for fault in &faults {
            net.sim.faults().disarm(*fault);
        }
    }
    // Everything works again. Longer than the longest pause of anything, and than any call that is still up.
    net.live(Duration::from_secs(900));
    let state = net.state();
    if state == SessionState::Ready {
        // What was refused for good is tried again when somebody asks.
        net.command(Command::SyncContacts);
        net.live(Duration::from_secs(60));
        assert_eq!(net.machine.view().book.unsent(), 0, "seed {seed}: contacts that are not on the server");
        return End::Ready;
    }
    if state == SessionState::EmergencyOnly {
        return End::EmergencyOnly;
    }
    assert_eq!(state, SessionState::Stopped, "{:?}", net.machine.next_deadline());
    let error = net.end().expect("nobody asked it to stop");
    let told = || net.events.iter().map(EventKind::name).collect::<Vec<_>>().join(" ");
    let for_good = retry == RetryMode::Once || remedy(&error) != Remedy::Again;
    assert!(for_good, "{} could be mended: {}", error.code(), told());
    End::Stopped(error.code())
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[test]
fn every_world_with_the_carrier_ends_ready_or_with_a_typed_error() {
    let seeds = match number_of("Z5_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_of("Z5_WORLDS").unwrap_or(150),
    };
    let mut ends = BTreeMap::<String, u64>::new();
    for seed in seeds.clone() {
        for retry in [RetryMode::Supervised, RetryMode::Once] {
            let end = std::panic::catch_unwind(|| world(seed, retry));
            let end = end.unwrap_or_else(|_| panic!("replay with Z5_SEED={seed} (mode {retry:?})"));
            *ends.entry(format!("{retry:?} {end:?}")).or_default() += 1;
        }
    }
    if seeds.end - seeds.start > 100 {
        let of = |what: &str| ends.get(what).copied().unwrap_or_default();
        assert!(of("Supervised Ready") > of("Once Ready"), "{ends:#?}");
        assert!(ends.len() > 8, "many ways to end: {ends:#?}");
        println!("{ends:#?}");
    }
}

/// One seed, the same faults and the same time: the same events, to the last.
#[test]
fn a_world_repeats_itself_for_its_seed() {
    let run = |seed| {
        let builder = Carrier::builder().fault_when(Fault::RegisterStatus(503), When::first(2));
        let mut net = Net::new(builder, seed, |_| {}, RetryMode::Supervised);
        net.input(Input::Start);
        net.live(Duration::from_secs(60));
        net.call(50, "hangup");
        net.live(Duration::from_secs(5));
        let names: Vec<&str> = net.events.iter().map(EventKind::name).collect();
        (names.join(" "), net.asked, net.registers, net.sim.sizes())
    };
    assert_eq!(run(3), run(3));
}
