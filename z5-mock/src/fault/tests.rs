//! Timing of faults, and that every name reads back.

use super::*;

#[test]
fn every_name_reads_back_and_is_unique() {
    let mut seen = std::collections::BTreeSet::new();
    for fault in Fault::all() {
        let name = fault.to_string();
        assert_eq!(name.parse(), Ok(fault), "{name}");
        assert!(seen.insert(name));
    }
    assert!("zdial.refused".parse::<Fault>().is_err());
    assert!("sip.invite-status=99".parse::<Fault>().is_err());
}

#[test]
fn a_fault_strikes_from_the_nth_occasion_for_a_while() {
    let faults = Faults::default();
    faults.arm_when(Fault::NameNotFound, When { from: 2, times: Some(2) });
    let struck: Vec<_> = (0..5).map(|_| faults.strikes(Fault::NameNotFound)).collect();
    assert_eq!(struck, [false, true, true, false, false]);
    faults.arm(Fault::NameNotFound);
    assert!(faults.strikes(Fault::NameNotFound));
    faults.disarm(Fault::NameNotFound);
    assert!(!faults.strikes(Fault::NameNotFound));
}
