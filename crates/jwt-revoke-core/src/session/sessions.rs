//! The sessions of an issuer's users.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::hook::DynRefreshHook;
use crate::{
    defaults,
    guard::Guard,
    revocation::{Digest, Dimension, Horizons, Shard},
    session::{
        Event, EventKind, EventSink, IssueError, Issuer, Policy, RefreshHook, ReuseScope,
        SessionCap, WhenFull,
    },
    store::{AnyStore, Index, StoreError, Transition, Transitioned},
    token::{SessionId, Subject, TokenKind},
    verify::{BornAt, Verified, Verifier, VerifyError},
};

/// Opens sessions at login, refreshes them, and ends them. Cheap to clone; all clones are one.
///
/// Made from a guard, so that what ends here is refused there. Refresh tokens rotate (RFC 9700
/// §4.14.2): each is exchanged once, and a spent one that comes back ends, by default, everything
/// its user holds.
///
/// ```
/// # use jwt_revoke_core::{Guard, Issuer, session::{Grant, Sessions}, store::EmbeddedStore};
/// # use jwt_revoke_core::verify::{Algorithm, SigningKey};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = SigningKey::generate(Algorithm::EdDSA)?;
/// let issuer = Issuer::new(key, "https://auth.example.com", "api");
/// let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
/// let sessions = Sessions::new(&guard, issuer);
///
/// let attempt = sessions.begin().await?; // before the password is checked
/// let first = sessions.login(attempt, "alice", &Grant::new()).await?;
/// let second = sessions.refresh(first.refresh_token(), None).await?;
/// guard.check(second.access_token()).await?;
///
/// sessions.revoke_all("alice").await?;
/// assert!(guard.check(second.access_token()).await.is_err());
/// assert!(sessions.refresh(second.refresh_token(), None).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sessions(pub(super) Arc<Inner>);

#[derive(Clone)]
pub(super) struct Inner {
    pub(super) guard: Guard,
    pub(super) issuer: Issuer,
    pub(super) policy: Policy,
    pub(super) cap: Option<SessionCap>,
    pub(super) jitter: Duration,
    pub(super) hook: Option<Arc<dyn DynRefreshHook>>,
    pub(super) hook_limit: Duration,
    /// The largest token that is handed out, in bytes.
    pub(super) max_token_bytes: usize,
    sink: Option<Arc<dyn EventSink>>,
    /// Whether the store has promised to keep entries as long as these sessions may live.
    required: Arc<AtomicBool>,
    /// What accepts refresh tokens, made once.
    refresh_verifier: OnceLock<Verifier>,
}

impl Sessions {
    /// Sessions whose tokens `issuer` signs and `guard` checks. The guard's verifier must be the
    /// issuer's, or accept its tokens and read their births [from their ids](BornAt::Ids); while it does
    /// not hold the key that signs, login and refresh are an error
    /// ([`IssueError::KeyNotHeld`](crate::session::IssueError::KeyNotHeld)).
    pub fn new(guard: &Guard, issuer: Issuer) -> Self {
        if guard.verifier().born_at() != BornAt::Ids {
            tracing::warn!(
                guard = guard.name(),
                "the guard dates tokens by `iat`, so it goes on accepting those of sessions that end with \
                 the others of their user; build its verifier with `with_born_at(BornAt::Ids)`"
            );
        }
        Self(Arc::new(Inner {
            guard: guard.clone(),
            issuer,
            policy: Policy::default(),
            cap: Some(SessionCap {
                limit: defaults::SESSIONS_PER_USER,
                when_full: WhenFull::EvictOldest,
            }),
            jitter: Duration::ZERO,
            hook: None,
            hook_limit: defaults::HOOK_TIMEOUT,
            max_token_bytes: defaults::MAX_TOKEN_BYTES,
            sink: None,
            required: Arc::new(AtomicBool::new(false)),
            refresh_verifier: OnceLock::new(),
        }))
    }

