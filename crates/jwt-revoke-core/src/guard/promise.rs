//! The horizons that a store has promised, as far as this process knows.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{clock::millis, revocation::Horizons};

/// Horizons that only rise. The two lengths are read and raised separately: any mixture of two
/// promises is one that the store has made.
#[derive(Debug, Default)]
pub(super) struct Promise {
    /// In milliseconds.
    access: AtomicU64,
    /// What is kept for sessions on top of that, in milliseconds.
    sessions: AtomicU64,
}

impl Promise {
    /// Takes note of horizons that are in force.
    pub(super) fn learn(&self, in_force: Horizons) {
        self.access
            .fetch_max(millis(in_force.access), Ordering::Relaxed);
        self.sessions
            .fetch_max(millis(in_force.for_sessions()), Ordering::Relaxed);
    }

    /// The horizons that are known to be in force; nothing at first.
    pub(super) fn horizons(&self) -> Horizons {
        let read = |length: &AtomicU64| Duration::from_millis(length.load(Ordering::Relaxed));
        let access = read(&self.access);
        Horizons::from_parts(access, access.saturating_add(read(&self.sessions)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_never_taken_back() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let promise = Promise::default();
        assert_eq!(promise.horizons().access, Duration::ZERO);
        promise.learn(Horizons::from_parts(minutes(20), minutes(100)));
        promise.learn(Horizons::from_parts(minutes(60), minutes(70)));
        let known = promise.horizons();
        assert_eq!((known.access, known.session), (minutes(60), minutes(140)));
    }
}
