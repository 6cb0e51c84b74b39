//! Token in, decision out.

mod access;
mod builder;
mod cache;
mod checked;
mod counter;
mod denied;
mod ended;
mod outage;
mod policy;
mod promise;
mod refusals;
mod revoke;
mod share;
mod target;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::FutureExt as _;
use tracing::{Instrument as _, Span, field::Empty};

use self::{access::Token, cache::TokenCache, promise::Promise};
pub use self::{
    access::{Access, ClaimsError, NoClaims, Standing},
    builder::GuardBuilder,
    cache::CacheStats,
    checked::Checked,
    denied::Denied,
    ended::{Ended, Ending},
    policy::{Consistency, Outage},
    revoke::RevokeError,
    target::Target,
};
use crate::{
    Report,
    meters::{Cached, GuardMeters, Path, Refreshed, Verdict},
    revocation::{Cutoffs, Horizons, Shard},
    store::{AnyStore, Health, Lookup, StoreError},
    token::TokenKind,
    verify::{BornAt, VerificationKey, Verified, Verifier, VerifyError},
};

/// Decides whether a token gives access: signature and claims first, then the denylist.
///
/// A cheap handle; all clones share one verifier, one store, and one cache of tokens that were verified:
/// what a signature costs is paid once a token, not once a request. How old the answer may be, and what
/// happens while the store is unknown, belong to the handle, so that every layer and route can have
/// its own: [`with_consistency`](Self::with_consistency), [`with_outage`](Self::with_outage).
///
/// An answer that does not come is never "not revoked".
///
/// ```
/// # use jwt_revoke_core::{Guard, Issuer, guard::Target, store::EmbeddedStore};
/// # use jwt_revoke_core::{session::Grant, verify::{Algorithm, SigningKey}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = SigningKey::generate(Algorithm::EdDSA)?;
/// let issuer = Issuer::new(key, "https://auth.example.com", "api");
/// let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
///
/// let issued = issuer.issue(&guard, "alice", &Grant::new()).await?;
/// let access = guard.check(issued.token()).await?;
/// assert_eq!(access.subject().map(|subject| subject.as_str()), Some("alice"));
///
/// guard.revoke(Target::logout(&access)).await?;
/// assert!(guard.check(issued.token()).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Guard {
    shared: Arc<Shared>,
    consistency: Consistency,
    outage: Outage,
}

struct Shared {
    verifier: Verifier,
    store: AnyStore,
    /// Whether the store answers from a copy where it may.
    mirrored: bool,
    horizons: Horizons,
    /// Whether the store has promised to keep entries for `horizons`.
    required: AtomicBool,
    /// What the store is known to have promised to anybody.
    promise: Promise,
    cache: TokenCache,
    outages: outage::OutageLog,
    refusals: refusals::Refusals,
    meters: GuardMeters,
    name: Box<str>,
}

impl Guard {
    /// A guard over tokens that `verifier` accepts and revocations that `store` keeps.
    ///
    /// Nothing is asked of the store yet; see [`ready`](Self::ready).
    pub fn new(verifier: Verifier, store: impl Into<AnyStore>) -> Self {
        Self::builder(verifier, store).build()
    }

    /// To set more than what every guard needs.
    pub fn builder(verifier: Verifier, store: impl Into<AnyStore>) -> GuardBuilder {
        GuardBuilder::new(verifier, store.into())
    }

    /// A handle of the same guard with another policy for the time in which the store does not
    /// answer. The default is [`Outage::Deny`].
    #[must_use]
    pub fn with_outage(&self, outage: Outage) -> Self {
        Self {
            outage,
            ..self.clone()
        }
    }

    /// A handle of the same guard that judges by fresher knowledge, or older. The default is
    /// [`Consistency::default`] where the store allows it.
    #[must_use]
    pub fn with_consistency(&self, consistency: Consistency) -> Self {
        Self {
            consistency,
            ..self.clone()
        }
    }

    /// A handle of the same guard that asks the store at every check: for routes where not even a
    /// moment's delay of a revocation is bearable.
    #[must_use]
    pub fn strict(&self) -> Self {
        self.with_consistency(Consistency::Strict)
    }

    /// A handle of the same guard that believes only a server that may be written just now: for routes
    /// where not even a primary that was cut off may be believed. See [`Consistency::Fenced`].
    #[must_use]
    pub fn fenced(&self) -> Self {
        self.with_consistency(Consistency::Fenced)
    }

