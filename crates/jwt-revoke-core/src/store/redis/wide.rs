//! Completing wide revocations: those that concern every shard, and did not reach all of them.
//!
//! Whoever revokes hears an error until all shards have it, and may be gone before it tries again. So the log
//! says of an entry that it is a wide one, and every process that follows looks a moment later whether its
//! copies of all shards have it. Where one lacks it, it is written there, with the original cutoff. Of a fleet
//! the first to look does so: the others, each a little later, find it there. Twice does no harm.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    defaults,
    revocation::{Cutoff, Digest, Life, Moment, Shard},
    store::{
        Lookup,
        redis::{Inner, healing::Remembered},
    },
};

/// The wide revocations that were read, and those of them that are yet to be looked after.
#[derive(Debug, Default)]
pub(super) struct Wides(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: HashSet<Digest>,
    pending: HashMap<Digest, Pending>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    cutoff: Cutoff,
    read: Instant,
    life: Life,
    /// When to look, or to look again.
    due: Instant,
}

impl Wides {
    /// Takes note of an entry of a log that says it is wide.
    pub(super) fn heard(&self, digest: Digest, cutoff: Cutoff, life: Life) {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.known.len() < MOST {
            state.known.insert(digest);
        }
        match state.pending.get(&digest) {
            Some(pending) if pending.cutoff >= cutoff => {}
            None if state.pending.len() >= MOST => {}
            _ => {
                let due = now + jittered();
                let pending = Pending {
                    cutoff,
                    read: now,
                    life,
                    due,
                };
                state.pending.insert(digest, pending);
            }
        }
    }

    /// Whether an entry is known to be wide, so that it is put back as such.
    pub(super) fn is_known(&self, digest: &Digest) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.contains(digest)
    }

    /// What is to be looked after at `now`, and how long it still lives. It is due again later unless it is
    /// settled.
    fn due(&self, now: Instant) -> Vec<Remembered> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending.retain(|_, pending| {
            // As long as any token of a session may need it, not only those that live now.
            let left = pending.life.kept.saturating_sub(now - pending.read);
            // Less is left alone by the scripts too: the margin in every horizon is longer.
            left > SHORTEST_LIFE
        });
        let due = state.pending.iter_mut().filter(|(_, p)| p.due <= now);
        let due = due.take(AT_ONCE).map(|(digest, pending)| {
            pending.due = now + jittered();
            let life = pending.life.after(now - pending.read);
            (*digest, pending.cutoff, life)
        });
        due.collect()
    }

    /// All shards have this one.
    fn settle(&self, digest: &Digest, cutoff: Cutoff) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A higher one may have come meanwhile.
        if state
            .pending
            .get(digest)
            .is_some_and(|pending| pending.cutoff <= cutoff)
        {
            state.pending.remove(digest);
        }
    }
}

impl Inner {
    /// Forgets which entries were wide where no shard has them any more.
    pub(super) fn purge_wides(&self) {
        let mut state = self.wides.0.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .known
            .retain(|digest| Shard::all().any(|shard| self.replica.life(shard, digest).is_some()));
    }

    /// Writes wide revocations to shards that lack them for longer than they take to arrive. A shard whose
    /// copy is behind cannot be judged, and is looked at again.
    pub(super) async fn complete_wides(&self) {
        let due = self.wides.due(Instant::now());
        let mut missing: BTreeMap<Shard, Vec<Remembered>> = BTreeMap::new();
        let mut unsettled = HashSet::new();
        for shard in Shard::all() {
            let age = self.replica.age(shard, Moment::now());
            let is_judged = age.is_some_and(|age| age <= defaults::MAX_STALENESS);
            for (digest, cutoff, life) in &due {
                if !is_judged {
                    unsettled.insert(*digest);
                } else if self.replica.find(&Lookup::new(shard, &[*digest])).highest()
                    < Some(*cutoff)
                {
                    let lacking = missing.entry(shard).or_default();
                    lacking.push((*digest, *cutoff, *life));
                }
            }
        }
        for (shard, entries) in missing {
            match self.complete(shard, &entries).await {
                Ok(()) => tracing::warn!(
                    store = %self.name, %shard, entries = entries.len(),
                    "a shard lacked revocations that concern all of them; wrote what this process read \
                     elsewhere"
                ),
                Err(error) => {
                    tracing::debug!(%error, %shard, "a wide revocation could not be completed yet");
                    unsettled.extend(entries.iter().map(|(digest, ..)| *digest));
                }
            }
        }
        for (digest, cutoff, _) in due {
            if !unsettled.contains(&digest) {
                self.wides.settle(&digest, cutoff);
            }
        }
    }
}

/// At random, so that the processes of a fleet do not all look at once.
fn jittered() -> Duration {
    // Keyed anew each time.
    let draw = RandomState::new().build_hasher().finish() % 1_024;
    DELAY + DELAY.mul_f64(draw as f64 / 1_024.0)
}

/// How long after it was read a wide revocation may be on its way to other shards: longer than a write may
/// take, and than a copy may be old.
const DELAY: Duration = defaults::WRITE_TIMEOUT;

/// How many are looked after at a time.
const AT_ONCE: usize = 256;

/// How many are remembered, to be completed and to be put back as what they are.
const MOST: usize = 100_000;

const SHORTEST_LIFE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, revocation::Dimension};

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn what_was_read_is_due_later_and_again_until_it_is_settled() {
        let wides = Wides::default();
        let digest = Digest::of(&Dimension::Key, "iss", b"k");
        let (low, high) = (Timestamp::from_millis(1), Timestamp::from_millis(2));
        wides.heard(digest, Cutoff::At(low), Life::whole(HOUR));
        let now = Instant::now();
        assert!(wides.due(now).is_empty());
        let later = now + 2 * DELAY;
        assert_eq!(wides.due(later).len(), 1);
        assert!(wides.due(later).is_empty());
        // One that rose meanwhile is not settled by what was seen before.
        wides.heard(digest, Cutoff::At(high), Life::whole(HOUR));
        wides.settle(&digest, Cutoff::At(low));
        let due = wides.due(later + 2 * DELAY);
        assert_eq!(due[0].1, Cutoff::At(high));
        wides.settle(&digest, Cutoff::At(high));
        assert!(wides.due(later + 8 * DELAY).is_empty());
        assert!(wides.is_known(&digest));
    }

    #[test]
    fn what_no_token_needs_any_more_is_not_completed() {
        let wides = Wides::default();
        let digest = Digest::of(&Dimension::Key, "iss", b"k");
        wides.heard(digest, Cutoff::Forever, Life::whole(HOUR));
        let at_its_end = Instant::now() + HOUR - SHORTEST_LIFE;
        assert!(wides.due(at_its_end).is_empty());
        // Sessions go on, and what is to end them.
        let life = Life {
            kept: 24 * HOUR,
            needed: HOUR,
        };
        wides.heard(digest, Cutoff::Forever, life);
        assert_eq!(wides.due(at_its_end + HOUR).len(), 1);
    }
}
