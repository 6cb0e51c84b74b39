//! The embedded store: the suite of all stores, and what only a file can suffer.

#![expect(clippy::unwrap_used, reason = "all of it is tests")]

mod child;
mod clock;
mod crash;
mod faults;
mod sessions;
mod upkeep;

use std::{path::PathBuf, sync::Arc};

use jwt_revoke_core::store::EmbeddedStore;
use jwt_revoke_tests::store_suite::Fixture;
use tempfile::TempDir;

struct InMemory(Arc<EmbeddedStore>);

impl Fixture for InMemory {
    type Store = EmbeddedStore;

    const ANSWERS_AT_ONCE: bool = true;

    async fn fresh() -> Self {
        Self(Arc::new(EmbeddedStore::in_memory()))
    }

    fn store(&self) -> &Arc<EmbeddedStore> {
        &self.0
    }
}

struct InFile {
    // Dropped, and so closed, before its folder.
    store: Arc<EmbeddedStore>,
    folder: TempDir,
}

impl InFile {
    fn path(folder: &TempDir) -> PathBuf {
        folder.path().join("store.redb")
    }
}

impl Fixture for InFile {
    type Store = EmbeddedStore;

    const ANSWERS_AT_ONCE: bool = true;

    async fn fresh() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(EmbeddedStore::open(Self::path(&folder)).unwrap());
        Self { store, folder }
    }

    fn store(&self) -> &Arc<EmbeddedStore> {
        &self.store
    }

    async fn reopened(self) -> Option<Self> {
        let Self { store, folder } = self;
        drop(store);
        let store = Arc::new(EmbeddedStore::open(Self::path(&folder)).unwrap());
        Some(Self { store, folder })
    }
}

mod memory {
    jwt_revoke_tests::store_suite!(super::InMemory);
    jwt_revoke_tests::session_suite!(super::InMemory);
}

mod file {
    jwt_revoke_tests::store_suite!(super::InFile);
    jwt_revoke_tests::session_suite!(super::InFile);
}
