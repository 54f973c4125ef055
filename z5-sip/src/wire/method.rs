//! Request methods: an open set, compared case-sensitively (RFC 3261 section 7.1).

use std::fmt;

use super::chars;

macro_rules! methods {
    ($($variant:ident $text:literal $doc:literal),* $(,)?) => {
        /// A request method. Unknown ones are kept as they were written.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Method {
            $(#[doc = $doc] $variant,)*
            /// Any other token, letter case kept: methods are case-sensitive.
            Other(Box<str>),
        }

        impl Method {
            /// From its letters; `None` when they are no token.
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                $(if bytes == $text.as_bytes() { return Some(Self::$variant); })*
                if !chars::all_token(bytes) {
                    return None;
                }
                chars::text(bytes).map(|text| Self::Other(text.into()))
            }

            /// Its letters.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }
    };
}

methods! {
    Invite "INVITE" "RFC 3261.",
    Ack "ACK" "RFC 3261.",
    Bye "BYE" "RFC 3261.",
    Cancel "CANCEL" "RFC 3261.",
    Register "REGISTER" "RFC 3261.",
    Options "OPTIONS" "RFC 3261.",
    Prack "PRACK" "RFC 3262.",
    Update "UPDATE" "RFC 3311.",
    Info "INFO" "RFC 6086.",
    Message "MESSAGE" "RFC 3428.",
    Refer "REFER" "RFC 3515.",
    Subscribe "SUBSCRIBE" "RFC 6665.",
    Notify "NOTIFY" "RFC 6665.",
    Publish "PUBLISH" "RFC 3903.",
}

impl Method {
    /// False for a method this crate has no name for.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_survive_and_case_matters() {
        assert_eq!(Method::from_bytes(b"INVITE"), Some(Method::Invite));
        assert_eq!(Method::from_bytes(b"invite"), Some(Method::Other("invite".into())));
        assert_eq!(Method::from_bytes(b"RE%47IST%45R").map(|m| m.is_known()), Some(false));
        assert_eq!(Method::from_bytes(b""), None);
        assert_eq!(Method::from_bytes(b"A B"), None);
    }
}
