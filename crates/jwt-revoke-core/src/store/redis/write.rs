//! Running scripts that write, until they are answered or have taken too long.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    revocation::{Cutoffs, Shard},
    store::{
        StoreError,
        redis::{
            Inner,
            commit::Committed,
            failure::{Failure, Purpose},
            keys::shard_slot,
            reply::Reply,
            scripts::Script,
            words::Words,
        },
    },
};

impl Inner {
    /// Runs a script that changes what a caller is told, and waits until that is as durable as asked for.
    /// What is written and not confirmed is an error beside the answer.
    pub(super) async fn write_durably(
        &self,
        shard: Shard,
        script: &'static Script,
        words: &Words,
        deadline: Instant,
    ) -> Result<(Vec<Reply>, Result<(), StoreError>), StoreError> {
        let slot = shard_slot(shard);
        let epoch = self.keys.epoch(shard);
        let written = self.send_durably(slot, &epoch, script, words, deadline);
        let (answer, confirmed) = written.await?;
        Ok((self.accepted(shard, answer)?, confirmed))
    }

    /// Runs a script on the primary of `shard`. One whose answer is lost is sent again until the
    /// deadline, so it must be idempotent.
    pub(super) async fn write(
        &self,
        shard: Shard,
        script: &'static Script,
        words: &Words,
        deadline: Instant,
    ) -> Result<Vec<Reply>, StoreError> {
        let answer = self
            .send_script(shard_slot(shard), script, words, deadline)
            .await?;
        self.accepted(shard, answer)
    }

    /// Answers in words about the whole shard become errors.
    pub(super) fn accepted(
        &self,
        shard: Shard,
        answer: Vec<Reply>,
    ) -> Result<Vec<Reply>, StoreError> {
        match answer.first().and_then(Reply::text) {
            Some("ok" | "here" | "created" | "ahead") => {
                self.layouts.is_ours(shard);
                Ok(answer)
            }
            Some(word @ ("lost" | "healing")) => Err(StoreError::ShardLost {
                store: self.name.clone(),
                shard,
                healing: word == "healing",
                known: Cutoffs::NONE,
            }),
            Some("layout") => {
                let found = answer.get(1).and_then(Reply::text).unwrap_or("?");
                Err(self.found_layout(shard, found))
            }
            _ => Err(self.odd(&answer)),
        }
    }

    /// Sends a script, again and again until there is an answer or the deadline has passed.
    pub(super) async fn send_script(
        &self,
        slot: u16,
        script: &'static Script,
        words: &Words,
        deadline: Instant,
    ) -> Result<Vec<Reply>, StoreError> {
        let bound = (self.settings.write_timeout / 3).max(SHORTEST_PAUSE);
        let run = || self.writes.run(slot, script, words, bound, deadline);
        self.until_answered(deadline, run).await
    }

    /// The same for a script over `key`, or another in its slot, and its confirmation.
    pub(super) async fn send_durably(
        &self,
        slot: u16,
        key: &str,
        script: &'static Script,
        words: &Words,
        deadline: Instant,
    ) -> Result<(Vec<Reply>, Result<(), StoreError>), StoreError> {
        let Some(commits) = &self.commits else {
            let answer = self.send_script(slot, script, words, deadline).await?;
            return Ok((answer, Ok(())));
        };
        let mark = self.keys.beside(key, "committed");
        let routes = self.cluster.then_some(&self.writes);
        let run = || async {
            let committed = commits.run(routes, slot, mark.clone(), script, words);
            // A group that waits is waited for no longer than this write may take.
            let late = Failure::TimedOut(self.settings.write_timeout);
            timeout_at(deadline, committed).await.unwrap_or(Err(late))
        };
        let Committed { answer, missing } = self.until_answered(deadline, run).await?;
        let confirmed = missing.map_or(Ok(()), |confirmed| {
            Err(StoreError::Unconfirmed {
                store: self.name.clone(),
                confirmed,
                done: None,
            })
        });
        Ok((answer, confirmed))
    }

    /// Tries again and again until there is an answer or the deadline has passed.
    async fn until_answered<T, F>(
        &self,
        deadline: Instant,
        run: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let whole = self.settings.write_timeout;
        let mut pause = SHORTEST_PAUSE;
        let answer = loop {
            match run().await {
                Err(failure) if failure.is_transient() && Instant::now() + pause < deadline => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(Failure::TimedOut(_)) => break Err(Failure::TimedOut(whole)),
                // Reads are not refused by a primary that was demoted: they would stay with it.
                Err(failure) if failure.is_read_only() => {
                    self.checks.look_for_the_primary();
                    break Err(failure);
                }
                answer => break answer,
            }
        };
        answer.map_err(|failure| failure.into_error(&self.name, Purpose::Write))
    }

    /// When a write that starts now has taken too long.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.write_timeout
    }

    pub(super) fn odd(&self, answer: &[Reply]) -> StoreError {
        Failure::odd(format!("a script answered {answer:?}")).into_error(&self.name, Purpose::Write)
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
