//! One state machine: the pure function over a model, and every store, through the same histories.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jwt_revoke_core::{FakeClock, Timestamp, store::EmbeddedStore};
use jwt_revoke_tests::differential::{Seen, World, run};

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

    async fn wait(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// The same on the host's clock, as a server has it.
struct Real(EmbeddedStore);

impl World for Real {
    type Store = EmbeddedStore;

    const CLOCK_CAN_BE_MOVED: bool = false;

    fn store(&self) -> &EmbeddedStore {
        &self.0
    }

    async fn wait(&self, _: Duration) {}
}

/// Every word that a store can answer.
const WORDS: [&str; 15] = [
    "Outcome Refused",
    "Outcome Ended",
    "Outcome Unknown",
    "Outcome Expired",
    "Outcome Rotated",
    "Outcome Retried",
    "Outcome Superseded",
    "Outcome Forked",
    "Outcome Recovered",
    "Outcome Reused",
    "Opened Opened",
    "Opened Stale",
    "Opened Revoked",
    "Opened OpenAt",
    "Opened Full",
];

/// Another in every run; a message of a failure holds it.
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as u64
}

async fn histories<W: World>(world: &W, seed: u64) {
    let mut seen = Seen::new();
    for n in 0..200 {
        run(world, seed.wrapping_add(n * 0x9E37_79B9), 80, &mut seen).await;
    }
    for word in WORDS {
        assert!(seen.contains_key(word), "{word} not among {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_embedded_store_is_the_pure_function_also_at_the_boundaries() {
    let clock = Arc::new(FakeClock::new(Timestamp::from_millis(1_790_000_000_000)));
    let store = EmbeddedStore::builder()
        .with_clock(clock.clone())
        .in_memory();
    histories(&Faked { store, clock }, seed()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_embedded_store_is_the_pure_function_on_a_clock_that_runs() {
    histories(&Real(EmbeddedStore::in_memory()), seed()).await;
}
