//! From text to a verified token.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use smallvec::smallvec;

use crate::{
    clock::{Clock, SystemClock, Timestamp},
    defaults,
    revocation::{ClaimName, Digest, Dimension},
    token::{KeyId, TokenKind},
    verify::{
        Algorithm, BornAt, KeySet, VerificationKey, Verified, VerifyError,
        claims::RawClaims,
        compact::{self, Compact},
        header::Header,
        rules::{Demand, Rules},
    },
};

/// Checks the signature, the type and the claims of tokens of one issuer for one audience.
///
/// By default it accepts access tokens only that say so (`typ: at+jwt`, RFC 9068 §2.1), have `iss`,
/// `aud`, `exp`, `iat`, `sub` and `jti`, and live no longer than a day. What weakens that is called
/// `allow_..`. Clones are cheap, and see each other's [`replace_keys`](Self::replace_keys).
///
/// ```
/// use jwt_revoke_core::verify::{Algorithm, SigningKey, Verifier, VerifyError};
/// use serde_json::json;
/// # use jwt_revoke_core::{Clock, SystemClock};
///
/// let key = SigningKey::generate(Algorithm::ES256)?;
/// let verifier = Verifier::new(key.verification_key(), "https://auth.example.com", "api");
/// # let now = SystemClock::new().now().whole_seconds();
///
/// let claims = json!({
///     "iss": "https://auth.example.com", "aud": "api", "sub": "alice", "jti": "1",
///     "iat": now, "exp": now + 900,
/// });
/// let verified = verifier.verify(&key.sign("at+jwt", &claims)?)?;
/// assert_eq!(verified.registered().subject.as_ref().unwrap().as_str(), "alice");
///
/// // The same claims in a token of another type.
/// let refused = verifier.verify(&key.sign("rt+jwt", &claims)?);
/// assert_eq!(refused.unwrap_err(), VerifyError::OtherType);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Verifier {
    ring: Arc<Ring>,
    pub(super) rules: Arc<Rules>,
}

