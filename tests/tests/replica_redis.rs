//! The copy of a Redis store in each process: filled, fresh, and put back into a store that lost it.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use jwt_revoke_core::{
    Timestamp,
    revocation::{Cutoff, Cutoffs, Digest, Dimension, Horizons, Placement, SHARDS},
    store::{Health, Lookup, Reach, RedisStore, Revocation, Store as _, StoreError},
};
use jwt_revoke_tests::{
    patience::{PATIENCE, until},
    proxy::{Fault, Proxy},
    redis_server::{RedisCluster, RedisSentinels, RedisServer},
    redis_store::{
        ISSUER, connect_for_tokens, mirrored, mirrored_within, patient_builder as builder, shard,
    },
};

async fn connect(url: &str) -> RedisStore {
    connect_for_tokens(builder(url)).await
}

fn subject(value: &str, placement: Placement) -> Revocation {
    Revocation::new(
        Dimension::Subject,
        ISSUER,
        value,
        placement,
        Reach::Now {
            ahead: Duration::ZERO,
        },
    )
}

fn in_shard(value: &str, at: u8) -> Revocation {
    subject(value, Placement::One(shard(at)))
}

async fn revoke(store: &RedisStore, revocation: &Revocation) {
    let revocations = std::slice::from_ref(revocation);
    store.revoke(revocations).await.unwrap();
}

async fn until_mirrored(store: &RedisStore, at: u8, digest: Digest) {
    until("the copy has the entry", || async {
        mirrored(store, at, digest).is_some_and(|found| found != Cutoffs::NONE)
    })
    .await;
}

async fn until_health(store: &RedisStore, health: Health) {
    until("the store is as healthy as that", || async {
        store.health() == health
    })
    .await;
}

async fn strictly(store: &RedisStore, at: u8, digest: Digest) -> Result<Cutoffs, StoreError> {
    store.lookup(&Lookup::new(shard(at), &[digest])).await
}

fn entries(server: &RedisServer) -> usize {
    server.cli(&["KEYS", "jr:*:deny:*"]).lines().count()
}

#[tokio::test]
async fn a_revocation_reaches_the_copies_of_other_processes_and_checks_ask_nobody() {
    let server = RedisServer::start();
    let (writer, reader) = (connect(&server.url()).await, connect(&server.url()).await);
    let one = in_shard("alice", 3);
    let wide = subject("acme", Placement::Wide);
    writer.revoke(&[one.clone(), wide.clone()]).await.unwrap();
    // Read your writes.
    assert_ne!(mirrored(&writer, 3, one.digest), Some(Cutoffs::NONE));
    until_mirrored(&reader, 3, one.digest).await;
    for at in 0..SHARDS {
        until_mirrored(&reader, at, wide.digest).await;
    }
    assert_eq!(mirrored(&reader, 4, one.digest), Some(Cutoffs::NONE));
    assert_eq!(reader.health(), Health::Fresh);
    reader.ready().await.unwrap();
    // A check asks nobody: it is answered while the server cannot.
    server.freeze();
    let second = Duration::from_secs(1);
    let at_once = (0..100).map(|_| mirrored_within(&reader, 3, one.digest, second));
    assert!(at_once.into_iter().all(|found| found.is_some()));
    server.resume();
}

#[tokio::test]
async fn a_raised_cutoff_reaches_the_copies() {
    let server = RedisServer::start();
    let (writer, reader) = (connect(&server.url()).await, connect(&server.url()).await);
    let (first, second) = (in_shard("alice", 1), in_shard("alice", 1));
    revoke(&writer, &first).await;
    until_mirrored(&reader, 1, first.digest).await;
    let before = mirrored(&reader, 1, first.digest).unwrap().highest();
    // A cutoff of the same millisecond raises nothing.
    writer.now(shard(1)).await.unwrap();
    let now = writer.revoke(&[second]).await.unwrap().at;
    until("it is raised", || async {
        mirrored(&reader, 1, first.digest).unwrap().highest() > before
    })
    .await;
    let raised = mirrored(&reader, 1, first.digest).unwrap().highest();
    assert_eq!(raised, Some(Cutoff::At(now)));
}

