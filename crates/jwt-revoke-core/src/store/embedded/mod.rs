//! The store without a server: durable in one file, or in memory.
//!
//! Lookups are answered from memory. One thread writes: it commits all that has queued up in one
//! transaction, so a hundred concurrent revocations cost as much as one.

mod address;
mod audit;
mod backend;
mod batch;
mod builder;
mod clock;
mod database;
mod entry;
mod file;
mod kept;
mod memory;
mod origin;
mod recover;
mod rows;
mod sessions;
mod step;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use futures::channel::oneshot;
use futures_timer::Delay;

pub use self::{audit::AuditEntry, builder::EmbeddedBuilder};
use self::{
    clock::{LONGEST_WAIT, StoreClock},
    memory::Denylist,
    sessions::SLICE,
    step::{Step, User},
    writer::{Request, Waiter},
};
use crate::{
    clock::Timestamp,
    defaults,
    guard::Consistency,
    meters::EmbeddedMeters,
    revocation::{Cutoff, Cutoffs, Horizons, Shard},
    store::{
        Index, Lookup, Opened, Revocation, Revoked, Store, StoreError, Transition, Transitioned,
        WriteRefusal,
    },
    token::SessionId,
};

/// A store in this process, in memory or durable in one file. Cheap to clone; all clones are one
/// store.
///
/// **Durable**: an acknowledged revocation is on the disk (two fsyncs), whatever happens to the
/// process afterwards. A file that is cut off, torn or otherwise damaged does not open, and neither
/// does an empty one: only where there is no file at all is a new store made. The file belongs to
/// one process at a time. It is protected against accidents, not against whoever may write to it.
///
/// **Failing closed**: when a write fails, its whole batch fails, and the store is out of service
/// ([`StoreError::Poisoned`]) until it could open its file again, which it tries about once a second: a full
/// disk needs no restart. Meanwhile a lookup still finds what is revoked for ever, and for all else is an error.
/// A file that is removed or replaced under the process is noticed within a second, and before a write is
/// acknowledged; the store stays out of service until the process is restarted or the file is back. What another
/// program wrote into the file is replaced by what this process knows.
///
/// **Backup**: a small file `.NAME.last` beside `NAME` counts the transactions, so that an older copy does not
/// open by mistake; see docs/backup.md and [`EmbeddedBuilder::restored`].
///
/// **Clock**: a cutoff never lies behind the date of a session, not even over a restart on a host whose clock
/// was set back: by under an hour, cutoffs go on from the last date in the file; by more, the store does not
/// open. Sessions are dated by the host's clock and after what covers them.
///
/// Entries are forgotten an hour after their horizon, which is how far the clock may go back; the
/// records of sessions, [`HORIZON_MARGIN`](defaults::HORIZON_MARGIN) after their last token.
/// Before anybody calls [`require`](Store::require), horizons are those of the default lifetimes.
///
/// The file is written when the last clone is dropped, which waits for that.
///
/// ```
/// use jwt_revoke_core::{
///     revocation::{Cutoff, Digest, Dimension, Placement, Shard},
///     store::{EmbeddedStore, Lookup, Reach, Revocation, Store},
/// };
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), jwt_revoke_core::store::StoreError> {
/// let store = EmbeddedStore::in_memory();
/// let issuer = "https://auth.example.com";
/// let shard = Shard::of_issuer(issuer);
/// let logout = Revocation::new(
///     Dimension::Jti,
///     issuer,
///     "token-1",
///     Placement::One(shard),
///     Reach::Forever,
/// );
/// store.revoke(&[logout]).await?;
///
/// let digests = [Digest::of(&Dimension::Jti, issuer, b"token-1")];
/// let found = store.lookup(&Lookup::new(shard, &digests)).await?;
/// assert_eq!(found.highest(), Some(Cutoff::Forever));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EmbeddedStore {
    // The writer holds this too, so it is not what keeps the writer running.
    shared: Arc<Shared>,
    handle: Arc<Handle>,
}

impl EmbeddedStore {
    /// An empty store in memory: it forgets all revocations when the process ends.
    ///
    /// Should the system refuse a thread to it, the store exists, and answers every call with an
    /// error.
    pub fn in_memory() -> Self {
        Self::builder().in_memory()
    }

