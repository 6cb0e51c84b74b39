//! The cache of verified tokens: it saves work, and changes no decision.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::executor::block_on;
use jwt_revoke_core::{
    Clock, Denied, FakeClock, Guard, Timestamp, Verifier, defaults,
    guard::{Consistency, Outage, Standing, Target},
    session::Grant,
    store::EmbeddedStore,
    verify::{Algorithm, BornAt, KeySet, SigningKey, VerificationKey, VerifyError},
};
use jwt_revoke_tests::controlled_store::{ControlledStore, Mood};
use proptest::prelude::*;
use serde_json::json;

use crate::{AUDIENCE, Foreign, ISSUER, START, admits, key};

/// Hits and misses so far.
fn counts(guard: &Guard) -> (u64, u64) {
    let stats = guard.cache_stats();
    (stats.hits, stats.misses)
}

fn invalid(guard: &Guard, token: &str) -> VerifyError {
    match block_on(guard.check(token).into_future()) {
        Err(Denied::Invalid(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A verifier and many tokens: the first `users` each of another user, the rest of one.
fn many(tokens: usize, users: usize) -> (Verifier, Vec<String>) {
    let key = SigningKey::generate(Algorithm::HS256).unwrap();
    let verifier = Verifier::new(key.verification_key(), ISSUER, AUDIENCE);
    let now = jwt_revoke_core::SystemClock::new().now().whole_seconds();
    let token = |n: usize| {
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": format!("user-{}", n.min(users)), "jti": format!("{n}"),
            "iat": now, "exp": now + 3600,
        });
        key.sign("at+jwt", &claims).unwrap()
    };
    (verifier, (0..tokens).map(token).collect())
}

#[tokio::test]
async fn a_token_is_verified_once_for_all_handles_and_looked_up_each_time() {
    for at_once in [false, true] {
        let foreign = Foreign::new();
        foreign.store.answer_at_once(at_once);
        let token = foreign.token(json!({}));
        let lookups = foreign.store.lookups();
        foreign.guard.check(&token).await.unwrap();
        foreign.guard.strict().check(&token).await.unwrap();
        let lenient = foreign.guard.with_outage(Outage::Allow);
        lenient.check(&token).await.unwrap();
        assert_eq!(counts(&foreign.guard), (2, 1));
        assert_eq!(foreign.store.lookups() - lookups, 3);
        assert_eq!(foreign.guard.cache_stats().entries, 1);
    }
}

#[tokio::test]
async fn i1_a_cached_token_that_is_revoked_is_refused_at_once() {
    for at_once in [false, true] {
        for target in [
            Target::jti("j"),
            Target::session("s").of("alice"),
            Target::subject("alice"),
            Target::client("web"),
            Target::issuer(),
        ] {
            let foreign = Foreign::new();
            foreign.store.answer_at_once(at_once);
            let token = foreign.token(json!({}));
            for _ in 0..3 {
                assert!(foreign.is_admitted(&token).await);
            }
            foreign.guard.revoke(target).await.unwrap();
            for _ in 0..3 {
                assert!(!foreign.is_admitted(&token).await);
            }
            assert_eq!(counts(&foreign.guard), (5, 1));
        }
    }
}

#[tokio::test]
async fn i7_what_is_known_of_a_cached_token_is_what_its_own_check_found() {
    for at_once in [false, true] {
        let foreign = Foreign::new();
        foreign.store.answer_at_once(at_once);
        let token = foreign.token(json!({}));
        let lenient = foreign.guard.with_outage(Outage::Allow);
        let before = lenient.check(&token).await.unwrap();
        foreign.store.set(Mood::Fails);
        let unknown = lenient.check(&token).await.unwrap();
        assert!(matches!(
            foreign.guard.check(&token).await,
            Err(Denied::StoreUnavailable(_))
        ));
        foreign.store.set(Mood::Answers);
        let after = foreign.guard.strict().check(&token).await.unwrap();
        assert_eq!(before.standing(), Standing::Clear);
        assert_eq!(unknown.standing(), Standing::Unknown);
        assert_eq!(after.standing(), Standing::Clear);
        assert!(foreign.guard.accepts(&after) && !foreign.guard.accepts(&unknown));
        assert_ne!(before.consistency(), after.consistency());
        assert_eq!(after.consistency(), Consistency::Strict);
        assert_eq!(counts(&foreign.guard), (3, 1));
    }
}

#[tokio::test]
async fn the_claims_of_a_cached_token_are_parsed_once() {
    let foreign = Foreign::new();
    let token = foreign.token(json!({}));
    let claims = |access: jwt_revoke_core::Access| access.claims::<serde_json::Value>().unwrap();
    let first = claims(foreign.guard.check(&token).await.unwrap());
    let second = claims(foreign.guard.check(&token).await.unwrap());
    assert!(Arc::ptr_eq(&first, &second));
}

#[tokio::test]
async fn t6_a_cached_token_lives_until_exp_and_leeway_and_not_a_millisecond_longer() {
    let leeway = Duration::from_secs(7);
    let foreign = Foreign::with(|verifier| verifier.with_leeway(leeway));
    let token = foreign.token(json!({}));
    assert!(foreign.is_admitted(&token).await);
    let end = Duration::from_secs(900) + leeway;
    foreign.clock.advance(end - Duration::from_millis(1));
    assert!(foreign.is_admitted(&token).await);
    assert_eq!(counts(&foreign.guard), (1, 1));
    foreign.clock.advance(Duration::from_millis(1));
    assert_eq!(invalid(&foreign.guard, &token), VerifyError::Expired);
    // What has lapsed takes no room.
    assert_eq!(foreign.guard.cache_stats().entries, 0);
}

#[tokio::test]
async fn r12_a_cached_token_is_refused_while_the_clock_stands_before_its_dates() {
    let foreign = Foreign::new();
    let start = START.whole_seconds();
    let dated = |member: &str| (foreign.token(json!({ member: start })), member.to_owned());
    for (token, member) in ["iat", "nbf"].map(dated) {
        // Leaves only `nbf` to be too late.
        let token = match member.as_str() {
            "nbf" => foreign.token(json!({"nbf": start, "iat": start - 3600, "exp": start + 60})),
            _ => token,
        };
        assert!(foreign.is_admitted(&token).await);
        foreign.clock.set(Timestamp::from_seconds(start - 60));
        let expected = match member.as_str() {
            "nbf" => VerifyError::NotYetValid,
            _ => VerifyError::IssuedInFuture,
        };
        assert_eq!(invalid(&foreign.guard, &token), expected);
        foreign.clock.set(START);
        assert!(foreign.is_admitted(&token).await);
    }
}

#[test]
fn r12_a_cached_token_of_ours_is_refused_while_the_clock_stands_before_its_birth() {
    let key = key();
    let clock = Arc::new(FakeClock::new(START));
    let verifier = Verifier::new(key.verification_key(), ISSUER, AUDIENCE)
        .with_clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .with_born_at(BornAt::Ids);
    let guard = Guard::new(verifier, ControlledStore::new());
    let start = START.whole_seconds();
    let session = format!(
        "{:08x}-{:04x}-7000-8000-000000000000",
        START.as_millis() >> 16,
        START.as_millis() & 0xffff
    );
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "jti": "j", "sid": session,
        "iat": start - 3600, "exp": start + 60,
    });
    let token = key.sign("at+jwt", &claims).unwrap();
    assert!(admits(block_on(guard.check(&token).into_future())));
    clock.set(Timestamp::from_seconds(start - 60));
    assert_eq!(invalid(&guard, &token), VerifyError::BornInFuture);
    clock.set(START);
    assert!(admits(block_on(guard.check(&token).into_future())));
}

