//! Whether to come up.

use jwt_revoke_core::{Guard, Report, store::StoreError};

/// Makes sure that the store will serve. One that is only slow at this moment is no reason to give
/// up: requests are answered 503 until it is not, and `/readyz` says so.
///
/// # Errors
///
/// What is wrong with the store, in words for an operator.
pub(crate) async fn ready_or_soon(guard: &Guard) -> Result<(), StoreError> {
    match guard.ready().await {
        Err(
            error @ (StoreError::TimedOut { .. }
            | StoreError::ShardLost { .. }
            | StoreError::Behind { .. }),
        ) => {
            tracing::warn!("coming up, though not ready yet: {}", Report(&error));
            Ok(())
        }
        ready => ready,
    }
}
