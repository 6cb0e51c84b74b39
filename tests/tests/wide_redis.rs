//! Revocations that concern every shard of a Cluster and did not reach all: whoever follows completes them.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

use std::time::Duration;

use jwt_revoke_core::{
    revocation::{Cutoff, Dimension, Placement, Shard},
    store::{Lookup, Reach, RedisStore, Revocation, Store as _},
};
use jwt_revoke_tests::{
    patience::{PATIENCE, until},
    redis_server::{RedisCluster, RedisServer},
    redis_store::{ISSUER, builder, connect_for_tokens},
};

async fn connect(url: &str) -> RedisStore {
    connect_for_tokens(builder(url)).await
}

fn wide(value: &str) -> Revocation {
    let now = Reach::Now {
        ahead: Duration::ZERO,
    };
    Revocation::new(Dimension::Issuer, value, value, Placement::Wide, now)
}

/// What a process that starts now finds in each shard.
async fn found(url: &str, revocation: &Revocation) -> Vec<Option<Cutoff>> {
    let store = builder(url)
        .with_replica_entries(0)
        .connect()
        .await
        .unwrap();
    let mut found = Vec::new();
    for shard in Shard::all() {
        let digests = [revocation.digest];
        let cutoffs = store.lookup(&Lookup::new(shard, &digests)).await;
        found.push(cutoffs.unwrap().highest());
    }
    found
}

/// How many entries of audit streams and logs on a node have this word in them.
fn told(node: &RedisServer, stream: &str, word: &str) -> usize {
    let keys = node.cli(&["KEYS", &format!("jr:*:{stream}")]);
    let told = keys.lines().map(|key| {
        let entries = node.cli(&["XRANGE", key, "-", "+"]);
        entries.lines().filter(|line| *line == word).count()
    });
    told.sum()
}

#[tokio::test]
async fn r11_a_wide_revocation_that_a_node_did_not_take_is_completed_by_whoever_read_it() {
    let cluster = RedisCluster::start(3);
    let (url, last) = (cluster.url(), &cluster.nodes[2]);
    let follower = connect(&url).await;
    let writer = connect(&url).await;
    last.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let revocation = wide(ISSUER);
    assert!(
        writer
            .revoke(std::slice::from_ref(&revocation))
            .await
            .is_err()
    );
    // Whoever knew of it by itself is gone.
    drop(writer);
    let before = found(&url, &revocation).await;
    let cutoff = before.iter().flatten().next().copied().unwrap();
    assert!(before.contains(&None), "{before:?}");
    assert!(before.iter().flatten().all(|found| *found == cutoff));
    last.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    until("it is in every shard, up to the same instant", || async {
        found(&url, &revocation).await == vec![Some(cutoff); 16]
    })
    .await;
    // People are told, and the mark that it is wide is there too.
    let lacked = before.iter().filter(|found| found.is_none()).count();
    assert_eq!(told(last, "audit", "completed"), lacked);
    assert_eq!(told(last, "log", "wide"), lacked);
    drop(follower);
}

#[tokio::test]
async fn r11_a_wide_revocation_that_the_logs_have_forgotten_is_completed_by_who_starts_then() {
    let cluster = RedisCluster::start(3);
    let (url, last) = (cluster.url(), &cluster.nodes[2]);
    let writer = connect(&url).await;
    last.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let place = Placement::Wide;
    let leaked = Revocation::new(Dimension::Key, ISSUER, "2026-01", place, Reach::Forever);
    let written = writer.revoke(std::slice::from_ref(&leaked)).await;
    assert!(written.is_err());
    drop(writer);
    let mut trimmed = 0;
    for node in &cluster.nodes {
        for log in node.cli(&["KEYS", "jr:*:log"]).lines() {
            node.cli(&["XTRIM", log, "MAXLEN", "0"]);
            trimmed += 1;
        }
    }
    let before = found(&url, &leaked).await;
    let lacked = before.iter().filter(|found| found.is_none()).count();
    assert!(lacked > 0 && trimmed == 16 - lacked, "{before:?} {trimmed}");
    last.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    // What tells of it is what outlives the logs.
    let _follower = connect(&url).await;
    until("it is in every shard", || async {
        found(&url, &leaked).await == vec![Some(Cutoff::Forever); 16]
    })
    .await;
    assert_eq!(told(last, "audit", "completed"), lacked);
}

#[tokio::test]
async fn r11_a_wide_revocation_made_while_a_node_hangs_reaches_the_others_and_later_that_one() {
    let mut cluster = RedisCluster::start(3);
    let url = cluster.url();
    for node in &cluster.nodes {
        node.cli(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let follower = connect(&url).await;
    let writer = connect(&url).await;
    cluster.nodes[2].freeze();
    let revocation = wide(ISSUER);
    let written = tokio::time::timeout(PATIENCE, writer.revoke(std::slice::from_ref(&revocation)));
    assert!(written.await.expect("a write waits for ever").is_err());
    drop(writer);
    let first = &cluster.nodes[0];
    assert!(told(first, "log", "wide") > 0, "the others have it");
    // What it was sent meanwhile is lost, and all that it had.
    cluster.nodes[2].kill();
    cluster.nodes[2].run();
    until("it is in every shard", || async {
        let logged: usize = cluster
            .nodes
            .iter()
            .map(|node| told(node, "log", "wide"))
            .sum();
        logged == 16
    })
    .await;
    until("the Cluster is whole", || async {
        cluster.nodes[0]
            .cli(&["CLUSTER", "INFO"])
            .contains("cluster_state:ok")
    })
    .await;
    let cutoffs = found(&url, &revocation).await;
    assert!(cutoffs[0].is_some() && cutoffs.iter().all(|found| *found == cutoffs[0]));
    drop(follower);
}

#[tokio::test]
async fn a_wide_revocation_that_is_whole_is_written_once_and_healed_as_what_it_is() {
    let server = RedisServer::start();
    let url = server.url();
    let (writer, _follower) = (connect(&url).await, connect(&url).await);
    let revocation = wide(ISSUER);
    writer
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    assert_eq!(told(&server, "log", "wide"), 16);
    drop(writer);
    server.cli(&["FLUSHALL"]);
    // And logged once more, since a shard that was made does not know what it held.
    until("it is put back, with its mark", || async {
        told(&server, "log", "wide") >= 16
    })
    .await;
    assert_eq!(told(&server, "audit", "completed"), 0);
}
