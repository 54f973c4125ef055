//! One system call per datagram, where there are no others.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::SLOT;

/// A non-blocking UDP socket.
pub trait Socket {
    /// Takes one datagram.
    ///
    /// # Errors
    /// What the system says.
    fn take(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;

    /// Sends one datagram.
    ///
    /// # Errors
    /// What the system says.
    fn give(&self, buffer: &[u8], to: SocketAddr) -> io::Result<usize>;
}

impl Socket for UdpSocket {
    fn take(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buffer)
    }

    fn give(&self, buffer: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_to(buffer, to)
    }
}

impl Socket for mio::net::UdpSocket {
    fn take(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buffer)
    }

    fn give(&self, buffer: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_to(buffer, to)
    }
}

/// Fills slots; fewer than given means that nothing more waits.
pub(super) fn receive(
    socket: &impl Socket,
    slots: &mut [[u8; SLOT]],
    filled: &mut Vec<(usize, SocketAddr)>,
) -> io::Result<()> {
    for slot in slots {
        match socket.take(slot) {
            Ok(datagram) => filled.push(datagram),
            Err(error) if filled.is_empty() => return Err(error),
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// Sends slots; returns how many were refused.
pub(super) fn send(socket: &impl Socket, slots: &[[u8; SLOT]], filled: &[(usize, SocketAddr)]) -> usize {
    slots.iter().zip(filled).filter(|(slot, (len, to))| socket.give(&slot[..*len], *to).is_err()).count()
}
