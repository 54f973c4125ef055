//! Replays the committed fuzz corpora through the same functions that the fuzz targets run.

use std::path::Path;

use z5_tests::fuzz::TARGETS;

#[test]
fn every_corpus_entry_holds() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in TARGETS {
        let mut entries: Vec<_> =
            std::fs::read_dir(corpora.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        assert!(!entries.is_empty(), "the corpus of {name} is empty");
        for entry in entries {
            let bytes = std::fs::read(&entry).unwrap();
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{name}: {}", entry.display());
        }
    }
}

#[test]
fn every_prefix_and_every_flipped_byte_of_the_corpora_is_survived() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in TARGETS {
        for entry in std::fs::read_dir(corpora.join(name)).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            for end in 0..bytes.len() {
                target(&bytes[..end]);
            }
            let mut flipped = bytes.clone();
            for at in 0..bytes.len() {
                flipped[at] ^= 0x20;
                target(&flipped);
                flipped[at] ^= 0x20;
            }
        }
    }
}
