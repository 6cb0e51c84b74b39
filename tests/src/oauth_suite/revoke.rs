//! `POST /auth/revoke`.

use jwt_revoke_core::{
    Clock as _, SystemClock,
    session::Grant,
    verify::{Algorithm, SigningKey},
};
use serde_json::json;

use super::{
    SwitchedStore,
    fixture::{Server, assert_error, assert_private},
};
use crate::{
    http_suite::sessions::{claims, out_of_force},
    raw_http::RawResponse,
};

const PATH: &str = "/auth/revoke";

async fn revoke(server: &Server, client: &str, token: &str) -> RawResponse {
    server
        .post(PATH, &[("token", token), ("client_id", client)])
        .await
}

#[track_caller]
fn assert_revoked(response: &RawResponse) {
    assert_eq!(
        (response.status, response.body.as_str()),
        (200, ""),
        "{response:?}"
    );
    assert_private(response);
}

/// A token that somebody else made in this issuer's name.
pub(super) fn foreign_token() -> String {
    let now = SystemClock::new().now().whole_seconds();
    let claims = json!({
        "iss": "https://elsewhere.example", "aud": "api", "sub": "alice", "jti": "1", "sid": "1",
        "gen": 1, "client_id": "page", "iat": now, "exp": now + 900,
    });
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    key.sign("rt+jwt", &claims).unwrap()
}

pub async fn revoking_a_refresh_token_ends_its_session(server: &Server) {
    let pair = server.login("alice", "page").await;
    let elsewhere = server.login("alice", "page").await;
    let older = server.refresh("page", pair.refresh_token()).await.json();
    let (access, token) = (&older["access_token"], &older["refresh_token"]);
    let token = token.as_str().unwrap();
    assert_revoked(&revoke(server, "page", token).await);
    server
        .assert_dead("page", access.as_str().unwrap(), token)
        .await;
    assert!(!server.opens(pair.access_token()).await);
    assert_revoked(&revoke(server, "page", token).await);
    server.assert_alive("page", &elsewhere).await;
}

pub async fn revoking_an_access_token_ends_it_alone(server: &Server) {
    let pair = server.login("alice", "page").await;
    assert_revoked(&revoke(server, "page", pair.access_token()).await);
    assert!(!server.opens(pair.access_token()).await);
    let response = server.refresh("page", pair.refresh_token()).await;
    assert!(
        server
            .opens(response.json()["access_token"].as_str().unwrap())
            .await
    );
}

pub async fn a_hint_is_not_trusted(server: &Server) {
    for hint in ["access_token", "refresh_token", "pat", ""] {
        let pair = server.login("alice", "page").await;
        for token in [pair.access_token(), pair.refresh_token()] {
            let form = [
                ("token", token),
                ("client_id", "page"),
                ("token_type_hint", hint),
            ];
            assert_revoked(&server.post(PATH, &form).await);
        }
        let (access, refresh) = (pair.access_token(), pair.refresh_token());
        server.assert_dead("page", access, refresh).await;
    }
}

pub async fn revoking_what_is_not_ours_is_200_and_revokes_nothing(server: &Server) {
    let pair = server.login("alice", "page").await;
    let (head, _) = pair.refresh_token().rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", "A".repeat(86));
    let unsigned = format!("{head}.");
    for token in [
        &*foreign_token(),
        &forged,
        &unsigned,
        "a.b.c",
        "x",
        "\u{0}é\r\n",
    ] {
        assert_revoked(&revoke(server, "page", token).await);
    }
    server.assert_alive("page", &pair).await;
}

pub async fn s22_whatever_is_genuine_is_revoked_in_force_or_not(server: &Server) {
    for (what, change) in out_of_force() {
        let pair = server.login("alice", "page").await;
        let signed = |kind, token| {
            let mut claims = claims(token);
            change(&mut claims);
            let key = server.fixture.sessions.issuer().key();
            let odd = key.sign(kind, &claims).unwrap();
            server.keep_secret(&odd);
            odd
        };
        let access = signed("at+jwt", pair.access_token());
        assert_revoked(&revoke(server, "page", &access).await);
        assert!(!server.opens(pair.access_token()).await, "{what}");
        let refresh = signed("rt+jwt", pair.refresh_token());
        let other = revoke(server, "", &refresh).await;
        assert_error(&other, 400, "invalid_grant");
        let next = server.refresh("page", pair.refresh_token()).await.json();
        assert_revoked(&revoke(server, "page", &refresh).await);
        let [access, refresh] = ["access_token", "refresh_token"];
        let [access, refresh] = [access, refresh].map(|name| next[name].as_str().unwrap());
        server.assert_dead("page", access, refresh).await;
    }
}

pub async fn s8_a_revoked_refresh_token_that_is_retried_ends_nothing_more(server: &Server) {
    let pair = server.login_with("alice", &Grant::new()).await;
    assert_revoked(&revoke(server, "", pair.refresh_token()).await);
    let anew = server.login("alice", "page").await;
    for path in ["/auth/token", "/strict/token"] {
        let response = server.refresh_at(path, "", pair.refresh_token()).await;
        assert_error(&response, 400, "invalid_grant");
    }
    server.assert_alive("page", &anew).await;
}

pub async fn s10_revoking_a_rotated_token_ends_the_session(server: &Server) {
    let pair = server.login("alice", "page").await;
    let mut latest = pair.refresh_token().to_owned();
    let mut access = pair.access_token().to_owned();
    for _ in 0..3 {
        let body = server.refresh("page", &latest).await.json();
        latest = body["refresh_token"].as_str().unwrap().to_owned();
        access = body["access_token"].as_str().unwrap().to_owned();
    }
    assert_revoked(&revoke(server, "page", pair.refresh_token()).await);
    server.assert_dead("page", &access, &latest).await;
}

pub async fn s12_another_client_revokes_nothing(server: &Server) {
    let pair = server.login("alice", "page").await;
    let spent = pair.refresh_token();
    let body = server.refresh("page", spent).await.json();
    let live = body["refresh_token"].as_str().unwrap();
    for token in [spent, live, pair.access_token()] {
        let response = revoke(server, "", token).await;
        assert_error(&response, 400, "invalid_grant");
        let response = server.post_as_api(PATH, &[("token", token)]).await;
        assert_error(&response, 400, "invalid_grant");
        for unproved in ["api", "unknown"] {
            let response = revoke(server, unproved, token).await;
            assert_error(&response, 400, "invalid_client");
        }
    }
    assert!(server.opens(pair.access_token()).await);
    assert!(server.opens(body["access_token"].as_str().unwrap()).await);
    assert_eq!(server.refresh("page", live).await.status, 200);
}

pub async fn r2_a_revocation_that_was_not_confirmed_is_503(server: &Server) {
    let pair = server.login("alice", "page").await;
    let store = &server.fixture.store;
    for fault in [SwitchedStore::refuse_writes, SwitchedStore::fail] {
        fault(store);
        for token in [pair.access_token(), pair.refresh_token()] {
            let response = revoke(server, "page", token).await;
            assert_error(&response, 503, "temporarily_unavailable");
        }
        store.answer();
    }
    server.assert_alive("page", &pair).await;
    assert_revoked(&revoke(server, "page", pair.refresh_token()).await);
    assert!(!server.opens(pair.access_token()).await);
}
