//! Where the address book is and who we are there: what the configuration says, else what the sign-in says, else the usual place.

use std::net::IpAddr;

use super::locating::HTTPS_PORT;
use super::trust::{Trust, is_host};
use super::{ADDRESS_BOOK, bad};
use crate::config::{ContactsProtocol, HostPort};
use crate::error::ProvisionError;
use crate::machine::exchange::Server;
use crate::machine::mcs::{at_uri, https_uri};
use crate::machine::plan::{BookPlan, McsPlan, Plan};
use crate::machine::resolve::Resolved;
use crate::machine::sign_in::{Account, Named, SignedIn};
use crate::secret::Secret;

/// How much is known of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// All: step 1 found its addresses.
    Known,
    /// Its name and port.
    Host,
    /// The domain that it serves, in place of its name (RFC 6764).
    Domain,
}

/// An address book on a server.
#[derive(Debug, Clone)]
pub(crate) struct BookPlace {
    pub(crate) server: Server,
    pub(crate) whereabouts: Whereabouts,
    pub(crate) trust: Trust,
    pub(crate) protocol: ContactsProtocol,
    /// CardDAV: the collection, with the slash at its end; `/` when only the host is known. xCard: path and query of the list.
    pub(crate) path: String,
    pub(crate) username: String,
    pub(crate) password: Secret,
}

impl BookPlace {
    /// The server as a URI without a path: whichever of them serves a domain, its collection is the same one.
    pub(super) fn origin(&self) -> String {
        match (self.whereabouts, &self.trust.domain) {
            (Whereabouts::Domain, Some(domain)) => format!("carddavs://{}", domain.to_ascii_lowercase()),
            _ => format!("https://{}:{}", self.server.host, self.server.port),
        }
    }

    /// It is said by somebody to be where our credentials must not go.
    pub(super) fn foreign(&self, by: &'static str, server: String) -> ProvisionError {
        let ours = self.trust.words(&format!("{}:{}", self.server.host, self.server.port));
        ProvisionError::ForeignServer { by, server, ours }
    }

    /// The collection has to be looked for.
    pub(crate) fn is_host_alone(&self) -> bool {
        self.protocol == ContactsProtocol::CardDav && self.path == "/"
    }
}

/// None where there is no address book.
///
/// # Errors
/// When it is at a server that step 1 did not resolve, or of a kind that the sign-in does not name.
pub(crate) fn book_place(
    plan: &Plan,
    resolved: &Resolved,
    signed_in: Option<&SignedIn>,
) -> Result<Option<BookPlace>, ProvisionError> {
    let account = signed_in.map(|signed_in| &signed_in.account);
    if let Some(book) = &plan.contacts.at {
        return configured(book, plan, resolved, account);
    }
    let (Some(account), Some(mcs)) = (account, &plan.mcs) else { return Ok(None) };
    named(plan, account, mcs, resolved).map(Some)
}

fn configured(
    book: &BookPlan,
    plan: &Plan,
    resolved: &Resolved,
    account: Option<&Account>,
) -> Result<Option<BookPlace>, ProvisionError> {
    let BookPlan { host, port, path, credentials } = book;
    let of_account = || account.map(|account| (account.user_name.clone(), account.sip_password.clone()));
    let of_sip = || {
        let account = plan.sip.account.as_ref()?;
        Some((account.auth_username.clone(), account.password.clone()))
    };
    let credentials = credentials.clone().or_else(of_account).or_else(of_sip);
    let addresses = resolved.addresses(host).ok_or_else(|| ProvisionError::BadReply {
        phase: ADDRESS_BOOK,
        field: "contacts.uri".to_owned(),
        why: format!("`{host}` was not resolved"),
    })?;
    let server = Server { host: host.clone(), port: *port, addresses: addresses.to_vec() };
    let (path, protocol) = (path.clone(), plan.contacts.protocol.unwrap_or_default());
    let (whereabouts, trust) = (Whereabouts::Known, servers(plan));
    let place =
        |(username, password)| BookPlace { server, whereabouts, trust, protocol, path, username, password };
    Ok(credentials.map(place))
}

