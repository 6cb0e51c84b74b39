//! Mending a shard whose log lacks entries, though it has kept its epoch.

use std::sync::{Arc, Weak, atomic::Ordering};

use tokio::time::sleep;
use tracing::Instrument as _;

use crate::{
    clock::millis,
    revocation::Shard,
    store::{
        StoreError,
        redis::{
            Inner,
            client::Value,
            failure::{Failure, Purpose},
            heal::Turn,
            healing::PAUSE,
            keys::shard_slot,
            tasks::spawn_until_done,
        },
    },
};

/// What a log may lack that was read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Entries of which nobody knows whether anybody read them.
    Perhaps,
    /// Entries that were read.
    Lost,
}

impl Inner {
    /// Puts back what a shard lacks, in the background: its log has a gap, or ends too early. Tried until
    /// it succeeds, since nothing else will tell that something is missing: a server that has just lost
    /// writes may refuse them for long, because its replicas are not back.
    pub(super) fn mend(self: &Arc<Self>, shard: Shard, missing: Missing) {
        let index = usize::from(shard.number());
        if missing == Missing::Lost {
            self.healing.lost[index].store(true, Ordering::Release);
        }
        let due = &self.healing.due[index];
        if due.swap(true, Ordering::AcqRel) {
            // Somebody is about to.
            return;
        }
        let store = Arc::downgrade(self);
        spawn_until_done(move || {
            let span = tracing::debug_span!(parent: None, "mend", %shard);
            mend_until_whole(Weak::clone(&store), shard).instrument(span)
        });
    }

    async fn mend_now(&self, shard: Shard) -> Result<usize, StoreError> {
        let lost = &self.healing.lost[usize::from(shard.number())];
        if lost.swap(false, Ordering::AcqRel)
            && let Err(error) = self.call_unknown(shard).await
        {
            lost.store(true, Ordering::Release);
            return Err(error);
        }
        self.put_back_missing(shard).await
    }

    /// Has the shard answer "unknown" for the healing time: what it has lost others may have known, and
    /// who never did would take it for not revoked.
    async fn call_unknown(&self, shard: Shard) -> Result<(), StoreError> {
        let life = millis(self.settings.healing).to_string();
        if self.settings.healing.is_zero() {
            return Ok(());
        }
        // One that lasts already is not made to last longer by each who notices.
        let key = self.keys.healing(shard);
        let words = [key.as_str(), "1", "NX", "PX", life.as_str()];
        let args = words.map(Value::from).to_vec();
        let answer = self.writes.send(shard_slot(shard), "SET", args).await;
        let failed = |failure: Failure| failure.into_error(&self.name, Purpose::Write);
        answer.map(drop).map_err(failed)
    }
}

async fn mend_until_whole(store: Weak<Inner>, shard: Shard) {
    loop {
        let Some(inner) = store.upgrade() else {
            return;
        };
        if !inner.healing.begin(shard) {
            drop(inner);
            sleep(PAUSE).await;
            continue;
        }
        let turn = Turn { inner, shard };
        let due = &turn.inner.healing.due[usize::from(shard.number())];
        // Before: what is noticed from here on may be more.
        due.store(false, Ordering::Release);
        match turn.inner.mend_now(shard).await {
            Ok(0) => return,
            Ok(entries) => {
                tracing::warn!(
                    store = %turn.inner.name, %shard, entries,
                    "a shard had lost entries; put back what this process remembers"
                );
                return;
            }
            Err(error) => {
                tracing::debug!(%error, %shard, "a shard could not be mended yet");
                if due.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        }
        drop(turn);
        sleep(PAUSE * 10).await;
    }
}
