//! Putting back what a shard has lost.

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use tokio::time::{Instant, sleep};

use crate::{
    clock::millis,
    revocation::{Cutoff, Digest, Horizons, SHARDS, Shard},
    store::{
        StoreError,
        redis::{
            Inner, keys::LAYOUT, memory::Remembered, revoke::fallback_horizons, scripts::HEAL,
            shard::Probe,
        },
    },
};

/// What this process has put back, and where it is doing so.
#[derive(Debug, Default)]
pub(super) struct Healing {
    /// The epoch of each shard to which everything remembered has been written.
    healed: RwLock<[Option<Vec<u8>>; SHARDS as usize]>,
    /// When healing of a shard was last begun, and whether it still runs.
    running: Mutex<[Option<(Instant, bool)>; SHARDS as usize]>,
    required: Mutex<Option<Horizons>>,
    /// How many connections there had been when everything was put back last.
    connects: AtomicU64,
}

impl Healing {
    /// The horizons that this process has stated.
    pub(super) fn required(&self) -> Option<Horizons> {
        *self.required.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers horizons; they only rise.
    pub(super) fn require(&self, horizons: Horizons) {
        let mut required = self.required.lock().unwrap_or_else(PoisonError::into_inner);
        *required = Some(required.map_or(horizons, |held| held.max(horizons)));
    }

    fn is_healed(&self, shard: Shard, epoch: &[u8]) -> bool {
        let healed = self.healed.read().unwrap_or_else(PoisonError::into_inner);
        healed[usize::from(shard.number())].as_deref() == Some(epoch)
    }

    /// The epoch of `shard` in which everything remembered has been written; `None` until it has.
    pub(super) fn epoch(&self, shard: Shard) -> Option<String> {
        let healed = self.healed.read().unwrap_or_else(PoisonError::into_inner);
        let epoch = healed[usize::from(shard.number())].as_deref()?;
        String::from_utf8(epoch.to_vec()).ok()
    }

    fn set_healed(&self, shard: Shard, epoch: Vec<u8>) {
        let mut healed = self.healed.write().unwrap_or_else(PoisonError::into_inner);
        healed[usize::from(shard.number())] = Some(epoch);
    }

    /// Whether the caller is the one to heal `shard` now.
    fn begin(&self, shard: Shard) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut running[usize::from(shard.number())];
        let now = Instant::now();
        match *slot {
            Some((_, true)) => false,
            Some((begun, false)) if now < begun + PAUSE => false,
            _ => {
                *slot = Some((now, true));
                true
            }
        }
    }

    fn end(&self, shard: Shard) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, runs)) = &mut running[usize::from(shard.number())] {
            *runs = false;
        }
    }
}

/// Ends a healing whatever becomes of the task.
struct Turn {
    inner: Arc<Inner>,
    shard: Shard,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.inner.healing.end(self.shard);
    }
}

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
        tokio::spawn(async move {
            if let Err(error) = turn.inner.heal(shard).await {
                tracing::debug!(%error, %shard, "a shard could not be healed yet");
            }
        });
        false
    }

    /// Looks after all shards: gives an epoch to those without, and puts back what they lack.
    ///
    /// After a failover the epoch is the same, and the last writes may be missing. It cannot happen
    /// without a new connection, so then everything is put back too; what is there is left alone.
    pub(super) async fn heal_all(self: &Arc<Self>) -> Result<(), StoreError> {
        let connects = self.writes.connects();
        let moved = self.healing.connects.load(Ordering::Acquire) != connects;
        let healing = Shard::all().map(|shard| async move {
            self.heal(shard).await?;
            if moved {
                self.put_back_all(shard).await?;
            }
            Ok(())
        });
        join_all(healing)
            .await
            .into_iter()
            .collect::<Result<(), StoreError>>()?;
        self.healing.connects.store(connects, Ordering::Release);
        Ok(())
    }

    /// Gives a shard an epoch if it has none, and puts back what this process remembers of it, with
    /// the original cutoffs and remaining lives, unless that was done in this epoch.
    async fn heal(self: &Arc<Self>, shard: Shard) -> Result<(), StoreError> {
        let state = self.state(shard, Probe::Look, self.deadline()).await?;
        if self.healing.is_healed(shard, &state.epoch) {
            return Ok(());
        }
        let entries = self.put_back_all(shard).await?;
        if entries > 0 {
            tracing::warn!(
                store = %self.name, %shard, entries,
                "a shard had lost entries; put back what this process wrote"
            );
        } else if state.created {
            tracing::debug!(store = %self.name, %shard, "made a shard: it is new, or lost its data");
        }
        self.healing.set_healed(shard, state.epoch);
        Ok(())
    }

    /// Returns how many there were.
    async fn put_back_all(&self, shard: Shard) -> Result<usize, StoreError> {
        let entries = self.memory.of_shard(shard, std::time::Instant::now());
        for chunk in entries.chunks(CHUNK) {
            self.put_back(shard, chunk).await?;
            sleep(BREATH).await;
        }
        Ok(entries.len())
    }

    async fn put_back(
        &self,
        shard: Shard,
        entries: &[(Digest, Remembered)],
    ) -> Result<(), StoreError> {
        let fallback = fallback_horizons();
        let mut words = self.keys.of_script(shard);
        for (digest, _) in entries {
            words.key(&self.keys.deny(shard, digest));
        }
        words.word(LAYOUT);
        words.number(millis(fallback.access));
        words.number(millis(fallback.session));
        let now = std::time::Instant::now();
        for (digest, entry) in entries {
            words.word(digest.hex());
            match entry.cutoff {
                Cutoff::At(instant) => words.number(instant.as_millis()),
                Cutoff::Forever => words.word("*"),
            }
            let life = entry.expires.saturating_duration_since(now);
            words.number(millis(life));
        }
        self.write(shard, &HEAL, &words, self.deadline())
            .await
            .map(drop)
    }
}

/// How many entries are put back in one script, and how long the server may breathe after it: other
/// clients must not notice.
const CHUNK: usize = 256;
const BREATH: Duration = Duration::from_millis(5);

/// How long after the start of one attempt to heal a shard the next may start.
const PAUSE: Duration = Duration::from_millis(100);
