//! The faults that every HTTPS service has in common, as answers given in place of the real one.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::fault::{At, Fault};
use crate::recorder::Service;

/// Larger than any limit a client may reasonably have.
const HUGE_BODY_BYTES: usize = 64 * 1024 * 1024;

/// The answer a fault gives instead of the service, if one strikes now.
pub(crate) fn instead(faults: At<'_>, service: Service) -> Option<Response> {
    faults.strike(|fault| answer(*fault, service))
}

fn answer(fault: Fault, service: Service) -> Option<Response> {
    if fault == Fault::ServerError(service) {
        return Some((StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_response());
    }
    if fault == Fault::BadDocument(service) {
        return Some(([(header::CONTENT_TYPE, "application/json")], "{\"numbers\": [").into_response());
    }
    if fault == Fault::HugeBody(service) {
        let mut body = vec![b' '; HUGE_BODY_BYTES];
        body[0] = b'[';
        return Some(([(header::CONTENT_TYPE, "application/json")], body).into_response());
    }
    if fault == Fault::Redirect(service) {
        return Some(
            (StatusCode::FOUND, [(header::LOCATION, "https://somewhere-else.test/")]).into_response(),
        );
    }
    let (problem, after) = if let Fault::RateLimited(at, after) = fault
        && at == service
    {
        (Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests"), after)
    } else if let Fault::Maintenance(at, after) = fault
        && at == service
    {
        (Problem::new(StatusCode::SERVICE_UNAVAILABLE, "maintenance", "Closed for maintenance"), after)
    } else {
        return None;
    };
    Some(problem.retry_after(after.map(|after| after.as_secs())).into_response())
}
