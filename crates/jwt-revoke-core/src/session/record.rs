//! What a store keeps of a session.

use std::fmt;

use crate::{
    clock::Timestamp,
    revocation::Digest,
    session::{Policy, Proposal},
    token::{ClientId, Jti, Subject},
};

/// How many of the latest spends a record remembers.
pub const SPENDS: usize = 4;

/// What a store keeps of a session, whatever the number of its rotations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Whose session it is.
    pub subject: Subject,
    /// The digest of the session in its dimension: the entry that is written when it ends.
    pub entry: Digest,
    /// The OAuth client it was opened for.
    pub client: ClientId,
    /// What the application calls the device, for its owner to recognise.
    pub device: Option<Box<str>>,
    /// When it was opened: the instant in its `sid`.
    pub opened_at: Timestamp,
    /// When it last brought forth tokens.
    pub last_used_at: Timestamp,
    /// When it ends unless it is used before.
    pub idle_deadline: Timestamp,
    /// When it ends in any case.
    pub absolute_deadline: Timestamp,
    /// The one live pair.
    pub current: Identity,
    /// The `jti` of the refresh token before the live one.
    pub previous: Option<Jti>,
    /// When the latest generations were spent, the latest first; the epoch where there was none.
    pub spent_at: [Timestamp; SPENDS],
    /// The attempt that last changed the record.
    pub attempt: Option<AttemptId>,
    /// Whether that attempt recovered a lost write.
    pub recovered: bool,
    /// When the user's privileges last changed: retries from before get no successor.
    pub privileges_changed_at: Timestamp,
}

impl Record {
    /// The record of a session opened at `opened_at` with the pair `first`, living as long as
    /// `policy` allows.
    pub fn opened(
        subject: Subject,
        entry: Digest,
        client: ClientId,
        opened_at: Timestamp,
        first: Identity,
        policy: &Policy,
    ) -> Self {
        let absolute_deadline = opened_at.saturating_add(policy.absolute_lifetime);
        Self {
            subject,
            entry,
            client,
            device: None,
            opened_at,
            last_used_at: opened_at,
            idle_deadline: opened_at
                .saturating_add(policy.idle_lifetime)
                .min(absolute_deadline),
            absolute_deadline,
            current: first,
            previous: None,
            spent_at: [Timestamp::EPOCH; SPENDS],
            attempt: None,
            recovered: false,
            privileges_changed_at: Timestamp::EPOCH,
        }
    }
}

/// The identity of a pair of tokens: what makes two answers "the same successor", whatever the bytes
/// of their signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// From 1, one more with each rotation.
    pub generation: u64,
    /// The refresh token's `jti`.
    pub refresh: Jti,
    /// Base of the access token's `jti`, which also depends on the token's scope and claims: a retry that
    /// asks for another scope gets a token of another `jti`.
    pub access: Jti,
    /// `iat` of both, a whole second.
    pub issued_at: Timestamp,
    /// `exp` of the refresh token, a whole second.
    pub refresh_expires_at: Timestamp,
    /// `exp` of the access token, a whole second.
    pub access_expires_at: Timestamp,
}

impl Identity {
    /// A pair made at `now`: whole seconds, access ending with the session whatever its own lifetime, also
    /// with one that is not used.
    pub fn dated(
        generation: u64,
        proposal: &Proposal,
        now: Timestamp,
        idle_deadline: Timestamp,
        absolute_deadline: Timestamp,
    ) -> Self {
        let access_deadline = now
            .saturating_add(proposal.access_lifetime)
            .min(idle_deadline)
            .min(absolute_deadline);
        Self {
            generation,
            refresh: proposal.refresh.clone(),
            access: proposal.access.clone(),
            issued_at: whole_second(now),
            refresh_expires_at: whole_second(idle_deadline),
            access_expires_at: whole_second(access_deadline),
        }
    }
}

fn whole_second(instant: Timestamp) -> Timestamp {
    Timestamp::from_seconds(instant.whole_seconds())
}

/// One attempt of a caller, repeated under the same name when its answer was lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttemptId(u128);

impl AttemptId {
    /// A name that no other attempt has.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().as_u128())
    }

    /// An attempt from its bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttemptId({self})")
    }
}
