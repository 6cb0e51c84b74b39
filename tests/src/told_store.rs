//! A store that holds nothing, answers at once, and says of a refresh what it is told to say.

use std::sync::{Arc, Mutex};

use jwt_revoke_core::{
    Clock as _, SystemClock, Timestamp,
    revocation::{Cutoffs, Horizons, Shard},
    session::Outcome,
    store::{Lookup, Opened, Revocation, Revoked, Store, StoreError, Transition, Transitioned},
};

/// What a store with a copy of its entries in this process looks like from outside: where it can it answers at
/// once, and never allocates for it. All clones are one.
#[derive(Clone, Default)]
pub struct ToldStore(Arc<Mutex<Option<Outcome>>>);

impl ToldStore {
    /// What becomes of the refreshes that follow; `None` makes them fail, as at the beginning.
    ///
    /// # Panics
    ///
    /// When another thread panicked here.
    pub fn tell(&self, outcome: Option<Outcome>) {
        *self.0.lock().unwrap() = outcome;
    }
}

impl Store for ToldStore {
    async fn lookup(&self, query: &Lookup<'_>) -> Result<Cutoffs, StoreError> {
        self.lookup_now(query).unwrap()
    }

    fn lookup_now(&self, query: &Lookup<'_>) -> Option<Result<Cutoffs, StoreError>> {
        assert!(!query.digests.is_empty());
        Some(Ok(Cutoffs::NONE))
    }

    async fn revoke(&self, all: &[Revocation]) -> Result<Revoked, StoreError> {
        Ok(Revoked::new(SystemClock::new().now(), all.len()))
    }

    async fn transition(&self, transition: &Transition<'_>) -> Result<Transitioned, StoreError> {
        Ok(match transition {
            Transition::Open(_) => Transitioned::Opened(Opened::Opened(Vec::new())),
            Transition::End(_) => Transitioned::Ended(Vec::new()),
            _ => Transitioned::Rotated(self.0.lock().unwrap().clone().ok_or_else(failed)?),
        })
    }

    async fn now(&self, _: Shard) -> Result<Timestamp, StoreError> {
        Ok(SystemClock::new().now())
    }

    async fn require(&self, horizons: Horizons) -> Result<Horizons, StoreError> {
        Ok(horizons)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn failed() -> StoreError {
    StoreError::Failed {
        store: "told".into(),
        reason: "told to fail".into(),
    }
}
