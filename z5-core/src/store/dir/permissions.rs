//! Who may read a file. On Unix by mode and owner; elsewhere a user's own directories are private by what they inherit, and nothing is
//! judged here.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// What had to be done.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(not(unix), expect(dead_code, reason = "nothing is judged there"))]
pub(super) enum Mended {
    Nothing,
    /// From this mode.
    From(u32),
    /// It cannot be trusted, whatever we do.
    Never(String),
}

/// As whom we write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    #[cfg(unix)]
    uid: u32,
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};

    use super::*;

    /// What a file of a store, and its directory, may at most permit.
    const FILE: u32 = 0o600;
    const DIRECTORY: u32 = 0o700;

    impl Owner {
        pub(in super::super) fn of(file: &File) -> io::Result<Self> {
            Ok(Self { uid: file.metadata()?.uid() })
        }

        pub(in super::super) fn mend(&self, path: &Path) -> io::Result<Mended> {
            let found = fs::symlink_metadata(path)?;
            if found.is_symlink() {
                return Ok(Mended::Never("it is a link to somewhere else".to_owned()));
            }
            if found.uid() != self.uid {
                return Ok(Mended::Never(format!(
                    "it belongs to the user {}, not {}",
                    found.uid(),
                    self.uid
                )));
            }
            let mode = found.permissions().mode() & 0o7777;
            let most = if found.is_dir() { DIRECTORY } else { FILE };
            if mode & 0o077 == 0 {
                return Ok(Mended::Nothing);
            }
            fs::set_permissions(path, fs::Permissions::from_mode(most))?;
            Ok(Mended::From(mode))
        }
    }

    pub(in super::super) fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
        options.mode(FILE)
    }

    pub(in super::super) fn create_dir(path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(DIRECTORY).create(path)
    }
}

#[cfg(not(unix))]
mod other {
    use super::*;

    impl Owner {
        pub(in super::super) fn of(_: &File) -> io::Result<Self> {
            Ok(Self {})
        }

        pub(in super::super) fn mend(&self, path: &Path) -> io::Result<Mended> {
            fs::symlink_metadata(path).map(|_| Mended::Nothing)
        }
    }

    pub(in super::super) fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
        options
    }

    pub(in super::super) fn create_dir(path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }
}

#[cfg(not(unix))]
pub(super) use other::{create_dir, owner_only};
#[cfg(unix)]
pub(super) use unix::{create_dir, owner_only};
