//! The suite of sessions, over axum and every store.

#[path = "session_server/axum.rs"]
mod server;

mod embedded {
    jwt_revoke_tests::http_session_suite!(super::server::serve, Embedded);
}

mod redis {
    jwt_revoke_tests::http_session_suite!(super::server::serve, Redis);
}
