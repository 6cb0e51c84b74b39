//! What is logged now and then, and not once for each request.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use jwt_revoke_core::{Report, defaults, session::LoginError, store::StoreError};

/// Logs why the program is not ready, at most once in
/// [`OUTAGE_LOG_INTERVAL`](defaults::OUTAGE_LOG_INTERVAL). Clients are not told: the reason names the
/// store and its address.
pub fn not_ready(error: &StoreError) {
    if NOT_READY.is_due() {
        tracing::warn!("not ready: {}", Report(error));
    }
}

/// Logs why a login failed, unless the guard already tells of the outage; as seldom.
pub fn login_failed(error: &LoginError) {
    if !matches!(error, LoginError::Store(_)) && LOGIN_FAILED.is_due() {
        tracing::error!("login failed: {}", Report(error));
    }
}

static NOT_READY: Seldom = Seldom::new();

static LOGIN_FAILED: Seldom = Seldom::new();

struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|at| at.elapsed() >= defaults::OUTAGE_LOG_INTERVAL);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_line_of_a_moment_is_left_out() {
        let seldom = Seldom::new();
        assert!(seldom.is_due());
        assert!(!seldom.is_due());
    }
}
