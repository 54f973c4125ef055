//! Vectors, the replay and roll-over rules, and webrtc-srtp as oracle: each opens what the other sealed.

mod order;

use proptest::prelude::*;
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

use super::*;
use crate::rtp::Header;
use crate::stats::DropReason;

/// Bytes from hexadecimal text; spaces between are allowed.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn key(suite: SrtpSuite, seed: u8) -> Vec<u8> {
    (0..suite.key_and_salt_len()).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

fn pair(suite: SrtpSuite) -> (Sender, Receiver) {
    let key = key(suite, 7);
    (Sender::new(suite, &key).unwrap(), Receiver::new(suite, &key).unwrap())
}

fn packet(sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 12];
    Header { payload_type: 0, marker: false, sequence, timestamp: 160, ssrc }
        .write(packet.first_chunk_mut().unwrap());
    packet.extend_from_slice(payload);
    packet
}

fn protect(sender: &mut Sender, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + SrtpSuite::MAX_OVERHEAD, 0);
    let len = sender.protect_rtp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(len);
    buffer
}

fn protect_rtcp(sender: &mut Sender, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + SrtpSuite::MAX_OVERHEAD, 0);
    let len = sender.protect_rtcp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(len);
    buffer
}

/// A receiver report without blocks: 8 bytes of header and a made-up body.
fn report(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 3];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(b"somebody");
    packet
}

#[test]
fn what_is_sealed_opens_once_and_only_unchanged() {
    for suite in SrtpSuite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let clear = packet(1, 99, b"a voice frame");
        let sealed = protect(&mut sender, &clear);
        assert_ne!(&sealed[12..clear.len()], &clear[12..], "{suite:?}");
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert!(receiver.unprotect_rtp(&mut forged).is_err(), "{suite:?} byte {at}");
        }
        let mut wire = sealed.clone();
        let len = receiver.unprotect_rtp(&mut wire).unwrap();
        assert_eq!(wire[..len], clear[..], "{suite:?}");
        assert_eq!(receiver.unprotect_rtp(&mut sealed.clone()), Err(DropReason::Replayed), "{suite:?}");
    }
}

#[test]
fn rtcp_is_sealed_and_its_index_counts() {
    for suite in SrtpSuite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let clear = report(5);
        let first = protect_rtcp(&mut sender, &clear);
        let second = protect_rtcp(&mut sender, &clear);
        assert_ne!(first, second);
        for sealed in [&second, &first] {
            let mut wire = sealed.clone();
            let len = receiver.unprotect_rtcp(&mut wire).unwrap();
            assert_eq!(wire[..len], clear[..], "{suite:?}");
            assert_eq!(receiver.unprotect_rtcp(&mut sealed.clone()), Err(DropReason::Replayed));
        }
    }
}

#[test]
fn the_known_holes_of_others_are_closed_here() {
    for suite in SrtpSuite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let sealed = protect_rtcp(&mut sender, &report(5));
        // Unencrypted SRTCP (E bit clear) is refused whatever its tag.
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] &= 0x7f;
            if forged != sealed {
                assert!(receiver.unprotect_rtcp(&mut forged).is_err(), "{suite:?} {at}");
            }
        }
        // Any length, also below the smallest one.
        for len in 0..sealed.len() {
            assert!(receiver.unprotect_rtcp(&mut sealed[..len].to_vec()).is_err(), "{suite:?} {len}");
            assert!(receiver.unprotect_rtp(&mut sealed[..len].to_vec()).is_err(), "{suite:?} {len}");
        }
        // Forged packets of many sources make no state.
        for ssrc in 0..1000 {
            let mut forged = packet(1, ssrc, &[0; 40]);
            assert_eq!(receiver.unprotect_rtp(&mut forged), Err(DropReason::AuthenticationFailed));
        }
        assert!(format!("{receiver:?}").contains("sources: 0"));
    }
}

#[test]
fn the_roll_over_counter_follows_the_wrap_under_reordering() {
    for suite in [SrtpSuite::AesCm128HmacSha1_80, SrtpSuite::AeadAes128Gcm] {
        let (mut sender, mut receiver) = pair(suite);
        let mut wires: Vec<Vec<u8>> = (0..200_u16)
            .map(|n| protect(&mut sender, &packet(65436_u16.wrapping_add(n), 3, &[n as u8; 20])))
            .collect();
        for pair in wires.chunks_mut(2).skip(1) {
            pair.swap(0, 1);
        }
        for wire in wires {
            receiver.unprotect_rtp(&mut wire.clone()).unwrap();
        }
    }
}

