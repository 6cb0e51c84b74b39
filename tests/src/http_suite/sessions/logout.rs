//! `POST /auth/logout`: row S9.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{JSON, Stand, assert_done};
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
            for beside in [None, Some(access)] {
                let refused = server.logout(beside, Some(bad)).await;
                assert_eq!(refused.status, 401, "{bad}");
                assert_eq!(refused.json()["error"], "invalid_grant");
            }
        }
        // Another user's beside one's own.
        for (access, refresh) in [(access, &bob.refresh), (&bob.access, &alice.refresh)] {
            let refused = server.logout(Some(access), Some(refresh)).await;
            assert_eq!(refused.status, 401, "{refused:?}");
        }
        for bad in [&tampered(access), &unsigned(access), "a.b.c", refresh] {
            for beside in [None, Some(refresh)] {
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
