//! Counts and times of what a path does, in fake time.

use super::*;
use crate::impairment::Impairment;

const PACKETS: usize = 100_000;
const MILLISECOND: Duration = Duration::from_millis(1);

#[expect(clippy::disallowed_methods, reason = "only the start of the fake time")]
fn start() -> Instant {
    Instant::now()
}

fn link(impairment: &Impairment, seed: u64) -> Link {
    Link::new(Conditions::new(impairment.clone()), Bottleneck::default(), seed)
}

/// The fates of packets that come in a steady pace.
fn fates(impairment: &Impairment, seed: u64, bytes: usize, pace: Duration) -> Vec<Fate> {
    let (mut link, mut now) = (link(impairment, seed), start());
    let fates = (0..PACKETS).map(|_| {
        now += pace;
        link.fate(bytes, now)
    });
    fates.collect()
}

fn share(fates: &[Fate], of: impl Fn(&Fate) -> bool) -> f64 {
    fates.iter().filter(|fate| of(fate)).count() as f64 / fates.len() as f64
}

fn assert_near(seen: f64, wanted: f64, by: f64) {
    assert!((seen - wanted).abs() <= by, "{seen} in place of {wanted}");
}

#[test]
fn shares_and_times_are_those_asked_for_and_repeat_for_a_seed() {
    let given = Impairment {
        loss: 0.1,
        delay: 10 * MILLISECOND,
        jitter: 5 * MILLISECOND,
        reorder: 0.05,
        duplicate: 0.2,
        ..Impairment::default()
    };
    let seen = fates(&given, 7, 172, 20 * MILLISECOND);
    assert_eq!(seen, fates(&given, 7, 172, 20 * MILLISECOND));
    assert_ne!(seen, fates(&given, 8, 172, 20 * MILLISECOND));
    assert_near(share(&seen, |fate| *fate == Fate::Lost), 0.1, 0.005);
    assert_near(
        share(&seen, |fate| matches!(fate, Fate::Delivered { second: Some(_), .. })),
        0.9 * 0.2,
        0.005,
    );
    let overtakes = |fate: &Fate| matches!(fate, Fate::Delivered { first: Duration::ZERO, .. });
    assert_near(share(&seen, overtakes), 0.9 * 0.05, 0.005);
    let range = 10 * MILLISECOND..=15 * MILLISECOND;
    for fate in seen.iter().filter(|fate| !overtakes(fate)) {
        if let Fate::Delivered { first, second } = fate {
            assert!(range.contains(first) && second.is_none_or(|second| range.contains(&second)), "{fate:?}");
        }
    }
    let untouched = Fate::Delivered { first: Duration::ZERO, second: None };
    assert!(fates(&Impairment::default(), 7, 172, MILLISECOND).iter().all(|fate| *fate == untouched));
}

/// How long the runs of losses are, in the mean.
fn mean_run(fates: &[Fate]) -> f64 {
    let lost = fates.iter().filter(|fate| **fate == Fate::Lost).count();
    let before = std::iter::once(&Fate::Delivered { first: Duration::ZERO, second: None }).chain(fates);
    let begins = before.zip(fates).filter(|(before, fate)| **fate == Fate::Lost && **before != Fate::Lost);
    lost as f64 / begins.count() as f64
}

#[test]
fn losses_come_in_bursts_of_the_share_and_length_that_are_asked_for() {
    for (part, length) in [(0.02, 4.0), (0.1, 8.0), (0.3, 20.0)] {
        let given = Impairment { burst: Some(Burst::of(part, length)), ..Impairment::default() };
        let seen = fates(&given, 3, 172, 20 * MILLISECOND);
        assert_near(share(&seen, |fate| *fate == Fate::Lost), part, part / 5.0);
        assert_near(mean_run(&seen), length, length / 5.0);
    }
    // As many one by one hardly ever come together.
    let single = fates(&Impairment { loss: 0.1, ..Impairment::default() }, 3, 172, 20 * MILLISECOND);
    assert!(mean_run(&single) < 1.2);
    // In a burst that lets half through, and between bursts with losses of their own.
    let burst = Burst { begins: 0.01, ends: 0.09, loss: 0.5 };
    let mixed =
        fates(&Impairment { loss: 0.02, burst: Some(burst), ..Impairment::default() }, 3, 172, MILLISECOND);
    assert_near(share(&mixed, |fate| *fate == Fate::Lost), 0.1 * 0.5 + 0.9 * 0.02, 0.01);
    let all = Impairment { burst: Some(Burst::of(1.0, 5.0)), ..Impairment::default() };
    assert!(fates(&all, 3, 172, MILLISECOND).iter().all(|fate| *fate == Fate::Lost));
}

