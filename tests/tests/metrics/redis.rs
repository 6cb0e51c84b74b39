//! What a Redis store tells of itself, and of the checks it answers.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use jwt_revoke_core::{
    Clock, Guard, Issuer, Timestamp,
    guard::{Outage, Target},
    session::Grant,
    store::{Health, RedisStore, Store as _},
};
use jwt_revoke_tests::{
    logs,
    patience::{PATIENCE, until},
    proxy::{Fault, Proxy},
    redis_server::RedisServer,
    redis_store::{connect_for_tokens, patient_builder as builder},
};

use crate::{Recorded, issuer};

const CHECKS: &str = "jwt_revoke_checks_total";
const AGE: &str = "jwt_revoke_replica_age_seconds";
const PROPAGATION: &str = "jwt_revoke_propagation_seconds";

/// A guard that is ready, and a token that it admits.
async fn guard_over(store: RedisStore) -> (Issuer, Guard, String) {
    let issuer = issuer();
    let guard = Guard::new(issuer.verifier(), store);
    until("the store is ready", || async {
        guard.ready().await.is_ok()
    })
    .await;
    let issued = issuer.issue(&guard, "alice", &Grant::new()).await.unwrap();
    let token = issued.token().to_owned();
    (issuer, guard, token)
}

/// Where nothing is recorded: another process.
async fn elsewhere(url: &str) -> RedisStore {
    connect_for_tokens(builder(url)).await
}

async fn until_fresh(guard: &Guard) {
    until("the copy is fresh", || async {
        guard.health() == Health::Fresh
    })
    .await;
}

#[tokio::test]
async fn mirrored_and_strict_checks_are_told_apart() {
    let server = RedisServer::start();
    let recorded = Recorded::new();
    let store = builder(&server.url()).connect().await.unwrap();
    let (_, guard, token) = guard_over(store).await;
    until_fresh(&guard).await;
    // On a loaded machine the copy may be behind again by now, but not each time.
    until("a check is answered by the copy", || async {
        guard.check(&token).await.unwrap();
        recorded.count(CHECKS, &[("path", "replica"), ("outcome", "allowed")]) > 0
    })
    .await;
    let strictly = || recorded.count(CHECKS, &[("path", "store"), ("outcome", "allowed")]);
    let before = strictly();
    guard.strict().check(&token).await.unwrap();
    assert_eq!(strictly(), before + 1);
}

#[tokio::test]
async fn the_copy_tells_its_age_a_shard_and_what_it_takes() {
    let server = RedisServer::start();
    let url = server.url();
    let recorded = Recorded::new();
    let store = builder(&url).with_prefix("shop").connect().await.unwrap();
    let (_, guard, _) = guard_over(store).await;
    guard.revoke(Target::subject("bob")).await.unwrap();
    until_fresh(&guard).await;
    guard.record_metrics();
    let ages = recorded.all(AGE, &[("prefix", "shop")]);
    assert_eq!(ages.len(), 16);
    assert!(
        ages.iter().all(|age| *age < PATIENCE.as_secs_f64()),
        "{ages:?}"
    );
    // Each reading takes the gauges away, so they are set again.
    let gauge = |name: &str| {
        guard.record_metrics();
        recorded.gauge(name, &[("prefix", "shop")])
    };
    assert_eq!(gauge("jwt_revoke_replica_entries"), 1.0);
    // Of the tables with an entry, one at least has room for some.
    assert!(gauge("jwt_revoke_replica_bytes") >= 33.0);
    assert!(gauge("jwt_revoke_clock_offset_seconds").abs() < PATIENCE.as_secs_f64());
    assert_eq!(gauge("jwt_revoke_breakers_open"), 0.0);

    // It grows while the store does not answer: by itself, though nobody calls `record_metrics`.
    server.freeze();
    until("the age is told", || async {
        let ages = recorded.all(AGE, &[("shard", "7")]);
        ages[0] > 1.0
    })
    .await;
    server.resume();
}

#[tokio::test]
async fn a_copy_that_was_never_filled_is_as_old_as_the_store() {
    let server = RedisServer::stopped();
    let recorded = Recorded::new();
    let store = builder(&server.url()).connect_lazily().unwrap();
    let made = Instant::now();
    let guard = Guard::new(issuer().verifier(), store);
    // Not fresh, and not silent either: an alarm on age goes off.
    tokio::time::sleep(Duration::from_millis(30)).await;
    let at_least = made.elapsed().as_secs_f64();
    guard.record_metrics();
    for age in recorded.all(AGE, &[]) {
        assert!(age >= at_least, "{age}");
    }
}

