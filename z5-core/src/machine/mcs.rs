//! What replies over HTTPS mean to step 3, whoever gave them: the licence server and every kind of address book.

use super::exchange::{Answer, Server};
use super::io::{HttpsFailure, HttpsReply};
use super::json;
use super::resolve::Resolved;
use crate::error::ProvisionError;

/// The reply to a request, none while it goes on.
pub(super) fn replied(
    answer: Answer,
    host: &str,
    phase: &'static str,
) -> Result<Option<HttpsReply>, ProvisionError> {
    match answer {
        Answer::Going => Ok(None),
        Answer::Reply(reply) => Ok(Some(reply)),
        Answer::Rejected => Err(ProvisionError::BadCredentials { phase }),
        Answer::NoUsableChallenge(offered) => Err(ProvisionError::NoUsableChallenge { offered }),
        Answer::Failed(failure) => Err(network_error(failure, host, phase)),
    }
}

fn network_error(failure: HttpsFailure, host: &str, phase: &'static str) -> ProvisionError {
    let host = host.to_owned();
    match failure {
        HttpsFailure::Unreachable(attempts) => ProvisionError::Unreachable { host, attempts },
        HttpsFailure::Tls(why) => ProvisionError::Tls { host, why },
        HttpsFailure::Broken(why) => ProvisionError::ConnectionLost { host, phase, why },
        HttpsFailure::TooLarge { limit } => ProvisionError::BadReply {
            phase,
            field: "body".to_owned(),
            why: format!("it is larger than {limit} bytes"),
        },
    }
}

/// A status that is no success.
pub(super) fn refusal(reply: &HttpsReply, phase: &'static str) -> ProvisionError {
    let problem = json::Problem::read(reply);
    let (status, detail, retry_after_s) = (reply.status, problem.detail, reply.retry_after_s);
    match (problem.code.as_str(), status) {
        ("licence-denied", _) => ProvisionError::LicenceDenied { status, detail },
        ("seats-used", _) => ProvisionError::SeatsUsed { detail },
        ("no-licence", _) => ProvisionError::LicenceMissing { status, detail },
        (_, 429) => ProvisionError::RateLimited { retry_after_s },
        (_, 500..=599) => ProvisionError::Unavailable { phase, status, detail, retry_after_s },
        _ => ProvisionError::Refused { phase, status, detail },
    }
}

/// Host, port, path and query of an https URI.
///
/// # Errors
/// What is wrong, in words that follow the URI.
pub(crate) fn https_uri(uri: &str) -> Result<(String, u16, String), &'static str> {
    let rest = uri.strip_prefix("https://").ok_or("is not an https URI")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let target: crate::config::HostPort = authority.parse().map_err(|_| "has no usable host")?;
    Ok((target.host, target.port.unwrap_or(443), format!("/{path}")))
}

/// The server and target of a URI that the sign-in gave.
///
/// # Errors
/// When it is none, or its host is not one of step 1's.
pub(super) fn at_uri(uri: &str, resolved: &Resolved) -> Result<(Server, String), ProvisionError> {
    let wrong = |why: &str| ProvisionError::BadReply {
        phase: "sign-in",
        field: "x-z5".to_owned(),
        why: format!("`{uri}` {why}"),
    };
    let (host, port, target) = https_uri(uri).map_err(wrong)?;
    let addresses = resolved.addresses(&host);
    let addresses = addresses.ok_or_else(|| wrong("is on a host that is not one of the names of step 1"))?;
    Ok((Server { addresses: addresses.to_vec(), host, port }, target))
}
