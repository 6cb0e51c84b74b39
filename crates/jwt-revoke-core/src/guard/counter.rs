//! A count that all threads raise.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Raised at every request, and read now and then: threads have places of their own, so that no core
/// waits for another to give the count away.
pub(super) struct Counter(Box<[Place; PLACES]>);

/// Two lines of a cache, since processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Place(AtomicU64);

/// Threads beyond so many share.
const PLACES: usize = 16;

impl Counter {
    pub(super) fn new() -> Self {
        Self(Box::default())
    }

    pub(super) fn increment(&self) {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static PLACE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % PLACES;
        }
        // A thread that is ending has none any more.
        let place = PLACE.try_with(|place| *place).unwrap_or(0);
        self.0[place].0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sum(&self) -> u64 {
        self.0
            .iter()
            .map(|place| place.0.load(Ordering::Relaxed))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_thread_takes_what_another_counted() {
        let counter = Counter::new();
        std::thread::scope(|scope| {
            for _ in 0..PLACES + 3 {
                scope.spawn(|| (0..1_000).for_each(|_| counter.increment()));
            }
        });
        assert_eq!(counter.sum(), (PLACES as u64 + 3) * 1_000);
        let used = counter
            .0
            .iter()
            .filter(|place| place.0.load(Ordering::Relaxed) > 0);
        assert!(used.count() > 1, "all threads count in one place");
    }
}
