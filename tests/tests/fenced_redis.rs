//! Fenced checks: a server that may not be written is not believed, with real servers.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

use std::time::Duration;

use jwt_revoke_core::{
    Clock as _, Denied, Guard, SystemClock,
    guard::{Consistency, Outage, Standing, Target},
    revocation::{Cutoff, Cutoffs, Digest, Dimension, Placement, Shard},
    store::{Lookup, Reach, RedisBuilder, RedisStore, Revocation, Store as _, StoreError},
    verify::{Algorithm, SigningKey, Verifier},
};
use jwt_revoke_tests::{
    patience::{PATIENCE, until},
    proxy::{Fault, Proxy},
    redis_server::{RedisCluster, RedisServer},
};
use serde_json::json;

const ISSUER: &str = "https://auth.example.com";

/// A store that waits for nobody's memory, with bounds that a loaded machine keeps.
fn builder(url: &str) -> RedisBuilder {
    RedisStore::builder(url)
        .with_healing(Duration::ZERO)
        .with_check_timeout(Duration::from_millis(500))
}

async fn connect(url: &str) -> RedisStore {
    builder(url).connect().await.unwrap()
}

fn jti(value: &str) -> Revocation {
    let placement = Placement::One(Shard::FIRST);
    Revocation::new(Dimension::Jti, ISSUER, value, placement, Reach::Forever)
}

async fn ask(
    store: &RedisStore,
    digest: Digest,
    consistency: Consistency,
) -> Result<Cutoffs, StoreError> {
    let digests = [digest];
    let query = Lookup::new(Shard::FIRST, &digests).with_consistency(consistency);
    tokio::time::timeout(PATIENCE, store.lookup(&query))
        .await
        .expect("a check waits for ever")
}

async fn strictly(store: &RedisStore, digest: Digest) -> Result<Cutoffs, StoreError> {
    ask(store, digest, Consistency::Strict).await
}

async fn fenced(store: &RedisStore, digest: Digest) -> Result<Cutoffs, StoreError> {
    ask(store, digest, Consistency::Fenced).await
}

/// A server that answers reads and has `name` as the reason not to be written.
fn is_refused(answer: &Result<Cutoffs, StoreError>, name: &str) -> bool {
    matches!(answer, Err(StoreError::ReadRefused { reason, .. }) if reason.starts_with(name))
}

