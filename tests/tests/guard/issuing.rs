//! Logins against revocations.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jwt_revoke_core::{
    Clock, FakeClock, Guard, Issuer,
    guard::Target,
    revocation::{Cutoffs, Dimension, Shard},
    session::{Grant, IssueError, LoginError, Sessions},
    store::{EmbeddedStore, StoreError},
};
use jwt_revoke_tests::controlled_store::{ControlledStore, Mood};
use serde_json::json;

use crate::{AUDIENCE, ISSUER, START, clock, is_admitted, key, own, tenant};

/// Our own tokens over an embedded store, all on one clock.
fn standing_still() -> (Arc<FakeClock>, Issuer, Guard) {
    let (clock, shared) = clock();
    let issuer = Issuer::new(key(), ISSUER, AUDIENCE);
    let verifier = issuer
        .verifier()
        .with_claim_dimension(tenant())
        .with_clock(Arc::clone(&shared));
    let store = EmbeddedStore::builder().with_clock(shared).in_memory();
    (clock, issuer, Guard::new(verifier, store))
}

#[tokio::test]
async fn s18_a_login_in_the_millisecond_of_a_cutoff_lives_and_what_was_before_it_is_dead() {
    let grant = Grant::new()
        .with_client("web")
        .with_claims(&json!({"tenant": ["acme", 7]}))
        .unwrap();
    for target in [
        Target::subject("alice"),
        Target::client("web"),
        Target::issuer(),
        Target::claim(&tenant(), "acme"),
        Target::claim(&tenant(), 7_i64),
    ] {
        let (clock, issuer, guard) = standing_still();
        let mut before = issuer.issue(&guard, "alice", &grant).await.unwrap();
        let mut dead = Vec::new();
        // Over and over, in one millisecond of the host.
        for round in 0..20 {
            assert!(
                is_admitted(&guard, before.token()).await,
                "{target:?} {round}"
            );
            guard.revoke(target.clone()).await.unwrap();
            let after = issuer.issue(&guard, "alice", &grant).await.unwrap();
            assert!(after.session().instant() > before.session().instant());
            dead.push(std::mem::replace(&mut before, after));
            for issued in &dead {
                assert!(!is_admitted(&guard, issued.token()).await, "{target:?}");
            }
        }
        assert_eq!(clock.now(), START);
    }
}

#[tokio::test]
async fn r12_a_login_is_good_at_once_on_a_host_whose_clock_is_behind_the_stores() {
    for ahead in [0, 1, 999, 1000, 4500, 5000] {
        let (clock, here) = clock();
        let store = Arc::new(FakeClock::new(START));
        store.advance(Duration::from_millis(ahead));
        let issuer = Issuer::new(key(), ISSUER, AUDIENCE);
        let verifier = issuer.verifier().with_clock(here);
        let guard = Guard::new(verifier, ControlledStore::with_clock(store));
        let issued = issuer.issue(&guard, "alice", &Grant::new()).await.unwrap();
        assert!(is_admitted(&guard, issued.token()).await, "{ahead} ms");
        clock.advance(Duration::from_secs(1));
        assert!(is_admitted(&guard, issued.token()).await, "{ahead} ms");
    }
}

/// A store whose host's clock can be set, and a guard on another host.
fn two_hosts() -> (Arc<FakeClock>, Issuer, Guard) {
    let (_, here) = clock();
    let there = Arc::new(FakeClock::new(START));
    let issuer = Issuer::new(key(), ISSUER, AUDIENCE);
    let verifier = issuer.verifier().with_clock(here);
    let store = EmbeddedStore::builder()
        .with_clock(Arc::clone(&there) as Arc<dyn Clock>)
        .in_memory();
    (there, issuer, Guard::new(verifier, store))
}

#[tokio::test]
async fn r71_a_login_by_a_clock_that_is_far_ahead_is_refused_and_good_when_it_is_put_right() {
    for ahead in [6, 600, 3_000, 86_400] {
        let (there, issuer, guard) = two_hosts();
        let sessions = Sessions::new(&guard, issuer.clone());
        let begun = sessions.begin().await.unwrap();
        there.advance(Duration::from_secs(ahead));
        let error = sessions.begin().await.unwrap_err();
        assert!(matches!(error, StoreError::Clock { .. }), "{error}");
        assert!(error.to_string().contains("NTP"), "{error}");
        // Nor one that began before.
        let refused = sessions.login(begun, "alice", &Grant::new()).await;
        if ahead > 60 {
            let is_clock = matches!(refused, Err(LoginError::Store(StoreError::Clock { .. })));
            assert!(is_clock, "{ahead}: {refused:?}");
        }
        // Another user signs out everywhere meanwhile.
        guard.revoke(Target::subject("bob")).await.unwrap();

        there.set(START);
        for _ in 0..2 {
            let begun = sessions.begin().await.unwrap();
            let pair = sessions.login(begun, "alice", &Grant::new()).await.unwrap();
            assert!(is_admitted(&guard, pair.access_token()).await, "{ahead}");
            // What is revoked from here on is in force.
            sessions.revoke_all("alice").await.unwrap();
            assert!(!is_admitted(&guard, pair.access_token()).await, "{ahead}");
        }
        let issued = issuer.issue(&guard, "carol", &Grant::new()).await.unwrap();
        assert!(is_admitted(&guard, issued.token()).await, "{ahead}");
        // Whoever a cutoff of the wrong clock covers is told what it is, and not that the password was wrong.
        let begun = sessions.begin().await.unwrap();
        let refused = sessions
            .login(begun, "bob", &Grant::new())
            .await
            .unwrap_err();
        let reason = jwt_revoke_core::Report(&refused).to_string();
        assert!(
            reason.contains("a clock that was ahead"),
            "{ahead}: {reason}"
        );
    }
}

