//! SIP behind a bad network in simulated time: the same streams without sockets, at moments that the test chooses.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use z5_mock::recorder::Service;
use z5_mock::sim::{Datagram, Opened, Said, Sim};
use z5_mock::{Carrier, Fault, Impairment, Rate};

use crate::impaired::options;

const MILLISECOND: Duration = Duration::from_millis(1);

fn client() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 20_000))
}

/// A carrier with this network in front of its SIP, and a connection to it.
fn connected(impairment: Impairment, seed: u64) -> (Sim, u64, Instant) {
    let now = Instant::now();
    let builder = Carrier::builder().seed(seed).sip_impairment(impairment);
    let mut sim = Sim::new(builder, now, 1_700_000_000).unwrap();
    let opened = sim.connect(sim.sip_addr(), false, client(), now);
    let Opened::Stands(id) = opened else { panic!("{opened:?}") };
    (sim, id, now)
}

/// When each answer comes, in milliseconds from the start, until nothing is due any more.
fn answers(sim: &mut Sim, began: Instant) -> Vec<(u128, usize)> {
    let mut came = Vec::new();
    let mut now = began;
    loop {
        came.extend(sim.said().into_iter().map(|said| match said {
            Said::Bytes(_, bytes) => ((now - began).as_millis(), bytes.len()),
            Said::Datagram(datagram) => ((now - began).as_millis(), datagram.bytes.len()),
            Said::Closed(_) => panic!("closed"),
        }));
        let Some(at) = sim.next_deadline() else { return came };
        now = at;
        sim.on_deadline(now);
    }
}

fn ask(sim: &mut Sim, id: u64, now: Instant, count: usize) {
    for number in 0..count {
        sim.received(id, options(number, "TCP", client()).as_bytes(), now);
    }
}

/// The same in datagrams; how many came to a port that is open.
fn ask_in_datagrams(sim: &mut Sim, now: Instant, count: usize) -> usize {
    let to = sim.sip_addr();
    let mut arrives = |number| {
        let bytes = options(number, "UDP", client()).into_bytes();
        sim.datagram(Datagram { from: client(), to, bytes }, now)
    };
    (0..count).filter(|number| arrives(*number)).count()
}

#[test]
fn what_is_late_arrives_when_it_is_due_on_both_ways() {
    let late = Impairment { delay: 40 * MILLISECOND, loss: 1.0, ..Impairment::default() };
    let (mut sim, id, now) = connected(late, 1);
    ask(&mut sim, id, now, 2);
    assert_eq!(sim.said(), []);
    assert_eq!(sim.next_deadline(), Some(now + 40 * MILLISECOND));
    let came = answers(&mut sim, now);
    assert_eq!(came.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [80, 80]);
    // From now on nothing is; what is under way is not overtaken.
    ask(&mut sim, id, now + 100 * MILLISECOND, 1);
    sim.impair_sip(Impairment::default());
    ask(&mut sim, id, now + 100 * MILLISECOND, 1);
    assert_eq!(sim.said(), []);
    sim.on_deadline(now + 140 * MILLISECOND);
    assert_eq!(sim.said().len(), 2);
    ask(&mut sim, id, now + 150 * MILLISECOND, 1);
    assert_eq!((sim.said().len(), sim.next_deadline()), (1, None));
}

#[test]
fn a_seed_decides_the_jitter_and_a_bottleneck_makes_a_queue() {
    let shaken = Impairment { jitter: 50 * MILLISECOND, ..Impairment::default() };
    let times = |seed| {
        let (mut sim, id, now) = connected(shaken.clone(), seed);
        ask(&mut sim, id, now, 20);
        answers(&mut sim, now)
    };
    let seen = times(3);
    assert!(seen.is_sorted() && seen == times(3) && seen != times(4), "{seen:?}");
    let slow = Impairment { rate: Some(Rate::bits(80_000)), ..Impairment::default() };
    let (mut sim, id, now) = connected(slow, 1);
    ask(&mut sim, id, now, 20);
    let came = answers(&mut sim, now);
    let bytes: usize = came.iter().map(|(_, bytes)| bytes).sum();
    let last = came.last().unwrap().0;
    // 10 bytes a millisecond, but for the packet that the bucket lets through.
    assert!(came.len() == 20 && last >= (bytes as u128 - 1500) / 10, "{last} ms for {bytes} bytes");
}

/// As over sockets: what was sent before the end still comes, and nothing is said to who has gone.
#[test]
fn a_client_that_hangs_up_is_heard_out() {
    let late = Impairment { delay: 40 * MILLISECOND, ..Impairment::default() };
    let (mut sim, id, now) = connected(late, 1);
    ask(&mut sim, id, now, 1);
    sim.closed(id, now);
    assert_eq!(sim.sizes().connections, 1);
    sim.on_deadline(now + 40 * MILLISECOND);
    assert_eq!((sim.said(), sim.sizes().connections, sim.next_deadline()), (Vec::new(), 0, None));
    assert!(sim.recorder().to_text().contains("OPTIONS "));
}

/// The machine is the one that the sockets drive, so that a network does to datagrams here what it does there.
#[test]
fn datagrams_are_lost_doubled_and_late_as_the_seed_decides() {
    let bad = |seed| {
        let bad = Impairment { loss: 0.2, duplicate: 0.2, delay: 40 * MILLISECOND, ..Impairment::default() };
        let (mut sim, _, now) = connected(bad, seed);
        assert_eq!(ask_in_datagrams(&mut sim, now, 100), 100);
        assert_eq!(sim.said(), []);
        answers(&mut sim, now)
    };
    let came = bad(3);
    assert!(came.iter().all(|(at, _)| *at == 80) && (40..160).contains(&came.len()), "{came:?}");
    assert!(came == bad(3) && [bad(4), bad(5), bad(6)].iter().any(|other| *other != came));
}

#[test]
fn a_request_in_a_datagram_is_answered_to_where_it_came_from_and_a_closed_port_refuses_it() {
    let (mut sim, _, now) = connected(Impairment::default(), 1);
    assert_eq!((ask_in_datagrams(&mut sim, now, 1), sim.sizes().connections), (1, 2));
    let said = sim.said();
    let [Said::Datagram(answer)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((answer.from, answer.to), (sim.sip_addr(), client()));
    assert!(answer.bytes.starts_with(b"SIP/2.0 200 "), "{answer:?}");
    // Whoever was known there is not any more when it opens again.
    sim.faults().arm(Fault::Refuse(Service::Sip));
    assert_eq!((ask_in_datagrams(&mut sim, now, 1), sim.said(), sim.sizes().connections), (0, vec![], 1));
    sim.faults().disarm(Fault::Refuse(Service::Sip));
    assert_eq!((ask_in_datagrams(&mut sim, now, 2), sim.said().len(), sim.sizes().connections), (2, 2, 2));
    sim.cut_sip(sim.sip_addr().ip(), now);
    assert_eq!((sim.said(), sim.sizes().connections), (vec![Said::Closed(1)], 0));
}
