//! The store's own clock, which no restart turns back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::{Clock, Timestamp},
    defaults,
    store::StoreError,
};

/// Tells instants that never run backwards, neither in this process nor after a restart.
///
/// An instant that was handed out may be the birth of a session, and every cutoff written later
/// must cover it, also after a restart on a host whose clock was set back. So no instant is handed
/// out before one that is at least as late is in the file. To make that cheap, instants are
/// *reserved* ahead: each write, and one write every [`defaults::CLOCK_RESERVATION`] in which the
/// time was asked for, puts a later instant in the file. A clean close replaces it by the last one
/// that was handed out; after a crash the clock goes on from the reserved one, so it may stand still
/// until the host's clock has caught up.
pub(super) struct StoreClock {
    source: Arc<dyn Clock>,
    latest: AtomicU64,
    reserved: AtomicU64,
}

impl StoreClock {
    /// Goes on from the instant in the file, if the host's clock stands behind it.
    pub(super) fn resume(
        source: Arc<dyn Clock>,
        kept: Timestamp,
        store: &str,
    ) -> Result<Self, StoreError> {
        let shown = source.now();
        if kept.saturating_since(shown) >= defaults::CLOCK_TOLERANCE {
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
        let clock = Self::new(source);
        clock.latest.fetch_max(kept.as_millis(), Ordering::AcqRel);
        Ok(clock)
    }

    /// A clock with nothing to go on from.
    pub(super) fn new(source: Arc<dyn Clock>) -> Self {
        Self {
            source,
            latest: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
        }
    }

    /// The current instant. It may be handed out only if it is [`is_reserved`](Self::is_reserved).
    pub(super) fn now(&self) -> Timestamp {
        let shown = self.source.now().as_millis();
        let before = self.latest.fetch_max(shown, Ordering::AcqRel);
        Timestamp::from_millis(shown.max(before))
    }

    /// Whether an instant at least as late is in the file.
    pub(super) fn is_reserved(&self, instant: Timestamp) -> bool {
        instant.as_millis() <= self.reserved.load(Ordering::Acquire)
    }

    /// What to put in the file when it is written at `now`.
    pub(super) fn reservation(&self, now: Timestamp) -> Timestamp {
        let shown = self.source.now();
        now.max(shown.saturating_add(defaults::CLOCK_RESERVATION))
    }

    /// Whether it is time to reserve more, before somebody has to wait for it.
    pub(super) fn runs_low(&self, now: Timestamp) -> bool {
        let half = defaults::CLOCK_RESERVATION / 2;
        !self.is_reserved(self.reservation(now).saturating_sub(half))
    }

    /// The file holds `reserved` now.
    pub(super) fn set_reserved(&self, reserved: Timestamp) {
        self.reserved
            .fetch_max(reserved.as_millis(), Ordering::AcqRel);
    }

    /// From now on shows later instants than `instant`, at which cutoffs were written: a session
    /// opened after them is born after them, even while the clock stands still.
    pub(super) fn pass(&self, instant: Timestamp) {
        self.reach(instant.saturating_add(Duration::from_millis(1)));
    }

    /// From now on shows no earlier instant than `instant`, at which a session was opened: a cutoff
    /// written after that covers it.
    pub(super) fn reach(&self, instant: Timestamp) {
        self.latest.fetch_max(instant.as_millis(), Ordering::AcqRel);
    }

    /// How far the store's clock is ahead of the host's.
    pub(super) fn ahead(&self) -> Duration {
        let shown = self.source.now();
        self.now().saturating_since(shown)
    }
}
