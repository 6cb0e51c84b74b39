//! Entries in memory, from which checks are answered.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use foldhash::fast::RandomState;

use crate::{
    revocation::{Cutoff, Cutoffs, Digest},
    store::Lookup,
};

/// What is known of each of many digests, behind one lock, so that a check takes one.
///
/// Readers never wait long: a writer holds the lock for a slice of its work, and the maps behind it
/// are small enough that neither growing one nor looking through one takes long, if there are enough
/// of them. Each map has a hasher of its own, seeded at random: values that an attacker chose do not collide.
pub(crate) struct Table<E>(RwLock<Box<[Part<E>]>>);

type Part<E> = HashMap<Digest, E, RandomState>;

impl<E: Copy> Table<E> {
    /// For a share of the entries of a store.
    #[cfg(feature = "redis")]
    pub(crate) fn new() -> Self {
        Self::with_parts(64)
    }

    /// Of so many maps, at least one.
    pub(crate) fn with_parts(parts: u16) -> Self {
        let parts = usize::from(parts.max(1));
        Self(RwLock::new(
            std::iter::repeat_with(Part::default).take(parts).collect(),
        ))
    }

    /// The cutoffs of the digests of `query` that are here. Allocates nothing, and does not look for the
    /// entry of a kept session where no other needs it.
    pub(crate) fn find(&self, query: &Lookup<'_>, cutoff_of: impl Fn(E) -> Cutoff) -> Cutoffs {
        let parts = self.read();
        let mut found = Cutoffs::NONE;
        let look = |index: usize, digest: &Digest, found: &mut Cutoffs| {
            if let Some(entry) = parts[part_of(digest, parts.len())].get(digest) {
                found.insert(query, index, cutoff_of(*entry));
            }
        };
        let kept = query.exception.map(|exception| exception.kept);
        for (index, digest) in query.digests.iter().enumerate() {
            if Some(index) != kept {
                look(index, digest, &mut found);
            }
        }
        if found.asks_for_kept()
            && let Some(kept) = kept
            && let Some(digest) = query.digests.get(kept)
        {
            look(kept, digest, &mut found);
        }
        found
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<E> {
        let parts = self.read();
        parts[part_of(digest, parts.len())].get(digest).copied()
    }

    /// Puts what `merge` makes of the entry so far in its place.
    pub(crate) fn update(&self, digest: Digest, merge: impl FnOnce(Option<E>) -> E) {
        let mut parts = self.write();
        let number = part_of(&digest, parts.len());
        let part = &mut parts[number];
        let entry = merge(part.get(&digest).copied());
        part.insert(digest, entry);
    }

    /// Removes those of `digests` whose entry is `unwanted` still, a slice at a time. Returns how many.
    pub(crate) fn remove(&self, digests: &[Digest], unwanted: impl Fn(&E) -> bool) -> usize {
        let mut removed = 0;
        for slice in digests.chunks(SLICE) {
            let mut parts = self.write();
            for digest in slice {
                let number = part_of(digest, parts.len());
                let part = &mut parts[number];
                if part.get(digest).is_some_and(&unwanted) {
                    part.remove(digest);
                    removed += 1;
                }
                // Memory follows what is alive, not what once was.
                if part.len() < part.capacity() / 8 {
                    let room = part.len() * 2;
                    part.shrink_to(room);
                }
            }
        }
        removed
    }

    /// At most `limit` of the entries that are `wanted`. Other readers go on reading, and writers get
    /// their turn between the parts.
    pub(crate) fn select(&self, limit: usize, wanted: impl Fn(&E) -> bool) -> Vec<(Digest, E)> {
        let mut selected = Vec::new();
        let count = self.read().len();
        for number in 0..count {
            let parts = self.read();
            let matching = parts[number].iter().filter(|(_, entry)| wanted(entry));
            let room = limit - selected.len();
            selected.extend(matching.map(|(digest, entry)| (*digest, *entry)).take(room));
            if selected.len() == limit {
                break;
            }
        }
        selected
    }

    /// What the maps take, filled or not, in bytes: to seven entries they keep room for eight, and a byte
    /// for each.
    pub(crate) fn bytes(&self) -> usize {
        let room: usize = self.read().iter().map(Part::capacity).sum();
        room * 8 / 7 * (size_of::<(Digest, E)>() + 1)
    }

    #[cfg(feature = "embedded")]
    pub(crate) fn len(&self) -> usize {
        self.read().iter().map(Part::len).sum()
    }

    /// No code that can panic runs under the lock, so a poisoned one holds nothing half-written.
    fn read(&self) -> RwLockReadGuard<'_, Box<[Part<E>]>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Box<[Part<E>]>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A digest is evenly spread in each of its bytes.
///
/// The parts are not: the last is twice as large as the first. A map grows to twice its room when it is full,
/// and if all were of a size they would all do so at the same time: just behind it, half of the memory would
/// lie idle, and before it writers would have to copy everything within a few thousand entries.
fn part_of(digest: &Digest, parts: usize) -> usize {
    let [.., high, low] = *digest.as_bytes();
    let even = usize::from(u16::from_be_bytes([high, low]));
    // About the logarithm to base 2 of 1 + x, in 65536ths; below 1 where x is.
    let bent = even + even * (WHOLE - even) / WHOLE * BEND / WHOLE;
    bent * parts / WHOLE
}

const WHOLE: usize = 1 << 16;

/// 0.344: with it the curve is twice as steep at its beginning as at its end.
const BEND: usize = 22_545;

/// How many entries are removed while readers wait.
const SLICE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Dimension;

    fn digest(value: u32) -> Digest {
        Digest::of(&Dimension::Jti, "iss", &value.to_be_bytes())
    }

    #[test]
    fn the_parts_do_not_grow_all_at_once() {
        let table = Table::with_parts(64);
        let mut room = 0;
        for value in 0..80_000 {
            table.update(digest(value), |_| value);
            let count = usize::try_from(value).unwrap() + 1;
            if count >= 20_000 && count.is_multiple_of(1_000) {
                let before = room;
                room = table.read().iter().map(Part::capacity).sum();
                // Of equal size, they would go from 1 to 2 within a thousand or two.
                let idle = room as f64 / count as f64;
                assert!((1.2..1.7).contains(&idle), "{idle} times {count}");
                let grown = room as f64 / before as f64;
                assert!(before == 0 || grown < 1.2, "{grown} times at {count}");
            }
        }
    }

    #[test]
    fn every_part_is_used_and_the_last_is_twice_the_first() {
        for parts in [1, 2, 3, 64, 1024] {
            let mut counts = vec![0_u32; parts];
            for value in 0..=u16::MAX {
                let mut bytes = [0; 16];
                bytes[14..].copy_from_slice(&value.to_be_bytes());
                counts[part_of(&Digest::from_bytes(bytes), parts)] += 1;
            }
            assert!(counts.iter().all(|count| *count > 0), "{parts} parts");
            if parts >= 64 {
                let ratio = f64::from(counts[parts - 1]) / f64::from(counts[0]);
                assert!((1.7..2.4).contains(&ratio), "{ratio} with {parts} parts");
            }
        }
    }

    #[test]
    fn what_was_put_in_is_found_until_it_is_removed() {
        let table = Table::with_parts(7);
        let digests: Vec<_> = (0..1_000).map(digest).collect();
        for (value, digest) in digests.iter().enumerate() {
            table.update(*digest, |_| value);
        }
        assert_eq!(table.select(usize::MAX, |_| true).len(), 1_000);
        assert_eq!(table.remove(&digests, |value| value % 2 == 0), 500);
        for (value, digest) in digests.iter().enumerate() {
            assert_eq!(table.get(digest), (value % 2 == 1).then_some(value));
        }
    }
}
