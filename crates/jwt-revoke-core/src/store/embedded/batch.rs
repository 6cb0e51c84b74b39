//! What a batch of requests changes, request by request, before it is committed.

use super::{
    Shared,
    audit::AuditEntry,
    database::{Changes, Database},
    entry::{Entry, KeptHorizons},
    rows::SessionRows,
};
use crate::{
    clock::Timestamp,
    revocation::{Cutoff, Digest, Dimension, Horizon, Horizons},
    store::{Audit, Revocation, StoreError},
};

/// What is to be remembered of a batch once it is committed.
#[derive(Clone, Copy)]
pub(super) struct Used {
    /// The latest date of a session.
    pub(super) date: Timestamp,
    /// The instant of its cutoffs, if there are any.
    pub(super) cut: Option<Timestamp>,
}

/// Requests that will be committed together. Each sees what those before
/// it have changed.
pub(super) struct Batch<'a> {
    pub(super) shared: &'a Shared,
    pub(super) database: &'a Database,
    /// What the clock shows, by which sessions are dated and used.
    pub(super) clock: Timestamp,
    /// The instant of a cutoff. A session that is opened ahead of it takes it along: what follows, even in the
    /// same transaction, happens after the opening, and is to reach it.
    pub(super) now: Timestamp,
    /// The latest date that is handed out.
    pub(super) used: Timestamp,
    horizons: KeptHorizons,
    pub(super) changes: Changes,
    /// The sessions of the commit before, once they have been asked for.
    pub(super) rows: Option<SessionRows>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        database: &'a Database,
        horizons: KeptHorizons,
        clock: Timestamp,
    ) -> Self {
        let now = shared.clock.cutoff_at(clock);
        Self {
            shared,
            database,
            clock,
            now,
            used: Timestamp::EPOCH,
            horizons,
            changes: Changes::new(now),
            rows: None,
        }
    }

    /// What is to be committed, and the dates that it uses.
    pub(super) fn finish(self) -> (Changes, Used) {
        let mut changes = self.changes;
        let is_cut = |entry: &Entry| entry.cutoff() != Cutoff::Forever;
        let used = Used {
            date: self.used,
            cut: changes.entries.values().any(is_cut).then_some(self.now),
        };
        changes.clock = self.shared.clock.reserve(self.used);
        (changes, used)
    }

    /// Raises the horizons, and returns those that are in force once this is committed.
    pub(super) fn require(&mut self, horizons: Horizons) -> Horizons {
        let raised = self.horizons.raised(horizons, self.now);
        self.horizons = raised.unwrap_or(self.horizons);
        self.changes.horizons = raised.or(self.changes.horizons);
        self.horizons.horizons
    }

    /// Adds what `revocations` change; all of them or, if one is refused, none. Returns how many cutoffs
    /// rise.
    pub(super) fn revoke(&mut self, revocations: &[Revocation]) -> Result<usize, StoreError> {
        let cutoffs = revocations
            .iter()
            .map(|revocation| revocation.reach.cutoff(self.now));
        let cutoffs = cutoffs.collect::<Result<Vec<_>, _>>()?;
        let mut raised = 0;
        for (revocation, cutoff) in revocations.iter().zip(cutoffs) {
            if revocation.audit.dimension == Dimension::Session {
                self.forget_session(revocation.digest);
            }
            raised += usize::from(self.cutoff(&revocation.digest) < Some(cutoff));
            self.raise(
                revocation.digest,
                cutoff,
                revocation.horizon,
                revocation.counts_from,
                &revocation.audit,
            );
        }
        Ok(raised)
    }

    /// Raises the cutoff of `digest`, if it is lower. Its life counts from `counts_from`, where that lies
    /// ahead.
    pub(super) fn raise(
        &mut self,
        digest: Digest,
        cutoff: Cutoff,
        horizon: Horizon,
        counts_from: Timestamp,
        audit: &Audit,
    ) {
        let old = self.entry(&digest);
        let merged = self
            .horizons
            .merge(old, cutoff, horizon, self.now, counts_from);
        if let Some(entry) = merged {
            self.changes.entries.insert(digest, entry);
            self.changes.audit.push(AuditEntry::new(self.now, audit));
        }
    }

    pub(super) fn cutoff(&self, digest: &Digest) -> Option<Cutoff> {
        self.entry(digest).map(Entry::cutoff)
    }

    fn entry(&self, digest: &Digest) -> Option<Entry> {
        let pending = self.changes.entries.get(digest).copied();
        pending.or_else(|| self.shared.denylist.get(digest))
    }
}
