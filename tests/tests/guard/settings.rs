//! Processes with other settings over one store, and the same process after a deploy.

use std::{sync::Arc, time::Duration};

use futures::executor::block_on;
use jwt_revoke_core::{
    Clock, Denied, FakeClock, Guard, Issuer, Timestamp,
    guard::{Checked, Outage, Target},
    session::{EndError, Grant, IssueError, LoginError, RefreshError, Sessions},
    store::EmbeddedStore,
    token::SessionId,
    verify::{BornAt, KeySet, SigningKey, Verifier, VerifyError},
};
use jwt_revoke_tests::controlled_store::{ControlledStore, Mood};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    AUDIENCE, ISSUER, START, clock, is_admitted, key,
    lifetimes::{never_revives, stores},
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn issuer(key: &SigningKey, lifetime: Duration) -> Issuer {
    Issuer::new(key.clone(), ISSUER, AUDIENCE).with_lifetime(lifetime)
}

/// A process whose access tokens live so long.
fn process(key: &SigningKey, lifetime: Duration, store: &ControlledStore) -> (Issuer, Guard) {
    let issuer = issuer(key, lifetime);
    let guard = Guard::new(issuer.verifier(), store.clone());
    (issuer, guard)
}

#[tokio::test]
async fn t21_a_token_of_a_process_with_a_longer_lifetime_is_asked_about_once() {
    let (key, store) = (key(), ControlledStore::new());
    let (own, guard) = process(&key, HOUR, &store);
    let ours = own.issue(&guard, "alice", &Grant::new()).await.unwrap();
    guard.check(ours.token()).await.unwrap();
    store.answer_at_once(true);

    // Another process comes up in the middle of a deploy.
    let (longer, theirs) = process(&key, DAY, &store);
    let issued = longer.issue(&theirs, "alice", &Grant::new()).await.unwrap();
    let before = store.required().len();
    for mood in [Mood::Fails, Mood::RefusesWrites] {
        for outage in [Outage::Deny, Outage::Allow] {
            // Whether the store keeps an entry about it long enough is unknown, so it is no 401.
            store.set(mood);
            let refused = guard.with_outage(outage).check(issued.token()).await;
            let unknown = matches!(refused, Err(Denied::StoreUnavailable(_)));
            assert!(unknown, "{mood:?} {outage:?} {refused:?}");
        }
    }
    store.set(Mood::Answers);
    assert!(matches!(guard.check(issued.token()), Checked::Later(_)));
    assert!(is_admitted(&guard, issued.token()).await);
    assert_eq!(store.required().len(), before + 1);
    // From here on it is known.
    for _ in 0..3 {
        assert!(matches!(guard.check(issued.token()), Checked::Now(Ok(_))));
    }
    assert_eq!(store.required().len(), before + 1);
    // Nobody has promised anything about this one, which no process of ours has signed.
    let endless = resigned(&key, issued.token(), |claims| {
        claims["exp"] = (claims["iat"].as_u64().unwrap() + 3 * DAY.as_secs()).into();
    });
    let refused = guard.check(&endless).await;
    let too_long = matches!(refused, Err(Denied::Invalid(VerifyError::LivesTooLong)));
    assert!(too_long, "{refused:?}");
}

#[tokio::test]
async fn t21_a_token_is_good_that_lives_longer_than_its_guard_is_set_to() {
    let (key, store) = (key(), ControlledStore::new());
    let verifier = issuer(&key, HOUR).verifier();
    let guard = Guard::new(verifier.with_max_lifetime(HOUR / 60), store);
    let issued = issuer(&key, DAY)
        .issue(&guard, "alice", &Grant::new())
        .await;
    let access = guard.check(issued.unwrap().token()).await.unwrap();
    assert!(
        access.expires_at()
            > access
                .registered()
                .issued_at
                .unwrap()
                .saturating_add(DAY / 2)
    );
}

#[tokio::test]
async fn t21_another_issuers_tokens_are_held_to_the_cap_whatever_the_store_keeps() {
    let (key, store) = (key(), ControlledStore::new());
    let (longer, theirs) = process(&key, DAY, &store);
    let issued = longer.issue(&theirs, "alice", &Grant::new()).await.unwrap();
    let verifier = Verifier::new(key.verification_key(), ISSUER, AUDIENCE)
        .with_born_at(BornAt::IssuedAt)
        .with_max_lifetime(HOUR);
    let guard = Guard::new(verifier, store);
    guard.ready().await.unwrap();
    let refused = guard.check(issued.token()).await;
    let too_long = matches!(refused, Err(Denied::Invalid(VerifyError::LivesTooLong)));
    assert!(too_long, "{refused:?}");
}

