//! Coming up: is it the right kind of server, and are its shards whole?

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use futures::future::{join, join_all};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    Report, defaults,
    revocation::{Cutoffs, Shard},
    store::{
        RedisStore, StoreError, WriteRefusal,
        redis::{
            Inner,
            client::{Command, Value},
            failure::{Failure, Purpose},
            keys::shard_slot,
            shard::Probe,
            tasks::spawn_until_done,
        },
    },
};

/// Connects, checks the server, and waits until its shards are whole.
pub(super) async fn connect(store: RedisStore) -> Result<RedisStore, StoreError> {
    let inner = &store.0;
    let bound = inner.settings.connect_timeout;
    let mut last = None;
    let started = async {
        loop {
            match inner.start().await {
                Err(error) if is_transient(&error) => {
                    if last.is_none() {
                        let reason = Report(&error).quoted();
                        tracing::info!(?bound, %reason, "waiting for the store to be reached");
                    }
                    last = Some(error);
                }
                result => return result,
            }
            sleep(RETRY).await;
        }
    };
    let started = timeout(bound, started).await.unwrap_or_else(|_| {
        Err(last.unwrap_or(StoreError::TimedOut {
            store: inner.name.clone(),
            bound,
        }))
    });
    started.map_err(|error| inner.cannot_open(error))?;
    let whole = timeout(bound + inner.settings.healing, inner.until_whole()).await;
    whole
        .unwrap_or_else(|_| {
            Err(StoreError::TimedOut {
                store: inner.name.clone(),
                bound,
            })
        })
        .map_err(|error| inner.cannot_open(error))?;
    // Checks would ask the server until then.
    let fresh = timeout(bound, inner.until_fresh()).await;
    if fresh.is_err() {
        tracing::warn!(store = %inner.name, "its log could not be read yet: checks ask the store");
    }
    watch(Arc::downgrade(inner));
    Ok(store)
}

/// Comes up not ready.
pub(super) fn connect_lazily(store: RedisStore) -> RedisStore {
    watch(Arc::downgrade(&store.0));
    store
}

/// Looks after the store until its last handle is gone: starts it if it was not reachable, and heals
/// shards that lost their data even while nobody asks.
fn watch(store: Weak<Inner>) {
    spawn_until_done(move || look_after(Weak::clone(&store)));
}

async fn look_after(store: Weak<Inner>) {
    let mut told = String::new();
    let mut turn = 0_u32;
    loop {
        let pause = match store.upgrade() {
            None => return,
            Some(inner) if inner.started.load(Ordering::Acquire) => {
                let (looked_after, ()) = join(inner.heal_all(), inner.prove_primaries()).await;
                inner.complete_wides().await;
                turn = turn.wrapping_add(1);
                let looked_after = match looked_after {
                    // What is found there is warned of there.
                    Ok(()) if turn.is_multiple_of(POLICY_TURNS) => inner.look_at_policies().await,
                    other => other,
                };
                if let Err(error) = looked_after {
                    tracing::debug!(%error, "the store could not be looked after");
                }
                defaults::PROBE_INTERVAL
            }
            Some(inner) => match inner.start().await {
                Ok(()) => Duration::ZERO,
                Err(error) => {
                    // Said once, not with every attempt.
                    let reason = inner.cannot_open(error).to_string();
                    if reason != told {
                        tracing::warn!("the store is not ready: {reason}");
                        told = reason;
                    }
                    RETRY * 4
                }
            },
        };
        sleep(pause).await;
    }
}

impl Inner {
    /// Checks the servers, and gives every shard its epoch. Until this has succeeded once, nothing
    /// that is stored there is believed.
    async fn start(self: &Arc<Self>) -> Result<(), StoreError> {
        self.check_and_make()
            .await
            .map_err(|error| self.mended(error))
    }

