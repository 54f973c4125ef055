//! Records as they are kept: JSON with a version, so that a later z5 can read what this one wrote.
//!
//! A record of an older version is brought to the present one when it is read, and written back. One of a newer version makes the whole
//! store unusable: nothing is written over what we do not understand.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{History, Instance, KeptConfiguration, KeptContacts, KeptLicence, Kind, Store, StoreError};

/// A kind of record.
pub(crate) trait Record: Serialize + DeserializeOwned {
    const KIND: Kind;
    /// The version that is written. Raise it when the form changes in a way that serde does not bridge by itself, and teach
    /// [`Record::migrate`] the old one.
    const VERSION: u32;

    /// From version `from` (older than [`Record::VERSION`]) to the present form.
    ///
    /// # Errors
    /// Why it cannot be.
    fn migrate(from: u32, old: Value) -> Result<Value, String> {
        drop(old);
        Err(format!("version {from} was never written"))
    }
}

#[derive(Serialize)]
struct Written<'a, R> {
    version: u32,
    body: &'a R,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
struct Read<R> {
    body: R,
}

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unread {
    Newer(u32),
    Damaged(String),
}

pub(crate) fn encode<R: Record>(record: &R) -> Result<Zeroizing<Vec<u8>>, String> {
    serde_json::to_vec(&Written { version: R::VERSION, body: record })
        .map(Zeroizing::new)
        .map_err(|error| error.to_string())
}

/// The record, and whether it was of an older version.
pub(crate) fn decode<R: Record>(bytes: &[u8]) -> Result<(R, bool), Unread> {
    let version = read::<Version>(bytes)?.version;
    if version > R::VERSION {
        return Err(Unread::Newer(version));
    }
    if version == R::VERSION {
        return Ok((read::<Read<R>>(bytes)?.body, false));
    }
    let old = read::<Read<Value>>(bytes)?.body;
    let new = R::migrate(version, old).map_err(Unread::Damaged)?;
    serde_json::from_value(new).map(|record| (record, true)).map_err(|error| damaged(&error))
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unread> {
    serde_json::from_slice(bytes).map_err(|error| damaged(&error))
}

/// Serde's own words may repeat what stands there.
fn damaged(error: &serde_json::Error) -> Unread {
    let what = if error.is_data() { "a member is missing or of another type" } else { "it is not JSON" };
    Unread::Damaged(format!("{what} (line {}, column {})", error.line(), error.column()))
}

/// What the machine wishes to be kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kept {
    Instance(Instance),
    Configuration(KeptConfiguration),
    Licence(KeptLicence),
    Contacts(Arc<KeptContacts>),
    History(Arc<History>),
}

impl Kept {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Instance(_) => Kind::Instance,
            Self::Configuration(_) => Kind::Configuration,
            Self::Licence(_) => Kind::Licence,
            Self::Contacts(_) => Kind::Contacts,
            Self::History(_) => Kind::History,
        }
    }

    pub(crate) fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        match self {
            Self::Instance(record) => write(record, store),
            Self::Configuration(record) => write(record, store),
            Self::Licence(record) => write(record, store),
            Self::Contacts(record) => write(&**record, store),
            Self::History(record) => write(&**record, store),
        }
    }
}

fn write<R: Record>(record: &R, store: &dyn Store) -> Result<(), StoreError> {
    let bytes = encode(record).map_err(|why| StoreError::Unwritable { place: store.place(), why })?;
    store.write(R::KIND, &bytes)
}

/// What was there at the start.
#[derive(Debug, Default)]
pub(crate) struct Recalled {
    /// Where it is, for messages.
    pub(crate) place: String,
    pub(crate) instance: Option<Instance>,
    pub(crate) configuration: Option<KeptConfiguration>,
    pub(crate) licence: Option<KeptLicence>,
    pub(crate) contacts: Option<KeptContacts>,
    pub(crate) history: History,
    /// What was wrong.
    pub(crate) troubles: Vec<StoreError>,
    /// Nothing may be written: the store is not ours, or of a newer version.
    pub(crate) unusable: bool,
}

impl Recalled {
    /// There is no store that could be used, for this reason.
    pub(crate) fn nothing(why: StoreError) -> Self {
        Self { troubles: vec![why], unusable: true, ..Self::default() }
    }

    /// Reads everything. What is damaged is set aside, what is old is written back in the present form.
    pub(crate) fn read(store: &dyn Store) -> Self {
        let mut reading = Reading { store, aside: Vec::new(), old: Vec::new(), troubles: store.notices() };
        let mut recalled = Self {
            place: store.place(),
            instance: reading.record(),
            configuration: reading.record(),
            licence: reading.record(),
            contacts: reading.record(),
            history: reading.record().unwrap_or_default(),
            ..Self::default()
        };
        recalled.unusable =
            reading.troubles.iter().any(|trouble| matches!(trouble, StoreError::Newer { .. }));
        if recalled.unusable {
            let newer = |trouble: &StoreError| matches!(trouble, StoreError::Newer { .. });
            let troubles = reading.troubles.into_iter().filter(newer).take(1).collect();
            return Self { troubles, unusable: true, ..Self::default() };
        }
        for (kind, place, why) in reading.aside {
            reading.troubles.push(match store.set_aside(kind) {
                Ok(moved_to) => StoreError::Corrupt { place, why, moved_to },
                Err(error) => error,
            });
        }
        for record in reading.old {
            reading.troubles.extend(record(store).err());
        }
        recalled.troubles = reading.troubles;
        recalled
    }
}

type WriteBack = Box<dyn FnOnce(&dyn Store) -> Result<(), StoreError>>;

struct Reading<'a> {
    store: &'a dyn Store,
    aside: Vec<(Kind, String, String)>,
    old: Vec<WriteBack>,
    troubles: Vec<StoreError>,
}

impl Reading<'_> {
    fn record<R: Record + 'static>(&mut self) -> Option<R> {
        let bytes = match self.store.read(R::KIND) {
            Ok(bytes) => Zeroizing::new(bytes?),
            Err(StoreError::Corrupt { place, why, .. }) => {
                self.aside.push((R::KIND, place, why));
                return None;
            }
            Err(error) => {
                self.troubles.push(error);
                return None;
            }
        };
        let place = format!("{} in {}", R::KIND.name(), self.store.place());
        match decode::<R>(&bytes) {
            Ok((record, false)) => Some(record),
            Ok((record, true)) => {
                let again = encode(&record);
                self.old.push(Box::new(move |store| {
                    let bytes = again.map_err(|why| StoreError::Unwritable { place, why })?;
                    store.write(R::KIND, &bytes)
                }));
                Some(record)
            }
            Err(Unread::Newer(version)) => {
                self.troubles.push(StoreError::Newer { place, version, known: R::VERSION });
                None
            }
            Err(Unread::Damaged(why)) => {
                self.aside.push((R::KIND, place, why));
                None
            }
        }
    }
}