#[tokio::test]
async fn t8_only_the_very_text_of_a_cached_token_is_found() {
    let foreign = Foreign::new();
    let token = foreign.token(json!({}));
    assert!(foreign.is_admitted(&token).await);
    for index in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        invalid(&foreign.guard, &changed);
    }
    for other in [
        format!("{token}="),
        format!(" {token}"),
        format!("{token} "),
        token[..token.len() - 1].to_owned(),
        token.to_uppercase(),
    ] {
        invalid(&foreign.guard, &other);
    }
    let stats = foreign.guard.cache_stats();
    assert_eq!((stats.hits, stats.entries), (0, 1));
}

#[tokio::test]
async fn a_key_that_is_removed_takes_its_cached_tokens_along() {
    let foreign = Foreign::new();
    let own = foreign.key.verification_key();
    let token = foreign.token(json!({}));
    for _ in 0..2 {
        assert!(foreign.is_admitted(&token).await);
    }
    // By any clone of the verifier.
    let elsewhere = foreign.guard.verifier().clone();
    elsewhere.replace_keys(key().verification_key());
    for _ in 0..2 {
        assert_eq!(invalid(&foreign.guard, &token), VerifyError::UnknownKey);
    }
    let both = KeySet::new([key().verification_key(), own]).unwrap();
    elsewhere.replace_keys(both);
    assert!(foreign.is_admitted(&token).await);
    assert_eq!(counts(&foreign.guard), (1, 4));
}