/// 100 kbit/s carry 12.5 bytes a millisecond; packets of 125 bytes with headers take 10 ms each and come each 8 ms.
#[test]
fn a_bottleneck_lets_delay_grow_until_its_queue_is_full_and_carries_its_rate_from_then_on() {
    let rate = Rate { bits_per_second: 100_000, queue: 100 * MILLISECOND };
    let given = Impairment { rate: Some(rate), ..Impairment::default() };
    let (mut link, began) = (link(&given, 1), start());
    let (mut waits, mut lost) = (Vec::new(), 0);
    for number in 0..1000_u32 {
        let now = began + number * 8 * MILLISECOND;
        match link.fate(125 - HEADERS, now) {
            Fate::Lost => lost += 1,
            Fate::Delivered { first, second: None } => waits.push(first),
            fate @ Fate::Delivered { .. } => panic!("{fate:?}"),
        }
    }
    // The bucket first, then 2 ms more for each, up to the queue's end.
    assert_eq!(waits[0], Duration::ZERO);
    let growing = waits.iter().position(|wait| *wait > 90 * MILLISECOND).unwrap();
    assert!(waits[..growing].is_sorted(), "{:?}", &waits[..growing]);
    assert!(waits[growing..].iter().all(|wait| (90 * MILLISECOND..=rate.queue).contains(wait)));
    // Of 8 s it carries 8 s, and what the bucket and the queue hold.
    assert!((800..=800 + 12 + 10).contains(&waits.len()), "{}", waits.len());
    assert_eq!(waits.len() + lost, 1000);
    // After a pause it is as new.
    assert_eq!(
        link.fate(125 - HEADERS, began + Duration::from_secs(60)),
        Fate::Delivered { first: Duration::ZERO, second: None }
    );
}

#[test]
fn what_shares_a_bottleneck_waits_for_each_other() {
    let rate = Rate { bits_per_second: 120_000, queue: Duration::from_secs(1) };
    let conditions = Conditions::new(Impairment { rate: Some(rate), ..Impairment::default() });
    let shared = Bottleneck::default();
    let mut sound = Link::new(conditions.clone(), shared.clone(), 1);
    let mut picture = Link::new(conditions.clone(), shared, 2);
    let now = start();
    assert_eq!(picture.fate(1472, now), Fate::Delivered { first: Duration::ZERO, second: None });
    let late = Fate::Delivered { first: 100 * MILLISECOND, second: None };
    assert_eq!(picture.fate(1472, now), late);
    let later = Fate::Delivered { first: 110 * MILLISECOND, second: None };
    assert_eq!(sound.fate(150 - HEADERS, now), later);
    // Another path has a bottleneck of its own, and without one nothing waits.
    let free = Fate::Delivered { first: Duration::ZERO, second: None };
    assert_eq!(Link::new(conditions.clone(), Bottleneck::default(), 3).fate(1472, now), free);
    conditions.set(Impairment::default());
    assert_eq!(sound.fate(1472, now), free);
}

#[test]
fn conditions_change_for_everyone_who_has_them() {
    let conditions = Conditions::default();
    let mut link = Link::new(conditions.clone(), Bottleneck::default(), 7);
    assert_ne!(link.fate(172, start()), Fate::Lost);
    conditions.set(Impairment { loss: 1.0, ..Impairment::default() });
    assert_eq!(link.fate(172, start()), Fate::Lost);
    // A burst that lasts is over when there are none any more.
    conditions.set(Impairment { burst: Some(Burst::of(1.0, 9.0)), ..Impairment::default() });
    assert_eq!(link.fate(172, start()), Fate::Lost);
    conditions.set(Impairment::default());
    assert_ne!(link.fate(172, start()), Fate::Lost);
}

#[test]
fn what_is_under_way_arrives_by_time_and_then_in_order_and_has_a_bound() {
    let now = start();
    let mut under_way = UnderWay::default();
    for (pause, packet) in [(2, 'c'), (1, 'a'), (2, 'd'), (1, 'b')] {
        assert!(under_way.push(now + pause * MILLISECOND, packet));
    }
    assert_eq!(under_way.next_deadline(), Some(now + MILLISECOND));
    assert_eq!(under_way.due(now), None);
    let all: String = std::iter::from_fn(|| under_way.due(now + 2 * MILLISECOND)).collect();
    assert_eq!(all, "abcd");
    assert!((0..MAX_UNDER_WAY).all(|_| under_way.push(now, ' ')) && !under_way.push(now, ' '));
}

#[test]
fn what_passes_two_links_is_lost_late_and_doubled_by_both() {
    let now = start();
    let half = Impairment { loss: 0.5, ..Impairment::default() };
    let mut links = [link(&half, 1), link(&half, 2)];
    let through = (0..4000).filter(|_| pass(&mut links, 100, now).next().is_some()).count();
    assert!((850..1150).contains(&through), "{through} of 4000");
    let late = |by| Impairment { delay: by * MILLISECOND, duplicate: 1.0, ..Impairment::default() };
    let mut links = [link(&late(20), 1), link(&late(30), 2)];
    assert_eq!(pass(&mut links, 100, now).collect::<Vec<_>>(), [50 * MILLISECOND; 4]);
    assert_eq!(pass(&mut [], 100, now).collect::<Vec<_>>(), [Duration::ZERO]);
}
