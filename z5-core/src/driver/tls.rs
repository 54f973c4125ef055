//! What a failed TLS handshake says, in the words of the session.

use std::error::Error;

use rustls::{CertificateError, Error as RustlsError};

use crate::error::TlsFailure;

/// Looks for a TLS error in a chain of causes.
pub(super) fn failure(error: &(dyn Error + 'static)) -> Option<TlsFailure> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<RustlsError>() {
            return Some(classify(tls));
        }
        // An io::Error hides its inner error from `source` when it is the outermost.
        // What an io::Error wraps is not its `source`, which is the source of the wrapped one.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn classify(error: &RustlsError) -> TlsFailure {
    let RustlsError::InvalidCertificate(why) = error else { return TlsFailure::Protocol };
    // an authority of the same name with another key is as unknown as any other
    if matches!(why, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
        TlsFailure::UnknownIssuer
    } else if matches!(why, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
        TlsFailure::Expired
    } else if matches!(why, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) {
        TlsFailure::NotYetValid
    } else if matches!(
        why,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    ) {
        TlsFailure::WrongName
    } else if matches!(why, CertificateError::Revoked) {
        TlsFailure::Revoked
    } else {
        TlsFailure::BadCertificate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_certificate_error_has_its_words() {
        let of = |why| failure(&std::io::Error::other(RustlsError::InvalidCertificate(why)));
        assert_eq!(of(CertificateError::UnknownIssuer), Some(TlsFailure::UnknownIssuer));
        assert_eq!(of(CertificateError::BadSignature), Some(TlsFailure::UnknownIssuer));
        assert_eq!(of(CertificateError::Expired), Some(TlsFailure::Expired));
        assert_eq!(of(CertificateError::NotValidYet), Some(TlsFailure::NotYetValid));
        assert_eq!(of(CertificateError::NotValidForName), Some(TlsFailure::WrongName));
        assert_eq!(of(CertificateError::BadEncoding), Some(TlsFailure::BadCertificate));
        assert_eq!(failure(&RustlsError::HandshakeNotComplete), Some(TlsFailure::Protocol));
        assert_eq!(failure(&std::io::Error::other("no TLS")), None);
        let twice = std::io::Error::other(std::io::Error::other(RustlsError::HandshakeNotComplete));
        assert_eq!(failure(&twice), Some(TlsFailure::Protocol));
    }
}