#[tokio::test]
async fn the_same_public_keys_again_leave_the_cache_as_it_is_and_others_do_not() {
    let foreign = Foreign::new();
    let token = foreign.token(json!({}));
    let (own, other) = (foreign.key.verification_key(), key().verification_key());
    let set = |keys: [&VerificationKey; 2]| KeySet::new(keys.map(Clone::clone)).unwrap();
    let verifier = foreign.guard.verifier();
    verifier.replace_keys(set([&own, &other]));
    assert!(foreign.is_admitted(&token).await);
    let hits = |expected: u64| assert_eq!(foreign.guard.cache_stats().hits, expected);
    verifier.replace_keys(set([&own, &other]));
    assert!(foreign.is_admitted(&token).await);
    hits(1);
    // In another order, fewer, or under another name, they are others.
    let renamed = other.clone().with_id("renamed").unwrap();
    for keys in [
        set([&other, &own]),
        KeySet::from(own.clone()),
        set([&own, &renamed]),
        set([&own, &other]),
    ] {
        verifier.replace_keys(keys);
        assert!(foreign.is_admitted(&token).await);
        hits(1);
    }
    // Of secrets nobody knows.
    let (verifier, tokens) = many(1, 1);
    let keys = verifier.keys();
    let guard = Guard::new(verifier, EmbeddedStore::in_memory());
    for _ in 0..2 {
        guard.check(&tokens[0]).await.unwrap();
        guard.verifier().replace_keys(KeySet::clone(&keys));
    }
    assert_eq!(counts(&guard), (0, 2));
}

/// Shows the time, and replaces the keys of a verifier whenever it is told to and then asked: in the
/// middle of a verification, after the signature was found to hold.
struct Replacing {
    verifier: Mutex<Option<(Verifier, VerificationKey)>>,
    armed: AtomicBool,
}

impl Clock for Replacing {
    fn now(&self) -> Timestamp {
        if self.armed.swap(false, SeqCst) {
            let verifier = self.verifier.lock().unwrap();
            let (verifier, key) = verifier.as_ref().unwrap();
            verifier.replace_keys(key.clone());
        }
        START
    }
}

#[test]
fn a_verification_that_a_removal_of_its_key_overtakes_leaves_nothing_behind() {
    let (old, new) = (key(), key());
    let clock = Arc::new(Replacing {
        verifier: Mutex::default(),
        armed: AtomicBool::new(false),
    });
    let verifier = Verifier::new(old.verification_key(), ISSUER, AUDIENCE)
        .with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
    *clock.verifier.lock().unwrap() = Some((verifier.clone(), new.verification_key()));
    let guard = Guard::new(verifier, ControlledStore::new());
    let start = START.whole_seconds();
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "jti": "j", "iat": start, "exp": start + 60,
    });
    let token = old.sign("at+jwt", &claims).unwrap();
    clock.armed.store(true, SeqCst);
    // It began while the key was there.
    assert!(admits(block_on(guard.check(&token).into_future())));
    assert!(!clock.armed.load(SeqCst));
    for _ in 0..2 {
        assert_eq!(invalid(&guard, &token), VerifyError::UnknownKey);
    }
}

#[tokio::test]
async fn no_two_guards_share_a_cached_token() {
    let foreign = Foreign::new();
    let token = foreign.token(json!({}));
    assert!(foreign.is_admitted(&token).await);
    let now = foreign.clock.now();
    // Of the same keys, clock and store, and stricter in one respect each.
    let verifier = || {
        Verifier::new(foreign.key.verification_key(), ISSUER, AUDIENCE)
            .with_clock(Arc::new(FakeClock::new(now)))
    };
    let stricter = [
        verifier().with_max_lifetime(Duration::from_secs(60)),
        foreign
            .guard
            .verifier()
            .clone()
            .with_max_lifetime(Duration::from_secs(60)),
    ];
    for verifier in stricter {
        let guard = Guard::new(verifier, foreign.store.clone());
        assert_eq!(invalid(&guard, &token), VerifyError::LivesTooLong);
        assert_eq!(guard.cache_stats().entries, 0);
    }
    // And one of the very same verifier has a cache of its own.
    let guard = Guard::new(foreign.guard.verifier().clone(), foreign.store.clone());
    guard.check(&token).await.unwrap();
    assert_eq!(counts(&guard), (0, 1));
}

