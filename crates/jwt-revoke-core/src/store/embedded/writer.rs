//! The one thread that writes.

use std::{
    cmp::Reverse,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering, mpsc},
    time::Instant,
};

use futures::channel::oneshot;

use super::{
    Shared,
    audit::AuditEntry,
    batch::{Batch, Used},
    database::{Changes, Committed, Database},
    entry::KeptHorizons,
    origin::{Look, Origin},
    recover::Retry,
    step::Step,
};
use crate::{
    clock::Timestamp,
    defaults,
    revocation::Horizons,
    store::{Revocation, Revoked, StoreError, Transitioned},
};

/// What the store's handles ask of the writer.
pub(super) enum Request {
    Revoke(Box<[Revocation]>, Waiter<Revoked>),
    Step(Step, Waiter<Transitioned>),
    Require(Horizons, Waiter<Horizons>),
    /// The current instant, covered by the file.
    Now(Option<Waiter<Timestamp>>),
    Audit(usize, Waiter<Vec<AuditEntry>>),
    Purge(Waiter<usize>),
}

/// Where an answer is awaited. Whoever no longer waits gets none; the write happens all the same.
pub(super) type Waiter<T> = oneshot::Sender<Result<T, StoreError>>;

/// Takes all requests that have queued up, evaluates them in their order, commits what they change
/// in one transaction, shows it to lookups, and only then answers.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    /// None while it is out of service and could not be opened again.
    pub(super) database: Option<Database>,
    /// None in memory.
    pub(super) origin: Option<Box<dyn Origin>>,
    pub(super) retry: Retry,
    pub(super) horizons: KeptHorizons,
    /// The number of the last transaction.
    pub(super) commits: u64,
    pub(super) requests: mpsc::Receiver<Request>,
}

