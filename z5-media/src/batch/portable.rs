//! One system call per datagram, where there are no others.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::Piece;

/// A non-blocking UDP socket.
#[cfg_attr(target_os = "linux", expect(unreachable_pub, reason = "on Linux it is only tested"))]
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

/// Fills slots of `slot` bytes; fewer than `count` means that nothing more waits.
///
/// Windows tells here that an earlier datagram met a closed port (WSAECONNRESET), or that one was longer than the slot
/// (WSAEMSGSIZE). Neither says that nothing waits, and readiness is told anew only after a read that would block: what such an
/// error took is passed over, as a datagram that somebody else would have dropped.
pub(super) fn receive(
    socket: &impl Socket,
    arena: &mut [u8],
    slot: usize,
    count: usize,
    filled: &mut Vec<Piece>,
) -> io::Result<usize> {
    let mut passed_over = None;
    for (n, room) in arena.chunks_mut(slot).take(count).enumerate() {
        match socket.take(room) {
            Ok((len, address)) => filled.push(Piece { start: n * slot, len, address }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && n > 0 => return Ok(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(error) => passed_over = Some(error),
        }
    }
    match passed_over {
        // A socket that gives errors alone is told apart from one that gives datagrams, so that the caller's bound holds for it.
        Some(error) if filled.is_empty() => Err(error),
        Some(_) | None => Ok(count),
    }
}

/// Sends what is held; tells the number of each datagram that was refused.
pub(super) fn send(socket: &impl Socket, arena: &[u8], filled: &[Piece], refused: &mut dyn FnMut(usize)) {
    for (n, piece) in filled.iter().enumerate() {
        if socket.give(&arena[piece.start..piece.start + piece.len], piece.address).is_err() {
            refused(n);
        }
    }
}

/// There is no such thing in common.
pub(super) fn coalesce(_socket: &impl Socket) -> bool {
    false
}
