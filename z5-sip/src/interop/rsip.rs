//! Conversions to and from the types of the `rsip` crate (0.4), with refusals.
//!
//! rsip cannot say everything that is legal SIP; what it cannot say is refused with the reason, nothing is
//! silently changed. Bytes are not kept on the way through rsip: names become long, folds become blanks.

#[cfg(test)]
mod tests;

use rsip::headers::untyped::UntypedHeader;
use rsip::headers::{Header, Headers};
use rsip::{Param, Scheme as RsipScheme, SipMessage};

use crate::wire::{
    BuildError, Draft, Host, HostError, Message, Method, Name, Scheme, StartLine, Uri, UriError, UriRef,
    reason_phrase,
};

/// Why a message or URI does not fit into the other crate's types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// rsip knows a closed set of methods.
    #[error("rsip has no method {0}")]
    Method(String),
    /// Only SIP/2.0 is converted.
    #[error("the version is not SIP/2.0")]
    Version,
    /// The status is out of range.
    #[error("the status is not from 100 to 699")]
    Status,
    /// rsip prints other schemes with two slashes.
    #[error("rsip cannot carry a URI of the scheme {0}")]
    Scheme(String),
    /// rsip prints IPv6 addresses without brackets.
    #[error("rsip cannot carry an IPv6 address in a URI")]
    Ipv6,
    /// rsip has no headers in URIs.
    #[error("rsip cannot carry the headers of a URI")]
    UriHeaders,
    /// A header value or phrase is no UTF-8, or has control bytes.
    #[error("{0} is not plain text")]
    NotText(String),
    /// Our own URI is malformed, or rsip's prints as no URI.
    #[error("malformed URI: {0}")]
    Uri(#[from] UriError),
    /// Our own side refuses what came from rsip.
    #[error("{0}")]
    Build(#[from] BuildError),
    /// A parameter rsip's types cannot hold.
    #[error("rsip cannot carry the URI parameter {0}")]
    Param(String),
}

/// Our message as rsip's. Several Vias in one field become several fields, for rsip reads only the first.
/// A phrase other than the registered one makes the status an `Other`, which keeps it.
pub fn to_rsip(message: &Message) -> Result<SipMessage, Refusal> {
    if !message.version().eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(Refusal::Version);
    }
    let headers = headers_to_rsip(message)?;
    let body = message.body().to_vec();
    match message.start() {
        StartLine::Request { method, uri, .. } => Ok(SipMessage::Request(rsip::Request {
            method: method_to_rsip(&method)?,
            uri: uri_to_rsip(UriRef::parse(uri)?)?,
            version: rsip::Version::V2,
            headers,
            body,
        })),
        StartLine::Response { status: 0, .. } => Err(Refusal::Status),
        StartLine::Response { status, reason, .. } => {
            let reason = plain("the reason phrase", reason)?;
            let status_code = if reason.eq_ignore_ascii_case(reason_phrase(status)) {
                rsip::StatusCode::from(status)
            } else {
                rsip::StatusCode::Other(status, reason)
            };
            Ok(SipMessage::Response(rsip::Response {
                status_code,
                version: rsip::Version::V2,
                headers,
                body,
            }))
        }
    }
}

/// rsip's message as ours, checked like anything that comes from a caller.
pub fn from_rsip(message: &SipMessage) -> Result<Message, Refusal> {
    if *message.version() != rsip::Version::V2 {
        return Err(Refusal::Version);
    }
    let (mut draft, headers, body) = match message {
        SipMessage::Request(request) => {
            let uri = uri_from_rsip(&request.uri)?;
            let method = request.method.to_string();
            let draft = Draft::request(method.as_bytes(), uri.as_str().as_bytes());
            (draft, &request.headers, &request.body)
        }
        SipMessage::Response(response) => {
            let status = response.status_code.code();
            if !(100..700).contains(&status) {
                return Err(Refusal::Status);
            }
            let reason = if let rsip::StatusCode::Other(_, reason) = &response.status_code {
                plain("the reason phrase", reason.as_bytes())?
            } else {
                reason_phrase(status).to_owned()
            };
            (Draft::response(status, reason.as_bytes()), &response.headers, &response.body)
        }
    };
    for header in headers.iter() {
        let text = header.to_string();
        let (name, value) = text.split_once(':').unwrap_or((&text, ""));
        let name = Name::from_bytes(name.trim_end().as_bytes()).ok_or(BuildError::BadName)?;
        draft.header(name, value.trim_start_matches(' ').as_bytes());
    }
    draft.raw_body(body.clone().into());
    Ok(draft.build()?)
}

/// Our method as rsip's.
pub fn method_to_rsip(method: &Method) -> Result<rsip::Method, Refusal> {
    Ok(match method {
        Method::Invite => rsip::Method::Invite,
        Method::Ack => rsip::Method::Ack,
        Method::Bye => rsip::Method::Bye,
        Method::Cancel => rsip::Method::Cancel,
        Method::Register => rsip::Method::Register,
        Method::Options => rsip::Method::Options,
        Method::Prack => rsip::Method::PRack,
        Method::Update => rsip::Method::Update,
        Method::Info => rsip::Method::Info,
        Method::Message => rsip::Method::Message,
        Method::Refer => rsip::Method::Refer,
        Method::Subscribe => rsip::Method::Subscribe,
        Method::Notify => rsip::Method::Notify,
        Method::Publish => rsip::Method::Publish,
        Method::Other(text) => return Err(Refusal::Method(text.to_string())),
    })
}

