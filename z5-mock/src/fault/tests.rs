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

#[test]
fn a_fault_can_be_at_one_address_only() {
    let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
    let fault = Fault::Refuse(Service::Sip);
    let faults = Faults::default();
    faults.arm_at(fault, there);
    assert!(faults.is_armed_at(fault, there) && !faults.is_armed_at(fault, here));
    assert!(faults.at(there).strikes(fault) && !faults.at(here).strikes(fault) && !faults.strikes(fault));
    let fault = Fault::ServerError(Service::Mcs);
    let once = faults.arm_at_when(fault, When { from: 2, times: Some(1) }, here);
    let struck: Vec<_> = (0..3).map(|_| faults.at(here).strikes(fault)).collect();
    assert_eq!(struck, [false, true, false]);
    faults.end(once);
    assert!(!faults.is_armed_at(fault, here));
}

/// The document names every fault, with its service or as `SERVICE.` or `HTTPS.`, or after `+`.
#[test]
fn the_document_lists_every_fault() {
    let document = include_str!("../../../docs/mock.md");
    let words: std::collections::BTreeSet<_> = document.split('`').collect();
    for fault in Fault::all() {
        let name = fault.to_string();
        let stem = name.split('=').next().unwrap_or_default();
        let (_, kind) = stem.split_once('.').unwrap();
        let listed = words.iter().any(|word| {
            let word = word.split(['=', '[']).next().unwrap_or_default();
            word == stem
                || word == kind
                || word == format!("SERVICE.{kind}")
                || word == format!("HTTPS.{kind}")
        });
        assert!(listed, "{name}");
    }
}
