//! What crosses the border between the machine and its drivers: facts in, wishes out. Plain data only.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use z5_media::{AudioFormat, SilenceReason, SrtpSuite, StreamStats};
use z5_sip::locate::{Naptr, Srv, Target};
use z5_sip::ua::{FlowEnd, FlowId, Transport};

use crate::account::vcard::Card;
use crate::call::{CallId, MessageId, Refusal};
use crate::clock::WallAnchor;
use crate::config::PortRange;
use crate::error::{Attempt, CallError, StoreError, TlsFailure};
use crate::events::{EventKind, MediaKind};
use crate::location::Location;
use crate::secret::Secret;
use crate::store::{Kept, Recalled};

/// One question to one nameserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LookupId {
    pub(crate) of: Asker,
    pub(crate) number: u64,
}

/// Who asks nameservers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Asker {
    /// Step 1, and looking again.
    Names,
    /// The search for the address book's server.
    Book,
}

/// One HTTPS request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestId(pub(crate) u64);

/// Which record is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Record {
    A,
    Aaaa,
    Srv,
    Naptr,
    Txt,
}

impl Record {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
            Self::Naptr => "NAPTR",
            Self::Txt => "TXT",
        }
    }
}

/// How a nameserver is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DnsTransport {
    Udp,
    Tcp,
}

impl DnsTransport {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// A nameserver's answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LookupAnswer {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) srv: Vec<Srv>,
    pub(crate) naptr: Vec<Naptr>,
    /// The strings of all TXT records, each by itself.
    pub(crate) txt: Vec<String>,
    /// Addresses of other names that came along.
    pub(crate) additional: Vec<(String, IpAddr)>,
    pub(crate) ttl_s: u32,
}

impl LookupAnswer {
    /// How many records of the kind asked for.
    pub(crate) fn count(&self, record: Record) -> usize {
        match record {
            Record::A | Record::Aaaa => self.addresses.len(),
            Record::Srv => self.srv.len(),
            Record::Naptr => self.naptr.len(),
            Record::Txt => self.txt.len(),
        }
    }
}

/// Why a nameserver gave no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LookupFailure {
    /// NXDOMAIN.
    NameNotFound,
    /// The name exists without such a record.
    NoRecords,
    /// The answer does not fit; ask over TCP.
    Truncated,
    /// SERVFAIL and the like; the server's code.
    ServerFailed(String),
    /// REFUSED.
    Refused,
    /// Nothing came.
    TimedOut,
    /// The server could not be reached at all; the system's words.
    Unreachable(String),
}

/// An HTTPS request to be made. Redirects are not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpsRequest {
    pub(crate) method: &'static str,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Where `host` is, in the order to try: step 1's answers and nothing else.
    pub(crate) addresses: Vec<IpAddr>,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, HeaderText)>,
    pub(crate) body: Bytes,
}

/// The value of a request header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderText {
    Plain(String),
    /// An Authorization value.
    Secret(Secret),
}

/// A complete HTTPS reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpsReply {
    pub(crate) status: u16,
    /// Every WWW-Authenticate value.
    pub(crate) challenges: Vec<String>,
    /// Seconds of Retry-After; an HTTP date is turned into seconds by the driver.
    pub(crate) retry_after_s: Option<u64>,
    /// The ETag as it was written, quotes included.
    pub(crate) etag: Option<String>,
    /// Where a redirect leads, as it was written.
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HttpsFailure {
    /// No address took the connection.
    Unreachable(Vec<Attempt>),
    /// TLS was not made.
    Tls(TlsFailure),
    /// The connection broke, or the reply was not HTTP.
    Broken(String),
    /// The reply is larger than the limit.
    TooLarge { limit: usize },
}

/// An RTP port and its RTCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortPair {
    pub(crate) rtp: SocketAddr,
    pub(crate) rtcp: SocketAddr,
}

/// Bytes of an SRTP master key and salt.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyAndSalt(pub(crate) zeroize::Zeroizing<Vec<u8>>);

impl std::fmt::Debug for KeyAndSalt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Random bytes for one medium: a key and salt of its own for every suite, because no key may serve two (RFC 4568
/// section 6.1).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyPool(pub(crate) zeroize::Zeroizing<[u8; Self::LEN]>);

impl KeyPool {
    /// Bytes of the longest key and salt.
    const LONGEST: usize = 46;
    /// Bytes for all suites.
    pub(crate) const LEN: usize = SrtpSuite::ALL.len() * Self::LONGEST;

    /// The key and salt for a suite.
    pub(crate) fn of(&self, suite: SrtpSuite) -> &[u8] {
        let at = SrtpSuite::ALL.iter().position(|known| *known == suite).unwrap_or(0) * Self::LONGEST;
        &self.0[at..at + suite.key_and_salt_len().min(Self::LONGEST)]
    }
}

impl std::fmt::Debug for KeyPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// How a stream is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SrtpPlan {
    pub(crate) suite: SrtpSuite,
    /// Protects what we send.
    pub(crate) local: KeyAndSalt,
    /// Opens what the far end sends.
    pub(crate) remote: KeyAndSalt,
}

