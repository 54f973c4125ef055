//! Packet captures by the program itself, without privileges: pcapng files (draft-ietf-opsawg-pcapng) that Wireshark opens.
//!
//! What the program sends and receives is written as IP packets with made-up IP, UDP and TCP headers (link type RAW); a
//! TCP stream has no handshake. TLS and SRTP stay as they travelled. What opens TLS goes into the file (Wireshark reads it by
//! itself), what opens SRTP into a side file `NAME.keys`, because the format has no place for it: one `a=crypto` attribute
//! (RFC 4568) per direction. Both files are readable by their owner alone.
//!
//! Writing happens on a thread of its own and holds nobody up. Records it cannot keep up with, and all that come after the
//! disk has failed, are counted and left out; [`Capture::finish`] tells.

mod blocks;
mod frame;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use frame::Flows;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::clock::WallAnchor;
use crate::file::words::system;

/// Records that wait for the writing thread.
const WAITING: usize = 4096;

/// How a payload travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One datagram.
    Udp,
    /// A piece of a stream.
    Tcp,
}

/// Which packets a key opens, named by our address, because that of the far end may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyOf {
    /// What we send from there.
    SentFrom(SocketAddr),
    /// What comes to us there.
    SentTo(SocketAddr),
}

/// The capture could not be created, or its keys not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the capture {}: {}", path.display(), system(source))]
pub struct CaptureError {
    /// What was being done.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// What became of a capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaptureOutcome {
    /// Packets written.
    pub packets: u64,
    /// Packets that are missing, because the disk was too slow or failed.
    pub left_out: u64,
    /// What the system said when writing failed.
    pub failure: Option<String>,
}

struct Record {
    transport: Transport,
    from: SocketAddr,
    to: SocketAddr,
    at: Instant,
    payload: Vec<u8>,
}

enum Item {
    Packet(Record),
    /// Lines of a TLS key log.
    Secrets(Zeroizing<Vec<u8>>),
    End,
}

/// What the writing thread has done.
#[derive(Debug, Default)]
struct Progress {
    packets: AtomicU64,
    failure: OnceLock<String>,
}

/// A running capture. Dropping the last handle completes the file.
pub struct Capture {
    items: SyncSender<Item>,
    thread: Mutex<Option<JoinHandle<()>>>,
    progress: Arc<Progress>,
    keys: PathBuf,
    overwrite: bool,
    key_file: Mutex<Option<File>>,
    left_out: AtomicU64,
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("left_out", &self.left_out).finish_non_exhaustive()
    }
}