/// Our URI as rsip's: sip and sips, names and IPv4 addresses.
pub fn uri_to_rsip(uri: UriRef<'_>) -> Result<rsip::Uri, Refusal> {
    let scheme = match uri.scheme() {
        Scheme::Sip => RsipScheme::Sip,
        Scheme::Sips => RsipScheme::Sips,
        Scheme::Tel | Scheme::Urn | Scheme::Other => {
            return Err(Refusal::Scheme(uri.scheme_text().to_owned()));
        }
    };
    if uri.headers().is_some() {
        return Err(Refusal::UriHeaders);
    }
    let host = match uri.host() {
        Some(Host::Name(name)) => rsip::Host::Domain(name.into()),
        Some(Host::V4(address)) => rsip::Host::IpAddr(address.into()),
        Some(Host::V6(_)) => return Err(Refusal::Ipv6),
        None => return Err(Refusal::Uri(UriError::Host(HostError::Empty))),
    };
    let auth = uri
        .user()
        .map(|user| rsip::Auth { user: user.to_owned(), password: uri.password().map(str::to_owned) });
    let mut params = Vec::new();
    for param in uri.params().iter() {
        let name = plain("a URI parameter", param.name)?;
        let value = param.value.map(|value| plain("a URI parameter", value)).transpose()?;
        params.push(param_to_rsip(&name, value));
    }
    let host_with_port = rsip::HostWithPort { host, port: uri.port().map(Into::into) };
    Ok(rsip::Uri { scheme: Some(scheme), auth, host_with_port, params, headers: Vec::new() })
}

/// rsip's URI as ours.
pub fn uri_from_rsip(uri: &rsip::Uri) -> Result<Uri, Refusal> {
    if let Some(RsipScheme::Other(scheme)) = &uri.scheme {
        return Err(Refusal::Scheme(scheme.clone()));
    }
    if matches!(uri.host(), rsip::Host::IpAddr(address) if address.is_ipv6()) {
        return Err(Refusal::Ipv6);
    }
    if !uri.headers.is_empty() {
        return Err(Refusal::UriHeaders);
    }
    Ok(Uri::parse(&uri.to_string())?)
}

/// The typed variant only where it prints what was there.
fn param_to_rsip(name: &str, value: Option<String>) -> Param {
    let is = |wanted: &str| name == wanted;
    match value {
        None if is("lr") => Param::Lr,
        Some(value) if is("user") => Param::User(value.into()),
        Some(value) if is("maddr") => Param::Maddr(value.into()),
        Some(value) if is("transport") => match value.as_str() {
            "udp" | "UDP" => Param::Transport(rsip::Transport::Udp),
            "tcp" | "TCP" => Param::Transport(rsip::Transport::Tcp),
            "tls" | "TLS" => Param::Transport(rsip::Transport::Tls),
            "ws" | "WS" => Param::Transport(rsip::Transport::Ws),
            "wss" | "WSS" => Param::Transport(rsip::Transport::Wss),
            _ => Param::Other(name.into(), Some(value.into())),
        },
        value => Param::Other(name.into(), value.map(Into::into)),
    }
}

fn headers_to_rsip(message: &Message) -> Result<Headers, Refusal> {
    let mut headers = Headers::default();
    for (name, value) in message.all_headers() {
        if name == Name::Via {
            for via in crate::wire::Values::new(value) {
                headers.push(header_to_rsip(name, plain("Via", via)?));
            }
        } else {
            headers.push(header_to_rsip(name, plain(name.as_str(), value)?));
        }
    }
    Ok(headers)
}

macro_rules! headers {
    ($($name:ident),* $(,)?) => {
        fn header_to_rsip(name: Name<'_>, value: String) -> Header {
            $(if name == Name::$name {
                return Header::$name(rsip::headers::$name::new(value));
            })*
            Header::Other(name.as_str().to_owned(), value)
        }
    };
}

headers! {
    Via, From, To, CallId, CSeq, Contact, MaxForwards, ContentLength, ContentType, Route, RecordRoute, Allow,
    Supported, Require, Expires, UserAgent, Server, Authorization, ProxyAuthorization, WwwAuthenticate,
    ProxyAuthenticate, AuthenticationInfo, Accept, AcceptEncoding, AcceptLanguage, AlertInfo, CallInfo,
    ContentDisposition, ContentEncoding, ContentLanguage, Date, ErrorInfo, Event, InReplyTo, MimeVersion,
    MinExpires, Organization, Priority, ProxyRequire, ReplyTo, RetryAfter, Subject, SubscriptionState,
    Timestamp, Unsupported, Warning,
}

/// UTF-8 on one line, folds as blanks.
fn plain(what: &str, value: &[u8]) -> Result<String, Refusal> {
    let refusal = || Refusal::NotText(what.to_owned());
    let text = std::str::from_utf8(value).map_err(|_| refusal())?;
    let text: String = text.chars().map(|c| if matches!(c, '\r' | '\n' | '\t') { ' ' } else { c }).collect();
    if text.contains(char::is_control) { Err(refusal()) } else { Ok(text) }
}
