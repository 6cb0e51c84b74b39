//! Putting back what a shard has lost.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fred::types::Value;
use futures::future::join_all;
use tokio::time::{Instant, sleep};
use tracing::Instrument as _;

use crate::{
    clock::{Timestamp, millis},
    defaults,
    revocation::{Cutoff, Digest, Horizons, Life, SHARDS, Shard},
    store::{
        StoreError,
        redis::{
            Inner,
            connects::Connection,
            failure::{Failure, Purpose},
            keys::{LAYOUT, shard_slot},
            log,
            reply::Reply,
            revoke::fallback_horizons,
            scripts::HEAL,
            shard::Probe,
        },
    },
};

/// What this process has put back, and where it is doing so.
#[derive(Debug, Default)]
pub(super) struct Healing {
    /// The epoch of each shard to which everything remembered has been written.
    healed: RwLock<[Option<Vec<u8>>; SHARDS as usize]>,
    /// When healing of a shard was last begun, and whether it still runs.
    running: Mutex<[Option<(Instant, bool)>; SHARDS as usize]>,
    required: Mutex<Option<Horizons>>,
    /// Over which connection to each shard what this process wrote was put back last.
    over: Mutex<[Option<Connection>; SHARDS as usize]>,
    /// Whether each shard is to be mended, and nobody has begun.
    due: [AtomicBool; SHARDS as usize],
    /// Whether each shard has lost entries, and does not say so yet.
    lost: [AtomicBool; SHARDS as usize],
    /// What this process wrote lately, in order. Beside the copy, which may have no room for it.
    recent: Mutex<VecDeque<(Instant, Shard, Remembered)>>,
    /// When it was last told that each shard did not take entries back.
    told: Mutex<[Option<Instant>; SHARDS as usize]>,
}

impl Healing {
    /// The longest horizons that this process has stated or found stated.
    pub(super) fn required(&self) -> Option<Horizons> {
        *self.required.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers horizons; they only rise.
    pub(super) fn require(&self, horizons: Horizons) {
        let mut required = self.required.lock().unwrap_or_else(PoisonError::into_inner);
        *required = Some(required.map_or(horizons, |held| held.max(horizons)));
    }

    fn wrote(&self, shard: Shard, entry: Remembered) {
        let now = Instant::now();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.len() >= RECENT || recent.front().is_some_and(|(at, ..)| *at + LATELY < now) {
            recent.pop_front();
        }
        recent.push_back((now, shard, entry));
    }

    /// What this process wrote lately to `shard`.
    fn recent(&self, shard: Shard) -> HashMap<Digest, (Cutoff, Life)> {
        let now = Instant::now();
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written: HashMap<Digest, (Cutoff, Life)> = HashMap::new();
        for (at, _, (digest, cutoff, life)) in recent.iter().filter(|(_, of, _)| *of == shard) {
            let left = life.after(now - *at);
            let entry = written.entry(*digest).or_insert((*cutoff, left));
            *entry = (entry.0.max(*cutoff), entry.1.max(left));
        }
        written
    }

    fn is_healed(&self, shard: Shard, epoch: &[u8]) -> bool {
        let healed = self.healed.read().unwrap_or_else(PoisonError::into_inner);
        healed[usize::from(shard.number())].as_deref() == Some(epoch)
    }

    /// Whether `epoch` is known to be that of another shard.
    pub(super) fn is_of_another(&self, shard: Shard, epoch: &[u8]) -> bool {
        let healed = self.healed.read().unwrap_or_else(PoisonError::into_inner);
        let mut others = Shard::all().zip(&*healed).filter(|(at, _)| *at != shard);
        others.any(|(_, known)| known.as_deref() == Some(epoch))
    }

    /// The epoch of `shard` in which everything remembered has been written; `None` until it has.
    pub(super) fn epoch(&self, shard: Shard) -> Option<String> {
        let healed = self.healed.read().unwrap_or_else(PoisonError::into_inner);
        let epoch = healed[usize::from(shard.number())].as_deref()?;
        String::from_utf8(epoch.to_vec()).ok()
    }

    fn set_healed(&self, shard: Shard, epoch: Vec<u8>) {
        let mut healed = self.healed.write().unwrap_or_else(PoisonError::into_inner);
        healed[usize::from(shard.number())] = Some(epoch);
    }

    /// Whether what this process wrote to `shard` has been put back over this connection.
    fn is_put_back_over(&self, shard: Shard, connection: &Connection) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        over[usize::from(shard.number())].as_ref() == Some(connection)
    }

