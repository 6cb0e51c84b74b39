//! What a session costs the server.

use jwt_revoke_core::{session::Outcome, store::Store as _, token::SessionId};
use jwt_revoke_tests::redis_server::RedisServer;

use crate::{
    builder, connect,
    user::{Held, User},
};

fn memory(server: &RedisServer, key: &str) -> u64 {
    let key = server.cli(&["KEYS", key]);
    let usage = server.cli(&["MEMORY", "USAGE", &key, "SAMPLES", "0"]);
    usage.parse().unwrap()
}

#[tokio::test]
async fn s15_a_session_costs_at_most_700_bytes_however_often_it_rotates() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("0b6c3c52-6b3d-4f0e-8f38-9b5f3c1f6a01");
    let size = || memory(&server, "*:session:*") + memory(&server, "*:user:*");
    let mut token = user.login(&store).await;
    let mut sizes = Vec::new();
    for n in 0..10_000 {
        token = user.next(&store, &token).await;
        if n % 1_000 == 999 {
            sizes.push(size());
        }
    }
    // The first spends are still missing, and a number may yet grow by a digit.
    let (smallest, largest) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
    assert!(largest - smallest <= 16, "{sizes:?}");
    assert!(*largest <= 700, "{sizes:?}");
}

#[tokio::test]
async fn s15_a_session_with_the_longest_label_of_a_device_costs_at_most_700_bytes() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let now = store.now(user.shard()).await.unwrap();
    let session = SessionId::opened_at(now);
    let mut record = user.record(&session, now);
    record.device = Some("x".repeat(128).into());
    user.open_with(&store, &session, &record, now, None)
        .await
        .unwrap();
    let size = memory(&server, "*:session:*") + memory(&server, "*:user:*");
    assert!(size <= 700, "{size}");
}

#[tokio::test]
async fn a_refresh_is_exactly_one_script_call() {
    let server = RedisServer::start();
    let store = builder(&server.url())
        .with_replica_entries(0)
        .connect()
        .await
        .unwrap();
    let user = User::new("alice");
    let mut token = user.login(&store).await;
    token = user.next(&store, &token).await;
    // The store's own probes run scripts too, and each of them asks once whether there is a log, which
    // no refresh does.
    let count = || (server.calls("evalsha"), server.calls("exists"));
    let before = (count(), server.calls("set"));
    for _ in 0..500 {
        token = user.next(&store, &token).await;
    }
    let ((scripts, probes), written) = (count(), server.calls("set"));
    let ((scripts_before, probes_before), written_before) = before;
    let probes = probes - probes_before;
    assert_eq!(scripts - scripts_before - probes, 500, "{probes}");
    // A probe keeps the instant, which is a write too, unless it only looks.
    let written = written - written_before;
    assert!((500..=500 + probes).contains(&written), "{written}");
}

#[tokio::test]
async fn s15_revoking_a_user_costs_the_same_with_one_session_and_with_a_thousand() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let now = store.now(user.shard()).await.unwrap();
    for _ in 0..1_000 {
        user.login_since(&store, now, None).await.unwrap();
    }
    // Not SET, which the store's own probes use each second.
    let commands = || ["del", "zrem", "xadd", "zrange"].map(|command| server.calls(command));
    let before = commands();
    store.revoke(&[user.revocation()]).await.unwrap();
    let after = commands();
    let spent: Vec<_> = after.iter().zip(before).map(|(a, b)| a - b).collect();
    // The log entry of the user's entry, and the audit stream.
    assert_eq!(spent, [0, 0, 2, 0]);
    let dead = Held {
        session: user.sessions(&store).await.remove(0),
        generation: 1,
        jti: "any".into(),
    };
    let outcome = user.refresh(&store, &dead).await;
    assert_eq!(outcome, Outcome::Ended);
}
