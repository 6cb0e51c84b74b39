//! Writing revocations.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::time::Instant;

use crate::{
    clock::{Timestamp, millis},
    defaults,
    revocation::{Cutoff, Dimension, Horizon, Horizons, Placement, Shard},
    store::{
        Reach, Revocation, Revoked, StoreError, Transitioned,
        redis::{
            Inner,
            keys::{LAYOUT, is_legacy_jti, slot},
            lookup::read_cutoff,
            reply::Reply,
            scripts::{LEGACY, REVOKE},
            shard::Probe,
            words::Words,
        },
    },
};

/// A revocation, and the reach that is written in this shard.
type Entry<'a> = (&'a Revocation, Written);

/// How far an entry reaches, as it is written.
#[derive(Clone, Copy)]
enum Written {
    /// As the revocation says.
    Own(Reach),
    /// Up to this instant, which is later than now on all shards but the one it was taken from.
    All(Timestamp),
}

impl Inner {
    /// Writes revocations: one script a shard, all shards at the same time. Those that concern every
    /// shard get one instant, the latest of all, so that nobody is revoked in one shard and not in
    /// another.
    pub(super) async fn revoke(
        self: &Arc<Self>,
        revocations: &[Revocation],
    ) -> Result<Revoked, StoreError> {
        self.is_started()?;
        let deadline = self.deadline();
        let wide_now = revocations
            .iter()
            .any(|r| r.placement == Placement::Wide && matches!(r.reach, Reach::Now { .. }));
        let (mut now, mut unheard) = (None, None);
        if wide_now || revocations.is_empty() {
            // The other half is for the writes.
            let half = Instant::now() + self.settings.write_timeout / 2;
            let states = Shard::all().map(|shard| self.state(shard, Probe::Look, half));
            for state in join_all(states).await {
                match state {
                    Ok(state) => now = now.max(Some(state.now)),
                    Err(error) => unheard = Some(error),
                }
            }
        }
        // A shard that does not answer keeps nobody from revoking in the others.
        let unheard = match (now, unheard) {
            (None, Some(error)) => return Err(error),
            (_, unheard) => unheard,
        };
        let mut shards: BTreeMap<Shard, Vec<Entry<'_>>> = BTreeMap::new();
        for revocation in revocations {
            match (revocation.placement, revocation.reach, now) {
                (Placement::One(shard), reach, _) => {
                    let entry = (revocation, Written::Own(reach));
                    shards.entry(shard).or_default().push(entry);
                }
                (Placement::Wide, reach, now) => {
                    let reach = match (reach, now) {
                        (Reach::Now { ahead }, Some(now))
                            if ahead <= defaults::MAX_CUTOFF_AHEAD =>
                        {
                            Written::All(now.saturating_add(ahead))
                        }
                        (Reach::Now { ahead }, Some(now)) => {
                            Written::Own(Reach::At(now.saturating_add(ahead)))
                        }
                        (reach, _) => Written::Own(reach),
                    };
                    for shard in Shard::all() {
                        shards.entry(shard).or_default().push((revocation, reach));
                    }
                }
            }
        }
        let writes = shards.iter().map(|(shard, entries)| async move {
            let mut written = Revoked::new(Timestamp::EPOCH, 0);
            for chunk in entries.chunks(CHUNK) {
                written = written.and(self.revoke_in(*shard, chunk, deadline).await?);
            }
            Ok(written)
        });
        // All of them, even when one fails: what is revoked in more places is better revoked.
        let mut all = Revoked::new(now.unwrap_or(Timestamp::EPOCH), 0);
        for written in join_all(writes).await {
            all = all.and(written?);
        }
        if let Some(error) = unheard {
            return Err(error);
        }
        self.write_legacy(revocations, deadline).await?;
        Ok(all)
    }

