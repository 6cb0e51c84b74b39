//! Who is let through, and what the others are told.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jwt_revoke_core::{guard::Target, session::Grant, token::Scope};
use serde_json::{Value, json};

use super::{Fixture, Server};
use crate::{
    logs,
    raw_http::{RawRequest, RawResponse},
};

const INVALID: &str = "the access token is invalid, expired or revoked";
const MALFORMED: &str = "the request is malformed";

/// Fails unless the response is exactly this refusal.
#[track_caller]
pub(super) fn assert_refusal(
    response: &RawResponse,
    status: u16,
    code: &str,
    description: &str,
    challenge: Option<&str>,
) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header("www-authenticate"), challenge);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let body = json!({ "error": code, "error_description": description });
    assert_eq!(response.json(), body);
    let length = response.body.len().to_string();
    assert_eq!(response.header("content-length"), Some(length.as_str()));
}

#[track_caller]
pub(super) fn assert_invalid_token(response: &RawResponse) {
    let challenge = format!(r#"Bearer error="invalid_token", error_description="{INVALID}""#);
    assert_refusal(response, 401, "invalid_token", INVALID, Some(&challenge));
}

#[track_caller]
pub(super) fn assert_malformed(response: &RawResponse) {
    let challenge = format!(r#"Bearer error="invalid_request", error_description="{MALFORMED}""#);
    assert_refusal(
        response,
        400,
        "invalid_request",
        MALFORMED,
        Some(&challenge),
    );
}

/// RFC 6750 §3.1: no error code when the request has no authentication information.
#[track_caller]
pub(super) fn assert_no_token(response: &RawResponse) {
    let description = "this resource needs an access token";
    assert_refusal(response, 401, "unauthorized", description, Some("Bearer"));
}

#[track_caller]
pub(super) fn assert_lacks_scope(response: &RawResponse) {
    let description = "the access token lacks a scope that is needed here";
    let challenge = format!(
        r#"Bearer error="insufficient_scope", error_description="{description}", scope="admin""#
    );
    assert_refusal(
        response,
        403,
        "insufficient_scope",
        description,
        Some(&challenge),
    );
}

#[track_caller]
pub(super) fn assert_server_error(response: &RawResponse) {
    let description = "the server is misconfigured";
    assert_refusal(response, 500, "server_error", description, None);
}

pub async fn a_good_token_opens_the_route(server: &Server) {
    let alice = server.fixture.login("alice").await;
    Server::assert_ok(&server.get("/me", alice.token()).await, "alice");
    Server::assert_ok(&server.get_bare("/public").await, "public");

    let claims = Grant::new()
        .with_claims(&json!({ "tenant": "acme" }))
        .unwrap();
    let alice = server.fixture.login_with("alice", &claims).await;
    Server::assert_ok(&server.get("/claims", alice.token()).await, "acme");
    Server::assert_ok(&server.get("/optional/claims", alice.token()).await, "acme");
}

pub async fn the_scheme_is_read_in_any_case(server: &Server) {
    let alice = server.fixture.login("alice").await;
    for scheme in ["bearer", "BEARER", "bEaReR", "Bearer  "] {
        let value = format!("{scheme} {}", alice.token());
        let request = RawRequest::get("/me").header("authorization", value);
        Server::assert_ok(&server.send(request).await, "alice");
    }
}

pub async fn a_request_without_a_token_gets_a_challenge_without_an_error_code(server: &Server) {
    assert_no_token(&server.get_bare("/me").await);
    // Credentials of another scheme are no bearer token.
    let basic = RawRequest::get("/me").header("Authorization", "Basic YTpi");
    assert_no_token(&server.send(basic).await);
}

pub async fn a_bad_token_is_401_whatever_is_wrong_with_it(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let (signed, signature) = alice.token().rsplit_once('.').unwrap();
    let stranger = Fixture::new().login("alice").await;
    let too_long = "a".repeat(9 * 1024);
    for token in [
        "x",
        "a.b.c",
        signed,
        &format!("{signed}."),
        &format!("{signed}.{}", signature.to_ascii_lowercase()),
        &format!("{}.{signature}", signed.replace('.', "")),
        stranger.token(),
        &too_long,
    ] {
        server.fixture.keep_secret(token);
        assert_invalid_token(&server.get("/me", token).await);
    }
}

pub async fn t4_a_refresh_token_opens_nothing_and_revokes_nothing(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let access = server.fixture.guard.check(alice.token()).await.unwrap();
    let claims = serde_json::from_slice::<serde_json::Value>(access.verified().payload()).unwrap();
    for typ in ["rt+jwt", "logout+jwt", "JWT", "id+jwt"] {
        // The very claims of a good access token, under another type.
        let other = server.fixture.issuer.key().sign(typ, &claims).unwrap();
        server.fixture.keep_secret(&other);
        assert_invalid_token(&server.get("/me", &other).await);
        let logout = RawRequest::post("/auth/logout").bearer(&other);
        assert_invalid_token(&server.send(logout).await);
    }
    Server::assert_ok(&server.get("/me", alice.token()).await, "alice");
}

pub async fn a_revoked_token_is_refused_like_any_other_bad_one(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let bob = server.fixture.login("bob").await;
    server
        .fixture
        .guard
        .revoke(Target::subject("alice"))
        .await
        .unwrap();
    for path in ["/me", "/optional", "/twice", "/scope", "/allow"] {
        assert_invalid_token(&server.get(path, alice.token()).await);
    }
    Server::assert_ok(&server.get("/me", bob.token()).await, "bob");
}

pub async fn a_missing_scope_is_403_and_names_the_scope(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let reader = Grant::new().with_scope(Scope::parse("read administrator").unwrap());
    let reader = server.fixture.login_with("alice", &reader).await;
    let root = Grant::new().with_scope(Scope::parse("read admin").unwrap());
    let root = server.fixture.login_with("root", &root).await;
    for path in [
        "/scope",
        "/scope/layer",
        "/scope/handler",
        "/optional/scoped",
        "/optional/scope-layer",
    ] {
        assert_lacks_scope(&server.get(path, alice.token()).await);
        assert_lacks_scope(&server.get(path, reader.token()).await);
        Server::assert_ok(&server.get(path, root.token()).await, "root");
        assert_no_token(&server.get_bare(path).await);
    }
}

pub async fn claims_that_do_not_fit_are_401_and_logged_by_place_only(server: &Server) {
    let claims = Grant::new()
        .with_claims(&json!({ "tenant": 6_021_023 }))
        .unwrap();
    let alice = server.fixture.login_with("alice", &claims).await;
    assert_invalid_token(&server.get("/claims", alice.token()).await);
    assert_invalid_token(&server.get("/optional/claims", alice.token()).await);
    let logs = logs::captured();
    assert!(logs.contains("the token's claims do not fit the application's type: a claim is"));
    assert!(!logs.contains("6021023"));
    // To a route that wants no claims the token is as good as any.
    Server::assert_ok(&server.get("/me", alice.token()).await, "alice");
}

pub async fn a_renderer_renders_the_refusals_of_layers_extractors_and_scopes(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let bad = server.get("/rendered", "a.b.c").await;
    let claims = server.get("/rendered/claims", alice.token()).await;
    let scope = server.get("/rendered/scope", alice.token()).await;
    for (response, code) in [
        (server.get_bare("/rendered").await, "unauthorized"),
        (bad, "invalid_token"),
        (claims, "invalid_token"),
        (scope, "insufficient_scope"),
    ] {
        assert_eq!(response.status, 418, "{response:?}");
        assert_eq!(response.header("x-code"), Some(code));
        assert_eq!(response.header("content-type"), Some("text/plain"));
        assert_eq!(response.header("www-authenticate"), None);
        assert_eq!(response.body, "short and stout");
    }
    Server::assert_ok(&server.get("/rendered", alice.token()).await, "alice");
}

pub async fn of_layers_in_layers_the_inner_one_words_the_refusals(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let inside = server.get("/rendered/inside", alice.token()).await;
    assert_eq!(inside.status, 418, "{inside:?}");
    assert_eq!(inside.header("x-code"), Some("insufficient_scope"));
    assert_lacks_scope(&server.get("/rendered/outside", alice.token()).await);
    assert_no_token(&server.get_bare("/rendered/outside").await);
}

pub async fn denials_are_logged_with_their_causes(server: &Server) {
    let alice = server.fixture.login("alice").await;
    server
        .fixture
        .guard
        .revoke(Target::session(alice.session().as_str()))
        .await
        .unwrap();
    assert_invalid_token(&server.get("/me", alice.token()).await);
    let logs = logs::captured();
    let line = |words: &[&str]| {
        logs.lines()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(line(&[
        "DEBUG",
        "refused a request",
        "status=401",
        "the token is revoked by session"
    ]));
}

pub async fn head_is_checked_like_get(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let head = |token| RawRequest::new("HEAD", "/me").bearer(token);
    let response = server.send(head(alice.token())).await;
    assert_eq!((response.status, response.body.as_str()), (200, ""));
    let response = server.send(head("a.b.c")).await;
    assert_eq!((response.status, response.body.as_str()), (401, ""));
}

/// The client learns nothing, so the operator must.
pub async fn t34_a_token_that_a_setting_refuses_is_told_to_the_operator(server: &Server) {
    let key = server.fixture.issuer.key();
    let issued = server.fixture.login("alice").await;
    let claims = issued.token().split('.').nth(1).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let mut claims: Value = serde_json::from_slice(&claims).unwrap();
    // Of this test alone: the log is that of the whole process.
    let audience = format!("https://{}.example", issued.session());
    claims["aud"] = json!(audience);
    let token = key.sign("at+jwt", &claims).unwrap();
    server.fixture.keep_secret(&token);
    for _ in 0..3 {
        assert_invalid_token(&server.get("/me", &token).await);
    }
    let logs = logs::captured();
    let found = format!("found={audience}");
    let lines: Vec<_> = logs.lines().filter(|line| line.contains(&found)).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].contains(" WARN ") && lines[0].contains("expected=api"),
        "{}",
        lines[0]
    );
}