#[tokio::test]
async fn propagation_is_measured_from_the_write_to_its_reading() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let other = elsewhere(&server.url()).await;
    let others = Guard::new(issuer().verifier(), other);
    others.revoke(Target::subject("before")).await.unwrap();

    let recorded = Recorded::new();
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let (_, guard, _) = guard_over(builder(&url).connect().await.unwrap()).await;
    until_fresh(&guard).await;
    let lags = || recorded.all(PROPAGATION, &[("prefix", "jr")]);
    // What was there before took as long as this process was not there.
    assert_eq!(lags(), [] as [f64; 0]);

    others.revoke(Target::subject("now")).await.unwrap();
    until("the entry is read", || async { lags().len() == 1 }).await;
    assert!(lags()[0] < PATIENCE.as_secs_f64(), "{:?}", lags());

    // While the log cannot be read, it is held up.
    proxy.set(Fault::Blackhole);
    others.revoke(Target::subject("held up")).await.unwrap();
    let written = Instant::now();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let held = written.elapsed().as_secs_f64();
    proxy.set(Fault::None);
    until("the entry is read", || async { lags().len() == 2 }).await;
    let lag = lags()[1];
    // Clocks are told in milliseconds, and theirs is told late by as long as an answer takes.
    assert!(
        lag > held - 0.3 && lag < PATIENCE.as_secs_f64(),
        "{lag} of {held}"
    );
}

/// A clock that is an hour fast.
struct Fast;

impl Clock for Fast {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let millis = u64::try_from(since.as_millis()).unwrap();
        Timestamp::from_millis(millis).saturating_add(Duration::from_secs(3_600))
    }
}

#[tokio::test]
async fn r12_clocks_that_differ_do_not_show_as_propagation() {
    let server = RedisServer::start();
    let others = Guard::new(issuer().verifier(), elsewhere(&server.url()).await);
    let recorded = Recorded::new();
    let store = builder(&server.url())
        .with_clock(Arc::new(Fast))
        .connect()
        .await
        .unwrap();
    let (issuer, health) = (issuer(), store.clone());
    let guard = Guard::new(issuer.verifier(), store);
    until("the copy is fresh", || async {
        health.health() == Health::Fresh
    })
    .await;
    others.revoke(Target::subject("now")).await.unwrap();
    until("the entry is read", || async {
        recorded.all(PROPAGATION, &[]).len() == 1
    })
    .await;
    let lag = recorded.all(PROPAGATION, &[])[0];
    assert!(lag < PATIENCE.as_secs_f64(), "{lag}");
    guard.record_metrics();
    let offset = recorded.gauge("jwt_revoke_clock_offset_seconds", &[]);
    assert!(
        (offset + 3_600.0).abs() < PATIENCE.as_secs_f64(),
        "{offset}"
    );
}

#[tokio::test]
async fn r1_an_outage_shows_in_checks_breaker_and_follower() {
    let mut server = RedisServer::start();
    let recorded = Recorded::new();
    let store = builder(&server.url()).connect().await.unwrap();
    let (_, guard, token) = guard_over(store).await;
    let strict = guard.strict();
    strict.check(&token).await.unwrap();
    let openings = || recorded.count("jwt_revoke_breaker_openings_total", &[]);
    let open = || {
        guard.record_metrics();
        recorded.gauge("jwt_revoke_breakers_open", &[])
    };
    assert_eq!((openings(), open()), (0, 0.0));

    server.kill();
    until("the breaker is open", || async {
        strict.check(&token).await.unwrap_err();
        open() == 1.0
    })
    .await;
    assert_eq!(openings(), 1);
    let policy = |outcome| recorded.count(CHECKS, &[("path", "policy"), ("outcome", outcome)]);
    assert!(policy("unavailable") > 0);
    assert_eq!(policy("allowed"), 0);
    strict
        .with_outage(Outage::Allow)
        .check(&token)
        .await
        .unwrap();
    assert_eq!(policy("allowed"), 1);
    let restarts = || {
        recorded.count(
            "jwt_revoke_follower_restarts_total",
            &[("reason", "failed")],
        )
    };
    until("the follower began anew", || async { restarts() > 0 }).await;
    let panicked = [("reason", "panicked")];
    assert_eq!(
        recorded.count("jwt_revoke_follower_restarts_total", &panicked),
        0
    );

    server.run();
    until("the breaker is closed", || async {
        strict.check(&token).await.is_ok() && open() == 0.0
    })
    .await;
}