#[tokio::test]
async fn a_cache_without_room_holds_nothing_and_decides_the_same() {
    let foreign = Foreign::new();
    let token = foreign.token(json!({}));
    for bytes in [0, 1, 1000] {
        let verifier = foreign.guard.verifier().clone();
        let guard = Guard::builder(verifier, foreign.store.clone())
            .with_token_cache(bytes)
            .build();
        for _ in 0..2 {
            assert!(admits(guard.check(&token).await));
        }
        let stats = guard.cache_stats();
        assert_eq!((stats.hits, stats.entries, stats.bytes), (0, 0, 0));
    }
}

#[tokio::test]
async fn r10_a_token_longer_than_the_limit_is_verified_each_time() {
    let foreign = Foreign::new();
    let of_length = |pad: usize| foreign.token(json!({"pad": "x".repeat(pad)}));
    let fits = (0..)
        .step_by(16)
        .map(|less| of_length(3 * defaults::MAX_CACHED_TOKEN_BYTES / 4 - less))
        .find(|token| token.len() <= defaults::MAX_CACHED_TOKEN_BYTES)
        .unwrap();
    let too_long = of_length(3 * defaults::MAX_CACHED_TOKEN_BYTES / 4);
    for token in [&fits, &fits, &too_long, &too_long] {
        assert!(foreign.is_admitted(token).await);
    }
    let stats = foreign.guard.cache_stats();
    assert_eq!((stats.hits, stats.entries), (1, 1));
}

#[test]
fn r10_forged_and_lapsed_tokens_take_no_room() {
    let (verifier, tokens) = many(50, 50);
    let guard = Guard::builder(verifier, EmbeddedStore::in_memory()).build();
    let check = |token: &str| block_on(guard.check(token).into_future());
    check(&tokens[0]).unwrap();
    let before = guard.cache_stats();
    for token in &tokens[1..] {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        for n in 0..40 {
            let forged = format!("{signed}.{n:02}{}", &signature[2..]);
            if forged != *token {
                check(&forged).unwrap_err();
            }
        }
    }
    let after = guard.cache_stats();
    assert_eq!((after.entries, after.bytes), (before.entries, before.bytes));
    assert_eq!(after.hits, 0);
}

/// How an attacker shows many tokens, in a flood between two requests of each user.
#[derive(Clone, Copy, Debug)]
enum Flood {
    Once,
    TwiceAtOnce,
    TwiceInTurns,
}

/// The share, in percent, of tokens in use that are found each time they come, between floods of
/// others that are twice as large as the whole cache.
fn found(verifier: &Verifier, used: &[String], others: &[String], flood: Flood) -> u64 {
    let limit = 1024 * 1024;
    let guard = Guard::builder(verifier.clone(), EmbeddedStore::in_memory())
        .with_token_cache(limit)
        .build();
    let check = |token: &String| drop(block_on(guard.check(token).into_future()).unwrap());
    // The attacker is first: those in use have to get in, and then to stay.
    let (first, others) = others.split_at(8 * used.len());
    first.iter().for_each(check);
    for _ in 0..3 {
        used.iter().for_each(check);
    }
    let (mut found, mut asked) = (0, 0);
    for others in others.chunks(8 * used.len()) {
        match flood {
            Flood::Once => others.iter().for_each(check),
            Flood::TwiceAtOnce => others.iter().flat_map(|token| [token; 2]).for_each(check),
            Flood::TwiceInTurns => others.iter().chain(others).for_each(check),
        }
        let before = guard.cache_stats();
        assert!(before.bytes <= limit as u64, "{before:?}");
        assert!(2 * before.entries < others.len() + used.len(), "{before:?}");
        used.iter().for_each(check);
        found += guard.cache_stats().hits - before.hits;
        asked += used.len() as u64;
    }
    100 * found / asked
}

