//! Stores in Redis, as the tests connect to them.

use std::time::Duration;

use jwt_revoke_core::{
    guard::Consistency,
    revocation::{Cutoffs, Digest, Horizons, Shard},
    store::{Lookup, RedisBuilder, RedisStore, Store as _},
};

use crate::patience::PATIENCE;

/// The issuer of all that they revoke.
pub const ISSUER: &str = "https://auth.example.com";

/// A store that waits for nobody's memory, with a bound for checks that a loaded machine keeps.
pub fn builder(url: &str) -> RedisBuilder {
    RedisStore::builder(url)
        .with_healing(Duration::ZERO)
        .with_check_timeout(Duration::from_millis(500))
}

/// The same for tests that are not about the bound of writes, which it keeps too.
pub fn patient_builder(url: &str) -> RedisBuilder {
    builder(url).with_write_timeout(PATIENCE)
}

/// A store at `url`, connected.
///
/// # Panics
///
/// When it cannot be.
pub async fn connect(url: &str) -> RedisStore {
    builder(url).connect().await.unwrap()
}

/// A store that has promised to keep entries as long as tokens of twenty minutes, and sessions of a day, need.
///
/// # Panics
///
/// When it cannot be connected.
pub async fn connect_for_tokens(builder: RedisBuilder) -> RedisStore {
    let store = builder.connect().await.unwrap();
    let horizons = Horizons::from_parts(Duration::from_secs(1_200), Duration::from_secs(86_400));
    store.require(horizons).await.unwrap();
    store
}

/// The shard of this number.
///
/// # Panics
///
/// When there is none.
pub fn shard(number: u8) -> Shard {
    Shard::new(number).unwrap()
}

/// What the copy of this process says, if it is no older than that.
///
/// # Panics
///
/// When it is an error.
pub fn mirrored_within(
    store: &RedisStore,
    at: u8,
    digest: Digest,
    max_staleness: Duration,
) -> Option<Cutoffs> {
    let digests = [digest];
    let query = Lookup::new(shard(at), &digests);
    let query = query.with_consistency(Consistency::Mirror { max_staleness });
    Some(store.lookup_now(&query)?.unwrap())
}

/// What the copy of this process says, however old it is.
///
/// # Panics
///
/// When it is an error.
pub fn mirrored(store: &RedisStore, at: u8, digest: Digest) -> Option<Cutoffs> {
    mirrored_within(store, at, digest, Duration::MAX)
}
