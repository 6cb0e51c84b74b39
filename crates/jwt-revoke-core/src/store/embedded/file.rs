//! Opening the file, and saying what is wrong with it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use redb::DatabaseError;

use super::{
    backend::SealableFile,
    database::{Database, Kept, LAYOUT, Unreadable},
    memory::Denylist,
    origin::Witness,
};
use crate::{defaults, store::StoreError};

/// Opens the file at `path` and reads it into `denylist`, or makes a new one that holds `fresh`.
///
/// A new file appears under its name only when it is complete, so a file without a layout, or
/// without a byte, is never one that we left behind: it lost its content, and opening it as an empty
/// store would let every revoked token back in.
pub(super) fn open(
    path: &Path,
    store: &str,
    denylist: &Denylist,
    fresh: &Kept,
    restored: Restored,
) -> Result<(Database, Option<Kept>), StoreError> {
    let witness = Witness::beside(path);
    let existing = || {
        let (database, kept) = open_existing(path, store, denylist)?;
        match witness.and_then(|witness| witness.objection(&kept)) {
            None => {}
            Some(objection) if restored == Restored::Yes => {
                tracing::warn!(store, objection, "opened as a restored copy");
            }
            Some(objection) => {
                return Err(refuse(store, &format!("{objection}: {RESTORE}")));
            }
        }
        Ok((database, Some(kept)))
    };
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(refuse(
            store,
            "a folder has that name: name a file in it, or remove it",
        )),
        Ok(found) if found.len() == 0 => Err(refuse(store, LOST)),
        Ok(_) => existing(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match create(path, store, fresh) {
                Ok(Some(database)) => {
                    if witness.is_some() {
                        tracing::warn!(
                            store,
                            "there was a store here, and its file is gone: this one is new, and knows of no \
                             revocation; docs/backup.md says how to go on safely"
                        );
                    }
                    Ok((database, None))
                }
                // Another process was faster.
                Ok(None) => existing(),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(io_failure(store, error)),
    }
}

/// Makes the folder of a store, readable by nobody else, with the folders above it.
pub(super) fn create_folder(folder: &Path, store: &str) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => StoreError::Open {
            store: store.into(),
            reason: "a file stands where its folder should be: name another folder".into(),
            source: Some(error.into()),
        },
        _ => io_failure(store, error),
    })?;
    // The folder's own name must survive a power cut too.
    folder.parent().map_or(Ok(()), |parent| {
        sync_folder(parent).map_err(|error| io_failure(store, error))
    })
}

pub(super) fn open_existing(
    path: &Path,
    store: &str,
    denylist: &Denylist,
) -> Result<(Database, Kept), StoreError> {
    // The database trusts some of what it reads, and panics where it finds that wrong.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let opened = SealableFile::open(path).and_then(|file| {
            let seal = file.seal();
            Ok((builder().create_with_backend(file)?, seal))
        });
        let (database, seal) = opened.map_err(|error| {
            let in_use = matches!(error, DatabaseError::DatabaseAlreadyOpen);
            if in_use {
                refuse(store, IN_USE)
            } else {
                unreadable(store, Unreadable::of(error))
            }
        })?;
        let database = Database::sealable(database, seal);
        let kept = database
            .load(denylist)
            .map_err(|error| unreadable(store, error))?;
        Ok((database, kept))
    }));
    let opened = opened.unwrap_or_else(|_| {
        let reason = "the database gave up on it".to_owned();
        Err(unreadable(store, Unreadable::Damaged(reason)))
    })?;
    remove_leftovers(path);
    Ok(opened)
}

/// Makes a new file; `None` if there is one already.
fn create(path: &Path, store: &str, fresh: &Kept) -> Result<Option<Database>, StoreError> {
    let (folder, name) = (folder_of(path), name_of(path));
    let draft = folder.join(format!(
        "{}{}{DRAFT_SUFFIX}",
        draft_prefix(&name),
        uuid::Uuid::now_v7().simple()
    ));
    let created = create_at(&draft, path, store, fresh);
    // Whether it got its final name or not. If this fails, the next opening tries again.
    let _ = fs::remove_file(&draft);
    let created = created?;
    if created.is_some() {
        sync_folder(&folder).map_err(|error| io_failure(store, error))?;
        tracing::info!(store, "made a new store");
    }
    Ok(created)
}

