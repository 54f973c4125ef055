//! Socket I/O alone: what arrives is sent on unchanged. The floor under the designs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use z5_media::batch::Batch;

use super::packets::Work;

/// A socket per call.
pub(crate) fn sockets(work: Work) {
    run(work, false);
}

/// A socket per call, connected to where its packets come from, and answers go there.
pub(crate) fn connected(work: Work) {
    run(work, true);
}

fn run(work: Work, connect: bool) {
    let mut poll = Poll::new().expect("epoll");
    let mut sockets: Vec<_> = work.sockets.into_iter().map(mio::net::UdpSocket::from_std).collect();
    for (n, socket) in sockets.iter_mut().enumerate() {
        if connect {
            socket.connect(work.far).expect("connected");
        }
        poll.registry().register(socket, Token(n), Interest::READABLE).expect("registered");
    }
    let mut events = Events::with_capacity(1024);
    let mut inbox = Batch::new(16);
    work.progress.ready.store(true, Ordering::Release);
    while !work.progress.stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(1));
        poll.poll(&mut events, Some(Duration::ZERO)).expect("epoll");
        for event in &events {
            let socket = &sockets[event.token().0];
            while let Ok(got) = inbox.receive(socket, 16) {
                for (datagram, _) in inbox.iter_mut() {
                    let _ = if connect { socket.send(datagram) } else { socket.send_to(datagram, work.far) };
                }
                work.progress.echoed(got as u64);
                if got < 16 {
                    break;
                }
            }
        }
    }
}

/// One socket for all, answers to where each packet came from.
pub(crate) fn shared(work: Work) {
    let socket = &work.sockets[0];
    Batch::coalesce(socket);
    let (mut inbox, mut outbox) = (Batch::wide(64), Batch::new(64));
    work.progress.ready.store(true, Ordering::Release);
    while !work.progress.stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(1));
        while let Ok(got) = inbox.receive(socket, 64) {
            work.progress.echoed(inbox.len() as u64);
            for (datagram, from) in inbox.iter_mut() {
                if outbox.is_full() {
                    outbox.send(socket);
                }
                if let Some(slot) = outbox.free_slot() {
                    slot[..datagram.len()].copy_from_slice(datagram);
                    outbox.commit(datagram.len(), from);
                }
            }
            outbox.send(socket);
            if got < 64 {
                break;
            }
        }
    }
}
