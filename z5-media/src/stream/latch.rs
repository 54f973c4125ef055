//! Which address media is taken from and sent to: learned once, then held.
//!
//! In the clear nothing but the address and the SSRC tells a stranger from the far end, so the first source stays,
//! except that the announced address may displace another one that was quicker, once, within [`GRACE`]. With SRTP every
//! authentic packet proves its sender, so the far end may move.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::reach::Reach;

/// How long the announced address may still displace a quicker one.
const GRACE: Duration = Duration::from_secs(3);

/// The source of one stream.
#[derive(Debug, Clone)]
pub(super) struct Latch {
    signalled: SocketAddr,
    held: Option<(SocketAddr, Instant)>,
    /// None: anywhere.
    reach: Option<Reach>,
}

impl Latch {
    pub(super) fn new(signalled: SocketAddr) -> Self {
        Self { signalled, held: None, reach: None }
    }

    /// Another address was announced: the source is learned anew.
    pub(super) fn renew(&mut self, signalled: SocketAddr) {
        (self.signalled, self.held) = (signalled, None);
    }

    /// No other sources than these are learned.
    pub(super) fn set_reach(&mut self, reach: Reach) {
        self.reach = Some(reach);
    }

    /// Is that a source that is known, or may be learned? In the clear and with SRTP: an authentic far end must not lead media
    /// elsewhere either.
    pub(super) fn reaches(&self, from: SocketAddr) -> bool {
        self.source() == Some(from) || self.reach.as_ref().is_none_or(|reach| reach.permits(from))
    }

    /// The announced address.
    pub(super) fn signalled(&self) -> SocketAddr {
        self.signalled
    }

    /// May a packet in the clear come from there?
    pub(super) fn admits(&self, from: SocketAddr, now: Instant) -> bool {
        match self.held {
            None => true,
            Some((held, _)) if held == from => true,
            Some((_, since)) => from == self.signalled && now.saturating_duration_since(since) < GRACE,
        }
    }

    /// Is this the announced address taking the place of a quicker one? Its SSRC then needs no further confirmation: else
    /// packets of the quicker one between its own would keep it out.
    pub(super) fn displaces(&self, from: SocketAddr, now: Instant) -> bool {
        self.held.is_some_and(|(held, _)| held != from) && self.admits(from, now)
    }

    /// A packet from there was accepted (admitted in the clear, or authentic).
    pub(super) fn learn(&mut self, from: SocketAddr, now: Instant) {
        match self.held {
            Some((held, _)) if held == from => {}
            Some(_) | None => self.held = Some((from, now)),
        }
    }

    /// Where media comes from, once known.
    pub(super) fn source(&self) -> Option<SocketAddr> {
        self.held.map(|(held, _)| held)
    }

    /// Where media goes.
    pub(super) fn destination(&self) -> SocketAddr {
        self.source().unwrap_or(self.signalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_first_source_is_held_and_the_announced_one_may_displace_it_early() {
        let (announced, quick, other): (SocketAddr, SocketAddr, SocketAddr) = (
            "127.0.0.1:4000".parse().unwrap(),
            "127.0.0.2:4".parse().unwrap(),
            "127.0.0.3:4".parse().unwrap(),
        );
        let start = clock::now();
        let mut latch = Latch::new(announced);
        assert_eq!(latch.destination(), announced);
        latch.learn(quick, start);
        assert_eq!(latch.destination(), quick);
        assert!(!latch.admits(other, start));
        assert!(latch.admits(announced, start + GRACE - Duration::from_millis(1)));
        assert!(!latch.admits(announced, start + GRACE));
        latch.learn(announced, start + Duration::from_secs(1));
        assert!(!latch.admits(quick, start + Duration::from_secs(1)));
    }

    #[test]
    fn what_is_out_of_reach_is_never_learned_and_stays_so_when_the_far_end_moves() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut latch = Latch::new(at("192.0.2.1:4000"));
        let outside = at("198.51.100.9:1").ip();
        latch.set_reach(Reach::new(move |address| address.ip() != outside));
        for _ in 0..2 {
            assert!(latch.reaches(at("192.0.2.7:9")) && !latch.reaches(at("198.51.100.9:4000")));
            latch.renew(at("192.0.2.2:4000"));
        }
        assert!(Latch::new(at("192.0.2.1:4000")).reaches(at("198.51.100.9:4000")), "without a rule anywhere");
    }
}
