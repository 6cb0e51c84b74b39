//! The thread that follows the log of a Redis store runs code of the application: its recorder counts there, its
//! subscriber hears of spans and events. What panics there must not stop the copy from being kept up to date.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use jwt_revoke_core::{
    metrics::{FOLLOWER_RESTARTS, PROPAGATION},
    revocation::{Cutoffs, Digest, Dimension, Placement, Shard},
    store::{Health, Lookup, Reach, RedisBuilder, RedisStore, Revocation, Store as _, StoreError},
};
use jwt_revoke_tests::{
    patience::{PATIENCE, until},
    redis_server::RedisServer,
    redis_store::{mirrored_within, patient_builder},
};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tracing::{Subscriber, span};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt as _},
    registry::LookupSpan,
};

const FOLLOWER: &str = "jwt-revoke-follow";

/// Whether this is the thread that follows, and not one that panics already.
fn is_followers() -> bool {
    thread::current().name() == Some(FOLLOWER) && !thread::panicking()
}

/// So often the follower panics yet when it counts something.
#[derive(Default)]
struct Fuse(AtomicU64);

impl Fuse {
    fn set(&self, times: u64) {
        self.0.store(times, Ordering::SeqCst);
    }

    fn blow(&self) {
        let one_less = |left: u64| left.checked_sub(1);
        let left = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        assert!(left.is_err(), "as the test wants");
    }

    fn is_blown(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

/// A number that may panic when it is counted.
#[derive(Default)]
struct Fragile {
    counted: AtomicU64,
    fuse: Fuse,
}

impl Fragile {
    fn count(&self) {
        self.counted.fetch_add(1, Ordering::SeqCst);
        if is_followers() {
            self.fuse.blow();
        }
    }

    fn counted(&self) -> u64 {
        self.counted.load(Ordering::SeqCst)
    }
}

impl CounterFn for Fragile {
    fn increment(&self, _: u64) {
        self.count();
    }

    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Fragile {
    fn record(&self, _: f64) {
        self.count();
    }
}

/// Records propagation and panics of the follower, and nothing else.
#[derive(Clone, Default)]
struct Recording {
    propagation: Arc<Fragile>,
    panics: Arc<Fragile>,
}

impl Recorder for Recording {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let panicked = key.labels().any(|label| label.value() == "panicked");
        if key.name() == FOLLOWER_RESTARTS.name && panicked {
            return Counter::from_arc(Arc::clone(&self.panics));
        }
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if key.name() == PROPAGATION.name {
            return Histogram::from_arc(Arc::clone(&self.propagation));
        }
        Histogram::noop()
    }
}

/// A subscriber that panics, as long as it is told to, whenever the follower goes on with its work.
struct Panicking;

static PANICKING: AtomicBool = AtomicBool::new(false);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Panicking {
    fn on_enter(&self, id: &span::Id, ctx: Context<'_, S>) {
        let is_follow = ctx.span(id).is_some_and(|span| span.name() == "follow");
        let wanted = is_follow && PANICKING.load(Ordering::SeqCst) && is_followers();
        assert!(!wanted, "as the test wants");
    }
}

fn builder(server: &RedisServer) -> RedisBuilder {
    patient_builder(&server.url()).with_check_timeout(PATIENCE)
}

/// A store that counts into `recording`, whose copy is fresh.
async fn recorded(server: &RedisServer, recording: &Recording) -> RedisStore {
    let store = {
        let _recorder = metrics::set_default_local_recorder(recording);
        builder(server).connect_lazily().unwrap()
    };
    until_fresh(&store).await;
    store
}

async fn until_fresh(store: &RedisStore) {
    until("the copy is fresh", || async {
        store.health() == Health::Fresh
    })
    .await;
}

fn session(value: &str) -> Revocation {
    let place = Placement::One(Shard::FIRST);
    Revocation::new(Dimension::Session, "iss", value, place, Reach::Forever)
}

/// What a check finds that accepts a copy of a second's age, without asking the server.
fn mirrored(store: &RedisStore, digest: Digest) -> Option<Cutoffs> {
    mirrored_within(store, 0, digest, Duration::from_secs(1))
}

async fn until_mirrored(store: &RedisStore, digest: Digest) {
    until("the copy has the entry", || async {
        mirrored(store, digest).is_some_and(|found| found != Cutoffs::NONE)
    })
    .await;
}

async fn revoke(store: &RedisStore, value: &str) -> Digest {
    let revocation = session(value);
    let revocations = std::slice::from_ref(&revocation);
    store.revoke(revocations).await.unwrap();
    revocation.digest
}

#[tokio::test]
async fn r7_a_follower_that_panics_begins_anew_even_if_telling_of_it_panics_too() {
    let server = RedisServer::start();
    let writer = builder(&server).connect().await.unwrap();
    for telling in [0, 1, 2] {
        let recording = Recording::default();
        let reader = recorded(&server, &recording).await;
        recording.propagation.fuse.set(1);
        recording.panics.fuse.set(telling);
        let first = revoke(&writer, &format!("first-{telling}")).await;
        until("it has panicked", || async {
            recording.panics.counted() > 0
        })
        .await;
        // It follows again: what it finds when it begins anew it does not measure, what comes then it does.
        let counted = recording.propagation.counted();
        let next = AtomicU64::new(0);
        until("it measures what comes later", || async {
            let number = next.fetch_add(1, Ordering::SeqCst);
            revoke(&writer, &format!("later-{telling}-{number}")).await;
            recording.propagation.counted() > counted
        })
        .await;
        let last = revoke(&writer, &format!("last-{telling}")).await;
        until_mirrored(&reader, first).await;
        until_mirrored(&reader, last).await;
        assert!(recording.propagation.fuse.is_blown() && recording.panics.fuse.is_blown());
        until_fresh(&reader).await;
    }
}

#[tokio::test]
async fn r7_while_the_follower_panics_health_tells_it_checks_ask_the_store_and_then_all_goes_on() {
    let subscriber = tracing_subscriber::registry().with(Panicking);
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let server = RedisServer::start();
    let writer = builder(&server).connect().await.unwrap();
    let recording = Recording::default();
    let reader = recorded(&server, &recording).await;
    PANICKING.store(true, Ordering::SeqCst);
    until("its health tells it", || async {
        reader.health() == Health::Stale
    })
    .await;
    let missed = revoke(&writer, "missed").await;
    assert_eq!(mirrored(&reader, missed), None, "it is too old to be asked");
    let digests = [missed];
    let strictly = reader.lookup(&Lookup::new(Shard::FIRST, &digests)).await;
    assert_ne!(strictly.unwrap(), Cutoffs::NONE);
    let behind = reader.ready().await;
    assert!(
        matches!(behind, Err(StoreError::Behind { .. })),
        "{behind:?}"
    );
    // It tries again and again.
    until("it has panicked several times", || async {
        recording.panics.counted() > 2
    })
    .await;
    let other = revoke(&writer, "other").await;
    PANICKING.store(false, Ordering::SeqCst);
    until_mirrored(&reader, missed).await;
    until_mirrored(&reader, other).await;
    until_fresh(&reader).await;
    reader.ready().await.unwrap();
    let later = revoke(&writer, "later").await;
    until_mirrored(&reader, later).await;
}
