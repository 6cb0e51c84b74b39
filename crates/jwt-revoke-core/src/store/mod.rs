//! Where revocations are kept.
//!
//! [`Store`] is the contract, [`AnyStore`] the form in which a guard holds one.

mod any;
#[cfg(feature = "embedded")]
mod embedded;
mod error;
#[cfg(feature = "redis")]
mod redis;
mod transition;

use std::{future::Future, time::Duration};

#[cfg(feature = "embedded")]
pub use self::embedded::{AuditEntry, EmbeddedBuilder, EmbeddedStats, EmbeddedStore};
#[cfg(feature = "redis")]
pub use self::redis::{Durability, RedisBuilder, RedisStore};
pub use self::{
    any::AnyStore,
    error::{BoxError, StoreError, WriteRefusal},
    transition::{
        EndedAll, Ending, EndingAll, EndingOthers, Index, Opened, Opening, Rotating, Transition,
        Transitioned,
    },
};

use crate::{
    clock::Timestamp,
    guard::Consistency,
    revocation::{Cutoff, Cutoffs, Digest, Dimension, Horizon, Horizons, Placement, Shard},
};

/// Where revocations are kept. Implement it with plain `async fn`s.
///
/// A store maps a [`Digest`] to a [`Cutoff`] and compares nothing: the rule stands in
/// [`revocation`](crate::revocation), once. What every implementation owes its callers:
///
/// - **Monotonic**: a cutoff is only ever raised; a lower one is accepted and changes nothing.
/// - **Acknowledged means kept**: once [`revoke`](Store::revoke) has returned `Ok`, every later
///   [`lookup`](Store::lookup), from any process, sees it until its horizon has passed.
/// - **Unknown is an error**: a store that lost data, or cannot tell, answers [`StoreError`], never
///   an empty [`Cutoffs`].
/// - **One clock**: all instants are the store's own, and never run backwards.
/// - **All or nothing** for each revocation; a batch may be applied in part when it fails.
///
/// [`Reach::cutoff`] and [`Revocation::expiry`] do the arithmetic. Shards are for stores that are spread
/// over several servers: one that keeps everything in one place needs neither [`Lookup::shard`] nor
/// [`Revocation::placement`].
///
/// A store in a map, for one process and until it ends:
///
/// ```
/// use std::{collections::HashMap, sync::{Mutex, MutexGuard}};
///
/// use jwt_revoke_core::{
///     Clock, Guard, Issuer, SystemClock, Timestamp,
///     guard::Target,
///     revocation::{Cutoff, Cutoffs, Digest, Horizons, Shard},
///     session::Grant,
///     store::{Lookup, Revocation, Revoked, Store, StoreError},
///     verify::{Algorithm, SigningKey},
/// };
///
/// #[derive(Default)]
/// struct MapStore {
///     clock: SystemClock,
///     kept: Mutex<Kept>,
/// }
///
/// #[derive(Default)]
/// struct Kept {
///     entries: HashMap<Digest, (Cutoff, Timestamp)>,
///     horizons: Option<Horizons>,
///     /// The store's instant: never earlier than before, always later than the last revocation.
///     latest: u64,
/// }
///
/// impl MapStore {
///     fn kept(&self) -> Result<(MutexGuard<'_, Kept>, Timestamp), StoreError> {
///         let mut kept = self.kept.lock().map_err(|_| failed("a thread panicked"))?;
///         kept.latest = kept.latest.max(self.clock.now().as_millis());
///         let now = Timestamp::from_millis(kept.latest);
///         // Only what no token can need any more.
///         kept.entries.retain(|_, (_, expiry)| *expiry > now);
///         Ok((kept, now))
///     }
/// }
///
/// impl Store for MapStore {
///     async fn lookup(&self, query: &Lookup<'_>) -> Result<Cutoffs, StoreError> {
///         let (kept, _) = self.kept()?;
///         let found = query.digests.iter().enumerate();
///         let found = found.filter_map(|(index, digest)| Some((index, kept.entries.get(digest)?.0)));
///         Ok(query.cutoffs(found))
///     }
///
///     async fn revoke(&self, revocations: &[Revocation]) -> Result<Revoked, StoreError> {
///         let (mut kept, now) = self.kept()?;
///         let horizons = kept.horizons.ok_or_else(|| failed("no horizons were required"))?;
///         let mut raised = 0;
///         for revocation in revocations {
///             let cutoff = revocation.reach.cutoff(now)?;
///             let expiry = revocation.expiry(&horizons, now, cutoff);
///             let held = kept.entries.get(&revocation.digest);
///             raised += usize::from(held.is_none_or(|(held, _)| *held < cutoff));
///             let entry = kept.entries.entry(revocation.digest).or_insert((cutoff, expiry));
///             *entry = (entry.0.max(cutoff), entry.1.max(expiry));
///         }
///         kept.latest += 1;
///         Ok(Revoked::new(now, raised))
///     }
///
///     async fn now(&self, _: Shard) -> Result<Timestamp, StoreError> {
///         Ok(self.kept()?.1)
///     }
///
///     async fn require(&self, horizons: Horizons) -> Result<Horizons, StoreError> {
///         let (mut kept, _) = self.kept()?;
///         let raised = kept.horizons.map_or(horizons, |own| own.max(horizons));
///         kept.horizons = Some(raised);
///         Ok(raised)
///     }
///
///     async fn ready(&self) -> Result<(), StoreError> {
///         self.kept().map(drop)
///     }
/// }
///
/// fn failed(reason: &str) -> StoreError {
///     StoreError::Failed { store: "map".into(), reason: reason.into() }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let issuer = Issuer::new(SigningKey::generate(Algorithm::EdDSA)?, "https://auth.example.com", "api");
/// let guard = Guard::new(issuer.verifier(), MapStore::default());
/// let before = issuer.issue(&guard, "alice", &Grant::new()).await?;
/// guard.revoke(Target::subject("alice")).await?;
/// let after = issuer.issue(&guard, "alice", &Grant::new()).await?;
/// assert!(guard.check(before.token()).await.is_err());
/// assert!(guard.check(after.token()).await.is_ok());
/// # Ok(())
/// # }
/// ```
pub trait Store: Send + Sync + 'static {
    /// The cutoffs that cover a token, one for each of its dimensions that has an entry.
    ///
    /// # Errors
    ///
    /// [`StoreError`] means "unknown", never "not revoked": the caller's policy decides.
    fn lookup(
        &self,
        query: &Lookup<'_>,
    ) -> impl Future<Output = Result<Cutoffs, StoreError>> + Send;

    /// The same without waiting, for a store that answers from memory. `None`, the default, means
    /// that [`lookup`](Store::lookup) must be awaited.
    fn lookup_now(&self, _query: &Lookup<'_>) -> Option<Result<Cutoffs, StoreError>> {
        None
    }

    /// The consistency that a guard over this store starts with. A store without a copy of its entries
    /// in this process answers a mirrored question as it does a strict one.
    fn consistency(&self) -> Consistency {
        Consistency::default()
    }

    /// Writes revocations, and returns when they are as durable as the store is configured to be.
    /// The answer holds the store's instant at which all of them were in force, and how many of them
    /// changed what is revoked.
    ///
    /// # Errors
    ///
    /// [`StoreError`] means that some of them may not be in force: say so to whoever asked, and
    /// try again. Repeating a revocation does no harm.
    fn revoke(
        &self,
        revocations: &[Revocation],
    ) -> impl Future<Output = Result<Revoked, StoreError>> + Send;

    /// Takes a step in the life of sessions, atomically, and returns when it is as durable as
    /// [`revoke`](Store::revoke). The default is a store without sessions, for verifying only.
    ///
    /// A revocation in the dimension `session`, by whichever way, also deletes the record: the entry
    /// is the session's tombstone.
    ///
    /// # Errors
    ///
    /// [`StoreError`] means that the step may have happened or not: repeat it as it is.
    fn transition(
        &self,
        _transition: &Transition<'_>,
    ) -> impl Future<Output = Result<Transitioned, StoreError>> + Send {
        std::future::ready(Err(StoreError::NoSessions))
    }

    /// The store's instant, on the clock by which `shard` dates its entries.
    ///
    /// Once [`revoke`](Store::revoke) has answered, show later instants than its answer. A login right
    /// after "log out everywhere" must be born after the cutoff, and gives up when, asked some times
    /// in a row, the clock still shows the cutoff's own millisecond.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or its clock cannot be trusted.
    fn now(&self, shard: Shard) -> impl Future<Output = Result<Timestamp, StoreError>> + Send;

    /// An instant that the clock of no shard was behind when it was asked for: what is dated at or
    /// after it happened after this call began. The default asks every shard.
    ///
    /// # Errors
    ///
    /// As [`now`](Store::now).
    fn earliest_now(&self) -> impl Future<Output = Result<Timestamp, StoreError>> + Send {
        async {
            let mut earliest = self.now(Shard::FIRST).await?;
            for shard in Shard::all().skip(1) {
                earliest = earliest.min(self.now(shard).await?);
            }
            Ok(earliest)
        }
    }

    /// Raises the store's horizons to at least these, durably, and returns those that are in force: by
    /// [`Horizons::max`], of all that any process has required. Called before tokens that need them
    /// are accepted, and again where a token of our own needs more than this process knows of: another
    /// process may have raised them since. An implementation remembers what was required and asserts it
    /// again after data loss.
    ///
    /// # Errors
    ///
    /// When the store could not be written; no token that needs the horizons may be accepted then.
    fn require(
        &self,
        horizons: Horizons,
    ) -> impl Future<Output = Result<Horizons, StoreError>> + Send;

    /// How well the store serves checks just now, without asking it. For dashboards; the default is for a
    /// store whose truth is in this process.
    fn health(&self) -> Health {
        Health::Fresh
    }

    /// Sets the store's gauges, as [`Guard::record_metrics`](crate::Guard::record_metrics) does. The
    /// default has none.
    fn record_metrics(&self) {}

    /// Whether the store can be read and written just now: reachable, of the right layout, no shard
    /// without its data.
    ///
    /// # Errors
    ///
    /// What is wrong, in words for an operator.
    fn ready(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// How well a store serves checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Health {
    /// Mirrored checks are answered in this process.
    Fresh,
    /// The copy in this process is behind, in part or as a whole: checks ask the store, which answers.
    Stale,
    /// The copy is behind and the store, or a part of it, does not answer: the outage policy decides.
    Degraded,
}

