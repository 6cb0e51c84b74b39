//! Opening a session.

use std::{fmt, time::Duration};

use aws_lc_rs::rand;
use serde_json::{Map, Value};

use super::{
    date,
    sessions::{Inner, odd_answer},
    sign::{AccessToken, RefreshToken},
};
use crate::{
    clock::Timestamp,
    finish::finished,
    revocation::Dimension,
    session::{
        AttemptId, Cause, Event, EventKind, Grant, Identity, IssueError, Proposal, Record, SPENDS,
        Sessions,
    },
    store::{Opened, Opening, StoreError, Transition, Transitioned},
    token::{ClientId, Jti, Scope, SessionId, Subject},
    verify::SignError,
};

/// A login that has begun: made before the credentials are checked, by [`Sessions::begin`].
#[derive(Debug)]
#[must_use = "a login begins before the credentials are checked, and ends in `Sessions::login`"]
pub struct LoginAttempt {
    since: Timestamp,
}

impl Sessions {
    /// Begins a login. Call it **before** the credentials are checked: what is revoked from here on,
    /// a password that was right a moment ago among it, refuses the login.
    ///
    /// # Errors
    ///
    /// When the store does not answer: nobody can log in then. [`StoreError::Clock`] while the store's clock is
    /// ahead of this process's by more than [`CLOCK_SKEW`](crate::defaults::CLOCK_SKEW): the tokens of a login
    /// would be refused.
    pub async fn begin(&self) -> Result<LoginAttempt, StoreError> {
        self.0.require().await?;
        let since = self.0.guard.heard(self.0.store().earliest_now().await)?;
        date::check(&self.0.guard, since, since)?;
        Ok(LoginAttempt { since })
    }

    /// Opens a session of `subject`, whose credentials the application has checked since `attempt`
    /// began, and signs its first pair of tokens.
    ///
    /// # Errors
    ///
    /// [`LoginError::Stale`] when the user's sessions were revoked since the attempt began: check the
    /// credentials anew. [`LoginError::Store`] when the store does not answer; no session is open
    /// then, or one that nobody holds. It holds [`StoreError::Clock`] where the session would be dated so far
    /// ahead of this process's clock that its tokens were refused; no session is open then either.
    pub async fn login(
        &self,
        attempt: LoginAttempt,
        subject: impl Into<Subject>,
        grant: &Grant,
    ) -> Result<Pair, LoginError> {
        let (sessions, subject, grant) = (self.clone(), subject.into(), grant.clone());
        finished(async move { sessions.try_login(attempt, subject, &grant).await }).await
    }

    async fn try_login(
        &self,
        attempt: LoginAttempt,
        subject: Subject,
        grant: &Grant,
    ) -> Result<Pair, LoginError> {
        let inner = &*self.0;
        inner.checked_key()?;
        let issuer = &inner.issuer;
        // No session is opened that could not be handed out, now or later.
        let client = grant.client_or_default();
        let limit = inner.max_token_bytes;
        issuer.check_grant(&inner.guard, &subject, &client, grant, limit)?;
        let named = inner.guard.verifier().claim_dimensions();
        let (dimensions, covering) = grant
            .coverable(issuer.name(), &subject, issuer.key().id(), named)
            .ok_or(IssueError::Claims)?;
        let id = AttemptId::random();
        let mut opened_at = attempt.since;
        for _ in 0..OPENINGS {
            date::check(&inner.guard, opened_at, attempt.since)?;
            let session = SessionId::opened_at(opened_at);
            let record = inner.record(&subject, &session, opened_at, grant, id)?;
            let opening = Opening {
                index: inner.index(&subject),
                session: &session,
                record: &record,
                covering: &covering,
                since: attempt.since,
                cap: inner.cap,
            };
            let answer = inner.transition(Transition::Open(&opening)).await;
            if let Err(error) = &answer
                && let Some(Transitioned::Opened(Opened::Opened(evicted))) = error.done()
            {
                // The session was taken back, and those are gone.
                inner.tell_evicted(&subject, &record.client, evicted.clone());
            }
            match answer? {
                Transitioned::Opened(Opened::Opened(evicted)) => {
                    inner.tell_opened(&subject, &session, &record, evicted);
                    return Ok(inner.pair(&Signing {
                        subject: &subject,
                        session: &session,
                        client: &record.client,
                        identity: &record.current,
                        handed_out_at: record.current.issued_at,
                        scope: &grant.scope,
                        access_scope: &grant.scope,
                        own: &grant.claims,
                    })?);
                }
                Transitioned::Opened(Opened::OpenAt(later)) => opened_at = later,
                Transitioned::Opened(Opened::Stale) => return Err(LoginError::Stale),
                Transitioned::Opened(Opened::Full) => return Err(LoginError::TooManySessions),
                Transitioned::Opened(Opened::Revoked(index)) => {
                    let dimension = dimensions.get(index).cloned();
                    return Err(LoginError::Revoked(dimension.unwrap_or(Dimension::Subject)));
                }
                _ => return Err(odd_answer().into()),
            }
        }
        // Each time, a cutoff was raised between the question and the answer.
        Err(LoginError::Stale)
    }
}