impl Verifier {
    /// A verifier of tokens by `issuer` for `audience`, on the operating system's clock.
    pub fn new(
        keys: impl Into<KeySet>,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Self {
        let issuer: Arc<str> = issuer.into().into();
        let rules = Rules {
            issuer_digest: Digest::of(&Dimension::Issuer, &issuer, issuer.as_bytes()),
            issuer: Some(Arc::clone(&issuer)),
            audiences: Some(vec![audience.into().into()]),
            kinds: smallvec![TokenKind::Access],
            declared_type: Demand::Required,
            audience: Demand::Required,
            jti: Demand::Required,
            issued_at: Demand::Required,
            subject: Demand::Required,
            in_force: Demand::Required,
            leeway: defaults::LEEWAY,
            max_lifetime: defaults::MAX_TOKEN_LIFETIME,
            born_at: BornAt::default(),
            dimensions: Vec::new(),
            clock: SystemClock::shared(),
        };
        Self {
            ring: Arc::new(Ring::new(issuer, keys.into())),
            rules: Arc::new(rules),
        }
    }

    /// Another audience besides: a token for any of them is accepted.
    pub fn with_audience(self, audience: impl Into<String>) -> Self {
        let audience = audience.into().into();
        self.with(|rules| rules.audiences.get_or_insert_default().push(audience))
    }

    /// The slack granted on `exp`, `nbf` and `iat` for clocks that differ. At most
    /// [`MAX_LEEWAY`](defaults::MAX_LEEWAY): more is cut down to it. Default
    /// [`LEEWAY`](defaults::LEEWAY). `nbf` and `iat` get [`CLOCK_SKEW`](defaults::CLOCK_SKEW) on top,
    /// since a token must work the moment it is issued.
    pub fn with_leeway(self, leeway: Duration) -> Self {
        self.with(|rules| rules.leeway = leeway.min(defaults::MAX_LEEWAY))
    }

    /// The longest life of a token, from its `iat` (or from now) to its `exp`. A token that lives
    /// longer is refused, because its denylist entry would lapse before it. Default
    /// [`MAX_TOKEN_LIFETIME`](defaults::MAX_TOKEN_LIFETIME).
    ///
    /// For tokens of our own ([`BornAt::Ids`]) a guard also accepts whatever its store has promised to
    /// keep entries for: tokens that another process, or this one before a deploy, issued under a longer
    /// lifetime stay good until their `exp`.
    ///
    /// # Panics
    ///
    /// When it is zero: every token would be refused.
    pub fn with_max_lifetime(self, max_lifetime: Duration) -> Self {
        assert!(
            !max_lifetime.is_zero(),
            "a verifier of a longest life of zero refuses every token: give at least a second"
        );
        self.with(|rules| rules.max_lifetime = max_lifetime)
    }

    /// Another clock.
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|rules| rules.clock = clock)
    }

    /// Where the birth of a token is read from. Default [`BornAt::IssuedAt`].
    pub fn with_born_at(self, born_at: BornAt) -> Self {
        self.with(|rules| rules.born_at = born_at)
    }

    /// Makes a claim of the application a revocation dimension. Its value is a text, a number, or
    /// an array of at most 16 of them; a token in which it is anything else is refused. A token
    /// without it is accepted.
    pub fn with_claim_dimension(self, name: ClaimName) -> Self {
        self.with(|rules| {
            if !rules.dimensions.contains(&name) {
                rules.dimensions.push(name);
            }
        })
    }

    /// Accepts tokens of this kind, and no others. Default [`TokenKind::Access`].
    pub fn with_kind(self, kind: TokenKind) -> Self {
        self.with_kinds([kind])
    }

    /// Accepts tokens of these kinds, and no others.
    ///
    /// # Panics
    ///
    /// When there are none: every token would be refused.
    pub fn with_kinds(self, kinds: impl IntoIterator<Item = TokenKind>) -> Self {
        let kinds: Vec<_> = kinds.into_iter().collect();
        assert!(
            !kinds.is_empty(),
            "a verifier of no kind of token refuses every token: name at least one"
        );
        let kinds = kinds.into_iter().collect();
        self.with(|rules| rules.kinds = kinds)
    }

    /// **Weakens**: accepts tokens of any issuer, or of none, that one of the keys has signed.
    /// Their revocations stay apart by the `iss` they name.
    pub fn allow_any_issuer(self) -> Self {
        self.with(|rules| rules.issuer = None)
    }

    /// **Weakens**: accepts tokens without `aud`, which were made for nobody in particular.
    pub fn allow_missing_audience(self) -> Self {
        self.with(|rules| rules.audience = Demand::Lifted)
    }

    /// **Weakens**: accepts tokens that were made for others, such as ID tokens of any client.
    /// Those without `aud` are still refused.
    pub fn allow_any_audience(self) -> Self {
        self.with(|rules| rules.audiences = None)
    }

    /// **Weakens**: accepts tokens without `jti`, which cannot be revoked one by one.
    pub fn allow_missing_jti(self) -> Self {
        self.with(|rules| rules.jti = Demand::Lifted)
    }

    /// **Weakens**: accepts tokens without `iat`. With [`BornAt::IssuedAt`] such a token counts as
    /// older than every cutoff: the first revocation of its subject, client or issuer stops it, and
    /// all later ones of its kind, for as long as the entry lives. One whose `exp` lies beyond the cap
    /// on lifetimes is refused now and accepted later, when a `jti` entry for it may be gone.
    pub fn allow_missing_issued_at(self) -> Self {
        self.with(|rules| rules.issued_at = Demand::Lifted)
    }

    /// **Weakens**: accepts tokens without `sub`, which "log out everywhere" does not reach.
    pub fn allow_missing_subject(self) -> Self {
        self.with(|rules| rules.subject = Demand::Lifted)
    }

    /// **Weakens**: accepts tokens whose `typ` is absent or `JWT` as access tokens. Many issuers
    /// send no other; but their ID tokens look the same, so the audience must tell them apart.
    /// Tokens that say otherwise by a claim (`events`, `at_hash`, `c_hash`) are still refused.
    pub fn allow_untyped(self) -> Self {
        self.with(|rules| rules.declared_type = Demand::Lifted)
    }

    /// Replaces the keys, for this verifier and all its clones, while it is in use. Tokens signed
    /// with a key that is not in the new set are refused from now on.
    pub fn replace_keys(&self, keys: impl Into<KeySet>) {
        self.ring.replace(keys.into());
    }

    /// The keys at this moment.
    pub fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.ring.current().set)
    }

    /// The ids of the keys at this moment.
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.ring.current().set.ids().cloned().collect()
    }

    /// The issuer; `None` when any is allowed.
    pub fn issuer(&self) -> Option<&str> {
        self.rules.issuer.as_deref()
    }

    /// Whether every token has a subject, and so lies where its user's entries do.
    pub(crate) fn requires_subject(&self) -> bool {
        self.rules.subject == Demand::Required
    }

    /// The slack on dates.
    pub fn leeway(&self) -> Duration {
        self.rules.leeway
    }

    /// The longest life of a token.
    pub fn max_lifetime(&self) -> Duration {
        self.rules.max_lifetime
    }

    /// Where the birth of a token is read from.
    pub fn born_at(&self) -> BornAt {
        self.rules.born_at
    }

    /// The application's claims that are revocation dimensions.
    pub fn claim_dimensions(&self) -> &[ClaimName] {
        &self.rules.dimensions
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.rules.clock
    }

    /// Verifies the compact form of a token.
    ///
    /// The time and memory it takes are bounded by [`MAX_TOKEN_BYTES`](defaults::MAX_TOKEN_BYTES),
    /// and claims are read only after the signature was found to hold.
    ///
    /// # Errors
    ///
    /// [`VerifyError`], by reason, for the operator's log.
    pub fn verify(&self, token: &str) -> Result<Verified, VerifyError> {
        self.verify_within(token, None)
    }

    /// Like [`verify`](Self::verify), over a store that keeps an entry about a token for `kept` after its
    /// `iat`: a token that lives longer than this verifier's own cap is accepted within that.
    pub(crate) fn verify_within(
        &self,
        token: &str,
        kept: Option<Duration>,
    ) -> Result<Verified, VerifyError> {
        let parts = Compact::split(token)?;
        let header = compact::decode(parts.header)?;
        let header = Header::parse(&header)?;
        let (kind, declared) = self.rules.kind(header.typ.as_deref())?;
        let keys = self.ring.current();
        let entry = keys.signer(&header, parts)?;
        let payload = compact::decode(parts.payload)?;
        let admitted = {
            let claims = RawClaims::parse(&payload, &self.rules.dimensions)?;
            let key = (entry.key.id(), entry.digest);
            self.rules.admit(&claims, declared, key, kept)?
        };
        Ok(Verified {
            registered: admitted.registered,
            kind,
            algorithm: entry.key.algorithm(),
            key: entry.key.id().clone(),
            payload,
            born_at: admitted.born_at,
            lifetime: admitted.lifetime,
            shard: admitted.shard,
            dimensions: admitted.dimensions,
            digests: admitted.digests,
            exception: admitted.exception,
            generation: keys.generation,
        })
    }

    /// Checks that claims can be read: their shape, names and lengths, not their values.
    pub(crate) fn reads(&self, claims: &[u8]) -> Result<(), VerifyError> {
        RawClaims::parse(claims, &self.rules.dimensions).map(drop)
    }

    /// Whether a token that this very verifier has accepted would be accepted now: its keys are still
    /// the verifier's, and its dates hold.
    pub(crate) fn still_accepts(&self, verified: &Verified, kept: Option<Duration>) -> bool {
        verified.generation == self.ring.generation()
            && self.rules.still_admit(verified, kept).is_ok()
    }

    /// The same, of a token whose text is no longer there to be verified anew: it holds while its own
    /// key is the verifier's, whatever keys came or went meanwhile.
    pub(crate) fn still_holds(
        &self,
        verified: &Verified,
        kept: Option<Duration>,
    ) -> Result<(), VerifyError> {
        if verified.generation != self.ring.generation() && !self.ring.current().kept(verified) {
            return Err(VerifyError::UnknownKey);
        }
        self.rules.still_admit(verified, kept)
    }

    /// The instant at which a token that this verifier has accepted lapses, with its slack.
    pub(crate) fn lapses_at(&self, verified: &Verified, kept: Option<Duration>) -> Timestamp {
        self.rules.lapses_at(verified, kept)
    }

    /// Lifts every rule about being in force: to end a session, its lapsed tokens are as good as its new
    /// ones, and so are those that a clock dated ahead or that live longer than the cap. Signature,
    /// issuer, audience and kind still count.
    pub(crate) fn for_ending(self) -> Self {
        self.with(|rules| {
            rules.in_force = Demand::Lifted;
            rules.issued_at = Demand::Lifted;
        })
    }

    /// Verifies by the keys of `other` too, which is a verifier of the same issuer. Where both have a key
    /// of one id, that of this verifier counts.
    pub(crate) fn with_keys_of(mut self, other: &Self) -> Self {
        let (own, more) = (self.keys(), other.keys());
        if own.is_same(&more) {
            return self;
        }
        let mut keys = KeySet::clone(&own);
        for key in more.iter() {
            // Of the same id, or a secret beside public keys: the own keys stand.
            let _ = keys.insert(key.clone());
        }
        self.ring = Arc::new(Ring::new(Arc::clone(&self.ring.issuer), keys));
        self
    }

    /// Whether tokens that are signed with this key are accepted. Secrets are not compared.
    pub(crate) fn holds(&self, key: &VerificationKey) -> bool {
        let keys = self.ring.current();
        let held = keys.set.get(key.id().as_str());
        held.is_some_and(|held| {
            held.algorithm() == key.algorithm()
                && (key.algorithm().is_symmetric() || held.is_same(key))
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.rules));
        self
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("issuer", &self.rules.issuer)
            .field("audiences", &self.rules.audiences)
            .field("kinds", &self.rules.kinds)
            .field("keys", &self.ring.current().set)
            .finish_non_exhaustive()
    }
}

