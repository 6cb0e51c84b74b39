//! What guards count.

use std::time::Duration;

use jwt_revoke_core::{
    Denied, Guard,
    guard::{Consistency, Outage, Target},
    revocation::{Cutoff, Shard},
    session::{Grant, Sessions},
    store::{EmbeddedStore, Lookup, StoreError},
    verify::{Algorithm, SigningKey},
};
use jwt_revoke_tests::controlled_store::{ControlledStore, Mood};

use crate::{AUDIENCE, ISSUER, Recorded, issuer};

const CHECKS: &str = "jwt_revoke_checks_total";
const LOOKUPS: &str = "jwt_revoke_token_cache_lookups_total";
const VERIFY: &str = "jwt_revoke_verify_seconds";

/// How many checks took this path to this outcome.
#[track_caller]
fn checks(recorded: &Recorded, path: &str, outcome: &str) -> u64 {
    recorded.count(CHECKS, &[("path", path), ("outcome", outcome)])
}

#[track_caller]
fn all_checks(recorded: &Recorded) -> u64 {
    recorded.count(CHECKS, &[])
}

#[tokio::test]
async fn checks_of_an_embedded_store_are_answered_from_memory() {
    let recorded = Recorded::new();
    let issuer = issuer();
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    guard.ready().await.unwrap();
    let issued = issuer.issue(&guard, "alice", &Grant::new()).await.unwrap();
    for _ in 0..3 {
        guard.check(issued.token()).await.unwrap();
    }
    assert_eq!(checks(&recorded, "memory", "allowed"), 3);
    guard.revoke(Target::subject("alice")).await.unwrap();
    guard.check(issued.token()).await.unwrap_err();
    assert_eq!(checks(&recorded, "memory", "revoked"), 1);
    guard.check("no token").await.unwrap_err();
    assert_eq!(checks(&recorded, "verify", "invalid"), 1);
    assert_eq!(all_checks(&recorded), 5);

    assert_eq!(recorded.count(LOOKUPS, &[("result", "hit")]), 3);
    assert_eq!(recorded.count(LOOKUPS, &[("result", "miss")]), 2);
    let took = recorded.all(VERIFY, &[]);
    assert_eq!(
        took.len(),
        2,
        "once for each token that was not in the cache"
    );
    assert!(
        took.iter().all(|seconds| *seconds > 0.0 && *seconds < 20.0),
        "{took:?}"
    );

    guard.record_metrics();
    let stats = guard.cache_stats();
    assert_eq!(recorded.gauge("jwt_revoke_token_cache_entries", &[]), 1.0);
    guard.record_metrics();
    assert_eq!(
        recorded.gauge("jwt_revoke_token_cache_bytes", &[]),
        stats.bytes as f64
    );
    guard.record_metrics();
    let store = [("store", "embedded store in memory")];
    assert_eq!(recorded.gauge("jwt_revoke_embedded_entries", &store), 1.0);
    guard.record_metrics();
    // An entry takes more than its digest.
    assert!(recorded.gauge("jwt_revoke_embedded_bytes", &store) > 16.0);
    assert_eq!(recorded.gauge("jwt_revoke_embedded_sessions", &store), 0.0);
    assert_eq!(
        recorded.gauge("jwt_revoke_embedded_waiting_writes", &store),
        0.0
    );
}

#[tokio::test]
async fn an_embedded_store_answers_from_memory_whatever_consistency_is_asked_of_it() {
    let recorded = Recorded::new();
    let issuer = issuer();
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    guard.ready().await.unwrap();
    let issued = issuer.issue(&guard, "alice", &Grant::new()).await.unwrap();
    let mirror = Consistency::Mirror {
        max_staleness: Duration::from_secs(1),
    };
    let handles = [mirror, Consistency::Strict, Consistency::Fenced];
    for (before, consistency) in handles.into_iter().enumerate() {
        let handle = guard.with_consistency(consistency);
        handle.check(issued.token()).await.unwrap();
        let counted = checks(&recorded, "memory", "allowed");
        assert_eq!(counted, before as u64 + 1, "{consistency:?}");
    }
    guard.revoke(Target::subject("alice")).await.unwrap();
    let mirrored = guard.with_consistency(mirror);
    mirrored.check(issued.token()).await.unwrap_err();
    assert_eq!(checks(&recorded, "memory", "revoked"), 1);
    assert_eq!(all_checks(&recorded), 4);
}