/// What is signed for one generation of a session.
pub(super) struct Signing<'a> {
    pub(super) subject: &'a Subject,
    pub(super) session: &'a SessionId,
    pub(super) client: &'a ClientId,
    pub(super) identity: &'a Identity,
    /// When the pair is handed out: a retry may get one that was issued a while ago.
    pub(super) handed_out_at: Timestamp,
    pub(super) scope: &'a Scope,
    /// That of the access token, or part of it.
    pub(super) access_scope: &'a Scope,
    pub(super) own: &'a Map<String, Value>,
}

impl Inner {
    pub(super) fn pair(&self, signing: &Signing<'_>) -> Result<Pair, IssueError> {
        let Signing {
            subject,
            session,
            client,
            identity,
            handed_out_at,
            scope,
            access_scope,
            own,
        } = *signing;
        let shift = date::shift(&self.guard, identity.issued_at);
        let issued_at = identity.issued_at.saturating_sub(shift);
        let claims = serde_json::to_vec(own).map_err(SignError::Serialize)?;
        let content = [access_scope.as_str().as_bytes(), &claims];
        let access = self.issuer.sign_access(&AccessToken {
            subject,
            session,
            jti: &identity.access.of_content(content),
            client,
            issued_at,
            expires_at: identity.access_expires_at.saturating_sub(shift),
            scope: access_scope,
            own,
        })?;
        let refresh = self.issuer.sign_refresh(&RefreshToken {
            subject,
            session,
            generation: identity.generation,
            jti: &identity.refresh,
            client,
            issued_at,
            expires_at: identity.refresh_expires_at.saturating_sub(shift),
            scope,
            own,
        })?;
        let left = |deadline: Timestamp| {
            Duration::from_secs(deadline.saturating_since(handed_out_at).as_secs())
        };
        Ok(Pair {
            access,
            refresh,
            session: session.clone(),
            scope: access_scope.clone(),
            expires_in: left(identity.access_expires_at),
            refresh_expires_in: left(identity.refresh_expires_at),
        })
    }

    /// A new attempt, and what the next pair would be. All of it from one draw of random bytes: each is
    /// a question to the system, which fails as a store does when it has none.
    pub(super) fn attempt(&self, now: Timestamp) -> Result<(AttemptId, Proposal), StoreError> {
        let mut random = [0; 44];
        rand::fill(&mut random).map_err(|_| StoreError::Failed {
            store: "the system".to_owned(),
            reason: "it has no random numbers".to_owned(),
        })?;
        let (attempt, rest) = take(&random);
        let (refresh, rest) = take(rest);
        let (access, rest) = take(rest);
        let (jitter, _) = take(rest);
        let lifetime = self.issuer.lifetime();
        let most = self.jitter.min(lifetime / 2).as_secs();
        // 64 random bits over a range of seconds: the bias is nowhere to be seen.
        let early = u64::from_be_bytes(jitter) % (most + 1);
        let proposal = Proposal {
            refresh: Jti::made_of(now, refresh),
            access: Jti::made_of(now, access),
            access_lifetime: lifetime - Duration::from_secs(early),
        };
        let attempt = AttemptId::from_bits(u128::from_be_bytes(attempt));
        Ok((attempt, proposal))
    }