/// A token with other claims, signed by the same key.
fn resigned(key: &SigningKey, token: &str, change: impl FnOnce(&mut Value)) -> String {
    let part = |index: usize| {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let text = token.split('.').nth(index).unwrap();
        let json = URL_SAFE_NO_PAD.decode(text).unwrap();
        serde_json::from_slice::<Value>(&json).unwrap()
    };
    let mut claims = part(1);
    change(&mut claims);
    key.sign(part(0)["typ"].as_str().unwrap(), &claims).unwrap()
}

async fn login(sessions: &Sessions) -> jwt_revoke_core::session::Pair {
    let attempt = sessions.begin().await.unwrap();
    sessions
        .login(attempt, "alice", &Grant::new())
        .await
        .unwrap()
}

#[tokio::test]
async fn s24_no_token_is_handed_out_that_the_guard_refuses() {
    let (old, new) = (key(), key());
    let issuer = issuer(&old, HOUR);
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    let sessions = Sessions::new(&guard, issuer.clone());
    let held = login(&sessions).await;

    guard.verifier().replace_keys(new.verification_key());
    let not_held = |error: &IssueError| match error {
        IssueError::KeyNotHeld(id) => {
            assert_eq!(id, old.id());
            assert!(error.to_string().contains("replace_keys"), "{error}");
        }
        other => panic!("{other:?}"),
    };
    let attempt = sessions.begin().await.unwrap();
    match sessions.login(attempt, "alice", &Grant::new()).await {
        Err(LoginError::Issue(error)) => not_held(&error),
        other => panic!("{other:?}"),
    }
    match sessions.refresh(held.refresh_token(), None).await {
        Err(RefreshError::Issue(error)) => not_held(&error),
        other => panic!("{other:?}"),
    }
    match issuer.issue(&guard, "alice", &Grant::new()).await {
        Err(error) => not_held(&error),
        other => panic!("{other:?}"),
    }
    // Nothing was spent or opened.
    let live = sessions.sessions(&"alice".into(), None).await.unwrap();
    assert_eq!(live.len(), 1);
    let both = KeySet::new([new.verification_key(), old.verification_key()]).unwrap();
    guard.verifier().replace_keys(both);
    let next = sessions.refresh(held.refresh_token(), None).await.unwrap();
    guard.check(next.access_token()).await.unwrap();
}

#[tokio::test]
async fn s24_a_key_that_only_the_guard_knows_ends_sessions_all_the_same() {
    let (old, new) = (key(), key());
    let store = EmbeddedStore::in_memory();
    // This process was told of the new key; that one signs with it.
    let here = issuer(&old, HOUR);
    let guard = Guard::new(here.verifier(), store.clone());
    let both = KeySet::new([new.verification_key(), old.verification_key()]).unwrap();
    guard.verifier().replace_keys(both);
    let here = Sessions::new(&guard, here);
    let there = issuer(&new, HOUR);
    let guard = Guard::new(there.verifier(), store);
    let there = Sessions::new(&guard, there);
    for by_refresh in [true, false] {
        let held = login(&there).await;
        let token = if by_refresh {
            held.refresh_token()
        } else {
            held.access_token()
        };
        here.logout(token).await.unwrap();
        assert!(!is_admitted(&guard, held.access_token()).await);
        let refused = there.refresh(held.refresh_token(), None).await;
        assert!(matches!(refused, Err(RefreshError::Ended)), "{refused:?}");
    }
    // A key that nobody here knows makes nonsense.
    let unknown = resigned(&key(), login(&there).await.refresh_token(), |_| {});
    let refused = here.logout(&unknown).await;
    assert!(matches!(refused, Err(EndError::Invalid(_))), "{refused:?}");
}

