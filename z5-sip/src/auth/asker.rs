//! Who may ask for credentials, and which (RFC 3261 section 22.1: a realm is good for its own server alone).
//!
//! Whoever answers a request can write a challenge into the answer: the far end of a call, too, with a realm that is not its
//! own and a nonce of its choice. Credentials that name no realm are therefore answered to a registrar's realm whatever it is
//! called, and to nobody else's: not to a far end on another host, and not to a 401 behind a proxy that has let the same realm's
//! credentials through already. What is left: a far end of our own domain whose proxy asks nobody.

use super::Credentials;
use crate::wire::{Challenge, Message, Name};

/// Who answers a request of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Asker {
    /// The registrar, or a proxy before it.
    #[default]
    Registrar,
    /// A server of our own domain, or who stands behind it.
    Home,
    /// Anyone. Proxies on the way may ask all the same.
    Stranger,
}

/// The realms that credentials without a realm of their own are good for.
#[derive(Clone, Debug, Default)]
pub(super) struct Realms {
    /// The domain of the account.
    pub(super) home: Option<String>,
    /// What registrars and the proxies before them called theirs. Where neither is known they are good for any realm.
    pub(super) learned: Vec<String>,
}

impl Realms {
    /// Whether these credentials may answer a challenge of `realm` to `request`.
    pub(super) fn allow(
        &self,
        own: &Credentials,
        (realm, proxy): (&str, bool),
        asker: Asker,
        request: &Message,
    ) -> bool {
        if !own.answers(realm) || (!proxy && asker == Asker::Stranger) {
            return false;
        }
        if own.realm().is_some() || asker == Asker::Registrar {
            return true;
        }
        let unbound = self.home.is_none() && self.learned.is_empty();
        let learned = self.learned.iter().any(|learned| learned == realm);
        let home = self.home.as_ref().is_some_and(|home| home.eq_ignore_ascii_case(realm));
        let passed = shows(request, Name::ProxyAuthorization, realm);
        let behind = !proxy && passed && !shows(request, Name::Authorization, realm);
        (unbound || learned || home) && !behind
    }
}

/// Whether a request carries credentials for a realm.
fn shows(request: &Message, name: Name<'static>, realm: &str) -> bool {
    let mut fields = request.headers(name).filter_map(|value| Challenge::parse(value).ok());
    fields.any(|used| used.realm().as_deref() == Some(realm))
}
