//! The stable names of faults, for the command line, scenario files and docs/mock.md.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{AnswerFault, CertificateFault, Fault};
use crate::recorder::Service;

const SERVICES: [Service; 4] = [Service::Dns, Service::Zdial, Service::Mcs, Service::Sip];
const HTTPS: [Service; 2] = [Service::Zdial, Service::Mcs];
const TLS: [Service; 3] = [Service::Zdial, Service::Mcs, Service::Sip];

/// A name that no fault has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no fault is called {name:?}{}; docs/mock.md lists them", nearest.as_deref().map(|name| format!(", did you mean {name}?")).unwrap_or_default())]
pub struct UnknownFault {
    /// The name as given.
    pub name: String,
    /// The name that is most like it, if one is.
    pub nearest: Option<String>,
}

impl UnknownFault {
    fn new(name: &str) -> Self {
        let all = Fault::all().into_iter().map(|fault| fault.to_string());
        let nearest = nearest(name, all);
        Self { name: name.to_owned(), nearest }
    }
}

/// The word that is most like another, if any is.
pub(crate) fn nearest(word: &str, words: impl IntoIterator<Item = String>) -> Option<String> {
    let likeness = |other: &String| strsim::jaro_winkler(word, other);
    let best = words.into_iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(&best) > 0.8).then_some(best)
}

impl Fault {
    /// Every fault that needs no parameter, and one example of each that does.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for service in SERVICES {
            all.extend([Self::Refuse(service), Self::BlackHole(service)]);
        }
        for service in [Service::Zdial, Service::Mcs, Service::Sip] {
            all.extend([
                Self::Reset(service),
                Self::Garbage(service),
                Self::Slow(service),
                Self::Cut(service),
                Self::ResetMidway(service),
                Self::HalfOpen(service),
                Self::StaleNonce(service),
                Self::Maintenance(service, None),
                Self::Maintenance(service, Some(Duration::from_secs(30))),
                Self::RateLimited(service, None),
                Self::RateLimited(service, Some(Duration::from_secs(30))),
                Self::HugeBody(service),
            ]);
        }
        for service in TLS {
            all.extend(
                [
                    CertificateFault::UnknownCa,
                    CertificateFault::Expired,
                    CertificateFault::WrongName,
                    CertificateFault::NotYetValid,
                    CertificateFault::WrongPurpose,
                ]
                .map(|fault| Self::Certificate(service, fault)),
            );
        }
        for service in HTTPS {
            all.extend([
                Self::ServerError(service),
                Self::BadDocument(service),
                Self::MissingMember(service),
                Self::Redirect(service),
                Self::CredentialsRejected(service),
                Self::SchemeUnusable(service),
                Self::TokenExpired(service),
            ]);
        }
        all.extend([
            Self::NameNotFound,
            Self::NoAddress,
            Self::NoSipService,
            Self::NameServerFailed,
            Self::NameServerRefused,
            Self::UdpBlocked,
            Self::Truncated,
            Self::CredentialsRejected(Service::Sip),
            Self::NoNumbers,
            Self::AccountSuspended,
            Self::NumberInUse,
            Self::LicenceExpired,
            Self::LicenceNotYetValid,
            Self::LicenceForged,
            Self::LicenceForeignKey,
            Self::LicenceWrongDevice,
            Self::LicenceWrongNumber,
            Self::LicenceWrongAudience,
            Self::LicenceWrongIssuer,
            Self::LicenceUnsigned,
            Self::LicenceNoFeatures,
            Self::LicenceNoCalls,
            Self::LicenceShort,
            Self::LicenceMissing,
            Self::LicenceDenied,
            Self::SeatsUsed,
            Self::AddressBookDown,
            Self::SyncTokenInvalid,
            Self::SyncTruncated,
            Self::SyncUnknown,
            Self::SyncBare,
            Self::MalformedCard,
            Self::CardConflict,
            Self::CardRefused,
            Self::CardUnavailable,
            Self::CardAnswerLost,
            Self::CardUntagged,
            Self::ListMissing,
            Self::ListCut,
            Self::ListOvertaken,
            Self::BookElsewhere,
            Self::BookServerForeign,
            Self::BookNotOffered,
            Self::BookServerMissing,
            Self::BookServersAway,
            Self::BookPathMissing,
            Self::BookPathForeign,
            Self::RegisterForbidden,
            Self::RegisterStatus(503),
            Self::Conflict(None),
            Self::Conflict(Some(Duration::from_secs(30))),
            Self::BindingMissing,
            Self::ChallengeUnusable,
            Self::DropAfterRegister,
            Self::InviteStatus(503),
            Self::InviteCredentialsRejected,
            Self::InviteVanishes,
            Self::DropAfterInvite,
            Self::ReinviteStatus(488),
            Self::ReferStatus(603),
            Self::MessageStatus(500),
            Self::NoPong,
            Self::AddressMoves,
            Self::DatagramLost,
            Self::LostAck,
            Self::DuplicateBye,
            Self::RelayMoves,
            Self::SpoofedMedia,
            Self::ReplayedMedia,
            Self::OneWayMedia,
            Self::NoMedia,
            Self::ForeignSource,
            Self::WrongPayload,
            Self::MediaReset,
            Self::MediaGarbage,
            Self::MediaTruncated,
            Self::NobodyAnswers,
            Self::NeverRings,
            Self::AnsweredElsewhere,
        ]);
        all.extend(ANSWERS.map(|(fault, _)| Self::Answer(fault)));
        all
    }

    /// Whether it can be at one of several addresses: what a server of the carrier does. What happens within a call, on its
    /// media or in an address book belongs to no address.
    pub fn has_address(self) -> bool {
        let name = self.to_string();
        let within =
            [Self::DatagramLost, Self::LostAck, Self::DuplicateBye, Self::AddressMoves, Self::NoPong];
        !["media.", "call.", "address-book."].iter().any(|group| name.starts_with(group))
            && !within.contains(&self)
    }
}

