//! One thread, one socket for all calls, batches of 64 both ways, a tick of 1 ms; calls are told apart by SSRC.

use std::sync::atomic::Ordering;
use std::time::Duration;

use z5_media::batch::Batch;

use super::Work;
use super::sessions::Call;

/// Receives, echoes and sends in batches.
pub(crate) fn run(work: Work) {
    let mut calls: Vec<Call> = (0..work.calls).map(|_| Call::new()).collect();
    let socket = &work.sockets[0];
    let (mut inbox, mut outbox) = (Batch::new(64), Batch::new(64));
    while !work.stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(1));
        while let Ok(got) = inbox.receive(socket, 64) {
            let mut done = 0;
            for (datagram, _) in inbox.iter_mut() {
                let call = z5_media::rtp::ssrc(datagram) as usize % work.calls;
                let Some(slot) = outbox.free_slot() else { break };
                if let Some(len) = calls[call].echo(datagram, slot) {
                    outbox.commit(len, work.sink);
                    done += 1;
                }
            }
            outbox.send(socket);
            work.packets.fetch_add(done, Ordering::Relaxed);
            if got < 64 {
                break;
            }
        }
    }
}
