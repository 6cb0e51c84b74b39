//! Writing what this process remembers into a shard that may lack it.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    convert::Infallible,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    clock::{Timestamp, millis},
    revocation::{Cutoff, Digest, Shard},
    store::{
        StoreError,
        redis::{
            Inner,
            client::Value,
            failure::Purpose,
            healing::{PAUSE, Remembered},
            keys::{LAYOUT, shard_slot},
            log,
            reply::Reply,
            scripts::HEAL,
        },
    },
};

impl Inner {
    /// Puts back what this process remembers and the shard may lack: at once what it wrote itself, then
    /// what it read and the shard's log does not tell. Of a fleet one process begins with that, and the
    /// others add what it did not know. Returns how much was put back.
    pub(super) async fn put_back_missing(&self, shard: Shard) -> Result<usize, StoreError> {
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
    pub(super) fn remembered(&self, shard: Shard) -> (Vec<Remembered>, Vec<Remembered>) {
        let own = self.written_lately(shard);
        let written: HashSet<_> = own.iter().map(|(digest, ..)| *digest).collect();
        let mut read = self.replica.of_shard(shard);
        read.retain(|(digest, ..)| !written.contains(digest));
        (own, read)
    }

    /// What this process wrote lately to `shard`, as far as anybody has raised it since.
    pub(super) fn written_lately(&self, shard: Shard) -> Vec<Remembered> {
        let written = self.healing.recent(shard).into_iter();
        let raised =
            written.map(
                |(digest, (cutoff, life))| match self.replica.known(shard, &digest) {
                    Some((known, left)) => (digest, cutoff.max(known), life.max(left)),
                    None => (digest, cutoff, life),
                },
            );
        let mut written: Vec<Remembered> = raised.collect();
        self.add_kept(shard, &mut written);
        written
    }

    /// Adds the entries of kept sessions that belong to what others have raised since. They are the only ones
    /// a millisecond above it.
    fn add_kept(&self, shard: Shard, written: &mut Vec<Remembered>) {
        let above = |cutoff: &Cutoff| match cutoff {
            Cutoff::At(instant) => Some(instant.saturating_add(MILLISECOND)),
            Cutoff::Forever => None,
        };
        let above: HashSet<_> = written.iter().filter_map(|(_, at, _)| above(at)).collect();
        if above.is_empty() {
            return;
        }
        let known: HashSet<_> = written.iter().map(|(digest, ..)| *digest).collect();
        let read = self.replica.of_shard(shard).into_iter();
        written.extend(read.filter(|(digest, cutoff, _)| {
            matches!(cutoff, Cutoff::At(instant) if above.contains(instant))
                && !known.contains(digest)
        }));
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
    pub(super) async fn put_back_all(
        &self,
        shard: Shard,
        entries: &[Remembered],
    ) -> Result<usize, StoreError> {
        let mut lacked = 0;
        let mut entries = entries.to_vec();
        // The entry of a kept session is higher than the cutoff that it is spared from, and goes before it.
        entries.sort_by_key(|(_, cutoff, _)| Reverse(*cutoff));
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

/// Whether an entry lives so much shorter than it must that a script would lengthen it: `raise.lua`.
fn is_short(left: Duration, wanted: Duration) -> bool {
    left < wanted.saturating_sub((wanted / 10).min(SLACK))
}

/// How many entries are put back in one script, and how long the server may breathe after it: other
/// clients must not notice.
const CHUNK: usize = 256;
const BREATH: Duration = Duration::from_millis(5);

/// How many entries of a log are read at a time: what keeps a shard unknown goes over the same connection.
const PAGE: usize = 250;

/// How many entries are put back without looking what is there.
const FEW: usize = 1_024;

/// What an entry may lack of the life that it must have, at most: `raise.lua`.
const SLACK: Duration = Duration::from_secs(60);

const MILLISECOND: Duration = Duration::from_millis(1);
