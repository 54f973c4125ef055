//! A store that ends with the process: for tests, and for applications that copy the records elsewhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Kind, Store, StoreError};

/// Records in memory.
#[derive(Default)]
pub struct MemoryStore {
    records: Mutex<BTreeMap<Kind, Vec<u8>>>,
    aside: Mutex<Vec<(Kind, Vec<u8>)>>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was set aside, oldest first.
    pub fn aside(&self) -> Vec<(Kind, Vec<u8>)> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<Kind, Vec<u8>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of what is there, nothing of its content.
impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.records().keys()).finish()
    }
}

impl Store for MemoryStore {
    fn read(&self, kind: Kind) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.records().get(&kind).cloned())
    }

    fn write(&self, kind: Kind, record: &[u8]) -> Result<(), StoreError> {
        self.records().insert(kind, record.to_vec());
        Ok(())
    }

    fn set_aside(&self, kind: Kind) -> Result<Option<String>, StoreError> {
        let Some(record) = self.records().remove(&kind) else { return Ok(None) };
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        aside.push((kind, record));
        Ok(Some(format!("{} (set aside: {})", kind.name(), aside.len())))
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}
