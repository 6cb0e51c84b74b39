//! What is kept, for how long, and what it costs.

use std::{path::Path, sync::Arc, time::Duration};

use futures::future::join_all;
use jwt_revoke_core::{
    Clock, FakeClock, Timestamp, defaults,
    revocation::{Dimension, Horizons},
    store::{EmbeddedStore, Lookup, Reach, Revocation, Store as _},
};
use jwt_revoke_tests::store_suite::{ISSUER, jti, revocation, shard};

const HOUR: Duration = Duration::from_secs(3600);
const MILLISECOND: Duration = Duration::from_millis(1);
const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn open(path: &Path, clock: &Arc<FakeClock>) -> EmbeddedStore {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    EmbeddedStore::builder()
        .with_clock(clock)
        .open(path)
        .unwrap()
}

fn is_found(store: &EmbeddedStore, entry: &Revocation) -> bool {
    let digests = [entry.digest];
    let found = store.lookup_now(&Lookup::new(shard(), &digests)).unwrap();
    found.unwrap().highest().is_some()
}

/// The horizons of a store of which nobody required others.
fn default_horizons() -> Horizons {
    Horizons::covering(
        defaults::ACCESS_LIFETIME,
        defaults::SESSION_LIFETIME,
        defaults::LEEWAY,
    )
}

#[tokio::test]
async fn r6_an_entry_stays_for_its_horizon_and_then_leaves_memory_and_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(START));
    let store = open(&path, &clock);
    let token = jti("token");
    let session = revocation(&Dimension::Session, "session", Reach::Forever);
    let written = store
        .revoke(&[token.clone(), session.clone()])
        .await
        .unwrap();

    // An hour longer than the horizon: that far may the host's clock go back.
    let gone = |horizon| written.at.saturating_add(horizon).saturating_add(HOUR);
    clock.set(gone(default_horizons().access).saturating_sub(MILLISECOND));
    assert_eq!(store.purge().await.unwrap(), 0);
    assert!(is_found(&store, &token));
    drop(store);
    let store = open(&path, &clock);
    assert_eq!(store.purge().await.unwrap(), 0);
    assert!(is_found(&store, &token));

    clock.set(gone(default_horizons().access));
    assert_eq!(store.purge().await.unwrap(), 1);
    assert!(!is_found(&store, &token));
    assert!(is_found(&store, &session));
    drop(store);
    let store = open(&path, &clock);
    assert_eq!(store.stats().entries, 1);
    assert!(is_found(&store, &session));

    clock.set(gone(default_horizons().session));
    // The writer may have been faster, since it looks at the start.
    store.purge().await.unwrap();
    assert_eq!(store.stats().entries, 0);
    drop(store);
    assert_eq!(open(&path, &clock).stats().entries, 0);
}

#[tokio::test]
async fn r12_no_step_of_the_clock_drops_an_entry_that_a_token_needs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(START));
    let store = open(&path, &clock);
    let token = jti("token");
    store.revoke(std::slice::from_ref(&token)).await.unwrap();
    // The host's clock jumps ahead by just under an hour, and everything that is due is dropped.
    clock.advance(HOUR - MILLISECOND);
    store.purge().await.unwrap();
    drop(store);
    // It is corrected while the service restarts: the token is as fresh as it was.
    clock.set(START);
    assert!(is_found(&open(&path, &clock), &token));
}

#[tokio::test]
async fn what_lapsed_while_the_store_was_closed_is_forgotten_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(START));
    let store = open(&path, &clock);
    let entries: Vec<_> = (0..10_000).map(|n| jti(&n.to_string())).collect();
    store.revoke(&entries).await.unwrap();
    assert_eq!(store.stats().entries, entries.len());
    drop(store);

    clock.advance(24 * HOUR);
    let store = open(&path, &clock);
    // The writer had begun before it took this.
    let purged = store.purge().await.unwrap();
    assert!(purged < entries.len(), "{purged}");
    assert_eq!(store.stats().entries, 0);
    // In slices, so that no write waits for all of them.
    assert!(store.stats().commits >= 3);
}

#[tokio::test]
async fn horizons_are_kept_and_only_raised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(START));
    let store = open(&path, &clock);
    let horizons = |hours: u32| Horizons::from_parts(hours * HOUR, 2 * hours * HOUR);
    store.require(horizons(2000)).await.unwrap();
    let commits = store.stats().commits;
    // Nothing to write.
    store.require(horizons(1)).await.unwrap();
    store.require(horizons(2000)).await.unwrap();
    assert_eq!(store.stats().commits, commits);
    drop(store);

    let store = open(&path, &clock);
    store.require(horizons(1)).await.unwrap();
    let entry = jti("x");
    store.revoke(std::slice::from_ref(&entry)).await.unwrap();
    clock.advance(2000 * HOUR);
    store.purge().await.unwrap();
    assert!(is_found(&store, &entry));
    clock.advance(HOUR);
    assert_eq!(store.purge().await.unwrap(), 1);
}

