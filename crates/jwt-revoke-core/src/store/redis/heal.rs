//! Noticing that a shard has lost its data, and giving it back.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use tracing::Instrument as _;

use crate::{
    defaults,
    revocation::{Cutoff, Digest, Horizons, Life, Shard},
    store::{
        StoreError,
        redis::{Inner, keys::shard_slot, revoke::fallback_horizons, shard::Probe},
    },
};

impl Inner {
    /// Takes note of the epoch that an answer carried, and heals the shard in the background when it
    /// is missing or new: one task a shard, at most a few times a second. Returns whether the shard
    /// is the one to which this process has written everything it remembers; an answer that belongs
    /// to another shard is caught here too.
    pub(super) fn notice(self: &Arc<Self>, shard: Shard, epoch: Option<&[u8]>) -> bool {
        let whole = epoch.is_some_and(|epoch| self.healing.is_healed(shard, epoch));
        if whole || !self.healing.begin(shard) {
            return whole;
        }
        let turn = Turn {
            inner: Arc::clone(self),
            shard,
        };
        let healing = async move {
            if let Err(error) = turn.inner.heal(shard).await {
                tracing::debug!(%error, %shard, "a shard could not be healed yet");
            }
        };
        tokio::spawn(healing.instrument(tracing::debug_span!(parent: None, "heal", %shard)));
        false
    }

    /// For how long entries that this process writes must live at the least, whatever the store says: it
    /// may have lost what was stated, and not have been told again yet.
    pub(super) fn least_horizons(&self) -> Horizons {
        self.healing.required().unwrap_or_else(fallback_horizons)
    }

    /// Takes in an entry that this process wrote and the store acknowledged.
    pub(super) fn keep_own(
        &self,
        shard: Shard,
        digest: Digest,
        cutoff: Cutoff,
        kept: Duration,
        lasting: bool,
    ) {
        let horizons = self.least_horizons();
        // Of a session that was dated ahead.
        let ahead = horizons.session.saturating_add(defaults::MAX_CUTOFF_AHEAD);
        let lasting = lasting || cutoff == Cutoff::Forever && kept > ahead;
        let needed = if lasting {
            kept
        } else {
            kept.min(horizons.access)
        };
        let life = Life { kept, needed };
        self.replica.keep(shard, digest, cutoff, life);
        self.healing.wrote(shard, (digest, cutoff, life));
    }

    /// Looks after all shards: gives an epoch to those without, and puts back what they lack.
    ///
    /// After a failover the epoch is the same, and the last writes may be missing. It cannot happen
    /// without a new connection to whoever has the shard, so then this process puts back what it wrote
    /// lately. What it only read is missed by the follower, whose log ends too early or has a gap.
    pub(super) async fn heal_all(self: &Arc<Self>) -> Result<(), StoreError> {
        let healing = Shard::all().map(|shard| async move {
            // Before anything is written over it.
            let connection = self.writes.connection(shard_slot(shard));
            let moved = !self.healing.is_put_back_over(shard, &connection);
            // The follower looks too, unless it cannot.
            let silence = self.replica.silence(shard);
            let unheard = silence.is_none_or(|silence| silence > defaults::PROBE_INTERVAL);
            if moved || unheard {
                self.heal(shard).await?;
            }
            if moved {
                let own = self.written_lately(shard);
                self.put_back_all(shard, &own).await?;
                self.healing.put_back_over(shard, connection);
            }
            Ok(())
        });
        join_all(healing).await.into_iter().collect()
    }

    /// Gives a shard an epoch if it has none, and puts back what this process remembers of it, with
    /// the original cutoffs and remaining lives, unless that was done in this epoch.
    async fn heal(self: &Arc<Self>, shard: Shard) -> Result<(), StoreError> {
        let state = self.state(shard, Probe::Look, self.deadline()).await?;
        if self.healing.is_healed(shard, &state.epoch) {
            return Ok(());
        }
        let entries = self.put_back_missing(shard).await?;
        if entries > 0 {
            tracing::warn!(
                store = %self.name, %shard, entries,
                "a shard had lost entries; put back what this process remembers"
            );
        } else if state.created {
            tracing::debug!(store = %self.name, %shard, "made a shard: it is new, or lost its data");
        }
        self.healing.set_healed(shard, state.epoch);
        Ok(())
    }
}

/// Ends a healing whatever becomes of the task.
pub(super) struct Turn {
    pub(super) inner: Arc<Inner>,
    pub(super) shard: Shard,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.inner.healing.end(self.shard);
    }
}
