//! A store that does what a test tells it to: answer, fail, or keep its callers waiting.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use jwt_revoke_core::{
    Clock, SystemClock, Timestamp,
    revocation::{Cutoff, Cutoffs, Digest, Horizons, Shard},
    store::{Lookup, Revocation, Revoked, Store, StoreError},
};
use tokio::sync::watch;

/// What the store does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers.
    Answers,
    /// Answers everything with an error.
    Fails,
    /// Fails writes, the statement of horizons among them, and answers the rest.
    RefusesWrites,
    /// Keeps its callers waiting until the mood changes.
    Hangs,
}

/// A store in memory, in a mood. All clones are one store.
#[derive(Clone)]
pub struct ControlledStore(Arc<Inner>);

struct Inner {
    entries: Mutex<HashMap<Digest, Cutoff>>,
    written: Mutex<Vec<Revocation>>,
    required: Mutex<Vec<Horizons>>,
    failure: Mutex<Box<dyn Fn() -> StoreError + Send>>,
    clock: Arc<dyn Clock>,
    /// Past the instant of the latest revocation: no session begins within that.
    past: AtomicU64,
    mood: watch::Sender<Mood>,
    answers_at_once: AtomicBool,
    lookups: AtomicUsize,
    waiting: AtomicUsize,
}

impl Default for ControlledStore {
    fn default() -> Self {
        Self::new()
    }
}

impl ControlledStore {
    /// An empty store that answers when awaited.
    pub fn new() -> Self {
        Self::with_clock(SystemClock::shared())
    }

    /// The same, whose instants are those of `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            entries: Mutex::default(),
            written: Mutex::default(),
            required: Mutex::default(),
            failure: Mutex::new(Box::new(failure)),
            clock,
            past: AtomicU64::new(0),
            mood: watch::Sender::new(Mood::Answers),
            answers_at_once: AtomicBool::new(false),
            lookups: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        }))
    }

    /// Puts the store into another mood; those who wait go on.
    pub fn set(&self, mood: Mood) {
        self.0.mood.send_replace(mood);
    }

    /// What it says when it fails, from now on.
    pub fn fail_with(&self, failure: impl Fn() -> StoreError + Send + 'static) {
        *self.0.failure.lock().unwrap() = Box::new(failure);
    }

    /// All revocations that it accepted, in order.
    pub fn written(&self) -> Vec<Revocation> {
        self.0.written.lock().unwrap().clone()
    }

    /// All horizons that were stated and accepted, in order.
    pub fn required(&self) -> Vec<Horizons> {
        self.0.required.lock().unwrap().clone()
    }

    fn failure(&self) -> StoreError {
        self.0.failure.lock().unwrap()()
    }

    /// Whether lookups are answered without being awaited, as by a store in this process.
    pub fn answer_at_once(&self, at_once: bool) {
        self.0.answers_at_once.store(at_once, SeqCst);
    }

    /// How many lookups there were.
    pub fn lookups(&self) -> usize {
        self.0.lookups.load(SeqCst)
    }

    /// How many callers are waiting now.
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(SeqCst)
    }

    /// How many handles of this store there are.
    pub fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Returns once `count` callers are waiting.
    pub async fn until_waiting(&self, count: usize) {
        while self.waiting() != count {
            tokio::task::yield_now().await;
        }
    }

    /// Returns once there are `count` handles of this store.
    pub async fn until_handles(&self, count: usize) {
        while self.handles() != count {
            tokio::task::yield_now().await;
        }
    }

    async fn mood(&self) -> Mood {
        let _waiting = Waiting::new(&self.0.waiting);
        let mut mood = self.0.mood.subscribe();
        let settled = mood.wait_for(|mood| *mood != Mood::Hangs).await;
        *settled.expect("the sender lives as long as self")
    }

    fn find(&self, query: &Lookup<'_>) -> Cutoffs {
        let entries = self.0.entries.lock().unwrap();
        let found = query.digests.iter().enumerate();
        query.cutoffs(found.filter_map(|(index, digest)| Some((index, *entries.get(digest)?))))
    }
}

impl Store for ControlledStore {
    async fn lookup(&self, query: &Lookup<'_>) -> Result<Cutoffs, StoreError> {
        self.0.lookups.fetch_add(1, SeqCst);
        match self.mood().await {
            Mood::Fails => Err(self.failure()),
            _ => Ok(self.find(query)),
        }
    }

    fn lookup_now(&self, query: &Lookup<'_>) -> Option<Result<Cutoffs, StoreError>> {
        if !self.0.answers_at_once.load(SeqCst) {
            return None;
        }
        let answer = match *self.0.mood.borrow() {
            Mood::Hangs => return None,
            Mood::Fails => Err(self.failure()),
            _ => Ok(self.find(query)),
        };
        self.0.lookups.fetch_add(1, SeqCst);
        Some(answer)
    }

    async fn revoke(&self, revocations: &[Revocation]) -> Result<Revoked, StoreError> {
        if self.mood().await != Mood::Answers {
            return Err(self.failure());
        }
        let now = self.0.clock.now();
        let mut raised = 0;
        for revocation in revocations {
            let cutoff = revocation.reach.cutoff(now)?;
            let mut entries = self.0.entries.lock().unwrap();
            let held = entries.get(&revocation.digest);
            raised += usize::from(held.is_none_or(|held| *held < cutoff));
            let entry = entries.entry(revocation.digest).or_insert(cutoff);
            *entry = cutoff.max(*entry);
            self.0.written.lock().unwrap().push(revocation.clone());
        }
        self.0.past.fetch_max(now.as_millis() + 1, SeqCst);
        Ok(Revoked::new(now, raised))
    }

    async fn now(&self, _: Shard) -> Result<Timestamp, StoreError> {
        match self.mood().await {
            Mood::Fails => Err(self.failure()),
            _ => {
                let past = Timestamp::from_millis(self.0.past.load(SeqCst));
                Ok(self.0.clock.now().max(past))
            }
        }
    }

    async fn require(&self, horizons: Horizons) -> Result<Horizons, StoreError> {
        match self.mood().await {
            Mood::Fails | Mood::RefusesWrites => Err(self.failure()),
            _ => {
                let mut required = self.0.required.lock().unwrap();
                required.push(horizons);
                let in_force = required.iter().copied().reduce(Horizons::max);
                Ok(in_force.unwrap_or(horizons))
            }
        }
    }

    async fn ready(&self) -> Result<(), StoreError> {
        match self.mood().await {
            Mood::Answers => Ok(()),
            _ => Err(self.failure()),
        }
    }
}

fn failure() -> StoreError {
    StoreError::Failed {
        store: "controlled".to_owned(),
        reason: "told to fail".to_owned(),
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
