//! Issuing access tokens.

use std::{fmt, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    clock::Timestamp,
    defaults,
    guard::Guard,
    revocation::{Cutoff, Digest, Dimension, Shard},
    store::{Lookup, StoreError},
    token::{ClaimValue, ClientId, Jti, Scope, SessionId, Subject, TokenKind},
    verify::{BornAt, KeyError, KeySet, SignError, SigningKey, VerificationKey, Verifier},
};

/// Signs access tokens (`typ: at+jwt`, RFC 9068) for one audience. Cheap to clone.
#[derive(Clone)]
pub struct Issuer(Arc<Settings>);

#[derive(Clone)]
struct Settings {
    key: SigningKey,
    /// The key that signs, and those that signed before.
    keys: KeySet,
    issuer: Box<str>,
    audience: Box<str>,
    lifetime: Duration,
    leeway: Duration,
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

    /// A key that signed before, so that its tokens live out their time after a rotation.
    ///
    /// # Errors
    ///
    /// As [`KeySet::insert`]: another key has its id, or one of them is a secret and the other not.
    pub fn with_previous_key(mut self, key: VerificationKey) -> Result<Self, KeyError> {
        Arc::make_mut(&mut self.0).keys.insert(key)?;
        Ok(self)
    }

    /// What accepts exactly the tokens that this issuer signs.
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
    /// [`IssueError::Store`] when the store does not answer; no token exists then that could not be
    /// taken back. [`IssueError::Revoked`] when the signing key, or a value of the grant, is revoked
    /// for ever.
    pub async fn issue(
        &self,
        guard: &Guard,
        subject: impl Into<Subject>,
        grant: &Grant,
    ) -> Result<Issued, IssueError> {
        let subject = subject.into();
        if subject.as_str().is_empty() {
            return Err(IssueError::EmptySubject);
        }
        let opened_at = self.opening(guard, &subject, grant).await?;
        let session = SessionId::opened_at(opened_at);
        let jti = Jti::made_at(opened_at);
        let issued_at = opened_at.whole_seconds();
        let expires_at = issued_at + self.0.lifetime.as_secs();
        let claims = AccessClaims {
            iss: &self.0.issuer,
            aud: &self.0.audience,
            sub: subject.as_str(),
            sid: session.as_str(),
            jti: jti.as_str(),
            client_id: grant
                .client
                .as_ref()
                .map_or(defaults::CLIENT_ID, ClientId::as_str),
            iat: issued_at,
            exp: expires_at,
            scope: (!grant.scope.is_empty()).then(|| grant.scope.as_str()),
            own: &grant.claims,
        };
        let token = self.0.key.sign(TokenKind::Access.typ(), &claims)?;
        if token.len() > defaults::MAX_TOKEN_BYTES {
            return Err(IssueError::TooLarge { size: token.len() });
        }
        Ok(Issued {
            token: token.into(),
            session,
            jti,
            expires_in: self.0.lifetime,
        })
    }

    /// The name under which tokens are issued: `iss`.
    pub fn name(&self) -> &str {
        &self.0.issuer
    }

