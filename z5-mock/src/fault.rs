//! Faults a carrier can be told to have, each with a stable name.
//!
//! A fault is armed by the builder or at run time, for every occasion or from the n-th one for a while, at every address or at
//! one. An occasion is one connection for transport and certificate faults, one query for name faults, one RTP packet towards
//! the caller for faults of media, one request otherwise.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::recorder::Service;

/// A certificate that a client must not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// Signed by an authority the client does not know.
    UnknownCa,
    /// Its validity ended.
    Expired,
    /// Made for another name.
    WrongName,
    /// Its validity has not begun.
    NotYetValid,
    /// Made for clients, not for servers.
    WrongPurpose,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The port is closed: connections are refused. For DNS: as long as it is armed at start, both protocols.
    Refuse(Service),
    /// Connections are accepted, everything is read, nothing is ever answered. For DNS: queries vanish.
    BlackHole(Service),
    /// Connections are accepted and reset at once.
    Reset(Service),
    /// The server answers with bytes of no protocol.
    Garbage(Service),
    /// The server shows a certificate that must not be accepted.
    Certificate(Service, CertificateFault),

    /// The server writes a byte now and then. For HTTPS: once the handshake is over.
    Slow(Service),
    /// The connection ends in the middle of the first answer.
    Cut(Service),
    /// The same by a reset, as of a server that crashes.
    ResetMidway(Service),
    /// The connection stands, is read from, and at some time nothing more comes back and nothing ends it: as when the server, or what is
    /// between, has forgotten it. HTTPS is silent after the handshake, SIP after the first answer.
    HalfOpen(Service),

    /// Every name: NXDOMAIN.
    NameNotFound,
    /// Every name exists and has no address.
    NoAddress,
    /// Every SRV record has the target `.`: the domain offers no SIP (RFC 2782).
    NoSipService,
    /// SERVFAIL.
    NameServerFailed,
    /// REFUSED.
    NameServerRefused,
    /// UDP queries vanish, TCP works.
    UdpBlocked,
    /// Every UDP answer is empty with TC set, which sends the client to TCP.
    Truncated,

    /// 500 with a text body.
    ServerError(Service),
    /// 200 with a body that is not JSON (or not XML).
    BadDocument(Service),
    /// 200 with the first required member missing.
    MissingMember(Service),
    /// 200 with a body far larger than any real one; for SIP to REGISTER.
    HugeBody(Service),
    /// 302 to another host.
    Redirect(Service),
    /// 429, with Retry-After in seconds if given; for SIP to REGISTER.
    RateLimited(Service, Option<Duration>),
    /// REGISTER is answered 409, with Retry-After in seconds if given, as by a registrar that has another device in its place.
    Conflict(Option<Duration>),
    /// 503 `maintenance`, with Retry-After in seconds if given; for SIP to REGISTER.
    Maintenance(Service, Option<Duration>),
    /// Even the right credentials are answered 401.
    CredentialsRejected(Service),
    /// A token that is good is called expired (RFC 6750 section 3.1); only requests with one are occasions.
    TokenExpired(Service),
    /// Requests over HTTPS are challenged with a scheme nobody has.
    SchemeUnusable(Service),
    /// The account has no number.
    NoNumbers,
    /// 403 `account-suspended`.
    AccountSuspended,
    /// 409 `number-in-use` for whichever number is chosen.
    NumberInUse,

    /// The licence's `exp` and its grace are in the past.
    LicenceExpired,
    /// The licence's `nbf` is a day ahead.
    LicenceNotYetValid,
    /// The licence's signature is not by the key its `kid` names.
    LicenceForged,
    /// The licence is signed by a key of unknown `kid`.
    LicenceForeignKey,
    /// The licence is bound to another device (`cnf`).
    LicenceWrongDevice,
    /// The licence is for another number.
    LicenceWrongNumber,
    /// The licence is for another audience.
    LicenceWrongAudience,
    /// The licence comes from another issuer.
    LicenceWrongIssuer,
    /// The licence says `alg: none` and has no signature.
    LicenceUnsigned,
    /// The licence has no feature.
    LicenceNoFeatures,
    /// The licence allows no call.
    LicenceNoCalls,
    /// The licence has ended almost a minute ago, without grace: who lets clocks differ by a minute can use it for four seconds.
    LicenceShort,
    /// 404 `no-licence`.
    LicenceMissing,
    /// 403 `licence-denied`.
    LicenceDenied,
    /// 409 `seats-used`.
    SeatsUsed,
    /// The address book alone answers 503.
    AddressBookDown,
    /// Every sync token is refused as invalid (RFC 6578 section 3.2).
    SyncTokenInvalid,
    /// Every report of a sync has two cards, and says that there are more (RFC 6578 section 3.6).
    SyncTruncated,
    /// The server knows no synchronisation: 403 `supported-report`.
    SyncUnknown,
    /// Reports of a sync have tags and no cards.
    SyncBare,
    /// Reports have one card more, which is none.
    MalformedCard,
    /// A change is answered 412, as if somebody had been faster.
    CardConflict,
    /// A change is answered 403.
    CardRefused,
    /// A change is answered 503.
    CardUnavailable,
    /// A change is made and answered 503, so that nobody knows that it was.
    CardAnswerLost,
    /// Neither changes nor the list are answered with an ETag.
    CardUntagged,
    /// The list of xCards is answered 404.
    ListMissing,
    /// The list of xCards ends in the middle.
    ListCut,
    /// Another device stores the list of xCards, with one contact more, right before a change of it is looked at.
    ListOvertaken,
    /// `/.well-known/carddav` leads to another host.
    BookElsewhere,
    /// The SRV record of the address book leads to a host of another domain.
    BookServerForeign,
    /// The SRV record of the address book has the target `.`.
    BookNotOffered,
    /// The SRV record of the address book leads to a name without an address.
    BookServerMissing,
    /// Before the server of the address book its SRV records name one without an address, and one on a closed port.
    BookServersAway,
    /// The TXT record of the address book says a path where nothing is.
    BookPathMissing,
    /// The TXT record of the address book says what would be another host, if it were read as a reference.
    BookPathForeign,

    /// REGISTER with right credentials is answered 403.
    RegisterForbidden,
    /// REGISTER is answered with this status, without Retry-After.
    RegisterStatus(u16),
    /// REGISTER is answered 200 without the binding that was asked for.
    BindingMissing,
    /// The challenge has an algorithm nobody supports.
    ChallengeUnusable,
    /// Right credentials are called stale; struck once, the next ones are accepted. Of SIP those of REGISTER.
    StaleNonce(Service),
    /// The connection is closed after a REGISTER instead of an answer.
    DropAfterRegister,
    /// INVITE is answered with this status by the proxy itself.
    InviteStatus(u16),
    /// INVITE is challenged again and again, whatever the credentials.
    InviteCredentialsRejected,
    /// INVITE is never answered, not even provisionally.
    InviteVanishes,
    /// The connection is closed after an INVITE instead of an answer.
    DropAfterInvite,
    /// An INVITE within a call is answered with this status by the proxy itself.
    ReinviteStatus(u16),
    /// REFER is answered with this status by the proxy itself.
    ReferStatus(u16),
    /// MESSAGE is answered with this status by the proxy itself.
    MessageStatus(u16),
    /// The CRLF ping is not answered.
    NoPong,
    /// STUN answers name another address than the one they go to, as after a NAT that has forgotten a binding.
    AddressMoves,

    /// A UDP datagram of SIP vanishes, in either direction; each is an occasion.
    DatagramLost,
    /// The ACK of a 2xx is lost on its way.
    LostAck,
    /// A far end sends its BYE twice.
    DuplicateBye,

    /// Every far end rings and nobody answers.
    NobodyAnswers,
    /// Every far end says that it tries, and never rings.
    NeverRings,
    /// A client that rings is told that another device took the call (RFC 3326): CANCEL with that reason.
    AnsweredElsewhere,
    /// What the caller is told of the called side is spoiled on its way.
    Answer(AnswerFault),

    /// The relay's source towards the caller moves to another port after a second or so of media.
    RelayMoves,
    /// With each packet to the caller comes a forged one, from another port and with another SSRC.
    SpoofedMedia,
    /// The first packet to the caller is sent again with every tenth.
    ReplayedMedia,
    /// The relay forwards nothing towards the caller.
    OneWayMedia,
    /// The relay forwards nothing at all.
    NoMedia,
    /// With each packet to the caller comes a second one from the same port, with another SSRC.
    ForeignSource,
    /// Packets to the caller have a payload type that nobody agreed on.
    WrongPayload,
    /// After a second or so the media to the caller begins anew, as after a restart of the server that makes it: another SSRC,
    /// sequence number and timestamp.
    MediaReset,
    /// What comes to the caller is no RTP.
    MediaGarbage,
    /// Packets to the caller are cut off in the middle of their header.
    MediaTruncated,
}