    /// Decides about a token, as it stands after the scheme in `Authorization: Bearer ..`.
    ///
    /// Verification happens here and now, or did when the token came before; whether it was revoked is
    /// asked each time. [`Checked::Later`] means that the store must be waited for, no longer than its
    /// bound. Await the answer, or match on it to save a poll.
    ///
    /// A token of our own may have been issued under a longer lifetime than this process knows of, by
    /// another process or before a deploy. It is accepted as far as the store has promised to keep entries
    /// about it; where this process does not know of that promise, the store is asked.
    ///
    /// A token that is in the cache, over a store that answers from this process, costs no allocation.
    pub fn check(&self, text: &str) -> Checked {
        let span = tracing::debug_span!(
            "check",
            guard = &*self.shared.name,
            shard = Empty,
            path = Empty,
            outcome = Empty,
            dimension = Empty,
        );
        let inside = span.enter();
        let token = match self.verified(text) {
            Ok(token) => token,
            Err(VerifyError::LivesTooLong) if self.is_for_own_tokens() => {
                drop(inside);
                return self.check_afresh(text, span);
            }
            Err(invalid) => {
                self.refused(TokenKind::Access, text, self.verifier(), &invalid);
                let refused = Err(Denied::Invalid(invalid));
                self.tell(&span, Path::Verify, &refused);
                return Checked::Now(refused);
            }
        };
        // From here on a token that was verified just now and one that was verified before are one.
        if let Some(found) = self.found_now(&token) {
            let path = if self.is_mirrored() {
                Path::Replica
            } else {
                Path::Memory
            };
            return Checked::Now(self.decide(token, found, path, &span));
        }
        drop(inside);
        let (guard, outside) = (self.clone(), span.clone());
        Checked::Later(
            async move {
                let found = guard.found(&token).await;
                guard.decide(token, found, Path::Store, &span)
            }
            .instrument(outside)
            .boxed(),
        )
    }

    /// Decides about a genuine token of our own that lives longer than this process knows entries to be
    /// kept: another process may have raised the store's horizons since.
    fn check_afresh(&self, text: &str, span: Span) -> Checked {
        let (guard, outside) = (self.clone(), span.clone());
        let text = Box::<str>::from(text);
        Checked::Later(
            async move {
                let token = match guard.ask_horizons().await {
                    Ok(()) => guard.verified(&text).map_err(Denied::Invalid),
                    // Whatever the outage policy says: such a token could outlive its revocation.
                    Err(error) => Err(Denied::StoreUnavailable(error)),
                };
                match token {
                    Ok(token) => {
                        let found = guard.found(&token).await;
                        guard.decide(token, found, Path::Store, &span)
                    }
                    Err(denied) => {
                        let path = match &denied {
                            Denied::Invalid(invalid) => {
                                guard.refused(TokenKind::Access, &text, guard.verifier(), invalid);
                                Path::Verify
                            }
                            _ => Path::Policy,
                        };
                        let refused = Err(denied);
                        guard.tell(&span, path, &refused);
                        refused
                    }
                }
            }
            .instrument(outside)
            .boxed(),
        )
    }

    /// Whether `access` would have come from this handle, so that it need not be checked again: it
    /// is of the same guard and of a handle whose policy is no more lenient.
    pub fn accepts(&self, access: &Access) -> bool {
        access.is_of(&self.shared)
            && access.consistency().implies(self.consistency)
            && (access.outage() == Outage::Deny || self.outage == Outage::Allow)
    }

