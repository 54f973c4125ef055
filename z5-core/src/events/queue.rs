//! The way from the core to its reader: latest state plus a bounded queue of happenings.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Event, EventKind};

/// How many happenings wait for a reader before the oldest are dropped.
pub const QUEUE_CAPACITY: usize = 1024;

/// The reading end. One reader; dropping it does not end the session.
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
}

/// The writing end, in the core.
#[derive(Debug)]
pub(crate) struct EventSender {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    async_reader: Notify,
    blocking_reader: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Event>,
    sequence: u64,
    lost: u64,
    lost_at_ms: f64,
    closed: bool,
}

pub(crate) fn event_channel() -> (EventSender, Events) {
    let shared = Arc::new(Shared::default());
    (EventSender { shared: Arc::clone(&shared) }, Events { shared })
}

impl Shared {
    /// A reader that panicked holding the lock leaves a consistent queue: every change is one push or one pop.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSender {
    /// Adds an event and wakes the reader; never waits. Gives the sequence number.
    pub(crate) fn send(&self, at_ms: f64, kind: EventKind) -> u64 {
        let mut inner = self.shared.lock();
        inner.sequence += 1;
        let sequence = inner.sequence;
        if kind.is_state() {
            inner.queue.retain(|event| !same_subject(&event.kind, &kind));
        } else if inner.queue.len() >= QUEUE_CAPACITY {
            let droppable = |event: &Event| !event.kind.is_state() && !event.kind.is_final();
            let oldest = inner.queue.iter().position(droppable).unwrap_or(0);
            inner.queue.remove(oldest);
            inner.lost += 1;
            inner.lost_at_ms = at_ms;
        }
        inner.queue.push_back(Event { sequence, at_ms, kind });
        drop(inner);
        self.shared.async_reader.notify_one();
        self.shared.blocking_reader.notify_one();
        sequence
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.async_reader.notify_one();
        self.shared.blocking_reader.notify_all();
    }
}

impl Events {
    /// The next event; none when the session is over and everything was read. Works under any async runtime.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.take() {
                Taken::Event(event) => return Some(event),
                Taken::Over => return None,
                Taken::Nothing => self.shared.async_reader.notified().await,
            }
        }
    }

    /// The next event for a plain thread; waits until there is one.
    pub fn next_blocking(&mut self) -> Option<Event> {
        loop {
            match self.take() {
                Taken::Event(event) => return Some(event),
                Taken::Over => return None,
                Taken::Nothing => {
                    let inner = self.shared.lock();
                    if inner.queue.is_empty() && !inner.closed {
                        drop(self.shared.blocking_reader.wait(inner).unwrap_or_else(PoisonError::into_inner));
                    }
                }
            }
        }
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<Event> {
        match self.take() {
            Taken::Event(event) => Some(event),
            Taken::Over | Taken::Nothing => None,
        }
    }

    fn take(&self) -> Taken {
        let mut inner = self.shared.lock();
        if inner.lost > 0 {
            let lost = std::mem::take(&mut inner.lost);
            // An overflow stands before what survived it, so it carries the number before the first survivor.
            let sequence =
                inner.queue.front().map_or(inner.sequence, |event| event.sequence.saturating_sub(1));
            return Taken::Event(Event {
                sequence,
                at_ms: inner.lost_at_ms,
                kind: EventKind::Overflow { lost },
            });
        }
        match inner.queue.pop_front() {
            Some(event) => Taken::Event(event),
            None if inner.closed => Taken::Over,
            None => Taken::Nothing,
        }
    }
}

enum Taken {
    Event(Event),
    Over,
    Nothing,
}

/// True when `new` replaces `old`: both say what now is, of the same thing.
fn same_subject(old: &EventKind, new: &EventKind) -> bool {
    if let (EventKind::CallState { call: a, .. }, EventKind::CallState { call: b, .. }) = (old, new) {
        return a == b;
    }
    if let (EventKind::CallFigures { call: a, .. }, EventKind::CallFigures { call: b, .. }) = (old, new) {
        return a == b;
    }
    matches!((old, new), (EventKind::State { .. }, EventKind::State { .. }))
}

#[cfg(test)]
mod tests {
    use super::super::SessionState;
    use super::*;
    use crate::call::CallId;

    fn text(n: u64) -> EventKind {
        EventKind::Text { call: CallId(n), text: String::new(), source: None, label: None }
    }

    fn all(events: &mut Events) -> Vec<EventKind> {
        std::iter::from_fn(|| events.try_next()).map(|event| event.kind).collect()
    }

    #[test]
    fn the_latest_state_replaces_the_earlier() {
        let (sender, mut events) = event_channel();
        sender.send(0.0, EventKind::State { state: SessionState::Resolving });
        sender.send(1.0, text(1));
        sender.send(2.0, EventKind::State { state: SessionState::Ready });
        let read = all(&mut events);
        assert_eq!(read, [text(1), EventKind::State { state: SessionState::Ready }]);
    }

    #[test]
    fn an_overflow_is_itself_an_event_and_spares_final_events() {
        let (sender, mut events) = event_channel();
        let stopped = EventKind::Stopped { error: None, fault: None };
        sender.send(0.0, stopped.clone());
        for n in 0..QUEUE_CAPACITY as u64 + 9 {
            sender.send(1.0, text(n));
        }
        let read = all(&mut events);
        assert_eq!(read[0], EventKind::Overflow { lost: 10 });
        assert_eq!(read[1], stopped);
        assert_eq!(read[2], text(10));
        assert_eq!(read.len(), QUEUE_CAPACITY + 1);
    }

    #[test]
    fn the_end_is_told_after_everything_was_read() {
        let (sender, mut events) = event_channel();
        sender.send(0.0, text(1));
        drop(sender);
        assert!(events.next_blocking().is_some());
        assert!(events.next_blocking().is_none());
    }

    #[test]
    fn events_are_flat_json_objects() {
        let event =
            Event { sequence: 3, at_ms: 1.5, kind: EventKind::State { state: SessionState::SigningIn } };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"sequence":3,"at_ms":1.5,"event":"state","state":"signing-in"}"#
        );
    }
}
