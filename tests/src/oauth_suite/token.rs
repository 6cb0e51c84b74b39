//! `POST /auth/token`.

use jwt_revoke_core::{defaults, session::Grant};

use super::fixture::{Answers, Server, assert_error, assert_private, basic, claims, form_request};

const PATH: &str = "/auth/token";

pub async fn a_refresh_is_answered_just_as_rfc_6749_says(server: &Server) {
    let pair = server.login("alice", "page").await;
    let response = server.refresh("page", pair.refresh_token()).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_private(&response);
    let body = response.json();
    let mut members: Vec<_> = body.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(
        members,
        [
            "access_token",
            "expires_in",
            "refresh_token",
            "scope",
            "token_type"
        ]
    );
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], defaults::ACCESS_LIFETIME.as_secs());
    assert_eq!(body["scope"], "read write");
    assert!(server.opens(body["access_token"].as_str().unwrap()).await);
    // Without a scope there is no such member, and certainly no null.
    let plain = server
        .login_with("alice", &Grant::new().with_client("page"))
        .await;
    let response = server.refresh("page", plain.refresh_token()).await;
    assert_eq!(response.json().get("scope"), None);
    assert!(!response.body.contains("null"));
}

pub async fn every_client_refreshes_its_own_tokens_in_its_own_way(server: &Server) {
    let token = server.login("alice", "api").await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token.refresh_token()),
    ];
    let response = server.post_as_api(PATH, &form).await;
    assert_eq!(response.status, 200, "{response:?}");
    let secret = server.fixture.secret.as_str();
    let next = response.json()["refresh_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &next),
        ("client_id", "api"),
        ("client_secret", secret),
    ];
    assert_eq!(server.post(PATH, &form).await.status, 200);
    // The application itself need not say its name.
    for client in [defaults::CLIENT_ID, ""] {
        let pair = server.login_with("alice", &Grant::new()).await;
        let response = server.refresh(client, pair.refresh_token()).await;
        assert_eq!(response.status, 200, "{response:?}");
    }
}

pub async fn another_client_or_a_wrong_secret_gets_nothing(server: &Server) {
    let of_api = server.login("alice", "api").await;
    let of_page = server.login("alice", "page").await;
    let token = of_api.refresh_token();
    for client in ["page", ""] {
        let response = server.refresh(client, token).await;
        assert_error(&response, 400, "invalid_grant");
    }
    // Who `api` is must be proved.
    for client in ["api", "unknown"] {
        let response = server.refresh(client, token).await;
        assert_error(&response, 400, "invalid_client");
    }
    let of_another = [
        ("grant_type", "refresh_token"),
        ("refresh_token", of_page.refresh_token()),
    ];
    let response = server.post_as_api(PATH, &of_another).await;
    assert_error(&response, 400, "invalid_grant");
    server.assert_alive("page", &of_page).await;
}

pub async fn a_client_that_used_the_header_gets_a_challenge_and_the_others_none(server: &Server) {
    let pair = server.login("alice", "api").await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", pair.refresh_token()),
    ];
    let mut answers = Vec::new();
    for header in [
        basic("api", "wrong"),
        basic("unknown", "wrong"),
        "Bearer a.b.c".to_owned(),
    ] {
        let request = form_request(PATH, &form).header("Authorization", header);
        let response = server.send(request).await;
        assert_error(&response, 401, "invalid_client");
        let challenge = response.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic "), "{challenge}");
        answers.push(response.body);
    }
    for id in ["api", "unknown"] {
        let form = [&form[..], &[("client_id", id), ("client_secret", "wrong")]].concat();
        let response = server.post(PATH, &form).await;
        assert_error(&response, 400, "invalid_client");
        answers.push(response.body);
    }
    // Nobody learns which clients there are.
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(server.post_as_api(PATH, &form).await.status, 200);
}

pub async fn other_grants_are_unsupported(server: &Server) {
    for grant in [
        "authorization_code",
        "password",
        "client_credentials",
        "Refresh_Token",
    ] {
        let response = server.post_as_api(PATH, &[("grant_type", grant)]).await;
        assert_error(&response, 400, "unsupported_grant_type");
    }
}