impl Capture {
    /// Creates the file, which must not exist yet, nor its side file of keys.
    ///
    /// # Errors
    /// When it cannot be created, or there is no thread to write it.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, CaptureError> {
        Self::open(path.as_ref(), false)
    }

    /// Creates the file, or empties the one that is there.
    ///
    /// # Errors
    /// When it cannot be created, or there is no thread to write it.
    pub fn overwrite(path: impl AsRef<Path>) -> Result<Self, CaptureError> {
        Self::open(path.as_ref(), true)
    }

    fn open(path: &Path, overwrite: bool) -> Result<Self, CaptureError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| CaptureError { action, path, source }
        };
        let mut keys = path.to_owned().into_os_string();
        keys.push(".keys");
        let keys = PathBuf::from(keys);
        // Keys of another capture beside this one would be taken for its own.
        match (keys.try_exists().map_err(failed("look for the keys of", &keys))?, overwrite) {
            (true, true) => std::fs::remove_file(&keys).map_err(failed("remove the keys of", &keys))?,
            (true, false) => {
                return Err(failed("create the keys of", &keys)(io::ErrorKind::AlreadyExists.into()));
            }
            (false, _) => {}
        }
        let file = private(path, overwrite).map_err(failed("create", path))?;
        Self::write_to(file, keys, overwrite).map_err(failed("write", path))
    }

    fn write_to(file: impl Write + Send + 'static, keys: PathBuf, overwrite: bool) -> io::Result<Self> {
        let mut file = BufWriter::new(file);
        blocks::begin(&mut file)?;
        let (items, waiting) = sync_channel(WAITING);
        let (anchor, progress) = (WallAnchor::read(), Arc::new(Progress::default()));
        let told = Arc::clone(&progress);
        let thread = std::thread::Builder::new().name("z5-capture".into()).spawn(move || {
            if let Err(error) = run(&mut file, &waiting, anchor, &told) {
                tracing::error!(%error, "the capture ends early");
                // Only this thread sets it, once.
                let _ = told.failure.set(system(&error));
            }
        })?;
        Ok(Self {
            items,
            thread: Mutex::new(Some(thread)),
            progress,
            keys,
            overwrite,
            key_file: Mutex::default(),
            left_out: AtomicU64::new(0),
        })
    }

    /// Writes what travelled. Never blocks.
    pub fn record(
        &self,
        transport: Transport,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        at: Instant,
    ) {
        let record = Record { transport, from, to, at, payload: payload.to_vec() };
        if self.items.try_send(Item::Packet(record)).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes a line of a TLS key log (the form of `SSLKEYLOGFILE`) into the file. What it opens must be recorded after it.
    pub fn tls_secret(&self, line: &str) {
        let line = Zeroizing::new(format!("{line}\n").into_bytes());
        if self.items.try_send(Item::Secrets(line)).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes the SRTP key of one direction to the side file, as an SDES attribute.
    ///
    /// # Errors
    /// When the side file cannot be written.
    pub fn keys(&self, of: KeyOf, suite: &str, key_and_salt_base64: &str) -> Result<(), CaptureError> {
        let failed = |source| CaptureError { action: "write the keys of", path: self.keys.clone(), source };
        let mut file = self.key_file.lock().map_err(|_| failed(io::Error::other("a thread panicked")))?;
        if file.is_none() {
            *file = Some(private(&self.keys, self.overwrite).map_err(failed)?);
        }
        let (word, address) = match of {
            KeyOf::SentFrom(address) => ("from", address),
            KeyOf::SentTo(address) => ("to", address),
        };
        let line =
            Zeroizing::new(format!("{word} {address} a=crypto:1 {suite} inline:{key_and_salt_base64}\n"));
        file.as_mut().map_or(Ok(()), |file| file.write_all(line.as_bytes()).map_err(failed))
    }

    /// Completes the file and tells what became of it. What is recorded afterwards is left out.
    pub fn finish(&self) -> CaptureOutcome {
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            // A thread that has failed takes no more; then there is nothing to end.
            let _ = self.items.send(Item::End);
            if thread.join().is_err() {
                tracing::error!("the capture's thread had panicked");
            }
        }
        CaptureOutcome {
            packets: self.progress.packets.load(Ordering::Relaxed),
            left_out: self.left_out.load(Ordering::Relaxed),
            failure: self.progress.failure.get().cloned(),
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A file only its owner reads.
fn private(path: &Path, overwrite: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    if overwrite {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn run(
    file: &mut BufWriter<impl Write>,
    items: &Receiver<Item>,
    anchor: WallAnchor,
    progress: &Progress,
) -> io::Result<()> {
    let mut flows = Flows::default();
    let mut packet = Vec::with_capacity(2048);
    loop {
        let item = match items.try_recv() {
            Ok(item) => item,
            Err(TryRecvError::Disconnected) => return file.flush(),
            Err(TryRecvError::Empty) => {
                // Nothing waits: what was written so far survives a kill.
                file.flush()?;
                match items.recv() {
                    Ok(item) => item,
                    Err(_) => return Ok(()),
                }
            }
        };
        let record = match item {
            Item::Packet(record) => record,
            Item::Secrets(lines) => {
                blocks::secrets(file, &lines)?;
                continue;
            }
            Item::End => return file.flush(),
        };
        let nanos = anchor.unix_nanos(record.at);
        // A datagram may be empty; a piece of a stream is not.
        let pieces = record.payload.len().div_ceil(frame::MAX_PAYLOAD).max(1);
        for n in 0..pieces {
            let rest = &record.payload[n * frame::MAX_PAYLOAD..];
            let piece = &rest[..rest.len().min(frame::MAX_PAYLOAD)];
            packet.clear();
            if flows.write(record.transport, record.from, record.to, piece, &mut packet) {
                blocks::packet(file, nanos, &packet)?;
                progress.packets.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
