//! What a copy of a Redis store must not miss, and a store must not forget, whatever its log, its
//! horizons and its clock have been through.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use jwt_revoke_core::{
    guard::Consistency,
    revocation::{Cutoffs, Digest, Dimension, Horizons, Placement, Shard},
    store::{Lookup, Reach, RedisStore, Revocation, Store as _, StoreError, WriteRefusal},
};
use jwt_revoke_tests::{
    meta::{self, Field},
    patience::until,
    proxy::{Fault, Proxy},
    redis_server::RedisServer,
    redis_store::{ISSUER, patient_builder as builder},
};

/// All of it happens in one shard, which has this tag in its keys.
const SHARD: u8 = 1;
const META: &str = "jr:{15s}:meta";
const LOG: &str = "jr:{15s}:log";

const DAY: Duration = Duration::from_secs(86_400);

async fn connect(url: &str, horizons: Horizons) -> RedisStore {
    let store = builder(url).connect().await.unwrap();
    store.require(horizons).await.unwrap();
    store
}

fn long() -> Horizons {
    Horizons::from_parts(DAY, 2 * DAY)
}

fn revocation(dimension: Dimension, value: &str, reach: Reach) -> Revocation {
    let place = Placement::One(Shard::new(SHARD).unwrap());
    Revocation::new(dimension, ISSUER, value, place, reach)
}

fn subject(value: &str) -> Revocation {
    let ahead = Duration::ZERO;
    revocation(Dimension::Subject, value, Reach::Now { ahead })
}

async fn revoke(store: &RedisStore, revocation: &Revocation) {
    let revocations = std::slice::from_ref(revocation);
    store.revoke(revocations).await.unwrap();
}

/// What the copy says, however old it is; `None` if it does not know how old.
fn mirrored(store: &RedisStore, at: u8, digest: Digest) -> Option<Cutoffs> {
    let digests = [digest];
    let query = Lookup::new(Shard::new(at).unwrap(), &digests);
    let query = query.with_consistency(Consistency::Mirror {
        max_staleness: Duration::MAX,
    });
    Some(store.lookup_now(&query)?.unwrap())
}

async fn until_mirrored(store: &RedisStore, digest: Digest) {
    until("the copy has the entry", || async {
        mirrored(store, SHARD, digest).is_some_and(|found| found != Cutoffs::NONE)
    })
    .await;
}

async fn strictly(store: &RedisStore, digest: Digest) -> Result<Cutoffs, StoreError> {
    let shard = Shard::new(SHARD).unwrap();
    store.lookup(&Lookup::new(shard, &[digest])).await
}

fn entries(server: &RedisServer) -> usize {
    server.cli(&["KEYS", "jr:*:deny:*"]).lines().count()
}

fn hex(digest: &Digest) -> String {
    String::from_utf8(digest.hex().to_vec()).unwrap()
}

/// Milliseconds that the entry has to live.
fn life(server: &RedisServer, digest: &Digest) -> u64 {
    let key = server.cli(&["KEYS", &format!("jr:*:deny:{}", hex(digest))]);
    server.cli(&["PTTL", &key]).parse().unwrap()
}

#[tokio::test]
async fn r6_a_log_that_was_trimmed_under_a_shorter_horizon_is_not_taken_for_all_there_is() {
    let server = RedisServer::start_with(&["--stream-node-max-entries", "1"]);
    let second = Duration::from_secs(1);
    let old = connect(&server.url(), Horizons::from_parts(second, DAY)).await;
    let banned = subject("alice");
    revoke(&old, &banned).await;
    let others = AtomicU32::new(0);
    until("the log has forgotten it", || async {
        let other = others.fetch_add(1, Ordering::Relaxed);
        revoke(&old, &subject(&format!("user-{other}"))).await;
        let log = server.cli(&["XRANGE", LOG, "-", "+"]);
        !log.contains(&hex(&banned.digest))
    })
    .await;
    // A service joins whose tokens live for a day, some of which were issued hours ago.
    old.require(long()).await.unwrap();
    let new = connect(&server.url(), long()).await;
    until("the other shards are fresh", || async {
        mirrored(&new, SHARD + 1, banned.digest).is_some()
    })
    .await;
    assert_eq!(mirrored(&new, SHARD, banned.digest), None);
    let found = strictly(&new, banned.digest).await.unwrap();
    assert_ne!(found, Cutoffs::NONE);
    new.ready().await.unwrap();
    // Whoever followed the log all the time knows.
    assert_ne!(mirrored(&old, SHARD, banned.digest), Some(Cutoffs::NONE));
    assert!(mirrored(&old, SHARD, banned.digest).is_some());
}

