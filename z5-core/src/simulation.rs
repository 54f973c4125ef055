//! Sessions in simulated time: the machine, its driver loop and the media engine are those of real sessions, only what they reach
//! is given by whoever simulates: a network that answers names, HTTPS and SIP, and one that carries media.
//!
//! Time is that of tokio. Run the simulation in a runtime of one thread whose clock is paused
//! (`tokio::runtime::Builder::start_paused`): it then goes from one deadline to the next as soon as nothing more is to be done, and
//! [`clock::now`](crate::clock::now) follows it. One seed and the same commands at the same moments give the same events.
//!
//! Nothing can be kept (`store` is refused: a disk takes time that is not counted), the machine's addresses are not looked at, and over TLS
//! nothing is encrypted: the network says what a certificate is worth.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use z5_media::engine::simulated;

use crate::clock::WallAnchor;
pub use crate::error::TlsFailure;

/// What a session in simulated time is started with, beside its configuration.
#[derive(Clone)]
pub struct Simulation {
    /// Answers names, HTTPS and SIP.
    pub network: Arc<dyn Network>,
    /// Carries media.
    pub media: simulated::Network,
    /// How long an answer takes; what comes by itself on a connection takes as long.
    pub round_trip: Duration,
    /// What the calendar says at some moment.
    pub wall: WallAnchor,
    /// Everything random of the session comes from it, keys too.
    pub seed: u64,
}

/// A network as sessions see it. Answers are given at once; the session waits for them as long as they would take.
pub trait Network: Send + Sync {
    /// Asks a nameserver.
    fn name(&self, question: &Question) -> NameAnswer;
    /// Sends a request over HTTPS.
    fn https(&self, request: &HttpsRequest) -> HttpsAnswer;
    /// Opens a connection for SIP, or a socket for datagrams to and from one server. What comes on it is handed to `hear`.
    fn connect(&self, server: SocketAddr, carrier: SipTransport, hear: Hear) -> ConnectAnswer;
    /// Sends on a connection: bytes of its stream, or one datagram.
    fn send(&self, connection: u64, bytes: &[u8]);
    /// Ends a connection.
    fn close(&self, connection: u64);
}

/// What carries SIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SipTransport {
    /// A stream.
    Tcp,
    /// The same; its server shows a certificate.
    Tls,
    /// Datagrams. To open it asks nobody, so it always stands.
    Udp,
}

/// Takes what comes on a connection. It returns at once.
pub type Hear = Box<dyn Fn(Heard) + Send + Sync>;

/// What comes on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Bytes of a stream, or one datagram.
    Bytes(Bytes),
    /// Its end.
    Closed,
    /// A datagram came to a closed port, and an ICMP message says so.
    Refused,
}

/// The kinds of records that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Servers (RFC 2782).
    Srv,
    /// Services (RFC 3403).
    Naptr,
    /// Texts (RFC 1035 section 3.3.14).
    Txt,
}

/// A question to a nameserver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Whom.
    pub server: SocketAddr,
    /// About which name.
    pub name: String,
    /// For which records.
    pub kind: RecordKind,
    /// Over UDP, not TCP.
    pub udp: bool,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameRecord {
    /// An address.
    Address(std::net::IpAddr),
    /// A server.
    Srv {
        /// The lowest first.
        priority: u16,
        /// Among equals, the share.
        weight: u16,
        /// Its port.
        port: u16,
        /// Its name.
        target: String,
    },
    /// A service.
    Naptr {
        /// The lowest first.
        order: u16,
        /// Among equals, the lowest first.
        preference: u16,
        /// What the replacement is.
        flags: String,
        /// Which service.
        service: String,
        /// The next name.
        replacement: String,
    },
    /// The strings of a text.
    Txt(Vec<String>),
}

/// What a nameserver answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameAnswer {
    /// The records, for so many seconds.
    Records(Vec<NameRecord>, u32),
    /// NXDOMAIN.
    NotFound,
    /// SERVFAIL and what else is no answer.
    Failed,
    /// REFUSED.
    Refused,
    /// Cut short: to be asked over TCP.
    Truncated,
    /// Nothing.
    Silent,
    /// The port is closed.
    Closed,
}

/// A request, as it would stand on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpsRequest {
    /// To which address and port.
    pub server: SocketAddr,
    /// `GET`, `POST`, ...
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// Names and values; some are secret.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Bytes,
}

impl std::fmt::Debug for HttpsRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpsRequest").field("server", &self.server).finish_non_exhaustive()
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpsAnswer {
    /// An answer.
    Reply {
        /// HTTP status.
        status: u16,
        /// Names, in lower case, and values.
        headers: Vec<(String, String)>,
        /// Its body.
        body: Bytes,
    },
    /// The port is closed.
    Refused,
    /// The connection was reset as soon as it stood.
    Reset,
    /// The connection ended in the middle of an answer.
    Broken,
    /// No TLS, or a certificate that must not be accepted.
    Tls(TlsFailure),
    /// Nothing ever comes.
    Silent,
}

/// What becomes of a connection for SIP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectAnswer {
    /// It stands.
    Stands {
        /// Its number.
        connection: u64,
        /// Our end.
        local: SocketAddr,
    },
    /// The port is closed.
    Refused,
    /// No TLS, or a certificate that must not be accepted.
    Tls(TlsFailure),
    /// Nothing ever comes.
    Silent,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// Chance from a seed (SplitMix64, Steele, Lea and Flood 2014): repeatable, and for nothing that must be secret.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Arc<Mutex<u64>>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    pub(crate) fn number(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.number().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock;
    use crate::config::Config;
    use crate::session::{Session, StartOptions};

    /// A network on which nobody is.
    struct Nobody;

    impl Network for Nobody {
        fn name(&self, _: &Question) -> NameAnswer {
            NameAnswer::Silent
        }

        fn https(&self, _: &HttpsRequest) -> HttpsAnswer {
            HttpsAnswer::Silent
        }

        fn connect(&self, _: SocketAddr, _: SipTransport, _: Hear) -> ConnectAnswer {
            ConnectAnswer::Refused
        }

        fn send(&self, _: u64, _: &[u8]) {}

        fn close(&self, _: u64) {}
    }

    #[test]
    fn what_a_simulation_cannot_keep_is_refused() {
        let text = "profile = \"generic\"\nstore = \"kept\"\n[sip]\ndomain = \"sip.test\"\nusername = \"a\"\npassword = \"b\"\nproxy = \"127.0.0.1:5060\"\n";
        let config = Config::parse(text, Path::new("z5.toml")).unwrap();
        let wall = WallAnchor { at: clock::now(), unix_s: 0 };
        let simulation = Simulation {
            network: Arc::new(Nobody),
            media: simulated::Network::new(clock::now, Duration::ZERO, || ()),
            round_trip: Duration::from_millis(1),
            wall,
            seed: 1,
        };
        let Err(error) = Session::simulated(config, StartOptions::default(), simulation) else {
            panic!("it was started")
        };
        assert_eq!((error.code(), error.to_string().contains("`store`")), ("start.simulated", true));
    }
}
