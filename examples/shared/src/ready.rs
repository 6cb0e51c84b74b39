//! Whether to come up.

use jwt_revoke_core::{
    Guard, Report,
    store::{AnyStore, StoreError},
};

/// Whether a store is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It is.
    Now,
    /// It will be, once it takes writes.
    Soon,
}

/// Opens the store. One that refuses writes for the moment (no memory, a full disk, a primary that
/// was demoted, too few replicas) is no reason to give up: it is connected in the background.
///
/// # Errors
///
/// What is wrong with the store, in words for an operator.
pub(crate) async fn open_or_soon(address: &str) -> Result<(AnyStore, Opened), StoreError> {
    match AnyStore::connect(address).await {
        Err(error) if error.may_pass() => {
            tracing::warn!("starting, though not ready yet: {}", Report(&error));
            Ok((AnyStore::connect_lazily(address).await?, Opened::Soon))
        }
        opened => Ok((opened?, Opened::Now)),
    }
}

/// Makes sure that the store will serve. One that is only slow at this moment, or refuses writes, is
/// no reason to give up: requests are answered 503 until it is well, and `/readyz` says so.
///
/// # Errors
///
/// What is wrong with the store, in words for an operator.
pub(crate) async fn ready_or_soon(guard: &Guard) -> Result<(), StoreError> {
    match guard.ready().await {
        Err(error)
            if error.may_pass()
                || matches!(
                    error,
                    StoreError::TimedOut { .. }
                        | StoreError::ShardLost { .. }
                        | StoreError::Behind { .. }
                ) =>
        {
            tracing::warn!("starting, though not ready yet: {}", Report(&error));
            Ok(())
        }
        ready => ready,
    }
}
