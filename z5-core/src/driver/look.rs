//! A look at the machine once a second: its clocks, and from which address it would send to our servers.
//!
//! The system answers the latter for a UDP socket that is connected and never used: no packet is sent.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::clock::WallAnchor;
use crate::machine::io::{Look, Route};

/// Recovery after a network returns takes at most 2 s, and the first attempt after it needs its time too.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// At what it was looked last.
#[derive(Default)]
pub(super) struct Lookout {
    towards: Option<SocketAddr>,
}

impl Lookout {
    /// What is seen now; nothing is said of the route when its end is another one than at the last look.
    pub(super) fn look(&mut self, towards: Option<SocketAddr>) -> Look {
        let same = std::mem::replace(&mut self.towards, towards) == towards;
        let route = match towards {
            Some(towards) if same => route(towards),
            Some(_) | None => Route::Unknown,
        };
        Look { wall: WallAnchor::read(), route }
    }
}

fn route(towards: SocketAddr) -> Route {
    #[cfg(all(test, target_os = "linux"))]
    if let Some(home) = super::elsewhere::from(towards) {
        return Route::From(home.ip());
    }
    let any = match towards {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let from = || {
        let socket = UdpSocket::bind(any)?;
        socket.connect(towards)?;
        socket.local_addr()
    };
    match from() {
        Ok(local) => Route::From(local.ip()),
        Err(_) => Route::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_this_machine_begins_on_this_machine() {
        let towards = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        assert_eq!(route(towards), Route::From(Ipv4Addr::LOCALHOST.into()));
    }
}
