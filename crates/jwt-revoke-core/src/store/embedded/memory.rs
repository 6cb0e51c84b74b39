//! What lookups are answered from.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::entry::Entry;
use crate::{
    clock::Timestamp,
    revocation::{Cutoffs, Digest},
};

/// All entries, in as many maps as keep a reader from ever waiting long for the one writer. Each
/// map has a hasher of its own, seeded at random.
pub(super) struct Denylist {
    parts: Box<[RwLock<Part>]>,
}

impl Denylist {
    pub(super) fn new() -> Self {
        Self {
            parts: (0..PARTS).map(|_| RwLock::default()).collect(),
        }
    }

    /// The cutoffs of those of `digests` that have an entry. Allocates nothing.
    pub(super) fn lookup(&self, digests: &[Digest]) -> Cutoffs {
        let find = |(index, digest)| Some((index, self.get(digest)?.cutoff()));
        digests.iter().enumerate().filter_map(find).collect()
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Entry> {
        read(self.part(digest)).get(digest).copied()
    }

    pub(super) fn insert(&self, digest: Digest, entry: Entry) {
        write(self.part(&digest)).insert(digest, entry);
    }

    pub(super) fn remove(&self, digests: &[Digest]) {
        for digest in digests {
            let mut part = write(self.part(digest));
            part.remove(digest);
            // Memory follows what is alive, not what once was.
            if part.len() < part.capacity() / 8 {
                let room = part.len() * 2;
                part.shrink_to(room);
            }
        }
    }

    /// At most `limit` digests whose entries may be forgotten at `now`. Other readers go on reading.
    pub(super) fn expired(&self, now: Timestamp, limit: usize) -> Vec<Digest> {
        let mut found = Vec::new();
        for part in &self.parts {
            let part = read(part);
            let expired = part.iter().filter(|(_, entry)| entry.expiry() <= now);
            found.extend(expired.map(|(digest, _)| *digest).take(limit - found.len()));
            if found.len() == limit {
                break;
            }
        }
        found
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| read(part).len()).sum()
    }

    fn part(&self, digest: &Digest) -> &RwLock<Part> {
        // A digest is evenly spread in each of its bytes.
        &self.parts[usize::from(digest.as_bytes()[15]) % PARTS]
    }
}

type Part = HashMap<Digest, Entry>;

/// No code that can panic runs under the locks, so a poisoned one holds nothing half-written.
fn read(part: &RwLock<Part>) -> RwLockReadGuard<'_, Part> {
    part.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(part: &RwLock<Part>) -> RwLockWriteGuard<'_, Part> {
    part.write().unwrap_or_else(PoisonError::into_inner)
}

const PARTS: usize = 64;