/// The question that a check asks: which of these digests have an entry?
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Lookup<'a> {
    /// The shard in which all of them lie.
    pub shard: Shard,
    /// One digest for each value that the token has in a dimension.
    pub digests: &'a [Digest],
    /// The token's `jti` as it stands there, for stores that are shared with services which key
    /// revocations by it.
    pub jti: Option<&'a str>,
    /// How old the answer may be. A store that makes no difference answers each question as a
    /// [`Strict`](Consistency::Strict) one; [`Fenced`](Consistency::Fenced) is for stores of which a server can
    /// be out of date and not know it.
    pub consistency: Consistency,
    /// Which digests tell whether the token outlives the end of its user's other sessions; `None` for
    /// a token that has none.
    pub exception: Option<Exception>,
}

/// The exception to the rule, as indices into [`Lookup::digests`]: the cutoff of `others` does not
/// cover a token while that of `kept` is higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Exception {
    /// The session itself.
    pub session: usize,
    /// [`OtherSessions`](Dimension::OtherSessions) of its user.
    pub others: usize,
    /// The session as a [`KeptSession`](Dimension::KeptSession).
    pub kept: usize,
}

impl<'a> Lookup<'a> {
    /// A question about `digests` in `shard`, to which the answer must be the present truth.
    pub const fn new(shard: Shard, digests: &'a [Digest]) -> Self {
        Self {
            shard,
            digests,
            jti: None,
            consistency: Consistency::Strict,
            exception: None,
        }
    }

