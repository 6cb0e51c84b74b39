//! When an access at hand need not be checked again.

use jwt_revoke_core::{
    Guard,
    guard::{Outage, Standing},
};
use jwt_revoke_tests::controlled_store::Mood;
use serde_json::json;

use crate::Foreign;

#[tokio::test]
async fn an_access_is_accepted_by_all_handles_of_its_guard_and_by_no_other() {
    let foreign = Foreign::new();
    let other = Guard::new(foreign.guard.verifier().clone(), foreign.store.clone());
    let access = foreign.access(json!({})).await;
    assert_eq!(access.standing(), Standing::Clear);
    for outage in [Outage::Deny, Outage::Allow] {
        assert!(foreign.guard.with_outage(outage).accepts(&access));
        assert!(foreign.guard.accepts(&access.clone()));
        // The same verifier and the same store make no difference.
        assert!(!other.with_outage(outage).accepts(&access));
    }
}

#[tokio::test]
async fn an_access_of_unknown_standing_is_accepted_only_where_unknown_is_allowed() {
    let foreign = Foreign::new();
    let lenient = foreign.guard.with_outage(Outage::Allow);
    foreign.store.set(Mood::Fails);
    let access = lenient.check(&foreign.token(json!({}))).await.unwrap();
    assert_eq!(access.standing(), Standing::Unknown);
    assert!(lenient.accepts(&access));
    assert!(!foreign.guard.accepts(&access));
    // It stays unknown, also once the store is back.
    foreign.store.set(Mood::Answers);
    assert!(!foreign.guard.accepts(&access));
}

#[tokio::test]
async fn an_access_that_was_judged_more_leniently_is_judged_again() {
    let foreign = Foreign::new();
    let token = foreign.token(json!({}));
    let guard = &foreign.guard;
    let handles = [guard.clone(), guard.strict(), guard.fenced()];
    for (rank, handle) in handles.iter().enumerate() {
        let access = handle.check(&token).await.unwrap();
        for (other_rank, other) in handles.iter().enumerate() {
            assert_eq!(
                other.accepts(&access),
                other_rank <= rank,
                "{rank} {other_rank}"
            );
        }
    }
}

#[tokio::test]
async fn no_guard_takes_over_the_place_of_one_that_is_gone() {
    let foreign = Foreign::new();
    let access = foreign.access(json!({})).await;
    let (verifier, store) = (foreign.guard.verifier().clone(), foreign.store.clone());
    drop(foreign);
    for _ in 0..1000 {
        let guard = Guard::new(verifier.clone(), store.clone());
        assert!(!guard.accepts(&access));
    }
}
