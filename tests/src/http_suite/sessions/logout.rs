//! `POST /auth/logout`: row S9.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{JSON, SessionServer, Stand, Tokens, assert_done};
use crate::raw_http::RawRequest;

pub async fn s9_logout_with_either_token_or_both(stand: &Stand) {
    let server = stand.server().await;
    let other = server.login("alice").await;
    for (access, refresh) in [(true, false), (false, true), (true, true)] {
        let first = server.login("alice").await;
        let second = server.refreshed(&first).await;
        let access = access.then_some(second.access.as_str());
        let refresh = refresh.then_some(second.refresh.as_str());
        assert_done(&server.logout(access, refresh).await);
        for tokens in [&first, &second] {
            server.assert_dead(tokens).await;
        }
    }
    // Of two sessions of one user, a client that mixed them up wants to be out of both.
    let (first, second) = (server.login("alice").await, server.login("alice").await);
    assert_done(
        &server
            .logout(Some(&first.access), Some(&second.refresh))
            .await,
    );
    for tokens in [&first, &second] {
        server.assert_dead(tokens).await;
    }
    server.assert_alive(&other).await;
}

pub async fn s9_logout_with_a_lapsed_access_token(stand: &Stand) {
    let server = stand.server_of(Duration::from_secs(1), |s| s).await;
    let held = server.login("alice").await;
    while server.opens(&held.access).await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_done(&server.logout(Some(&held.access), None).await);
    server.assert_dead(&held).await;
}

pub async fn s9_forged_unsigned_and_mixed_up_tokens_change_nothing(stand: &Stand) {
    let server = stand.server().await;
    let (mut alice, bob) = (server.login("alice").await, server.login("bob").await);
    let of_another_key = stand.server().await.login("alice").await;
    let unsigned = |token: &str| {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "none", "typ": "rt+jwt" }).to_string());
        let payload = token.split('.').nth(1).unwrap();
        format!("{header}.{payload}.")
    };
    let tampered = |token: &str| {
        let (rest, signature) = token.rsplit_once('.').unwrap();
        let first = if signature.starts_with('A') { 'B' } else { 'A' };
        format!("{rest}.{first}{}", &signature[1..])
    };
    for _ in 0..2 {
        let (access, refresh) = (alice.access.as_str(), alice.refresh.as_str());
        let bad_refresh = [
            tampered(refresh),
            unsigned(refresh),
            of_another_key.refresh.clone(),
            "a.b.c".to_owned(),
            String::new(),
            access.to_owned(), // Genuine, and no refresh token (row T4).
        ];
        for bad in &bad_refresh {
            let refused = server.logout(None, Some(bad)).await;
            assert_eq!(refused.status, 401, "{bad}");
            assert_eq!(refused.json()["error"], "invalid_grant");
        }
        for bad in [&tampered(access), &unsigned(access), "a.b.c", refresh] {
            for beside in [None, Some("a.b.c")] {
                let refused = server.logout(Some(bad), beside).await;
                assert_eq!(refused.status, 401, "{bad}");
                assert_eq!(refused.json()["error"], "invalid_token");
                let challenge = refused.header("www-authenticate").unwrap();
                assert!(
                    challenge.contains(r#"error="invalid_token""#),
                    "{challenge}"
                );
            }
        }
        // Nothing at all, and two at once.
        let refused = server.logout(None, None).await;
        let challenge = refused.header("www-authenticate");
        assert_eq!((refused.status, challenge), (401, Some("Bearer")));
        let twice = RawRequest::post_with("/auth/logout", JSON, "{}");
        let twice = twice.bearer(access).bearer(access);
        assert_eq!(server.send(twice).await.status, 400);
        alice = server.assert_alive(&alice).await;
    }
    server.assert_alive(&bob).await;
    assert_eq!(server.list(&alice.access).await.len(), 1);
}

pub async fn s9_a_second_logout_says_the_same(stand: &Stand) {
    let server = stand.server().await;
    let (held, laptop) = (server.login("alice").await, server.login("alice").await);
    let (access, refresh) = (Some(held.access.as_str()), Some(held.refresh.as_str()));
    for (access, refresh) in [
        (access, refresh),
        (access, refresh),
        (access, None),
        (None, refresh),
    ] {
        assert_done(&server.logout(access, refresh).await);
    }
    server.assert_dead(&held).await;
    server.assert_alive(&laptop).await;
}

/// A token in one of the places of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Absent,
    /// Alice's.
    Good,
    /// Bob's.
    Foreign,
    /// Nobody's: its signature does not hold.
    Bad,
}

const ALL: [Held; 4] = [Held::Absent, Held::Good, Held::Foreign, Held::Bad];

