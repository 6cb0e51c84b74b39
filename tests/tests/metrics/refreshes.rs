//! What becomes of refresh tokens, each outcome apart.

use std::{collections::BTreeSet, time::Duration};

use jwt_revoke_core::{
    Clock as _, Guard, SystemClock,
    revocation::ClaimName,
    session::{Grant, Identity, Outcome, RefreshError, Sessions, Welcome},
    store::EmbeddedStore,
    token::{ClientId, Scope},
};
use jwt_revoke_tests::told_store::ToldStore;
use serde_json::json;

use crate::{Recorded, issuer};

const REFRESHES: &str = "jwt_revoke_refreshes_total";

fn identity() -> Identity {
    let now = SystemClock::new().now();
    let later = now.saturating_add(Duration::from_secs(600));
    Identity {
        generation: 2,
        refresh: "r".into(),
        access: "a".into(),
        issued_at: now,
        access_expires_at: later,
        refresh_expires_at: later,
    }
}

#[tokio::test]
async fn each_outcome_is_counted_apart() {
    let recorded = Recorded::new();
    let (issuer, store) = (issuer(), ToldStore::default());
    let tenant = ClaimName::new("tenant").unwrap();
    let verifier = issuer.verifier().with_claim_dimension(tenant);
    let guard = Guard::new(verifier, store.clone());
    let sessions = Sessions::new(&guard, issuer);
    let attempt = sessions.begin().await.unwrap();
    let pair = sessions
        .login(attempt, "alice", &Grant::new())
        .await
        .unwrap();
    let token = pair.refresh_token();

    let mut seen = BTreeSet::new();
    let mut expect = |word: &'static str, count: u64| {
        seen.insert(word);
        let counted = recorded.count(REFRESHES, &[("guard", "default"), ("outcome", word)]);
        assert_eq!(counted, count, "{word}");
        // Each refresh counts once.
        assert_eq!(recorded.count(REFRESHES, &[]), seen.len() as u64, "{word}");
    };

    for (outcome, word) in [
        (Outcome::Rotated(identity()), "rotated"),
        (Outcome::Retried(identity()), "retried"),
        (Outcome::Recovered(identity()), "recovered"),
        (Outcome::Superseded, "superseded"),
        (Outcome::Reused, "reused"),
        (Outcome::Forked, "forked"),
        (Outcome::Ended, "ended"),
        (Outcome::Expired, "expired"),
        (Outcome::Unknown, "unknown"),
        (Outcome::Refused, "other_client"),
    ] {
        store.tell(Some(outcome));
        let _ = sessions.refresh(token, None).await;
        expect(word, 1);
    }

    store.tell(None);
    sessions.refresh(token, None).await.unwrap_err();
    expect("store_failed", 1);
    store.tell(Some(Outcome::Rotated(identity())));
    sessions.refresh("no token", None).await.unwrap_err();
    expect("invalid", 1);
    let too_much: Scope = "everything".parse().unwrap();
    let refused = sessions
        .refresh_narrowed(token, None, Some(&too_much))
        .await;
    assert!(matches!(refused, Err(RefreshError::Scope)));
    expect("scope", 1);

    let hooked = |answer: fn() -> Result<Welcome, &'static str>| {
        let answer = move |_| async move { answer().map_err(Into::into) };
        sessions.clone().with_hook(answer)
    };
    hooked(|| Ok(Welcome::Refuse))
        .refresh(token, None)
        .await
        .unwrap_err();
    expect("unwelcome", 1);
    hooked(|| Err("no idea"))
        .refresh(token, None)
        .await
        .unwrap_err();
    expect("hook_failed", 1);
    let unfit = || {
        let claims = json!({"tenant": {"no": "such claim"}});
        Ok(Welcome::With(Grant::new().with_claims(&claims).unwrap()))
    };
    hooked(unfit).refresh(token, None).await.unwrap_err();
    expect("not_signed", 1);
}

#[tokio::test]
async fn allowed_and_rejected_reuse_are_counted_apart() {
    let recorded = Recorded::new();
    let of = |outcome| recorded.count(REFRESHES, &[("outcome", outcome)]);
    let issuer = issuer();
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    let lenient = Sessions::new(&guard, issuer);
    let strict = lenient.clone().with_grace(Duration::ZERO);
    let attempt = lenient.begin().await.unwrap();
    let pair = lenient
        .login(attempt, "alice", &Grant::new())
        .await
        .unwrap();
    guard.record_metrics();
    assert_eq!(recorded.gauge("jwt_revoke_embedded_sessions", &[]), 1.0);
    lenient.refresh(pair.refresh_token(), None).await.unwrap();
    lenient.refresh(pair.refresh_token(), None).await.unwrap();
    assert_eq!((of("rotated"), of("retried"), of("reused")), (1, 1, 0));
    strict
        .refresh(pair.refresh_token(), None)
        .await
        .unwrap_err();
    assert_eq!((of("rotated"), of("retried"), of("reused")), (1, 1, 1));
    // It is dead now, which is no reuse.
    strict
        .refresh(pair.refresh_token(), None)
        .await
        .unwrap_err();
    assert_eq!((of("reused"), of("ended")), (1, 1));
    let stranger = strict
        .refresh(pair.refresh_token(), Some(ClientId::from("other")))
        .await;
    assert!(matches!(stranger, Err(RefreshError::OtherClient)));
    assert_eq!(of("other_client"), 1);
}
