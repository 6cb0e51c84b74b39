//! Ending sessions.

use std::sync::Arc;

use crate::{
    revocation::Shard,
    store::{
        Ending, EndingOthers, Index, StoreError,
        redis::{
            Inner,
            client::Reply,
            keys::is_session,
            revoke::brief,
            scripts::{END, END_OTHERS},
            session::{read_sessions, record::pack},
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
        let mut step = self.step(&ending.index, Some(ending.session), [&ending.entry])?;
        step.word(ending.session.as_str());
        step.word(ending.entry.hex());
        step.word(pack(ending.owner.as_str()));
        step.word(brief(ending.cause));
        let answer = self.take(step, &END).await?;
        self.read_ended(shard, &answer)
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
