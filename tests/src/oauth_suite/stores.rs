//! The stores that adapters are tried with.

use std::time::Duration;

use jwt_revoke_core::store::{EmbeddedStore, RedisStore};

use crate::redis_server::RedisServer;

/// The embedded store, in memory.
pub async fn in_memory() -> (EmbeddedStore, ()) {
    (EmbeddedStore::in_memory(), ())
}

/// A store with bounds that a loaded machine keeps, and its server.
pub async fn patient_redis() -> (RedisStore, RedisServer) {
    let server = RedisServer::start();
    let builder = RedisStore::builder(&server.url())
        .with_healing(Duration::ZERO)
        .with_check_timeout(Duration::from_secs(2));
    (builder.connect().await.expect("it answers"), server)
}
