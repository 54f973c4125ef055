//! Pairs of UDP ports: an even one for RTP and the odd one after it for RTCP (RFC 3550 section 11).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use tokio::net::UdpSocket;

use crate::imagined::Imagined;

/// How many system-given ports are tried until one is even and the next one free.
const TRIES: u32 = 256;

pub(crate) struct Pair {
    pub(crate) rtp_port: u16,
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
}

/// Where ports come from: a range in rotation, or the system for `0..=0`.
pub(crate) struct Ports {
    pub(crate) address: IpAddr,
    range: RangeInclusive<u16>,
    next: u16,
    /// Numbers without sockets, for a simulation.
    imagined: Option<Imagined>,
}

impl Ports {
    pub(crate) fn new(address: IpAddr, range: RangeInclusive<u16>) -> Self {
        let next = *range.start();
        Self { address, range, next, imagined: None }
    }

    /// Numbers without sockets.
    pub(crate) fn imagined(address: IpAddr, range: RangeInclusive<u16>, ports: Imagined) -> Self {
        Self { imagined: Some(ports), ..Self::new(address, range) }
    }

    /// Where there are no sockets: where they would be.
    pub(crate) fn simulation(&self) -> Option<Imagined> {
        self.imagined.clone()
    }

    /// The next free pair of those: RTP and RTCP. None where there are sockets, or no more.
    pub(crate) fn imagine(&mut self) -> Option<[SocketAddr; 2]> {
        let ports = self.imagined.as_ref()?;
        let (low, high) = (*self.range.start(), *self.range.end());
        for _ in 0..=(high.saturating_sub(low)) / 2 {
            let port = self.next;
            self.next = if port >= high.saturating_sub(1) { low } else { port + 2 };
            let pair = [port, port + 1].map(|port| SocketAddr::new(self.address, port));
            if pair.iter().all(|address| ports.is_free(*address)) {
                return Some(pair);
            }
        }
        None
    }

    pub(crate) fn pair(&mut self) -> io::Result<Pair> {
        if *self.range.end() == 0 { self.any() } else { self.in_range() }
    }

    fn any(&self) -> io::Result<Pair> {
        let mut tries = 0;
        loop {
            let first = bind(self.address, 0)?;
            let port = first.local_addr()?.port();
            let attempt = if port % 2 == 0 {
                bind(self.address, port + 1).and_then(|rtcp| made(port, first, rtcp))
            } else {
                bind(self.address, port - 1).and_then(|rtp| made(port - 1, rtp, first))
            };
            tries += 1;
            match attempt {
                Err(_) if tries < TRIES => {}
                other => return other,
            }
        }
    }

    fn in_range(&mut self) -> io::Result<Pair> {
        let (low, high) = (*self.range.start(), *self.range.end());
        for _ in 0..=(high.saturating_sub(low)) / 2 {
            let even = |port: u16| port.checked_next_multiple_of(2).filter(|port| *port < high);
            let port = even(self.next.max(low)).or_else(|| even(low)).unwrap_or(high);
            self.next = port.saturating_add(2);
            if port < high
                && let (Ok(rtp), Ok(rtcp)) = (bind(self.address, port), bind(self.address, port + 1))
            {
                return made(port, rtp, rtcp);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no free pair of ports in {low}-{high}")))
    }
}

fn made(rtp_port: u16, rtp: std::net::UdpSocket, rtcp: std::net::UdpSocket) -> io::Result<Pair> {
    Ok(Pair { rtp_port, rtp: UdpSocket::from_std(rtp)?, rtcp: UdpSocket::from_std(rtcp)? })
}

fn bind(address: IpAddr, port: u16) -> io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(SocketAddr::new(address, port))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pairs_are_even_and_odd_and_a_range_runs_out() {
        let mut any = Ports::new([127, 0, 0, 1].into(), 0..=0);
        let pair = any.pair().unwrap();
        assert_eq!(pair.rtp_port % 2, 0);
        assert_eq!(pair.rtcp.local_addr().unwrap().port(), pair.rtp_port + 1);
        let mut full = Ports::new([127, 0, 0, 1].into(), pair.rtp_port..=pair.rtp_port + 1);
        assert_eq!(full.pair().err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
        let port = pair.rtp_port;
        drop(pair);
        let mut again = Ports::new([127, 0, 0, 1].into(), port..=port + 1);
        assert_eq!(again.pair().unwrap().rtp_port, port);
    }
    #[tokio::test]
    async fn the_top_of_the_range_comes_round_to_its_start() {
        let mut top = Ports::new([127, 0, 0, 1].into(), 65_530..=65_535);
        let ports: Vec<u16> = (0..7).filter_map(|_| top.pair().ok()).map(|pair| pair.rtp_port).collect();
        assert!(ports.iter().all(|port| (65_530..65_535).contains(port) && port % 2 == 0), "{ports:?}");
        assert!(ports.len() > 3, "pairs are given again once they are free: {ports:?}");
    }
}
