//! What is decided first: rows S42, S43, S44 and S46.

use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;

use super::fixture::{Answers, Server, assert_error, claims, form_request};
use crate::{
    patience::until,
    raw_http::{RawRequest, RawResponse},
};

const GRACE: &str = "/auth/token";
const STRICT: &str = "/strict/token";

fn asking(path: &str, token: &str, scope: &str) -> RawRequest {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", "page"),
        ("scope", scope),
    ];
    form_request(path, &form)
}

async fn refresh(server: &Server, path: &str, token: &str, scope: &str) -> RawResponse {
    server.send(asking(path, token, scope)).await
}

fn text<'a>(body: &'a Value, member: &str) -> &'a str {
    body[member].as_str().unwrap_or_else(|| panic!("{body}"))
}

pub async fn s42_a_scope_that_is_repeated_without_end_is_one(server: &Server) {
    let pair = server.login("alice", "page").await;
    let mut token = pair.refresh_token().to_owned();
    for scope in ["read", "read write"] {
        let endless = vec![scope; 1600 / scope.len()].join(" ");
        let response = refresh(server, STRICT, &token, &endless).await;
        assert_eq!(response.status, 200, "{response:?}");
        let body = response.json();
        assert_eq!(body["scope"], scope);
        assert_eq!(claims(text(&body, "access_token"))["scope"], scope);
        token = text(&body, "refresh_token").to_owned();
    }
}

/// More than was granted, and what is no scope at all.
const TOO_MUCH: [&str; 5] = ["admin", "read admin", "read  write", "\"", " "];

pub async fn s43_a_stolen_token_is_noticed_whatever_scope_comes_with_it(server: &Server) {
    for (number, scope) in TOO_MUCH.into_iter().enumerate() {
        let user = format!("user-{number}");
        let (stolen, laptop) = (
            server.login(&user, "page").await,
            server.login(&user, "page").await,
        );
        let body = refresh(server, STRICT, stolen.refresh_token(), "read").await;
        let body = body.json();
        let replay = refresh(server, STRICT, stolen.refresh_token(), scope).await;
        assert_error(&replay, 400, "invalid_grant");
        let (access, token) = (text(&body, "access_token"), text(&body, "refresh_token"));
        server.assert_dead("page", access, token).await;
        let (access, token) = (laptop.access_token(), laptop.refresh_token());
        server.assert_dead("page", access, token).await;
    }
}

pub async fn s43_an_honest_token_with_too_large_a_scope_is_not_spent(server: &Server) {
    let pair = server.login("alice", "page").await;
    let mut token = pair.refresh_token().to_owned();
    for scope in TOO_MUCH {
        for _ in 0..2 {
            let refused = refresh(server, STRICT, &token, scope).await;
            assert_error(&refused, 400, "invalid_scope");
        }
        let body = refresh(server, STRICT, &token, "read write").await.json();
        token = text(&body, "refresh_token").to_owned();
    }
}

pub async fn s44_a_retry_with_another_scope_is_another_access_token_of_the_same_pair(
    server: &Server,
) {
    let pair = server.login("alice", "page").await;
    let mut answers = Vec::new();
    for scope in ["read", "write", "read write", "write read", "read", "write"] {
        let body = refresh(server, GRACE, pair.refresh_token(), scope).await;
        answers.push((scope, body.json()));
    }
    // What the application grants may change as well, though no client asks for less.
    for scope in ["read", "read write"] {
        server.fixture.answer(Answers::Scope(scope));
        let body = server.refresh("page", pair.refresh_token()).await;
        answers.push((scope, body.json()));
    }
    server.fixture.answer(Answers::Unchanged);
    assert_one_rotation(server, &answers).await;
}

pub async fn s44_parallel_refreshes_with_different_scopes_are_one_rotation(server: &Server) {
    for _ in 0..20 {
        let pair = server.login("alice", "page").await;
        let scopes = ["read", "write", "read write", "read", "write"];
        let racing = scopes.map(async |scope| {
            let body = refresh(server, GRACE, pair.refresh_token(), scope).await;
            (scope, body.json())
        });
        let answers = join_all(racing).await;
        assert_one_rotation(server, &answers).await;
    }
}

/// Fails unless all are answers to one rotation, and each access token is the only one of its `jti`.
async fn assert_one_rotation(server: &Server, answers: &[(&str, Value)]) {
    let of = |body: &Value, member| claims(text(body, member));
    let successor = of(&answers[0].1, "refresh_token");
    for (scope, body) in answers {
        assert_eq!(body["scope"], *scope);
        assert_eq!(of(body, "access_token")["scope"], *scope);
        assert_eq!(of(body, "refresh_token")["jti"], successor["jti"]);
        assert!(server.opens(text(body, "access_token")).await);
        for (_, other) in answers {
            let (one, other) = (of(body, "access_token"), of(other, "access_token"));
            assert_eq!(one["jti"] == other["jti"], one == other, "{one} {other}");
        }
    }
    let (_, last) = &answers[answers.len() - 1];
    let response = server.refresh("page", text(last, "refresh_token")).await;
    assert_eq!(response.status, 200, "{response:?}");
}

pub async fn s46_a_thief_who_hangs_up_at_the_token_endpoint_is_noticed(server: &Server) {
    let store = &server.fixture.store;
    for round in 0..20 {
        let user = format!("user-{round}");
        let (stolen, laptop) = (
            server.login(&user, "page").await,
            server.login(&user, "page").await,
        );
        let rotated = refresh(server, STRICT, stolen.refresh_token(), "read").await;
        assert_eq!(rotated.status, 200);
        let session = stolen.session().to_string();
        let is_reported = || {
            let logs = crate::logs::captured();
            let mut lines = logs.lines();
            lines.any(|line| {
                line.contains("a spent refresh token came back") && line.contains(&session)
            })
        };
        store.delay_answers(Duration::from_millis(15));
        let asked = store.asked();
        let request = asking(STRICT, stolen.refresh_token(), "read");
        let connection = request.ask(server.address).await;
        until("the store is asked", async || store.asked() > asked).await;
        drop(connection);
        until("the theft is reported", async || is_reported()).await;
        store.delay_answers(Duration::ZERO);
        assert!(!server.opens(laptop.access_token()).await);
    }
}
