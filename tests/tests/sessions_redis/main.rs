//! Sessions in Redis, with real servers: what the suite of all stores cannot see.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

mod faults;
mod life;
mod races;
mod size;
mod user;

use std::time::Duration;

use jwt_revoke_core::store::{RedisBuilder, RedisStore};
use jwt_revoke_tests::patience::{PATIENCE, until};

/// A store that waits for nobody's memory, with bounds that a loaded machine keeps.
fn builder(url: &str) -> RedisBuilder {
    RedisStore::builder(url)
        .with_healing(Duration::ZERO)
        .with_check_timeout(Duration::from_millis(500))
        .with_write_timeout(PATIENCE)
}

async fn connect(url: &str) -> RedisStore {
    builder(url).connect().await.unwrap()
}
