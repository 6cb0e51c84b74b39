//! The store's clock, which no restart turns back.

use std::{fs, path::Path, sync::Arc, time::Duration};

use jwt_revoke_core::{
    Clock, FakeClock, Timestamp, defaults,
    revocation::{Cutoff, Dimension},
    store::{EmbeddedStore, Lookup, Reach, Revocation, Store as _, StoreError},
};
use jwt_revoke_tests::store_suite::{revocation, shard};

const MINUTE: Duration = Duration::from_secs(60);
const START: Timestamp = Timestamp::from_seconds(1_700_000_000);
const NOW: Reach = Reach::Now {
    ahead: Duration::ZERO,
};

fn alice() -> [Revocation; 1] {
    [revocation(&Dimension::Subject, "alice", NOW)]
}

fn try_open(path: &Path, clock: &Arc<FakeClock>) -> Result<EmbeddedStore, StoreError> {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    EmbeddedStore::builder().with_clock(clock).open(path)
}

fn open(path: &Path, clock: &Arc<FakeClock>) -> EmbeddedStore {
    try_open(path, clock).unwrap()
}

async fn now(store: &EmbeddedStore) -> Timestamp {
    store.now(shard()).await.unwrap()
}

fn cutoff(store: &EmbeddedStore) -> Cutoff {
    let digests = [alice()[0].digest];
    let found = store.lookup_now(&Lookup::new(shard(), &digests)).unwrap();
    found.unwrap().highest().unwrap()
}

#[tokio::test]
async fn r12_after_ten_minutes_back_the_store_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(START));
    let store = open(&path, &clock);
    store.revoke(&alice()).await.unwrap();
    let before = cutoff(&store);
    // A session is opened a while after the last write.
    clock.advance(3 * MINUTE);
    let born = now(&store).await;
    drop(store);

    clock.set(START.saturating_sub(10 * MINUTE));
    let store = open(&path, &clock);
    // Sessions are dated by the host's clock, and the store is in service.
    assert_eq!(now(&store).await, clock.now());
    store.ready().await.unwrap();
    assert_eq!(cutoff(&store), before);
    // Signing the user out covers that session, whatever the host's clock says.
    store.revoke(&alice()).await.unwrap();
    assert!(cutoff(&store).covers(born));

    clock.advance(14 * MINUTE);
    assert_eq!(now(&store).await, START.saturating_add(4 * MINUTE));
}

#[tokio::test]
async fn r12_an_instant_that_was_told_is_not_forgotten_in_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(START));
    let store = open(&path, &clock);
    for round in 0..20_u32 {
        // Told and not written: a session's birth. Within what is reserved, and beyond it.
        let seconds = if round % 3 == 0 { 5 } else { 1 };
        clock.advance(Duration::from_secs(seconds));
        let born = now(&store).await;
        // The file as a crash leaves it at this moment.
        let crashed = folder.path().join(format!("{round}.redb"));
        fs::copy(&path, &crashed).unwrap();
        let back = Arc::new(FakeClock::new(START.saturating_sub(10 * MINUTE)));
        let after = open(&crashed, &back);
        after.revoke(&alice()).await.unwrap();
        assert!(cutoff(&after).covers(born), "round {round}");
    }
}

#[tokio::test]
async fn r12_many_crashes_in_a_row_leave_the_store_as_close_to_its_host_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(START));
    let mut store = open(&path, &clock);
    for round in 0..100 {
        // A crash every tenth of a second.
        clock.advance(Duration::from_millis(100));
        store.revoke(&alice()).await.unwrap();
        let born = now(&store).await;
        let crashed = folder.path().join(format!("{round}.redb"));
        fs::copy(&path, &crashed).unwrap();
        path = crashed;
        store = open(&path, &clock);
        store.revoke(&alice()).await.unwrap();
        assert!(cutoff(&store).covers(born), "round {round}");
        let Cutoff::At(cutoff) = cutoff(&store) else {
            panic!("{round}");
        };
        let ahead = cutoff.saturating_since(clock.now());
        // What one process reserves, and a millisecond for each sign-out.
        assert!(ahead <= 2 * defaults::CLOCK_RESERVATION, "{ahead:?}");
    }
}

