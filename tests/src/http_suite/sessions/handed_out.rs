//! Pairs that cannot be handed out: nothing is committed for them. Rows S42, S44 and S47.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jwt_revoke_core::{
    defaults,
    session::{Grant, Refreshing, Sessions, Welcome},
    store::BoxError,
};
use serde_json::json;

use super::{JSON, SessionServer, Stand, Tokens, assert_later, claims};
use crate::raw_http::{RawRequest, RawResponse};

/// So many bytes of scope, in words that are all different.
fn scope_of(bytes: usize) -> String {
    let mut scope = String::new();
    for number in 0.. {
        let word = format!("{number:05}");
        if scope.len() + word.len() + 1 > bytes {
            break;
        }
        if !scope.is_empty() {
            scope.push(' ');
        }
        scope.push_str(&word);
    }
    scope.extend(std::iter::repeat_n('x', bytes - scope.len()));
    scope
}

async fn login(server: &SessionServer, path: &str, user: &str, scope: &str) -> RawResponse {
    let body = json!({ "username": user, "scope": scope }).to_string();
    let request = RawRequest::post_with(path, JSON, body);
    let request = request.header("sec-fetch-site", "same-origin");
    server.send(request).await
}

/// The cookie that a response sets.
fn cookie<'a>(response: &'a RawResponse, name: &str) -> &'a str {
    let cookies = response.headers("set-cookie").into_iter();
    let mut own = cookies.filter_map(|cookie| cookie.strip_prefix(name)?.strip_prefix('='));
    own.next().unwrap().split(';').next().unwrap()
}

fn refreshing_by_cookie(token: &str) -> RawRequest {
    RawRequest::post("/cookies/auth/refresh")
        .header("cookie", format!("__Secure-refresh={token}"))
        .header("sec-fetch-site", "same-origin")
}

pub async fn s42_a_session_whose_tokens_no_cookie_can_hold_is_not_opened(stand: &Stand) {
    let server = stand.server().await;
    // The most that can be handed out, to the byte.
    let (mut fits, mut too_much) = (0, defaults::MAX_COOKIE_BYTES);
    while fits + 1 < too_much {
        let size = (fits + too_much) / 2;
        let user = format!("user-{size:04}");
        let before = server.events().len();
        let response = login(&server, "/cookies/login", &user, &scope_of(size)).await;
        let subject = user.as_str().into();
        let sessions = server.sessions.sessions(&subject, None).await.unwrap();
        if response.status == 200 {
            assert_eq!(sessions.len(), 1);
            fits = size;
        } else {
            assert_eq!(response.status, 503, "{response:?}");
            assert_eq!(response.headers("set-cookie"), Vec::<&str>::new());
            assert_eq!(sessions, [], "a session was opened and not handed out");
            assert_eq!(server.events().len(), before);
            too_much = size;
        }
    }
    assert!(fits > 1000, "{fits}");
    // It goes on for as long as it likes, by the cookie.
    let response = login(&server, "/cookies/login", "alice", &scope_of(fits)).await;
    let mut token = cookie(&response, "__Secure-refresh").to_owned();
    for generation in 2..13 {
        let response = server.send(refreshing_by_cookie(&token)).await;
        assert_eq!(
            response.status, 200,
            "generation {generation}: {response:?}"
        );
        for name in ["__Host-access", "__Secure-refresh"] {
            let size = name.len() + cookie(&response, name).len();
            assert!(size <= defaults::MAX_COOKIE_BYTES, "{name}: {size}");
        }
        token = cookie(&response, "__Secure-refresh").to_owned();
    }
    // A body holds more, and not without end either.
    let response = login(&server, "/login", "alice", &scope_of(too_much)).await;
    Tokens::of(&response);
    let response = login(
        &server,
        "/login",
        "carol",
        &scope_of(defaults::MAX_TOKEN_BYTES),
    )
    .await;
    assert_eq!(response.status, 503);
    let sessions = server.sessions.sessions(&"carol".into(), None).await;
    assert_eq!(sessions.unwrap(), []);
}

