//! HMAC-SHA1 (RFC 3711 section 4.2.1) whose keyed inner and outer states are computed once per key.
//!
//! A packet then costs its own blocks and one more, and no allocation: a voice packet is so short that making and
//! wiping a context of the cryptographic library costs more than hashing it.

use hmac::{Hmac, KeyInit, Mac as _};
use sha1::Sha1;

use super::KeyError;

/// Bytes of a whole tag.
pub(super) const TAG: usize = 20;

/// A key with its states.
#[derive(Clone)]
pub(super) struct Mac(Hmac<Sha1>);

impl Mac {
    pub(super) fn new(key: &[u8]) -> Result<Self, KeyError> {
        Hmac::new_from_slice(key).map(Self).map_err(|_| KeyError)
    }

    /// The tag of `first` and `second` one after the other.
    pub(super) fn sign(&self, first: &[u8], second: &[u8]) -> [u8; TAG] {
        let mut state = self.0.clone();
        state.update(first);
        state.update(second);
        state.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::tests::hex;

    /// RFC 2202 section 3, test cases 1, 2 and 6.
    #[test]
    fn rfc_2202_vectors() {
        let tag = |key: &[u8], data: &[u8]| {
            let mac = Mac::new(key).unwrap();
            let whole = mac.sign(data, &[]);
            let (first, second) = data.split_at(data.len() / 3);
            assert_eq!(mac.sign(first, second), whole);
            whole.to_vec()
        };
        assert_eq!(tag(&[0x0b; 20], b"Hi There"), hex("b617318655057264e28bc0b6fb378c8ef146be00"));
        let asked = tag(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(asked, hex("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"));
        let long = tag(&[0xaa; 80], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(long, hex("aa4ae5e15272d00e95705637ce8a3b55ed402112"));
    }
}
