//! Ways in which a revoked token could come back, each closed: with real tokens and real servers.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

use std::time::Duration;

use futures::FutureExt as _;
use jwt_revoke_core::{
    Clock as _, Denied, Guard, SystemClock, Timestamp,
    guard::{Outage, Target},
    revocation::{Cutoff, Cutoffs, Dimension, Horizons, Placement, Shard},
    store::{Lookup, Reach, RedisStore, Revocation, Store, StoreError},
    verify::{Algorithm, SigningKey, Verifier},
};
use jwt_revoke_tests::{
    patience::{PATIENCE, until},
    proxy::{Fault, Proxy},
    redis_server::RedisServer,
    redis_store::{ISSUER, builder},
};
use serde_json::{Value, json};

const NOW: Reach = Reach::Now {
    ahead: Duration::ZERO,
};

async fn connect(server: &RedisServer) -> RedisStore {
    builder(&server.url()).connect().await.unwrap()
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::EdDSA).unwrap()
}

fn verifier(key: &SigningKey) -> Verifier {
    Verifier::new(key.verification_key(), ISSUER, "api")
}

/// A token of another issuer, with what is said here changed.
fn token(key: &SigningKey, changes: &Value) -> String {
    let now = SystemClock::new().now().whole_seconds();
    let mut claims = json!({
        "iss": ISSUER, "aud": "api", "sub": "alice", "jti": "1", "iat": now, "exp": now + 600,
    });
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        members.insert(name.clone(), value.clone());
    }
    members.retain(|_, value| !value.is_null());
    key.sign("at+jwt", &claims).unwrap()
}

fn shard(number: u8) -> Shard {
    Shard::new(number).unwrap()
}

fn subject(value: &str, placement: Placement, reach: Reach) -> Revocation {
    Revocation::new(Dimension::Subject, ISSUER, value, placement, reach)
}

async fn look(store: &RedisStore, at: u8, revocation: &Revocation) -> Result<Cutoffs, StoreError> {
    store
        .lookup(&Lookup::new(shard(at), &[revocation.digest]))
        .await
}

// Where an entry lies.

