//! The form of a record at rest: a line that says what it is, then a nonce and the record sealed with AES-256-GCM (RFC 5116).
//!
//! ```text
//! z5-store 1 contacts\n   12 bytes of nonce   sealed record with its tag of 16 bytes
//! ```
//! The line is authenticated with the record, so that no record passes for one of another kind or version. An old record that somebody
//! puts in the place of a newer one is not noticed.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use super::{Kind, StoreKey};

/// The form that this program writes.
pub(super) const FORMAT: u32 = 1;
/// The longest first line: "z5-store 4294967295 configuration\n".
const MAX_LINE: usize = 40;
const MAGIC: &str = "z5-store";

/// Why a sealed record cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// Not what was written.
    Damaged(&'static str),
    /// A form that only a later program knows.
    Newer(u32),
}

/// Seals a record.
pub(super) fn seal(key: &StoreKey, kind: Kind, record: &[u8]) -> Option<Vec<u8>> {
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, key.expose()).ok()?;
    let mut out = format!("{MAGIC} {FORMAT} {}\n", kind.name()).into_bytes();
    let mut sealed = Zeroizing::new(record.to_vec());
    // Room for the tag: the plain record must not stay behind in memory that was given back.
    sealed.reserve_exact(AES_256_GCM.tag_len());
    let nonce = cipher.seal_in_place_append_tag(Aad::from(out.as_slice()), &mut *sealed).ok()?;
    out.extend_from_slice(nonce.as_ref());
    out.extend_from_slice(&sealed);
    Some(out)
}

/// Opens what [`seal`] made.
pub(super) fn open(key: &StoreKey, kind: Kind, bytes: &[u8]) -> Result<Vec<u8>, Broken> {
    let line = judge(kind, bytes)?;
    let (line, rest) = bytes.split_at(line);
    let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(Broken::Damaged("it is cut off"))?;
    let altered = |_| Broken::Damaged("it was altered, or sealed with another key");
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, key.expose()).map_err(altered)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(altered)?;
    let mut record = sealed.to_vec();
    let len = cipher.open_in_place(nonce, Aad::from(line), &mut record).map_err(altered)?.len();
    record.truncate(len);
    Ok(record)
}

/// The length of the first line of a record of this kind in a form that we know.
pub(super) fn judge(kind: Kind, bytes: &[u8]) -> Result<usize, Broken> {
    let end = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
    let end = end.ok_or(Broken::Damaged("it does not begin as a record of z5 does"))?;
    let line = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
    let mut words = line.split(' ');
    let (magic, version, name) = (words.next(), words.next(), words.next());
    let version = version.and_then(|text| text.parse::<u32>().ok());
    match (magic, version, name) {
        (Some(MAGIC), Some(version), _) if version > FORMAT => Err(Broken::Newer(version)),
        (Some(MAGIC), Some(FORMAT), Some(name)) if name == kind.name() && words.next().is_none() => {
            Ok(end + 1)
        }
        (Some(MAGIC), Some(_), Some(_)) => Err(Broken::Damaged("it is a record of another kind")),
        _ => Err(Broken::Damaged("it does not begin as a record of z5 does")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"z5-store 1 licence\n";

    #[test]
    fn what_is_sealed_is_opened_with_the_same_key_and_kind_only() {
        let (key, other) = (StoreKey::new([1; 32]), StoreKey::new([2; 32]));
        let sealed = seal(&key, Kind::Licence, b"the licence").unwrap();
        assert!(!sealed[LINE.len()..].windows(7).any(|bytes| bytes == b"licence"));
        assert_eq!(open(&key, Kind::Licence, &sealed).unwrap(), b"the licence");
        assert!(matches!(open(&other, Kind::Licence, &sealed), Err(Broken::Damaged(_))));
        assert!(matches!(open(&key, Kind::History, &sealed), Err(Broken::Damaged(_))));
        let renamed = [b"z5-store 1 history\n", &sealed[LINE.len()..]].concat();
        assert!(matches!(open(&key, Kind::History, &renamed), Err(Broken::Damaged(_))));
        assert_ne!(sealed, seal(&key, Kind::Licence, b"the licence").unwrap(), "a nonce of its own");
    }

    #[test]
    fn every_bit_counts_and_no_length_is_too_short_to_be_judged() {
        let key = StoreKey::new([1; 32]);
        let sealed = seal(&key, Kind::History, b"calls").unwrap();
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(open(&key, Kind::History, &altered).is_err(), "byte {at}");
            assert!(open(&key, Kind::History, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_form_of_later_programs_is_known_as_such() {
        let key = StoreKey::new([1; 32]);
        assert_eq!(open(&key, Kind::History, b"z5-store 2 history\nwhatever"), Err(Broken::Newer(2)));
        assert_eq!(open(&key, Kind::History, b"z5-store 7 no such kind yet\n"), Err(Broken::Newer(7)));
    }
}
