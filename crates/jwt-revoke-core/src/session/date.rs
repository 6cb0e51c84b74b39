//! Dates that tokens can have.

use std::time::Duration;

use crate::{clock::Timestamp, defaults, guard::Guard, store::StoreError};

/// An error for a session that would be dated so far ahead of this process's clock that the guard refuses its
/// tokens until then ([`CLOCK_SKEW`](defaults::CLOCK_SKEW)). No such session is opened. `begun` is the
/// store's clock when the login began.
pub(super) fn check(
    guard: &Guard,
    opened_at: Timestamp,
    begun: Timestamp,
) -> Result<(), StoreError> {
    let now = guard.verifier().clock().now();
    let latest = now.saturating_add(defaults::CLOCK_SKEW);
    if opened_at <= latest {
        return Ok(());
    }
    let ahead = opened_at.saturating_since(now).as_secs();
    let reason = if begun > latest {
        format!(
            "it shows {begun}, {ahead} s ahead of the clock of this process, so the tokens of a login would be \
             refused until then: synchronise the clocks of both hosts with NTP"
        )
    } else {
        format!(
            "a revocation that covers this login is dated up to {ahead} s ahead of the clock of this process, by \
             a clock that was ahead: the login works from {opened_at} on"
        )
    };
    guard.heard(Err(StoreError::Clock {
        store: "the store".to_owned(),
        reason,
    }))
}

/// How much earlier a pair of tokens is to be dated than the store dated it, at `issued_at`, so that this
/// process accepts it: nothing, unless the store's clock is or was further ahead than
/// [`CLOCK_SKEW`](defaults::CLOCK_SKEW). Tokens live no longer for it, and the session's record keeps its dates.
pub(super) fn shift(guard: &Guard, issued_at: Timestamp) -> Duration {
    let now = guard.verifier().clock().now();
    if issued_at <= now.saturating_add(defaults::CLOCK_SKEW) {
        return Duration::ZERO;
    }
    issued_at.saturating_since(Timestamp::from_seconds(now.whole_seconds()))
}
