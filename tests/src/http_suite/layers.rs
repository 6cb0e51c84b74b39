//! Optional layers, layers in layers, and none.

use jwt_revoke_core::guard::Target;

use super::{
    Server,
    refusals::{assert_invalid_token, assert_lacks_scope, assert_no_token, assert_server_error},
};
use crate::logs;

pub async fn optional_lets_a_request_without_a_token_through_and_none_with_a_bad_one(
    server: &Server,
) {
    let alice = server.fixture.login("alice").await;
    for path in ["/optional", "/optional/claims"] {
        Server::assert_ok(&server.get_bare(path).await, "nobody");
        assert_invalid_token(&server.get(path, "a.b.c").await);
    }
    Server::assert_ok(&server.get("/optional", alice.token()).await, "alice");
    server
        .fixture
        .guard
        .revoke(Target::jti(alice.jti().as_str()))
        .await
        .unwrap();
    assert_invalid_token(&server.get("/optional", alice.token()).await);
}

pub async fn optional_does_not_open_what_needs_a_user_or_a_scope(server: &Server) {
    let alice = server.fixture.login("alice").await;
    Server::assert_ok(
        &server.get("/optional/required", alice.token()).await,
        "alice",
    );
    for path in [
        "/optional/required",
        "/optional/scoped",
        "/optional/scope-layer",
    ] {
        assert_no_token(&server.get_bare(path).await);
    }
    assert_lacks_scope(&server.get("/optional/scoped", alice.token()).await);
}

pub async fn without_a_layer_extractors_and_scopes_are_500(server: &Server) {
    let alice = server.fixture.login("alice").await;
    for path in ["/bare", "/bare/optional", "/bare/scope"] {
        assert_server_error(&server.get(path, alice.token()).await);
        assert_server_error(&server.get_bare(path).await);
    }
    let logs = logs::captured();
    assert!(
        logs.lines()
            .any(|line| line.contains("ERROR") && line.contains("was passed on the way"))
    );
}

pub async fn a_token_is_not_checked_twice_by_layers_of_one_guard(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let before = server.fixture.store.lookups();
    Server::assert_ok(&server.get("/twice", alice.token()).await, "alice");
    assert_eq!(server.fixture.store.lookups(), before + 1);
}

pub async fn the_access_of_another_guard_counts_for_nothing(server: &Server) {
    let alice = server.fixture.login("alice").await;
    Server::assert_ok(&server.get("/other", alice.token()).await, "other");
    assert_eq!(server.fixture.other_store.lookups(), 1);
    server
        .fixture
        .other_guard
        .revoke(Target::subject("alice"))
        .await
        .unwrap();
    assert_invalid_token(&server.get("/other", alice.token()).await);
    Server::assert_ok(&server.get("/me", alice.token()).await, "alice");
}

pub async fn an_optional_layer_removes_the_access_of_another_guard(server: &Server) {
    let alice = server.fixture.login("alice").await;
    Server::assert_ok(
        &server.get("/other/optional", alice.token()).await,
        "nobody",
    );
}
