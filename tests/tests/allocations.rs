//! What checks take from the heap. A program of its own, since its allocator counts.

#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::hint::black_box;

use allocation_counter::{AllocationInfo, measure};
use futures::executor::block_on;
use jwt_revoke_core::{
    Access, Clock as _, Denied, Guard, Issuer, SystemClock, Verifier,
    guard::{Checked, Outage, Target},
    session::Grant,
    store::{AnyStore, EmbeddedStore},
    verify::{Algorithm, SigningKey},
};
use jwt_revoke_tests::told_store::ToldStore;
use metrics_util::debugging::DebuggingRecorder;
use serde_json::json;

const ISSUER: &str = "https://auth.example.com";
const AUDIENCE: &str = "api";

fn now(checked: Checked) -> Result<Access, Denied> {
    match checked {
        Checked::Now(decision) => decision,
        Checked::Later(_) => panic!("the store answers at once"),
    }
}

fn issuer() -> Issuer {
    Issuer::new(
        SigningKey::generate(Algorithm::ES256).unwrap(),
        ISSUER,
        AUDIENCE,
    )
}

fn stores() -> [AnyStore; 2] {
    [
        EmbeddedStore::in_memory().into(),
        ToldStore::default().into(),
    ]
}

/// As in production: metrics are recorded, and spans are not.
fn observed<T>(test: impl FnOnce() -> T) -> T {
    let logs = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(std::io::sink)
        .finish();
    let recorder = DebuggingRecorder::new();
    let counted =
        metrics::with_local_recorder(&recorder, || tracing::subscriber::with_default(logs, test));
    let series = recorder.snapshotter().snapshot().into_vec();
    assert!(!series.is_empty(), "nothing was recorded");
    counted
}

#[test]
fn a_warm_check_allocates_nothing() {
    observed(warm_checks_allocate_nothing);
}

#[test]
fn a_warm_check_that_nobody_observes_allocates_nothing() {
    warm_checks_allocate_nothing();
}

fn warm_checks_allocate_nothing() {
    for store in stores() {
        let issuer = issuer();
        let guard = Guard::new(issuer.verifier(), store);
        block_on(guard.ready()).unwrap();
        let issued = block_on(issuer.issue(&guard, "alice", &Grant::new())).unwrap();
        let cold = measure(|| drop(black_box(now(guard.check(issued.token())).unwrap())));
        assert!(cold.count_total > 0, "nothing is counted");
        let handles = [
            guard.clone(),
            guard.strict(),
            guard.with_outage(Outage::Allow),
        ];
        let warm = measure(|| {
            for guard in &handles {
                for _ in 0..1000 {
                    let access = now(guard.check(black_box(issued.token()))).unwrap();
                    black_box(access.clone().subject());
                    black_box(guard.accepts(&access));
                }
            }
            black_box(guard.cache_stats());
        });
        assert_eq!(warm, AllocationInfo::default());
        assert_eq!(guard.cache_stats().hits, 3000);
    }
}

#[test]
fn the_claims_of_a_warm_token_are_read_without_allocating() {
    let issuer = issuer();
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    block_on(guard.ready()).unwrap();
    let issued = block_on(issuer.issue(&guard, "alice", &Grant::new())).unwrap();
    let claims = || {
        now(guard.check(issued.token()))
            .unwrap()
            .claims::<serde_json::Value>()
    };
    claims().unwrap();
    assert_eq!(
        measure(|| drop(black_box(claims()))),
        AllocationInfo::default()
    );
}

#[test]
fn refusing_a_warm_token_that_is_revoked_allocates_nothing() {
    observed(refusing_allocates_nothing);
}

fn refusing_allocates_nothing() {
    let issuer = issuer();
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    block_on(guard.ready()).unwrap();
    let issued = block_on(issuer.issue(&guard, "alice", &Grant::new())).unwrap();
    let access = now(guard.check(issued.token())).unwrap();
    block_on(guard.revoke(Target::logout(&access))).unwrap();
    let refused = measure(|| {
        let denied = now(guard.check(issued.token())).unwrap_err();
        assert!(matches!(black_box(denied), Denied::Revoked { .. }));
    });
    assert_eq!(refused, AllocationInfo::default());
}

/// What many distinct tokens, each with so many bytes of its own claims, leave on the heap in a guard
/// whose cache may take `limit`, and how many of them are in the cache.
fn left_by_a_flood(limit: usize, count: usize, own: &str) -> (u64, usize) {
    let key = SigningKey::generate(Algorithm::HS256).unwrap();
    let verifier = Verifier::new(key.verification_key(), ISSUER, AUDIENCE);
    let guard = Guard::builder(verifier, ToldStore::default())
        .with_token_cache(limit)
        .build();
    block_on(guard.ready()).unwrap();
    let issued = SystemClock::new().now().whole_seconds();
    let left = measure(|| {
        for n in 0..count {
            let claims = json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": format!("user-{n}"), "jti": format!("{n}"),
                "sid": format!("session-{n}"), "client_id": "web", "scope": "read write",
                "iat": issued, "exp": issued + 3600, "own": own,
            });
            let token = key.sign("at+jwt", &claims).unwrap();
            let access = now(guard.check(&token)).unwrap();
            drop(
                access
                    .claims::<serde_json::Map<String, serde_json::Value>>()
                    .unwrap(),
            );
        }
    });
    let left = u64::try_from(left.bytes_current).unwrap();
    (left, guard.cache_stats().entries)
}

#[test]
fn r10_a_flood_of_tokens_takes_no_more_of_the_heap_than_the_cache_may() {
    for own in ["", &"x".repeat(300), &"x".repeat(2_000)] {
        for limit in [256 * 1024, 2 * 1024 * 1024] {
            let (left, entries) = left_by_a_flood(limit, limit / 1024, own);
            let context = format!("{left} B of {limit} for {entries} tokens");
            assert!(left <= limit as u64, "{context}");
            // And it is of use.
            assert!(
                entries as u64 > limit as u64 / (3_000 + 6 * own.len() as u64),
                "{context}"
            );
        }
    }
}
