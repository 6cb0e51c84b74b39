//! Instants, and where they come from.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::defaults;

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

    /// The instant by which an embedded store forgets: entries that have expired by it can be dropped. No later than
    /// any instant that [`now`](Self::now) may show from here on, however the host's clock is put right. The
    /// default is `now`, for a clock that never runs back.
    fn settled(&self) -> Timestamp {
        self.now()
    }
}

/// The clock of the operating system, kept from running back where that could harm.
///
/// | the host's clock | what it shows |
/// | --- | --- |
/// | jumps ahead | follows at once: tokens only end earlier |
/// | is put right after such a jump | follows at once, if the jump lasted less than [`CLOCK_SETTLES`](defaults::CLOCK_SETTLES) |
/// | is set back otherwise, by less than [`CLOCK_TOLERANCE`](defaults::CLOCK_TOLERANCE) | runs on, and follows after [`CLOCK_PATIENCE`](defaults::CLOCK_PATIENCE) |
/// | is set back further than that | runs on, until the process is restarted |
/// | wavers by less than a second | waits |
///
/// Where it runs on, it counts by the clock that no operator sets. A store that forgets by
/// [`settled`](Clock::settled) still has what is needed after each step that is followed.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    latest: AtomicU64,
    lines: Mutex<Lines>,
}

/// How far the host's clock is ahead of the clock that no operator sets, in milliseconds: constant but for steps.
#[derive(Debug)]
struct Lines {
    /// Now.
    offset: i64,
    /// Since when, on the other clock.
    since: u64,
    /// The line behind which the clock does not fall.
    settled: Option<i64>,
    /// The highest line that was ever settled.
    highest: i64,
}

impl SystemClock {
    /// A clock that has not told the time yet.
    pub fn new() -> Self {
        Self::started(Instant::now(), wall())
    }

    /// A clock ready to be shared.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self::new())
    }

    fn started(start: Instant, wall: u64) -> Self {
        Self {
            start,
            latest: AtomicU64::new(wall),
            lines: Mutex::new(Lines {
                offset: offset(wall, 0),
                since: 0,
                settled: None,
                highest: i64::MIN,
            }),
        }
    }

    /// What it shows when the host's clock shows `wall`, `steady` milliseconds after the start.
    fn shows(&self, wall: u64, steady: u64) -> u64 {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let stepped = lines.observe(wall, steady);
        let latest = self.latest.load(Ordering::Relaxed);
        let floor = lines.settled.map_or(0, |line| on(line, steady));
        let wavers = !stepped && wall < latest && latest - wall < STEP;
        let shown = wall.max(floor).max(if wavers { latest } else { 0 });
        self.latest.store(shown, Ordering::Relaxed);
        shown
    }

    fn steady(&self) -> u64 {
        millis(self.start.elapsed())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let wall = wall();
        let latest = self.latest.load(Ordering::Relaxed);
        // Mostly it is the same millisecond still: then no core takes the value from the others.
        if wall == latest {
            return Timestamp(wall);
        }
        if wall > latest && wall - latest < STEP {
            self.latest.fetch_max(wall, Ordering::Relaxed);
            return Timestamp(wall);
        }
        Timestamp(self.shows(wall, self.steady()))
    }

    fn settled(&self) -> Timestamp {
        let (wall, steady) = (wall(), self.steady());
        self.shows(wall, steady);
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = lines.settled.map_or(0, |line| on(line, steady));
        Timestamp(settled)
    }
}

impl Lines {
    /// Takes note of what both clocks show, and returns whether the host's was set since it was last looked at.
    fn observe(&mut self, wall: u64, steady: u64) -> bool {
        let offset = offset(wall, steady);
        let stepped = offset.abs_diff(self.offset) >= STEP;
        if stepped {
            self.since = steady;
        }
        self.offset = offset;
        let lasted = Duration::from_millis(steady.saturating_sub(self.since));
        let settles = match self.settled {
            // Nothing that was forgotten is needed: less than the tolerance below every line so far.
            Some(settled) if offset < settled => {
                lasted >= defaults::CLOCK_PATIENCE
                    && self.highest.abs_diff(offset) < millis(defaults::CLOCK_TOLERANCE)
            }
            _ => lasted >= defaults::CLOCK_SETTLES,
        };
        if settles {
            self.settled = Some(offset);
            self.highest = self.highest.max(offset);
        }
        if stepped && self.settled.is_some_and(|settled| offset < settled) {
            tracing::warn!(
                back_ms = self.settled.unwrap_or(offset).abs_diff(offset),
                "the host's clock was set back: this process follows it after a minute if that is less than an \
                 hour; otherwise restart the process when the clock is right"
            );
        }
        stepped
    }
}

