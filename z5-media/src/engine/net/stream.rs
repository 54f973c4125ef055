//! One stream on the packet thread: its session, its sockets or its place on shared ones, and where its media comes from
//! and goes.

use std::mem::offset_of;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;

use super::SOON;
use crate::batch::{Batch, SLOT};
use crate::capture::{Capture, Transport};
use crate::clock;
use crate::engine::config::{EventSender, StreamEvent, StreamId};
use crate::engine::load::LoadSource;
use crate::engine::registry::SharedClaim;
use crate::engine::ring::{self, FrameHead, FrameReader, FrameWriter, word};
use crate::engine::simulated;
use crate::prefetch::prefetch;
use crate::rtp::{self, HEADER_LEN};
use crate::stats::DropReason;
use crate::stream::{Session, SessionFigures, Told, VoiceHeard};

/// The longest compound packet that is read for names: a few of them, so that no RTCP fills the ring of text.
const MOST_NAMES: usize = 512;

/// The packet thread's part of a stream's figures.
pub(in crate::engine) struct NetFigures {
    pub(in crate::engine) session: SessionFigures,
    pub(in crate::engine) send_errors: u64,
}

/// One stream on the packet thread. Its fields lie in memory as they stand here, from the beginning of a line on: what every
/// packet needs first and together.
#[repr(C, align(64))]
pub(in crate::engine) struct NetStream {
    pub(in crate::engine) id: StreamId,
    pub(in crate::engine) capture: Option<Arc<Capture>>,
    pub(in crate::engine) mux: bool,
    /// The moment its one valid timer is set to.
    pub(in crate::engine) armed: Instant,
    /// When something was last read from its sockets.
    pub(in crate::engine) read: Instant,
    pub(in crate::engine) sockets: Sockets,
    pub(in crate::engine) feed: Feed,
    pub(in crate::engine) session: Session,
    pub(in crate::engine) send_errors: u64,
    /// Addresses of both sockets, for the capture.
    pub(in crate::engine) local: [SocketAddr; 2],
}

/// What a stream sends on and receives from.
pub(in crate::engine) enum Sockets {
    /// Sockets of its own.
    Own { rtp: UdpSocket, rtcp: UdpSocket },
    /// A place on a shared pair.
    Shared(SharedClaim),
    /// Ports without sockets.
    Simulated(simulated::Pair),
}

/// Where frames come from and go.
pub(in crate::engine) enum Feed {
    /// The worker thread.
    Worker {
        to_worker: FrameWriter,
        from_worker: FrameReader,
        /// The worker does not come by itself: wake it for each frame (text, video).
        wake: bool,
        /// The worker wants to hear of wanted key frames, limits and losses (video).
        adapts: bool,
        /// The worker wants to read what sources are called (text).
        names: bool,
    },
    /// Media encoded beforehand; what comes ends here.
    Load(LoadSource),
}

/// What there is to be sent.
pub(super) enum Next {
    /// A whole datagram of that length.
    Packet(usize),
    /// A word of the worker, or a packet that could not be made.
    Nothing,
    /// No more.
    End,
}

/// What became of datagrams.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taken {
    /// The worker has something to do.
    pub(super) woke: bool,
    /// Packets are to be sent again.
    pub(super) asked: bool,
}

impl NetStream {
    /// Its first bytes, which every packet touches.
    const HOT: usize = offset_of!(Self, session) + Session::hot();

    /// Asks for what the next packet needs of it; its keys are asked for once that is here, as it says where they lie.
    pub(super) fn prefetch(&self) {
        const { assert!(Self::HOT <= 24 * 64, "more lines than the processor asks for at a time") };
        prefetch(self, Self::HOT);
    }

    /// May more than one datagram wait? Pictures are of many, and after one that was read just now there is a run of them.
    pub(super) fn gives_many(&mut self, now: Instant) -> bool {
        let before = std::mem::replace(&mut self.read, now);
        matches!(self.feed, Feed::Worker { adapts: true, .. }) || now.saturating_duration_since(before) < SOON
    }

