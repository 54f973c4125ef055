//! Records: versions old, present and to come; damage.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::call::Side;
use crate::secret::Secret;

fn call(n: u64) -> CallRecord {
    CallRecord {
        started_unix_s: n,
        direction: Direction::Outgoing,
        remote: "+15555550900".to_owned(),
        display_name: None,
        duration_ms: Some(1500),
        outcome: ANSWERED.to_owned(),
        by: Some(Side::Remote),
    }
}

/// The key of the fixture.
const KEY: [u8; 32] = [7; 32];
/// A history as version 1 wrote it, sealed with [`KEY`].
const VERSION_1: &[u8] = include_bytes!("fixtures/history-1.z5");

#[test]
fn a_history_of_version_1_is_read_and_written_back_in_the_present_form() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    drop(DirStore::open_with_key(&dir, StoreKey::new(KEY)).unwrap());
    std::fs::write(dir.join("history.z5"), VERSION_1).unwrap();

    let store = DirStore::open_with_key(&dir, StoreKey::new(KEY)).unwrap();
    let recalled = Recalled::read(&store);
    // Others could read the file that the test wrote; that is told, and nothing else.
    assert!(
        recalled.troubles.iter().all(|trouble| trouble.code() == "store.exposed"),
        "{:?}",
        recalled.troubles
    );
    let calls = recalled.history.calls;
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[0].direction, calls[0].duration_ms), (Direction::Outgoing, Some(61_000)));
    assert_eq!((calls[1].direction, calls[1].duration_ms), (Direction::Incoming, None));
    assert_eq!((calls[1].outcome.as_str(), calls[1].by), ("call.cancelled", None));
    assert_eq!(calls[1].display_name.as_deref(), Some("Bob"));

    let bytes = store.read(Kind::History).unwrap().unwrap();
    assert!(bytes.starts_with(b"{\"version\":2,"), "{}", String::from_utf8_lossy(&bytes));
    assert_eq!(store.calls().unwrap(), calls);
}

#[test]
fn a_record_of_a_later_program_makes_the_store_unusable_and_nothing_is_moved() {
    let store = MemoryStore::new();
    store.write(Kind::Licence, b"damaged").unwrap();
    store.write(Kind::History, br#"{"version":3,"body":{"anything":1}}"#).unwrap();
    let recalled = Recalled::read(&store);
    assert!(recalled.unusable);
    let codes: Vec<&str> = recalled.troubles.iter().map(StoreError::code).collect();
    assert_eq!(codes, ["store.newer-version"]);
    assert!(recalled.troubles[0].to_string().contains("format 3; this one knows up to 2"));
    assert_eq!(store.aside(), []);
    assert_eq!(store.read(Kind::Licence).unwrap().unwrap(), b"damaged");
}

#[test]
fn a_damaged_record_is_set_aside_and_told_and_the_others_are_read() {
    let store = MemoryStore::new();
    Kept::History(Arc::new(History { calls: vec![call(1)] })).write(&store).unwrap();
    for bad in [
        "not json",
        r#"{"version":1,"body":{"number":"+15555550101","token":"secret-of-mine"}}"#,
        r#"{"version":1,"body":{"number":"+1","token":["secret-of-mine"],"fetched_unix_s":1}}"#,
        r#"{"version":0,"body":{}}"#,
        r#"{"body":{}}"#,
        "",
    ] {
        store.write(Kind::Licence, bad.as_bytes()).unwrap();
        let recalled = Recalled::read(&store);
        assert_eq!((recalled.unusable, recalled.licence), (false, None), "{bad}");
        assert_eq!(recalled.history.calls, [call(1)]);
        let told = recalled.troubles.iter().map(ToString::to_string).collect::<String>();
        assert!(told.contains("is damaged") && told.contains("set aside"), "{told}");
        assert!(!told.contains("secret-of-mine"), "{told}");
        assert_eq!(store.aside().pop().unwrap(), (Kind::Licence, bad.as_bytes().to_vec()));
        assert_eq!(store.read(Kind::Licence).unwrap(), None);
    }
}

#[test]
fn every_record_comes_back_as_it_was_and_shows_no_secret() {
    let store = MemoryStore::new();
    let configuration = KeptConfiguration {
        number: "+15555550101".to_owned(),
        offered: Vec::new(),
        document: Secret::new(json!({"sip-password": "wonderland"}).to_string()),
        fetched_unix_s: 7,
    };
    let licence = KeptLicence {
        number: "+15555550101".into(),
        token: Secret::new("wonderland"),
        policy: None,
        fetched_unix_s: 8,
    };
    let instance = Instance { instance_id: "id".into(), account: "alice@z.test".into(), seen_unix_s: 9 };
    let records = [
        Kept::Configuration(configuration.clone()),
        Kept::Licence(licence.clone()),
        Kept::Instance(instance.clone()),
    ];
    for record in &records {
        assert!(!format!("{record:?}").contains("wonderland"));
        record.write(&store).unwrap();
    }
    assert!(!format!("{store:?}").contains("wonderland"));
    let recalled = Recalled::read(&store);
    assert!(!format!("{recalled:?}").contains("wonderland"));
    assert_eq!(recalled.configuration, Some(configuration));
    assert_eq!(recalled.licence, Some(licence));
    assert_eq!(recalled.instance, Some(instance));
    assert_eq!(recalled.troubles, []);
}

#[test]
fn the_history_is_bounded_and_can_be_forgotten() {
    let mut history = History::default();
    for n in 0..HISTORY_LIMIT as u64 + 5 {
        history.add(call(n));
    }
    assert_eq!((history.calls.len(), history.calls[0].started_unix_s), (HISTORY_LIMIT, 5));
    let store = MemoryStore::new();
    Kept::History(Arc::new(history)).write(&store).unwrap();
    assert_eq!(store.calls().unwrap().len(), HISTORY_LIMIT);
    store.clear_calls().unwrap();
    assert_eq!(store.calls().unwrap(), []);
}