#[test]
fn r10_a_flood_of_genuine_tokens_does_not_push_out_those_in_use() {
    let (verifier, tokens) = many(4_100, 4_100);
    let (used, others) = tokens.split_at(100);
    let found = found(&verifier, used, others, Flood::Once);
    assert!(found >= 90, "{found}%");
}

#[test]
fn r10_a_flood_of_tokens_of_one_account_does_not_push_out_those_in_use() {
    let (verifier, tokens) = many(4_100, 100);
    let (used, others) = tokens.split_at(100);
    for flood in [Flood::Once, Flood::TwiceAtOnce, Flood::TwiceInTurns] {
        let found = found(&verifier, used, others, flood);
        assert!(found >= 90, "{flood:?}: {found}%");
    }
}

#[tokio::test]
async fn i9_the_cache_prints_no_token() {
    let (issuer, _, guard) = crate::own();
    let issued = issuer.issue(&guard, "alice", &Grant::new()).await.unwrap();
    guard.check(issued.token()).await.unwrap();
    let signature = issued.token().rsplit('.').next().unwrap();
    let printed = format!("{guard:?} {:?}", guard.cache_stats());
    assert!(!printed.contains(signature), "{printed}");
}

#[derive(Clone, Debug)]
enum Step {
    Check(usize),
    CheckForged(usize),
    Wait(u64),
    SetBack(u64),
    Revoke(usize),
    Keys(usize),
    Fail(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4_usize).prop_map(Step::Check),
        1 => (0..4_usize).prop_map(Step::CheckForged),
        2 => (0..400_u64).prop_map(Step::Wait),
        1 => (0..400_u64).prop_map(Step::SetBack),
        1 => (0..4_usize).prop_map(Step::Revoke),
        2 => (0..3_usize).prop_map(Step::Keys),
        1 => any::<bool>().prop_map(Step::Fail),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_guard_with_a_cache_decides_as_one_without(steps in prop::collection::vec(step(), 1..60)) {
        let keys = [key(), key()];
        let (clock, shared) = crate::clock();
        let set = |which: usize| match which {
            0 => KeySet::from(keys[0].verification_key()),
            1 => KeySet::from(keys[1].verification_key()),
            _ => KeySet::new(keys.iter().map(SigningKey::verification_key)).unwrap(),
        };
        let verifier = Verifier::new(set(2), ISSUER, AUDIENCE).with_clock(Arc::clone(&shared));
        let store = ControlledStore::with_clock(shared);
        store.answer_at_once(true);
        let cached = Guard::new(verifier.clone(), store.clone());
        let plain = Guard::builder(verifier.clone(), store.clone()).with_token_cache(0).build();
        let start = START.whole_seconds();
        let tokens: Vec<_> = (0..4_u64).map(|n| {
            let claims = json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": format!("u{n}"), "jti": format!("{n}"),
                "nbf": start + 50 * (n / 2), "iat": start, "exp": start + 600 + 100 * n,
            });
            keys[n as usize % 2].sign("at+jwt", &claims).unwrap()
        }).collect();
        for step in steps {
            let token = match step {
                Step::Check(n) => tokens[n].clone(),
                Step::CheckForged(n) => {
                    let (signed, _) = tokens[n].rsplit_once('.').unwrap();
                    let (_, signature) = tokens[(n + 2) % 4].rsplit_once('.').unwrap();
                    format!("{signed}.{signature}")
                }
                Step::Wait(seconds) => { clock.advance(Duration::from_secs(seconds)); continue; }
                Step::SetBack(seconds) => {
                    clock.set(clock.now().saturating_sub(Duration::from_secs(seconds)));
                    continue;
                }
                Step::Revoke(n) => {
                    // A store that fails refuses it, in both guards alike.
                    let _ = block_on(cached.revoke(Target::jti(n.to_string())));
                    continue;
                }
                Step::Keys(which) => { verifier.replace_keys(set(which)); continue; }
                Step::Fail(fails) => {
                    store.set(if fails { Mood::Fails } else { Mood::Answers });
                    continue;
                }
            };
            let decide = |guard: &Guard| {
                let decision = block_on(guard.check(&token).into_future());
                decision.map(|access| access.jti().cloned()).map_err(|denied| denied.to_string()
                    + &std::error::Error::source(&denied).map(ToString::to_string).unwrap_or_default())
            };
            prop_assert_eq!(decide(&cached), decide(&plain));
        }
    }
}