/// What the application grants at each refresh from now on; `None` is what it was.
type Granted = Arc<Mutex<Option<Grant>>>;

fn granting(sessions: Sessions, granted: &Granted) -> Sessions {
    let granted = Arc::clone(granted);
    sessions.with_hook(move |_: Refreshing| {
        let grant = granted.lock().unwrap().clone();
        async { Ok::<_, BoxError>(grant.map_or(Welcome::Unchanged, Welcome::With)) }
    })
}

pub async fn s42_a_refresh_that_cannot_be_handed_out_spends_nothing(stand: &Stand) {
    let granted = Granted::default();
    // Without a grace: what is spent in vain is a theft at the next attempt.
    let server = stand
        .server_with(|s| granting(s, &granted).with_grace(Duration::ZERO))
        .await;
    let mut held = server.login("alice").await;
    let grant = |bytes| Grant::new().with_scope(scope_of(bytes).parse().unwrap());
    // Too much for a cookie, and not for a body.
    *granted.lock().unwrap() = Some(grant(3500));
    for _ in 0..3 {
        assert_later(&server.send(refreshing_by_cookie(&held.refresh)).await);
        // To a route without cookies this is nothing special.
        held = server.refreshed(&held).await;
    }
    let body = json!({ "refresh_token": held.refresh }).to_string();
    let request = RawRequest::post_with("/cookies/auth/refresh", JSON, body);
    held = Tokens::of(&server.send(request).await);
    // Too much for anything.
    *granted.lock().unwrap() = Some(grant(defaults::MAX_TOKEN_BYTES));
    for _ in 0..3 {
        assert_later(&server.refresh(&held.refresh).await);
        assert_later(&server.send(refreshing_by_cookie(&held.refresh)).await);
    }
    *granted.lock().unwrap() = Some(grant(100));
    let held = server.refreshed(&held).await;
    let response = server.send(refreshing_by_cookie(&held.refresh)).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert!(!server.reuse_was_detected());
}

pub async fn s44_a_retry_after_the_application_changed_its_mind_is_another_access_token(
    stand: &Stand,
) {
    let granted = Granted::default();
    let server = stand.server_with(|s| granting(s, &granted)).await;
    let held = server.login("alice").await;
    let mut answers = Vec::new();
    for scope in ["read", "read write", "", "read"] {
        *granted.lock().unwrap() = Some(Grant::new().with_scope(scope.parse().unwrap()));
        let tokens = server.refreshed(&held).await;
        let access = claims(&tokens.access);
        assert_eq!(access["scope"].as_str().unwrap_or_default(), scope);
        assert!(server.opens(&tokens.access).await);
        answers.push((tokens.identity(), scope));
    }
    // One refresh token, spent once; an access token for each content.
    for ([access, refresh], scope) in &answers {
        assert_eq!(*refresh, answers[0].0[1]);
        for ([other, _], other_scope) in &answers {
            assert_eq!(access == other, scope == other_scope);
        }
    }
    assert!(!server.reuse_was_detected());
}

pub async fn s47_a_panic_answers_500_and_spends_nothing(stand: &Stand) {
    let panics = Arc::new(Mutex::new(true));
    let told = Arc::clone(&panics);
    let hook = move |_: Refreshing| {
        let panics = *told.lock().unwrap();
        async move {
            assert!(!panics, "as the test wants");
            Ok::<_, BoxError>(Welcome::Unchanged)
        }
    };
    let server = stand
        .server_with(|s| s.with_hook(hook).with_grace(Duration::ZERO))
        .await;
    let held = server.login("alice").await;
    for _ in 0..3 {
        let response = server.refresh(&held.refresh).await;
        assert_eq!(response.status, 500, "{response:?}");
        assert_eq!(response.json()["error"], "server_error");
    }
    *panics.lock().unwrap() = false;
    server.assert_alive(&held).await;
}
