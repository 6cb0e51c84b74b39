//! A Cluster whose nodes fail and whose slots move, under load.

use std::{collections::HashMap, sync::atomic::Ordering, time::Duration};

use jwt_revoke_core::{
    revocation::SHARDS,
    store::{Health, RedisStore, Store as _},
};
use jwt_revoke_tests::redis_server::{Program, RedisCluster, RedisServer};

use crate::{
    asked, connect,
    load::Load,
    subject, until, until_found,
    user::{Held, User},
};

/// Users who are logged in, of `shards` only.
async fn users(store: &RedisStore, count: usize, shards: &[u8]) -> Vec<(User, Held)> {
    let names = (0..).map(|number| User::new(&format!("user-{number}")));
    let of_shards = names.filter(|user| shards.contains(&user.shard().number()));
    let mut users = Vec::new();
    for user in of_shards.take(count) {
        let token = user.login(store).await;
        users.push((user, token));
    }
    users
}

/// Everything about sessions, for users whom no load has anything to do with.
async fn sessions_work(store: &RedisStore, shards: &[u8]) {
    for at in shards {
        let mut names = (0..).map(|number| User::new(&format!("later-{number}")));
        let user = names.find(|user| user.shard().number() == *at).unwrap();
        let (first, second) = (user.login(store).await, user.login(store).await);
        let first = user.next(store, &first).await;
        assert_eq!(user.sessions(store).await.len(), 2);
        assert_eq!(
            user.end_others(store, &first.session).await,
            [second.session]
        );
        assert_eq!(user.end(store, &first.session).await.len(), 1);
        assert_eq!(user.sessions(store).await, []);
    }
}

fn sessions(servers: &[RedisServer]) -> usize {
    let keys = servers
        .iter()
        .map(|server| server.cli(&["KEYS", "*:session:*"]));
    keys.map(|keys| keys.lines().count()).sum()
}

