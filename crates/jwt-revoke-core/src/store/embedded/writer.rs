//! The one thread that writes.

use std::{
    cmp::Reverse,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering, mpsc},
    time::Instant,
};

use futures::channel::oneshot;

use super::{
    Shared,
    audit::AuditEntry,
    batch::Batch,
    database::{Changes, Database},
    entry::KeptHorizons,
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
    pub(super) database: Database,
    pub(super) horizons: KeptHorizons,
    pub(super) requests: mpsc::Receiver<Request>,
}

impl Writer {
    /// Writes until the last handle is gone, and closes the file.
    ///
    /// The database panics on some of what it did not expect. Then nothing would ever be written
    /// again, so the store is out of service; and since the database may panic once more when it
    /// is dropped, that happens outside of the first panic.
    pub(super) fn run(mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            self.shared.poison("its writer panicked");
        }
        // The panic has been reported; all that is left undone is tidying up.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self)));
    }

    fn work(&mut self) {
        let mut next_purge = Instant::now();
        loop {
            if next_purge <= Instant::now() {
                // Slice by slice, and requests between the slices.
                next_purge = match self.purge_slice() {
                    Ok(Slice { more: true, .. }) => Instant::now(),
                    _ => Instant::now() + defaults::PURGE_INTERVAL,
                };
            }
            let wait = next_purge.saturating_duration_since(Instant::now());
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

    /// Commits `changes` and shows them to lookups.
    pub(super) fn commit(&mut self, changes: &Changes) -> Result<(), StoreError> {
        self.shared.working()?;
        match self.database.commit(changes) {
            Ok(sessions) => self.shared.sessions.store(sessions, Ordering::Relaxed),
            Err(error) => {
                self.shared.poison(&error.to_string());
                return self.shared.working();
            }
        }
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        let mut entries: Vec<_> = changes.entries.iter().collect();
        // The entry of a kept session is the higher one: no lookup may see the cutoff that it is spared
        // from without it.
        entries.sort_unstable_by_key(|(_, entry)| Reverse(entry.cutoff()));
        for (digest, entry) in entries {
            self.shared.denylist.insert(*digest, *entry);
        }
        self.shared.denylist.remove(&changes.removed);
        self.horizons = changes.horizons.unwrap_or(self.horizons);
        self.shared.clock.set_reserved(changes.clock);
        self.shared.nudged.store(false, Ordering::Release);
        Ok(())
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
        let now = shared.clock.now();
        let mut reserve = !shared.clock.is_reserved(now);
        let mut work = Batch::new(&shared, &self.database, self.horizons, now);
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
                    reserve |= shared.clock.runs_low(now);
                    let now = work.now;
                    answers.extend(waiter.map(|waiter| Answer::Instant(waiter, now)));
                }
                Request::Audit(limit, waiter) => answers.push(Answer::Audit(limit, waiter)),
                Request::Purge(waiter) => answers.push(Answer::Purge(waiter)),
            }
        }
        let (changes, reached) = work.finish();
        let result = if reserve || !changes.is_empty() {
            self.commit(&changes)
        } else {
            shared.working()
        };
        if result.is_ok() {
            if !changes.entries.is_empty() {
                shared.clock.pass(reached);
            }
            shared.clock.reach(reached);
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
        let audit = self.database.audit(limit);
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
        self.shared.working()?;
        let shared = Arc::clone(&self.shared);
        let now = shared.clock.now();
        let past = now.saturating_sub(defaults::CLOCK_TOLERANCE);
        let expired = shared.denylist.expired(past, defaults::PURGE_SLICE);
        let mut work = Batch::new(&shared, &self.database, self.horizons, now);
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
            self.commit(&changes)?;
        }
        Ok(slice)
    }

    /// Takes back the instants that were reserved and not used.
    fn close(&self) {
        if self.shared.working().is_err() {
            return;
        }
        let changes = Changes::new(self.shared.clock.now());
        if let Err(error) = self.database.commit(&changes) {
            // All that was acknowledged is in the file; only the clock is ahead a little.
            tracing::warn!(store = self.shared.name, %error, "could not close the store cleanly");
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
