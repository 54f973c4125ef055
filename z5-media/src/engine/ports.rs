//! Local port pairs: RTP on an even port, RTCP on the odd one above it (RFC 3550 section 11).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;

use super::error::PortError;
use super::shared::SharedPlace;
use super::simulated;

/// How often the system is asked for a fresh port before "any port" counts as exhausted.
const ANY_PORT_TRIES: u32 = 256;

/// A bound RTP and RTCP socket pair, not yet used by a stream; or a place on a shared one. Dropping it frees the ports.
#[derive(Debug)]
pub struct LocalPort {
    pub(super) ends: Ends,
    rtp_addr: SocketAddr,
    rtcp_addr: SocketAddr,
}

/// What a port is made of.
#[derive(Debug)]
pub(super) enum Ends {
    /// Sockets of its own.
    Own { rtp: UdpSocket, rtcp: UdpSocket },
    /// Those of a shared port, and the SSRC that is expected there.
    Shared { place: SharedPlace, remote_ssrc: Option<u32> },
    /// Ports without sockets, in simulated time.
    Simulated(simulated::Pair),
}

/// A bound pair.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    pub(super) rtp_addr: SocketAddr,
    pub(super) rtcp_addr: SocketAddr,
}

impl LocalPort {
    /// Address of the RTP socket; its port goes into the m-line.
    #[must_use]
    pub fn rtp_addr(&self) -> SocketAddr {
        self.rtp_addr
    }

    /// Address of the RTCP socket (always the next port).
    #[must_use]
    pub fn rtcp_addr(&self) -> SocketAddr {
        self.rtcp_addr
    }

    /// A pair on a simulated network.
    pub(super) fn simulated(pair: simulated::Pair) -> Self {
        let (rtp_addr, rtcp_addr) = (pair.rtp, pair.rtcp);
        Self { ends: Ends::Simulated(pair), rtp_addr, rtcp_addr }
    }

    /// A place on a shared pair.
    pub(super) fn shared(
        place: SharedPlace,
        rtp_addr: SocketAddr,
        rtcp_addr: SocketAddr,
        remote_ssrc: Option<u32>,
    ) -> Self {
        Self { ends: Ends::Shared { place, remote_ssrc }, rtp_addr, rtcp_addr }
    }
}

impl Pair {
    fn bind(bind: IpAddr, port: u16) -> io::Result<Self> {
        let rtp = UdpSocket::bind((bind, port))?;
        Self::complete(bind, rtp)
    }

    /// Adds the RTCP socket to a bound even RTP socket.
    fn complete(bind: IpAddr, rtp: UdpSocket) -> io::Result<Self> {
        let rtp_addr = rtp.local_addr()?;
        let rtcp_port = rtp_addr.port().checked_add(1).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let rtcp = UdpSocket::bind((bind, rtcp_port))?;
        rtp.set_nonblocking(true)?;
        rtcp.set_nonblocking(true)?;
        let rtcp_addr = rtcp.local_addr()?;
        Ok(Self { rtp, rtcp, rtp_addr, rtcp_addr })
    }
}

/// A port of its own in `ports`; see [`bind_pair`].
pub(super) fn reserve(bind: IpAddr, ports: RangeInclusive<u16>, start: u64) -> Result<LocalPort, PortError> {
    let Pair { rtp, rtcp, rtp_addr, rtcp_addr } = bind_pair(bind, ports, start)?;
    Ok(LocalPort { ends: Ends::Own { rtp, rtcp }, rtp_addr, rtcp_addr })
}

/// Binds a pair in `ports`, trying pairs from the `start`-th on; `0..=0` takes any even pair the system gives.
pub(super) fn bind_pair(bind: IpAddr, ports: RangeInclusive<u16>, start: u64) -> Result<Pair, PortError> {
    if ports == (0..=0) {
        return reserve_any(bind);
    }
    let first = u32::from((*ports.start()).max(1)).next_multiple_of(2);
    let end = u32::from(*ports.end());
    if first + 1 > end {
        return Err(PortError::NoPair { ports });
    }
    let pairs = (end - first).div_ceil(2);
    let offset = u32::try_from(start % u64::from(pairs)).unwrap_or(0);
    for step in 0..pairs {
        let port = first + 2 * ((offset + step) % pairs);
        let Ok(port) = u16::try_from(port) else { continue };
        match Pair::bind(bind, port) {
            Ok(pair) => return Ok(pair),
            Err(source) => {
                if !taken(&source) {
                    return Err(PortError::Bind { bind, source });
                }
            }
        }
    }
    Err(PortError::Exhausted { bind, ports, pairs })
}

fn reserve_any(bind: IpAddr) -> Result<Pair, PortError> {
    // Rejected sockets stay bound until the search ends, so that the system cannot offer the same port again.
    let mut rejected = Vec::new();
    for _ in 0..ANY_PORT_TRIES {
        let rtp = UdpSocket::bind((bind, 0)).map_err(|source| PortError::Bind { bind, source })?;
        let port = rtp.local_addr().map_err(|source| PortError::Bind { bind, source })?.port();
        if port % 2 != 0 {
            rejected.push(rtp);
            continue;
        }
        match Pair::complete(bind, rtp) {
            Ok(pair) => return Ok(pair),
            Err(source) if taken(&source) => {}
            Err(source) => return Err(PortError::Bind { bind, source }),
        }
    }
    Err(PortError::Exhausted { bind, ports: 0..=0, pairs: ANY_PORT_TRIES })
}

/// The port itself is the trouble, another one may do (in use, or reserved by the system).
fn taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse || error.kind() == io::ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn any_pair_is_even_and_odd() {
        let pair = reserve(LOCAL, 0..=0, 0).unwrap();
        assert_eq!(pair.rtp_addr().port() % 2, 0);
        assert_eq!(pair.rtcp_addr().port(), pair.rtp_addr().port() + 1);
    }

    #[test]
    fn an_exhausted_range_says_so() {
        let held = reserve(LOCAL, 0..=0, 0).unwrap();
        let port = held.rtp_addr().port();
        let error = reserve(LOCAL, port..=port + 1, 7).unwrap_err();
        assert!(matches!(error, PortError::Exhausted { pairs: 1, .. }), "{error}");
        assert!(error.to_string().contains("widen the range"));
    }

    #[test]
    fn a_range_without_a_pair_is_refused() {
        assert!(matches!(reserve(LOCAL, 20001..=20002, 0), Err(PortError::NoPair { .. })));
        assert!(matches!(reserve(LOCAL, 20000..=20000, 0), Err(PortError::NoPair { .. })));
        assert!(matches!(reserve(LOCAL, 65535..=65535, 0), Err(PortError::NoPair { .. })));
    }

    #[test]
    fn the_start_rotates_through_the_range() {
        // Two ranges on an address of their own, so that parallel tests do not take the ports.
        let bind: IpAddr = "127.77.0.1".parse().unwrap();
        let a = reserve(bind, 30000..=30007, 1).unwrap();
        let b = reserve(bind, 30000..=30007, 2).unwrap();
        assert_eq!((a.rtp_addr().port(), b.rtp_addr().port()), (30002, 30004));
        let wrapped = reserve(bind, 30000..=30007, 7).unwrap();
        assert_eq!(wrapped.rtp_addr().port(), 30006);
    }
}
