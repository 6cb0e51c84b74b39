//! One state machine: the pure function over a model, and every store, through the same histories.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jwt_revoke_core::{Clock, FakeClock, SystemClock, Timestamp, store::EmbeddedStore};
use jwt_revoke_tests::differential::{World, histories};

/// The embedded store, on a clock of ours.
struct Faked {
    store: EmbeddedStore,
    clock: Arc<FakeClock>,
}

impl World for Faked {
    type Store = EmbeddedStore;

    const CLOCK_CAN_BE_MOVED: bool = true;

    fn store(&self) -> &EmbeddedStore {
        &self.store
    }

    async fn shown(&self) -> Timestamp {
        self.clock.now()
    }

    async fn wait(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// The same on the host's clock, as a server has it.
struct Real(EmbeddedStore, Arc<dyn Clock>);

impl World for Real {
    type Store = EmbeddedStore;

    const CLOCK_CAN_BE_MOVED: bool = false;

    fn store(&self) -> &EmbeddedStore {
        &self.0
    }

    async fn shown(&self) -> Timestamp {
        self.1.now()
    }

    async fn wait(&self, _: Duration) {}
}

/// A clock that goes on whenever somebody looks at it, as it seems to a slow host: a session that is
/// opened two seconds ahead sees them pass.
struct Hasty(AtomicU64);

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(25, Ordering::Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_embedded_store_is_the_pure_function_on_a_slow_host() {
    let clock = Arc::new(Hasty(AtomicU64::new(1_790_000_000_000)));
    let store = EmbeddedStore::builder()
        .with_clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .in_memory();
    histories(&Real(store, clock), 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_embedded_store_is_the_pure_function_also_at_the_boundaries() {
    let clock = Arc::new(FakeClock::new(Timestamp::from_millis(1_790_000_000_000)));
    let store = EmbeddedStore::builder()
        .with_clock(clock.clone())
        .in_memory();
    histories(&Faked { store, clock }, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_embedded_store_is_the_pure_function_on_a_clock_that_runs() {
    histories(
        &Real(EmbeddedStore::in_memory(), SystemClock::shared()),
        200,
    )
    .await;
}
