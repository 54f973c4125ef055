//! What a command reads that is named on the command line: a file, or standard input for `-`. Every read has a limit.

use std::path::Path;

use z5_core::media::file::{self, FileError, Limit};

/// The whole of it.
pub(crate) fn read(path: &Path, limit: Limit) -> Result<Vec<u8>, FileError> {
    match path.as_os_str() == "-" {
        true => file::read_from(std::io::stdin().lock(), limit),
        false => file::read(path, limit),
    }
}
