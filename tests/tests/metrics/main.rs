//! The metrics: that each is recorded, by what it promises, and tells nothing of a token.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

mod checks;
mod labels;
mod redis;
mod refreshes;

use std::{cell::RefCell, collections::BTreeMap};

use jwt_revoke_core::{
    Issuer,
    verify::{Algorithm, SigningKey},
};
use metrics::LocalRecorderGuard;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

const ISSUER: &str = "https://auth.example.com";
const AUDIENCE: &str = "api";

fn issuer() -> Issuer {
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    Issuer::new(key, ISSUER, AUDIENCE)
}

/// What guards and stores record that this thread makes while it lives.
struct Recorded {
    snapshotter: Snapshotter,
    series: RefCell<BTreeMap<Series, Vec<f64>>>,
    _recorder: LocalRecorderGuard<'static>,
}

/// A name and its labels.
type Series = (String, BTreeMap<String, String>);

impl Recorded {
    fn new() -> Self {
        let recorder = Box::leak(Box::new(DebuggingRecorder::new()));
        Self {
            snapshotter: recorder.snapshotter(),
            series: RefCell::default(),
            _recorder: metrics::set_default_local_recorder(recorder),
        }
    }

    /// How often; 0 where there is a series with these labels, and a failure where there is none.
    #[track_caller]
    fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.all(name, labels).iter().sum::<f64>() as u64
    }

    /// What was measured, of all series with these labels.
    #[track_caller]
    fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        self.read();
        let series = self.series.borrow();
        let matching: Vec<_> = series
            .iter()
            .filter(|((own, values), _)| {
                let has = |(label, value): &(&str, &str)| {
                    values.get(*label).map(String::as_str) == Some(*value)
                };
                own == name && labels.iter().all(has)
            })
            .collect();
        assert!(!matching.is_empty(), "no {name} {labels:?} in {series:#?}");
        matching
            .into_iter()
            .flat_map(|(_, values)| values.clone())
            .collect()
    }

    /// The one value of a gauge that was set a moment ago.
    #[track_caller]
    fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let values = self.all(name, labels);
        assert_eq!(values.len(), 1, "{name} {labels:?}: {values:?}");
        values[0]
    }

    fn every_series(&self) -> Vec<Series> {
        self.read();
        self.series.borrow().keys().cloned().collect()
    }

    /// A snapshot begins counting anew, so what came since the last is added.
    fn read(&self) {
        let mut series = self.series.borrow_mut();
        for (key, _, meaning, value) in self.snapshotter.snapshot().into_vec() {
            assert!(meaning.is_some(), "{key:?} is not described");
            let (_, key) = key.into_parts();
            let labels = key.labels();
            let labels = labels.map(|label| (label.key().to_owned(), label.value().to_owned()));
            let values = series
                .entry((key.name().to_owned(), labels.collect()))
                .or_default();
            match value {
                DebugValue::Counter(count) => {
                    let sum = values.first().copied().unwrap_or_default() + count as f64;
                    *values = vec![sum];
                }
                DebugValue::Gauge(value) => *values = vec![value.0],
                DebugValue::Histogram(more) => values.extend(more.into_iter().map(|value| value.0)),
            }
        }
    }
}
