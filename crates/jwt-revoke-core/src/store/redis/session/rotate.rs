//! Exchanging a refresh token, or saying what that would do.

use std::sync::Arc;

use tokio::time::timeout;

use crate::{
    clock::millis,
    revocation::Shard,
    session::{Outcome, ReuseScope},
    store::{
        Rotating, StoreError,
        redis::{
            Inner,
            keys::is_session,
            reply::Reply,
            revoke::{brief, round_up_millis},
            scripts::ROTATE,
            session::{
                Confirmation,
                packed::{MOST, Packing},
                record::{self, attempt_bytes, identifier},
            },
        },
    },
};

impl Inner {
    /// `verb` is `rotate`, or `look` to change nothing.
    pub(super) async fn rotate(
        self: &Arc<Self>,
        rotating: &Rotating<'_>,
        verb: &str,
    ) -> Result<Outcome, StoreError> {
        let Rotating { presented, .. } = rotating;
        // Row 1: needs no store.
        let presenter = presented.presenter.as_ref();
        if presenter.is_some_and(|presenter| *presenter != presented.client) {
            return Ok(Outcome::Refused);
        }
        // Row 3, for what nobody of us ever issued.
        if !is_session(rotating.session) || presented.generation >= MOST {
            return Ok(Outcome::Unknown);
        }
        // Row 2: what this process knows needs no confirmation. It may be what a script wrote before it failed
        // in its middle, which must be finished, and reported.
        let own = self.replica.find_own(&rotating.lookup());
        if own.covering(rotating.born_at).is_some() {
            if verb == "look" {
                return Ok(Outcome::Ended);
            }
            // A store that hangs is not waited for long.
            let bound = self.settings.write_timeout / 4;
            let finished = timeout(bound, self.send_rotation(rotating, "finish")).await;
            return Ok(finished.ok().and_then(Result::ok).unwrap_or(Outcome::Ended));
        }
        self.send_rotation(rotating, verb).await
    }

    async fn send_rotation(
        self: &Arc<Self>,
        rotating: &Rotating<'_>,
        verb: &str,
    ) -> Result<Outcome, StoreError> {
        let Rotating {
            index,
            presented,
            proposal,
            policy,
            ..
        } = rotating;
        let shard = index.shard;
        let at = |index: usize| rotating.covering.get(index).copied();
        // Without the exception the user's entry stands for both: it covers what it covers anyway.
        let exception = rotating
            .exception
            .and_then(|exception| Some([at(exception.others)?, at(exception.kept)?]));
        let [others, kept] = exception.unwrap_or([index.subject; 2]);
        let named = [rotating.entry, index.subject, others, kept];
        let rest = rotating.covering.iter().filter(|d| !named.contains(d));
        let entries = named.iter().chain(rest);
        let session = Some(rotating.session);
        let mut step = self.step_with(index, session, entries, |words| {
            self.keys.add_ending(words, shard, rotating.session);
        })?;
        step.word(verb);
        let mut packing = Packing::new();
        packing
            .instant(rotating.born_at)
            .number(presented.generation)
            .number(millis(proposal.access_lifetime))
            .number(round_up_millis(policy.grace))
            .number(millis(policy.idle_lifetime));
        identifier(&mut packing, presented.jti.as_str());
        packing.bytes(&attempt_bytes(rotating.attempt));
        step.word(packing);
        let mut whose = Packing::new();
        whose
            .text(&rotating.entry.hex())
            .text(presented.client.as_str().as_bytes());
        step.word(whose);
        let mut next = Packing::new();
        identifier(&mut next, proposal.refresh.as_str());
        identifier(&mut next, proposal.access.as_str());
        step.word(next);
        step.word(match policy.reuse {
            ReuseScope::User => "user",
            ReuseScope::Session => "session",
            ReuseScope::Refuse => "refuse",
        });
        step.word(brief(rotating.subject.as_str()));
        let step = step.with(match verb {
            "look" => Confirmation::Unneeded,
            _ => Confirmation::Hoped,
        });
        let answer = self.take(step, &ROTATE).await?;
        self.read_outcome(shard, &answer)
            .ok_or_else(|| self.odd(&answer))
    }

    fn read_outcome(&self, shard: Shard, answer: &[Reply]) -> Option<Outcome> {
        let [_, _, word, rest @ ..] = answer else {
            return None;
        };
        if let Some(written) = rest.get(1) {
            self.remember(shard, written)?;
        }
        let identity = || match rest {
            [Reply::Text(record)] => record::read_identity(record),
            _ => None,
        };
        Some(match word.text()? {
            "refused" => Outcome::Refused,
            "ended" => Outcome::Ended,
            "unknown" => Outcome::Unknown,
            "expired" => Outcome::Expired,
            "rotated" => Outcome::Rotated(identity()?),
            "retried" => Outcome::Retried(identity()?),
            "superseded" => Outcome::Superseded,
            "forked" => Outcome::Forked,
            "recovered" => Outcome::Recovered(identity()?),
            "reused" => Outcome::Reused,
            _ => return None,
        })
    }
}
