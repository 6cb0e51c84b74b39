//! Entries in memory, from which checks are answered.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use foldhash::fast::RandomState;

use crate::revocation::Digest;

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

    /// Tells `found` of each of `digests` that is here, with its index. Allocates nothing.
    pub(crate) fn find(&self, digests: &[Digest], mut found: impl FnMut(usize, E)) {
        let parts = self.read();
        for (index, digest) in digests.iter().enumerate() {
            if let Some(entry) = parts[part_of(digest, parts.len())].get(digest) {
                found(index, *entry);
            }
        }
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
fn part_of(digest: &Digest, parts: usize) -> usize {
    let [.., high, low] = *digest.as_bytes();
    usize::from(u16::from_be_bytes([high, low])) % parts
}

/// How many entries are removed while readers wait.
const SLICE: usize = 128;
