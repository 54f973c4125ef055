//! Dialogs (RFC 3261 section 12): the lasting relation of two user agents that an INVITE opens.
//!
//! [`Dialog`] knows who the ends are, the way between them and the order of their requests; [`Session`] what was
//! offered and answered in it; [`Acceptance`] repeats the 2xx that opened it until the ACK comes (section 13.3.1.4), and
//! [`Provisional`] a reliable provisional response until its PRACK comes (RFC 3262).
//! [`SessionTimer`] ends a call whose far end is gone (RFC 4028).
//! None of them sends: the user agent does.

mod acceptance;
mod provisional;
mod session;
mod timer;

#[cfg(test)]
mod tests;

pub use acceptance::{Acceptance, Due};
pub use provisional::Provisional;
pub use session::Session;
pub use timer::{IntervalTooSmall, SHORTEST, SessionTimer, TimerAnswer, TimerDue};

use crate::request::Outline;
use crate::wire::{HeaderError, Message, Method, Name, Uri, UriRef};

/// What identifies a dialog, seen from this end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DialogId {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The far end's tag; empty for an end of RFC 2543 that has none.
    pub remote_tag: String,
}

impl DialogId {
    /// The dialog a received request belongs to; `None` for one outside any dialog.
    #[must_use]
    pub fn of_request(request: &Message) -> Option<Self> {
        Some(Self {
            local_tag: request.to_tag()?.to_owned(),
            remote_tag: request.from_tag().unwrap_or_default().to_owned(),
            call_id: request.call_id().ok()?.to_owned(),
        })
    }

    /// The dialog a request of ours went out in; `None` for one outside any dialog.
    #[must_use]
    pub fn of_sent(request: &Message) -> Option<Self> {
        Some(Self {
            local_tag: request.from_tag()?.to_owned(),
            remote_tag: request.to_tag()?.to_owned(),
            call_id: request.call_id().ok()?.to_owned(),
        })
    }

    /// The dialog a received response belongs to; `None` while the far end has not given its tag.
    #[must_use]
    pub fn of_response(response: &Message) -> Option<Self> {
        Self::of_sent(response)
    }
}

/// One dialog.
#[derive(Clone)]
pub struct Dialog {
    id: DialogId,
    /// Our From (or To) value, tag included.
    local: String,
    /// Theirs.
    remote: String,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    remote_target: String,
    route_set: Vec<Route>,
    /// What Privacy said when we opened it: every request of ours in it says the same (RFC 3323 section 4.2).
    privacy: Option<String>,
}

/// One hop of the way, as written, and what decides how it is used.
#[derive(Clone)]
struct Route {
    value: String,
    uri: String,
    loose: bool,
}

/// A request that comes too late or twice (RFC 3261 section 12.2.2): it is answered 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's CSeq {received} is not above {last}")]
pub struct OutOfOrder {
    /// Its number.
    pub received: u32,
    /// The highest that came before.
    pub last: u32,
}

impl Dialog {
    /// The caller's side, from its INVITE and a response with a tag (section 12.1.2).
    ///
    /// # Errors
    /// What the messages lack.
    pub fn from_response(request: &Message, response: &Message) -> Result<Self, HeaderError> {
        let mut route_set = routes(response)?;
        route_set.reverse();
        let id = DialogId::of_response(response).ok_or(HeaderError::Missing)?;
        // Without a Contact there is still the address that the INVITE went to.
        let remote_target = match contact(response) {
            Some(target) => target,
            None => uri_of(request.request_uri().ok_or(HeaderError::Missing)?.map_err(HeaderError::Uri)?),
        };
        Ok(Self {
            id,
            local: text(request, Name::From)?,
            remote: text(response, Name::To)?,
            local_cseq: request.cseq()?.number,
            remote_cseq: None,
            remote_target,
            route_set,
            privacy: request.text(Name::Privacy).map(std::borrow::Cow::into_owned),
        })
    }

    /// The callee's side, from a received INVITE and the tag chosen for it (section 12.1.1).
    ///
    /// # Errors
    /// What the request lacks.
    pub fn from_request(request: &Message, local_tag: &str) -> Result<Self, HeaderError> {
        let from = request.from()?;
        let id = DialogId {
            call_id: request.call_id()?.to_owned(),
            local_tag: local_tag.to_owned(),
            remote_tag: from.tag().unwrap_or_default().to_owned(),
        };
        let remote_target = contact(request).unwrap_or_else(|| from.uri.as_str().to_owned());
        Ok(Self {
            id,
            local: format!("{};tag={local_tag}", text(request, Name::To)?),
            remote: text(request, Name::From)?,
            local_cseq: 0,
            remote_cseq: Some(request.cseq()?.number),
            remote_target,
            route_set: routes(request)?,
            privacy: None,
        })
    }

