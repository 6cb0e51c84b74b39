//! The state of a shard: whether it has its data, and what its clock shows.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::rand;
use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    clock::{Timestamp, millis},
    defaults,
    revocation::{Horizons, SHARDS, Shard},
    store::{
        StoreError,
        redis::{
            Inner, keys::LAYOUT, log::Id, reply::Reply, revoke::fallback_horizons, scripts::STATE,
            words::Words,
        },
    },
};

/// What the server says of a shard.
#[derive(Debug)]
pub(super) struct ShardState {
    /// Whether it was new, or had lost its data, and was given an epoch just now.
    pub(super) created: bool,
    pub(super) epoch: Vec<u8>,
    /// How long it answers "unknown".
    pub(super) healing: Duration,
    /// The date that was asked for, or the instant of a cutoff that is written now.
    pub(super) now: Timestamp,
    /// How long until the server's clock shows that.
    pub(super) ahead: Duration,
    /// The last id that its log gave out.
    pub(super) tip: Id,
    pub(super) horizons: Horizons,
    /// The same, if they have been stated.
    pub(super) stated: Option<Horizons>,
    /// The latest instant up to which its log may have been trimmed.
    pub(super) trimmed: Timestamp,
}

/// Why a shard is asked for its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// To see.
    Look,
    /// To see that it can be written.
    Write,
    /// To date a session by its instant, which is kept.
    Date,
}

/// Instants of the server.
#[derive(Default)]
pub(super) struct Clocks {
    /// The latest of each shard that dates a session or a cutoff of this process, in milliseconds. A shard
    /// that lost it in a failover is given it again. What a probe saw is not among them: it may come from a
    /// clock that is put right a moment later.
    pub(super) used: [AtomicU64; SHARDS as usize],
    /// The server's clock less ours, in milliseconds.
    pub(super) offset: AtomicI64,
    /// When the log last told that a shard's dates are ahead of its clock, in milliseconds since 1970.
    pub(super) warned: AtomicU64,
    /// What the clock of each shard's server showed last.
    pub(super) shown: [Mutex<Shown>; SHARDS as usize],
}

/// What the clock of a server showed last, and when that was heard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    heard: Option<(Timestamp, Instant)>,
    /// Whether it did not answer when it was asked last.
    silent: bool,
}

impl Shown {
    /// An instant that the clock of the shard's server is not behind at `now`, whether that server is still
    /// the one that was heard or a replica in its place: that clocks run as they should, but for
    /// [`CLOCK_SKEW`](defaults::CLOCK_SKEW), is asked of hosts any way. `None` if nothing was ever heard.
    fn at_least(&self, now: Instant) -> Option<Timestamp> {
        let (shown, at) = self.heard?;
        let elapsed = now.saturating_duration_since(at);
        let slow = elapsed / DRIFT + defaults::CLOCK_SKEW;
        Some(shown.saturating_add(elapsed).saturating_sub(slow))
    }
}

impl ShardState {
    /// What the server's clock showed.
    pub(super) fn shown(&self) -> Timestamp {
        self.now.saturating_sub(self.ahead)
    }

    /// Reads the answer of `state.lua`; `None` if it is another.
    pub(super) fn read(answer: &[Reply]) -> Option<Self> {
        let [
            word,
            Reply::Text(epoch),
            healing,
            now,
            ahead,
            tip,
            access,
            session,
            trimmed,
        ] = answer
        else {
            return None;
        };
        let fallback = fallback_horizons();
        let stated = |reply: &Reply| {
            let millis = reply.number().filter(|millis| *millis > 0);
            millis.map(Duration::from_millis)
        };
        let horizon = |reply: &Reply, fallback| stated(reply).unwrap_or(fallback);
        Some(Self {
            created: word.text() == Some("created"),
            epoch: epoch.clone(),
            healing: Duration::from_millis(healing.number()?),
            now: Timestamp::from_millis(now.number()?),
            ahead: Duration::from_millis(ahead.number()?),
            tip: Id::read(tip.text()?),
            horizons: Horizons::from_parts(
                horizon(access, fallback.access),
                horizon(session, fallback.session),
            ),
            stated: stated(access)
                .zip(stated(session))
                .map(|(access, session)| Horizons::from_parts(access, session)),
            trimmed: Timestamp::from_millis(trimmed.number()?),
        })
    }

