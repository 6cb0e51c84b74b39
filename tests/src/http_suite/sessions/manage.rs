//! Listing and ending sessions.

use jwt_revoke_core::{Clock as _, SystemClock, session::Grant};
use serde_json::json;

use super::{JSON, Stand, Tokens, assert_done, claims};
use crate::{logs, raw_http::RawRequest};

pub async fn users_see_and_end_their_own_sessions_only(stand: &Stand) {
    let server = stand.server().await;
    let body = json!({ "username": "alice" }).to_string();
    let login = RawRequest::post_with("/login", JSON, body).header("user-agent", "Phone/1.0");
    let phone = Tokens::of(&server.send(login).await);
    let (laptop, bob) = (server.login("alice").await, server.login("bob").await);
    let now = SystemClock::new().now().whole_seconds();

    let listed = server.list(&laptop.access).await;
    let of = |tokens: &Tokens| {
        let sid = tokens.sid();
        listed.iter().find(|one| one["id"] == sid).unwrap().clone()
    };
    assert_eq!(listed.len(), 2, "{listed:?}");
    for (tokens, current) in [(&phone, false), (&laptop, true)] {
        let session = of(tokens);
        assert_eq!(session["current"], current);
        assert_eq!(session["client"], "first-party");
        let instant = |name: &str| session[name].as_u64().unwrap();
        assert!(instant("created_at").abs_diff(now) < 60);
        assert!(instant("last_used_at") >= instant("created_at"));
        assert_eq!(
            instant("expires_at"),
            claims(&tokens.refresh)["exp"].as_u64().unwrap()
        );
    }
    assert_eq!(of(&phone)["device"], "Phone/1.0");
    // Nothing is `null`.
    assert!(!of(&laptop).as_object().unwrap().contains_key("device"));

    // Another user's session, one that never was, and what no session can be called, are one.
    let never = "018bcfe5-68fb-7000-a000-000000000000";
    let long = "x".repeat(5000);
    for sid in [&bob.sid(), never, "%00", "%ff", "..", "*", &long] {
        let response = server.end(&laptop.access, sid).await;
        assert_eq!(response.status, 404, "{sid}");
        assert_eq!(response.json()["error"], "not_found");
    }
    let bob = server.assert_alive(&bob).await;
    assert_done(&server.end(&laptop.access, &phone.sid()).await);
    server.assert_dead(&phone).await;
    assert_eq!(server.end(&laptop.access, &phone.sid()).await.status, 404);
    assert_done(&server.end(&laptop.access, &laptop.sid()).await);
    server.assert_dead(&laptop).await;
    assert_eq!(server.list(&bob.access).await.len(), 1);
}

pub async fn logout_others_keeps_this_session(stand: &Stand) {
    let server = stand.server().await;
    let (phone, laptop) = (server.login("alice").await, server.login("alice").await);
    let (tablet, bob) = (server.login("alice").await, server.login("bob").await);
    assert_done(&server.post("logout-others", &laptop.access).await);
    for tokens in [&phone, &tablet] {
        server.assert_dead(tokens).await;
    }
    let laptop = server.assert_alive(&laptop).await;
    assert_eq!(server.list(&laptop.access).await.len(), 1);
    server.assert_alive(&bob).await;
}

pub async fn third_party_clients_manage_no_sessions(stand: &Stand) {
    let server = stand.server().await;
    let alice = server.login("alice").await;
    let attempt = server.sessions.begin().await.unwrap();
    let grant = Grant::new().with_client("partner");
    let partner = server.sessions.login(attempt, "alice", &grant).await;
    let partner = partner.unwrap();
    let access = partner.access_token();
    let listing = RawRequest::get("/auth/sessions").bearer(access);
    for response in [
        server.post("logout-all", access).await,
        server.post("logout-others", access).await,
        server.end(access, &alice.sid()).await,
        server.send(listing).await,
    ] {
        assert_eq!(response.status, 403, "{response:?}");
        assert_eq!(response.json()["error"], "access_denied");
    }
    server.assert_alive(&alice).await;
    // It may leave, of course.
    assert_done(&server.post("logout", access).await);
    assert!(!server.opens(access).await);
}

pub async fn i9_no_token_is_logged(stand: &Stand) {
    logs::capture();
    let server = stand.server().await;
    let mut held = vec![server.login("alice").await];
    held.push(server.refreshed(&held[0]).await);
    server.refresh("a.b.c").await;
    server.observer.refuse_writes(true);
    server.refresh(&held[1].refresh).await;
    server.observer.refuse_writes(false);
    server
        .logout(Some(&held[1].access), Some(&held[0].refresh))
        .await;
    server.refresh(&held[1].refresh).await;
    let logs = logs::captured();
    assert!(logs.contains("refused a refresh"), "nothing was logged");
    for token in held.iter().flat_map(|pair| [&pair.access, &pair.refresh]) {
        let signature = token.rsplit('.').next().unwrap();
        assert!(!logs.contains(signature), "a token is in the log");
    }
}
