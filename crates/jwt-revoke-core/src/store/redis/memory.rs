//! What this process itself wrote: refused here whatever the store says, and put back into a store
//! that lost it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::revocation::{Cutoff, Digest, Shard};

/// The entries that this process wrote and the store acknowledged, until they expire.
///
/// Bounded: when it is full, the entry that would expire first is forgotten. The store still has
/// it; only its protection against a loss of data ends early.
#[derive(Debug)]
pub(super) struct Memory {
    entries: Mutex<Entries>,
    most: usize,
}

#[derive(Debug, Default)]
struct Entries {
    by_digest: HashMap<Digest, Remembered>,
    by_expiry: BTreeSet<(Instant, Digest)>,
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) cutoff: Cutoff,
    pub(super) expires: Instant,
    /// A bit for each shard it was written to.
    shards: u16,
}

impl Memory {
    /// A memory of at most `most` entries.
    pub(super) fn new(most: usize) -> Self {
        Self {
            entries: Mutex::default(),
            most,
        }
    }

    /// Remembers that `shard` holds `digest` for `life` from `now`. Merges with `max`.
    pub(super) fn keep(
        &self,
        shard: Shard,
        digest: Digest,
        cutoff: Cutoff,
        life: Duration,
        now: Instant,
    ) {
        let Some(expires) = now.checked_add(life) else {
            return;
        };
        let mut entries = self.lock();
        entries.purge(now);
        let mut entry = Remembered {
            cutoff,
            expires,
            shards: bit(shard),
        };
        if let Some(held) = entries.by_digest.get(&digest).copied() {
            entries.by_expiry.remove(&(held.expires, digest));
            entry.cutoff = entry.cutoff.max(held.cutoff);
            entry.expires = entry.expires.max(held.expires);
            entry.shards |= held.shards;
        }
        entries.by_digest.insert(digest, entry);
        entries.by_expiry.insert((entry.expires, digest));
        while entries.by_digest.len() > self.most {
            let Some((_, first)) = entries.by_expiry.pop_first() else {
                break;
            };
            entries.by_digest.remove(&first);
        }
    }

    /// The cutoffs remembered for `digests` in `shard`, each with its index.
    pub(super) fn find(
        &self,
        shard: Shard,
        digests: &[Digest],
        now: Instant,
    ) -> Vec<(usize, Cutoff)> {
        let entries = self.lock();
        if entries.by_digest.is_empty() {
            return Vec::new();
        }
        let found = |(index, digest)| {
            let entry = entries.by_digest.get(digest)?;
            (entry.shards & bit(shard) != 0 && entry.expires > now).then_some((index, entry.cutoff))
        };
        digests.iter().enumerate().filter_map(found).collect()
    }

    /// How long an entry still lives.
    pub(super) fn life(&self, digest: &Digest, now: Instant) -> Option<Duration> {
        let entry = self.lock().by_digest.get(digest).copied()?;
        Some(entry.expires.saturating_duration_since(now))
    }

    /// Everything remembered of `shard`.
    pub(super) fn of_shard(&self, shard: Shard, now: Instant) -> Vec<(Digest, Remembered)> {
        self.lock()
            .by_digest
            .iter()
            .filter(|(_, entry)| entry.shards & bit(shard) != 0 && entry.expires > now)
            .map(|(digest, entry)| (*digest, *entry))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn purge(&mut self, now: Instant) {
        while let Some((expires, digest)) = self.by_expiry.first().copied() {
            if expires > now {
                break;
            }
            self.by_expiry.pop_first();
            self.by_digest.remove(&digest);
        }
    }
}

fn bit(shard: Shard) -> u16 {
    1 << shard.number()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, revocation::Dimension};

    fn digest(value: u32) -> Digest {
        Digest::of(&Dimension::Jti, "iss", &value.to_be_bytes())
    }

    fn shard(number: u8) -> Shard {
        Shard::new(number).unwrap()
    }

    #[test]
    fn r4_a_later_lower_cutoff_does_not_replace_a_higher_one() {
        let (memory, now) = (Memory::new(8), Instant::now());
        let at = |millis| Cutoff::At(Timestamp::from_millis(millis));
        let minute = Duration::from_secs(60);
        memory.keep(shard(1), digest(1), at(9), minute, now);
        memory.keep(shard(1), digest(1), at(5), minute / 2, now);
        assert_eq!(memory.find(shard(1), &[digest(1)], now), [(0, at(9))]);
        let late = now + minute * 3 / 4;
        assert_eq!(memory.find(shard(1), &[digest(1)], late), [(0, at(9))]);
        assert_eq!(memory.find(shard(2), &[digest(1)], now), []);
        assert_eq!(memory.find(shard(1), &[digest(1)], now + minute), []);
    }

    #[test]
    fn r10_it_is_bounded_and_forgets_what_expires_first() {
        let (memory, now) = (Memory::new(2), Instant::now());
        for (value, seconds) in [(1, 20), (2, 10), (3, 30)] {
            let life = Duration::from_secs(seconds);
            memory.keep(shard(0), digest(value), Cutoff::Forever, life, now);
        }
        let all = [digest(1), digest(2), digest(3)];
        let found = memory.find(shard(0), &all, now);
        assert_eq!(found, [(0, Cutoff::Forever), (2, Cutoff::Forever)]);
    }
}