    fn record(
        &self,
        subject: &Subject,
        session: &SessionId,
        opened_at: Timestamp,
        grant: &Grant,
        attempt: AttemptId,
    ) -> Result<Record, StoreError> {
        let absolute_deadline = opened_at.saturating_add(self.policy.absolute_lifetime);
        let idle_deadline = opened_at
            .saturating_add(self.policy.idle_lifetime)
            .min(absolute_deadline);
        let (_, proposal) = self.attempt(opened_at)?;
        let current = Identity::dated(1, &proposal, opened_at, idle_deadline, absolute_deadline);
        Ok(Record {
            subject: subject.clone(),
            entry: self.entry(session),
            client: grant.client_or_default(),
            device: grant.device.clone(),
            opened_at,
            last_used_at: opened_at,
            idle_deadline,
            absolute_deadline,
            current,
            previous: None,
            spent_at: [Timestamp::EPOCH; SPENDS],
            attempt: Some(attempt),
            recovered: false,
            privileges_changed_at: Timestamp::EPOCH,
        })
    }

    fn tell_opened(
        &self,
        subject: &Subject,
        session: &SessionId,
        record: &Record,
        evicted: Vec<SessionId>,
    ) {
        let opened = Event::new(EventKind::SessionOpened, subject).of_session(session.clone());
        self.tell(&opened.of_client(&record.client));
        self.tell_evicted(subject, &record.client, evicted);
    }

    fn tell_evicted(&self, subject: &Subject, client: &ClientId, evicted: Vec<SessionId>) {
        for session in evicted {
            let ended = Event::new(EventKind::SessionEnded(Cause::Evicted), subject);
            self.tell(&ended.of_session(session).of_client(client));
        }
    }
}

/// The first bytes, of which there are enough, and the rest.
fn take<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    let (first, rest) = bytes.split_at(N);
    let mut taken = [0; N];
    taken.copy_from_slice(first);
    (taken, rest)
}

/// A fresh access token and the refresh token that brings forth the next.
#[derive(Clone)]
pub struct Pair {
    access: Box<str>,
    refresh: Box<str>,
    session: SessionId,
    scope: Scope,
    expires_in: Duration,
    refresh_expires_in: Duration,
}

impl Pair {
    /// The access token's text. Hand it to its owner over TLS with `Cache-Control: no-store`; never
    /// log it.
    pub fn access_token(&self) -> &str {
        &self.access
    }

    /// The refresh token's text, more precious still.
    pub fn refresh_token(&self) -> &str {
        &self.refresh
    }

    /// The session of both.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// What the access token may be used for.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// How long the access token lives from now, in whole seconds: `expires_in` (RFC 6749 §5.1). Less
    /// than its whole lifetime for a retry, which gets the pair that was issued before.
    pub fn expires_in(&self) -> Duration {
        self.expires_in
    }

    /// How long the refresh token lives from now, in whole seconds.
    pub fn refresh_expires_in(&self) -> Duration {
        self.refresh_expires_in
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("session", &self.session)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// No session was opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The user's sessions were revoked since the login began: what was checked then may hold no
    /// more. Check the credentials anew.
    #[error("the user's sessions were revoked since the login began")]
    Stale,
    /// The user has as many sessions as allowed.
    #[error("the user has as many sessions as allowed")]
    TooManySessions,
    /// Something the session would carry is revoked for ever: the signing key, most likely.
    #[error("the {0} of the new session is revoked")]
    Revoked(Dimension),
    /// The store did not answer.
    #[error("the store could not open the session")]
    Store(#[from] StoreError),
    /// The tokens could not be made.
    #[error("the tokens could not be made")]
    Issue(#[from] IssueError),
}

/// How often a login is dated anew because cutoffs were raised meanwhile.
const OPENINGS: usize = 4;