pub async fn a_refresh_may_ask_for_less_and_not_for_more(server: &Server) {
    let pair = server.login("alice", "page").await;
    let refresh = async |token: &str, client: &str, scope: &str| {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", client),
            ("scope", scope),
        ];
        server.post(PATH, &form).await
    };
    for scope in [
        "read admin",
        "admin",
        "Read",
        "read  write",
        "\"",
        "read write x",
    ] {
        let response = refresh(pair.refresh_token(), "page", scope).await;
        assert_error(&response, 400, "invalid_scope");
    }
    // What a session may do is not told to another client.
    let response = refresh(pair.refresh_token(), "", "admin").await;
    assert_error(&response, 400, "invalid_grant");
    let narrow = refresh(pair.refresh_token(), "page", "read").await.json();
    assert_eq!(narrow["scope"], "read");
    let access = narrow["access_token"].as_str().unwrap();
    assert_eq!(claims(access)["scope"], "read");
    // "The refresh token scope MUST be identical" (RFC 6749 §6).
    let token = narrow["refresh_token"].as_str().unwrap();
    assert_eq!(claims(token)["scope"], "read write");
    let wide = refresh(token, "page", "write read").await.json();
    assert_eq!(wide["scope"], "write read");
    assert!(server.opens(wide["access_token"].as_str().unwrap()).await);
}

pub async fn t4_an_access_token_refreshes_nothing_and_revokes_nothing(server: &Server) {
    let pair = server.login("alice", "page").await;
    let foreign = super::revoke::foreign_token();
    for token in [pair.access_token(), &foreign, "a.b.c", "x"] {
        let response = server.refresh("page", token).await;
        assert_error(&response, 400, "invalid_grant");
    }
    server.assert_alive("page", &pair).await;
}

pub async fn s3_a_retry_gets_the_same_successor(server: &Server) {
    let pair = server.login("alice", "page").await;
    let first = server.refresh("page", pair.refresh_token()).await.json();
    let second = server.refresh("page", pair.refresh_token()).await.json();
    for member in ["access_token", "refresh_token"] {
        let jti = |body: &serde_json::Value| claims(body[member].as_str().unwrap())["jti"].clone();
        assert!(jti(&first).is_string());
        assert_eq!(jti(&first), jti(&second), "{member}");
    }
}

pub async fn s4_reuse_ends_everything_of_the_user(server: &Server) {
    let stolen = server.login_with("alice", &Grant::new()).await;
    let elsewhere = server.login("alice", "page").await;
    let bob = server.login("bob", "page").await;
    let strict = "/strict/token";
    let rotated = server
        .refresh_at(strict, "", stolen.refresh_token())
        .await
        .json();
    let access = rotated["access_token"].as_str().unwrap();
    assert!(server.opens(access).await);
    let replay = server.refresh_at(strict, "", stolen.refresh_token()).await;
    assert_error(&replay, 400, "invalid_grant");
    let refresh = rotated["refresh_token"].as_str().unwrap();
    server.assert_dead("", access, refresh).await;
    let (access, refresh) = (elsewhere.access_token(), elsewhere.refresh_token());
    server.assert_dead("page", access, refresh).await;
    server.assert_alive("page", &bob).await;
}

pub async fn s12_another_client_presents_a_spent_token_in_vain(server: &Server) {
    let pair = server.login_with("alice", &Grant::new()).await;
    let rotated = server.refresh("", pair.refresh_token()).await.json();
    // Without a grace, the owner's replay would end everything.
    for (client, error) in [("page", "invalid_grant"), ("unknown", "invalid_client")] {
        for path in [PATH, "/strict/token"] {
            let response = server.refresh_at(path, client, pair.refresh_token()).await;
            assert_error(&response, 400, error);
        }
    }
    assert!(
        server
            .opens(rotated["access_token"].as_str().unwrap())
            .await
    );
    let token = rotated["refresh_token"].as_str().unwrap();
    assert_eq!(server.refresh("", token).await.status, 200);
}

pub async fn s14_the_application_is_asked_at_each_refresh(server: &Server) {
    let pair = server.login("alice", "page").await;
    server.fixture.answer(Answers::Fails);
    let response = server.refresh("page", pair.refresh_token()).await;
    assert_error(&response, 503, "temporarily_unavailable");
    server.fixture.answer(Answers::Unchanged);
    let body = server.refresh("page", pair.refresh_token()).await.json();
    let token = body["refresh_token"].as_str().unwrap();
    server.fixture.answer(Answers::Refuse);
    let response = server.refresh("page", token).await;
    assert_error(&response, 400, "invalid_grant");
    server.fixture.answer(Answers::Unchanged);
    let access = body["access_token"].as_str().unwrap();
    server.assert_dead("page", access, token).await;
}

pub async fn r2_a_refresh_without_its_write_is_503_and_the_token_still_works(server: &Server) {
    let pair = server.login("alice", "page").await;
    let store = &server.fixture.store;
    for fault in [
        super::SwitchedStore::refuse_writes,
        super::SwitchedStore::fail,
    ] {
        fault(store);
        let response = server.refresh("page", pair.refresh_token()).await;
        assert_error(&response, 503, "temporarily_unavailable");
        store.answer();
    }
    server.assert_alive("page", &pair).await;
}
