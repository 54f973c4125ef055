//! What is in a directory after good and bad things have happened to it.

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_record_is_what_was_written_last_and_survives_the_store() {
    let folder = folder();
    let dir = folder.path().join("deep/store");
    let store = DirStore::open(&dir).unwrap();
    assert_eq!(store.read(Kind::Licence).unwrap(), None);
    store.write(Kind::Licence, b"old").unwrap();
    store.write(Kind::Licence, b"new").unwrap();
    store.write(Kind::History, b"").unwrap();
    drop(store);
    let store = DirStore::open(&dir).unwrap();
    assert_eq!(store.read(Kind::Licence).unwrap().unwrap(), b"new");
    assert_eq!(store.read(Kind::History).unwrap().unwrap(), b"");
    assert_eq!(store.notices(), []);
    let mut names: Vec<String> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["history.z5", "licence.z5", "z5-store.key", "z5-store.lock"]);
}

#[test]
fn nothing_at_rest_shows_what_was_written_and_the_key_of_an_application_is_nowhere() {
    let folder = folder();
    let dir = folder.path().join("store");
    let key = StoreKey::new([42; 32]);
    let store = DirStore::open_with_key(&dir, key.clone()).unwrap();
    store.write(Kind::Configuration, b"the password is wonderland").unwrap();
    drop(store);
    for entry in fs::read_dir(&dir).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for secret in [&b"wonderland"[..], key.expose()] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
    let store = DirStore::open_with_key(&dir, StoreKey::new([43; 32])).unwrap();
    assert_eq!(store.read(Kind::Configuration).unwrap_err().code(), "store.corrupt");
    drop(store);
    let store = DirStore::open_with_key(&dir, key).unwrap();
    assert_eq!(store.read(Kind::Configuration).unwrap().unwrap(), b"the password is wonderland");
}

#[test]
fn one_session_at_a_time_and_readers_beside_it() {
    let folder = folder();
    let store = DirStore::open(folder.path()).unwrap();
    store.write(Kind::History, b"calls").unwrap();
    let error = DirStore::open(folder.path()).unwrap_err();
    assert_eq!(error.code(), "store.in-use");
    let reader = DirStore::read_only(folder.path()).unwrap();
    assert_eq!(reader.read(Kind::History).unwrap().unwrap(), b"calls");
    assert_eq!(reader.write(Kind::History, b"mine").unwrap_err().code(), "store.unwritable");
    store.write(Kind::History, b"more calls").unwrap();
    assert_eq!(reader.read(Kind::History).unwrap().unwrap(), b"more calls");
    drop(store);
    DirStore::open(folder.path()).unwrap();
}

#[test]
fn a_store_of_a_later_program_is_not_touched() {
    let folder = folder();
    let store = DirStore::open(folder.path()).unwrap();
    store.write(Kind::History, b"calls").unwrap();
    drop(store);
    let later = b"z5-store 2 contacts\nin a form that is not known yet";
    fs::write(folder.path().join("contacts.z5"), later).unwrap();
    fs::write(folder.path().join("licence.z5"), b"damaged").unwrap();
    for error in [DirStore::open(folder.path()).unwrap_err(), DirStore::read_only(folder.path()).unwrap_err()]
    {
        assert_eq!((error.code(), error.advice()), ("store.newer-version", crate::Advice::UpdateApp));
        assert!(error.to_string().contains("format 2; this one knows up to 1"), "{error}");
    }
    assert_eq!(fs::read(folder.path().join("contacts.z5")).unwrap(), later);
    assert_eq!(fs::read(folder.path().join("licence.z5")).unwrap(), b"damaged");
}

#[test]
fn what_is_damaged_is_kept_under_another_name_again_and_again() {
    let folder = folder();
    let store = DirStore::open(folder.path()).unwrap();
    let path = folder.path().join("history.z5");
    for n in 1..=3 {
        store.write(Kind::History, b"calls").unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - n);
        fs::write(&path, &bytes).unwrap();
        let error = store.read(Kind::History).unwrap_err();
        assert_eq!(error.code(), "store.corrupt");
        assert!(path.exists(), "reading moves nothing");
        let moved = store.set_aside(Kind::History).unwrap().unwrap();
        assert!(moved.ends_with(&format!("history.z5.corrupt-{n}")), "{moved}");
        assert_eq!(fs::read(moved).unwrap(), bytes);
        assert_eq!(store.read(Kind::History).unwrap(), None);
    }
    assert_eq!(store.set_aside(Kind::History).unwrap(), None, "there is none");
}