    /// How long after it was spent a refresh token still gets its successor, once more: for answers
    /// that were lost, and tabs that refresh together. Zero is strict. Default
    /// [`GRACE`](defaults::GRACE).
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        self.with(|inner| inner.policy.grace = grace)
    }

    /// What ends when a spent refresh token comes back. Default [`ReuseScope::User`].
    #[must_use]
    pub fn with_reuse(self, reuse: ReuseScope) -> Self {
        if reuse == ReuseScope::Refuse {
            tracing::warn!(
                "a reused refresh token will end nothing: against RFC 9700, a thief who refreshed \
                 first stays inside"
            );
        }
        self.with(|inner| inner.policy.reuse = reuse)
    }

    /// How long a session lives unused: the lifetime of a refresh token, and the longest that an access
    /// token lives. Whole seconds, at least one, at most [`LONGEST_HORIZON`](defaults::LONGEST_HORIZON);
    /// other values are brought into that range. Default
    /// [`REFRESH_LIFETIME`](defaults::REFRESH_LIFETIME).
    ///
    /// Another value after a deploy, or in another process, ends no session: a refresh token lives as
    /// long as it was issued for, and its successor as long as this says.
    #[must_use]
    pub fn with_idle_lifetime(self, lifetime: Duration) -> Self {
        self.with(|inner| inner.policy.idle_lifetime = whole_seconds(lifetime))
    }

    /// How long a session lives in any case, from its login. In the same range as
    /// [`with_idle_lifetime`](Self::with_idle_lifetime). Default
    /// [`SESSION_LIFETIME`](defaults::SESSION_LIFETIME).
    #[must_use]
    pub fn with_absolute_lifetime(self, lifetime: Duration) -> Self {
        self.with(|inner| inner.policy.absolute_lifetime = whole_seconds(lifetime))
    }

    /// How many sessions a user may have; `None` is no limit, and unbounded memory for whoever can
    /// log in. Default [`SESSIONS_PER_USER`](defaults::SESSIONS_PER_USER), the oldest making room.
    #[must_use]
    pub fn with_cap(self, cap: Option<SessionCap>) -> Self {
        self.with(|inner| inner.cap = cap)
    }

    /// Shortens each access token's life by a random part of `jitter`, so that a fleet of clients
    /// which logged in together does not refresh together. At most half of the lifetime counts.
    /// Default none.
    #[must_use]
    pub fn with_access_jitter(self, jitter: Duration) -> Self {
        self.with(|inner| inner.jitter = jitter)
    }

    /// Asks the application at each refresh whether the user is still welcome.
    #[must_use]
    pub fn with_hook(self, hook: impl RefreshHook) -> Self {
        self.with(|inner| inner.hook = Some(Arc::new(hook)))
    }

    /// How long the hook may take; longer is "cannot tell". Default
    /// [`HOOK_TIMEOUT`](defaults::HOOK_TIMEOUT).
    #[must_use]
    pub fn with_hook_limit(self, limit: Duration) -> Self {
        self.with(|inner| inner.hook_limit = limit)
    }

    /// The largest token that may be handed out, in bytes; more than
    /// [`MAX_TOKEN_BYTES`](defaults::MAX_TOKEN_BYTES), the default, counts as that. A login whose tokens
    /// could grow beyond opens no session, and a refresh spends no token.
    ///
    /// Routes with [cookies](crate::wire::Cookies) set it to what a cookie holds. Set it lower where a proxy
    /// on the way reads shorter headers: two cookies go into one response and one request, and nginx by default
    /// reads 4 KiB or 8 KiB of response headers (`proxy_buffer_size`).
    #[must_use]
    pub fn with_max_token_bytes(self, bytes: usize) -> Self {
        let bytes = bytes.min(defaults::MAX_TOKEN_BYTES);
        self.with(|inner| inner.max_token_bytes = bytes)
    }

    /// The largest token that may be handed out, in bytes.
    pub fn max_token_bytes(&self) -> usize {
        self.0.max_token_bytes
    }

    /// Where events go, beside `tracing`.
    #[must_use]
    pub fn with_events(self, sink: impl EventSink) -> Self {
        self.with(|inner| inner.sink = Some(Arc::new(sink)))
    }

    /// The guard they share.
    pub fn guard(&self) -> &Guard {
        &self.0.guard
    }

    /// Who signs their tokens.
    pub fn issuer(&self) -> &Issuer {
        &self.0.issuer
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        change(inner);
        // Other lifetimes may need other horizons.
        inner.required = Arc::new(AtomicBool::new(false));
        inner.refresh_verifier = OnceLock::new();
        self
    }
}

impl Inner {
    pub(super) fn store(&self) -> &AnyStore {
        self.guard.store()
    }

