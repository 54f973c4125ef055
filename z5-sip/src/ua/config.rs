//! What a user agent needs to know about its account. Plain data; nothing is looked up or defaulted behind it.

use std::time::Duration;

use super::extras::{CallInfo, Location};
use crate::auth::Credentials;
use crate::flow::StunUse;
use crate::multipart::BodyPart;
use crate::transaction::Timers;
use crate::wire::Uri;

/// The account and habits of a [`super::UserAgent`].
#[derive(Clone, Debug)]
pub struct UaConfig {
    /// The address of record: `From`, and `To` of a REGISTER.
    pub aor: Uri,
    /// The name shown with it.
    pub display_name: Option<String>,
    /// The accounts that may answer a challenge; each answers only its own realm.
    pub credentials: Vec<Credentials>,
    /// The Request-URI of a REGISTER: the domain alone, such as `sip:example.com`.
    pub registrar: Uri,
    /// The outbound proxy, put as a `Route` on every request that opens a dialog or stands alone. `lr` is added when it
    /// is missing. `None` on a flow that leads to the registrar itself.
    pub route: Option<Uri>,
    /// What `User-Agent` and `Server` say: application, platform and version.
    pub user_agent: String,
    /// The instance as a UUID, without `urn:uuid:`; adds `+sip.instance` and `reg-id` to the Contact (RFC 5626).
    pub instance_id: Option<String>,
    /// The user part of our Contact. `None` takes the address of record's.
    pub contact_user: Option<String>,
    /// The binding's lifetime that we ask for; what is granted decides the refresh.
    pub expires: Duration,
    /// How long a flow may be silent from our side before a ping goes out (RFC 5626 section 3.5.1); `None`: no pings. A
    /// registrar that asks for more by Flow-Timer gets it.
    pub keep_alive: Option<Duration>,
    /// Whether a ping without an answer ends the flow (RFC 5626 section 4.4): 10 s on a stream, 39.5 s for STUN. False for
    /// a server that is known not to answer pings.
    pub pong_required: bool,
    /// Whether UDP flows are pinged by STUN.
    pub stun: StunUse,
    /// RFC 3261's T1, T2 and T4, and how long a transaction waits.
    pub timers: Timers,
    /// How long an incoming call may ring before it is answered 480.
    pub ring_timeout: Duration,
    /// The session interval that calls ask for (RFC 4028), at least 90 s; `None` asks for none. A far end that asks for
    /// one gets it in any case.
    pub session_interval: Option<Duration>,
    /// Whether provisional responses are acknowledged (RFC 3262).
    pub reliable_provisionals: ReliableProvisionals,
    /// Whether a transfer that we ask for is reported on. Without reports (RFC 4488) it counts as done when the far end
    /// agrees to it.
    pub transfer_reports: bool,
    /// Media types of INFO bodies that the application reads, beside those of [`super::Info`]'s own. An INFO with any
    /// other type is refused 415.
    pub info_types: Vec<String>,
    /// What our INVITEs and our answers to them say about us, such as `purpose=rue-owner` (RFC 9248 section 5.2.3). Left
    /// out of anonymous calls.
    pub call_info: Vec<CallInfo>,
    /// The parts that `cid:` URIs of `call_info` name.
    pub parts: Vec<BodyPart>,
    /// Where the user is: each registration carries it (RFC 6442). None unless the user wishes it, as a registrar keeps it.
    pub location: Option<Location>,
    /// How many addresses of 3xx a call may try; 0 follows none.
    pub redirects: u32,
    /// Emit [`super::Event::Trace`] with the redacted text of every message.
    pub trace: bool,
}

impl UaConfig {
    /// An account at `registrar` with the project's defaults: 600 s, a ping every 25 s, 180 s of ringing.
    #[must_use]
    pub fn new(aor: Uri, registrar: Uri) -> Self {
        Self {
            aor,
            display_name: None,
            credentials: Vec::new(),
            registrar,
            route: None,
            user_agent: concat!("z5/", env!("CARGO_PKG_VERSION")).to_owned(),
            instance_id: None,
            contact_user: None,
            expires: Duration::from_secs(600),
            keep_alive: Some(Duration::from_secs(25)),
            pong_required: true,
            stun: StunUse::default(),
            timers: Timers::default(),
            ring_timeout: Duration::from_secs(180),
            session_interval: Some(Duration::from_secs(1800)),
            reliable_provisionals: ReliableProvisionals::default(),
            transfer_reports: true,
            info_types: Vec::new(),
            call_info: Vec::new(),
            parts: Vec::new(),
            location: None,
            redirects: 5,
            trace: false,
        }
    }
}

/// What this end makes of reliable provisional responses, the extension `100rel` of RFC 3262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReliableProvisionals {
    /// Neither sent nor understood: an INVITE that requires them is refused with 420.
    Off,
    /// Understood, and sent where they matter: 183 with early media, and all of them to a caller that requires it.
    #[default]
    Supported,
    /// Every call of ours requires them, and every provisional response to a caller that knows them is reliable. A
    /// caller that does not is served all the same, without them.
    Required,
}
