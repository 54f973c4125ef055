//! Socket I/O alone: what arrives is sent on unchanged. The floor under the designs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::Events;
use z5_media::batch::Batch;

use super::Work;
use super::sockets::watch;

/// A socket per call.
pub(crate) fn sockets(work: Work) {
    let (mut poll, sockets) = watch(work.sockets);
    let mut events = Events::with_capacity(1024);
    let mut inbox = Batch::new(16);
    while !work.stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(1));
        poll.poll(&mut events, Some(Duration::ZERO)).expect("epoll");
        for event in &events {
            let socket = &sockets[event.token().0];
            while let Ok(got) = inbox.receive(socket, 16) {
                for (datagram, _) in inbox.iter_mut() {
                    let _ = socket.send_to(datagram, work.sink);
                }
                work.packets.fetch_add(got as u64, Ordering::Relaxed);
                if got < 16 {
                    break;
                }
            }
        }
    }
}

/// One socket for all.
pub(crate) fn shared(work: Work) {
    let socket = &work.sockets[0];
    let (mut inbox, mut outbox) = (Batch::new(64), Batch::new(64));
    while !work.stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(1));
        while let Ok(got) = inbox.receive(socket, 64) {
            for (datagram, _) in inbox.iter_mut() {
                if let Some(slot) = outbox.free_slot() {
                    slot[..datagram.len()].copy_from_slice(datagram);
                    outbox.commit(datagram.len(), work.sink);
                }
            }
            outbox.send(socket);
            work.packets.fetch_add(got as u64, Ordering::Relaxed);
            if got < 64 {
                break;
            }
        }
    }
}
