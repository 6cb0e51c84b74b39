//! Connections that stay open while nothing is answered on them: a host that lost its power, a node that hangs, a
//! firewall that forgot. Nothing here is mended, closed or resumed: the process has to help itself.

use std::{sync::Arc, time::Duration};

use jwt_revoke_core::{
    revocation::{Cutoff, SHARDS},
    store::{Durability, Health, Opened, RedisStore, Store as _},
};
use jwt_revoke_tests::{
    proxy::{Fault, Proxy},
    redis_server::{Program, RedisCluster, RedisSentinels, RedisServer},
    redis_store,
};

use crate::{asked, connect, subject, until, until_found, until_mirrored, user::User};

/// Waits until everything works: logouts, strict checks, the copy, readiness, logins.
async fn until_served(store: &RedisStore, shards: &[u8]) {
    for at in shards {
        let revocation = subject("served", *at);
        until("it is revoked", || async {
            let revocation = std::slice::from_ref(&revocation);
            store.revoke(revocation).await.is_ok()
        })
        .await;
        until_found(store, *at, revocation.digest).await;
        until_mirrored(store, *at, revocation.digest).await;
    }
    until("it is ready", || async { store.ready().await.is_ok() }).await;
    until("a login begins", || async {
        store.earliest_now().await.is_ok()
    })
    .await;
    until("the copy is fresh", || async {
        store.health() == Health::Fresh
    })
    .await;
}

