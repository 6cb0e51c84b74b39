//! The result of a verification.

use std::{fmt, time::Duration};

use smallvec::SmallVec;

use crate::{
    clock::Timestamp,
    revocation::{Digest, Dimension, Shard},
    store::{Exception, Lookup},
    token::{KeyId, Registered, TokenKind},
    verify::Algorithm,
};

/// A token whose signature and claims hold. Whether it was revoked is another question, which only
/// a guard answers.
///
/// Only a [`Verifier`](crate::verify::Verifier) makes one. Its digests are computed once, here.
// In this order: what a check of a token that was verified before looks at stands together in memory.
#[repr(C)]
pub struct Verified {
    /// Which of the verifier's key sets, counted from the first, had the key.
    pub(super) generation: u64,
    pub(super) born_at: Timestamp,
    /// From `iat` to `exp`, in whole seconds.
    pub(super) lifetime: Option<Duration>,
    pub(super) shard: Shard,
    pub(super) kind: TokenKind,
    pub(super) algorithm: Algorithm,
    pub(super) exception: Option<Exception>,
    pub(super) digests: SmallVec<[Digest; DIMENSIONS]>,
    pub(super) registered: Registered,
    /// Beside each digest the dimension it is of.
    pub(super) dimensions: SmallVec<[Dimension; DIMENSIONS]>,
    pub(super) key: KeyId,
    pub(super) payload: Vec<u8>,
}

impl Verified {
    /// The claims this crate gives a meaning to.
    pub fn registered(&self) -> &Registered {
        &self.registered
    }

    /// What kind of token it is.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The algorithm of the signature: the one its key is pinned to.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key that verified the signature.
    pub fn key_id(&self) -> &KeyId {
        &self.key
    }

    /// All claims, as the JSON object that was signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// When the token was born, for the rule: when its session was opened (our own tokens), or its
    /// `iat` (another issuer's).
    pub fn born_at(&self) -> Timestamp {
        self.born_at
    }

    /// The instant from which the life of a denylist entry must count so that the entry outlives the
    /// token, where entries are kept for `kept`. It lies ahead for a token that was dated ahead by a
    /// clock, or that lives longer than the store has promised to keep entries.
    pub(crate) fn entry_counts_from(&self, kept: Duration) -> Timestamp {
        let issued_at = self.registered.issued_at.unwrap_or_default();
        let latest = self.registered.expires_at.saturating_sub(kept);
        self.born_at.max(issued_at).max(latest)
    }

    /// The shard in which its entries lie.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// The question to a store: what covers this token?
    pub fn lookup(&self) -> Lookup<'_> {
        let jti = self.registered.jti.as_ref().map(|jti| jti.as_str());
        Lookup {
            exception: self.exception,
            ..Lookup::new(self.shard, &self.digests).with_jti(jti)
        }
    }

    /// The digest of its value in `dimension`, the first if it has several.
    pub(crate) fn digest_in(&self, dimension: &Dimension) -> Option<Digest> {
        let index = self.dimensions.iter().position(|own| own == dimension)?;
        self.digests.get(index).copied()
    }

    /// The length of each block on the heap.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = usize> {
        let own = [
            self.payload.capacity(),
            self.key.as_str().len(),
            spilled(&self.dimensions),
            spilled(&self.digests),
        ];
        self.registered.blocks().chain(own)
    }

    /// The dimension of the digest at `index` of [`lookup`](Self::lookup).
    pub fn dimension(&self, index: usize) -> Option<&Dimension> {
        self.dimensions.get(index)
    }
}

fn spilled<T>(list: &SmallVec<[T; DIMENSIONS]>) -> usize {
    if list.spilled() {
        list.capacity() * size_of::<T>()
    } else {
        0
    }
}

impl fmt::Debug for Verified {
    /// Tells the identifiers and hides the application's claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("kind", &self.kind)
            .field("algorithm", &self.algorithm)
            .field("key", &self.key)
            .field("jti", &self.registered.jti)
            .field("born_at", &self.born_at)
            .finish_non_exhaustive()
    }
}

/// So many values in dimensions a token has room for without a block of its own: the built-in ones, two
/// clients among them, and one claim.
pub(super) const DIMENSIONS: usize = 10;
