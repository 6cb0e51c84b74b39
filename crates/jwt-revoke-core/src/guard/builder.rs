//! Putting a guard together.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use super::{
    Guard, Outage, Shared, cache::TokenCache, outage::OutageLog, promise::Promise,
    refusals::Refusals,
};
use crate::{
    defaults, meters::GuardMeters, revocation::Horizons, store::AnyStore, verify::Verifier,
};

/// Sets what is one for all handles of a [`Guard`].
///
/// ```
/// # use jwt_revoke_core::{Guard, Issuer, store::EmbeddedStore, verify::{Algorithm, SigningKey}};
/// # let issuer = Issuer::new(SigningKey::generate(Algorithm::EdDSA)?, "https://auth.example.com", "api");
/// // Room for a few hundred thousand tokens.
/// let guard = Guard::builder(issuer.verifier(), EmbeddedStore::in_memory())
///     .with_token_cache(512 * 1024 * 1024)
///     .build();
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct GuardBuilder {
    verifier: Verifier,
    store: AnyStore,
    session_lifetime: Duration,
    token_cache: usize,
    name: Box<str>,
}

impl GuardBuilder {
    pub(super) fn new(verifier: Verifier, store: AnyStore) -> Self {
        Self {
            verifier,
            store,
            session_lifetime: defaults::SESSION_LIFETIME,
            token_cache: defaults::TOKEN_CACHE_BYTES,
            name: defaults::GUARD_NAME.into(),
        }
    }

    /// No session lives longer than this, from its login to the last token it brings forth. Entries
    /// for sessions and users are kept that long.
    ///
    /// Default [`SESSION_LIFETIME`](defaults::SESSION_LIFETIME). A shorter value saves room; a value
    /// shorter than real sessions lets a revoked one revive.
    pub fn with_session_lifetime(mut self, session_lifetime: Duration) -> Self {
        self.session_lifetime = session_lifetime;
        self
    }

    /// How many bytes the cache of verified tokens may take; none at 0. Default
    /// [`TOKEN_CACHE_BYTES`](defaults::TOKEN_CACHE_BYTES), of which a usual token takes about 3 KB.
    ///
    /// The cache saves the work of verifying and nothing else: the store is asked about each token each
    /// time it comes, its dates are compared each time, and no token outlives the key set it was
    /// verified with. A token that is longer than
    /// [`MAX_CACHED_TOKEN_BYTES`](defaults::MAX_CACHED_TOKEN_BYTES) is verified each time. When it is
    /// full, tokens that came once make room before those that come again and again, and of many new
    /// tokens of one user only a few are taken in.
    ///
    /// The application's own claims, once parsed, stay with the token. They are reckoned as twice their
    /// JSON; a type that takes far more than that makes the cache so much larger.
    pub fn with_token_cache(mut self, bytes: usize) -> Self {
        self.token_cache = bytes;
        self
    }

    /// What it is called in metrics and spans, so that several guards of a process can be told apart.
    /// Guards of one name count together. Default [`GUARD_NAME`](defaults::GUARD_NAME).
    pub fn with_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// The guard. Nothing is asked of the store yet; see [`Guard::ready`].
    #[must_use]
    pub fn build(self) -> Guard {
        let Self {
            verifier,
            store,
            session_lifetime,
            token_cache,
            name,
        } = self;
        let horizons =
            Horizons::covering(verifier.max_lifetime(), session_lifetime, verifier.leeway());
        let consistency = store.consistency();
        let shared = Shared {
            verifier,
            store,
            mirrored: consistency.is_mirror(),
            horizons,
            required: AtomicBool::new(false),
            promise: Promise::default(),
            cache: TokenCache::new(token_cache),
            outages: OutageLog::default(),
            refusals: Refusals::new(),
            meters: GuardMeters::new(&name),
            name,
        };
        Guard {
            shared: Arc::new(shared),
            consistency,
            outage: Outage::Deny,
        }
    }
}

impl fmt::Debug for GuardBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardBuilder")
            .field("name", &self.name)
            .field("session_lifetime", &self.session_lifetime)
            .field("token_cache", &self.token_cache)
            .finish_non_exhaustive()
    }
}