/// The cookies of a request: none, the refresh token alone, or both of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jar {
    Refresh(Held),
    Both(Held),
}

pub async fn s48_every_combination_of_tokens_ends_what_is_ours_and_clears_what_is_dead(
    stand: &Stand,
) {
    let server = stand.server().await;
    let jars = ALL.map(Jar::Refresh).into_iter().chain(ALL.map(Jar::Both));
    for jar in jars.skip(1) {
        for header in ALL {
            for body in ALL {
                combination(&server, header, jar, body).await;
            }
        }
    }
}

async fn combination(server: &SessionServer, header: Held, jar: Jar, body: Held) {
    let case = format!("{header:?} {jar:?} {body:?}");
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    let pick = |held, of: fn(&Tokens) -> &String| match held {
        Held::Absent => None,
        Held::Good => Some(of(&alice).clone()),
        Held::Foreign => Some(of(&bob).clone()),
        Held::Bad => Some("a.b.c".to_owned()),
    };
    let access = |held| pick(held, |tokens| &tokens.access);
    let refresh = |held| pick(held, |tokens| &tokens.refresh);
    let (access_cookie, refresh_cookie) = match jar {
        Jar::Refresh(held) => (Held::Absent, held),
        Jar::Both(held) => (held, held),
    };
    let mut request = match refresh(body) {
        None => RawRequest::post("/cookies/auth/logout"),
        Some(token) => {
            let body = json!({ "refresh_token": token }).to_string();
            RawRequest::post_with("/cookies/auth/logout", JSON, body)
        }
    };
    if let Some(token) = access(header) {
        request = request.bearer(&token);
    }
    if let Some(token) = access(access_cookie) {
        request = request.header("cookie", format!("__Host-access={token}"));
    }
    if let Some(token) = refresh(refresh_cookie) {
        request = request.header("cookie", format!("__Secure-refresh={token}"));
    }
    let request = request.header("sec-fetch-site", "same-origin");
    let response = server.send(request).await;

    let differ = |one, other| one != other && one != Held::Absent && other != Held::Absent;
    let brought = [header, access_cookie, refresh_cookie, body];
    let (status, ends) = if differ(header, access_cookie) || differ(refresh_cookie, body) {
        (400, false)
    } else if brought.contains(&Held::Good) || brought.contains(&Held::Foreign) {
        (204, true)
    } else {
        (401, false)
    };
    assert_eq!(response.status, status, "{case}: {response:?}");
    for (tokens, held) in [(&alice, Held::Good), (&bob, Held::Foreign)] {
        let dead = ends && brought.contains(&held);
        assert_eq!(server.opens(&tokens.access).await, !dead, "{case}");
    }
    // The cookies hold what is dead or was never alive, or it is not known which.
    let brings_cookies = refresh_cookie != Held::Absent;
    let cleared = response.headers("set-cookie").len();
    let expected = if brings_cookies && status != 400 {
        2
    } else {
        0
    };
    assert_eq!(cleared, expected, "{case}");
}

pub async fn s48_signing_out_elsewhere_clears_no_cookie_of_a_session_that_lives(stand: &Stand) {
    let server = stand.server().await;
    for path in ["logout-all", "logout-others", "sessions"] {
        for held in ALL {
            let (alice, bob) = (server.login("alice").await, server.login("bob").await);
            let token = match held {
                Held::Absent => None,
                Held::Good => Some(alice.refresh.as_str()),
                Held::Foreign => Some(bob.refresh.as_str()),
                Held::Bad => Some("a.b.c"),
            };
            let request = match path {
                "sessions" => {
                    let path = format!("/cookies/auth/sessions/{}", alice.sid());
                    RawRequest::new("DELETE", &path)
                }
                path => RawRequest::post(&format!("/cookies/auth/{path}")),
            };
            let mut request = request.bearer(&alice.access);
            if let Some(token) = token {
                request = request.header("cookie", format!("__Secure-refresh={token}"));
            }
            let request = request.header("sec-fetch-site", "same-origin");
            let response = server.send(request).await;
            assert_eq!(response.status, 204, "{path} {held:?}");
            let cleared = response.headers("set-cookie");
            let cleared = cleared
                .iter()
                .any(|cookie| cookie.starts_with("__Secure-refresh=;"));
            let ends = path != "logout-others";
            let dead = ends && matches!(held, Held::Good | Held::Bad);
            assert_eq!(cleared, dead, "{path} {held:?}");
            assert_eq!(server.opens(&alice.access).await, !ends, "{path} {held:?}");
            server.assert_alive(&bob).await;
        }
    }
}
