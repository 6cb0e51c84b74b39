//! The state of a shard: whether it has its data, and what its clock shows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::rand;
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use crate::{
    clock::{Timestamp, millis},
    defaults,
    revocation::{Horizons, SHARDS, Shard},
    store::{
        StoreError,
        redis::{
            Inner, keys::LAYOUT, reply::Reply, revoke::fallback_horizons, scripts::STATE,
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
    pub(super) now: Timestamp,
    /// How long until the server's clock shows that.
    pub(super) ahead: Duration,
    /// The last id that its log gave out.
    pub(super) tip: String,
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
    /// To see that it can be written, and to have its instant kept.
    Write,
}

/// What the server's clock has shown.
pub(super) struct Clocks {
    /// The latest instant of each shard, in milliseconds.
    pub(super) seen: [AtomicU64; SHARDS as usize],
    /// The server's clock less ours, in milliseconds.
    pub(super) offset: AtomicI64,
}

impl ShardState {
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
            tip: tip.text()?.to_owned(),
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
        let shown = self.now.saturating_sub(self.ahead);
        let needed = shown.saturating_sub(self.horizons.access);
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
        let answer = self.write(shard, &STATE, &words, deadline).await?;
        let state = ShardState::read(&answer).ok_or_else(|| self.odd(&answer))?;
        // What the server said, not what was seen meanwhile: that it has not promised to keep.
        self.saw(shard, state.now);
        self.learn(&state);
        Ok(state)
    }

    /// Remembers the horizons that any process has stated: a shard that loses its data is told them again
    /// by whoever makes it.
    pub(super) fn learn(&self, state: &ShardState) {
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
        };
        let mut words = self.keys.of_script(shard);
        words.word(LAYOUT);
        words.number(access);
        words.number(session);
        words.word(self.random_epoch()?);
        words.number(millis(self.settings.healing));
        words.word(word);
        let seen = &self.clocks.seen[usize::from(shard.number())];
        words.number(seen.load(Ordering::Relaxed));
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

    /// The instant of a shard, which no process sees run back. It may be the birth of a session, so
    /// the server keeps it: no cutoff that is written later falls short of it.
    pub(super) async fn now(self: &Arc<Self>, shard: Shard) -> Result<Timestamp, StoreError> {
        self.is_started()?;
        let state = self.state(shard, Probe::Write, self.deadline()).await?;
        self.notice(shard, Some(&state.epoch));
        // The instant after a cutoff of this very millisecond: it is waited for, or a shard that is
        // busy would run ahead of its server. One whose server was set back is ahead anyway.
        if state.ahead <= LONGEST_WAIT {
            sleep(state.ahead).await;
        }
        Ok(state.now)
    }

    /// The earliest of the servers' clocks. What a shard dates is never behind its server's clock, so
    /// whatever is revoked after this returned has a cutoff at this instant or later; and since the
    /// millisecond in which the clocks were read is waited out, nothing before has.
    pub(super) async fn earliest_now(self: &Arc<Self>) -> Result<Timestamp, StoreError> {
        self.is_started()?;
        let deadline = self.deadline();
        let shown = |state: &ShardState| state.now.saturating_sub(state.ahead);
        let earliest = if self.cluster {
            let states = self.states(Probe::Look, deadline).await?;
            states
                .iter()
                .map(|(_, state)| shown(state))
                .min()
                .unwrap_or_default()
        } else {
            shown(&self.state(Shard::FIRST, Probe::Look, deadline).await?)
        };
        let tick = Duration::from_millis(1);
        sleep(tick).await;
        Ok(earliest.saturating_add(tick))
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

    /// Takes note of an instant of the server's clock, and returns the latest that was seen.
    pub(super) fn saw(&self, shard: Shard, now: Timestamp) -> Timestamp {
        let offset = self.offset_of(now);
        self.clocks.offset.store(offset, Ordering::Relaxed);
        let seen = &self.clocks.seen[usize::from(shard.number())];
        let before = seen.fetch_max(now.as_millis(), Ordering::Relaxed);
        now.max(Timestamp::from_millis(before))
    }

    /// This instant less what our clock shows, in milliseconds.
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
        let offset = self.offset_of(state.now);
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

/// How far ahead of its server's clock an instant may be that is waited for.
const LONGEST_WAIT: Duration = Duration::from_millis(20);
