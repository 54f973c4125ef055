//! What travels with an INVITE and its 2xx beside the session description: Call-Info such as the owner's card (RFC 9248
//! section 5.2.3), a location (RFC 6442), the blocks of an emergency call (RFC 7852), and the parts they refer to
//! (RFC 5621). Also what of it comes in.

use super::body::Body;
use super::compose::SDP;
use super::options::{CallOptions, Privacy};
use super::types::{CallKey, Event};
use super::{Turn, UserAgent};
use crate::multipart::{self, BodyPart};
use crate::request::Outline;
use crate::wire::{
    Address, BuildError, Edit, Message, Method, Name, NameAddr, ResponseBuilder, Scheme, Uri, media_types,
};

/// The bodies that a far end may answer an INVITE with.
const SESSION_BODIES: &str = "application/sdp, multipart/mixed";

/// What a session description says of itself among other parts.
const SESSION: &str = "session;handling=required";

/// One value of Call-Info (RFC 3261 section 20.9).
#[derive(Clone, Debug, PartialEq)]
pub struct CallInfo {
    /// Where the information is: `https:`, or `cid:` for a part of the body.
    pub uri: Uri,
    /// What it is, such as `rue-owner` or `EmergencyCallData.ProviderInfo`; a token.
    pub purpose: String,
}

/// Where the caller is (RFC 6442).
#[derive(Clone, Debug, PartialEq)]
pub enum Location {
    /// A PIDF-LO document that goes with the call.
    Value {
        /// What names the part, such as `target123@example.com`.
        content_id: String,
        /// The document (`application/pidf+xml`).
        pidf: Body,
    },
    /// The address where the location is given out: `sips:`, `https:` and the like.
    Reference(Uri),
}

/// What a 2xx carries.
pub(super) struct Answer {
    infos: Vec<String>,
    body: Option<(String, bytes::Bytes)>,
}

impl Answer {
    pub(super) fn dress(self, mut builder: ResponseBuilder) -> ResponseBuilder {
        for info in &self.infos {
            builder = builder.header(Name::CallInfo, info);
        }
        match self.body {
            Some((content_type, body)) => builder.body(&content_type, body),
            None => builder,
        }
    }
}

impl CallInfo {
    fn to_value(&self) -> Result<String, BuildError> {
        Address::new(&self.uri).param("purpose", Some(&self.purpose)).to_value()
    }

    /// Whether it is about a part of the body.
    fn is_part(&self) -> bool {
        self.uri.as_ref().scheme_text().eq_ignore_ascii_case("cid")
    }
}

impl CallOptions {
    /// Adds a block that a Call-Info refers to, as the data of an emergency call are (RFC 7852 section 4): the purpose,
    /// such as `EmergencyCallData.SubscriberInfo`, the media type, what names the part, and the block itself.
    #[must_use]
    pub fn with_block(
        mut self,
        purpose: &str,
        content_type: &str,
        content_id: &str,
        body: impl Into<Body>,
    ) -> Self {
        if let Ok(uri) = Uri::parse(&format!("cid:{content_id}")) {
            self.call_info.push(CallInfo { uri, purpose: purpose.to_owned() });
        }
        self.parts.push(BodyPart::referred(content_type, content_id, body));
        self
    }
}

/// The request with a Geolocation and the option tag of its form; a document becomes one of the parts.
fn located(outline: Outline, location: &Location, parts: &mut Vec<BodyPart>) -> Outline {
    let (value, tag) = match location {
        Location::Value { content_id, pidf } => {
            parts.push(BodyPart::referred("application/pidf+xml", content_id, pidf.clone()));
            (format!("<cid:{content_id}>"), "geolocation-sip")
        }
        Location::Reference(uri) => match uri.scheme() {
            Scheme::Sip | Scheme::Sips => (format!("<{uri}>"), "geolocation-sip"),
            Scheme::Tel | Scheme::Urn | Scheme::Other => (format!("<{uri}>"), "geolocation-http"),
        },
    };
    let mut outline = outline.with(Name::Geolocation, value);
    for (_, value) in outline.headers.iter_mut().filter(|(name, _)| *name == Name::Supported) {
        *value = format!("{value}, {tag}");
    }
    outline
}

impl UserAgent {
    /// The INVITE with everything that its options and the account add to it. Who hides names no owner.
    pub(super) fn with_extras(
        &mut self,
        mut outline: Outline,
        options: &CallOptions,
    ) -> Result<Outline, BuildError> {
        let (mut infos, mut parts) = (options.call_info.clone(), options.parts.clone());
        if options.privacy == Privacy::Off {
            infos.extend(self.config.call_info.iter().cloned());
            parts.extend(self.config.parts.iter().cloned());
        }
        for info in &infos {
            outline = outline.with(Name::CallInfo, info.to_value()?);
        }
        if let Some(location) = &options.location {
            outline = located(outline, location, &mut parts).with(Name::GeolocationRouting, "yes");
        }
        outline = outline.with(Name::Accept, SESSION_BODIES);
        if !parts.is_empty() {
            // An INVITE without an offer still has its parts.
            let all = match outline.body.take() {
                Some((_, sdp)) => session_first(sdp, parts),
                None => parts,
            };
            let (content_type, body) = multipart::write(&all, &mut self.ident)?;
            outline.body = Some((content_type.into(), body));
        }
        Ok(outline)
    }