#[tokio::test]
async fn r4_entries_that_were_put_back_are_counted() {
    let server = RedisServer::start();
    let recorded = Recorded::new();
    let store = builder(&server.url()).connect().await.unwrap();
    let (_, guard, _) = guard_over(store).await;
    let healed = || recorded.count("jwt_revoke_healed_entries_total", &[]);
    assert_eq!(healed(), 0);
    for subject in ["bob", "carol", "dave"] {
        guard.revoke(Target::subject(subject)).await.unwrap();
    }
    server.cli(&["FLUSHALL"]);
    until("all are put back", || async { healed() >= 3 }).await;
}

#[tokio::test]
async fn what_the_store_kept_is_not_counted_as_put_back() {
    let server = RedisServer::start();
    let recorded = Recorded::new();
    let store = builder(&server.url()).connect().await.unwrap();
    let (_, guard, _) = guard_over(store).await;
    let healed = || recorded.count("jwt_revoke_healed_entries_total", &[]);
    for subject in ["bob", "carol", "dave"] {
        guard.revoke(Target::subject(subject)).await.unwrap();
    }
    // On the new connection all three are sent, and one is missing.
    let keys = server.cli(&["KEYS", "*:deny:*"]);
    server.cli(&["DEL", keys.lines().next().unwrap()]);
    server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    until("it is put back", || async {
        server.cli(&["KEYS", "*:deny:*"]).lines().count() == 3
    })
    .await;
    until("it is counted", || async { healed() > 0 }).await;
    assert_eq!(healed(), 1);
}

#[tokio::test]
async fn r4_entries_that_the_store_does_not_take_back_are_counted_and_told() {
    const DROPPED: &str = "jwt_revoke_unhealed_entries_total";
    logs::capture();
    let server = RedisServer::start();
    let recorded = Recorded::new();
    let store = builder(&server.url()).connect().await.unwrap();
    let (_, guard, _) = guard_over(store).await;
    guard.revoke(Target::subject("bob")).await.unwrap();
    // As a server wrote it whose clock was a day ahead.
    let log = server.cli(&["KEYS", "*:log"]);
    let write = "local prev = redis.call('XINFO', 'STREAM', KEYS[1]) \
         for i = 1, #prev, 2 do if prev[i] == 'last-generated-id' then prev = prev[i + 1] break end end \
         local ahead = (redis.call('TIME')[1] + 86400) * 1000 \
         local function whole(n) return string.format('%.0f', n) end \
         redis.call('XADD', KEYS[1], whole(ahead) .. '-0', 'digest', string.rep('a', 32), \
           'cutoff', whole(ahead), 'expiry', whole(ahead + 1200000), 'prev', prev)";
    server.cli(&["EVAL", write, "1", &log]);
    until("it is in the copy", || async {
        guard.record_metrics();
        recorded.gauge("jwt_revoke_replica_entries", &[]) == 2.0
    })
    .await;
    assert_eq!(recorded.count(DROPPED, &[]), 0);
    server.cli(&["FLUSHALL"]);
    until("it is not taken back", || async {
        recorded.count(DROPPED, &[]) > 0
    })
    .await;
    assert!(logs::captured().contains("were not put back"));
    until("the other is", || async {
        recorded.count("jwt_revoke_healed_entries_total", &[]) == 1
    })
    .await;
}

#[tokio::test]
async fn i9_no_label_tells_a_password() {
    let password = "do-not-print-me";
    let server = RedisServer::start_with(&["--requirepass", password]);
    let recorded = Recorded::new();
    let url = format!("redis://:{password}@127.0.0.1:{}/3", server.port());
    let (_, guard, _) = guard_over(builder(&url).connect().await.unwrap()).await;
    guard.record_metrics();
    let name = format!("redis://127.0.0.1:{}/3", server.port());
    let mut named = 0;
    for (metric, labels) in recorded.every_series() {
        for value in labels.values() {
            assert!(!value.contains(password), "{metric} {value}");
        }
        named += u32::from(labels.get("store") == Some(&name));
    }
    assert!(named > 16, "{named}");
}
