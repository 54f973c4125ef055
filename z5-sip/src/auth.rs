//! Digest access authentication, both ends (RFC 7616, RFC 8760, RFC 3261 section 22, RFC 2617 for peers
//! that offer no qop).
//!
//! [`Authenticator`] answers challenges, [`Verifier`] makes and checks them, [`digest`] is the arithmetic.
//! Basic and every other scheme are ignored. Credentials answer only the realm they are for.

mod asker;
mod client;
pub mod digest;
mod mutual;
mod server;

pub use asker::Asker;
pub use client::{AuthFailure, Authenticator, Preference};
pub use mutual::ServerProof;
pub use server::{Check, Verifier};

use std::fmt;

use zeroize::Zeroizing;

/// A user name and password, and the realm they are for.
#[derive(Clone)]
pub struct Credentials {
    username: String,
    password: Zeroizing<String>,
    realm: Option<String>,
}

impl Credentials {
    /// For whatever realm the server names; see [`Self::for_realm`].
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: Zeroizing::new(password.into()), realm: None }
    }

    /// For this realm only: a challenge of any other realm is not answered with them.
    pub fn for_realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// The user name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The realm they are bound to.
    pub fn realm(&self) -> Option<&str> {
        self.realm.as_deref()
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    pub(crate) fn answers(&self, realm: &str) -> bool {
        self.realm.as_deref().is_none_or(|own| own == realm)
    }
}

/// Neither name nor password: both may not reach a log.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("realm", &self.realm).finish_non_exhaustive()
    }
}