#[tokio::test]
async fn the_logout_of_a_session_reaches_its_tokens_without_subject() {
    let server = RedisServer::start();
    let key = key();
    let verifier = verifier(&key).allow_missing_subject();
    let guard = Guard::new(verifier, connect(&server).await);
    for (session, subject) in [("without", None), ("with", Some("alice"))] {
        let token = |subject: Option<&str>, jti: &str| {
            token(&key, &json!({ "sub": subject, "sid": session, "jti": jti }))
        };
        let access = guard.check(&token(subject, "first")).await.unwrap();
        guard.revoke(Target::logout(&access)).await.unwrap();
        // Tokens without a subject lie in shards of their own.
        for jti in ["1", "2", "3", "4", "5", "6"] {
            let decision = guard.check(&token(None, jti)).await;
            assert!(
                matches!(decision, Err(Denied::Revoked { .. })),
                "{session} {jti}: {decision:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_session_of_a_known_user_is_ended_for_its_tokens_without_subject_too() {
    let server = RedisServer::start();
    let key = key();
    let verifier = verifier(&key).allow_missing_subject();
    let guard = Guard::new(verifier, connect(&server).await);
    guard
        .revoke(Target::session("s").of("alice"))
        .await
        .unwrap();
    for jti in ["1", "2", "3", "4", "5", "6"] {
        let token = token(&key, &json!({ "sub": null, "sid": "s", "jti": jti }));
        let decision = guard.check(&token).await;
        assert!(
            matches!(decision, Err(Denied::Revoked { .. })),
            "{jti}: {decision:?}"
        );
    }
}

// What a guard knows before it has stated its horizons.

#[tokio::test]
async fn a_guard_that_came_up_in_an_outage_refuses_what_is_known_to_be_revoked() {
    let mut server = RedisServer::start();
    let key = key();
    let store = connect(&server).await;
    let token = token(&key, &json!({}));
    let one = Guard::new(verifier(&key), store.clone());
    let access = one.check(&token).await.unwrap();
    one.revoke(Target::token(&access)).await.unwrap();
    server.kill();
    let other = Guard::new(verifier(&key), store).with_outage(Outage::Allow);
    let decision = other.check(&token).await;
    assert!(
        matches!(decision, Err(Denied::Revoked { .. })),
        "{decision:?}"
    );
}

#[tokio::test]
async fn r1_the_first_check_of_a_guard_waits_no_longer_than_any_other() {
    let server = RedisServer::start();
    let key = key();
    let store = builder(&server.url())
        .with_write_timeout(10 * PATIENCE)
        .connect()
        .await
        .unwrap();
    let guard = Guard::new(verifier(&key), store);
    server.freeze();
    let check = guard.check(&token(&key, &json!({}))).into_future();
    let decision = tokio::time::timeout(PATIENCE, check).await;
    server.resume();
    let decision = decision.expect("it waits for the bound of a write");
    assert!(
        matches!(decision, Err(Denied::StoreUnavailable(_))),
        "{decision:?}"
    );
}

// Clocks.

#[tokio::test]
async fn r12_a_session_opened_before_the_clock_was_set_back_is_reached_by_later_cutoffs() {
    let server = RedisServer::start();
    let store = connect(&server).await;
    let opened_at = store.now(shard(1)).await.unwrap();
    // Behind the layout and its zero byte.
    let read = "return string.format('%d', (struct.unpack('>d', redis.call('GET', KEYS[1]), 3)))";
    let told: u64 = server
        .cli(&["EVAL", read, "1", "jr:{15s}:meta"])
        .parse()
        .unwrap_or(0);
    assert!(
        told >= opened_at.as_millis(),
        "an instant told is forgotten"
    );
    // As a server whose clock was set back by a minute since, or a new primary that is behind.
    let later = opened_at.saturating_add(Duration::from_secs(60));
    let text = later.as_millis().to_string();
    let write = "return redis.call('SETRANGE', KEYS[1], 2, struct.pack('>d', ARGV[1]))";
    server.cli(&["EVAL", write, "1", "jr:{15s}:meta", &text]);
    let revocation = subject("alice", Placement::One(shard(1)), NOW);
    let at = store.revoke(std::slice::from_ref(&revocation)).await;
    assert!(at.unwrap().at >= later);
    let found = look(&store, 1, &revocation).await.unwrap();
    assert!(found.covering(later).is_some(), "{found:?}");
}

#[tokio::test]
async fn r12_a_wide_cutoff_is_written_though_the_clocks_of_shards_differ() {
    let server = RedisServer::start();
    let store = connect(&server).await;
    let now = store.now(shard(1)).await.unwrap();
    let ahead = now.as_millis() + 60_000;
    server.cli(&["XADD", "jr:{15s}:log", &format!("{ahead}-0"), "digest", "x"]);
    let reach = Reach::Now {
        ahead: Duration::from_secs(5),
    };
    let revocation = subject("acme", Placement::Wide, reach);
    store
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    for at in 0..16 {
        let found = look(&store, at, &revocation).await.unwrap();
        assert!(found.highest() > Some(Cutoff::At(Timestamp::from_millis(ahead))));
    }
}

#[tokio::test]
async fn r12_a_cutoff_is_put_back_into_a_server_whose_clock_is_behind() {
    let server = RedisServer::start();
    let (writer, reader) = (connect(&server).await, connect(&server).await);
    let now = writer.now(shard(1)).await.unwrap();
    let ahead = now.as_millis() + 60_000;
    server.cli(&["XADD", "jr:{15s}:log", &format!("{ahead}-0"), "digest", "x"]);
    let revocation = subject("alice", Placement::One(shard(1)), NOW);
    writer
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    // With its data the server loses what it knew of the time.
    server.cli(&["FLUSHALL"]);
    until("the entry is back", || async {
        let found = look(&reader, 1, &revocation).await;
        found.is_ok_and(|found| found.covering(Timestamp::from_millis(ahead)).is_some())
    })
    .await;
}

// Healing.

#[tokio::test]
async fn r4_a_shard_is_unknown_for_as_long_as_entries_are_being_put_back() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let slow = format!("redis://127.0.0.1:{}", proxy.port());
    let settings = |url: &str| builder(url).with_healing(Duration::from_secs(3));
    let (writer, reader) =
        tokio::join!(settings(&slow).connect(), settings(&server.url()).connect());
    let (writer, reader) = (writer.unwrap(), reader.unwrap());
    let batch: Vec<_> = (0..8_000)
        .map(|n| subject(&n.to_string(), Placement::One(shard(1)), Reach::Forever))
        .collect();
    writer.revoke(&batch).await.unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(150)));
    server.cli(&["FLUSHALL"]);
    let digests: Vec<_> = batch.iter().map(|revocation| revocation.digest).collect();
    until("the shard is whole", || async {
        // One question for each: a check asks for a handful of digests.
        for digest in digests.iter().step_by(397) {
            match reader
                .lookup(&Lookup::new(shard(1), std::slice::from_ref(digest)))
                .await
            {
                Ok(found) => assert_ne!(found, Cutoffs::NONE, "a revoked token revived"),
                Err(_) => return false,
            }
        }
        true
    })
    .await;
}

