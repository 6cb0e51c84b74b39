//! Ending sessions.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    clock::{Timestamp, millis},
    defaults,
    revocation::Shard,
    session::AttemptId,
    store::{
        EndedAll, Ending, EndingAll, EndingOthers, StoreError, Transitioned,
        redis::{
            Inner,
            keys::{LAYOUT, is_session},
            lookup::read_cutoff,
            reply::Reply,
            revoke::brief,
            scripts::{END, END_ALL, END_OTHERS},
            session::{
                Confirmation, Step, read_entry, read_sessions,
                record::{attempt_bytes, exact, pack},
            },
            shard::Probe,
            words::Words,
        },
    },
    token::SessionId,
};

impl Inner {
    pub(super) async fn end(
        self: &Arc<Self>,
        ending: &Ending<'_>,
    ) -> Result<Transitioned, StoreError> {
        let shard = ending.index.shard;
        if !is_session(ending.session) {
            return Ok(Transitioned::Ended(Vec::new()));
        }
        let step = self.end_step(ending)?;
        let (answer, confirmed) = self.take_confirmed(step, &END).await?;
        let ended = self.read_ended(shard, &answer, ending.session);
        let ended = ended.ok_or_else(|| self.odd(&answer))?;
        done(ended, confirmed)
    }

    /// Ends a session that was opened just now and of which nobody is told, if that can be.
    pub(super) async fn take_back(self: &Arc<Self>, ending: &Ending<'_>) {
        let taken_back = async {
            let step = self.end_step(ending)?.with(Confirmation::Unneeded);
            let answer = self.take(step, &END).await?;
            self.read_ended(ending.index.shard, &answer, ending.session)
                .ok_or_else(|| self.odd(&answer))
        };
        if let Err(error) = taken_back.await {
            tracing::debug!(%error, "a session that nobody holds stays open");
        }
    }

    fn end_step(self: &Arc<Self>, ending: &Ending<'_>) -> Result<Step, StoreError> {
        let (index, session) = (&ending.index, ending.session);
        let mut step = self.step_with(index, Some(session), [&ending.entry], |words| {
            self.keys.add_ended(words, index.shard, session);
        })?;
        step.word(session.as_str());
        step.word(ending.entry.hex());
        step.word(pack(ending.owner.as_str()));
        step.word(brief(ending.cause));
        step.word(attempt_bytes(AttemptId::random()));
        // Who was told that it is not confirmed is to ask again.
        let may_be_unconfirmed = self.commits.is_some();
        step.word(if may_be_unconfirmed { "again" } else { "" });
        Ok(step)
    }

    fn read_ended(
        &self,
        shard: Shard,
        answer: &[Reply],
        session: &SessionId,
    ) -> Option<Transitioned> {
        let [_, _, word, written] = answer else {
            return None;
        };
        self.remember(shard, written)?;
        match word.text()? {
            "ended" => Some(Transitioned::Ended(vec![session.clone()])),
            "again" => Some(Transitioned::EndedBefore),
            "none" => Some(Transitioned::Ended(Vec::new())),
            _ => None,
        }
    }

    pub(super) async fn end_others(
        self: &Arc<Self>,
        ending: &EndingOthers<'_>,
    ) -> Result<Transitioned, StoreError> {
        let shard = ending.index.shard;
        // What this process knows needs nobody's confirmation.
        let own = self.replica.find_own(&ending.lookup());
        if own.covering(ending.born_at).is_some() {
            return Ok(Transitioned::Covered);
        }
        let step = self.end_others_step(ending, "end")?;
        let (answer, confirmed) = self.take_confirmed(step, &END_OTHERS).await?;
        let read = self.read_others(shard, &answer, ending);
        let Some((mut ended, mut more)) = read.ok_or_else(|| self.odd(&answer))? else {
            // Nothing was written.
            return Ok(Transitioned::Covered);
        };
        while more {
            // Others are to be served in between, and all is safe without it.
            sleep(BREATH).await;
            let forgotten = async {
                let step = self.end_others_step(ending, "forget")?;
                let step = step.with(Confirmation::Unneeded);
                let answer = self.take(step, &END_OTHERS).await?;
                self.read_others(shard, &answer, ending)
                    .flatten()
                    .ok_or_else(|| self.odd(&answer))
            };
            match forgotten.await {
                Ok((sessions, is_more)) => {
                    ended.extend(sessions);
                    more = is_more;
                }
                Err(error) => {
                    tracing::debug!(%error, %shard, "records of sessions that have ended stay until they lapse");
                    more = false;
                }
            }
        }
        done(Transitioned::Ended(ended), confirmed)
    }

