//! Once means once: what is reported of what ends.

use std::sync::Arc;

use futures::future::join_all;
use jwt_revoke_core::session::{Cause, Event, EventKind, RevokeAll};

use super::{Stand, assert_done};

pub async fn s34_what_ends_is_reported_once(stand: &Stand) {
    let server = Arc::new(stand.server().await);
    let count = |cause| {
        let ended = EventKind::SessionEnded(cause);
        let events = server.events();
        events.iter().filter(|kind| **kind == ended).count()
    };
    // One token, fifty logouts, one after the other and all at the same time.
    let alice = server.login("alice").await;
    for _ in 0..10 {
        assert_done(
            &server
                .logout(Some(&alice.access), Some(&alice.refresh))
                .await,
        );
    }
    assert_eq!(count(Cause::Logout), 1);
    let alice = server.login("alice").await;
    let logouts = (0..50).map(|_| {
        let (server, alice) = (Arc::clone(&server), alice.clone());
        tokio::spawn(async move { server.logout(None, Some(&alice.refresh)).await })
    });
    for logout in join_all(logouts).await {
        assert_done(&logout.unwrap());
    }
    assert_eq!(count(Cause::Logout), 2);
    // The same from elsewhere.
    let (phone, laptop) = (server.login("alice").await, server.login("alice").await);
    let sid = phone.sid();
    join_all((0..20).map(|_| server.end(&laptop.access, &sid))).await;
    assert_eq!(count(Cause::Remote), 1);
    let tablet = server.login("alice").await;
    for _ in 0..5 {
        assert_done(&server.post("logout-others", &laptop.access).await);
    }
    assert_eq!(count(Cause::Remote), 2);
    // What is dead already is replayed.
    for _ in 0..5 {
        server.assert_dead(&tablet).await;
        server.logout(None, Some(&tablet.refresh)).await;
    }
    assert_eq!(count(Cause::Logout), 2);
    assert_eq!(count(Cause::Remote), 2);
}

pub async fn s34_an_end_in_another_respect_is_not_reported_again(stand: &Stand) {
    let server = stand.server().await;
    let alice = server.login("alice").await;
    let revoked = |events: &[EventKind]| {
        let is_revoked = |kind: &&EventKind| matches!(kind, EventKind::RevokedAll(_));
        events.iter().filter(is_revoked).count()
    };
    for sessions in [1, 0, 0] {
        let ended = server.sessions.revoke_all("alice").await.unwrap();
        assert_eq!(ended.sessions, sessions);
        assert_eq!(revoked(&server.events()), 1);
        assert_done(&server.logout(None, Some(&alice.refresh)).await);
    }
    let ended = |kind: &EventKind| matches!(kind, EventKind::SessionEnded(_));
    assert!(!server.events().iter().any(ended), "{:?}", server.events());
    // Whoever came back since is another matter.
    server.login("alice").await;
    server.sessions.revoke_all("alice").await.unwrap();
    assert_eq!(revoked(&server.events()), 2);
}

pub async fn s36_a_ban_says_why_and_by_whom_and_whether_anyone_was_there(stand: &Stand) {
    let server = stand.server().await;
    let alice = server.login("alice").await;
    server.login("alice").await;
    let ban = |user: &str| RevokeAll::of(user).because("chargeback").by("support:bob");
    assert_eq!(
        server
            .sessions
            .revoke_all(ban("alcie"))
            .await
            .unwrap()
            .sessions,
        0
    );
    let banned = server.sessions.revoke_all(ban("alice")).await.unwrap();
    assert_eq!(banned.sessions, 2);
    server.assert_dead(&alice).await;
    let events = server.whole_events();
    let event: &Event = events.last().unwrap();
    assert_eq!(event.kind, EventKind::RevokedAll(banned.at));
    assert_eq!(event.subject.as_str(), "alice");
    assert_eq!(event.cause.as_deref(), Some("chargeback"));
    assert_eq!(event.actor.as_deref(), Some("support:bob"));
    let nobody = server.sessions.revoke_all("").await;
    assert!(nobody.is_err());
}
