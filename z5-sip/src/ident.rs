//! The only source of branches, tags, Call-IDs and client nonces.
//!
//! Seeded, so that one number replays a whole run in a test; a product seeds it from the system's secure
//! source. Not a source of keys: those come from the system directly.

use std::fmt;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The magic cookie that opens every branch (RFC 3261 section 8.1.1.7).
pub const BRANCH_COOKIE: &str = "z9hG4bK";

/// 32 letters without vowels, so that no identifier spells a word; 5 bits each.
const ALPHABET: &[u8; 32] = b"0123456789bcdfghjkmnpqrstvwxzBCD";

/// Draws identifiers. RFC 3261 asks for at least 32 bits in a tag; every identifier here carries 80 or more.
#[derive(Clone)]
pub struct Ident {
    source: ChaCha20Rng,
}

impl Ident {
    /// The same seed gives the same identifiers: for tests and replays.
    pub fn from_seed(seed: u64) -> Self {
        Self { source: ChaCha20Rng::seed_from_u64(seed) }
    }

    /// For products: 32 bytes of the system's secure random source.
    pub fn from_entropy(seed: [u8; 32]) -> Self {
        Self { source: ChaCha20Rng::from_seed(seed) }
    }

    /// A branch, cookie included.
    pub fn branch(&mut self) -> String {
        let mut text = String::with_capacity(BRANCH_COOKIE.len() + 20);
        text.push_str(BRANCH_COOKIE);
        self.letters(20, &mut text);
        text
    }

    /// A From or To tag.
    pub fn tag(&mut self) -> String {
        self.word(16)
    }

    /// A Call-ID; carries no host name, which would only tell on the caller.
    pub fn call_id(&mut self) -> String {
        self.word(26)
    }

    /// A client nonce for digest (RFC 7616 section 3.4).
    pub fn cnonce(&mut self) -> String {
        self.word(24)
    }

    /// A server nonce for digest: unguessable, checked by its owner.
    pub fn nonce(&mut self) -> String {
        self.word(32)
    }

    /// A first CSeq: below 2^31 (RFC 3261 section 8.1.1.5), with room to count.
    pub fn cseq(&mut self) -> u32 {
        1 + (self.source.next_u32() >> 18)
    }

    /// A random number for jitter and the like; never for keys.
    pub fn number(&mut self) -> u64 {
        self.source.next_u64()
    }

    /// 96 random bits, as a STUN transaction is known by (RFC 8489 section 5).
    pub fn bits(&mut self) -> [u8; 12] {
        let mut bits = [0; 12];
        self.source.fill_bytes(&mut bits);
        bits
    }

    fn word(&mut self, letters: usize) -> String {
        let mut text = String::with_capacity(letters);
        self.letters(letters, &mut text);
        text
    }

    fn letters(&mut self, letters: usize, text: &mut String) {
        let mut left = letters;
        while left > 0 {
            let mut bits = self.source.next_u64();
            for _ in 0..left.min(12) {
                text.push(char::from(ALPHABET[(bits & 31) as usize]));
                bits >>= 5;
            }
            left = left.saturating_sub(12);
        }
    }
}

impl fmt::Debug for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ident(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let (mut a, mut b) = (Ident::from_seed(7), Ident::from_seed(7));
        assert_eq!(a.branch(), b.branch());
        assert_eq!(a.call_id(), b.call_id());
        assert_ne!(a.tag(), a.tag());
        assert_ne!(a.tag(), Ident::from_seed(8).tag());
    }

    #[test]
    fn identifiers_have_their_length_and_only_token_letters() {
        let mut ident = Ident::from_seed(1);
        let branch = ident.branch();
        assert!(branch.starts_with(BRANCH_COOKIE));
        assert_eq!(branch.len(), 27);
        assert_eq!((ident.tag().len(), ident.call_id().len(), ident.cnonce().len()), (16, 26, 24));
        assert!(ident.nonce().bytes().all(|b| b.is_ascii_alphanumeric()));
        assert!((1..=16_384).contains(&ident.cseq()));
    }
}
