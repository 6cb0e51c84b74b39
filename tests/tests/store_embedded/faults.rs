//! What may stand in the way of opening a store, and what is said then.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use jwt_revoke_core::{
    Timestamp,
    revocation::Dimension,
    store::{AnyStore, EmbeddedStore, Lookup, Reach, Store as _, StoreError},
};
use jwt_revoke_tests::store_suite::{jti, revocation, shard};

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
    // Nothing but the store and its witness is left of making it.
    assert_eq!(mode(&below.join(".revocations.redb.last")), 0o600);
    assert_eq!(fs::read_dir(&below).unwrap().count(), 2);
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
    assert_eq!(
        left,
        [".revocations.redb.last", "precious.new", "revocations.redb"]
    );
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

/// Repeats `ask` until it has an answer.
async fn at_last<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < limit, "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn r77_a_file_that_is_replaced_or_removed_under_the_process_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, away) = (folder.path().join("store.redb"), folder.path().join("away"));
    let backup = folder.path().join("backup");
    for replaced in [false, true] {
        let store = EmbeddedStore::open(&path).unwrap();
        store.revoke(&[jti("before")]).await.unwrap();
        fs::copy(&path, &backup).unwrap();
        fs::rename(&path, &away).unwrap();
        if replaced {
            fs::copy(&backup, &path).unwrap();
        }
        let word = if replaced {
            "was replaced"
        } else {
            "was removed"
        };
        let error = store.revoke(&[jti("lost")]).await.unwrap_err();
        assert_says(
            &error.to_string(),
            &path,
            &[word, "restart", "docs/backup.md"],
        );
        // Nor is it ready, and what it does not know is unknown.
        store.ready().await.unwrap_err();
        let unknown = [jti("never revoked").digest];
        let found = store.lookup_now(&Lookup::new(shard(), &unknown)).unwrap();
        found.unwrap_err();
        // Put back, it goes on.
        fs::rename(&away, &path).unwrap();
        let entry = [jti("after")];
        at_last(async || store.revoke(&entry).await.ok()).await;
        store.ready().await.unwrap();
        drop(store);
        let store = EmbeddedStore::open(&path).unwrap();
        for name in ["before", "after"] {
            let digests = [jti(name).digest];
            let found = store.lookup_now(&Lookup::new(shard(), &digests)).unwrap();
            assert!(found.unwrap().highest().is_some(), "{name}");
        }
    }
}

#[tokio::test]
async fn r77_a_removed_file_is_noticed_also_while_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    store.ready().await.unwrap();
    fs::remove_file(&path).unwrap();
    let error = at_last(async || store.ready().await.err()).await;
    assert_says(&error.to_string(), &path, &["was removed"]);
    drop(store);
    // A new store is made, as at a first start; the log tells that there was another.
    let store = EmbeddedStore::open(&path).unwrap();
    store.revoke(&[jti("x")]).await.unwrap();
}

#[tokio::test]
async fn r77_what_another_program_wrote_into_the_file_is_replaced_by_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    let older = fs::read(&path).unwrap();
    let entries = [
        jti("out"),
        revocation(
            &Dimension::Subject,
            "alice",
            Reach::At(Timestamp::from_seconds(1)),
        ),
    ];
    store.revoke(&entries).await.unwrap();
    // An operator copies an older file over the one in use.
    fs::write(&path, &older).unwrap();
    at_last(async || store.revoke(&[jti("after")]).await.ok()).await;
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    for entry in &entries {
        let digests = [entry.digest];
        let found = store.lookup_now(&Lookup::new(shard(), &digests)).unwrap();
        assert!(found.unwrap().highest().is_some());
    }
}

#[tokio::test]
async fn r75_an_older_copy_opens_only_as_a_restored_one() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (
        folder.path().join("store.redb"),
        folder.path().join("backup"),
    );
    drop(EmbeddedStore::open(&path).unwrap());
    fs::copy(&path, &backup).unwrap();
    let store = EmbeddedStore::open(&path).unwrap();
    store.revoke(&[jti("out")]).await.unwrap();
    drop(store);
    fs::copy(&backup, &path).unwrap();
    refusal(
        &path,
        &["older copy", "transactions are missing", "docs/backup.md"],
    );
    drop(EmbeddedStore::builder().restored().open(&path).unwrap());
    // From then on it is the store that was here last.
    drop(EmbeddedStore::open(&path).unwrap());

    let other = folder.path().join("other.redb");
    drop(EmbeddedStore::open(&other).unwrap());
    fs::copy(&other, &path).unwrap();
    refusal(&path, &["not the store that was here last"]);
}

/// The store of a child process may not grow for a while, as on a full disk.
#[test]
fn r73_a_store_that_could_not_be_written_is_in_service_again_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    // The signal that the limit sends would end it.
    let command = child::command_after("trap '' XFSZ", Job::Persist, &path, "x");
    let mut child = Running::start(command);
    let mut acknowledged = vec![child.until("ack")];
    for _ in 0..2 {
        child.limit_files(Some(fs::metadata(&path).unwrap().len()));
        let reason = child.until("refused");
        assert_says(&reason, &path, &["out of service", "raise the limit"]);
        child.limit_files(None);
        acknowledged.extend((0..3).map(|_| child.until("ack")));
    }
    child.kill();
    let store = EmbeddedStore::open(&path).unwrap();
    for name in acknowledged {
        let digests = [jti(&name).digest];
        let found = store.lookup_now(&Lookup::new(shard(), &digests)).unwrap();
        assert!(found.unwrap().highest().is_some(), "{name}");
    }
}
