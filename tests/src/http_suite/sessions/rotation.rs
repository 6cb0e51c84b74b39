//! Refreshing: rows S1-S3, S12-S17.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use jwt_revoke_core::{
    Clock as _, SystemClock,
    session::{Grant, Refreshing, SessionCap, Welcome, WhenFull},
    store::BoxError,
    token::Scope,
};
use serde_json::json;

use super::{
    SessionServer, Stand, Tokens, assert_done, assert_later, assert_refused, claims, refreshing,
};
use crate::proxy::{Fault, Proxy};

pub async fn s1_of_fifty_concurrent_refreshes_exactly_one_rotates(stand: &Stand) {
    let server = Arc::new(stand.server().await);
    let mut held = server.login("alice").await;
    let rounds = stand.rounds(200, 40);
    for round in 0..rounds {
        let racers = (0..50).map(|_| {
            let (server, token) = (Arc::clone(&server), held.refresh.clone());
            tokio::spawn(async move { server.refresh(&token).await })
        });
        let answers = join_all(racers).await;
        let successors: Vec<_> = answers
            .iter()
            .map(|answer| Tokens::of(answer.as_ref().unwrap()))
            .collect();
        let first = successors[0].identity();
        assert!(
            successors.iter().all(|tokens| tokens.identity() == first),
            "round {round}: two successors"
        );
        held = successors.into_iter().next_back().unwrap();
        assert_eq!(held.generation(), round as u64 + 2, "more than one rotated");
        assert_eq!(server.retries(), (round + 1) * 49);
    }
    assert!(!server.reuse_was_detected());
    assert_eq!(server.list(&held.access).await.len(), 1);
    server.assert_alive(&held).await;
}

pub async fn s2_two_tabs_stay_logged_in(stand: &Stand) {
    let server = stand.server().await;
    let mut held = server.login("alice").await;
    for apart in [0, 1, 2, 5, 20, 100] {
        let second = async {
            tokio::time::sleep(Duration::from_millis(apart)).await;
            server.refreshed(&held).await
        };
        let (first, second) = tokio::join!(server.refreshed(&held), second);
        assert_eq!(first.identity(), second.identity(), "{apart} ms apart");
        assert!(server.opens(&first.access).await && server.opens(&second.access).await);
        // Either tab's pair goes on.
        held = second;
    }
    assert!(!server.reuse_was_detected());
}