    /// Whether the store is reachable, fit for what this handle asks of it, and has promised to keep
    /// entries long enough.
    ///
    /// # Errors
    ///
    /// What is wrong, in words for an operator.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.require().await?;
        self.shared.store.ready().await?;
        if self.consistency == Consistency::Fenced {
            // Not every server can be asked that way.
            let query = Lookup::new(Shard::FIRST, &[]).with_consistency(self.consistency);
            self.shared.store.find(&query).await?;
        }
        Ok(())
    }

    /// How well checks are served just now, without asking the store.
    pub fn health(&self) -> Health {
        self.shared.store.health()
    }

    /// What decides whether a token is genuine.
    pub fn verifier(&self) -> &Verifier {
        &self.shared.verifier
    }

    /// What the cache of verified tokens has done and holds.
    pub fn cache_stats(&self) -> CacheStats {
        self.shared.cache.stats()
    }

    /// Sets the gauges of the feature `metrics` that tell of this guard and its store as they are just now:
    /// call it when the numbers are about to be read. Does nothing without that feature, or without a
    /// recorder.
    pub fn record_metrics(&self) {
        if cfg!(feature = "metrics") {
            self.shared.meters.set_cache(&self.cache_stats());
            self.shared.store.record_metrics();
        }
    }

    /// How old the knowledge may be by which this handle judges.
    pub fn consistency(&self) -> Consistency {
        self.consistency
    }

    /// What happens while the store does not answer.
    pub fn outage(&self) -> Outage {
        self.outage
    }

    pub(crate) fn store(&self) -> &AnyStore {
        &self.shared.store
    }

    /// What it is called in metrics and spans.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Counts a refresh.
    pub(crate) fn refreshed(&self, outcome: Refreshed) {
        self.shared.meters.refreshed(outcome);
    }

    /// Counts a token that `verifier` has refused, and tells the operator of it if a setting may be the
    /// cause.
    #[cold]
    pub(crate) fn refused(
        &self,
        kind: TokenKind,
        token: &str,
        verifier: &Verifier,
        error: &VerifyError,
    ) {
        let Shared {
            name,
            meters,
            refusals,
            ..
        } = &*self.shared;
        refusals.refused((name, meters), kind, token, verifier, error);
    }

    /// Has the store keep entries as long as the tokens of this guard need. Once is enough for the
    /// life of the store's handle, which repeats it after data loss.
    pub(crate) async fn require(&self) -> Result<(), StoreError> {
        if !self.shared.required.load(Ordering::Acquire) {
            self.raise_horizons(self.shared.horizons).await?;
            self.shared.required.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Has the store keep entries for at least `horizons`, and takes note of what it keeps them for.
    pub(crate) async fn raise_horizons(&self, horizons: Horizons) -> Result<(), StoreError> {
        let in_force = self.shared.store.require(horizons).await?;
        self.shared.promise.learn(in_force);
        Ok(())
    }

    /// Asks the store for how long it keeps entries: other processes may have raised that.
    pub(crate) async fn ask_horizons(&self) -> Result<(), StoreError> {
        let answer = self.raise_horizons(self.shared.horizons).await;
        self.heard(answer)
    }

    /// The horizons that the store is known to have promised.
    pub(crate) fn promised(&self) -> Horizons {
        self.shared.promise.horizons()
    }

    /// Whether tokens that are signed with this key are accepted.
    pub(crate) fn holds(&self, key: &VerificationKey) -> bool {
        self.verifier().holds(key)
    }

    /// Whether the verifier's tokens are our own, so that the signing process has had the store promise to
    /// keep entries as long as it lives.
    fn is_for_own_tokens(&self) -> bool {
        self.verifier().born_at() == BornAt::Ids
    }

    /// How long after its `iat` a token of our own is sure to be covered by an entry about it; `None` for
    /// other issuers' tokens, for which the verifier's own cap counts.
    fn kept(&self) -> Option<Duration> {
        self.is_for_own_tokens()
            .then(|| self.promised().for_access_token())
    }

    /// Whether a token that was accepted before is still in force, whatever keys came or went.
    fn still_holds(&self, verified: &Verified) -> Result<(), VerifyError> {
        self.verifier().still_holds(verified, self.kept())
    }

    /// The token behind a text, genuine and in force.
    fn verified(&self, text: &str) -> Result<Arc<Token>, VerifyError> {
        let Shared {
            verifier,
            cache,
            meters,
            ..
        } = &*self.shared;
        let question = cache.question(text);
        let kept = self.kept();
        let known = |token: &Token| verifier.still_accepts(&token.verified, kept);
        if let Some(token) = question.and_then(|question| cache.get(question, known)) {
            meters.looked_up(Cached::Hit);
            return Ok(token);
        }
        if question.is_some() {
            meters.looked_up(Cached::Miss);
        }
        let verified = meters.verifying(|| verifier.verify_within(text, kept))?;
        let token = Arc::new(Token::new(verified, &self.shared));
        if let Some(question) = question {
            cache.insert(question, &token);
        }
        Ok(token)
    }

    /// What the store said, told to the operator where it is the beginning or the end of an outage.
    pub(crate) fn heard<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match &answer {
            Ok(_) => self.shared.outages.answered(),
            // The fault of whoever asked.
            Err(StoreError::CutoffAhead { .. }) => {}
            Err(error) => {
                let now = self.shared.verifier.clock().now();
                self.shared.outages.failed(error, now);
            }
        }
        answer
    }

    /// Whether what is answered at once comes from a copy that may be behind.
    fn is_mirrored(&self) -> bool {
        self.shared.mirrored && self.consistency.is_mirror()
    }

    fn question<'a>(&self, token: &'a Token) -> Lookup<'a> {
        token.verified.lookup().with_consistency(self.consistency)
    }

    /// What covers a token, where this process knows.
    fn found_now(&self, token: &Token) -> Option<Result<Cutoffs, StoreError>> {
        if !self.shared.required.load(Ordering::Acquire) {
            return None;
        }
        match self.shared.store.lookup_now(&self.question(token))? {
            // What a copy knows tells nothing of the store.
            Ok(found) if self.is_mirrored() => Some(Ok(found)),
            found => Some(self.heard(found)),
        }
    }

    /// What covers a token, as the store says.
    async fn found(&self, token: &Token) -> Result<Cutoffs, StoreError> {
        self.heard(self.lookup(token).await)
    }

    async fn lookup(&self, token: &Token) -> Result<Cutoffs, StoreError> {
        let mut query = self.question(token);
        if self.consistency.is_mirror() && !self.shared.required.load(Ordering::Acquire) {
            // What is known here says nothing of whether the store can be written.
            query = query.with_consistency(Consistency::Strict);
        }
        // First, since a check has a shorter bound than a write, and what is known to be revoked is
        // refused whether or not the store can be written.
        let found = self.shared.store.find(&query).await?;
        // No token is accepted before its revocation is sure to outlive it.
        match self.require().await {
            Ok(()) => Ok(found),
            Err(error) => Err(error.knowing(found)),
        }
    }

    fn decide(
        &self,
        token: Arc<Token>,
        found: Result<Cutoffs, StoreError>,
        path: Path,
        span: &Span,
    ) -> Result<Access, Denied> {
        if !span.is_disabled() {
            span.record("shard", token.verified.shard().number());
        }
        let failed = found.is_err();
        let decision = self.judge(token, found);
        let path = match (&decision, path) {
            _ if !failed => path,
            // By what is known here although the store did not answer.
            (Err(Denied::Revoked { .. }), Path::Store) => Path::Replica,
            (Err(Denied::Revoked { .. }), path) => path,
            _ => Path::Policy,
        };
        self.tell(span, path, &decision);
        decision
    }

    #[inline]
    fn judge(
        &self,
        token: Arc<Token>,
        found: Result<Cutoffs, StoreError>,
    ) -> Result<Access, Denied> {
        let unknown = token
            .judged(found)
            .map_err(|dimension| Denied::Revoked { dimension })?;
        let standing = match (unknown, self.outage) {
            (None, _) => Standing::Clear,
            (Some(error), Outage::Deny) => return Err(Denied::StoreUnavailable(error)),
            (Some(error), Outage::Allow) => {
                tracing::warn!(
                    jti = token.verified.registered().jti.as_ref().map(|jti| display(jti.quoted())),
                    error = %Report(&error).quoted(),
                    "let through without knowing whether the token was revoked"
                );
                Standing::Unknown
            }
        };
        Ok(Access::new(token, standing, self))
    }

    /// Counts a decision.
    #[inline]
    fn tell(&self, span: &Span, path: Path, decision: &Result<Access, Denied>) {
        let verdict = match decision {
            Ok(_) => Verdict::Allowed,
            Err(Denied::Revoked { .. }) => Verdict::Revoked,
            Err(Denied::StoreUnavailable(_)) => Verdict::Unavailable,
            Err(_) => Verdict::Invalid,
        };
        self.shared.meters.checked(path, verdict);
        if !span.is_disabled() {
            record(span, path, verdict, decision);
        }
    }
}

/// Tells a span of a decision.
#[cold]
fn record(span: &Span, path: Path, verdict: Verdict, decision: &Result<Access, Denied>) {
    span.record("path", path.as_str());
    span.record("outcome", verdict.as_str());
    if let Err(Denied::Revoked {
        dimension: Some(dimension),
    }) = decision
    {
        span.record("dimension", dimension.name());
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("consistency", &self.consistency)
            .field("outage", &self.outage)
            .finish_non_exhaustive()
    }
}
