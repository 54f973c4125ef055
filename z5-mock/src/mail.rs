//! The mailboxes for video messages: what was left, whether it was looked at, and what of it is kept.
//!
//! Messages are left by a call to the far end `videomail` or from outside, fetched and removed over HTTPS (docs/wire/mcs.md) or from outside.
//! Who subscribed to a mailbox is told of each change by the switch (`sip::mwi`). Bounded: the oldest message makes room.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::account::Account;

/// Messages in a mailbox.
const MAX_MESSAGES: usize = 100;
/// Recordings of calls that are going on.
const MAX_RECORDINGS: usize = 2048;

/// What a mailbox has of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoMessage {
    /// Counted from 1 in each carrier, never used twice.
    pub id: u64,
    /// Who left it: a SIP user name; none where nobody in particular did.
    pub from: Option<String>,
    /// Nobody has looked at it.
    pub new: bool,
    /// What was recorded; nothing of one that was left from outside.
    pub recorded: Recorded,
}

/// What came in a call that was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// RTP packets of sound.
    pub sound_packets: u64,
    /// RTP packets of real-time text.
    pub text_packets: u64,
    /// Whole pictures of H.264 (access units).
    pub pictures: u64,
    /// Pictures of which a packet did not come.
    pub broken: u64,
    /// The first of the whole ones, each as a byte stream (ITU-T H.264 annex B), up to [`Recorded::MAX_KEPT`] and
    /// [`Recorded::MAX_KEPT_BYTES`].
    pub kept: Vec<Vec<u8>>,
}

impl Recorded {
    /// Pictures that are kept of a message: half a minute of them.
    pub const MAX_KEPT: usize = 900;
    /// Bytes of them all together.
    pub const MAX_KEPT_BYTES: usize = 2 * 1024 * 1024;

    /// One more picture.
    pub(crate) fn picture(&mut self, bytes: &[u8]) {
        self.pictures += 1;
        let held: usize = self.kept.iter().map(Vec::len).sum();
        if self.kept.len() < Self::MAX_KEPT && held + bytes.len() <= Self::MAX_KEPT_BYTES {
            self.kept.push(bytes.to_vec());
        }
    }
}

/// What is recorded of a call while it goes on; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording(Arc<Mutex<Recorded>>);

impl Recording {
    pub(crate) fn with(&self, change: impl FnOnce(&mut Recorded)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// All mailboxes, by SIP user name.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    boxes: Mutex<Boxes>,
    /// There is something to tell.
    told: Notify,
}

#[derive(Debug, Default)]
struct Boxes {
    messages: HashMap<String, VecDeque<VideoMessage>>,
    /// By Call-ID.
    recordings: HashMap<String, Recording>,
    last_id: u64,
    /// Mailboxes with news that nobody has been told of.
    changed: Vec<String>,
}

impl Mail {
    /// With as many messages as the accounts say.
    pub(crate) fn new(accounts: &[Account]) -> Self {
        let mail = Self::default();
        for number in accounts.iter().flat_map(Account::numbers) {
            for _ in 0..number.video_messages {
                mail.leave(&number.sip_user, None, None);
            }
        }
        mail.take_changed();
        mail
    }

    fn boxes(&self) -> MutexGuard<'_, Boxes> {
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call is recorded from now on, under its Call-ID.
    pub(crate) fn record(&self, call_id: &str) -> Recording {
        let mut boxes = self.boxes();
        if boxes.recordings.len() >= MAX_RECORDINGS {
            boxes.recordings.clear();
        }
        boxes.recordings.entry(call_id.to_owned()).or_default().clone()
    }

    /// A call that was recorded is over, and nothing of it is wanted.
    pub(crate) fn forget(&self, call_id: &str) {
        self.boxes().recordings.remove(call_id);
    }

    /// A message is left, with what was recorded in a call.
    pub(crate) fn leave(&self, user: &str, from: Option<String>, call_id: Option<&str>) {
        let mut boxes = self.boxes();
        let recording = call_id.and_then(|call_id| boxes.recordings.remove(call_id)).unwrap_or_default();
        let recorded = recording.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        boxes.last_id += 1;
        let message = VideoMessage { id: boxes.last_id, from, new: true, recorded };
        let messages = boxes.messages.entry(user.to_owned()).or_default();
        if messages.len() >= MAX_MESSAGES {
            messages.pop_front();
        }
        messages.push_back(message);
        self.change(boxes, user);
    }

