//! Sessions in Redis, with real servers: what the suite of all stores cannot see.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

mod faults;
mod kept;
mod life;
mod races;
mod size;
mod user;

use jwt_revoke_core::store::RedisStore;
use jwt_revoke_tests::{patience::until, redis_store::patient_builder as builder};

async fn connect(url: &str) -> RedisStore {
    builder(url).connect().await.unwrap()
}
