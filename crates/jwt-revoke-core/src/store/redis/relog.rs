//! Logging the entries of a shard once more, when its log has lost some: a process that starts must learn
//! from the log all that tokens need, and asks the server at each check until it does.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tracing::Instrument as _;

use crate::{
    clock::millis,
    revocation::{Digest, SHARDS, Shard},
    store::{
        StoreError,
        redis::{
            Inner,
            account::{Account, Gaps},
            client::Value,
            failure::{Failure, Purpose},
            keys::{LAYOUT, shard_slot},
            reply::Reply,
            scripts::RELOG,
            session::record,
            shard::Probe,
            tasks::spawn_until_done,
        },
    },
};

/// The shards whose logs are to be made whole, by this process or another.
#[derive(Debug, Default)]
pub(super) struct Relogs {
    /// What is missing from each, and whether this process has done its part: until its follower has seen
    /// that nothing is missing, the log counts as not whole.
    due: Mutex<[Option<(Gaps, Done)>; SHARDS as usize]>,
    /// Whether a task works at it.
    running: AtomicBool,
    /// When it was last logged that a log cannot be made whole.
    warned: Mutex<Option<Instant>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Done(bool);

impl Relogs {
    /// Whether any log is to be made whole.
    pub(super) fn is_any_due(&self) -> bool {
        self.due().iter().any(Option::is_some)
    }

    fn due(&self) -> MutexGuard<'_, [Option<(Gaps, Done)>; SHARDS as usize]> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first(&self) -> Option<(Shard, Gaps)> {
        let due = self.due();
        Shard::all().zip(&*due).find_map(|(shard, due)| match due {
            Some((gaps, Done(false))) => Some((shard, *gaps)),
            _ => None,
        })
    }

    fn may_warn(&self) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let may = warned.is_none_or(|warned| now >= warned + WARN_INTERVAL);
        if may {
            *warned = Some(now);
        }
        may
    }
}

impl Inner {
    /// Has the entries of `shard` logged once more, in the background, one shard after the other: a reader
    /// has found `gaps` in its log, or that the shard was made without knowledge of what it held.
    pub(super) fn relog(self: &Arc<Self>, shard: Shard, gaps: Gaps) {
        self.relogs.due()[usize::from(shard.number())] = Some((gaps, Done(false)));
        if self.relogs.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let store = Arc::downgrade(self);
        spawn_until_done(move || {
            let span = tracing::debug_span!(parent: None, "relog");
            relog_all(Weak::clone(&store)).instrument(span)
        });
    }

    /// The log of `shard` tells all that tokens need.
    pub(super) fn is_logged(&self, shard: Shard) {
        self.relogs.due()[usize::from(shard.number())] = None;
    }

    /// Logs what the entries of `shard` say, unless that was done meanwhile. Returns how many there were.
    async fn relog_now(self: &Arc<Self>, shard: Shard, gaps: &Gaps) -> Result<usize, StoreError> {
        let slot = shard_slot(shard);
        let failed = |failure: Failure| failure.into_error(&self.name, Purpose::Write);
        let send = async |name, words: Vec<String>| {
            let args = words.into_iter().map(Value::from).collect();
            self.writes.send(slot, name, args).await.map_err(failed)
        };
        if self.is_mended(shard, gaps).await? {
            return Ok(0);
        }
        // One process is enough. One that ends in the middle is followed by another.
        let turn = self.keys.relogger(shard);
        let words = [turn.as_str(), "1", "NX", "PX", TURN].map(str::to_owned);
        if send("SET", words.into()).await? == Reply::Nil {
            return Err(self.busy("another process logs its entries once more"));
        }
        let connection = self.writes.connection(slot);
        let state = self.state(shard, Probe::Look, self.deadline()).await?;
        let epoch = String::from_utf8_lossy(&state.epoch).into_owned();
        let from = self.relog_step(shard, &epoch, "begin", "", &[]).await?.1;
        let before = self.keys.before_digest(shard);
        let pattern = format!("{}*", literally(&before));
        let (mut at, mut logged) = ("0".to_owned(), 0);
        loop {
            let words = [at.as_str(), "MATCH", &pattern, "COUNT", COUNT].map(str::to_owned);
            let (next, keys) = read_scan(&send("SCAN", words.into()).await?)
                .ok_or_else(|| self.busy("SCAN answered something else"))?;
            let digests: Vec<_> = keys
                .iter()
                .filter_map(|key| record::digest(key.strip_prefix(&before)?))
                .collect();
            for chunk in digests.chunks(CHUNK) {
                logged += self.relog_step(shard, &epoch, "more", "", chunk).await?.0;
                sleep(BREATH).await;
            }
            let words = [turn.as_str(), TURN].map(str::to_owned);
            send("PEXPIRE", words.into()).await?;
            if next == "0" {
                break;
            }
            at = next;
        }
        if self.writes.connection(slot) != connection {
            return Err(self.busy("another server has its entries now"));
        }
        self.relog_step(shard, &epoch, "end", &from, &[]).await?;
        send("DEL", vec![turn]).await?;
        Ok(logged)
    }