#[tokio::test]
async fn r71_no_token_is_issued_that_would_be_refused() {
    let (there, issuer, guard) = two_hosts();
    for ahead in [6, 600, 86_400] {
        there.set(START.saturating_add(Duration::from_secs(ahead)));
        let refused = issuer.issue(&guard, "alice", &Grant::new()).await;
        let is_clock = matches!(refused, Err(IssueError::Store(StoreError::Clock { .. })));
        assert!(is_clock, "{ahead}: {refused:?}");
        there.set(START);
        let issued = issuer.issue(&guard, "alice", &Grant::new()).await.unwrap();
        assert!(is_admitted(&guard, issued.token()).await, "{ahead}");
    }
}

#[tokio::test]
async fn r71_a_refresh_by_a_clock_that_is_ahead_hands_out_tokens_that_work() {
    let (there, issuer, guard) = two_hosts();
    let sessions = Sessions::new(&guard, issuer).with_grace(Duration::ZERO);
    let begun = sessions.begin().await.unwrap();
    let mut pair = sessions.login(begun, "alice", &Grant::new()).await.unwrap();
    for ahead in [0, 60, 3_000, 0, 20, 0] {
        there.set(START.saturating_add(Duration::from_secs(ahead)));
        pair = sessions.refresh(pair.refresh_token(), None).await.unwrap();
        assert!(is_admitted(&guard, pair.access_token()).await, "{ahead}");
    }
}

#[tokio::test]
async fn a_login_under_a_revoked_key_is_refused() {
    let (_, issuer, guard) = standing_still();
    let target = Target::key(issuer.key().id().as_str());
    guard.revoke(target).await.unwrap();
    // A cutoff besides does not hide it.
    guard.revoke(Target::subject("alice")).await.unwrap();
    let refused = issuer.issue(&guard, "alice", &Grant::new()).await;
    assert!(
        matches!(refused, Err(IssueError::Revoked(Dimension::Key))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_store_that_does_not_answer_gives_no_token() {
    let lost = || StoreError::ShardLost {
        store: "any".to_owned(),
        shard: Shard::of_issuer("any"),
        healing: true,
        known: Cutoffs::NONE,
    };
    let (issuer, store, guard) = own();
    // Before the horizons were stated, and after.
    for moods in [&[Mood::Fails, Mood::RefusesWrites][..], &[Mood::Fails]] {
        for mood in moods {
            store.set(*mood);
            let refused = issuer.issue(&guard, "alice", &Grant::new()).await;
            assert!(matches!(refused, Err(IssueError::Store(_))), "{refused:?}");
        }
        store.set(Mood::Answers);
        issuer.issue(&guard, "alice", &Grant::new()).await.unwrap();
    }
    store.fail_with(lost);
    store.set(Mood::Fails);
    let refused = issuer.issue(&guard, "alice", &Grant::new()).await;
    assert!(matches!(refused, Err(IssueError::Store(_))), "{refused:?}");
}

#[tokio::test]
async fn a_token_that_no_verifier_would_read_is_not_issued() {
    let (issuer, _, guard) = own();
    let refused = issuer.issue(&guard, "", &Grant::new()).await;
    assert!(matches!(refused, Err(IssueError::Subject)));
    let long = "a".repeat(8 * 1024);
    let refused = issuer.issue(&guard, long.as_str(), &Grant::new()).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s6_a_login_that_races_log_out_everywhere_is_dead_or_whole() {
    let issuer = Issuer::new(key(), ISSUER, AUDIENCE);
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    let login = || async {
        let issued = issuer.issue(&guard, "alice", &Grant::new()).await;
        issued.unwrap().token().to_owned()
    };
    let mut fates = HashSet::new();
    for round in 0..1000 {
        let before = login().await;
        let revoking = {
            let guard = guard.clone();
            tokio::spawn(async move { guard.revoke(Target::subject("alice")).await })
        };
        let racing = {
            let (issuer, guard) = (issuer.clone(), guard.clone());
            tokio::spawn(async move { issuer.issue(&guard, "alice", &Grant::new()).await })
        };
        revoking.await.unwrap().unwrap();
        let after = login().await;
        let racing = racing.await.unwrap().unwrap();
        assert!(!is_admitted(&guard, &before).await, "{round}");
        assert!(is_admitted(&guard, &after).await, "{round}");
        let fate = is_admitted(&guard, racing.token()).await;
        // Whatever became of it, it stays.
        assert_eq!(is_admitted(&guard, racing.token()).await, fate, "{round}");
        fates.insert(fate);
    }
    assert!(!fates.is_empty());
}

#[tokio::test]
async fn i9_the_store_is_given_no_token() {
    let issuer = Issuer::new(key(), ISSUER, AUDIENCE);
    let store = ControlledStore::new();
    let guard = Guard::new(issuer.verifier(), store.clone());
    let issued = issuer.issue(&guard, "alice", &Grant::new()).await.unwrap();
    let access = guard.check(issued.token()).await.unwrap();
    guard.revoke(Target::logout(&access)).await.unwrap();
    let written = format!("{:?}", store.written());
    for part in issued.token().split('.') {
        assert!(!written.contains(part));
    }
}