/// Where the sign-in says it is: the CardDAV collection, the CardDAV domain, the xCard list, in that order where nothing is preferred.
fn named(
    plan: &Plan,
    account: &Account,
    mcs: &McsPlan,
    resolved: &Resolved,
) -> Result<BookPlace, ProvisionError> {
    let wanted = plan.contacts.protocol;
    let xcard = account.xcard.as_ref().filter(|_| wanted != Some(ContactsProtocol::CardDav));
    let dav = wanted != Some(ContactsProtocol::Xcard);
    let sip = (account.user_name.clone(), account.sip_password.clone());
    let who = |named: &Named| named.credentials.clone().unwrap_or_else(|| sip.clone());
    let (uri, protocol, (username, password)) = match (&account.address_book_uri, &account.carddav, xcard) {
        (Some(uri), _, _) if dav => (uri.clone(), ContactsProtocol::CardDav, sip.clone()),
        (_, Some(named), _) if dav => return of_domain(named, who(named), plan, resolved),
        (_, _, Some(named)) => (named.at.clone(), ContactsProtocol::Xcard, who(named)),
        _ if dav => {
            let usual =
                format!("https://{}:{}/carddav/{}/default/", mcs.host, mcs.https_port, account.user_name);
            (usual, ContactsProtocol::CardDav, sip.clone())
        }
        _ => {
            let why = "the sign-in names no list of xCards, and `contacts.protocol` is \"xcard\"".to_owned();
            return Err(bad("contacts-uri", why));
        }
    };
    let (server, path) = at_uri(&uri, resolved)?;
    let slash = protocol == ContactsProtocol::CardDav && !path.ends_with('/');
    let path = if slash { format!("{path}/") } else { path };
    let (whereabouts, trust) = (Whereabouts::Known, servers(plan));
    Ok(BookPlace { server, whereabouts, trust, protocol, path, username, password })
}

/// What the sign-in calls `carddav-domain`: a domain (RFC 9248 section 9.2.2), or, beyond its words, a host with a port.
fn of_domain(
    named: &Named,
    (username, password): (String, Secret),
    plan: &Plan,
    resolved: &Resolved,
) -> Result<BookPlace, ProvisionError> {
    let wrong = || bad("carddav-domain", format!("`{}` is no domain", named.at));
    let at: HostPort = named.at.trim().trim_end_matches('/').parse().map_err(|_| wrong())?;
    let host = at.host.trim_end_matches('.').to_owned();
    if !is_host(&host) {
        return Err(wrong());
    }
    let fixed = || plan.fixed_addresses(&host);
    let known = match at.port {
        Some(_) => resolved.addresses(&host).map(<[IpAddr]>::to_vec).or_else(fixed),
        // The SRV records come before what the name itself leads to, unless the name is not asked about at all.
        None => fixed(),
    };
    let whereabouts = match (&known, at.port) {
        (Some(_), _) => Whereabouts::Known,
        (None, Some(_)) => Whereabouts::Host,
        (None, None) => Whereabouts::Domain,
    };
    // With a port it is a host, and what is beneath it or on other ports is not vouched for.
    let trust = Trust { domain: at.port.is_none().then(|| host.clone()), ..servers(plan) };
    let port = at.port.unwrap_or(HTTPS_PORT);
    let server = Server { host, port, addresses: known.unwrap_or_default() };
    let (protocol, path) = (ContactsProtocol::CardDav, "/".to_owned());
    Ok(BookPlace { server, whereabouts, trust, protocol, path, username, password })
}

/// No host but those that the configuration names.
fn servers(plan: &Plan) -> Trust {
    Trust { domain: None, servers: plan.contacts.servers.clone() }
}

/// The place of a configured URI.
///
/// # Errors
/// What is wrong, in words that follow the URI.
pub(crate) fn configured_uri(
    uri: &str,
    protocol: ContactsProtocol,
) -> Result<(String, u16, String), &'static str> {
    let (host, port, path) = https_uri(uri)?;
    let path = match protocol {
        ContactsProtocol::CardDav if !path.ends_with('/') => format!("{path}/"),
        ContactsProtocol::CardDav | ContactsProtocol::Xcard => path,
    };
    Ok((host, port, path))
}
