//! Several servers, under load: what a failover loses, what moves, and who may do what.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

mod cluster;
mod load;
mod rights;
mod sentinel;
#[allow(dead_code, reason = "shared with the tests of sessions")]
#[path = "../sessions_redis/user.rs"]
mod user;

use std::time::{Duration, Instant};

use jwt_revoke_core::{
    guard::Consistency,
    revocation::{Cutoff, Cutoffs, Digest, Dimension, Horizons, Placement, Shard},
    store::{Lookup, Reach, RedisBuilder, RedisStore, Revocation, Store as _},
};

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

fn shard(number: u8) -> Shard {
    Shard::new(number).unwrap()
}

/// A store that waits for nobody's memory.
fn builder(url: &str) -> RedisBuilder {
    RedisStore::builder(url)
        .with_healing(Duration::ZERO)
        .with_check_timeout(Duration::from_millis(500))
        .with_connect_timeout(PATIENCE)
}

async fn connect(url: &str) -> RedisStore {
    let store = builder(url).connect().await.unwrap();
    let horizons = Horizons::from_parts(Duration::from_secs(1_200), Duration::from_secs(86_400));
    store.require(horizons).await.unwrap();
    store
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
    let digests = [digest];
    let query = Lookup::new(shard(at), &digests).with_consistency(Consistency::Mirror {
        max_staleness: Duration::MAX,
    });
    let found = store.lookup_now(&query);
    found.map_or(Cutoffs::NONE, |found| found.unwrap())
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
