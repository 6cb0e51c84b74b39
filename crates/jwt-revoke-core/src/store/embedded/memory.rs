//! What lookups are answered from.

use super::entry::Entry;
use crate::{
    clock::Timestamp,
    revocation::{Cutoffs, Digest, Table},
};

/// All entries. In several tables, so that readers on many cores do not share one lock.
pub(super) struct Denylist {
    tables: Box<[Table<Entry>]>,
}

impl Denylist {
    pub(super) fn new() -> Self {
        Self {
            tables: (0..TABLES).map(|_| Table::new()).collect(),
        }
    }

    /// The cutoffs of those of `digests` that have an entry. Allocates nothing.
    pub(super) fn lookup(&self, digests: &[Digest]) -> Cutoffs {
        let find = |(index, digest)| Some((index, self.get(digest)?.cutoff()));
        digests.iter().enumerate().filter_map(find).collect()
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Entry> {
        self.table(digest).get(digest)
    }

    pub(super) fn insert(&self, digest: Digest, entry: Entry) {
        self.table(&digest).update(digest, |_| entry);
    }

    pub(super) fn remove(&self, digests: &[Digest]) {
        for digest in digests {
            self.table(digest)
                .remove(std::slice::from_ref(digest), |_| true);
        }
    }

    /// At most `limit` digests whose entries may be forgotten at `now`. Other readers go on reading.
    pub(super) fn expired(&self, now: Timestamp, limit: usize) -> Vec<Digest> {
        let mut found = Vec::new();
        for table in &self.tables {
            let expired = table.select(limit - found.len(), |entry| entry.expiry() <= now);
            found.extend(expired.into_iter().map(|(digest, _)| digest));
            if found.len() == limit {
                break;
            }
        }
        found
    }

    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(Table::len).sum()
    }

    fn table(&self, digest: &Digest) -> &Table<Entry> {
        // A digest is evenly spread in each of its bytes.
        &self.tables[usize::from(digest.as_bytes()[15]) % TABLES]
    }
}

const TABLES: usize = 16;
