//! What may stand in the way of opening a store, and what is said then.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use jwt_revoke_core::store::{AnyStore, EmbeddedStore, Store as _, StoreError};
use jwt_revoke_tests::store_suite::jti;

use crate::child::{self, Job, Running};

/// The error of opening `path`; it names the path, and has all of `words` in it.
fn refusal(path: &Path, words: &[&str]) -> StoreError {
    let error = EmbeddedStore::open(path).unwrap_err();
    assert_says(&error.to_string(), path, words);
    error
}

fn assert_says(text: &str, path: &Path, words: &[&str]) {
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn r9_a_second_process_is_told_that_the_store_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut child = Running::start(child::command(Job::Hold, &path, "x"));
    assert_eq!(child.said().unwrap().0, "opened");
    refusal(&path, &["another process", "stop the other"]);

    child.kill();
    let store = EmbeddedStore::open(&path).unwrap();
    // Also within one process, and a clone is no second opening.
    refusal(&path, &["this one a second time"]);
    let clone = store.clone();
    drop(store);
    refusal(&path, &["this one a second time"]);
    drop(clone);
    EmbeddedStore::open(&path).unwrap();
}

#[test]
fn r9_an_empty_file_is_no_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    fs::write(&path, b"").unwrap();
    refusal(&path, &["is empty", "put back a copy", "signing keys"]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

#[test]
fn r9_what_is_no_store_is_an_error_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    for content in [
        &b"x"[..],
        b"[package]\nname = \"x\"\n",
        &[0; 4096],
        &[7; 100_000],
    ] {
        fs::write(&path, content).unwrap();
        refusal(&path, &["damaged", "put back a copy", "signing keys"]);
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn r9_a_folder_or_a_file_in_the_way_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    fs::create_dir(&path).unwrap();
    refusal(&path, &["a folder has that name"]);
    refusal(
        &folder.path().join("none/store.redb"),
        &["folder does not exist", "make it"],
    );

    let file = folder.path().join("file");
    fs::write(&file, b"x").unwrap();
    let error = EmbeddedStore::open_address(&format!("file:{}", file.display())).unwrap_err();
    assert_says(
        &error.to_string(),
        &file,
        &["a file stands where its folder should be"],
    );
    let below = file.join("below");
    let error = EmbeddedStore::open_address(&format!("file:{}", below.display())).unwrap_err();
    assert_says(
        &error.to_string(),
        &below,
        &["a file stands where its folder should be"],
    );
}

#[test]
fn r9_a_store_that_may_not_be_read_and_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    let path = folder.path().join("store.redb");
    drop(EmbeddedStore::open(&path).unwrap());
    for forbidden in [0o444, 0o000] {
        set_mode(&path, forbidden);
        let command = child::command_unprivileged(&folder, Job::Hold, &path);
        let (word, text) = Running::start(command).said().unwrap();
        assert_eq!(word, "refused");
        assert_says(
            &text,
            &path,
            &["may not read and write it", "change its owner or mode"],
        );
    }
    // A folder in which nothing can be made.
    set_mode(folder.path(), 0o555);
    let new = folder.path().join("new.redb");
    let command = child::command_unprivileged(&folder, Job::Hold, &new);
    let (word, text) = Running::start(command).said().unwrap();
    assert_eq!(word, "refused");
    assert_says(
        &text,
        &new,
        &["may not read and write it", "and its folder's"],
    );
    set_mode(folder.path(), 0o755);
}

#[tokio::test]
async fn a_new_store_is_readable_by_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("a/b");
    let address = format!("file:{}", below.display());
    let store = EmbeddedStore::open_address(&address).unwrap();
    store.revoke(&[jti("x")]).await.unwrap();
    assert_eq!(mode(&below), 0o700);
    assert_eq!(mode(&below.join("revocations.redb")), 0o600);
    // Nothing but the store is left of making it.
    assert_eq!(fs::read_dir(&below).unwrap().count(), 1);
    drop(store);

    // What a process left that was killed while it made one; another name is none of our business.
    fs::write(below.join(".revocations.redb.0190.new"), b"x").unwrap();
    fs::write(below.join("precious.new"), b"x").unwrap();
    EmbeddedStore::open_address(&address).unwrap();
    let mut left: Vec<_> = fs::read_dir(&below)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["precious.new", "revocations.redb"]);
}

#[tokio::test]
async fn any_store_opens_embedded_ones_by_address() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("file:{}", folder.path().display());
    AnyStore::connect("memory:").await.unwrap();
    let store = AnyStore::connect(&address).await.unwrap();
    let path = folder.path().join("revocations.redb");
    let error = AnyStore::connect(&address).await.unwrap_err();
    assert_says(&error.to_string(), &path, &["another process"]);
    drop(store);
    AnyStore::connect(&address).await.unwrap();
    for address in ["memory:x", "file:", "file://host/x", "nothing:x", ""] {
        let error = AnyStore::connect(address).await.unwrap_err();
        assert!(matches!(error, StoreError::Address { .. }), "{error}");
    }
}
