//! The handles by which guards and stores count; without the feature `metrics`, nothing at all.
//!
//! They are taken when a guard or a store is made, since a warm check has no time to look for one.

#[cfg(not(feature = "metrics"))]
mod ignored;
#[cfg(feature = "metrics")]
mod recorded;
mod words;

#[cfg(feature = "embedded")]
pub(crate) use self::backend::EmbeddedMeters;
pub(crate) use self::{
    backend::GuardMeters,
    words::{Cached, Path, Reason, Refreshed, Verdict},
};
#[cfg(feature = "redis")]
pub(crate) use self::{backend::RedisMeters, words::Restart};
#[cfg(not(feature = "metrics"))]
use ignored as backend;
#[cfg(feature = "metrics")]
use recorded as backend;

/// The state of a copy of a Redis store.
#[cfg(feature = "redis")]
#[cfg_attr(
    not(feature = "metrics"),
    expect(dead_code, reason = "nobody reads it")
)]
pub(crate) struct ReplicaState {
    /// Of each shard, in order.
    pub(crate) ages: Vec<std::time::Duration>,
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}
