//! What keeps an idle flow and its bindings in NATs alive, and how its death shows (RFC 5626 section 4.4).
//!
//! A stream is pinged with CRLF CRLF and answers with CRLF. A UDP flow is asked with STUN where its server is known to
//! answer: the answer says where the server sees us, and an address that changes is a flow that failed (section 4.4.2), because
//! requests for us go to the old one. Other servers get CRLF CRLF as a datagram, which keeps the NAT open and shows nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Due, FlowDeath};
use crate::ident::Ident;
use crate::outbox::Deadline;
use crate::stun::{self, Answer, TransactionId};

/// How long a pong may take (RFC 5626 section 4.4.1).
pub const PONG_WITHIN: Duration = Duration::from_secs(10);

/// The first pause before a Binding request is sent again, doubled each time (RTO, RFC 8489 section 6.2.1).
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How often it is sent in all (Rc).
const SENDS: u32 = 7;
/// How long its last sending is waited for (Rm times RTO).
const LAST_PAUSE: Duration = Duration::from_secs(8);

/// Whether UDP flows are kept alive by STUN (RFC 5626 section 4.4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StunUse {
    /// Never: CRLF CRLF keeps the NAT open.
    Never,
    /// Once the registrar has said that the first hop supports outbound, which includes STUN (RFC 5626 section 5.4).
    #[default]
    WhereKnown,
    /// From the beginning: the server is known to answer.
    Always,
}

/// The keep-alive of one flow.
#[derive(Debug)]
pub(super) struct KeepAlive {
    interval: Duration,
    /// A missing answer ends the flow, where answers are known to come.
    required: bool,
    ping_at: Instant,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Stream {
        /// The server is known to answer pings.
        pongs: bool,
        pong_by: Option<Instant>,
    },
    Datagrams {
        stun: StunUse,
        /// The question under way.
        asked: Option<Asked>,
        /// Where the server saw us first.
        mapped: Option<SocketAddr>,
    },
}

/// A Binding request that waits for its answer.
#[derive(Debug)]
struct Asked {
    id: TransactionId,
    sends: u32,
    pause: Duration,
    /// When it is sent again, or given up.
    at: Instant,
}

/// What a STUN message on a flow was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stun {
    /// The answer that was waited for.
    Alive,
    /// Nothing that was waited for.
    Unasked,
    /// The answer, and the server sees us elsewhere than before: give the flow up.
    Moved,
}

impl KeepAlive {
    /// Of a flow that came up now.
    pub(super) fn new(interval: Duration, required: bool, stun: Option<StunUse>, now: Instant) -> Self {
        let kind = match stun {
            None => Kind::Stream { pongs: false, pong_by: None },
            Some(stun) => Kind::Datagrams { stun, asked: None, mapped: None },
        };
        // The first answer is what later ones are compared with.
        let ping_at = if stun == Some(StunUse::Always) { now } else { now + interval };
        Self { interval, required, ping_at, kind }
    }

    /// The server supports outbound, so it answers pings, and STUN on its UDP ports (sections 4.4.1 and 5.4).
    pub(super) fn expect_answers(&mut self, now: Instant) {
        match &mut self.kind {
            Kind::Stream { pongs, .. } => *pongs = true,
            Kind::Datagrams { stun: stun @ StunUse::WhereKnown, .. } => {
                *stun = StunUse::Always;
                self.ping_at = now;
            }
            Kind::Datagrams { stun: StunUse::Never | StunUse::Always, .. } => {}
        }
    }

    /// The server expects something of us at least this often (Flow-Timer, section 4.4); shortened at random already.
    pub(super) fn hasten(&mut self, interval: Duration, now: Instant) {
        if interval < self.interval {
            self.interval = interval;
            self.ping_at = self.ping_at.min(now + interval);
        }
    }

    /// Bytes of a stream, or a message in a datagram, came.
    pub(super) fn on_bytes(&mut self) {
        if let Kind::Stream { pong_by, .. } = &mut self.kind {
            *pong_by = None;
        }
    }

    /// A STUN message came.
    pub(super) fn on_stun(&mut self, datagram: &[u8]) -> Stun {
        let Kind::Datagrams { stun, asked, mapped } = &mut self.kind else { return Stun::Unasked };
        let Ok((id, answer)) = stun::read_answer(datagram) else { return Stun::Unasked };
        if asked.take_if(|asked| asked.id == id).is_none() {
            return Stun::Unasked;
        }
        match answer {
            Answer::Mapped(address) if *mapped.get_or_insert(address) != address => Stun::Moved,
            Answer::Mapped(_) => Stun::Alive,
            // It is there, and of no use for this.
            Answer::Refused(_) => {
                *stun = StunUse::Never;
                Stun::Alive
            }
        }
    }

    /// We wrote something, which keeps the bindings of NATs as well as a ping would.
    pub(super) fn on_written(&mut self, now: Instant) {
        let first = matches!(self.kind, Kind::Datagrams { stun: StunUse::Always, asked: None, mapped: None });
        if !first {
            self.ping_at = now + self.interval;
        }
    }

    pub(super) fn next_deadline(&self) -> Deadline {
        match &self.kind {
            Kind::Stream { pong_by: Some(at), .. } => Deadline::new(*at, "the pong is overdue"),
            Kind::Datagrams { asked: Some(asked), .. } => Deadline::new(asked.at, "STUN: ask again"),
            Kind::Stream { pong_by: None, .. } | Kind::Datagrams { asked: None, .. } => {
                Deadline::new(self.ping_at, "ping the idle flow")
            }
        }
    }

    pub(super) fn on_deadline(&mut self, now: Instant, ident: &mut Ident) -> Due {
        if let Kind::Datagrams { asked: waiting @ Some(_), stun, .. } = &mut self.kind {
            let due = waiting.take_if(|asked| asked.at <= now);
            return match due {
                None => Due::Nothing,
                Some(asked) if asked.sends < SENDS => {
                    let id = asked.id;
                    *waiting = Some(asked.again(now));
                    Due::Ask(stun::request(id))
                }
                Some(_) if self.required => Due::Dead(FlowDeath::NoStunAnswer),
                Some(_) => {
                    *stun = StunUse::Never;
                    Due::Nothing
                }
            };
        }
        if let Kind::Stream { pong_by: Some(at), .. } = self.kind {
            return if now >= at { Due::Dead(FlowDeath::NoPong) } else { Due::Nothing };
        }
        if now < self.ping_at {
            return Due::Nothing;
        }
        self.ping_at = now + self.interval;
        match &mut self.kind {
            Kind::Stream { pongs, pong_by } => {
                *pong_by = (self.required && *pongs).then(|| now + PONG_WITHIN);
                Due::Ping
            }
            Kind::Datagrams { stun: StunUse::Always, asked, .. } => {
                let id = TransactionId(ident.bits());
                *asked = Some(Asked { id, sends: 1, pause: FIRST_PAUSE, at: now + FIRST_PAUSE });
                Due::Ask(stun::request(id))
            }
            Kind::Datagrams { stun: StunUse::Never | StunUse::WhereKnown, .. } => Due::Ping,
        }
    }
}

impl Asked {
    /// Sent once more.
    fn again(self, now: Instant) -> Self {
        let sends = self.sends + 1;
        let pause = self.pause * 2;
        let wait = if sends == SENDS { LAST_PAUSE } else { pause };
        Self { id: self.id, sends, pause, at: now + wait }
    }
}
