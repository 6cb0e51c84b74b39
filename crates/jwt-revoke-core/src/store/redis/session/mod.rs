//! Sessions: each step is one script over keys of one slot.

mod end;
mod list;
mod open;
mod packed;
pub(super) mod record;
mod rotate;

use std::{sync::Arc, time::Duration};

use crate::{
    clock::millis,
    defaults,
    revocation::{Cutoff, Cutoffs, Digest, Shard},
    store::{
        Index, StoreError, Transition, Transitioned,
        redis::{
            Inner,
            keys::LAYOUT,
            lookup::read_cutoff,
            reply::Reply,
            revoke::brief,
            scripts::{MARK, Script},
            words::Words,
        },
    },
    token::SessionId,
};

/// A script's keys and arguments; those come first that all scripts about sessions share.
struct Step {
    shard: Shard,
    words: Words,
    confirmation: Confirmation,
}

/// Whether a caller is told of a step before it is as durable as the store is asked to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Confirmation {
    /// Not until then: without it the step is an error.
    Needed,
    /// It is waited for, and done without. A refresh that is refused after it was written is asked for
    /// again, and after the grace that looks like theft; one that a failover forgets is caught up with.
    Hoped,
    /// Nobody waits: nothing is changed, or nobody is told.
    Unneeded,
}

impl Inner {
    /// Takes a step in the life of sessions. One whose answer is lost is sent again as it is, until
    /// the write has taken too long.
    pub(super) async fn transition(
        self: &Arc<Self>,
        transition: &Transition<'_>,
    ) -> Result<Transitioned, StoreError> {
        self.is_started()?;
        match *transition {
            Transition::Open(opening) => self.open(opening).await.map(Transitioned::Opened),
            Transition::Look(rotating) => {
                let outcome = self.rotate(rotating, "look").await?;
                Ok(Transitioned::Rotated(outcome))
            }
            Transition::Rotate(rotating) => {
                let outcome = self.rotate(rotating, "rotate").await?;
                Ok(Transitioned::Rotated(outcome))
            }
            Transition::Judge(rotating) => {
                let outcome = self.rotate(rotating, "judge").await?;
                Ok(Transitioned::Rotated(outcome))
            }
            Transition::End(ending) => self.end(ending).await,
            Transition::EndOthers(ending) => self.end_others(ending).await,
            Transition::EndAll(ending) => self.end_all(ending).await,
            Transition::List(index) => self.list(index).await.map(Transitioned::Listed),
            Transition::MarkPrivileges(index) => {
                let step = self.step(index, None, [])?;
                self.take(step, &MARK).await?;
                Ok(Transitioned::Marked)
            }
        }
    }

    /// The keys and arguments that `session.lua` names: the record of `session`, if there is one, and
    /// `entries` are read at the start.
    fn step<'d>(
        self: &Arc<Self>,
        index: &Index<'_>,
        session: Option<&SessionId>,
        entries: impl IntoIterator<Item = &'d Digest>,
    ) -> Result<Step, StoreError> {
        self.step_with(index, session, entries, |_| {})
    }

    /// The same, and the keys that `more` adds.
    fn step_with<'d>(
        self: &Arc<Self>,
        index: &Index<'_>,
        session: Option<&SessionId>,
        entries: impl IntoIterator<Item = &'d Digest>,
        more: impl FnOnce(&mut Words),
    ) -> Result<Step, StoreError> {
        let shard = index.shard;
        // What this process remembers may still be missing there.
        let Some(epoch) = self.healing.epoch(shard) else {
            self.notice(shard, None);
            return Err(StoreError::ShardLost {
                store: self.name.clone(),
                shard,
                healing: true,
                known: Cutoffs::NONE,
            });
        };
        let mut words = self.keys.of_script(shard);
        self.keys.add_user(&mut words, shard, &index.subject);
        if let Some(session) = session {
            self.keys.add_session(&mut words, shard, session);
        }
        for entry in entries {
            self.keys.add_deny(&mut words, shard, entry);
        }
        more(&mut words);
        let least = self.least_horizons();
        words.word(LAYOUT);
        words.number(millis(least.access));
        words.number(millis(least.session));
        words.word(epoch);
        words.number(defaults::AUDIT_ENTRIES);
        words.word(brief(index.issuer));
        self.keys.add_before_session(&mut words, shard);
        self.keys.add_before_digest(&mut words, shard);
        words.number(millis(defaults::HORIZON_MARGIN));
        Ok(Step {
            shard,
            words,
            confirmation: Confirmation::Needed,
        })
    }

    async fn take(
        self: &Arc<Self>,
        step: Step,
        script: &'static Script,
    ) -> Result<Vec<Reply>, StoreError> {
        let (answer, confirmed) = self.take_confirmed(step, script).await?;
        confirmed.map(|()| answer)
    }

    /// The same, with the answer beside the error where a step was written and not confirmed.
    async fn take_confirmed(
        self: &Arc<Self>,
        step: Step,
        script: &'static Script,
    ) -> Result<(Vec<Reply>, Result<(), StoreError>), StoreError> {
        let Step {
            shard,
            words,
            confirmation,
        } = step;
        let deadline = self.deadline();
        let answer = if confirmation == Confirmation::Unneeded {
            let answer = self.write(shard, script, &words, deadline).await;
            answer.map(|answer| (answer, Ok(())))
        } else {
            self.write_durably(shard, script, &words, deadline).await
        };
        if let Err(StoreError::ShardLost { healing: false, .. }) = &answer {
            self.notice(shard, None);
        }
        let (answer, confirmed) = answer?;
        if answer.get(1).and_then(Reply::number).is_none() {
            return Err(self.odd(&answer));
        }
        if let (Err(_), Some(written @ Reply::List(_))) = (&confirmed, answer.last()) {
            // What was revoked stays so here, confirmed or not.
            self.remember(shard, written);
        }
        match confirmed {
            Err(error) if confirmation == Confirmation::Hoped => {
                tracing::debug!(%error, %shard, "a refresh is not confirmed");
                Ok((answer, Ok(())))
            }
            confirmed => Ok((answer, confirmed)),
        }
    }

    /// Remembers entries that a step wrote, as if they had been revoked by hand; `None` if they
    /// cannot be read.
    fn remember(&self, shard: Shard, written: &Reply) -> Option<()> {
        let Reply::List(written) = written else {
            return None;
        };
        let entries: Option<Vec<_>> = written.chunks(3).map(read_entry).collect();
        for (digest, cutoff, life) in entries? {
            self.keep_own(shard, digest, cutoff, life, false);
        }
        Some(())
    }
}

impl Step {
    fn with(self, confirmation: Confirmation) -> Self {
        Self {
            confirmation,
            ..self
        }
    }

    fn word(&mut self, word: impl AsRef<[u8]>) {
        self.words.word(word);
    }

    fn number(&mut self, number: u64) {
        self.words.number(number);
    }
}

fn read_entry(entry: &[Reply]) -> Option<(Digest, Cutoff, Duration)> {
    let [digest, cutoff, life] = entry else {
        return None;
    };
    Some((
        record::digest(digest.text()?)?,
        read_cutoff(cutoff).ok()??,
        Duration::from_millis(life.number()?),
    ))
}

fn read_sessions(list: &Reply) -> Option<Vec<SessionId>> {
    let Reply::List(list) = list else {
        return None;
    };
    let sessions = list.iter().map(|session| session.text().map(Into::into));
    sessions.collect()
}