/// The keys that all clones of a verifier share.
struct Ring {
    issuer: Arc<str>,
    keys: RwLock<Arc<Keys>>,
    /// That of `keys`, to be read without the lock.
    generation: AtomicU64,
}

impl Ring {
    fn new(issuer: Arc<str>, set: KeySet) -> Self {
        let keys = RwLock::new(Arc::new(Keys::new(&issuer, set)));
        Self {
            issuer,
            keys,
            generation: AtomicU64::new(0),
        }
    }

    // Nothing panics while the lock is held, and a poisoned one would still hold a whole set.
    fn current(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn replace(&self, set: KeySet) {
        let mut fresh = Keys::new(&self.issuer, set);
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        // Key sets are fetched again and again, and are mostly what they were.
        if keys.set.is_same(&fresh.set) {
            return;
        }
        fresh.follow(&keys);
        self.generation.store(fresh.generation, Ordering::Release);
        *keys = Arc::new(fresh);
    }
}

/// One set of keys, with what is computed once for each.
struct Keys {
    set: Arc<KeySet>,
    entries: Vec<Entry>,
    /// How many sets there were before.
    generation: u64,
}

struct Entry {
    key: VerificationKey,
    /// Of [`Dimension::Key`], under the ring's issuer.
    digest: Digest,
    /// The generation with which the key came.
    since: u64,
}

impl Keys {
    fn new(issuer: &str, set: KeySet) -> Self {
        let entry = |key: &VerificationKey| Entry {
            key: key.clone(),
            digest: Digest::of(&Dimension::Key, issuer, key.id().as_str().as_bytes()),
            since: 0,
        };
        Self {
            entries: set.iter().map(entry).collect(),
            set: Arc::new(set),
            generation: 0,
        }
    }

