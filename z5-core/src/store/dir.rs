//! A store in a directory: one sealed file for each record, `KIND.z5`, and the key beside them unless the application has it.
//!
//! - A record is written into a file of another name, synchronised, renamed over the old one, and the directory synchronised: whoever
//!   reads finds the old record or the new one, whole, whenever the writer is killed or the power fails.
//! - The directory is for its owner only (0700), its files too (0600). What others can read is mended and told; what belongs to another
//!   user is refused.
//! - One session at a time: it holds a lock on `z5-store.lock`, which the system takes back when the process ends, however it ends.
//!   [`DirStore::read_only`] needs no lock.
//! - A file that cannot be opened is renamed to `KIND.z5.corrupt-N` and told. One of a newer version of z5 makes the whole store
//!   unusable for this one: nothing is touched.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use z5_media::file::words::system;

use super::seal::{self, Broken};
use super::{Kind, Store, StoreError, StoreKey};

mod permissions;

use permissions::{Mended, Owner};

/// Its presence says that the directory is a store.
const LOCK: &str = "z5-store.lock";
const KEY: &str = "z5-store.key";
/// The largest record: an address book of 100 000 contacts has some 40 MB.
const MAX_RECORD: u64 = 128 << 20;
/// The first line of a record is shorter.
const MAX_LINE: u64 = 64;

/// Records in a directory.
#[derive(Debug)]
pub struct DirStore {
    dir: PathBuf,
    key: StoreKey,
    /// Held as long as this lives; none when it only reads.
    lock: Option<File>,
    notices: Vec<StoreError>,
    writes: AtomicU64,
}

impl DirStore {
    /// Opens the store, or makes it. The key is in it, in a file of its own.
    ///
    /// # Errors
    /// When another session has it, a newer version of z5 wrote it, the directory is no store or cannot be trusted, or the system
    /// does not let us.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::begin(dir.as_ref(), None)
    }

    /// The same with a key that the application keeps, which is not written anywhere.
    ///
    /// # Errors
    /// As [`DirStore::open`].
    pub fn open_with_key(dir: impl AsRef<Path>, key: StoreKey) -> Result<Self, StoreError> {
        Self::begin(dir.as_ref(), Some(key))
    }

    /// To look into it, also while a session uses it. Nothing is written, moved or mended.
    ///
    /// # Errors
    /// When there is none, a newer version of z5 wrote it, or it cannot be read.
    pub fn read_only(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        let dir = dir.as_ref().to_owned();
        let key = match read_file(&dir.join(KEY), MAX_LINE) {
            Ok(bytes) => StoreKey::from_slice(&bytes).ok_or_else(|| bad_key(&dir.join(KEY), None))?,
            Err(error) => return Err(unreadable(&dir.join(KEY), &error)),
        };
        let store = Self { dir, key, lock: None, notices: Vec::new(), writes: AtomicU64::new(0) };
        store.refuse_newer()?;
        Ok(store)
    }

    fn begin(dir: &Path, key: Option<StoreKey>) -> Result<Self, StoreError> {
        let (dir, fresh) = make(dir)?;
        let lock = lock(&dir)?;
        let mut store = Self {
            key: StoreKey::new([0; StoreKey::LEN]),
            dir,
            lock: Some(lock),
            notices: Vec::new(),
            writes: AtomicU64::new(0),
        };
        store.refuse_newer()?;
        let owner = store.probe()?;
        store.mend(&owner)?;
        if fresh {
            // There was nothing yet that others could have read.
            store.notices.clear();
        }
        store.key = match key {
            Some(key) => key,
            None => store.own_key()?,
        };
        Ok(store)
    }

    /// Looks at every record before anything is done to one.
    fn refuse_newer(&self) -> Result<(), StoreError> {
        for kind in Kind::ALL {
            let path = self.path(kind);
            let mut line = Vec::new();
            match File::open(&path).and_then(|file| file.take(MAX_LINE).read_to_end(&mut line)) {
                Ok(_) => {
                    if let Err(Broken::Newer(version)) = seal::judge(kind, &line) {
                        return Err(StoreError::Newer { place: shown(&path), version, known: seal::FORMAT });
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(&path, &error)),
            }
        }
        Ok(())
    }

    /// Whether we may write, and as whom; leaves nothing behind, not even what earlier writers left.
    fn probe(&self) -> Result<Owner, StoreError> {
        let entries = fs::read_dir(&self.dir).map_err(|error| unreadable(&self.dir, &error))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".tmp")) {
                drop(fs::remove_file(entry.path()));
            }
        }
        let path = self.dir.join(".probe.tmp");
        let failed = |error: io::Error| unwritable(&self.dir, &error);
        let file = create(&path).map_err(failed)?;
        let owner = Owner::of(&file).map_err(failed)?;
        fs::remove_file(&path).map_err(failed)?;
        Ok(owner)
    }

    /// For its owner alone, all of it.
    fn mend(&mut self, owner: &Owner) -> Result<(), StoreError> {
        let records = Kind::ALL.iter().map(|kind| self.path(*kind));
        let secret: Vec<PathBuf> = records.chain([self.dir.join(KEY)]).collect();
        // From the outside in: while the directory was open to others, so was what is in it.
        for path in [self.dir.clone()].into_iter().chain(secret) {
            match owner.mend(&path) {
                Ok(Mended::Nothing) => {}
                Ok(Mended::From(mode)) => {
                    let place = shown(&path);
                    self.notices.push(StoreError::Exposed { place, mode });
                }
                Ok(Mended::Never(why)) => return Err(StoreError::Permissions { place: shown(&path), why }),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(&path, &error)),
            }
        }
        Ok(())
    }

    /// The key in its file; a new one when there is none or it is damaged.
    fn own_key(&mut self) -> Result<StoreKey, StoreError> {
        let path = self.dir.join(KEY);
        match read_file(&path, MAX_LINE) {
            Ok(bytes) => {
                if let Some(key) = StoreKey::from_slice(&bytes) {
                    return Ok(key);
                }
                let moved_to = aside(&path).map_err(|error| unwritable(&path, &error))?;
                self.notices.push(bad_key(&path, moved_to));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
        let key = StoreKey::generate()
            .map_err(|error| StoreError::Unwritable { place: shown(&path), why: error.to_string() })?;
        self.replace(&path, key.expose()).map_err(|error| unwritable(&path, &error))?;
        Ok(key)
    }

    fn path(&self, kind: Kind) -> PathBuf {
        self.dir.join(format!("{}.z5", kind.name()))
    }

    /// Puts a whole new file in the place of the old one.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let temporary = self.dir.join(format!(".{name}.{}-{number}.tmp", std::process::id()));
        let written = create(&temporary)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, path))
            .and_then(|()| synchronise(&self.dir));
        if written.is_err() {
            drop(fs::remove_file(&temporary));
        }
        written
    }

    fn damaged(&self, kind: Kind, why: &str) -> StoreError {
        StoreError::Corrupt { place: shown(&self.path(kind)), why: why.to_owned(), moved_to: None }
    }
}

