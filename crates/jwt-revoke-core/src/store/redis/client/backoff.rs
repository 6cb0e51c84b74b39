//! How long until the next attempt.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

/// The pauses between attempts: none before the first, then twice as long each time, up to a second. Each is
/// between three quarters and the whole of that, at random, so that a fleet does not come back all at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Whether the next attempt is made at once.
    pub(super) fn is_at_start(&self) -> bool {
        self.attempts == 0
    }

    pub(super) fn next(&mut self) -> Duration {
        let doublings = self.attempts;
        self.attempts = self.attempts.saturating_add(1);
        if doublings == 0 {
            return Duration::ZERO;
        }
        let pause = SHORTEST
            .saturating_mul(1 << (doublings - 1).min(10))
            .min(LONGEST);
        let random = RandomState::new().build_hasher().finish() % 256;
        // Below 256, so it fits.
        pause - pause / 1_024 * random as u32
    }
}

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r64_pauses_grow_to_a_bound_and_differ() {
        let mut backoff = Backoff::default();
        assert!(backoff.is_at_start());
        assert_eq!(backoff.next(), Duration::ZERO);
        let first = backoff.next();
        assert!(!backoff.is_at_start());
        assert!((SHORTEST * 3 / 4..=SHORTEST).contains(&first), "{first:?}");
        for _ in 0..100 {
            backoff.next();
        }
        let longest: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(
            longest
                .iter()
                .all(|pause| (LONGEST * 3 / 4..=LONGEST).contains(pause))
        );
        assert!(longest.iter().any(|pause| *pause != longest[0]));
    }
}
