//! The tables in the file, and the one transaction that writes them.

use std::{collections::HashMap, time::Duration};

use redb::{
    Durability, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    TableDefinition,
};

use super::{
    audit::AuditEntry,
    backend::Seal,
    entry::{Entry, KeptHorizons},
    memory::Denylist,
    rows::{self, SessionChanges, SessionRows},
};
use crate::{
    clock::{Timestamp, millis},
    defaults,
    revocation::{Digest, Horizons},
    store::StoreError,
};

/// An open file, or the same in memory.
pub(super) struct Database {
    open: redb::Database,
    seal: Option<Seal>,
}

/// What one transaction changes.
pub(super) struct Changes {
    /// The instant that the file then vouches for.
    pub(super) clock: Timestamp,
    pub(super) horizons: Option<KeptHorizons>,
    pub(super) entries: HashMap<Digest, Entry>,
    pub(super) removed: Vec<Digest>,
    pub(super) sessions: SessionChanges,
    pub(super) audit: Vec<AuditEntry>,
    /// The number of this transaction is higher than this.
    pub(super) after: u64,
}

/// What a transaction has left behind.
pub(super) struct Committed {
    /// The number of sessions.
    pub(super) sessions: u64,
    /// Which store it is, at random.
    pub(super) id: u64,
    /// Which of its transactions this was.
    pub(super) number: u64,
}

/// What is in a file beside the entries.
pub(super) struct Kept {
    pub(super) clock: Timestamp,
    pub(super) horizons: KeptHorizons,
    /// Which store it is; files from before there were such numbers get one with the next transaction.
    pub(super) id: Option<u64>,
    /// How many transactions it had.
    pub(super) commits: u64,
}

/// Why a file cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It has this layout, or none.
    Layout(Option<u64>),
    Damaged(String),
    Failed(redb::Error),
}

impl Changes {
    pub(super) fn new(clock: Timestamp) -> Self {
        Self {
            clock,
            horizons: None,
            entries: HashMap::new(),
            removed: Vec::new(),
            sessions: SessionChanges::default(),
            audit: Vec::new(),
            after: 0,
        }
    }

    /// Whether nothing but the clock would be written.
    pub(super) fn is_empty(&self) -> bool {
        self.horizons.is_none()
            && self.entries.is_empty()
            && self.removed.is_empty()
            && self.sessions.kept.is_empty()
    }
}

impl Database {
    /// In memory, or a test's.
    pub(super) fn new(open: redb::Database) -> Self {
        Self { open, seal: None }
    }

    /// In a file.
    pub(super) fn sealable(open: redb::Database, seal: Seal) -> Self {
        let seal = Some(seal);
        Self { open, seal }
    }

    /// Writes nothing from now on, not even when it is closed.
    pub(super) fn seal(&self) {
        if let Some(seal) = &self.seal {
            seal.close();
        }
    }

    /// Gives a new file its layout.
    pub(super) fn initialise(&self, kept: &Kept) -> Result<(), redb::Error> {
        let mut changes = Changes::new(kept.clock);
        changes.horizons = Some(kept.horizons);
        self.write(&changes, Some(LAYOUT)).map(drop)
    }

