//! The address book without a server: changes here and there, in every order, and what is kept.

use std::collections::BTreeSet;

use super::*;
use crate::account::vcard::MAX_INLINE_BYTES;

const FILE: &str = "/book/b.vcf";

fn card(uid: &str, lines: &[&str]) -> String {
    format!("BEGIN:VCARD\r\nVERSION:4.0\r\nUID:{uid}\r\n{}\r\nEND:VCARD\r\n", lines.join("\r\n"))
}

fn bob(lines: &[&str]) -> String {
    card("bob", lines)
}

/// A book with one clean card.
fn synced() -> Book {
    let mut book = Book::default();
    book.settle("mcs.test", "/book/");
    assert_eq!(
        book.server_has(FILE, Some("1"), &bob(&["FN:Bob", "TEL:+15555550102", "X-KEEP:1"])),
        Applied::Added
    );
    book
}

fn send(book: &mut Book, etag: &str) -> Vec<What> {
    let files = book.to_send();
    let sent: Vec<Unsent> = files.iter().filter_map(|file| book.unsent_of(file)).collect();
    sent.iter().for_each(|unsent| book.sent(unsent, Some(etag)));
    sent.into_iter().map(|unsent| unsent.what).collect()
}

fn changed(book: &mut Book, from: &str, to: &str) {
    let text = book.card("bob").unwrap().to_text().replace(from, to);
    book.change("bob", Card::parse(&text).unwrap()).unwrap();
}

fn names(book: &Book) -> Vec<String> {
    book.contacts().into_iter().map(|contact| contact.name).collect()
}

#[test]
fn a_change_is_sent_with_the_tag_it_was_made_on_and_then_is_clean() {
    let mut book = synced();
    changed(&mut book, "FN:Bob", "FN:Robert");
    assert_eq!((book.unsent(), book.contacts()[0].unsent), (1, true));
    let unsent = book.unsent_of(FILE).unwrap();
    assert_eq!(unsent.etag.as_deref(), Some("1"));
    let What::Put(text) = &unsent.what else { panic!("{unsent:?}") };
    assert!(text.contains("FN:Robert") && text.contains("X-KEEP:1"), "{text}");
    // Changed again while it was on its way: that is sent too, on top of what was taken.
    changed(&mut book, "FN:Robert", "FN:Rob");
    book.sent(&unsent, Some("2"));
    assert_eq!((book.unsent(), names(&book)), (1, vec!["Rob".to_owned()]));
    assert_eq!(book.unsent_of(FILE).unwrap().etag.as_deref(), Some("2"));
    send(&mut book, "3");
    assert_eq!((book.unsent(), book.contacts()[0].unsent), (0, false));
    assert_eq!(book.server_has(FILE, Some("3"), "whatever"), Applied::Malformed);
}

