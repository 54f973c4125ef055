//! Both directions together, loss, and payloads nobody would send.

use proptest::prelude::*;

use super::*;
use crate::stats::DropReason;

/// A NAL unit of that type and length; its bytes never look like a start code.
fn unit(kind: u8, len: usize) -> Vec<u8> {
    let mut unit: Vec<u8> = (0..len).map(|n| (n % 250) as u8 + 1).collect();
    unit[0] = 0x60 | kind;
    unit
}

fn stream(units: &[Vec<u8>]) -> Vec<u8> {
    units.iter().flat_map(|unit| [0, 0, 0, 1].into_iter().chain(unit.iter().copied())).collect()
}

fn packetize(mode: Mode, max: usize, access_unit: &[u8]) -> Result<Vec<(Vec<u8>, bool)>, PacketizeError> {
    let mut packetizer = Packetizer::new(mode, max, access_unit);
    let (mut payloads, mut out) = (Vec::new(), vec![0; max]);
    while let Some((len, last)) = packetizer.next(&mut out)? {
        payloads.push((out[..len].to_vec(), last));
    }
    Ok(payloads)
}

#[test]
fn parameter_sets_are_aggregated_and_large_slices_fragmented() {
    let access_unit = stream(&[unit(7, 20), unit(8, 6), unit(5, 2500)]);
    let payloads = packetize(Mode::NonInterleaved, 1200, &access_unit).unwrap();
    let kinds: Vec<u8> = payloads.iter().map(|(payload, _)| payload[0] & TYPE).collect();
    assert_eq!(kinds, [kind::STAP_A, kind::FU_A, kind::FU_A, kind::FU_A]);
    assert_eq!(payloads.iter().map(|(_, last)| *last).collect::<Vec<_>>(), [false, false, false, true]);
    assert_eq!((payloads[1].0[1], payloads[2].0[1], payloads[3].0[1]), (START | 5, 5, END | 5));
}

#[test]
fn mode_zero_sends_single_units_and_refuses_what_does_not_fit() {
    let payloads = packetize(Mode::SingleNal, 100, &stream(&[unit(7, 20), unit(5, 100)])).unwrap();
    assert_eq!(payloads, [(unit(7, 20), false), (unit(5, 100), true)]);
    let error = packetize(Mode::SingleNal, 100, &stream(&[unit(5, 101)]));
    assert_eq!(error, Err(PacketizeError::TooLarge { len: 101, max: 100 }));
}

#[test]
fn both_start_codes_and_trailing_zeros_are_understood() {
    let bytes = [9, 0, 0, 1, 0x67, 1, 0, 0, 0, 0, 1, 0x68, 2, 0, 0, 1, 0, 0, 1, 0x65, 3, 0, 0];
    assert_eq!(nal_units(&bytes).collect::<Vec<_>>(), [&[0x67, 1][..], &[0x68, 2], &[0x65, 3]]);
    assert_eq!(nal_units(&[1, 2, 3]).count(), 0);
}

#[test]
fn a_lost_fragment_makes_its_picture_incomplete_and_only_that() {
    let pictures = [stream(&[unit(5, 3000)]), stream(&[unit(1, 300)])];
    let mut assembler = Assembler::default();
    let (mut sequence, mut out) = (0, Vec::new());
    for (n, picture) in pictures.iter().enumerate() {
        for (payload, last) in packetize(Mode::NonInterleaved, 1000, picture).unwrap() {
            sequence += 1;
            if sequence == 2 {
                continue;
            }
            if let Some(unit) = assembler.take(sequence, n as u32 * 3000, last, &payload).unwrap() {
                out.push((unit.complete, unit.key_frame, unit.data.len()));
            }
        }
    }
    // Nothing of the first picture is left, the second is whole.
    assert_eq!(out, [(true, false, 304)]);
}

#[test]
fn malformed_payloads_are_refused() {
    let mut assembler = Assembler::default();
    for payload in [&[][..], &[0x60], &[0x7e, 1], &[0x78, 0], &[0x78, 0, 0], &[0x78, 0, 9, 1], &[0x7c]] {
        assert_eq!(assembler.take(1, 0, false, payload), Err(DropReason::MalformedPayload), "{payload:?}");
    }
}

#[test]
fn a_fragment_that_never_ends_is_bounded() {
    let mut assembler = Assembler::default();
    let mut payload = vec![1; 1400];
    payload[..2].copy_from_slice(&[0x7c, START | 5]);
    for n in 0..4000 {
        assert_eq!(assembler.take(n, 0, false, &payload), Ok(None));
        payload[1] = 5;
    }
    assert_eq!(assembler.take(4000, 0, true, &payload).unwrap(), None);
}

proptest! {
    #[test]
    fn what_is_packetized_is_assembled_again(
        lens in proptest::collection::vec((1_u8..13, 2_usize..4000), 1..8), max in 64_usize..1400
    ) {
        let units: Vec<_> = lens.iter().map(|(kind, len)| unit(*kind, *len)).collect();
        let access_unit = stream(&units);
        let payloads = packetize(Mode::NonInterleaved, max, &access_unit).unwrap();
        let mut assembler = Assembler::default();
        for (n, (payload, last)) in payloads.iter().enumerate() {
            prop_assert!(payload.len() <= max);
            let done = assembler.take(n as u64, 9, *last, payload).unwrap();
            prop_assert_eq!(done.is_some(), *last);
            if let Some(done) = done {
                prop_assert_eq!(done.data, &access_unit[..]);
                prop_assert!(done.complete);
                prop_assert_eq!(done.key_frame, lens.iter().any(|(kind, _)| *kind == 5));
            }
        }
    }

    #[test]
    fn no_payload_makes_it_panic(
        payloads in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..20), any::<bool>(), 0_u32..3, 0_u64..3), 1..40)
    ) {
        let mut assembler = Assembler::default();
        let mut sequence = 0;
        for (payload, marker, timestamp, step) in payloads {
            sequence += step;
            let _ = assembler.take(sequence, timestamp, marker, &payload);
        }
    }
}