    /// Opens the store in a file, or makes a new one. The folder must exist.
    ///
    /// Blocks until all of the file is read and verified: about a second for a million entries.
    ///
    /// # Errors
    ///
    /// [`StoreError::Open`] names the file, what is wrong with it, and the mend: another process has
    /// it open, it is damaged, empty, no store, may not be read and written, the disk is full.
    /// [`StoreError::Layout`] when another version wrote it, [`StoreError::Clock`] when the host's
    /// clock stands an hour or more behind the last instant in the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder().open(path)
    }

    /// Opens the store at an address: `memory:`, or `file:PATH` with the path of a folder, made when
    /// missing, that holds `revocations.redb`. `file:` takes a path as it stands, without escapes,
    /// and also `file:///absolute/path`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Address`] for another address; otherwise as [`open`](Self::open).
    pub fn open_address(address: &str) -> Result<Self, StoreError> {
        Self::builder().open_address(address)
    }

    /// To set more than where the store is.
    pub fn builder() -> EmbeddedBuilder {
        EmbeddedBuilder::new()
    }

    /// What was revoked last, newest first: at most `limit` of the
    /// [`AUDIT_ENTRIES`](defaults::AUDIT_ENTRIES) entries that are kept. Revocations that changed
    /// nothing are not among them.
    ///
    /// # Errors
    ///
    /// When the store is out of service, or its file cannot be read.
    pub async fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.ask(|waiter| Request::Audit(limit, waiter)).await
    }

    /// Forgets now what would be forgotten within the next minute anyway, and says how many entries
    /// and sessions that were.
    ///
    /// # Errors
    ///
    /// When the store is out of service.
    pub async fn purge(&self) -> Result<usize, StoreError> {
        self.ask(Request::Purge).await
    }

    /// Figures for metrics.
    pub fn stats(&self) -> EmbeddedStats {
        EmbeddedStats {
            entries: self.shared.denylist.len(),
            sessions: self.shared.sessions.load(Ordering::Relaxed),
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            commits: self.shared.commits.load(Ordering::Relaxed),
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(Waiter<T>) -> Request) -> Result<T, StoreError> {
        let (waiter, answer) = oneshot::channel();
        self.handle.send(&self.shared, request(waiter))?;
        match answer.await {
            Ok(answer) => answer,
            Err(oneshot::Canceled) => Err(self.shared.gone()),
        }
    }

    /// Deletes the records of the sessions that have ended, a slice at a time: others write in between.
    /// All is safe without it.
    async fn forget_others(&self, index: &Index<'_>, ended: &mut Vec<SessionId>) {
        let mut full = ended.len() >= SLICE;
        while full {
            let step = Step::ForgetOthers(User::of(index));
            match self.ask(|waiter| Request::Step(step, waiter)).await {
                Ok(Transitioned::Ended(more)) => {
                    full = more.len() >= SLICE;
                    ended.extend(more);
                }
                _ => return,
            }
        }
    }

    fn find(&self, query: &Lookup<'_>) -> Result<Cutoffs, StoreError> {
        let found = self.shared.denylist.lookup(query);
        if found.highest() == Some(Cutoff::Forever) {
            return Ok(found);
        }
        // Whatever else was found may not cover the token, and would then say "not revoked".
        match self.shared.working() {
            Ok(()) => Ok(found),
            Err(error) => Err(error.knowing(found)),
        }
    }
}

impl Store for EmbeddedStore {
    async fn lookup(&self, query: &Lookup<'_>) -> Result<Cutoffs, StoreError> {
        self.find(query)
    }

    fn lookup_now(&self, query: &Lookup<'_>) -> Option<Result<Cutoffs, StoreError>> {
        Some(self.find(query))
    }

    fn consistency(&self) -> Consistency {
        Consistency::Strict
    }

    async fn revoke(&self, revocations: &[Revocation]) -> Result<Revoked, StoreError> {
        let revocations = revocations.into();
        self.ask(|waiter| Request::Revoke(revocations, waiter))
            .await
    }

    async fn transition(&self, transition: &Transition<'_>) -> Result<Transitioned, StoreError> {
        let step = Step::of(transition);
        let mut answer = self.ask(|waiter| Request::Step(step, waiter)).await?;
        match (transition, &mut answer) {
            // Or logins and sign-outs of one user, in turns, would run ahead of the clock.
            (_, Transitioned::Opened(Opened::OpenAt(date))) => {
                wait(date.saturating_since(self.shared.clock.shown())).await;
            }
            (Transition::EndOthers(ending), Transitioned::Ended(ended)) => {
                self.forget_others(&ending.index, ended).await;
            }
            _ => {}
        }
        Ok(answer)
    }

    async fn now(&self, _shard: Shard) -> Result<Timestamp, StoreError> {
        self.shared.working()?;
        let clock = &self.shared.clock;
        let Some((date, ahead)) = clock.date() else {
            return self.ask(|waiter| Request::Now(Some(waiter))).await;
        };
        if clock.runs_low() && !self.shared.nudged.swap(true, Ordering::AcqRel) {
            self.handle.send(&self.shared, Request::Now(None))?;
        }
        // The instant after a cutoff of this very millisecond: it is waited for, or a busy store would run
        // ahead of its clock.
        wait(ahead).await;
        Ok(date)
    }

