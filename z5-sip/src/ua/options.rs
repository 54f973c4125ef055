//! What a call may ask for beside its target and its offer. The default asks for nothing.

use super::UserAgent;
use super::extras::{CallInfo, Location};
use crate::multipart::BodyPart;
use crate::request::Outline;
use crate::wire::{Address, BuildError, Name};

/// The options of a [`super::Command::Invite`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallOptions {
    /// Whether the far end may learn who calls.
    pub privacy: Privacy,
    /// The value of Replaces (RFC 3891): the call is to take the place of another one of the far end's. Required then, so
    /// that a far end without the extension does not ring instead.
    pub replaces: Option<String>,
    /// The value of Referred-By (RFC 3892): who asked for the call.
    pub referred_by: Option<String>,
    /// Let the far end make the offer: the INVITE has none, and what we can do answers the one in the 2xx or in a
    /// reliable provisional response.
    pub late_offer: bool,
    /// Call-Info of this call, beside the account's.
    pub call_info: Vec<CallInfo>,
    /// Where the caller is; sent with `Geolocation-Routing: yes`, so that proxies may route by it.
    pub location: Option<Location>,
    /// Parts of the body beside the session description, such as those that `call_info` refers to.
    pub parts: Vec<BodyPart>,
}

/// Whether the far end may learn who calls (RFC 3323, RFC 3325).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Privacy {
    /// From names the address of record.
    #[default]
    Off,
    /// The call is anonymous: From is `"Anonymous" <sip:anonymous@anonymous.invalid>`, the Contact has no user part of
    /// ours, and `Privacy: id` asks the network to keep the identity it asserts to itself. It holds for every request
    /// of the call. The one place where the account's name stays is the digest user name in Authorization and
    /// Proxy-Authorization: without it nobody could answer a challenge, and the proxy that asked takes it away.
    Anonymous,
}

/// The From of an anonymous call (RFC 3323 section 4.1.1.3, RFC 9248 section 5.2.1).
const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// What an anonymous request says in Privacy. The user-level part (From, Contact) is done here, so that only the
/// identity that the network asserts is left to ask for (RFC 3323 section 4.2, RFC 3325 section 9.3).
pub(super) const PRIVATE: &str = "id";

/// The user part of an anonymous Contact.
pub(super) const NOBODY: &str = "anonymous";

impl UserAgent {
    /// The value of our From: name, address of record and the tag; anonymous when that is wished.
    pub(super) fn sender(&self, tag: &str, privacy: Privacy) -> Result<String, BuildError> {
        match privacy {
            Privacy::Off => {
                let name = self.config.display_name.as_deref().unwrap_or_default();
                Address::named(name, &self.config.aor).tag(tag).to_value()
            }
            Privacy::Anonymous => Ok(format!("{ANONYMOUS};tag={tag}")),
        }
    }
}

/// Whether a request of ours hides who sends it.
pub(super) fn is_private(outline: &Outline) -> bool {
    outline.headers.iter().any(|(name, _)| *name == Name::Privacy)
}
