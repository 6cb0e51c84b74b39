//! Exchanging a refresh token.

use std::time::Duration;

use futures::future::{Either, select};
use futures_timer::Delay;
use serde::Deserialize;
use serde_json::{Map, Value};
use tracing::{Instrument as _, field::Empty};

use super::{
    grant::claim_values,
    login::{Pair, Signing},
    sessions::{Inner, odd_answer},
    sign::{Content, MAX_GENERATION},
};
use crate::{
    Report,
    clock::Timestamp,
    finish::finished,
    meters::Refreshed,
    revocation::{Digest, Dimension, Shard},
    session::{
        AttemptId, Cause, Event, EventKind, IssueError, Outcome, Presented, Proposal, Refreshing,
        ReuseScope, Sessions, Welcome,
    },
    store::{
        BoxError, Ending, Exception, Index, Lookup, Rotating, StoreError, Transition, Transitioned,
    },
    token::{ClientId, KeyId, Scope, SessionId, TokenKind},
    verify::{Verified, VerifyError},
};

impl Sessions {
    /// Exchanges a refresh token for the next pair, once. `presenter` is the client that presents
    /// it, where the request says so; another client's token is refused.
    ///
    /// # Errors
    ///
    /// [`RefreshError`]. Of those, only [`RefreshError::Reused`], [`RefreshError::Forked`] and
    /// [`RefreshError::Unwelcome`] end something. After [`RefreshError::Store`],
    /// [`RefreshError::Hook`] and [`RefreshError::Issue`] the token still works: the client should try again.
    pub async fn refresh(
        &self,
        token: &str,
        presenter: Option<ClientId>,
    ) -> Result<Pair, RefreshError> {
        self.exchange(token, |_| presenter, Wanted::All, self.max_token_bytes())
            .await
    }

    /// Like [`refresh`](Self::refresh), where the client asks for `wanted` and no more of what the session
    /// may do (RFC 6749 §6). The access token gets that scope; the refresh token keeps all of it.
    ///
    /// # Errors
    ///
    /// As [`refresh`](Self::refresh), and [`RefreshError::Scope`], after which the token still works.
    pub async fn refresh_narrowed(
        &self,
        token: &str,
        presenter: Option<ClientId>,
        wanted: Option<&Scope>,
    ) -> Result<Pair, RefreshError> {
        let wanted = wanted.cloned().map_or(Wanted::All, Wanted::Scope);
        self.refresh_wanting(token, presenter, wanted).await
    }

    /// Like [`refresh_narrowed`](Self::refresh_narrowed), where the client may ask for nonsense.
    pub(crate) async fn refresh_wanting(
        &self,
        token: &str,
        presenter: Option<ClientId>,
        wanted: Wanted,
    ) -> Result<Pair, RefreshError> {
        self.exchange(token, |_| presenter, wanted, self.max_token_bytes())
            .await
    }

    /// Like [`refresh`](Self::refresh), where the presenter depends on the client that the token was issued
    /// to, and the place for the tokens holds `limit` bytes.
    pub(crate) async fn refresh_by(
        &self,
        token: &str,
        presenter: impl FnOnce(&ClientId) -> Option<ClientId> + Send + 'static,
        limit: usize,
    ) -> Result<Pair, RefreshError> {
        self.exchange(token, presenter, Wanted::All, limit).await
    }

    async fn exchange(
        &self,
        token: &str,
        presenter: impl FnOnce(&ClientId) -> Option<ClientId> + Send + 'static,
        wanted: Wanted,
        limit: usize,
    ) -> Result<Pair, RefreshError> {
        let (sessions, token) = (self.clone(), token.to_owned());
        finished(async move {
            let guard = &sessions.0.guard;
            let span = tracing::debug_span!("refresh", guard = guard.name(), outcome = Empty);
            let exchanged = sessions.try_exchange(&token, presenter, &wanted, limit);
            let exchanged = exchanged.instrument(span.clone()).await;
            let refreshed = match &exchanged {
                Ok((refreshed, _)) => *refreshed,
                Err(error) => error.into(),
            };
            guard.refreshed(refreshed);
            span.record("outcome", refreshed.as_str());
            if let Err(RefreshError::Invalid(error)) = &exchanged {
                let verifier = sessions.0.refresh_verifier();
                guard.refused(TokenKind::Refresh, &token, verifier, error);
            }
            if let Err(error @ (RefreshError::Hook(_) | RefreshError::Issue(_))) = &exchanged {
                tracing::warn!(reason = %Report(error).quoted(), "the application failed a refresh");
            }
            exchanged.map(|(_, pair)| pair)
        })
        .await
    }