    fn put_back_over(&self, shard: Shard, connection: Connection) {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        over[usize::from(shard.number())] = Some(connection);
    }

    /// Whether the caller is the one to heal `shard` now.
    fn begin(&self, shard: Shard) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut running[usize::from(shard.number())];
        let now = Instant::now();
        match *slot {
            Some((_, true)) => false,
            Some((begun, false)) if now < begun + PAUSE => false,
            _ => {
                *slot = Some((now, true));
                true
            }
        }
    }

    /// Whether it may be told again that `shard` did not take entries back.
    fn may_tell(&self, shard: Shard) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let last = &mut told[usize::from(shard.number())];
        let now = Instant::now();
        let may = last.is_none_or(|last| now >= last + TELL);
        if may {
            *last = Some(now);
        }
        may
    }

    fn end(&self, shard: Shard) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, runs)) = &mut running[usize::from(shard.number())] {
            *runs = false;
        }
    }
}

/// Ends a healing whatever becomes of the task.
struct Turn {
    inner: Arc<Inner>,
    shard: Shard,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.inner.healing.end(self.shard);
    }
}

impl Inner {
    /// Takes note of the epoch that an answer carried, and heals the shard in the background when it
    /// is missing or new: one task a shard, at most a few times a second. Returns whether the shard
    /// is the one to which this process has written everything it remembers; an answer that belongs
    /// to another shard is caught here too.
    pub(super) fn notice(self: &Arc<Self>, shard: Shard, epoch: Option<&[u8]>) -> bool {
        let whole = epoch.is_some_and(|epoch| self.healing.is_healed(shard, epoch));
        if whole || !self.healing.begin(shard) {
            return whole;
        }
        let turn = Turn {
            inner: Arc::clone(self),
            shard,
        };
        let healing = async move {
            if let Err(error) = turn.inner.heal(shard).await {
                tracing::debug!(%error, %shard, "a shard could not be healed yet");
            }
        };
        tokio::spawn(healing.instrument(tracing::debug_span!(parent: None, "heal", %shard)));
        false
    }

    /// For how long entries that this process writes must live at the least, whatever the store says: it
    /// may have lost what was stated, and not have been told again yet.
    pub(super) fn least_horizons(&self) -> Horizons {
        self.healing.required().unwrap_or_else(fallback_horizons)
    }

    /// Takes in an entry that this process wrote and the store acknowledged.
    pub(super) fn keep_own(
        &self,
        shard: Shard,
        digest: Digest,
        cutoff: Cutoff,
        kept: Duration,
        lasting: bool,
    ) {
        let horizons = self.least_horizons();
        let needed = if lasting {
            kept
        } else {
            kept.min(horizons.access)
        };
        let life = Life { kept, needed };
        self.replica.keep(shard, digest, cutoff, life);
        self.healing.wrote(shard, (digest, cutoff, life));
    }

    /// Looks after all shards: gives an epoch to those without, and puts back what they lack.
    ///
    /// After a failover the epoch is the same, and the last writes may be missing. It cannot happen
    /// without a new connection to whoever has the shard, so then this process puts back what it wrote
    /// lately. What it only read is missed by the follower, whose log ends too early or has a gap.
    pub(super) async fn heal_all(self: &Arc<Self>) -> Result<(), StoreError> {
        let healing = Shard::all().map(|shard| async move {
            // Before anything is written over it.
            let connection = self.writes.connection(shard_slot(shard));
            let moved = !self.healing.is_put_back_over(shard, &connection);
            // The follower looks too, unless it cannot.
            let silence = self.replica.silence(shard);
            let unheard = silence.is_none_or(|silence| silence > defaults::PROBE_INTERVAL);
            if moved || unheard {
                self.heal(shard).await?;
            }
            if moved {
                let (own, _) = self.remembered(shard);
                self.put_back_all(shard, &own).await?;
                self.healing.put_back_over(shard, connection);
            }
            Ok(())
        });
        join_all(healing).await.into_iter().collect()
    }

