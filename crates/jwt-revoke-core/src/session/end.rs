//! Ending sessions, and listing them.

use super::sessions::{Inner, odd_answer};
use crate::{
    clock::Timestamp,
    defaults,
    finish::finished,
    guard::Access,
    revocation::{Cutoffs, Digest, Dimension, Placement},
    session::{Cause, Event, EventKind, Record, Sessions},
    store::{
        Ending, EndingOthers, Exception, Index, Lookup, Reach, Revocation, Revoked, StoreError,
        Transition, Transitioned,
    },
    token::{ClientId, SessionId, Subject, TokenKind},
    verify::{BornAt, Verified, Verifier, VerifyError},
};

impl Sessions {
    /// Ends the session of a token, be it an access or a refresh token of any generation, with a record
    /// or without. All tokens of the session are dead when this returns.
    ///
    /// Whatever is genuine counts (signature, issuer, audience, kind), in force or not: a token that has
    /// lapsed, that was issued under longer or shorter lifetimes, or that a clock dated ahead. Keys that
    /// are announced or retiring verify too.
    ///
    /// # Errors
    ///
    /// [`EndError::Invalid`] for a token that is not genuine, which ends nothing;
    /// [`EndError::Store`] when the store did not confirm.
    pub async fn logout(&self, token: &str) -> Result<(), EndError> {
        let verified = self.0.any_of_ours(token).map_err(EndError::Invalid)?;
        self.logout_verified(verified).await
    }

    /// A genuine token of this issuer, of either kind, in force or not.
    pub(crate) fn any_of_ours(&self, token: &str) -> Result<Verified, VerifyError> {
        self.0.any_of_ours(token)
    }

    /// Ends the session of a token that [`any_of_ours`](Self::any_of_ours) has verified.
    pub(crate) async fn logout_verified(&self, verified: Verified) -> Result<(), EndError> {
        let sessions = self.clone();
        finished(async move { sessions.0.end_with(&verified, Cause::Logout).await }).await
    }

    /// Revokes a token (RFC 7009): a refresh token ends its session; an access token dies alone. Genuine
    /// tokens count as for [`logout`](Self::logout).
    /// `client` is the client that asks, where it is known: of another client's token nothing is
    /// revoked.
    ///
    /// # Errors
    ///
    /// As [`logout`](Self::logout), and [`EndError::OtherClient`].
    pub async fn revoke_token(
        &self,
        token: &str,
        client: Option<&ClientId>,
    ) -> Result<(), EndError> {
        let (sessions, token, client) = (self.clone(), token.to_owned(), client.cloned());
        finished(async move { sessions.try_revoke_token(&token, client.as_ref()).await }).await
    }

    async fn try_revoke_token(
        &self,
        token: &str,
        client: Option<&ClientId>,
    ) -> Result<(), EndError> {
        let verified = self.0.any_of_ours(token).map_err(EndError::Invalid)?;
        let registered = verified.registered();
        if client.is_some() && registered.client_id.as_ref() != client {
            return Err(EndError::OtherClient);
        }
        match (verified.kind(), &registered.jti) {
            (TokenKind::Access, Some(jti)) => {
                self.0
                    .revoke(&verified, Dimension::Jti, jti.as_str(), Cause::Revocation)
                    .await?;
                Ok(())
            }
            _ => self.0.end_with(&verified, Cause::Revocation).await,
        }
    }

    /// Ends one of the sessions of the user behind `access`: "sign out that device". Another user's
    /// session, and one that does not exist, is [`EndError::NotFound`], and nothing is written.
    ///
    /// # Errors
    ///
    /// [`EndError`].
    pub async fn revoke_session(
        &self,
        access: &Access,
        session: &SessionId,
    ) -> Result<(), EndError> {
        let (sessions, access, session) = (self.clone(), access.clone(), session.clone());
        finished(async move { sessions.try_revoke_session(&access, &session).await }).await
    }