#[tokio::test]
async fn r6_a_revocation_outlives_the_tokens_of_its_writer_though_the_store_forgot_what_it_was_told()
 {
    let server = RedisServer::start();
    let store = connect(&server.url(), long()).await;
    let token = revocation(Dimension::Jti, "a", Reach::Forever);
    // As after data loss, when another process has stated its own and this one not again yet.
    meta::write(&server, META, Field::Access, 10_000);
    meta::write(&server, META, Field::Session, 20_000);
    revoke(&store, &token).await;
    let least = u64::try_from((DAY / 2).as_millis()).unwrap();
    assert!(life(&server, &token.digest) > least);
}

#[tokio::test]
async fn r6_horizons_are_stated_anew_by_whoever_found_them_stated() {
    let server = RedisServer::start();
    let second = Duration::from_secs(1);
    let short = connect(&server.url(), Horizons::from_parts(second, second)).await;
    drop(connect(&server.url(), long()).await);
    let access = || meta::read(&server, META, Field::Access);
    assert_eq!(access(), "86400000");
    until("it has looked at the store", || async {
        short.ready().await.is_ok()
    })
    .await;
    server.cli(&["FLUSHALL"]);
    until("the shard is made", || async { !access().is_empty() }).await;
    assert_eq!(access(), "86400000");
}

#[tokio::test]
async fn r2_a_process_that_comes_up_while_the_server_refuses_writes_checks_tokens() {
    let server = RedisServer::start();
    let first = connect(&server.url(), long()).await;
    let known = subject("alice");
    revoke(&first, &known).await;
    for setting in ["maxmemory", "min-replicas-to-write"] {
        server.cli(&["CONFIG", "SET", setting, "1"]);
        let second = builder(&server.url()).connect().await.unwrap();
        second.require(long()).await.unwrap();
        let found = strictly(&second, known.digest).await.unwrap();
        assert_ne!(found, Cutoffs::NONE);
        // What is not sure to be revoked for as long as it takes is not promised.
        let longer = Horizons::from_parts(2 * DAY, 4 * DAY);
        let refused = second.require(longer).await.unwrap_err();
        assert!(matches!(
            refused,
            StoreError::WriteRefused {
                refusal: WriteRefusal::OutOfMemory | WriteRefusal::TooFewReplicas,
                ..
            }
        ));
        server.cli(&["CONFIG", "SET", setting, "0"]);
    }
}

#[tokio::test]
async fn r11_a_server_that_lost_writes_and_refuses_new_ones_is_mended_when_it_takes_them() {
    let mut server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let reader = connect(&url, long()).await;
    let writer = connect(&server.url(), long()).await;
    let (kept, lost) = (subject("kept"), subject("lost"));
    revoke(&writer, &kept).await;
    assert_eq!(server.cli(&["SAVE"]), "OK");
    revoke(&writer, &lost).await;
    until_mirrored(&reader, lost.digest).await;
    drop(writer);
    proxy.set(Fault::Reset);
    server.kill();
    server.run();
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    proxy.set(Fault::None);
    // The probes of the follower alone are 32 scripts a second, half of them refused.
    until("it was refused for a while", || async {
        server.calls("evalsha") > 150
    })
    .await;
    assert_eq!(entries(&server), 1);
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    until("it is back", || async { entries(&server) == 2 }).await;
}

#[tokio::test]
async fn r12_a_revocation_by_an_instant_that_was_just_told_to_the_store_reaches_the_copies() {
    let server = RedisServer::start();
    let (writer, reader) = (
        connect(&server.url(), long()).await,
        connect(&server.url(), long()).await,
    );
    let now = writer.now(Shard::new(SHARD).unwrap()).await.unwrap();
    // By a process that came from a server whose clock is ahead, or as if the clock had stepped.
    let told = now.as_millis() + 50 * 60_000;
    meta::write(&server, META, Field::Told, told);
    let revocation = subject("alice");
    revoke(&writer, &revocation).await;
    until_mirrored(&reader, revocation.digest).await;
    let found = mirrored(&reader, SHARD, revocation.digest).unwrap();
    assert!(found.covering(now).is_some());
}

#[tokio::test]
async fn r12_an_instant_that_was_told_ages_no_entry_that_was_written_before() {
    let server = RedisServer::start();
    let horizons = Horizons::from_parts(DAY / 72, DAY);
    let writer = connect(&server.url(), horizons).await;
    let token = revocation(Dimension::Jti, "a", Reach::Forever);
    revoke(&writer, &token).await;
    let now = writer.now(Shard::new(SHARD).unwrap()).await.unwrap();
    drop(writer);
    // Further ahead than the entry, and the log, live.
    let told = now.as_millis() + 50 * 60_000;
    for key in server.cli(&["KEYS", "jr:*:meta"]).lines() {
        meta::write(&server, key, Field::Told, told);
    }
    let reader = connect(&server.url(), horizons).await;
    until_mirrored(&reader, token.digest).await;
    // What it takes for expired, it does not put back.
    server.cli(&["FLUSHALL"]);
    until("it is back", || async { entries(&server) == 1 }).await;
    assert!(life(&server, &token.digest) > 600_000);
}
