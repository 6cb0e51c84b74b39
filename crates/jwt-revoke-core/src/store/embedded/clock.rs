//! The store's own clock, whose dates no restart turns back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    clock::{Clock, Timestamp},
    defaults,
    store::StoreError,
};

/// Two kinds of instants: what the host's clock shows, by which sessions are dated and used, and the instant of
/// a cutoff, which never lies behind the date of a session, neither in this process nor after a restart.
///
/// A date that was handed out may be the birth of a session, and every cutoff written later must cover it,
/// also on a host whose clock was set back. So no date is handed out before one that is at least as late is
/// in the file. To make that cheap, dates are *reserved* ahead: each write, and one write every
/// [`defaults::CLOCK_RESERVATION`] in which the time was asked for, puts a later date in the file. A clean close
/// replaces it by the last one that was handed out; after a crash cutoffs go on from the reserved one.
///
/// An instant that was only shown is not kept: a clock that was ahead for a while and was put right leaves
/// nothing but the sessions and cutoffs that it dated.
pub(super) struct StoreClock {
    source: Arc<dyn Clock>,
    dates: Mutex<Dates>,
    /// The latest date in the file when it was opened.
    kept: Timestamp,
}

struct Dates {
    /// The latest that was handed out, here or before the file was opened.
    used: Timestamp,
    /// The latest cutoff of now.
    cut: Timestamp,
    /// What the file vouches for.
    reserved: Timestamp,
}

impl StoreClock {
    /// Goes on from the date in the file.
    pub(super) fn resume(
        source: Arc<dyn Clock>,
        kept: Timestamp,
        store: &str,
    ) -> Result<Self, StoreError> {
        let shown = source.now();
        let ahead = kept.saturating_since(shown);
        if ahead >= defaults::CLOCK_TOLERANCE {
            let reason = format!(
                "it shows {shown}, but the store has already seen {kept} (seconds since 1970), an \
                 hour or more later: correct the host's clock; if the store was written while that \
                 clock was wrong, move the store away and replace the signing keys"
            );
            return Err(StoreError::Clock {
                store: store.into(),
                reason,
            });
        }
        if ahead > defaults::HORIZON_MARGIN / 2 {
            tracing::warn!(
                store,
                ahead_s = ahead.as_secs(),
                "the host's clock stands behind the last date in the store, so one of the two was wrong: until \
                 the clock gets there, users who log out everywhere cannot log in"
            );
        }
        let mut clock = Self::new(source);
        clock.kept = kept;
        clock.dates().used = kept;
        Ok(clock)
    }

    /// A clock with nothing to go on from.
    pub(super) fn new(source: Arc<dyn Clock>) -> Self {
        Self {
            source,
            dates: Mutex::new(Dates {
                used: Timestamp::EPOCH,
                cut: Timestamp::EPOCH,
                reserved: Timestamp::EPOCH,
            }),
            kept: Timestamp::EPOCH,
        }
    }

    /// What the host's clock shows.
    pub(super) fn shown(&self) -> Timestamp {
        self.source.now()
    }

    /// The instant of a cutoff that is written while the clock shows `shown`.
    pub(super) fn cutoff_at(&self, shown: Timestamp) -> Timestamp {
        shown.max(self.dates().used)
    }

    /// A date for a session that begins now, if one as late is in the file, and how long until the clock shows
    /// it. It is kept.
    pub(super) fn date(&self) -> Option<(Timestamp, Duration)> {
        let shown = self.shown();
        let mut dates = self.dates();
        let date = dates.next(shown);
        if date > dates.reserved {
            return None;
        }
        dates.used = dates.used.max(date);
        Some((date, date.saturating_since(shown)))
    }

    /// The same date, to be reserved and then handed out.
    pub(super) fn next_date(&self, shown: Timestamp) -> Timestamp {
        self.dates().next(shown)
    }

    /// What to put in the file when it is written, so that it vouches for `least` and for what will be handed
    /// out in the next seconds. From now on no more than that is.
    pub(super) fn reserve(&self, least: Timestamp) -> Timestamp {
        let ahead = self.shown().saturating_add(defaults::CLOCK_RESERVATION);
        let mut dates = self.dates();
        let reservation = least.max(dates.used).max(ahead);
        dates.reserved = dates.reserved.min(reservation);
        reservation
    }

    /// What to put in the file when it is closed.
    pub(super) fn last(&self) -> Timestamp {
        let settled = self.settled();
        self.dates().used.max(settled)
    }

    /// Whether it is time to reserve more, before a caller has to wait for it.
    pub(super) fn runs_low(&self) -> bool {
        let half = self.shown().saturating_add(defaults::CLOCK_RESERVATION / 2);
        half > self.dates().reserved
    }

    /// Whether the file vouches for much more than it has to: the clock was ahead when it was written.
    pub(super) fn is_reserved_in_vain(&self) -> bool {
        let enough = self.shown().saturating_add(2 * defaults::CLOCK_RESERVATION);
        let dates = self.dates();
        dates.reserved > enough.max(dates.used)
    }

    /// The file holds `reserved` now.
    pub(super) fn set_reserved(&self, reserved: Timestamp) {
        self.dates().reserved = reserved;
    }

    /// Cutoffs of now were written at `instant`: what is dated in the same moment is dated after them.
    pub(super) fn cut(&self, instant: Timestamp) {
        let near = near(self.shown());
        let mut dates = self.dates();
        // One of a clock that was ahead does not hide those of now.
        if instant > dates.cut || dates.cut >= near {
            dates.cut = instant;
        }
    }

    /// A session is dated `date`: a cutoff that is written from now on covers it.
    pub(super) fn reach(&self, date: Timestamp) {
        let mut dates = self.dates();
        dates.used = dates.used.max(date);
    }

    /// The instant by which something may be forgotten: no step of the host's clock that does not last brings
    /// it nearer.
    pub(super) fn settled(&self) -> Timestamp {
        self.source.settled().max(self.kept.min(self.shown()))
    }

    fn dates(&self) -> MutexGuard<'_, Dates> {
        self.dates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dates {
    /// After a cutoff of the same moment. One that lies further ahead delays only what it covers.
    fn next(&self, shown: Timestamp) -> Timestamp {
        if self.cut >= shown && self.cut < near(shown) {
            return self.cut.saturating_add(Duration::from_millis(1));
        }
        shown
    }
}

/// A date before this counts as the same moment as what the clock shows.
fn near(shown: Timestamp) -> Timestamp {
    shown.saturating_add(defaults::CLOCK_SKEW / 2)
}

/// How long a date ahead of the clock is waited for at most.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(20);
