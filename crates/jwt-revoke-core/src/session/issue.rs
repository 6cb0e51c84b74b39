//! Issuing access tokens.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    clock::Timestamp,
    defaults,
    guard::Guard,
    revocation::{Cutoff, Dimension, Horizons, Shard},
    session::{
        Grant, date,
        sign::{self, AccessToken, Content},
    },
    store::{Lookup, StoreError},
    token::{ClientId, Jti, KeyId, SessionId, Subject},
    verify::{
        BornAt, KeyError, KeySet, SignError, SigningKey, VerificationKey, Verifier, VerifyError,
    },
};

/// Signs access tokens (`typ: at+jwt`, RFC 9068) for one audience. Cheap to clone.
#[derive(Clone)]
pub struct Issuer(Arc<Settings>);

#[derive(Clone)]
struct Settings {
    key: SigningKey,
    /// The key that signs, those that will, and those that did.
    keys: KeySet,
    issuer: Box<str>,
    audience: Box<str>,
    lifetime: Duration,
    leeway: Duration,
    /// Bytes of a token beside its claims, for access and refresh tokens. Computed once.
    overheads: OnceLock<[usize; 2]>,
}

impl Issuer {
    /// An issuer named `issuer` (`iss`, a URL) whose tokens are for `audience` (`aud`), living
    /// [`ACCESS_LIFETIME`](defaults::ACCESS_LIFETIME).
    pub fn new(
        key: SigningKey,
        issuer: impl Into<Box<str>>,
        audience: impl Into<Box<str>>,
    ) -> Self {
        Self(Arc::new(Settings {
            keys: key.verification_key().into(),
            key,
            issuer: issuer.into(),
            audience: audience.into(),
            lifetime: defaults::ACCESS_LIFETIME,
            leeway: defaults::LEEWAY,
            overheads: OnceLock::new(),
        }))
    }

    /// How long an access token lives. Whole seconds, at least one, at most
    /// [`MAX_TOKEN_LIFETIME`](defaults::MAX_TOKEN_LIFETIME); other values are brought into that
    /// range.
    #[must_use]
    pub fn with_lifetime(self, lifetime: Duration) -> Self {
        let longest = defaults::MAX_TOKEN_LIFETIME.as_secs();
        let lifetime = Duration::from_secs(lifetime.as_secs().clamp(1, longest));
        self.with(|settings| settings.lifetime = lifetime)
    }

    /// The slack that [`verifier`](Self::verifier) grants on `exp`, at most
    /// [`MAX_LEEWAY`](defaults::MAX_LEEWAY).
    #[must_use]
    pub fn with_leeway(self, leeway: Duration) -> Self {
        self.with(|settings| settings.leeway = leeway.min(defaults::MAX_LEEWAY))
    }

