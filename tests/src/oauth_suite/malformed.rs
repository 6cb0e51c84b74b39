//! Requests that are no good ones.

use jwt_revoke_core::defaults;

use super::fixture::{Server, assert_error, basic, form_request};
use crate::raw_http::RawRequest;

const PATHS: [&str; 3] = ["/auth/token", "/auth/revoke", "/auth/introspect"];

pub async fn forms_with_missing_or_repeated_parameters_are_refused(server: &Server) {
    let pair = server.login("alice", "api").await;
    let token = pair.refresh_token();
    for (path, form) in [
        (PATHS[0], &[][..]),
        (PATHS[0], &[("refresh_token", token)]),
        (PATHS[0], &[("grant_type", "refresh_token")]),
        (
            PATHS[0],
            &[("grant_type", "refresh_token"), ("refresh_token", "")],
        ),
        (PATHS[0], &[("grant_type", ""), ("refresh_token", token)]),
        (
            PATHS[0],
            &[("grant_type", "refresh_token"), ("token", token)],
        ),
        (PATHS[1], &[]),
        (PATHS[1], &[("refresh_token", token)]),
        (PATHS[1], &[("token", "")]),
        (PATHS[2], &[]),
    ] {
        let response = server.post_as_api(path, form).await;
        assert_error(&response, 400, "invalid_request");
    }
    let good = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("token", token),
        ("client_id", "api"),
        ("scope", "read"),
    ];
    for repeated in good {
        for path in PATHS {
            for value in [repeated.1, "x", ""] {
                let form = [&good[..], &[(repeated.0, value)]].concat();
                let response = server.post_as_api(path, &form).await;
                assert_error(&response, 400, "invalid_request");
            }
        }
    }
    // Nor in two ways at once, nor by two headers.
    for path in PATHS {
        let form = [&good[..], &[("client_secret", &server.fixture.secret)]].concat();
        let response = server.post_as_api(path, &form).await;
        assert_error(&response, 400, "invalid_request");
        let header = basic("api", &server.fixture.secret);
        let request = form_request(path, &good)
            .header("Authorization", &header)
            .header("Authorization", &header);
        assert_error(&server.send(request).await, 400, "invalid_request");
    }
    // Nothing of that was taken for a refresh.
    assert_eq!(server.post_as_api(PATHS[0], &good).await.status, 200);
}

pub async fn forms_beyond_measure_are_refused(server: &Server) {
    let long = "x".repeat(defaults::MAX_TOKEN_BYTES + 1);
    let longer = "x".repeat(defaults::MAX_FORM_BYTES);
    for path in PATHS {
        for name in ["token", "refresh_token", "scope", "client_id", "unknown"] {
            let response = server.post_as_api(path, &[(name, &long)]).await;
            assert_error(&response, 400, "invalid_request");
            let response = server.post_as_api(path, &[(name, &longer)]).await;
            assert_error(&response, 413, "invalid_request");
        }
        let names: Vec<_> = (0..1000).map(|n| format!("p{n}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
        let response = server.post_as_api(path, &many).await;
        assert_error(&response, 400, "invalid_request");
    }
}

pub async fn another_content_type_is_refused(server: &Server) {
    let pair = server.login("alice", "page").await;
    let token = pair.refresh_token();
    let form =
        format!("grant_type=refresh_token&refresh_token={token}&token={token}&client_id=page");
    for path in PATHS {
        for content_type in [
            None,
            Some("application/json"),
            Some("text/plain"),
            Some("multipart/form-data; boundary=x"),
        ] {
            let mut request = RawRequest::new("POST", path).body(form.as_str());
            if let Some(content_type) = content_type {
                request = request.header("Content-Type", content_type);
            }
            assert_error(&server.send(request).await, 400, "invalid_request");
        }
    }
    server.assert_alive("page", &pair).await;
}

pub async fn parameters_that_nobody_knows_are_ignored(server: &Server) {
    let pair = server.login("alice", "page").await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", pair.refresh_token()),
        ("client_id", "page"),
        ("resource", "https://one.example"),
        ("resource", "https://two.example"),
        ("audience", "somebody"),
        ("username", "mallory"),
        ("__proto__", "x"),
    ];
    assert_eq!(server.post(PATHS[0], &form).await.status, 200);
}

pub async fn get_is_not_allowed(server: &Server) {
    let pair = server.login("alice", "page").await;
    let token = pair.refresh_token();
    let query =
        format!("grant_type=refresh_token&refresh_token={token}&token={token}&client_id=page");
    for path in PATHS {
        let response = server
            .send(RawRequest::get(&format!("{path}?{query}")))
            .await;
        assert_eq!(response.status, 405, "{response:?}");
        assert_eq!(response.header("allow"), Some("POST"));
        // Parameters in the address end in logs, so they do not count (RFC 6749 §2.3.1).
        let response = server
            .post(&format!("{path}?{query}"), &[("client_id", "page")])
            .await;
        assert!(matches!(response.status, 400 | 401), "{response:?}");
    }
    server.assert_alive("page", &pair).await;
}

pub async fn an_endpoint_that_was_left_out_is_not_there(server: &Server) {
    let response = server
        .post_as_api("/strict/introspect", &[("token", "x")])
        .await;
    assert_eq!(response.status, 404, "{response:?}");
    let response = server.send(RawRequest::get("/auth/unknown")).await;
    assert_eq!(response.status, 404, "{response:?}");
}
