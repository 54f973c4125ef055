//! `z5 contacts`: the address book in the store, synced with the mock carrier.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod common;

use std::path::Path;

use common::{Run, World, command, run};
use z5_mock::{Carrier, ContactsBy, Fault};

const ALICE: &str = "15555550101";

struct Kept {
    world: World,
    data: tempfile::TempDir,
}

impl Kept {
    fn new(faults: &[Fault]) -> Self {
        Self { world: World::new(faults), data: tempfile::tempdir().unwrap() }
    }

    fn plain(&self, arguments: &[&str]) -> Run {
        let config = self.world.config();
        let mut all = vec!["--config", &config, "contacts"];
        all.extend(arguments);
        run(command(&all).env("XDG_DATA_HOME", self.data.path()))
    }

    fn json(&self, arguments: &[&str]) -> Run {
        self.plain(&[arguments, &["--json"]].concat())
    }

    fn names(&self, arguments: &[&str]) -> Vec<String> {
        let run = self.json(arguments);
        assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
        let contacts = run.result()["contacts"].as_array().unwrap();
        contacts.iter().map(|contact| contact["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The cards that the server has, by name.
    fn on_server(&self) -> Vec<String> {
        let books = self.world.carrier.address_books();
        let cards = books.files(ALICE).into_iter().filter_map(|file| books.get(ALICE, &file));
        let name = |card: String| card.lines().find_map(|line| line.strip_prefix("FN:").map(str::to_owned));
        let mut names: Vec<String> = cards.filter_map(name).collect();
        names.sort();
        names
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn contacts_are_fetched_found_added_and_removed_on_both_sides() {
    let kept = Kept::new(&[]);
    let empty = kept.plain(&["list"]);
    assert_eq!((empty.status, empty.stdout.lines().count()), (0, 1), "{}", empty.stdout);
    let synced = kept.json(&["sync"]);
    assert_eq!(synced.status, 0, "{}", synced.stderr);
    let before = synced.result()["sync"]["added"].as_u64().unwrap();
    assert!(before >= 2 && synced.result()["sync"]["full"] == true, "{}", synced.stdout);
    assert!(
        !kept.world.carrier.recorder().to_text().contains("REGISTER"),
        "an address book needs no registration"
    );
    assert!(kept.names(&["search", "ECHO"]).contains(&"Echo".to_owned()));

    let added = kept.json(&["add", "Dóra Ünal", "+15555550177", "sip:dora@relay.test"]);
    assert_eq!(added.status, 0, "{}", added.stderr);
    assert_eq!(added.result()["sync"]["sent"], 1);
    assert!(kept.on_server().contains(&"Dóra Ünal".to_owned()), "{:?}", kept.on_server());
    assert_eq!(kept.names(&["search", "dora un"]), ["Dóra Ünal"]);
    assert_eq!(kept.names(&["search", "0177"]), ["Dóra Ünal"]);
    let shown = kept.plain(&["search", "dora"]);
    assert_eq!(shown.stdout, "Dóra Ünal                 +15555550177  sip:dora@relay.test\n");

    // From outside: somebody else's telephone.
    let books = kept.world.carrier.address_books();
    books.put(ALICE, "e.vcf", &z5_mock::vcard("e", "Eve", "+15555550188"));
    books.remove(ALICE, "echo.vcf");
    let news = kept.json(&["sync"]);
    let report = &news.result()["sync"];
    assert_eq!(
        (&report["added"], &report["removed"], &report["full"]),
        (&1.into(), &1.into(), &false.into())
    );

    let removed = kept.json(&["remove", "eve"]);
    assert_eq!(removed.result()["contacts"][0]["name"], "Eve", "{}", removed.stderr);
    assert!(!kept.on_server().contains(&"Eve".to_owned()));
    let nobody = kept.json(&["remove", "nobody at all"]);
    assert_eq!((nobody.status, &nobody.result()["failure"]["code"]), (2, &"usage.contact".into()));
}

#[test]
fn what_is_changed_while_the_server_is_away_is_sent_later() {
    let kept = Kept::new(&[Fault::AddressBookDown]);
    let added = kept.json(&["add", "Dora", "+15555550177"]);
    let failure = &added.result()["failure"]["code"];
    assert_eq!((added.status, failure), (13, &"provision.unavailable".into()), "{}", added.stdout);
    assert_eq!(kept.json(&["add", "--offline", "Eve", "411"]).status, 0);
    let listed = kept.json(&["list"]);
    let unsent = listed.result()["contacts"].as_array().unwrap().iter().filter(|one| one["unsent"] == true);
    assert_eq!(unsent.count(), 2);
    kept.world.carrier.faults().disarm(Fault::AddressBookDown);
    let synced = kept.json(&["sync"]);
    assert_eq!(
        (&synced.result()["sync"]["sent"], &synced.result()["sync"]["unsent"]),
        (&2.into(), &0.into())
    );
    let there = kept.on_server();
    assert!(["Dora", "Eve"].iter().all(|name| there.contains(&(*name).to_owned())), "{there:?}");
}

#[test]
fn a_change_on_both_sides_is_merged_and_told() {
    let kept = Kept::new(&[]);
    let books = kept.world.carrier.address_books();
    books.put(ALICE, "d.vcf", &z5_mock::vcard("d", "Dora", "+15555550177"));
    assert_eq!(kept.json(&["sync"]).status, 0);
    let card = "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:urn:uuid:d\r\nFN:Dora\r\nTEL:411\r\nEND:VCARD\r\n";
    let file = write(kept.world.folder.path(), "ours.vcf", card);
    assert_eq!(kept.json(&["import", "--offline", &file]).result()["imported"]["merged"], 1);
    books.put(ALICE, "d.vcf", &z5_mock::vcard("d", "Dora", "+15555550199"));
    let synced = kept.plain(&["sync"]);
    assert!(synced.stdout.contains("`Dora` was changed on both sides"), "{}", synced.stdout);
    let text = books.get(ALICE, "d.vcf").unwrap();
    assert!(text.contains("TEL:411") && text.contains("+15555550199"), "{text}");
}

#[test]
fn files_go_in_and_out_and_a_bad_card_is_told_with_its_line() {
    let kept = Kept::new(&[]);
    let folder = kept.world.folder.path();
    let text = "BEGIN:VCARD\nVERSION:3.0\nFN:Ann\nN:Ann;;;;\nTEL;TYPE=CELL:+15555550155\nX-KEPT;A=b:c\nEND:VCARD\n\
        BEGIN:VCARD\nVERSION:3.0\nFN:Bad\nno colon\nEND:VCARD\n\
        BEGIN:VCARD\nVERSION:4.0\nFN:Cem\nTEL:411\nEND:VCARD\n";
    let file = write(folder, "two.vcf", text);
    let import = kept.json(&["import", "--offline", &file]);
    assert_eq!(import.status, 1, "{}", import.stdout);
    let result = import.result();
    assert_eq!(
        (&result["imported"]["added"], &result["imported"]["bad"][0]["line"]),
        (&2.into(), &11.into())
    );
    let message = result["failure"]["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("{file}:11: ")) && message.contains("no colon"), "{message}");
    assert_eq!(kept.names(&["list"]), ["Ann", "Cem"]);

    let bad = write(folder, "bad.vcf", "BEGIN:VCARD\nFN:x\nEND:VCARD\n");
    let refused = kept.json(&["import", "--offline", &bad]);
    assert_eq!((refused.status, &refused.result()["failure"]["code"]), (2, &"usage.card".into()));
    assert_eq!(kept.json(&["import", "no-such.vcf"]).result()["failure"]["code"], "usage.cards");

    // What was written reads back as what is there, in every form.
    for name in ["all.vcf", "all.xml"] {
        let to = folder.join(name).to_str().unwrap().to_owned();
        assert_eq!(kept.json(&["export", &to]).result()["exported"], 2);
        let again = kept.json(&["import", "--offline", &to]);
        assert_eq!(again.result()["imported"]["added"], 0, "{name}: {}", again.stdout);
        assert_eq!(kept.names(&["list"]).len(), 2);
        assert_eq!(kept.json(&["export", &to]).status, 2, "a file that is there is not touched");
    }
    let three = kept.plain(&["export", "--format", "vcard3"]).stdout;
    assert!(three.contains("X-KEPT;A=b:c") && three.matches("VERSION:3.0").count() == 2, "{three}");
    assert_eq!(kept.json(&["export"]).result()["failure"]["code"], "usage.export");
}

#[test]
fn faults_of_an_address_book_cost_no_contact() {
    for name in
        ["sync-truncated", "sync-bare", "sync-unknown", "sync-token-invalid", "malformed-card", "untagged"]
    {
        let kept = Kept::new(&[format!("address-book.{name}").parse().unwrap()]);
        for round in 0..2 {
            let synced = kept.json(&["sync"]);
            assert_eq!(synced.status, 0, "{name}: {}", synced.stdout);
            let unread = synced.result()["sync"]["unread"].as_u64();
            assert_eq!(unread, Some(u64::from(name == "malformed-card")), "{name}");
            assert_eq!(kept.names(&["list"]), kept.on_server(), "{name}, round {round}");
            assert_eq!(kept.json(&["add", &format!("New {round}"), "411"]).status, 0, "{name}");
        }
        assert_eq!(kept.names(&["list"]), kept.on_server(), "{name}");
    }
}

#[test]
fn a_change_that_meets_trouble_is_sent_once_or_stays_here() {
    for (name, first, later) in [
        ("conflict", (1, 1), 0),
        ("change-refused", (1, 1), 0),
        ("change-unavailable", (13, 1), 0),
        ("answer-lost", (13, 1), 0),
    ] {
        let fault: Fault = format!("address-book.{name}").parse().unwrap();
        let kept = Kept::new(&[fault]);
        let added = kept.json(&["add", "Dora", "411"]);
        let unsent = kept.json(&["list"]);
        let count = |run: &Run| {
            let contacts = run.result()["contacts"].as_array().unwrap();
            contacts.iter().filter(|one| one["unsent"] == true).count()
        };
        assert_eq!((added.status, count(&unsent)), first, "{name}: {}", added.stdout);
        kept.world.carrier.faults().disarm(fault);
        assert_eq!(kept.json(&["sync"]).status, 0, "{name}");
        assert_eq!(count(&kept.json(&["list"])), later, "{name}");
        let there = kept.on_server();
        assert_eq!(there.iter().filter(|one| *one == "Dora").count(), 1, "{name}: {there:?}");
    }
}

#[test]
fn what_cannot_be_done_is_told_before_anything_is_sent() {
    let kept = Kept::new(&[]);
    let text = std::fs::read_to_string(kept.world.config()).unwrap();
    std::fs::write(kept.world.config(), format!("store = \"none\"\n{text}")).unwrap();
    for arguments in [&["list"][..], &["add", "Dora"]] {
        let run = kept.json(arguments);
        assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"usage.no-store".into()));
    }
    let nameless = Kept::new(&[]);
    let run = nameless.json(&["add", "--offline", " "]);
    assert_eq!((run.status, &run.result()["failure"]["code"]), (2, &"contacts.no-name".into()));
}

#[test]
fn what_was_fetched_and_cannot_be_kept_is_no_success() {
    let kept = Kept::new(&[]);
    let blocked = write(kept.world.folder.path(), "no-folder", "");
    let config = kept.world.config();
    let mut sync = command(&["--config", &config, "contacts", "sync", "--json"]);
    let run = run(sync.env("XDG_DATA_HOME", blocked));
    assert_eq!(run.status, 1, "{}{}", run.stdout, run.stderr);
    assert_eq!(run.result()["failure"]["code"], "store.unwritable");
    assert_eq!(run.result()["sync"]["full"], true);
}

#[test]
fn a_list_of_xcards_is_synced_imported_and_exported() {
    let builder = Carrier::builder().contacts_by(&[ContactsBy::Xcard]);
    let kept = Kept { world: World::with("alice", builder), data: tempfile::tempdir().unwrap() };
    let books = kept.world.carrier.address_books();
    let listed = |books: &z5_mock::AddressBooks| -> Vec<String> {
        let list = books.list(ALICE);
        let names = list.split("<fn><text>").skip(1).map(|part| part.split('<').next().unwrap().to_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    assert_eq!(kept.json(&["sync"]).result()["sync"]["full"], true);
    assert_eq!(kept.names(&["list"]), listed(books));
    assert_eq!(kept.json(&["sync"]).result()["sync"]["full"], false, "nothing is new");
    let added = kept.json(&["add", "Dora", "+15555550177"]);
    assert_eq!(added.result()["sync"]["sent"], 1, "{}", added.stdout);
    // From outside, and into a file and back.
    books.put_list(ALICE, &books.list(ALICE).replace("<fn><text>Dora", "<fn><text>Dorothea"));
    let card = "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Zed\r\nTEL:411\r\nX-ODD;P=1:kept\r\nEND:VCARD\r\n";
    let file = write(kept.world.folder.path(), "zed.vcf", card);
    let imported = kept.json(&["import", &file]);
    assert_eq!(imported.result()["sync"]["sent"], 1, "{}", imported.stdout);
    assert_eq!(kept.names(&["list"]), listed(books));
    assert!(listed(books).contains(&"Dorothea".to_owned()) && books.list(ALICE).contains("kept"));
    let to = kept.world.folder.path().join("all.xml");
    let exported = kept.json(&["export", to.to_str().unwrap()]);
    assert_eq!(exported.result()["exported"].as_u64().unwrap() as usize, listed(books).len());
    // With both, the configuration says which; what is not there yet goes along.
    let both = Kept::new(&[]);
    let text = std::fs::read_to_string(both.world.config()).unwrap();
    assert_eq!(both.json(&["add", "--offline", "Nora", "411"]).status, 0);
    std::fs::write(both.world.config(), format!("{text}\n[contacts]\nprotocol = \"xcard\"\n")).unwrap();
    assert_eq!(both.json(&["sync"]).result()["sync"]["sent"], 1);
    assert!(listed(both.world.carrier.address_books()).contains(&"Nora".to_owned()));
    assert!(!both.on_server().contains(&"Nora".to_owned()), "that is the other address book");
}

#[test]
fn what_is_there_is_not_doubled_and_what_cannot_be_dialled_is_refused() {
    let kept = Kept::new(&[]);
    assert_eq!(kept.json(&["add", "--offline", "Dora", "+1 555 555 0177"]).status, 0);
    for arguments in [&["Dora", "+15555550177"][..], &["DÓRA", "+15555550177"], &["Dora"]] {
        let again = kept.json(&[&["add", "--offline"], arguments].concat());
        assert_eq!((again.status, &again.result()["already"]), (0, &true.into()), "{}", again.stdout);
        assert_eq!(again.result()["contacts"][0]["name"], "Dora");
    }
    assert_eq!(kept.names(&["list"]), ["Dora"]);
    let sent_by = format!("z5 --config {} contacts sync", kept.world.config());
    let offline = kept.plain(&["add", "--offline", "Dan", "+15555550176"]);
    assert!(offline.stdout.contains(&sent_by), "{}", offline.stdout);
    assert_eq!(kept.json(&["remove", "--offline", "Dan"]).status, 0);
    let told = kept.plain(&["add", "--offline", "Dora", "+15555550177"]);
    assert!(told.stdout.contains("Dora is there already; --again adds another one"), "{}", told.stdout);
    assert_eq!(
        kept.json(&["add", "--offline", "Dora", "411"]).status,
        0,
        "another number is another contact"
    );
    assert_eq!(kept.json(&["add", "--offline", "--again", "Dora", "411"]).status, 0);
    assert_eq!(kept.names(&["list"]), ["Dora"; 3]);
    let several = kept.json(&["remove", "--offline", "Dora"]);
    let message = several.result()["failure"]["message"].as_str().unwrap().to_owned();
    assert!(several.status == 2 && message.contains("3 contacts, name one by its id"), "{message}");
    let id = message.rsplit('(').next().unwrap().trim_end_matches(')').to_owned();
    assert_eq!(kept.json(&["remove", "--offline", &id]).status, 0);
    for bad in ["notanumber", "", "https://relay.test/bob"] {
        let run = kept.json(&["add", "Bad", bad]);
        assert_eq!(
            (run.status, &run.result()["failure"]["code"]),
            (2, &"contacts.bad-number".into()),
            "{bad}"
        );
    }
    assert!(kept.world.carrier.recorder().entries().is_empty(), "nothing was sent");
}

/// What another device has changed counts before what is kept here.
#[test]
fn what_is_there_is_judged_by_what_the_server_has() {
    let kept = Kept::new(&[]);
    let books = kept.world.carrier.address_books();
    books.put(ALICE, "d.vcf", &z5_mock::vcard("d", "Dora", "+15555550177"));
    let known = kept.json(&["add", "Dora", "+15555550177"]);
    assert_eq!((known.status, &known.result()["already"]), (0, &true.into()), "{}", known.stdout);
    assert_eq!(known.result()["sync"]["sent"], 0);
    books.remove(ALICE, "d.vcf");
    let added = kept.json(&["add", "Dora", "+15555550177"]);
    assert_eq!((added.status, &added.result()["sync"]["sent"]), (0, &1.into()), "{}", added.stdout);
    assert_eq!(added.result()["sync"]["removed"], 1);
    assert!(kept.on_server().contains(&"Dora".to_owned()));

    books.put(ALICE, "e.vcf", &z5_mock::vcard("e", "Eve", "+15555550188"));
    assert_eq!(kept.json(&["remove", "Eve"]).status, 0);
    assert!(!kept.on_server().contains(&"Eve".to_owned()));
}

/// Whoever reads the status of a script is not told that the server has what it refused.
#[test]
fn what_the_server_refuses_is_no_success_and_named_as_people_do() {
    let kept = Kept::new(&[]);
    assert_eq!(kept.json(&["add", "Eve", "+15555550188"]).status, 0);
    kept.world.carrier.faults().arm("address-book.change-refused".parse().unwrap());
    let folder = kept.world.folder.path();
    let cards = write(folder, "zed.vcf", "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Zed\r\nTEL:411\r\nEND:VCARD\r\n");
    for (arguments, name) in [
        (&["add", "Dora", "+15555550177"][..], "`Dora`"),
        (&["import", &cards], "`Zed`"),
        (&["remove", "Eve"], "`Eve`"),
        (&["sync"], "`Dora`"),
    ] {
        let run = kept.json(arguments);
        let failure = &run.result()["failure"];
        assert_eq!((run.status, &failure["code"]), (1, &"contacts.refused".into()), "{}", run.stdout);
        let message = failure["message"].as_str().unwrap();
        assert!(message.contains(name) && message.contains("(HTTP 403)"), "{message}");
        assert_eq!(failure["advice"], "ask-carrier");
        let shown = kept.plain(arguments);
        let config = kept.world.config();
        // nobody is told to try what is refused again, nor the same twice
        assert!(!shown.stdout.contains("contacts sync"), "{}", shown.stdout);
        // what was removed here is not there to be removed once more
        if arguments[0] != "remove" {
            let counts = shown.stdout.lines().find(|line| line.contains("not taken by the server")).unwrap();
            assert!(!counts.contains("not on the server yet"), "{counts}");
            let next = format!("z5 --config {config} contacts remove NAME");
            assert!(shown.stderr.contains(&next), "{}", shown.stderr);
        }
        assert!(!shown.stdout.contains("urn:uuid") && !shown.stderr.contains("urn:uuid"), "{}", shown.stdout);
    }
}