    /// Gives a shard an epoch if it has none, and puts back what this process remembers of it, with
    /// the original cutoffs and remaining lives, unless that was done in this epoch.
    async fn heal(self: &Arc<Self>, shard: Shard) -> Result<(), StoreError> {
        let state = self.state(shard, Probe::Look, self.deadline()).await?;
        if self.healing.is_healed(shard, &state.epoch) {
            return Ok(());
        }
        let entries = self.put_back_missing(shard).await?;
        if entries > 0 {
            tracing::warn!(
                store = %self.name, %shard, entries,
                "a shard had lost entries; put back what this process remembers"
            );
        } else if state.created {
            tracing::debug!(store = %self.name, %shard, "made a shard: it is new, or lost its data");
        }
        self.healing.set_healed(shard, state.epoch);
        Ok(())
    }

    /// Puts back what a shard lacks, in the background: its log has a gap, or ends too early. Tried until
    /// it succeeds, since nothing else will tell that something is missing: a server that has just lost
    /// writes may refuse them for long, because its replicas are not back.
    pub(super) fn mend(self: &Arc<Self>, shard: Shard, missing: Missing) {
        let index = usize::from(shard.number());
        if missing == Missing::Lost {
            self.healing.lost[index].store(true, Ordering::Release);
        }
        let due = &self.healing.due[index];
        if due.swap(true, Ordering::AcqRel) {
            // Somebody is about to.
            return;
        }
        let store = Arc::downgrade(self);
        let mending = async move {
            loop {
                let Some(inner) = store.upgrade() else {
                    return;
                };
                if !inner.healing.begin(shard) {
                    drop(inner);
                    sleep(PAUSE).await;
                    continue;
                }
                let turn = Turn { inner, shard };
                let due = &turn.inner.healing.due[index];
                // Before: what is noticed from here on may be more.
                due.store(false, Ordering::Release);
                match turn.inner.mend_now(shard).await {
                    Ok(0) => return,
                    Ok(entries) => {
                        tracing::warn!(
                            store = %turn.inner.name, %shard, entries,
                            "a shard had lost entries; put back what this process remembers"
                        );
                        return;
                    }
                    Err(error) => {
                        tracing::debug!(%error, %shard, "a shard could not be mended yet");
                        if due.swap(true, Ordering::AcqRel) {
                            return;
                        }
                    }
                }
                drop(turn);
                sleep(PAUSE * 10).await;
            }
        };
        tokio::spawn(mending.instrument(tracing::debug_span!(parent: None, "mend", %shard)));
    }

    async fn mend_now(&self, shard: Shard) -> Result<usize, StoreError> {
        let lost = &self.healing.lost[usize::from(shard.number())];
        if lost.swap(false, Ordering::AcqRel)
            && let Err(error) = self.call_unknown(shard).await
        {
            lost.store(true, Ordering::Release);
            return Err(error);
        }
        self.put_back_missing(shard).await
    }

    /// Has the shard answer "unknown" for the healing time: what it has lost others may have known, and
    /// who never did would take it for not revoked.
    async fn call_unknown(&self, shard: Shard) -> Result<(), StoreError> {
        let life = millis(self.settings.healing).to_string();
        if self.settings.healing.is_zero() {
            return Ok(());
        }
        // One that lasts already is not made to last longer by each who notices.
        let key = self.keys.healing(shard);
        let words = [key.as_str(), "1", "NX", "PX", life.as_str()];
        let args = words.map(Value::from).to_vec();
        let answer = self.writes.send(shard_slot(shard), "SET", args).await;
        let failed = |failure: Failure| failure.into_error(&self.name, Purpose::Write);
        answer.map(drop).map_err(failed)
    }

