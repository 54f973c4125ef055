//! A session description as a lossless container (RFC 8866): parsed once, kept whole, printed line for line.
//!
//! Text in another charset than UTF-8 is read byte by byte as Latin-1, so that no call fails over a session name.
//! The container's own typed attributes are not used: what z5 reads is in `formats`.

use std::fmt;
use std::net::IpAddr;

use sdp_types::{ParserError, Session};

use super::capability::{Capabilities, MediaCapability, MediaKind};
use super::dtls;
use super::feedback::{self, Feedback};
use super::formats::{self, Profile};
use super::negotiated::{Negotiated, OfferSummary, OfferedMedia};
use super::{printing, reading};

/// The identity of our description (the `o=` line): one id per dialog, a version that grows with every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Constant for the dialog.
    pub id: u64,
    /// Grows by one with every description that differs from the one before (RFC 3264 section 8).
    pub version: u64,
}

/// A session description.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionDescription {
    pub(super) session: Session,
}

impl SessionDescription {
    /// Reads a description.
    ///
    /// # Errors
    /// [`SdpError`] with the line where the text stops making sense.
    pub fn parse(bytes: &[u8]) -> Result<Self, SdpError> {
        let parsed = match std::str::from_utf8(bytes) {
            Ok(text) => match reading::read(text) {
                Some(session) => Ok(session),
                None => Session::parse(bytes),
            },
            Err(_) => {
                let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
                Session::parse(text.as_bytes())
            }
        };
        parsed.map(|session| Self { session }).map_err(|error| SdpError::new(&error))
    }

    /// Prints the description.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        if !printing::print(&self.session, &mut bytes) {
            // Writing into a vector cannot fail.
            let _ = self.session.write(&mut bytes);
        }
        bytes
    }

    /// The container, for whoever wants to see more than z5 negotiates.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What is offered, without the text.
    #[must_use]
    pub fn summary(&self) -> OfferSummary {
        let media = self.session.medias.iter().map(|media| OfferedMedia {
            kind: MediaKind::from_token(&media.media),
            proto: media.proto.clone(),
            codecs: formats::of_line(media).iter().map(formats::Format::label).collect(),
            direction: formats::direction(&self.session, media),
            encrypted: media.has_attribute("crypto"),
            dtls: dtls::offered(&self.session, media),
            closed: media.port == 0,
            rtcp_mux: media.has_attribute("rtcp-mux"),
            feedback: Feedback::ALL
                .into_iter()
                .filter(|kind| feedback::of_line(media).any(|(_, offered)| offered == *kind))
                .collect(),
            bandwidth_bps: formats::bandwidth(&self.session, media),
            unusable: formats::unusable(&self.session, media),
        });
        OfferSummary { media: media.collect() }
    }

    /// Whether this offer wants more than what flows: a medium that does not and that we have not refused, or keys that
    /// are new.
    pub(crate) fn asks_more(&self, now: &Negotiated, capabilities: &Capabilities) -> bool {
        self.session.medias.iter().enumerate().any(|(index, line)| {
            let Some(kind) = MediaKind::from_token(&line.media).filter(|_| line.port != 0) else {
                return false;
            };
            let keys = formats::keys(line);
            let same = |medium: &&MediaCapability| medium.kind == kind;
            let own = capabilities.media.iter().find(same);
            let certified = own.is_some_and(|medium| medium.dtls_identity().is_some());
            match now.media.iter().find(|media| media.index == index) {
                Some(media) => match (&media.crypto, &media.dtls) {
                    (_, Some(agreed)) => dtls::is_another(&self.session, line, agreed),
                    (Some(crypto), None) => !keys.is_empty() && !keys.contains(&Ok(crypto.remote.clone())),
                    (None, None) => {
                        !keys.is_empty() && own.is_some_and(|medium| !medium.security.keys().is_empty())
                    }
                },
                // A line that we refused is offered again with every offer: that is nothing new.
                None => {
                    let profile = formats::profile(&self.session, line, certified);
                    profile.is_ok_and(|profile| profile != Profile::Dtls || certified)
                        && !now.refused.iter().any(|refused| refused.index == index && refused.is_ours())
                }
            }
        })
    }

    /// The same under another version of its `o=` line.
    #[must_use]
    pub fn with_version(mut self, version: u64) -> Self {
        self.session.origin.sess_version = version;
        self
    }

    /// The same with the `o=` line of another one: within a session only its version changes, whatever becomes of our address
    /// (RFC 3264 section 8).
    #[must_use]
    pub fn with_origin_of(mut self, other: &Self) -> Self {
        self.session.origin = other.session.origin.clone();
        self
    }

    /// An empty description of ours.
    pub(super) fn ours(address: IpAddr, origin: Origin) -> Self {
        let mut session =
            Session::new(sdp_types::Origin::with_ip_addr(origin.id, origin.version, address), "-");
        session.set_connection(sdp_types::Connection::from_ip_addr(address));
        Self { session }
    }
}

/// The media lines only: attributes may hold keys.
impl fmt::Debug for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.session.medias.iter();
        f.debug_list()
            .entries(
                lines.map(|media| format!("m={} {} {} {}", media.media, media.port, media.proto, media.fmt)),
            )
            .finish()
    }
}

/// Where a session description stops making sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct SdpError {
    /// The line, from one; `None` when the description as a whole is wrong.
    pub line: Option<usize>,
    /// What is wrong.
    pub why: String,
}

impl SdpError {
    fn new(error: &ParserError) -> Self {
        #[expect(deprecated, reason = "every variant is listed so that a new one is noticed")]
        let line = match error {
            ParserError::UnexpectedLine(line, _)
            | ParserError::InvalidLineFormat(line, _)
            | ParserError::InvalidFieldEncoding(line, _)
            | ParserError::InvalidFieldFormat(line, _)
            | ParserError::MissingField(line, _)
            | ParserError::FieldTrailingData(line, _)
            | ParserError::InvalidVersion(line, _)
            | ParserError::MultipleVersions(line)
            | ParserError::MultipleOrigins(line)
            | ParserError::MultipleSessionNames(line)
            | ParserError::MultipleSessionDescription(line)
            | ParserError::MultipleUris(line)
            | ParserError::MultipleConnections(line)
            | ParserError::MultipleTimeZones(line)
            | ParserError::MultipleMediaTitles(line)
            | ParserError::MultipleKeys(line)
            | ParserError::RepeatWithoutTime(line) => Some(*line),
            ParserError::NoVersion | ParserError::NoOrigin | ParserError::NoSessionName => None,
        };
        Self { line, why: error.to_string() }
    }
}
