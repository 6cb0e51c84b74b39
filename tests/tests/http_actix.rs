//! The suite of all adapters, over actix-web.

#[path = "http_server/actix.rs"]
mod server;

use jwt_revoke_tests::http_suite;

http_suite!(server::serve);