/// Milliseconds since 1970 on the host's clock.
fn wall() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}

fn offset(wall: u64, steady: u64) -> i64 {
    let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
    signed(wall).saturating_sub(signed(steady))
}

/// What a line shows.
fn on(line: i64, steady: u64) -> u64 {
    steady.saturating_add_signed(line)
}

/// A shorter step is a wavering, in milliseconds.
const STEP: u64 = 1_000;

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

    const START: u64 = 1_790_000_000_000;
    const SECOND: u64 = 1_000;
    const HOUR: u64 = 3_600 * SECOND;

    fn clock() -> SystemClock {
        SystemClock::started(Instant::now(), START)
    }

    /// Lets the host's clock run `ahead` of the right time, from one moment to the other, looked at each second.
    fn run(clock: &SystemClock, ahead: i64, from: u64, to: u64) {
        for steady in (from..=to).step_by(1_000) {
            clock.shows(right(steady).saturating_add_signed(ahead), steady);
        }
    }

    fn right(steady: u64) -> u64 {
        START + steady
    }

    fn settled(clock: &SystemClock, steady: u64) -> u64 {
        let lines = clock.lines.lock().unwrap();
        lines.settled.map_or(0, |line| on(line, steady))
    }

    #[test]
    fn r72_a_jump_ahead_is_followed_and_taken_back() {
        for (from, lasted) in [(0, 4 * SECOND), (HOUR / 2, HOUR / 4), (3 * HOUR, HOUR / 2)] {
            for ahead in [50 * 60 * 1_000, 40 * 24 * 3_600 * 1_000] {
                let clock = clock();
                run(&clock, 0, 0, from);
                run(&clock, ahead, from + SECOND, from + lasted);
                let end = from + lasted + SECOND;
                let wrong = right(end).saturating_add_signed(ahead);
                assert_eq!(clock.shows(wrong, end), wrong);
                assert_eq!(clock.shows(right(end), end), right(end));
                // Nothing was forgotten by it.
                assert!(settled(&clock, end) <= right(end));
            }
        }
    }

    #[test]
    fn r72_a_process_that_was_started_ahead_follows_when_the_clock_is_put_right() {
        let clock = SystemClock::started(Instant::now(), START + 30 * HOUR);
        run(&clock, 30 * 3_600 * 1_000, 0, HOUR / 2);
        let now = HOUR / 2 + SECOND;
        assert_eq!(clock.shows(right(now), now), right(now));
        assert_eq!(settled(&clock, now), 0);
    }

    #[test]
    fn r72_a_clock_that_is_set_back_after_it_was_right_is_followed_in_time_and_not_too_far() {
        let minutes = |n: i64| n * 60 * 1_000;
        for (back, follows) in [
            (minutes(2), true),
            (minutes(59), true),
            (minutes(61), false),
        ] {
            let clock = clock();
            run(&clock, 0, 0, 2 * HOUR);
            assert_eq!(settled(&clock, 2 * HOUR), right(2 * HOUR));
            let step = 2 * HOUR + SECOND;
            let set_back = |steady| right(steady).saturating_add_signed(-back);
            // It runs on meanwhile, and stands still at no time.
            for at in [step, step + 10 * SECOND] {
                assert_eq!(clock.shows(set_back(at), at), right(at), "{back}");
            }
            run(&clock, -back, step, step + 2 * HOUR);
            let end = step + 2 * HOUR + SECOND;
            let expected = if follows { set_back(end) } else { right(end) };
            assert_eq!(clock.shows(set_back(end), end), expected, "{back}");
        }
    }

    #[test]
    fn r72_steps_back_do_not_add_up() {
        let clock = clock();
        run(&clock, 0, 0, 2 * HOUR);
        let back = 40 * 60 * 1_000_i64;
        run(&clock, -back, 2 * HOUR + SECOND, 4 * HOUR);
        run(&clock, -2 * back, 4 * HOUR + SECOND, 6 * HOUR);
        let end = 6 * HOUR + SECOND;
        let shown = clock.shows(right(end).saturating_add_signed(-2 * back), end);
        assert_eq!(shown, right(end).saturating_add_signed(-back));
    }

    #[test]
    fn a_clock_that_wavers_is_waited_for() {
        let clock = clock();
        assert_eq!(clock.shows(START + 5_000, 5_000), START + 5_000);
        assert_eq!(clock.shows(START + 4_500, 5_000), START + 5_000);
        assert_eq!(clock.shows(START + 5_100, 5_600), START + 5_100);
        let clock = SystemClock::new();
        let before = clock.now();
        assert!(clock.now() >= before);
        assert_eq!(clock.settled(), Timestamp::EPOCH);
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