/// What becomes of the session description in the answer to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFault {
    /// There is none.
    Missing,
    /// It cannot be read.
    Unreadable,
    /// Its last media line is not there (RFC 3264 section 6 wants as many as were offered).
    LineMissing,
    /// Every media line has one codec, which was not offered.
    ForeignCodec,
    /// Nothing is said about encryption.
    CryptoMissing,
    /// The encryption is one that was not offered.
    CryptoForeign,
    /// The key is not the one that the far end encrypts with.
    WrongKey,
    /// Real-time text is refused.
    TextRefused,
    /// It is far larger than any real one.
    Huge,
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// The first occasion that is hit, counted from 1.
    pub from: u32,
    /// For how many occasions; `None`: for ever.
    pub times: Option<u32>,
}

impl When {
    /// Every time.
    pub const ALWAYS: Self = Self { from: 1, times: None };

    /// Only the first `times` occasions.
    pub const fn first(times: u32) -> Self {
        Self { from: 1, times: Some(times) }
    }

    /// From the n-th occasion (counted from 1) on.
    pub const fn from_nth(n: u32) -> Self {
        Self { from: n, times: None }
    }

    const fn strikes(self, occasion: u32) -> bool {
        occasion >= self.from
            && match self.times {
                None => true,
                Some(times) => occasion - self.from < times,
            }
    }
}

