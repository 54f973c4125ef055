//! TLS for SIP: whom we believe, and that the certificate is for the SIP domain (RFC 5922); and what a failed handshake says,
//! in the words of the session.
//!
//! HTTPS has its own client (`https`); both believe the same authorities.

use std::error::Error;
use std::sync::{Arc, OnceLock, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore,
    SignatureScheme,
};
use tokio_rustls::TlsConnector;
use z5_media::capture::Capture;

use super::tap::Secrets;
use crate::config::Tls;
use crate::error::TlsFailure;

/// The authorities of the configuration, read when the first TLS flow is made.
pub(super) struct Trust {
    tls: Tls,
    /// Where the secrets of connections go.
    capture: Option<Arc<Capture>>,
    connector: OnceLock<Result<TlsConnector, String>>,
}

impl Trust {
    pub(super) fn new(tls: &Tls, capture: Option<Arc<Capture>>) -> Self {
        Self { tls: tls.clone(), capture, connector: OnceLock::new() }
    }

    /// What makes connections to a server whose certificate must be for this name or address.
    pub(super) fn for_name(&self, name: &str) -> Result<(TlsConnector, ServerName<'static>), String> {
        let connector = self.connector.get_or_init(|| connector(&self.tls, self.capture.clone())).clone()?;
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("`{name}` cannot stand in a certificate"))?;
        Ok((connector, name))
    }
}

fn connector(tls: &Tls, capture: Option<Arc<Capture>>) -> Result<TlsConnector, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let named = |why| match &tls.ca_file {
        Some(file) => format!("{}: {why}", file.display()),
        None => why,
    };
    connector_with(Arc::new(verifier(tls, &provider).map_err(named)?), provider, capture)
}

fn verifier(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<SipVerifier, String> {
    match tls.authorities().map_err(|why| why.to_string())? {
        Some(pem) => SipVerifier::believing(&pem, provider),
        None => {
            let system = rustls_platform_verifier::Verifier::new(Arc::clone(provider))
                .map_err(|error| error.to_string())?;
            Ok(SipVerifier { inner: Arc::new(system), chain_first: cfg!(target_os = "linux") })
        }
    }
}

fn connector_with(
    verifier: Arc<dyn ServerCertVerifier>,
    provider: Arc<CryptoProvider>,
    capture: Option<Arc<Capture>>,
) -> Result<TlsConnector, String> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    if let Some(capture) = capture {
        config.key_log = Arc::new(Secrets(capture));
    }
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Whose rules a certificate's names are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// RFC 9110 section 4.3.4: wildcards count.
    OfHttps,
    /// RFC 5922: they do not.
    OfSip,
}

/// Makes connections that remember the certificate they were shown, good or not: for preflight, never for a session.
#[derive(Clone)]
pub(super) struct Recording {
    verifier: Arc<dyn ServerCertVerifier>,
    provider: Arc<CryptoProvider>,
}

impl Recording {
    pub(super) fn new(tls: &Tls, names: Names) -> Result<Self, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let sip = verifier(tls, &provider)?;
        let verifier = match names {
            Names::OfHttps => sip.inner,
            Names::OfSip => Arc::new(sip),
        };
        Ok(Self { verifier, provider })
    }

    /// For one connection: what it is shown goes to `shown`.
    pub(super) fn for_name(
        &self,
        name: &str,
        shown: &super::probe::Shown,
    ) -> Result<(TlsConnector, ServerName<'static>), String> {
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("`{name}` cannot stand in a certificate"))?;
        let verifier = Witness { inner: Arc::clone(&self.verifier), shown: Arc::clone(shown) };
        Ok((connector_with(Arc::new(verifier), Arc::clone(&self.provider), None)?, server))
    }
}