/// What spoils an answer to a caller.
const ANSWERS: [(AnswerFault, &str); 9] = [
    (AnswerFault::Missing, "call.no-description"),
    (AnswerFault::Unreadable, "call.bad-description"),
    (AnswerFault::LineMissing, "call.line-missing"),
    (AnswerFault::ForeignCodec, "call.foreign-codec"),
    (AnswerFault::CryptoMissing, "call.crypto-missing"),
    (AnswerFault::CryptoForeign, "call.crypto-foreign"),
    (AnswerFault::WrongKey, "media.wrong-key"),
    (AnswerFault::TextRefused, "call.text-refused"),
    (AnswerFault::Huge, "call.huge-description"),
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Refuse(service) => write!(f, "{}.refuse", service.name()),
            Self::BlackHole(service) => write!(f, "{}.black-hole", service.name()),
            Self::Reset(service) => write!(f, "{}.reset", service.name()),
            Self::Garbage(service) => write!(f, "{}.garbage", service.name()),
            Self::Certificate(service, CertificateFault::UnknownCa) => {
                write!(f, "{}.unknown-ca", service.name())
            }
            Self::Certificate(service, CertificateFault::Expired) => {
                write!(f, "{}.certificate-expired", service.name())
            }
            Self::Certificate(service, CertificateFault::WrongName) => {
                write!(f, "{}.certificate-name", service.name())
            }
            Self::Certificate(service, CertificateFault::NotYetValid) => {
                write!(f, "{}.certificate-not-yet-valid", service.name())
            }
            Self::Certificate(service, CertificateFault::WrongPurpose) => {
                write!(f, "{}.certificate-purpose", service.name())
            }
            Self::Slow(service) => write!(f, "{}.slow", service.name()),
            Self::Cut(service) => write!(f, "{}.cut", service.name()),
            Self::ResetMidway(service) => write!(f, "{}.reset-midway", service.name()),
            Self::HalfOpen(service) => write!(f, "{}.half-open", service.name()),
            Self::StaleNonce(service) => write!(f, "{}.stale-nonce", service.name()),
            Self::HugeBody(service) => write!(f, "{}.huge-body", service.name()),
            Self::DatagramLost => f.write_str("sip.datagram-lost"),
            Self::LostAck => f.write_str("sip.lost-ack"),
            Self::DuplicateBye => f.write_str("sip.duplicate-bye"),
            Self::RelayMoves => f.write_str("media.port-moves"),
            Self::SpoofedMedia => f.write_str("media.spoofed"),
            Self::ReplayedMedia => f.write_str("media.replayed"),
            Self::NameNotFound => f.write_str("dns.not-found"),
            Self::NoAddress => f.write_str("dns.no-address"),
            Self::NoSipService => f.write_str("dns.no-sip-service"),
            Self::NameServerFailed => f.write_str("dns.servfail"),
            Self::NameServerRefused => f.write_str("dns.refused"),
            Self::UdpBlocked => f.write_str("dns.udp-blocked"),
            Self::Truncated => f.write_str("dns.truncated"),
            Self::ServerError(service) => write!(f, "{}.server-error", service.name()),
            Self::BadDocument(service) => write!(f, "{}.bad-document", service.name()),
            Self::MissingMember(service) => write!(f, "{}.missing-member", service.name()),
            Self::Redirect(service) => write!(f, "{}.redirect", service.name()),
            Self::RateLimited(service, after) => with_seconds(f, service, "rate-limited", after),
            Self::Maintenance(service, after) => with_seconds(f, service, "maintenance", after),
            Self::Conflict(after) => with_seconds(f, Service::Sip, "conflict", after),
            Self::CredentialsRejected(service) => write!(f, "{}.credentials-rejected", service.name()),
            Self::TokenExpired(service) => write!(f, "{}.token-expired", service.name()),
            Self::SchemeUnusable(service) => write!(f, "{}.scheme-unusable", service.name()),
            Self::NoNumbers => f.write_str("zdial.no-numbers"),
            Self::BindingMissing => f.write_str("sip.binding-missing"),
            Self::LicenceWrongNumber => f.write_str("licence.wrong-number"),
            Self::AccountSuspended => f.write_str("zdial.account-suspended"),
            Self::NumberInUse => f.write_str("zdial.number-in-use"),
            Self::LicenceExpired => f.write_str("licence.expired"),
            Self::LicenceNotYetValid => f.write_str("licence.not-yet-valid"),
            Self::LicenceForged => f.write_str("licence.forged"),
            Self::LicenceForeignKey => f.write_str("licence.foreign-key"),
            Self::LicenceWrongDevice => f.write_str("licence.wrong-device"),
            Self::LicenceWrongAudience => f.write_str("licence.wrong-audience"),
            Self::LicenceWrongIssuer => f.write_str("licence.wrong-issuer"),
            Self::LicenceUnsigned => f.write_str("licence.unsigned"),
            Self::LicenceMissing => f.write_str("licence.missing"),
            Self::LicenceDenied => f.write_str("licence.denied"),
            Self::SeatsUsed => f.write_str("licence.seats-used"),
            Self::AddressBookDown => f.write_str("address-book.down"),
            Self::SyncTokenInvalid => f.write_str("address-book.sync-token-invalid"),
            Self::SyncTruncated => f.write_str("address-book.sync-truncated"),
            Self::SyncUnknown => f.write_str("address-book.sync-unknown"),
            Self::SyncBare => f.write_str("address-book.sync-bare"),
            Self::MalformedCard => f.write_str("address-book.malformed-card"),
            Self::CardConflict => f.write_str("address-book.conflict"),
            Self::CardRefused => f.write_str("address-book.change-refused"),
            Self::CardUnavailable => f.write_str("address-book.change-unavailable"),
            Self::CardAnswerLost => f.write_str("address-book.answer-lost"),
            Self::CardUntagged => f.write_str("address-book.untagged"),
            Self::ListMissing => f.write_str("address-book.list-missing"),
            Self::ListCut => f.write_str("address-book.list-cut"),
            Self::ListOvertaken => f.write_str("address-book.list-overtaken"),
            Self::BookElsewhere => f.write_str("address-book.elsewhere"),
            Self::BookServerForeign => f.write_str("address-book.server-foreign"),
            Self::BookNotOffered => f.write_str("address-book.not-offered"),
            Self::BookServerMissing => f.write_str("address-book.server-missing"),
            Self::BookServersAway => f.write_str("address-book.servers-away"),
            Self::BookPathMissing => f.write_str("address-book.path-missing"),
            Self::BookPathForeign => f.write_str("address-book.path-foreign"),
            Self::RegisterForbidden => f.write_str("sip.register-forbidden"),
            Self::RegisterStatus(status) => write!(f, "sip.register-status={status}"),
            Self::ChallengeUnusable => f.write_str("sip.challenge-unusable"),
            Self::DropAfterRegister => f.write_str("sip.drop-after-register"),
            Self::InviteStatus(status) => write!(f, "sip.invite-status={status}"),
            Self::NoPong => f.write_str("sip.no-pong"),
            Self::AddressMoves => f.write_str("sip.address-moves"),
            Self::InviteCredentialsRejected => f.write_str("sip.invite-credentials-rejected"),
            Self::InviteVanishes => f.write_str("sip.invite-vanishes"),
            Self::DropAfterInvite => f.write_str("sip.drop-after-invite"),
            Self::ReinviteStatus(status) => write!(f, "sip.reinvite-status={status}"),
            Self::ReferStatus(status) => write!(f, "sip.refer-status={status}"),
            Self::MessageStatus(status) => write!(f, "sip.message-status={status}"),
            Self::NobodyAnswers => f.write_str("call.nobody-answers"),
            Self::NeverRings => f.write_str("call.never-rings"),
            Self::AnsweredElsewhere => f.write_str("call.answered-elsewhere"),
            Self::Answer(fault) => {
                let entry = ANSWERS.iter().find(|(known, _)| *known == fault);
                f.write_str(entry.map_or("", |(_, name)| name))
            }
            Self::ForeignSource => f.write_str("media.wrong-ssrc"),
            Self::WrongPayload => f.write_str("media.wrong-payload"),
            Self::MediaReset => f.write_str("media.reset"),
            Self::MediaGarbage => f.write_str("media.garbage"),
            Self::MediaTruncated => f.write_str("media.truncated"),
            Self::LicenceNoFeatures => f.write_str("licence.no-features"),
            Self::LicenceNoCalls => f.write_str("licence.no-calls"),
            Self::LicenceShort => f.write_str("licence.short"),
            Self::OneWayMedia => f.write_str("media.one-way"),
            Self::NoMedia => f.write_str("media.none"),
        }
    }
}