#[test]
fn changes_of_both_sides_are_merged_and_told_and_go_to_the_server() {
    let mut book = synced();
    changed(&mut book, "FN:Bob", "FN:Robert");
    let theirs = bob(&["FN:Bobby", "TEL:+15555550102", "TEL:411", "X-KEEP:2"]);
    let Applied::Merged(merged) = book.server_has(FILE, Some("2"), &theirs) else { panic!("merged") };
    assert_eq!((merged.kind, merged.conflicts), (MergeKind::Changed, vec!["FN".to_owned()]));
    let unsent = book.unsent_of(FILE).unwrap();
    assert_eq!(unsent.etag.as_deref(), Some("2"), "on top of theirs");
    let What::Put(text) = unsent.what else { panic!("put") };
    for line in ["FN:Robert", "TEL:411", "X-KEEP:2", "X-Z5-CONFLICT:FN:Bobby"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    // The same news again is no news, and another change of theirs merges on what we know of them now.
    assert_eq!(book.server_has(FILE, Some("2"), &theirs), Applied::Nothing);
    assert!(matches!(book.server_has(FILE, Some("3"), &theirs.replace("411", "611")), Applied::Merged(_)));
    let text = book.card("bob").unwrap().to_text();
    assert!(text.contains("TEL:611") && !text.contains("TEL:411") && text.contains("FN:Robert"), "{text}");
}

#[test]
fn a_change_wins_over_a_removal_whoever_made_which() {
    let mut book = synced();
    changed(&mut book, "FN:Bob", "FN:Robert");
    let Applied::Merged(merged) = book.server_lacks(FILE) else { panic!("merged") };
    assert_eq!(merged.kind, MergeKind::Recreated);
    assert_eq!(book.unsent_of(FILE).unwrap().etag, None, "made anew");

    let mut book = synced();
    book.remove("bob").unwrap();
    assert!(book.is_empty() && book.search("bob").is_empty());
    // The same card with another tag was not changed.
    let same = bob(&["FN:Bob", "TEL:+15555550102", "X-KEEP:1"]);
    assert_eq!(book.server_has(FILE, Some("2"), &same), Applied::Nothing);
    let unsent = book.unsent_of(FILE).unwrap();
    assert_eq!((unsent.etag.as_deref(), unsent.what), (Some("2"), What::Delete));
    let Applied::Merged(merged) = book.server_has(FILE, Some("3"), &bob(&["FN:Bobby"])) else {
        panic!("merged")
    };
    assert_eq!((merged.kind, names(&book)), (MergeKind::Restored, vec!["Bobby".to_owned()]));

    let mut book = synced();
    book.remove("bob").unwrap();
    assert_eq!(book.server_lacks(FILE), Applied::Nothing, "both removed it");
    assert_eq!((book.len(), book.unsent()), (0, 0));
}

#[test]
fn an_answer_that_was_lost_makes_no_second_card() {
    let mut book = synced();
    let id = book.add(Card::new("c", "Carol", &["411".to_owned()]), "uuid").unwrap();
    book.settle("mcs.test", "/book/");
    let unsent = book.unsent_of("/book/uuid.vcf").unwrap();
    let What::Put(text) = unsent.what else { panic!("put") };
    // It arrived; we do not know that. The next sync tells.
    assert_eq!(book.server_has("/book/uuid.vcf", Some("7"), &text), Applied::Nothing);
    assert_eq!((book.unsent(), book.len(), id.as_str()), (0, 2, "c"));
}

#[test]
fn a_full_sync_takes_away_what_it_did_not_see_but_no_work_of_ours() {
    let mut book = synced();
    book.server_has("/book/c.vcf", Some("1"), &card("c", &["FN:Carol"]));
    book.server_has("/book/d.vcf", Some("1"), &card("d", &["FN:Dave"]));
    book.server_has("/book/x.vcf", Some("1"), "nonsense");
    book.add(Card::new("e", "Eve", &[]), "e").unwrap();
    book.settle("mcs.test", "/book/");
    changed(&mut book, "FN:Bob", "FN:Robert");
    assert_eq!(book.unread(), 1);
    let seen = BTreeSet::from(["/book/c.vcf".to_owned()]);
    let applied = book.end_full(&seen);
    assert_eq!(applied.iter().filter(|applied| **applied == Applied::Removed).count(), 1);
    assert_eq!(names(&book), ["Carol", "Eve", "Robert"]);
    assert_eq!((book.unread(), book.unsent()), (0, 2));
}

#[test]
fn a_malformed_card_is_counted_and_costs_no_other() {
    let mut book = synced();
    assert_eq!(
        book.server_has("/book/x.vcf", Some("1"), "BEGIN:VCARD\nVERSION:4.0\nEND:VCARD"),
        Applied::Malformed
    );
    assert!(book.knows("/book/x.vcf", "1") && !book.knows("/book/x.vcf", "2"));
    assert_eq!((book.len(), book.unread()), (1, 1));
    assert_eq!(book.server_has("/book/x.vcf", Some("2"), &card("x", &["FN:X"])), Applied::Added);
    assert_eq!((book.len(), book.unread()), (2, 0));
    // One that becomes nonsense is kept out; one that was changed here meanwhile goes over it.
    assert_eq!(book.server_has("/book/x.vcf", Some("3"), "?"), Applied::Malformed);
    changed(&mut book, "FN:Bob", "FN:Robert");
    assert_eq!(book.server_has(FILE, Some("3"), "?"), Applied::Malformed);
    assert_eq!(names(&book), ["Robert"]);
    assert_eq!(book.unsent_of(FILE).unwrap().etag.as_deref(), Some("3"));
}

#[test]
fn a_large_picture_stays_on_the_server_and_survives_a_change_here() {
    let photo = format!("PHOTO:data:image/jpeg;base64,{}", "A".repeat(MAX_INLINE_BYTES));
    let whole = bob(&["FN:Bob", &photo, "NOTE:n"]);
    let mut book = Book::default();
    book.settle("mcs.test", "/book/");
    book.server_has(FILE, Some("1"), &whole);
    assert!(book.bytes < 1000, "{}", book.bytes);
    changed(&mut book, "FN:Bob", "FN:Robert");
    assert_eq!(book.unsent_of(FILE).unwrap().what, What::PutOntoWhole);
    let text = Card::parse(&book.onto_whole(FILE, &whole).unwrap()).unwrap();
    assert_eq!(text.name(), "Robert");
    assert_eq!(text.first("PHOTO").unwrap().as_str(), photo);
    assert!(!text.to_text().contains("X-Z5-LEFT"), "the mark stays here");
    send(&mut book, "2");
    assert_eq!(book.unsent(), 0);
    assert!(!book.cards()[0].to_text().contains("X-Z5"));
}

#[test]
fn what_is_kept_is_read_back_whole() {
    let mut book = synced();
    book.set_token(Some("t".to_owned()));
    book.server_has("/book/c.vcf", None, &card("c", &["FN:Carol"]));
    book.server_has("/book/x.vcf", Some("1"), "nonsense");
    changed(&mut book, "FN:Bob", "FN:Robert");
    book.remove("c").unwrap();
    book.add(Card::new("e", "Eve", &[]), "e").unwrap();
    book.refused("e.vcf", 403);
    let saved = serde_json::to_string(&book).unwrap();
    let read: Book = serde_json::from_str(&saved).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), saved);
    assert_eq!((read.contacts(), read.to_send(), read.unread()), (book.contacts(), book.to_send(), 1));
    assert_eq!((read.token(), read.bytes), (Some("t"), book.bytes));
    // One bad card costs no other, and the server is asked for everything.
    let read: Book = serde_json::from_str(&saved.replacen("END:VCARD", "END", 1)).unwrap();
    assert_eq!((read.entries.len(), read.token()), (book.entries.len() - 1, None));
    assert!(serde_json::from_str::<Book>("{}").is_err());
    let shown = format!("{book:?}");
    assert!(shown.contains("contacts: 2") && !shown.contains("Eve"), "{shown}");
}