    /// A key that will sign soon: the first step of a rotation. Every process of the fleet announces it
    /// before any process signs with it, so that none refuses its tokens. `docs/keys.md` tells the order,
    /// and how long to wait at each step.
    ///
    /// # Errors
    ///
    /// As [`KeySet::insert`]: another key has its id, or one of them is a secret and the other not.
    ///
    /// ```
    /// use jwt_revoke_core::{Issuer, verify::{Algorithm, SigningKey}};
    ///
    /// let (old, new) = (SigningKey::generate(Algorithm::EdDSA)?, SigningKey::generate(Algorithm::EdDSA)?);
    /// let issuer = |key: &SigningKey| Issuer::new(key.clone(), "https://auth.example.com", "api");
    ///
    /// let announce = issuer(&old).with_announced_key(new.verification_key())?;
    /// let sign = issuer(&new).with_retiring_key(old.verification_key())?;
    /// let retire = issuer(&new);
    /// # assert_eq!([announce.keys().len(), sign.keys().len(), retire.keys().len()], [2, 2, 1]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_announced_key(self, key: VerificationKey) -> Result<Self, KeyError> {
        self.with_key(key)
    }

    /// A key that signed before, so that its tokens live out their time: the last step of a rotation is
    /// to drop it, once the longest of its refresh tokens has lapsed. See `docs/keys.md`.
    ///
    /// # Errors
    ///
    /// As [`with_announced_key`](Self::with_announced_key).
    pub fn with_retiring_key(self, key: VerificationKey) -> Result<Self, KeyError> {
        self.with_key(key)
    }

    /// What accepts the tokens that this issuer signs, and those signed with its announced and retiring
    /// keys. Without a guard it accepts no token that lives longer than [`lifetime`](Self::lifetime); a guard
    /// accepts what its store has promised to keep entries for.
    pub fn verifier(&self) -> Verifier {
        let settings = &*self.0;
        Verifier::new(
            settings.keys.clone(),
            &*settings.issuer,
            &*settings.audience,
        )
        .with_born_at(BornAt::Ids)
        .with_max_lifetime(settings.lifetime)
        .with_leeway(settings.leeway)
    }

    /// Opens a session of `subject` and signs its access token. Call it once the application has
    /// made sure who that is.
    ///
    /// The session is dated by the store's clock and after every cutoff that covers it, so a login
    /// right after "log out everywhere" works, and one before it does not outlive it.
    ///
    /// # Errors
    ///
    /// [`IssueError::Store`] when the store does not answer, or its clock is further ahead of this process's
    /// than [`CLOCK_SKEW`](defaults::CLOCK_SKEW), so that the token would be refused; no token exists then that
    /// could not be taken back. [`IssueError::Revoked`] when the signing key, or a value of the grant, is revoked
    /// for ever; [`IssueError::KeyNotHeld`] when the guard would refuse the token.
    pub async fn issue(
        &self,
        guard: &Guard,
        subject: impl Into<Subject>,
        grant: &Grant,
    ) -> Result<Issued, IssueError> {
        let subject = subject.into();
        let client = grant.client_or_default();
        self.check_grant(guard, &subject, &client, grant, defaults::MAX_TOKEN_BYTES)?;
        self.checked_key(guard)?;
        let opened_at = self.opening(guard, &subject, grant).await?;
        let session = SessionId::opened_at(opened_at);
        let jti = Jti::made_at(opened_at);
        let issued_at = Timestamp::from_seconds(opened_at.whole_seconds());
        let token = self.sign_access(&AccessToken {
            subject: &subject,
            session: &session,
            jti: &jti,
            client: &client,
            issued_at,
            expires_at: issued_at.saturating_add(self.0.lifetime),
            scope: &grant.scope,
            own: &grant.claims,
        })?;
        Ok(Issued {
            token,
            session,
            jti,
            expires_in: self.0.lifetime,
        })
    }

    /// The name under which tokens are issued: `iss`.
    pub fn name(&self) -> &str {
        &self.0.issuer
    }

    /// Whom tokens are for: `aud`.
    pub fn audience(&self) -> &str {
        &self.0.audience
    }

    /// How long an access token lives.
    pub fn lifetime(&self) -> Duration {
        self.0.lifetime
    }

    /// The slack granted on `exp`.
    pub fn leeway(&self) -> Duration {
        self.0.leeway
    }

    /// The keys that verify, the signing one first.
    pub fn keys(&self) -> &KeySet {
        &self.0.keys
    }

    /// The key that signs.
    pub fn key(&self) -> &SigningKey {
        &self.0.key
    }

    /// An error where the guard would refuse what this issuer signs.
    pub(super) fn checked_key(&self, guard: &Guard) -> Result<(), IssueError> {
        let key = &self.0.key;
        if guard.holds(&key.verification_key()) {
            return Ok(());
        }
        Err(IssueError::KeyNotHeld(key.id().clone()))
    }

    fn with_key(mut self, key: VerificationKey) -> Result<Self, KeyError> {
        Arc::make_mut(&mut self.0).keys.insert(key)?;
        Ok(self)
    }

    /// Fails unless the tokens of a session with this grant can be made.
    pub(super) fn check_grant(
        &self,
        guard: &Guard,
        subject: &Subject,
        client: &ClientId,
        grant: &Grant,
        limit: usize,
    ) -> Result<(), IssueError> {
        checked_id(subject.as_str(), IssueError::Subject)?;
        checked_id(client.as_str(), IssueError::Client)?;
        let content = Content {
            subject,
            client,
            scope: &grant.scope,
            own: &grant.claims,
        };
        self.check(&content, guard.verifier(), limit)
    }

    /// Bytes of a token beside its claims, for access and refresh tokens.
    pub(super) fn overheads(&self) -> Result<[usize; 2], SignError> {
        if let Some(overheads) = self.0.overheads.get() {
            return Ok(*overheads);
        }
        let overheads = sign::overheads(&self.0.key)?;
        Ok(*self.0.overheads.get_or_init(|| overheads))
    }

    /// The store's instant, once it is past every cutoff that could cover the session. A session is
    /// never dated ahead: a cutoff of the next moment would not cover it.
    async fn opening(
        &self,
        guard: &Guard,
        subject: &Subject,
        grant: &Grant,
    ) -> Result<Timestamp, IssueError> {
        guard.require().await?;
        // The guard's verifier may be set to less than is signed here.
        let settings = &*self.0;
        let needed = Horizons::covering(settings.lifetime, Duration::ZERO, settings.leeway);
        if guard.promised().access < needed.access {
            guard.raise_horizons(needed).await?;
        }
        let shard = Shard::of_subject(&self.0.issuer, subject);
        let named = guard.verifier().claim_dimensions();
        let (dimensions, digests) = grant
            .coverable(&self.0.issuer, subject, self.0.key.id(), named)
            .ok_or(IssueError::Claims)?;
        let query = Lookup::new(shard, &digests);
        for _ in 0..OPENINGS {
            let now = guard.store().now(shard).await?;
            date::check(guard, now, now)?;
            let found = guard.store().find(&query).await?;
            match found.highest() {
                Some(Cutoff::Forever) => {
                    let index = found.covering(now).unwrap_or_default();
                    return Err(IssueError::Revoked(dimensions[index].clone()));
                }
                Some(cutoff) if cutoff.covers(now) => {} // Of this very moment, or ahead.
                _ => return Ok(now),
            }
        }
        Err(IssueError::CutoffAhead)
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("issuer", &self.0.issuer)
            .field("audience", &self.0.audience)
            .field("key", self.0.key.id())
            .finish_non_exhaustive()
    }
}