/// With the bound for starting that applications have.
async fn start(url: &str) -> RedisStore {
    let store = redis_store::connect_for_tokens(redis_store::builder(url)).await;
    until("the copy is fresh", || async {
        store.health() == Health::Fresh
    })
    .await;
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r61_a_primary_that_goes_silent_is_left_for_the_one_that_is_promoted() {
    let group = RedisSentinels::start();
    let [primary, replica] = &group.servers[..] else {
        unreachable!("two were started");
    };
    let url = group.url();
    let (one, other) = (connect(&url).await, connect(&url).await);
    until_served(&one, &[5]).await;
    until_served(&other, &[5]).await;
    primary.freeze();
    until("the replica is promoted", || async {
        group.named() == Some(replica.port()) && replica.cli(&["ROLE"]).starts_with("master")
    })
    .await;
    until_served(&one, &[5, 9]).await;
    until_served(&other, &[5, 9]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r61_writes_that_wait_for_a_replica_leave_a_primary_that_goes_silent() {
    let group = RedisSentinels::start();
    let [primary, replica] = &group.servers[..] else {
        unreachable!("two were started");
    };
    let durability = Durability::Replicated {
        replicas: 1,
        timeout: Duration::from_millis(500),
    };
    let builder = crate::builder(&group.url()).with_durability(durability);
    let store = builder.connect().await.unwrap();
    until_served(&store, &[5]).await;
    primary.freeze();
    until("the replica is promoted", || async {
        group.named() == Some(replica.port()) && replica.cli(&["ROLE"]).starts_with("master")
    })
    .await;
    let spare = RedisServer::start();
    spare.cli(&["REPLICAOF", "127.0.0.1", &replica.port().to_string()]);
    until_served(&store, &[5, 9]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r62_a_sentinel_that_hangs_keeps_no_process_from_starting_or_following() {
    let group = RedisSentinels::start();
    group.freeze_first_sentinel();
    let store = start(&group.url()).await;
    group.servers[0].cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    until_served(&store, &[5]).await;
}

/// Six nodes, of which the first primary hangs and has been replaced.
async fn with_a_replaced_node(before: impl AsyncFnOnce(&RedisCluster)) -> RedisCluster {
    let cluster = RedisCluster::start_of(Program::Redis, 3, 1);
    before(&cluster).await;
    let hung = cluster.nodes[0].cli(&["CLUSTER", "MYID"]);
    cluster.nodes[0].freeze();
    until("its replica is promoted", || async {
        let nodes = cluster.nodes[1].cli(&["CLUSTER", "NODES"]);
        let hung = nodes.lines().find(|line| line.starts_with(&hung));
        let owners = nodes
            .lines()
            .filter(|line| line.contains("master") && line.contains('-'));
        let well = cluster.nodes[1].cli(&["CLUSTER", "INFO"]);
        hung.is_some_and(|line| line.contains("fail"))
            && owners.count() >= 3
            && well.contains("cluster_state:ok")
    })
    .await;
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r62_a_node_that_hangs_and_is_named_first_keeps_no_process_from_starting() {
    let cluster = with_a_replaced_node(async |_| {}).await;
    let store = start(&cluster.url_of_all()).await;
    until_served(&store, &[0, 7, 15]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r61_a_primary_of_a_cluster_that_hangs_and_is_replaced_is_left() {
    let mut stores = Vec::new();
    let _cluster = with_a_replaced_node(async |cluster| {
        for _ in 0..2 {
            stores.push(connect(&cluster.url_of_all()).await);
        }
        until_served(&stores[0], &[0]).await;
    })
    .await;
    for store in &stores {
        until_served(store, &(0..SHARDS).collect::<Vec<_>>()).await;
    }
}

/// Three nodes of which one may be away without stopping the others.
async fn three_nodes() -> RedisCluster {
    let cluster = RedisCluster::start(3);
    for node in &cluster.nodes {
        node.cli(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    cluster
}

/// Shards of the second and the third node.
const OF_OTHERS: [u8; 2] = [7, 15];

fn of_shard(prefix: &str, at: u8) -> User {
    let mut names = (0..).map(|number| User::new(&format!("{prefix}-{number}")));
    names.find(|user| user.shard().number() == at).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r63_while_a_node_of_a_cluster_hangs_the_users_of_the_others_log_in() {
    let cluster = three_nodes().await;
    let store = connect(&cluster.url_of_all()).await;
    until_served(&store, &[0, 7, 15]).await;
    cluster.nodes[0].freeze();
    for round in 0..10 {
        for at in OF_OTHERS {
            let user = of_shard(&format!("of-{round}"), at);
            let since = store.earliest_now().await.unwrap();
            assert!(since <= store.now(user.shard()).await.unwrap());
            user.login_since(&store, since, None).await.unwrap();
            // A password that was right a moment ago opens nothing once the user was revoked.
            let since = store.earliest_now().await.unwrap();
            store.revoke(&[user.revocation()]).await.unwrap();
            let late = user.login_since(&store, since, None).await;
            assert_eq!(late, Err(Opened::Stale));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r64_a_node_of_a_cluster_that_is_gone_holds_up_none_of_the_others() {
    let mut cluster = three_nodes().await;
    let store = connect(&cluster.url_of_all()).await;
    until_served(&store, &[0, 7, 15]).await;
    let own = subject("own", 7);
    store.revoke(std::slice::from_ref(&own)).await.unwrap();
    cluster.nodes[0].kill();
    until("it is missed", || async {
        !asked(&store, 0, subject("a", 0).digest).await.1
    })
    .await;
    for round in 0..100 {
        for at in OF_OTHERS {
            let revocation = subject(&format!("user-{round}"), at);
            store
                .revoke(std::slice::from_ref(&revocation))
                .await
                .unwrap();
            let found = asked(&store, at, revocation.digest).await;
            assert!(
                matches!(found, (Some(_), true)),
                "{found:?} in round {round}"
            );
        }
        // Of the dead one too, which is what the others must not wait for.
        assert!(!asked(&store, 0, own.digest).await.1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Checks without end, whose answers tell one revoked token from one that is not.
fn check_on(store: &RedisStore, revoked: bool) -> tokio::task::JoinHandle<()> {
    let (store, name) = (store.clone(), if revoked { "revoked" } else { "free" });
    tokio::spawn(async move {
        let digest = subject(name, 5).digest;
        loop {
            match asked(&store, 5, digest).await {
                (found, true) => {
                    assert_eq!(found.is_some(), revoked, "the answer to another question");
                }
                (found, false) => assert!(found.is_none() || revoked),
            }
            tokio::task::yield_now().await;
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r65_answers_that_were_lost_on_the_way_leave_none_to_another_question() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let writer = redis_store::connect(&server.url()).await;
    let revocation = subject("revoked", 5);
    writer
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    // Without a copy, it believes nothing but answers.
    let url = format!("redis://{}", proxy.address());
    let reader = redis_store::builder(&url).with_replica_entries(0);
    let reader = reader.connect().await.unwrap();
    let checks: Vec<_> = (0..8)
        .map(|number| check_on(&reader, number % 2 == 0))
        .collect();
    for round in 0..15 {
        proxy.set(Fault::DropAnswers);
        tokio::time::sleep(Duration::from_millis(5)).await;
        proxy.set(Fault::None);
        until("checks are answered again", || async {
            let (found, known) = asked(&reader, 5, revocation.digest).await;
            known && matches!(found, Some(Cutoff::At(_)))
        })
        .await;
        until("logouts are taken again", || async {
            let other = subject(&format!("other-{round}"), 5);
            reader.revoke(&[other]).await.is_ok()
        })
        .await;
    }
    for check in checks {
        assert!(!check.is_finished(), "{:?}", check.await);
        check.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r66_connections_that_a_firewall_forgot_are_made_again() {
    let (server, replica) = (RedisServer::start(), RedisServer::start());
    replica.cli(&["REPLICAOF", "127.0.0.1", &server.port().to_string()]);
    until("the replica follows", || async {
        replica.cli(&["ROLE"]).contains("connected")
    })
    .await;
    let proxy = Arc::new(Proxy::start(server.port()).await);
    let url = format!("redis://{}", proxy.address());
    let durability = Durability::Replicated {
        replicas: 1,
        timeout: Duration::from_millis(500),
    };
    for store in [
        crate::builder(&url),
        crate::builder(&url).with_durability(durability),
    ] {
        let store = store.connect().await.unwrap();
        until_served(&store, &[5]).await;
        for at in 6..9 {
            proxy.forget();
            until_served(&store, &[at]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r66_a_black_hole_is_left_as_soon_as_there_is_a_way_around_it() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let store = connect(&format!("redis://{}", proxy.address())).await;
    until_served(&store, &[5]).await;
    // What it holds is never delivered.
    proxy.set(Fault::Blackhole);
    until("it is missed", || async {
        !asked(&store, 5, subject("a", 5).digest).await.1
    })
    .await;
    proxy.forget();
    proxy.set(Fault::None);
    until_served(&store, &[6]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r67_connections_that_the_server_closed_fail_no_check() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let revocation = subject("alice", 5);
    store
        .revoke(std::slice::from_ref(&revocation))
        .await
        .unwrap();
    for round in 0..50 {
        server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        let found = asked(&store, 5, revocation.digest).await;
        assert!(
            matches!(found, (Some(_), true)),
            "{found:?} in round {round}"
        );
    }
}