/// A server that follows `primary`, which must not be written without it.
async fn only_replica_of(primary: &RedisServer) -> RedisServer {
    let replica = RedisServer::start();
    replica.cli(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
    primary.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    until("the primary has its replica", || async {
        primary.cli(&["SET", "probe", "1"]) == "OK"
    })
    .await;
    replica
}

fn primary() -> RedisServer {
    RedisServer::start_with(&["--repl-diskless-sync-delay", "0"])
}

#[tokio::test]
async fn a_fenced_check_finds_what_a_strict_one_finds() {
    let server = RedisServer::start();
    let cluster = RedisCluster::start(3);
    for url in [server.url(), cluster.url()] {
        let writer = connect(&url).await;
        // One that knows nothing by itself.
        let reader = builder(&url).with_replica_entries(0);
        let reader = reader
            .with_legacy_prefix("blacklist:")
            .connect()
            .await
            .unwrap();
        writer.revoke(&[jti("a")]).await.unwrap();
        let digests = [jti("b").digest, jti("a").digest, jti("c").digest];
        for (token, digests, expected) in [
            ("x", &digests[..], Some(Cutoff::Forever)),
            ("x", &digests[..1], None),
            ("x", &[], None),
            ("other", &digests[..1], Some(Cutoff::Forever)),
        ] {
            if token == "other" {
                let node = match url.starts_with("redis-cluster") {
                    true => &cluster.nodes[0],
                    false => &server,
                };
                node.cli(&["-c", "SET", "blacklist:other", "1"]);
            }
            for consistency in [Consistency::Strict, Consistency::Fenced] {
                let query = Lookup::new(Shard::FIRST, digests).with_jti(Some(token));
                let found = reader.lookup(&query.with_consistency(consistency)).await;
                assert_eq!(
                    found.unwrap().highest(),
                    expected,
                    "{consistency:?} {token}"
                );
            }
        }
    }
}

#[tokio::test]
async fn r7_a_primary_that_lost_its_replicas_is_believed_strictly_and_not_behind_a_fence() {
    let server = primary();
    let mut replica = only_replica_of(&server).await;
    let store = connect(&server.url()).await;
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let verifier = Verifier::new(key.verification_key(), ISSUER, "api");
    let guard = Guard::new(verifier, store.clone());
    let now = SystemClock::new().now().whole_seconds();
    let claims = json!({
        "iss": ISSUER, "aud": "api", "sub": "alice", "jti": "1", "iat": now, "exp": now + 600,
    });
    let token = key.sign("at+jwt", &claims).unwrap();
    let access = guard.fenced().check(&token).await.unwrap();
    assert_eq!(access.consistency(), Consistency::Fenced);
    guard.fenced().ready().await.unwrap();
    // Cut off from the one that will be promoted: what is revoked there is not known here.
    replica.kill();
    until("the primary notices", || async {
        server.cli(&["SET", "probe", "1"]).starts_with("NOREPLICAS")
    })
    .await;
    assert!(guard.strict().check(&token).await.is_ok());
    let checked = guard.fenced().check(&token).await;
    assert!(
        matches!(checked, Err(Denied::StoreUnavailable(_))),
        "{checked:?}"
    );
    let lenient = guard.fenced().with_outage(Outage::Allow);
    let let_through = lenient.check(&token).await.unwrap();
    assert_eq!(let_through.standing(), Standing::Unknown);
    assert!(guard.fenced().ready().await.is_err());
    replica.run();
    replica.cli(&["REPLICAOF", "127.0.0.1", &server.port().to_string()]);
    until("it is believed again", || async {
        guard.fenced().check(&token).await.is_ok()
    })
    .await;
    guard.revoke(Target::logout(&access)).await.unwrap();
    assert!(matches!(
        guard.fenced().check(&token).await,
        Err(Denied::Revoked { .. })
    ));
}

#[tokio::test]
async fn r7_a_primary_that_was_demoted_is_not_believed_behind_a_fence() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let digest = jti("a").digest;
    assert_eq!(fenced(&store, digest).await.unwrap(), Cutoffs::NONE);
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let answer = fenced(&store, digest).await;
    assert!(is_refused(&answer, "READONLY"), "{answer:?}");
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    until("it is believed again", || async {
        fenced(&store, digest).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn r2_a_server_without_room_answers_fenced_checks() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    store.revoke(&[jti("a")]).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(store.revoke(&[jti("b")]).await.is_err());
    let reader = jti("b").digest;
    assert_eq!(fenced(&store, reader).await.unwrap(), Cutoffs::NONE);
    let found = fenced(&store, jti("a").digest).await.unwrap();
    assert_eq!(found.highest(), Some(Cutoff::Forever));
}

#[tokio::test]
async fn r4_a_wiped_server_is_unknown_to_fenced_checks() {
    let server = RedisServer::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let digest = jti("a").digest;
    assert!(fenced(&store, digest).await.is_ok());
    server.cli(&["FLUSHALL"]);
    let answer = fenced(&store, digest).await;
    assert!(
        matches!(answer, Err(StoreError::ShardLost { .. })),
        "{answer:?}"
    );
    until("it is healed", || async {
        fenced(&store, digest).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn r1_a_fenced_check_of_a_silent_server_ends_in_an_error_and_scripts_that_it_forgot_are_sent_again()
 {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let store = connect(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    let digest = jti("a").digest;
    fenced(&store, digest).await.unwrap();
    server.cli(&["SCRIPT", "FLUSH"]);
    fenced(&store, digest).await.unwrap();
    proxy.set(Fault::Blackhole);
    assert!(fenced(&store, digest).await.is_err());
    proxy.set(Fault::None);
    until("it answers", || async {
        fenced(&store, digest).await.is_ok()
    })
    .await;
    assert!(strictly(&store, digest).await.is_ok());
}

#[tokio::test]
async fn fenced_checks_write_nothing() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let digest = jti("a").digest;
    fenced(&store, digest).await.unwrap();
    let dirty = || {
        let info = server.cli(&["INFO", "persistence"]);
        let line = info
            .lines()
            .find_map(|line| line.trim().strip_prefix("rdb_changes_since_last_save:"));
        line.unwrap().parse::<u64>().unwrap()
    };
    let before = dirty();
    for _ in 0..2_000 {
        fenced(&store, digest).await.unwrap();
    }
    // The store's own probes are a few a second.
    assert!(dirty() - before < 1_000, "{before} {}", dirty());
}
