//! Writes that are acknowledged when replicas or disks have them, with real servers.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use jwt_revoke_core::{
    Guard, Issuer,
    revocation::{Cutoff, Digest, Dimension, Placement, Shard},
    session::{Event, EventKind, Grant, Outcome, Policy, Sessions},
    store::{
        Durability, Lookup, Opened, Reach, RedisBuilder, RedisStore, Revocation, Store as _,
        StoreError,
    },
    verify::{Algorithm, SigningKey},
};
use jwt_revoke_tests::{
    patience::{PATIENCE, until},
    proxy::{Fault, Proxy},
    redis_server::{Program, RedisCluster, RedisServer, free_port},
    redis_store::{ISSUER, patient_builder},
    sessions::{Ask, Line, User, Verb, patient, strict},
};

/// One replica, for which is waited shortly: tests of its absence wait as long.
const REPLICATED: Durability = Durability::Replicated {
    replicas: 1,
    timeout: Duration::from_millis(500),
};

const FSYNCED: Durability = Durability::Fsynced {
    replicas: 0,
    timeout: Duration::from_secs(5),
};

fn builder(url: &str, durability: Durability) -> RedisBuilder {
    patient_builder(url).with_durability(durability)
}

async fn connect(url: &str, durability: Durability) -> RedisStore {
    builder(url, durability).connect().await.unwrap()
}

fn jti_in(value: &str, placement: Placement) -> Revocation {
    Revocation::new(Dimension::Jti, ISSUER, value, placement, Reach::Forever)
}

fn jti(value: &str) -> Revocation {
    jti_in(value, Placement::One(Shard::FIRST))
}

async fn revoke(store: &RedisStore, revocation: &Revocation) -> Result<(), StoreError> {
    let revocations = std::slice::from_ref(revocation);
    store.revoke(revocations).await.map(drop)
}

fn is_unconfirmed<T: std::fmt::Debug>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unconfirmed { .. }))
}

