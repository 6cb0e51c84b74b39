//! A store that can be told to fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use jwt_revoke_core::{
    Timestamp,
    revocation::{Cutoffs, Horizons, Shard},
    store::{Lookup, Revocation, Revoked, Store, StoreError, Transition, Transitioned},
};

/// Another store, until it is told to fail. All clones are one.
#[derive(Clone)]
pub struct SwitchedStore {
    inner: Arc<dyn Erased>,
    mood: Arc<AtomicU8>,
    asked: Arc<AtomicUsize>,
    delay_ms: Arc<AtomicU64>,
}

const ANSWERS: u8 = 0;
const REFUSES_WRITES: u8 = 1;
const FAILS: u8 = 2;

impl SwitchedStore {
    /// Over this store, which answers.
    pub fn new(inner: impl Store) -> Self {
        Self {
            inner: Arc::new(inner),
            mood: Arc::new(AtomicU8::new(ANSWERS)),
            asked: Arc::default(),
            delay_ms: Arc::default(),
        }
    }

    /// Answers everything.
    pub fn answer(&self) {
        self.mood.store(ANSWERS, SeqCst);
    }

    /// Fails whatever would change something.
    pub fn refuse_writes(&self) {
        self.mood.store(REFUSES_WRITES, SeqCst);
    }

    /// Fails everything.
    pub fn fail(&self) {
        self.mood.store(FAILS, SeqCst);
    }

    /// How many steps and revocations it was asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    /// How late the answers to these are from now on, after what was asked for has been done.
    pub fn delay_answers(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).expect("a short time");
        self.delay_ms.store(millis, SeqCst);
    }

    async fn answered<T>(&self, question: impl Future<Output = T>) -> T {
        self.asked.fetch_add(1, SeqCst);
        let answer = question.await;
        match self.delay_ms.load(SeqCst) {
            0 => {}
            delay => tokio::time::sleep(Duration::from_millis(delay)).await,
        }
        answer
    }

    fn reads(&self) -> Result<(), StoreError> {
        match self.mood.load(SeqCst) {
            FAILS => Err(failure()),
            _ => Ok(()),
        }
    }

    fn writes(&self) -> Result<(), StoreError> {
        match self.mood.load(SeqCst) {
            ANSWERS => Ok(()),
            _ => Err(failure()),
        }
    }
}

impl Store for SwitchedStore {
    async fn lookup(&self, query: &Lookup<'_>) -> Result<Cutoffs, StoreError> {
        self.reads()?;
        self.inner.lookup(query).await
    }

    async fn revoke(&self, revocations: &[Revocation]) -> Result<Revoked, StoreError> {
        self.writes()?;
        self.answered(self.inner.revoke(revocations)).await
    }

    async fn transition(&self, transition: &Transition<'_>) -> Result<Transitioned, StoreError> {
        match transition {
            Transition::Look(_) | Transition::List(_) => self.reads()?,
            _ => self.writes()?,
        }
        self.answered(self.inner.transition(transition)).await
    }

    async fn now(&self, shard: Shard) -> Result<Timestamp, StoreError> {
        self.reads()?;
        self.inner.now(shard).await
    }

    async fn require(&self, horizons: Horizons) -> Result<Horizons, StoreError> {
        self.writes()?;
        self.inner.require(horizons).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.writes()?;
        self.inner.ready().await
    }
}

fn failure() -> StoreError {
    StoreError::Failed {
        store: "switched".to_owned(),
        reason: "told to fail".to_owned(),
    }
}

/// The boxed twin of [`Store`].
trait Erased: Send + Sync {
    fn lookup<'a>(&'a self, query: &'a Lookup<'_>) -> BoxFuture<'a, Result<Cutoffs, StoreError>>;
    fn revoke<'a>(&'a self, all: &'a [Revocation]) -> BoxFuture<'a, Result<Revoked, StoreError>>;
    fn transition<'a>(
        &'a self,
        transition: &'a Transition<'_>,
    ) -> BoxFuture<'a, Result<Transitioned, StoreError>>;
    fn now(&self, shard: Shard) -> BoxFuture<'_, Result<Timestamp, StoreError>>;
    fn require(&self, horizons: Horizons) -> BoxFuture<'_, Result<Horizons, StoreError>>;
    fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl<S: Store> Erased for S {
    fn lookup<'a>(&'a self, query: &'a Lookup<'_>) -> BoxFuture<'a, Result<Cutoffs, StoreError>> {
        Box::pin(Store::lookup(self, query))
    }

    fn revoke<'a>(&'a self, all: &'a [Revocation]) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        Box::pin(Store::revoke(self, all))
    }

    fn transition<'a>(
        &'a self,
        transition: &'a Transition<'_>,
    ) -> BoxFuture<'a, Result<Transitioned, StoreError>> {
        Box::pin(Store::transition(self, transition))
    }

    fn now(&self, shard: Shard) -> BoxFuture<'_, Result<Timestamp, StoreError>> {
        Box::pin(Store::now(self, shard))
    }

    fn require(&self, horizons: Horizons) -> BoxFuture<'_, Result<Horizons, StoreError>> {
        Box::pin(Store::require(self, horizons))
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(Store::ready(self))
    }
}
