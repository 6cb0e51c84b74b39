//! The suite of sessions, and the histories of the pure function, over Redis.

use std::{sync::Arc, time::Duration};

use jwt_revoke_core::store::RedisStore;
use jwt_revoke_tests::{
    differential::{World, histories},
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

#[tokio::test]
async fn redis_is_the_pure_function() {
    let server = RedisServer::start();
    histories(&Real(connect(&server.url()).await), 200).await;
}

#[tokio::test]
async fn a_cluster_is_the_pure_function() {
    let cluster = RedisCluster::start(3);
    histories(&Real(connect(&cluster.url()).await), 100).await;
}