#[tokio::test]
async fn r1_a_copy_that_is_cut_off_ages_and_is_not_believed_beyond_its_bound() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let reader = connect(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    let writer = connect(&server.url()).await;
    let known = in_shard("alice", 2);
    revoke(&writer, &known).await;
    until_mirrored(&reader, 2, known.digest).await;
    proxy.set(Fault::Blackhole);
    let bound = Duration::from_secs(1);
    until("it is too old", || async {
        mirrored_within(&reader, 2, known.digest, bound).is_none()
    })
    .await;
    // What it missed is not guessed at, and what it knows still holds.
    let missed = in_shard("bob", 2);
    revoke(&writer, &missed).await;
    let error = strictly(&reader, 2, missed.digest).await.unwrap_err();
    assert_eq!(error.known(), Cutoffs::NONE);
    let error = strictly(&reader, 2, known.digest).await.unwrap_err();
    assert_ne!(error.known(), Cutoffs::NONE);
    until_health(&reader, Health::Degraded).await;
    assert!(reader.ready().await.is_err());
    proxy.set(Fault::None);
    until_health(&reader, Health::Fresh).await;
    let found = mirrored(&reader, 2, missed.digest).unwrap();
    assert_ne!(found, Cutoffs::NONE, "fresh, and without what it missed");
}

#[tokio::test]
async fn r1_a_frozen_server_makes_copies_old_and_they_are_fresh_again_when_it_goes_on() {
    let server = RedisServer::start();
    let (writer, reader) = (connect(&server.url()).await, connect(&server.url()).await);
    server.freeze();
    let any = in_shard("alice", 2);
    let bound = Duration::from_secs(1);
    until("it is too old", || async {
        mirrored_within(&reader, 2, any.digest, bound).is_none()
    })
    .await;
    server.resume();
    until("it can be written again", || async {
        writer.revoke(std::slice::from_ref(&any)).await.is_ok()
    })
    .await;
    until_mirrored(&reader, 2, any.digest).await;
    until_health(&reader, Health::Fresh).await;
}

