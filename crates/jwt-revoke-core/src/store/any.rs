//! A store of any kind.

use std::{fmt, sync::Arc};

use futures::future::{BoxFuture, FutureExt as _};
use tracing::{Instrument as _, debug_span, field::Empty};

use crate::{
    clock::Timestamp,
    guard::Consistency,
    revocation::{Cutoffs, Horizons, Shard},
    store::{Health, Lookup, Revocation, Revoked, Store, StoreError, Transition, Transitioned},
};

/// A store of any kind, cheap to clone; all clones are one store.
///
/// Every [`Store`] converts into it, so no type parameter reaches user code.
#[derive(Clone)]
pub struct AnyStore(Arc<dyn DynStore>);

impl AnyStore {
    /// Opens the store at an address: `memory:`, `file:PATH` (a folder, made when missing, that
    /// holds `revocations.redb`), `redis://..`, `rediss://..`, `redis-cluster://..`,
    /// `redis-sentinel://..`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Address`] for an address this build cannot serve, otherwise what the store
    /// said. There is never a silent fall-back to another store.
    pub async fn connect(address: &str) -> Result<Self, StoreError> {
        let scheme = address.split_once(':').map_or("", |(scheme, _)| scheme);
        match scheme {
            #[cfg(feature = "embedded")]
            "memory" | "file" => {
                let address = address.to_owned();
                blocking(move || crate::store::EmbeddedStore::open_address(&address))
                    .await
                    .map(Self::from)
            }
            #[cfg(feature = "redis")]
            scheme if crate::store::redis::is_redis(scheme) => {
                Ok(crate::store::RedisStore::connect(address).await?.into())
            }
            _ => Err(unknown_address(scheme)),
        }
    }

    /// Like [`connect`](Self::connect), except that a Redis is connected in the background: until it
    /// has been reached and checked, every call is an error, and
    /// [`Guard::ready`](crate::Guard::ready) says so.
    ///
    /// # Errors
    ///
    /// [`StoreError::Address`] for an address this build cannot serve; for a store in this process, those
    /// of [`connect`](Self::connect).
    pub async fn connect_lazily(address: &str) -> Result<Self, StoreError> {
        match address.split_once(':') {
            #[cfg(feature = "redis")]
            Some((scheme, _)) if crate::store::redis::is_redis(scheme) => {
                Ok(crate::store::RedisStore::connect_lazily(address)?.into())
            }
            _ => Self::connect(address).await,
        }
    }

    async fn lookup(&self, query: &Lookup<'_>) -> Result<Cutoffs, StoreError> {
        let span = debug_span!("lookup", shard = query.shard.number(), outcome = Empty);
        let found = self.0.boxed_lookup(query).instrument(span.clone()).await;
        let outcome = match &found {
            Ok(found) if *found == Cutoffs::NONE => "nothing",
            Ok(_) => "found",
            Err(_) => "failed",
        };
        span.record("outcome", outcome);
        found
    }

    /// At once where the store can, else awaited.
    pub(crate) async fn find(&self, query: &Lookup<'_>) -> Result<Cutoffs, StoreError> {
        match self.lookup_now(query) {
            Some(found) => found,
            None => self.lookup(query).await,
        }
    }

    pub(crate) fn lookup_now(&self, query: &Lookup<'_>) -> Option<Result<Cutoffs, StoreError>> {
        self.0.dyn_lookup_now(query)
    }

    pub(crate) fn consistency(&self) -> Consistency {
        self.0.dyn_consistency()
    }

    pub(crate) fn health(&self) -> Health {
        self.0.dyn_health()
    }

    pub(crate) fn record_metrics(&self) {
        self.0.dyn_record_metrics();
    }

    pub(crate) async fn revoke(&self, revocations: &[Revocation]) -> Result<Revoked, StoreError> {
        let span = debug_span!(
            "revoke",
            entries = revocations.len(),
            dimension = revocations
                .first()
                .map(|first| first.audit.dimension.name()),
            outcome = Empty,
        );
        let written = self
            .0
            .boxed_revoke(revocations)
            .instrument(span.clone())
            .await;
        span.record("outcome", if written.is_ok() { "kept" } else { "failed" });
        written
    }

    pub(crate) async fn transition(
        &self,
        transition: &Transition<'_>,
    ) -> Result<Transitioned, StoreError> {
        let span = debug_span!(
            "transition",
            step = transition.name(),
            shard = transition.shard().number(),
            outcome = Empty,
        );
        let taken = self
            .0
            .boxed_transition(transition)
            .instrument(span.clone())
            .await;
        let outcome = taken.as_ref().map_or("failed", Transitioned::name);
        span.record("outcome", outcome);
        taken
    }

