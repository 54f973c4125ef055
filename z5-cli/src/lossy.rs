//! File names in JSON, which is UTF-8 where a name need not be: what is none is shown as U+FFFD.

use std::path::PathBuf;

use serde::Serializer;

/// For `serialize_with`.
#[expect(clippy::ptr_arg, reason = "serde hands over the field as it is")]
pub(crate) fn path<S: Serializer>(path: &PathBuf, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// For `serialize_with`.
pub(crate) fn optional<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => to.serialize_some(&path.to_string_lossy()),
        None => to.serialize_none(),
    }
}
