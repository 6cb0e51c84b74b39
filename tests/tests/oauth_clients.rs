//! Independent OAuth clients drive the routes: authlib from Python, oauth4webapi from Node. `scripts/clients`
//! installs them.

#[path = "oauth_server/axum.rs"]
mod server;

use jwt_revoke_core::store::EmbeddedStore;
use jwt_revoke_tests::oauth_suite;

oauth_suite! { server::serve, store:
    authlib_is_content
    oauth4webapi_is_content
}

async fn store() -> (EmbeddedStore, ()) {
    (EmbeddedStore::in_memory(), ())
}
