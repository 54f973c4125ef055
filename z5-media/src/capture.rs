//! Packet captures by the program itself, without privileges: pcapng files (draft-ietf-opsawg-pcapng) that Wireshark opens.
//!
//! What the program sends and receives is written as IP packets with made-up IP, UDP and TCP headers (link type RAW); a
//! TCP stream has no handshake. SRTP stays protected; its keys go, only when told, to a side file `NAME.keys` with one
//! `a=crypto` line (RFC 4568) per direction, readable by the owner alone. Writing happens on a thread of its own; records
//! it cannot keep up with are counted and left out.

mod frame;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use frame::Flows;

use crate::clock::WallAnchor;

/// Records that wait for the writing thread.
const WAITING: usize = 4096;
/// Section header, interface description and enhanced packet blocks.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
/// Link type RAW: an IPv4 or IPv6 packet without anything before it.
const RAW: u16 = 101;
/// Option `if_tsresol`: timestamps in nanoseconds.
const RESOLUTION: [u8; 8] = [9, 0, 1, 0, 9, 0, 0, 0];

/// How a payload travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One datagram.
    Udp,
    /// A piece of a stream.
    Tcp,
}

/// The capture could not be created.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the capture {}: {source}", path.display())]
pub struct CaptureError {
    /// What was being done.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

struct Record {
    transport: Transport,
    from: SocketAddr,
    to: SocketAddr,
    at: Instant,
    payload: Vec<u8>,
}

/// A running capture. Dropping the last handle completes the file.
pub struct Capture {
    records: Option<SyncSender<Record>>,
    thread: Option<JoinHandle<()>>,
    keys: PathBuf,
    key_file: Mutex<Option<File>>,
    left_out: AtomicU64,
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("left_out", &self.left_out).finish_non_exhaustive()
    }
}

impl Capture {
    /// Creates (or empties) the file.
    ///
    /// # Errors
    /// When it cannot be created, or there is no thread to write it.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, CaptureError> {
        let path = path.as_ref().to_owned();
        let failed = |action| {
            let path = path.clone();
            move |source| CaptureError { action, path, source }
        };
        let mut file = BufWriter::new(File::create(&path).map_err(failed("create"))?);
        begin(&mut file).map_err(failed("write"))?;
        let (records, waiting) = sync_channel(WAITING);
        let anchor = WallAnchor::read();
        let thread = std::thread::Builder::new()
            .name("z5-capture".into())
            .spawn(move || {
                if let Err(error) = run(&mut file, &waiting, anchor) {
                    tracing::error!(%error, "the capture ends early");
                }
            })
            .map_err(failed("start the writer of"))?;
        let mut keys = path.clone().into_os_string();
        keys.push(".keys");
        Ok(Self {
            records: Some(records),
            thread: Some(thread),
            keys: keys.into(),
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
        if self.records.as_ref().is_none_or(|records| records.try_send(record).is_err()) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes the keys of one direction to the side file: an SDES line with the address media goes to before it.
    ///
    /// # Errors
    /// When the side file cannot be written.
    pub fn keys(&self, to: SocketAddr, suite: &str, key_and_salt_base64: &str) -> Result<(), CaptureError> {
        let failed = |source| CaptureError { action: "write the keys of", path: self.keys.clone(), source };
        let mut file = self.key_file.lock().map_err(|_| failed(io::Error::other("a thread panicked")))?;
        if file.is_none() {
            *file = Some(private(&self.keys).map_err(failed)?);
        }
        file.as_mut().map_or(Ok(()), |file| {
            writeln!(file, "{to} a=crypto:1 {suite} inline:{key_and_salt_base64}").map_err(failed)
        })
    }

    /// Records that were left out because the disk was too slow or gone.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        drop(self.records.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the capture's thread had panicked");
        }
    }
}

/// A file only its owner reads.
fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn run(file: &mut BufWriter<File>, records: &Receiver<Record>, anchor: WallAnchor) -> io::Result<()> {
    let mut flows = Flows::default();
    let mut packet = Vec::with_capacity(2048);
    loop {
        let record = match records.try_recv() {
            Ok(record) => record,
            Err(TryRecvError::Disconnected) => return file.flush(),
            Err(TryRecvError::Empty) => {
                // Nothing waits: what was written so far survives a kill.
                file.flush()?;
                match records.recv() {
                    Ok(record) => record,
                    Err(_) => return Ok(()),
                }
            }
        };
        let nanos = anchor.unix_nanos(record.at);
        for piece in record.payload.chunks(frame::MAX_PAYLOAD) {
            packet.clear();
            if flows.write(record.transport, record.from, record.to, piece, &mut packet) {
                packet_block(file, nanos, &packet)?;
            }
        }
    }
}

