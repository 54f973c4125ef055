//! The blocks of a capture read back by their lengths, who may read it, and what happens when the disk is full.

use super::blocks::{INTERFACE, PACKET, SECRETS, SECTION};
use super::*;
use crate::clock;

/// Types and bodies of the blocks of a file, read by its lengths from both ends.
fn blocks(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut at, mut blocks) = (0, Vec::new());
    while at < bytes.len() {
        let len = word(at + 4) as usize;
        assert_eq!((len % 4, word(at + len - 4) as usize), (0, len));
        blocks.push((word(at), bytes[at + 8..at + len - 4].to_vec()));
        at += len;
    }
    blocks
}

fn ends() -> [SocketAddr; 2] {
    ["192.0.2.1:5060".parse().unwrap(), "192.0.2.2:5060".parse().unwrap()]
}

#[test]
fn packets_of_both_families_and_transports_are_written_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("call.pcapng");
    let capture = Capture::create(&path).unwrap();
    let v4 = ends();
    let v6: [SocketAddr; 2] = ["[2001:db8::1]:4000".parse().unwrap(), "[2001:db8::2]:4001".parse().unwrap()];
    let now = clock::now();
    capture.record(Transport::Udp, v4[0], v4[1], b"one", now);
    capture.record(Transport::Tcp, v6[0], v6[1], &vec![7; 100_000], now);
    // Between families nothing can have travelled.
    capture.record(Transport::Udp, v4[0], v6[0], b"lie", now);
    capture.tls_secret("CLIENT_RANDOM 00 11");
    let outcome = capture.finish();
    assert_eq!(outcome, CaptureOutcome { packets: 3, left_out: 0, failure: None });
    capture.record(Transport::Udp, v4[0], v4[1], b"too late", now);
    assert_eq!(capture.finish(), CaptureOutcome { left_out: 1, ..outcome });
    drop(capture);
    let blocks = blocks(&std::fs::read(&path).unwrap());
    let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [SECTION, INTERFACE, PACKET, PACKET, PACKET, SECRETS]);
    let udp = &blocks[2].1[20..];
    assert_eq!((udp[0], udp[9], &udp[28..31]), (0x45, 17, &b"one"[..]));
    let tcp = &blocks[3].1[20..];
    assert_eq!((tcp[0] >> 4, tcp[6]), (6, 6));
    let wall = std::fs::metadata(&path).unwrap().modified().unwrap();
    let wall = wall.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let word = |at: usize| u64::from(u32::from_le_bytes(blocks[2].1[at..at + 4].try_into().unwrap()));
    assert!(wall.abs_diff(word(4) << 32 | word(8)) < 60_000_000_000);
    let secrets = &blocks[5].1;
    assert_eq!((&secrets[..4], secrets[4]), (&b"KSLT"[..], 20));
    assert_eq!(&secrets[8..28], b"CLIENT_RANDOM 00 11\n");
}

#[test]
fn keys_go_to_a_side_file_of_the_owner_and_only_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("call.pcapng");
    let capture = Capture::create(&path).unwrap();
    let side = dir.path().join("call.pcapng.keys");
    assert!(!side.exists());
    let [ours, _] = ends();
    capture.keys(KeyOf::SentFrom(ours), "AES_CM_128_HMAC_SHA1_80", "c2VjcmV0").unwrap();
    capture.keys(KeyOf::SentTo(ours), "AES_CM_128_HMAC_SHA1_80", "b3RoZXI=").unwrap();
    let text = std::fs::read_to_string(&side).unwrap();
    assert_eq!(
        text,
        "from 192.0.2.1:5060 a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\n\
         to 192.0.2.1:5060 a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:b3RoZXI=\n"
    );
    #[cfg(unix)]
    for file in [&path, &side] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!format!("{capture:?}").contains("c2Vj"));
}

#[test]
fn a_file_that_is_there_is_emptied_only_when_asked_and_so_are_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("call.pcapng");
    let side = dir.path().join("call.pcapng.keys");
    std::fs::write(&path, "mine").unwrap();
    let refused = Capture::create(&path).unwrap_err();
    assert_eq!((refused.source.kind(), &refused.path), (io::ErrorKind::AlreadyExists, &path));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&side, "old keys").unwrap();
    let refused = Capture::create(&path).unwrap_err();
    assert_eq!((refused.source.kind(), &refused.path), (io::ErrorKind::AlreadyExists, &side));
    assert!(!path.exists(), "nothing was made");
    std::fs::write(&path, vec![0; 10_000]).unwrap();
    drop(Capture::overwrite(&path).unwrap());
    assert_eq!(blocks(&std::fs::read(&path).unwrap()).len(), 2);
    assert!(!side.exists(), "keys of another capture are gone");
    let missing = Capture::create(dir.path().join("no/such/place")).unwrap_err();
    assert!(missing.to_string().starts_with("cannot create the capture "), "{missing}");
}

/// A disk that is full after so many bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_the_capture_is_told_and_holds_nobody_up() {
    let [from, to] = ends();
    let now = clock::now();
    let capture = Capture::write_to(Full(1000), PathBuf::from("unused"), false).unwrap();
    for _ in 0..3 * WAITING {
        capture.record(Transport::Udp, from, to, &[1; 172], now);
    }
    let outcome = capture.finish();
    assert!(outcome.packets < 3 * WAITING as u64, "{outcome:?}");
    assert!(outcome.failure.is_some_and(|why| !why.is_empty()));
    // Not even the head fits: told before anything is sent.
    assert!(Capture::write_to(Full(10), PathBuf::from("unused"), false).is_err());
}
