//! One real-time text stream: received frames become events, queued text becomes frames.

use std::time::{Duration, Instant};

use super::WorkerFigures;
use crate::engine::config::{EventSender, StreamEvent, StreamId, TextConfig};
use crate::engine::ring::{FrameHead, FrameReader, FrameWriter, word};
use crate::stats::{DropCounts, TextFigures};
use crate::text::{Labels, Said, TextNews, TextReceiver, TextSender};

/// Largest payload taken from the ring or written.
const MAX_PAYLOAD: usize = 2048;

/// One text stream on the worker thread.
pub(in crate::engine) struct TextStream {
    pub(super) id: StreamId,
    sender: TextSender,
    receiver: TextReceiver,
    labels: Labels,
    incoming: FrameReader,
    outgoing: FrameWriter,
    epoch: Instant,
    /// Held: text is kept queued, only the first packet and keep-alives leave.
    send: bool,
    held_text: String,
    drops: DropCounts,
    payload: Box<[u8; MAX_PAYLOAD]>,
}

impl TextStream {
    /// A stream whose first packet (a byte order mark) is due at `start`.
    #[expect(clippy::too_many_arguments, reason = "one value per field")]
    pub(in crate::engine) fn new(
        id: StreamId,
        config: &TextConfig,
        incoming: FrameReader,
        outgoing: FrameWriter,
        epoch: Instant,
        start: Instant,
        first_timestamp: u32,
        send: bool,
    ) -> Self {
        let (to, from) = (config.send, config.receive);
        Self {
            id,
            sender: TextSender::new(to.t140, to.red, config.characters_per_second, start, first_timestamp),
            receiver: TextReceiver::new(from.t140, from.red),
            labels: Labels::default(),
            incoming,
            outgoing,
            epoch,
            send,
            held_text: String::new(),
            drops: DropCounts::default(),
            payload: Box::new([0; MAX_PAYLOAD]),
        }
    }

    pub(super) fn next_deadline(&self) -> Instant {
        let sending = self.sender.next_deadline();
        self.receiver.next_deadline().map_or(sending, |receiving| receiving.min(sending))
    }

    pub(super) fn set_send(&mut self, send: bool) {
        self.send = send;
        if send {
            let held = std::mem::take(&mut self.held_text);
            self.sender.push(&held);
        }
    }

    /// The far end is elsewhere now: the path there is to be opened.
    pub(super) fn reopen(&mut self) {
        self.sender.reopen();
    }

    pub(super) fn push(&mut self, text: &str, now: Instant) {
        if self.send {
            self.sender.push_at(text, now);
        } else {
            self.held_text.push_str(text);
        }
    }

    /// Takes what came and sends what is due. Returns whether a packet was made.
    pub(super) fn handle(&mut self, now: Instant, events: &EventSender) -> bool {
        let (mut shown, mut said) = (String::new(), Vec::new());
        while let Some((head, len)) = self.incoming.pop(&mut self.payload[..]) {
            if head.restarted {
                self.receiver.restart(&mut shown);
            }
            let payload = &self.payload[..len];
            if head.payload_type == word::COMPOUND {
                self.labels.take(payload);
                continue;
            }
            let at = self.epoch + Duration::from_nanos(head.at_nanos);
            let (sequence, payload_type) = (head.sequence, head.payload_type);
            let taken = match head.csrc {
                Some(source) => {
                    self.receiver.take_of(source, sequence, head.timestamp, payload_type, payload, &mut said)
                }
                None => self.receiver.take(sequence, payload_type, payload, at, &mut shown),
            };
            if let Err(reason) = taken {
                self.drops.count(reason);
            }
        }
        self.receiver.expire(now, &mut shown);
        self.tell(None, shown, events);
        for Said { source, text } in said {
            self.tell(source, text, events);
        }
        self.send_due(now, events)
    }

    fn send_due(&mut self, now: Instant, events: &EventSender) -> bool {
        let Some(packet) = self.sender.poll(now, &mut self.payload[..]) else { return false };
        let head = FrameHead {
            payload_type: packet.payload_type,
            marker: packet.marker,
            timestamp: packet.timestamp,
            ..FrameHead::default()
        };
        let made = self.outgoing.push(&head, &self.payload[..packet.len]);
        if let Some(TextNews { text, waits }) = self.sender.take_news() {
            events(StreamEvent::TextSent { stream: self.id, text, waits });
        }
        made
    }

    fn tell(&self, source: Option<u32>, text: String, events: &EventSender) {
        if !text.is_empty() {
            let label = source.and_then(|source| self.labels.of(source)).map(str::to_owned);
            events(StreamEvent::Text { stream: self.id, text, source, label });
        }
    }

    pub(super) fn figures(&self) -> WorkerFigures {
        let (latency_p50_ms, latency_p95_ms) = self.sender.latency();
        let characters_sent = self.sender.characters_sent();
        let text = TextFigures { characters_sent, latency_p50_ms, latency_p95_ms, ..self.receiver.figures() };
        WorkerFigures { text: Some(text), drops: self.drops, ..WorkerFigures::default() }
    }

    /// Sends queued text without waiting for company and shows what was held back.
    pub(super) fn finish(&mut self, now: Instant, events: &EventSender) -> WorkerFigures {
        self.handle(now, events);
        if self.sender.queued() > 0 {
            let due = self.sender.next_deadline().max(now);
            self.send_due(due, events);
        }
        let mut shown = String::new();
        self.receiver.restart(&mut shown);
        self.tell(None, shown, events);
        self.figures()
    }
}
