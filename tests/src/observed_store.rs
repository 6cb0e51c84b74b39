//! A store in front of another one, that counts what it is asked and fails when told to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use jwt_revoke_core::{
    Timestamp,
    revocation::{Cutoffs, Horizons, Shard},
    store::{Lookup, Revocation, Revoked, Store, StoreError, Transition, Transitioned},
};

/// A store in front of another one.
pub struct ObservedStore<S> {
    inner: S,
    observer: Observer,
}

impl<S: Store> ObservedStore<S> {
    /// A store that passes everything on to `inner`, under the eyes of `observer`.
    pub fn new(inner: S, observer: &Observer) -> Self {
        let observer = observer.clone();
        Self { inner, observer }
    }
}

/// What sees and fails the writes of a store. All clones are one.
#[derive(Clone, Default)]
pub struct Observer(Arc<Seen>);

#[derive(Default)]
struct Seen {
    revocations: AtomicUsize,
    transitions: AtomicUsize,
    refuses_writes: AtomicBool,
    asked: AtomicUsize,
    delay_ms: AtomicU64,
    reads_at_once: AtomicBool,
}

impl Observer {
    /// How many entries were written by [`Store::revoke`].
    pub fn revocations(&self) -> usize {
        self.0.revocations.load(SeqCst)
    }

    /// How many steps in the life of sessions there were.
    pub fn transitions(&self) -> usize {
        self.0.transitions.load(SeqCst)
    }

    /// Whether writes fail before they reach the store.
    pub fn refuse_writes(&self, refuse: bool) {
        self.0.refuses_writes.store(refuse, SeqCst);
    }

    /// How many questions it was asked that are answered when awaited.
    pub fn asked(&self) -> usize {
        self.0.asked.load(SeqCst)
    }

    /// How late each answer is from now on, after what was asked for has been done: as over a network.
    pub fn delay_answers(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).expect("a short time");
        self.0.delay_ms.store(millis, SeqCst);
    }

    /// The same, of steps and revocations alone.
    pub fn delay_writes(&self, by: Duration) {
        self.0.reads_at_once.store(true, SeqCst);
        self.delay_answers(by);
    }

    fn reads_are_slow(&self) -> bool {
        self.0.delay_ms.load(SeqCst) != 0 && !self.0.reads_at_once.load(SeqCst)
    }

    async fn answer<T>(&self, question: impl Future<Output = T>) -> T {
        self.0.asked.fetch_add(1, SeqCst);
        let answer = question.await;
        match self.0.delay_ms.load(SeqCst) {
            0 => {}
            delay => tokio::time::sleep(Duration::from_millis(delay)).await,
        }
        answer
    }

    fn write(&self, counter: &AtomicUsize, count: usize) -> Result<(), StoreError> {
        if self.0.refuses_writes.load(SeqCst) {
            return Err(StoreError::Failed {
                store: "observed".to_owned(),
                reason: "told to refuse writes".to_owned(),
            });
        }
        counter.fetch_add(count, SeqCst);
        Ok(())
    }
}

impl<S: Store> Store for ObservedStore<S> {
    async fn lookup(&self, query: &Lookup<'_>) -> Result<Cutoffs, StoreError> {
        self.observer.answer(self.inner.lookup(query)).await
    }

    fn lookup_now(&self, query: &Lookup<'_>) -> Option<Result<Cutoffs, StoreError>> {
        // A store that is far away knows nothing at once.
        match self.observer.reads_are_slow() {
            true => None,
            false => self.inner.lookup_now(query),
        }
    }

    async fn revoke(&self, revocations: &[Revocation]) -> Result<Revoked, StoreError> {
        let seen = &self.observer.0;
        self.observer.write(&seen.revocations, revocations.len())?;
        self.observer.answer(self.inner.revoke(revocations)).await
    }

    async fn transition(&self, step: &Transition<'_>) -> Result<Transitioned, StoreError> {
        let is_read = matches!(step, Transition::Look(_) | Transition::List(_));
        if !is_read {
            self.observer.write(&self.observer.0.transitions, 1)?;
        }
        self.observer.answer(self.inner.transition(step)).await
    }

    async fn now(&self, shard: Shard) -> Result<Timestamp, StoreError> {
        self.inner.now(shard).await
    }

    async fn earliest_now(&self) -> Result<Timestamp, StoreError> {
        self.inner.earliest_now().await
    }

    async fn require(&self, horizons: Horizons) -> Result<Horizons, StoreError> {
        self.inner.require(horizons).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.inner.ready().await
    }
}