pub async fn s3_a_client_that_lost_the_answer_gets_the_same_successor(stand: &Stand) {
    let server = stand.server().await;
    let proxy = Proxy::start(server.address.port()).await;
    let first = server.login("alice").await;
    proxy.set(Fault::LoseAnswers);
    // It ends when the answer has come as far as the proxy: the rotation is done.
    assert!(
        !refreshing(&first.refresh)
            .is_answered(proxy.address())
            .await
    );
    let retried = server.refreshed(&first).await;
    assert_eq!(retried.generation(), 2, "the lost answer was the rotation");
    assert_eq!(server.retries(), 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let later = server.refreshed(&first).await;
    assert_eq!(later.identity(), retried.identity());
    assert_eq!(server.assert_alive(&later).await.generation(), 3);
}

pub async fn s12_another_clients_spent_token_is_refused_and_revokes_nothing(stand: &Stand) {
    let server = stand.server_with(|s| s.with_grace(Duration::ZERO)).await;
    let attempt = server.sessions.begin().await.unwrap();
    let grant = Grant::new().with_client("partner");
    let spent = server.sessions.login(attempt, "alice", &grant).await;
    let spent = spent.unwrap();
    let live = server.sessions.refresh(spent.refresh_token(), None).await;
    let live = live.unwrap();
    // The partner's tokens are no business of the routes for our own apps: neither of them.
    for token in [spent.refresh_token(), live.refresh_token()] {
        assert_refused(&server.refresh(token).await);
    }
    assert!(server.opens(live.access_token()).await);
    assert!(!server.reuse_was_detected());
    let next = server.sessions.refresh(live.refresh_token(), None).await;
    next.expect("nothing was spent or revoked");
}

pub async fn s13_idle_and_old_sessions_expire_and_are_no_theft(stand: &Stand) {
    // Idle for too long. The leeway has the tokens outlive the record, which decides.
    let server = stand
        .server_by(
            |issuer| issuer.with_leeway(Duration::from_secs(60)),
            |s| s.with_idle_lifetime(Duration::from_secs(3)),
        )
        .await;
    let idle = server.login("alice").await;
    let spent = idle.clone();
    let idle = server.refreshed(&idle).await;
    until_lapsed(&idle.refresh).await;
    let other = server.login("alice").await;
    assert_refused(&server.refresh(&idle.refresh).await);
    assert_refused(&server.refresh(&spent.refresh).await);
    assert!(!server.reuse_was_detected());
    assert!(server.opens(&other.access).await);

    // As old as it may get, however busy: no token outlives the session.
    let absolute = Duration::from_secs(4);
    let server = stand
        .server_with(|s| s.with_absolute_lifetime(absolute))
        .await;
    let mut held = server.login("alice").await;
    let opened = claims(&held.refresh)["iat"].as_u64().unwrap();
    held = server.refreshed(&held).await;
    for token in [&held.access, &held.refresh] {
        let deadline = claims(token)["exp"].as_u64().unwrap();
        assert!(deadline <= opened + 1 + absolute.as_secs());
    }
    until_lapsed(&held.refresh).await;
    server.assert_dead(&held).await;
    assert!(!server.reuse_was_detected());
}

/// Waits until the clock is past a token's `exp`, and the record's deadline, which is in the second
/// after it.
async fn until_lapsed(token: &str) {
    let deadline = claims(token)["exp"].as_u64().unwrap();
    while SystemClock::new().now().whole_seconds() <= deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[derive(Clone, Copy)]
enum Mood {
    Welcomes,
    Promotes,
    Refuses,
    Fails,
    Hangs,
}

pub async fn s14_the_hook_decides_at_each_refresh(stand: &Stand) {
    let mood = Arc::new(Mutex::new(Mood::Welcomes));
    let asked = Arc::clone(&mood);
    let hook = move |_: Refreshing| {
        let mood = *asked.lock().unwrap();
        async move {
            match mood {
                Mood::Welcomes => Ok(Welcome::Unchanged),
                Mood::Promotes => {
                    let grant = Grant::new().with_scope(Scope::parse("admin").unwrap());
                    let grant = grant.with_claims(&json!({ "role": "boss" }))?;
                    Ok(Welcome::With(grant))
                }
                Mood::Refuses => Ok(Welcome::Refuse),
                Mood::Fails => Err(BoxError::from("the database is down")),
                Mood::Hangs => std::future::pending().await,
            }
        }
    };
    let limit = Duration::from_millis(50);
    let server = stand
        .server_with(|s| s.with_hook(hook).with_hook_limit(limit))
        .await;
    let first = server.login("alice").await;
    let other = server.login("bob").await;
    for failing in [Mood::Fails, Mood::Hangs] {
        *mood.lock().unwrap() = failing;
        assert_later(&server.refresh(&first.refresh).await);
    }
    // Nothing has changed: the same token is spent now, for the first time.
    *mood.lock().unwrap() = Mood::Promotes;
    let second = server.refreshed(&first).await;
    assert_eq!((second.generation(), server.retries()), (2, 0));
    assert_eq!(claims(&second.access)["role"], "boss");
    assert_eq!(claims(&second.access)["scope"], "admin");
    *mood.lock().unwrap() = Mood::Refuses;
    assert_refused(&server.refresh(&second.refresh).await);
    *mood.lock().unwrap() = Mood::Welcomes;
    for tokens in [&first, &second] {
        server.assert_dead(tokens).await;
    }
    server.assert_alive(&other).await;
}

pub async fn s15_the_cap_evicts_the_oldest_or_refuses(stand: &Stand) {
    let cap = |when_full| {
        Some(SessionCap {
            limit: 3,
            when_full,
        })
    };
    let server = stand
        .server_with(|s| s.with_cap(cap(WhenFull::EvictOldest)))
        .await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(server.login("alice").await);
    }
    for evicted in &held[..2] {
        server.assert_dead(evicted).await;
    }
    for kept in &held[2..] {
        server.assert_alive(kept).await;
    }
    assert_eq!(server.list(&held[4].access).await.len(), 3);

    let server = stand
        .server_with(|s| s.with_cap(cap(WhenFull::Refuse)))
        .await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(server.login("alice").await);
    }
    assert_eq!(server.try_login("alice").await.status, 409);
    assert_done(&server.post("logout", &held[0].access).await);
    server.login("alice").await;
    for kept in &held[1..] {
        server.assert_alive(kept).await;
    }
}

