//! A check: which cutoffs cover a token?

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::{OptionFuture, join};

use crate::{
    clock::Timestamp,
    defaults,
    revocation::{Cutoff, Cutoffs, Digest, Life, Moment, Shard},
    store::{
        Consistency, Health, Lookup, StoreError,
        redis::{
            Inner,
            breaker::{Admission, Breaker, Others, PAUSE},
            client::Value,
            failure::{Failure, Purpose},
            keys::{is_legacy_jti, shard_slot, slot},
            reply::Reply,
            revoke::fallback_horizons,
            scripts::CHECK,
            words::Words,
        },
    },
};

/// What the server said to a check.
struct Answer {
    epoch: Option<Vec<u8>>,
    healing: bool,
    found: Cutoffs,
    /// Whether another service has revoked the token, by the legacy key.
    legacy: bool,
}

impl Inner {
    /// Whether a copy of the entries is kept in this process.
    pub(super) fn is_followed(&self) -> bool {
        self.settings.replica_entries > 0
    }

    /// The consistency to start with: what other services write under the legacy prefix stands in no
    /// log, so a copy does not have it.
    pub(super) fn consistency(&self) -> Consistency {
        if self.settings.legacy_prefix.is_some() || !self.is_followed() {
            Consistency::Strict
        } else {
            Consistency::default()
        }
    }

    /// How well checks are served.
    pub(super) fn health(&self) -> Health {
        if self.is_followed() {
            let fresh = self.replica.oldest();
            if fresh.is_some_and(|age| age <= self.replica.wanted()) {
                return Health::Fresh;
            }
            let heard = |shard| {
                let silence = self.replica.silence(shard);
                silence.is_some_and(|silence| silence <= LONGEST_SILENCE)
            };
            return if Shard::all().all(heard) {
                Health::Stale
            } else {
                Health::Degraded
            };
        }
        let now = Instant::now();
        if self.is_started().is_ok() && self.breakers.iter().all(|breaker| !breaker.is_open(now)) {
            Health::Fresh
        } else {
            Health::Degraded
        }
    }

    /// An error while mirrored checks cannot be answered in this process.
    pub(super) fn is_fresh(&self) -> Result<(), StoreError> {
        let age = self.replica.oldest();
        // Until a log that is too short is not any more, hours may pass in which the server is asked.
        if !self.is_followed()
            || self.replica.is_partial()
            || age.is_some_and(|age| age <= self.replica.wanted())
        {
            return Ok(());
        }
        Err(StoreError::Behind {
            store: self.name.clone(),
            age,
        })
    }

    /// The cutoffs that the copy in this process has, if it is fresh enough for the question.
    pub(super) fn lookup_now(&self, query: &Lookup<'_>) -> Option<Result<Cutoffs, StoreError>> {
        let Consistency::Mirror { max_staleness } = query.consistency else {
            return None;
        };
        self.replica.want(max_staleness);
        let age = self.replica.age(query.shard, Moment::now())?;
        (age <= max_staleness).then(|| Ok(self.replica.find(query)))
    }

    /// The cutoffs that cover a token: what the server has, and what this process wrote itself.
    pub(super) async fn lookup(
        self: &Arc<Self>,
        query: &Lookup<'_>,
    ) -> Result<Cutoffs, StoreError> {
        let own = self.replica.find_own(query);
        if self.settings.legacy_prefix.is_some() && query.jti.is_some_and(|jti| !is_legacy_jti(jti))
        {
            // It may stand in no key, so nobody can be asked whether it was revoked. The token is to
            // blame, not the store.
            return Ok(Cutoffs::forever(0));
        }
        let answer = match self.ask(query).await {
            Ok(answer) => answer,
            // What covers every token needs nobody's confirmation.
            Err(_) if own.highest() == Some(Cutoff::Forever) => return Ok(own),
            // The rest may or may not cover this one, which is the guard's to decide.
            Err(error) => return Err(error.knowing(own)),
        };
        let whole = self.notice(query.shard, answer.epoch.as_deref());
        let epoch = answer.epoch.as_deref().unwrap_or_default();
        let incomplete = !whole || answer.healing;
        let found = if incomplete {
            // The entry of a kept session may be what is missing.
            answer.found.without_exception()
        } else {
            answer.found
        };
        if found.highest() > own.highest()
            && let Some((index, cutoff)) = found.decisive()
            && (whole || !self.healing.is_of_another(query.shard, epoch))
        {
            // Of a session that ended with the others its own end is kept: that of the others may yet have
            // to be read, and before it the entry of the session that was kept.
            let index = match query.exception {
                Some(exception) if exception.others == index => exception.session,
                _ => index,
            };
            self.keep_found(query.shard, query.digests[index], cutoff);
        }
        let mut known = own;
        known.merge(found);
        if answer.legacy {
            known.merge(Cutoffs::forever(0));
        }
        if incomplete {
            return Err(StoreError::ShardLost {
                store: self.name.clone(),
                shard: query.shard,
                healing: answer.epoch.is_some(),
                known,
            });
        }
        Ok(known)
    }

