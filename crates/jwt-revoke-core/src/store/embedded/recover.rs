//! Going on after a failure: the database is opened again, and gets back what this process knows.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use super::{
    database::{Changes, Kept, Unreadable},
    file,
    memory::Denylist,
    origin::Look,
    writer::Writer,
};
use crate::{clock::Timestamp, defaults, store::StoreError};

/// When to try again.
pub(super) struct Retry {
    pub(super) due: Instant,
}

impl Retry {
    pub(super) fn new() -> Self {
        Self {
            due: Instant::now(),
        }
    }

    /// After an attempt that began at `began` and failed. An attempt reads the whole file, so a long one is
    /// repeated seldom.
    fn failed(&mut self, began: Instant) {
        let now = Instant::now();
        self.due = now + defaults::PROBE_INTERVAL.max(4 * (now - began));
    }
}

impl Writer {
    /// Puts the store back into service, if it is out of it, can be opened again, and it is time to try.
    pub(super) fn recover(&mut self) {
        let began = Instant::now();
        if self.origin.is_none() || self.shared.working().is_ok() || began < self.retry.due {
            return;
        }
        // Should the attempt panic, the next one is not at once either.
        self.retry.failed(began);
        match self.reopen() {
            Ok(put_back) => {
                self.shared.mend();
                tracing::info!(
                    store = self.shared.name,
                    put_back,
                    "the store is in service again"
                );
            }
            Err(error) => {
                tracing::debug!(store = self.shared.name, %error, "the store cannot be opened again yet");
                self.shared.poison(&error.to_string());
                self.retry.failed(began);
            }
        }
    }

    /// Opens the database again. What was acknowledged and is not in it any more is put back from memory, and
    /// what is in it and was not acknowledged is in force. Returns how many entries were put back.
    pub(super) fn reopen(&mut self) -> Result<usize, StoreError> {
        let Some(origin) = &mut self.origin else {
            return self.shared.working().map(|()| 0);
        };
        // The database may panic once more when it is dropped; that was reported.
        let old = self.database.take();
        if let Some(old) = &old {
            old.seal();
        }
        let _ = catch_unwind(AssertUnwindSafe(|| drop(old)));
        let found = Denylist::new();
        let (database, kept) = origin.open(&self.shared.name, &found)?;
        let changes = self.lacking(&found, &kept);
        let put_back = changes.entries.len();
        let committed = database
            .commit(&changes)
            .map_err(|error| file::unreadable(&self.shared.name, Unreadable::Failed(error)))?;
        if let Some(Look::Gone(reason)) = self.origin.as_ref().map(|origin| origin.look()) {
            return Err(file::refuse(&self.shared.name, reason));
        }
        for (digest, entry) in found.all() {
            let known = self.shared.denylist.get(&digest);
            let entry = known.map_or(entry, |known| known.max(entry));
            self.shared.denylist.insert(digest, entry);
        }
        self.horizons = changes.horizons.unwrap_or(kept.horizons);
        self.database = Some(database);
        self.committed(&committed, &changes);
        Ok(put_back)
    }

    /// What this process knows and the file lacks.
    fn lacking(&self, found: &Denylist, kept: &Kept) -> Changes {
        let clock = self
            .shared
            .clock
            .reserve(kept.clock.min(self.latest_clock()));
        let mut changes = Changes::new(clock);
        changes.after = self.commits;
        changes.horizons = kept.horizons.raised(self.horizons.horizons, clock);
        for (digest, entry) in self.shared.denylist.all() {
            let held = found.get(&digest);
            let whole = held.map_or(entry, |held| held.max(entry));
            if held != Some(whole) {
                changes.entries.insert(digest, whole);
            }
        }
        changes
    }

    /// A date in the file that lies further ahead than any clock which this store accepts is not taken over.
    fn latest_clock(&self) -> Timestamp {
        let shown = self.shared.clock.shown();
        shown.saturating_add(defaults::CLOCK_TOLERANCE - Duration::from_millis(1))
    }
}
