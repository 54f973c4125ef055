//! The mailbox over HTTPS (docs/wire/video-mail.md): what is in it, the pictures of a message, the way to empty it.
//!
//! RFC 9248 section 8 asks for retrieval by an HTTPS page; this is the same for programs.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::{Mcs, SipUser};
use crate::http::problem::Problem;
use crate::mail::VideoMessage;

/// Where the mailbox of whoever signs in is.
pub(crate) const PATH: &str = "/mcs/v1/videomail";

type User = Extension<SipUser>;

pub(super) async fn list(Shared(mcs): Shared<Arc<Mcs>>, Extension(SipUser(user)): User) -> Json<Value> {
    let messages: Vec<Value> = mcs.state.mail.all(&user).iter().map(member).collect();
    Json(json!({ "messages": messages }))
}

/// The pictures of a message, one behind the other. Whoever fetches them has seen it.
pub(super) async fn fetch(
    Shared(mcs): Shared<Arc<Mcs>>,
    Extension(SipUser(user)): User,
    Path(id): Path<String>,
) -> Result<Response, Box<Problem>> {
    let message = id.parse().ok().and_then(|id| mcs.state.mail.look_at(&user, id)).ok_or_else(none)?;
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((kind, message.recorded.kept.concat()).into_response())
}

pub(super) async fn remove(
    Shared(mcs): Shared<Arc<Mcs>>,
    Extension(SipUser(user)): User,
    Path(id): Path<String>,
) -> Result<StatusCode, Box<Problem>> {
    match id.parse().ok().map(|id| mcs.state.mail.remove(&user, Some(id))) {
        Some(1..) => Ok(StatusCode::NO_CONTENT),
        Some(0) | None => Err(none()),
    }
}

pub(super) async fn empty(Shared(mcs): Shared<Arc<Mcs>>, Extension(SipUser(user)): User) -> StatusCode {
    mcs.state.mail.remove(&user, None);
    StatusCode::NO_CONTENT
}

fn member(message: &VideoMessage) -> Value {
    let mut member = json!({
        "id": message.id.to_string(),
        "new": message.new,
        "pictures": message.recorded.pictures,
        "pictures-broken": message.recorded.broken,
        "pictures-kept": message.recorded.kept.len(),
        "sound-packets": message.recorded.sound_packets,
        "text-packets": message.recorded.text_packets,
    });
    if let (Some(members), Some(from)) = (member.as_object_mut(), &message.from) {
        members.insert("from".to_owned(), json!(from));
    }
    member
}

fn none() -> Box<Problem> {
    Box::new(Problem::new(StatusCode::NOT_FOUND, "no-message", "There is no such message"))
}