#[test]
fn what_a_dtls_handshake_exports_makes_two_sides_that_understand_each_other() {
    for suite in SrtpSuite::ALL {
        let exported: Vec<u8> = (0..2 * suite.key_and_salt_len()).map(|n| n as u8).collect();
        let client = SrtpParams::from_exporter(suite, &exported, true).unwrap();
        let server = SrtpParams::from_exporter(suite, &exported, false).unwrap();
        // RFC 5764 section 4.2: client key, server key, client salt, server salt.
        let (key, salt) = (suite.key_len(), suite.salt_len());
        let wanted = [&exported[..key], &exported[2 * key..2 * key + salt]].concat();
        assert_eq!(client.local.as_slice(), wanted);
        assert_eq!((&client.local, &client.remote), (&server.remote, &server.local));
        let (mut sender, mut receiver) = (client.contexts().unwrap().0, server.contexts().unwrap().1);
        let mut wire = protect(&mut sender, &packet(7, 5, b"hello"));
        assert!(receiver.unprotect_rtp(&mut wire).is_ok(), "{suite:?}");
        for wrong in [0, exported.len() - 1] {
            let refused = SrtpParams::from_exporter(suite, &exported[..wrong], true).unwrap_err();
            assert_eq!((refused.wanted, refused.seen), (exported.len(), wrong));
        }
    }
}

/// Suites the second backend has.
fn second_suites() -> impl Iterator<Item = SrtpSuite> {
    SrtpSuite::ALL.into_iter().filter(|suite| *suite != SrtpSuite::Aes256CmHmacSha1_80)
}

#[test]
fn the_second_backend_behind_its_guards_speaks_with_ours_both_ways() {
    for suite in second_suites() {
        let key = key(suite, 7);
        let params = SrtpParams::new(suite, &key, &key).unwrap();
        let (mut theirs_out, mut theirs_in) = params.second_contexts().unwrap();
        let (mut ours_out, mut ours_in) = params.contexts().unwrap();
        for n in 0..3 {
            let clear = packet(65534_u16.wrapping_add(n), 3, b"voice");
            for (sealed, receiver) in [
                (protect(&mut theirs_out, &clear), &mut ours_in),
                (protect(&mut ours_out, &clear), &mut theirs_in),
            ] {
                let mut wire = sealed.clone();
                let len = receiver.unprotect_rtp(&mut wire).unwrap();
                assert_eq!(wire[..len], clear[..], "{suite:?}");
                assert_eq!(
                    receiver.unprotect_rtp(&mut sealed.clone()),
                    Err(DropReason::Replayed),
                    "{suite:?}"
                );
            }
            let clear = report(3);
            for (sealed, receiver) in [
                (protect_rtcp(&mut theirs_out, &clear), &mut ours_in),
                (protect_rtcp(&mut ours_out, &clear), &mut theirs_in),
            ] {
                let mut wire = sealed.clone();
                let len = receiver.unprotect_rtcp(&mut wire).unwrap();
                assert_eq!(wire[..len], clear[..], "{suite:?}");
            }
        }
    }
    let key = key(SrtpSuite::Aes256CmHmacSha1_80, 7);
    let params = SrtpParams::new(SrtpSuite::Aes256CmHmacSha1_80, &key, &key).unwrap();
    assert_eq!(params.second_contexts().err(), Some(KeyError));
}

#[test]
fn a_forged_report_in_the_clear_passes_webrtc_srtp_but_not_its_guard() {
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    let mut forged = report(5);
    forged.extend_from_slice(&[0, 0, 0, 9]);
    forged.extend_from_slice(&[0xaa; 10]);
    let (_, mut bare) = oracle(suite).unwrap();
    assert!(bare.decrypt_rtcp(&forged).is_ok(), "the hole is mended; the guard may go");
    let key = key(suite, 7);
    let (_, mut guarded) = SrtpParams::new(suite, &key, &key).unwrap().second_contexts().unwrap();
    assert_eq!(guarded.unprotect_rtcp(&mut forged), Err(DropReason::NotEncrypted));
}

