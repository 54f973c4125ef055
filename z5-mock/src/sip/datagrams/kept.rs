//! What is kept of a source: its requests' answers, and requests to it that have none yet.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use z5_sip::wire::Message;

/// Answers kept for each source, and requests that may wait for one.
const ANSWERS: usize = 256;
/// T1 and T2 (RFC 3261 section 17.1.1.1): the first pause before a request is repeated, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How often one is repeated: about 64 x T1 in all.
const REPEATS: u32 = 10;

/// A transaction as seen from here.
pub(super) type Key = (String, String);

/// The branch and method that a request and its answers share.
pub(super) fn key(message: &Message) -> Option<Key> {
    let branch = message.via().ok()?.branch()?.to_owned();
    let method = message.cseq().ok()?.method;
    // An ACK is never answered, and has the branch of a refused INVITE.
    let method =
        if message.method().is_some_and(|method| method.as_str() == "ACK") { "ACK" } else { method.as_str() };
    Some((branch, method.to_owned()))
}

/// The last answer to each of a source's requests.
#[derive(Default)]
pub(super) struct Answers {
    by_request: HashMap<Key, Bytes>,
    order: VecDeque<Key>,
}

impl Answers {
    pub(super) fn keep(&mut self, key: Key, answer: Bytes) {
        if self.by_request.insert(key.clone(), answer).is_none() {
            self.order.push_back(key);
            if self.order.len() > ANSWERS
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_request.remove(&oldest);
            }
        }
    }

    pub(super) fn of(&self, key: &Key) -> Option<Bytes> {
        self.by_request.get(key).cloned()
    }
}

/// Requests that were sent to a source and have no answer yet. Ordered, so that those of one moment are always repeated in one order.
#[derive(Default)]
pub(super) struct Waiting {
    by_request: BTreeMap<Key, Repeat>,
}

struct Repeat {
    bytes: Bytes,
    at: Instant,
    times: u32,
}

impl Repeat {
    fn pause(times: u32) -> Duration {
        FIRST_PAUSE.saturating_mul(1 << times.min(3)).min(LONGEST_PAUSE)
    }
}

impl Waiting {
    /// A request went out; an ACK has no answer.
    pub(super) fn keep(&mut self, key: Key, bytes: Bytes, now: Instant) {
        if key.1 != "ACK" && self.by_request.len() < ANSWERS {
            let at = now + Repeat::pause(0);
            self.by_request.insert(key, Repeat { bytes, at, times: 0 });
        }
    }

    /// Something came back.
    pub(super) fn answered(&mut self, key: &Key) {
        self.by_request.remove(key);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.by_request.values().map(|repeat| repeat.at).min()
    }

    /// What is to be sent again now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Bytes> {
        self.by_request.retain(|_, repeat| repeat.at > now || repeat.times < REPEATS);
        let due = self.by_request.values_mut().filter(|repeat| repeat.at <= now);
        due.map(|repeat| {
            repeat.times += 1;
            repeat.at = now + Repeat::pause(repeat.times);
            repeat.bytes.clone()
        })
        .collect()
    }
}