/// An access and a refresh token of a session that a clock dated ahead.
fn dated_ahead(key: &SigningKey, opened_at: Timestamp) -> [(String, Timestamp); 2] {
    let session = SessionId::opened_at(opened_at);
    let iat = opened_at.whole_seconds();
    let sign = |typ, aud, jti, life: Duration| {
        let claims = json!({
            "iss": ISSUER, "aud": aud, "sub": "alice", "sid": session.as_str(), "jti": jti, "gen": 1,
            "client_id": "first-party", "iat": iat, "exp": iat + life.as_secs(),
        });
        let end = Timestamp::from_seconds(iat).saturating_add(life);
        (key.sign(typ, &claims).unwrap(), end)
    };
    [
        sign("at+jwt", AUDIENCE, "access", HOUR),
        sign("rt+jwt", ISSUER, "refresh", 7 * DAY),
    ]
}

#[test]
fn r41_what_a_clock_dated_ahead_is_dead_when_its_time_comes() {
    for (ahead, by) in [HOUR, 40 * DAY, 400 * DAY]
        .into_iter()
        .flat_map(|ahead| (0..4).map(move |by| (ahead, by)))
    {
        let (clock, shared) = clock();
        let key = key();
        let [_, (_, embedded)] = stores(&clock);
        let store = embedded.unwrap();
        let issuer = issuer(&key, HOUR);
        let verifier = issuer.verifier().with_clock(shared);
        let guard = Guard::new(verifier, store.clone());
        let sessions = Sessions::new(&guard, issuer);
        let [(access, end), (refresh, _)] = dated_ahead(&key, START.saturating_add(ahead));
        block_on(async {
            match by {
                0 => sessions.logout(&access).await.unwrap(),
                1 => sessions.logout(&refresh).await.unwrap(),
                2 => sessions.revoke_token(&access, None).await.unwrap(),
                _ => {
                    let session = SessionId::opened_at(START.saturating_add(ahead));
                    // By its name alone, and then by the token that bears another.
                    let target = Target::session(session.as_str()).of("alice");
                    guard.revoke(target).await.unwrap();
                    sessions.logout(&access).await.unwrap();
                }
            }
        });
        never_revives(&[&guard], Some(&store), &clock, &access, end);
    }
}