/// A server that follows the one at `port`.
async fn replica_of(port: u16) -> RedisServer {
    let replica = RedisServer::start();
    replica.cli(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    until("the replica follows", || async {
        replica.cli(&["ROLE"]).contains("connected")
    })
    .await;
    replica
}

fn has(server: &RedisServer, digest: &Digest) -> bool {
    !server
        .cli(&["KEYS", &format!("*:deny:{digest}")])
        .is_empty()
}

fn primary() -> RedisServer {
    RedisServer::start_with(&["--repl-diskless-sync-delay", "0"])
}

#[tokio::test]
async fn what_a_replica_confirms_is_acknowledged_and_is_there() {
    let server = primary();
    let replica = replica_of(server.port()).await;
    let store = connect(&server.url(), REPLICATED).await;
    for n in 0..20 {
        let revocation = jti(&n.to_string());
        revoke(&store, &revocation).await.unwrap();
        assert!(has(&replica, &revocation.digest));
    }
    let wide = jti_in("wide", Placement::Wide);
    revoke(&store, &wide).await.unwrap();
    let copies = replica.cli(&["KEYS", &format!("*:deny:{}", wide.digest)]);
    assert_eq!(copies.lines().count(), 16);
}

#[tokio::test]
async fn r4_what_no_replica_confirms_is_an_error_refused_here_and_confirmed_when_repeated() {
    let mut server = primary();
    let replica = replica_of(server.port()).await;
    let store = connect(&server.url(), REPLICATED).await;
    replica.freeze();
    let revocation = jti("a");
    let written = tokio::time::timeout(PATIENCE, revoke(&store, &revocation)).await;
    let written = written.expect("a write waits for ever");
    assert!(is_unconfirmed(&written), "{written:?}");
    // The same again raises nothing, and is no more durable for that.
    for _ in 0..3 {
        let repeated = revoke(&store, &revocation).await;
        assert!(is_unconfirmed(&repeated), "{repeated:?}");
    }
    replica.resume();
    until("it is confirmed", || async {
        revoke(&store, &revocation).await.is_ok()
    })
    .await;
    assert!(has(&replica, &revocation.digest));
    // Known to this process, whatever becomes of the server.
    replica.freeze();
    let other = jti("b");
    assert!(is_unconfirmed(&revoke(&store, &other).await));
    server.kill();
    let digests = [other.digest];
    let found = store.lookup(&Lookup::new(Shard::FIRST, &digests)).await;
    assert_eq!(found.unwrap().highest(), Some(Cutoff::Forever));
    replica.resume();
}

#[tokio::test]
async fn r2_a_refresh_that_is_not_confirmed_is_answered_so_that_no_repetition_looks_like_theft() {
    let server = primary();
    let replica = replica_of(server.port()).await;
    let store = connect(&server.url(), REPLICATED).await;
    let (user, policy) = (User::new("alice"), patient());
    let line = open(&store, &user, &policy).await;
    replica.freeze();
    let first = line.first();
    // A client that is refused asks again, and each time it is another attempt.
    let rotated = line
        .present(&store, &first, &Ask::new(strict()), Verb::Rotate)
        .await;
    assert!(matches!(rotated, Ok(Outcome::Rotated(_))), "{rotated:?}");
    // To look changes nothing, so nothing is waited for.
    let looked = line
        .present(&store, &first, &Ask::new(policy), Verb::Look)
        .await;
    assert!(matches!(looked, Ok(Outcome::Retried(_))), "{looked:?}");
    // Reuse ends the session, here at once.
    let reused = line
        .present(&store, &first, &Ask::new(strict()), Verb::Rotate)
        .await;
    assert!(matches!(reused, Ok(Outcome::Reused)), "{reused:?}");
    server.freeze();
    let digests = [line.entry];
    let found = store.lookup(&Lookup::new(user.shard, &digests)).await;
    assert_eq!(found.unwrap().highest(), Some(Cutoff::Forever));
    server.resume();
    replica.resume();
}

#[tokio::test]
async fn r2_a_login_that_is_not_confirmed_is_an_error_and_leaves_no_session() {
    let server = primary();
    let replica = replica_of(server.port()).await;
    let store = connect(&server.url(), REPLICATED).await;
    let (user, policy) = (User::new("alice"), patient());
    replica.freeze();
    let opened = try_open(&store, &user, &policy).await;
    assert!(is_unconfirmed(&opened), "{opened:?}");
    assert_eq!(server.cli(&["KEYS", "*:session:*"]), "");
    replica.resume();
    until("a login is confirmed", || async {
        try_open(&store, &user, &policy).await.is_ok()
    })
    .await;
    assert_eq!(server.cli(&["KEYS", "*:session:*"]).lines().count(), 1);
}

#[tokio::test]
async fn r2_an_end_that_is_not_confirmed_is_answered_when_it_is_asked_for_again_and_to_its_owner_only()
 {
    let server = primary();
    let replica = replica_of(server.port()).await;
    let store = connect(&server.url(), REPLICATED).await;
    let (user, policy) = (User::new("alice"), patient());
    let line = open(&store, &user, &policy).await;
    replica.freeze();
    for _ in 0..2 {
        let ended = line.try_end(&store, &user).await;
        assert!(is_unconfirmed(&ended), "{ended:?}");
    }
    replica.resume();
    until("it is confirmed", || async {
        let ended = line.try_end(&store, &user).await;
        assert!(
            is_unconfirmed(&ended)
                || matches!(&ended, Ok(ended) if *ended == [line.session.clone()])
        );
        ended.is_ok()
    })
    .await;
    assert!(has(&replica, &line.entry));
    // Another process tells the owner the same, and a stranger nothing, in whichever shard.
    let other = connect(&server.url(), REPLICATED).await;
    let ended = line.end(&other, &user).await;
    assert_eq!(ended, std::slice::from_ref(&line.session));
    let names = (0..).map(|n| User::new(&format!("mallory-{n}")));
    let same = names.clone().find(|mallory| mallory.shard == user.shard);
    let another = names.clone().find(|mallory| mallory.shard != user.shard);
    for mallory in [same.unwrap(), another.unwrap()] {
        let mut theirs = line.clone();
        theirs.user = mallory.clone();
        assert_eq!(theirs.end(&other, &mallory).await, []);
    }
    // It is no record, nor does it keep one from being refused.
    let refused = line
        .rotate(&other, &line.first(), &Ask::new(strict()))
        .await;
    assert_eq!(refused, Outcome::Ended);
}

async fn try_open(store: &RedisStore, user: &User, policy: &Policy) -> Result<Opened, StoreError> {
    let now = store.now(user.shard).await.unwrap();
    Line::new(user, now, policy).try_ask(store, now, None).await
}

async fn open(store: &RedisStore, user: &User, policy: &Policy) -> Line {
    let now = store.now(user.shard).await.unwrap();
    let line = Line::new(user, now, policy);
    line.ask(store, now, None).await;
    line
}

/// Revokes while the link to the replica is cut, kills the primary, promotes the replica: which of the
/// acknowledged revocations does it have?
async fn lost_in_a_failover(durability: Durability) -> (usize, usize) {
    let mut server = primary();
    let link = Proxy::start(server.port()).await;
    let replica = replica_of(link.port()).await;
    let store = connect(&server.url(), durability).await;
    let mut acknowledged = Vec::new();
    for n in 0..30 {
        if n == 20 {
            // What the primary sends from now on never arrives.
            link.set(Fault::Blackhole);
        }
        let revocation = jti(&n.to_string());
        if revoke(&store, &revocation).await.is_ok() {
            acknowledged.push(revocation.digest);
        }
    }
    server.kill();
    drop(link);
    replica.cli(&["REPLICAOF", "NO", "ONE"]);
    let lost = acknowledged.iter().filter(|digest| !has(&replica, digest));
    (acknowledged.len(), lost.count())
}

#[tokio::test]
async fn r4_what_a_replica_confirmed_outlives_a_failover_and_what_none_did_may_not() {
    let (acknowledged, lost) = lost_in_a_failover(REPLICATED).await;
    assert_eq!((acknowledged, lost), (20, 0));
    // The same without waiting for a confirmation: this test would notice a loss.
    let (acknowledged, lost) = lost_in_a_failover(Durability::Configured).await;
    assert_eq!((acknowledged, lost), (30, 10));
}

#[tokio::test]
async fn concurrent_writes_share_one_wait() {
    let server = primary();
    let _replica = replica_of(server.port()).await;
    let store = connect(&server.url(), REPLICATED).await;
    let before = server.calls("wait");
    let revocations: Vec<_> = (0..500).map(|n| jti(&n.to_string())).collect();
    let written = join_all(revocations.iter().map(|one| revoke(&store, one))).await;
    assert!(written.iter().all(Result::is_ok));
    let waits = server.calls("wait") - before;
    assert!((1..=100).contains(&waits), "{waits}");
}

#[tokio::test]
async fn in_a_cluster_each_server_confirms_its_own() {
    let cluster = RedisCluster::start(3);
    let bus = free_port().to_string();
    let args = ["--cluster-enabled", "yes", "--cluster-port", &bus];
    let replica = RedisServer::start_with(&args);
    // The first has the first third of the slots, and with them the first shards.
    let first = &cluster.nodes[0];
    let address = |server: &RedisServer| format!("127.0.0.1:{}", server.port());
    let added = std::process::Command::new("redis-cli")
        .args(["--cluster", "add-node", &address(&replica), &address(first)])
        .args(["--cluster-slave", "--cluster-master-id"])
        .arg(first.cli(&["CLUSTER", "MYID"]))
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    until("the replica follows", || async {
        replica.cli(&["ROLE"]).contains("connected")
    })
    .await;
    let store = connect(&cluster.url(), REPLICATED).await;
    revoke(&store, &jti("a")).await.unwrap();
    assert!(has(&replica, &jti("a").digest));
    let elsewhere = jti_in("b", Placement::One(Shard::new(15).unwrap()));
    assert!(is_unconfirmed(&revoke(&store, &elsewhere).await));
    let wide = jti_in("c", Placement::Wide);
    assert!(is_unconfirmed(&revoke(&store, &wide).await));
    assert!(has(&replica, &wide.digest));
}

#[tokio::test]
async fn a_connection_that_breaks_during_a_write_confirms_nothing_and_is_made_anew() {
    let server = primary();
    let replica = replica_of(server.port()).await;
    let proxy = Proxy::start(server.port()).await;
    let store = connect(&format!("redis://127.0.0.1:{}", proxy.port()), REPLICATED).await;
    revoke(&store, &jti("before")).await.unwrap();
    let revocation = jti("a");
    proxy.set(Fault::LoseAnswers);
    let mend = async {
        until("the entry is there", || async {
            has(&server, &revocation.digest)
        })
        .await;
        proxy.set(Fault::None);
    };
    let (written, ()) = tokio::join!(revoke(&store, &revocation), mend);
    written.unwrap();
    assert!(has(&replica, &revocation.digest));
}

#[tokio::test]
async fn legacy_keys_are_as_durable() {
    let server = primary();
    let replica = replica_of(server.port()).await;
    let store = builder(&server.url(), REPLICATED)
        .with_legacy_prefix("blacklist:")
        .with_legacy_writes()
        .connect()
        .await
        .unwrap();
    revoke(&store, &jti("a")).await.unwrap();
    assert_eq!(replica.cli(&["EXISTS", "blacklist:a"]), "1");
}

#[tokio::test]
async fn the_rights_that_the_documents_name_suffice() {
    let server = primary();
    let replica = replica_of(server.port()).await;
    let text = include_str!("../../docs/redis.md");
    let line = text.lines().find(|line| line.starts_with("ACL SETUSER jr"));
    let rights =
        line.unwrap().replace(">PASSWORD", ">hunter2") + " +client|setname +client|getname +wait";
    let words: Vec<_> = rights.split(' ').collect();
    assert_eq!(server.cli(&words), "OK");
    let url = server.url().replace("://", "://jr:hunter2@");
    let store = connect(&url, REPLICATED).await;
    revoke(&store, &jti("a")).await.unwrap();
    assert!(has(&replica, &jti("a").digest));
    // Who may not wait hears it at connect, not with the first revocation.
    assert_eq!(server.cli(&["ACL", "SETUSER", "jr", "-wait"]), "OK");
    let error = builder(&url, REPLICATED).connect().await.unwrap_err();
    assert!(matches!(error, StoreError::Unfit { .. }), "{error}");
}

#[tokio::test]
async fn nonsense_is_refused_before_anything_is_connected() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    for durability in [
        Durability::Replicated {
            replicas: 0,
            timeout: Duration::from_secs(1),
        },
        Durability::Replicated {
            replicas: 1,
            timeout: Duration::ZERO,
        },
        Durability::Fsynced {
            replicas: 1,
            timeout: PATIENCE,
        },
    ] {
        let built = builder(&format!("redis://{address}"), durability).connect_lazily();
        assert!(
            matches!(built, Err(StoreError::Address { .. })),
            "{durability:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_cannot_tell_what_is_on_its_disk_is_unfit() {
    // Redis 7.0 knows no WAITAOF; one that does refuses without a file to append to.
    let mut servers = vec![RedisServer::start()];
    servers.extend(valkey(&[]));
    for server in servers {
        let error = builder(&server.url(), FSYNCED).connect().await.unwrap_err();
        let told = error.to_string();
        assert!(matches!(error, StoreError::Unfit { .. }), "{told}");
        assert!(told.contains("appendonly yes"), "{told}");
    }
}

#[tokio::test]
async fn r4_what_is_on_the_disk_is_acknowledged_and_outlives_a_crash() {
    // With `everysec` Valkey confirms before the disk has it.
    for (program, fsync) in [(Program::Redis8, "everysec"), (Program::Valkey, "always")] {
        if !program.is_skipped() {
            what_is_on_the_disk_is_acknowledged(program, fsync).await;
        }
    }
}

async fn what_is_on_the_disk_is_acknowledged(program: Program, fsync: &str) {
    let args = ["--appendonly", "yes", "--appendfsync", "no"];
    let mut server = RedisServer::start_of(program, &args);
    let short = Durability::Fsynced {
        replicas: 0,
        timeout: Duration::from_millis(300),
    };
    let store = connect(&server.url(), short).await;
    let revocation = jti("a");
    // Without an fsync, nothing is confirmed, however often it is asked for.
    for _ in 0..3 {
        let written = revoke(&store, &revocation).await;
        assert!(is_unconfirmed(&written), "{written:?}");
    }
    server.cli(&["CONFIG", "SET", "appendfsync", fsync]);
    until("it is confirmed", || async {
        revoke(&store, &revocation).await.is_ok()
    })
    .await;
    server.kill();
    server.run();
    assert!(has(&server, &revocation.digest));
}

/// Since Redis 7.2 a `WAIT` is about what its own connection wrote: a repeated write writes nothing.
#[tokio::test]
async fn r4_a_newer_server_confirms_a_repeated_write_only_when_a_replica_has_the_first() {
    let args = ["--repl-diskless-sync-delay", "0"];
    let Some(server) = valkey(&args) else {
        return;
    };
    let link = Proxy::start(server.port()).await;
    let replica = valkey(&[]).unwrap();
    replica.cli(&["REPLICAOF", "127.0.0.1", &link.port().to_string()]);
    until("the replica follows", || async {
        replica.cli(&["ROLE"]).contains("connected")
    })
    .await;
    // Written by a process that does not wait, on another connection.
    let careless = connect(&server.url(), Durability::Configured).await;
    let store = connect(&server.url(), REPLICATED).await;
    revoke(&store, &jti("before")).await.unwrap();
    link.set(Fault::Blackhole);
    let revocation = jti("a");
    revoke(&careless, &revocation).await.unwrap();
    for _ in 0..3 {
        let repeated = revoke(&store, &revocation).await;
        assert!(is_unconfirmed(&repeated), "{repeated:?}");
    }
    link.set(Fault::None);
    until("it is confirmed", || async {
        revoke(&store, &revocation).await.is_ok()
    })
    .await;
    assert!(has(&replica, &revocation.digest));
}

/// A Valkey server, unless tests are to do without.
fn valkey(args: &[&str]) -> Option<RedisServer> {
    let program = Program::Valkey;
    (!program.is_skipped()).then(|| RedisServer::start_of(program, args))
}

#[tokio::test]
async fn s34_what_is_not_confirmed_is_reported_once_too() {
    // Nobody follows.
    let server = RedisServer::start();
    let durability = Durability::Replicated {
        replicas: 1,
        timeout: Duration::from_millis(100),
    };
    let lenient = connect(&server.url(), Durability::Configured).await;
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let issuer = Issuer::new(key, ISSUER, "api");
    let sessions_over = |store: RedisStore, events: &Arc<Mutex<Vec<EventKind>>>| {
        let guard = Guard::new(issuer.verifier(), store);
        let events = Arc::clone(events);
        Sessions::new(&guard, issuer.clone())
            .with_events(move |event: &Event| events.lock().unwrap().push(event.kind.clone()))
    };
    let (ignored, events) = (Arc::default(), Arc::default());
    let open = sessions_over(lenient, &ignored);
    let demanding = sessions_over(connect(&server.url(), durability).await, &events);
    let login = async || {
        let attempt = open.begin().await.unwrap();
        let pair = open.login(attempt, "alice", &Grant::new()).await.unwrap();
        let access = open.guard().check(pair.access_token()).await.unwrap();
        (pair, access)
    };
    let seen = |count: usize| {
        let events: Vec<EventKind> = events.lock().unwrap().clone();
        assert_eq!(events.len(), count, "{events:?}");
    };
    let (one, _) = login().await;
    for _ in 0..3 {
        demanding.logout(one.refresh_token()).await.unwrap_err();
        seen(1);
    }
    let ((other, _), (_, access)) = (login().await, login().await);
    for _ in 0..3 {
        let ended = demanding.revoke_session(&access, other.session()).await;
        ended.unwrap_err();
        seen(2);
    }
    login().await;
    for _ in 0..3 {
        demanding.password_changed(&access).await.unwrap_err();
        seen(3);
    }
    for _ in 0..3 {
        demanding.revoke_all("alice").await.unwrap_err();
        seen(4);
    }
}