    /// Takes in what a check found before the follower has read it: what one handle of this process
    /// refuses, no other accepts, whatever becomes of the store.
    ///
    /// How long the store keeps it, and whether tokens need it as long, was not asked: it counts as one that
    /// lasts, since too long does no harm. Unless it is of no use to any token that lives.
    fn keep_found(&self, shard: Shard, digest: Digest, cutoff: Cutoff) {
        let horizons = self.healing.required().unwrap_or_else(fallback_horizons);
        let needed = match cutoff {
            Cutoff::At(instant) => {
                let needed_until = instant.saturating_add(horizons.access);
                needed_until.saturating_since(self.settings.clock.now())
            }
            Cutoff::Forever => horizons.access,
        };
        if self.is_followed() && !needed.is_zero() {
            let life = Life::whole(horizons.session.max(needed));
            self.replica.keep(shard, digest, cutoff, life);
        }
    }

    async fn ask(self: &Arc<Self>, query: &Lookup<'_>) -> Result<Answer, StoreError> {
        self.is_started()?;
        self.check_layout(query.shard)?;
        if query.consistency == Consistency::Fenced && self.unfenced.load(Ordering::Relaxed) {
            return Err(StoreError::Unfit {
                store: self.name.clone(),
                reason: "fenced checks need Redis 7 or later: update it, or ask strictly"
                    .to_owned(),
            });
        }
        let legacy = match (&self.settings.legacy_prefix, query.jti) {
            (Some(prefix), Some(jti)) => Some(format!("{prefix}{jti}")),
            _ => None,
        };
        let unreachable = |reason: String| StoreError::Unreachable {
            store: self.name.clone(),
            source: reason.into(),
        };
        let admission = self.breaker(query.shard).admits(Instant::now());
        if admission == Admission::FailAndProbe {
            let (inner, shard) = (Arc::clone(self), query.shard);
            tokio::spawn(async move { inner.probe(shard).await });
        }
        if admission != Admission::Ask {
            return Err(unreachable(format!(
                "it has not answered lately; it is asked again every {} ms",
                PAUSE.as_millis()
            )));
        }
        let waiting = Waiting::one_more(&self.waiting);
        if waiting.0.load(Ordering::Relaxed) > defaults::MAX_WAITING_CHECKS {
            return Err(unreachable(
                "too many checks wait for it already".to_owned(),
            ));
        }
        let answer = self.ask_server(query, legacy).await;
        self.judge(query.shard, &answer);
        answer.map_err(|failure| failure.into_error(&self.name, Purpose::Read))
    }

    /// Asks a server that has not answered lately, so that no request has to wait for it.
    async fn probe(&self, shard: Shard) {
        let key = Value::from(self.keys.epoch(shard));
        let answer = self.checks.send(shard_slot(shard), "GET", vec![key]).await;
        self.judge(shard, &answer);
    }

    /// One command in one slot; in a Cluster, the key of other services is a second, beside it.
    async fn ask_server(
        &self,
        query: &Lookup<'_>,
        legacy: Option<String>,
    ) -> Result<Answer, Failure> {
        let mut keys = vec![self.keys.epoch(query.shard), self.keys.healing(query.shard)];
        keys.extend(
            query
                .digests
                .iter()
                .map(|digest| self.keys.deny(query.shard, digest)),
        );
        let mut apart = None;
        match legacy {
            Some(key) if self.cluster => apart = Some(key),
            Some(key) => keys.push(key),
            None => {}
        }
        let fenced = query.consistency == Consistency::Fenced;
        let ours = self.values(shard_slot(query.shard), keys, fenced);
        let theirs = OptionFuture::from(
            apart.map(|key| async move { self.values(slot(&key), vec![key], fenced).await }),
        );
        let (ours, theirs) = join(ours, theirs).await;
        let mut values = ours?;
        if let Some(theirs) = theirs {
            values.extend(theirs?);
        }
        Answer::read(&values, query)
    }