/// Which node is the replica of the one with this id.
fn replica_of(cluster: &RedisCluster, id: &str) -> usize {
    let told = cluster.nodes[0].cli(&["CLUSTER", "REPLICAS", id]);
    let nodes = cluster.nodes.iter();
    let mut ports = nodes.map(|node| format!("127.0.0.1:{}@", node.port()));
    ports.position(|port| told.contains(&port)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_a_replica_of_a_cluster_takes_over_under_load() {
    a_replica_takes_over_under_load(Program::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_a_replica_of_a_cluster_of_redis_8_takes_over_under_load() {
    a_replica_takes_over_under_load(Program::Redis8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_a_replica_of_a_cluster_of_valkey_takes_over_under_load() {
    a_replica_takes_over_under_load(Program::Valkey).await;
}

async fn a_replica_takes_over_under_load(program: Program) {
    if program.is_skipped() {
        return;
    }
    let mut cluster = RedisCluster::start_of(program, 3, 1);
    let url = cluster.url_of_all();
    let (writer, reader) = (connect(&url).await, connect(&url).await);
    let shards: Vec<_> = (0..SHARDS).collect();
    let users = users(&writer, 12, &shards).await;
    until("the sessions are replicated", || async {
        sessions(&cluster.nodes[3..]) == 12
    })
    .await;
    let mut load = Load::start(&writer, &reader, users, &shards);
    load.until_all_goes_on().await;
    // What it acknowledges from now on, its replica does not get.
    let killed = cluster.nodes[0].cli(&["CLUSTER", "MYID"]);
    let replica = replica_of(&cluster, &killed);
    cluster.nodes[replica].freeze();
    cluster.nodes[0].cli(&["CLIENT", "KILL", "TYPE", "replica"]);
    load.until_all_goes_on().await;
    cluster.nodes[0].kill();
    cluster.nodes[replica].resume();
    load.until_all_goes_on().await;
    until("the copies are fresh", || async {
        writer.health() == Health::Fresh && reader.health() == Health::Fresh
    })
    .await;
    load.until_enough().await;
    let (acknowledged, books) = load.stop().await;
    // Sure that it was felt.
    assert!(books.refused.load(Ordering::Relaxed) > 0);
    let nodes = cluster.nodes[1].cli(&["CLUSTER", "NODES"]);
    let gone = nodes
        .lines()
        .find(|line| line.starts_with(&killed))
        .unwrap();
    assert!(gone.contains("fail"), "{nodes}");
    // All of it is there for who comes now.
    let stranger = connect(&url).await;
    for (at, digest) in acknowledged {
        until_found(&stranger, at, digest).await;
    }
    sessions_work(&stranger, &shards).await;
    // What comes back is a replica, and changes nothing.
    cluster.nodes[0].run();
    until("it follows", || async {
        let role = cluster.nodes[0].cli(&["ROLE"]);
        role.starts_with("slave") && role.contains("connected")
    })
    .await;
    sessions_work(&reader, &[0, 1]).await;
}

/// Whether a shard of the node that has `at` gets back what it lost while nobody was cut off from it.
async fn is_put_back(node: &RedisServer, tag: &str, lost: &str) -> bool {
    let key = format!("jr:{{{tag}}}:deny:{lost}");
    assert_eq!(node.cli(&["DEL", &key]), "1");
    // Each second the process looks after its shards, and writes this key, which ends its life.
    let meta = format!("jr:{{{tag}}}:meta");
    for _ in 0..5 {
        assert_eq!(node.cli(&["PEXPIRE", &meta, "1000000"]), "1");
        until("a second has passed", || async {
            node.cli(&["PTTL", &meta]) == "-1"
        })
        .await;
    }
    node.cli(&["EXISTS", &key]) == "1"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_while_a_node_takes_no_writes_the_others_are_not_written_to_again() {
    let cluster = RedisCluster::start(3);
    let store = connect(&cluster.url_of_all()).await;
    // Of the first node, and of the last.
    for at in [0, 15] {
        store.revoke(&[subject("alice", at)]).await.unwrap();
    }
    let lost = String::from_utf8(subject("alice", 15).digest.hex().to_vec()).unwrap();
    let (first, last) = (&cluster.nodes[0], &cluster.nodes[2]);
    let tag = last.cli(&["KEYS", &format!("jr:*:deny:{lost}")]);
    let tag = tag.split(['{', '}']).nth(1).unwrap().to_owned();
    first.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    first.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    until("the first node is connected to again", || async {
        store.ready().await.is_err()
    })
    .await;
    assert!(!is_put_back(last, &tag, &lost).await);
    // It may have lost something when the connection breaks.
    last.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    let key = format!("jr:{{{tag}}}:deny:{lost}");
    until("it is put back", || async {
        last.cli(&["EXISTS", &key]) == "1"
    })
    .await;
}

/// No write was done by half: every entry of the first shard stands in its log, which has no gap.
fn shard_is_whole(server: &RedisServer) {
    let log = server.cli(&["XRANGE", "jr:{04s}:log", "-", "+"]);
    let lines: Vec<_> = log.lines().collect();
    let mut logged = HashMap::new();
    let mut last = "0-0";
    for entry in lines.chunks_exact(9) {
        let field = |name| {
            entry
                .iter()
                .skip_while(|word| **word != name)
                .nth(1)
                .copied()
                .unwrap()
        };
        assert_eq!(field("prev"), last, "a gap before {}", entry[0]);
        logged.insert(field("digest"), field("cutoff"));
        last = entry[0];
    }
    assert_eq!(lines.len() % 9, 0);
    let keys = server.cli(&["KEYS", "jr:{04s}:deny:*"]);
    assert_eq!(keys.lines().count(), logged.len());
    let mut get = vec!["MGET"];
    get.extend(keys.lines());
    for (key, cutoff) in keys.lines().zip(server.cli(&get).lines()) {
        let digest = key.rsplit(':').next().unwrap();
        assert_eq!(logged.get(digest), Some(&cutoff), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_a_slot_that_moves_under_load_is_followed_and_nothing_is_done_by_half() {
    let cluster = RedisCluster::start(3);
    let url = cluster.url();
    let (writer, reader) = (connect(&url).await, connect(&url).await);
    // One shard of the slot that moves, and one of each node that stays.
    let shards = [0, 7, 15];
    let users = users(&writer, 6, &shards).await;
    assert!(users.iter().any(|(user, _)| user.shard().number() == 0));
    let mut load = Load::start(&writer, &reader, users, &shards);
    load.until_all_goes_on().await;
    // Twenty keys at a time: for a while the shard can be neither read nor written.
    cluster.move_first_slot(Duration::from_millis(50)).await;
    load.until_all_goes_on().await;
    until("the copies are fresh", || async {
        writer.health() == Health::Fresh && reader.health() == Health::Fresh
    })
    .await;
    let (acknowledged, books) = load.stop().await;
    assert!(acknowledged.len() > 50 && books.checked.load(Ordering::Relaxed) > 50);
    assert!(books.unknown.load(Ordering::Relaxed) > 0);
    shard_is_whole(&cluster.nodes[2]);
    let stranger = connect(&url).await;
    for (at, digest) in acknowledged {
        let found = asked(&stranger, at, digest).await;
        assert!(matches!(found, (Some(_), true)), "{found:?} in {at}");
    }
    sessions_work(&stranger, &shards).await;
}
