//! Instants, and where they come from.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// An instant in whole milliseconds since 1970-01-01T00:00:00Z, leap seconds ignored
/// (the `NumericDate` of RFC 7519 §2, a thousand times finer).
///
/// ```
/// use jwt_revoke_core::Timestamp;
/// use std::time::Duration;
///
/// let opened = Timestamp::from_millis(1_700_000_000_123);
/// assert_eq!(opened.whole_seconds(), 1_700_000_000);
/// assert_eq!(opened.saturating_add(Duration::from_secs(1)).as_millis(), 1_700_000_001_123);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The earliest instant; every cutoff covers it.
    pub const EPOCH: Self = Self(0);

    /// An instant from milliseconds since the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The start of a second, counted from the epoch; saturates.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Seconds since the epoch, rounded down.
    pub const fn whole_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Later by `by`, rounded down to the millisecond; saturates.
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// Earlier by `by`, rounded down to the millisecond; not before the epoch.
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }

    /// How much later `self` is than `earlier`; zero when it is not.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Tells the time to verifiers, guards and the embedded store.
///
/// The default is [`SystemClock`]. Give another one to tests (`FakeClock`, feature `test-util`).
pub trait Clock: Send + Sync + 'static {
    /// The current instant.
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system, made monotonic: it never runs backwards within the process,
/// because a token that has lapsed must not come alive again when the host's clock is set back.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: AtomicU64,
}

impl SystemClock {
    /// A clock that has not told the time yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock ready to be shared.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self::new())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, millis);
        // Mostly it is the same millisecond still: then no core takes the value from the others.
        let mut latest = self.latest.load(Ordering::Relaxed);
        if wall > latest {
            latest = self.latest.fetch_max(wall, Ordering::Relaxed);
        }
        Timestamp(wall.max(latest))
    }
}

/// A clock that stands still until it is told to move. For tests.
///
/// Unlike [`SystemClock`] it can be set back: that is what some tests are about.
#[cfg(any(test, feature = "test-util"))]
#[derive(Debug, Default)]
pub struct FakeClock(AtomicU64);

#[cfg(any(test, feature = "test-util"))]
impl FakeClock {
    /// A clock that shows `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(AtomicU64::new(at.as_millis()))
    }

    /// Moves forward by `by`.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Jumps to `at`, forwards or back.
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.as_millis(), Ordering::SeqCst);
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Whole milliseconds of a length of time, saturating.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_never_runs_backwards() {
        let clock = SystemClock::new();
        let ahead = clock.now().as_millis() + 3_600_000;
        clock.latest.store(ahead, Ordering::Relaxed);
        assert_eq!(clock.now().as_millis(), ahead);
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let end = Timestamp::from_millis(u64::MAX);
        assert_eq!(end.saturating_add(Duration::MAX), end);
        assert_eq!(
            Timestamp::EPOCH.saturating_sub(Duration::MAX),
            Timestamp::EPOCH
        );
        assert_eq!(Timestamp::from_seconds(u64::MAX), end);
        assert_eq!(Timestamp::EPOCH.saturating_since(end), Duration::ZERO);
    }
}
