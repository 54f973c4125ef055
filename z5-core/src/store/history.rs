//! The calls that were: when, with whom, how long, how it ended. Bounded; nothing of what was said, and no secret.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::record::{self, Record, Unread};
use super::{Kind, Store, StoreError};
use crate::call::Side;

/// How many calls are kept; the oldest go first.
pub const HISTORY_LIMIT: usize = 1000;

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Somebody called us.
    Incoming,
    /// We called.
    Outgoing,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// When it was asked for or came in, in seconds since 1970.
    pub started_unix_s: u64,
    /// Who called whom.
    pub direction: Direction,
    /// The far end: as it was dialled, or the address of who called.
    pub remote: String,
    /// What the caller is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// From the answer to the end; none when it was not answered.
    pub duration_ms: Option<u64>,
    /// `answered`, or the code of why it was not, such as `call.busy`.
    pub outcome: String,
    /// Who ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Side>,
}

/// What an answered call has as its outcome.
pub(crate) const ANSWERED: &str = "answered";

/// Oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct History {
    pub(crate) calls: Vec<CallRecord>,
}

impl History {
    pub(crate) fn add(&mut self, call: CallRecord) {
        self.calls.push(call);
        let over = self.calls.len().saturating_sub(HISTORY_LIMIT);
        self.calls.drain(..over);
    }
}

impl Record for History {
    const KIND: Kind = Kind::History;
    const VERSION: u32 = 2;

    /// Version 1 had whole seconds, a flag for the direction, and did not know who ended a call.
    fn migrate(from: u32, mut old: Value) -> Result<Value, String> {
        if from != 1 {
            return Err(format!("version {from} was never written"));
        }
        let calls = old.get_mut("calls").and_then(Value::as_array_mut).ok_or("it has no calls")?;
        for call in calls {
            let call = call.as_object_mut().ok_or("a call is no object")?;
            let outgoing = call.remove("outgoing").and_then(|value| value.as_bool());
            let outgoing = outgoing.ok_or("a call has no direction")?;
            let direction = if outgoing { Direction::Outgoing } else { Direction::Incoming };
            let seconds = call.remove("seconds").and_then(|value| value.as_u64());
            call.insert("direction".to_owned(), json!(direction));
            call.insert("duration_ms".to_owned(), json!(seconds.map(|seconds| seconds.saturating_mul(1000))));
        }
        Ok(old)
    }
}

/// The calls that a store keeps.
pub(super) fn calls<S: Store + ?Sized>(store: &S) -> Result<Vec<CallRecord>, StoreError> {
    let Some(bytes) = store.read(Kind::History)? else { return Ok(Vec::new()) };
    let place = format!("{} in {}", Kind::History.name(), store.place());
    match record::decode::<History>(&bytes) {
        Ok((history, _)) => Ok(history.calls),
        Err(Unread::Newer(version)) => Err(StoreError::Newer { place, version, known: History::VERSION }),
        Err(Unread::Damaged(why)) => Err(StoreError::Corrupt { place, why, moved_to: None }),
    }
}

/// A store without calls.
pub(super) fn clear<S: Store + ?Sized>(store: &S) -> Result<(), StoreError> {
    let bytes = record::encode(&History::default())
        .map_err(|why| StoreError::Unwritable { place: store.place(), why })?;
    store.write(Kind::History, &bytes)
}
