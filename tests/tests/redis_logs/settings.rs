//! What changes at the server while processes run: the layout, marks, and how it evicts.

use std::time::Duration;

use jwt_revoke_core::store::{Lookup, RedisStore, Store as _, StoreError};
use jwt_revoke_tests::{
    patience::until,
    redis_server::RedisServer,
    redis_store::{builder as quick_builder, mirrored_within, patient_builder as builder, shard},
};

use crate::{SHARD, connect, key, subject};

async fn alone(url: &str) -> RedisStore {
    builder(url)
        .with_replica_entries(0)
        .connect()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r53_checks_of_a_store_that_a_newer_version_migrated_fail_until_it_is_ours_again() {
    let server = RedisServer::start();
    let (followed, alone) = (connect(&server.url()).await, alone(&server.url()).await);
    let revoked = subject("alice");
    followed
        .revoke(std::slice::from_ref(&revoked))
        .await
        .unwrap();
    // Of whom neither process knows anything itself.
    let other = subject("bob").digest;
    let ask = async |store: &RedisStore| {
        let digests = [other];
        store.lookup(&Lookup::new(shard(SHARD), &digests)).await
    };
    let mirrored = || {
        let second = Duration::from_secs(1);
        mirrored_within(&followed, SHARD, revoked.digest, second).is_some()
    };
    until("it is mirrored", || async { mirrored() }).await;
    let migrate = |layout: &str| {
        let script = "local meta = redis.call('GET', KEYS[1])
            return redis.call('SET', KEYS[1], ARGV[1] .. string.sub(meta, 2))";
        assert_eq!(
            server.cli(&["EVAL", script, "1", &key("meta"), layout]),
            "OK"
        );
    };
    migrate("2");
    for store in [&followed, &alone] {
        until("it is noticed", || async {
            matches!(ask(store).await, Err(StoreError::Layout { .. }))
        })
        .await;
        assert!(matches!(
            store.ready().await,
            Err(StoreError::Layout { .. })
        ));
    }
    until("the copy is not believed", || async { !mirrored() }).await;
    migrate("1");
    for store in [&followed, &alone] {
        until("it is ours again", || async { ask(store).await.is_ok() }).await;
    }
    until("the copy is believed", || async { mirrored() }).await;
    followed.ready().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r54_a_mark_of_healing_that_would_last_for_ever_ends() {
    let server = RedisServer::start();
    let (followed, alone) = (connect(&server.url()).await, alone(&server.url()).await);
    for store in [&followed, &alone] {
        server.cli(&["SET", &key("healing"), "1"]);
        let digest = subject("alice").digest;
        until("it has ended", || async {
            let digests = [digest];
            store
                .lookup(&Lookup::new(shard(SHARD), &digests))
                .await
                .is_ok()
        })
        .await;
        store.ready().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_a_server_that_begins_to_evict_under_way_is_noticed() {
    let server = RedisServer::start();
    let strict = quick_builder(&server.url()).with_strict_eviction();
    let strict = strict.connect().await.unwrap();
    strict.ready().await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let error = strict.ready().await.unwrap_err();
    assert!(matches!(error, StoreError::Unfit { .. }), "{error}");
    assert!(error.to_string().contains("noeviction"), "{error}");
    let infos = server.calls("info");
    until("the others look too", || async {
        server.calls("info") > infos + 1
    })
    .await;
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    strict.ready().await.unwrap();
}
