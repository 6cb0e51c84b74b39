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

use std::time::{Duration, Instant};

use jwt_revoke_core::store::{RedisBuilder, RedisStore};

/// Long enough for a loaded machine, short of for ever.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// Asks again until the answer is the one that is waited for.
async fn until<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let start = Instant::now();
    while !ask().await {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
