//! I7: what is not known is never "not revoked", and never the client's fault.

use std::{sync::Arc, time::Duration};

use jwt_revoke_core::{
    Denied, Timestamp, defaults,
    guard::{Outage, Standing, Target},
    revocation::{Cutoff, Cutoffs, Dimension, Horizons, Shard},
    store::{Lookup, StoreError, WriteRefusal},
};
use jwt_revoke_tests::controlled_store::Mood;
use serde_json::json;

use crate::{Foreign, START};

const MILLISECOND: Duration = Duration::from_millis(1);

type Failure = fn() -> StoreError;

fn store() -> String {
    "redis at nowhere".to_owned()
}

fn reason() -> String {
    "a reason".to_owned()
}

/// One of each kind.
const FAILURES: [Failure; 18] = [
    || StoreError::Unreachable {
        store: store(),
        source: "connection refused".into(),
    },
    || StoreError::TimedOut {
        store: store(),
        bound: Duration::from_millis(50),
    },
    || refused(WriteRefusal::OutOfMemory),
    || refused(WriteRefusal::ReadOnly),
    || refused(WriteRefusal::TooFewReplicas),
    || refused(WriteRefusal::CannotPersist(reason())),
    || refused(WriteRefusal::NoPermission(reason())),
    || refused(WriteRefusal::Other(reason())),
    || StoreError::ReadRefused {
        store: store(),
        reason: reason(),
    },
    || lost(Cutoffs::NONE),
    || StoreError::Layout {
        store: store(),
        found: "9".to_owned(),
        expected: "1",
        mend: "update",
    },
    || StoreError::Unfit {
        store: store(),
        reason: reason(),
    },
    || StoreError::Clock {
        store: store(),
        reason: reason(),
    },
    || StoreError::CutoffAhead {
        cutoff: START,
        now: Timestamp::EPOCH,
    },
    || StoreError::Open {
        store: store(),
        reason: reason(),
        source: None,
    },
    || StoreError::Poisoned {
        store: store(),
        reason: reason(),
    },
    || StoreError::Address {
        address: "ftp:..".to_owned(),
        reason: reason(),
    },
    || StoreError::Failed {
        store: store(),
        reason: reason(),
    },
];

fn refused(refusal: WriteRefusal) -> StoreError {
    StoreError::WriteRefused {
        store: store(),
        refusal,
    }
}

fn lost(known: Cutoffs) -> StoreError {
    StoreError::ShardLost {
        store: store(),
        shard: Shard::of_issuer("any"),
        healing: false,
        known,
    }
}

#[tokio::test]
async fn i7_every_failure_is_503_or_let_through_as_unknown() {
    for at_once in [false, true] {
        for promised in [false, true] {
            for failure in FAILURES {
                let foreign = Foreign::new();
                if promised {
                    foreign.guard.ready().await.unwrap();
                }
                foreign.store.answer_at_once(at_once);
                foreign.store.fail_with(failure);
                foreign.store.set(Mood::Fails);
                let token = foreign.token(json!({}));
                let lenient = foreign.guard.with_outage(Outage::Allow);

                let denied = foreign.guard.check(&token).await.unwrap_err();
                assert!(matches!(denied, Denied::StoreUnavailable(_)), "{denied:?}");
                assert_eq!(denied.status(), 503, "{denied:?}");
                let access = lenient.check(&token).await.unwrap();
                assert_eq!(access.standing(), Standing::Unknown);
                // The client is at fault here, whatever the store does.
                let (signed, _) = token.rsplit_once('.').unwrap();
                let forged = format!("{signed}.{}", "A".repeat(86));
                for guard in [&foreign.guard, &lenient] {
                    assert_eq!(guard.check(&forged).await.unwrap_err().status(), 401);
                }

                foreign.store.set(Mood::Answers);
                let access = foreign.guard.check(&token).await.unwrap();
                assert_eq!(access.standing(), Standing::Clear);
            }
        }
    }
}

