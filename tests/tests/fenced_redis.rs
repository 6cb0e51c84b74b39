//! Fenced checks: a server that may not be written is not believed, with real servers.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::Empty;
use jwt_revoke_core::{
    Clock as _, Denied, Guard, SystemClock,
    guard::{Consistency, Outage, Standing, Target},
    revocation::{Cutoff, Cutoffs, Digest, Dimension, Placement, Shard},
    store::{Lookup, Reach, RedisStore, Revocation, Store as _, StoreError},
    verify::{Algorithm, SigningKey, Verifier},
};
use jwt_revoke_tests::{
    patience::{PATIENCE, until},
    proxy::{Fault, Proxy},
    redis_server::{RedisCluster, RedisServer},
    redis_store::{ISSUER, builder, connect},
};
use serde_json::json;
use tower::{ServiceExt as _, service_fn};
use tower_jwt_revoke::RevocationLayer;
use tower_layer::Layer as _;

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

/// Who issues tokens, and a guard that verifies them.
fn guarded(store: RedisStore) -> (SigningKey, Guard) {
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let verifier = Verifier::new(key.verification_key(), ISSUER, "api");
    (key, Guard::new(verifier, store))
}

fn token(key: &SigningKey, subject: &str) -> String {
    let now = SystemClock::new().now().whole_seconds();
    let claims = json!({
        "iss": ISSUER, "aud": "api", "sub": subject, "jti": subject, "iat": now, "exp": now + 600,
    });
    key.sign("at+jwt", &claims).unwrap()
}

/// What a client gets from a route behind `guard`.
async fn status(guard: &Guard, token: &str) -> StatusCode {
    let route = service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
    let guarded = RevocationLayer::new(guard.clone()).layer(route);
    let request = Request::get("/").header(AUTHORIZATION, format!("Bearer {token}"));
    let answer = guarded.oneshot(request.body(()).unwrap());
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    answer.expect("a request waits for ever").unwrap().status()
}

/// Two tokens, the second of which another process has revoked, and a guard whose process knows it.
async fn clear_and_revoked(server: &RedisServer) -> (Guard, String, String) {
    let (key, guard) = guarded(connect(&server.url()).await);
    let (clear, revoked) = (token(&key, "alice"), token(&key, "bob"));
    assert_eq!(status(&guard.fenced(), &clear).await, StatusCode::OK);
    let access = guard.check(&revoked).await.unwrap();
    let elsewhere = Guard::new(guard.verifier().clone(), connect(&server.url()).await);
    elsewhere.revoke(Target::logout(&access)).await.unwrap();
    until("this process knows it", || async {
        status(&guard, &revoked).await == StatusCode::UNAUTHORIZED
    })
    .await;
    (guard, clear, revoked)
}

/// Behind a fence nobody is believed, and what is known to be revoked stays so.
async fn is_not_believed(guard: &Guard, clear: &str, revoked: &str) {
    let fenced = guard.fenced();
    for _ in 0..20 {
        assert_eq!(
            status(&fenced, clear).await,
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(status(&fenced, revoked).await, StatusCode::UNAUTHORIZED);
    }
    assert!(fenced.ready().await.is_err());
    // Others go on, by the same server.
    assert_eq!(status(&guard.strict(), clear).await, StatusCode::OK);
    assert_eq!(
        status(&guard.strict(), revoked).await,
        StatusCode::UNAUTHORIZED
    );
}

/// It is once it has healed, without a word from us; and revocations are taken.
async fn until_believed(guard: &Guard, clear: &str, revoked: &str) {
    let fenced = guard.fenced();
    until("it is believed again", || async {
        status(&fenced, clear).await == StatusCode::OK
    })
    .await;
    assert_eq!(status(&fenced, revoked).await, StatusCode::UNAUTHORIZED);
    fenced.ready().await.unwrap();
    let access = fenced.check(clear).await.unwrap();
    guard.revoke(Target::logout(&access)).await.unwrap();
    assert_eq!(status(&fenced, clear).await, StatusCode::UNAUTHORIZED);
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
    let (key, guard) = guarded(store);
    let token = token(&key, "alice");
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
async fn r7_a_primary_that_became_a_replica_is_503_behind_a_fence_and_the_revoked_stay_out() {
    let old = primary();
    let (guard, clear, revoked) = clear_and_revoked(&old).await;
    // A failover that lost nothing, so only who answers is wrong.
    let new = primary();
    follow(&new, &old).await;
    new.cli(&["REPLICAOF", "NO", "ONE"]);
    follow(&old, &new).await;
    is_not_believed(&guard, &clear, &revoked).await;
    old.cli(&["REPLICAOF", "NO", "ONE"]);
    until_believed(&guard, &clear, &revoked).await;
}

async fn follow(replica: &RedisServer, primary: &RedisServer) {
    replica.cli(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
    until("the replica follows", || async {
        replica.cli(&["ROLE"]).contains("connected")
    })
    .await;
}

#[tokio::test]
async fn r2_a_server_that_cannot_save_is_503_behind_a_fence_and_the_revoked_stay_out() {
    let server = RedisServer::start_with(&["--save", "3600 1000000"]);
    let (guard, clear, revoked) = clear_and_revoked(&server).await;
    // What stands where the file belongs cannot be replaced by it.
    let in_the_way = server.folder().join("dump.rdb");
    std::fs::create_dir(&in_the_way).unwrap();
    let until_saved = async |status: &str| {
        until("a save has ended like that", || async {
            server.cli(&["BGSAVE"]);
            let info = server.cli(&["INFO", "persistence"]);
            info.contains(&format!("rdb_last_bgsave_status:{status}"))
        })
        .await;
    };
    until_saved("err").await;
    assert!(server.cli(&["SET", "probe", "1"]).starts_with("MISCONF"));
    is_not_believed(&guard, &clear, &revoked).await;
    std::fs::remove_dir(&in_the_way).unwrap();
    until_saved("ok").await;
    until_believed(&guard, &clear, &revoked).await;
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
