//! One connection to a server: cutting its bytes into messages, and noticing when it is dead (RFC 5626 sections 3.5.1
//! and 4.4.1: CRLF keep-alive).
//!
//! A stream is pinged after a silence of our own, by 80 to 100 percent of the interval; whatever arrives within 10 s
//! shows that it is alive. A missing pong counts only where pongs are known to come: the registrar said that it supports
//! outbound, or has answered a ping before (section 4.4.1). Other servers may not know pings at all; there the next
//! request shows whether the flow lives. Datagrams are not pinged here: a binding in a NAT wants STUN, which this does not speak.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::outbox::Deadline;
use crate::wire::{Frame, FrameError, Framer, Limits, Message, Transport};

/// How long a pong may take (RFC 5626 section 4.4.1).
pub const PONG_WITHIN: Duration = Duration::from_secs(10);

/// What a ping is made of.
pub const PING: &[u8] = b"\r\n\r\n";

/// One connection (or UDP socket pair) that the driver has opened. The driver chooses the number and never uses it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

/// How a connection ended, as the driver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowEnd {
    /// The far end closed it.
    #[error("closed by the far end")]
    Closed,
    /// Reset, or another error of the socket.
    #[error("connection reset")]
    Reset,
    /// Nobody listens at the far end's port (for datagrams, ICMP says so).
    #[error("connection refused")]
    Refused,
    /// The far end takes no more bytes: what waits to be sent reached its limit.
    #[error("the far end takes no more bytes")]
    Stuck,
    /// The driver closed it on purpose.
    #[error("closed on this side")]
    Local,
}

/// Why a connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowDeath {
    /// No pong within 10 s of a ping.
    #[error("no answer to a keep-alive within 10 s")]
    NoPong,
    /// The stream cannot be cut into messages any more.
    #[error("the stream is not SIP: {0}")]
    Framing(FrameError),
    /// The driver reported it.
    #[error("{0}")]
    Down(FlowEnd),
    /// A request on it was never answered.
    #[error("a request was not answered in time")]
    RequestTimedOut,
}

/// A connection that is up.
#[derive(Debug)]
pub struct Flow {
    transport: Transport,
    local: SocketAddr,
    /// Our address as it stands in every Via and Contact.
    sent_by: Box<str>,
    remote: SocketAddr,
    framer: Framer,
    keep_alive: Option<KeepAlive>,
}

#[derive(Debug)]
struct KeepAlive {
    interval: Duration,
    pong_required: bool,
    /// The server is known to answer pings.
    pongs: bool,
    ping_at: Instant,
    pong_by: Option<Instant>,
}

/// What is due on a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Write a [`PING`].
    Ping,
    /// Give it up.
    Dead(FlowDeath),
}

impl Flow {
    /// A connection that came up now. `keep_alive` is the interval already shortened at random, so that many clients
    /// of one server do not ping in step.
    #[must_use]
    pub fn new(
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
        keep_alive: Option<Duration>,
        pong_required: bool,
        now: Instant,
    ) -> Self {
        let keep_alive = keep_alive.filter(|_| transport.is_reliable()).map(|interval| KeepAlive {
            interval,
            pong_required,
            pongs: false,
            ping_at: now + interval,
            pong_by: None,
        });
        let framer = Framer::new(Limits::default());
        Self { transport, local, sent_by: local.to_string().into(), remote, framer, keep_alive }
    }

    /// What carries it.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Our address on it.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Our address on it as text, IPv6 in brackets.
    #[must_use]
    pub fn sent_by(&self) -> &str {
        &self.sent_by
    }