#[tokio::test]
async fn r12_while_the_host_is_behind_telling_the_time_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(START));
    drop(open(&path, &clock));
    clock.set(START.saturating_sub(10 * MINUTE));
    let store = open(&path, &clock);
    let before = store.stats().commits;
    for _ in 0..100 {
        now(&store).await;
    }
    assert_eq!(store.stats().commits, before);
}

#[tokio::test]
async fn r12_after_two_hours_back_the_store_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(START));
    drop(open(&path, &clock));

    for back in [60, 120] {
        clock.set(START.saturating_sub(back * MINUTE));
        let error = try_open(&path, &clock).unwrap_err();
        assert!(matches!(error, StoreError::Clock { .. }), "{error}");
        let shown = clock.now().to_string();
        for part in [
            path.to_str().unwrap(),
            &shown,
            &START.to_string(),
            "correct the host's clock",
        ] {
            assert!(error.to_string().contains(part), "{part} is not in {error}");
        }
    }
    // Nothing has changed by trying.
    clock.set(START.saturating_sub(59 * MINUTE));
    let store = open(&path, &clock);
    store.revoke(&alice()).await.unwrap();
    assert!(cutoff(&store) >= Cutoff::At(START));
}

#[tokio::test]
async fn a_clean_restart_leaves_the_store_at_the_time_of_its_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(START));
    let store = open(&path, &clock);
    now(&store).await;
    drop(store);
    assert_eq!(now(&open(&path, &clock)).await, START);
}

#[tokio::test]
async fn r12_while_the_clock_stands_still_logins_and_sign_outs_stay_in_order() {
    let clock = Arc::new(FakeClock::new(START));
    let store = EmbeddedStore::builder()
        .with_clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .in_memory();
    for _ in 0..100 {
        let born = now(&store).await;
        store.revoke(&alice()).await.unwrap();
        assert!(cutoff(&store).covers(born));
        assert!(!cutoff(&store).covers(now(&store).await));
    }
    // Within one process too, a clock that is set back does not take the cutoffs with it.
    let before = now(&store).await;
    clock.set(START.saturating_sub(120 * MINUTE));
    store.revoke(&alice()).await.unwrap();
    assert!(cutoff(&store).covers(before));
}

#[tokio::test]
async fn r71_a_clock_that_was_ahead_and_dated_no_session_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(START));
    let store = open(&path, &clock);
    clock.advance(50 * MINUTE);
    // What is revoked for ever has no instant, and what is looked at dates nothing.
    let forever = [revocation(&Dimension::Session, "s", Reach::Forever)];
    store.revoke(&forever).await.unwrap();
    store.ready().await.unwrap();
    clock.set(START);
    store.revoke(&alice()).await.unwrap();
    assert_eq!(cutoff(&store), Cutoff::At(START));
    let born = now(&store).await;
    assert!(!cutoff(&store).covers(born));
    assert!(born <= START.saturating_add(Duration::from_millis(1)));
    // The file forgets it too.
    drop(store);
    let store = open(&path, &clock);
    clock.advance(Duration::from_secs(10));
    store.revoke(&alice()).await.unwrap();
    assert_eq!(cutoff(&store), Cutoff::At(clock.now()));
}

#[tokio::test]
async fn telling_the_time_seldom_writes() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::new(START));
    let store = open(&folder.path().join("store.redb"), &clock);
    let before = store.stats().commits;
    for _ in 0..1000 {
        clock.advance(Duration::from_millis(10));
        now(&store).await;
    }
    // Ten seconds: each write lasts for at least one.
    let commits = store.stats().commits - before;
    assert!((1..=11).contains(&commits), "{commits}");
}
