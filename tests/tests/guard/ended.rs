//! Open connections: when they end, and what does not end them.

use std::time::{Duration, Instant};

use jwt_revoke_core::{
    Access, Guard, defaults,
    guard::{Ended, Ending, Outage, Target},
    revocation::{Cutoff, Dimension, Shard},
    store::{Lookup, StoreError},
    verify::{KeySet, VerifyError},
};
use jwt_revoke_tests::{controlled_store::Mood, patience::PATIENCE};
use serde_json::json;
use tokio::time::timeout;

use crate::{Foreign, key};

const MILLISECOND: Duration = Duration::from_millis(1);

async fn end_of(ending: Ending) -> Ended {
    timeout(PATIENCE, ending).await.expect("it never ends")
}

/// The connection stays open while the store is asked about it several times more.
async fn goes_on(foreign: &Foreign, ending: &mut Ending) {
    let start = Instant::now();
    let seen = foreign.store.lookups();
    while foreign.store.lookups() < seen + 3 {
        if let Ok(ended) = timeout(10 * MILLISECOND, &mut *ending).await {
            panic!("it ended: {ended:?}");
        }
        assert!(start.elapsed() < PATIENCE, "nobody looks");
    }
}

async fn foreign(at_once: bool) -> (Foreign, Access) {
    let foreign = Foreign::new();
    foreign.store.answer_at_once(at_once);
    let access = foreign.access(json!({})).await;
    (foreign, access)
}