    async fn earliest_now(&self) -> Result<Timestamp, StoreError> {
        self.shared.working()?;
        let shown = self.shared.clock.shown();
        // After every cutoff of this moment. It is no date of a session, so it is not kept.
        let earliest = self.shared.clock.next_date(shown);
        wait(earliest.saturating_since(shown)).await;
        Ok(earliest)
    }

    async fn require(&self, horizons: Horizons) -> Result<Horizons, StoreError> {
        self.ask(|waiter| Request::Require(horizons, waiter)).await
    }

    fn record_metrics(&self) {
        let bytes = self.shared.denylist.bytes();
        self.shared.meters.set(&self.stats(), bytes);
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.shared.working()
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore")
            .field("name", &self.shared.name)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Waits for what is a moment ahead.
async fn wait(ahead: Duration) {
    if !ahead.is_zero() {
        Delay::new(ahead.min(LONGEST_WAIT)).await;
    }
}

/// Figures of an [`EmbeddedStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmbeddedStats {
    /// Entries in memory.
    pub entries: usize,
    /// Sessions with a record.
    pub sessions: u64,
    /// Revocations and other requests that wait for the disk.
    pub waiting: usize,
    /// Transactions since the store was opened.
    pub commits: u64,
}

/// What handles and writer share.
struct Shared {
    name: String,
    denylist: Denylist,
    clock: StoreClock,
    /// Whether there is a fault, so that checks need no lock.
    faulty: AtomicBool,
    /// Why the store is out of service.
    fault: Mutex<Option<String>>,
    waiting: AtomicUsize,
    commits: AtomicU64,
    sessions: AtomicU64,
    /// Whether the writer was asked to reserve instants and has not done it yet.
    nudged: AtomicBool,
    meters: EmbeddedMeters,
}

impl Shared {
    fn new(name: String, denylist: Denylist, clock: StoreClock) -> Self {
        Self {
            meters: EmbeddedMeters::new(&name),
            name,
            denylist,
            clock,
            faulty: AtomicBool::new(false),
            fault: Mutex::new(None),
            waiting: AtomicUsize::new(0),
            commits: AtomicU64::new(0),
            sessions: AtomicU64::new(0),
            nudged: AtomicBool::new(false),
        }
    }

    /// An error while the store is out of service.
    fn working(&self) -> Result<(), StoreError> {
        if !self.faulty.load(Ordering::Acquire) {
            return Ok(());
        }
        match &*self.fault() {
            None => Ok(()),
            Some(reason) => Err(self.out_of_service(reason)),
        }
    }

    /// Takes the store out of service.
    fn poison(&self, reason: &str) {
        let mut fault = self.fault();
        if fault.as_deref() != Some(reason) {
            tracing::error!(store = self.name, reason, "the store is out of service");
            *fault = Some(reason.to_owned());
        }
        self.faulty.store(true, Ordering::Release);
    }

    /// Puts it back into service.
    fn mend(&self) {
        let mut fault = self.fault();
        *fault = None;
        self.faulty.store(false, Ordering::Release);
    }

    fn fault(&self) -> MutexGuard<'_, Option<String>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn out_of_service(&self, reason: &str) -> StoreError {
        StoreError::Poisoned {
            store: self.name.clone(),
            reason: reason.to_owned(),
        }
    }

    /// The writer has dropped a request: it is gone, or has panicked.
    fn gone(&self) -> StoreError {
        if !self.faulty.load(Ordering::Acquire) {
            self.poison("its writer has ended");
        }
        self.out_of_service(self.fault().as_deref().unwrap_or_default())
    }
}

/// Keeps the writer running; the last one to go waits until the file is closed, so that it can be
/// opened again at once.
struct Handle {
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<thread::JoinHandle<()>>,
}

impl Handle {
    fn send(&self, shared: &Shared, request: Request) -> Result<(), StoreError> {
        shared.working()?;
        let size = request.size();
        let waiting = shared.waiting.fetch_add(size, Ordering::Relaxed);
        if waiting > defaults::EMBEDDED_WAITING {
            shared.waiting.fetch_sub(size, Ordering::Relaxed);
            return Err(StoreError::WriteRefused {
                store: shared.name.clone(),
                refusal: WriteRefusal::Other("too many writes wait for the disk".into()),
            });
        }
        let sent = self.requests.as_ref().map(|queue| queue.send(request));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(shared.gone()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so, and has poisoned the store.
            let _ = writer.join();
        }
    }
}
