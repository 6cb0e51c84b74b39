//! Several servers, under load: what a failover loses, what moves, and who may do what.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

mod cluster;
mod load;
mod rights;
mod sentinel;
mod silent;
#[allow(dead_code, reason = "shared with the tests of sessions")]
#[path = "../sessions_redis/user.rs"]
mod user;

use std::time::{Duration, Instant};

use jwt_revoke_core::{
    revocation::{Cutoff, Cutoffs, Digest, Dimension, Placement},
    store::{Lookup, Reach, RedisBuilder, RedisStore, Revocation, Store as _},
};
use jwt_revoke_tests::redis_store::{self, connect_for_tokens, shard};

use crate::user::ISSUER;

/// Long enough for a failover on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn until<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let start = Instant::now();
    while !ask().await {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The same with time enough for a server that is failing over.
fn builder(url: &str) -> RedisBuilder {
    redis_store::builder(url).with_connect_timeout(PATIENCE)
}

async fn connect(url: &str) -> RedisStore {
    connect_for_tokens(builder(url)).await
}

/// A user's cutoff, now.
fn subject(value: &str, at: u8) -> Revocation {
    let reach = Reach::Now {
        ahead: Duration::ZERO,
    };
    Revocation::new(
        Dimension::Subject,
        ISSUER,
        value,
        Placement::One(shard(at)),
        reach,
    )
}

/// What the copy of this process says, however old it is.
fn mirrored(store: &RedisStore, at: u8, digest: Digest) -> Cutoffs {
    redis_store::mirrored(store, at, digest).unwrap_or(Cutoffs::NONE)
}

async fn until_mirrored(store: &RedisStore, at: u8, digest: Digest) {
    until("the copy has the entry", || async {
        mirrored(store, at, digest) != Cutoffs::NONE
    })
    .await;
}

/// What a strict check finds: the cutoffs, and whether they are all. A check that fails still tells what is
/// known in this process.
async fn asked(store: &RedisStore, at: u8, digest: Digest) -> (Option<Cutoff>, bool) {
    match store.lookup(&Lookup::new(shard(at), &[digest])).await {
        Ok(found) => (found.highest(), true),
        Err(error) => (error.known().highest(), false),
    }
}

/// Waits until a strict check finds the entry.
async fn until_found(store: &RedisStore, at: u8, digest: Digest) {
    until("the entry is found", || async {
        matches!(asked(store, at, digest).await, (Some(_), true))
    })
    .await;
}