impl Store for DirStore {
    fn read(&self, kind: Kind) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(kind);
        let bytes = match read_file(&path, MAX_RECORD) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::FileTooLarge => {
                return Err(self.damaged(kind, "it is larger than any record"));
            }
            Err(error) => return Err(unreadable(&path, &error)),
        };
        match seal::open(&self.key, kind, &bytes) {
            Ok(record) => Ok(Some(record)),
            Err(Broken::Damaged(why)) => Err(self.damaged(kind, why)),
            Err(Broken::Newer(version)) => {
                Err(StoreError::Newer { place: shown(&path), version, known: seal::FORMAT })
            }
        }
    }

    fn write(&self, kind: Kind, record: &[u8]) -> Result<(), StoreError> {
        let path = self.path(kind);
        let refused = |why: &str| StoreError::Unwritable { place: shown(&path), why: why.to_owned() };
        if self.lock.is_none() {
            return Err(refused("the store is open for reading alone"));
        }
        if record.len() as u64 > MAX_RECORD {
            return Err(refused("the record is too large"));
        }
        let sealed = seal::seal(&self.key, kind, record).ok_or_else(|| refused("it cannot be sealed"))?;
        self.replace(&path, &sealed).map_err(|error| unwritable(&path, &error))
    }

    fn set_aside(&self, kind: Kind) -> Result<Option<String>, StoreError> {
        if self.lock.is_none() {
            return Ok(None);
        }
        let path = self.path(kind);
        aside(&path).map_err(|error| unwritable(&path, &error))
    }

    fn place(&self) -> String {
        shown(&self.dir)
    }

    fn notices(&self) -> Vec<StoreError> {
        self.notices.clone()
    }
}

/// The directory, made if it is not there, and whether it is empty; refused when it is something else.
fn make(dir: &Path) -> Result<(PathBuf, bool), StoreError> {
    permissions::create_dir(dir).map_err(|error| unwritable(dir, &error))?;
    let dir = dir.canonicalize().map_err(|error| unreadable(dir, &error))?;
    let mut entries = fs::read_dir(&dir).map_err(|error| unreadable(&dir, &error))?;
    let fresh = entries.next().is_none();
    if !fresh && !dir.join(LOCK).exists() {
        return Err(StoreError::Foreign { place: shown(&dir) });
    }
    Ok((dir, fresh))
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let mut options = OpenOptions::new();
    let file = permissions::owner_only(options.read(true).write(true).create(true).truncate(false))
        .open(&path)
        .map_err(|error| unwritable(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { place: shown(dir) }),
        Err(TryLockError::Error(error)) => Err(unwritable(&path, &error)),
    }
}

/// Renames to the first free name with `.corrupt-N` at its end.
fn aside(path: &Path) -> io::Result<Option<String>> {
    for n in 1_u32.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".corrupt-{n}"));
        let free = PathBuf::from(name);
        if free.symlink_metadata().is_ok() {
            continue;
        }
        return match fs::rename(path, &free) {
            Ok(()) => {
                synchronise(path.parent().unwrap_or(path))?;
                Ok(Some(shown(&free)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
    }
    Ok(None)
}

/// A new file that only its owner can read. One that is there, or a link, is an error.
fn create(path: &Path) -> io::Result<File> {
    permissions::owner_only(OpenOptions::new().write(true).create_new(true)).open(path)
}

fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Makes a rename last. Where directories cannot be opened (Windows), the rename itself is what there is.
fn synchronise(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn unreadable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unreadable { place: shown(path), why: system(error) }
}

fn unwritable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unwritable { place: shown(path), why: system(error) }
}

fn bad_key(path: &Path, moved_to: Option<String>) -> StoreError {
    let why = format!("a key has {} bytes", StoreKey::LEN);
    StoreError::Corrupt { place: shown(path), why, moved_to }
}

#[cfg(test)]
mod tests;
