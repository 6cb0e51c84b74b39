//! Opening a session.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    clock::{Timestamp, millis},
    defaults,
    revocation::Shard,
    session::WhenFull,
    store::{
        Ending, Opened, Opening, StoreError, Transitioned,
        redis::{
            Inner,
            keys::is_session,
            reply::Reply,
            scripts::OPEN,
            session::{
                read_sessions,
                record::{self, attempt_bytes, exact},
            },
            shard::LONGEST_WAIT,
        },
    },
};

impl Inner {
    pub(super) async fn open(
        self: &Arc<Self>,
        opening: &Opening<'_>,
    ) -> Result<Opened, StoreError> {
        let Opening { index, record, .. } = opening;
        let shard = index.shard;
        if !is_session(opening.session) {
            return Err(StoreError::Failed {
                store: self.name.clone(),
                reason: "the identifier of the session is none of ours".to_owned(),
            });
        }
        let entries = [&record.entry, &index.subject, &index.others].into_iter();
        let entries = entries.chain(opening.covering);
        let mut step = self.step(index, Some(opening.session), entries)?;
        step.word(opening.session.as_str());
        step.number(exact(record.opened_at));
        step.number(exact(opening.since));
        let (limit, when_full) = match opening.cap {
            Some(cap) => (cap.limit.max(1), cap.when_full),
            None => (0, WhenFull::EvictOldest),
        };
        step.number(limit.into());
        step.word(match when_full {
            WhenFull::EvictOldest => "evict",
            WhenFull::Refuse => "refuse",
        });
        step.number(millis(defaults::MAX_OPENING_AGE));
        match record.attempt.map(attempt_bytes) {
            Some(attempt) => step.word(attempt),
            None => step.word(""),
        }
        step.number(exact(record.idle_deadline));
        step.word(record::write(record));
        let (answer, confirmed) = self.take_confirmed(step, &OPEN).await?;
        let (opened, ahead) = self
            .read_opened(shard, &answer)
            .ok_or_else(|| self.odd(&answer))?;
        if let Err(error @ StoreError::Unconfirmed { .. }) = confirmed {
            // Or logins that are tried again would push out sessions that somebody holds.
            self.take_back(&Ending {
                index: opening.index,
                session: opening.session,
                entry: record.entry,
                owner: &record.subject,
                cause: "not confirmed",
            })
            .await;
            return Err(error.having_done(Transitioned::Opened(opened)));
        }
        confirmed?;
        match opened {
            // Waited for: logins and sign-outs of one user, in turns and faster than once a millisecond, would
            // run ahead of the clock.
            Opened::OpenAt(_) => sleep(ahead.min(LONGEST_WAIT)).await,
            Opened::Opened(_) => drop(self.used(shard, record.opened_at)),
            _ => {}
        }
        Ok(opened)
    }

    /// What became of it, and how far ahead of the server's clock an instant is that it names.
    fn read_opened(&self, shard: Shard, answer: &[Reply]) -> Option<(Opened, Duration)> {
        let [_, _, word, rest @ ..] = answer else {
            return None;
        };
        let mut ahead = Duration::ZERO;
        let opened = match (word.text()?, rest) {
            ("opened", [ended, written]) => {
                self.remember(shard, written)?;
                Opened::Opened(read_sessions(ended)?)
            }
            ("stale", []) => Opened::Stale,
            ("full", []) => Opened::Full,
            ("revoked", [index]) => Opened::Revoked(usize::try_from(index.number()?).ok()?),
            ("open_at", [at, left]) => {
                ahead = Duration::from_millis(left.number()?);
                Opened::OpenAt(Timestamp::from_millis(at.number()?))
            }
            _ => return None,
        };
        Some((opened, ahead))
    }
}
