//! Putting an embedded store together.

use std::{
    fmt,
    path::Path,
    sync::{Arc, mpsc},
    thread,
};

use redb::{StorageBackend, backends::InMemoryBackend};

use super::{
    EmbeddedStore, Handle, Shared,
    address::Place,
    clock::StoreClock,
    database::{Changes, Database, Kept, Unreadable},
    entry::KeptHorizons,
    file::{self, Restored},
    memory::Denylist,
    origin::{OpenFile, Origin},
    recover::Retry,
    writer::Writer,
};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    defaults,
    revocation::Horizons,
    store::StoreError,
};

/// Sets more than where an [`EmbeddedStore`] is.
#[must_use]
pub struct EmbeddedBuilder {
    clock: Arc<dyn Clock>,
    restored: Restored,
}

impl EmbeddedBuilder {
    pub(super) fn new() -> Self {
        Self {
            clock: SystemClock::shared(),
            restored: Restored::No,
        }
    }

    /// The clock that the store's instants come from; the host's unless given.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the file although it is an older copy of the store that its folder held last, or another one: it was
    /// restored from a backup. Then end what it has forgotten, before a request is served:
    /// [`Guard::revoke_everything`](crate::Guard::revoke_everything). Without this an older copy does not open.
    pub fn restored(mut self) -> Self {
        self.restored = Restored::Yes;
        self
    }

    /// See [`EmbeddedStore::in_memory`].
    pub fn in_memory(self) -> EmbeddedStore {
        let clock = Arc::clone(&self.clock);
        self.start_on(InMemoryBackend::new(), MEMORY, None)
            .unwrap_or_else(|error| out_of_service(clock, &error))
    }

    /// See [`EmbeddedStore::open`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open(self, path: impl AsRef<Path>) -> Result<EmbeddedStore, StoreError> {
        let path = path.as_ref();
        let name = format!("embedded store {}", path.display());
        let denylist = Denylist::new();
        let fresh = self.fresh();
        let (database, kept) = file::open(path, &name, &denylist, &fresh, self.restored)?;
        let origin = Box::new(OpenFile::new(path));
        self.start(
            database,
            &kept.unwrap_or(fresh),
            denylist,
            name,
            Some(origin),
        )
    }

    /// See [`EmbeddedStore::open_address`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open_address(self, address: &str) -> Result<EmbeddedStore, StoreError> {
        match Place::parse(address)? {
            Place::Memory => {
                let name = MEMORY;
                self.start_on(InMemoryBackend::new(), name, None)
            }
            Place::Folder(folder) => {
                let path = folder.join(FILE_NAME);
                let name = format!("embedded store {}", path.display());
                file::create_folder(&folder, &name)?;
                self.open(path)
            }
        }
    }

    /// A store on `backend`: what is there, or a new one.
    pub(super) fn start_on(
        self,
        backend: impl StorageBackend,
        name: &str,
        origin: Option<Box<dyn Origin>>,
    ) -> Result<EmbeddedStore, StoreError> {
        let failed = |error| file::unreadable(name, error);
        let exists = backend.len().is_ok_and(|length| length > 0);
        let database = redb::Builder::new()
            .set_cache_size(defaults::EMBEDDED_CACHE_BYTES)
            .set_check_integrity_on_open(exists)
            .create_with_backend(backend)
            .map_err(|error| failed(Unreadable::of(error)))?;
        let database = Database::new(database);
        let denylist = Denylist::new();
        let kept = if exists {
            database.load(&denylist).map_err(failed)?
        } else {
            let fresh = self.fresh();
            database
                .initialise(&fresh)
                .map_err(|error| failed(Unreadable::Failed(error)))?;
            fresh
        };
        self.start(database, &kept, denylist, name.to_owned(), origin)
    }

    fn fresh(&self) -> Kept {
        let now = self.clock.now();
        Kept {
            clock: now,
            horizons: KeptHorizons {
                horizons: Horizons::covering(
                    defaults::ACCESS_LIFETIME,
                    defaults::SESSION_LIFETIME,
                    defaults::LEEWAY,
                ),
                since: now,
            },
            id: None,
            commits: 0,
        }
    }

    fn start(
        self,
        database: Database,
        kept: &Kept,
        denylist: Denylist,
        name: String,
        origin: Option<Box<dyn Origin>>,
    ) -> Result<EmbeddedStore, StoreError> {
        let clock = StoreClock::resume(self.clock, kept.clock, &name)?;
        let shared = Arc::new(Shared::new(name, denylist, clock));
        let (requests, queue) = mpsc::channel();
        let mut writer = Writer {
            shared: Arc::clone(&shared),
            database: Some(database),
            origin,
            retry: Retry::new(),
            horizons: kept.horizons,
            commits: kept.commits,
            requests: queue,
        };
        // Shows now, and not at the first logout, that the file can be written.
        let reservation = writer.shared.clock.reserve(Timestamp::EPOCH);
        writer.commit(&Changes::new(reservation), None)?;
        let writer = thread::Builder::new()
            .name("jwt-revoke-store".into())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::Open {
                store: shared.name.clone(),
                reason: "the system refused it a thread".into(),
                source: Some(error.into()),
            })?;
        Ok(EmbeddedStore {
            shared,
            handle: Arc::new(Handle {
                requests: Some(requests),
                writer: Some(writer),
            }),
        })
    }
}

impl fmt::Debug for EmbeddedBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBuilder").finish_non_exhaustive()
    }
}

/// A store that answers every call with an error.
fn out_of_service(clock: Arc<dyn Clock>, error: &StoreError) -> EmbeddedStore {
    let shared = Shared::new(MEMORY.to_owned(), Denylist::new(), StoreClock::new(clock));
    shared.poison(&error.to_string());
    EmbeddedStore {
        shared: Arc::new(shared),
        handle: Arc::new(Handle {
            requests: None,
            writer: None,
        }),
    }
}

const MEMORY: &str = "embedded store in memory";

/// The name of the file in the folder of an address.
const FILE_NAME: &str = "revocations.redb";
