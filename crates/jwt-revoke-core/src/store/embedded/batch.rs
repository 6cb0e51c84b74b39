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

/// Requests that will be committed together. Each sees what those before
/// it have changed.
pub(super) struct Batch<'a> {
    pub(super) shared: &'a Shared,
    pub(super) database: &'a Database,
    /// The instant at which all this happens. A session that is opened ahead of it takes it along: what
    /// follows, even in the same transaction, happens after the opening, and is to reach it.
    pub(super) now: Timestamp,
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
        now: Timestamp,
    ) -> Self {
        Self {
            shared,
            database,
            now,
            horizons,
            changes: Changes::new(now),
            rows: None,
        }
    }

    /// What is to be committed, and the instant that has been reached.
    pub(super) fn finish(self) -> (Changes, Timestamp) {
        let mut changes = self.changes;
        changes.clock = self.shared.clock.reservation(self.now);
        (changes, self.now)
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