#[tokio::test]
async fn a_check_is_counted_by_who_decided() {
    let recorded = Recorded::new();
    let (issuer, store) = (issuer(), ControlledStore::new());
    let guard = Guard::new(issuer.verifier(), store.clone());
    guard.ready().await.unwrap();
    let token = async |subject: &str| {
        let issued = issuer.issue(&guard, subject, &Grant::new()).await.unwrap();
        issued.token().to_owned()
    };
    let (alice, bob) = (token("alice").await, token("bob").await);
    guard.revoke(Target::subject("bob")).await.unwrap();

    // Waited for.
    guard.check(&alice).await.unwrap();
    guard.check(&bob).await.unwrap_err();
    assert_eq!(checks(&recorded, "store", "allowed"), 1);
    assert_eq!(checks(&recorded, "store", "revoked"), 1);

    // From a copy in this process.
    store.answer_at_once(true);
    guard.check(&alice).await.unwrap();
    guard.check(&bob).await.unwrap_err();
    assert_eq!(checks(&recorded, "replica", "allowed"), 1);
    assert_eq!(checks(&recorded, "replica", "revoked"), 1);
    store.answer_at_once(false);

    // In an outage, by policy.
    store.set(Mood::Fails);
    let denied = guard.check(&alice).await.unwrap_err();
    assert!(matches!(denied, Denied::StoreUnavailable(_)));
    assert_eq!(checks(&recorded, "policy", "unavailable"), 1);
    guard
        .with_outage(Outage::Allow)
        .check(&alice)
        .await
        .unwrap();
    assert_eq!(checks(&recorded, "policy", "allowed"), 1);

    // In an outage, by what is known all the same.
    let fails_knowing = |cutoff| {
        store.fail_with(move || {
            let failed = StoreError::TimedOut {
                store: "controlled".into(),
                bound: Duration::ZERO,
            };
            failed.knowing(Lookup::new(Shard::FIRST, &[]).cutoffs([(0, cutoff)]))
        });
    };
    fails_knowing(Cutoff::Forever);
    guard.check(&bob).await.unwrap_err();
    assert_eq!(checks(&recorded, "replica", "revoked"), 2);
    // What is known does not cover this one.
    fails_knowing(Cutoff::At(jwt_revoke_core::Timestamp::EPOCH));
    guard.check(&alice).await.unwrap_err();
    assert_eq!(checks(&recorded, "policy", "unavailable"), 2);
    assert_eq!(all_checks(&recorded), 8);
}

#[tokio::test]
async fn guards_are_told_apart_by_their_names_and_count_together_without() {
    let recorded = Recorded::new();
    let issuer = issuer();
    let store = EmbeddedStore::in_memory();
    let named = |name: &str| {
        Guard::builder(issuer.verifier(), store.clone())
            .with_name(name)
            .build()
    };
    let unnamed = || Guard::new(issuer.verifier(), store.clone());
    let guards = [named("api"), named("admin"), unnamed(), unnamed()];
    let issued = issuer
        .issue(&guards[0], "alice", &Grant::new())
        .await
        .unwrap();
    for guard in &guards {
        guard.ready().await.unwrap();
        // All handles of a guard are one.
        guard.strict().check(issued.token()).await.unwrap();
    }
    let of = |guard| recorded.count(CHECKS, &[("guard", guard)]);
    assert_eq!((of("api"), of("admin"), of("default")), (1, 1, 2));
    assert_eq!(guards[0].name(), "api");
}

#[tokio::test]
async fn without_a_recorder_nothing_happens() {
    let issuer = issuer();
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    let issued = issuer.issue(&guard, "alice", &Grant::new()).await.unwrap();
    guard.check(issued.token()).await.unwrap();
    guard.record_metrics();
}

#[tokio::test]
async fn refused_tokens_are_counted_by_kind_and_reason() {
    let recorded = Recorded::new();
    let of = |kind, reason| {
        recorded.count(
            "jwt_revoke_refused_tokens_total",
            &[("guard", "default"), ("kind", kind), ("reason", reason)],
        )
    };
    let issuer = issuer();
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    let sessions = Sessions::new(&guard, issuer.clone());
    let attempt = sessions.begin().await.unwrap();
    let pair = sessions
        .login(attempt, "alice", &Grant::new())
        .await
        .unwrap();
    let stranger = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let claims = serde_json::json!({"iss": ISSUER, "aud": AUDIENCE});
    for _ in 0..3 {
        let token = stranger.sign("at+jwt", &claims).unwrap();
        guard.check(&token).await.unwrap_err();
    }
    guard.check("no token").await.unwrap_err();
    guard.check(pair.refresh_token()).await.unwrap_err();
    let own = issuer.key().sign("at+jwt", &claims).unwrap();
    guard.check(&own).await.unwrap_err();
    sessions
        .refresh(pair.access_token(), None)
        .await
        .unwrap_err();
    assert_eq!(of("access", "unknown_key"), 3);
    assert_eq!(of("access", "not_compact"), 1);
    assert_eq!(of("access", "other_type"), 1);
    assert_eq!(of("access", "missing_claim"), 1);
    assert_eq!(of("refresh", "other_type"), 1);
    assert_eq!(
        recorded.count("jwt_revoke_refused_tokens_total", &[]),
        7,
        "each once"
    );
    // A revoked token is a genuine one.
    guard.revoke(Target::subject("alice")).await.unwrap();
    guard.check(pair.access_token()).await.unwrap_err();
    assert_eq!(recorded.count("jwt_revoke_refused_tokens_total", &[]), 7);
}