    /// Everything in a mailbox, the oldest first.
    pub(crate) fn all(&self, user: &str) -> Vec<VideoMessage> {
        self.boxes().messages.get(user).map(|messages| messages.iter().cloned().collect()).unwrap_or_default()
    }

    /// New messages, and old ones.
    pub(crate) fn count(&self, user: &str) -> (usize, usize) {
        let boxes = self.boxes();
        let Some(messages) = boxes.messages.get(user) else { return (0, 0) };
        let new = messages.iter().filter(|message| message.new).count();
        (new, messages.len() - new)
    }

    /// Looks at a message, which is an old one from then on.
    pub(crate) fn look_at(&self, user: &str, id: u64) -> Option<VideoMessage> {
        let mut boxes = self.boxes();
        let found = boxes.messages.get_mut(user)?.iter_mut().find(|message| message.id == id)?;
        let was_new = std::mem::take(&mut found.new);
        let message = found.clone();
        if was_new {
            self.change(boxes, user);
        }
        Some(message)
    }

    /// Removes a message, or all of them; how many went.
    pub(crate) fn remove(&self, user: &str, id: Option<u64>) -> usize {
        let mut boxes = self.boxes();
        let Some(messages) = boxes.messages.get_mut(user) else { return 0 };
        let before = messages.len();
        messages.retain(|message| id.is_some_and(|id| message.id != id));
        let gone = before - messages.len();
        if gone > 0 {
            self.change(boxes, user);
        }
        gone
    }

    fn change(&self, mut boxes: MutexGuard<'_, Boxes>, user: &str) {
        if !boxes.changed.iter().any(|known| known == user) {
            boxes.changed.push(user.to_owned());
        }
        drop(boxes);
        self.told.notify_one();
    }

    /// The mailboxes that have changed since this was asked last.
    pub(crate) fn take_changed(&self) -> Vec<String> {
        std::mem::take(&mut self.boxes().changed)
    }

    /// Ready when one has changed.
    pub(crate) async fn changed(&self) {
        self.told.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_counts_what_is_new_and_is_emptied() {
        let mail = Mail::new(&[Account::new("a", "b").number("+15555550101")]);
        let user = "15555550101";
        let recording = mail.record("call");
        recording.with(|recorded| recorded.picture(&[1, 2, 3]));
        mail.leave(user, Some("15555550102".to_owned()), Some("call"));
        mail.leave(user, None, None);
        assert_eq!((mail.count(user), mail.take_changed()), ((2, 0), vec![user.to_owned()]));
        assert_eq!(mail.look_at(user, 1).unwrap().recorded.kept, [[1, 2, 3]]);
        assert_eq!((mail.count(user), mail.take_changed().len()), ((1, 1), 1));
        assert!(mail.look_at(user, 1).is_some_and(|message| !message.new) && mail.take_changed().is_empty());
        assert!(mail.look_at(user, 3).is_none() && mail.look_at("nobody", 1).is_none());
        assert_eq!(
            (mail.remove(user, Some(1)), mail.remove(user, Some(1)), mail.remove(user, None)),
            (1, 0, 1)
        );
        assert_eq!((mail.count(user), mail.remove(user, None)), ((0, 0), 0));
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut recorded = Recorded::default();
        let picture = vec![0; 500_000];
        (0..5).for_each(|_| recorded.picture(&picture));
        assert_eq!((recorded.pictures, recorded.kept.len()), (5, 4));
        let mut recorded = Recorded::default();
        (0..1000).for_each(|_| recorded.picture(&[0]));
        assert_eq!((recorded.pictures, recorded.kept.len()), (1000, Recorded::MAX_KEPT));
        let mail = Mail::default();
        (0..150).for_each(|_| mail.leave("a", None, None));
        assert_eq!((mail.count("a").0, mail.all("a")[0].id), (MAX_MESSAGES, 51));
    }
}