impl Writer {
    /// Writes until the last handle is gone, and closes the file.
    ///
    /// The database panics on some of what it did not expect. The store is out of service then until it
    /// could be opened again; and since the database may panic once more when it is dropped, that happens
    /// outside of the first panic.
    pub(super) fn run(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            self.shared.poison("its writer panicked");
            if self.origin.is_none() {
                break;
            }
        }
        if let Some(database) = self
            .database
            .as_ref()
            .filter(|_| self.shared.working().is_err())
        {
            database.seal();
        }
        // The panic has been reported; all that is left undone is tidying up.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self)));
    }

    fn work(&mut self) {
        let mut next_purge = Instant::now();
        let mut next_look = Instant::now() + defaults::PROBE_INTERVAL;
        loop {
            if next_purge <= Instant::now() {
                // Slice by slice, and requests between the slices.
                next_purge = match self.purge_slice() {
                    Ok(Slice { more: true, .. }) => Instant::now(),
                    _ => Instant::now() + defaults::PURGE_INTERVAL,
                };
            }
            if next_look <= Instant::now() {
                self.look_after();
                next_look = Instant::now() + defaults::PROBE_INTERVAL;
            }
            let next = match self.origin {
                Some(_) => next_purge.min(next_look),
                None => next_purge,
            };
            let wait = next.saturating_duration_since(Instant::now());
            match self.requests.recv_timeout(wait) {
                Ok(first) => {
                    let batch = self.queued_behind(first);
                    self.serve(batch);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        self.close();
    }

    /// Once a second: goes on after a failure, and notices what has become of the file.
    fn look_after(&mut self) {
        self.recover();
        if self.is_whole().is_ok() && self.shared.clock.is_reserved_in_vain() {
            // Or a crash would leave the dates of a clock that has been put right.
            let changes = Changes::new(self.shared.clock.reserve(Timestamp::EPOCH));
            let _ = self.commit(&changes, None);
        }
    }

    /// An error unless the store is in service and its file is the one that was opened.
    pub(super) fn is_whole(&mut self) -> Result<(), StoreError> {
        self.shared.working()?;
        match self.origin.as_ref().map(|origin| origin.look()) {
            None | Some(Look::Same) => Ok(()),
            Some(Look::Gone(reason)) => {
                self.shared.poison(reason);
                self.shared.working()
            }
            Some(Look::Written) => {
                tracing::warn!(
                    store = self.shared.name,
                    "another program has written to the file of the store, or touched it: it is read again"
                );
                self.reopen().map(drop).or_else(|error| {
                    self.shared.poison(&error.to_string());
                    self.shared.working()
                })
            }
        }
    }

    /// Commits `changes` and shows them to lookups.
    pub(super) fn commit(
        &mut self,
        changes: &Changes,
        used: Option<Used>,
    ) -> Result<(), StoreError> {
        self.shared.working()?;
        let Some(database) = &self.database else {
            return Err(self.shared.gone());
        };
        let committed = match database.commit(changes) {
            Ok(committed) => committed,
            Err(error) => {
                self.shared.poison(&failed_write(&error));
                return self.shared.working();
            }
        };
        if let Some(Look::Gone(reason)) = self.origin.as_ref().map(|origin| origin.look()) {
            self.shared.poison(reason);
            return self.shared.working();
        }
        let mut entries: Vec<_> = changes.entries.iter().collect();
        // The entry of a kept session is the higher one: no lookup may see the cutoff that it is spared
        // from without it.
        entries.sort_unstable_by_key(|(_, entry)| Reverse(entry.cutoff()));
        for (digest, entry) in entries {
            self.shared.denylist.insert(*digest, *entry);
        }
        self.shared.denylist.remove(&changes.removed);
        self.horizons = changes.horizons.unwrap_or(self.horizons);
        if let Some(used) = used {
            if let Some(cut) = used.cut {
                self.shared.clock.cut(cut);
            }
            self.shared.clock.reach(used.date);
        }
        self.committed(&committed, changes);
        Ok(())
    }

    /// Takes note of a transaction that came through.
    pub(super) fn committed(&mut self, committed: &Committed, changes: &Changes) {
        self.commits = committed.number;
        if let Some(origin) = &mut self.origin {
            origin.committed(committed.id, committed.number);
        }
        self.shared
            .sessions
            .store(committed.sessions, Ordering::Relaxed);
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.shared.clock.set_reserved(changes.clock);
        self.shared.nudged.store(false, Ordering::Release);
    }

    fn queued_behind(&self, first: Request) -> Vec<Request> {
        let mut size = first.size();
        let mut batch = vec![first];
        while size < defaults::EMBEDDED_BATCH
            && let Ok(request) = self.requests.try_recv()
        {
            size += request.size();
            batch.push(request);
        }
        self.shared.waiting.fetch_sub(size, Ordering::Relaxed);
        batch
    }

    fn serve(&mut self, batch: Vec<Request>) {
        let shared = Arc::clone(&self.shared);
        let whole = self.is_whole();
        let Some(database) = self.database.as_ref().filter(|_| whole.is_ok()) else {
            for request in batch {
                request.refuse(&shared);
            }
            return;
        };
        let clock = shared.clock.shown();
        let mut reserve = false;
        let mut work = Batch::new(&shared, database, self.horizons, clock);
        let mut answers = Vec::with_capacity(batch.len());
        for request in batch {
            match request {
                Request::Revoke(revocations, waiter) => match work.revoke(&revocations) {
                    Ok(raised) => {
                        let revoked = Revoked::new(work.now, raised);
                        answers.push(Answer::Revoked(waiter, revoked));
                    }
                    Err(error) => send(waiter, Err(error)),
                },
                Request::Step(step, waiter) => match work.step(step) {
                    Ok(answer) => answers.push(Answer::Step(waiter, answer)),
                    Err(error) => send(waiter, Err(error)),
                },
                Request::Require(horizons, waiter) => {
                    let in_force = work.require(horizons);
                    answers.push(Answer::Horizons(waiter, in_force));
                }
                Request::Now(waiter) => {
                    reserve |= waiter.is_some() || shared.clock.runs_low();
                    if let Some(waiter) = waiter {
                        let date = shared.clock.next_date(clock);
                        work.now = work.now.max(date);
                        work.used = work.used.max(date);
                        answers.push(Answer::Instant(waiter, date));
                    }
                }
                Request::Audit(limit, waiter) => answers.push(Answer::Audit(limit, waiter)),
                Request::Purge(waiter) => answers.push(Answer::Purge(waiter)),
            }
        }
        let (changes, used) = work.finish();
        // What fails has poisoned the store, and the answers say so.
        if reserve || !changes.is_empty() {
            let _ = self.commit(&changes, Some(used));
        }
        for answer in answers {
            self.answer(answer);
        }
    }

    fn answer(&mut self, answer: Answer) {
        let working = self.shared.working();
        match answer {
            Answer::Revoked(waiter, revoked) => send(waiter, working.map(|()| revoked)),
            Answer::Instant(waiter, now) => send(waiter, working.map(|()| now)),
            Answer::Step(waiter, answer) => send(waiter, working.map(|()| answer)),
            Answer::Horizons(waiter, in_force) => send(waiter, working.map(|()| in_force)),
            Answer::Audit(limit, waiter) => {
                send(waiter, working.and_then(|()| self.audit(limit)));
            }
            Answer::Purge(waiter) => {
                let purged = self.purge();
                send(waiter, purged);
            }
        }
    }

    fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let Some(database) = &self.database else {
            return Err(self.shared.gone());
        };
        let audit = database.audit(limit);
        audit.map_err(|error| error.while_running(&self.shared.name))
    }

    fn purge(&mut self) -> Result<usize, StoreError> {
        let mut purged = 0;
        loop {
            let slice = self.purge_slice()?;
            purged += slice.forgotten;
            if !slice.more {
                return Ok(purged);
            }
        }
    }

    /// Forgets entries whose expiry is so long past that no clock which this store would accept
    /// after a restart can make a token live that they cover, and sessions that have no token left.
    fn purge_slice(&mut self) -> Result<Slice, StoreError> {
        self.is_whole()?;
        let shared = Arc::clone(&self.shared);
        let Some(database) = &self.database else {
            return Err(shared.gone());
        };
        let past = shared
            .clock
            .settled()
            .saturating_sub(defaults::CLOCK_TOLERANCE);
        let expired = shared.denylist.expired(past, defaults::PURGE_SLICE);
        let mut work = Batch::new(&shared, database, self.horizons, shared.clock.shown());
        // Expired entries must not stay because a session cannot be read.
        let (sessions, looked_at) = work.forget_sessions().unwrap_or_else(|error| {
            tracing::error!(store = shared.name, %error, "could not forget sessions");
            (0, 0)
        });
        let (mut changes, _) = work.finish();
        let slice = Slice {
            forgotten: expired.len() + sessions,
            more: expired.len() == defaults::PURGE_SLICE || looked_at == defaults::PURGE_SLICE,
        };
        changes.removed = expired;
        if !changes.is_empty() {
            self.commit(&changes, None)?;
        }
        Ok(slice)
    }

    /// Takes back the instants that were reserved and not used.
    fn close(&mut self) {
        if self.shared.working().is_err() {
            return;
        }
        let Some(database) = &self.database else {
            return;
        };
        let changes = Changes::new(self.shared.clock.last());
        match database.commit(&changes) {
            Ok(committed) => {
                if let Some(origin) = &mut self.origin {
                    origin.committed(committed.id, committed.number);
                }
            }
            // All that was acknowledged is in the file; only the clock is ahead a little.
            Err(error) => {
                tracing::warn!(store = self.shared.name, %error, "could not close the store cleanly");
            }
        }
    }
}

impl Request {
    /// How much of the queue it takes up.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Revoke(revocations, _) => revocations.len().max(1),
            _ => 1,
        }
    }

    /// Answers that the store is out of service.
    fn refuse(self, shared: &Shared) {
        match self {
            Self::Revoke(_, waiter) => send(waiter, Err(shared.gone())),
            Self::Step(_, waiter) => send(waiter, Err(shared.gone())),
            Self::Require(_, waiter) => send(waiter, Err(shared.gone())),
            Self::Now(Some(waiter)) => send(waiter, Err(shared.gone())),
            Self::Now(None) => {}
            Self::Audit(_, waiter) => send(waiter, Err(shared.gone())),
            Self::Purge(waiter) => send(waiter, Err(shared.gone())),
        }
    }
}

/// Why a write failed, and what to do.
fn failed_write(error: &redb::Error) -> String {
    let mend = match error {
        redb::Error::Io(error) => match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
            io::ErrorKind::FileTooLarge => "raise the limit on the size of files",
            io::ErrorKind::ReadOnlyFilesystem => "mount its file system for writing",
            _ => "see that the disk is well",
        },
        _ => "see that the disk is well",
    };
    format!(
        "a write failed ({error}): {mend}; the store goes on by itself when it can be written again"
    )
}

/// What one transaction has forgotten.
struct Slice {
    forgotten: usize,
    /// Whether there may be more of it.
    more: bool,
}

/// Who is told what once the transaction is through.
enum Answer {
    Revoked(Waiter<Revoked>, Revoked),
    Instant(Waiter<Timestamp>, Timestamp),
    Step(Waiter<Transitioned>, Transitioned),
    Horizons(Waiter<Horizons>, Horizons),
    Audit(usize, Waiter<Vec<AuditEntry>>),
    Purge(Waiter<usize>),
}

fn send<T>(waiter: Waiter<T>, answer: Result<T, StoreError>) {
    // Whoever dropped the future does not want to know.
    let _ = waiter.send(answer);
}
