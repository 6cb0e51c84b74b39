//! `POST /auth/introspect`.

use jwt_revoke_core::session::Grant;
use serde_json::{Value, json};

use super::{
    SwitchedStore,
    fixture::{Server, assert_error, assert_private, basic, claims, form_request, scope},
};
use crate::raw_http::RawResponse;

const PATH: &str = "/auth/introspect";

async fn introspect(server: &Server, token: &str) -> RawResponse {
    let response = server.post_as_api(PATH, &[("token", token)]).await;
    assert_private(&response);
    response
}

async fn assert_inactive(server: &Server, token: &str) {
    let response = introspect(server, token).await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (200, r#"{"active":false}"#)
    );
}

pub async fn introspection_tells_what_a_good_token_says(server: &Server) {
    let pair = server.login("alice", "page").await;
    for (token, kind) in [(pair.access_token(), "Bearer"), (pair.refresh_token(), "")] {
        let response = introspect(server, token).await;
        assert_eq!(response.header("content-type"), Some("application/json"));
        let mut body = response.json();
        let body = body.as_object_mut().unwrap();
        assert_eq!(body.remove("active"), Some(Value::Bool(true)));
        // A refresh token must not be taken for an access token.
        let expected = (!kind.is_empty()).then(|| json!(kind));
        assert_eq!(body.remove("token_type"), expected);
        let mut claims = claims(token);
        claims.as_object_mut().unwrap().remove("gen");
        assert_eq!(Value::Object(body.clone()), claims);
    }
    let issuer = server.fixture.sessions.issuer().name();
    let response = introspect(server, pair.refresh_token()).await;
    assert_eq!(response.json()["aud"], issuer);
}

pub async fn a_token_that_is_not_good_is_inactive_and_nothing_else(server: &Server) {
    for token in [&*super::revoke::foreign_token(), "a.b.c", "x", "\u{0}"] {
        assert_inactive(server, token).await;
    }
    let pair = server.login("alice", "page").await;
    let body = server.refresh("page", pair.refresh_token()).await.json();
    let next = body["refresh_token"].as_str().unwrap();
    assert_inactive(server, pair.refresh_token()).await;
    assert_eq!(introspect(server, next).await.json()["active"], true);
    let (head, _) = next.rsplit_once('.').unwrap();
    assert_inactive(server, &format!("{head}.{}", "A".repeat(86))).await;
    server.fixture.sessions.logout(next).await.unwrap();
    for token in [next, pair.refresh_token(), pair.access_token()] {
        assert_inactive(server, token).await;
    }
    let pair = server.login("alice", "page").await;
    server.fixture.sessions.revoke_all("alice").await.unwrap();
    for token in [pair.refresh_token(), pair.access_token()] {
        assert_inactive(server, token).await;
    }
}

pub async fn introspecting_a_spent_token_is_no_reuse(server: &Server) {
    let pair = server.login_with("alice", &Grant::new()).await;
    let strict = "/strict/token";
    let body = server
        .refresh_at(strict, "", pair.refresh_token())
        .await
        .json();
    assert_inactive(server, pair.refresh_token()).await;
    let next = body["refresh_token"].as_str().unwrap();
    // Nor does it spend a live one.
    for _ in 0..2 {
        assert_eq!(introspect(server, next).await.json()["active"], true);
    }
    assert_eq!(server.refresh_at(strict, "", next).await.status, 200);
}

pub async fn introspection_is_for_those_who_may(server: &Server) {
    let pair = server.login("alice", "page").await;
    let token = pair.access_token();
    for form in [
        &[("token", token)][..],
        &[("token", token), ("client_id", "page")],
        &[("token", token), ("client_id", "api")],
        &[
            ("token", token),
            ("client_id", "api"),
            ("client_secret", "wrong"),
        ],
        &[],
    ] {
        assert_error(&server.post(PATH, form).await, 401, "invalid_client");
    }
    let with = async |header: String| {
        let request = form_request(PATH, &[("token", token)]);
        server.send(request.header("Authorization", header)).await
    };
    for header in [
        basic("api", "wrong"),
        basic("page", ""),
        basic("other", &server.fixture.secret),
    ] {
        assert_error(&with(header).await, 401, "invalid_client");
    }
    let other = basic("other", &server.fixture.other_secret);
    assert_eq!(with(other).await.json()["active"], true);
    // By an access token, with the scope for it and not revoked.
    let bearer = |token: &str| format!("Bearer {token}");
    let response = with(bearer(token)).await;
    assert_eq!(response.status, 403, "{response:?}");
    assert_eq!(response.json()["error"], "insufficient_scope");
    let grant = Grant::new().with_scope(scope("introspect"));
    let service = server.login_with("service", &grant).await;
    let response = with(bearer(service.access_token())).await;
    assert_eq!(response.json()["active"], true, "{response:?}");
    let sessions = &server.fixture.sessions;
    for bad in [service.refresh_token(), "a.b.c"] {
        let response = with(bearer(bad)).await;
        assert_eq!(response.status, 401, "{response:?}");
        assert_eq!(response.json()["error"], "invalid_token");
        let challenge = response.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer "));
    }
    sessions.logout(service.refresh_token()).await.unwrap();
    assert_eq!(with(bearer(service.access_token())).await.status, 401);
    server.assert_alive("page", &pair).await;
}

pub async fn i7_introspection_never_guesses(server: &Server) {
    let pair = server.login("alice", "page").await;
    let grant = Grant::new().with_scope(scope("introspect"));
    let service = server.login_with("service", &grant).await;
    server.fixture.store.fail();
    for token in [pair.access_token(), pair.refresh_token()] {
        let response = introspect(server, token).await;
        assert_error(&response, 503, "temporarily_unavailable");
        let request = form_request(PATH, &[("token", token)]).bearer(service.access_token());
        assert_eq!(server.send(request).await.status, 503);
    }
    // What is not even genuine needs no store.
    assert_inactive(server, "a.b.c").await;
    server.fixture.store.refuse_writes();
    for token in [pair.access_token(), pair.refresh_token()] {
        assert_eq!(introspect(server, token).await.json()["active"], true);
    }
    server.fixture.store.answer();
    SwitchedStore::answer(&server.fixture.store);
}
