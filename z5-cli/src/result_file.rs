//! A file that a command writes whole: looked at before the work, written beside its place after it, then renamed.
//!
//! Until the end nothing changes under the name, and a disk that is full leaves what stood there. A file that z5 has not
//! written is replaced only when somebody says so. Files that grow while a call runs (recordings, captures) are not written
//! so.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::private::owner_only;

/// What may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replace {
    /// Nothing: the name must be free.
    Nothing,
    /// A file that begins so, which only z5 writes and can write again; and an empty one.
    Begins(&'static str),
    /// Any file.
    Any,
}

impl Replace {
    /// What is asked for by the flag of a command whose files begin so.
    pub(crate) fn asked(overwrite: bool, mark: &'static str) -> Self {
        if overwrite { Self::Any } else { Self::Begins(mark) }
    }
}

/// Who may read a file that is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Whom the system lets.
    Usual,
    /// The owner alone.
    Owner,
}

/// A place where a file can be written; dropped without [`ResultFile::write`] it leaves no trace.
#[derive(Debug)]
pub(crate) struct ResultFile {
    place: PathBuf,
    to: To,
}

#[derive(Debug)]
enum To {
    /// A pipe, a terminal or the like: there is nothing to be lost, and nothing to be renamed.
    Stream(File),
    /// A file beside the place, and whether another one may stand there at the end.
    Part { file: Option<File>, path: PathBuf, replaces: bool },
}

impl ResultFile {
    /// Judges whether a file can be written at `place`; changes nothing there. The error is what to tell the user, with the
    /// place in it.
    pub(crate) fn reserve(place: &Path, replace: Replace, readers: Readers) -> Result<Self, String> {
        let fail = |error: &io::Error| why(place, error);
        let shown = place.display();
        let (place, stands) = match std::fs::metadata(place) {
            // what a link points to is replaced, not the link
            Ok(stands) if stands.is_file() => {
                (std::fs::canonicalize(place).map_err(|error| fail(&error))?, Some(stands))
            }
            Ok(stands) => (place.to_owned(), Some(stands)),
            Err(error) if error.kind() == ErrorKind::NotFound => (place.to_owned(), None),
            Err(error) => return Err(fail(&error)),
        };
        if stands.as_ref().is_some_and(Metadata::is_dir) || place.file_name().is_none() {
            return Err(format!("{shown} is a folder: name a file"));
        }
        if stands.as_ref().is_some_and(|stands| !stands.is_file()) {
            let file = OpenOptions::new().write(true).open(&place).map_err(|error| fail(&error))?;
            return Ok(Self { place, to: To::Stream(file) });
        }
        if stands.is_some() && !replaceable(&place, replace).map_err(|error| fail(&error))? {
            let hint = match replace {
                Replace::Nothing | Replace::Any => ", and nothing is overwritten",
                Replace::Begins(_) => " and z5 has not written it; name another file, or add --overwrite",
            };
            return Err(format!("{shown} is there already{hint}"));
        }
        let (file, path) = part(&place, readers).map_err(|error| fail(&error))?;
        if let (Some(stands), Readers::Usual) = (&stands, readers) {
            // who could read the file that is replaced can read the new one
            let _ = file.set_permissions(stands.permissions());
        }
        let replaces = replace != Replace::Nothing;
        Ok(Self { place, to: To::Part { file: Some(file), path, replaces } })
    }