/// Judges as its inner verifier does and writes down what it saw.
#[derive(Debug)]
struct Witness {
    inner: Arc<dyn ServerCertVerifier>,
    shown: super::probe::Shown,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        let names = webpki::EndEntityCert::try_from(end_entity)
            .map(|certificate| certificate.valid_dns_names().map(str::to_owned).collect())
            .unwrap_or_default();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((end_entity.clone().into_owned(), names));
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Verifies the chain as TLS does, and the name as SIP does.
#[derive(Debug)]
struct SipVerifier {
    inner: Arc<dyn ServerCertVerifier>,
    /// The inner verifier looks at the name only when the chain is good. Only then may a wrong name be forgiven for a URI.
    chain_first: bool,
}

impl SipVerifier {
    /// Believes these authorities alone.
    fn believing(pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { inner, chain_first: true })
    }
}

/// RFC 5922 section 7.1 and 7.2: the identities of a certificate are its `sip` URIs without a user and its DNS names; they are
/// compared whole and without letter case, so that a wildcard matches nothing.
fn is_for_domain(certificate: &CertificateDer<'_>, domain: &str) -> bool {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return false };
    let same = |identity: &str| identity.trim_end_matches('.').eq_ignore_ascii_case(domain);
    certificate.valid_uri_names().filter_map(sip_host).any(same) || certificate.valid_dns_names().any(same)
}

fn sip_host(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    scheme.eq_ignore_ascii_case("sip").then_some(rest)
}

impl ServerCertVerifier for SipVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        let verdict =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let ServerName::DnsName(domain) = server_name else { return verdict };
        let domain = domain.as_ref();
        match verdict {
            Ok(verified) if is_for_domain(end_entity, domain) => Ok(verified),
            Ok(_) => Err(CertificateError::NotValidForName.into()),
            Err(RustlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.chain_first && is_for_domain(end_entity, domain) => {
                Ok(ServerCertVerified::assertion())
            }
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

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

    /// Whether a certificate with these names, from an authority that is believed, is good for a SIP server of `name`.
    fn good_for(names: Vec<rcgen::SanType>, name: &str) -> Result<(), TlsFailure> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = rcgen::CertifiedIssuer::self_signed(authority, key).unwrap();
        let mut leaf = rcgen::CertificateParams::new(Vec::new()).unwrap();
        leaf.subject_alt_names = names;
        let leaf = leaf.signed_by(&rcgen::KeyPair::generate().unwrap(), &authority).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = SipVerifier::believing(authority.pem().as_bytes(), &provider).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
        let verdict = verifier.verify_server_cert(leaf.der(), &[], &name, &[], now);
        verdict.map(|_| ()).map_err(|error| failure(&std::io::Error::other(error)).unwrap())
    }

    /// RFC 5922 section 7: which identities count and how they are compared.
    #[test]
    fn a_certificate_is_for_the_sip_domain_by_dns_name_or_by_uri() {
        let dns = |name: &str| rcgen::SanType::DnsName(name.try_into().unwrap());
        let uri = |name: &str| rcgen::SanType::URI(name.try_into().unwrap());
        assert_eq!(good_for(vec![dns("sip.example")], "sip.example"), Ok(()));
        assert_eq!(good_for(vec![dns("SIP.Example")], "sip.example"), Ok(()));
        assert_eq!(good_for(vec![uri("sip:sip.example")], "sip.example"), Ok(()));
        assert_eq!(good_for(vec![dns("host.example"), uri("SIP:sip.example")], "sip.example"), Ok(()));
        let wrong = Err(TlsFailure::WrongName);
        assert_eq!(good_for(vec![dns("other.example")], "sip.example"), wrong);
        assert_eq!(good_for(vec![dns("*.example")], "sip.example"), wrong, "no wildcards in SIP");
        assert_eq!(
            good_for(vec![uri("sip:alice@sip.example")], "sip.example"),
            wrong,
            "a person is no domain"
        );
        assert_eq!(good_for(vec![uri("https://sip.example")], "sip.example"), wrong);
        let ip = |text: &str| rcgen::SanType::IpAddress(text.parse().unwrap());
        assert_eq!(good_for(vec![ip("192.0.2.1")], "192.0.2.1"), Ok(()));
        assert_eq!(good_for(vec![ip("2001:db8::1")], "2001:db8::1"), Ok(()));
        assert_eq!(good_for(vec![ip("192.0.2.2")], "192.0.2.1"), wrong);
        assert_eq!(good_for(vec![dns("sip.example")], "192.0.2.1"), wrong);
    }
}