    /// Puts back what this process remembers and the shard may lack: at once what it wrote itself, then
    /// what it read and the shard's log does not tell. Of a fleet one process begins with that, and the
    /// others add what it did not know. Returns how much was put back.
    async fn put_back_missing(&self, shard: Shard) -> Result<usize, StoreError> {
        let (own, mut read) = self.remembered(shard);
        let mut put_back = self.put_back_all(shard, &own).await?;
        if read.len() <= FEW {
            put_back += self.put_back_all(shard, &read).await?;
            return Ok(put_back);
        }
        let rest = async {
            self.await_turn(shard).await?;
            let logged = self.logged(shard).await?;
            let now = self.server_clock();
            read.retain(|(digest, cutoff, life)| {
                logged.get(digest).is_none_or(|(logged, expiry)| {
                    logged < cutoff || is_short(expiry.saturating_since(now), life.kept)
                })
            });
            put_back += self.put_back_all(shard, &read).await?;
            // The next in turn need not wait until it lapses.
            let key = Value::from(self.keys.healer(shard));
            let _ = self.writes.send(shard_slot(shard), "DEL", vec![key]).await;
            Ok(put_back)
        };
        tokio::select! {
            put_back = rest => put_back,
            never = self.keep_unknown(shard) => match never {},
        }
    }

    /// What this process wrote lately to `shard`, and what else it knows of it.
    fn remembered(&self, shard: Shard) -> (Vec<Remembered>, Vec<Remembered>) {
        let mut written = self.healing.recent(shard);
        let mut read = Vec::new();
        for (digest, cutoff, life) in self.replica.of_shard(shard) {
            match written.get_mut(&digest) {
                Some(own) => *own = (own.0.max(cutoff), own.1.max(life)),
                None => read.push((digest, cutoff, life)),
            }
        }
        let own = written.into_iter();
        let own = own.map(|(digest, (cutoff, life))| (digest, cutoff, life));
        (own.collect(), read)
    }

    /// As long as somebody has more to say, the shard is not whole.
    async fn keep_unknown(&self, shard: Shard) -> Infallible {
        loop {
            // If it cannot be said now, it is said soon.
            let _ = self.put_back(shard, &[]).await;
            sleep(PAUSE * 3).await;
        }
    }

