//! What carries the media of a far end: two sockets, or two ports of a simulation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::{MAX_DATAGRAM, Orders, Outlet, Play, TAG_ROOM};
use crate::clock;
use crate::imagined::{Out, Player};

/// Two sockets to send from.
struct Sockets<'a>([&'a UdpSocket; 2]);

impl Outlet for Sockets<'_> {
    fn send(&mut self, end: usize, packet: &[u8], to: SocketAddr) {
        let _ = self.0[end].try_send_to(packet, to);
    }
}

/// Plays a line at two sockets.
pub(super) async fn run(mut play: Play, rtp: Arc<UdpSocket>, rtcp: Arc<UdpSocket>, orders: Arc<Orders>) {
    // As in the relay: a new socket must be known to take packets before the first one is sent.
    for socket in [&rtp, &rtcp] {
        if socket.writable().await.is_err() {
            return;
        }
    }
    let mut sockets = Sockets([&rtp, &rtcp]);
    let mut buffers = [[0; MAX_DATAGRAM + TAG_ROOM]; 2];
    loop {
        let due = play.next_deadline();
        let [media, control] = &mut buffers;
        let received = tokio::select! {
            // An error is an ICMP message about a caller that left (Windows tells it here).
            received = rtp.recv_from(&mut media[..MAX_DATAGRAM]) => received.ok().map(|received| (0, received)),
            received = rtcp.recv_from(&mut control[..MAX_DATAGRAM]) => received.ok().map(|received| (1, received)),
            () = orders.picture.notified() => {
                play.held = orders.held.load(Ordering::Relaxed);
                play.on_picture_wanted(&mut sockets);
                None
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(clock::now)), if due.is_some() => None,
        };
        play.held = orders.held.load(Ordering::Relaxed);
        if let Some((end, (length, source))) = received {
            play.on_packet(end, &mut buffers[end], length, source, clock::now(), &mut sockets);
        }
        play.on_deadline(clock::now(), &mut sockets);
    }
}

/// A line at two ports of a simulation.
pub(super) struct Seat {
    pub(super) play: Play,
    pub(super) addresses: [SocketAddr; 2],
}

/// Sends from the two ports of a simulation.
pub(super) struct Leaving<'a> {
    pub(super) addresses: [SocketAddr; 2],
    pub(super) out: &'a mut Out,
}

impl Outlet for Leaving<'_> {
    fn send(&mut self, end: usize, packet: &[u8], to: SocketAddr) {
        self.out.send(self.addresses[end], packet, to);
    }
}

impl Player for Seat {
    fn receive(
        &mut self,
        at: SocketAddr,
        packet: &mut [u8],
        source: SocketAddr,
        now: Instant,
        out: &mut Out,
    ) {
        if packet.len() > MAX_DATAGRAM {
            return;
        }
        let Self { play, addresses } = self;
        let end = usize::from(at == addresses[1]);
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len() + TAG_ROOM, 0);
        let mut leaving = Leaving { addresses: *addresses, out };
        play.on_packet(end, &mut buffer, packet.len(), source, now, &mut leaving);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.play.next_deadline()
    }

    fn on_deadline(&mut self, now: Instant, out: &mut Out) {
        let Self { play, addresses } = self;
        play.on_deadline(now, &mut Leaving { addresses: *addresses, out });
    }
}
