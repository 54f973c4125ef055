//! A writer that is killed (SIGKILL) at any moment: what is read afterwards, and meanwhile, is a whole record, the old one or the new one,
//! and never an older one than the writer was told is safe.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up its world has failed")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use z5_core::store::Kind;
use z5_core::{DirStore, Store};

/// Set for the child alone: it is the writer.
const WRITER: &str = "Z5_TEST_STORE_WRITER";
const ROUNDS: u64 = 25;

/// A record that shows by itself whether it is whole: its number, then as many bytes of it as the number says.
fn record(n: u64) -> Vec<u8> {
    let len = 1 + usize::try_from(n * 7919 % 60_000).unwrap();
    let mut record = n.to_le_bytes().to_vec();
    record.resize(8 + len, n.to_le_bytes()[0]);
    record
}

fn number(record: &[u8]) -> u64 {
    let n = u64::from_le_bytes(record[..8].try_into().unwrap());
    assert!(record == self::record(n), "record {n} is not whole");
    n
}

/// Writes for ever, and says what is safe.
fn write_for_ever(dir: &Path) -> ! {
    let store = DirStore::open(dir).unwrap();
    let first = store.read(Kind::Contacts).unwrap().map_or(0, |record| number(&record));
    let mut out = std::io::stdout().lock();
    for n in first + 1.. {
        store.write(Kind::Contacts, &record(n)).unwrap();
        // The reader may be gone; then so am I in a moment.
        drop(write!(out, "\nsafe {n}\n").and_then(|()| out.flush()));
    }
    unreachable!("numbers do not end")
}

#[test]
fn a_killed_writer_leaves_the_old_record_or_the_new_one() {
    if let Some(dir) = std::env::var_os(WRITER) {
        write_for_ever(Path::new(&dir));
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let (mut killed_between, mut latest) = (0, 0);
    for round in 0..ROUNDS {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_writer_leaves_the_old_record_or_the_new_one", "--nocapture"])
            .env(WRITER, &dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let told = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut safe = told.filter_map(|line| line.strip_prefix("safe ").and_then(|n| n.parse::<u64>().ok()));
        let mut last = latest;
        for _ in 0..1 + round * 5 % 7 {
            last = safe.next().unwrap();
            // Beside the writer: whole as well.
            let reader = DirStore::read_only(&dir).unwrap();
            assert!(number(&reader.read(Kind::Contacts).unwrap().unwrap()) >= last);
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        last = safe.last().unwrap_or(last);

        let store = DirStore::open(&dir).unwrap();
        assert_eq!(store.notices(), []);
        let found = number(&store.read(Kind::Contacts).unwrap().unwrap());
        assert!(found == last || found == last + 1, "{found} after {last} was safe");
        assert!(found > latest, "a round writes");
        let left = std::fs::read_dir(&dir).unwrap().count();
        assert_eq!(left, 3, "nothing is left over");
        (latest, killed_between) = (found, killed_between + u64::from(found > last));
    }
    println!(
        "{ROUNDS} writers killed, {latest} records, {killed_between} killed between writing and saying so"
    );
}
