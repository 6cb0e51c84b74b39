//! Ending sessions.

use std::sync::Arc;

use crate::{
    revocation::Shard,
    session::AttemptId,
    store::{
        Ending, EndingOthers, Index, StoreError,
        redis::{
            Inner,
            keys::is_session,
            reply::Reply,
            revoke::brief,
            scripts::{END, END_OTHERS},
            session::{
                Confirmation, Step, read_sessions,
                record::{attempt_bytes, pack},
            },
        },
    },
    token::SessionId,
};

impl Inner {
    pub(super) async fn end(
        self: &Arc<Self>,
        ending: &Ending<'_>,
    ) -> Result<Vec<SessionId>, StoreError> {
        let shard = ending.index.shard;
        if !is_session(ending.session) {
            return Ok(Vec::new());
        }
        let step = self.end_step(ending)?;
        let answer = self.take(step, &END).await?;
        self.read_ended(shard, &answer)
    }

    /// Ends a session that was opened just now and of which nobody is told, if that can be.
    pub(super) async fn take_back(self: &Arc<Self>, ending: &Ending<'_>) {
        let taken_back = async {
            let step = self.end_step(ending)?.with(Confirmation::Unneeded);
            let answer = self.take(step, &END).await?;
            self.read_ended(ending.index.shard, &answer)
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

    pub(super) async fn end_others(
        self: &Arc<Self>,
        ending: &EndingOthers<'_>,
    ) -> Result<Vec<SessionId>, StoreError> {
        let Index { shard, subject, .. } = ending.index;
        let mut step = self.step(&ending.index, None, [&subject])?;
        step.word(ending.keep.as_str());
        step.word(brief(ending.cause));
        let answer = self.take(step, &END_OTHERS).await?;
        self.read_ended(shard, &answer)
    }

    fn read_ended(&self, shard: Shard, answer: &[Reply]) -> Result<Vec<SessionId>, StoreError> {
        let read = || {
            let [_, _, ended, written] = answer else {
                return None;
            };
            self.remember(shard, written)?;
            read_sessions(ended)
        };
        read().ok_or_else(|| self.odd(answer))
    }
}
