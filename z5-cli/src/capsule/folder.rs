//! Where a report goes: names that are free, found before anything is sent, and files that are there whole or not at all.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Capsule, FILE, PAGE};
use crate::lossy;
use crate::page;
use crate::private::owner_only;
use crate::result_file::{self, Readers, Replace};

/// The two files of a report, reserved.
#[derive(Debug)]
pub(crate) struct Folder {
    capsule: PathBuf,
    page: PathBuf,
}

/// Where a report is, or why it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ReportFiles {
    /// The machine file.
    #[serde(serialize_with = "lossy::path")]
    pub(crate) capsule: PathBuf,
    /// The page.
    #[serde(serialize_with = "lossy::path")]
    pub(crate) page: PathBuf,
    /// What the system said when they could not be written.
    pub(crate) failure: Option<String>,
}

impl Folder {
    /// Makes the folder and an empty capsule in it: a folder that cannot be written to is found before the far end rings.
    /// `capsule-2.json` and so on where an earlier report stands; nothing is overwritten.
    pub(crate) fn reserve(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        for n in 1_u32.. {
            let named = |name: &str| {
                let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
                folder.join(if n == 1 { name.to_owned() } else { format!("{stem}-{n}.{extension}") })
            };
            let (capsule, page) = (named(FILE), named(PAGE));
            if page.exists() {
                continue;
            }
            match private(&capsule) {
                Ok(_) => return Ok(Self { capsule, page }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Takes the reserved file away again: the run had not begun.
    pub(crate) fn release(self) {
        if std::fs::metadata(&self.capsule).is_ok_and(|file| file.len() == 0) {
            let _ = std::fs::remove_file(&self.capsule);
        }
    }

    /// Writes both files.
    pub(crate) fn write(&self, capsule: &Capsule) -> Result<(), String> {
        let text = serde_json::to_vec(capsule).map_err(|error| error.to_string())?;
        // a transcript is nobody else's business; what stands under these names we have reserved
        let whole = |place, bytes: &[u8]| result_file::write(place, Replace::Any, Readers::Owner, bytes);
        whole(&self.capsule, &text)?;
        whole(&self.page, page::render(capsule).as_bytes())
    }

    pub(crate) fn files(&self, failure: Option<String>) -> ReportFiles {
        ReportFiles { capsule: self.capsule.clone(), page: self.page.clone(), failure }
    }
}

/// A new file that others cannot read.
fn private(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    owner_only(&mut options).open(path)
}
