//! Where an open database came from: how it is opened again after a failure, and whether it is still the one
//! that others will find.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::{
    database::{Database, Kept},
    file,
    memory::Denylist,
};
use crate::store::StoreError;

/// What a database is opened from.
pub(super) trait Origin: Send {
    /// Opens it again and reads it into `denylist`. Nothing else may have it open.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    fn open(&mut self, store: &str, denylist: &Denylist) -> Result<(Database, Kept), StoreError>;

    /// Whether it is what it was after the last [`committed`](Self::committed).
    fn look(&self) -> Look;

    /// A transaction is on the disk; it was the store's `number`th.
    fn committed(&mut self, id: u64, number: u64);
}

/// What has become of the file of a store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    Same,
    /// The file is the same, and another program has written to it.
    Written,
    /// What is written to the open file, no later process will find.
    Gone(&'static str),
}

/// A file by its path.
pub(super) struct OpenFile {
    path: PathBuf,
    identity: Option<Identity>,
    version: Option<Version>,
    witness: Option<File>,
}

/// Device and number of a file, on systems that have them.
type Identity = (u64, u64);

/// When a file was last written, and its length.
type Version = (i64, i64, u64);

impl OpenFile {
    /// The file at `path`, which has just been opened.
    pub(super) fn new(path: &Path) -> Self {
        let found = fs::metadata(path).ok();
        Self {
            path: path.into(),
            identity: found.as_ref().and_then(identity),
            version: found.as_ref().and_then(version),
            witness: None,
        }
    }
}

impl Origin for OpenFile {
    fn open(&mut self, store: &str, denylist: &Denylist) -> Result<(Database, Kept), StoreError> {
        if let Look::Gone(reason) = self.look() {
            return Err(file::refuse(store, reason));
        }
        file::open_existing(&self.path, store, denylist)
    }

    fn look(&self) -> Look {
        match fs::metadata(&self.path) {
            Ok(found) if identity(&found) != self.identity => Look::Gone(REPLACED),
            Ok(found) if version(&found) != self.version => Look::Written,
            Ok(_) => Look::Same,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Look::Gone(REMOVED),
            // Whether it is there, the next look tells.
            Err(_) => Look::Same,
        }
    }

    fn committed(&mut self, id: u64, number: u64) {
        self.version = fs::metadata(&self.path).ok().as_ref().and_then(version);
        // Without a witness the store works as well; only an older copy is not noticed.
        if self.witness.is_none() {
            self.witness = Witness::create(&self.path).ok();
        }
        let written = self
            .witness
            .as_mut()
            .map(|file| Witness { id, number }.write(file));
        if let Some(Err(_)) = written {
            self.witness = None;
        }
    }
}

/// Which store a folder held last, and how many transactions it had: beside the file, so that a file that has
/// fewer is noticed. It is written after each commit, so it is never ahead of a file that lost nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Witness {
    id: u64,
    number: u64,
}

impl Witness {
    /// What was written beside `path`, if it can be read.
    pub(super) fn beside(path: &Path) -> Option<Self> {
        let mut text = String::new();
        let mut file = File::open(witness_of(path)).ok()?;
        file.read_to_string(&mut text).ok()?;
        let (id, number) = text.trim_end().split_once(' ')?;
        Some(Self {
            id: u64::from_str_radix(id, 16).ok()?,
            number: u64::from_str_radix(number, 16).ok()?,
        })
    }

    /// What is wrong with a file that has `kept` in it: it is another store's, or an older copy of this one.
    pub(super) fn objection(self, kept: &Kept) -> Option<String> {
        if kept.id != Some(self.id) {
            return Some("it is not the store that was here last".to_owned());
        }
        let lacking = self.number.saturating_sub(kept.commits);
        (lacking > 0)
            .then(|| format!("it is an older copy: its last {lacking} transactions are missing"))
    }

    fn create(path: &Path) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(witness_of(path))
    }

    /// Of one length each time, and within one sector.
    fn write(self, file: &mut File) -> io::Result<()> {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(format!("{:016x} {:016x}\n", self.id, self.number).as_bytes())
    }
}

fn witness_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.last"))
}

#[cfg(unix)]
fn identity(found: &Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<Identity> {
    None
}

#[cfg(unix)]
fn version(found: &Metadata) -> Option<Version> {
    use std::os::unix::fs::MetadataExt as _;
    Some((found.mtime(), found.mtime_nsec(), found.size()))
}

#[cfg(not(unix))]
fn version(_: &Metadata) -> Option<Version> {
    None
}

const REMOVED: &str = "its file was removed while this process had it open: move it back, or restart the process \
                       with a copy (docs/backup.md)";

const REPLACED: &str = "its file was replaced while this process had it open: restart the process, and if the \
                        new file is a backup, as docs/backup.md says";