#[test]
fn a_search_finds_names_by_the_beginning_of_words_and_numbers_by_their_end() {
    let mut book = Book::default();
    for (uid, name, number) in [
        ("1", "Émile Ångström", "tel:+15555550102"),
        ("2", "Bob de la Cruz", "(555) 555-0103"),
        ("3", "Eve", "sip:eve@relay.test"),
    ] {
        book.add(Card::new(uid, name, &[number.to_owned()]), uid).unwrap();
    }
    book.add(
        Card::parse(&card("4", &["FN:Zoe", "NICKNAME:Zed", "ORG:Video Ltd;Sales", "TEL:411"])).unwrap(),
        "4",
    )
    .unwrap();
    for (text, found) in [
        ("emile ang", vec!["Émile Ångström"]),
        ("ÅNGSTRÖM", vec!["Émile Ångström"]),
        ("cru bob", vec!["Bob de la Cruz"]),
        ("ruz", vec![]),
        ("0102", vec!["Émile Ångström"]),
        ("+1 555 555 0102", vec!["Émile Ångström"]),
        ("+1555", vec!["Émile Ångström"]),
        ("1555", vec![]),
        ("+15555550103", vec!["Bob de la Cruz"]),
        ("5550103", vec!["Bob de la Cruz"]),
        ("eve@relay", vec!["Eve"]),
        ("zed", vec!["Zoe"]),
        ("sales", vec!["Zoe"]),
        ("411", vec!["Zoe"]),
        ("", vec![]),
        ("...", vec![]),
    ] {
        let names: Vec<_> = book.search(text).into_iter().map(|contact| contact.name).collect();
        assert_eq!(names, found, "{text}");
    }
}

#[test]
fn an_import_of_what_is_there_loses_nothing_and_doubles_nothing() {
    let mut book = synced();
    let same = book.cards()[0].clone();
    assert_eq!(book.import(same, "u1"), Ok(("bob".to_owned(), Imported::Same)));
    let other = Card::parse(&bob(&["FN:Bob", "TEL:411"])).unwrap();
    assert_eq!(book.import(other, "u2"), Ok(("bob".to_owned(), Imported::Merged)));
    let text = book.card("bob").unwrap().to_text();
    assert!(["+15555550102", "411", "X-KEEP:1"].iter().all(|part| text.contains(part)), "{text}");
    let new = Card::parse(&card("", &["FN:New"])).unwrap();
    assert_eq!(book.import(new.clone(), "u3"), Ok(("u3".to_owned(), Imported::Added)));
    // The same file again: a card without an identity is told by what it says.
    assert_eq!(book.import(new, "u5"), Ok(("u3".to_owned(), Imported::Same)));
    let namesake = Card::parse(&card("", &["FN:New", "TEL:+15555550177"])).unwrap();
    assert_eq!(book.import(namesake, "u6"), Ok(("u6".to_owned(), Imported::Added)));
    assert_eq!(book.import(Card::default(), "u4"), Err(BookError::NoName));
    assert_eq!(book.remove("nobody"), Err(BookError::Unknown { id: "nobody".to_owned() }));
}

#[test]
fn another_collection_takes_over_what_is_not_on_any_server() {
    let mut book = synced();
    book.add(Card::new("e", "Eve", &[]), "e").unwrap();
    changed(&mut book, "FN:Bob", "FN:Robert");
    book.server_has("/book/c.vcf", Some("1"), &card("c", &["FN:Carol"]));
    book.set_token(Some("t".to_owned()));
    book.settle("other.test", "/cards/");
    assert_eq!((names(&book), book.token()), (vec!["Eve".to_owned(), "Robert".to_owned()], None));
    assert_eq!(book.to_send(), ["/cards/b.vcf", "/cards/e.vcf"]);
    assert!(book.to_send().iter().all(|file| book.unsent_of(file).unwrap().etag.is_none()));
}

#[test]
fn there_is_an_end_to_what_is_kept() {
    let mut book = synced();
    book.bytes = MAX_BOOK_BYTES;
    assert_eq!(book.add(Card::new("e", "Eve", &[]), "e"), Err(BookError::Full));
    assert_eq!(book.server_has("/book/c.vcf", Some("1"), &card("c", &["FN:C"])), Applied::LeftOut);
    assert_eq!((book.len(), book.unread()), (1, 1));
}