    /// The order matters: theft is found first, whatever else is wrong with the request, and the token is spent
    /// last, once its successor can be handed out.
    async fn try_exchange(
        &self,
        token: &str,
        presenter: impl FnOnce(&ClientId) -> Option<ClientId> + Send,
        wanted: &Wanted,
        limit: usize,
    ) -> Result<(Refreshed, Pair), RefreshError> {
        let inner = &*self.0;
        let verified = inner.verified_refresh(token).await?;
        let verified = verified.map_err(RefreshError::Invalid)?;
        let mut token = RefreshedToken::read(inner, &verified)?;
        token.presented.presenter = presenter(&token.presented.client);
        let (attempt, proposal) = inner.attempt(inner.guard.verifier().clock().now())?;
        let rotating = token.rotating(inner, attempt, &proposal);
        let mut scope = verified.registered().scope.clone();
        let mut own = token.own.clone();
        let mut covering = token.covering.clone();
        // The key that signs the next pair, where it is another: once it is revoked, that would be born dead.
        let signing = inner.key_digest();
        if !covering.contains(&signing) {
            covering.push(signing);
        }
        if inner.hook.is_some() {
            inner.judge(&token, &rotating).await?;
            match inner.ask(&token, &scope).await? {
                Welcome::Unchanged => {}
                Welcome::With(grant) => {
                    let named = inner.guard.verifier().claim_dimensions();
                    let values = claim_values(&grant.claims, named).ok_or(IssueError::Claims)?;
                    // A session that was opened before what it joins was revoked brings forth no tokens
                    // of it: they would be born dead.
                    covering.extend(inner.digests_of(values));
                    (scope, own) = (grant.scope, grant.claims);
                }
                Welcome::Refuse => {
                    inner.end_unwelcome(&token, rotating.entry).await?;
                    return Err(RefreshError::Unwelcome);
                }
            }
        }
        let access_scope = match inner.answerable(&token, wanted, &scope, &own, limit).await {
            Ok(access_scope) => access_scope,
            Err(refusal) => {
                if inner.hook.is_none() {
                    inner.judge(&token, &rotating).await?;
                }
                return Err(refusal);
            }
        };
        let rotating = Rotating {
            covering: &covering,
            ..rotating
        };
        let mut retried_at = None;
        let outcome = inner.rotate(&rotating).await?;
        let refreshed = Refreshed::from(&outcome);
        let identity = match outcome {
            Outcome::Rotated(identity) => identity,
            Outcome::Retried(identity) => {
                inner.tell_of(&token, EventKind::GraceRetry);
                retried_at = Some(inner.guard.verifier().clock().now());
                identity
            }
            Outcome::Recovered(identity) => {
                inner.tell_of(&token, EventKind::Recovered);
                identity
            }
            refused => return Err(inner.refused(&token, &refused)),
        };
        let pair = inner.pair(&Signing {
            subject: &token.presented.subject,
            session: &token.session,
            client: &token.presented.client,
            identity: &identity,
            handed_out_at: retried_at.map_or(identity.issued_at, |at| at.max(identity.issued_at)),
            scope: &scope,
            access_scope: access_scope.unwrap_or(&scope),
            own: &own,
        })?;
        Ok((refreshed, pair))
    }
}

/// The scope that a client asks for.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// None: all of what the session may do.
    All,
    /// This one.
    Scope(Scope),
    /// A text that is no scope.
    Nonsense,
}