#[test]
fn short_reports_and_overlong_extensions_do_not_reach_webrtc_srtp() {
    for suite in second_suites() {
        let key = key(suite, 7);
        let (mut sender, mut guarded) =
            SrtpParams::new(suite, &key, &key).unwrap().second_contexts().unwrap();
        let sealed = protect_rtcp(&mut sender, &report(5));
        for len in 0..sealed.len() {
            assert!(guarded.unprotect_rtcp(&mut sealed[..len].to_vec()).is_err(), "{suite:?} {len}");
            assert!(guarded.unprotect_rtcp(&mut vec![0xff; len]).is_err(), "{suite:?} {len}");
        }
        // Elements that promise more than the extension holds, in both forms of RFC 8285.
        for extension in [[0xbe, 0xde, 0, 1, 0x1f, 0, 0, 0], [0x10, 0, 0, 1, 1, 200, 0, 0]] {
            let mut packet = packet(1, 99, &extension);
            packet[0] |= 0x10;
            packet.extend_from_slice(&[0; 40]);
            assert_eq!(guarded.unprotect_rtp(&mut packet), Err(DropReason::BadHeader), "{suite:?}");
        }
    }
}

#[test]
fn a_flood_of_forged_sources_makes_no_state_in_the_second_backend() {
    for suite in second_suites() {
        let key = key(suite, 7);
        let (_, mut guarded) = SrtpParams::new(suite, &key, &key).unwrap().second_contexts().unwrap();
        for ssrc in 0..300 {
            let mut forged = packet(1, ssrc, &[0; 40]);
            assert_eq!(guarded.unprotect_rtp(&mut forged), Err(DropReason::AuthenticationFailed));
            let mut forged = report(ssrc);
            forged.extend_from_slice(&[0xff; 24]);
            assert_eq!(guarded.unprotect_rtcp(&mut forged), Err(DropReason::AuthenticationFailed));
        }
        assert!(format!("{guarded:?}").contains("sources: 0"));
    }
}

fn oracle(suite: SrtpSuite) -> Option<(Context, Context)> {
    let profile = match suite {
        SrtpSuite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        SrtpSuite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        SrtpSuite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        SrtpSuite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        SrtpSuite::Aes256CmHmacSha1_80 => return None,
    };
    let key = key(suite, 7);
    let (master, salt) = key.split_at(suite.key_len());
    let context = || Context::new(master, salt, profile, None, None).unwrap();
    Some((context(), context()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_opens_what_the_other_sealed(
        suite in proptest::sample::select(SrtpSuite::ALL.to_vec()),
        start in any::<u16>(), ssrc in any::<u32>(),
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..8),
    ) {
        let Some((mut seal, mut open)) = oracle(suite) else { return Ok(()) };
        let (mut sender, mut receiver) = pair(suite);
        for (n, payload) in payloads.iter().enumerate() {
            let clear = packet(start.wrapping_add(n as u16), ssrc, payload);
            let ours = protect(&mut sender, &clear);
            let theirs = seal.encrypt_rtp(&clear).unwrap();
            prop_assert_eq!(&ours[..], &theirs[..]);
            prop_assert_eq!(&open.decrypt_rtp(&ours).unwrap()[..], &clear[..]);
            let mut wire = theirs.to_vec();
            let len = receiver.unprotect_rtp(&mut wire).unwrap();
            prop_assert_eq!(&wire[..len], &clear[..]);

            let clear = report(ssrc);
            let ours = protect_rtcp(&mut sender, &clear);
            let theirs = seal.encrypt_rtcp(&clear).unwrap();
            prop_assert_eq!(&open.decrypt_rtcp(&ours).unwrap()[..], &clear[..]);
            let mut wire = theirs.to_vec();
            let len = receiver.unprotect_rtcp(&mut wire).unwrap();
            prop_assert_eq!(&wire[..len], &clear[..]);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), first in any::<u8>()) {
        let mut bytes = bytes;
        if let Some(byte) = bytes.first_mut() {
            *byte = 0x80 | first & 0x3f;
        }
        for suite in SrtpSuite::ALL {
            let (_, mut receiver) = pair(suite);
            let _ = receiver.unprotect_rtp(&mut bytes.clone());
            let _ = receiver.unprotect_rtcp(&mut bytes.clone());
            let key = key(suite, 7);
            if let Ok((_, mut second)) = SrtpParams::new(suite, &key, &key).unwrap().second_contexts() {
                let _ = second.unprotect_rtp(&mut bytes.clone());
                let _ = second.unprotect_rtcp(&mut bytes.clone());
            }
        }
    }
}