#[tokio::test]
async fn forever_is_renewed_when_it_is_repeated_late_in_its_life() {
    let clock = Arc::new(FakeClock::new(START));
    let store = EmbeddedStore::builder()
        .with_clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .in_memory();
    let entry = jti("x");
    let life = default_horizons().access;
    for _ in 0..5 {
        store.revoke(std::slice::from_ref(&entry)).await.unwrap();
        clock.advance(life * 3 / 4);
        store.purge().await.unwrap();
    }
    clock.advance(HOUR);
    store.purge().await.unwrap();
    assert!(is_found(&store, &entry));
    clock.advance(life);
    assert_eq!(store.purge().await.unwrap(), 1);
}

#[tokio::test]
async fn concurrent_revocations_share_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path().join("store.redb")).unwrap();
    let before = store.stats().commits;
    let entries: Vec<_> = (0..1000).map(|n| [jti(&n.to_string())]).collect();
    let answers = join_all(entries.iter().map(|entry| store.revoke(entry))).await;
    assert!(answers.iter().all(Result::is_ok));
    let commits = store.stats().commits - before;
    assert!(commits <= 250, "{commits} commits for 1000 revocations");
}

#[tokio::test]
async fn r10_repeating_a_revocation_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::new(START));
    let store = open(&folder.path().join("store.redb"), &clock);
    let entries = [
        jti("x"),
        revocation(&Dimension::Subject, "alice", Reach::At(START)),
    ];
    store.revoke(&entries).await.unwrap();
    let before = store.stats();
    for _ in 0..100 {
        store.revoke(&entries).await.unwrap();
    }
    assert_eq!(store.stats(), before);
    assert_eq!(store.audit(10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn people_read_what_was_revoked_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(START));
    let store = open(&path, &clock);
    store.revoke(&[jti("a"), jti("b")]).await.unwrap();
    clock.advance(HOUR);
    let banned = revocation(&Dimension::Subject, "mallory", Reach::Forever)
        .with_audit(Some("fraud\n\u{1b}[31m".into()), Some("admin".into()));
    store.revoke(&[banned]).await.unwrap();
    drop(store);

    let store = open(&path, &clock);
    let entries = store.audit(2).await.unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].at, START.saturating_add(HOUR));
    assert_eq!(&*entries[0].dimension, "subject");
    assert_eq!(&*entries[0].issuer, ISSUER);
    assert_eq!(&*entries[0].value, "mallory");
    assert_eq!(entries[0].cause.as_deref(), Some("fraud\n\u{1b}[31m"));
    assert_eq!(entries[0].actor.as_deref(), Some("admin"));
    assert_eq!(&*entries[1].value, "b");
    assert_eq!(entries[1].cause, None);
    assert_eq!(store.audit(usize::MAX).await.unwrap().len(), 3);
}

#[tokio::test]
async fn r10_the_audit_is_bounded_in_number_and_size() {
    let store = EmbeddedStore::in_memory();
    let most = usize::try_from(defaults::AUDIT_ENTRIES).unwrap();
    let long = "ä".repeat(50_000);
    store.revoke(&[jti(&long)]).await.unwrap();
    let entries = store.audit(1).await.unwrap();
    assert!(long.starts_with(&*entries[0].value));
    assert!(entries[0].value.len() <= defaults::AUDIT_TEXT_BYTES);

    let flood: Vec<_> = (0..most + 500).map(|n| jti(&n.to_string())).collect();
    for batch in flood.chunks(3000) {
        store.revoke(batch).await.unwrap();
    }
    let entries = store.audit(usize::MAX).await.unwrap();
    assert_eq!(entries.len(), most);
    assert_eq!(&*entries[0].value, (most + 499).to_string().as_str());
    assert_eq!(&*entries[most - 1].value, "500");
}

#[tokio::test]
async fn i8_looking_for_what_is_not_there_stores_nothing() {
    let store = EmbeddedStore::in_memory();
    let before = store.stats();
    for n in 0..10_000 {
        assert!(!is_found(&store, &jti(&n.to_string())));
    }
    assert_eq!(store.stats(), before);
}
