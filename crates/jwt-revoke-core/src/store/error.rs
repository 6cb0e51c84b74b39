//! What can go wrong with a store, by who is to blame.

use std::{error::Error, time::Duration};

use crate::{
    clock::Timestamp,
    revocation::{Cutoffs, Shard},
    store::Transitioned,
};

/// The store could not answer, or could not keep what it was given. It means "unknown", never "not
/// revoked", and never that a client's token is bad.
///
/// `Display` is for operators; it names the store without credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store keeps revocations and no sessions.
    #[error("the store keeps no sessions")]
    NoSessions,
    /// The store cannot be reached.
    #[error("{store} cannot be reached")]
    Unreachable {
        /// The store, without credentials.
        store: String,
        /// What the connection said.
        #[source]
        source: BoxError,
    },
    /// No answer within the bound.
    #[error("{store} did not answer within {bound:?}")]
    TimedOut {
        /// The store, without credentials.
        store: String,
        /// How long it was waited for.
        bound: Duration,
    },
    /// The store answers, and refuses to be written. Nothing was revoked.
    #[error("{store} refuses writes: {refusal}")]
    WriteRefused {
        /// The store, without credentials.
        store: String,
        /// Why.
        refusal: WriteRefusal,
    },
    /// It was written, and not confirmed in time by as many replicas or disks as asked for: a failover
    /// may forget it. Say so to whoever asked, and try again; repeating does no harm.
    #[error("{store} has written it, and only {confirmed} confirmed that")]
    Unconfirmed {
        /// The store, without credentials.
        store: String,
        /// How many did, of how many, and within which time.
        confirmed: String,
        /// What was done. A repetition confirms it and ends nothing a second time, so what is to be
        /// reported of it is reported now.
        done: Option<Box<Transitioned>>,
    },
    /// The store answers, and refuses to be read.
    #[error("{store} refuses reads: {reason}")]
    ReadRefused {
        /// The store, without credentials.
        store: String,
        /// The store's own words.
        reason: String,
    },
    /// A shard lost its data: what is not found there may have been revoked all the same.
    #[error("shard {shard} of {store} lost its data{}", if *.healing { " and is being healed" } else { "" })]
    ShardLost {
        /// The store, without credentials.
        store: String,
        /// The shard.
        shard: Shard,
        /// Whether it was noticed and others may put back what they know.
        healing: bool,
        /// What was found all the same: a token that these cutoffs cover is revoked, whatever else was
        /// lost. One that they do not cover is unknown.
        known: Cutoffs,
    },
    /// The question could not be answered as a whole; what is known all the same holds.
    #[error("{source}")]
    Partial {
        /// What this process knows by itself: a token that these cutoffs cover is revoked. One that
        /// they do not cover is unknown.
        known: Cutoffs,
        /// Why the rest is not known.
        source: Box<StoreError>,
    },
    /// The copy of the store in this process is behind, so mirrored checks ask the store.
    #[error("the copy of {store} in this process is {}", .age.map_or("not complete yet".to_owned(), |age| format!("{age:?} old")))]
    Behind {
        /// The store, without credentials.
        store: String,
        /// How old the copy is; `None` while it was never complete.
        age: Option<Duration>,
    },
    /// The store holds another layout than this version of the crate reads.
    #[error("{store} has layout {found:?}, this version reads {expected:?}: {mend}")]
    Layout {
        /// The store, without credentials.
        store: String,
        /// What is there.
        found: String,
        /// What can be read.
        expected: &'static str,
        /// What to do about it.
        mend: &'static str,
    },
    /// The store's settings make it unfit to be a denylist.
    #[error("{store} is unfit: {reason}")]
    Unfit {
        /// The store, without credentials.
        store: String,
        /// Which setting, and what it must be.
        reason: String,
    },
    /// The store's clock cannot be trusted.
    #[error("the clock of {store} is off: {reason}")]
    Clock {
        /// The store, without credentials.
        store: String,
        /// What it shows and what was expected.
        reason: String,
    },
    /// A cutoff lies too far ahead of the store's clock. Nothing was written.
    #[error("the cutoff {cutoff} is more than 5 s ahead of the store's clock {now}")]
    CutoffAhead {
        /// The cutoff that was asked for.
        cutoff: Timestamp,
        /// The store's clock.
        now: Timestamp,
    },
    /// The store could not be opened.
    #[error("{store} cannot be opened: {reason}")]
    Open {
        /// The store.
        store: String,
        /// What is wrong, and how to mend it.
        reason: String,
        /// What the system said.
        #[source]
        source: Option<BoxError>,
    },
    /// The file of an embedded store could not be written, or is gone. The store refuses everything until its
    /// file could be opened again, since what is in memory may not be what is on the disk.
    #[error("{store} is out of service: {reason}")]
    Poisoned {
        /// The store.
        store: String,
        /// What failed last, and what to do.
        reason: String,
    },
    /// The address of a store is malformed, or names a kind that this build does not include.
    #[error("{address:?} is no store: {reason}")]
    Address {
        /// The address, without credentials.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Anything else, such as an answer of an unexpected shape.
    #[error("{store} failed: {reason}")]
    Failed {
        /// The store, without credentials.
        store: String,
        /// What happened.
        reason: String,
    },
}

