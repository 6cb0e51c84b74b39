//! A hung store costs a bounded wait now and then, not once a request.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Fails checks fast while a part of the store does not answer.
///
/// It opens after [`PATIENCE`] failures in a row, so that one slow answer does not refuse
/// anybody; after the first where the follower has not heard of that server either. Open, it asks for a
/// probe in the background once in [`PAUSE`]; the first answer closes it.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    next_probe: Option<Instant>,
}

impl Breaker {
    /// What a check does at `now`.
    pub(super) fn admits(&self, now: Instant) -> Admission {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.next_probe {
            Some(next) if now < next => Admission::Fail,
            Some(_) => {
                state.next_probe = Some(now + PAUSE);
                Admission::FailAndProbe
            }
            None => Admission::Ask,
        }
    }

    /// Whether checks fail fast at `now`.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.next_probe.is_some_and(|next| now < next + PAUSE)
    }

    /// The store answered, if only to refuse.
    pub(super) fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// The store did not answer. Returns whether that opened it.
    pub(super) fn failed(&self, now: Instant, others: Others) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        if state.failures < PATIENCE && others == Others::Answered {
            return false;
        }
        state.next_probe.replace(now + PAUSE).is_none()
    }
}

/// What a check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It asks the store.
    Ask,
    /// It fails at once.
    Fail,
    /// The same, and has the store probed.
    FailAndProbe,
}

/// What others than the check that failed hear of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// It answers them, or nobody else asks.
    Answered,
    /// Nothing, for a while.
    Silent,
}

/// How long between two probes.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// How many failures in a row open the breaker.
const PATIENCE: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r1_an_open_breaker_fails_checks_at_once_and_has_the_store_probed_once_in_a_pause() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let mut opened = 0;
        for _ in 0..PATIENCE {
            assert_eq!(breaker.admits(start), Admission::Ask);
            assert!(!breaker.is_open(start));
            opened += u32::from(breaker.failed(start, Others::Answered));
        }
        assert_eq!(opened, 1);
        assert!(
            breaker.is_open(start) && !breaker.failed(start, Others::Answered),
            "already"
        );
        assert_eq!(breaker.admits(start), Admission::Fail);
        assert_eq!(breaker.admits(start + PAUSE), Admission::FailAndProbe);
        assert_eq!(breaker.admits(start + PAUSE), Admission::Fail);
        breaker.answered();
        assert_eq!(breaker.admits(start + PAUSE), Admission::Ask);
    }

    #[test]
    fn r1_one_failure_opens_it_where_the_follower_hears_nothing_either() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        assert!(breaker.failed(start, Others::Silent));
        assert_eq!(breaker.admits(start), Admission::Fail);
        breaker.answered();
        assert_eq!(breaker.admits(start), Admission::Ask);
    }

    #[test]
    fn r1_failures_that_are_not_in_a_row_open_nothing() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..3 * PATIENCE {
            assert!(!breaker.failed(start, Others::Answered));
            breaker.answered();
        }
        assert_eq!(breaker.admits(start), Admission::Ask);
    }
}