    /// Has the store keep entries as long as these sessions may live.
    pub(super) async fn require(&self) -> Result<(), StoreError> {
        if !self.required.load(Ordering::Acquire) {
            let horizons = Horizons::covering(
                self.issuer.lifetime(),
                self.policy.absolute_lifetime.max(self.policy.idle_lifetime),
                self.issuer.leeway(),
            );
            self.tell_short_sessions();
            self.guard.require().await?;
            self.guard.raise_horizons(horizons).await?;
            self.required.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// An access token ends with its session, so one that is to live longer does not.
    fn tell_short_sessions(&self) {
        let session = self.refresh_lifetime();
        let access = self.issuer.lifetime();
        if session < access {
            tracing::warn!(
                "access tokens are to live {access:?} and refresh tokens {session:?}: access tokens end \
                 with their session, so they live as short; give refresh tokens the longer lifetime"
            );
        }
    }

    /// How long a refresh token lives.
    fn refresh_lifetime(&self) -> Duration {
        self.policy.idle_lifetime.min(self.policy.absolute_lifetime)
    }

    pub(super) async fn transition(
        &self,
        transition: Transition<'_>,
    ) -> Result<Transitioned, StoreError> {
        let answer = match self.require().await {
            Ok(()) => self.store().transition(&transition).await,
            Err(error) => Err(error),
        };
        self.guard.heard(answer)
    }

    /// A refresh token of this issuer that is in force. Where it lives longer than this process knows
    /// entries to be kept, the store is asked: another process may have raised its horizons since.
    ///
    /// # Errors
    ///
    /// When the store was asked and did not answer.
    pub(super) async fn verified_refresh(
        &self,
        token: &str,
    ) -> Result<Result<Verified, VerifyError>, StoreError> {
        let verifier = self.refresh_verifier();
        let verify = || {
            let sessions = self.guard.promised().for_sessions();
            let kept = sessions.saturating_add(verifier.leeway() * 2);
            verifier.verify_within(token, Some(kept))
        };
        match verify() {
            Err(VerifyError::LivesTooLong) => {
                self.require().await?;
                self.guard.ask_horizons().await?;
                Ok(verify())
            }
            verified => Ok(verified),
        }
    }

    /// An error where the guard would refuse the tokens that are signed here.
    pub(super) fn checked_key(&self) -> Result<(), IssueError> {
        self.issuer.checked_key(&self.guard)
    }

    /// What accepts this issuer's refresh tokens.
    pub(super) fn refresh_verifier(&self) -> &Verifier {
        self.refresh_verifier
            .get_or_init(|| self.new_refresh_verifier())
    }

    fn new_refresh_verifier(&self) -> Verifier {
        let issuer = &self.issuer;
        Verifier::new(issuer.keys().clone(), issuer.name(), issuer.name())
            .with_kind(TokenKind::Refresh)
            .with_born_at(BornAt::Ids)
            .with_max_lifetime(self.refresh_lifetime())
            .with_leeway(issuer.leeway())
            .with_clock(Arc::clone(self.guard.verifier().clock()))
    }

    pub(super) fn index<'a>(&'a self, subject: &Subject) -> Index<'a> {
        let issuer = self.issuer.name();
        Index {
            shard: Shard::of_subject(issuer, subject),
            subject: Digest::of(&Dimension::Subject, issuer, subject.as_str().as_bytes()),
            others: Digest::of(
                &Dimension::OtherSessions,
                issuer,
                subject.as_str().as_bytes(),
            ),
            issuer,
        }
    }

    pub(super) fn entry(&self, session: &SessionId) -> Digest {
        Digest::of(
            &Dimension::Session,
            self.issuer.name(),
            session.as_str().as_bytes(),
        )
    }

    pub(super) fn tell(&self, event: &Event) {
        self.log(event);
        if let Some(sink) = &self.sink {
            sink.record(event);
        }
    }

    /// Tells the operator alone.
    pub(super) fn log(&self, event: &Event) {
        match &event.kind {
            EventKind::ReuseDetected(scope) => tracing::warn!(
                subject = %event.subject.quoted(),
                session = event.session.as_ref().map(|id| tracing::field::display(id.quoted())),
                ?scope,
                "a spent refresh token came back"
            ),
            kind => tracing::info!(
                subject = %event.subject.quoted(),
                session = event.session.as_ref().map(|id| tracing::field::display(id.quoted())),
                cause = event.cause.as_deref().map(tracing::field::debug),
                actor = event.actor.as_deref().map(tracing::field::debug),
                ?kind,
                "session event"
            ),
        }
    }
}

/// A store answered a transition with something else than was asked.
pub(super) fn odd_answer() -> StoreError {
    StoreError::Failed {
        store: "the store".to_owned(),
        reason: "it answered another question than was asked".to_owned(),
    }
}

/// A lifetime as tokens can state it: in whole seconds, which is what their dates are.
fn whole_seconds(lifetime: Duration) -> Duration {
    let longest = defaults::LONGEST_HORIZON.as_secs();
    Duration::from_secs(lifetime.as_secs().clamp(1, longest))
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("issuer", &self.0.issuer)
            .field("policy", &self.0.policy)
            .finish_non_exhaustive()
    }
}
