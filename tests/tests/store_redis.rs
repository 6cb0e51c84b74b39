//! What can happen to a store in Redis, with real servers.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jwt_revoke_core::{
    FakeClock, Timestamp, defaults,
    revocation::{Cutoff, Cutoffs, Digest, Dimension, Horizons, Placement, Shard},
    store::{
        AnyStore, Lookup, Reach, RedisBuilder, RedisStore, Revocation, Store, StoreError,
        WriteRefusal,
    },
};
use jwt_revoke_tests::{
    meta::{self, Field},
    patience::{PATIENCE, until},
    proxy::{Fault, Proxy},
    redis_server::{RedisCluster, RedisSentinels, RedisServer},
    redis_store::{ISSUER, builder, connect, shard},
};

/// A store that knows only what it wrote itself, and asks the server for the rest.
async fn connect_without_copy(url: &str) -> RedisStore {
    let builder = builder(url).with_replica_entries(0);
    builder.connect().await.unwrap()
}

fn jti(value: &str, at: u8) -> Revocation {
    Revocation::new(
        Dimension::Jti,
        ISSUER,
        value,
        Placement::One(shard(at)),
        Reach::Forever,
    )
}

fn subject(value: &str, placement: Placement, reach: Reach) -> Revocation {
    Revocation::new(Dimension::Subject, ISSUER, value, placement, reach)
}

async fn look(store: &RedisStore, at: u8, digest: Digest) -> Result<Cutoffs, StoreError> {
    // The bound of a check is a fraction of this: what hangs longer has none.
    tokio::time::timeout(PATIENCE, store.lookup(&Lookup::new(shard(at), &[digest])))
        .await
        .expect("a check waits for ever")
}

async fn until_known(store: &RedisStore, at: u8, digest: Digest) {
    until("the store answers", || async {
        look(store, at, digest).await.is_ok()
    })
    .await;
}

/// The key of an entry, read from the server: tests must not share the code that builds it.
fn deny_key(server: &RedisServer, digest: &Digest) -> String {
    server.cli(&["KEYS", &format!("*:deny:{digest}")])
}

fn pttl(server: &RedisServer, digest: &Digest) -> Duration {
    let key = deny_key(server, digest);
    Duration::from_millis(server.cli(&["PTTL", &key]).parse().unwrap())
}

// What a store is for.

