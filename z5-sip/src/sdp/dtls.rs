//! Keys by DTLS-SRTP in the session description (RFC 5763, RFC 8842): `a=fingerprint` (RFC 8122), `a=setup` (RFC 4145) and
//! `a=tls-id` (RFC 8842), each of the line or of the whole session.
//!
//! The handshake and its certificate are the application's: it says what it has, and hears whom to expect and who begins. One
//! fingerprint of theirs that can be checked is enough; those by MD5, MD2 or SHA-1 are no proof of anything and count as none.
//! `a=connection` is not looked at: it has no meaning here (RFC 8842 section 3).

use std::fmt;

use sdp_types::{Attribute, Media, Session};

/// A hash that shows which certificate is meant (RFC 8122 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FingerprintHash {
    /// `sha-256`
    Sha256,
    /// `sha-384`
    Sha384,
    /// `sha-512`
    Sha512,
}

impl FingerprintHash {
    /// Every hash that is taken as a proof.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name in the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// Bytes of its value.
    #[must_use]
    pub fn value_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// The hash of a certificate in DER: who shows another certificate in the handshake is not who is meant.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: FingerprintHash,
    value: Vec<u8>,
}

impl Fingerprint {
    /// Of the value that the hash gave.
    ///
    /// # Errors
    /// [`DtlsError::FingerprintLength`] when it has not [`FingerprintHash::value_len`] bytes.
    pub fn new(hash: FingerprintHash, value: &[u8]) -> Result<Self, DtlsError> {
        if value.len() != hash.value_len() {
            return Err(DtlsError::FingerprintLength { expected: hash.value_len(), found: value.len() });
        }
        Ok(Self { hash, value: value.to_vec() })
    }

    /// Which hash.
    #[must_use]
    pub fn hash(&self) -> FingerprintHash {
        self.hash
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Reads the value of an attribute: `sha-256 12:DF:...`.
    fn parse(text: &str) -> Result<Self, DtlsError> {
        let (name, hex) = text.trim().split_once(' ').ok_or(DtlsError::Fingerprint)?;
        let hash = FingerprintHash::ALL.into_iter().find(|hash| name.eq_ignore_ascii_case(hash.as_str()));
        let unknown = || DtlsError::Hash { name: shown(name) };
        let hash = hash.ok_or_else(unknown)?;
        let byte = |pair: &str| {
            let digits = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            digits.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        };
        let value: Option<Vec<u8>> = hex.trim().split(':').map(byte).collect();
        Self::new(hash, &value.ok_or(DtlsError::Fingerprint)?)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.as_str())?;
        for (index, byte) in self.value.iter().enumerate() {
            write!(f, "{}{byte:02X}", if index == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What this end brings to a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DtlsIdentity {
    fingerprints: Vec<Fingerprint>,
    tls_id: Option<String>,
}

impl DtlsIdentity {
    /// A certificate with this fingerprint.
    #[must_use]
    pub fn new(fingerprint: Fingerprint) -> Self {
        Self { fingerprints: vec![fingerprint], tls_id: None }
    }

    /// The same with the name of this association (RFC 8842 section 4): another one in a later offer or answer asks for a new
    /// handshake.
    ///
    /// # Errors
    /// [`DtlsError::TlsId`] when it is not 20 to 255 letters, digits, `+`, `/`, `-` or `_`.
    pub fn with_tls_id(mut self, tls_id: &str) -> Result<Self, DtlsError> {
        self.tls_id = Some(read_tls_id(tls_id).ok_or(DtlsError::TlsId)?);
        Ok(self)
    }

    /// The attributes of our line.
    pub(super) fn write(&self, line: &mut Media, setup: Setup) {
        let mut push = |name: &str, value: String| {
            line.attributes.push(Attribute { attribute: name.to_owned(), value: Some(value) });
        };
        for fingerprint in &self.fingerprints {
            push("fingerprint", fingerprint.to_string());
        }
        push("setup", setup.as_str().to_owned());
        if let Some(tls_id) = &self.tls_id {
            push("tls-id", tls_id.clone());
        }
    }
}

/// A token of theirs as it may be shown.
fn shown(token: &str) -> String {
    token.chars().filter(char::is_ascii_graphic).take(20).collect()
}

fn read_tls_id(text: &str) -> Option<String> {
    let fits = (20..=255).contains(&text.len());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    (fits && text.bytes().all(plain)).then(|| text.to_owned())
}

/// Who begins the handshake (RFC 4145 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Setup {
    Active,
    Passive,
    Either,
}

impl Setup {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::Either => "actpass",
        }
    }
}

/// What we are in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DtlsRole {
    /// We begin it.
    Client,
    /// The far end begins it.
    Server,
}

impl DtlsRole {
    /// What our answer says of it.
    pub(super) fn setup(self) -> Setup {
        match self {
            Self::Client => Setup::Active,
            Self::Server => Setup::Passive,
        }
    }
}

/// A handshake that both agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiatedDtls {
    /// Who begins.
    pub role: DtlsRole,
    /// What their certificate has to match: one of these is enough. Never empty.
    pub fingerprints: Vec<Fingerprint>,
    /// Their name of the association; another one than before asks for a new handshake.
    pub tls_id: Option<String>,
}

/// What a line says of its handshake, for showing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedDtls {
    /// The fingerprints that can be checked.
    pub fingerprints: Vec<Fingerprint>,
    /// Why each other one cannot.
    pub refused: Vec<DtlsError>,
    /// `active`, `passive`, `actpass` or another token, as written.
    pub setup: Option<String>,
}