#[test]
fn r41_a_token_that_lives_longer_than_promised_is_dead_when_a_later_deploy_accepts_it() {
    let (clock, shared) = clock();
    let key = key();
    let [_, (_, embedded)] = stores(&clock);
    let store = embedded.unwrap();
    let process = |lifetime| {
        let issuer = issuer(&key, lifetime);
        let verifier = issuer.verifier().with_clock(Arc::clone(&shared));
        let guard = Guard::builder(verifier, store.clone())
            .with_session_lifetime(Duration::ZERO)
            .build();
        (
            Sessions::new(&guard, issuer).with_absolute_lifetime(HOUR),
            guard,
        )
    };
    let (sessions, guard) = process(HOUR);
    let [(access, _), _] = dated_ahead(&key, START);
    let access = resigned(&key, &access, |claims| {
        claims["exp"] = (START.whole_seconds() + DAY.as_secs()).into();
    });
    block_on(async {
        let refused = guard.check(&access).await;
        assert!(matches!(refused, Err(Denied::Invalid(_))), "{refused:?}");
        sessions.revoke_token(&access, None).await.unwrap();
    });
    // Half of its life later a process promises to keep entries longer.
    clock.advance(DAY / 2);
    block_on(store.purge()).unwrap();
    let (_, longer) = process(DAY);
    block_on(longer.ready()).unwrap();
    let end = START.saturating_add(DAY);
    never_revives(&[&longer], Some(&store), &clock, &access, end);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Each of two processes accepts the tokens of the other until they lapse, and never a revoked one.
    #[test]
    fn r42_tokens_cross_between_processes_and_never_revive(
        lifetimes in prop::array::uniform2(prop_oneof![Just(1_u64), Just(86_400), 1..86_401_u64]),
        leeways in prop::array::uniform2(prop_oneof![Just(0_u64), Just(300_000), 0..300_001_u64]),
        start_millis in 0..1000_u64,
        lived in prop_oneof![Just(0.0), 0.0..1.0],
        from in 0..2_usize,
        // Who revokes it; none asks for its last moment.
        by in prop_oneof![Just(None), (0..2_usize).prop_map(Some)],
        by_session in any::<bool>(),
    ) {
        let key = key();
        let start = START.saturating_add(Duration::from_millis(start_millis));
        for forgetful in [true, false] {
            let clock = Arc::new(FakeClock::new(start));
            let [exact, embedded] = stores(&clock);
            let (store, embedded) = if forgetful { exact } else { embedded };
            let mut processes = Vec::new();
            for (lifetime, leeway) in lifetimes.into_iter().zip(leeways) {
                let issuer = issuer(&key, Duration::from_secs(lifetime))
                    .with_leeway(Duration::from_millis(leeway));
                let verifier = issuer.verifier().with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
                let guard = Guard::builder(verifier, store.clone())
                    .with_session_lifetime(Duration::ZERO)
                    .build();
                processes.push((issuer, guard));
            }
            let guards = [&processes[0].1, &processes[1].1];
            let issued = block_on(processes[from].0.issue(guards[from], "alice", &Grant::new()));
            let issued = issued.unwrap();
            let admitted = |guard: &&Guard| block_on(guard.check(issued.token()).into_future()).unwrap();
            let exp = admitted(&guards[0]).expires_at();
            let last = exp.saturating_sub(Duration::from_millis(1));
            let Some(by) = by else {
                clock.set(last);
                guards.iter().for_each(|guard| drop(admitted(guard)));
                continue;
            };
            let life = exp.saturating_since(start);
            clock.set(start.saturating_add(life.mul_f64(lived)).min(last));
            let access = guards.iter().map(admitted).nth(by).unwrap();
            let target = if by_session {
                Target::logout(&access)
            } else {
                Target::token(&access)
            };
            block_on(guards[by].revoke(target)).unwrap();
            let end = exp.saturating_add(Duration::from_millis(leeways[0].max(leeways[1])));
            never_revives(&guards, embedded.as_ref(), &clock, issued.token(), end);
        }
    }

    /// Whatever the lengths of time, what is signed is accepted, at once and until it lapses.
    #[test]
    fn t22_what_is_signed_is_accepted_whatever_the_lengths(
        start_millis in 0..1000_u64,
        [access, jitter, idle, absolute, leeway] in prop::array::uniform5(prop_oneof![
            Just(Duration::ZERO),
            Just(Duration::MAX),
            Just(Duration::from_millis(3_600_500)),
            (1..5_000_000_000_u64).prop_map(Duration::from_nanos),
            (1..100_000_000_u64).prop_map(Duration::from_micros),
            (1..100_000_000_u64).prop_map(Duration::from_millis),
        ]),
        waits in prop::collection::vec(0.0..1.0_f64, 4),
    ) {
        let (clock, shared) = clock();
        clock.advance(Duration::from_millis(start_millis));
        let store = EmbeddedStore::builder().with_clock(Arc::clone(&shared)).in_memory();
        let issuer = issuer(&key(), access).with_leeway(leeway);
        let guard = Guard::builder(issuer.verifier().with_clock(shared), store)
            .with_session_lifetime(Duration::ZERO)
            .build();
        let sessions = Sessions::new(&guard, issuer)
            .with_access_jitter(jitter)
            .with_idle_lifetime(idle)
            .with_absolute_lifetime(absolute);
        block_on(async {
            let mut pair = login(&sessions).await;
            let last = Duration::from_millis(1);
            for wait in waits {
                guard.check(pair.access_token()).await.unwrap();
                prop_assert!(pair.expires_in() <= pair.refresh_expires_in());
                let inspected = sessions.inspect(pair.refresh_token()).await.unwrap();
                let refresh_end = inspected.expect("it is good").claims.expires_at;
                let access_end = guard.check(pair.access_token()).await.unwrap().expires_at();
                prop_assert!(access_end <= refresh_end);
                let now = clock.now();
                clock.set(access_end.saturating_sub(last).max(now));
                if clock.now() < access_end {
                    guard.check(pair.access_token()).await.unwrap();
                }
                let left = refresh_end.saturating_since(now);
                clock.set(now.saturating_add(left.mul_f64(wait)));
                if clock.now() >= refresh_end || left.is_zero() {
                    break;
                }
                match sessions.refresh(pair.refresh_token(), None).await {
                    Ok(next) => pair = next,
                    other => panic!("{other:?}"),
                }
                // Of the last second of a session nothing may be left.
                if pair.refresh_expires_in().is_zero() {
                    break;
                }
            }
            Ok(())
        })?;
    }
}