#[tokio::test]
async fn what_one_process_revokes_another_finds() {
    let server = RedisServer::start();
    let (one, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let revocation = jti("a", 3);
    assert_eq!(
        look(&other, 3, revocation.digest).await.unwrap(),
        Cutoffs::NONE
    );
    one.revoke(std::slice::from_ref(&revocation)).await.unwrap();
    let found = look(&other, 3, revocation.digest).await.unwrap();
    assert_eq!(found.highest(), Some(Cutoff::Forever));
}

#[tokio::test]
async fn a_cutoff_is_never_lowered() {
    let server = RedisServer::start();
    let (store, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let at = |millis| {
        let reach = Reach::At(Timestamp::from_millis(millis));
        subject("alice", Placement::One(shard(1)), reach)
    };
    store
        .revoke(&[at(2_000), at(9_000), at(5_000)])
        .await
        .unwrap();
    store.revoke(&[at(3_000)]).await.unwrap();
    let found = look(&other, 1, at(1).digest).await.unwrap();
    let nine = Timestamp::from_millis(9_000);
    assert_eq!(found.highest(), Some(Cutoff::At(nine)));
    // Two raises, two log entries: what raises nothing is not logged.
    let log = server.cli(&["KEYS", "*:log"]);
    assert_eq!(server.cli(&["XLEN", &log]), "2");
    // Each names the one before it.
    let entries = server.cli(&["XRANGE", &log, "-", "+"]);
    let lines: Vec<_> = entries.lines().collect();
    assert_eq!(lines[8], "0-0", "{entries}");
    assert_eq!(lines[17], lines[0], "{entries}");
}

#[tokio::test]
async fn a_wide_revocation_has_one_instant_in_every_shard() {
    let server = RedisServer::start();
    let (store, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let reach = Reach::Now {
        ahead: Duration::from_secs(2),
    };
    let revocation = subject("alice", Placement::Wide, reach);
    let now = store
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap()
        .at;
    let mut cutoffs = Vec::new();
    for shard in Shard::all() {
        let query = [revocation.digest];
        let found = other.lookup(&Lookup::new(shard, &query)).await.unwrap();
        cutoffs.push(found.highest());
    }
    cutoffs.dedup();
    let [Some(Cutoff::At(cutoff))] = cutoffs[..] else {
        panic!("{cutoffs:?}");
    };
    assert!(cutoff > now && cutoff <= now.saturating_add(Duration::from_secs(2)));
}

#[tokio::test]
async fn a_cutoff_too_far_ahead_is_refused_before_anything_is_written() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let ahead = store
        .now(shard(1))
        .await
        .unwrap()
        .saturating_add(Duration::from_secs(60));
    for reach in [
        Reach::At(ahead),
        Reach::At(Timestamp::from_millis(u64::MAX)),
    ] {
        let batch = [
            jti("good", 1),
            subject("bad", Placement::One(shard(1)), reach),
        ];
        let refused = store.revoke(&batch).await;
        assert!(
            matches!(refused, Err(StoreError::CutoffAhead { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(server.cli(&["KEYS", "*:deny:*"]), "");
}

#[tokio::test]
async fn a_check_is_exactly_one_command() {
    let server = RedisServer::start();
    let store = builder(&server.url())
        .with_legacy_prefix("blacklist:")
        .with_replica_entries(0)
        .connect()
        .await
        .unwrap();
    let digests: Vec<_> = (0..5).map(|n| jti(&n.to_string(), 0).digest).collect();
    let before = ["mget", "get", "evalsha"].map(|command| server.calls(command));
    for _ in 0..100 {
        let query = Lookup::new(shard(4), &digests).with_jti(Some("a"));
        assert_eq!(store.lookup(&query).await.unwrap(), Cutoffs::NONE);
    }
    let after = ["mget", "get", "evalsha"].map(|command| server.calls(command));
    // What else went on are the store's own probes, scripts with one MGET each.
    let probes = after[2] - before[2];
    assert!(probes < 100);
    let checks = after[0] - before[0];
    assert!((100..=100 + probes).contains(&checks), "{checks}");
    assert_eq!(after[1], before[1]);
}

#[tokio::test]
async fn the_last_handle_closes_the_connections() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let clients = || server.cli(&["CLIENT", "LIST"]).lines().count();
    let clone = store.clone();
    drop(store);
    assert!(clone.ready().await.is_ok());
    assert!(clients() > 1);
    drop(clone);
    until("only this client is left", || async { clients() == 1 }).await;
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    server.cli(&["SCRIPT", "FLUSH"]);
    store.revoke(&[jti("a", 1)]).await.unwrap();
    assert_ne!(deny_key(&server, &jti("a", 1).digest), "");
}

// R1: the server is away.

#[tokio::test]
async fn r1_a_killed_server_is_unknown_and_recovers_without_a_restart() {
    let mut server = RedisServer::start();
    let store = connect(&server.url()).await;
    let revocation = subject(
        "alice",
        Placement::One(shard(2)),
        Reach::At(Timestamp::from_millis(5)),
    );
    store
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    server.kill();
    for _ in 0..20 {
        assert!(look(&store, 2, revocation.digest).await.is_err());
    }
    assert!(store.revoke(&[jti("a", 2)]).await.is_err());
    assert!(store.ready().await.is_err());
    server.run();
    until_known(&store, 2, revocation.digest).await;
    store.revoke(&[jti("a", 2)]).await.unwrap();
    until("its copy is fresh again", || async {
        store.ready().await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn r1_a_frozen_server_does_not_hold_up_every_check() {
    let server = RedisServer::start();
    let store = RedisStore::builder(&server.url())
        .with_healing(Duration::ZERO)
        .connect()
        .await
        .unwrap();
    let digest = jti("a", 2).digest;
    server.freeze();
    // 20,000 checks that all waited for their 50 ms one after the other would take 16 minutes.
    let checks = async {
        let mut timed_out = 0;
        for _ in 0..20_000 {
            match look(&store, 2, digest).await.unwrap_err() {
                StoreError::TimedOut { .. } => timed_out += 1,
                StoreError::Unreachable { .. } => {}
                other => panic!("{other}"),
            }
        }
        timed_out
    };
    let timed_out = tokio::time::timeout(PATIENCE, checks)
        .await
        .expect("checks queue up");
    // As many as it takes to believe it. After that it is asked in the background.
    assert!((1..=5).contains(&timed_out), "{timed_out}");
    server.resume();
    until_known(&store, 2, digest).await;
}

#[tokio::test]
async fn r1_more_checks_than_may_wait_at_a_time_fail_at_once() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    server.freeze();
    let digest = jti("a", 2).digest;
    let checks = (0..5_000).map(|_| look(&store, 2, digest));
    let errors = futures::future::join_all(checks).await;
    let waited = |error: &StoreError| matches!(error, StoreError::TimedOut { .. });
    let waited = errors
        .iter()
        .filter(|found| waited(found.as_ref().unwrap_err()));
    assert_eq!(waited.count(), 2_048);
    server.resume();
    until_known(&store, 2, digest).await;
}

#[tokio::test]
async fn r1_a_write_to_a_frozen_server_ends_in_an_error() {
    let server = RedisServer::start();
    let store = builder(&server.url())
        .with_write_timeout(Duration::from_millis(300))
        .connect()
        .await
        .unwrap();
    server.freeze();
    let batch = [jti("a", 1), subject("b", Placement::Wide, Reach::Forever)];
    let written = tokio::time::timeout(PATIENCE, store.revoke(&batch)).await;
    assert!(written.expect("a write waits for ever").is_err());
    server.resume();
    until("it is written", || async {
        store.revoke(&batch).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn r1_slow_answers_and_partitions_are_unknown_and_pass() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let store = RedisStore::builder(&format!("redis://127.0.0.1:{}", proxy.port()))
        .with_healing(Duration::ZERO)
        .with_connect_timeout(PATIENCE)
        .connect()
        .await
        .unwrap();
    let digest = jti("a", 2).digest;
    for fault in [
        Fault::Delay(Duration::from_secs(1)),
        Fault::Blackhole,
        Fault::Reset,
        Fault::CutAfter(3),
    ] {
        proxy.set(fault);
        for _ in 0..3 {
            assert!(look(&store, 2, digest).await.is_err(), "{fault:?}");
        }
        proxy.set(Fault::None);
        until(&format!("it answers after {fault:?}"), || async {
            look(&store, 2, digest).await.is_ok()
        })
        .await;
    }
}

#[tokio::test]
async fn r1_a_revocation_whose_answer_was_lost_is_repeated_and_written_once() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let store = builder(&format!("redis://127.0.0.1:{}", proxy.port()))
        .with_write_timeout(PATIENCE)
        .connect()
        .await
        .unwrap();
    // The server knows the script, so the first lost answer is that of the revocation itself.
    store.revoke(&[jti("before", 3)]).await.unwrap();
    let revocation = jti("a", 2);
    proxy.set(Fault::LoseAnswers);
    let mend = async {
        until("the entry is there", || async {
            !deny_key(&server, &revocation.digest).is_empty()
        })
        .await;
        proxy.set(Fault::None);
    };
    let batch = [revocation.clone()];
    let (written, ()) = tokio::join!(store.revoke(&batch), mend);
    written.unwrap();
    assert_eq!(server.cli(&["XLEN", "jr:{26s}:audit"]), "1");
}

#[tokio::test]
async fn r1_a_store_that_starts_late_is_not_ready_until_then() {
    let mut server = RedisServer::stopped();
    let store = builder(&server.url()).connect_lazily().unwrap();
    let digest = jti("a", 2).digest;
    assert!(store.ready().await.is_err());
    assert!(look(&store, 2, digest).await.is_err());
    assert!(
        store
            .require(Horizons::from_parts(PATIENCE, PATIENCE))
            .await
            .is_err()
    );
    server.run();
    until("it is ready", || async { store.ready().await.is_ok() }).await;
    assert_eq!(look(&store, 2, digest).await.unwrap(), Cutoffs::NONE);
}

#[tokio::test]
async fn r1_connecting_to_nothing_names_the_store_the_reason_and_the_mend() {
    let server = RedisServer::stopped();
    let url = server.url().replace("://", "://user:hunter2@");
    let connecting = RedisStore::builder(&url)
        .with_connect_timeout(Duration::from_millis(300))
        .connect();
    let error = tokio::time::timeout(PATIENCE, connecting)
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }));
    let told = error.to_string();
    assert!(told.contains(&server.url()), "{told}");
    assert!(told.to_lowercase().contains("refused"), "{told}");
    assert!(told.contains("start it"), "{told}");
    assert!(!format!("{error:?} {told}").contains("hunter2"));
}

// R2: the server refuses writes.

async fn refusal(store: &RedisStore) -> WriteRefusal {
    let batch = [jti("refused", 7)];
    match store.revoke(&batch).await {
        Err(StoreError::WriteRefused { refusal, .. }) => {
            // A store that cannot be written is not ready, and still answers checks.
            assert!(store.ready().await.is_err());
            assert_eq!(
                look(store, 7, batch[0].digest).await.unwrap(),
                Cutoffs::NONE
            );
            refusal
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn r2_out_of_memory_is_an_error_and_writes_nothing() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(refusal(&store).await, WriteRefusal::OutOfMemory);
    assert_eq!(server.cli(&["KEYS", "*:deny:*"]), "");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    store.revoke(&[jti("refused", 7)]).await.unwrap();
}

#[tokio::test]
async fn r2_a_primary_that_became_a_replica_is_an_error() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(refusal(&store).await, WriteRefusal::ReadOnly);
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    until("it is written", || async {
        store.revoke(&[jti("refused", 7)]).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn r2_too_few_replicas_are_an_error() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    server.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_eq!(refusal(&store).await, WriteRefusal::TooFewReplicas);
}

#[tokio::test]
async fn r2_a_server_that_cannot_persist_is_an_error() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    server.cli(&["CONFIG", "SET", "save", "3600 1000000"]);
    std::fs::remove_dir_all(server.folder()).unwrap();
    server.cli(&["BGSAVE"]);
    until("the snapshot fails", || async {
        server
            .cli(&["INFO", "persistence"])
            .contains("rdb_last_bgsave_status:err")
    })
    .await;
    let refusal = refusal(&store).await;
    assert!(
        matches!(refusal, WriteRefusal::CannotPersist(_)),
        "{refusal:?}"
    );
}

// R3: the server refuses reads.

#[tokio::test]
async fn r3_a_user_without_permission_is_unknown() {
    let server = RedisServer::start();
    let admin = connect(&server.url()).await;
    let revocation = jti("a", 1);
    admin
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    server.cli(&["ACL", "SETUSER", "app", "on", ">hunter2", "~*", "+@all"]);
    let store = builder(&server.url().replace("://", "://app:hunter2@"))
        .with_replica_entries(0)
        .connect()
        .await
        .unwrap();
    assert!(look(&store, 1, revocation.digest).await.is_ok());

    server.cli(&["ACL", "SETUSER", "app", "-mget", "-set"]);
    let error = look(&store, 1, revocation.digest).await.unwrap_err();
    assert!(matches!(error, StoreError::ReadRefused { .. }), "{error}");
    let error = store.revoke(&[jti("b", 1)]).await.unwrap_err();
    let no_permission = matches!(
        error,
        StoreError::WriteRefused {
            refusal: WriteRefusal::NoPermission(_),
            ..
        }
    );
    assert!(no_permission, "{error}");
}

#[tokio::test]
async fn r3_a_password_that_changes_under_way_is_unknown_until_it_is_back() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let digest = jti("a", 1).digest;
    server.cli(&["CONFIG", "SET", "requirepass", "other"]);
    server.cli(&[
        "-a", "other", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes",
    ]);
    until("the connection is replaced", || async {
        look(&store, 1, digest).await.is_err()
    })
    .await;
    server.cli(&["-a", "other", "CONFIG", "SET", "requirepass", ""]);
    until_known(&store, 1, digest).await;
}

#[tokio::test]
async fn r3_credentials_that_are_refused_end_connecting_and_are_never_shown() {
    let server = RedisServer::start_with(&["--requirepass", "right"]);
    for url in [
        server.url().replace("://", "://:hunter2@"),
        server.url().replace("://", "://hunter2:hunter2@"),
        server.url(),
    ] {
        let connecting = RedisStore::builder(&url)
            .with_connect_timeout(PATIENCE * 2)
            .connect();
        let error = tokio::time::timeout(PATIENCE, connecting)
            .await
            .expect("it tries to the end of its bound what cannot succeed")
            .unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains("password"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let builder = RedisStore::builder(&server.url().replace("://", "://:hunter2@"))
        .with_username("hunter2")
        .with_password("hunter2");
    assert!(!format!("{builder:?}").contains("hunter2"));
    let store = RedisStore::builder(&server.url())
        .with_healing(Duration::ZERO)
        .with_password("right")
        .connect()
        .await
        .unwrap();
    assert!(!format!("{store:?}").contains("right"));
}

#[tokio::test]
async fn r3_a_server_that_is_loading_is_unknown_until_it_has_its_data() {
    let mut server = RedisServer::start_with(&[
        "--key-load-delay",
        "1000",
        "--loading-process-events-interval-bytes",
        "1024",
    ]);
    let writer = connect(&server.url()).await;
    let reader = connect_without_copy(&server.url()).await;
    let revocation = jti("a", 1);
    writer
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    drop(writer);
    let fill = "for i = 1, 2000 do redis.call('SET', 'k' .. i, string.rep('x', 100)) end";
    server.cli(&["EVAL", fill, "0"]);
    server.cli(&["SAVE"]);
    server.kill();
    server.run();
    let loading = AtomicBool::new(false);
    until("it has loaded", || async {
        let answer = look(&reader, 1, revocation.digest).await;
        loading.fetch_or(answer.is_err(), Ordering::Relaxed);
        answer.is_ok_and(|found| {
            assert_eq!(
                found.highest(),
                Some(Cutoff::Forever),
                "a revoked token revived"
            );
            true
        })
    })
    .await;
    assert!(loading.into_inner(), "it was never seen loading");
}

#[tokio::test]
async fn r3_what_is_no_entry_of_ours_is_unknown() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let other = connect_without_copy(&server.url()).await;
    let revocation = jti("a", 1);
    store
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    server.cli(&["SET", &deny_key(&server, &revocation.digest), "maybe"]);
    let error = look(&other, 1, revocation.digest).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    // The process that wrote it knows better.
    assert!(look(&store, 1, revocation.digest).await.is_ok());
}

// R4: the server lost its data.

#[tokio::test]
async fn r4_a_wiped_server_is_unknown_until_live_processes_have_put_back_what_they_wrote() {
    let server = RedisServer::start();
    let settings = |url: &str| builder(url).with_healing(Duration::from_secs(3));
    let (writer, reader) = tokio::join!(
        settings(&server.url()).connect(),
        settings(&server.url()).connect()
    );
    let (writer, reader) = (writer.unwrap(), reader.unwrap());
    let horizons = Horizons::from_parts(Duration::from_secs(600), Duration::from_secs(6_000));
    writer.require(horizons).await.unwrap();
    let cutoff = writer.now(shard(1)).await.unwrap();
    let batch = [
        subject("alice", Placement::One(shard(1)), Reach::At(cutoff)),
        subject("acme", Placement::Wide, Reach::Forever),
    ];
    writer.revoke(&batch).await.unwrap();
    let before = pttl(&server, &batch[0].digest);

    // Nobody is asked on the writer's side: it notices by itself.
    server.cli(&["FLUSHALL"]);
    for (revocation, number) in [(&batch[0], 1), (&batch[1], 9)] {
        until("the reader knows it again", || async {
            match look(&reader, number, revocation.digest).await {
                Ok(found) => {
                    assert_ne!(found, Cutoffs::NONE, "a revoked token revived");
                    true
                }
                Err(StoreError::ShardLost { .. }) => false,
                Err(other) => panic!("{other}"),
            }
        })
        .await;
    }
    // The original cutoff, and no longer a life than it had.
    let found = look(&reader, 1, batch[0].digest).await.unwrap();
    assert_eq!(found.highest(), Some(Cutoff::At(cutoff)));
    let after = pttl(&server, &batch[0].digest);
    assert!(
        after <= before && after + PATIENCE > before,
        "{after:?} {before:?}"
    );
    // The horizons are back too.
    let meta = server.cli(&["KEYS", "jr:{15s}:meta"]);
    assert_eq!(meta::read(&server, &meta, Field::Access), "600000");
    until("the copy is fresh again", || async {
        reader.ready().await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn r4_while_a_shard_is_lost_what_is_known_is_told() {
    let server = RedisServer::start();
    let store = builder(&server.url())
        .with_healing(Duration::from_secs(3))
        .connect()
        .await
        .unwrap();
    let (known, other) = (jti("known", 1), jti("other", 1));
    store.revoke(std::slice::from_ref(&known)).await.unwrap();
    server.cli(&["FLUSHALL"]);
    for (digest, expected) in [(known.digest, Some(Cutoff::Forever)), (other.digest, None)] {
        match look(&store, 1, digest).await {
            Err(StoreError::ShardLost { known, .. }) => assert_eq!(known.highest(), expected),
            other => panic!("{other:?}"),
        }
    }
    // A shard that heals is not ready, and says so.
    assert!(matches!(
        store.ready().await,
        Err(StoreError::ShardLost { healing: true, .. })
    ));
}

#[tokio::test]
async fn r4_a_revocation_into_a_lost_shard_is_written() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    server.cli(&["FLUSHALL"]);
    store.revoke(&[jti("a", 1)]).await.unwrap();
    assert_ne!(deny_key(&server, &jti("a", 1).digest), "");
}

#[tokio::test]
async fn r4_what_this_process_revoked_stays_dead_while_the_server_is_away() {
    let mut server = RedisServer::start();
    let store = connect(&server.url()).await;
    store.revoke(&[jti("a", 1)]).await.unwrap();
    server.kill();
    let found = look(&store, 1, jti("a", 1).digest).await.unwrap();
    assert_eq!(found.highest(), Some(Cutoff::Forever));
    assert!(look(&store, 1, jti("b", 1).digest).await.is_err());
}

#[tokio::test]
async fn r4_a_write_that_a_failover_lost_is_put_back_after_it() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let store = connect(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    let revocation = jti("a", 1);
    store
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    // The new primary has the epoch and everything else, but not the last write.
    server.cli(&["DEL", &deny_key(&server, &revocation.digest)]);
    proxy.set(Fault::Reset);
    until("the connection is lost", || async {
        store.now(shard(1)).await.is_err()
    })
    .await;
    proxy.set(Fault::None);
    until("the entry is back", || async {
        !deny_key(&server, &revocation.digest).is_empty()
    })
    .await;
}

#[tokio::test]
async fn r4_a_new_database_waits_for_the_healing_time_once() {
    let server = RedisServer::start();
    let lazily = builder(&server.url())
        .with_healing(Duration::from_millis(1500))
        .connect_lazily()
        .unwrap();
    until("it was reached", || async {
        matches!(
            lazily.ready().await,
            Err(StoreError::ShardLost { healing: true, .. }) | Ok(())
        )
    })
    .await;
    let store = builder(&server.url())
        .with_healing(PATIENCE)
        .connect()
        .await
        .unwrap();
    // It did not begin a healing of its own.
    store.ready().await.unwrap();
    assert_eq!(
        look(&store, 1, jti("a", 1).digest).await.unwrap(),
        Cutoffs::NONE
    );
}

// R5: eviction.

#[tokio::test]
async fn r5_an_evicting_server_is_warned_about_and_strictly_refused() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let warned = Warnings::default();
    let guard = tracing::subscriber::set_default(warned.clone());
    connect(&server.url()).await;
    drop(guard);
    let told = warned.0.lock().unwrap().join("\n");
    assert!(
        told.contains("allkeys-lru") && told.contains("noeviction"),
        "{told}"
    );

    let error = builder(&server.url())
        .with_strict_eviction()
        .connect()
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Unfit { .. }), "{error}");
    assert!(error.to_string().contains("noeviction"), "{error}");
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    builder(&server.url())
        .with_strict_eviction()
        .connect()
        .await
        .unwrap();
}

#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{value:?} ");
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

// R6: entries that are too short.

#[tokio::test]
async fn r6_entries_live_for_the_longest_horizon_that_any_process_stated() {
    let server = RedisServer::start();
    let (long, short) = (connect(&server.url()).await, connect(&server.url()).await);
    let seconds = Duration::from_secs;
    long.require(Horizons::from_parts(seconds(1_000), seconds(90_000)))
        .await
        .unwrap();
    short
        .require(Horizons::from_parts(seconds(10), seconds(20)))
        .await
        .unwrap();
    let ahead = Reach::Now { ahead: seconds(4) };
    let batch = [
        jti("a", 1),
        subject(
            "now",
            Placement::One(shard(1)),
            Reach::Now {
                ahead: Duration::ZERO,
            },
        ),
        subject("ahead", Placement::One(shard(1)), ahead),
        subject("wide", Placement::Wide, ahead),
    ];
    short.revoke(&batch).await.unwrap();
    // As much as an entry may have aged on a slow machine before it is looked at.
    let aged = seconds(3);
    for (digest, life) in [
        (batch[0].digest, seconds(1_000)),
        (batch[1].digest, seconds(90_000)),
        (batch[2].digest, seconds(90_004)),
    ] {
        let left = pttl(&server, &digest);
        assert!(left <= life && left + aged > life, "{left:?} of {life:?}");
    }
    assert_eq!(deny_key(&server, &batch[3].digest).lines().count(), 16);
}

#[tokio::test]
async fn r6_as_long_as_no_horizon_is_stated_entries_live_for_the_longest_token() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    store.revoke(&[jti("a", 1)]).await.unwrap();
    assert!(pttl(&server, &jti("a", 1).digest) > defaults::MAX_TOKEN_LIFETIME);
}

#[tokio::test]
async fn r6_an_entry_that_is_raised_again_late_is_renewed_and_never_cut() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let hour = Duration::from_secs(3_600);
    store
        .require(Horizons::from_parts(hour, hour))
        .await
        .unwrap();
    let revocation = jti("a", 1);
    let now = subject(
        "b",
        Placement::One(shard(1)),
        Reach::Now {
            ahead: Duration::ZERO,
        },
    );
    let batch = [revocation.clone(), now.clone()];
    store.revoke(&batch).await.unwrap();
    let key = deny_key(&server, &revocation.digest);
    let other = deny_key(&server, &now.digest);
    // Nearly a whole life later.
    server.cli(&["PEXPIRE", &key, "60000"]);
    server.cli(&["PEXPIRE", &other, "7200000"]);
    store.revoke(&batch).await.unwrap();
    assert!(pttl(&server, &revocation.digest) > hour * 9 / 10);
    assert!(pttl(&server, &now.digest) > hour, "a longer life was cut");
    // And not written again while it lives long enough.
    let log = server.cli(&["KEYS", "*:log"]);
    let length = server.cli(&["XLEN", &log]);
    store
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    assert_eq!(server.cli(&["XLEN", &log]), length);
}

// R8: neighbours.

#[tokio::test]
async fn r8_two_prefixes_on_one_server_do_not_see_each_other() {
    let server = RedisServer::start();
    let (a, b) = tokio::join!(
        builder(&server.url()).with_prefix("a").connect(),
        builder(&server.url()).with_prefix("b").connect()
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    a.revoke(&[jti("x", 1)]).await.unwrap();
    assert_eq!(
        look(&b, 1, jti("x", 1).digest).await.unwrap(),
        Cutoffs::NONE
    );
    assert!(
        server
            .cli(&["KEYS", "*"])
            .lines()
            .all(|key| key.starts_with("a:{") || key.starts_with("b:{"))
    );
}

#[tokio::test]
async fn r8_a_prefix_that_would_move_keys_to_another_slot_is_refused() {
    for prefix in ["", "a{b}", "a b", "a\n", "ä"] {
        let refused = RedisStore::builder("redis://127.0.0.1")
            .with_prefix(prefix)
            .connect_lazily();
        assert!(
            matches!(refused, Err(StoreError::Address { .. })),
            "{prefix:?}"
        );
    }
}

// R12: clocks.

#[tokio::test]
async fn r12_a_server_whose_clock_is_off_is_not_ready_and_still_answers() {
    let server = RedisServer::start();
    let plain = connect(&server.url()).await;
    let now = plain.now(shard(0)).await.unwrap();
    let clock = Arc::new(FakeClock::new(now));
    let store = builder(&server.url())
        .with_clock(clock.clone())
        .connect()
        .await
        .unwrap();
    for ours in [
        now.saturating_add(Duration::from_secs(3_600)),
        now.saturating_sub(Duration::from_secs(3_600)),
    ] {
        clock.set(ours);
        let error = store.ready().await.unwrap_err();
        assert!(matches!(error, StoreError::Clock { .. }), "{error}");
        assert!(look(&store, 1, jti("a", 1).digest).await.is_ok());
    }
    clock.set(now);
    store.ready().await.unwrap();
}

#[tokio::test]
async fn r12_a_cutoff_is_not_dated_behind_the_log_of_its_shard() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let now = store.now(shard(1)).await.unwrap();
    // As a server whose clock was set back by an hour since.
    let later = now.as_millis() + 3_600_000;
    let log = "jr:{15s}:log";
    server.cli(&["XADD", log, &format!("{later}-0"), "digest", "x"]);
    let other = connect(&server.url()).await;
    // A session is dated by the clock, and the cutoff covers it.
    let date = other.now(shard(1)).await.unwrap();
    assert!(date.as_millis() < later, "{date}");
    let revocation = subject(
        "a",
        Placement::One(shard(1)),
        Reach::Now {
            ahead: Duration::ZERO,
        },
    );
    assert!(other.revoke(&[revocation]).await.unwrap().at.as_millis() >= later);
}

#[tokio::test]
async fn r12_a_date_of_a_wrong_clock_that_a_process_has_used_hides_none_that_was_given_to_a_session()
 {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let now = store.now(shard(1)).await.unwrap().as_millis();
    let (hour, key) = (3_600_000, "jr:{15s}:meta");
    let log = "jr:{15s}:log";
    let ahead = format!("{}-0", now + 24 * hour);
    let revocation = |name| {
        let reach = Reach::Now {
            ahead: Duration::ZERO,
        };
        [subject(name, Placement::One(shard(1)), reach)]
    };
    server.cli(&["XADD", log, &ahead, "digest", "x"]);
    let used = store.revoke(&revocation("a")).await.unwrap().at.as_millis();
    assert!(used >= now + 24 * hour);
    server.cli(&["DEL", log]);
    let told = now + hour / 2;
    for (field, number) in [(Field::Logged, 0), (Field::Cut, 0), (Field::Told, told)] {
        meta::write(&server, key, field, number);
    }
    let other = connect(&server.url()).await;
    let at = other.revoke(&revocation("b")).await.unwrap().at.as_millis();
    assert!((told..told + hour / 4).contains(&at), "{told} {at}");
}

#[tokio::test]
async fn r71_a_clock_that_was_ahead_leaves_nothing_but_what_it_dated() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let key = "jr:{15s}:meta";
    let before = meta::read(&server, key, Field::Told);
    // The probe of each second proves that the shard can be written, and dates nothing.
    store.ready().await.unwrap();
    store.earliest_now().await.unwrap();
    until("the probe of another second", || async {
        let second = Duration::from_secs(2);
        let start = std::time::Instant::now();
        store.ready().await.unwrap();
        tokio::time::sleep(second.saturating_sub(start.elapsed())).await;
        true
    })
    .await;
    assert_eq!(meta::read(&server, key, Field::Told), before);
    // A date that was given to a session is kept.
    let date = store.now(shard(1)).await.unwrap();
    let told = meta::read(&server, key, Field::Told);
    assert_eq!(told, date.as_millis().to_string());
}

#[tokio::test]
async fn r12_a_shard_that_a_wrong_clock_has_written_is_put_right_as_the_documents_say() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let revoked = [jti("a", 1), jti("b", 2)];
    store.revoke(&revoked).await.unwrap();
    let now = store.now(shard(1)).await.unwrap();
    let ahead = now.saturating_add(Duration::from_secs(86_400));
    let id = format!("{}-0", ahead.as_millis());
    server.cli(&["XADD", "jr:{15s}:log", &id, "digest", "x"]);
    // The server's clock is right, so the store is ready, and dates sessions by it.
    store.ready().await.unwrap();
    assert!(store.now(shard(1)).await.unwrap() < ahead);
    let of_others = server.cli(&["KEYS", "jr:*"]).lines().count();
    let of_shard = server.cli(&["KEYS", "jr:{15s}:*"]).lines().count();
    // The very words of the documents.
    let words = include_str!("../../docs/redis.md");
    let script = words.split("redis-cli EVAL \"").nth(1).unwrap();
    let script = script.split('"').next().unwrap();
    server.cli(&["SET", "jr:{15s}:session:left", "x"]);
    server.cli(&["EVAL", script, "1", "jr:{15s}:meta", "jr:{15s}:*"]);
    assert_eq!(server.cli(&["EXISTS", "jr:{15s}:session:left"]), "0");
    assert!(server.cli(&["KEYS", "jr:*"]).lines().count() >= of_others - of_shard);
    until("the store is ready", || async {
        store.ready().await.is_ok()
    })
    .await;
    assert!(store.now(shard(1)).await.unwrap() < ahead);
    for (revocation, at) in revoked.iter().zip([1, 2]) {
        until("what was revoked is back", || async {
            !server
                .cli(&["KEYS", &format!("*:deny:{}", revocation.digest)])
                .is_empty()
        })
        .await;
        let found = look(&connect(&server.url()).await, at, revocation.digest).await;
        assert_eq!(found.unwrap().highest(), Some(Cutoff::Forever));
    }
}

// What the server must be.

#[tokio::test]
async fn another_layout_is_refused() {
    let server = RedisServer::start();
    connect(&server.url()).await;
    server.cli(&["SETRANGE", "jr:{aoo}:meta", "0", "2"]);
    let error = builder(&server.url()).connect().await.unwrap_err();
    assert!(matches!(error, StoreError::Layout { .. }), "{error}");
}

#[tokio::test]
async fn a_replica_is_refused() {
    let server = RedisServer::start();
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let error = builder(&server.url()).connect().await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(error.to_string().contains("or of the sentinels"), "{error}");
    assert!(error.may_pass());
}

#[tokio::test]
async fn any_store_connects_to_redis_by_its_address() {
    let server = RedisServer::start();
    connect(&server.url()).await;
    AnyStore::connect(&format!("{}/1", server.url().replace("redis:", "valkey:")))
        .await
        .unwrap();
    let error = AnyStore::connect("redis://:hunter2@/x").await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

// Interop.

#[tokio::test]
async fn keys_of_other_services_are_read() {
    let server = RedisServer::start();
    let store = builder(&server.url())
        .with_legacy_prefix("blacklist:")
        .connect()
        .await
        .unwrap();
    let digests = [jti("a", 1).digest, jti("b", 1).digest];
    let ask = async |jti: Option<&str>| {
        let query = Lookup::new(shard(1), &digests).with_jti(jti);
        store.lookup(&query).await.unwrap().highest()
    };
    server.cli(&["SET", "blacklist:x-1", "1", "EX", "100"]);
    assert_eq!(ask(Some("x-1")).await, Some(Cutoff::Forever));
    assert_eq!(ask(Some("x-2")).await, None);
    assert_eq!(ask(None).await, None);
    // T11: what may stand in no key cannot be asked for.
    assert_eq!(ask(Some("a:{b}")).await, Some(Cutoff::Forever));
}

#[tokio::test]
async fn keys_of_other_services_are_written_and_never_cut() {
    let server = RedisServer::start();
    let store = builder(&server.url())
        .with_legacy_prefix("blacklist:")
        .with_legacy_writes()
        .connect()
        .await
        .unwrap();
    let hour = Duration::from_secs(3_600);
    store
        .require(Horizons::from_parts(hour, hour))
        .await
        .unwrap();
    server.cli(&["SET", "blacklist:long", "1", "EX", "90000"]);
    server.cli(&["SET", "blacklist:for-ever", "1"]);
    let user = subject("alice", Placement::One(shard(1)), Reach::Forever);
    store
        .revoke(&[jti("new", 1), jti("long", 1), jti("for-ever", 1), user])
        .await
        .unwrap();
    let ttl = |key: &str| server.cli(&["TTL", key]).parse::<i64>().unwrap();
    assert!((3_500..=3_602).contains(&ttl("blacklist:new")));
    assert!(ttl("blacklist:long") > 80_000);
    assert_eq!(ttl("blacklist:for-ever"), -1);
    assert_eq!(server.cli(&["KEYS", "blacklist:*"]).lines().count(), 3);
}

// Cluster.

#[tokio::test]
async fn r8_a_cluster_holds_all_shards_on_its_nodes() {
    let cluster = RedisCluster::start(3);
    let settings = builder(&cluster.url())
        .with_legacy_prefix("blacklist:")
        .with_legacy_writes();
    let (store, other) = tokio::join!(settings.clone().connect(), settings.connect());
    let (store, other) = (store.unwrap(), other.unwrap());
    store.ready().await.unwrap();
    let batch: Vec<_> = Shard::all().map(|at| jti("one", at.number())).collect();
    store.revoke(&batch).await.unwrap();
    let wide = subject(
        "acme",
        Placement::Wide,
        Reach::Now {
            ahead: Duration::ZERO,
        },
    );
    for node in &cluster.nodes {
        node.cli(&["SCRIPT", "FLUSH"]);
    }
    store.revoke(std::slice::from_ref(&wide)).await.unwrap();
    let digests = [batch[0].digest, wide.digest];
    let mut instants = Vec::new();
    for shard in Shard::all() {
        let one = [digests[0]];
        let found = other.lookup(&Lookup::new(shard, &one)).await.unwrap();
        assert_eq!(found.highest(), Some(Cutoff::Forever));
        let query = Lookup::new(shard, &digests[1..]).with_jti(Some("unknown"));
        instants.push(other.lookup(&query).await.unwrap().highest());
        let query = Lookup::new(shard, &[]).with_jti(Some("one"));
        assert_eq!(
            other.lookup(&query).await.unwrap().highest(),
            Some(Cutoff::Forever)
        );
    }
    instants.dedup();
    assert!(
        matches!(instants[..], [Some(Cutoff::At(_))]),
        "{instants:?}"
    );
    // Sixteen shards on three nodes: five or six each.
    for node in &cluster.nodes {
        let shards = node.cli(&["KEYS", "*:meta"]).lines().count();
        assert!((5..=6).contains(&shards), "{shards}");
    }
}

#[tokio::test]
async fn r8_slots_that_move_to_another_node_are_followed() {
    let cluster = RedisCluster::start(3);
    let store = connect(&cluster.url()).await;
    let revocation = jti("a", 0);
    store
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    cluster.move_first_slot(Duration::ZERO).await;
    until("the move is followed", || async {
        match look(&connect(&cluster.url()).await, 0, revocation.digest).await {
            Ok(found) => found.highest() == Some(Cutoff::Forever),
            Err(_) => false,
        }
    })
    .await;
    until_known(&store, 0, jti("b", 0).digest).await;
    store.revoke(&[jti("b", 0)]).await.unwrap();
    assert_ne!(deny_key(&cluster.nodes[2], &jti("b", 0).digest), "");
}

#[tokio::test]
async fn r11_one_wiped_node_of_a_cluster_is_noticed_and_healed() {
    let cluster = RedisCluster::start(3);
    let store = connect(&cluster.url()).await;
    let batch: Vec<_> = Shard::all()
        .map(|at| subject("alice", Placement::One(at), Reach::Forever))
        .collect();
    store.revoke(&batch).await.unwrap();
    let node = &cluster.nodes[1];
    let before = node.cli(&["KEYS", "*:deny:*"]).lines().count();
    assert!(before > 0);
    node.cli(&["FLUSHALL"]);
    until("all entries are back", || async {
        node.cli(&["KEYS", "*:deny:*"]).lines().count() == before
    })
    .await;
}

#[tokio::test]
async fn a_node_of_a_cluster_needs_the_address_of_a_cluster() {
    let node = RedisServer::start_with(&["--cluster-enabled", "yes"]);
    let error = RedisStore::builder(&node.url())
        .with_connect_timeout(Duration::from_secs(3))
        .connect()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("redis-cluster://"), "{error}");
}

// Sentinel.

#[tokio::test]
async fn r8_a_failover_of_the_sentinels_is_followed() {
    let mut group = RedisSentinels::start();
    let store = connect(&group.url()).await;
    let revocation = jti("a", 1);
    store
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    let replicated = || async { !deny_key(&group.servers[1], &revocation.digest).is_empty() };
    until("it is replicated", replicated).await;
    group.servers[0].kill();
    until("the new primary is written", || async {
        store.revoke(&[jti("b", 1)]).await.is_ok()
    })
    .await;
    let found = look(&connect(&group.url()).await, 1, revocation.digest)
        .await
        .unwrap();
    assert_eq!(found.highest(), Some(Cutoff::Forever));
    assert_ne!(deny_key(&group.servers[1], &jti("b", 1).digest), "");
}

#[tokio::test]
async fn r8_a_primary_that_was_demoted_under_an_open_connection_is_left() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let connections = || {
        let list = server.cli(&["CLIENT", "LIST"]);
        let ids = list
            .lines()
            .filter(|line| !line.contains("redis-cli") && !line.contains("cmd=client"));
        ids.filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
            .collect::<Vec<_>>()
    };
    let before = connections();
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    assert!(store.revoke(&[jti("a", 1)]).await.is_err());
    until("it looks for the primary", || async {
        let now = connections();
        now.len() == before.len() && now != before
    })
    .await;
}

// TLS.

#[tokio::test]
async fn tls_is_spoken_with_a_server_whose_authority_is_known() {
    let server = RedisServer::start_tls();
    let trusting = builder(&server.url()).with_ca_certificates(server.authority().as_bytes());
    let store = trusting.connect().await.unwrap();
    store.revoke(&[jti("a", 1)]).await.unwrap();
    let found = look(&store, 1, jti("a", 1).digest).await.unwrap();
    assert_eq!(found.highest(), Some(Cutoff::Forever));
}

#[tokio::test]
async fn tls_with_a_stranger_or_another_name_is_refused() {
    let (server, stranger) = (RedisServer::start_tls(), RedisServer::start_tls());
    let another_name = server.url().replace("localhost", "127.0.0.1");
    for (url, authority) in [
        (server.url(), stranger.authority()),
        (another_name, server.authority()),
    ] {
        let error = builder(&url)
            .with_ca_certificates(authority.as_bytes())
            .with_connect_timeout(Duration::from_secs(1))
            .connect()
            .await
            .unwrap_err();
        assert!(error.to_string().contains("ertificate"), "{error}");
    }
    let error = builder(&server.url())
        .with_ca_certificates(b"nothing")
        .connect()
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
}

// Addresses of another kind than the server.

/// Why no store is connected.
async fn why(builder: RedisBuilder) -> String {
    builder.connect().await.unwrap_err().to_string()
}

#[tokio::test]
async fn r69_the_error_for_an_address_of_another_kind_says_what_to_write() {
    let (plain, tls) = (RedisServer::start(), RedisServer::start_tls());
    let said = |scheme: &'static str, server: &RedisServer, rest: &'static str| {
        let url = format!("{scheme}://localhost:{}{rest}", server.port());
        async move { why(builder(&url)).await }
    };
    let group = RedisSentinels::start();
    let url = group.url();
    let (first, _) = url.split_once('?').unwrap();
    let to_sentinel = builder(&first.replace("redis-sentinel", "redis"));
    let of_none = builder(&format!("{first}?service=none"));
    // At a time, since each is tried for as long as connecting may take.
    let (to_plain, to_tls, cluster, sentinel, as_server, unknown) = tokio::join!(
        said("rediss", &plain, ""),
        said("redis", &tls, ""),
        said("redis-cluster", &plain, ""),
        said("redis-sentinel", &plain, "?service=main"),
        why(to_sentinel),
        why(of_none),
    );
    for (said, words) in [
        (to_plain, "redis:// instead of rediss://"),
        (to_tls, "rediss:// instead of redis://"),
        (cluster, "redis:// instead of redis-cluster://"),
        (sentinel, "redis:// instead of redis-sentinel://"),
        (as_server, "redis-sentinel:// instead of redis://"),
        (unknown, "correct ?service="),
    ] {
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn r68_a_password_that_was_changed_is_called_a_failed_authentication() {
    let server = RedisServer::start_with(&["--requirepass", "first"]);
    let builder = builder(&server.url()).with_password("first");
    let store = builder.with_replica_entries(0).connect().await.unwrap();
    let change = [
        "-a",
        "first",
        "--no-auth-warning",
        "CONFIG",
        "SET",
        "requirepass",
        "second",
    ];
    assert_eq!(server.cli(&change), "OK");
    server.cli(&[
        "-a",
        "second",
        "--no-auth-warning",
        "CLIENT",
        "KILL",
        "TYPE",
        "normal",
    ]);
    until("a check says why", || async {
        let checked = look(&store, 1, jti("a", 1).digest).await;
        checked.is_err_and(|error| error.to_string().contains("authentication failed"))
    })
    .await;
    let written = store.revoke(&[jti("a", 1)]).await.unwrap_err();
    assert!(
        written.to_string().contains("authentication failed"),
        "{written}"
    );
    let ready = store.ready().await.unwrap_err();
    assert!(
        ready.to_string().contains("authentication failed"),
        "{ready}"
    );
}

#[tokio::test]
async fn r69_a_server_whose_info_is_renamed_or_forbidden_is_used_and_warned_about() {
    let server = RedisServer::start_with(&["--rename-command", "INFO", ""]);
    let store = connect(&server.url()).await;
    store.revoke(&[jti("a", 1)]).await.unwrap();
    let strict = why(builder(&server.url()).with_strict_eviction()).await;
    assert!(strict.contains("noeviction"), "{strict}");
    let replica =
        RedisServer::start_with(&["--cluster-enabled", "yes", "--rename-command", "INFO", ""]);
    let to_node = why(builder(&replica.url())).await;
    assert!(to_node.contains("redis-cluster"), "{to_node}");
}

#[tokio::test]
async fn r2_a_process_that_starts_while_writes_are_refused_waits_within_its_bound() {
    let server = RedisServer::start_with(&["--min-replicas-to-write", "1"]);
    let refused = why(builder(&server.url())).await;
    assert!(
        refused.contains("too few replicas") && refused.contains("accept writes"),
        "{refused}"
    );
    let connecting = builder(&server.url())
        .with_connect_timeout(PATIENCE)
        .connect();
    let relieved = async {
        until("it was refused", || async {
            server.cli(&["INFO", "errorstats"]).contains("NOREPLICAS")
        })
        .await;
        server.cli(&["CONFIG", "RESETSTAT"]);
        until("it was refused again", || async {
            server.cli(&["INFO", "errorstats"]).contains("NOREPLICAS")
        })
        .await;
        server.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    };
    let (store, ()) = tokio::join!(connecting, relieved);
    store.unwrap().revoke(&[jti("a", 1)]).await.unwrap();
}

// A lookup that is dropped half-way must not hurt the next one.

#[tokio::test]
async fn a_check_that_is_given_up_does_no_harm() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let done = Arc::new(AtomicBool::new(false));
    for _ in 0..200 {
        let (store, done) = (store.clone(), done.clone());
        let task = tokio::spawn(async move {
            let _ = look(&store, 1, jti("a", 1).digest).await;
            done.store(true, Ordering::Relaxed);
        });
        tokio::task::yield_now().await;
        task.abort();
    }
    assert_eq!(
        look(&store, 1, jti("a", 1).digest).await.unwrap(),
        Cutoffs::NONE
    );
}