    /// What a server says that is of another kind than the address.
    fn mended(&self, error: StoreError) -> StoreError {
        let reason = match &error {
            StoreError::Failed { reason, .. } => reason.clone(),
            StoreError::Unreachable { source, .. } => source.to_string(),
            _ => return error,
        };
        let mend = if self.cluster && reason.contains("cluster support disabled") {
            "it is a single server: write redis:// instead of redis-cluster://"
        } else if !self.cluster
            && ["MOVED ", "ASK ", "CLUSTERDOWN "]
                .iter()
                .any(|code| reason.starts_with(code))
        {
            "it is a node of a Cluster: write redis-cluster:// instead of redis://"
        } else if !self.cluster && reason.contains("unknown command 'EVAL") {
            "it runs no scripts: it is a sentinel (write redis-sentinel:// instead of redis://, and \
             ?service=NAME), or a server without EVAL, which is needed"
        } else {
            return error;
        };
        StoreError::Unfit {
            store: self.name.clone(),
            reason: mend.to_owned(),
        }
    }

    async fn check_and_make(self: &Arc<Self>) -> Result<(), StoreError> {
        let fail = |failure: Failure| failure.into_error(&self.name, Purpose::Read);
        let bound = self.settings.connect_timeout;
        let connected = async {
            self.checks.connected().await?;
            self.writes.connected().await
        };
        timeout(bound, connected)
            .await
            .unwrap_or(Err(Failure::TimedOut(bound)))
            .map_err(fail)?;
        let mut seen = BTreeSet::new();
        for shard in self.shards_of_servers() {
            match self
                .writes
                .send(shard_slot(shard), "INFO", Vec::new())
                .await
            {
                Ok(answer) => {
                    let info = Info(answer.text().unwrap_or_default());
                    if seen.insert(info.get("run_id").unwrap_or_default().to_owned()) {
                        self.check_server(&info)?;
                    }
                }
                // Without INFO, which is forbidden or renamed, we cannot look, only believe.
                Err(failure) if failure.is_forbidden() => {
                    self.check_policy(None)?;
                    break;
                }
                Err(failure) => return Err(fail(failure)),
            }
        }
        self.try_durability().await?;
        self.heal_all().await?;
        self.started.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether the servers can confirm what is asked for. How many do at present is for writers to hear.
    async fn try_durability(&self) -> Result<(), StoreError> {
        let Some(commits) = &self.commits else {
            return Ok(());
        };
        for shard in self.shards_of_servers() {
            let Command { name, args } = commits.trial();
            match self.writes.send(shard_slot(shard), name, args).await {
                Ok(_) => {}
                Err(failure) if failure.is_transient() => {
                    return Err(failure.into_error(&self.name, Purpose::Read));
                }
                Err(Failure::Refused(words)) => {
                    return Err(StoreError::Unfit {
                        store: self.name.clone(),
                        reason: format!(
                            "it cannot confirm that a write is durable ({words:.200}): WAIT needs the right \
                             to it, WAITAOF also Redis 7.2 or Valkey with appendonly yes"
                        ),
                    });
                }
                Err(failure) => return Err(failure.into_error(&self.name, Purpose::Read)),
            }
        }
        Ok(())
    }

    fn check_server(&self, info: &Info<'_>) -> Result<(), StoreError> {
        let unfit = |reason: String| StoreError::Unfit {
            store: self.name.clone(),
            reason,
        };
        if info.get("loading") == Some("1") {
            return Err(StoreError::Unreachable {
                store: self.name.clone(),
                source: "it is loading its data".into(),
            });
        }
        let version = info.get("redis_version").unwrap_or_default();
        let number = parse_version(version);
        if number.is_some_and(|number| number < (7, 0)) {
            self.unfenced.store(true, Ordering::Relaxed);
        }
        if number.is_some_and(|number| number < (6, 2)) {
            return Err(unfit(format!(
                "its version is {version:.20}, and at least 6.2 is needed: update it"
            )));
        }
        if info.get("role").is_some_and(|role| role != "master") {
            // It may be made a primary: a program that waits for that comes up lazily.
            let refused = StoreError::WriteRefused {
                store: self.name.clone(),
                refusal: WriteRefusal::ReadOnly,
            };
            return Err(StoreError::Open {
                store: self.name.clone(),
                reason: "it is a replica, which cannot be written and may be behind: give the \
                         address of the primary, or of the sentinels"
                    .to_owned(),
                source: Some(refused.into()),
            });
        }
        let in_cluster = info.get("cluster_enabled") == Some("1");
        if in_cluster && !self.cluster {
            return Err(unfit(
                "it is a node of a Cluster: write redis-cluster:// instead of redis://".to_owned(),
            ));
        }
        self.check_policy(info.get("maxmemory_policy"))
    }

    /// Looks at the eviction policy of every server once more: it can be changed while they run.
    async fn look_at_policies(&self) -> Result<(), StoreError> {
        for shard in self.shards_of_servers() {
            let section = vec![Value::from("memory")];
            let answer = self.writes.send(shard_slot(shard), "INFO", section).await;
            match answer {
                Ok(answer) => {
                    let info = Info(answer.text().unwrap_or_default());
                    self.check_policy(info.get("maxmemory_policy"))?;
                }
                Err(Failure::Refused(words)) if words.starts_with("NOPERM") => {
                    self.check_policy(None)?;
                }
                Err(failure) => return Err(failure.into_error(&self.name, Purpose::Read)),
            }
        }
        Ok(())
    }

    fn check_policy(&self, policy: Option<&str>) -> Result<(), StoreError> {
        let mut warned = self.evicting.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = match policy {
            Some("noeviction") => {
                *warned = None;
                return Ok(());
            }
            Some(policy) => format!(
                "its maxmemory-policy is {policy:.40}, which drops revocations when memory runs \
                 out, so that revoked tokens work again: set it to noeviction"
            ),
            None => "it does not tell its maxmemory-policy (INFO), which must be noeviction, or \
                     revoked tokens work again when memory runs out"
                .to_owned(),
        };
        // Once, not each time that it is looked at.
        if warned.as_ref() != Some(&reason) {
            tracing::warn!(store = %self.name, "{reason}");
            *warned = Some(reason.clone());
        }
        if self.settings.strict_eviction {
            return Err(StoreError::Unfit {
                store: self.name.clone(),
                reason,
            });
        }
        Ok(())
    }

    /// Whether the store can be read and written just now.
    pub(super) async fn ready(self: &Arc<Self>) -> Result<(), StoreError> {
        let deadline = self.deadline();
        if !self.started.load(Ordering::Acquire) {
            let bound = self.settings.write_timeout;
            timeout(bound, self.start())
                .await
                .unwrap_or(Err(StoreError::TimedOut {
                    store: self.name.clone(),
                    bound,
                }))?;
        }
        for shard in self.shards_of_servers() {
            let key = Value::from(self.keys.epoch(shard));
            self.checks
                .send(shard_slot(shard), "GET", vec![key])
                .await
                .map_err(|failure| failure.into_error(&self.name, Purpose::Read))?;
        }
        for (shard, state) in self.states(Probe::Write, deadline).await? {
            self.notice(shard, Some(&state.epoch));
            if !state.healing.is_zero() {
                return Err(StoreError::ShardLost {
                    store: self.name.clone(),
                    shard,
                    healing: true,
                    known: Cutoffs::NONE,
                });
            }
            self.check_clock(&state)?;
        }
        if self.settings.strict_eviction {
            self.look_at_policies().await?;
        }
        self.is_fresh()
    }

    /// Writes to every server, because only a primary can be written: one that was demoted is left,
    /// even while nobody revokes anything. What else may be wrong with writing is for writers to hear.
    async fn prove_primaries(self: &Arc<Self>) {
        let proofs = self
            .shards_of_servers()
            .map(|shard| self.state(shard, Probe::Write, self.deadline()));
        join_all(proofs).await;
        // A primary that was replaced while nobody could tell it so answers checks as before.
        if self.writes.is_elsewhere(&self.checks) {
            self.checks.look_for_the_primary();
        }
    }

    /// Shards among which there is one of every server.
    fn shards_of_servers(&self) -> impl Iterator<Item = Shard> {
        Shard::all().take(if self.cluster { usize::MAX } else { 1 })
    }

    /// An error until the server has been checked.
    pub(super) fn is_started(&self) -> Result<(), StoreError> {
        if self.started.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(StoreError::Unreachable {
            store: self.name.clone(),
            source: "it has not been reached and checked yet".into(),
        })
    }

    /// Waits until no shard is healing.
    async fn until_whole(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut told = false;
        loop {
            let deadline = Instant::now() + self.settings.connect_timeout;
            let states = self.states(Probe::Look, deadline).await?;
            let left = states.iter().map(|(_, state)| state.healing).max();
            let Some(left) = left.filter(|left| !left.is_zero()) else {
                return Ok(());
            };
            if !mem::replace(&mut told, true) {
                tracing::info!(
                    store = %self.name,
                    ?left,
                    "the store is new or was wiped: waiting for other processes to put back what \
                     they know"
                );
            }
            sleep(left).await;
        }
    }

    /// Waits until the copy in this process is as fresh as checks ask for.
    async fn until_fresh(&self) {
        // Where a log is being made whole checks ask the store, and soon need not.
        while self.is_fresh().is_err() || self.relogs.is_any_due() {
            sleep(RETRY / 10).await;
        }
    }

    /// What is wrong with a store that cannot be reached, and what to do about it.
    fn cannot_open(&self, error: StoreError) -> StoreError {
        let mend = match &error {
            StoreError::Unreachable { .. } | StoreError::TimedOut { .. } => {
                "start it, or correct the address"
            }
            StoreError::WriteRefused { refusal, .. } if is_passing(refusal) => {
                "have it accept writes: what is new to it must be written once"
            }
            StoreError::ReadRefused { .. } | StoreError::WriteRefused { .. } => {
                "check user name, password and permissions"
            }
            _ => return error,
        };
        let said = match &error {
            StoreError::Unreachable { source, .. } => source.to_string(),
            StoreError::ReadRefused { reason, .. } => reason.clone(),
            StoreError::WriteRefused { refusal, .. } => refusal.to_string(),
            other => other.to_string(),
        };
        StoreError::Open {
            store: self.name.clone(),
            reason: format!("{said}; {mend}"),
            source: match error {
                StoreError::Unreachable { source, .. } => Some(source),
                error => Some(error.into()),
            },
        }
    }
}

/// The answer of `INFO`: lines of `name:value`.
struct Info<'a>(&'a str);

impl<'a> Info<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    }
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

fn is_transient(error: &StoreError) -> bool {
    match error {
        StoreError::Unreachable { .. } | StoreError::TimedOut { .. } => true,
        StoreError::WriteRefused { refusal, .. } => is_passing(refusal),
        _ => false,
    }
}

/// Whether a server that refuses writes may take them in a moment.
fn is_passing(refusal: &WriteRefusal) -> bool {
    !matches!(
        refusal,
        WriteRefusal::NoPermission(_) | WriteRefusal::Unauthenticated(_)
    )
}

/// At how many probes once the eviction policy is looked at.
const POLICY_TURNS: u32 = 5;

/// How long between two attempts to reach a server at the start.
const RETRY: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_line_by_line() {
        let info = Info("# Server\r\nredis_version:7.0.15\r\nrole:master\r\nrole_x:1\r\n");
        assert_eq!(info.get("redis_version"), Some("7.0.15"));
        assert_eq!(info.get("role"), Some("master"));
        assert_eq!(info.get("maxmemory_policy"), None);
        assert_eq!(parse_version("6.0.16"), Some((6, 0)));
        assert_eq!(parse_version("unstable"), None);
    }
}
