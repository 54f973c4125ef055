//! Where the address book is and who we are there: what the configuration says, else what the sign-in says, else the usual place.

use super::{ADDRESS_BOOK, bad};
use crate::config::ContactsProtocol;
use crate::error::ProvisionError;
use crate::machine::exchange::Server;
use crate::machine::mcs::{at_uri, https_uri};
use crate::machine::plan::{BookPlan, McsPlan, Plan};
use crate::machine::resolve::Resolved;
use crate::machine::sign_in::{Account, Named, SignedIn};
use crate::secret::Secret;

/// An address book on a server.
#[derive(Debug, Clone)]
pub(crate) struct BookPlace {
    pub(crate) server: Server,
    pub(crate) protocol: ContactsProtocol,
    /// CardDAV: the collection, with the slash at its end; `/` when only the host is known. xCard: path and query of the list.
    pub(crate) path: String,
    pub(crate) username: String,
    pub(crate) password: Secret,
}

impl BookPlace {
    /// The server as a URI without a path.
    pub(crate) fn origin(&self) -> String {
        format!("https://{}:{}", self.server.host, self.server.port)
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
    named(plan.contacts.protocol, account, mcs, resolved).map(Some)
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
    Ok(credentials.map(|(username, password)| BookPlace { server, protocol, path, username, password }))
}

/// Where the sign-in says it is: the CardDAV collection, the CardDAV domain, the xCard list, in that order where nothing is preferred.
fn named(
    wanted: Option<ContactsProtocol>,
    account: &Account,
    mcs: &McsPlan,
    resolved: &Resolved,
) -> Result<BookPlace, ProvisionError> {
    let xcard = account.xcard.as_ref().filter(|_| wanted != Some(ContactsProtocol::CardDav));
    let dav = wanted != Some(ContactsProtocol::Xcard);
    let sip = (account.user_name.clone(), account.sip_password.clone());
    let who = |named: &Named| named.credentials.clone().unwrap_or_else(|| sip.clone());
    let (uri, protocol, (username, password)) = match (&account.address_book_uri, &account.carddav, xcard) {
        (Some(uri), _, _) if dav => (uri.clone(), ContactsProtocol::CardDav, sip.clone()),
        (_, Some(named), _) if dav => {
            (format!("https://{}/", named.at), ContactsProtocol::CardDav, who(named))
        }
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
    Ok(BookPlace { server, protocol, path, username, password })
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