/// Why a refresh token was not exchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// It is not one of ours, or has lapsed.
    #[error("the refresh token is invalid")]
    Invalid(#[source] VerifyError),
    /// It was issued to another client.
    #[error("the refresh token was issued to another client")]
    OtherClient,
    /// The client asked for more than the session may do, or for what is no scope. Nothing changed.
    #[error("the scope is malformed or exceeds what was granted")]
    Scope,
    /// Its session has ended, or it is revoked in another respect.
    #[error("the session has ended")]
    Ended,
    /// Its session is not known to the store.
    #[error("there is no such session")]
    Unknown,
    /// Its session was idle too long, or is as old as it may get.
    #[error("the session has expired")]
    Expired,
    /// Its successor was used already, a moment ago: another tab has the newer token.
    #[error("the refresh token was superseded a moment ago")]
    Superseded,
    /// The session ended because the store had lost a write and its line split.
    #[error("the session's line split in a failover, so it ended")]
    Forked,
    /// It was spent before and came back: theft, or a careless client.
    #[error("a spent refresh token came back")]
    Reused {
        /// What ended.
        scope: ReuseScope,
    },
    /// The application no longer wants the user; the session ended.
    #[error("the user is no longer welcome")]
    Unwelcome,
    /// The application could not tell whether the user is still welcome. Nothing changed.
    #[error("the application could not tell whether the user is welcome")]
    Hook(#[source] BoxError),
    /// The store did not answer. Nothing changed, or a repetition gets what was changed.
    #[error("the store did not answer")]
    Store(#[from] StoreError),
    /// The tokens cannot be made, as this service is set up. Nothing changed.
    #[error("the tokens could not be made")]
    Issue(#[from] IssueError),
}

impl RefreshError {
    /// Whether the token may still be good, so that the client should keep it and try again: 503.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Hook(_) | Self::Store(_) | Self::Issue(_))
    }
}

/// What a refresh token says, beside the claims it shares with access tokens.
pub(super) struct RefreshedToken {
    session: SessionId,
    presented: Presented,
    own: Map<String, Value>,
    born_at: Timestamp,
    shard: Shard,
    /// The key that signed it.
    key: KeyId,
    /// The digests of session and subject, and of the subject's other sessions.
    entry: Digest,
    owner: Digest,
    others: Digest,
    covering: Vec<Digest>,
    exception: Option<Exception>,
}

#[derive(Deserialize)]
struct Extra {
    #[serde(rename = "gen")]
    generation: u64,
    #[serde(default)]
    ext: Map<String, Value>,
}

impl RefreshedToken {
    pub(super) fn read(inner: &Inner, verified: &Verified) -> Result<Self, RefreshError> {
        let malformed = |claim| RefreshError::Invalid(VerifyError::InvalidClaim(claim));
        let missing = |claim| RefreshError::Invalid(VerifyError::MissingClaim(claim));
        let registered = verified.registered();
        let of = |dimension| verified.digest_in(dimension);
        let extra: Extra =
            serde_json::from_slice(verified.payload()).map_err(|_| malformed("gen"))?;
        if !(1..=MAX_GENERATION).contains(&extra.generation) {
            return Err(malformed("gen"));
        }
        let lookup = verified.lookup();
        let mut covering = lookup.digests.to_vec();
        let named = inner.guard.verifier().claim_dimensions();
        let values = claim_values(&extra.ext, named).ok_or(malformed("ext"))?;
        covering.extend(inner.digests_of(values));
        Ok(Self {
            session: registered.session.clone().ok_or(missing("sid"))?,
            presented: Presented {
                generation: extra.generation,
                jti: registered.jti.clone().ok_or(missing("jti"))?,
                subject: registered.subject.clone().ok_or(missing("sub"))?,
                client: registered.client_id.clone().ok_or(missing("client_id"))?,
                presenter: None,
            },
            own: extra.ext,
            born_at: verified.born_at(),
            shard: verified.shard(),
            key: verified.key_id().clone(),
            entry: of(&Dimension::Session).ok_or(missing("sid"))?,
            owner: of(&Dimension::Subject).ok_or(missing("sub"))?,
            others: of(&Dimension::OtherSessions).ok_or(missing("sub"))?,
            covering,
            exception: lookup.exception,
        })
    }

    /// The question to the store.
    pub(super) fn rotating<'a>(
        &'a self,
        inner: &'a Inner,
        attempt: AttemptId,
        proposal: &'a Proposal,
    ) -> Rotating<'a> {
        Rotating {
            index: Index {
                shard: self.shard,
                subject: self.owner,
                others: self.others,
                issuer: inner.issuer.name(),
            },
            session: &self.session,
            entry: self.entry,
            born_at: self.born_at,
            covering: &self.covering,
            exception: self.exception,
            presented: &self.presented,
            attempt,
            proposal,
            policy: &inner.policy,
        }
    }
}

impl Inner {
    pub(super) async fn look(&self, rotating: &Rotating<'_>) -> Result<Outcome, StoreError> {
        match self.transition(Transition::Look(rotating)).await? {
            Transitioned::Rotated(outcome) => Ok(outcome),
            _ => Err(odd_answer()),
        }
    }

    /// Fails unless the token would be exchanged, and ends what a stolen one ends.
    async fn judge(
        &self,
        token: &RefreshedToken,
        rotating: &Rotating<'_>,
    ) -> Result<(), RefreshError> {
        match self.transition(Transition::Judge(rotating)).await? {
            Transitioned::Rotated(outcome) if would_succeed(&outcome) => Ok(()),
            Transitioned::Rotated(refused) => Err(self.refused(token, &refused)),
            _ => Err(odd_answer().into()),
        }
    }

