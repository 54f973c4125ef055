//! Session keys from the master key (RFC 3711 section 4.3, RFC 6188, RFC 7714 section 11), key derivation rate 0.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use zeroize::Zeroizing;

use super::{KeyError, SrtpSuite};

/// What a derived key is for (RFC 3711 section 4.3.2, table 1 and the SRTCP labels after it).
#[derive(Debug, Clone, Copy)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// AES counter mode with the given key, for packets and for key derivation alike.
pub(super) fn aes_ctr(key: &[u8]) -> Result<EncryptingKey, KeyError> {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    let key = UnboundCipherKey::new(algorithm, key).map_err(|_| KeyError)?;
    EncryptingKey::ctr(key).map_err(|_| KeyError)
}

/// Applies the key stream of `iv` to `data`.
pub(super) fn apply_ctr(key: &EncryptingKey, iv: [u8; 16], data: &mut [u8]) -> Result<(), KeyError> {
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    key.less_safe_encrypt(data, context).map(|_| ()).map_err(|_| KeyError)
}

/// Derives `N` bytes for `label` from master key and salt.
pub(super) fn derive<const N: usize>(
    suite: SrtpSuite,
    key_and_salt: &[u8],
    label: Label,
) -> Result<Zeroizing<[u8; N]>, KeyError> {
    let (key, salt) = key_and_salt.split_at_checked(suite.key_len()).ok_or(KeyError)?;
    // A 96-bit GCM salt stands at the left of the 112 bits (RFC 7714 section 11).
    let mut iv = [0_u8; 16];
    iv.get_mut(..salt.len()).ok_or(KeyError)?.copy_from_slice(salt);
    iv[7] ^= label as u8;
    let mut out = Zeroizing::new([0_u8; N]);
    apply_ctr(&aes_ctr(key)?, iv, &mut out[..])?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::tests::hex;

    /// RFC 3711 appendix B.3.
    #[test]
    fn rfc_3711_key_derivation() {
        let master = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
        let suite = SrtpSuite::AesCm128HmacSha1_80;
        let cipher = derive::<16>(suite, &master, Label::RtpEncryption).unwrap();
        assert_eq!(cipher[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
        let salt = derive::<14>(suite, &master, Label::RtpSalt).unwrap();
        assert_eq!(salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
        let auth = derive::<94>(suite, &master, Label::RtpAuthentication).unwrap();
        assert_eq!(
            auth[..],
            hex(
                "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2"
            )
        );
    }

    /// RFC 3711 appendix B.2: the AES counter mode key stream.
    #[test]
    fn rfc_3711_key_stream() {
        let key = aes_ctr(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
        let mut iv = [0_u8; 16];
        iv[..14].copy_from_slice(&hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"));
        let mut stream = [0_u8; 48];
        apply_ctr(&key, iv, &mut stream).unwrap();
        assert_eq!(
            stream[..],
            hex(
                "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0"
            )
        );
    }

    /// RFC 6188 section 7.2: AES-256 key derivation.
    #[test]
    fn rfc_6188_key_derivation() {
        let master = hex(
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6 3b04803de51ee7c96423ab5b78d2",
        );
        let suite = SrtpSuite::Aes256CmHmacSha1_80;
        let cipher = derive::<32>(suite, &master, Label::RtpEncryption).unwrap();
        assert_eq!(cipher[..], hex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"));
        let salt = derive::<14>(suite, &master, Label::RtpSalt).unwrap();
        assert_eq!(salt[..], hex("fa31791685ca444a9e07c6c64e93"));
        let auth = derive::<20>(suite, &master, Label::RtpAuthentication).unwrap();
        assert_eq!(auth[..], hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
    }
}
