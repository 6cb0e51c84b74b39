//! Reading the logs of some shards over one connection, and proving how old the copy of them is.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures::future::{join_all, join3};
use tokio::time::{Instant, timeout};

use crate::{
    clock::Timestamp,
    defaults,
    revocation::{Moment, Replica, Shard},
    store::redis::{
        Inner,
        account::{Account, Needed},
        client::{Config, Link, LinkOptions, Probing, Value},
        failure::Failure,
        keys::{Keys, shard_slot},
        log::{self, Bounds, Cursor, Id},
        mend::Missing,
        reply::Reply,
        scripts::STATE,
        shard::{Probe, ShardState},
    },
};

/// Shards that are read in one command over one connection.
pub(super) struct Source {
    link: Link,
    keys: Keys,
    replica: Arc<Replica>,
    shards: Vec<Shard>,
    logs: Vec<String>,
    slot: u16,
    /// Of each shard, whether the marks said before the last read that it has its data.
    calm: Vec<bool>,
    /// Of each shard, whether its log was found not to reach back far enough.
    short: Vec<bool>,
    /// What was found at the last probe, and when.
    probed: Option<(Instant, Bounds)>,
    patience: Duration,
}

/// Why a source is not followed any more.
pub(super) enum End {
    /// The store's last handle has been dropped.
    Gone,
    Failed(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Source {
    pub(super) fn new(inner: &Inner, config: &Config, shards: &[Shard]) -> Result<Self, String> {
        let slot = shards.first().map_or(0, |shard| shard_slot(*shard));
        let mut config = config.clone();
        if inner.cluster {
            // One connection, to the server that has the slot: a client of the whole Cluster would keep
            // one to every server. Where it is, the writes know, which look after every shard.
            let server = inner
                .writes
                .server_of(slot)
                .ok_or("no server has the slot")?;
            config = config.of_server(server);
        }
        let patience = inner.settings.write_timeout.min(LONGEST_PATIENCE);
        let options = LinkOptions {
            timeout: patience,
            connect_timeout: inner.settings.connect_timeout.min(defaults::WRITE_TIMEOUT),
            attempts: 1,
            // A read that waits would delay the echo; one that fails gives up the connection.
            probing: Probing::Never,
        };
        Ok(Self {
            link: Link::start(config, options),
            keys: inner.keys.clone(),
            replica: Arc::clone(&inner.replica),
            shards: shards.to_vec(),
            logs: shards.iter().map(|shard| inner.keys.log(*shard)).collect(),
            slot,
            calm: vec![false; shards.len()],
            short: vec![false; shards.len()],
            probed: None,
            patience,
        })
    }

    /// Reads on until something fails. Then the connection is given up: a read that timed out may still
    /// block it, and where it leads may not be a primary any more.
    pub(super) async fn follow(&mut self, store: &Weak<Inner>, cursors: &mut [Cursor]) -> End {
        let bound = defaults::WRITE_TIMEOUT;
        match timeout(bound, self.link.connected()).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => return failure.into(),
            Err(_) => return Failure::TimedOut(bound).into(),
        }
        cursors.iter_mut().for_each(Cursor::reconnected);
        loop {
            let step = match self.step(store, cursors).await {
                Ok(step) => step,
                Err(end) => return end,
            };
            if step == Step::ReadOn {
                continue;
            }
            // A moment's wait for news. An answer may tell of one log only, so it proves nothing of the
            // others: the next step asks for all.
            let wait = self.replica.interval();
            let news = match self.read(cursors, Some(wait)).await {
                Ok(news) => news,
                Err(failure) => return failure.into(),
            };
            if let Err(end) = self.take_in(store, cursors, news) {
                return end;
            }
        }
    }

    /// Probes if it is time, reads what there is, and publishes what that proves.
    async fn step(&mut self, store: &Weak<Inner>, cursors: &mut [Cursor]) -> Result<Step, End> {
        let due = Instant::now() - defaults::PROBE_INTERVAL;
        if self.probed.is_none_or(|(at, _)| at <= due) {
            self.probe(store, cursors).await?;
        }
        for (shard, cursor) in self.shards.iter().zip(&mut *cursors) {
            // A copy that was given more than it has room for is read anew once there is.
            if self.replica.retry(*shard) {
                *cursor = Cursor::start();
            }
        }
        if cursors.iter().any(|cursor| !cursor.has_lasting) {
            self.read_lasting(store, cursors).await?;
        }
        let sent = Moment::now();
        // In this order on one connection. What the shard says before: the log must tell that much. The same
        // epoch afterwards: what was read was of it, and all of it. No healing before: nothing was missing
        // that was put back later.
        let (accounts, read, marks) = (self.accounts(), self.read(cursors, None), self.marks());
        let (accounts, news, marks) = join3(accounts, read, marks).await;
        let (accounts, news, marks) = (accounts?, news?, marks?);
        let mut full = vec![false; self.shards.len()];
        for (index, entries) in &news {
            full[*index] = entries.len() >= self.page();
        }
        let whole = self.take_in(store, cursors, news)?;
        let inner = store.upgrade().ok_or(End::Gone)?;
        let mut step = Step::Wait;
        for (index, shard) in self.shards.iter().enumerate() {
            let (epoch, healing) = &marks[index];
            let cursor = &mut cursors[index];
            self.replica.hear(*shard);
            // Where data was lost and may not be back, what is not there proves nothing.
            let calm = inner.notice(*shard, epoch.as_deref()) && !healing;
            let was_calm = std::mem::replace(&mut self.calm[index], calm);
            if epoch.as_ref().is_some_and(|epoch| !cursor.is_of(epoch)) {
                // Another log, though it has the same name.
                *cursor = Cursor::start();
                step = Step::ReadOn;
            } else if full[index] || !whole[index] {
                step = Step::ReadOn;
            } else if let Some(account) = self.judged(&inner, *shard, &accounts[index]) {
                cursor.reaches_back(self.short[index]);
                let whole = cursor.drained(&account, &self.needed());
                if whole {
                    inner.is_logged(*shard);
                } else {
                    inner.relog(*shard, cursor.gaps());
                }
                let partial = !whole || cursor.is_short();
                self.replica.set_partial(*shard, partial);
                if was_calm && calm && !partial {
                    self.replica.publish(*shard, sent);
                }
            }
        }
        Ok(step)
    }

    /// What a shard says of itself, if it says so in our layout.
    fn judged(&self, inner: &Inner, shard: Shard, meta: &Reply) -> Option<Account> {
        let Reply::Text(meta) = meta else {
            // Lost, or of another type: the next probe makes it.
            return None;
        };
        match Account::read(meta) {
            Ok(account) => {
                inner.layouts.is_ours(shard);
                Some(account)
            }
            Err(found) => {
                inner.found_layout(shard, &found);
                None
            }
        }
    }

    /// From when on tokens need what the logs tell.
    fn needed(&self) -> Needed {
        let needed = self.probed.map(|(_, Bounds { now, horizons })| Needed {
            log: now.saturating_sub(horizons.access),
            lasting: now.saturating_sub(horizons.session),
        });
        needed.unwrap_or(Needed {
            log: Timestamp::EPOCH,
            lasting: Timestamp::EPOCH,
        })
    }

    /// What each shard says of itself.
    async fn accounts(&self) -> Result<Vec<Reply>, Failure> {
        let keys = self.shards.iter().map(|shard| self.keys.meta(*shard));
        let keys = keys.map(Value::from).collect();
        match self.send("MGET", keys, self.patience).await? {
            Reply::List(values) if values.len() == self.shards.len() => Ok(values),
            other => Err(Failure::odd(format!("MGET answered {other:?}"))),
        }
    }

    /// Has every shard written to, which only a primary that has its replicas accepts, and compares
    /// what it says with what was read.
    async fn probe(&mut self, store: &Weak<Inner>, cursors: &mut [Cursor]) -> Result<(), End> {
        let inner = store.upgrade().ok_or(End::Gone)?;
        // Before: an id is only found mended that the log need not tell any more.
        let mended: Vec<_> = self.accounts().await?.iter().map(mended).collect();
        let states = self.shards.iter().map(|shard| self.state(&inner, *shard));
        let answers = join_all(states).await;
        let mut bounds: Option<Bounds> = None;
        for (index, answer) in answers.into_iter().enumerate() {
            let (shard, cursor) = (&self.shards[index], &mut cursors[index]);
            let answer = match inner.accepted(*shard, answer?) {
                Ok(answer) => answer,
                // A new version has migrated it. The other shards are followed until it has them too.
                Err(_) if inner.check_layout(*shard).is_err() => continue,
                Err(error) => return Err(Failure::odd(error.to_string()).into()),
            };
            let state = ShardState::read(&answer)
                .ok_or_else(|| Failure::odd(format!("a script answered {answer:?}")))?;
            inner.showed(*shard, &state);
            inner.learn(*shard, &state);
            self.short[index] = state.is_log_short();
            inner.notice(*shard, Some(&state.epoch));
            if !cursor.is_of(&state.epoch) {
                // Another log, though it has the same name. It is healed by whoever notices the epoch.
                *cursor = Cursor::start();
            } else if !cursor.fits(state.tip, mended[index]) {
                // First, since nothing else would tell it again.
                inner.mend(*shard, Missing::Lost);
                *cursor = Cursor::start();
                tracing::warn!(%shard, "a log has lost entries that were read; it is read anew");
            }
            let horizons = state.horizons;
            // What the server's clock shows, which is what entries expire by: instants may be ahead of it.
            let now = state.shown();
            bounds = Some(bounds.map_or(Bounds { now, horizons }, |bounds| Bounds {
                now: bounds.now.min(now),
                horizons: bounds.horizons.max(horizons),
            }));
        }
        if let Some(bounds) = bounds {
            self.probed = Some((Instant::now(), bounds));
        }
        Ok(())
    }

    async fn state(&self, inner: &Inner, shard: Shard) -> Result<Vec<Reply>, Failure> {
        let ask = async |probe| {
            let words = inner.state_words(shard, probe);
            let words = words.map_err(|error| Failure::odd(error.to_string()))?;
            let slot = shard_slot(shard);
            let deadline = Instant::now() + self.patience;
            self.link
                .run(slot, &STATE, &words, self.patience, deadline)
                .await
        };
        match ask(Probe::Write).await {
            // A primary all the same.
            Err(failure) if failure.is_full() => ask(Probe::Look).await,
            answer => answer,
        }
    }

    /// The epoch of each shard, and whether it is healing.
    async fn marks(&self) -> Result<Vec<(Option<Vec<u8>>, bool)>, Failure> {
        let keys: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| [self.keys.epoch(*shard), self.keys.healing(*shard)])
            .map(Value::from)
            .collect();
        let expected = keys.len();
        match self.send("MGET", keys, self.patience).await? {
            Reply::List(values) if values.len() == expected => {
                let marks = values.chunks_exact(2).map(|pair| {
                    let epoch = match &pair[0] {
                        Reply::Text(epoch) => Some(epoch.clone()),
                        _ => None,
                    };
                    (epoch, pair[1] != Reply::Nil)
                });
                Ok(marks.collect())
            }
            other => Err(Failure::odd(format!("MGET answered {other:?}"))),
        }
    }