    /// The values of keys in one slot; `fenced`, only from a server that may be written.
    async fn values(
        &self,
        slot: u16,
        keys: Vec<String>,
        fenced: bool,
    ) -> Result<Vec<Reply>, Failure> {
        let expected = keys.len();
        let reply = if fenced {
            let mut words = Words::new();
            for key in keys {
                words.key(&key);
            }
            let bound = self.settings.check_timeout;
            // A server that does not know the script is asked twice, and not waited for twice.
            let deadline = tokio::time::Instant::now() + bound;
            let asked = self.checks.run(slot, &CHECK, &words, bound, deadline);
            Reply::List(asked.await?)
        } else {
            let keys = keys.into_iter().map(Value::from).collect();
            self.checks.send(slot, "MGET", keys).await?
        };
        match reply {
            Reply::List(values) if values.len() == expected => Ok(values),
            other => Err(Failure::odd(format!("MGET answered {other:?}"))),
        }
    }

    fn breaker(&self, shard: Shard) -> &Breaker {
        // In a Cluster one node can hang while the others do well.
        let index = if self.cluster { shard.number() } else { 0 };
        &self.breakers[usize::from(index)]
    }

    fn judge<T>(&self, shard: Shard, answer: &Result<T, Failure>) {
        let breaker = self.breaker(shard);
        let Err(Failure::TimedOut(_) | Failure::Unreachable(_)) = answer else {
            return breaker.answered();
        };
        let silence = self.replica.silence(shard);
        let others = if silence.is_some_and(|silence| silence > SUSPICIOUS_SILENCE) {
            Others::Silent
        } else {
            Others::Answered
        };
        if breaker.failed(Instant::now(), others) {
            self.meters.opened();
        }
    }
}

/// One of the checks that wait for the server, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Answer {
    /// Reads epoch, healing mark, the entries of the digests, and perhaps the key of other services.
    fn read(values: &[Reply], query: &Lookup<'_>) -> Result<Self, Failure> {
        let [epoch, healing, entries @ ..] = values else {
            return Err(Failure::odd("MGET answered too little"));
        };
        let (entries, legacy) = entries
            .split_at_checked(query.digests.len())
            .unwrap_or((entries, &[]));
        let mut found = Cutoffs::NONE;
        for (index, entry) in entries.iter().enumerate() {
            if let Some(cutoff) = read_cutoff(entry)? {
                found.insert(query, index, cutoff);
            }
        }
        Ok(Self {
            epoch: match epoch {
                Reply::Text(epoch) => Some(epoch.clone()),
                _ => None,
            },
            healing: *healing != Reply::Nil,
            found,
            legacy: legacy.iter().any(|value| *value != Reply::Nil),
        })
    }
}

/// Reads an entry. One that nobody of us wrote is an error: it may have been a revocation.
pub(super) fn read_cutoff(entry: &Reply) -> Result<Option<Cutoff>, Failure> {
    match entry {
        Reply::Nil => Ok(None),
        Reply::Text(text) if text == b"*" => Ok(Some(Cutoff::Forever)),
        other => match other.number() {
            Some(instant) => Ok(Some(Cutoff::At(Timestamp::from_millis(instant)))),
            None => Err(Failure::odd(format!("an entry holds {other:?}"))),
        },
    }
}

/// For how long a server that is followed may be silent before one check that fails is enough to ask no
/// more: twice what the follower waits for news at the most, and a little.
const SUSPICIOUS_SILENCE: Duration = Duration::from_millis(600);

/// For how long a server that is followed may be silent before it counts as away.
const LONGEST_SILENCE: Duration = Duration::from_millis(2_500);

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Reply {
        Reply::Text(value.as_bytes().to_vec())
    }

    #[test]
    fn r3_an_entry_that_cannot_be_read_is_unknown_and_not_absent() {
        for value in [text("-1"), text(""), text("1e9"), text("yes"), Reply::Other] {
            assert!(read_cutoff(&value).is_err(), "{value:?}");
        }
        assert_eq!(read_cutoff(&Reply::Nil), Ok(None));
        assert_eq!(read_cutoff(&text("*")), Ok(Some(Cutoff::Forever)));
    }

    #[test]
    fn a_key_of_another_service_is_read_apart_from_our_entries() {
        let values = [text("epoch"), Reply::Nil, Reply::Nil, text("1")];
        let digests = [Digest::from_bytes([0; 16])];
        let query = Lookup::new(Shard::FIRST, &digests);
        let answer = Answer::read(&values, &query).unwrap();
        assert!(answer.legacy);
        assert_eq!(answer.found, Cutoffs::NONE);
        assert!(!answer.healing);
    }
}
