//! The suite of the OAuth routes, over axum.

#[path = "oauth_server/axum.rs"]
mod server;

use std::time::Duration;

use jwt_revoke_core::store::{EmbeddedStore, RedisStore};
use jwt_revoke_tests::{oauth_suite, redis_server::RedisServer};

mod embedded {
    use super::*;

    oauth_suite!(server::serve, store);

    async fn store() -> (EmbeddedStore, ()) {
        (EmbeddedStore::in_memory(), ())
    }
}

mod redis {
    use super::*;

    oauth_suite!(server::serve, store);

    /// A store with bounds that a loaded machine keeps, and its server.
    async fn store() -> (RedisStore, RedisServer) {
        let server = RedisServer::start();
        let builder = RedisStore::builder(&server.url())
            .with_healing(Duration::ZERO)
            .with_check_timeout(Duration::from_secs(2));
        (builder.connect().await.expect("it answers"), server)
    }
}
