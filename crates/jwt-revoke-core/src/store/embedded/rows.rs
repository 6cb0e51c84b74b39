//! The tables of the sessions.

use std::collections::HashMap;

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable as _, ReadableTableMetadata as _,
    TableDefinition, TableError, WriteTransaction,
};

use super::{
    database::Unreadable,
    kept::{KeptSession, Row},
};
use crate::{clock::Timestamp, revocation::Digest};

/// What one transaction does to sessions.
#[derive(Default)]
pub(super) struct SessionChanges {
    /// By the digest of the session: what it becomes, or that it is deleted.
    pub(super) kept: HashMap<Digest, Option<KeptSession>>,
    /// Those among them that may be new to the index of a user.
    pub(super) opened: HashMap<Digest, Vec<Digest>>,
}

/// The sessions of the last commit.
pub(super) struct SessionRows {
    sessions: ReadOnlyTable<&'static [u8; 16], Row<'static>>,
    users: ReadOnlyTable<UserKey, ()>,
    due: ReadOnlyTable<DueKey, ()>,
}

impl SessionRows {
    pub(super) fn read(transaction: &ReadTransaction) -> Result<Self, Unreadable> {
        Ok(Self {
            sessions: transaction.open_table(SESSIONS).map_err(Unreadable::of)?,
            users: transaction.open_table(USERS).map_err(Unreadable::of)?,
            due: transaction.open_table(DUE).map_err(Unreadable::of)?,
        })
    }

    /// The session with the entry `entry`.
    pub(super) fn get(&self, entry: &Digest) -> Result<Option<KeptSession>, Unreadable> {
        let row = self
            .sessions
            .get(entry.as_bytes())
            .map_err(Unreadable::of)?;
        row.map(|row| kept(*entry, row.value())).transpose()
    }

    /// The entries of all sessions of a user, in no order.
    pub(super) fn of_user(&self, subject: &Digest) -> Result<Vec<Digest>, Unreadable> {
        let subject = subject.as_bytes();
        let all = (subject, &[0; 16])..=(subject, &[u8::MAX; 16]);
        let rows = self.users.range(all).map_err(Unreadable::of)?;
        rows.map(|row| {
            let (key, _) = row.map_err(Unreadable::of)?;
            Ok(Digest::from_bytes(*key.value().1))
        })
        .collect()
    }

    /// At most `limit` of them, in the order of digests from `first` on, and around.
    pub(super) fn some_of_user(
        &self,
        subject: &Digest,
        first: &Digest,
        limit: usize,
    ) -> Result<Vec<Digest>, Unreadable> {
        let (subject, first) = (subject.as_bytes(), first.as_bytes());
        let behind = (subject, first)..=(subject, &[u8::MAX; 16]);
        let before = (subject, &[0; 16])..(subject, first);
        let behind = self.users.range(behind).map_err(Unreadable::of)?;
        let before = self.users.range(before).map_err(Unreadable::of)?;
        let rows = behind.chain(before).take(limit);
        rows.map(|row| {
            let (key, _) = row.map_err(Unreadable::of)?;
            Ok(Digest::from_bytes(*key.value().1))
        })
        .collect()
    }

    /// At most `limit` sessions that may have to be forgotten at `now`.
    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Digest>, Unreadable> {
        let until = ..=(now.as_millis(), &[u8::MAX; 16]);
        let rows = self.due.range(until).map_err(Unreadable::of)?.take(limit);
        rows.map(|row| {
            let (key, _) = row.map_err(Unreadable::of)?;
            Ok(Digest::from_bytes(*key.value().1))
        })
        .collect()
    }
}

/// Reads every session, so that a file which holds one that cannot be read does not open.
pub(super) fn verify(transaction: &ReadTransaction) -> Result<(), Unreadable> {
    let sessions = match transaction.open_table(SESSIONS) {
        Ok(sessions) => sessions,
        // Written before there were sessions.
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(Unreadable::of(error)),
    };
    for row in sessions.iter().map_err(Unreadable::of)? {
        let (entry, row) = row.map_err(Unreadable::of)?;
        kept(Digest::from_bytes(*entry.value()), row.value())?;
    }
    Ok(())
}

/// Writes changes, and returns the number of sessions then.
pub(super) fn write(
    transaction: &WriteTransaction,
    changes: &SessionChanges,
) -> Result<u64, redb::Error> {
    // Also when nothing changes: whoever reads finds the tables.
    let mut sessions = transaction.open_table(SESSIONS)?;
    let mut users = transaction.open_table(USERS)?;
    let mut due = transaction.open_table(DUE)?;
    let mut in_order: Vec<_> = changes.kept.iter().collect();
    in_order.sort_unstable_by_key(|(entry, _)| **entry);
    for (entry, kept) in in_order {
        let key = entry.as_bytes();
        let old = match kept {
            Some(kept) => {
                let bytes = kept.to_bytes();
                let row = (
                    kept.subject.as_bytes(),
                    kept.due.as_millis(),
                    bytes.as_slice(),
                );
                sessions.insert(key, row)?
            }
            None => sessions.remove(key)?,
        };
        let old = old.map(|row| {
            let (subject, due, _) = row.value();
            (*subject, due)
        });
        let new = kept
            .as_ref()
            .map(|kept| (*kept.subject.as_bytes(), kept.due.as_millis()));
        // A rotation moves neither, so it writes one row.
        if old.map(|(subject, _)| subject) != new.map(|(subject, _)| subject) {
            if let Some((subject, _)) = &old {
                users.remove((subject, key))?;
            }
            if let Some((subject, _)) = &new {
                users.insert((subject, key), ())?;
            }
        }
        if old.map(|(_, due)| due) != new.map(|(_, due)| due) {
            if let Some((_, at)) = old {
                due.remove((at, key))?;
            }
            if let Some((_, at)) = new {
                due.insert((at, key), ())?;
            }
        }
    }
    Ok(sessions.len()?)
}

fn kept(entry: Digest, row: Row<'_>) -> Result<KeptSession, Unreadable> {
    KeptSession::from_row(entry, row)
        .map_err(|error| Unreadable::Damaged(format!("{entry}: {error}")))
}

type UserKey = (&'static [u8; 16], &'static [u8; 16]);
type DueKey = (u64, &'static [u8; 16]);

/// Digest of the session -> digest of the user, when it is due, and its record.
///
/// By digest and not by `sid`, because the digest knows the issuer and has one length.
pub(super) const SESSIONS: TableDefinition<'_, &'static [u8; 16], Row<'static>> =
    TableDefinition::new("sessions");

/// Digest of a user and of a session of theirs.
const USERS: TableDefinition<'_, UserKey, ()> = TableDefinition::new("session_users");

/// When to look whether a session may be forgotten.
const DUE: TableDefinition<'_, DueKey, ()> = TableDefinition::new("session_due");