    /// Waits until nobody else puts back entries of `shard`, no longer than the shard heals.
    async fn await_turn(&self, shard: Shard) -> Result<(), StoreError> {
        let until = Instant::now() + self.settings.healing;
        loop {
            let turn = millis(self.settings.healing).max(1).to_string();
            let key = self.keys.healer(shard);
            let words = [key.as_str(), "1", "NX", "PX", turn.as_str()];
            let args = words.map(Value::from).to_vec();
            let answer = self.writes.send(shard_slot(shard), "SET", args).await;
            let answer =
                answer.map_err(|failure| failure.into_error(&self.name, Purpose::Write))?;
            if answer != Reply::Nil || Instant::now() >= until {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }

    /// The cutoffs that the log of `shard` tells, and when they expire by the server's clock.
    async fn logged(
        &self,
        shard: Shard,
    ) -> Result<HashMap<Digest, (Cutoff, Timestamp)>, StoreError> {
        let mut logged = HashMap::new();
        let hear = |entry: log::Logged| {
            if let Some((digest, cutoff, expiry)) = entry.subject() {
                let held = logged.entry(digest).or_insert((cutoff, expiry));
                *held = (held.0.max(cutoff), held.1.max(expiry));
            }
        };
        let (slot, key) = (shard_slot(shard), self.keys.log(shard));
        let bound = self.settings.write_timeout;
        log::read_whole(&self.writes, slot, key, PAGE, bound, hear)
            .await
            .map_err(|failure| failure.into_error(&self.name, Purpose::Read))?;
        Ok(logged)
    }

    /// Returns how many the shard lacked.
    async fn put_back_all(
        &self,
        shard: Shard,
        entries: &[Remembered],
    ) -> Result<usize, StoreError> {
        let mut lacked = 0;
        for chunk in entries.chunks(CHUNK) {
            let put_back = self.put_back(shard, chunk).await?;
            self.meters.healed(put_back);
            lacked += put_back;
            sleep(BREATH).await;
        }
        Ok(lacked)
    }

    async fn put_back(&self, shard: Shard, entries: &[Remembered]) -> Result<usize, StoreError> {
        self.write_entries(shard, entries, false).await
    }

    /// Writes wide entries to a shard that never had them.
    pub(super) async fn complete(
        &self,
        shard: Shard,
        entries: &[Remembered],
    ) -> Result<(), StoreError> {
        for chunk in entries.chunks(CHUNK) {
            self.write_entries(shard, chunk, true).await?;
            sleep(BREATH).await;
        }
        Ok(())
    }

    /// An operator must hear of it: tokens that these cover work again when no process knows them any more.
    fn tell_dropped(&self, shard: Shard, entries: u64) {
        self.meters
            .not_healed(usize::try_from(entries).unwrap_or(usize::MAX));
        if self.healing.may_tell(shard) {
            tracing::error!(
                store = %self.name, %shard, entries,
                "entries were not put back into a shard that lacks them: their cutoffs lie further ahead of \
                 the store's clock than any may, so another clock was wrong, or is; set the clocks right \
                 and revoke again"
            );
        }
    }

    /// `told` says whether people are told of them. Returns how many the shard lacked.
    async fn write_entries(
        &self,
        shard: Shard,
        entries: &[Remembered],
        told: bool,
    ) -> Result<usize, StoreError> {
        let least = self.least_horizons();
        let mut words = self.keys.of_script(shard);
        for (digest, ..) in entries {
            self.keys.add_deny(&mut words, shard, digest);
        }
        words.word(LAYOUT);
        words.number(millis(least.access));
        words.number(millis(least.session));
        for (digest, cutoff, life) in entries {
            words.word(digest.hex());
            match cutoff {
                Cutoff::At(instant) => words.number(instant.as_millis()),
                Cutoff::Forever => words.word("*"),
            }
            words.number(millis(life.kept));
            let wide = self.wides.is_known(digest);
            let marks = [(life.is_lasting(), 1), (wide, 2), (told, 4)];
            let marks = marks.iter().filter(|(holds, _)| *holds);
            words.number(marks.map(|(_, mark)| mark).sum());
        }
        let answer = self.write(shard, &HEAL, &words, self.deadline()).await?;
        let [_, _, put_back, dropped] = answer.as_slice() else {
            return Err(self.odd(&answer));
        };
        let count = |reply: &Reply| reply.number().ok_or_else(|| self.odd(&answer));
        let (put_back, dropped) = (count(put_back)?, count(dropped)?);
        if dropped > 0 {
            self.tell_dropped(shard, dropped);
        }
        Ok(usize::try_from(put_back).unwrap_or(usize::MAX))
    }
}

/// What a log may lack that was read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Entries of which nobody knows whether anybody read them.
    Perhaps,
    /// Entries that were read.
    Lost,
}

/// Whether an entry lives so much shorter than it must that a script would lengthen it: `raise.lua`.
fn is_short(left: Duration, wanted: Duration) -> bool {
    left < wanted.saturating_sub((wanted / 10).min(SLACK))
}

/// An entry, and how long it still lives.
pub(super) type Remembered = (Digest, Cutoff, Life);

/// How many entries are put back in one script, and how long the server may breathe after it: other
/// clients must not notice.
const CHUNK: usize = 256;
const BREATH: Duration = Duration::from_millis(5);

/// How many entries of a log are read at a time: what keeps a shard unknown goes over the same connection.
const PAGE: usize = 250;

/// How many entries are put back without looking what is there.
const FEW: usize = 1_024;

/// For how long, and how many at most, a process remembers which entries it wrote itself: what a
/// failover loses was written a moment before.
const LATELY: Duration = Duration::from_secs(5 * 60);
const RECENT: usize = 100_000;

/// How often at most it is told that a shard does not take entries back.
const TELL: Duration = Duration::from_secs(60);

/// What an entry may lack of the life that it must have, at most: `raise.lua`.
const SLACK: Duration = Duration::from_secs(60);

/// How long after the start of one attempt to heal a shard the next may start.
const PAUSE: Duration = Duration::from_millis(100);