#[tokio::test]
async fn i7_what_a_lost_shard_still_knows_is_refused_even_where_unknown_is_allowed() {
    // The dimensions of the token, in their order: jti, session, subject, ..
    let covering = [
        (0, Cutoff::Forever),
        (1, Cutoff::Forever),
        (2, Cutoff::At(START)),
        (3, Cutoff::At(START.saturating_add(MILLISECOND))),
    ];
    let named = [
        Dimension::Jti,
        Dimension::Session,
        Dimension::Subject,
        Dimension::Client,
    ];
    let foreign = Foreign::new();
    let lenient = foreign.guard.with_outage(Outage::Allow);
    let token = foreign.token(json!({}));
    lenient.check(&token).await.unwrap();
    foreign.store.set(Mood::Fails);
    for ((index, cutoff), name) in covering.into_iter().zip(named) {
        foreign
            .store
            .fail_with(move || lost(Lookup::new(Shard::FIRST, &[]).cutoffs([(index, cutoff)])));
        for guard in [&foreign.guard, &lenient] {
            let denied = guard.check(&token).await.unwrap_err();
            assert!(
                matches!(&denied, Denied::Revoked { dimension: Some(by) } if *by == name),
                "{denied:?}"
            );
            assert_eq!(denied.status(), 401);
        }
    }
    // One that does not cover the token says nothing about the entries that were lost.
    let before = Cutoff::At(START.saturating_sub(MILLISECOND));
    foreign
        .store
        .fail_with(move || lost(Lookup::new(Shard::FIRST, &[]).cutoffs([(2, before)])));
    let denied = foreign.guard.check(&token).await.unwrap_err();
    assert_eq!(denied.status(), 503);
    let access = lenient.check(&token).await.unwrap();
    assert_eq!(access.standing(), Standing::Unknown);
}

#[tokio::test]
async fn i7_no_token_is_accepted_before_the_store_has_promised_to_keep_entries() {
    for at_once in [false, true] {
        let foreign = Foreign::new();
        foreign.store.answer_at_once(at_once);
        foreign.store.set(Mood::RefusesWrites);
        let token = foreign.token(json!({}));
        let denied = foreign.guard.check(&token).await.unwrap_err();
        assert_eq!(denied.status(), 503, "{denied:?}");
        assert!(foreign.guard.ready().await.is_err());
        let lenient = foreign.guard.with_outage(Outage::Allow);
        let access = lenient.check(&token).await.unwrap();
        assert_eq!(access.standing(), Standing::Unknown);

        foreign.store.set(Mood::Answers);
        assert!(foreign.is_admitted(&token).await);
        // The promise holds, so a store that can only be read is enough now.
        foreign.store.set(Mood::RefusesWrites);
        assert!(foreign.is_admitted(&token).await);
        assert_eq!(foreign.store.required().len(), 1);
    }
}

#[tokio::test]
async fn i7_a_store_that_can_only_be_read_is_believed_when_it_says_revoked() {
    let foreign = Foreign::new();
    let token = foreign.token(json!({}));
    let revoked = Target::session("s").of("alice");
    foreign.guard.revoke(revoked).await.unwrap();
    // A process that starts now cannot state its horizons.
    let guard =
        jwt_revoke_core::Guard::new(foreign.guard.verifier().clone(), foreign.store.clone());
    foreign.store.set(Mood::RefusesWrites);
    for outage in [Outage::Deny, Outage::Allow] {
        let denied = guard.with_outage(outage).check(&token).await.unwrap_err();
        assert_eq!(denied.status(), 401, "{denied:?}");
    }
}

#[tokio::test]
async fn r6_the_horizons_cover_what_the_verifier_accepts() {
    let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
    let foreign = Foreign::with(|verifier| verifier.with_max_lifetime(hour).with_leeway(minute));
    foreign.guard.ready().await.unwrap();
    let session = defaults::SESSION_LIFETIME;
    assert_eq!(
        foreign.store.required(),
        [Horizons::covering(hour, session, minute)]
    );
}

#[tokio::test]
async fn of_many_checks_at_the_start_each_waits_for_the_promise() {
    let foreign = Foreign::new();
    foreign.store.set(Mood::Hangs);
    let token: Arc<str> = foreign.token(json!({})).into();
    let checks: Vec<_> = (0..8)
        .map(|_| {
            let (guard, token) = (foreign.guard.clone(), Arc::clone(&token));
            tokio::spawn(async move { guard.check(&token).await.map(drop) })
        })
        .collect();
    foreign.store.until_waiting(8).await;
    foreign.store.set(Mood::RefusesWrites);
    for check in checks {
        let denied = check.await.unwrap().unwrap_err();
        assert_eq!(denied.status(), 503, "{denied:?}");
    }
}
