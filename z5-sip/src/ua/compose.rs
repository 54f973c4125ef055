//! What this user agent says about itself: Contact, routes, and the headers that every request or response has.

use super::UserAgent;
use super::config::{ReliableProvisionals, UaConfig};
use super::options::{NOBODY, PRIVATE, Privacy, is_private};
use crate::dialog::SHORTEST;
use crate::flow::{Flow, FlowId};
use crate::request::Outline;
use crate::wire::{BuildError, Method, Name, ResponseBuilder, Transport, Uri};

/// The methods that are answered with something else than 405.
pub(super) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, REFER, SUBSCRIBE, NOTIFY, INFO, MESSAGE";

/// The extensions that a request may require of us.
pub(super) const SUPPORTED: &str = "timer, path, outbound, 100rel, replaces, norefersub";

/// The bodies that are read.
pub(super) const ACCEPT: &str = "application/sdp, multipart/mixed, text/plain, application/im-iscomposing+xml, application/simple-message-summary";

/// The type of a session description.
pub(super) const SDP: &str = "application/sdp";

/// The extensions of [`SUPPORTED`] that this account has on.
pub(super) fn supported(config: &UaConfig) -> impl Iterator<Item = &'static str> {
    let reliable = config.reliable_provisionals != ReliableProvisionals::Off;
    SUPPORTED.split(", ").filter(move |tag| reliable || *tag != "100rel")
}

impl UserAgent {
    /// The value of Supported.
    pub(super) fn supported(&self) -> String {
        self.supported.clone()
    }

    /// The URI of our Contact on a flow. The far end's proxy comes back over the connection that it names.
    pub(super) fn contact_uri(&self, flow: &Flow) -> String {
        self.contact_uri_of(self.config.contact_user.as_deref().or(self.config.aor.user()), flow)
    }

    fn contact_uri_of(&self, user: Option<&str>, flow: &Flow) -> String {
        let (user, at) = user.map_or(("", ""), |user| (user, "@"));
        let (param, transport) = match flow.transport() {
            Transport::Udp => ("", ""),
            Transport::Tcp => (";transport=", "tcp"),
            Transport::Tls => (";transport=", "tls"),
            Transport::Sctp => (";transport=", "sctp"),
            Transport::Ws => (";transport=", "ws"),
            Transport::Wss => (";transport=", "wss"),
        };
        ["sip:", user, at, flow.sent_by(), param, transport].concat()
    }

    /// The value of our Contact within dialogs: the GRUU where the registrar made one (RFC 5627 section 4.4), else our
    /// address on the flow, without our user part when who we are is hidden. A stream beside datagrams is no way to us.
    pub(super) fn contact_value(&self, flow: FlowId, hidden: bool) -> Option<String> {
        let gruu = self.gruu();
        let gruu = gruu.and_then(|gruu| if hidden { gruu.temporary.as_ref() } else { gruu.public.as_ref() });
        if let Some(gruu) = gruu {
            return Some(format!("<{gruu}>"));
        }
        let flow = self.flows.get(&self.principal(flow))?;
        let uri = if hidden { self.contact_uri_of(Some(NOBODY), flow) } else { self.contact_uri(flow) };
        Some(format!("<{uri}>"))
    }

    /// The value of our Contact in a REGISTER (RFC 5626 section 4.1).
    pub(super) fn register_contact(&self, flow: &Flow, reg_id: u32, expires: u32) -> String {
        let mut value = format!("<{}>", self.contact_uri(flow));
        if let Some(instance) = &self.config.instance_id {
            value.push_str(&format!(";+sip.instance=\"<urn:uuid:{instance}>\""));
            if self.outbound {
                value.push_str(&format!(";reg-id={reg_id}"));
            }
        }
        value.push_str(&format!(";expires={expires}"));
        value
    }

    /// The routes of a request outside a dialog: the registrar's Service-Route (RFC 3608), else the outbound proxy.
    pub(super) fn preloaded_routes(&self) -> Vec<String> {
        if let Some(routes) = self.service_route().filter(|routes| !routes.is_empty()) {
            return routes.to_vec();
        }
        self.config.route.iter().map(loose).collect()
    }

    /// The outbound proxy alone, as for a REGISTER.
    pub(super) fn outbound_route(&self) -> Vec<String> {
        self.config.route.iter().map(loose).collect()
    }

    /// The request with what every request of ours says.
    pub(super) fn signed(&self, outline: Outline) -> Outline {
        outline.with(Name::UserAgent, self.config.user_agent.clone())
    }

    /// The request with what an INVITE says beside its offer.
    pub(super) fn with_abilities(&self, outline: Outline, flow: FlowId) -> Outline {
        let contact = self.contact_value(flow, is_private(&outline)).unwrap_or_default();
        self.signed(
            outline
                .with(Name::Contact, contact)
                .with(Name::Allow, ALLOW)
                .with(Name::Supported, self.supported()),
        )
    }

    /// The session interval that a new call asks for, in seconds.
    pub(super) fn session_interval(&self) -> Option<u32> {
        let interval = self.config.session_interval?;
        Some(u32::try_from(interval.as_secs()).unwrap_or(u32::MAX).max(SHORTEST))
    }

    /// A request outside any dialog.
    pub(super) fn outside_dialog(
        &mut self,
        method: Method,
        uri: &Uri,
        from_tag: &str,
        privacy: Privacy,
    ) -> Result<Outline, BuildError> {
        let headers = match privacy {
            Privacy::Off => Vec::new(),
            Privacy::Anonymous => vec![(Name::Privacy, PRIVATE.to_owned())],
        };
        Ok(Outline {
            method,
            uri: uri.to_string(),
            routes: self.preloaded_routes(),
            from: self.sender(from_tag, privacy)?,
            to: format!("<{uri}>"),
            call_id: self.ident.call_id(),
            cseq: self.ident.cseq(),
            headers,
            body: None,
        })
    }

    /// The response with what every response of ours says.
    pub(super) fn served(&self, builder: ResponseBuilder) -> ResponseBuilder {
        builder.header(Name::Server, &self.config.user_agent)
    }
}

/// A proxy that we name must stay loose: a strict one would have to be written otherwise.
fn loose(uri: &Uri) -> String {
    if uri.is_loose_router() { format!("<{uri}>") } else { format!("<{uri};lr>") }
}
