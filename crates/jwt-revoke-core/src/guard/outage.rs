//! Telling an operator of an outage, without a line for each request.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{Report, clock::Timestamp, defaults, store::StoreError};

/// Tells that the store fails: at once, then every
/// [`OUTAGE_LOG_INTERVAL`](defaults::OUTAGE_LOG_INTERVAL) with a count, and once when it is over. A
/// store that fails now and then is not told of more often either.
#[derive(Default)]
pub(super) struct OutageLog {
    /// Whether the store failed last: all that an answer looks at while nothing is wrong.
    failing: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    told_at: Option<Timestamp>,
    /// Failures that nobody was told of yet.
    untold: u64,
    /// Whether the end is to be told.
    open: bool,
}

impl OutageLog {
    pub(super) fn failed(&self, error: &StoreError, now: Timestamp) {
        if let Some(failures) = self.to_tell(now) {
            tracing::warn!(failures, reason = %Report(error).quoted(), "the store fails");
        }
    }

    pub(super) fn answered(&self) {
        if self.is_over() {
            tracing::info!("the store answers again");
        }
    }

    /// How many failures are to be told of now, if any.
    fn to_tell(&self, now: Timestamp) -> Option<u64> {
        let mut state = self.lock();
        self.failing.store(true, Ordering::Release);
        state.untold += 1;
        let is_due = state.told_at.is_none_or(|at| {
            // A clock that stepped back must not keep it quiet.
            now < at || now.saturating_since(at) >= defaults::OUTAGE_LOG_INTERVAL
        });
        if !is_due {
            return None;
        }
        state.told_at = Some(now);
        state.open = true;
        Some(mem::take(&mut state.untold))
    }

    /// Whether an outage that was told is over with this answer.
    fn is_over(&self) -> bool {
        if !self.failing.load(Ordering::Acquire) {
            return false;
        }
        let mut state = self.lock();
        self.failing.store(false, Ordering::Release);
        mem::take(&mut state.open)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    const INTERVAL: u64 = defaults::OUTAGE_LOG_INTERVAL.as_secs() * 1000;

    #[test]
    fn an_outage_is_told_at_once_then_now_and_then_with_a_count() {
        let log = OutageLog::default();
        assert!(!log.is_over(), "nothing was wrong");
        assert_eq!(log.to_tell(at(0)), Some(1));
        for later in 1..=1000 {
            assert_eq!(log.to_tell(at(later)), None);
        }
        assert_eq!(log.to_tell(at(INTERVAL)), Some(1001));
        assert_eq!(log.to_tell(at(INTERVAL + 1)), None);
        assert!(log.is_over());
        assert!(!log.is_over(), "told twice");
    }

    #[test]
    fn a_store_that_fails_now_and_then_is_not_told_of_more_often() {
        let log = OutageLog::default();
        assert_eq!(log.to_tell(at(0)), Some(1));
        assert!(log.is_over());
        for later in 1..=100 {
            assert_eq!(log.to_tell(at(later)), None);
            assert!(!log.is_over(), "nobody was told that it began");
        }
        assert_eq!(log.to_tell(at(INTERVAL)), Some(101));
        assert!(log.is_over());
    }

    #[test]
    fn a_clock_that_steps_back_does_not_keep_it_quiet() {
        let log = OutageLog::default();
        assert_eq!(log.to_tell(at(3_600_000)), Some(1));
        assert_eq!(log.to_tell(at(0)), Some(1));
        assert_eq!(log.to_tell(at(1)), None);
    }
}
