//! The documents that clients find keys and endpoints by.

use jwt_revoke_core::verify::{KeySet, Verifier};
use serde_json::json;

use super::fixture::Server;
use crate::raw_http::{RawRequest, RawResponse};

async fn document(server: &Server, path: &str) -> RawResponse {
    let response = server.send(RawRequest::get(path)).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    let caching = response.header("cache-control").unwrap();
    assert!(caching.contains("max-age=") && !caching.contains("no-store"));
    response
}

pub async fn the_keys_are_published_without_secrets(server: &Server) {
    let response = document(server, "/auth/jwks.json").await;
    let (keys, refused) = KeySet::from_jwks(&response.body).unwrap();
    assert!(refused.is_empty());
    for key in response.json()["keys"].as_array().unwrap() {
        for member in ["d", "k", "p", "q"] {
            assert_eq!(key.get(member), None);
        }
    }
    // With nothing else, anybody can verify our tokens.
    let issuer = server.fixture.sessions.issuer();
    let verifier = Verifier::new(keys, issuer.name(), issuer.audience());
    let pair = server.login("alice", "page").await;
    assert!(verifier.verify(pair.access_token()).is_ok());
}

pub async fn the_metadata_lead_to_the_endpoints(server: &Server) {
    let response = document(server, "/.well-known/oauth-authorization-server").await;
    let base = format!("http://{}", server.address);
    let methods = ["none", "client_secret_basic", "client_secret_post"];
    assert_eq!(
        response.json(),
        json!({
            "issuer": base,
            "token_endpoint": format!("{base}/auth/token"),
            "revocation_endpoint": format!("{base}/auth/revoke"),
            "introspection_endpoint": format!("{base}/auth/introspect"),
            "jwks_uri": format!("{base}/auth/jwks.json"),
            "response_types_supported": [],
            "grant_types_supported": ["refresh_token"],
            "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_methods_supported":
                ["client_secret_basic", "client_secret_post", "Bearer"],
        })
    );
    for name in ["token", "revocation", "introspection"] {
        let url = response.json()[format!("{name}_endpoint")].clone();
        let path = url
            .as_str()
            .unwrap()
            .strip_prefix(&base)
            .unwrap()
            .to_owned();
        let response = server.send(RawRequest::new("OPTIONS", &path)).await;
        assert_eq!(response.status, 405, "{response:?}");
    }
}