// Connections.

#[tokio::test]
async fn r8_checks_leave_a_primary_that_was_demoted_too() {
    let server = RedisServer::start();
    let builder = builder(&server.url()).with_replica_entries(0);
    let _store = builder.connect().await.unwrap();
    let connections = || {
        let list = server.cli(&["CLIENT", "LIST"]);
        let ids = list
            .lines()
            .filter(|line| !line.contains("redis-cli") && !line.contains("cmd=client"));
        ids.filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
            .collect::<Vec<_>>()
    };
    let before = connections();
    assert_eq!(before.len(), 2, "checks and writes: {before:?}");
    // Nobody writes, and reads go on being answered.
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    until("both look for the primary", || async {
        let now = connections();
        now.len() == before.len() && now.iter().all(|id| !before.contains(id))
    })
    .await;
}

// Lives.

#[tokio::test]
async fn r6_a_horizon_without_end_does_not_keep_revocations_from_being_written() {
    let server = RedisServer::start();
    let store = connect(&server).await;
    let endless = Horizons::covering(Duration::MAX, Duration::MAX, Duration::ZERO);
    store.require(endless).await.unwrap();
    let revocation = subject("alice", Placement::One(shard(1)), NOW);
    store
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    let other = connect(&server).await;
    let found = look(&other, 1, &revocation).await.unwrap();
    assert_ne!(found, Cutoffs::NONE);
}

#[tokio::test]
async fn r6_an_entry_outlives_the_last_token_that_it_could_match() {
    let server = RedisServer::start();
    let key = key();
    let (lifetime, leeway) = (Duration::from_secs(600), Duration::from_secs(300));
    let session_lifetime = Duration::from_secs(3_600);
    let verifier = verifier(&key)
        .with_max_lifetime(lifetime)
        .with_leeway(leeway);
    let store = connect(&server).await;
    let guard = Guard::builder(verifier, store)
        .with_session_lifetime(session_lifetime)
        .build();
    // Dated as far ahead as the leeway allows, a little for the time that the test takes.
    let now = SystemClock::new().now().whole_seconds();
    let (iat, exp) = (now + leeway.as_secs(), now + (leeway + lifetime).as_secs());
    let token = token(&key, &json!({ "sid": "s", "iat": iat, "exp": exp }));
    let access = guard.check(&token).await.unwrap();
    // The session's last token is like this one, and made when the session ends.
    let end = Timestamp::from_seconds(exp).saturating_add(leeway);
    for (target, end) in [
        (Target::token(&access), end),
        (
            Target::session("s").of("alice"),
            end.saturating_add(session_lifetime),
        ),
    ] {
        guard.revoke(target).await.unwrap();
        let keys = server.cli(&["KEYS", "*:deny:*"]);
        let lives = keys
            .lines()
            .map(|key| server.cli(&["PTTL", key]).parse().unwrap());
        let longest = Duration::from_millis(lives.max().unwrap());
        let left = SystemClock::new().now().saturating_add(longest);
        assert!(left > end, "{left} {end}");
    }
}

// Cancellation.

#[tokio::test]
async fn a_revocation_whose_caller_went_away_is_written_all_the_same() {
    let server = RedisServer::start();
    let store = connect(&server).await;
    server.cli(&["SCRIPT", "FLUSH"]);
    let revocation = subject("alice", Placement::Wide, NOW);
    // As a server that drops the future of a request whose client hung up.
    assert!(
        store
            .revoke(std::slice::from_ref(&revocation))
            .now_or_never()
            .is_none()
    );
    let other = connect(&server).await;
    until("it is written to the last shard", || async {
        look(&other, 15, &revocation).await.unwrap() != Cutoffs::NONE
    })
    .await;
}

// Runtimes.

#[test]
fn r1_a_store_whose_runtime_has_ended_is_unknown_and_neither_hangs_nor_panics() {
    let server = RedisServer::start();
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let store = first.block_on(connect(&server));
    drop(first);
    runtime().block_on(async {
        let revocation = subject("alice", Placement::One(shard(1)), NOW);
        for _ in 0..8 {
            let found = tokio::time::timeout(PATIENCE, look(&store, 1, &revocation)).await;
            assert!(found.expect("it hangs").is_err());
        }
        let written = tokio::time::timeout(PATIENCE, store.revoke(&[revocation])).await;
        assert!(written.expect("it hangs").is_err());
    });
}
