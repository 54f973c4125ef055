//! One thread, epoll through mio, a socket per call, everything in place.

use std::net::UdpSocket;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use z5_media::batch::{Batch, SLOT};

use super::Work;
use super::sessions::Call;

/// A poll instance that watches every socket.
pub(crate) fn watch(sockets: Vec<UdpSocket>) -> (Poll, Vec<mio::net::UdpSocket>) {
    let poll = Poll::new().expect("epoll");
    let mut sockets: Vec<_> = sockets.into_iter().map(mio::net::UdpSocket::from_std).collect();
    for (n, socket) in sockets.iter_mut().enumerate() {
        poll.registry().register(socket, Token(n), Interest::READABLE).expect("registered");
    }
    (poll, sockets)
}

/// Blocks in epoll.
pub(crate) fn blocking(work: Work) {
    run(work, None);
}

/// Looks once a millisecond.
pub(crate) fn ticking(work: Work) {
    run(work, Some(Duration::from_millis(1)));
}

fn run(work: Work, tick: Option<Duration>) {
    let mut calls: Vec<Call> = (0..work.calls).map(|_| Call::new()).collect();
    let (mut poll, sockets) = watch(work.sockets);
    let mut events = Events::with_capacity(1024);
    let mut inbox = Batch::new(16);
    let mut out = [0_u8; SLOT];
    while !work.stop.load(Ordering::Relaxed) {
        let timeout = match tick {
            None => Duration::from_millis(20),
            Some(tick) => {
                std::thread::park_timeout(tick);
                Duration::ZERO
            }
        };
        poll.poll(&mut events, Some(timeout)).expect("epoll");
        let mut done = 0;
        for event in &events {
            let n = event.token().0;
            while let Ok(got) = inbox.receive(&sockets[n], 16) {
                for (datagram, _) in inbox.iter_mut() {
                    if let Some(len) = calls[n].echo(datagram, &mut out) {
                        let _ = sockets[n].send_to(&out[..len], work.sink);
                        done += 1;
                    }
                }
                if got < 16 {
                    break;
                }
            }
        }
        work.packets.fetch_add(done, Ordering::Relaxed);
    }
}
