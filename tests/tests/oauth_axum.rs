//! The suite of the OAuth routes, over axum.

#[path = "oauth_server/axum.rs"]
mod server;

use jwt_revoke_core::store::EmbeddedStore;
use jwt_revoke_tests::oauth_suite;

mod embedded {
    use super::*;

    oauth_suite!(server::serve, store);

    async fn store() -> (EmbeddedStore, ()) {
        (EmbeddedStore::in_memory(), ())
    }
}
