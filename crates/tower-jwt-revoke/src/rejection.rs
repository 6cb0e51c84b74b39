//! Why an extractor or a layer that needs an access has none.

use jwt_revoke_core::wire::Refusal;

/// The route asks for the access of a token, and no [`RevocationLayer`](crate::RevocationLayer) was
/// passed. That is the application's mistake and not the client's, so it is 500 and not 401; the log
/// says so at `error`, the client is told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no RevocationLayer was passed on the way to this route: add one around it")]
pub struct MissingAccess(());

impl MissingAccess {
    pub(crate) fn new() -> Self {
        let missing = Self(());
        tracing::error!("{missing}");
        missing
    }

    pub(crate) fn refusal(self) -> Refusal {
        Refusal::server_error()
    }
}