    /// Writes it. When it fails the place is as it was; the error is what to tell the user.
    pub(crate) fn write(mut self, bytes: &[u8]) -> Result<(), String> {
        let Self { place, to } = &mut self;
        let fail = |error: io::Error| why(place, &error);
        match to {
            To::Stream(stream) => stream.write_all(bytes).map_err(fail),
            To::Part { file, path, replaces } => {
                let Some(mut part) = file.take() else { return Ok(()) };
                part.write_all(bytes).and_then(|()| part.sync_all()).map_err(fail)?;
                let placed = match replaces {
                    true => std::fs::rename(&*path, &*place),
                    // unlike a rename a link replaces nothing that came meanwhile
                    false => match std::fs::hard_link(&*path, &*place) {
                        // a file system without links
                        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                            std::fs::rename(&*path, &*place)
                        }
                        linked => linked,
                    },
                };
                placed.map_err(fail)
            }
        }
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        if let To::Part { path, .. } = &self.to {
            // after a rename there is none
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Reserves and writes at once.
pub(crate) fn write(place: &Path, replace: Replace, readers: Readers, bytes: &[u8]) -> Result<(), String> {
    ResultFile::reserve(place, replace, readers)?.write(bytes)
}

/// Whether the file that stands there may go.
fn replaceable(place: &Path, replace: Replace) -> io::Result<bool> {
    let mark = match replace {
        Replace::Nothing => return Ok(false),
        Replace::Any => return Ok(true),
        Replace::Begins(mark) => mark.as_bytes(),
    };
    let mut begin = Vec::new();
    File::open(place)?.take(mark.len() as u64).read_to_end(&mut begin)?;
    Ok(begin.is_empty() || begin == mark)
}

/// A new file beside the place.
fn part(place: &Path, readers: Readers) -> io::Result<(File, PathBuf)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    if readers == Readers::Owner {
        owner_only(&mut options);
    }
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    for n in 0_u32..1000 {
        let path = place.with_file_name(format!(".{name}.{}-{n}.part", std::process::id()));
        match options.open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// What the system said, in words.
#[expect(clippy::wildcard_enum_match_arm, reason = "what else goes wrong the system says itself")]
pub(crate) fn why(place: &Path, error: &io::Error) -> String {
    let shown = place.display();
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.display();
    match error.kind() {
        ErrorKind::NotFound => format!("cannot write {shown}: there is no folder {folder}"),
        ErrorKind::NotADirectory => format!("cannot write {shown}: {folder} is no folder"),
        ErrorKind::PermissionDenied => format!("cannot write {shown}: you may not write in {folder}"),
        ErrorKind::ReadOnlyFilesystem => format!("cannot write {shown}: the file system is read-only"),
        ErrorKind::StorageFull => format!("cannot write {shown}: the disk is full"),
        ErrorKind::QuotaExceeded => format!("cannot write {shown}: your quota of the disk is used up"),
        ErrorKind::AlreadyExists => format!("{shown} is there already"),
        _ => format!("cannot write {shown}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "<mine>";

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_name_changes_only_at_the_end_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out.xml");
        let ours = Replace::Begins(MARK);
        drop(ResultFile::reserve(&place, ours, Readers::Usual).unwrap());
        assert!(names(folder.path()).is_empty());
        write(&place, ours, Readers::Usual, b"<mine> 1").unwrap();
        let second = ResultFile::reserve(&place, ours, Readers::Usual).unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"<mine> 1");
        second.write(b"<mine> 2").unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"<mine> 2");
        assert_eq!(names(folder.path()), ["out.xml"]);
    }

    #[test]
    fn what_is_not_ours_stays_unless_somebody_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("notes");
        std::fs::write(&place, "years of work").unwrap();
        for replace in [Replace::Nothing, Replace::Begins(MARK)] {
            let why = write(&place, replace, Readers::Usual, b"<mine>").unwrap_err();
            assert!(why.contains("notes is there already"), "{why}");
        }
        assert_eq!(std::fs::read(&place).unwrap(), b"years of work");
        write(&place, Replace::asked(true, MARK), Readers::Usual, b"<mine>").unwrap();
        std::fs::write(&place, "").unwrap();
        assert!(write(&place, Replace::Nothing, Readers::Usual, b"<mine>").is_err());
        write(&place, Replace::asked(false, MARK), Readers::Usual, b"<mine>").unwrap();
        assert_eq!(names(folder.path()), ["notes"]);
    }

    #[test]
    fn a_file_that_came_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("book.vcf");
        let reserved = ResultFile::reserve(&place, Replace::Nothing, Readers::Usual).unwrap();
        std::fs::write(&place, "somebody else's").unwrap();
        assert!(reserved.write(b"ours").unwrap_err().contains("is there already"));
        assert_eq!(std::fs::read(&place).unwrap(), b"somebody else's");
        assert_eq!(names(folder.path()), ["book.vcf"]);
    }

    #[test]
    fn a_place_that_is_none_is_told_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        for (place, word) in
            [("none/out", "there is no folder"), ("file/out", "is no folder"), (".", "name a file")]
        {
            let why =
                ResultFile::reserve(&folder.path().join(place), Replace::Any, Readers::Usual).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_readers_stay_readers() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        std::fs::write(&real, MARK).unwrap();
        std::fs::set_permissions(&real, PermissionsExt::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link, Replace::Begins(MARK), Readers::Usual, b"<mine> 2").unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read(&real).unwrap(), b"<mine> 2");
        assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        let private = folder.path().join("private");
        write(&private, Replace::Nothing, Readers::Owner, b"").unwrap();
        assert_eq!(std::fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
    }

    /// `/dev/full` takes no byte, as a disk without room.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_and_a_stream_are_told_apart_from_files() {
        let full = write(Path::new("/dev/full"), Replace::Nothing, Readers::Usual, b"x").unwrap_err();
        assert!(full.contains("the disk is full"), "{full}");
        write(Path::new("/dev/null"), Replace::Nothing, Readers::Usual, b"x").unwrap();
        assert!(Path::new("/dev/full").exists() && Path::new("/dev/null").exists());
    }
}
