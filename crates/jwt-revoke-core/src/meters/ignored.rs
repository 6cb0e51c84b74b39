//! Counting nothing: all of it is gone once compiled.

#[cfg(feature = "redis")]
use std::time::Duration;

use super::{Cached, Path, Reason, Refreshed, Verdict};
#[cfg(feature = "redis")]
use super::{ReplicaState, Restart};
use crate::{guard::CacheStats, token::TokenKind};

pub(crate) struct GuardMeters;

impl GuardMeters {
    pub(crate) fn new(_name: &str) -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn checked(&self, _path: Path, _verdict: Verdict) {}

    #[inline(always)]
    pub(crate) fn looked_up(&self, _result: Cached) {}

    #[inline(always)]
    pub(crate) fn verifying<T>(&self, verify: impl FnOnce() -> T) -> T {
        verify()
    }

    #[inline(always)]
    pub(crate) fn refreshed(&self, _outcome: Refreshed) {}

    #[inline(always)]
    pub(crate) fn refused(&self, _kind: TokenKind, _reason: Reason) {}

    #[inline(always)]
    pub(crate) fn set_cache(&self, _stats: &CacheStats) {}
}

#[cfg(feature = "redis")]
pub(crate) struct RedisMeters;

#[cfg(feature = "redis")]
impl RedisMeters {
    pub(crate) fn new(_store: &str, _prefix: &str) -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn propagated(&self, _lag: impl FnOnce() -> Duration) {}

    #[inline(always)]
    pub(crate) fn restarted(&self, _reason: Restart) {}

    #[inline(always)]
    pub(crate) fn healed(&self, _entries: usize) {}

    #[inline(always)]
    pub(crate) fn not_healed(&self, _entries: usize) {}

    #[inline(always)]
    pub(crate) fn opened(&self) {}

    #[inline(always)]
    pub(crate) fn set_replica(&self, _state: &ReplicaState) {}

    #[inline(always)]
    pub(crate) fn set_breakers(&self, _open: usize) {}

    #[inline(always)]
    pub(crate) fn set_clock_offset(&self, _millis: i64) {}
}

#[cfg(feature = "embedded")]
pub(crate) struct EmbeddedMeters;

#[cfg(feature = "embedded")]
impl EmbeddedMeters {
    pub(crate) fn new(_store: &str) -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn set(&self, _stats: &crate::store::EmbeddedStats, _bytes: usize) {}
}