impl StoreError {
    /// What is known of the token although the question as a whole could not be answered. It holds:
    /// cutoffs are never lowered.
    pub fn known(&self) -> Cutoffs {
        match self {
            Self::ShardLost { known, .. } | Self::Partial { known, .. } => *known,
            _ => Cutoffs::NONE,
        }
    }

    /// Whether the store was reached and refuses writes for a reason that passes without a change of
    /// address, password or rights: no memory, a full disk, a replica that may become primary, too few
    /// replicas. A program may start and serve once the store is well; see
    /// [`AnyStore::connect_lazily`](super::AnyStore::connect_lazily).
    pub fn may_pass(&self) -> bool {
        match self {
            Self::WriteRefused { refusal, .. } => matches!(
                refusal,
                WriteRefusal::OutOfMemory
                    | WriteRefusal::ReadOnly
                    | WriteRefusal::TooFewReplicas
                    | WriteRefusal::CannotPersist(_)
            ),
            Self::Partial { source, .. } => source.may_pass(),
            Self::Open {
                source: Some(source),
                ..
            } => source.downcast_ref().is_some_and(Self::may_pass),
            _ => false,
        }
    }

    /// The same error, with what was done, if it is that this is not confirmed.
    #[cfg(feature = "redis")]
    pub(crate) fn having_done(mut self, transitioned: Transitioned) -> Self {
        if let Self::Unconfirmed { done, .. } = &mut self {
            *done = Some(Box::new(transitioned));
        }
        self
    }

    /// What was done and is not confirmed.
    pub(crate) fn done(&self) -> Option<&Transitioned> {
        match self {
            Self::Unconfirmed { done, .. } => done.as_deref(),
            _ => None,
        }
    }

    /// The same error, with what is known all the same: for a store that remembers some entries by
    /// itself while the rest does not answer.
    ///
    /// ```
    /// use jwt_revoke_core::{
    ///     revocation::{Cutoff, Digest, Dimension, Shard},
    ///     store::{Lookup, StoreError},
    /// };
    ///
    /// let silent = StoreError::Failed { store: "mine".into(), reason: "no answer".into() };
    /// let digests = [Digest::of(&Dimension::Jti, "https://auth.example.com", b"a")];
    /// let own = Lookup::new(Shard::FIRST, &digests).cutoffs([(0, Cutoff::Forever)]);
    /// assert_eq!(silent.knowing(own).known(), own);
    /// ```
    #[must_use]
    pub fn knowing(self, known: Cutoffs) -> Self {
        if known == Cutoffs::NONE {
            return self;
        }
        Self::Partial {
            known,
            source: Box::new(self),
        }
    }
}

/// Why a store refuses to be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteRefusal {
    /// `maxmemory` is reached and the policy is `noeviction`.
    #[error("it is out of memory")]
    OutOfMemory,
    /// It is a replica.
    #[error("it is a read-only replica")]
    ReadOnly,
    /// `min-replicas-to-write` is not met.
    #[error("it has too few replicas")]
    TooFewReplicas,
    /// It cannot persist its data.
    #[error("it cannot persist: {0}")]
    CannotPersist(String),
    /// The user may not.
    #[error("the user has no permission: {0}")]
    NoPermission(String),
    /// The user name or the password is not, or no longer, the server's.
    #[error("authentication failed: {0}")]
    Unauthenticated(String),
    /// Something else, in its own words.
    #[error("{0}")]
    Other(String),
}

/// A cause of any type.
pub type BoxError = Box<dyn Error + Send + Sync>;
