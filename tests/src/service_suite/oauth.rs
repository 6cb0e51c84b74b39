//! The OAuth routes of a program, and the document that leads to them.

use jwt_revoke_core::verify::{KeySet, Verifier};
use serde_json::{Value, json};

use super::{
    Program, Service,
    process::{ALICE, again},
};
use crate::{
    oauth_suite::{basic, form_request},
    raw_http::RawResponse,
};

/// Of the client `api`.
const SECRET: &str = "tV5nXe8RkZq2_Lw9YbGs4JmPc7HdUo3A";

pub async fn oauth_clients_find_the_endpoints(program: &Program) {
    let settings = [("JWT_REVOKE_ISSUER", "http://127.0.0.1:3000")];
    let service = program.start(&settings);
    let found = service
        .get("/.well-known/oauth-authorization-server")
        .await
        .json();
    assert_eq!(found["issuer"], settings[0].1);
    for (endpoint, path) in [
        ("token_endpoint", "/auth/token"),
        ("revocation_endpoint", "/auth/revoke"),
        ("introspection_endpoint", "/auth/introspect"),
    ] {
        assert_eq!(found[endpoint], format!("http://127.0.0.1:3000{path}"));
        // They are there, and want a form.
        let refused = service.send(form_request(path, &[])).await;
        assert!(matches!(refused.status, 400 | 401), "{refused:?}");
        assert!(refused.json()["error"].is_string(), "{refused:?}");
        assert_eq!(service.get(path).await.status, 405, "{path}");
    }
    assert_eq!(found["jwks_uri"], "http://127.0.0.1:3000/auth/jwks.json");
    // Tokens are by the issuer that the document names.
    let token = service.token(ALICE).await;
    assert_eq!(service.decision(&token).await, 200);
}

pub async fn an_oauth_client_refreshes_inspects_and_revokes_a_login(program: &Program) {
    program.keep_secret(SECRET);
    let service = program.start(&[("JWT_REVOKE_CLIENT_SECRET", SECRET)]);
    let login = service.login(ALICE).await.json();
    let spent = text(&login, "refresh_token");

    let form = [("grant_type", "refresh_token"), ("refresh_token", &*spent)];
    let pair = post(&service, "/auth/token", &form).await;
    assert_eq!(pair.status, 200, "{pair:?}");
    assert_eq!(pair.header("cache-control"), Some("no-store"));
    let pair = pair.json();
    assert_eq!(pair["token_type"], "Bearer");
    let (access, refresh) = (text(&pair, "access_token"), text(&pair, "refresh_token"));
    for token in [&access, &refresh] {
        program.keep_secret(token.rsplit('.').next().unwrap());
    }
    assert_ne!(refresh, spent);
    assert_eq!(service.decision(&access).await, 200);
    let found = introspect(&service, &access).await;
    assert_eq!(
        (&found["active"], &found["sub"]),
        (&json!(true), &json!("alice"))
    );

    let revoked = post(&service, "/auth/revoke", &[("token", &refresh)]).await;
    assert_eq!((revoked.status, revoked.body.as_str()), (200, ""));
    assert_eq!(service.decision(&access).await, 401);
    for token in [&access, &refresh, &spent] {
        assert_eq!(
            introspect(&service, token).await,
            json!({ "active": false })
        );
    }
    // A token that nobody issued is as good as revoked (RFC 7009 §2.2).
    let unknown = post(&service, "/auth/revoke", &[("token", "a.b.c")]).await;
    assert_eq!(unknown.status, 200);
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*refresh),
    ];
    let dead = post(&service, "/auth/token", &form).await;
    assert_eq!(
        (dead.status, &dead.json()["error"]),
        (400, &json!("invalid_grant"))
    );
}

pub async fn only_a_client_that_proves_who_it_is_may_inspect(program: &Program) {
    let service = program.start(&[("JWT_REVOKE_CLIENT_SECRET", SECRET)]);
    let token = service.token(ALICE).await;
    let form = [("token", &*token)];
    let bare = form_request("/auth/introspect", &form);
    let wrong = ["api", "first-party", "nobody"].map(|id| {
        form_request("/auth/introspect", &form)
            .header("authorization", basic(id, &SECRET.to_lowercase()))
    });
    for request in [bare].into_iter().chain(wrong) {
        let refused = service.send(request).await;
        assert_eq!(refused.status, 401, "{refused:?}");
        assert_eq!(refused.json()["error"], "invalid_client");
        assert!(!refused.body.contains("alice"));
    }
    assert_eq!(introspect(&service, &token).await["active"], true);
}

pub async fn the_published_keys_verify_and_hold_no_secret(program: &Program) {
    for algorithm in ["EdDSA", "ES256", "RS256", "HS256"] {
        let service = program.start(&[
            ("JWT_REVOKE_ALG", algorithm),
            ("JWT_REVOKE_KEY", algorithm),
            ("JWT_REVOKE_STORE", "memory:"),
        ]);
        let published = service.get("/auth/jwks.json").await;
        assert_eq!(published.status, 200);
        if algorithm == "HS256" {
            // Whoever can verify can forge, so there is nothing to publish.
            assert_eq!(published.json(), json!({ "keys": [] }));
            continue;
        }
        let keys = published.json()["keys"].clone();
        let keys = keys.as_array().unwrap();
        assert_eq!(keys.len(), 1);
        for private in ["d", "k", "p", "q", "dp", "dq", "qi"] {
            assert_eq!(keys[0].get(private), None, "{algorithm}: {private}");
        }
        let (keys, refused) = KeySet::from_jwks(&published.body).unwrap();
        assert!(refused.is_empty(), "{refused:?}");
        let verifier = Verifier::new(keys, "https://auth.example.com", "api");
        let verified = verifier.verify(&service.token(ALICE).await);
        assert!(verified.is_ok(), "{algorithm}: {verified:?}");
    }
}

pub(super) async fn post(service: &Service<'_>, path: &str, form: &[(&str, &str)]) -> RawResponse {
    again(|| service.send(form_request(path, form))).await
}

/// What the client `api` learns of a token.
async fn introspect(service: &Service<'_>, token: &str) -> Value {
    let request = form_request("/auth/introspect", &[("token", token)])
        .header("authorization", basic("api", SECRET));
    let response = again(|| service.send(request.clone())).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

pub(super) fn text(body: &Value, member: &str) -> String {
    body[member].as_str().unwrap().to_owned()
}
