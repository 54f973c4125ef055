//! The stable names of faults, for the command line, scenario files and docs/mock.md.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{CertificateFault, Fault};
use crate::recorder::Service;

const SERVICES: [Service; 4] = [Service::Dns, Service::Zdial, Service::Mcs, Service::Sip];
const HTTPS: [Service; 2] = [Service::Zdial, Service::Mcs];
const TLS: [Service; 3] = [Service::Zdial, Service::Mcs, Service::Sip];

/// A name that no fault has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no fault is called {name:?}; docs/mock.md lists them")]
pub struct UnknownFault {
    /// The name as given.
    pub name: String,
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
                Self::HugeBody(service),
                Self::Redirect(service),
                Self::RateLimited(service, None),
                Self::RateLimited(service, Some(Duration::from_secs(30))),
                Self::Maintenance(service, None),
                Self::Maintenance(service, Some(Duration::from_secs(30))),
                Self::CredentialsRejected(service),
                Self::SchemeUnusable(service),
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
            Self::LicenceMissing,
            Self::LicenceDenied,
            Self::SeatsUsed,
            Self::AddressBookDown,
            Self::SyncTokenInvalid,
            Self::RegisterForbidden,
            Self::RegisterStatus(503),
            Self::BindingMissing,
            Self::ChallengeUnusable,
            Self::StaleNonce,
            Self::DropAfterRegister,
            Self::InviteStatus(503),
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
        ]);
        all
    }
}

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
            Self::CredentialsRejected(service) => write!(f, "{}.credentials-rejected", service.name()),
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
            Self::RegisterForbidden => f.write_str("sip.register-forbidden"),
            Self::RegisterStatus(status) => write!(f, "sip.register-status={status}"),
            Self::ChallengeUnusable => f.write_str("sip.challenge-unusable"),
            Self::StaleNonce => f.write_str("sip.stale-nonce"),
            Self::DropAfterRegister => f.write_str("sip.drop-after-register"),
            Self::InviteStatus(status) => write!(f, "sip.invite-status={status}"),
            Self::NoPong => f.write_str("sip.no-pong"),
            Self::AddressMoves => f.write_str("sip.address-moves"),
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
        let unknown = || UnknownFault { name: name.to_owned() };
        let Some((stem, value)) = name.split_once('=') else {
            return Self::all().into_iter().find(|fault| fault.to_string() == name).ok_or_else(unknown);
        };
        let number: u16 = value.parse().map_err(|_| unknown())?;
        let seconds = Some(Duration::from_secs(number.into()));
        let status = (300..700).contains(&number);
        match stem {
            "sip.register-status" if status => Ok(Self::RegisterStatus(number)),
            "sip.invite-status" if status => Ok(Self::InviteStatus(number)),
            "zdial.rate-limited" => Ok(Self::RateLimited(Service::Zdial, seconds)),
            "mcs.rate-limited" => Ok(Self::RateLimited(Service::Mcs, seconds)),
            "zdial.maintenance" => Ok(Self::Maintenance(Service::Zdial, seconds)),
            "mcs.maintenance" => Ok(Self::Maintenance(Service::Mcs, seconds)),
            _ => Err(unknown()),
        }
    }
}