#[test]
fn a_key_that_is_damaged_or_gone_is_told_and_nothing_is_lost() {
    let folder = folder();
    let key = folder.path().join(KEY);
    DirStore::open(folder.path()).unwrap().write(Kind::Licence, b"licence").unwrap();
    fs::write(&key, b"too short").unwrap();
    let store = DirStore::open(folder.path()).unwrap();
    let codes: Vec<&str> = store.notices().iter().map(StoreError::code).collect();
    assert_eq!(codes, ["store.corrupt"]);
    assert_eq!(store.read(Kind::Licence).unwrap_err().code(), "store.corrupt");
    assert_eq!(fs::read(folder.path().join("z5-store.key.corrupt-1")).unwrap(), b"too short");
    drop(store);
    fs::remove_file(&key).unwrap();
    let store = DirStore::open(folder.path()).unwrap();
    assert_eq!(store.read(Kind::Licence).unwrap_err().code(), "store.corrupt");
    assert!(folder.path().join("licence.z5").exists());
}

#[test]
fn a_directory_with_other_things_in_it_is_left_alone() {
    let folder = folder();
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    let error = DirStore::open(folder.path()).unwrap_err();
    assert_eq!(error.code(), "store.foreign");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = DirStore::open(folder.path().join("letter.txt")).unwrap_err();
    assert_eq!(error.code(), "store.unwritable", "{error}");
    let error = DirStore::read_only(folder.path().join("nowhere")).unwrap_err();
    assert_eq!(error.code(), "store.unreadable");
}

#[test]
fn what_a_killed_writer_left_is_swept_away() {
    let folder = folder();
    drop(DirStore::open(folder.path()).unwrap());
    let left = folder.path().join(".history.z5.4711-0.tmp");
    fs::write(&left, b"half a rec").unwrap();
    let store = DirStore::open(folder.path()).unwrap();
    assert!(!left.exists());
    assert_eq!(store.read(Kind::History).unwrap(), None);
}

#[test]
fn a_record_that_cannot_be_written_leaves_the_old_one() {
    let folder = folder();
    let store = DirStore::open(folder.path()).unwrap();
    store.write(Kind::History, b"calls").unwrap();
    // A directory where the temporary file would be: the same as a full disk to whoever writes, for any user.
    fs::create_dir(folder.path().join(format!(".history.z5.{}-2.tmp", std::process::id()))).unwrap();
    let error = store.write(Kind::History, b"more").unwrap_err();
    assert_eq!(error.code(), "store.unwritable");
    assert!(error.to_string().contains("what was kept before is still there"), "{error}");
    assert_eq!(store.read(Kind::History).unwrap().unwrap(), b"calls");
    store.write(Kind::History, b"more").unwrap();
    assert_eq!(store.read(Kind::History).unwrap().unwrap(), b"more");
}

#[cfg(unix)]
mod modes {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: impl AsRef<Path>) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn chmod(path: impl AsRef<Path>, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_the_owner_can_read_what_is_made() {
        let folder = folder();
        let dir = folder.path().join("store");
        let store = DirStore::open(&dir).unwrap();
        store.write(Kind::Contacts, b"people").unwrap();
        assert_eq!(mode(&dir), 0o700);
        for file in ["contacts.z5", KEY, LOCK] {
            assert_eq!(mode(dir.join(file)), 0o600, "{file}");
        }
    }

    #[test]
    fn an_empty_directory_that_is_open_to_others_is_closed_without_a_word() {
        let folder = folder();
        chmod(folder.path(), 0o755);
        let store = DirStore::open(folder.path()).unwrap();
        assert_eq!((mode(folder.path()), store.notices()), (0o700, vec![]));
    }

    #[test]
    fn what_others_could_read_is_mended_and_told() {
        let folder = folder();
        DirStore::open(folder.path()).unwrap().write(Kind::Licence, b"licence").unwrap();
        chmod(folder.path(), 0o750);
        chmod(folder.path().join(KEY), 0o644);
        let store = DirStore::open(folder.path()).unwrap();
        let told: Vec<String> = store.notices().iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("mode 0750"), "{told:?}");
        assert!(told[1].contains("z5-store.key (mode 0644)"), "{told:?}");
        assert_eq!((mode(folder.path()), mode(folder.path().join(KEY))), (0o700, 0o600));
        assert_eq!(store.read(Kind::Licence).unwrap().unwrap(), b"licence");
    }

    #[test]
    fn a_link_in_the_place_of_a_record_is_refused() {
        let folder = folder();
        drop(DirStore::open(folder.path()).unwrap());
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, b"z5-store 1 licence\n").unwrap();
        symlink(&elsewhere, folder.path().join("licence.z5")).unwrap();
        let error = DirStore::open(folder.path()).unwrap_err();
        assert_eq!(error.code(), "store.permissions");
        assert!(error.to_string().contains("a link to somewhere else"), "{error}");
    }
}