    pub(crate) fn now(&self, shard: Shard) -> BoxFuture<'_, Result<Timestamp, StoreError>> {
        self.0.boxed_now(shard)
    }

    pub(crate) fn earliest_now(&self) -> BoxFuture<'_, Result<Timestamp, StoreError>> {
        self.0.boxed_earliest_now()
    }

    pub(crate) fn require(
        &self,
        horizons: Horizons,
    ) -> BoxFuture<'_, Result<Horizons, StoreError>> {
        self.0.boxed_require(horizons)
    }

    pub(crate) fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.boxed_ready()
    }
}

impl<S: Store> From<S> for AnyStore {
    fn from(store: S) -> Self {
        Self(Arc::new(store))
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyStore").finish_non_exhaustive()
    }
}

/// The boxed twin of [`Store`]; other names, so that no call is ambiguous.
trait DynStore: Send + Sync {
    fn boxed_lookup<'a>(
        &'a self,
        query: &'a Lookup<'_>,
    ) -> BoxFuture<'a, Result<Cutoffs, StoreError>>;
    fn dyn_lookup_now(&self, query: &Lookup<'_>) -> Option<Result<Cutoffs, StoreError>>;
    fn dyn_consistency(&self) -> Consistency;
    fn dyn_health(&self) -> Health;
    fn dyn_record_metrics(&self);
    fn boxed_revoke<'a>(
        &'a self,
        revocations: &'a [Revocation],
    ) -> BoxFuture<'a, Result<Revoked, StoreError>>;
    fn boxed_transition<'a>(
        &'a self,
        transition: &'a Transition<'_>,
    ) -> BoxFuture<'a, Result<Transitioned, StoreError>>;
    fn boxed_now(&self, shard: Shard) -> BoxFuture<'_, Result<Timestamp, StoreError>>;
    fn boxed_earliest_now(&self) -> BoxFuture<'_, Result<Timestamp, StoreError>>;
    fn boxed_require(&self, horizons: Horizons) -> BoxFuture<'_, Result<Horizons, StoreError>>;
    fn boxed_ready(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl<S: Store> DynStore for S {
    fn boxed_lookup<'a>(
        &'a self,
        query: &'a Lookup<'_>,
    ) -> BoxFuture<'a, Result<Cutoffs, StoreError>> {
        self.lookup(query).boxed()
    }

    fn dyn_lookup_now(&self, query: &Lookup<'_>) -> Option<Result<Cutoffs, StoreError>> {
        self.lookup_now(query)
    }

    fn dyn_consistency(&self) -> Consistency {
        self.consistency()
    }

    fn dyn_health(&self) -> Health {
        self.health()
    }

    fn dyn_record_metrics(&self) {
        self.record_metrics();
    }

    fn boxed_revoke<'a>(
        &'a self,
        revocations: &'a [Revocation],
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        self.revoke(revocations).boxed()
    }

    fn boxed_transition<'a>(
        &'a self,
        transition: &'a Transition<'_>,
    ) -> BoxFuture<'a, Result<Transitioned, StoreError>> {
        self.transition(transition).boxed()
    }

    fn boxed_now(&self, shard: Shard) -> BoxFuture<'_, Result<Timestamp, StoreError>> {
        self.now(shard).boxed()
    }

    fn boxed_earliest_now(&self) -> BoxFuture<'_, Result<Timestamp, StoreError>> {
        self.earliest_now().boxed()
    }

    fn boxed_require(&self, horizons: Horizons) -> BoxFuture<'_, Result<Horizons, StoreError>> {
        self.require(horizons).boxed()
    }

    fn boxed_ready(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ready().boxed()
    }
}

/// Runs what blocks on a thread of its own, so that no executor stands still.
#[cfg(feature = "embedded")]
async fn blocking<T: Send + 'static>(
    open: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let failed = |reason: String| StoreError::Failed {
        store: "embedded store".into(),
        reason,
    };
    let (opened, result) = futures::channel::oneshot::channel();
    std::thread::Builder::new()
        .name("jwt-revoke-open".into())
        // Whoever no longer waits for the store lets it close again.
        .spawn(move || drop(opened.send(open())))
        .map_err(|error| failed(format!("the system refused it a thread: {error}")))?;
    result
        .await
        .unwrap_or_else(|_| Err(failed("opening it panicked".into())))
}

fn unknown_address(scheme: &str) -> StoreError {
    let known = [
        (cfg!(feature = "embedded"), "memory:, file:PATH"),
        (
            cfg!(feature = "redis"),
            "redis://, redis-cluster://, redis-sentinel://",
        ),
        (cfg!(feature = "redis-rustls"), "rediss://"),
    ];
    let known: Vec<_> = known
        .iter()
        .filter(|(built, _)| *built)
        .map(|(_, text)| *text)
        .collect();
    StoreError::Address {
        // Only the scheme: what follows may hold a password.
        address: format!("{}:..", scheme.chars().take(20).collect::<String>()),
        reason: match known.as_slice() {
            [] => "this build includes no store (features embedded, redis)".to_owned(),
            known => format!("this build knows {}", known.join(", ")),
        },
    }
}