    /// Fails unless the next pair, and any after it, can be handed out. Returns the scope of the access
    /// token, where the client wants another than the session's.
    async fn answerable<'a>(
        &self,
        token: &RefreshedToken,
        wanted: &'a Wanted,
        scope: &Scope,
        own: &Map<String, Value>,
        limit: usize,
    ) -> Result<Option<&'a Scope>, RefreshError> {
        let access_scope = match wanted {
            Wanted::All => None,
            Wanted::Scope(wanted) if scope.covers(wanted) => Some(wanted),
            Wanted::Scope(_) | Wanted::Nonsense => return Err(RefreshError::Scope),
        };
        let content = Content {
            subject: &token.presented.subject,
            client: &token.presented.client,
            scope,
            own,
        };
        let verifier = self.guard.verifier();
        self.issuer.check(&content, verifier, limit)?;
        self.checked_key()?;
        if token.key != *self.issuer.key().id() {
            let signing = [self.key_digest()];
            let lookup = Lookup::new(token.shard, &signing);
            let found = self.guard.heard(self.store().find(&lookup).await)?;
            if found.highest().is_some() {
                return Err(IssueError::Revoked(Dimension::Key).into());
            }
        }
        Ok(access_scope)
    }

    fn key_digest(&self) -> Digest {
        let id = self.issuer.key().id().as_str();
        Digest::of(&Dimension::Key, self.issuer.name(), id.as_bytes())
    }

    async fn rotate(&self, rotating: &Rotating<'_>) -> Result<Outcome, StoreError> {
        match self.transition(Transition::Rotate(rotating)).await? {
            Transitioned::Rotated(outcome) => Ok(outcome),
            _ => Err(odd_answer()),
        }
    }

    fn digests_of(&self, values: Vec<(Dimension, String)>) -> impl Iterator<Item = Digest> {
        let issuer = self.issuer.name();
        let digest = move |(dimension, value): (Dimension, String)| {
            Digest::of(&dimension, issuer, value.as_bytes())
        };
        values.into_iter().map(digest)
    }

    async fn ask(&self, token: &RefreshedToken, scope: &Scope) -> Result<Welcome, RefreshError> {
        let Some(hook) = &self.hook else {
            return Ok(Welcome::Unchanged);
        };
        let refreshing = Refreshing {
            subject: token.presented.subject.clone(),
            session: token.session.clone(),
            client: token.presented.client.clone(),
            scope: scope.clone(),
            claims: token.own.clone(),
        };
        let answer = hook.boxed_welcome(refreshing);
        match select(answer, Delay::new(self.hook_limit)).await {
            Either::Left((answer, _)) => answer.map_err(RefreshError::Hook),
            Either::Right(_) => Err(RefreshError::Hook(Box::new(HookTooSlow(self.hook_limit)))),
        }
    }

    async fn end_unwelcome(
        &self,
        token: &RefreshedToken,
        entry: Digest,
    ) -> Result<(), RefreshError> {
        let ending = Ending {
            index: self.index(&token.presented.subject),
            session: &token.session,
            entry,
            owner: &token.presented.subject,
            cause: Cause::Unwelcome.as_str(),
        };
        let ended = self.transition(Transition::End(&ending)).await;
        // Of several refreshes at a time that the application refuses, one ends the session.
        if has_ended_one(&ended) {
            self.tell_of(token, EventKind::SessionEnded(Cause::Unwelcome));
        }
        ended?;
        Ok(())
    }

    fn refused(&self, token: &RefreshedToken, outcome: &Outcome) -> RefreshError {
        match outcome {
            Outcome::Refused => RefreshError::OtherClient,
            Outcome::Ended => RefreshError::Ended,
            Outcome::Expired => RefreshError::Expired,
            Outcome::Superseded => RefreshError::Superseded,
            Outcome::Forked => {
                self.tell_of(token, EventKind::SessionEnded(Cause::Forked));
                RefreshError::Forked
            }
            Outcome::Reused => {
                let scope = self.policy.reuse;
                self.tell_of(token, EventKind::ReuseDetected(scope));
                RefreshError::Reused { scope }
            }
            _ => RefreshError::Unknown,
        }
    }

    fn tell_of(&self, token: &RefreshedToken, kind: EventKind) {
        let event = Event::new(kind, &token.presented.subject).of_session(token.session.clone());
        self.tell(&event.of_client(&token.presented.client));
    }
}

fn has_ended_one(answer: &Result<Transitioned, StoreError>) -> bool {
    let done = match answer {
        Ok(done) => Some(done),
        Err(error) => error.done(),
    };
    matches!(done, Some(Transitioned::Ended(ended)) if !ended.is_empty())
}

fn would_succeed(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Rotated(_) | Outcome::Retried(_) | Outcome::Recovered(_)
    )
}

#[derive(Debug, thiserror::Error)]
#[error("it did not answer within {0:?}")]
struct HookTooSlow(Duration);