    async fn try_revoke_session(
        &self,
        access: &Access,
        session: &SessionId,
    ) -> Result<(), EndError> {
        let subject = self.owner(access).ok_or(EndError::NotFound)?;
        if access.session() == Some(session) {
            return self.0.end_with(access.verified(), Cause::Remote).await;
        }
        let ending = Ending {
            index: self.0.index(subject),
            session,
            entry: self.0.entry(session),
            owner: subject,
            cause: Cause::Remote.as_str(),
        };
        let answer = self.0.transition(Transition::End(&ending)).await;
        self.0.tell_ended(subject, &answer, Cause::Remote);
        match answer? {
            Transitioned::Ended(ended) if ended.is_empty() => Err(EndError::NotFound),
            Transitioned::Ended(_) | Transitioned::EndedBefore => Ok(()),
            _ => Err(odd_answer().into()),
        }
    }

    /// Ends all sessions of the user behind `access` but this one, also those of which no record is left,
    /// in a time that depends on no number. A login that began before is [stale](crate::session::LoginError::Stale).
    /// This session goes on as it is, its refresh token included.
    ///
    /// After a change of the password call [`password_changed`](Self::password_changed) instead, which
    /// does the same and says why.
    ///
    /// # Errors
    ///
    /// [`EndError::NotFound`] when the token has no session here, [`EndError::Ended`] when its session has
    /// ended itself, [`EndError::Store`] when the store did not confirm.
    pub async fn revoke_others(&self, access: &Access) -> Result<(), EndError> {
        let (sessions, access) = (self.clone(), access.clone());
        finished(async move { sessions.0.end_others(&access, Cause::Remote).await }).await
    }

    /// Says that the user behind `access` has changed the password from this session, which is kept:
    /// ends the user's other sessions, and makes stale each login that began before, whose password may
    /// have been the old one.
    ///
    /// Call it **after** the new password is in force. On an error call it again until it succeeds, and
    /// do not confirm the change to the user before: until then whoever has the old password may still be
    /// inside. For a password that was reset, or changed by an administrator, no session is to be kept: see
    /// [`revoke_all`](Self::revoke_all).
    ///
    /// # Errors
    ///
    /// As for [`revoke_others`](Self::revoke_others).
    pub async fn password_changed(&self, access: &Access) -> Result<(), EndError> {
        let (sessions, access) = (self.clone(), access.clone());
        finished(async move { sessions.0.end_others(&access, Cause::PasswordChanged).await }).await
    }

    /// The live sessions of a user, the oldest first. `current` marks the caller's own.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn sessions(
        &self,
        subject: &Subject,
        current: Option<&SessionId>,
    ) -> Result<Vec<SessionInfo>, StoreError> {
        let inner = &*self.0;
        let index = inner.index(subject);
        let Transitioned::Listed(listed) = inner.transition(Transition::List(&index)).await? else {
            return Err(odd_answer());
        };
        let mut live = Vec::with_capacity(listed.len());
        let mut known: Vec<(ClientId, Cutoffs)> = Vec::new();
        for (id, record) in listed {
            let cutoffs = match known.iter().find(|(client, _)| *client == record.client) {
                Some((_, cutoffs)) => *cutoffs,
                None => {
                    let cutoffs = inner.cutoffs(&index, &record.client, None).await?;
                    known.push((record.client.clone(), cutoffs));
                    cutoffs
                }
            };
            // Those that are covered but for their being kept are few: what ends with the others leaves
            // the list with them.
            let covered = cutoffs.covering(record.opened_at).is_some() && {
                let kept = inner.cutoffs(&index, &record.client, Some(&id)).await?;
                kept.covering(record.opened_at).is_some()
            };
            if !covered {
                let current = current == Some(&id);
                live.push(SessionInfo::new(id, record, current));
            }
        }
        Ok(live)
    }

    /// Whose token it is, if it is of this issuer. A guard may accept other issuers' tokens too, and
    /// their `alice` is somebody else.
    pub fn owner<'a>(&self, access: &'a Access) -> Option<&'a Subject> {
        let issuer = access.registered().issuer.as_deref();
        access
            .subject()
            .filter(|_| issuer == Some(self.0.issuer.name()))
    }

    /// Says that the user's privileges changed just now: a refresh token spent before gets no
    /// successor a second time, so that nothing made from the old privileges is handed out again.
    /// The sessions live on; their next refresh asks the hook.
    ///
    /// # Errors
    ///
    /// When the store did not confirm.
    pub async fn privileges_changed(&self, subject: &Subject) -> Result<(), StoreError> {
        let (sessions, subject) = (self.clone(), subject.clone());
        finished(async move { sessions.try_privileges_changed(&subject).await }).await
    }

    async fn try_privileges_changed(&self, subject: &Subject) -> Result<(), StoreError> {
        let index = self.0.index(subject);
        match self
            .0
            .transition(Transition::MarkPrivileges(&index))
            .await?
        {
            Transitioned::Marked => Ok(()),
            _ => Err(odd_answer()),
        }
    }
}