    /// Makes this the set after `before`.
    fn follow(&mut self, before: &Self) {
        self.generation = before.generation + 1;
        for entry in &mut self.entries {
            let same = |old: &&Entry| old.key.is_same(&entry.key);
            let old = before.entries.iter().find(same);
            entry.since = old.map_or(self.generation, |old| old.since);
        }
    }

    /// Whether the key that verified this token was in every set since.
    fn kept(&self, verified: &Verified) -> bool {
        let is_its = |entry: &Entry| *entry.key.id() == verified.key;
        let entry = self.entries.iter().find(|entry| is_its(entry));
        entry.is_some_and(|entry| entry.since <= verified.generation)
    }

    /// The key whose signature the token bears. The header only says which one to try; the
    /// algorithm is the key's own.
    fn signer(&self, header: &Header<'_>, parts: Compact<'_>) -> Result<&Entry, VerifyError> {
        let signature = compact::decode(parts.signature)?;
        let holds = |entry: &&Entry| entry.key.holds(parts.signed.as_bytes(), &signature);
        if let Some(kid) = header.kid.as_deref() {
            let entry = self
                .entries
                .iter()
                .find(|entry| entry.key.id().as_str() == kid);
            let entry = entry.ok_or(VerifyError::UnknownKey)?;
            let expected = entry.key.algorithm();
            if header.alg != expected.name() {
                return Err(VerifyError::AlgorithmMismatch { expected });
            }
            return Some(entry).filter(holds).ok_or(VerifyError::BadSignature);
        }
        let algorithm =
            Algorithm::from_name(&header.alg).ok_or(VerifyError::UnsupportedAlgorithm)?;
        let of_algorithm = |entry: &&Entry| entry.key.algorithm() == algorithm;
        let mut candidates = self.entries.iter().filter(of_algorithm).peekable();
        if candidates.peek().is_none() {
            return Err(VerifyError::UnknownKey);
        }
        candidates
            .take(defaults::MAX_KEYS_TRIED)
            .find(holds)
            .ok_or(VerifyError::BadSignature)
    }
}
