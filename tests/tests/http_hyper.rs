//! The suite of all adapters, as far as it is about layers, over hyper and tower alone.

#[path = "http_server/hyper.rs"]
mod server;

use jwt_revoke_tests::http_suite;

http_suite!(server::serve, Layers);
http_suite!(server::serve, Cancels);
