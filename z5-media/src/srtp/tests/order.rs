//! The roll-over counter and the replay window under any order, against webrtc-srtp with a window of the same width: packets
//! that are late, doubled, forged or lost, over wraps of the sequence number, for every suite it has.

use std::collections::BTreeSet;

use super::*;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// How far its sequence number is from the one before.
    step: u16,
    /// Packets that overtake it.
    late: u8,
    /// 0: lost, 1: as it is, 2: twice, 3: and a forged one before it.
    times: u8,
}

/// Fates with jumps of the sequence number up to `farthest`.
fn fates(farthest: u16) -> impl Strategy<Value = Vec<Fate>> {
    let step = prop_oneof![8 => Just(1_u16), 1 => 2_u16..40, 1 => 1..=farthest];
    let late = prop_oneof![6 => Just(0_u8), 2 => 0_u8..20, 1 => 90_u8..160];
    let times = prop_oneof![1 => Just(0_u8), 6 => Just(1), 1 => Just(2), 1 => Just(3)];
    let fate = (step, late, times).prop_map(|(step, late, times)| Fate { step, late, times });
    proptest::collection::vec(fate, 20..300)
}

/// What arrives, in its order: each with its number, and whether it was forged.
fn arrivals(fates: &[Fate], mut seal: impl FnMut(usize, u16) -> Vec<u8>) -> Vec<(usize, bool, Vec<u8>)> {
    let mut under_way = Vec::new();
    for (n, fate) in fates.iter().enumerate() {
        let wire = seal(n, fate.step);
        let at = n + usize::from(fate.late);
        if fate.times == 3 {
            let mut forged = wire.clone();
            let end = forged.len() - 1;
            forged[end] ^= 1;
            under_way.push((at, n, true, forged));
        }
        for again in 0..fate.times.min(2) {
            under_way.push((at + usize::from(again) * 3, n, false, wire.clone()));
        }
    }
    under_way.sort_by_key(|(at, ..)| *at);
    under_way.into_iter().map(|(_, n, forged, wire)| (n, forged, wire)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_take_and_refuse_the_same_packets_in_any_order(
        suite in proptest::sample::select(second_suites().collect::<Vec<_>>()),
        start in prop_oneof![any::<u16>(), 65_300_u16..=65_535],
        fates in fates(100),
    ) {
        let key = key(suite, 7);
        let params = SrtpParams::new(suite, &key, &key).unwrap();
        let (mut sender, mut ours) = params.contexts().unwrap();
        let (_, mut theirs) = params.second_contexts().unwrap();
        let mut sequence = start;
        let wires = arrivals(&fates, |n, step| {
            sequence = sequence.wrapping_add(step);
            protect(&mut sender, &packet(sequence, 9, &(n as u64).to_be_bytes()))
        });
        let mut opened = BTreeSet::new();
        for (n, forged, wire) in wires {
            let (mut here, mut there) = (wire.clone(), wire);
            let (one, other) = (ours.unprotect_rtp(&mut here), theirs.unprotect_rtp(&mut there));
            prop_assert_eq!(one.is_ok(), other.is_ok(), "packet {}: {:?} and {:?}", n, one, other);
            if let (Ok(len), Ok(their_len)) = (one, other) {
                prop_assert!(!forged, "packet {} was forged", n);
                prop_assert_eq!(&here[..len], &there[..their_len]);
                prop_assert_eq!(&here[12..len], &(n as u64).to_be_bytes()[..]);
                prop_assert!(opened.insert(n), "packet {} opened twice", n);
            }
        }
    }

    #[test]
    fn so_do_they_with_reports(
        suite in proptest::sample::select(second_suites().collect::<Vec<_>>()), fates in fates(1),
    ) {
        let key = key(suite, 7);
        let params = SrtpParams::new(suite, &key, &key).unwrap();
        let (mut sender, mut ours) = params.contexts().unwrap();
        let (_, mut theirs) = params.second_contexts().unwrap();
        let wires = arrivals(&fates, |_, _| protect_rtcp(&mut sender, &report(9)));
        let mut opened = BTreeSet::new();
        for (n, forged, wire) in wires {
            let one = ours.unprotect_rtcp(&mut wire.clone());
            let other = theirs.unprotect_rtcp(&mut wire.clone());
            prop_assert_eq!(one.is_ok(), other.is_ok(), "report {}: {:?} and {:?}", n, one, other);
            if one.is_ok() {
                prop_assert!(!forged && opened.insert(n), "report {}", n);
            }
        }
    }

    #[test]
    fn whatever_is_not_older_than_the_window_and_authentic_opens_once(
        suite in proptest::sample::select(SrtpSuite::ALL.to_vec()), start in any::<u16>(), fates in fates(20_000),
    ) {
        let (mut sender, mut receiver) = pair(suite);
        let mut index = u64::from(start);
        let mut indices = Vec::new();
        let wires = arrivals(&fates, |_, step| {
            index += u64::from(step);
            indices.push(index);
            protect(&mut sender, &packet(index as u16, 9, b"x"))
        });
        let (mut highest, mut opened) = (None::<u64>, BTreeSet::new());
        for (n, forged, wire) in wires {
            let index = indices[n];
            // A roll-over counter is known from half a cycle around the highest packet that was opened; at the start it is 0.
            let known = highest.map_or(index <= 0xffff, |highest| highest.abs_diff(index) < 0x8000);
            let fresh = highest.is_none_or(|highest| index > highest || highest - index < 128) && !opened.contains(&n);
            let taken = receiver.unprotect_rtp(&mut wire.clone());
            if known {
                prop_assert_eq!(taken.is_ok(), fresh && !forged, "packet {} at {}: {:?}", n, index, taken);
            }
            if taken.is_ok() {
                opened.insert(n);
                highest = Some(highest.map_or(index, |highest| highest.max(index)));
            }
        }
    }
}
