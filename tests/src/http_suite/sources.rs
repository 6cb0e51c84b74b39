//! Where tokens are taken from.

use super::{
    COOKIE, Server, TICKET,
    refusals::{assert_invalid_token, assert_malformed, assert_no_token},
};
use crate::raw_http::RawRequest;

fn with_cookie(path: &str, token: &str) -> RawRequest {
    RawRequest::get(path).header("Cookie", format!("theme=dark; {COOKIE}={token}; x=y"))
}

fn with_ticket(path: &str, token: &str) -> RawRequest {
    RawRequest::get(&format!("{path}?{TICKET}{token}"))
}

pub async fn a_cookie_is_a_token_only_where_it_was_asked_for(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let token = alice.token();
    Server::assert_ok(&server.send(with_cookie("/cookie", token)).await, "alice");
    assert_no_token(&server.send(with_cookie("/me", token)).await);
    assert_no_token(&server.get("/cookie", token).await);
    assert_no_token(&server.send(with_cookie("/cookie", "")).await);
    assert_invalid_token(&server.send(with_cookie("/cookie", "a.b.c")).await);
    assert_malformed(&server.send(with_cookie("/cookie", "a b")).await);
    // A sibling domain can plant a second cookie of the name.
    let planted = with_cookie("/cookie", token).header("cookie", format!("{COOKIE}=a.b.c"));
    assert_malformed(&server.send(planted).await);
}

pub async fn a_function_finds_the_token(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let token = alice.token();
    Server::assert_ok(&server.send(with_ticket("/fn", token)).await, "alice");
    assert_no_token(&server.send(with_ticket("/me", token)).await);
    assert_no_token(&server.get_bare("/fn").await);
    assert_invalid_token(&server.send(with_ticket("/fn", "a.b.c")).await);
    assert_invalid_token(&server.send(with_ticket("/fn", "")).await);
}

pub async fn one_token_in_several_places_is_one_token(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let token = alice.token();
    let everywhere = with_cookie(&format!("/anywhere?{TICKET}{token}"), token).bearer(token);
    for request in [
        RawRequest::get("/anywhere").bearer(token),
        with_cookie("/anywhere", token),
        with_ticket("/anywhere", token),
        with_cookie("/anywhere", token).header("authorization", "Basic YTpi"),
        everywhere,
    ] {
        Server::assert_ok(&server.send(request).await, "alice");
    }
}

pub async fn two_different_tokens_in_one_request_are_400(server: &Server) {
    let (alice, bob) = (
        server.fixture.login("alice").await,
        server.fixture.login("bob").await,
    );
    let (alice, bob) = (alice.token(), bob.token());
    for request in [
        with_cookie("/anywhere", alice).bearer(bob),
        with_ticket("/anywhere", alice).bearer(bob),
        with_cookie(&format!("/anywhere?{TICKET}{alice}"), bob),
    ] {
        assert_malformed(&server.send(request).await);
    }
    // Where only the header counts, a cookie is nothing to us.
    Server::assert_ok(
        &server.send(with_cookie("/me", alice).bearer(bob)).await,
        "bob",
    );
}