/// One medium made ready before the offer or answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadyMedium {
    pub(crate) kind: MediaKind,
    pub(crate) ports: PortPair,
    pub(crate) keys: KeyPool,
    /// Of video: what is sent has NAL units that fit no packet whole, so that the far end must take fragments.
    pub(crate) fragments: bool,
}

/// One agreed stream, to be started on the ports reserved for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamPlan {
    pub(crate) kind: MediaKind,
    pub(crate) remote: SocketAddr,
    pub(crate) remote_rtcp: SocketAddr,
    pub(crate) rtcp_mux: bool,
    pub(crate) send: bool,
    pub(crate) receive: bool,
    pub(crate) codec: CodecPlan,
    pub(crate) srtp: Option<SrtpPlan>,
}

/// The payload types of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CodecPlan {
    Audio {
        format: AudioFormat,
        ptime_ms: u32,
    },
    Text {
        send: u8,
        receive: u8,
        red: Option<(u8, u8)>,
        /// What the far end wants at most.
        characters_per_second: u32,
    },
    Video(VideoPlan),
}

/// What was agreed of H.264.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VideoPlan {
    pub(crate) send: u8,
    pub(crate) receive: u8,
    /// Other payload types that may come.
    pub(crate) also_received: Vec<u8>,
    pub(crate) packetization_mode: u8,
    /// Ten times the level of the far end's decoder.
    pub(crate) level: u8,
    pub(crate) feedback: z5_media::FeedbackConfig,
    pub(crate) max_bits_per_second: u64,
}

/// A change of a running stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaChange {
    pub(crate) kind: MediaKind,
    pub(crate) send: bool,
    pub(crate) receive: bool,
    /// Where packets and reports go from now on, when that changed.
    pub(crate) moved: Option<(SocketAddr, SocketAddr)>,
    /// The keys from now on, when the far end's changed. The suite and our key stay.
    pub(crate) srtp: Option<SrtpPlan>,
    /// The codec and payload types from now on, when they changed.
    pub(crate) format: Option<AudioFormat>,
}

/// What happened on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MediaFact {
    FirstPacket,
    Text {
        text: String,
        /// The CSRC of who said it, in a stream of several, and what the mixer calls them.
        source: Option<u32>,
        label: Option<String>,
    },
    /// Text of ours left; how long each character of it waited.
    TextSent {
        text: String,
        waits: Vec<Option<Duration>>,
    },
    /// A key of the far end (RFC 4733).
    Digit {
        digit: char,
        duration: Duration,
    },
    SourceEnded,
    SinkFailed(String),
    /// Media that is expected stays away.
    Silent {
        lasted: Duration,
        reason: SilenceReason,
    },
    /// Media comes again after a silence that was told.
    Back {
        after: Duration,
    },
    /// A picture that can be shown.
    FirstPicture,
    /// The picture stands still, and RTCP cannot ask for another or was not heard.
    KeyFrameWanted,
}

/// Figures of a call's streams after they were stopped.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct StoppedMedia {
    pub(crate) audio: Option<StreamStats>,
    pub(crate) text: Option<StreamStats>,
    pub(crate) video: Option<StreamStats>,
    /// How much later pictures were shown than the sound that goes with them.
    pub(crate) skew_ms: Option<f64>,
}

/// Which media a command asks for; none means as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) audio: bool,
    pub(crate) text: Option<bool>,
    pub(crate) video: Option<bool>,
    /// What comes is kept in files.
    pub(crate) record: bool,
    /// Text and keys go back to whom they came from; what is not licensed is left out.
    pub(crate) echo: bool,
}

/// A command of the application. Sources and sinks stay with the driver, the machine knows only what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Call { call: CallId, target: String, wanted: Wanted, anonymous: bool, location: Option<Location> },
    Answer { call: CallId, wanted: Wanted },
    Reject { call: CallId, how: Refusal },
    Hangup { call: CallId },
    SendText { call: CallId, text: String },
    Hold { call: CallId, hold: bool },
    Mute { call: CallId, kind: MediaKind, muted: bool },
    Add { call: CallId, kind: MediaKind },
    Source { call: CallId, kind: MediaKind },
    SendDigits { call: CallId, digits: String },
    Transfer { call: CallId, target: String },
    Connect { call: CallId, other: CallId },
    AcceptTransfer { call: CallId, new: CallId, wanted: Wanted },
    RejectTransfer { call: CallId },
    Message { message: MessageId, target: String, text: String },
    ChooseNumber { number: String },
    ClearHistory,
    Contacts { change: BookChange },
    SyncContacts,
    NetworkChanged,
    RetryNow,
    Stop,
}