#[tokio::test]
async fn i1_an_open_connection_ends_when_its_token_is_revoked_in_any_dimension() {
    for at_once in [true, false] {
        for (target, dimension) in [
            (Target::jti("j"), Dimension::Jti),
            (Target::session("s").of("alice"), Dimension::Session),
            (Target::subject("alice"), Dimension::Subject),
        ] {
            let (foreign, access) = foreign(at_once).await;
            let mut ending = access.ended();
            goes_on(&foreign, &mut ending).await;
            foreign.guard.revoke(target).await.unwrap();
            match end_of(ending).await {
                Ended::Revoked { dimension: found } => assert_eq!(found, Some(dimension)),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_connection_outlives_what_ends_others() {
    for at_once in [true, false] {
        let (foreign, access) = foreign(at_once).await;
        let mut ending = access.ended();
        for other in [
            Target::jti("other"),
            Target::session("other").of("alice"),
            Target::subject("bob"),
        ] {
            foreign.guard.revoke(other).await.unwrap();
        }
        goes_on(&foreign, &mut ending).await;
    }
}

#[tokio::test]
async fn a_connection_ends_when_its_token_lapses_by_the_guards_clock_and_leeway() {
    let leeway = Duration::from_secs(60);
    let foreign = Foreign::with(|verifier| verifier.with_leeway(leeway));
    foreign.store.answer_at_once(true);
    let access = foreign.access(json!({})).await;
    let mut ending = access.ended();
    let left = Duration::from_secs(900) + leeway;
    foreign.clock.advance(left - MILLISECOND);
    goes_on(&foreign, &mut ending).await;
    foreign.clock.advance(MILLISECOND);
    let ended = end_of(ending).await;
    assert!(matches!(ended, Ended::Expired), "{ended:?}");
    assert_eq!(ended.close_code(), 1008);
}

#[tokio::test]
async fn a_connection_ends_when_its_key_is_removed_and_not_when_others_come_and_go() {
    let (foreign, access) = foreign(true).await;
    let verifier = foreign.guard.verifier();
    let mut ending = access.ended();
    let own = || foreign.key.verification_key();
    let with = |other| KeySet::new([other, own()]).unwrap();
    for _ in 0..2 {
        verifier.replace_keys(with(key().verification_key()));
        goes_on(&foreign, &mut ending).await;
    }
    // Between two looks it was gone; that it is back does not tell why.
    verifier.replace_keys(key().verification_key());
    verifier.replace_keys(own());
    match end_of(ending).await {
        Ended::Invalid(VerifyError::UnknownKey) => {}
        other => panic!("{other:?}"),
    }
    // One that is admitted now has that key.
    let token = foreign.token(json!({}));
    let mut ending = foreign.guard.check(&token).await.unwrap().ended();
    goes_on(&foreign, &mut ending).await;
    // The same name for another key makes it no other's.
    let namesake = key().verification_key().with_id(own().id().as_str());
    verifier.replace_keys(namesake.unwrap());
    let ended = end_of(ending).await;
    assert!(matches!(ended, Ended::Invalid(_)), "{ended:?}");
}

#[tokio::test]
async fn a_connection_keeps_no_guard_and_ends_with_the_last() {
    let (foreign, access) = foreign(true).await;
    let mut ending = access.ended();
    goes_on(&foreign, &mut ending).await;
    let Foreign { guard, store, .. } = foreign;
    drop(guard);
    assert_eq!(store.handles(), 1, "somebody keeps the guard");
    let ended = end_of(ending).await;
    assert!(matches!(ended, Ended::NoGuard), "{ended:?}");
    assert_eq!(ended.close_code(), 1001);
}

#[tokio::test]
async fn i7_a_connection_ends_once_nothing_was_known_for_the_bound() {
    for (at_once, mood) in [
        (true, Mood::Fails),
        (false, Mood::Fails),
        (false, Mood::Hangs),
    ] {
        let (foreign, access) = foreign(at_once).await;
        let mut ending = access.ended();
        goes_on(&foreign, &mut ending).await;
        foreign.store.set(mood);
        // The silence begins with the first look that finds nobody.
        goes_on(&foreign, &mut ending).await;
        foreign.clock.advance(defaults::ENDED_UNKNOWN);
        let ended = end_of(ending).await;
        assert!(matches!(ended, Ended::Unknown(_)), "{ended:?}");
        assert_eq!(ended.close_code(), 1013);
    }
}

#[tokio::test]
async fn an_outage_that_is_over_in_time_ends_no_connection() {
    let (foreign, access) = foreign(true).await;
    let mut ending = access.ended();
    for _ in 0..3 {
        foreign.store.set(Mood::Fails);
        goes_on(&foreign, &mut ending).await;
        foreign.clock.advance(defaults::ENDED_UNKNOWN / 2);
        foreign.store.set(Mood::Answers);
        goes_on(&foreign, &mut ending).await;
    }
}

#[tokio::test]
async fn an_outage_that_is_allowed_ends_only_what_is_known_to_be_revoked() {
    let (foreign, _) = foreign(true).await;
    let lenient = foreign.guard.with_outage(Outage::Allow);
    let access = lenient.check(&foreign.token(json!({}))).await.unwrap();
    let mut ending = access.ended();
    foreign.store.set(Mood::Fails);
    goes_on(&foreign, &mut ending).await;
    foreign.clock.advance(10 * defaults::ENDED_UNKNOWN);
    goes_on(&foreign, &mut ending).await;
    foreign.store.fail_with(|| {
        let silent = StoreError::Failed {
            store: "controlled".into(),
            reason: "no answer".into(),
        };
        silent.knowing(Lookup::new(Shard::FIRST, &[]).cutoffs([(0, Cutoff::Forever)]))
    });
    let ended = end_of(ending).await;
    assert!(matches!(ended, Ended::Revoked { .. }), "{ended:?}");
}

#[tokio::test]
async fn a_store_that_hangs_does_not_hide_that_the_token_lapses() {
    let (foreign, _) = foreign(false).await;
    let lenient = foreign.guard.with_outage(Outage::Allow);
    let access = lenient.check(&foreign.token(json!({}))).await.unwrap();
    let mut ending = access.ended();
    foreign.store.set(Mood::Hangs);
    goes_on(&foreign, &mut ending).await;
    foreign.clock.advance(Duration::from_secs(900));
    let ended = end_of(ending).await;
    assert!(matches!(ended, Ended::Expired), "{ended:?}");
}

#[tokio::test]
async fn a_connection_that_is_dropped_leaves_nobody_waiting() {
    let (foreign, access) = foreign(false).await;
    let handles = foreign.store.handles();
    foreign.store.set(Mood::Hangs);
    let mut endings: Vec<_> = (0..100).map(|_| access.ended()).collect();
    for ending in &mut endings {
        assert!(futures::poll!(ending).is_pending());
    }
    assert_eq!(foreign.store.waiting(), 100);
    drop(endings);
    assert_eq!(foreign.store.waiting(), 0);
    assert_eq!(foreign.store.handles(), handles);
}

#[tokio::test]
async fn an_access_of_a_lenient_handle_is_checked_again_by_a_stricter_one() {
    // Else a connection behind the stricter layer would stay open in an outage.
    let (foreign, access) = foreign(true).await;
    let strict: &Guard = &foreign.guard;
    let lenient = strict.with_outage(Outage::Allow);
    let clear = lenient.check(&foreign.token(json!({}))).await.unwrap();
    assert!(!strict.accepts(&clear));
    assert!(lenient.accepts(&clear));
    assert!(lenient.accepts(&access));
}
