//! The carrier's own certificate authority and the TLS server side (RFC 8446, RFC 5246).
//!
//! One authority and one leaf for all five names, the SIP domain and the addresses, made at start and gone with the carrier. The wrong leaves that
//! faults serve (another authority, expired, another name) are made beside it.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig, crypto::aws_lc_rs};

use crate::fault::CertificateFault;
use crate::names::Names;

/// Why certificates could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The certificate generator refused.
    #[error("making a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused its configuration.
    #[error("TLS server configuration: {0}")]
    Config(#[from] rustls::Error),
}

/// The authority's certificate and a ready acceptor for each kind of leaf.
pub(crate) struct Tls {
    pub(crate) ca_pem: String,
    good: TlsAcceptor,
    unknown_ca: TlsAcceptor,
    expired: TlsAcceptor,
    wrong_name: TlsAcceptor,
    not_yet_valid: TlsAcceptor,
    wrong_purpose: TlsAcceptor,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

impl Tls {
    pub(crate) fn new(names: &Names, places: &[IpAddr]) -> Result<Self, TlsSetupError> {
        let ours = authority("z5 mock carrier CA")?;
        let foreign = authority("another CA")?;
        let mut subjects: Vec<String> = names.all().iter().map(|&name| name.to_owned()).collect();
        // A SIP server is known by the domain that was asked for (RFC 5922 section 4).
        subjects.push(names.domain().to_owned());
        subjects.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
        for place in places.iter().map(IpAddr::to_string) {
            if !subjects.contains(&place) {
                subjects.push(place);
            }
        }
        let valid = leaf(subjects.clone())?;
        let mut future = leaf(subjects.clone())?;
        future.not_before = rcgen::date_time_ymd(4000, 1, 1);
        let mut for_clients = leaf(subjects.clone())?;
        for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let mut past = leaf(subjects)?;
        past.not_after = rcgen::date_time_ymd(2001, 1, 1);
        Ok(Self {
            ca_pem: ours.pem(),
            good: acceptor(&ours, &valid)?,
            unknown_ca: acceptor(&foreign, &valid)?,
            expired: acceptor(&ours, &past)?,
            not_yet_valid: acceptor(&ours, &future)?,
            wrong_purpose: acceptor(&ours, &for_clients)?,
            wrong_name: acceptor(&ours, &leaf(vec!["somebody-else.test".to_owned()])?)?,
        })
    }

    pub(crate) fn acceptor(&self, fault: Option<CertificateFault>) -> TlsAcceptor {
        match fault {
            None => self.good.clone(),
            Some(CertificateFault::UnknownCa) => self.unknown_ca.clone(),
            Some(CertificateFault::Expired) => self.expired.clone(),
            Some(CertificateFault::NotYetValid) => self.not_yet_valid.clone(),
            Some(CertificateFault::WrongPurpose) => self.wrong_purpose.clone(),
            Some(CertificateFault::WrongName) => self.wrong_name.clone(),
        }
    }
}

/// What a handshake led to, as a remark for the record: `[TLS 1.3, TLS13_AES_256_GCM_SHA384]`.
pub(crate) fn negotiated(connection: &rustls::ServerConnection) -> String {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
        Some(_) | None => "of another version",
    };
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    format!("[TLS {version}, {}]", suite.unwrap_or("unknown suite"))
}

fn authority(name: &str) -> Result<Authority, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn leaf(subjects: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(subjects)?;
    params.distinguished_name.push(DnType::CommonName, "z5 mock carrier");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn acceptor(issuer: &Authority, params: &CertificateParams) -> Result<TlsAcceptor, TlsSetupError> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
