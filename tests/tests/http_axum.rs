//! The suite of all adapters, over axum.

#[path = "http_server/axum.rs"]
mod server;

use jwt_revoke_tests::http_suite;

http_suite!(server::serve);
http_suite!(server::serve, Cancels);
