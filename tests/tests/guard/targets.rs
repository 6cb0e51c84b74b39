//! What a target means: errors, placement, and how far a cutoff reaches.

use std::time::Duration;

use jwt_revoke_core::{
    Timestamp, defaults,
    guard::{RevokeError, Target},
    revocation::{ClaimName, Dimension, Placement, Shard},
    session::Grant,
    store::{Reach, StoreError},
    verify::Verifier,
};
use jwt_revoke_tests::controlled_store::Mood;
use serde_json::json;

use crate::{Foreign, ISSUER, START, is_admitted, own, tenant};

#[tokio::test]
async fn a_claim_that_the_verifier_does_not_name_is_an_error() {
    let foreign = Foreign::new();
    let team = ClaimName::new("team").unwrap();
    let error = foreign
        .guard
        .revoke(Target::claim(&team, "red"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, RevokeError::UnknownClaim(name) if **name == *"team"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_wrong_target_in_a_batch_fails_before_anything_is_written() {
    let foreign = Foreign::new();
    let token = foreign.token(json!({}));
    let team = ClaimName::new("team").unwrap();
    let targets = [Target::subject("alice"), Target::claim(&team, "red")];
    assert!(foreign.guard.revoke_all(&targets).await.is_err());
    assert!(foreign.store.written().is_empty());
    assert!(foreign.is_admitted(&token).await);
}

#[tokio::test]
async fn s36_a_mistyped_issuer_is_an_error_and_nothing_is_written() {
    let foreign = Foreign::new();
    for target in [Target::subject("alice"), Target::jti("j"), Target::issuer()] {
        let error = foreign
            .guard
            .revoke(target.issued_by("https://b.example/"))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, RevokeError::UnknownIssuer(name) if **name == *"https://b.example/"),
            "{error:?}"
        );
    }
    assert!(foreign.store.written().is_empty());
}

#[tokio::test]
async fn where_any_issuer_is_accepted_the_target_must_say_which() {
    let foreign = Foreign::with(Verifier::allow_any_issuer);
    let access = foreign.access(json!({})).await;
    for target in [
        Target::jti("j"),
        Target::session("s"),
        Target::subject("alice"),
        Target::client("web"),
        Target::key("k"),
        Target::issuer(),
        Target::claim(&tenant(), "acme"),
    ] {
        let error = foreign.guard.revoke(target.clone()).await.unwrap_err();
        assert!(matches!(error, RevokeError::NoIssuer), "{error:?}");
        let named = target.issued_by("https://b.example");
        foreign.guard.revoke(named).await.unwrap();
    }
    // A token says it itself.
    foreign.guard.revoke(Target::logout(&access)).await.unwrap();
    foreign.guard.revoke(Target::token(&access)).await.unwrap();
}

#[tokio::test]
async fn an_empty_value_is_an_error() {
    let foreign = Foreign::new();
    for target in [
        Target::jti(""),
        Target::session(""),
        Target::subject(""),
        Target::client(""),
        Target::key(""),
    ] {
        let error = foreign.guard.revoke(target).await.unwrap_err();
        assert!(matches!(error, RevokeError::EmptyValue), "{error:?}");
    }
    assert!(foreign.store.written().is_empty());
}

#[tokio::test]
async fn a_token_with_nothing_to_revoke_it_by_is_an_error() {
    let foreign = Foreign::with(Verifier::allow_missing_jti);
    let bare = foreign.access(json!({"jti": null, "sid": null})).await;
    let in_session = foreign.access(json!({"jti": null})).await;
    for target in [
        Target::token(&bare),
        Target::logout(&bare),
        Target::token(&in_session),
    ] {
        let error = foreign.guard.revoke(target).await.unwrap_err();
        assert!(
            matches!(error, RevokeError::NoValue(Dimension::Jti)),
            "{error:?}"
        );
    }
    foreign
        .guard
        .revoke(Target::logout(&in_session))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_logout_ends_the_session_or_the_one_token_that_has_none() {
    let foreign = Foreign::new();
    let one = foreign.access(json!({})).await;
    foreign.guard.revoke(Target::logout(&one)).await.unwrap();
    let sibling = foreign.token(json!({"jti": "j2"}));
    let device = foreign.token(json!({"sid": "s2"}));
    assert!(!foreign.is_admitted(&sibling).await);
    // The `jti` itself was not revoked: it is the session that ended.
    assert!(foreign.is_admitted(&device).await);

    let lone = foreign.access(json!({"sid": null, "jti": "l1"})).await;
    foreign.guard.revoke(Target::logout(&lone)).await.unwrap();
    let again = foreign.token(json!({"sid": null, "jti": "l1"}));
    let next = foreign.token(json!({"sid": null, "jti": "l2"}));
    assert!(!foreign.is_admitted(&again).await);
    assert!(foreign.is_admitted(&next).await);
}

#[tokio::test]
async fn a_revoked_token_takes_no_other_of_its_session_along() {
    let foreign = Foreign::new();
    let one = foreign.access(json!({})).await;
    foreign.guard.revoke(Target::token(&one)).await.unwrap();
    assert!(!foreign.is_admitted(&foreign.token(json!({}))).await);
    let sibling = foreign.token(json!({"jti": "j2"}));
    assert!(foreign.is_admitted(&sibling).await);
}

#[tokio::test]
async fn an_entry_lies_where_the_tokens_it_stops_look_for_it() {
    let foreign = Foreign::new();
    let access = foreign.access(json!({})).await;
    let one = Placement::One(Shard::of_subject(ISSUER, &"alice".into()));
    let cases = [
        (Target::token(&access), one),
        (Target::logout(&access), one),
        (Target::subject("alice"), one),
        (Target::jti("x").of("alice"), one),
        (Target::session("x").of("alice"), one),
        (Target::jti("x"), Placement::Wide),
        (Target::session("x"), Placement::Wide),
        (Target::client("x"), Placement::Wide),
        (Target::key("x"), Placement::Wide),
        (Target::issuer(), Placement::Wide),
        (Target::claim(&tenant(), "x"), Placement::Wide),
        // Tokens of many users have the value, whoever is named.
        (Target::client("x").of("alice"), Placement::Wide),
    ];
    for (target, placement) in cases {
        foreign.guard.revoke(target.clone()).await.unwrap();
        let written = foreign.store.written().pop().unwrap();
        assert_eq!(written.placement, placement, "{target:?}");
    }
}

#[tokio::test]
async fn what_names_a_session_a_token_or_a_key_is_for_ever_and_the_rest_up_to_an_instant() {
    let foreign = Foreign::new();
    let instant = START.saturating_sub(Duration::from_secs(60));
    for (target, reach) in [
        (Target::jti("x"), Reach::Forever),
        (Target::session("x"), Reach::Forever),
        (Target::key("x"), Reach::Forever),
        (Target::subject("x"), Reach::At(instant)),
        (Target::client("x"), Reach::At(instant)),
        (Target::issuer(), Reach::At(instant)),
        (Target::claim(&tenant(), "x"), Reach::At(instant)),
    ] {
        foreign
            .guard
            .revoke(target.clone().up_to(instant))
            .await
            .unwrap();
        assert_eq!(
            foreign.store.written().pop().unwrap().reach,
            reach,
            "{target:?}"
        );
    }
}

#[tokio::test]
async fn up_to_an_instant_spares_what_was_born_after_it() {
    let foreign = Foreign::new();
    let before = foreign.token(json!({}));
    foreign.clock.advance(Duration::from_secs(1));
    let after = foreign.token(json!({}));
    let target = Target::subject("alice").up_to(START);
    foreign.guard.revoke(target).await.unwrap();
    assert!(!foreign.is_admitted(&before).await);
    assert!(foreign.is_admitted(&after).await);
}

#[tokio::test]
async fn cause_and_actor_reach_the_audit_stream() {
    let foreign = Foreign::new();
    let target = Target::subject("alice").because("chargeback").by("support");
    foreign.guard.revoke(target).await.unwrap();
    let audit = foreign.store.written().pop().unwrap().audit;
    assert_eq!(audit.cause.as_deref(), Some("chargeback"));
    assert_eq!(audit.actor.as_deref(), Some("support"));
    assert_eq!(
        (&*audit.issuer, &*audit.value, audit.dimension),
        (ISSUER, "alice", Dimension::Subject)
    );
}

#[tokio::test]
async fn a_cutoff_of_our_making_reaches_over_the_skew_of_a_foreign_clock() {
    for target in [
        Target::subject("alice"),
        Target::client("web"),
        Target::issuer(),
        Target::claim(&tenant(), "acme"),
    ] {
        let foreign = Foreign::new();
        foreign.guard.revoke(target.clone()).await.unwrap();
        let skew = defaults::FOREIGN_SKEW;
        assert_eq!(skew, Duration::from_secs(5));
        foreign.clock.advance(skew);
        let within = foreign.token(json!({"tenant": "acme"}));
        assert!(!foreign.is_admitted(&within).await, "{target:?}");
        foreign.clock.advance(Duration::from_secs(1));
        let beyond = foreign.token(json!({"tenant": "acme"}));
        assert!(foreign.is_admitted(&beyond).await, "{target:?}");
    }
}

#[tokio::test]
async fn a_cutoff_for_our_own_tokens_reaches_no_further_than_now() {
    let (issuer, store, guard) = own();
    guard.revoke(Target::subject("alice")).await.unwrap();
    let reach = store.written().pop().unwrap().reach;
    let ahead = Duration::ZERO;
    assert_eq!(reach, Reach::Now { ahead });
    let issued = issuer.issue(&guard, "alice", &Grant::new()).await.unwrap();
    assert!(is_admitted(&guard, issued.token()).await);
}

#[tokio::test]
async fn r12_a_cutoff_too_far_ahead_is_refused() {
    let foreign = Foreign::new();
    let token = foreign.token(json!({}));
    let furthest = START.saturating_add(defaults::MAX_CUTOFF_AHEAD);
    let beyond = furthest.saturating_add(Duration::from_millis(1));
    for instant in [beyond, Timestamp::from_millis(u64::MAX)] {
        for target in [Target::subject("alice"), Target::issuer()] {
            let error = foreign
                .guard
                .revoke(target.up_to(instant))
                .await
                .unwrap_err();
            assert!(
                matches!(error, RevokeError::Store(StoreError::CutoffAhead { .. })),
                "{error:?}"
            );
        }
    }
    assert!(foreign.store.written().is_empty());
    assert!(foreign.is_admitted(&token).await);
    let target = Target::subject("alice").up_to(furthest);
    foreign.guard.revoke(target).await.unwrap();
    assert!(!foreign.is_admitted(&token).await);
}

#[tokio::test]
async fn r2_a_revocation_that_the_store_refuses_is_an_error_and_can_be_repeated() {
    let foreign = Foreign::new();
    let token = foreign.token(json!({}));
    assert!(foreign.is_admitted(&token).await);
    foreign.store.set(Mood::RefusesWrites);
    let error = foreign.guard.revoke(Target::subject("alice")).await;
    assert!(matches!(error, Err(RevokeError::Store(_))), "{error:?}");
    assert!(foreign.is_admitted(&token).await);
    foreign.store.set(Mood::Answers);
    foreign
        .guard
        .revoke(Target::subject("alice"))
        .await
        .unwrap();
    assert!(!foreign.is_admitted(&token).await);
}
