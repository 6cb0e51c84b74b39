//! Requests that no honest client sends (row T9).

use super::{
    Server,
    refusals::{assert_invalid_token, assert_malformed},
};
use crate::raw_http::RawRequest;

pub async fn t9_two_authorization_headers_are_400(server: &Server) {
    let alice = server.fixture.login("alice").await;
    for second in [
        &format!("Bearer {}", alice.token()),
        "Bearer a.b.c",
        "Basic YTpi",
    ] {
        let request = RawRequest::get("/me").bearer(alice.token());
        assert_malformed(&server.send(request.header("authorization", second)).await);
        let request = RawRequest::get("/me").header("authorization", second);
        assert_malformed(&server.send(request.bearer(alice.token())).await);
        // Not even where no token is needed.
        let request = RawRequest::get("/optional").bearer(alice.token());
        assert_malformed(&server.send(request.header("authorization", second)).await);
    }
}

pub async fn t9_a_malformed_bearer_token_is_400(server: &Server) {
    let alice = server.fixture.login("alice").await;
    for value in [
        b"Bearer".to_vec(),
        b"Bearer a b".to_vec(),
        b"Bearer \xff\xfe".to_vec(),
        b"Bearer \xc3\xa9".to_vec(),
        b"Bearer a,b".to_vec(),
        b"Bearer \"a.b.c\"".to_vec(),
        format!("Bearer {}, Bearer a.b.c", alice.token()).into_bytes(),
    ] {
        let request = RawRequest::get("/me").header("authorization", value);
        assert_malformed(&server.send(request).await);
    }
}

pub async fn t9_headers_beyond_measure_are_refused_and_the_server_lives(server: &Server) {
    let alice = server.fixture.login("alice").await;
    // Within what servers read: it is our limit that holds.
    assert_invalid_token(&server.get("/me", &"a".repeat(16 * 1024)).await);
    let dots = ".".repeat(16 * 1024);
    assert_invalid_token(&server.get("/me", &dots).await);

    let megabyte = "a".repeat(1 << 20);
    let mut many = RawRequest::get("/me").bearer(alice.token());
    for index in 0..10_000 {
        many = many.header(format!("x-{index}"), "x");
    }
    let mut twins = RawRequest::get("/me");
    for _ in 0..10_000 {
        twins = twins.bearer(alice.token());
    }
    for request in [
        RawRequest::get("/me").bearer(&megabyte),
        RawRequest::get("/me")
            .bearer(alice.token())
            .header("x-padding", &megabyte),
        RawRequest::get("/cookie").header("cookie", format!("session={megabyte}")),
        many,
        twins,
    ] {
        let status = server.send(request).await.status;
        assert!([400, 401, 431].contains(&status), "{status}");
    }
    Server::assert_ok(&server.get("/me", alice.token()).await, "alice");
}

pub async fn t9_stray_bytes_in_headers_are_refused_and_the_server_lives(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let token = alice.token();
    for value in [
        format!("Bearer {token}\0"),
        format!("Bearer \0{token}"),
        format!("Bearer {token}\rx: y"),
        format!("Bearer {token}\r\n continued"),
        format!("Bearer {token}\x7f"),
        format!("Bearer {token}\u{200b}"),
    ] {
        let request = RawRequest::get("/me").header("authorization", &value);
        let status = server.send(request).await.status;
        assert!([400, 401].contains(&status), "{status} to {value:?}");
    }
    Server::assert_ok(&server.get("/me", token).await, "alice");
}
