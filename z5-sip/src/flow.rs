//! One connection to a server: cutting its bytes into messages, and noticing when it is dead (RFC 5626 sections 3.5.1
//! and 4.4).
//!
//! A flow is pinged after a silence of our own, by 80 to 100 percent of the interval; on a stream whatever arrives within
//! 10 s shows that it is alive. A missing pong counts only where pongs are known to come: the registrar said that it supports
//! outbound, or has answered a ping before (section 4.4.1). Other servers may not know pings at all; there the next
//! request shows whether the flow lives. UDP flows are asked by STUN where the server is known to answer
//! ([`StunUse`]), else pinged with a datagram that nobody answers.

mod keep_alive;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::keep_alive::KeepAlive;
pub use self::keep_alive::{PONG_WITHIN, Stun, StunUse};
use crate::ident::Ident;
use crate::outbox::Deadline;
use crate::stun;
use crate::wire::{Frame, FrameError, Framer, Limits, Message, Transport};

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
    /// No answer to a STUN Binding request that was sent seven times (RFC 5626 section 4.4.2).
    #[error("no answer to STUN within 39.5 s")]
    NoStunAnswer,
    /// The server sees us elsewhere than before (section 4.4.2): a NAT has forgotten us.
    #[error("our address as the server sees it has changed")]
    AddressChanged,
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

/// How a new flow is kept alive.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// How long we may be silent, already shortened at random, so that many clients of one server do not ping in step.
    pub interval: Duration,
    /// A missing answer ends the flow, where answers are known to come.
    pub required: bool,
    /// Whether a UDP flow is asked by STUN.
    pub stun: StunUse,
}

/// What is due on a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Write a [`PING`].
    Ping,
    /// Write this STUN Binding request.
    Ask([u8; stun::HEADER]),
    /// Give it up.
    Dead(FlowDeath),
}