    /// Reads all entries into `denylist`, and returns the rest.
    pub(super) fn load(&self, denylist: &Denylist) -> Result<Kept, Unreadable> {
        let transaction = self.open.begin_read().map_err(Unreadable::of)?;
        let meta = match transaction.open_table(META) {
            Ok(meta) => meta,
            Err(redb::TableError::Storage(error)) => return Err(Unreadable::of(error)),
            // Another program's file, or one whose first transaction never came through.
            Err(_) => return Err(Unreadable::Layout(None)),
        };
        let number = |name| -> Result<Option<u64>, Unreadable> {
            let found = meta.get(name).map_err(Unreadable::of)?;
            Ok(found.map(|number| number.value()))
        };
        match number("layout")? {
            Some(LAYOUT) => {}
            other => return Err(Unreadable::Layout(other)),
        }
        let required = |name: &'static str| {
            number(name)?.ok_or_else(|| Unreadable::Damaged(format!("{name} is missing")))
        };
        let horizon = |name| required(name).map(Duration::from_millis);
        let kept = Kept {
            clock: Timestamp::from_millis(required("clock_ms")?),
            horizons: KeptHorizons {
                horizons: Horizons::from_parts(
                    horizon("access_horizon_ms")?,
                    horizon("session_horizon_ms")?,
                ),
                since: Timestamp::from_millis(required("horizons_since_ms")?),
            },
            id: number("id")?,
            commits: number("commits")?.unwrap_or(0),
        };
        let deny = transaction.open_table(DENY).map_err(Unreadable::of)?;
        for row in deny.iter().map_err(Unreadable::of)? {
            let (digest, entry) = row.map_err(Unreadable::of)?;
            denylist.insert(
                Digest::from_bytes(*digest.value()),
                Entry::from_parts(entry.value()),
            );
        }
        rows::verify(&transaction)?;
        Ok(kept)
    }

    /// Writes changes; when it returns they are on the disk.
    pub(super) fn commit(&self, changes: &Changes) -> Result<Committed, redb::Error> {
        self.write(changes, None)
    }

    /// The sessions of the last commit; there must have been one.
    pub(super) fn sessions(&self) -> Result<SessionRows, Unreadable> {
        let transaction = self.open.begin_read().map_err(Unreadable::of)?;
        SessionRows::read(&transaction)
    }

    /// The latest audit entries, newest first.
    pub(super) fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, Unreadable> {
        let transaction = self.open.begin_read().map_err(Unreadable::of)?;
        let audit = transaction.open_table(AUDIT).map_err(Unreadable::of)?;
        let rows = audit.iter().map_err(Unreadable::of)?.rev().take(limit);
        rows.map(|row| {
            let (_, bytes) = row.map_err(Unreadable::of)?;
            AuditEntry::from_bytes(bytes.value())
                .map_err(|error| Unreadable::Damaged(format!("audit entry: {error}")))
        })
        .collect()
    }

    fn write(&self, changes: &Changes, layout: Option<u64>) -> Result<Committed, redb::Error> {
        let mut transaction = self.open.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // With one phase, a damaged last commit looks like one that was interrupted, and the
        // database silently goes back to the commit before: acknowledged revocations would be
        // gone. With two, it is an error.
        transaction.set_two_phase_commit(true);
        let committed = {
            let mut meta = transaction.open_table(META)?;
            if let Some(layout) = layout {
                meta.insert("layout", layout)?;
            }
            meta.insert("clock_ms", changes.clock.as_millis())?;
            let id = meta.get("id")?.map_or_else(random, |id| id.value());
            meta.insert("id", id)?;
            let before = meta.get("commits")?.map_or(0, |number| number.value());
            let number = before.max(changes.after) + 1;
            meta.insert("commits", number)?;
            if let Some(kept) = changes.horizons {
                meta.insert("access_horizon_ms", millis(kept.horizons.access))?;
                meta.insert("session_horizon_ms", millis(kept.horizons.session))?;
                meta.insert("horizons_since_ms", kept.since.as_millis())?;
            }
            let mut deny = transaction.open_table(DENY)?;
            let mut entries: Vec<_> = changes.entries.iter().collect();
            entries.sort_unstable_by_key(|(digest, _)| **digest);
            for (digest, entry) in entries {
                deny.insert(digest.as_bytes(), entry.parts())?;
            }
            for digest in &changes.removed {
                deny.remove(digest.as_bytes())?;
            }
            let mut audit = transaction.open_table(AUDIT)?;
            let mut last = audit.last()?.map_or(0, |(number, _)| number.value());
            for entry in &changes.audit {
                last += 1;
                audit.insert(last, entry.to_bytes().as_slice())?;
            }
            while audit.len()? > defaults::AUDIT_ENTRIES {
                audit.pop_first()?;
            }
            Committed {
                sessions: rows::write(&transaction, &changes.sessions)?,
                id,
                number,
            }
        };
        transaction.commit()?;
        Ok(committed)
    }
}

impl Unreadable {
    pub(super) fn of(error: impl Into<redb::Error>) -> Self {
        Self::Failed(error.into())
    }

    /// In an open store.
    pub(super) fn while_running(self, store: &str) -> StoreError {
        StoreError::Failed {
            store: store.to_owned(),
            reason: match self {
                Self::Failed(error) => error.to_string(),
                Self::Damaged(reason) => reason,
                Self::Layout(_) => "a table is missing".to_owned(),
            },
        }
    }
}

/// The layout that this version writes and reads.
pub(super) const LAYOUT: u64 = 1;

/// A number that no other store has.
fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without random numbers two stores may have the same: then one put in the place of the other is judged by
    // the number of its transactions alone.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_be_bytes(bytes)
}

/// Layout, clock, horizons, identity and count of transactions: numbers by name.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Digest -> cutoff and expiry, both in milliseconds; the largest number as cutoff is "for ever".
const DENY: TableDefinition<'_, &[u8; 16], (u64, u64)> = TableDefinition::new("deny");

/// Number in order of writing -> a JSON object.
const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