    pub(in crate::engine) fn figures(&self) -> NetFigures {
        NetFigures { session: self.session.figures(), send_errors: self.send_errors }
    }

    /// Takes a datagram that came on the RTP (0) or RTCP (1) socket.
    pub(super) fn take(
        &mut self,
        datagram: &mut [u8],
        from: SocketAddr,
        end: usize,
        (now, epoch): (Instant, Instant),
        events: &EventSender,
    ) -> Taken {
        self.record(false, from, end, datagram, now);
        let mut taken = Taken::default();
        if datagram.len() >= SLOT {
            self.session.count(DropReason::TooLong);
        } else if end == 1 || (self.mux && rtp::is_rtcp(datagram)) {
            if let Ok(told) = self.session.receive_rtcp(datagram, from, now) {
                taken.woke = self.pass_on(told, events);
                if let Feed::Worker { to_worker, names: true, .. } = &mut self.feed
                    && let Some(compound) = datagram.get(..told.len).filter(|all| all.len() <= MOST_NAMES)
                {
                    let head = FrameHead { payload_type: word::COMPOUND, ..FrameHead::default() };
                    // Without room it is read when it is repeated.
                    taken.woke |= to_worker.push(&head, compound);
                }
                taken.asked = told.resend;
            }
        } else {
            taken.woke = self.take_rtp(datagram, from, now, epoch, events);
        }
        taken
    }

    /// Writes a datagram into the capture, if there is one.
    fn record(&self, sent: bool, far: SocketAddr, end: usize, datagram: &[u8], now: Instant) {
        if let Some(capture) = &self.capture {
            let (from, to) = if sent { (self.local[end], far) } else { (far, self.local[end]) };
            capture.record(Transport::Udp, from, to, datagram, now);
        }
    }

    /// Notes a datagram that leaves on a shared socket.
    pub(super) fn record_sent(&self, to: SocketAddr, end: usize, datagram: &[u8], now: Instant) {
        self.record(true, to, end, datagram, now);
    }

    /// Sends on the RTP socket, or on the RTCP socket where that is apart; only with sockets of its own.
    pub(super) fn transmit(&mut self, datagram: &[u8], to: SocketAddr, is_rtcp: bool, now: Instant) {
        let end = usize::from(is_rtcp && !self.mux);
        self.record(true, to, end, datagram, now);
        let (rtp, rtcp) = match &self.sockets {
            Sockets::Own { rtp, rtcp } => (rtp, rtcp),
            Sockets::Simulated(ports) => return ports.send(end, datagram, to),
            Sockets::Shared(_) => return,
        };
        let socket = if end == 1 { rtcp } else { rtp };
        if socket.send_to(datagram, to).is_err() && !is_rtcp {
            self.send_errors += 1;
        }
    }

    /// Sends what was gathered, as few messages as the system allows; only with sockets of its own.
    pub(super) fn flush(&mut self, outbox: &mut Batch) {
        if outbox.is_empty() {
            return;
        }
        if self.capture.is_some() {
            let now = clock::now();
            for (datagram, to) in outbox.iter_mut() {
                self.record(true, to, 0, datagram, now);
            }
        }
        match &self.sockets {
            // The call for many costs more.
            Sockets::Own { rtp, .. } if outbox.len() == 1 => {
                let refused =
                    outbox.iter_mut().filter(|(datagram, to)| rtp.send_to(datagram, *to).is_err()).count();
                self.send_errors += refused as u64;
                outbox.clear();
            }
            Sockets::Own { rtp, .. } => self.send_errors += outbox.send(rtp) as u64,
            Sockets::Simulated(ports) => {
                outbox.iter_mut().for_each(|(datagram, to)| ports.send(0, datagram, to));
                outbox.clear();
            }
            Sockets::Shared(_) => {}
        }
    }