    /// Reduces what a store has found, each cutoff beside the index of its digest, to what decides. In
    /// any order; a digest without an entry is left out.
    pub fn cutoffs(&self, found: impl IntoIterator<Item = (usize, Cutoff)>) -> Cutoffs {
        let mut cutoffs = Cutoffs::NONE;
        for (index, cutoff) in found {
            cutoffs.insert(self, index, cutoff);
        }
        cutoffs
    }

    /// The same question, about a token of a session that may have been kept.
    #[must_use]
    pub const fn with_exception(mut self, exception: Exception) -> Self {
        self.exception = Some(exception);
        self
    }

    /// The same question, for a token with this `jti`.
    #[must_use]
    pub const fn with_jti(mut self, jti: Option<&'a str>) -> Self {
        self.jti = jti;
        self
    }

    /// The same question, to which the answer may be this old.
    #[must_use]
    pub const fn with_consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }
}

/// An entry to be written: `(dimension, issuer, value) -> cutoff`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Revocation {
    /// The identity of the entry.
    pub digest: Digest,
    /// Where it lies.
    pub placement: Placement,
    /// How far it reaches.
    pub reach: Reach,
    /// How long it lives.
    pub horizon: Horizon,
    /// The instant from which its life counts, where that lies ahead of the store's clock: for a token
    /// that a clock dated ahead, whose entry must live until the token is over. By default the epoch.
    pub counts_from: Timestamp,
    /// For people: what was revoked, why and by whom. Goes to the audit stream, not into keys.
    pub audit: Audit,
}

