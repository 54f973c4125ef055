//! Files that somebody names: read whole up to a limit, and only where there is an end to them.
//!
//! The one place for what z5 reads by name: configurations, scenarios, certificates, cards, capsules, films and sounds. A device or a folder in
//! a file's place, a file that never ends, and bytes that are no text are each told as what they are. Writes nothing.

pub mod words;

use std::fmt;
use std::fs::{File, FileType};
use std::io::{self, Read};
use std::path::Path;

/// What is expected of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What it is, with its article: "a configuration".
    pub what: &'static str,
    /// The most bytes that it may have.
    pub bytes: u64,
    /// It is read once, so that a pipe does as well (`<(...)` of a shell).
    pub once: bool,
}

impl Limit {
    /// A file that may be read again, and so no pipe.
    pub const fn of(what: &'static str, bytes: u64) -> Self {
        Self { what, bytes, once: false }
    }

    /// A file, or a pipe that is read to its end once.
    pub const fn once(what: &'static str, bytes: u64) -> Self {
        Self { what, bytes, once: true }
    }
}

/// Why a file was not read; without its name, which the caller says.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system's words.
    #[error("{}", words::system(.0))]
    Io(#[from] io::Error),
    /// Something that is no file stands there.
    #[error("it is {seen}, and {what} is a file{}", seen.hint())]
    Kind {
        /// What it is.
        seen: Kind,
        /// What was wanted.
        what: &'static str,
    },
    /// It has more bytes than such a file can have.
    #[error("it has more than {}, and no {} is as long: name another file", Size(*most), bare(what))]
    TooLong {
        /// What was wanted.
        what: &'static str,
        /// The limit, in bytes.
        most: u64,
    },
    /// Not UTF-8.
    #[error("line {line}: the byte 0x{byte:02x} is no text in UTF-8: save it as UTF-8")]
    NoText {
        /// Counted from 1.
        line: usize,
        /// The first byte that is none.
        byte: u8,
    },
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io(error) => error,
            error @ (FileError::Kind { .. } | FileError::TooLong { .. } | FileError::NoText { .. }) => {
                Self::new(io::ErrorKind::InvalidInput, error.to_string())
            }
        }
    }
}

/// What stands in a file's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Folder,
    /// A pipe, with or without a name.
    Pipe,
    /// A character or block device.
    Device,
    /// A socket of the local domain.
    Socket,
    /// Something else that the system has.
    Other,
}

impl Kind {
    /// What can be done about it.
    const fn hint(self) -> &'static str {
        match self {
            Self::Folder => ": name the file in it",
            Self::Pipe => " that may be read more than once: write it into one first",
            Self::Device => " that has an end: write it into one first",
            Self::Socket | Self::Other => "",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "a folder",
            Self::Pipe => "a pipe",
            Self::Device => "a device",
            Self::Socket => "a socket",
            Self::Other => "no file",
        })
    }
}

/// A number of bytes, in the largest unit that leaves no rest.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => write!(f, "{} MiB", n >> 20),
            n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => write!(f, "{} KiB", n >> 10),
            n => write!(f, "{n} bytes"),
        }
    }
}

/// Without its article.
fn bare(what: &str) -> &str {
    what.strip_prefix("a ").or_else(|| what.strip_prefix("an ")).unwrap_or(what)
}

/// The whole of a file.
///
/// # Errors
/// When it cannot be read, is no file, or is longer than the limit.
pub fn read(path: &Path, limit: Limit) -> Result<Vec<u8>, FileError> {
    read_from(open(path, limit)?, limit)
}

/// The whole of a text file, without the mark that some editors put before UTF-8.
///
/// # Errors
/// As [`read`], and where it is no UTF-8.
pub fn read_text(path: &Path, limit: Limit) -> Result<String, FileError> {
    text(read(path, limit)?)
}

/// The whole of what is open already, standard input for example.
///
/// # Errors
/// When reading fails, or it is longer than the limit.
pub fn read_from(from: impl Read, limit: Limit) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    // One byte more than there may be, so that what is too long is seen to be.
    from.take(limit.bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit.bytes {
        true => Err(FileError::TooLong { what: limit.what, most: limit.bytes }),
        false => Ok(bytes),
    }
}