    /// Whether entries may be missing from the log that tokens still need: it was trimmed when the access
    /// horizon was shorter, or by a clock that was wrong.
    pub(super) fn is_log_short(&self) -> bool {
        let needed = self.shown().saturating_sub(self.horizons.access);
        self.trimmed > needed.saturating_add(defaults::HORIZON_MARGIN / 2)
    }
}

impl Inner {
    /// Makes sure that a shard is there, and tells how it is.
    pub(super) async fn state(
        self: &Arc<Self>,
        shard: Shard,
        probe: Probe,
        deadline: Instant,
    ) -> Result<ShardState, StoreError> {
        let words = self.state_words(shard, probe)?;
        let answer = self.write(shard, &STATE, &words, deadline).await;
        if let Err(StoreError::TimedOut { .. } | StoreError::Unreachable { .. }) = &answer {
            self.shown(shard).silent = true;
        }
        let answer = answer?;
        let state = ShardState::read(&answer).ok_or_else(|| self.odd(&answer))?;
        self.showed(shard, &state);
        self.learn(shard, &state);
        Ok(state)
    }

    /// Takes note of the server's clock, and of the horizons that any process has stated: whichever process
    /// makes a shard again that lost its data states them there.
    pub(super) fn learn(&self, shard: Shard, state: &ShardState) {
        let offset = self.offset_of(state.shown());
        self.clocks.offset.store(offset, Ordering::Relaxed);
        self.warn_of_dates_ahead(shard, state);
        if let Some(stated) = state.stated {
            self.healing.require(stated);
        }
    }

    /// The keys and arguments of `state.lua`.
    pub(super) fn state_words(&self, shard: Shard, probe: Probe) -> Result<Words, StoreError> {
        let required = self.healing.required();
        let access = required.map_or(0, |horizons| millis(horizons.access));
        let session = required.map_or(0, |horizons| millis(horizons.session));
        let word = match probe {
            Probe::Look => "look",
            Probe::Write => "write",
            Probe::Date => "date",
        };
        let mut words = self.keys.of_script(shard);
        words.word(LAYOUT);
        words.number(access);
        words.number(session);
        words.word(self.random_epoch()?);
        words.number(millis(self.settings.healing));
        words.word(word);
        let used = &self.clocks.used[usize::from(shard.number())];
        words.number(used.load(Ordering::Relaxed));
        words.number(self.latest_date().as_millis());
        Ok(words)
    }

    /// The states of all shards, in order.
    pub(super) async fn states(
        self: &Arc<Self>,
        probe: Probe,
        deadline: Instant,
    ) -> Result<Vec<(Shard, ShardState)>, StoreError> {
        let states = Shard::all().map(|shard| async move {
            let state = self.state(shard, probe, deadline).await?;
            Ok((shard, state))
        });
        join_all(states).await.into_iter().collect()
    }

    /// The date of a session that begins now. The server keeps it: no cutoff that is written later falls
    /// short of it. One so far ahead that its tokens are refused is an error, and not kept.
    pub(super) async fn now(self: &Arc<Self>, shard: Shard) -> Result<Timestamp, StoreError> {
        self.is_started()?;
        let state = self.state(shard, Probe::Date, self.deadline()).await?;
        self.notice(shard, Some(&state.epoch));
        if state.now > self.latest_date() {
            let ahead = self.offset_of(state.now).unsigned_abs() / 1_000;
            return Err(StoreError::Clock {
                store: self.name.clone(),
                reason: format!(
                    "it is {ahead} s ahead of the clock of this host, so a token that it dates would be \
                     refused until then: synchronise both with NTP"
                ),
            });
        }
        self.used(shard, state.now);
        // The instant after a cutoff of this very millisecond: it is waited for, or a shard that is
        // busy would run ahead of its server.
        sleep(state.ahead.min(LONGEST_WAIT)).await;
        Ok(state.now)
    }

