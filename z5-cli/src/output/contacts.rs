//! The address book in words.

use z5_core::account::book::{ContactMerged, MergeKind};
use z5_core::{Book, EventKind, SyncReport};

/// What an event says of the address book; None when it says nothing of it.
/// Contacts have their names where the book is at hand.
pub(crate) fn told(event: &EventKind, book: Option<&Book>) -> Option<String> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are not about the address book")]
    match event {
        EventKind::ContactsProgress { contacts } => Some(format!("{contacts} cards so far")),
        EventKind::ContactNotChanged { error } => Some(format!("{}: {error}", error.code())),
        EventKind::ContactMerged(merged) => Some(merge(merged, book)),
        EventKind::ContactRefused { id, status } => Some(refused(id, *status, book)),
        EventKind::ContactsSynced { report } => Some(synced(report)),
        _ => None,
    }
}

/// A change that the server does not take.
pub(crate) fn refused(id: &str, status: u16, book: Option<&Book>) -> String {
    format!("the server does not take the change of {} (HTTP {status}); it is kept here", name(id, book))
}

/// What people call a contact.
fn name(id: &str, book: Option<&Book>) -> String {
    match book {
        Some(book) => format!("`{}`", book.name_of(id).unwrap_or(id)),
        None => "a contact".to_owned(),
    }
}

fn merge(merged: &ContactMerged, book: Option<&Book>) -> String {
    let id = name(&merged.id, book);
    match (merged.kind, merged.conflicts.as_slice()) {
        (MergeKind::Changed, []) => format!("{id} was changed on both sides: merged"),
        (MergeKind::Changed, fields) => {
            format!("{id} was changed on both sides, {} differently: both are kept", fields.join(" and "))
        }
        (MergeKind::Recreated, _) => {
            format!("{id} was removed on the server and changed here: it is made again there")
        }
        (MergeKind::Restored, _) => format!("{id} was removed here and changed on the server: it is back"),
    }
}

/// A sync in one line.
pub(crate) fn synced(report: &SyncReport) -> String {
    let mut text = match report.contacts {
        1 => "1 contact".to_owned(),
        contacts => format!("{contacts} contacts"),
    };
    let counts = [
        (report.added, "new"),
        (report.changed, "changed"),
        (report.removed, "removed"),
        (report.merged, "merged"),
        (report.sent, "sent"),
        (report.refused, "not taken by the server"),
        // what it refused is told once
        (report.unsent.saturating_sub(report.refused), "not on the server yet"),
        (report.unread, "on the server that cannot be read"),
    ];
    let told: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    text.push_str("; ");
    text.push_str(&if told.is_empty() { "nothing new".to_owned() } else { told.join(", ") });
    text
}
