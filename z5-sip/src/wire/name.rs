//! Header field names: case-insensitive, with the registered compact forms, and open.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::chars;

/// The id under which the index files a name it does not know.
pub(crate) const OTHER: u8 = u8::MAX;

macro_rules! names {
    ($($variant:ident $text:literal $(($compact:literal))?),* $(,)?) => {
        /// The name of a header field.
        ///
        /// `Other` is for names without a variant; it also matches a known name written out, so that
        /// `Name::Other("via")` and `Name::Via` are equal and find the same fields.
        #[derive(Debug, Clone, Copy)]
        #[allow(missing_docs, reason = "each variant is the name it says")]
        pub enum Name<'a> {
            $($variant,)*
            /// Any other token.
            Other(&'a str),
        }

        #[expect(clippy::enum_variant_names, reason = "each variant is the name it says")]
        #[repr(u8)]
        enum Id { $($variant),* }

        static KNOWN: &[(Name<'static>, &str, u8)] = &[
            $((Name::$variant, $text, names!(@compact $($compact)?)),)*
        ];

        impl<'a> Name<'a> {
            /// The form that is sent.
            pub fn as_str(&self) -> &'a str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }

            /// The number under which the index files it; `OTHER` when it has none.
            pub(crate) fn id(&self) -> u8 {
                match self {
                    $(Self::$variant => Id::$variant as u8,)*
                    Self::Other(text) => id_of(text.as_bytes()),
                }
            }
        }
    };
    (@compact $compact:literal) => { $compact };
    (@compact) => { 0 };
}

names! {
    Accept "Accept",
    AcceptContact "Accept-Contact" (b'a'),
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AlertInfo "Alert-Info",
    Allow "Allow",
    AllowEvents "Allow-Events" (b'u'),
    AuthenticationInfo "Authentication-Info",
    Authorization "Authorization",
    CallId "Call-ID" (b'i'),
    CallInfo "Call-Info",
    Contact "Contact" (b'm'),
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding" (b'e'),
    ContentId "Content-ID",
    ContentLanguage "Content-Language",
    ContentLength "Content-Length" (b'l'),
    ContentType "Content-Type" (b'c'),
    CSeq "CSeq",
    Date "Date",
    Diversion "Diversion",
    ErrorInfo "Error-Info",
    Event "Event" (b'o'),
    Expires "Expires",
    FlowTimer "Flow-Timer",
    From "From" (b'f'),
    Geolocation "Geolocation",
    GeolocationError "Geolocation-Error",
    GeolocationRouting "Geolocation-Routing",
    HistoryInfo "History-Info",
    Identity "Identity" (b'y'),
    InfoPackage "Info-Package",
    InReplyTo "In-Reply-To",
    Join "Join",
    MaxForwards "Max-Forwards",
    MimeVersion "MIME-Version",
    MinExpires "Min-Expires",
    MinSe "Min-SE",
    Organization "Organization",
    PAssertedIdentity "P-Asserted-Identity",
    PAssociatedUri "P-Associated-URI",
    PPreferredIdentity "P-Preferred-Identity",
    Path "Path",
    Priority "Priority",
    Privacy "Privacy",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthenticationInfo "Proxy-Authentication-Info",
    ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require",
    RAck "RAck",
    Reason "Reason",
    RecordRoute "Record-Route",
    RecvInfo "Recv-Info",
    ReferSub "Refer-Sub",
    ReferTo "Refer-To" (b'r'),
    ReferredBy "Referred-By" (b'b'),
    RejectContact "Reject-Contact" (b'j'),
    Replaces "Replaces",
    ReplyTo "Reply-To",
    RequestDisposition "Request-Disposition" (b'd'),
    Require "Require",
    RetryAfter "Retry-After",
    Route "Route",
    RSeq "RSeq",
    Server "Server",
    ServiceRoute "Service-Route",
    SessionExpires "Session-Expires" (b'x'),
    SipEtag "SIP-ETag",
    SipIfMatch "SIP-If-Match",
    Subject "Subject" (b's'),
    SubscriptionState "Subscription-State",
    Supported "Supported" (b'k'),
    Timestamp "Timestamp",
    To "To" (b't'),
    Unsupported "Unsupported",
    UserAgent "User-Agent",
    Via "Via" (b'v'),
    Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

/// Slots of the name table: a power of two, sparse enough for short probes.
const SLOTS: usize = 512;

/// Length, first, middle and last letter separate all registered names well; a rare clash probes on.
const fn slot(name: &[u8]) -> usize {
    let first = (name[0] | 0x20) as usize;
    let middle = (name[name.len() / 2] | 0x20) as usize;
    let last = (name[name.len() - 1] | 0x20) as usize;
    (name.len() * 31 + first * 7 + middle * 67 + last * 13) & (SLOTS - 1)
}

static TABLE: [u8; SLOTS] = {
    let mut table = [OTHER; SLOTS];
    let mut id = 0;
    while id < KNOWN.len() {
        let mut at = slot(KNOWN[id].1.as_bytes());
        while table[at] != OTHER {
            at = (at + 1) & (SLOTS - 1);
        }
        table[at] = id as u8;
        id += 1;
    }
    table
};

static COMPACT: [u8; 256] = {
    let mut table = [OTHER; 256];
    let mut id = 0;
    while id < KNOWN.len() {
        let letter = KNOWN[id].2;
        if letter != 0 {
            table[letter as usize] = id as u8;
            table[letter.to_ascii_uppercase() as usize] = id as u8;
        }
        id += 1;
    }
    table
};

/// The id of a name as written, compact or long, in any letter case.
pub(crate) fn id_of(name: &[u8]) -> u8 {
    match name {
        [] => OTHER,
        [letter] => COMPACT[usize::from(*letter)],
        _ => {
            let mut at = slot(name);
            loop {
                let id = TABLE[at];
                if id == OTHER {
                    return OTHER;
                }
                // Nearly everyone writes names as they are registered.
                let known = KNOWN[usize::from(id)].1.as_bytes();
                if known == name || known.eq_ignore_ascii_case(name) {
                    return id;
                }
                at = (at + 1) & (SLOTS - 1);
            }
        }
    }
}

/// The name behind an id, unless it is `OTHER`.
pub(crate) fn known(id: u8) -> Option<Name<'static>> {
    KNOWN.get(usize::from(id)).map(|entry| entry.0)
}

impl<'a> Name<'a> {
    /// From its letters, compact or long, in any case; `None` when they are no token.
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        match known(id_of(bytes)) {
            Some(name) => Some(name),
            None if chars::all_token(bytes) => chars::text(bytes).map(Name::Other),
            None => None,
        }
    }

    /// The one-letter form, where one is registered.
    pub fn compact(&self) -> Option<char> {
        KNOWN.get(usize::from(self.id())).map(|e| e.2).filter(|&letter| letter != 0).map(char::from)
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        let id = self.id();
        id == other.id() && (id != OTHER || self.as_str().eq_ignore_ascii_case(other.as_str()))
    }
}

impl Eq for Name<'_> {}

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let id = self.id();
        id.hash(state);
        if id == OTHER {
            for byte in self.as_str().bytes() {
                byte.to_ascii_lowercase().hash(state);
            }
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_in_compact_form() {
        for (id, (name, text, letter)) in KNOWN.iter().enumerate() {
            assert_eq!(usize::from(id_of(text.as_bytes())), id, "{text}");
            assert_eq!(usize::from(id_of(text.to_ascii_uppercase().as_bytes())), id, "{text}");
            assert_eq!(usize::from(name.id()), id, "{text}");
            if *letter != 0 {
                assert_eq!(usize::from(id_of(&[*letter])), id, "{text}");
                assert_eq!(name.compact(), Some(char::from(*letter)));
            }
        }
    }

    #[test]
    fn unknown_names_stay_open_and_compare_without_case() {
        assert_eq!(id_of(b"C%6Fntact"), OTHER);
        assert_eq!(Name::from_bytes(b"X-Thing"), Some(Name::Other("x-thing")));
        assert_eq!(Name::Other("v"), Name::Via);
        assert_eq!(Name::from_bytes(b"bad name"), None);
        assert_eq!(Name::from_bytes(b""), None);
    }
}