    /// The earliest of the servers' clocks. A cutoff is never behind its server's clock, so
    /// whatever is revoked after this returned has a cutoff at this instant or later; and since the
    /// millisecond in which the clocks were read is waited out, nothing before has.
    ///
    /// In a Cluster a login must not wait for nodes that have nothing to do with it. Of a clock that does not
    /// answer in a moment counts what it must show by now, and some seconds less: an instant that is too
    /// early can only refuse a login that began right after a revocation.
    pub(super) async fn earliest_now(self: &Arc<Self>) -> Result<Timestamp, StoreError> {
        self.is_started()?;
        let earliest = if self.cluster {
            let asked = Shard::all().map(|shard| self.earliest_of(shard));
            let earliest: Result<Vec<_>, _> = join_all(asked).await.into_iter().collect();
            earliest?.into_iter().min().unwrap_or_default()
        } else {
            let state = self.state(Shard::FIRST, Probe::Look, self.deadline());
            state.await?.shown()
        };
        let tick = Duration::from_millis(1);
        sleep(tick).await;
        Ok(earliest.saturating_add(tick))
    }

    /// An instant that the clock of a shard's server was not behind when this was called.
    async fn earliest_of(self: &Arc<Self>, shard: Shard) -> Result<Timestamp, StoreError> {
        let (begun, deadline) = (Instant::now(), self.deadline());
        let known = *self.shown(shard);
        let Some(estimated) = known.at_least(begun) else {
            return Ok(self.state(shard, Probe::Look, deadline).await?.shown());
        };
        // One that was silent a moment ago is asked again each second, and not by each login.
        if known.silent {
            return Ok(estimated);
        }
        let bound = LONGEST_QUESTION.min(self.settings.write_timeout);
        match timeout(bound, self.state(shard, Probe::Look, deadline)).await {
            Ok(Ok(state)) => Ok(state.shown()),
            Ok(Err(StoreError::TimedOut { .. } | StoreError::Unreachable { .. })) => Ok(estimated),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.shown(shard).silent = true;
                Ok(estimated)
            }
        }
    }

    fn shown(&self, shard: Shard) -> MutexGuard<'_, Shown> {
        let shown = &self.clocks.shown[usize::from(shard.number())];
        shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what the clock of a shard's server showed before now.
    pub(super) fn showed(&self, shard: Shard, state: &ShardState) {
        *self.shown(shard) = Shown {
            heard: Some((state.shown(), Instant::now())),
            silent: false,
        };
    }

    /// States horizons in every shard, and remembers them for shards that lose their data. Returns those
    /// that all shards have.
    pub(super) async fn require(
        self: &Arc<Self>,
        horizons: Horizons,
    ) -> Result<Horizons, StoreError> {
        self.is_started()?;
        let longest = defaults::LONGEST_HORIZON;
        self.healing.require(Horizons::from_parts(
            horizons.access.min(longest),
            horizons.session.min(longest),
        ));
        // Where they are stated already nothing is written: a process that comes up while the server
        // refuses writes can check tokens all the same.
        let mut in_force: Option<Horizons> = None;
        for (shard, state) in self.states(Probe::Look, self.deadline()).await? {
            self.notice(shard, Some(&state.epoch));
            let all = in_force.map_or(state.horizons, |held| held.min(state.horizons));
            in_force = Some(all);
        }
        Ok(in_force.unwrap_or(horizons))
    }

    /// The latest date of a token that this host accepts now.
    fn latest_date(&self) -> Timestamp {
        let ours = self.settings.clock.now();
        ours.saturating_add(defaults::CLOCK_SKEW)
    }

    /// Takes note of an instant that dates a session or a cutoff, and returns the latest of them.
    pub(super) fn used(&self, shard: Shard, at: Timestamp) -> Timestamp {
        let used = &self.clocks.used[usize::from(shard.number())];
        let before = used.fetch_max(at.as_millis(), Ordering::Relaxed);
        at.max(Timestamp::from_millis(before))
    }

    /// Tells the operator, once a minute, of a shard whose log or sessions were dated by a clock that was
    /// ahead. It is no reason to be out of service: only logins after a cutoff of that shard are delayed.
    fn warn_of_dates_ahead(&self, shard: Shard, state: &ShardState) {
        if state.ahead <= defaults::HORIZON_MARGIN / 2 {
            return;
        }
        let now = state.shown().as_millis();
        let warned = self.clocks.warned.load(Ordering::Relaxed);
        let is_due = now.abs_diff(warned) >= millis(defaults::PURGE_INTERVAL);
        let order = Ordering::Relaxed;
        if is_due
            && self
                .clocks
                .warned
                .compare_exchange(warned, now, order, order)
                .is_ok()
        {
            tracing::warn!(
                store = %self.name, %shard, ahead_s = state.ahead.as_secs(),
                "the server's clock was ahead when this shard was written: until its clock gets there, users \
                 of the shard who log out everywhere cannot log in; \"Clocks\" in docs/redis.md says how to \
                 put the shard right at once"
            );
        }
    }

    /// This instant of the server less what our clock shows, in milliseconds.
    fn offset_of(&self, now: Timestamp) -> i64 {
        let ours = self.settings.clock.now().as_millis();
        let offset = i128::from(now.as_millis()) - i128::from(ours);
        let offset = offset.clamp(i64::MIN.into(), i64::MAX.into());
        i64::try_from(offset).unwrap_or(i64::MAX)
    }

    /// What the server's clock shows, as far as is known here.
    pub(super) fn server_clock(&self) -> Timestamp {
        let offset = self.clocks.offset.load(Ordering::Relaxed);
        let ours = self.settings.clock.now().as_millis();
        Timestamp::from_millis(ours.saturating_add_signed(offset))
    }

    /// An error if a shard's clock and ours have come apart so far that entries could expire
    /// before their tokens. Lookups go on: which of the two is wrong, nobody here knows.
    pub(super) fn check_clock(&self, state: &ShardState) -> Result<(), StoreError> {
        let offset = self.offset_of(state.shown());
        let most = defaults::HORIZON_MARGIN / 2;
        if Duration::from_millis(offset.unsigned_abs()) <= most {
            return Ok(());
        }
        let side = if offset > 0 { "ahead of" } else { "behind" };
        Err(StoreError::Clock {
            store: self.name.clone(),
            reason: format!(
                "it is {} s {side} the clock of this host, and at most {} s are safe: \
                 synchronise both with NTP",
                offset.unsigned_abs() / 1000,
                most.as_secs()
            ),
        })
    }

    fn random_epoch(&self) -> Result<String, StoreError> {
        let mut bytes = [0; 16];
        rand::fill(&mut bytes).map_err(|_| StoreError::Failed {
            store: self.name.clone(),
            reason: "the system has no random numbers".to_owned(),
        })?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// How long a date ahead of the server's clock is waited for at most. `state.lua` knows it too.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// How long a login waits for the clocks of shards that it has nothing else to do with.
const LONGEST_QUESTION: Duration = Duration::from_millis(500);

/// A clock that runs by itself loses less than a part in so many.
const DRIFT: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r63_a_clock_that_does_not_answer_counts_as_earlier_than_it_can_be() {
        let now = Instant::now();
        assert_eq!(Shown::default().at_least(now), None);
        let heard = Timestamp::from_millis(1_000_000);
        let shown = Shown {
            heard: Some((heard, now)),
            silent: true,
        };
        let at = |seconds| {
            let instant = shown.at_least(now + Duration::from_secs(seconds)).unwrap();
            instant.as_millis()
        };
        assert_eq!(at(0), 1_000_000 - 5_000);
        assert_eq!(at(10), 1_000_000 + 10_000 - 5_000 - 10);
        assert_eq!(at(10_000), 1_000_000 + 10_000_000 - 5_000 - 10_000);
    }
}
