//! Requests that cannot be understood, and what is beside the routes.

use serde_json::json;

use super::{JSON, Stand};
use crate::raw_http::RawRequest;

pub async fn bodies_that_cannot_be_understood_are_refused_with_a_reason(stand: &Stand) {
    let server = stand.server().await;
    let held = server.login("alice").await;
    let token = &held.refresh;
    let good = json!({ "refresh_token": token }).to_string();
    let form = format!("refresh_token={token}");
    let doubled = format!(r#"{{"refresh_token":"{token}","refresh_token":"{token}"}}"#);
    let padded = json!({ "refresh_token": token, "x": "x".repeat(20_000) }).to_string();
    let deep = format!(r#"{{"x":{}"#, "[".repeat(10_000));
    for path in ["/auth/refresh", "/auth/logout"] {
        for (media_type, body, status) in [
            ("text/plain", &good, 415),
            ("application/x-www-form-urlencoded", &form, 415),
            (JSON, &form, 400),
            (JSON, &doubled, 400),
            (JSON, &format!("[\"{token}\"]"), 400),
            (JSON, &format!("{good}{good}"), 400),
            (JSON, &r#"{"refresh_token":7}"#.to_owned(), 400),
            (JSON, &padded, 413),
            (JSON, &deep, 400),
        ] {
            let request = RawRequest::post_with(path, media_type, body.as_str());
            let response = server.send(request).await;
            assert_eq!(response.status, status, "{media_type} {response:?}");
            assert_eq!(response.json()["error"], "invalid_request");
            assert_eq!(response.header("content-type"), Some(JSON));
            assert_eq!(response.header("cache-control"), Some("no-store"));
            // The token is not quoted back.
            assert!(!response.body.contains(token.as_str()));
        }
    }
    for body in ["", "{}", r#"{"refresh_token":null}"#] {
        let request = RawRequest::post_with("/auth/refresh", JSON, body);
        assert_eq!(server.send(request).await.status, 400, "{body}");
    }
    let mut held = server.assert_alive(&held).await;
    // As JavaScript writes it, with members that are somebody else's affair.
    let body = json!({ "refreshToken": held.refresh, "device": { "os": null } }).to_string();
    let request = RawRequest::post_with("/auth/refresh", "Application/Json; charset=UTF-8", body);
    held = super::Tokens::of(&server.send(request).await);
    server.assert_alive(&held).await;
}

pub async fn other_methods_and_paths_are_not_401_and_routes_can_be_left_out(stand: &Stand) {
    let server = stand.server().await;
    let held = server.login("alice").await;
    for path in ["refresh", "logout", "logout-all", "logout-others"] {
        let path = format!("/auth/{path}");
        let response = server
            .send(RawRequest::get(&path).bearer(&held.access))
            .await;
        assert_eq!(response.status, 405, "{path}");
        // A CORS preflight carries no credentials.
        let preflight = RawRequest::new("OPTIONS", &path);
        assert_ne!(server.send(preflight).await.status, 401, "{path}");
    }
    let unknown = RawRequest::get("/auth/unknown");
    assert_eq!(server.send(unknown).await.status, 404);
    let all = RawRequest::post("/some/auth/logout-all").bearer(&held.access);
    assert_eq!(server.send(all).await.status, 404);
    let list = RawRequest::get("/some/auth/sessions").bearer(&held.access);
    assert_eq!(server.send(list).await.status, 200);
}

pub async fn the_layer_words_the_refusals_of_access_tokens(stand: &Stand) {
    let server = stand.server().await;
    let held = server.login("alice").await;
    server.sessions.logout(&held.refresh).await.unwrap();
    for (method, path) in [
        ("POST", "logout-all"),
        ("POST", "logout-others"),
        ("GET", "sessions"),
        ("DELETE", "sessions/018bcfe5-68fb-7000-a000-000000000000"),
    ] {
        let request = RawRequest::new(method, &format!("/auth/{path}"));
        let bare = server.send(request.clone()).await;
        assert_eq!(bare.status, 401, "{path}");
        assert_eq!(bare.header("www-authenticate"), Some("Bearer"));
        for bad in [&held.access, &held.refresh, "a.b.c"] {
            let refused = server.send(request.clone().bearer(bad)).await;
            assert_eq!(refused.status, 401, "{path}");
            assert_eq!(refused.json()["error"], "invalid_token");
            assert_eq!(refused.header("cache-control"), Some("no-store"));
        }
    }
}
