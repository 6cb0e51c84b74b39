//! The suite of every store, and the histories of the pure function, over Redis.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jwt_revoke_core::store::RedisStore;
use jwt_revoke_tests::{
    differential::{Seen, World, run},
    redis_server::{RedisCluster, RedisServer},
    store_suite::Fixture,
};

struct Redis {
    store: Arc<RedisStore>,
    server: RedisServer,
}

async fn connect(url: &str) -> RedisStore {
    let builder = RedisStore::builder(url)
        .with_healing(Duration::ZERO)
        .with_check_timeout(Duration::from_secs(5))
        .with_write_timeout(Duration::from_secs(20));
    builder.connect().await.expect("a server that runs")
}

impl Fixture for Redis {
    type Store = RedisStore;

    const ANSWERS_AT_ONCE: bool = false;

    async fn fresh() -> Self {
        let server = RedisServer::start();
        let store = Arc::new(connect(&server.url()).await);
        Self { store, server }
    }

    fn store(&self) -> &Arc<RedisStore> {
        &self.store
    }

    async fn reopened(self) -> Option<Self> {
        let Self { store, server } = self;
        drop(store);
        let store = Arc::new(connect(&server.url()).await);
        Some(Self { store, server })
    }
}

jwt_revoke_tests::store_suite!(Redis);
jwt_revoke_tests::session_suite!(Redis);

/// On the host's clock, which nobody can move.
struct Real(RedisStore);

impl World for Real {
    type Store = RedisStore;

    const CLOCK_CAN_BE_MOVED: bool = false;

    fn store(&self) -> &RedisStore {
        &self.0
    }

    async fn wait(&self, _: Duration) {}
}

/// Every word that a store can answer.
const WORDS: [&str; 15] = [
    "Outcome Refused",
    "Outcome Ended",
    "Outcome Unknown",
    "Outcome Expired",
    "Outcome Rotated",
    "Outcome Retried",
    "Outcome Superseded",
    "Outcome Forked",
    "Outcome Recovered",
    "Outcome Reused",
    "Opened Opened",
    "Opened Stale",
    "Opened Revoked",
    "Opened OpenAt",
    "Opened Full",
];

async fn histories(store: RedisStore, count: u64) {
    let world = Real(store);
    // Another in every run; a message of a failure holds it.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    let seed = now.as_secs() << 20;
    let mut seen = Seen::new();
    for n in 0..count {
        run(&world, seed.wrapping_add(n * 0x9E37_79B9), 80, &mut seen).await;
    }
    for word in WORDS {
        assert!(seen.contains_key(word), "{word} not among {seen:?}");
    }
}

#[tokio::test]
async fn redis_is_the_pure_function() {
    let server = RedisServer::start();
    histories(connect(&server.url()).await, 200).await;
}

#[tokio::test]
async fn a_cluster_is_the_pure_function() {
    let cluster = RedisCluster::start(3);
    histories(connect(&cluster.url()).await, 100).await;
}
