//! The suite of sessions, over actix-web and every store.

#[path = "session_server/actix.rs"]
mod server;

mod embedded {
    jwt_revoke_tests::http_session_suite!(super::server::serve, Embedded);
}

mod redis {
    jwt_revoke_tests::http_session_suite!(super::server::serve, Redis);
}
