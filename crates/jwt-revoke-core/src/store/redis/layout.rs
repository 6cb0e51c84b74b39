//! Noticing that another version of this crate has migrated a store that is in use.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU16, Ordering},
};

use crate::{
    revocation::{SHARDS, Shard},
    store::{
        StoreError,
        redis::{Inner, keys::LAYOUT},
    },
};

/// The shards that were found with another layout than ours, until they are found with ours. Scripts refuse
/// such a shard; checks read keys whose meaning may have changed, so they must not be believed either.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    /// A bit a shard: checks look at it each time.
    foreign: AtomicU16,
    found: Mutex<[String; SHARDS as usize]>,
}

impl Layouts {
    pub(super) fn is_ours(&self, shard: Shard) {
        let bit = 1 << shard.number();
        if self.foreign.load(Ordering::Acquire) & bit != 0 {
            self.foreign.fetch_and(!bit, Ordering::AcqRel);
        }
    }

    fn is_foreign(&self, shard: Shard) -> bool {
        self.foreign.load(Ordering::Acquire) & (1 << shard.number()) != 0
    }
}

impl Inner {
    /// Takes note that a shard has another layout. Returns the error for callers.
    pub(super) fn found_layout(&self, shard: Shard, found: &str) -> StoreError {
        let found: String = found.chars().take(40).collect();
        let mut held = self
            .layouts
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        held[usize::from(shard.number())].clone_from(&found);
        drop(held);
        let bit = 1 << shard.number();
        let before = self.layouts.foreign.fetch_or(bit, Ordering::AcqRel);
        self.replica.lose(shard);
        if before == 0 {
            tracing::error!(
                store = %self.name, %shard, found, expected = LAYOUT,
                "the store has another layout than this version of the crate reads: checks fail until \
                 this process is replaced by the version that wrote it"
            );
        }
        self.another_layout(found)
    }

    /// An error while a shard has another layout.
    pub(super) fn check_layout(&self, shard: Shard) -> Result<(), StoreError> {
        if !self.layouts.is_foreign(shard) {
            return Ok(());
        }
        let found = self
            .layouts
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Err(self.another_layout(found[usize::from(shard.number())].clone()))
    }

    fn another_layout(&self, found: String) -> StoreError {
        StoreError::Layout {
            store: self.name.clone(),
            found,
            expected: LAYOUT,
            mend: "use the version of this crate that wrote it, or another prefix",
        }
    }
}
