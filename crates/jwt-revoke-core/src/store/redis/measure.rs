//! What a store tells of itself in numbers.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    defaults,
    meters::ReplicaState,
    revocation::{Moment, Shard},
    store::redis::{
        Inner,
        log::{Cursor, Logged},
        tasks::spawn_until_done,
    },
};

/// Sets the gauges now and then until the store is gone. Not on the thread that follows the log, whose
/// death they must show.
pub(super) fn start(store: &Arc<Inner>) {
    if !cfg!(feature = "metrics") {
        return;
    }
    let store = Arc::downgrade(store);
    spawn_until_done(move || {
        let store = Weak::clone(&store);
        async move {
            while let Some(inner) = store.upgrade() {
                inner.record_metrics();
                drop(inner);
                sleep(defaults::METRICS_INTERVAL).await;
            }
        }
    });
}

impl Inner {
    /// Sets the gauges.
    pub(super) fn record_metrics(&self) {
        if self.is_followed() {
            let (replica, now) = (&self.replica, Moment::now());
            // What may lack entries of any age lacks none that is older than itself: it has seen none.
            let age = |shard| replica.age(shard, now).unwrap_or(replica.since_made());
            self.meters.set_replica(&ReplicaState {
                ages: Shard::all().map(age).collect(),
                entries: replica.len(),
                bytes: replica.bytes(),
            });
        }
        let now = Instant::now();
        let open = self.breakers.iter().filter(|breaker| breaker.is_open(now));
        self.meters.set_breakers(open.count());
        let offset = self.clocks.offset.load(Ordering::Relaxed);
        self.meters.set_clock_offset(offset);
    }

    /// Measures how long ago the store wrote an entry that was read just now, by the store's clock. What
    /// stood in the log before anybody followed it tells nothing.
    pub(super) fn measure(&self, cursor: &Cursor, entry: &Logged) {
        if !cursor.is_catching_up() {
            self.meters.propagated(|| self.since(entry));
        }
    }

    fn since(&self, entry: &Logged) -> Duration {
        self.server_clock().saturating_since(entry.written())
    }
}
