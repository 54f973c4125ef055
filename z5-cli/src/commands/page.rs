//! `z5 report`: the page from a capsule, also from one that an older z5 wrote. Sends nothing.

use std::path::{Path, PathBuf};

use serde::Serialize;
use z5_core::Failure;

use super::head::Head;
use crate::args::PageArgs;
use crate::capsule::{Capsule, PAGE};
use crate::exit::Exit;
use crate::failure::usage;
use crate::lossy;
use crate::output::{self, Output};
use crate::page;
use crate::result_file::{self, Readers, Replace};

/// The result object.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    /// Where the page is.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy::optional")]
    page: Option<PathBuf>,
}

pub(super) fn run(args: &PageArgs, out: &mut Output) -> Exit {
    let outcome = make(args, matches!(out, Output::Json));
    let exit = if outcome.is_ok() { Exit::Ok } else { Exit::Usage };
    let (page, failure) = match outcome {
        Ok(page) => (page, None),
        Err(failure) => (None, Some(failure)),
    };
    if let Some(page) = &page {
        out.note(&format!("wrote {}", page.display()));
    }
    if let Some(failure) = &failure {
        output::failure(failure);
    }
    out.object(&Line { head: Head::new("report", exit, failure.as_ref()), page });
    exit
}

/// Gives the file that was written; none for standard output.
fn make(args: &PageArgs, json: bool) -> Result<Option<PathBuf>, Failure> {
    let capsule = Capsule::load(&args.capsule).map_err(|error| usage("report.capsule", error.to_string()))?;
    let page = page::render(&capsule);
    let place = match &args.output {
        Some(output) if output == Path::new("-") => {
            if json {
                return Err(usage("usage.report", "-o - and --json both want standard output: name a file"));
            }
            output::print(&page);
            return Ok(None);
        }
        Some(output) => output.clone(),
        None => beside(&args.capsule),
    };
    let replace = Replace::asked(args.overwrite, page::MARK);
    result_file::write(&place, replace, Readers::Owner, page.as_bytes())
        .map_err(|why| usage("report.not-written", why))?;
    Ok(Some(place))
}

/// `capsule-2.json` has its page in `report-2.html`; any other name keeps itself.
fn beside(capsule: &Path) -> PathBuf {
    if capsule.is_dir() {
        return capsule.join(PAGE);
    }
    let stem = capsule.file_stem().unwrap_or_default().to_string_lossy();
    let name = match stem.strip_prefix("capsule") {
        Some(number) => format!("report{number}.html"),
        None => format!("{stem}.html"),
    };
    capsule.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_stands_beside_its_capsule() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(beside(folder.path()), folder.path().join("report.html"));
        assert_eq!(beside(Path::new("a/capsule-2.json")), Path::new("a/report-2.html"));
        assert_eq!(beside(Path::new("a/monday.json")), Path::new("a/monday.html"));
    }
}