/// Why a line that is keyed by DTLS cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DtlsError {
    /// There is no fingerprint at all.
    #[error("it has no fingerprint")]
    NoFingerprint,
    /// The attribute is malformed.
    #[error("the fingerprint is no hash and its value in pairs of hex digits")]
    Fingerprint,
    /// A hash that proves nothing, or is not known.
    #[error("a fingerprint by {name:?} proves nothing")]
    Hash {
        /// Its name.
        name: String,
    },
    /// A value that this hash does not give.
    #[error("the fingerprint has {found} bytes where the hash gives {expected}")]
    FingerprintLength {
        /// What it gives.
        expected: usize,
        /// What was written.
        found: usize,
    },
    /// Neither end would begin, both would, or the token is not known.
    #[error("nobody can begin the handshake: setup is {setup:?}")]
    Setup {
        /// As written.
        setup: String,
    },
    /// The name of an association is malformed.
    #[error("the tls-id is not 20 to 255 letters, digits, +, /, - or _")]
    TlsId,
}

/// A value of the line, else of the session.
fn value<'a>(session: &'a Session, media: &'a Media, name: &str) -> Option<&'a str> {
    all(session, media, name).next()
}

/// All values of the line, else of the session.
fn all<'a>(session: &'a Session, media: &'a Media, name: &str) -> impl Iterator<Item = &'a str> {
    let named = |attribute: &&Attribute| attribute.attribute.eq_ignore_ascii_case(name);
    let own = media.attributes.iter().any(|attribute| named(&attribute));
    let attributes = if own { &media.attributes } else { &session.attributes };
    let name = name.to_owned();
    attributes
        .iter()
        .filter(move |attribute| attribute.attribute.eq_ignore_ascii_case(&name))
        .filter_map(|attribute| attribute.value.as_deref())
}

/// Whether a line carries a fingerprint, its own or the session's.
pub(super) fn has_fingerprint(session: &Session, media: &Media) -> bool {
    value(session, media, "fingerprint").is_some()
}

/// What a line says of its handshake; `None` without a fingerprint.
pub(super) fn offered(session: &Session, media: &Media) -> Option<OfferedDtls> {
    if !has_fingerprint(session, media) {
        return None;
    }
    let (fingerprints, refused) = fingerprints(session, media);
    let setup = value(session, media, "setup").map(shown);
    Some(OfferedDtls { fingerprints, refused, setup })
}

fn fingerprints(session: &Session, media: &Media) -> (Vec<Fingerprint>, Vec<DtlsError>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for text in all(session, media, "fingerprint") {
        match Fingerprint::parse(text) {
            Ok(fingerprint) => good.push(fingerprint),
            Err(error) => bad.push(error),
        }
    }
    (good, bad)
}

/// The handshake of a line that was offered to us. What was agreed before holds on while the far end means the same
/// association (RFC 8842 section 5.3).
///
/// # Errors
/// Why there can be none.
pub(super) fn answered(
    session: &Session,
    media: &Media,
    before: Option<&NegotiatedDtls>,
) -> Result<NegotiatedDtls, DtlsError> {
    let said = value(session, media, "setup").map(str::trim);
    let theirs = read(session, media)?;
    let same =
        before.filter(|before| before.fingerprints == theirs.fingerprints && before.tls_id == theirs.tls_id);
    let role = match said.map(str::to_ascii_lowercase).as_deref() {
        // RFC 4145 section 4: who says nothing in an offer begins.
        Some("active") | None => DtlsRole::Server,
        Some("passive") => DtlsRole::Client,
        // RFC 5763 section 5: the answerer had better begin, so that nothing is lost before its answer arrives.
        Some("actpass") => same.map_or(DtlsRole::Client, |before| before.role),
        Some(_) => return Err(DtlsError::Setup { setup: said.map(shown).unwrap_or_default() }),
    };
    Ok(NegotiatedDtls { role, ..theirs })
}

/// Whether a line means another association than the one that stands.
pub(super) fn is_another(session: &Session, media: &Media, agreed: &NegotiatedDtls) -> bool {
    read(session, media)
        .is_ok_and(|theirs| theirs.fingerprints != agreed.fingerprints || theirs.tls_id != agreed.tls_id)
}

/// The handshake of a line that we offered with `actpass`, as its answer says.
///
/// # Errors
/// Why there can be none.
pub(super) fn accepted(session: &Session, media: &Media) -> Result<NegotiatedDtls, DtlsError> {
    let said = value(session, media, "setup").map(str::trim);
    let role = match said.map(str::to_ascii_lowercase).as_deref() {
        Some("active") => DtlsRole::Server,
        // Who says nothing in an answer waits.
        Some("passive") | None => DtlsRole::Client,
        Some(_) => return Err(DtlsError::Setup { setup: said.map(shown).unwrap_or_default() }),
    };
    Ok(NegotiatedDtls { role, ..read(session, media)? })
}

fn read(session: &Session, media: &Media) -> Result<NegotiatedDtls, DtlsError> {
    let (fingerprints, mut refused) = fingerprints(session, media);
    if fingerprints.is_empty() {
        return Err(if refused.is_empty() { DtlsError::NoFingerprint } else { refused.remove(0) });
    }
    let tls_id = match value(session, media, "tls-id") {
        Some(text) => Some(read_tls_id(text.trim()).ok_or(DtlsError::TlsId)?),
        None => None,
    };
    Ok(NegotiatedDtls { role: DtlsRole::Client, fingerprints, tls_id })
}
