//! The suite of all stores over Redis: one server, and a Cluster of six.

#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jwt_revoke_core::store::RedisStore;
use jwt_revoke_tests::{
    redis_server::{RedisCluster, RedisServer},
    store_suite::Fixture,
};

/// Something that tests share for as long as one of them has it. A static of its own would outlive
/// the process, and so would its servers.
struct InUse<T>(Mutex<Weak<T>>);

impl<T> InUse<T> {
    const fn nobody() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    fn get_or(&self, start: impl FnOnce() -> T) -> Arc<T> {
        let mut in_use = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.upgrade().unwrap_or_else(|| {
            let started = Arc::new(start());
            *in_use = Arc::downgrade(&started);
            started
        })
    }
}

static SERVER: InUse<RedisServer> = InUse::nobody();
static CLUSTER: InUse<RedisCluster> = InUse::nobody();

fn cluster() -> Arc<RedisCluster> {
    CLUSTER.get_or(|| RedisCluster::start(6))
}

/// A prefix that no other store has: its entries are its own.
fn fresh_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("suite{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn connect(url: &str, prefix: &str) -> Arc<RedisStore> {
    let store = RedisStore::builder(url)
        .with_prefix(prefix)
        .with_healing(Duration::ZERO)
        // The suite is not about bounds, and runs beside others.
        .with_check_timeout(Duration::from_secs(10))
        .with_write_timeout(Duration::from_secs(10))
        .with_connect_timeout(Duration::from_secs(20));
    Arc::new(store.connect().await.unwrap())
}

/// A store on `S`, which lives at least as long.
struct On<S> {
    server: Arc<S>,
    url: String,
    prefix: String,
    store: Arc<RedisStore>,
}

impl<S> On<S> {
    async fn start(server: Arc<S>, url: String) -> Self {
        let prefix = fresh_prefix();
        let store = connect(&url, &prefix).await;
        Self {
            server,
            url,
            prefix,
            store,
        }
    }

    async fn again(self) -> Self {
        let store = connect(&self.url, &self.prefix).await;
        Self {
            server: self.server,
            url: self.url,
            prefix: self.prefix,
            store,
        }
    }
}

impl Fixture for On<RedisServer> {
    type Store = RedisStore;

    const ANSWERS_AT_ONCE: bool = false;

    async fn fresh() -> Self {
        let server = SERVER.get_or(RedisServer::start);
        let url = server.url();
        Self::start(server, url).await
    }

    fn store(&self) -> &Arc<RedisStore> {
        &self.store
    }

    async fn reopened(self) -> Option<Self> {
        Some(self.again().await)
    }
}

impl Fixture for On<RedisCluster> {
    type Store = RedisStore;

    const ANSWERS_AT_ONCE: bool = false;

    async fn fresh() -> Self {
        let cluster = cluster();
        let url = cluster.url();
        Self::start(cluster, url).await
    }

    fn store(&self) -> &Arc<RedisStore> {
        &self.store
    }

    async fn reopened(self) -> Option<Self> {
        Some(self.again().await)
    }
}

mod server {
    use super::{On, RedisServer};

    jwt_revoke_tests::store_suite!(On<RedisServer>);
}

mod cluster_of_six {
    use super::{On, RedisCluster};

    jwt_revoke_tests::store_suite!(in_turn: On<RedisCluster>);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_six_passes_the_suite() {
    let _until_the_end = cluster();
    cluster_of_six::in_turn().await;
}
