//! What to do about a row of a preflight that failed: one remedy for each kind of failure, in words, and whose it is to do. Pure.

use std::fmt;

use serde::Serialize;

use super::verdict::Verdict;
use crate::error::{Advice, AttemptOutcome, TlsFailure};

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// A port that is closed: the service does not run there, or a firewall rejects.
    OpenPort,
    /// Nothing came: a firewall drops.
    PermitWay,
    /// This machine does not let it out, or has no way there.
    LetOut,
    /// The egress guard of the configuration keeps it back.
    WidenGuard,
    /// The certificate is out of date.
    RenewCertificate,
    /// The certificate is not valid yet.
    SetClock,
    /// The certificate is signed by an authority that is not believed.
    BelieveAuthority,
    /// The certificate is for another name.
    CorrectHost,
    /// The certificate was revoked or cannot be used.
    ReplaceCertificate,
    /// Connected, and then silence.
    FindSilence,
    /// What answers is not the service.
    FindAnswerer,
    /// A sign-in page of the network answers in the service's place.
    SignInToNetwork,
    /// A web server that does not know the service.
    CorrectService,
    /// The service answers, and is not well.
    WaitForService,
    /// The nameserver does not have the name, or no address of it.
    CorrectName,
    /// The nameserver cannot or will not answer.
    OtherNameserver,
}

impl Remedy {
    /// For a verdict where nothing more is known.
    pub(super) const fn of_verdict(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Reachable | Verdict::NotJudged => None,
            Verdict::Refused => Some(Self::OpenPort),
            Verdict::TimedOut => Some(Self::PermitWay),
            Verdict::Blocked => Some(Self::LetOut),
            Verdict::WrongCertificate => Some(Self::ReplaceCertificate),
            Verdict::Silent => Some(Self::FindSilence),
            Verdict::SomethingElse => Some(Self::FindAnswerer),
            Verdict::WrongAnswer => Some(Self::WaitForService),
        }
    }

    /// For what became of a connection, where that says more than its verdict.
    pub(super) const fn of_attempt(outcome: &AttemptOutcome) -> Option<Self> {
        let AttemptOutcome::Tls { why } = outcome else {
            return match outcome {
                AttemptOutcome::OutsidePolicy => Some(Self::WidenGuard),
                AttemptOutcome::Refused
                | AttemptOutcome::TimedOut { .. }
                | AttemptOutcome::Unreachable
                | AttemptOutcome::NotPermitted
                | AttemptOutcome::Reset
                | AttemptOutcome::Tls { .. }
                | AttemptOutcome::Answered { .. }
                | AttemptOutcome::Failed { .. } => None,
            };
        };
        Some(match why {
            TlsFailure::Expired => Self::RenewCertificate,
            TlsFailure::NotYetValid => Self::SetClock,
            TlsFailure::UnknownIssuer => Self::BelieveAuthority,
            TlsFailure::WrongName => Self::CorrectHost,
            TlsFailure::Revoked | TlsFailure::BadCertificate => Self::ReplaceCertificate,
            TlsFailure::Protocol => Self::FindAnswerer,
        })
    }

    /// In words, without a full stop.
    pub const fn text(self) -> &'static str {
        match self {
            Self::OpenPort => {
                "the port is closed: see whether host and port are right and the service runs, then whether a firewall \
                 rejects it; the rule stands beside the row"
            }
            Self::PermitWay => {
                "nothing came back: permit the rule that stands beside the row in the firewall"
            }
            Self::LetOut => {
                "this machine keeps it back: permit the rule in its own firewall, and see that it has a way there"
            }
            Self::WidenGuard => "the configuration itself keeps it back: name it under egress.allow",
            Self::RenewCertificate => {
                "the certificate is out of date: its operator must renew it; nothing on this side mends that"
            }
            Self::SetClock => {
                "the certificate is not valid yet: set this machine's clock, or, where the row of the clock says that it is \
                 right, its operator must replace it"
            }
            Self::BelieveAuthority => {
                "the certificate is signed by an authority that is not believed: name its PEM file as tls.ca_file, or, where \
                 nobody knows that authority, find what reads along on the way"
            }
            Self::CorrectHost => {
                "the certificate is for another name: correct the host in the configuration, or the address of its name"
            }
            Self::ReplaceCertificate => "the certificate cannot be used: its operator must replace it",
            Self::FindSilence => {
                "it connects and says nothing: the service hangs, or a proxy or an inspecting firewall took the connection; ask \
                 the carrier whether it runs, and try from another network"
            }
            Self::FindAnswerer => {
                "something else is there: compare host and port with the configuration, and switch off what answers for others \
                 on the way (a proxy, inspection of TLS, a SIP gateway of the router)"
            }
            Self::SignInToNetwork => {
                "it sends us elsewhere: sign in to this network in a browser, or have its proxy leave the service alone"
            }
            Self::CorrectService => {
                "the web server does not know the service: correct its host and port in the configuration"
            }
            Self::WaitForService => {
                "the network is good and the service is not: try again later, and tell the carrier what it answers when it stays so"
            }
            Self::CorrectName => {
                "the nameserver has no such name: correct the name, or name the nameserver that knows it under dns.servers"
            }
            Self::OtherNameserver => {
                "the nameserver cannot answer for that name: name another one under dns.servers, or tell its operator"
            }
        }
    }

    /// Whose it is.
    pub const fn advice(self) -> Advice {
        match self {
            Self::OpenPort
            | Self::PermitWay
            | Self::LetOut
            | Self::FindSilence
            | Self::FindAnswerer
            | Self::SignInToNetwork => Advice::CheckNetwork,
            Self::WidenGuard
            | Self::SetClock
            | Self::BelieveAuthority
            | Self::CorrectHost
            | Self::CorrectService
            | Self::CorrectName
            | Self::OtherNameserver => Advice::CheckSettings,
            Self::RenewCertificate | Self::ReplaceCertificate => Advice::AskCarrier,
            Self::WaitForService => Advice::RetryAfter,
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever reads a row that failed finds something to do, and no two kinds of certificate trouble the same.
    #[test]
    fn every_failure_has_a_remedy_and_what_is_good_has_none() {
        for verdict in Verdict::ALL {
            assert_eq!(Remedy::of_verdict(verdict).is_some(), verdict.is_failure(), "{verdict}");
        }
        let tls = |why| Remedy::of_attempt(&AttemptOutcome::Tls { why });
        assert_eq!(tls(TlsFailure::Expired), Some(Remedy::RenewCertificate));
        assert_eq!(tls(TlsFailure::NotYetValid), Some(Remedy::SetClock));
        assert_eq!(tls(TlsFailure::UnknownIssuer), Some(Remedy::BelieveAuthority));
        assert_eq!(tls(TlsFailure::WrongName), Some(Remedy::CorrectHost));
        assert_eq!(Remedy::of_attempt(&AttemptOutcome::Refused), None);
    }
}