/// An access token, fresh from the issuer.
#[derive(Clone)]
pub struct Issued {
    token: Box<str>,
    session: SessionId,
    jti: Jti,
    expires_in: Duration,
}

impl Issued {
    /// The token's text. Hand it to its owner over TLS with `Cache-Control: no-store`; never log it.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The session it opened.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// The token's own identifier.
    pub fn jti(&self) -> &Jti {
        &self.jti
    }

    /// How long it lives, in whole seconds: `expires_in` (RFC 6749 §5.1).
    pub fn expires_in(&self) -> Duration {
        self.expires_in
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("session", &self.session)
            .field("jti", &self.jti)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// No token was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The store did not answer, so the session could not be dated.
    #[error("the store could not date the session")]
    Store(#[from] StoreError),
    /// The signature could not be made.
    #[error("the token could not be signed")]
    Sign(#[from] SignError),
    /// The signing key, or a value of the grant, is revoked for ever.
    #[error("the {0} of the new session is revoked")]
    Revoked(Dimension),
    /// The guard's verifier does not hold the key that signs, so the guard would refuse the token: the keys
    /// were replaced while this process signs on.
    #[error(
        "the guard's verifier does not hold the signing key {0}: name it in `replace_keys`, or start this \
         process with a signing key that the verifier holds"
    )]
    KeyNotHeld(KeyId),
    /// A cutoff that would cover the session lies ahead of the store's clock. Try again when it is
    /// past, in at most [`MAX_CUTOFF_AHEAD`](defaults::MAX_CUTOFF_AHEAD).
    #[error("a cutoff that would cover the session lies ahead")]
    CutoffAhead,
    /// The subject is empty or too long for a verifier.
    #[error("the subject is empty or longer than {limit} bytes", limit = defaults::MAX_ID_BYTES)]
    Subject,
    /// The client is empty or too long for a verifier.
    #[error("the client is empty or longer than {limit} bytes", limit = defaults::MAX_ID_BYTES)]
    Client,
    /// A claim that is a revocation dimension has a shape that verifiers refuse.
    #[error(
        "a claim that is a revocation dimension is no text, number, or list of at most 16 of them"
    )]
    Claims,
    /// Verifiers cannot read the claims: they are nested too deeply, say, or the issuer's own name is
    /// empty.
    #[error("verifiers cannot read the token's claims; change the claims or the issuer's settings")]
    Unreadable(#[source] VerifyError),
    /// A token of the session would take so many bytes, more than may be handed out: see
    /// [`Sessions::with_max_token_bytes`](crate::session::Sessions::with_max_token_bytes).
    #[error(
        "a token of the session takes up to {size} bytes, more than {limit}; grant less scope or fewer claims"
    )]
    TooLarge {
        /// Bytes of the token in the last possible generation.
        size: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
}

/// An identifier that verifiers accept.
pub(super) fn checked_id(id: &str, error: IssueError) -> Result<(), IssueError> {
    match id.len() {
        1..=defaults::MAX_ID_BYTES => Ok(()),
        _ => Err(error),
    }
}

/// How often the clock is read until it is past a cutoff of the same moment.
const OPENINGS: usize = 8;