    async fn revoke_in(
        self: &Arc<Self>,
        shard: Shard,
        entries: &[Entry<'_>],
        deadline: Instant,
    ) -> Result<Revoked, StoreError> {
        let least = self.least_horizons();
        let mut words = self.keys.of_script(shard);
        for (revocation, _) in entries {
            self.keys.add_deny(&mut words, shard, &revocation.digest);
        }
        let records: Vec<_> = entries
            .iter()
            .map(|(revocation, _)| self.record_of(shard, revocation))
            .collect();
        for record in records.iter().flatten() {
            words.key(record);
        }
        words.word(LAYOUT);
        words.number(millis(least.access));
        words.number(millis(least.session));
        words.number(defaults::AUDIT_ENTRIES);
        words.number(u64::try_from(entries.len()).unwrap_or(u64::MAX));
        let mut ended = 0;
        for ((revocation, reach), record) in entries.iter().zip(&records) {
            push_entry(&mut words, revocation, *reach);
            ended += u64::from(record.is_some());
            words.number(if record.is_some() { ended } else { 0 });
            words.word(match revocation.placement {
                Placement::Wide => "wide",
                Placement::One(_) => "",
            });
        }
        let write = || self.write_durably(shard, &REVOKE, &words, deadline);
        let (answer, confirmed) = match write().await {
            Err(StoreError::ShardLost { .. }) => {
                let state = self.state(shard, Probe::Look, deadline).await?;
                self.notice(shard, Some(&state.epoch));
                write().await?
            }
            answer => answer?,
        };
        let written = self.read_written(shard, entries, &answer)?;
        // Remembered here, confirmed or not.
        match confirmed {
            Ok(()) => Ok(written),
            Err(error) => Err(error.having_done(Transitioned::Revoked(written))),
        }
    }

    /// The record of the session that a revocation ends.
    fn record_of(&self, shard: Shard, revocation: &Revocation) -> Option<String> {
        let audit = &revocation.audit;
        let ends = audit.dimension == Dimension::Session && revocation.reach == Reach::Forever;
        ends.then(|| self.keys.session(shard, &(*audit.value).into()))?
    }

    /// Reads the answer of the script, and remembers what is in force now.
    fn read_written(
        &self,
        shard: Shard,
        entries: &[Entry<'_>],
        answer: &[Reply],
    ) -> Result<Revoked, StoreError> {
        let odd = || self.odd(answer);
        match answer {
            [word, cutoff, now] if word.text() == Some("ahead") => Err(StoreError::CutoffAhead {
                cutoff: Timestamp::from_millis(cutoff.number().unwrap_or(u64::MAX)),
                now: Timestamp::from_millis(now.number().ok_or_else(odd)?),
            }),
            [word, now, written @ ..]
                if word.text() == Some("ok") && written.len() == 3 * entries.len() =>
            {
                let now = Timestamp::from_millis(now.number().ok_or_else(odd)?);
                let mut raised = 0;
                for ((revocation, _), entry) in entries.iter().zip(written.chunks_exact(3)) {
                    let cutoff = read_cutoff(&entry[0]).ok().flatten().ok_or_else(odd)?;
                    let life = Duration::from_millis(entry[1].number().ok_or_else(odd)?);
                    raised += usize::from(entry[2].text() == Some("raised"));
                    let digest = revocation.digest;
                    // A mirror that starts later must know it when the token comes into force.
                    let settled = now.saturating_add(defaults::MAX_CUTOFF_AHEAD);
                    let lasting = revocation.horizon == Horizon::Lasting
                        || cutoff == Cutoff::Forever && revocation.counts_from > settled;
                    self.keep_own(shard, digest, cutoff, life, lasting);
                }
                Ok(Revoked::new(self.used(shard, now), raised))
            }
            _ => Err(odd()),
        }
    }

    /// Writes the keys by which other services know revoked tokens.
    async fn write_legacy(
        &self,
        revocations: &[Revocation],
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let Some(prefix) = self
            .settings
            .legacy_prefix
            .as_ref()
            .filter(|_| self.settings.legacy_writes)
        else {
            return Ok(());
        };
        let writes = revocations
            .iter()
            .filter(|revocation| revocation.audit.dimension == Dimension::Jti)
            // Any other counts as revoked already.
            .filter(|revocation| is_legacy_jti(&revocation.audit.value))
            .map(|revocation| {
                let key = format!("{prefix}{}", revocation.audit.value);
                // As long as the entry that was just written.
                let life = self.replica.life(shard_of(revocation), &revocation.digest);
                let life = life.unwrap_or(fallback_horizons().access);
                let mut words = Words::new();
                words.key(&key);
                words.number(millis(life));
                async move {
                    let written = self.send_durably(slot(&key), &key, &LEGACY, &words, deadline);
                    written.await?.1
                }
            });
        join_all(writes).await.into_iter().collect()
    }
}

/// A shard in which the entry lies.
fn shard_of(revocation: &Revocation) -> Shard {
    match revocation.placement {
        Placement::One(shard) => shard,
        Placement::Wide => Shard::FIRST,
    }
}

/// The horizons to go by while nobody has stated any: the longest that a verifier accepts, so that
/// no entry falls short.
pub(super) fn fallback_horizons() -> Horizons {
    Horizons::covering(
        defaults::MAX_TOKEN_LIFETIME,
        defaults::SESSION_LIFETIME,
        defaults::MAX_LEEWAY,
    )
}

/// The first nine arguments of an entry, as `revoke.lua` has them.
fn push_entry(words: &mut Words, revocation: &Revocation, reach: Written) {
    let (word, number) = match reach {
        Written::Own(Reach::Now { ahead }) => ("now", round_up_millis(ahead)),
        Written::Own(Reach::At(instant)) => ("at", instant.as_millis()),
        Written::Own(Reach::Forever) => ("*", revocation.counts_from.as_millis()),
        Written::All(instant) => ("all", instant.as_millis()),
    };
    let audit = &revocation.audit;
    words.word(revocation.digest.hex());
    words.word(word);
    words.number(number);
    words.word(match revocation.horizon {
        Horizon::Access => "access",
        Horizon::Session => "session",
        Horizon::Lasting => "lasting",
    });
    words.word(audit.dimension.name());
    words.word(brief(&audit.issuer));
    words.word(brief(&audit.value));
    words.word(brief(audit.cause.as_deref().unwrap_or_default()));
    words.word(brief(audit.actor.as_deref().unwrap_or_default()));
}

/// As much of a text as goes into the audit stream.
pub(super) fn brief(text: &str) -> &str {
    match text.char_indices().nth(AUDIT_TEXT) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

pub(super) fn round_up_millis(length: Duration) -> u64 {
    millis(length.saturating_add(Duration::from_nanos(999_999)))
}

/// How many entries one script writes.
const CHUNK: usize = 128;

/// How much of a text goes into the audit stream, in characters.
const AUDIT_TEXT: usize = 512;
