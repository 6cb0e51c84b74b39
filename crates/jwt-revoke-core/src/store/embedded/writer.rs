//! The one thread that writes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering, mpsc},
    time::Instant,
};

use futures::channel::oneshot;

use super::{
    Shared,
    audit::AuditEntry,
    database::{Changes, Database, Unreadable},
    entry::KeptHorizons,
};
use crate::{
    clock::Timestamp,
    defaults,
    revocation::{Digest, Horizons},
    store::{Revocation, StoreError},
};

/// What the store's handles ask of the writer.
pub(super) enum Request {
    Revoke(Box<[Revocation]>, Waiter<Timestamp>),
    Require(Horizons, Waiter<()>),
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
                    Ok(defaults::PURGE_SLICE) => Instant::now(),
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
        if let Err(error) = self.database.commit(changes) {
            self.shared.poison(&error.to_string());
            return self.shared.working();
        }
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        for (digest, entry) in &changes.entries {
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
        let now = self.shared.clock.now();
        let mut changes = Changes::new(now.saturating_add(defaults::CLOCK_RESERVATION));
        let mut reserve = !self.shared.clock.is_reserved(now);
        let mut answers = Vec::with_capacity(batch.len());
        for request in batch {
            match request {
                Request::Revoke(revocations, waiter) => {
                    match self.revoke(&revocations, now, &mut changes) {
                        Ok(()) => answers.push(Answer::Instant(waiter)),
                        Err(error) => send(waiter, Err(error)),
                    }
                }
                Request::Require(horizons, waiter) => {
                    let kept = changes.horizons.unwrap_or(self.horizons);
                    changes.horizons = kept.raised(horizons, now).or(changes.horizons);
                    answers.push(Answer::Done(waiter));
                }
                Request::Now(waiter) => {
                    reserve |= self.shared.clock.runs_low(now);
                    answers.extend(waiter.map(Answer::Instant));
                }
                Request::Audit(limit, waiter) => answers.push(Answer::Audit(limit, waiter)),
                Request::Purge(waiter) => answers.push(Answer::Purge(waiter)),
            }
        }
        let result = if reserve || !changes.is_empty() {
            self.commit(&changes)
        } else {
            self.shared.working()
        };
        if result.is_ok() && !changes.entries.is_empty() {
            self.shared.clock.pass(now);
        }
        for answer in answers {
            self.answer(answer, now);
        }
    }

    /// Adds what `revocations` change; all of them or, if one is refused, none.
    fn revoke(
        &self,
        revocations: &[Revocation],
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        let cutoffs = revocations
            .iter()
            .map(|revocation| revocation.reach.cutoff(now));
        let cutoffs = cutoffs.collect::<Result<Vec<_>, _>>()?;
        let horizons = changes.horizons.unwrap_or(self.horizons);
        for (revocation, cutoff) in revocations.iter().zip(cutoffs) {
            let digest = revocation.digest;
            let old = self.entry(&digest, changes);
            if let Some(entry) = horizons.merge(old, cutoff, revocation.horizon, now) {
                changes.entries.insert(digest, entry);
                changes.audit.push(AuditEntry::new(now, &revocation.audit));
            }
        }
        Ok(())
    }

    fn entry(&self, digest: &Digest, changes: &Changes) -> Option<super::entry::Entry> {
        let pending = changes.entries.get(digest).copied();
        pending.or_else(|| self.shared.denylist.get(digest))
    }

    fn answer(&mut self, answer: Answer, now: Timestamp) {
        let working = self.shared.working();
        match answer {
            Answer::Instant(waiter) => send(waiter, working.map(|()| now)),
            Answer::Done(waiter) => send(waiter, working),
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
        let failed = |reason: String| StoreError::Failed {
            store: self.shared.name.clone(),
            reason,
        };
        self.database.audit(limit).map_err(|error| match error {
            Unreadable::Failed(error) => failed(error.to_string()),
            Unreadable::Damaged(reason) => failed(reason),
            Unreadable::Layout(_) => failed("no audit table".to_owned()),
        })
    }

    fn purge(&mut self) -> Result<usize, StoreError> {
        let mut purged = 0;
        loop {
            let slice = self.purge_slice()?;
            purged += slice;
            if slice < defaults::PURGE_SLICE {
                return Ok(purged);
            }
        }
    }

    /// Forgets entries whose expiry is so long past that no clock which this store would accept
    /// after a restart can make a token live that they cover.
    fn purge_slice(&mut self) -> Result<usize, StoreError> {
        self.shared.working()?;
        let now = self.shared.clock.now();
        let past = now.saturating_sub(defaults::CLOCK_TOLERANCE);
        let mut changes = Changes::new(now.saturating_add(defaults::CLOCK_RESERVATION));
        changes.removed = self.shared.denylist.expired(past, defaults::PURGE_SLICE);
        if !changes.removed.is_empty() {
            self.commit(&changes)?;
        }
        Ok(changes.removed.len())
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

/// Who is told what once the transaction is through.
enum Answer {
    Instant(Waiter<Timestamp>),
    Done(Waiter<()>),
    Audit(usize, Waiter<Vec<AuditEntry>>),
    Purge(Waiter<usize>),
}

fn send<T>(waiter: Waiter<T>, answer: Result<T, StoreError>) {
    // Whoever dropped the future does not want to know.
    let _ = waiter.send(answer);
}