    fn end_others_step(
        self: &Arc<Self>,
        ending: &EndingOthers<'_>,
        verb: &str,
    ) -> Result<Step, StoreError> {
        let index = &ending.index;
        let named = [index.others, ending.kept, index.subject];
        let rest = ending.covering.iter().filter(|d| !named.contains(d));
        let mut step = self.step(index, None, named.iter().chain(rest))?;
        step.word(ending.keep.as_str());
        step.number(exact(ending.born_at));
        step.word(index.others.hex());
        step.word(ending.kept.hex());
        step.word(brief(ending.subject.as_str()));
        step.word(brief(ending.cause));
        step.number(SLICE);
        step.word(verb);
        Ok(step)
    }

    /// The sessions that ended and whether there may be more; `None` within if nothing was written.
    fn read_others(
        &self,
        shard: Shard,
        answer: &[Reply],
        ending: &EndingOthers<'_>,
    ) -> Option<Option<(Vec<SessionId>, bool)>> {
        let [_, _, word, rest @ ..] = answer else {
            return None;
        };
        match (word.text()?, rest) {
            ("covered", []) => Some(None),
            ("ended", [more, ended, written]) => {
                self.remember(shard, written)?;
                let Reply::List(written) = written else {
                    return None;
                };
                for entry in written.chunks(3) {
                    let (digest, cutoff, life) = read_entry(entry)?;
                    if digest == ending.kept {
                        // Tokens need it as long as the session lives.
                        self.keep_own(shard, digest, cutoff, life, true);
                    }
                }
                Some(Some((read_sessions(ended)?, more.text()? == "more")))
            }
            _ => None,
        }
    }

    pub(super) async fn end_all(
        self: &Arc<Self>,
        ending: &EndingAll<'_>,
    ) -> Result<Transitioned, StoreError> {
        let index = &ending.index;
        let shard = index.shard;
        let least = self.least_horizons();
        let mut words: Words = self.keys.of_script(shard);
        self.keys.add_user(&mut words, shard, &index.subject);
        self.keys.add_deny(&mut words, shard, &index.subject);
        words.word(LAYOUT);
        words.number(millis(least.access));
        words.number(millis(least.session));
        words.number(defaults::AUDIT_ENTRIES);
        self.keys.add_before_session(&mut words, shard);
        words.word(index.subject.hex());
        words.word(brief(index.issuer));
        words.word(brief(ending.subject.as_str()));
        words.word(brief(ending.cause.unwrap_or_default()));
        words.word(brief(ending.actor.unwrap_or_default()));
        let deadline = self.deadline();
        let write = || self.write_durably(shard, &END_ALL, &words, deadline);
        let (answer, confirmed) = match write().await {
            Err(StoreError::ShardLost { .. }) => {
                let state = self.state(shard, Probe::Look, deadline).await?;
                self.notice(shard, Some(&state.epoch));
                write().await?
            }
            answer => answer?,
        };
        let ended = self.read_ended_all(shard, &answer);
        let ended = ended.ok_or_else(|| self.odd(&answer))?;
        done(Transitioned::EndedAll(ended), confirmed)
    }

    fn read_ended_all(&self, shard: Shard, answer: &[Reply]) -> Option<EndedAll> {
        let [_, now, sessions, before, written] = answer else {
            return None;
        };
        self.remember(shard, written)?;
        let at = self.used(shard, Timestamp::from_millis(now.number()?));
        let before = match before {
            Reply::Text(none) if none.is_empty() => None,
            before => read_cutoff(before).ok()?,
        };
        Some(EndedAll::new(at, sessions.number()?, before))
    }
}

/// What was done, or the error of what was done and is not confirmed.
fn done(
    transitioned: Transitioned,
    confirmed: Result<(), StoreError>,
) -> Result<Transitioned, StoreError> {
    match confirmed {
        Ok(()) => Ok(transitioned),
        Err(error) => Err(error.having_done(transitioned)),
    }
}

/// How many sessions one script forgets, and how long the server may breathe after it: checks of others
/// wait as long as a script runs.
const SLICE: u64 = 256;
const BREATH: Duration = Duration::from_millis(2);
