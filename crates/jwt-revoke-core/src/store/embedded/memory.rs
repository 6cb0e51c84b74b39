//! What lookups are answered from.

use super::entry::Entry;
use crate::{
    clock::Timestamp,
    revocation::{Cutoffs, Digest, Table},
    store::Lookup,
};

/// All entries. Behind one lock, of which a check takes one hold for all of its digests.
pub(super) struct Denylist(Table<Entry>);

impl Denylist {
    pub(super) fn new() -> Self {
        Self(Table::with_parts(PARTS))
    }

    /// The cutoffs of what is asked. Allocates nothing.
    pub(super) fn lookup(&self, query: &Lookup<'_>) -> Cutoffs {
        self.0.find(query, Entry::cutoff)
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Entry> {
        self.0.get(digest)
    }

    pub(super) fn insert(&self, digest: Digest, entry: Entry) {
        self.0.update(digest, |_| entry);
    }

    pub(super) fn remove(&self, digests: &[Digest]) {
        self.0.remove(digests, |_| true);
    }

    /// At most `limit` digests whose entries may be forgotten at `now`. Other readers go on reading.
    pub(super) fn expired(&self, now: Timestamp, limit: usize) -> Vec<Digest> {
        let expired = self.0.select(limit, |entry| entry.expiry() <= now);
        expired.into_iter().map(|(digest, _)| digest).collect()
    }

    /// A copy of all of them.
    pub(super) fn all(&self) -> Vec<(Digest, Entry)> {
        self.0.select(usize::MAX, |_| true)
    }

    /// What they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// So many that one of them grows within microseconds where there are a million entries.
const PARTS: u16 = 1024;