/// A file to read from, known to be one and no longer than the limit when it was opened.
///
/// # Errors
/// As [`read`].
pub fn open(path: &Path, limit: Limit) -> Result<File, FileError> {
    // Before it is opened: that alone waits at a pipe, and does something at some devices.
    let there = std::fs::metadata(path)?;
    match kind(there.file_type()) {
        Some(Kind::Pipe) if limit.once => {}
        Some(seen) => return Err(FileError::Kind { seen, what: limit.what }),
        None if there.len() > limit.bytes => {
            return Err(FileError::TooLong { what: limit.what, most: limit.bytes });
        }
        None => {}
    }
    Ok(File::open(path)?)
}

/// Bytes as text.
fn text(bytes: Vec<u8>) -> Result<String, FileError> {
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let (at, bytes) = (error.utf8_error().valid_up_to(), error.as_bytes());
        let line = bytes.iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        FileError::NoText { line, byte: bytes.get(at).copied().unwrap_or_default() }
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// What it is, where it is no file.
fn kind(seen: FileType) -> Option<Kind> {
    if seen.is_file() {
        return None;
    }
    if seen.is_dir() {
        return Some(Kind::Folder);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if seen.is_fifo() {
            return Some(Kind::Pipe);
        }
        if seen.is_char_device() || seen.is_block_device() {
            return Some(Kind::Device);
        }
        if seen.is_socket() {
            return Some(Kind::Socket);
        }
    }
    Some(Kind::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limit = Limit::of("a configuration", 1024);

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_and_one_byte_more_is_too_long() {
        assert_eq!(read(file(&[7; 1024]).path(), SMALL).unwrap().len(), 1024);
        let why = read(file(&[7; 1025]).path(), SMALL).unwrap_err();
        assert_eq!(
            why.to_string(),
            "it has more than 1 KiB, and no configuration is as long: name another file"
        );
        // what has no length beforehand has its limit all the same
        let endless = read_from(io::repeat(0), SMALL).unwrap_err();
        assert!(matches!(endless, FileError::TooLong { most: 1024, .. }), "{endless}");
        assert_eq!(read_from(&[1, 2][..], SMALL).unwrap(), [1, 2]);
    }

    #[test]
    fn a_limit_is_told_in_the_unit_that_leaves_no_rest() {
        let told = |bytes| Size(bytes).to_string();
        assert_eq!([told(100), told(64 << 10), told(3 << 20)], ["100 bytes", "64 KiB", "3 MiB"]);
        assert_eq!(told((1 << 20) + 1), "1048577 bytes");
    }

    #[test]
    fn what_is_no_text_is_told_with_its_line() {
        let why = read_text(file(b"a = 1\nb = \"\xff\"\n").path(), SMALL).unwrap_err();
        assert_eq!(why.to_string(), "line 2: the byte 0xff is no text in UTF-8: save it as UTF-8");
        assert_eq!(read_text(file(b"\xef\xbb\xbfa = 1\n").path(), SMALL).unwrap(), "a = 1\n");
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let why = read(folder.path(), SMALL).unwrap_err();
        assert_eq!(why.to_string(), "it is a folder, and a configuration is a file: name the file in it");
        let missing = read(&folder.path().join("none"), SMALL).unwrap_err();
        assert!(matches!(missing, FileError::Io(_)), "{missing}");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_and_a_socket_are_no_files_and_are_not_opened() {
        let why = read(Path::new("/dev/zero"), SMALL).unwrap_err().to_string();
        assert_eq!(
            why,
            "it is a device, and a configuration is a file that has an end: write it into one first"
        );
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("socket");
        let _listens = std::os::unix::net::UnixListener::bind(&place).unwrap();
        let why = read(&place, SMALL).unwrap_err();
        assert!(matches!(why, FileError::Kind { seen: Kind::Socket, .. }), "{why}");
    }

    /// A pipe is read where it is read once; elsewhere it is told without waiting for somebody who writes.
    #[cfg(unix)]
    #[test]
    fn a_pipe_is_read_once_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&place).status().unwrap().success());
        let why = read(&place, SMALL).unwrap_err().to_string();
        assert!(why.starts_with("it is a pipe, and a configuration is a file that may be read"), "{why}");
        let writes = std::thread::spawn({
            let place = place.clone();
            move || std::fs::write(place, "from a pipe")
        });
        assert_eq!(read_text(&place, Limit::once("a scenario", 100)).unwrap(), "from a pipe");
        writes.join().unwrap().unwrap();
    }
}