/// The faults of a running carrier; cheap to clone.
#[derive(Clone, Debug)]
pub struct Faults {
    armed: Arc<Mutex<Vec<Armed>>>,
    last_id: Arc<AtomicU64>,
    changed: Arc<watch::Sender<u64>>,
}

/// One arming of a fault, to end it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArmedId(u64);

#[derive(Clone, Copy, Debug)]
struct Armed {
    id: u64,
    fault: Fault,
    when: When,
    /// `None`: at every address.
    at: Option<IpAddr>,
    occasions: u32,
}

impl Armed {
    fn is_here(&self, here: Option<IpAddr>) -> bool {
        self.at.is_none() || self.at == here
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self { armed: Arc::default(), last_id: Arc::default(), changed: Arc::new(watch::Sender::new(0)) }
    }
}

impl Faults {
    /// Arms a fault for every occasion.
    pub fn arm(&self, fault: Fault) -> ArmedId {
        self.arm_when(fault, When::ALWAYS)
    }

    /// Arms a fault for some occasions.
    pub fn arm_when(&self, fault: Fault, when: When) -> ArmedId {
        self.push(fault, when, None)
    }

    /// Arms a fault at one of the carrier's addresses: see [`Fault::has_address`].
    pub fn arm_at(&self, fault: Fault, address: IpAddr) -> ArmedId {
        self.arm_at_when(fault, When::ALWAYS, address)
    }

    /// The same for some occasions.
    pub fn arm_at_when(&self, fault: Fault, when: When, address: IpAddr) -> ArmedId {
        self.push(fault, when, Some(address))
    }

    /// Arms what an order says, now.
    pub(crate) fn arm_order(&self, order: &Order) -> ArmedId {
        self.push(order.fault, order.when, order.at)
    }

    fn push(&self, fault: Fault, when: When, at: Option<IpAddr>) -> ArmedId {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        armed.push(Armed { id, fault, when, at, occasions: 0 });
        drop(armed);
        self.changed.send_modify(|version| *version += 1);
        ArmedId(id)
    }

    /// Disarms a fault, however often it was armed.
    pub fn disarm(&self, fault: Fault) {
        self.retain(|armed| armed.fault != fault);
    }

    /// Ends one arming.
    pub fn end(&self, ArmedId(id): ArmedId) {
        self.retain(|armed| armed.id != id);
    }

    fn retain(&self, keep: impl Fn(&Armed) -> bool) {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).retain(keep);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Counts an occasion for every armed fault that `pick` wants and returns the first that strikes.
    pub(crate) fn strike<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.strike_here(None, pick)
    }

    fn strike_here<T>(&self, here: Option<IpAddr>, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        let mut found = None;
        for armed in self.armed.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if armed.is_here(here)
                && let Some(picked) = pick(&armed.fault)
            {
                armed.occasions = armed.occasions.saturating_add(1);
                if found.is_none() && armed.when.strikes(armed.occasions) {
                    found = Some(picked);
                }
            }
        }
        found
    }

    /// Counts an occasion for exactly this fault.
    pub(crate) fn strikes(&self, fault: Fault) -> bool {
        self.strike(|armed| (*armed == fault).then_some(())).is_some()
    }

    /// The faults as they are at one address of the carrier.
    pub(crate) const fn at(&self, here: IpAddr) -> At<'_> {
        At { faults: self, here }
    }

    /// Whether this fault is armed at this address, without counting an occasion.
    pub(crate) fn is_armed_at(&self, fault: Fault, here: IpAddr) -> bool {
        let armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.iter().any(|armed| armed.fault == fault && armed.is_here(Some(here)))
    }

    /// Wakes when a fault is armed or disarmed.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// The faults at one address of the carrier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    faults: &'a Faults,
    here: IpAddr,
}

impl At<'_> {
    /// Counts an occasion for every armed fault that `pick` wants and returns the first that strikes.
    pub(crate) fn strike<T>(self, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.faults.strike_here(Some(self.here), pick)
    }

    /// Counts an occasion for exactly this fault.
    pub(crate) fn strikes(self, fault: Fault) -> bool {
        self.strike(|armed| (*armed == fault).then_some(())).is_some()
    }
}

pub(crate) mod name;
pub(crate) mod order;

pub use name::UnknownFault;
pub use order::{BadOrder, Order};

#[cfg(test)]
mod tests;