fn begin(file: &mut impl Write) -> io::Result<()> {
    // Byte order, version 1.0, length of the section unknown.
    let mut section = Vec::from(0x1a2b_3c4d_u32.to_le_bytes());
    section.extend_from_slice(&[1, 0, 0, 0]);
    section.extend_from_slice(&[0xff; 8]);
    block(file, SECTION, &[&section])?;
    let mut interface = Vec::from(RAW.to_le_bytes());
    interface.extend_from_slice(&[0; 6]);
    interface.extend_from_slice(&RESOLUTION);
    interface.extend_from_slice(&[0; 4]);
    block(file, INTERFACE, &[&interface])?;
    file.flush()
}

fn packet_block(file: &mut impl Write, nanos: u64, packet: &[u8]) -> io::Result<()> {
    let mut head = [0_u8; 20];
    head[4..8].copy_from_slice(&((nanos >> 32) as u32).to_le_bytes());
    head[8..12].copy_from_slice(&(nanos as u32).to_le_bytes());
    let len = (packet.len() as u32).to_le_bytes();
    head[12..16].copy_from_slice(&len);
    head[16..20].copy_from_slice(&len);
    block(file, PACKET, &[&head, packet])
}

/// A block: type, length, body filled up to a word, length again.
fn block(file: &mut impl Write, kind: u32, parts: &[&[u8]]) -> io::Result<()> {
    let body: usize = parts.iter().map(|part| part.len()).sum();
    let padding = body.next_multiple_of(4) - body;
    let len = ((12 + body + padding) as u32).to_le_bytes();
    file.write_all(&kind.to_le_bytes())?;
    file.write_all(&len)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.write_all(&[0; 4][..padding])?;
    file.write_all(&len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// Types and bodies of the blocks of a file, read by its lengths from both ends.
    fn blocks(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (mut at, mut blocks) = (0, Vec::new());
        while at < bytes.len() {
            let len = word(at + 4) as usize;
            assert_eq!((len % 4, word(at + len - 4) as usize), (0, len));
            blocks.push((word(at), bytes[at + 8..at + len - 4].to_vec()));
            at += len;
        }
        blocks
    }

    #[test]
    fn packets_of_both_families_and_transports_are_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("call.pcapng");
        let capture = Capture::create(&path).unwrap();
        let v4: [SocketAddr; 2] = ["192.0.2.1:5060".parse().unwrap(), "192.0.2.2:5060".parse().unwrap()];
        let v6: [SocketAddr; 2] =
            ["[2001:db8::1]:4000".parse().unwrap(), "[2001:db8::2]:4001".parse().unwrap()];
        let now = clock::now();
        capture.record(Transport::Udp, v4[0], v4[1], b"one", now);
        capture.record(Transport::Tcp, v6[0], v6[1], &vec![7; 100_000], now);
        // Between families nothing can have travelled.
        capture.record(Transport::Udp, v4[0], v6[0], b"lie", now);
        drop(capture);
        let blocks = blocks(&std::fs::read(&path).unwrap());
        let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [SECTION, INTERFACE, PACKET, PACKET, PACKET]);
        let udp = &blocks[2].1[20..];
        assert_eq!((udp[0], udp[9], &udp[28..31]), (0x45, 17, &b"one"[..]));
        let tcp = &blocks[3].1[20..];
        assert_eq!((tcp[0] >> 4, tcp[6]), (6, 6));
        let wall = std::fs::metadata(&path).unwrap().modified().unwrap();
        let wall = wall.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let word = |at: usize| u64::from(u32::from_le_bytes(blocks[2].1[at..at + 4].try_into().unwrap()));
        assert!(wall.abs_diff(word(4) << 32 | word(8)) < 60_000_000_000);
    }

    #[test]
    fn keys_go_to_a_side_file_of_the_owner_and_only_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("call.pcapng");
        let capture = Capture::create(&path).unwrap();
        let side = dir.path().join("call.pcapng.keys");
        assert!(!side.exists());
        let to = "192.0.2.2:4000".parse().unwrap();
        capture.keys(to, "AES_CM_128_HMAC_SHA1_80", "c2VjcmV0").unwrap();
        let text = std::fs::read_to_string(&side).unwrap();
        assert_eq!(text, "192.0.2.2:4000 a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&side).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(!format!("{capture:?}").contains("c2Vj"));
        assert!(Capture::create(dir.path().join("no/such/place")).is_err());
    }
}