impl Flow {
    /// A connection that came up now; without habits it is never pinged.
    #[must_use]
    pub fn new(
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
        habits: Option<Habits>,
        now: Instant,
    ) -> Self {
        let keep_alive = habits.map(|habits| {
            let stun = (!transport.is_reliable()).then_some(habits.stun);
            KeepAlive::new(habits.interval, habits.required, stun, now)
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
            keep_alive.on_bytes();
        }
        if self.transport.is_reliable() {
            self.framer.push(bytes);
        }
    }

    /// The server supports outbound, so it answers pings and STUN (sections 4.4.1 and 5.4).
    pub fn expect_answers(&mut self, now: Instant) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.expect_answers(now);
        }
    }

    /// The server forgets a flow on which nothing comes for longer (Flow-Timer, section 4.4); shortened at random already.
    pub fn hasten(&mut self, interval: Duration, now: Instant) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.hasten(interval, now);
        }
    }

    /// A datagram that [`stun::is_stun`] knows.
    pub fn on_stun(&mut self, datagram: &[u8]) -> Stun {
        self.keep_alive.as_mut().map_or(Stun::Unasked, |keep_alive| keep_alive.on_stun(datagram))
    }

    /// The next frame of a stream; after an error there is none any more.
    pub fn next_frame(&mut self, now: Instant) -> Option<Result<Frame, FrameError>> {
        let frame = self.framer.next();
        if let Some(Ok(Frame::Pong)) = frame {
            self.expect_answers(now);
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
            keep_alive.on_written(now);
        }
    }

    /// When to come back.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.keep_alive.as_ref().map(KeepAlive::next_deadline)
    }

    /// What is due now; `ident` draws what an answer is known by.
    pub fn on_deadline(&mut self, now: Instant, ident: &mut Ident) -> Due {
        self.keep_alive.as_mut().map_or(Due::Nothing, |keep_alive| keep_alive.on_deadline(now, ident))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(25);

    fn with(transport: Transport, required: bool, stun: StunUse, now: Instant) -> Flow {
        let address = SocketAddr::from(([127, 0, 0, 1], 5060));
        Flow::new(transport, address, address, Some(Habits { interval: INTERVAL, required, stun }), now)
    }

    fn flow(transport: Transport, required: bool, now: Instant) -> Flow {
        with(transport, required, StunUse::WhereKnown, now)
    }

    fn due(flow: &mut Flow, now: Instant) -> Due {
        flow.on_deadline(now, &mut Ident::from_seed(1))
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
        Instant::now()
    }

    #[test]
    fn a_silent_flow_is_pinged_and_dies_without_a_pong() {
        let now = start();
        let mut flow = flow(Transport::Tcp, true, now);
        flow.expect_answers(now);
        assert_eq!(due(&mut flow, now + INTERVAL - Duration::from_millis(1)), Due::Nothing);
        assert_eq!(due(&mut flow, now + INTERVAL), Due::Ping);
        let by = now + INTERVAL + PONG_WITHIN;
        assert_eq!(flow.next_deadline().unwrap().at, by);
        assert_eq!(due(&mut flow, by - Duration::from_millis(1)), Due::Nothing);
        assert_eq!(due(&mut flow, by), Due::Dead(FlowDeath::NoPong));
    }

    #[test]
    fn a_pong_keeps_it_alive_and_writing_puts_the_ping_off() {
        let now = start();
        let mut flow = flow(Transport::Tls, true, now);
        assert_eq!(due(&mut flow, now + INTERVAL), Due::Ping);
        flow.on_bytes(b"\r\n");
        assert_eq!(flow.next_frame(now), Some(Ok(Frame::Pong)));
        assert_eq!(due(&mut flow, now + INTERVAL + PONG_WITHIN), Due::Nothing);
        flow.on_written(now + INTERVAL + PONG_WITHIN);
        assert_eq!(flow.next_deadline().unwrap().at, now + INTERVAL + PONG_WITHIN + INTERVAL);
    }

    #[test]
    fn a_missing_pong_counts_only_where_pongs_come() {
        let now = start();
        let mut flow = flow(Transport::Tcp, true, now);
        assert_eq!(due(&mut flow, now + INTERVAL), Due::Ping);
        assert_eq!(due(&mut flow, now + INTERVAL + PONG_WITHIN), Due::Nothing);
        flow.on_bytes(b"\r\n");
        assert_eq!(flow.next_frame(now), Some(Ok(Frame::Pong)));
        assert_eq!(due(&mut flow, now + INTERVAL * 2), Due::Ping);
        assert_eq!(due(&mut flow, now + INTERVAL * 2 + PONG_WITHIN), Due::Dead(FlowDeath::NoPong));
    }

    #[test]
    fn a_server_that_answers_no_pings_is_pinged_all_the_same() {
        let now = start();
        let mut flow = flow(Transport::Tcp, false, now);
        assert_eq!(due(&mut flow, now + INTERVAL), Due::Ping);
        assert_eq!(due(&mut flow, now + INTERVAL + PONG_WITHIN), Due::Nothing);
        assert_eq!(due(&mut flow, now + INTERVAL * 2), Due::Ping);
    }

    fn asked(due: &Due) -> [u8; stun::HEADER] {
        let Due::Ask(request) = due else { panic!("{due:?}") };
        *request
    }

    fn seen_at(request: [u8; stun::HEADER], address: &str) -> Vec<u8> {
        stun::answer(&request, address.parse().unwrap()).unwrap()
    }

    #[test]
    fn datagrams_are_pinged_without_an_answer_where_stun_is_not_known() {
        let now = start();
        for stun in [StunUse::Never, StunUse::WhereKnown] {
            let mut flow = with(Transport::Udp, true, stun, now);
            for round in 1..5 {
                assert_eq!(due(&mut flow, now + INTERVAL * round), Due::Ping);
            }
        }
        let mut never = with(Transport::Udp, true, StunUse::Never, now);
        never.expect_answers(now);
        assert_eq!(due(&mut never, now), Due::Nothing);
        assert!(Flow::datagram(b"\r\n\r\n").is_none());
        assert!(Flow::datagram(b"junk").is_none());
    }

    #[test]
    fn a_server_with_outbound_is_asked_by_stun_and_an_address_that_changes_ends_the_flow() {
        let now = start();
        let mut flow = flow(Transport::Udp, true, now);
        flow.expect_answers(now);
        flow.on_written(now);
        assert_eq!(
            flow.next_deadline().unwrap().at,
            now,
            "the first answer is what later ones are compared with"
        );
        let first = asked(&due(&mut flow, now));
        let other = stun::request(stun::TransactionId([9; 12]));
        assert_eq!(flow.on_stun(&seen_at(other, "192.0.2.1:40000")), Stun::Unasked);
        assert_eq!(flow.on_stun(&seen_at(first, "192.0.2.1:40000")), Stun::Alive);
        assert_eq!(flow.on_stun(&seen_at(first, "192.0.2.1:40000")), Stun::Unasked, "a copy");
        let then = now + INTERVAL;
        let again = asked(&due(&mut flow, then));
        assert_eq!(flow.on_stun(&seen_at(again, "192.0.2.1:40000")), Stun::Alive);
        let then = then + INTERVAL;
        let again = asked(&due(&mut flow, then));
        assert_eq!(flow.on_stun(&seen_at(again, "192.0.2.1:40001")), Stun::Moved);
    }

    #[test]
    fn a_question_is_sent_seven_times_and_then_the_flow_is_dead() {
        for (required, end) in [(true, Due::Dead(FlowDeath::NoStunAnswer)), (false, Due::Nothing)] {
            let now = start();
            let mut flow = with(Transport::Udp, required, StunUse::Always, now);
            let request = due(&mut flow, now);
            asked(&request);
            // RFC 8489 section 6.2.1, for an RTO of 500 ms
            for at in [500, 1500, 3500, 7500, 15_500, 31_500] {
                let at = now + Duration::from_millis(at);
                assert_eq!(flow.next_deadline().unwrap().at, at);
                assert_eq!(due(&mut flow, at - Duration::from_millis(1)), Due::Nothing);
                assert_eq!(due(&mut flow, at), request);
            }
            let at = now + Duration::from_millis(39_500);
            assert_eq!(flow.next_deadline().unwrap().at, at);
            assert_eq!(due(&mut flow, at), end);
        }
    }

    #[test]
    fn a_server_that_refuses_stun_is_pinged_instead() {
        let now = start();
        let mut flow = with(Transport::Udp, true, StunUse::Always, now);
        let mut refusal = asked(&due(&mut flow, now)).to_vec();
        refusal[..4].copy_from_slice(&[0x01, 0x11, 0, 8]);
        refusal.extend([0, 9, 0, 4, 0, 0, 4, 0]);
        assert_eq!(flow.on_stun(&refusal), Stun::Alive);
        assert_eq!(due(&mut flow, now + INTERVAL), Due::Ping);
    }

    #[test]
    fn a_flow_timer_shortens_the_interval_and_never_lengthens_it() {
        let now = start();
        let mut flow = flow(Transport::Tcp, true, now);
        flow.hasten(INTERVAL * 2, now);
        assert_eq!(flow.next_deadline().unwrap().at, now + INTERVAL);
        flow.hasten(INTERVAL / 5, now);
        assert_eq!(flow.next_deadline().unwrap().at, now + INTERVAL / 5);
        assert_eq!(due(&mut flow, now + INTERVAL / 5), Due::Ping);
        assert_eq!(flow.next_deadline().unwrap().at, now + INTERVAL / 5 * 2);
    }
}
