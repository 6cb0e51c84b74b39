//! Counting, through whatever recorder is installed.

#[cfg(feature = "redis")]
use std::time::Duration;
use std::{sync::Arc, time::Instant};

use metrics::{
    Counter, Gauge, Histogram, Key, Label, Level, Metadata, SharedString, Unit, with_recorder,
};

use super::{Cached, Path, Reason, Refreshed, Verdict};
#[cfg(feature = "redis")]
use super::{ReplicaState, Restart};
#[cfg(feature = "embedded")]
use crate::store::EmbeddedStats;
use crate::{
    guard::CacheStats,
    metrics::{self as names, ALL, Kind, Metric},
    token::TokenKind,
};

/// Of one guard.
pub(crate) struct GuardMeters {
    guard: Arc<str>,
    /// By [`Path`] and [`Verdict`].
    checks: [[Counter; Verdict::COUNT]; Path::COUNT],
    /// By [`Cached`].
    lookups: [Counter; Cached::COUNT],
    verify: Histogram,
    /// By [`Refreshed`].
    refreshes: [Counter; Refreshed::COUNT],
    /// Of access and of refresh tokens, by [`Reason`].
    refusals: [[Counter; Reason::COUNT]; 2],
}

impl GuardMeters {
    pub(crate) fn new(name: &str) -> Self {
        describe();
        let guard: Arc<str> = name.into();
        let own = || vec![shared(&guard)];
        let counter = |metric: &Metric, word: &'static str| metric.counter(with(own(), word));
        let checks = |path: Path, verdict: Verdict| {
            if is_possible(path, verdict) {
                let values = with(with(own(), path.as_str()), verdict.as_str());
                names::CHECKS.counter(values)
            } else {
                Counter::noop()
            }
        };
        let refusals = |kind: &'static str| {
            Reason::each(|reason| {
                names::REFUSED_TOKENS.counter(with(with(own(), kind), reason.as_str()))
            })
        };
        Self {
            refusals: ["access", "refresh"].map(refusals),
            checks: Path::each(|path| Verdict::each(|verdict| checks(path, verdict))),
            lookups: Cached::each(|found| counter(&names::TOKEN_CACHE_LOOKUPS, found.as_str())),
            verify: names::VERIFY.histogram(own()),
            refreshes: Refreshed::each(|outcome| counter(&names::REFRESHES, outcome.as_str())),
            guard,
        }
    }

    #[inline]
    pub(crate) fn checked(&self, path: Path, verdict: Verdict) {
        self.checks[path as usize][verdict as usize].increment(1);
    }

    #[inline]
    pub(crate) fn looked_up(&self, result: Cached) {
        self.lookups[result as usize].increment(1);
    }

    /// Measures `verify`.
    pub(crate) fn verifying<T>(&self, verify: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let verified = verify();
        self.verify.record(start.elapsed());
        verified
    }

    pub(crate) fn refreshed(&self, outcome: Refreshed) {
        self.refreshes[outcome as usize].increment(1);
    }

    pub(crate) fn refused(&self, kind: TokenKind, reason: Reason) {
        let of_kind = match kind {
            TokenKind::Access => &self.refusals[0],
            TokenKind::Refresh => &self.refusals[1],
        };
        of_kind[reason as usize].increment(1);
    }

    pub(crate) fn set_cache(&self, stats: &CacheStats) {
        let set = |metric: &Metric, value: f64| metric.gauge(vec![shared(&self.guard)]).set(value);
        set(&names::TOKEN_CACHE_ENTRIES, stats.entries as f64);
        set(&names::TOKEN_CACHE_BYTES, stats.bytes as f64);
    }
}

/// Of one Redis store.
#[cfg(feature = "redis")]
pub(crate) struct RedisMeters {
    store: Arc<str>,
    prefix: Arc<str>,
    propagation: Histogram,
    /// By [`Restart`].
    restarts: [Counter; Restart::COUNT],
    healed: Counter,
    unhealed: Counter,
    openings: Counter,
}

#[cfg(feature = "redis")]
impl RedisMeters {
    pub(crate) fn new(store: &str, prefix: &str) -> Self {
        describe();
        let (store, prefix): (Arc<str>, Arc<str>) = (store.into(), prefix.into());
        let own = || vec![shared(&store), shared(&prefix)];
        let restarts =
            |reason: Restart| names::FOLLOWER_RESTARTS.counter(with(own(), reason.as_str()));
        Self {
            propagation: names::PROPAGATION.histogram(own()),
            restarts: Restart::each(restarts),
            healed: names::HEALED_ENTRIES.counter(own()),
            unhealed: names::UNHEALED_ENTRIES.counter(own()),
            openings: names::BREAKER_OPENINGS.counter(own()),
            store,
            prefix,
        }
    }