/// A live session, for the list of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its identifier.
    pub id: SessionId,
    /// The client it was opened for.
    pub client: ClientId,
    /// What the application calls the device.
    pub device: Option<Box<str>>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it last brought forth tokens.
    pub last_used_at: Timestamp,
    /// When it ends unless it is used before.
    pub expires_at: Timestamp,
    /// Whether it is the session of whoever asks.
    pub current: bool,
}

impl SessionInfo {
    fn new(id: SessionId, record: Record, current: bool) -> Self {
        Self {
            id,
            client: record.client,
            device: record.device,
            opened_at: record.opened_at,
            last_used_at: record.last_used_at,
            expires_at: record.idle_deadline,
            current,
        }
    }
}

/// Nothing was ended, or nobody can tell.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndError {
    /// The token is not a genuine one of ours: it cannot be distinguished from nonsense. Nothing was ended.
    #[error("the token is invalid")]
    Invalid(#[source] VerifyError),
    /// The token was issued to another client. Nothing was ended.
    #[error("the token was issued to another client")]
    OtherClient,
    /// The session that was to be kept has ended itself. Nothing else was ended.
    #[error("the session has ended")]
    Ended,
    /// The subject is empty or longer than any that a token has. Nothing was ended.
    #[error("the subject is empty or longer than {limit} bytes; name a user as tokens do in `sub`", limit = defaults::MAX_ID_BYTES)]
    Subject,
    /// There is no such session of this user. Nothing was ended.
    #[error("the user has no such session")]
    NotFound,
    /// The store did not confirm: the tokens may still work. Try again.
    #[error("the store did not confirm")]
    Store(#[from] StoreError),
}

impl Inner {
    /// A genuine token of this issuer, of either kind, in force or not.
    fn any_of_ours(&self, token: &str) -> Result<Verified, VerifyError> {
        match self
            .for_ending(self.refresh_verifier().clone())
            .verify(token)
        {
            Err(VerifyError::OtherType | VerifyError::Untyped) => {
                self.for_ending(self.access_verifier()).verify(token)
            }
            verified => verified,
        }
    }

    /// A verifier of what can be ended. The guard may know more keys of this issuer than the issuer does.
    fn for_ending(&self, verifier: Verifier) -> Verifier {
        let guards = self.guard.verifier();
        let verifier = if guards.issuer() == Some(self.issuer.name()) {
            verifier.with_keys_of(guards)
        } else {
            verifier
        };
        verifier.for_ending()
    }

    fn access_verifier(&self) -> Verifier {
        let clock = self.guard.verifier().clock();
        self.issuer
            .verifier()
            .with_clock(std::sync::Arc::clone(clock))
            .with_born_at(BornAt::Ids)
    }

    async fn end_with(&self, verified: &Verified, cause: Cause) -> Result<(), EndError> {
        let registered = verified.registered();
        let (Some(session), Some(subject)) = (&registered.session, &registered.subject) else {
            let jti = registered.jti.as_ref().ok_or(EndError::NotFound)?;
            let revoked = self.revoke(verified, Dimension::Jti, jti.as_str(), cause);
            return Ok(revoked.await.map(drop)?);
        };
        // What ended in another respect has been reported already.
        let known = self.store().find(&verified.lookup()).await;
        let known = known.unwrap_or_else(|error| error.known());
        let has_ended = known.covering(verified.born_at()).is_some();
        let revoked = self.revoke(verified, Dimension::Session, session.as_str(), cause);
        let revoked = revoked.await;
        let raised = match &revoked {
            Ok(revoked) => revoked.raised,
            Err(error) => match error.done() {
                Some(Transitioned::Revoked(revoked)) => revoked.raised,
                _ => 0,
            },
        };
        if raised > 0 && !has_ended {
            let event = Event::new(EventKind::SessionEnded(cause), subject);
            self.tell(&event.of_session(session.clone()));
        }
        revoked?;
        Ok(())
    }

    async fn revoke(
        &self,
        verified: &Verified,
        dimension: Dimension,
        value: &str,
        cause: Cause,
    ) -> Result<Revoked, StoreError> {
        self.require().await?;
        let issuer = verified.registered().issuer.as_deref().unwrap_or_default();
        let placement = Placement::One(verified.shard());
        let promised = self.guard.promised();
        let kept = match dimension {
            Dimension::Jti => promised.for_access_token(),
            _ => promised.session.saturating_sub(defaults::HORIZON_MARGIN),
        };
        let revocation = Revocation::new(dimension, issuer, value, placement, Reach::Forever)
            .counting_from(verified.entry_counts_from(kept))
            .with_audit(Some(cause.as_str().into()), None);
        let answer = self.store().revoke(&[revocation]).await;
        self.guard.heard(answer)
    }

    /// What covers the user's sessions through a client; with `session`, unless that was kept.
    async fn cutoffs(
        &self,
        index: &Index<'_>,
        client: &ClientId,
        session: Option<&SessionId>,
    ) -> Result<Cutoffs, StoreError> {
        let issuer = self.issuer.name();
        let mut digests = vec![
            index.subject,
            index.others,
            Digest::of(&Dimension::Client, issuer, client.as_str().as_bytes()),
            Digest::of(&Dimension::Issuer, issuer, issuer.as_bytes()),
        ];
        let exception = session.map(|session| {
            digests.push(self.entry(session));
            digests.push(self.kept(session));
            Exception {
                session: digests.len() - 2,
                others: 1,
                kept: digests.len() - 1,
            }
        });
        let query = Lookup {
            exception,
            ..Lookup::new(index.shard, &digests)
        };
        let answer = self.store().find(&query).await;
        self.guard.heard(answer)
    }

    async fn end_others(&self, access: &Access, cause: Cause) -> Result<(), EndError> {
        let issuer = access.registered().issuer.as_deref();
        let subject = access
            .subject()
            .filter(|_| issuer == Some(self.issuer.name()));
        let subject = subject.ok_or(EndError::NotFound)?;
        let keep = access.session().ok_or(EndError::NotFound)?;
        let born_at = keep.instant().ok_or(EndError::NotFound)?;
        let (index, kept) = (self.index(subject), self.kept(keep));
        let query = access.verified().lookup();
        let mut covering = query.digests.to_vec();
        let exception = query.exception.unwrap_or_else(|| {
            covering.extend([self.entry(keep), index.others, kept]);
            Exception {
                session: covering.len() - 3,
                others: covering.len() - 2,
                kept: covering.len() - 1,
            }
        });
        let others = EndingOthers {
            index,
            subject,
            keep,
            kept,
            born_at,
            covering: &covering,
            exception: Some(exception),
            cause: cause.as_str(),
        };
        let answer = self.transition(Transition::EndOthers(&others)).await;
        self.tell_ended(subject, &answer, cause);
        match answer? {
            Transitioned::Ended(_) => Ok(()),
            Transitioned::Covered => Err(EndError::Ended),
            _ => Err(odd_answer().into()),
        }
    }

    fn kept(&self, session: &SessionId) -> Digest {
        let issuer = self.issuer.name();
        Digest::of(&Dimension::KeptSession, issuer, session.as_str().as_bytes())
    }

    /// Tells of the sessions that a step ended, confirmed or not: a repetition ends them no more.
    fn tell_ended(
        &self,
        subject: &Subject,
        answer: &Result<Transitioned, StoreError>,
        cause: Cause,
    ) {
        let done = match answer {
            Ok(done) => Some(done),
            Err(error) => error.done(),
        };
        if let Some(Transitioned::Ended(ended)) = done {
            for session in ended {
                let event = Event::new(EventKind::SessionEnded(cause), subject);
                self.tell(&event.of_session(session.clone()));
            }
        }
    }
}
