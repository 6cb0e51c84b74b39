//! What a process remembers for its store: what it wrote lately, and what it has put back where.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError, RwLock, atomic::AtomicBool},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    revocation::{Cutoff, Digest, Horizons, Life, SHARDS, Shard},
    store::redis::client::Connection,
};

/// What this process has put back, and where it is doing so.
#[derive(Debug, Default)]
pub(super) struct Healing {
    /// The epoch of each shard to which everything remembered has been written.
    healed: RwLock<[Option<Vec<u8>>; SHARDS as usize]>,
    /// When healing of a shard was last begun, and whether it still runs.
    running: Mutex<[Option<(Instant, bool)>; SHARDS as usize]>,
    required: Mutex<Option<Horizons>>,
    /// Over which connection to each shard what this process wrote was put back last.
    over: Mutex<[Option<Connection>; SHARDS as usize]>,
    /// Whether each shard is to be mended, and nobody has begun.
    pub(super) due: [AtomicBool; SHARDS as usize],
    /// Whether each shard has lost entries, and does not say so yet.
    pub(super) lost: [AtomicBool; SHARDS as usize],
    /// What this process wrote lately, in order. Beside the copy, which may have no room for it.
    recent: Mutex<VecDeque<(Instant, Shard, Remembered)>>,
    /// When it was last told that each shard did not take entries back.
    told: Mutex<[Option<Instant>; SHARDS as usize]>,
}

impl Healing {
    /// The longest horizons that this process has stated or found stated.
    pub(super) fn required(&self) -> Option<Horizons> {
        *self.required.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers horizons; they only rise.
    pub(super) fn require(&self, horizons: Horizons) {
        let mut required = self.required.lock().unwrap_or_else(PoisonError::into_inner);
        *required = Some(required.map_or(horizons, |held| held.max(horizons)));
    }

    pub(super) fn wrote(&self, shard: Shard, entry: Remembered) {
        let now = Instant::now();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.len() >= RECENT || recent.front().is_some_and(|(at, ..)| *at + LATELY < now) {
            recent.pop_front();
        }
        recent.push_back((now, shard, entry));
    }

    /// What this process wrote lately to `shard`.
    pub(super) fn recent(&self, shard: Shard) -> HashMap<Digest, (Cutoff, Life)> {
        let now = Instant::now();
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written: HashMap<Digest, (Cutoff, Life)> = HashMap::new();
        for (at, _, (digest, cutoff, life)) in recent.iter().filter(|(_, of, _)| *of == shard) {
            let left = life.after(now - *at);
            let entry = written.entry(*digest).or_insert((*cutoff, left));
            *entry = (entry.0.max(*cutoff), entry.1.max(left));
        }
        written
    }

    pub(super) fn is_healed(&self, shard: Shard, epoch: &[u8]) -> bool {
        let healed = self.healed.read().unwrap_or_else(PoisonError::into_inner);
        healed[usize::from(shard.number())].as_deref() == Some(epoch)
    }

    /// Whether `epoch` is known to be that of another shard.
    pub(super) fn is_of_another(&self, shard: Shard, epoch: &[u8]) -> bool {
        let healed = self.healed.read().unwrap_or_else(PoisonError::into_inner);
        let mut others = Shard::all().zip(&*healed).filter(|(at, _)| *at != shard);
        others.any(|(_, known)| known.as_deref() == Some(epoch))
    }

    /// The epoch of `shard` in which everything remembered has been written; `None` until it has.
    pub(super) fn epoch(&self, shard: Shard) -> Option<String> {
        let healed = self.healed.read().unwrap_or_else(PoisonError::into_inner);
        let epoch = healed[usize::from(shard.number())].as_deref()?;
        String::from_utf8(epoch.to_vec()).ok()
    }

    pub(super) fn set_healed(&self, shard: Shard, epoch: Vec<u8>) {
        let mut healed = self.healed.write().unwrap_or_else(PoisonError::into_inner);
        healed[usize::from(shard.number())] = Some(epoch);
    }

    /// Whether what this process wrote to `shard` has been put back over this connection.
    pub(super) fn is_put_back_over(&self, shard: Shard, connection: &Connection) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        over[usize::from(shard.number())].as_ref() == Some(connection)
    }

    pub(super) fn put_back_over(&self, shard: Shard, connection: Connection) {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        over[usize::from(shard.number())] = Some(connection);
    }

    /// Whether the caller is the one to heal `shard` now.
    pub(super) fn begin(&self, shard: Shard) -> bool {
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

    /// Whether it may be told again that `shard` did not take entries back.
    pub(super) fn may_tell(&self, shard: Shard) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let last = &mut told[usize::from(shard.number())];
        let now = Instant::now();
        let may = last.is_none_or(|last| now >= last + TELL);
        if may {
            *last = Some(now);
        }
        may
    }

    pub(super) fn end(&self, shard: Shard) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, runs)) = &mut running[usize::from(shard.number())] {
            *runs = false;
        }
    }
}

/// An entry, and how long it still lives.
pub(super) type Remembered = (Digest, Cutoff, Life);

/// For how long, and how many at most, a process remembers which entries it wrote itself: what a
/// failover loses was written a moment before.
const LATELY: Duration = Duration::from_secs(5 * 60);
const RECENT: usize = 100_000;

/// How often at most it is told that a shard does not take entries back.
const TELL: Duration = Duration::from_secs(60);

/// How long after the start of one attempt to heal a shard the next may start.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