    /// Whether the shard says that its log has been made whole since.
    async fn is_mended(&self, shard: Shard, gaps: &Gaps) -> Result<bool, StoreError> {
        let args = vec![Value::from(self.keys.meta(shard))];
        let reply = self.writes.send(shard_slot(shard), "GET", args).await;
        let reply = reply.map_err(|failure| failure.into_error(&self.name, Purpose::Read))?;
        let Reply::Text(meta) = reply else {
            return Ok(false);
        };
        Ok(Account::read(&meta).is_ok_and(|account| account.has_mended(gaps)))
    }

    /// One script. Returns how many entries it logged, and at the beginning the id behind which they stand.
    async fn relog_step(
        &self,
        shard: Shard,
        epoch: &str,
        step: &str,
        from: &str,
        digests: &[Digest],
    ) -> Result<(usize, String), StoreError> {
        let least = self.least_horizons();
        let mut words = self.keys.of_script(shard);
        for digest in digests {
            self.keys.add_deny(&mut words, shard, digest);
        }
        words.word(LAYOUT);
        words.number(millis(least.access));
        words.number(millis(least.session));
        words.word(epoch);
        words.word(step);
        words.word(from);
        for digest in digests {
            words.word(digest.hex());
            let known = self.replica.known(shard, digest);
            let ends = known.is_some_and(|(_, life)| !life.is_lasting());
            let marks = [(self.wides.is_known(digest), 1), (ends, 2)];
            let marks = marks.iter().filter(|(holds, _)| *holds);
            words.number(marks.map(|(_, mark)| mark).sum());
        }
        let answer = self.write(shard, &RELOG, &words, self.deadline()).await?;
        let [_, _, logged, rest @ ..] = answer.as_slice() else {
            return Err(self.odd(&answer));
        };
        let logged = logged
            .number()
            .and_then(|logged| usize::try_from(logged).ok());
        let from = rest.first().and_then(Reply::text).unwrap_or_default();
        Ok((logged.ok_or_else(|| self.odd(&answer))?, from.to_owned()))
    }

    fn busy(&self, reason: &str) -> StoreError {
        StoreError::Unreachable {
            store: self.name.clone(),
            source: reason.into(),
        }
    }
}

/// Makes one log whole after the other, until none is due.
async fn relog_all(store: Weak<Inner>) {
    let mut pause = PAUSE;
    loop {
        let Some(inner) = store.upgrade() else {
            return;
        };
        let Some((shard, gaps)) = inner.relogs.first() else {
            inner.relogs.running.store(false, Ordering::Release);
            // One may have become due just now.
            if inner.relogs.first().is_some() && !inner.relogs.running.swap(true, Ordering::AcqRel)
            {
                continue;
            }
            return;
        };
        match inner.relog_now(shard, &gaps).await {
            Ok(entries) => {
                if let Some((_, done)) = &mut inner.relogs.due()[usize::from(shard.number())] {
                    *done = Done(true);
                }
                pause = PAUSE;
                if entries > 0 {
                    tracing::warn!(
                        store = %inner.name, %shard, entries,
                        "the log of a shard did not tell all that was revoked; logged its entries once more"
                    );
                }
                continue;
            }
            Err(error @ StoreError::WriteRefused { .. }) if inner.relogs.may_warn() => {
                tracing::error!(
                    store = %inner.name, %shard, %error,
                    "the log of a shard does not tell all that was revoked, and cannot be made whole: give the \
                     user of the store the rights that docs/redis.md names (+scan); until then checks ask the \
                     store"
                );
            }
            Err(error) => tracing::debug!(%error, %shard, "a log could not be made whole yet"),
        }
        drop(inner);
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Reads what `SCAN` answered: where to go on, and keys.
fn read_scan(reply: &Reply) -> Option<(String, Vec<String>)> {
    let Reply::List(parts) = reply else {
        return None;
    };
    let [next, Reply::List(keys)] = parts.as_slice() else {
        return None;
    };
    // A key that is no text is none of ours.
    let keys = keys.iter().filter_map(Reply::text);
    Some((next.text()?.to_owned(), keys.map(str::to_owned).collect()))
}

/// A text as a pattern that matches it alone.
fn literally(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// How many keys the server looks at in one command, and how many entries one script logs: other clients
/// must not notice. It may breathe after each.
const COUNT: &str = "1000";
const CHUNK: usize = 256;
const BREATH: Duration = Duration::from_millis(5);

/// How long a process may need from one page of keys to the next, ms.
const TURN: &str = "10000";

const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often at most an error says that a log cannot be made whole.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_itself_alone() {
        assert_eq!(literally("jr:{15s}:deny:"), "jr:{15s}:deny:");
        assert_eq!(literally("a*[b]?\\^"), "a\\*\\[b\\]\\?\\\\\\^");
    }

    #[test]
    fn what_scan_answers_is_read() {
        let text = |text: &str| Reply::Text(text.as_bytes().to_vec());
        let keys = Reply::List(vec![text("a"), Reply::Text(vec![0xff]), text("b")]);
        let read = read_scan(&Reply::List(vec![text("17"), keys])).unwrap();
        assert_eq!(
            read,
            ("17".to_owned(), vec!["a".to_owned(), "b".to_owned()])
        );
        assert!(read_scan(&Reply::Nil).is_none());
    }
}
