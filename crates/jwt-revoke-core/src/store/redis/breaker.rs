//! A hung store costs a bounded wait now and then, not once a request.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Fails checks fast while a part of the store does not answer.
///
/// It opens after [`PATIENCE`] failures in a row, so that one slow answer does not refuse
/// anybody. Open, it lets one check in [`PAUSE`] through; the first that is answered closes it.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    next_probe: Option<Instant>,
}

impl Breaker {
    /// Whether a check may ask the store at `now`.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.next_probe {
            Some(next) if now < next => false,
            Some(_) => {
                state.next_probe = Some(now + PAUSE);
                true
            }
            None => true,
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

    /// The store did not answer.
    pub(super) fn failed(&self, now: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        if state.failures >= PATIENCE {
            state.next_probe = Some(now + PAUSE);
        }
    }
}

/// How long checks fail fast before the next one asks.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// How many failures in a row open the breaker.
const PATIENCE: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r1_an_open_breaker_lets_one_check_in_a_pause_through() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..PATIENCE {
            assert!(breaker.admits(start));
            breaker.failed(start);
        }
        assert!(!breaker.admits(start));
        assert!(breaker.admits(start + PAUSE));
        assert!(!breaker.admits(start + PAUSE));
        breaker.answered();
        assert!(breaker.admits(start + PAUSE));
    }

    #[test]
    fn r1_failures_that_are_not_in_a_row_open_nothing() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..3 * PATIENCE {
            breaker.failed(start);
            breaker.answered();
        }
        assert!(breaker.admits(start));
    }
}