    /// How many entries of each log are read at a time.
    fn page(&self) -> usize {
        PAGE / self.shards.len().max(1)
    }

    /// Reads a page of each log behind its cursor, and waits for the first entry if there is none.
    async fn read(&self, cursors: &[Cursor], wait: Option<Duration>) -> Result<News, Failure> {
        let mut args = vec![Value::from("COUNT"), Value::from(self.page().to_string())];
        if let Some(wait) = wait {
            let millis = wait.as_millis().max(1).to_string();
            args.extend([Value::from("BLOCK"), Value::from(millis)]);
        }
        args.push(Value::from("STREAMS"));
        args.extend(self.logs.iter().map(|log| Value::from(log.as_str())));
        args.extend(
            cursors
                .iter()
                .map(|cursor| Value::from(cursor.last().to_string())),
        );
        let bound = self.patience.saturating_add(wait.unwrap_or_default());
        let reply = self.send("XREAD", args, bound).await?;
        log::read(reply, &self.logs).ok_or_else(log::odd)
    }

    /// Reads the entries that outlive the log, of the shards whose logs are read from their beginnings.
    async fn read_lasting(&self, store: &Weak<Inner>, cursors: &mut [Cursor]) -> Result<(), End> {
        let Some((_, bounds)) = self.probed else {
            return Ok(());
        };
        // Before: the streams must tell that much.
        let accounts = self.accounts().await?;
        for (index, shard) in self.shards.iter().enumerate() {
            if cursors[index].has_lasting {
                continue;
            }
            let key = self.keys.lasting(*shard);
            let (mut last, mut missing) = (Id::default(), None);
            let keep = |entry: log::Logged| {
                let before = entry.before();
                missing = missing.max(before.filter(|before| *before > last));
                last = entry.id();
                if let Some((digest, cutoff, life)) = entry.known(&bounds) {
                    self.replica.keep(*shard, digest, cutoff, life);
                    if let Some(inner) = store.upgrade().filter(|_| entry.is_wide()) {
                        inner.wides.heard(digest, cutoff, life);
                    }
                }
            };
            let read = log::read_whole(&self.link, self.slot, key, PAGE, self.patience, keep).await;
            match read {
                Ok(()) => {}
                // A key of another type in its place has none of them.
                Err(failure) if failure.is_wrong_type() => {}
                Err(failure) => return Err(failure.into()),
            }
            if let Reply::Text(meta) = &accounts[index]
                && let Ok(account) = Account::read(meta)
            {
                missing = missing.max(Some(account.lasting).filter(|end| *end > last));
            }
            cursors[index].read_lasting(missing);
        }
        Ok(())
    }

