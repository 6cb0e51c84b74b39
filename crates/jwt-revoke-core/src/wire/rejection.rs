//! Why there is no user.

use crate::{
    Denied,
    wire::{Refusal, Render},
};

/// The route asks for the access of a token, and no `RevocationLayer` was passed. That is the
/// application's mistake and not the client's, so it is 500 and not 401; the log says so at `error`,
/// the client is told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no RevocationLayer was passed on the way to this route: add one around it")]
pub struct MissingAccess(());

impl MissingAccess {
    pub(super) fn new() -> Self {
        let missing = Self(());
        tracing::error!("{missing}");
        missing
    }
}

/// Why an extractor has no user to give: what `AuthRejection` of each adapter holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The layer is absent: 500.
    #[error(transparent)]
    MissingAccess(#[from] MissingAccess),
    /// The token does not do here: what the layer would have answered, in the layer's words.
    #[error("the token does not do here")]
    Denied {
        /// Why, for a log.
        #[source]
        reason: Box<Denied>,
        /// What the client is told.
        refusal: Refusal,
    },
}

impl Rejection {
    pub(super) fn denied(reason: Denied, render: &dyn Render) -> Self {
        let refusal = Refusal::of(&reason, render);
        let reason = Box::new(reason);
        Self::Denied { reason, refusal }
    }

    /// What the client is told.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::MissingAccess(_) => Refusal::server_error(),
            Self::Denied { refusal, .. } => refusal.clone(),
        }
    }
}