    /// The subscriber's side, from its SUBSCRIBE and the first NOTIFY, which may overtake the response (RFC 6665
    /// section 4.4.1).
    ///
    /// # Errors
    /// What the messages lack.
    pub fn from_notify(subscribe: &Message, notify: &Message) -> Result<Self, HeaderError> {
        let id = DialogId::of_request(notify).ok_or(HeaderError::Missing)?;
        Ok(Self {
            id,
            local: text(subscribe, Name::From)?,
            remote: text(notify, Name::From)?,
            local_cseq: subscribe.cseq()?.number,
            remote_cseq: Some(notify.cseq()?.number),
            remote_target: contact(notify).ok_or(HeaderError::Missing)?,
            route_set: routes(notify)?,
            privacy: subscribe.text(Name::Privacy).map(std::borrow::Cow::into_owned),
        })
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> &DialogId {
        &self.id
    }

    /// Whether the far end may not learn who we are.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.privacy.is_some()
    }

    /// Where requests go in the end.
    #[must_use]
    pub fn remote_target(&self) -> &str {
        &self.remote_target
    }

    /// The next request of ours in this dialog: CSeq counts up.
    pub fn next(&mut self, method: Method) -> Outline {
        self.local_cseq += 1;
        self.outline(method, self.local_cseq)
    }

    /// The ACK of a 2xx to our INVITE with this CSeq (section 13.2.2.4): a request of its own on the dialog's way.
    #[must_use]
    pub fn ack(&self, cseq: u32) -> Outline {
        self.outline(Method::Ack, cseq)
    }

    /// The 2xx confirms this early dialog of ours: the way and the target are those of the dialog that it opens, the order of
    /// requests goes on (section 13.2.2.4).
    pub fn confirm(&mut self, opened: Self) {
        let (local_cseq, remote_cseq) = (self.local_cseq.max(opened.local_cseq), self.remote_cseq);
        *self = Self { local_cseq, remote_cseq, ..opened };
    }

    /// The last CSeq used has moved on elsewhere, as when an INVITE was sent again with credentials.
    pub fn advance_to(&mut self, cseq: u32) {
        self.local_cseq = self.local_cseq.max(cseq);
    }

    /// Checks and notes the order of a received request other than ACK and CANCEL (section 12.2.2).
    ///
    /// # Errors
    /// [`OutOfOrder`]
    pub fn admit(&mut self, cseq: u32) -> Result<(), OutOfOrder> {
        if let Some(last) = self.remote_cseq.filter(|&last| cseq <= last) {
            return Err(OutOfOrder { received: cseq, last });
        }
        self.remote_cseq = Some(cseq);
        Ok(())
    }

    /// Takes the Contact of a target refresh: a re-INVITE, an UPDATE or their 2xx (section 12.2).
    pub fn refresh_target(&mut self, message: &Message) {
        if let Some(target) = contact(message) {
            self.remote_target = target;
        }
    }

    /// Section 12.2.1.1: loose routing keeps the target in the Request-URI; a strict router wants itself there.
    fn outline(&self, method: Method, cseq: u32) -> Outline {
        let values = |routes: &[Route]| routes.iter().map(|route| route.value.clone()).collect::<Vec<_>>();
        let (uri, routes) = match self.route_set.split_first() {
            Some((first, rest)) if !first.loose => {
                let mut routes = values(rest);
                routes.push(format!("<{}>", self.remote_target));
                (first.uri.clone(), routes)
            }
            Some(_) | None => (self.remote_target.clone(), values(&self.route_set)),
        };
        Outline {
            method,
            uri,
            routes,
            from: self.local.clone(),
            to: self.remote.clone(),
            call_id: self.id.call_id.clone(),
            cseq,
            headers: self.privacy.iter().map(|value| (Name::Privacy, value.clone())).collect(),
            body: None,
        }
    }
}

fn text(message: &Message, name: Name<'_>) -> Result<String, HeaderError> {
    message.text(name).map(std::borrow::Cow::into_owned).ok_or(HeaderError::Missing)
}

fn contact(message: &Message) -> Option<String> {
    message.contact().ok().map(|contact| uri_of(contact.uri))
}

/// The URI without what may not stand in a Request-URI: its headers (section 19.1.1, table 1).
fn uri_of(uri: UriRef<'_>) -> String {
    let text = uri.as_str();
    match uri.headers() {
        Some(headers) => text[..text.len() - headers.len() - 1].to_owned(),
        None => text.to_owned(),
    }
}

fn routes(message: &Message) -> Result<Vec<Route>, HeaderError> {
    message
        .record_routes()
        .map(|address| {
            let address = address?;
            // Parameters stay as they are; a fold inside them becomes a blank.
            let params = String::from_utf8_lossy(address.params.as_bytes());
            let params = params.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            let value = format!("<{}>{params}", address.uri);
            Ok(Route { value, uri: uri_of(address.uri), loose: address.uri.is_loose_router() })
        })
        .collect()
}

/// Whether a URI can be the target of a call here.
#[must_use]
pub fn is_callable(uri: &Uri) -> bool {
    uri.as_ref().is_sip()
}
