//! The thread that reads and writes the store, so that no disk keeps the session waiting.
//!
//! Of each kind of record the latest alone waits to be written: a disk that is slower than the session costs no memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Fact, Facts};
use crate::config::{Config, StoreSetting};
use crate::error::{StartError, StoreError, millis};
use crate::store::{DirStore, Kept, Kind, Recalled, Store};

/// How long the end of a session waits for a disk. Half a second is much even for a slow one; beyond this the user is told.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// Where a store is.
pub(super) enum Place {
    Given(Arc<dyn Store>),
    Directory(PathBuf),
}

impl Place {
    pub(super) fn configured(config: &Config) -> Option<Self> {
        match &config.store {
            Some(StoreSetting::Directory(path)) => Some(Self::Directory(path.clone())),
            Some(StoreSetting::None) | None => None,
        }
    }

    fn open(self) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            Self::Given(store) => Ok(store),
            Self::Directory(path) => Ok(Arc::new(DirStore::open(path)?)),
        }
    }
}

/// The driver's end of the thread. Dropped, the thread writes what waits and ends.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    /// Answers when the thread is over.
    over: oneshot::Receiver<()>,
}

#[derive(Default)]
struct Shared {
    work: Mutex<Work>,
    wake: Condvar,
}

#[derive(Default)]
struct Work {
    recall: bool,
    records: BTreeMap<Kind, Kept>,
    closed: bool,
}

enum Job {
    Recall,
    Keep(Kept),
}

impl Shared {
    /// A panic while this is locked is not possible: every change is one assignment.
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do; none when there is nothing left and nothing will come.
    fn next(&self) -> Option<Job> {
        let mut work = self.lock();
        loop {
            if std::mem::take(&mut work.recall) {
                return Some(Job::Recall);
            }
            if let Some((_, record)) = work.records.pop_first() {
                return Some(Job::Keep(record));
            }
            if work.closed {
                return None;
            }
            work = self.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Keeper {
    pub(super) fn start(place: Place, facts: Facts) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::default());
        let (ends, over) = oneshot::channel();
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("z5-store".to_owned())
            .spawn(move || {
                run(place, &theirs, &facts);
                let _ = ends.send(());
            })
            .map_err(|error| StartError::System { what: "thread", why: error.to_string() })?;
        Ok(Self { shared, over })
    }

    pub(super) fn recall(&self) {
        self.shared.lock().recall = true;
        self.shared.wake.notify_one();
    }

    pub(super) fn keep(&self, record: Kept) {
        self.shared.lock().records.insert(record.kind(), record);
        self.shared.wake.notify_one();
    }

    fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
    }

    /// Waits until everything is written.
    pub(super) async fn finish(mut self) -> Result<(), StoreError> {
        self.close();
        match tokio::time::timeout(LAST_PATIENCE, &mut self.over).await {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::TooSlow { after_ms: millis(LAST_PATIENCE) }),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(place: Place, shared: &Shared, facts: &Facts) {
    // Opened when it is asked for, by the thread that may wait.
    let mut place = Some(place);
    let mut store: Option<Arc<dyn Store>> = None;
    // Told once, until it works again: a full disk fails at every call.
    let mut failing = BTreeSet::new();
    while let Some(job) = shared.next() {
        match (job, &store) {
            (Job::Recall, _) => {
                let Some(place) = place.take() else { continue };
                let recalled = match place.open() {
                    Ok(opened) => Recalled::read(&**store.insert(opened)),
                    Err(error) => Recalled::nothing(error),
                };
                drop(facts.send(Fact::Recalled(Box::new(recalled))));
            }
            (Job::Keep(record), Some(store)) => match record.write(&**store) {
                Ok(()) => {
                    failing.remove(&record.kind());
                }
                Err(error) => {
                    if failing.insert(record.kind()) {
                        drop(facts.send(Fact::NotKept(error)));
                    }
                }
            },
            (Job::Keep(_), None) => {}
        }
    }
}
