//! `POST /auth/logout`.

use super::{
    Server,
    outage::assert_unavailable,
    refusals::{assert_invalid_token, assert_malformed, assert_no_token},
};
use crate::{
    controlled_store::Mood,
    patience::until,
    raw_http::{RawRequest, RawResponse},
};

async fn logout(server: &Server, token: &str) -> RawResponse {
    server
        .send(RawRequest::post("/auth/logout").bearer(token))
        .await
}

pub async fn logout_ends_the_session_and_no_other(server: &Server) {
    let phone = server.fixture.login("alice").await;
    let laptop = server.fixture.login("alice").await;
    let response = logout(server, phone.token()).await;
    assert_eq!((response.status, response.body.as_str()), (204, ""));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_invalid_token(&server.get("/me", phone.token()).await);
    assert_invalid_token(&logout(server, phone.token()).await);
    Server::assert_ok(&server.get("/me", laptop.token()).await, "alice");
}

pub async fn logout_asks_for_a_token_of_its_own(server: &Server) {
    let alice = server.fixture.login("alice").await;
    assert_no_token(&server.send(RawRequest::post("/auth/logout")).await);
    assert_invalid_token(&logout(server, "a.b.c").await);
    let two = RawRequest::post("/auth/logout")
        .bearer(alice.token())
        .bearer("a.b.c");
    assert_malformed(&server.send(two).await);
    Server::assert_ok(&server.get("/me", alice.token()).await, "alice");
}

pub async fn r2_a_logout_that_was_not_confirmed_is_503(server: &Server) {
    let alice = server.fixture.login("alice").await;
    for mood in [Mood::RefusesWrites, Mood::Fails] {
        server.fixture.store.set(mood);
        assert_unavailable(&logout(server, alice.token()).await);
    }
    server.fixture.store.set(Mood::Answers);
    Server::assert_ok(&server.get("/me", alice.token()).await, "alice");
    assert_eq!(logout(server, alice.token()).await.status, 204);
    assert_invalid_token(&server.get("/me", alice.token()).await);
}

pub async fn s46_a_logout_of_a_client_that_hangs_up_is_done(server: &Server) {
    let store = &server.fixture.store;
    for _ in 0..30 {
        let alice = server.fixture.login("alice").await;
        let before = store.written().len();
        // The check of the layer waits, and the logout behind it.
        store.set(Mood::Hangs);
        let request = RawRequest::post("/auth/logout").bearer(alice.token());
        let connection = request.ask(server.address).await;
        store.until_waiting(1).await;
        drop(connection);
        // Time for the server to notice, on which nothing depends.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        store.set(Mood::Answers);
        until("it is revoked", async || store.written().len() > before).await;
        assert_invalid_token(&server.get("/me", alice.token()).await);
    }
}

pub async fn unknown_paths_and_other_methods_beside_logout_are_not_401(server: &Server) {
    assert_eq!(server.get_bare("/auth/unknown").await.status, 404);
    assert_eq!(server.get_bare("/auth/logout").await.status, 405);
    // A CORS preflight carries no credentials.
    let preflight = RawRequest::new("OPTIONS", "/auth/logout");
    assert_ne!(server.send(preflight).await.status, 401);
}