    /// Takes what was read into the copy. Tells of each shard whether it was read without a gap; where
    /// there was one, it is read from its beginning and the store is mended.
    fn take_in(
        &self,
        store: &Weak<Inner>,
        cursors: &mut [Cursor],
        news: News,
    ) -> Result<Vec<bool>, End> {
        let mut whole = vec![true; self.shards.len()];
        let Some((_, bounds)) = self.probed else {
            return Ok(whole);
        };
        if news.is_empty() {
            return Ok(whole);
        }
        let inner = store.upgrade().ok_or(End::Gone)?;
        for (index, entries) in news {
            let shard = self.shards[index];
            for entry in entries {
                if !cursors[index].advance(&entry) {
                    let missing = if cursors[index].is_ahead_of(&entry) {
                        Missing::Lost
                    } else {
                        Missing::Perhaps
                    };
                    whole[index] = false;
                    cursors[index] = Cursor::start();
                    inner.mend(shard, missing);
                    tracing::warn!(%shard, "the log has a gap; it is read anew");
                    break;
                }
                match entry.known(&bounds) {
                    Some((digest, cutoff, life)) => {
                        self.replica.keep(shard, digest, cutoff, life);
                        inner.measure(&cursors[index], &entry);
                        if entry.is_wide() {
                            inner.wides.heard(digest, cutoff, life);
                        }
                    }
                    None => {
                        tracing::warn!(%shard, "the log holds an entry that no script of ours writes");
                    }
                }
            }
        }
        Ok(whole)
    }

    async fn send(
        &self,
        command: &'static str,
        args: Vec<Value>,
        bound: Duration,
    ) -> Result<Reply, Failure> {
        self.link.send_within(self.slot, command, args, bound).await
    }
}

/// Up to where the log of a shard was made whole, as its `meta` says.
fn mended(meta: &Reply) -> Id {
    let account = match meta {
        Reply::Text(meta) => Account::read(meta).ok(),
        _ => None,
    };
    account.unwrap_or_default().mended
}

/// What a step leaves to do.
#[derive(PartialEq, Eq)]
enum Step {
    /// There is more to read.
    ReadOn,
    /// All has been read.
    Wait,
}

/// What was read of each shard that has news, by its index.
type News = Vec<(usize, Vec<log::Logged>)>;

/// How many entries are read at a time, of all logs of a source together. Ten times as many take longer to load,
/// and more memory, which stays with the process.
const PAGE: usize = 1_600;

/// How long an answer is waited for, however long writes may take.
const LONGEST_PATIENCE: Duration = defaults::WRITE_TIMEOUT;
