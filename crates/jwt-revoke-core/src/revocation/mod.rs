//! The rule: `(dimension, issuer, value) -> cutoff`, and a token is revoked if, for any dimension
//! it has a value in, `born_at <= cutoff`.
//!
//! One exception: a cutoff of `other_sessions` does not cover a token whose session has a higher
//! `kept_session` entry. It is how all sessions of a user but one end in a single step.
//!
//! Everything follows from it. Cutoffs only rise, so entries can be merged (`max`), replayed and
//! reordered, and a copy of them can be behind but never wrong.

mod cutoff;
mod digest;
mod dimension;
mod horizons;
mod placement;
#[cfg(feature = "redis")]
mod replica;
#[cfg(any(feature = "embedded", feature = "redis"))]
mod table;

#[cfg(feature = "redis")]
pub(crate) use self::replica::{Life, Moment, Replica};
#[cfg(feature = "embedded")]
pub(crate) use self::table::Table;
pub use self::{
    cutoff::{Cutoff, Cutoffs},
    digest::Digest,
    dimension::{ClaimName, Dimension, InvalidClaimName},
    horizons::{Horizon, Horizons},
    placement::{Placement, SHARDS, Shard},
};