    /// The server's address.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Bytes arrived. Take the frames with [`Self::next_frame`].
    pub fn on_bytes(&mut self, bytes: &[u8]) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.pong_by = None;
        }
        if self.transport.is_reliable() {
            self.framer.push(bytes);
        }
    }

    /// The server supports outbound, so it answers pings (section 4.4.1).
    pub fn expect_pongs(&mut self) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.pongs = true;
        }
    }

    /// The next frame of a stream; after an error there is none any more.
    pub fn next_frame(&mut self) -> Option<Result<Frame, FrameError>> {
        let frame = self.framer.next();
        if let Some(Ok(Frame::Pong)) = frame {
            self.expect_pongs();
        }
        frame
    }

    /// After an error of [`Self::next_frame`]: the head of the message at fault, as far as it could be read.
    #[must_use]
    pub fn refused(&self) -> Option<&Message> {
        self.framer.refused()
    }

    /// One datagram; `None` for what is no message, keep-alives included: nobody can answer it.
    #[must_use]
    pub fn datagram(bytes: &[u8]) -> Option<Message> {
        Message::parse_datagram(Bytes::copy_from_slice(bytes)).ok()
    }

    /// We wrote something, which keeps the connection's bindings alive as well as a ping would.
    pub fn on_written(&mut self, now: Instant) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.ping_at = now + keep_alive.interval;
        }
    }

    /// When to come back.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        let keep_alive = self.keep_alive.as_ref()?;
        Some(match keep_alive.pong_by {
            Some(at) => Deadline::new(at, "the pong is overdue"),
            None => Deadline::new(keep_alive.ping_at, "ping the idle flow"),
        })
    }

    /// What is due now.
    pub fn on_deadline(&mut self, now: Instant) -> Due {
        let Some(keep_alive) = &mut self.keep_alive else { return Due::Nothing };
        match keep_alive.pong_by {
            Some(at) if now >= at => Due::Dead(FlowDeath::NoPong),
            Some(_) => Due::Nothing,
            None if now >= keep_alive.ping_at => {
                keep_alive.ping_at = now + keep_alive.interval;
                keep_alive.pong_by =
                    (keep_alive.pong_required && keep_alive.pongs).then(|| now + PONG_WITHIN);
                Due::Ping
            }
            None => Due::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(25);

    fn flow(transport: Transport, pong_required: bool, now: Instant) -> Flow {
        let address = SocketAddr::from(([127, 0, 0, 1], 5060));
        Flow::new(transport, address, address, Some(INTERVAL), pong_required, now)
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
        Instant::now()
    }

    #[test]
    fn a_silent_flow_is_pinged_and_dies_without_a_pong() {
        let now = start();
        let mut flow = flow(Transport::Tcp, true, now);
        flow.expect_pongs();
        assert_eq!(flow.on_deadline(now + INTERVAL - Duration::from_millis(1)), Due::Nothing);
        assert_eq!(flow.on_deadline(now + INTERVAL), Due::Ping);
        let by = now + INTERVAL + PONG_WITHIN;
        assert_eq!(flow.next_deadline().unwrap().at, by);
        assert_eq!(flow.on_deadline(by - Duration::from_millis(1)), Due::Nothing);
        assert_eq!(flow.on_deadline(by), Due::Dead(FlowDeath::NoPong));
    }

    #[test]
    fn a_pong_keeps_it_alive_and_writing_puts_the_ping_off() {
        let now = start();
        let mut flow = flow(Transport::Tls, true, now);
        assert_eq!(flow.on_deadline(now + INTERVAL), Due::Ping);
        flow.on_bytes(b"\r\n");
        assert_eq!(flow.next_frame(), Some(Ok(Frame::Pong)));
        assert_eq!(flow.on_deadline(now + INTERVAL + PONG_WITHIN), Due::Nothing);
        flow.on_written(now + INTERVAL + PONG_WITHIN);
        assert_eq!(flow.next_deadline().unwrap().at, now + INTERVAL + PONG_WITHIN + INTERVAL);
    }

    #[test]
    fn a_missing_pong_counts_only_where_pongs_come() {
        let now = start();
        let mut flow = flow(Transport::Tcp, true, now);
        assert_eq!(flow.on_deadline(now + INTERVAL), Due::Ping);
        assert_eq!(flow.on_deadline(now + INTERVAL + PONG_WITHIN), Due::Nothing);
        flow.on_bytes(b"\r\n");
        assert_eq!(flow.next_frame(), Some(Ok(Frame::Pong)));
        assert_eq!(flow.on_deadline(now + INTERVAL * 2), Due::Ping);
        assert_eq!(flow.on_deadline(now + INTERVAL * 2 + PONG_WITHIN), Due::Dead(FlowDeath::NoPong));
    }

    #[test]
    fn a_server_that_answers_no_pings_is_pinged_all_the_same() {
        let now = start();
        let mut flow = flow(Transport::Tcp, false, now);
        assert_eq!(flow.on_deadline(now + INTERVAL), Due::Ping);
        assert_eq!(flow.on_deadline(now + INTERVAL + PONG_WITHIN), Due::Nothing);
        assert_eq!(flow.on_deadline(now + INTERVAL * 2), Due::Ping);
    }

    #[test]
    fn datagrams_are_not_pinged() {
        let flow = flow(Transport::Udp, true, start());
        assert_eq!(flow.next_deadline(), None);
        assert!(Flow::datagram(b"\r\n\r\n").is_none());
        assert!(Flow::datagram(b"junk").is_none());
    }
}
