//! Stores that break the promise, to see that it is noticed.

use std::time::Duration;

use jwt_revoke_core::{
    Timestamp,
    guard::Consistency,
    revocation::{Cutoffs, Horizons, Shard},
    store::{Lookup, RedisStore, Revocation, Revoked, Store, StoreError},
};
use serde::{Deserialize, Serialize};

/// What a store does wrong.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Lie {
    /// It answers from its copy however old that is.
    Stale,
    /// It answers a strict question from its copy.
    NotStrict,
    /// It takes an error for "not revoked".
    Guess,
}

/// A store that lies about what `store` knows.
pub(crate) struct Liar {
    store: RedisStore,
    lie: Lie,
}

impl Liar {
    pub(crate) fn new(store: RedisStore, lie: Lie) -> Self {
        Self { store, lie }
    }

    fn copied(&self, query: &Lookup<'_>) -> Option<Result<Cutoffs, StoreError>> {
        let max_staleness = Duration::MAX;
        let query = query.with_consistency(Consistency::Mirror { max_staleness });
        self.store.lookup_now(&query)
    }
}

impl Store for Liar {
    async fn lookup(&self, query: &Lookup<'_>) -> Result<Cutoffs, StoreError> {
        let strict = query.consistency == Consistency::Strict;
        if matches!(self.lie, Lie::NotStrict)
            && strict
            && let Some(found) = self.copied(query)
        {
            return found;
        }
        match self.store.lookup(query).await {
            Err(error) if matches!(self.lie, Lie::Guess) => Ok(error.known()),
            found => found,
        }
    }

    fn lookup_now(&self, query: &Lookup<'_>) -> Option<Result<Cutoffs, StoreError>> {
        let mirror = query.consistency != Consistency::Strict;
        if matches!(self.lie, Lie::Stale) && mirror {
            // It wants to be as fresh as is asked for; it does not look whether it is.
            let _ = self.store.lookup_now(query);
            return self.copied(query);
        }
        self.store.lookup_now(query)
    }

    fn consistency(&self) -> Consistency {
        self.store.consistency()
    }

    async fn revoke(&self, revocations: &[Revocation]) -> Result<Revoked, StoreError> {
        self.store.revoke(revocations).await
    }

    async fn now(&self, shard: Shard) -> Result<Timestamp, StoreError> {
        self.store.now(shard).await
    }

    async fn require(&self, horizons: Horizons) -> Result<Horizons, StoreError> {
        self.store.require(horizons).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.store.ready().await
    }
}