    /// The key that signs.
    pub fn key(&self) -> &SigningKey {
        &self.0.key
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
        let shard = Shard::of_subject(&self.0.issuer, subject);
        let (dimensions, digests) = self.digests(guard, subject, grant);
        let query = Lookup::new(shard, &digests);
        for _ in 0..OPENINGS {
            let now = guard.store().now(shard).await?;
            let found = match guard.store().lookup_now(&query) {
                Some(found) => found?,
                None => guard.store().lookup(&query).await?,
            };
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

    /// What can cover a session that does not exist yet.
    fn digests(
        &self,
        guard: &Guard,
        subject: &Subject,
        grant: &Grant,
    ) -> (Vec<Dimension>, Vec<Digest>) {
        let issuer = &*self.0.issuer;
        let client = grant
            .client
            .as_ref()
            .map_or(defaults::CLIENT_ID, ClientId::as_str);
        let mut values = vec![
            (Dimension::Subject, subject.as_str().to_owned()),
            (Dimension::Client, client.to_owned()),
            (Dimension::Issuer, issuer.to_owned()),
            (Dimension::Key, self.0.key.id().as_str().to_owned()),
        ];
        for name in guard.verifier().claim_dimensions() {
            let value = grant.claims.get(name.as_str());
            let elements = match value {
                Some(Value::Array(elements)) => elements.as_slice(),
                other => other.map_or(&[][..], std::slice::from_ref),
            };
            for element in elements.iter().filter_map(ClaimValue::from_json) {
                values.push((Dimension::Claim(name.clone()), element.canonical()));
            }
        }
        values
            .into_iter()
            .map(|(dimension, value)| {
                let digest = Digest::of(&dimension, issuer, value.as_bytes());
                (dimension, digest)
            })
            .unzip()
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

/// What a login grants beside the identity: client, scope, and the application's own claims.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Grant {
    client: Option<ClientId>,
    scope: Scope,
    claims: Map<String, Value>,
}

impl Grant {
    /// Nothing beside the identity.
    pub fn new() -> Self {
        Self::default()
    }

    /// The OAuth client. Without one, tokens say [`CLIENT_ID`](defaults::CLIENT_ID), since RFC 9068
    /// §2.2 asks for a client.
    pub fn with_client(mut self, client: impl Into<ClientId>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// What the tokens may be used for.
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// The application's own claims, at most 1 KiB of JSON.
    ///
    /// # Errors
    ///
    /// [`GrantError`] when they are not an object, too large, or take a name that is ours.
    pub fn with_claims(mut self, claims: &impl Serialize) -> Result<Self, GrantError> {
        let Value::Object(claims) = serde_json::to_value(claims).map_err(GrantError::Serialize)?
        else {
            return Err(GrantError::NotAnObject);
        };
        if let Some(name) = claims.keys().find(|name| RESERVED.contains(&name.as_str())) {
            return Err(GrantError::Reserved(name.clone()));
        }
        let size = serde_json::to_vec(&claims)
            .map_err(GrantError::Serialize)?
            .len();
        if size > defaults::MAX_OWN_CLAIMS_BYTES {
            return Err(GrantError::TooLarge { size });
        }
        self.claims = claims;
        Ok(self)
    }
}

/// The application's claims cannot be granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// They do not serialize to a JSON object.
    #[error("the claims are not a json object")]
    NotAnObject,
    /// They do not serialize.
    #[error("the claims do not serialize")]
    Serialize(#[source] serde_json::Error),
    /// A name is one of the registered claims.
    #[error("the claim {0:?} is set by the issuer")]
    Reserved(String),
    /// More than [`MAX_OWN_CLAIMS_BYTES`](defaults::MAX_OWN_CLAIMS_BYTES) of JSON.
    #[error("the claims take {size} bytes, more than the {limit} allowed", limit = defaults::MAX_OWN_CLAIMS_BYTES)]
    TooLarge {
        /// How many they take.
        size: usize,
    },
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
    /// A cutoff that would cover the session lies ahead of the store's clock. Try again when it is
    /// past, in at most [`MAX_CUTOFF_AHEAD`](defaults::MAX_CUTOFF_AHEAD).
    #[error("a cutoff that would cover the session lies ahead")]
    CutoffAhead,
    /// The subject is empty.
    #[error("the subject is empty")]
    EmptySubject,
    /// Verifiers would refuse a token of this many bytes.
    #[error("the token takes {size} bytes, more than the {limit} that verifiers read", limit = defaults::MAX_TOKEN_BYTES)]
    TooLarge {
        /// How many it takes.
        size: usize,
    },
}

#[derive(Serialize)]
struct AccessClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    sid: &'a str,
    jti: &'a str,
    client_id: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(flatten)]
    own: &'a Map<String, Value>,
}

/// Claims that the issuer sets, or that would change what a token means.
const RESERVED: [&str; 13] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "client_id",
    "azp",
    "scope",
    "gen",
    "ext",
];

/// How often the clock is read until it is past a cutoff of the same moment.
const OPENINGS: usize = 8;
