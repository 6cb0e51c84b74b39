//! The words that stand in labels and spans.

use std::fmt;

use crate::{
    session::{Outcome, RefreshError},
    verify::VerifyError,
};

/// Who decided about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// The verifier, which refused it.
    Verify,
    /// A store whose truth is in this process.
    Memory,
    /// What this process knows of a store elsewhere.
    Replica,
    /// The store, which was waited for.
    Store,
    /// The outage policy, since the store did not answer.
    Policy,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    Revoked,
    Invalid,
    Unavailable,
}

/// Whether the cache had a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cached {
    Hit,
    Miss,
}

/// Why following began anew.
#[cfg(feature = "redis")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    Failed,
    Panicked,
}

/// What became of a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refreshed {
    Rotated,
    Retried,
    Recovered,
    Superseded,
    Reused,
    Forked,
    Ended,
    Expired,
    Unknown,
    OtherClient,
    Scope,
    Invalid,
    Unwelcome,
    HookFailed,
    StoreFailed,
    NotSigned,
}

/// Why a token was refused: [`VerifyError`] without what it says of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    TooLong,
    NotCompact,
    MalformedHeader,
    DuplicateHeader,
    UnsupportedHeader,
    UnsupportedAlgorithm,
    AlgorithmMismatch,
    UnknownKey,
    BadSignature,
    Untyped,
    OtherType,
    MalformedClaims,
    DuplicateClaim,
    MissingClaim,
    InvalidClaim,
    InvalidDimension,
    OtherIssuer,
    OtherAudience,
    Expired,
    NotYetValid,
    IssuedInFuture,
    LivesTooLong,
    UnknownBirth,
    BornInFuture,
}

/// The words of an enum, in the order of its variants.
macro_rules! words {
    ($name:ident: $($variant:ident $word:literal)*) => {
        #[cfg_attr(
            not(feature = "metrics"),
            allow(dead_code, reason = "without metrics, not every enum is counted")
        )]
        impl $name {
            const ALL: &[Self] = &[$(Self::$variant),*];

            /// How many there are.
            pub(crate) const COUNT: usize = Self::ALL.len();

            /// Something for each, in the order of their numbers.
            #[cfg(feature = "metrics")]
            pub(super) fn each<T>(mut make: impl FnMut(Self) -> T) -> [T; Self::COUNT] {
                std::array::from_fn(|number| make(Self::ALL[number]))
            }

            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(Path: Verify "verify" Memory "memory" Replica "replica" Store "store" Policy "policy");
words!(Verdict: Allowed "allowed" Revoked "revoked" Invalid "invalid" Unavailable "unavailable");
words!(Cached: Hit "hit" Miss "miss");
#[cfg(feature = "redis")]
words!(Restart: Failed "failed" Panicked "panicked");
words!(
    Refreshed:
    Rotated "rotated"
    Retried "retried"
    Recovered "recovered"
    Superseded "superseded"
    Reused "reused"
    Forked "forked"
    Ended "ended"
    Expired "expired"
    Unknown "unknown"
    OtherClient "other_client"
    Scope "scope"
    Invalid "invalid"
    Unwelcome "unwelcome"
    HookFailed "hook_failed"
    StoreFailed "store_failed"
    NotSigned "not_signed"
);

words!(
    Reason:
    TooLong "too_long"
    NotCompact "not_compact"
    MalformedHeader "malformed_header"
    DuplicateHeader "duplicate_header"
    UnsupportedHeader "unsupported_header"
    UnsupportedAlgorithm "unsupported_algorithm"
    AlgorithmMismatch "algorithm_mismatch"
    UnknownKey "unknown_key"
    BadSignature "bad_signature"
    Untyped "untyped"
    OtherType "other_type"
    MalformedClaims "malformed_claims"
    DuplicateClaim "duplicate_claim"
    MissingClaim "missing_claim"
    InvalidClaim "invalid_claim"
    InvalidDimension "invalid_dimension"
    OtherIssuer "other_issuer"
    OtherAudience "other_audience"
    Expired "expired"
    NotYetValid "not_yet_valid"
    IssuedInFuture "issued_in_future"
    LivesTooLong "lives_too_long"
    UnknownBirth "unknown_birth"
    BornInFuture "born_in_future"
);

impl From<&VerifyError> for Reason {
    fn from(error: &VerifyError) -> Self {
        match error {
            VerifyError::TooLong => Self::TooLong,
            VerifyError::NotCompact => Self::NotCompact,
            VerifyError::MalformedHeader => Self::MalformedHeader,
            VerifyError::DuplicateHeader => Self::DuplicateHeader,
            VerifyError::UnsupportedHeader(_) => Self::UnsupportedHeader,
            VerifyError::UnsupportedAlgorithm => Self::UnsupportedAlgorithm,
            VerifyError::AlgorithmMismatch { .. } => Self::AlgorithmMismatch,
            VerifyError::UnknownKey => Self::UnknownKey,
            VerifyError::BadSignature => Self::BadSignature,
            VerifyError::Untyped => Self::Untyped,
            VerifyError::OtherType => Self::OtherType,
            VerifyError::MalformedClaims => Self::MalformedClaims,
            VerifyError::DuplicateClaim => Self::DuplicateClaim,
            VerifyError::MissingClaim(_) => Self::MissingClaim,
            VerifyError::InvalidClaim(_) => Self::InvalidClaim,
            VerifyError::InvalidDimension(_) => Self::InvalidDimension,
            VerifyError::OtherIssuer => Self::OtherIssuer,
            VerifyError::OtherAudience => Self::OtherAudience,
            VerifyError::Expired => Self::Expired,
            VerifyError::NotYetValid => Self::NotYetValid,
            VerifyError::IssuedInFuture => Self::IssuedInFuture,
            VerifyError::LivesTooLong => Self::LivesTooLong,
            VerifyError::UnknownBirth => Self::UnknownBirth,
            VerifyError::BornInFuture => Self::BornInFuture,
        }
    }
}

impl From<&RefreshError> for Refreshed {
    fn from(error: &RefreshError) -> Self {
        match error {
            RefreshError::Invalid(_) => Self::Invalid,
            RefreshError::OtherClient => Self::OtherClient,
            RefreshError::Scope => Self::Scope,
            RefreshError::Ended => Self::Ended,
            RefreshError::Unknown => Self::Unknown,
            RefreshError::Expired => Self::Expired,
            RefreshError::Superseded => Self::Superseded,
            RefreshError::Forked => Self::Forked,
            RefreshError::Reused { .. } => Self::Reused,
            RefreshError::Unwelcome => Self::Unwelcome,
            RefreshError::Hook(_) => Self::HookFailed,
            RefreshError::Store(_) => Self::StoreFailed,
            RefreshError::Issue(_) => Self::NotSigned,
        }
    }
}

impl From<&Outcome> for Refreshed {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Refused => Self::OtherClient,
            Outcome::Ended => Self::Ended,
            Outcome::Unknown => Self::Unknown,
            Outcome::Expired => Self::Expired,
            Outcome::Rotated(_) => Self::Rotated,
            Outcome::Retried(_) => Self::Retried,
            Outcome::Superseded => Self::Superseded,
            Outcome::Forked => Self::Forked,
            Outcome::Recovered(_) => Self::Recovered,
            Outcome::Reused => Self::Reused,
        }
    }
}
