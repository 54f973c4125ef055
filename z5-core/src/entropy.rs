//! The only file of this crate that reads the system's secure random source: keys, SSRCs, the seed of a run.
//!
//! Identifiers that are visible on the wire anyway come from `z5_sip::ident`, seeded once per session.

use zeroize::Zeroizing;

use crate::error::StartError;
use crate::simulation::Dice;

/// Where a session's chance comes from.
#[derive(Debug, Clone)]
pub(crate) enum Entropy {
    /// The system.
    System,
    /// A simulation's seed.
    Seeded(Dice),
}

impl Entropy {
    /// 64 random bits.
    pub(crate) fn number(&self) -> Result<u64, StartError> {
        match self {
            Self::System => number(),
            Self::Seeded(dice) => Ok(dice.number()),
        }
    }

    /// As [`keys`].
    pub(crate) fn keys<const N: usize>(&self) -> Result<Zeroizing<[u8; N]>, StartError> {
        match self {
            Self::System => keys(),
            Self::Seeded(dice) => {
                let mut bytes = Zeroizing::new([0; N]);
                dice.fill(bytes.as_mut_slice());
                Ok(bytes)
            }
        }
    }

    /// As [`uuid`].
    pub(crate) fn uuid(&self) -> Result<String, StartError> {
        let bits = self.keys::<16>()?;
        Ok(uuid_of(*bits))
    }
}

/// Fills `bytes` from the system.
fn fill(bytes: &mut [u8]) -> Result<(), StartError> {
    getrandom::fill(bytes).map_err(|error| StartError::Entropy { why: error.to_string() })
}

/// 64 random bits.
pub(crate) fn number() -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// SRTP master keys and salts (RFC 4568 section 6.1: fresh for every medium of every call).
pub(crate) fn keys<const N: usize>() -> Result<Zeroizing<[u8; N]>, StartError> {
    let mut bytes = Zeroizing::new([0; N]);
    fill(bytes.as_mut_slice())?;
    Ok(bytes)
}

/// A random UUID (RFC 9562 version 4).
pub(crate) fn uuid() -> Result<String, StartError> {
    let mut b = [0; 16];
    fill(&mut b)?;
    Ok(uuid_of(b))
}

/// The UUID of these bits.
pub(crate) fn uuid_of(mut b: [u8; 16]) -> String {
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_uuid_has_its_form() {
        let id = super::uuid().unwrap();
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&id.as_bytes()[19]));
        assert_ne!(id, super::uuid().unwrap());
    }
}