#[tokio::test]
async fn r1_a_frozen_server_that_is_followed_costs_one_wait_and_then_none() {
    let server = RedisServer::start();
    let store = builder(&server.url())
        .with_check_timeout(Duration::from_millis(50))
        .connect()
        .await
        .unwrap();
    let digest = in_shard("alice", 3).digest;
    server.freeze();
    // Until the copy is older than checks accept by default, nobody asks.
    until("the copy is old", || async {
        mirrored_within(&store, 3, digest, Duration::from_secs(1)).is_none()
    })
    .await;
    let mut waits = 0;
    for _ in 0..20 {
        match strictly(&store, 3, digest).await {
            Err(StoreError::TimedOut { .. }) => waits += 1,
            Err(StoreError::Unreachable { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waits, 1);
    server.resume();
    until("checks ask again", || async {
        strictly(&store, 3, digest).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn r7_a_stalled_follower_is_noticed_and_checks_go_to_the_store() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let reader = connect(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    let writer = connect(&server.url()).await;
    // Everything else goes on: nobody closes a connection, nothing is refused.
    proxy.set(Fault::Hold("XREAD"));
    let missed = in_shard("alice", 2);
    let bound = Duration::from_secs(1);
    until("the copy is too old to be asked", || async {
        mirrored_within(&reader, 2, missed.digest, bound).is_none()
    })
    .await;
    revoke(&writer, &missed).await;
    let found = strictly(&reader, 2, missed.digest).await.unwrap();
    assert_ne!(found, Cutoffs::NONE);
    assert_ne!(reader.health(), Health::Fresh);
    assert!(matches!(
        reader.ready().await,
        Err(StoreError::Behind { .. })
    ));
    reader.revoke(&[in_shard("bob", 2)]).await.unwrap();
    proxy.set(Fault::None);
    until_mirrored(&reader, 2, missed.digest).await;
    until_health(&reader, Health::Fresh).await;
}

#[tokio::test]
async fn r4_a_wiped_server_gets_back_what_others_wrote_from_whoever_read_it() {
    let server = RedisServer::start();
    let reader = connect(&server.url()).await;
    let writer = connect(&server.url()).await;
    let mut revocations: Vec<_> = (0..SHARDS).map(|at| in_shard("alice", at)).collect();
    // More than are put back without a look at what is there.
    revocations.extend((0..1_500).map(|n| in_shard(&format!("user-{n}"), 5)));
    writer.revoke(&revocations).await.unwrap();
    for revocation in &revocations {
        let Placement::One(at) = revocation.placement else {
            unreachable!()
        };
        until_mirrored(&reader, at.number(), revocation.digest).await;
    }
    let cutoff = mirrored(&reader, 5, revocations[5].digest).unwrap();
    drop(writer);
    server.cli(&["FLUSHALL"]);
    until("all entries are back", || async {
        entries(&server) == revocations.len()
    })
    .await;
    let stranger = connect(&server.url()).await;
    let found = strictly(&stranger, 5, revocations[5].digest).await.unwrap();
    assert_eq!(found, cutoff, "the original cutoff");
    until_mirrored(&stranger, 5, revocations[5].digest).await;
    until_health(&reader, Health::Fresh).await;
}

#[tokio::test]
async fn r4_a_server_that_comes_back_empty_is_healed_by_whoever_read_it() {
    let mut server = RedisServer::start();
    let reader = connect(&server.url()).await;
    let writer = connect(&server.url()).await;
    let (one, other) = (in_shard("alice", 1), in_shard("bob", 9));
    writer.revoke(&[one.clone(), other.clone()]).await.unwrap();
    until_mirrored(&reader, 1, one.digest).await;
    until_mirrored(&reader, 9, other.digest).await;
    drop(writer);
    server.kill();
    server.run();
    until("both are back", || async { entries(&server) == 2 }).await;
    until_health(&reader, Health::Fresh).await;
    assert_ne!(mirrored(&reader, 1, one.digest), Some(Cutoffs::NONE));
}

#[tokio::test]
async fn r4_what_a_check_has_found_the_process_knows_and_puts_back() {
    let server = RedisServer::start();
    let writer = connect(&server.url()).await;
    let known = in_shard("alice", 1);
    // Of no use to any token that lives.
    let horizon = Duration::from_secs(1_200);
    let long_ago = Timestamp::from_millis(1_000_000_000_000);
    let mut old = in_shard("bob", 1);
    old.reach = Reach::At(long_ago);
    let reader = connect(&server.url()).await;
    until_health(&reader, Health::Fresh).await;
    // Entries of which the follower does not read.
    let hex = |entry: &Revocation| String::from_utf8(entry.digest.hex().to_vec()).unwrap();
    let now = writer.now(shard(1)).await.unwrap().as_millis();
    for (entry, cutoff) in [(&known, now), (&old, long_ago.as_millis())] {
        let key = format!("jr:{{15s}}:deny:{}", hex(entry));
        let life = "86400000";
        server.cli(&["SET", &key, &cutoff.to_string(), "PX", life]);
    }
    drop(writer);
    assert_eq!(mirrored(&reader, 1, known.digest), Some(Cutoffs::NONE));
    for entry in [&known, &old] {
        let found = strictly(&reader, 1, entry.digest).await.unwrap();
        assert_ne!(found, Cutoffs::NONE);
    }
    assert_ne!(mirrored(&reader, 1, known.digest), Some(Cutoffs::NONE));
    assert_eq!(mirrored(&reader, 1, old.digest), Some(Cutoffs::NONE));
    server.cli(&["FLUSHALL"]);
    until("it is back", || async { entries(&server) == 1 }).await;
    let error_or_found = strictly(&reader, 1, known.digest).await;
    let found = error_or_found.unwrap_or_else(|error| error.known());
    assert_ne!(found, Cutoffs::NONE);
    let life: u64 = server
        .cli(&["PTTL", &server.cli(&["KEYS", "jr:*:deny:*"])])
        .parse()
        .unwrap();
    assert!(Duration::from_millis(life) > horizon, "{life} ms");
}

#[tokio::test]
async fn r4_a_copy_of_a_store_that_heals_is_not_believed() {
    let server = RedisServer::start();
    let old = connect(&server.url()).await;
    let known = in_shard("alice", 1);
    revoke(&old, &known).await;
    server.cli(&["FLUSHALL"]);
    // A process that has never seen the store before.
    let new = builder(&server.url())
        .with_healing(Duration::from_secs(2))
        .connect_lazily()
        .unwrap();
    until("it answers", || async {
        let found = mirrored(&new, 1, known.digest);
        // Before the entry was put back it may have none, and must not say so.
        assert_ne!(found, Some(Cutoffs::NONE), "a revoked token revived");
        found.is_some()
    })
    .await;
}

/// A server that has come back with the same epoch and an older history: it lacks the end of the log of shard 1.
struct Shortened {
    server: RedisServer,
    /// Where the one who knows is kept away, for now.
    proxy: Proxy,
    reader: RedisStore,
    kept: Revocation,
    lost: Revocation,
}

async fn shortened(healing: Duration) -> Shortened {
    let mut server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let address = format!("redis://127.0.0.1:{}", proxy.port());
    let reader = builder(&address).with_healing(healing).connect().await;
    let (reader, writer) = (reader.unwrap(), connect(&server.url()).await);
    let (kept, lost) = (in_shard("kept", 1), in_shard("lost", 1));
    revoke(&writer, &kept).await;
    assert_eq!(server.cli(&["SAVE"]), "OK");
    revoke(&writer, &lost).await;
    until_mirrored(&reader, 1, lost.digest).await;
    drop(writer);
    proxy.set(Fault::Reset);
    server.kill();
    server.run();
    Shortened {
        server,
        proxy,
        reader,
        kept,
        lost,
    }
}

#[tokio::test]
async fn r11_the_end_of_a_log_that_a_failover_lost_is_put_back_by_whoever_read_it() {
    let Shortened {
        server,
        proxy,
        reader: _reader,
        lost,
        ..
    } = shortened(Duration::ZERO).await;
    proxy.set(Fault::None);
    until("it is back", || async { entries(&server) == 2 }).await;
    let stranger = connect(&server.url()).await;
    let found = strictly(&stranger, 1, lost.digest).await.unwrap();
    assert_ne!(found, Cutoffs::NONE);
}

#[tokio::test]
async fn r11_a_shard_that_lost_the_end_of_its_log_is_unknown_to_all_until_it_is_healed() {
    let Shortened {
        server,
        proxy,
        reader: _reader,
        kept,
        lost,
    } = shortened(Duration::from_secs(2)).await;
    let other = in_shard("other", 2);
    let stranger = connect(&server.url()).await;
    let found = strictly(&stranger, 1, lost.digest).await.unwrap();
    assert_eq!(found, Cutoffs::NONE, "nobody could tell yet");
    // From the moment in which somebody notices nothing is taken for not revoked, until all is back.
    proxy.set(Fault::None);
    until("it is unknown", || async {
        let unknown = strictly(&stranger, 1, kept.digest).await;
        matches!(unknown, Err(StoreError::ShardLost { healing: true, .. }))
    })
    .await;
    assert_eq!(
        strictly(&stranger, 2, other.digest).await.unwrap(),
        Cutoffs::NONE
    );
    until("it is known again", || async {
        match strictly(&stranger, 1, lost.digest).await {
            Err(StoreError::ShardLost { .. }) => false,
            found => {
                assert_ne!(found.unwrap(), Cutoffs::NONE);
                true
            }
        }
    })
    .await;
}

#[tokio::test]
async fn r11_a_log_that_went_on_without_its_end_is_read_anew_and_mended() {
    let Shortened {
        server,
        proxy,
        reader,
        lost,
        ..
    } = shortened(Duration::ZERO).await;
    // While nobody looks, others write on.
    let later = in_shard("later", 1);
    let other = connect(&server.url()).await;
    revoke(&other, &later).await;
    proxy.set(Fault::None);
    until_mirrored(&reader, 1, later.digest).await;
    until("it is back", || async { entries(&server) == 3 }).await;
    until_mirrored(&other, 1, lost.digest).await;
}

#[tokio::test]
async fn r10_more_entries_than_there_is_room_for_make_checks_strict_and_nothing_is_forgotten() {
    let server = RedisServer::start();
    let writer = connect(&server.url()).await;
    let small = builder(&server.url())
        .with_replica_entries(10)
        .connect()
        .await
        .unwrap();
    let batch: Vec<_> = (0..50).map(|n| in_shard(&format!("user-{n}"), 1)).collect();
    writer.revoke(&batch).await.unwrap();
    until("it says that it is behind", || async {
        mirrored(&small, 1, batch[0].digest).is_none()
    })
    .await;
    for revocation in &batch {
        let found = strictly(&small, 1, revocation.digest).await.unwrap();
        assert_ne!(found, Cutoffs::NONE);
    }
    assert!(
        mirrored(&small, 2, batch[0].digest).is_some(),
        "other shards are fresh"
    );
    assert_eq!(small.health(), Health::Stale);
}

#[tokio::test]
async fn a_key_that_leaked_is_known_to_a_process_that_starts_when_the_log_has_forgotten_it() {
    let server = RedisServer::start();
    let writer = connect(&server.url()).await;
    let place = Placement::Wide;
    let leaked = Revocation::new(Dimension::Key, ISSUER, "2026-01", place, Reach::Forever);
    revoke(&writer, &leaked).await;
    drop(writer);
    let logs = server.cli(&["KEYS", "jr:*:log"]);
    assert_eq!(logs.lines().count(), 16);
    for log in logs.lines() {
        server.cli(&["XTRIM", log, "MAXLEN", "0"]);
    }
    let new = connect(&server.url()).await;
    for at in 0..SHARDS {
        let found = mirrored(&new, at, leaked.digest);
        assert_eq!(
            found.and_then(|found| found.highest()),
            Some(Cutoff::Forever)
        );
    }
}

#[tokio::test]
async fn a_log_that_holds_what_nobody_of_us_wrote_is_read_over() {
    let server = RedisServer::start();
    let (writer, reader) = (connect(&server.url()).await, connect(&server.url()).await);
    let first = in_shard("alice", 1);
    revoke(&writer, &first).await;
    let log = server.cli(&["KEYS", "jr:{15s}:log"]);
    server.cli(&["XADD", &log, "*", "what", "ever"]);
    let second = in_shard("bob", 1);
    revoke(&writer, &second).await;
    until_mirrored(&reader, 1, first.digest).await;
    until_mirrored(&reader, 1, second.digest).await;
    until_health(&reader, Health::Fresh).await;
}

#[tokio::test]
async fn the_follower_ends_with_the_last_handle() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let following = || server.cli(&["CLIENT", "LIST"]).contains("cmd=xread");
    until("it follows", || async { following() }).await;
    drop(store);
    until("it has gone", || async { !following() }).await;
    // And stays away.
    let reads = server.calls("xread");
    tokio::task::yield_now().await;
    assert_eq!(server.calls("xread"), reads);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_a_flood_of_revocations_reaches_the_copies_without_a_loss() {
    let server = RedisServer::start();
    let (writer, reader) = (connect(&server.url()).await, connect(&server.url()).await);
    let revocations: Vec<_> = (0..20_000_u32)
        .map(|n| {
            let at = u8::try_from(n % u32::from(SHARDS)).unwrap();
            in_shard(&format!("user-{n}"), at)
        })
        .collect();
    let written = AtomicU32::new(0);
    let writes = revocations.chunks(500).map(|chunk| async {
        writer.revoke(chunk).await.unwrap();
        written.fetch_add(1, Ordering::Relaxed);
    });
    futures::future::join_all(writes).await;
    assert_eq!(written.into_inner(), 40);
    for revocation in &revocations {
        let Placement::One(at) = revocation.placement else {
            unreachable!()
        };
        until_mirrored(&reader, at.number(), revocation.digest).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_a_flood_leaves_log_audit_and_copies_bounded() {
    let server = RedisServer::start();
    let second = Duration::from_secs(1);
    let connect = async || {
        let builder = builder(&server.url()).with_replica_entries(8_000);
        let store = builder.connect().await.unwrap();
        let horizons = Horizons::from_parts(second, second);
        store.require(horizons).await.unwrap();
        store
    };
    let (writer, reader) = (connect().await, connect().await);
    // More than a copy has room for, and than the audit keeps, but never so much at a time.
    for round in 0..7 {
        let name = |n| format!("user-{round}-{n}");
        let batch: Vec<_> = (0..2_000).map(|n| in_shard(&name(n), 1)).collect();
        writer.revoke(&batch).await.unwrap();
        until("they have expired", || async { entries(&server) == 0 }).await;
    }
    let last = in_shard("last", 1);
    revoke(&writer, &last).await;
    until_health(&reader, Health::Fresh).await;
    until_mirrored(&reader, 1, last.digest).await;
    // A stream is trimmed by whole nodes, of a hundred entries each.
    let length = |name: &str| -> usize {
        let length = server.cli(&["XLEN", &format!("jr:{{15s}}:{name}")]);
        length.parse().unwrap()
    };
    assert!(length("log") <= 2_000 + 200, "{}", length("log"));
    assert!(length("audit") <= 10_000 + 200, "{}", length("audit"));
    assert_eq!(mirrored(&reader, 2, last.digest), Some(Cutoffs::NONE));
}

#[tokio::test]
async fn r8_a_failover_of_the_sentinels_is_followed_by_the_copies() {
    let mut group = RedisSentinels::start();
    let (writer, reader) = (connect(&group.url()).await, connect(&group.url()).await);
    let before = in_shard("before", 1);
    revoke(&writer, &before).await;
    until_mirrored(&reader, 1, before.digest).await;
    group.servers[0].kill();
    let after = in_shard("after", 1);
    until("the new primary is written", || async {
        writer.revoke(std::slice::from_ref(&after)).await.is_ok()
    })
    .await;
    until_mirrored(&reader, 1, after.digest).await;
    until_health(&reader, Health::Fresh).await;
    assert_ne!(mirrored(&reader, 1, before.digest), Some(Cutoffs::NONE));
}

#[tokio::test]
async fn r8_the_copies_of_a_cluster_follow_all_nodes_and_a_slot_that_moves() {
    let cluster = RedisCluster::start(3);
    let (writer, reader) = (connect(&cluster.url()).await, connect(&cluster.url()).await);
    for at in 0..SHARDS {
        let revocation = in_shard("alice", at);
        revoke(&writer, &revocation).await;
        until_mirrored(&reader, at, revocation.digest).await;
    }
    cluster.move_first_slot(Duration::ZERO).await;
    let later = in_shard("bob", 0);
    until("it is written", || async {
        writer.revoke(std::slice::from_ref(&later)).await.is_ok()
    })
    .await;
    until_mirrored(&reader, 0, later.digest).await;
    until_health(&reader, Health::Fresh).await;
}

#[tokio::test]
async fn r4_an_entry_that_was_written_anew_for_too_short_is_put_back_for_as_long_as_it_must_live() {
    let server = RedisServer::start();
    let (writer, reader) = (connect(&server.url()).await, connect(&server.url()).await);
    // So many that it is looked first what is there.
    let batch: Vec<_> = (0..1_100).map(|n| in_shard(&format!("u-{n}"), 1)).collect();
    writer.revoke(&batch).await.unwrap();
    until_mirrored(&reader, 1, batch[1_099].digest).await;
    drop(writer);
    let short = String::from_utf8(batch[7].digest.hex().to_vec()).unwrap();
    let key = server.cli(&["KEYS", &format!("jr:*:deny:{short}")]);
    let log = key.replace(&format!("deny:{short}"), "log");
    let cutoff = server.cli(&["GET", &key]);
    // All is lost, and this one was written again by somebody who thought of short tokens.
    let lose = "for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('DEL', key) end \
         local time = redis.call('TIME') \
         local expiry = string.format('%.0f', time[1] * 1000 + 90000) \
         redis.call('SET', KEYS[1], ARGV[2], 'PX', 90000) \
         redis.call('XADD', KEYS[2], '*', 'digest', ARGV[1], 'cutoff', ARGV[2], 'expiry', expiry, \
           'prev', '0-0')";
    server.cli(&["EVAL", lose, "2", &key, &log, &short, &cutoff]);
    until("all are put back", || async { entries(&server) == 1_100 }).await;
    until("it lives as long as the others", || async {
        let left: i64 = server.cli(&["PTTL", &key]).parse().unwrap();
        left > 80_000_000
    })
    .await;
    drop(reader);
}

#[tokio::test]
async fn r4_a_process_without_a_copy_puts_back_what_it_wrote_itself() {
    let server = RedisServer::start();
    let store = builder(&server.url()).with_replica_entries(0);
    let store = store.connect().await.unwrap();
    let (first, second) = (in_shard("alice", 1), in_shard("bob", 2));
    revoke(&store, &first).await;
    revoke(&store, &second).await;
    // The higher of two, and once.
    revoke(&store, &first).await;
    let cutoff = strictly(&store, 1, first.digest).await.unwrap();
    server.cli(&["FLUSHALL"]);
    until("both are put back", || async { entries(&server) == 2 }).await;
    until("as they were", || async {
        matches!(strictly(&store, 1, first.digest).await, Ok(found) if found == cutoff)
    })
    .await;
}

#[tokio::test]
async fn the_rights_that_the_documents_name_suffice() {
    let server = RedisServer::start();
    let text = include_str!("../../docs/redis.md");
    let line = text.lines().find(|line| line.starts_with("ACL SETUSER jr"));
    let words: Vec<_> = line.unwrap().split(' ').collect();
    let words: Vec<_> = words
        .into_iter()
        .map(|word| {
            if word == ">PASSWORD" {
                ">hunter2"
            } else {
                word
            }
        })
        .collect();
    assert_eq!(server.cli(&words), "OK");
    let url = server.url().replace("://", "://jr:hunter2@");
    let (writer, reader) = (connect(&url).await, connect(&url).await);
    let mut batch: Vec<_> = (0..1_100).map(|n| in_shard(&format!("u-{n}"), 1)).collect();
    let key = Revocation::new(Dimension::Key, ISSUER, "k", Placement::Wide, Reach::Forever);
    batch.push(key);
    writer.revoke(&batch).await.unwrap();
    until_mirrored(&reader, 1, batch[1_099].digest).await;
    server.cli(&["FLUSHALL"]);
    until("it is healed", || async { entries(&server) == 1_100 + 16 }).await;
    tokio::time::timeout(PATIENCE, until_health(&reader, Health::Fresh))
        .await
        .unwrap();
    let refused = server.cli(&["ACL", "LOG"]);
    assert!(!refused.contains("command"), "{refused}");
}