/// A change of the address book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BookChange {
    Add(Card),
    Change { id: String, card: Card },
    Remove { id: String },
}

/// What the driver sees of the machine it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) wall: WallAnchor,
    pub(crate) route: Route,
}

/// From where the system would send to our servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Route {
    /// Nobody looked, or towards another server than before.
    #[default]
    Unknown,
    /// There is no way to them.
    None,
    From(IpAddr),
}

/// A fact for the machine.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    Start,
    Looked {
        id: LookupId,
        outcome: Result<LookupAnswer, LookupFailure>,
    },
    Https {
        id: RequestId,
        outcome: Result<HttpsReply, HttpsFailure>,
    },
    Connected {
        flow: FlowId,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
        /// What failed before.
        tried: Vec<Attempt>,
    },
    ConnectFailed {
        flow: FlowId,
        attempts: Vec<Attempt>,
    },
    Received {
        flow: FlowId,
        bytes: &'a [u8],
    },
    Closed {
        flow: FlowId,
        why: FlowEnd,
    },
    MediaReady {
        call: CallId,
        outcome: Result<Vec<ReadyMedium>, CallError>,
    },
    MediaStarted {
        call: CallId,
        outcome: Result<(), CallError>,
    },
    /// Running streams go on on these ports, or where they were.
    MediaMoved {
        call: CallId,
        outcome: Result<Vec<(MediaKind, PortPair)>, CallError>,
    },
    Media {
        call: CallId,
        kind: MediaKind,
        fact: MediaFact,
    },
    MediaStopped {
        call: CallId,
        figures: Box<StoppedMedia>,
    },
    /// What the store had; once, after `Effect::Recall`.
    Recalled(Box<Recalled>),
    /// Something could not be kept.
    NotKept(StoreError),
    Command(Command),
    /// What the clocks and the system's routes say, about once a second.
    Look(Look),
    /// The time of `next_deadline` has come; early and repeated ones are harmless.
    Deadline,
}

/// A wish of the machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Ask one nameserver; give up after `patience`.
    Lookup {
        id: LookupId,
        name: String,
        record: Record,
        server: SocketAddr,
        transport: DnsTransport,
        patience: Duration,
    },
    /// Forget all lookups of somebody that are under way.
    EndLookups(Asker),
    Https {
        id: RequestId,
        request: HttpsRequest,
    },
    /// Forget HTTPS connections that are kept for later, and requests under way: the network they hang on is gone.
    EndHttps,
    /// Connect to the first of these that answers, RFC 8305 pacing. All have the same transport.
    Connect {
        flow: FlowId,
        targets: Vec<Target>,
    },
    /// All writes of one turn for one flow go out as one; over UDP each is a datagram.
    Write {
        flow: FlowId,
        bytes: Bytes,
    },
    Close {
        flow: FlowId,
    },
    /// Reserve ports and make keys for these media; open the source.
    PrepareMedia {
        call: CallId,
        bind: IpAddr,
        ports: PortRange,
        kinds: Vec<MediaKind>,
        /// On the ports that all calls share.
        shared: bool,
    },
    StartMedia {
        call: CallId,
        streams: Vec<StreamPlan>,
    },
    /// Let running streams go on on ports of this address; their keys stay. Answered by `MediaMoved`.
    MoveMedia {
        call: CallId,
        bind: IpAddr,
        ports: PortRange,
        streams: Vec<(MediaKind, Option<SrtpPlan>)>,
    },
    /// Pause, resume or send elsewhere.
    DirectMedia {
        call: CallId,
        changes: Vec<MediaChange>,
    },
    /// A blank picture in place of the source's, or the source's again.
    Privacy {
        call: CallId,
        private: bool,
    },
    /// Send the source that came with the command in place of the one that is sent.
    SwitchSource {
        call: CallId,
        kind: MediaKind,
    },
    /// The far end asked for a key frame by INFO.
    SendKeyFrame {
        call: CallId,
    },
    /// Drop the sources and sinks that came with a refused command; what runs is not touched.
    ForgetWish {
        call: CallId,
    },
    /// Stop the streams, or give up what was prepared. Answered by `MediaStopped`.
    StopMedia {
        call: CallId,
    },
    SendText {
        call: CallId,
        text: String,
    },
    /// Press keys that were checked before.
    SendDigits {
        call: CallId,
        digits: String,
    },
    /// Tell what the store has; answered by `Recalled`.
    Recall,
    /// Write this record in place of the one before.
    Keep(Kept),
    Emit(EventKind),
}