fn create_at(
    draft: &Path,
    path: &Path,
    store: &str,
    fresh: &Kept,
) -> Result<Option<Database>, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options
        .open(draft)
        .map_err(|error| io_failure(store, error))?;
    let opened = SealableFile::new(file).and_then(|file| {
        let seal = file.seal();
        Ok((builder().create_with_backend(file)?, seal))
    });
    let (database, seal) = opened.map_err(|error| unreadable(store, Unreadable::of(error)))?;
    let database = Database::sealable(database, seal);
    database
        .initialise(fresh)
        .map_err(|error| unreadable(store, Unreadable::Failed(error)))?;
    // Unlike a rename, a link replaces nothing.
    match fs::hard_link(draft, path) {
        Ok(()) => Ok(Some(database)),
        // Also when the process that was faster has removed our draft.
        Err(_) if path.exists() => Ok(None),
        // Some file systems know no links.
        Err(_) => fs::rename(draft, path)
            .map(|()| Some(database))
            .map_err(|error| io_failure(store, error)),
    }
}

/// Removes drafts that a killed process left. Called with the store locked, so no draft that is
/// still being written can become the store.
fn remove_leftovers(path: &Path) {
    let prefix = draft_prefix(&name_of(path));
    let Ok(found) = fs::read_dir(folder_of(path)) else {
        return;
    };
    for file in found.flatten() {
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(DRAFT_SUFFIX) {
            // Tidiness only: a draft does no harm.
            let _ = fs::remove_file(file.path());
        }
    }
}

fn builder() -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder
        .set_cache_size(defaults::EMBEDDED_CACHE_BYTES)
        // All is read at the start anyway; then a damaged page is an error and not a panic.
        .set_check_integrity_on_open(true);
    builder
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.into(),
        _ => PathBuf::from("."),
    }
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn draft_prefix(name: &str) -> String {
    format!(".{name}.")
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

/// What is wrong with a file, in words for an operator.
pub(super) fn unreadable(store: &str, error: Unreadable) -> StoreError {
    match error {
        Unreadable::Layout(found) => StoreError::Layout {
            store: store.into(),
            found: found.map_or_else(|| "none".to_owned(), |number| number.to_string()),
            expected: EXPECTED,
            mend: "use the version that wrote it, or another file",
        },
        Unreadable::Damaged(reason) => damaged(store, &reason, None),
        Unreadable::Failed(error) => match error {
            redb::Error::Io(error) => io_failure(store, error),
            redb::Error::Corrupted(reason) => damaged(store, &reason, None),
            redb::Error::UpgradeRequired(_) => refuse(
                store,
                "an older version of the database wrote it: upgrade it with that version",
            ),
            error => damaged(store, &error.to_string(), Some(error)),
        },
    }
}

fn damaged(store: &str, reason: &str, source: Option<redb::Error>) -> StoreError {
    StoreError::Open {
        store: store.into(),
        reason: format!(
            "it is damaged ({reason}): put back a copy, or, if there is none, remove it and replace \
             the signing keys, since nobody knows what it had revoked"
        ),
        source: source.map(Into::into),
    }
}

fn io_failure(store: &str, error: io::Error) -> StoreError {
    let reason = match error.kind() {
        io::ErrorKind::InvalidData => return damaged(store, &error.to_string(), None),
        io::ErrorKind::UnexpectedEof => return damaged(store, "it is cut off", None),
        io::ErrorKind::NotFound => {
            "its folder does not exist: make it, or name another one".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "this process may not read and write it: change its owner or mode, and its folder's"
                .to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "its file system is read-only: mount it for writing, or name another file".to_owned()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some space".to_owned()
        }
        io::ErrorKind::FileTooLarge => {
            "it may not grow: raise the limit on the size of files".to_owned()
        }
        _ => format!("{error}: see that the disk is well"),
    };
    StoreError::Open {
        store: store.into(),
        reason,
        source: Some(error.into()),
    }
}

pub(super) fn refuse(store: &str, reason: &str) -> StoreError {
    StoreError::Open {
        store: store.into(),
        reason: reason.into(),
        source: None,
    }
}

/// Whether a file may be an older copy of the store that was there last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Restored {
    Yes,
    No,
}

const RESTORE: &str = "if it was restored on purpose, open it once as a restored copy and end what it has \
                       forgotten (docs/backup.md); else put back the latest copy";

const LOST: &str = "the file is empty, so it lost what it held: put back a copy; remove it only if \
                    it never held a revocation, or if the signing keys are replaced";

const IN_USE: &str = "another process has it open, or this one a second time: it belongs to one \
                      process; stop the other, or use Redis to share";

const EXPECTED: &str = "1";
const _: () = assert!(LAYOUT == 1);

const DRAFT_SUFFIX: &str = ".new";