    /// An entry was read, so long after it was written.
    pub(crate) fn propagated(&self, lag: impl FnOnce() -> Duration) {
        self.propagation.record(lag());
    }

    pub(crate) fn restarted(&self, reason: Restart) {
        self.restarts[reason as usize].increment(1);
    }

    pub(crate) fn healed(&self, entries: usize) {
        self.healed.increment(entries as u64);
    }

    /// So many entries were sent to be put back, and not taken.
    pub(crate) fn not_healed(&self, entries: usize) {
        self.unhealed.increment(entries as u64);
    }

    /// A breaker has opened.
    pub(crate) fn opened(&self) {
        self.openings.increment(1);
    }

    pub(crate) fn set_replica(&self, state: &ReplicaState) {
        for (shard, age) in state.ages.iter().enumerate() {
            let values = with(self.own(), shard.to_string());
            names::REPLICA_AGE.gauge(values).set(age.as_secs_f64());
        }
        self.set(&names::REPLICA_ENTRIES, state.entries as f64);
        self.set(&names::REPLICA_BYTES, state.bytes as f64);
    }

    pub(crate) fn set_breakers(&self, open: usize) {
        self.set(&names::BREAKERS_OPEN, open as f64);
    }

    /// The store's clock less ours.
    pub(crate) fn set_clock_offset(&self, millis: i64) {
        self.set(&names::CLOCK_OFFSET, millis as f64 / 1000.0);
    }

    fn own(&self) -> Vec<SharedString> {
        vec![shared(&self.store), shared(&self.prefix)]
    }

    fn set(&self, metric: &Metric, value: f64) {
        metric.gauge(self.own()).set(value);
    }
}

/// Of one embedded store.
#[cfg(feature = "embedded")]
pub(crate) struct EmbeddedMeters(Arc<str>);

#[cfg(feature = "embedded")]
impl EmbeddedMeters {
    pub(crate) fn new(store: &str) -> Self {
        describe();
        Self(store.into())
    }

    pub(crate) fn set(&self, stats: &EmbeddedStats, bytes: usize) {
        let set = |metric: &Metric, value: f64| metric.gauge(vec![shared(&self.0)]).set(value);
        set(&names::EMBEDDED_ENTRIES, stats.entries as f64);
        set(&names::EMBEDDED_BYTES, bytes as f64);
        set(&names::EMBEDDED_SESSIONS, stats.sessions as f64);
        set(&names::EMBEDDED_WAITING, stats.waiting as f64);
    }
}

impl Metric {
    fn counter(&self, values: Vec<SharedString>) -> Counter {
        with_recorder(|recorder| recorder.register_counter(&self.key(values), &METADATA))
    }

    fn gauge(&self, values: Vec<SharedString>) -> Gauge {
        with_recorder(|recorder| recorder.register_gauge(&self.key(values), &METADATA))
    }

    fn histogram(&self, values: Vec<SharedString>) -> Histogram {
        with_recorder(|recorder| recorder.register_histogram(&self.key(values), &METADATA))
    }

    /// One of its series: a value for each of its labels.
    fn key(&self, values: Vec<SharedString>) -> Key {
        debug_assert_eq!(values.len(), self.labels.len(), "{}", self.name);
        let labels = self.labels.iter().zip(values);
        let labels = labels.map(|(name, value)| Label::new(*name, value));
        Key::from_parts(self.name, labels.collect::<Vec<_>>())
    }
}

/// Tells the recorder what all metrics mean. Again does no harm.
fn describe() {
    with_recorder(|recorder| {
        for metric in ALL {
            let (name, meaning) = (metric.name.into(), metric.meaning.into());
            let unit = Unit::from_string(metric.unit);
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, unit, meaning),
                Kind::Gauge => recorder.describe_gauge(name, unit, meaning),
                Kind::Histogram => recorder.describe_histogram(name, unit, meaning),
            }
        }
    });
}

/// Whether `path` can come to `verdict`; the other series would stand at nought for ever.
fn is_possible(path: Path, verdict: Verdict) -> bool {
    match path {
        Path::Verify => verdict == Verdict::Invalid,
        Path::Memory | Path::Replica | Path::Store => {
            matches!(verdict, Verdict::Allowed | Verdict::Revoked)
        }
        Path::Policy => matches!(verdict, Verdict::Allowed | Verdict::Unavailable),
    }
}

/// The same values, and one more.
fn with(mut values: Vec<SharedString>, value: impl Into<SharedString>) -> Vec<SharedString> {
    values.push(value.into());
    values
}

fn shared(name: &Arc<str>) -> SharedString {
    SharedString::from_shared(Arc::clone(name))
}

static METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