impl Revocation {
    /// A revocation of `value` in `dimension` at `issuer`.
    ///
    /// `value` is what is hashed; for a claim of the application it is
    /// [`ClaimValue::canonical`](crate::token::ClaimValue::canonical).
    pub fn new(
        dimension: Dimension,
        issuer: &str,
        value: &str,
        placement: Placement,
        reach: Reach,
    ) -> Self {
        let horizon = match dimension {
            Dimension::Jti => Horizon::Access,
            Dimension::Key | Dimension::KeptSession => Horizon::Lasting,
            _ => Horizon::Session,
        };
        Self {
            digest: Digest::of(&dimension, issuer, value.as_bytes()),
            placement,
            reach,
            horizon,
            counts_from: Timestamp::EPOCH,
            audit: Audit {
                dimension,
                issuer: issuer.into(),
                value: value.into(),
                cause: None,
                actor: None,
            },
        }
    }

    /// The same revocation with an entry whose life counts from `instant`, where that lies ahead of the
    /// store's clock. Of no use for a cutoff at an instant.
    #[must_use]
    pub fn counting_from(mut self, instant: Timestamp) -> Self {
        self.counts_from = instant;
        self
    }

    /// When its entry, written at `now` with this cutoff, may be forgotten.
    pub fn expiry(&self, horizons: &Horizons, now: Timestamp, cutoff: Cutoff) -> Timestamp {
        horizons.expiry(self.horizon, now.max(self.counts_from), cutoff)
    }

    /// The same revocation with the reason and the person that go into the audit stream.
    #[must_use]
    pub fn with_audit(mut self, cause: Option<Box<str>>, actor: Option<Box<str>>) -> Self {
        self.audit.cause = cause;
        self.audit.actor = actor;
        self
    }
}

/// What became of revocations that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revoked {
    /// The store's instant at which all of them were in force.
    pub at: Timestamp,
    /// How many entries rose: they were lower before, or not there. An entry that only lives longer now
    /// is not among them. What a repetition finds in force was reported before.
    pub raised: usize,
}

impl Revoked {
    /// For stores to make.
    pub fn new(at: Timestamp, raised: usize) -> Self {
        Self { at, raised }
    }

    /// Both: the later instant, and the sum.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            at: self.at.max(other.at),
            raised: self.raised + other.raised,
        }
    }
}

/// How far a revocation reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reach {
    /// All tokens born up to the store's instant, and this much later. The slack is for tokens whose
    /// birth is dated by another clock than the store's.
    Now {
        /// At most [`MAX_CUTOFF_AHEAD`](crate::defaults::MAX_CUTOFF_AHEAD).
        ahead: Duration,
    },
    /// All tokens born up to this instant. A store refuses one that lies more than
    /// [`MAX_CUTOFF_AHEAD`](crate::defaults::MAX_CUTOFF_AHEAD) ahead of its clock.
    At(Timestamp),
    /// All tokens, whenever they were or will be born.
    Forever,
}

impl Reach {
    /// The cutoff, for a store whose clock shows `now`.
    ///
    /// # Errors
    ///
    /// [`StoreError::CutoffAhead`] when it lies too far ahead: it could never be lowered again.
    pub fn cutoff(self, now: Timestamp) -> Result<Cutoff, StoreError> {
        let instant = match self {
            Self::Now { ahead } => now.saturating_add(ahead),
            Self::At(instant) => instant,
            Self::Forever => return Ok(Cutoff::Forever),
        };
        if instant > now.saturating_add(crate::defaults::MAX_CUTOFF_AHEAD) {
            return Err(StoreError::CutoffAhead {
                cutoff: instant,
                now,
            });
        }
        Ok(Cutoff::At(instant))
    }
}

/// What people are told of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// In which respect tokens were revoked.
    pub dimension: Dimension,
    /// At which issuer.
    pub issuer: Box<str>,
    /// Which value.
    pub value: Box<str>,
    /// Why, in the caller's words.
    pub cause: Option<Box<str>>,
    /// Who asked for it.
    pub actor: Option<Box<str>>,
}