pub async fn s15_log_out_everywhere_is_one_write_whatever_the_number_of_sessions(stand: &Stand) {
    let server = stand.server_with(|s| s.with_cap(None)).await;
    let mut held = Vec::new();
    for _ in 0..stand.rounds(1000, 200) {
        held.push(server.login("alice").await);
    }
    let writes = |server: &SessionServer| {
        let observer = &server.observer;
        (observer.revocations(), observer.transitions())
    };
    let before = writes(&server);
    assert_done(&server.post("logout-all", &held[0].access).await);
    assert_eq!(writes(&server), (before.0, before.1 + 1));
    for tokens in [&held[0], &held[held.len() / 2], &held[held.len() - 1]] {
        server.assert_dead(tokens).await;
    }
}

pub async fn s16_the_previous_access_token_works_on(stand: &Stand) {
    let server = stand.server().await;
    let first = server.login("alice").await;
    let (second, opened) = tokio::join!(server.refreshed(&first), async {
        let mut opened = true;
        for _ in 0..20 {
            opened &= server.opens(&first.access).await;
        }
        opened
    });
    assert!(opened, "a request under way was refused");
    let third = server.refreshed(&second).await;
    for tokens in [&first, &second, &third] {
        assert!(server.opens(&tokens.access).await);
    }
}

pub async fn s17_an_answer_lost_between_service_and_store_is_no_reuse(stand: &Stand) {
    let server = stand.server_with(|s| s.with_grace(Duration::ZERO)).await;
    let (redis, proxy) = server.redis.as_ref().expect("a store behind a proxy");
    let connections = || -> u64 {
        let stats = redis.cli(&["INFO", "stats"]);
        let mut lines = stats.lines();
        let count = lines.find_map(|line| line.strip_prefix("total_connections_received:"));
        count.unwrap().parse().unwrap()
    };
    let before = connections();
    let mut held = server.login("alice").await;
    for round in 2..12 {
        proxy.set(Fault::LoseAnswers);
        let (next, ()) = tokio::join!(server.refresh(&held.refresh), async {
            tokio::time::sleep(Duration::from_millis(5 * round)).await;
            proxy.set(Fault::None);
        });
        held = Tokens::of(&next);
        assert_eq!(held.generation(), round, "more than one rotation");
    }
    assert!(!server.reuse_was_detected());
    assert!(connections() > before + 5, "no answer was lost");
    server.assert_alive(&held).await;
}

pub async fn r2_a_refresh_or_logout_that_was_not_written_is_503_and_can_be_repeated(stand: &Stand) {
    let server = stand.server_with(|s| s.with_grace(Duration::ZERO)).await;
    let held = server.login("alice").await;
    let sid = held.sid();
    server.observer.refuse_writes(true);
    assert_later(&server.refresh(&held.refresh).await);
    assert_later(&server.logout(None, Some(&held.refresh)).await);
    assert_later(&server.logout(Some(&held.access), None).await);
    assert_later(&server.post("logout-all", &held.access).await);
    assert_later(&server.post("logout-others", &held.access).await);
    assert_later(&server.end(&held.access, &sid).await);
    assert_eq!(server.try_login("alice").await.status, 503);
    server.observer.refuse_writes(false);
    let held = server.assert_alive(&held).await;
    assert_done(&server.logout(Some(&held.access), Some(&held.refresh)).await);
    server.assert_dead(&held).await;
}
