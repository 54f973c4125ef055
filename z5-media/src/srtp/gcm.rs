//! AES-GCM keys at a place we know (aws-lc's `EVP_AEAD_CTX`), so that they can be asked for before their packet's turn:
//! decision 13. aws-lc-rs has the same context behind a pointer of its own.
//!
//! The only file of the SRTP layer with `unsafe`. It knows nothing of packets: nonce, what is authenticated, what is encrypted.
#![expect(unsafe_code, reason = "aws-lc's safe form hides where its keys lie; see the SAFETY comments")]

use std::ptr;

use aws_lc_sys::{
    CRYPTO_library_init, EVP_AEAD_CTX, EVP_AEAD_CTX_cleanup, EVP_AEAD_CTX_init, EVP_AEAD_CTX_open_gather,
    EVP_AEAD_CTX_seal_scatter, EVP_AEAD_CTX_zero, EVP_aead_aes_128_gcm, EVP_aead_aes_256_gcm,
    OPENSSL_cleanse,
};

use super::KeyError;
use crate::prefetch::prefetch;

/// Bytes of a tag.
pub(super) const TAG: usize = 16;
/// Bytes of a nonce.
const NONCE: usize = 12;

/// What the library has made of a key (round keys, powers for GHASH), from the beginning of a line on. It owns no other memory.
#[repr(align(64))]
struct Context(EVP_AEAD_CTX);

/// A key of AES-128-GCM or AES-256-GCM. Wiped on drop. It never moves, though the library would allow it.
pub(super) struct GcmKey(Box<Context>);

// SAFETY: the context holds round keys, tables and pointers to static functions, nothing that belongs to a thread; aws-lc says of
// these algorithms that one context may seal and open in several threads at once (openssl/aead.h, EVP_AEAD_CTX_seal), and
// nothing here changes it between `new` and `drop`.
unsafe impl Send for GcmKey {}
// SAFETY: as above.
unsafe impl Sync for GcmKey {}

impl GcmKey {
    /// Of 16 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Result<Self, KeyError> {
        // SAFETY: these may be called at any time; the algorithms they return are static.
        let algorithm = unsafe {
            CRYPTO_library_init();
            match key.len() {
                16 => EVP_aead_aes_128_gcm(),
                32 => EVP_aead_aes_256_gcm(),
                _ => return Err(KeyError),
            }
        };
        let mut context = Box::<Context>::new_uninit();
        // SAFETY: the context is live, aligned and of the library's own size. All of it is written (with zeros, which are
        // valid for a C structure of integers and pointers) before it is taken as initialised.
        let mut context = unsafe {
            EVP_AEAD_CTX_zero(&raw mut (*context.as_mut_ptr()).0);
            context.assume_init()
        };
        // SAFETY: a zeroed context; the key is live and of the given length, which is the algorithm's; there is no engine.
        let done = unsafe {
            EVP_AEAD_CTX_init(&raw mut context.0, algorithm, key.as_ptr(), key.len(), TAG, ptr::null_mut())
        };
        // A context that could not be made is a zeroed one to `drop`.
        let key = Self(context);
        if done == 1 { Ok(key) } else { Err(KeyError) }
    }

    /// Encrypts `plain` in place and writes the tag over it and `aad`.
    pub(super) fn seal(
        &self,
        nonce: &[u8; NONCE],
        aad: &[u8],
        plain: &mut [u8],
        tag: &mut [u8; TAG],
    ) -> Result<(), KeyError> {
        let (text, mut written) = (plain.as_mut_ptr(), 0);
        // SAFETY: the context is initialised. All pointers are live for the call with the lengths beside them; input and output
        // are the same bytes, which the library allows, and come from one pointer; the tag lies elsewhere, as two exclusive
        // borrows do; there is no extra input.
        let done = unsafe {
            EVP_AEAD_CTX_seal_scatter(
                &raw const self.0.0,
                text,
                tag.as_mut_ptr(),
                &raw mut written,
                TAG,
                nonce.as_ptr(),
                NONCE,
                text,
                plain.len(),
                ptr::null(),
                0,
                aad.as_ptr(),
                aad.len(),
            )
        };
        if done == 1 && written == TAG { Ok(()) } else { Err(KeyError) }
    }

    /// Decrypts `text` in place if `tag` is that over it and `aad`. Otherwise `text` is zeros afterwards.
    pub(super) fn open(
        &self,
        nonce: &[u8; NONCE],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG],
    ) -> Result<(), KeyError> {
        let (bytes, len) = (text.as_mut_ptr(), text.len());
        // SAFETY: as for `seal`; the tag is only read.
        let done = unsafe {
            EVP_AEAD_CTX_open_gather(
                &raw const self.0.0,
                bytes,
                nonce.as_ptr(),
                NONCE,
                bytes,
                len,
                tag.as_ptr(),
                TAG,
                aad.as_ptr(),
                aad.len(),
            )
        };
        if done == 1 { Ok(()) } else { Err(KeyError) }
    }

    /// Asks for its lines: every packet needs them all.
    pub(super) fn prefetch(&self) {
        prefetch(&*self.0, size_of::<Context>());
    }
}

impl Drop for GcmKey {
    fn drop(&mut self) {
        let context = &raw mut self.0.0;
        // SAFETY: initialised, or zeroed, which the library takes for cleaned up; not used again. Zeros are valid for it.
        unsafe {
            EVP_AEAD_CTX_cleanup(context);
            OPENSSL_cleanse(context.cast(), size_of::<EVP_AEAD_CTX>());
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_has_sixteen_or_thirty_two_bytes() {
        for len in 0..64 {
            assert_eq!(GcmKey::new(&[7; 64][..len]).is_ok(), len == 16 || len == 32, "{len}");
        }
    }

    proptest! {
        /// The library's safe form seals the same, and what was changed in any place opens in neither.
        #[test]
        fn it_seals_and_opens_as_the_safe_form_of_the_library_does(
            key in prop::collection::vec(any::<u8>(), 32),
            long in any::<bool>(),
            nonce in any::<[u8; 12]>(),
            aad in prop::collection::vec(any::<u8>(), 0..40),
            clear in prop::collection::vec(any::<u8>(), 0..1500),
            flip in any::<prop::sample::Index>(),
        ) {
            let (key, algorithm) = if long { (&key[..], &AES_256_GCM) } else { (&key[..16], &AES_128_GCM) };
            let safe = LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap());
            let ours = GcmKey::new(key).unwrap();
            let mut theirs = clear.clone();
            let wanted = safe
                .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&aad), &mut theirs)
                .unwrap();
            let (mut sealed, mut tag) = (clear.clone(), [0; TAG]);
            ours.seal(&nonce, &aad, &mut sealed, &mut tag).unwrap();
            prop_assert_eq!(&sealed, &theirs);
            prop_assert_eq!(&tag[..], wanted.as_ref());

            let mut all = [&aad[..], &sealed, &tag].concat();
            all[flip.index(aad.len() + sealed.len() + TAG)] ^= 1;
            let (forged_aad, rest) = all.split_at_mut(aad.len());
            let (text, forged_tag) = rest.split_last_chunk_mut::<TAG>().unwrap();
            prop_assert_eq!(ours.open(&nonce, forged_aad, text, forged_tag), Err(KeyError));
            prop_assert!(text.iter().all(|byte| *byte == 0));

            ours.open(&nonce, &aad, &mut sealed, &tag).unwrap();
            prop_assert_eq!(sealed, clear);
        }
    }
}
