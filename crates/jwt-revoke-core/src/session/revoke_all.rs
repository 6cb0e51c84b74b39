//! Ending everything that a user holds.

use super::sessions::odd_answer;
use crate::{
    clock::Timestamp,
    defaults,
    finish::finished,
    session::{EndError, Event, EventKind, IssueError, Sessions, issue::checked_id},
    store::{EndedAll, EndingAll, Transition, Transitioned},
    token::Subject,
};

impl Sessions {
    /// Ends everything a user holds up to now: log out everywhere, a password that was reset, a ban. Also
    /// what has no record here, and logins that have begun. Takes the same time whatever the number of
    /// sessions.
    ///
    /// Takes the user's `sub`, or a [`RevokeAll`] that also says why and by whom. The answer tells how many
    /// sessions were known: 0 for a user who has none, and for a name that is mistyped.
    ///
    /// ```
    /// # use jwt_revoke_core::session::{EndError, RevokeAll, Sessions};
    /// # async fn example(sessions: &Sessions) -> Result<(), EndError> {
    /// let ban = RevokeAll::of("alice").because("chargeback").by("support:bob");
    /// if sessions.revoke_all(ban).await?.sessions == 0 {
    ///     println!("alice was not logged in; is that the user's `sub`?");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`EndError::Subject`] for a name that no token has; [`EndError::Store`] when the store did not
    /// confirm: the tokens may still work, so try again.
    #[doc(alias = "nuclear")]
    #[doc(alias = "ban")]
    pub async fn revoke_all(&self, target: impl Into<RevokeAll>) -> Result<RevokedAll, EndError> {
        let (sessions, target) = (self.clone(), target.into());
        finished(async move { sessions.try_revoke_all(target).await }).await
    }

    async fn try_revoke_all(&self, target: RevokeAll) -> Result<RevokedAll, EndError> {
        checked_id(target.subject.as_str(), IssueError::Subject).map_err(|_| EndError::Subject)?;
        let ending = EndingAll {
            index: self.0.index(&target.subject),
            subject: &target.subject,
            cause: target.cause.as_deref().or(Some(CAUSE)),
            actor: target.actor.as_deref(),
        };
        let answer = self.0.transition(Transition::EndAll(&ending)).await;
        // Told also where it is not confirmed: it has happened, and a repetition finds nothing to end.
        let done = match &answer {
            Ok(done) => Some(done),
            Err(error) => error.done(),
        };
        if let Some(Transitioned::EndedAll(ended)) = done {
            let mut event = Event::new(EventKind::RevokedAll(ended.at), &target.subject);
            event.cause = Some(target.cause.unwrap_or_else(|| CAUSE.into()));
            event.actor = target.actor;
            if is_repetition(ended) {
                self.0.log(&event);
            } else {
                self.0.tell(&event);
            }
        }
        match answer? {
            Transitioned::EndedAll(ended) => Ok(RevokedAll {
                at: ended.at,
                sessions: ended.sessions,
            }),
            _ => Err(odd_answer().into()),
        }
    }
}

/// Whether the same was asked a moment ago and there was nothing more to end.
fn is_repetition(ended: &EndedAll) -> bool {
    let lately = ended.at.saturating_sub(defaults::REVOKE_ALL_REPEATED);
    ended.sessions == 0 && ended.before.is_some_and(|before| before.covers(lately))
}

/// Whose sessions [`Sessions::revoke_all`] ends, why and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing ends until it is given to `Sessions::revoke_all`"]
pub struct RevokeAll {
    subject: Subject,
    cause: Option<Box<str>>,
    actor: Option<Box<str>>,
}

impl RevokeAll {
    /// Everything that this user holds up to now.
    pub fn of(subject: impl Into<Subject>) -> Self {
        Self {
            subject: subject.into(),
            cause: None,
            actor: None,
        }
    }

    /// Why, for the audit stream, the event and the log.
    pub fn because(mut self, cause: impl Into<Box<str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Who asks for it, for the same.
    pub fn by(mut self, actor: impl Into<Box<str>>) -> Self {
        self.actor = Some(actor.into());
        self
    }
}

impl From<Subject> for RevokeAll {
    fn from(subject: Subject) -> Self {
        Self::of(subject)
    }
}

impl From<&Subject> for RevokeAll {
    fn from(subject: &Subject) -> Self {
        Self::of(subject.clone())
    }
}

impl From<&str> for RevokeAll {
    fn from(subject: &str) -> Self {
        Self::of(subject)
    }
}

impl From<String> for RevokeAll {
    fn from(subject: String) -> Self {
        Self::of(subject)
    }
}

/// What [`Sessions::revoke_all`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevokedAll {
    /// Everything the user held up to this instant of the store.
    pub at: Timestamp,
    /// How many sessions of the user were known. Tokens without a session ended too.
    pub sessions: u64,
}

/// Why, where the caller does not say.
const CAUSE: &str = "log out everywhere";