    /// The REGISTER with the user's location, where the account says one. No proxy is to route by it, so
    /// Geolocation-Routing is left at its default, `no` (RFC 6442 section 4.2).
    pub(super) fn with_location(&mut self, mut outline: Outline) -> Result<Outline, BuildError> {
        let Some(location) = &self.config.location else { return Ok(outline) };
        let mut parts = Vec::new();
        outline = located(outline, location, &mut parts);
        if !parts.is_empty() {
            let (content_type, body) = multipart::write(&parts, &mut self.ident)?;
            outline.body = Some((content_type.into(), body));
        }
        Ok(outline)
    }

    /// What the 2xx of an INVITE carries: its description, if it has one, and what the account adds to it; parts only
    /// for a caller that reads them.
    pub(super) fn answer(&mut self, invite: &Message, sdp: Option<Vec<u8>>) -> Answer {
        let reads = invite.values(Name::Accept).any(|range| {
            let range = String::from_utf8_lossy(range).to_ascii_lowercase();
            ["multipart/mixed", "multipart/*", "*/*"].iter().any(|known| range.starts_with(known))
        });
        let parts = self.config.parts.clone();
        let with_parts = reads && !parts.is_empty() && sdp.is_some();
        let infos = self.config.call_info.iter().filter(|info| with_parts || !info.is_part());
        let infos = infos.filter_map(|info| info.to_value().ok()).collect();
        let session = |sdp: Vec<u8>| (SDP.to_owned(), bytes::Bytes::from(sdp));
        let body = sdp.map(|sdp| match with_parts {
            true => multipart::write(&session_first(sdp.clone().into(), parts), &mut self.ident)
                .unwrap_or_else(|_| session(sdp)),
            false => session(sdp),
        });
        Answer { infos, body }
    }

    /// A message with parts as if it had only the one that its method is about; the others are kept for whoever takes
    /// the message. One whose parts cannot be read, or must be understood and are not, stays as it is: a body of
    /// several parts is refused where one is looked at.
    pub(super) fn unfold(&mut self, message: Message) -> Message {
        self.parts.clear();
        if !multipart::is_multipart(&message) {
            return message;
        }
        let Ok(mut parts) = multipart::read(&message) else { return message };
        let wanted = |part: &BodyPart| match message.method() {
            None | Some(Method::Ack) => part.media_type() == SDP,
            Some(method) => media_types(&method).contains(&part.media_type().as_str()),
        };
        let at = parts.iter().position(wanted);
        let session = !matches!(message.method(), Some(Method::Message));
        let chosen = at.map(|at| parts.remove(at));
        let unknown = |part: &BodyPart| !part.may_be_passed_over() && !is_known(&part.media_type());
        if (chosen.is_none() && !session) || (session && message.is_request() && parts.iter().any(unknown)) {
            return message;
        }
        let edit = match chosen {
            Some(part) => Edit::new(&message).set(Name::ContentType, part.content_type).body(part.body.0),
            None => Edit::new(&message).remove(Name::ContentType).body(Vec::new()),
        };
        match edit.build() {
            Ok(unfolded) => {
                self.parts = parts;
                unfolded
            }
            Err(_) => message,
        }
    }

    /// Tells what the one who took our call says about himself.
    pub(super) fn tell_call_info(&mut self, call: CallKey, response: &Message, turn: &mut Turn<'_>) {
        let (call_info, parts) = (call_info(response), std::mem::take(&mut self.parts));
        if !(call_info.is_empty() && parts.is_empty()) {
            turn.emit(Event::CallInfo { call, call_info, parts });
        }
    }
}

fn session_first(sdp: bytes::Bytes, parts: Vec<BodyPart>) -> Vec<BodyPart> {
    let session = BodyPart {
        content_type: SDP.to_owned(),
        content_id: None,
        disposition: Some(SESSION.to_owned()),
        body: Body(sdp),
    };
    std::iter::once(session).chain(parts).collect()
}

/// Parts that the application is given, so that nobody need refuse them.
fn is_known(media_type: &str) -> bool {
    matches!(media_type, "application/pidf+xml" | "application/vcard+xml" | "message/sipfrag")
        || media_type.starts_with("text/")
        || media_type.starts_with("application/emergencycalldata.")
}

/// The values of Call-Info that say what they are for.
pub(super) fn call_info(message: &Message) -> Vec<CallInfo> {
    let values = message.values(Name::CallInfo).filter_map(|value| NameAddr::parse(value).ok());
    let infos = values.filter_map(|value| {
        let purpose = value.params.get("purpose")?.to_owned();
        Some(CallInfo { uri: value.uri.to_uri(), purpose })
    });
    infos.collect()
}

/// Who the network says is calling (RFC 3325 section 9.1): of two values the SIP one.
pub(super) fn asserted(message: &Message) -> Option<Uri> {
    let values = message.addresses(Name::PAssertedIdentity).filter_map(Result::ok);
    let uris: Vec<Uri> = values.take(2).map(|address| address.uri.to_uri()).collect();
    let sip = uris.iter().position(|uri| uri.as_ref().is_sip()).unwrap_or(0);
    uris.into_iter().nth(sip)
}