fn with_seconds(
    f: &mut fmt::Formatter<'_>,
    service: Service,
    name: &str,
    after: Option<Duration>,
) -> fmt::Result {
    match after {
        None => write!(f, "{}.{name}", service.name()),
        Some(after) => write!(f, "{}.{name}={}", service.name(), after.as_secs()),
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    /// Reads a name as [`Fault`]'s `Display` writes it; a number after `=` is the status or the seconds.
    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        let unknown = || UnknownFault::new(name);
        let Some((stem, value)) = name.split_once('=') else {
            return Self::all().into_iter().find(|fault| fault.to_string() == name).ok_or_else(unknown);
        };
        let number: u16 = value.parse().map_err(|_| unknown())?;
        let seconds = Some(Duration::from_secs(number.into()));
        let status = (300..700).contains(&number);
        match stem {
            "sip.register-status" if status => Ok(Self::RegisterStatus(number)),
            "sip.invite-status" if status => Ok(Self::InviteStatus(number)),
            "sip.reinvite-status" if status => Ok(Self::ReinviteStatus(number)),
            "sip.refer-status" if status => Ok(Self::ReferStatus(number)),
            "sip.message-status" if status => Ok(Self::MessageStatus(number)),
            "zdial.rate-limited" => Ok(Self::RateLimited(Service::Zdial, seconds)),
            "mcs.rate-limited" => Ok(Self::RateLimited(Service::Mcs, seconds)),
            "sip.rate-limited" => Ok(Self::RateLimited(Service::Sip, seconds)),
            "sip.conflict" => Ok(Self::Conflict(seconds)),
            "zdial.maintenance" => Ok(Self::Maintenance(Service::Zdial, seconds)),
            "mcs.maintenance" => Ok(Self::Maintenance(Service::Mcs, seconds)),
            "sip.maintenance" => Ok(Self::Maintenance(Service::Sip, seconds)),
            _ => Err(unknown()),
        }
    }
}