    /// Hands what a compound said to the worker and the application; returns whether the worker has something to do.
    fn pass_on(&mut self, told: Told, events: &EventSender) -> bool {
        if told.bye {
            events(StreamEvent::Bye { stream: self.id });
        }
        // Audio and text have no rate to change and no key frames.
        let Feed::Worker { to_worker, adapts: true, .. } = &mut self.feed else { return false };
        if told.bye {
            to_worker.say(word::BYE, 0);
        }
        if told.key_frame_wanted {
            to_worker.say(word::KEY_FRAME, 0);
        }
        if let Some(limit) = told.limit {
            to_worker.say(word::LIMIT, limit);
        }
        if told.reported
            && let Some(report) = self.session.figures().remote_report
        {
            to_worker.say(word::LOSS, (report.fraction_lost * f64::from(u32::MAX)) as u64);
        }
        told.bye || told.key_frame_wanted || told.limit.is_some() || told.reported
    }

    /// Opens an RTP datagram and hands its frame to the worker; returns whether there is one.
    fn take_rtp(
        &mut self,
        datagram: &mut [u8],
        from: SocketAddr,
        now: Instant,
        epoch: Instant,
        events: &EventSender,
    ) -> bool {
        let Ok(frame) = self.session.receive_rtp(datagram, from, now) else { return false };
        let first = frame.first;
        let taken = match &mut self.feed {
            Feed::Load(load) => {
                load.came(now);
                false
            }
            Feed::Worker { to_worker, .. } => {
                let head = FrameHead {
                    payload_type: frame.payload_type,
                    marker: frame.marker,
                    restarted: frame.restarted,
                    timestamp: frame.timestamp,
                    sequence: frame.sequence,
                    at_nanos: now.saturating_duration_since(epoch).as_nanos() as u64,
                    csrc: frame.csrc,
                };
                let taken = to_worker.push(&head, frame.payload);
                if !taken {
                    self.session.count(DropReason::Overflow);
                }
                taken
            }
        };
        if first && let Some(after) = self.session.figures().first_packet {
            events(StreamEvent::FirstPacket { stream: self.id, from, after });
        }
        taken
    }

    /// Takes the worker's next frame or word; a frame becomes a datagram in `room`.
    pub(super) fn next_packet(&mut self, room: &mut [u8; SLOT], now: Instant) -> Next {
        let Feed::Worker { from_worker, .. } = &mut self.feed else { return Next::End };
        let Some((head, len)) = from_worker.pop(&mut room[HEADER_LEN..]) else { return Next::End };
        match head.payload_type {
            0..=127 => {}
            word::KEY_FRAME => {
                self.session.want_key_frame(now);
                return Next::Nothing;
            }
            word::LIMIT => {
                self.session.request_limit(ring::value(&room[HEADER_LEN..HEADER_LEN + len]), now);
                return Next::Nothing;
            }
            word::VOICE => {
                let heard = ring::value(&room[HEADER_LEN..HEADER_LEN + len]);
                self.session.set_voice(VoiceHeard::unpack(heard));
                return Next::Nothing;
            }
            word::KEY_FRAME_CAME => {
                self.session.key_frame_came();
                return Next::Nothing;
            }
            _ => return Next::Nothing,
        }
        self.seal(room, len, (head.payload_type, head.marker, head.timestamp), now)
    }

    /// Makes the next datagram of pre-encoded media, if one is due.
    pub(super) fn next_load(&mut self, room: &mut [u8; SLOT], now: Instant) -> Next {
        let Feed::Load(load) = &mut self.feed else { return Next::End };
        let payload_type = load.payload_type;
        let Some(packet) = load.next(&mut room[HEADER_LEN..]) else { return Next::Nothing };
        self.seal(room, packet.len, (payload_type, packet.marker, packet.timestamp), now)
    }

    fn seal(
        &mut self,
        room: &mut [u8; SLOT],
        len: usize,
        (payload_type, marker, timestamp): (u8, bool, u32),
        now: Instant,
    ) -> Next {
        match self.session.send(&mut room[..], len, payload_type, marker, timestamp, now) {
            Ok(len) => Next::Packet(len),
            Err(_) => {
                self.send_errors += 1;
                Next::Nothing
            }
        }
    }

    /// When its timer is due next, but not at once again.
    pub(super) fn next_timer(&self, now: Instant) -> Instant {
        self.session.next_deadline().max(now + Duration::from_millis(1))
    }
}
